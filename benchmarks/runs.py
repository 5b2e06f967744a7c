"""From `qnb` typed to the prompt back: a default training on each engine; an ablation of ten seeds on one table, and the shipped one of
twenty captures; a list of 3,000 runs.

    python -m benchmarks runs
    python -m benchmarks.runs --against /path/of/another/checkout

With another checkout (an older commit, say) the two take turns, so that a busy moment meets both. Wall and processor seconds, medians
of five, after one run that fills the caches; the runs go into projects that are thrown away.
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
TEN_SEEDS = """{arms: {mean_z: {measurement: mean_z}, mean_z_readout: {measurement: mean_z_readout}}, seeds: 10, resample: none,
sample: 100000, epochs: 5, fixed_num_batches: 100, batch: 256, lr: 0.001, angle_range: pm_pi}"""
TASKS = {  # arguments of `qnb`, and seconds of wall time that it may take on two cores that have nothing else to do; None: as it comes
    "training, exact": (["run", "train", "-p", "engine", "exact"], 9.0),
    "training, catalyst": (["run", "train", "-p", "engine", "catalyst"], 38.0),
    "ablation, ten seeds": (["run", "ablation", "-y", TEN_SEEDS], 25.0),
    "ablation, 20 captures": (["run", "ablation", "-f", "params/mean_z_vs_readout.yaml"], None),
    "list of 3,000 runs": (["runs"], 2.0),
}
RUNS = 3000  # that the list has
ROUNDS = 5
QNB = "import sys; from qnb.cli import main; sys.exit(main())"


def seconds_of(arguments: list[str], checkout: Path, project: Path) -> tuple[float, float]:
    """(wall, processor) seconds of `qnb` with these arguments, by the code of that checkout.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, "-P", "-c", QNB, *arguments, "--root", str(project)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=project)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def project_of(checkout: Path, folder: Path) -> Path:
    """A project with the notebooks and parameters of that checkout and no runs."""
    for name in ("notebooks", "params"):
        shutil.copytree(checkout / name, folder / name)
    return folder


def with_runs(project: Path, count: int = RUNS) -> None:
    """Make a short run in the project, and `count` in all: the others hold its files as links."""
    short = ["run", "train", "-p", "engine", "exact", "-p", "epochs", "1", "-y", "baselines: []"]
    seconds_of(short, HERE, project)
    (made,) = (project / "executed" / "train").iterdir()
    for k in range(1, count):
        shutil.copytree(made, made.with_name(f"{made.name[:-10]}{k:010x}"), copy_function=os.link)


def main(against: Path | None = None) -> None:
    """Print a line per task and checkout."""
    checkouts = {"here": HERE} | ({} if against is None else {"there": against})
    print(f"{'task':22}{'code':8}{'wall s':>8}{'min':>7}{'max':>7}{'processor s':>13}   target")
    for task, (arguments, target) in TASKS.items():
        with tempfile.TemporaryDirectory() as folder:
            projects = {name: project_of(path, Path(folder) / name) for name, path in checkouts.items()}
            if arguments == ["runs"]:
                for project in projects.values():
                    with_runs(project)
            taken = {name: [] for name in checkouts}
            for k in range(ROUNDS + 1):
                for name, checkout in checkouts.items():
                    found = seconds_of(arguments, checkout, projects[name])
                    taken[name] += [found] if k else []
        for name, found in taken.items():
            wall, processor = np.array(found).T
            outcome = (
                f"{target:g} {'met' if np.median(wall) <= target else 'MISSED'}"
                if target and name == "here"
                else ""
            )
            figures = f"{np.median(wall):8.1f}{wall.min():7.1f}{wall.max():7.1f}{np.median(processor):13.1f}"
            print(f"{task:22}{name:8}{figures}   {outcome}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    main(parser.parse_args().against)
