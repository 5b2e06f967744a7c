"""A default training from `qnb` typed to the prompt back, on each engine.

    python -m benchmarks runs
    python -m benchmarks.runs --against /path/of/another/checkout

With another checkout (an older commit, say) the two take turns, so that a busy moment meets both. Wall and processor seconds, medians
of five, after one run that fills the caches; the runs go into a project that is thrown away.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
TARGETS = {"exact": 9.0, "catalyst": 38.0}  # seconds of wall time on two cores that have nothing else to do
ROUNDS = 5
QNB = "import sys; from qnb.cli import main; sys.exit(main())"


def one_run(checkout: Path, engine: str) -> tuple[float, float]:
    """(wall, processor) seconds of a run by the code of that checkout.

    Raises:
        subprocess.CalledProcessError: the run failed.
    """
    with tempfile.TemporaryDirectory() as project:
        shutil.copytree(checkout / "notebooks", Path(project) / "notebooks")
        command = [
            sys.executable,
            "-P",
            "-c",
            QNB,
            "run",
            "train",
            "-p",
            "engine",
            engine,
            "--root",
            project,
        ]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        subprocess.run(command, check=True, env=environment, capture_output=True, cwd=project)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(against: Path | None = None) -> None:
    """Print a line per engine and checkout."""
    checkouts = {"here": HERE} | ({} if against is None else {"there": against})
    print(f"{'engine':10}{'code':8}{'wall s':>8}{'min':>7}{'max':>7}{'processor s':>13}   target")
    for engine, target in TARGETS.items():
        seconds = {name: [] for name in checkouts}
        for k in range(ROUNDS + 1):
            for name, checkout in checkouts.items():
                found = one_run(checkout, engine)
                seconds[name] += [found] if k else []
        for name, found in seconds.items():
            wall, processor = np.array(found).T
            outcome = (
                f"{target:g} {'met' if np.median(wall) <= target else 'MISSED'}" if name == "here" else ""
            )
            figures = f"{np.median(wall):8.1f}{wall.min():7.1f}{wall.max():7.1f}{np.median(processor):13.1f}"
            print(f"{engine:10}{name:8}{figures}   {outcome}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    main(parser.parse_args().against)
