"""What a sweep would run, and how long that should take, by finished runs of the same shape."""

import heapq
import json
from pathlib import Path
from statistics import median

from qnb.config import TrainConfig
from qnb.files import plain
from qnb.runs.listing import columns_of_text, list_runs
from qnb.studies.sweep import cohort
from qnb.studies.sweep.folder import TRAIN
from qnb.studies.sweep.plan import Plan

# What decides how long a run takes; rates, seeds and losses do not.
SHAPE = (
    "data",
    "sample",
    "split",
    "test_data",
    "val_fraction",
    "test_fraction",
    "wires",
    "layers",
    "encoder",
    "ansatz",
    "measurement",
    "reupload",
    "hadamard",
    "scaling",
    "engine",
    "device",
    "gate",
    "epochs",
    "batch",
    "fixed_num_batches",
    "eval_every_epochs",
    "early_stop_patience",
)


def describe(plan: Plan, workers: int, finished: dict[str, list[float]] | None = None) -> str:
    """Every run of the plan with its state, and the estimated time, as text.

    Args:
        workers: how many runs go at once.
        finished: by shape, seconds of finished runs; None: those of the project.
    """
    head = f"{len(plan.planned)} runs: {len(plan.config.arms)} arms x {plan.config.seeds} seeds"
    if plan.resumed:
        head += f"; {len(plan.done)} are done in sweep {plan.resumed}"
    rows: list[tuple[str, ...]] = [("arm", "seed", "hash", "state")]
    for arm, seed, config in plan.planned:
        known = plan.done.get(config.hash())
        rows.append((arm, str(seed), config.hash(), f"done  {known}" if known else "to do"))
    seconds = seconds_by_shape(plan.root) if finished is None else finished
    together = [cohort.told(kinds, len(plan.todo))] if (kinds := cohort.kinds(plan)) else []
    return "\n".join([head, "", columns_of_text(rows), "", *together, *_times(plan, workers, seconds)])


def _times(plan: Plan, workers: int, finished: dict[str, list[float]]) -> list[str]:
    if not plan.todo:
        return ["Nothing is left to run."]
    arms: dict[str, list[str]] = {}
    for training in plan.todo:
        arms.setdefault(shape(training.config), []).append(training.arm)
    medians = {key: median(finished[key]) for key in arms if key in finished}
    scope = f"for {len(plan.todo)} runs on {workers} worker{'s' if workers > 1 else ''}."
    durations = (
        [medians[shape(training.config)] for training in plan.todo] if len(medians) == len(arms) else None
    )
    lines = [
        f"Estimate: {'unknown' if durations is None else duration(makespan(durations, workers))} {scope}"
    ]
    for key, names in arms.items():
        count = len(finished.get(key, ()))
        source = (
            f"the median of {count} finished runs of that shape"
            if count > 1
            else "as the one run of that shape"
        )
        estimate = (
            f"{duration(medians[key])} a run, {source}"
            if count
            else "unknown, no run of that shape has finished"
        )
        lines.append(f"  {', '.join(dict.fromkeys(names))}: {estimate}")
    return lines


def shape(config: TrainConfig) -> str:
    """The parameters that decide how long a run takes (SHAPE), as JSON text."""
    return json.dumps([plain(getattr(config, name)) for name in SHAPE])


def seconds_by_shape(root: Path) -> dict[str, list[float]]:
    """By shape, wall times in seconds of the project's train runs that are done and were not resumed.

    Of runs that trained together each counts its share of the time that they took.
    """
    seconds: dict[str, list[float]] = {}
    for run in list_runs(root):
        whole = run["status"] == "done" and not run.get("resumed_from")
        if run["notebook"] == TRAIN and whole and set(SHAPE) <= set(run["parameters"]):
            seconds.setdefault(json.dumps([run["parameters"][name] for name in SHAPE]), []).append(
                run["wall_seconds"] / run.get("together", 1)
            )
    return seconds


def makespan(seconds: list[float], workers: int) -> float:
    """Seconds until the last of these runs has ended, if each goes to the first worker that is free."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def duration(seconds: float) -> str:
    """A duration for display: 12 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
