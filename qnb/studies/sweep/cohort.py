"""Which runs of a sweep train together, as one task: those of small circuits, of which the engine trains many
as one program.

A notebook takes ten times as long as such a training. So these runs have folders like all others, with their
manifests, metrics, histories and models, and no notebook.
"""

import functools
import hashlib
import math
from collections import Counter, deque
from pathlib import Path
from typing import Any, NamedTuple

from qnb.config import TrainConfig
from qnb.core.engine import make_engine, takes_steps
from qnb.runs.source import find_notebook, read_notebook
from qnb.studies.sweep.arms import Planned
from qnb.studies.sweep.folder import TRAIN, attempts, chain
from qnb.studies.sweep.plan import Plan
from qnb.training.state import circuit_of, objective_of

# SHA-256 of what train.ipynb executes after its parameters: `qnb.train_all` stands for this and for no other
SHIPPED = "61f182d8aa8f59adeb16fecb55790d91853360514ae9cf6b30ac1c974e3170bf"


class Kind(NamedTuple):
    """What runs that train together have in common, as far as it is known before the data are."""

    engine: str
    device: str
    spec: Any
    objective: Any
    batch: int
    fixed_num_batches: int | None
    epochs: int


Place = tuple[str, int]  # arm and seed


def place(one: Planned) -> Place:
    """Where a run stands in its sweep, which is cheaper to compare than its configuration."""
    return one.arm, one.seed


def kinds(plan: Plan) -> dict[Place, Kind]:
    """By arm and seed, the kind of every run that may train together with others.

    Left out are runs that were tried before, in a sweep that is resumed, and all of them where train.ipynb
    is not the shipped one: what it does, only it does.
    """
    if code(find_notebook(plan.root, TRAIN)) != SHIPPED:
        return {}
    tried = (
        {run["hash"] for run in attempts(plan.root, chain(plan.root, plan.resumed))} if plan.resumed else ()
    )
    of_run = {place(one): _kind(one.config) for one in plan.todo if one.config.hash() not in tried}
    counts = Counter(of_run.values())
    return {where: kind for where, kind in of_run.items() if at_once(kind) > 1 and counts[kind] > 1}


def code(path: Path) -> str:
    """SHA-256 of the code cells of a notebook but for its parameters."""
    cells = [
        cell.source
        for cell in read_notebook(path).cells
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    ]
    return hashlib.sha256("\n\n".join(cells).encode()).hexdigest()


def _kind(config: TrainConfig) -> Kind:
    return Kind(
        config.engine,
        config.device,
        circuit_of(config),
        objective_of(config),
        config.batch,
        config.fixed_num_batches,
        config.epochs,
    )


@functools.cache
def at_once(kind: Kind) -> int:
    """How many runs of a kind the engine trains as one program; 1: each by itself."""
    engine = make_engine(kind.engine, kind.spec, kind.objective, kind.device)
    return engine.runs_at_once(kind.batch) if takes_steps(engine) else 1


def take(left: deque[Planned], kinds: dict[Place, Kind], workers: int) -> list[Planned]:
    """Take the next run off the queue, with those that train together with it.

    The runs of a kind are parted evenly: into as few tasks as the engine can take, and one for each worker.
    """
    first = left.popleft()
    kind = kinds.get(place(first))
    if kind is None:
        return [first]
    count = sum(other == kind for other in kinds.values())
    size = math.ceil(count / max(math.ceil(count / at_once(kind)), min(workers, count)))
    others = [one for one in left if kinds.get(place(one)) == kind][: size - 1]
    taken = set(map(place, others))
    rest = [one for one in left if place(one) not in taken]
    left.clear()
    left.extend(rest)
    return [first, *others]


def told(kinds: dict[Place, Kind], runs: int) -> str:
    """How many of the runs train together, in words."""
    most = max(map(at_once, kinds.values()))
    return (
        f"{len(kinds)} of {runs} runs train together, up to {most} in one process: each has its run folder, "
        "and no notebook"
    )
