"""How long the exact engine compiles: in a process with an empty cache of programs, and in a second one that finds them there.

python -m benchmarks.compiling
"""

import json
import subprocess
import sys
import tempfile

from qnb.core.circuit import CircuitSpec

TARGETS = {"empty cache": 5.0, "from the cache": 1.0}  # seconds
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


def in_processes(spec: CircuitSpec, rows: int = ROWS) -> dict[str, float]:
    """Seconds from an engine to its first step and scores of `rows` rows, in each of two processes, one after the other.

    Raises:
        subprocess.CalledProcessError: the engine could not be made or compiled; its `stderr` says why.
    """
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", MEASURE, cache, json.dumps(spec.to_dict()), str(rows)]
        outputs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in TARGETS
        ]
    return {name: float(output.split()[-1]) for name, output in zip(TARGETS, outputs, strict=True)}


def outcome(name: str, seconds: float) -> str:
    """`met` if that process takes no longer than its target, else `MISSED`."""
    return "met" if seconds <= TARGETS[name] else "MISSED"


def main() -> None:
    """Print one line per process."""
    for name, seconds in in_processes(CircuitSpec()).items():
        print(f"{name:16}{seconds:6.2f} s, target {TARGETS[name]:g} s: {outcome(name, seconds)}")


if __name__ == "__main__":
    main()
