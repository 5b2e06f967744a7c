"""How long the exact engine compiles: in a process of its own with an empty cache of programs, and in a second one that finds them."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict

from qnb.core.circuit import CircuitSpec
from qnb.reporting.verdict import Verdict

FIRST, SECOND = 5.0, 1.0  # seconds asked of the first process, and of the second
ROWS = 256
MEASURE = """
import json, sys, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
print(make_engine("exact", CircuitSpec(**json.loads(sys.argv[2])), Objective()).compile(int(sys.argv[3])))
"""


def in_processes(spec: CircuitSpec, rows: int = ROWS) -> tuple[float, float]:
    """Seconds from an engine to its first step and scores of `rows` rows: with an empty cache, then with the one that this left.

    Raises:
        subprocess.CalledProcessError: the engine could not be made or compiled; its `stderr` says why.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", MEASURE, cache, json.dumps(asdict(spec)), str(rows)]
        first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    return float(first.split()[-1]), float(second.split()[-1])


def judge(first: float, second: float) -> Verdict:
    """`met` if both processes take no longer than was asked, else `missed`."""
    return Verdict(
        "Does the exact engine compile in the time it may take?", "met" if first <= FIRST and second <= SECOND else "missed",
        {"first_process_s": first, "second_process_s": second}, {"first_process_s": FIRST, "second_process_s": SECOND},
        f"The programs of a batch of {ROWS} take {first:.1f} s to compile in a process with an empty cache ({FIRST:g} s may be taken) "
        f"and {second:.1f} s in a second process, from the cache ({SECOND:g} s). Both are wall times of one process each: on a busy "
        "machine they say as much about the machine.",
    )  # fmt: skip
