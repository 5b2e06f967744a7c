"""What a sweep would run and how long that should take: from finished runs of the same shape, else from a short run of each shape."""

import csv
import heapq
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tqdm import tqdm

from qnb.config import TrainConfig
from qnb.files import HISTORY, plain
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError
from qnb.studies.sweep.folder import TRAIN, columns
from qnb.studies.sweep.plan import Plan, overrides
from qnb.studies.sweep.worker import cores, run_process
from qnb.training.batches import batches_per_epoch

# What decides how long a run takes; rates, seeds and losses do not.
SHAPE = (
    "data", "sample", "split", "val_fraction", "test_fraction", "wires", "layers", "encoder", "ansatz", "measurement", "reupload",
    "hadamard", "engine", "device", "gate", "epochs", "batch", "fixed_num_batches", "eval_every_epochs", "early_stop_patience",
)  # fmt: skip
BATCHES = 10  # of a short run
FORWARD = 1 / 3  # share of a training step's time per row that a forward pass takes: a gradient costs two to three more


class Estimate(NamedTuple):
    """Seconds of one run, and how they were found."""

    seconds: float
    how: str


def describe(plan: Plan, workers: int, found: dict[str, list[float]] | None = None) -> str:
    """Every run of the plan and its state, and the estimate. Measuring takes a short run for each shape without finished runs.

    Args:
        found: seconds of finished runs by shape; None: those of the project.
    """
    head = f"{len(plan.planned)} runs: {len(plan.config.arms)} arms x {plan.config.seeds} seeds"
    if plan.resumed:
        head += f"; {len(plan.done)} are done in sweep {plan.resumed}"
    rows: list[tuple[str, ...]] = [("arm", "seed", "hash", "state")]
    for arm, seed, config in plan.planned:
        known = plan.done.get(config.hash())
        rows.append((arm, str(seed), config.hash(), f"done  {known}" if known else "to do"))
    return "\n".join([head, "", columns(rows), "", *_times(plan, workers, finished(plan.root) if found is None else found)])


def _times(plan: Plan, workers: int, found: dict[str, list[float]]) -> list[str]:
    if not plan.todo:
        return ["Nothing is left to run."]
    shapes = {shape(one.config): one.config for one in plan.todo}
    known = {key: _from_finished(found[key]) for key in shapes if key in found}
    unknown = [key for key in shapes if key not in known]
    for key in tqdm(unknown, desc="measuring", unit="shape", file=sys.stderr, disable=not unknown, ncols=100):
        known[key] = measure(plan.root, shapes[key], max(1, len(cores()) // workers))
    total = makespan([known[shape(one.config)].seconds for one in plan.todo], workers)
    lines = [f"Estimate: {duration(total)} for {len(plan.todo)} runs on {workers} worker{'s' if workers > 1 else ''}."]
    for key, estimate in known.items():
        arms = dict.fromkeys(one.arm for one in plan.todo if shape(one.config) == key)
        lines.append(f"  {', '.join(arms)}: {duration(estimate.seconds)} a run, {estimate.how}")
    return lines


def shape(config: TrainConfig) -> str:
    """What decides how long a run takes, as text."""
    return json.dumps([plain(getattr(config, name)) for name in SHAPE])


def finished(root: Path) -> dict[str, list[float]]:
    """Wall times in seconds of the train runs that are done and were not resumed, by shape."""
    found: dict[str, list[float]] = {}
    for run in list_runs(root):
        whole = run["status"] == "done" and not run.get("resumed_from")
        if run["notebook"] == TRAIN and whole and set(SHAPE) <= set(run["parameters"]):
            found.setdefault(json.dumps([run["parameters"][name] for name in SHAPE]), []).append(run["wall_seconds"])
    return found


def _from_finished(seconds: list[float]) -> Estimate:
    count = len(seconds)
    return Estimate(
        median(seconds), f"the median of {count} finished runs of that shape" if count > 1 else "as the one run of that shape"
    )


def measure(root: Path, config: TrainConfig, threads: int) -> Estimate:
    """From a run of one epoch of BATCHES batches, in a project that is thrown away: the rest of the steps at the same speed, and
    evaluations at FORWARD of a step's time per row.

    Raises:
        RunError: the short run failed; the message is the run's.
    """
    short = config.model_copy(
        update={"epochs": 1, "fixed_num_batches": BATCHES, "eval_every_epochs": 1, "early_stop_patience": None}
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "notebooks").symlink_to(root / "notebooks")
        order = {
            "root": folder, "sweep": "estimate", "arm": None, "hash": short.hash(), "parameters": overrides(short), "resume": None,
            "threads": threads, "cwd": os.getcwd(),
        }  # fmt: skip
        said = run_process(order)
        (run,) = list_runs(Path(folder)) or [{"status": "failed", "why": said}]
        if run["status"] != "done":
            raise RunError(f"A run of {BATCHES} batches, to measure how long one takes, {run['status']}: {run['why']}")
        with open(Path(folder) / run["folder"] / HISTORY, encoding="utf-8") as file:
            (epoch,) = csv.DictReader(file)
    return extrapolate(config, run["wall_seconds"], float(epoch["seconds"]) / BATCHES, run["data"]["sides"])


def extrapolate(config: TrainConfig, wall: float, step: float, sides: dict[str, Any]) -> Estimate:
    """Seconds of a whole run, from the wall time of a short one, its seconds per step, and the rows of the sides."""
    batches = config.epochs * batches_per_epoch(sides["train"]["rows"], config.batch, config.fixed_num_batches)
    evaluations = -(-config.epochs // config.eval_every_epochs)
    evaluation = sides["val"]["rows"] * step / config.batch * FORWARD
    seconds = wall + (batches - BATCHES) * step + (evaluations - 1) * evaluation
    most = " at most" if config.early_stop_patience else ""
    how = (
        f"measured: a run of {BATCHES} batches took {wall:.0f} s, {1000 * step:.1f} ms a batch; this one has {batches:,} batches "
        f"and {evaluations} evaluations{most}"
    )
    return Estimate(seconds, how)


def makespan(seconds: list[float], workers: int) -> float:
    """Time until the last of these runs has ended, when each goes to the worker that is first free."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def duration(seconds: float) -> str:
    """A time for the eye: 12 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
