"""The gradient gate: false alarms on right gradients, and what becomes of wrong ones.

    python -m benchmarks gate
    python -m benchmarks.gate --results gates.jsonl      goes on from what that file has

Gates of the engines as they are, and of the same engines with one gradient spoiled: at random points (alpha 1
to 48) and at points of real trainings (one-cycle and cosine schedules, params/longer.yaml), on batches of their
rows. In chunks, each of the same gates whenever it is run; the table so far is printed after every tenth.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.differences import RELATIVE_TOLERANCE
from qnb.core.engine import Engine, make_engine
from qnb.core.gate import Batch, WrongGradientError, check_gradient
from qnb.core.objective import Objective
from qnb.data.prepare import prepare
from qnb.runs.provenance import differences, made_by
from qnb.training import state
from qnb.training.optimiser import make_step

GATES = 10_000  # of right gradients, and as many of wrong ones
CHUNK = 100
ENGINES = {"exact float32": 0.45, "exact float64": 0.45, "catalyst": 0.1}  # shares of the gates
LONGER_SHARE = 0.05  # of params/longer.yaml, whose circuit takes ten times as long
SNAPSHOTS = 30  # points kept of each training
BEYOND = 20  # tolerances that a spoiled gradient is off at least, in norm; a scaled one 1.1
LONGER = Path(__file__).parents[1] / "params" / "longer.yaml"

SMALL = {
    "data": "breast_cancer",
    "batch": 32,
    "wires": 3,
    "layers": 2,
    "epochs": 40,
    "lr": 0.2,
    "lr_schedule": "onecycle",
}
TRAININGS = [
    SMALL | {"measurement": "mean_z_readout"},
    SMALL | {"measurement": "z0", "wires": 2, "lr_mult_alpha": 5.0},
    SMALL | {"measurement": "mean_z", "reupload": True, "lr_mult_alpha": 5.0},
    SMALL | {"measurement": "z_vec", "alpha_mode": "direct", "encoder": "angle_xy", "lr_mult_alpha": 20.0},
    SMALL | {"measurement": "mean_z_readout", "wires": 4, "layers": 3, "focal_gamma": 1.0},
    {
        "data": "bundled",
        "wires": 4,
        "layers": 3,
        "batch": 64,
        "epochs": 20,
        "lr": 0.1,
        "lr_schedule": "cosine",
        "lr_mult_alpha": 5.0,
    },
]


@dataclass(frozen=True)
class Point:
    """Where a gate is tried: a circuit, a loss, parameters and a batch."""

    family: str  # "random", "trained", or "longer.yaml"
    spec: CircuitSpec
    objective: Objective
    params: Params
    batch: Batch

    def engine(self, name: str) -> Engine:
        kind, *precision = name.split()
        return make_engine(
            kind, self.spec, self.objective, **({"precision": precision[0]} if precision else {})
        )


def trained_points(family: str, config: TrainConfig) -> list[Point]:
    """Points of a training on the exact engine, spread over its steps, each with the batch that comes next."""
    run = state.start(config, prepare(config))
    step, params, optimiser, points = make_step(run.optimiser), run.state.params, run.state.optimiser, []
    every = max(1, config.epochs * run.batches // SNAPSHOTS)
    for k in range(config.epochs * run.batches):
        if k % run.batches == 0:
            rows = run.draw()
        batch = run.batch(rows[k % run.batches])
        if k % every == every - 1:
            points.append(Point(family, run.engine.spec, run.engine.objective, params, batch))
        stepped, optimiser = step(params, optimiser, run.engine.loss_and_grad(params, *batch)[1])
        params = {name: np.asarray(value) for name, value in stepped.items()}
    return points


def all_trained_points() -> list[Point]:
    """The points of every training, in which alpha grows to what the last line says."""
    points = []
    for changes in TRAININGS:
        points += trained_points("trained", TrainConfig(engine="exact", **changes))
    points += trained_points("longer.yaml", TrainConfig(engine="exact", **yaml.safe_load(LONGER.read_text())))
    return points


def random_point(of: Point, rng: np.random.Generator) -> Point:
    """Other parameters at a point's circuit and batch: angles of a random spread, alpha from 1 to 48."""
    spread = rng.choice([0.05, 0.5, 3.0])
    params = {name: spread * rng.normal(size=value.shape) for name, value in of.params.items()}
    alpha = np.exp(rng.uniform(0, np.log(48)))
    params["alpha"] = np.asarray(alpha if of.objective.alpha_mode == "direct" else np.log(np.expm1(alpha)))
    params["bias"] = np.asarray(rng.normal(scale=0.3))
    return Point("random", of.spec, of.objective, params, of.batch)


class Spoiled:
    """An engine whose gradient is spoiled on its way out; its scores and loss are right."""

    def __init__(self, engine: Engine, spoil: Callable[[Params, Batch, Params], Params]):
        self.engine, self.spoil = engine, spoil
        self.name, self.dtype, self.spec, self.objective = (
            "spoiled",
            engine.dtype,
            engine.spec,
            engine.objective,
        )

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        return self.engine.scores(params, X)

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        loss, grads = self.engine.loss_and_grad(params, X, y, w)
        return loss, grads | self.spoil(params, (X, y, w), grads)


def spoilers(point: Point, engine: Engine, rng: np.random.Generator) -> Iterator[tuple[str, Spoiled]]:
    """One engine of each kind of wrong gradient."""
    live = [name for name in point.params if name != "readout" or point.spec.has_readout]
    group, leaf = rng.choice(live), rng.choice([name for name in live if point.params[name].size > 1])
    tolerance = RELATIVE_TOLERANCE[np.dtype(engine.dtype).name]
    off = tolerance * 1.1 * np.exp(rng.uniform(0, np.log(30)))
    factor = 1 / (1 - off) if rng.random() < 0.5 else 1 - off  # off by `off` of the larger of the two
    old = {group: point.params[group] + rng.normal(size=point.params[group].shape)}
    order = rng.permutation(point.params[leaf].size)

    def one_sample(params: Params, batch: Batch, grads: Params) -> Params:
        (X, y, w), circuit = batch, make_engine("one_sample_demo", point.spec, point.objective)
        wrong = circuit.loss_and_grad(params, X, y, w)[1]
        return {name: wrong[name] for name in ("weights", "readout")}

    def permuted(params: Params, batch: Batch, grads: Params) -> Params:
        return {leaf: grads[leaf].ravel()[order].reshape(grads[leaf].shape)}

    yield "one sample", Spoiled(engine, one_sample)
    yield "one group scaled", Spoiled(engine, lambda params, batch, grads: {group: factor * grads[group]})
    yield "a sign", Spoiled(engine, lambda params, batch, grads: {group: -grads[group]})
    yield (
        "a stale parameter",
        Spoiled(engine, lambda params, batch, grads: engine.loss_and_grad(params | old, *batch)[1]),
    )
    yield "a permuted leaf", Spoiled(engine, permuted)


def is_wrong(kind: str, spoiled: Spoiled, point: Point) -> bool:
    """Whether the gradient is off by BEYOND tolerances in some group; a scaled one is by construction."""
    if kind in ("one group scaled", "a sign"):
        return True
    right = spoiled.engine.loss_and_grad(point.params, *point.batch)[1]
    wrong = spoiled.loss_and_grad(point.params, *point.batch)[1]
    allowed = BEYOND * RELATIVE_TOLERANCE[np.dtype(spoiled.dtype).name]
    return any(
        np.linalg.norm(wrong[name] - right[name])
        > allowed * max(np.linalg.norm(wrong[name]), np.linalg.norm(right[name]))
        for name in right
    )


def outcome(engine: Engine, point: Point, seed: int) -> str:
    """`pass`, `untested`, or `wrong` where the gate refuses."""
    try:
        return check_gradient(engine, point.params, *point.batch, seed=seed).verdict
    except WrongGradientError:
        return "wrong"


def chunk(points: list[Point], number: int, gates: int, bar: tqdm) -> tuple[Counter, Counter]:
    """Outcomes of right gradients by (engine, family), and of as many wrong ones by (engine, kind)."""
    rng, right, wrong = np.random.default_rng(number), Counter(), Counter()
    while right.total() < gates or wrong.total() < gates:
        family = "longer.yaml" if rng.random() < LONGER_SHARE else "trained"
        candidates = [p for p in points if p.family == family]
        point = candidates[rng.integers(len(candidates))]
        point = random_point(point, rng) if rng.random() < 0.4 else point
        name = str(rng.choice(list(ENGINES), p=list(ENGINES.values())))
        if name == "catalyst" and point.spec.wires > 4:
            name = "exact float32"
        engine, seed = point.engine(name), int(rng.integers(2**31))
        if right.total() < gates:
            right[name, point.family, outcome(engine, point, seed)] += 1
            bar.update()
        kinds = list(spoilers(point, engine, rng))
        kind, spoiled = kinds[rng.integers(len(kinds))]
        if wrong.total() < gates and is_wrong(kind, spoiled, point):
            wrong[name, kind, outcome(spoiled, point, seed)] += 1
            bar.update()
    return right, wrong


def table(title: str, counts: Counter) -> None:
    """Print one line for each engine and family or kind."""
    print(f"\n{title:18}{'':20}{'gates':>8}{'pass':>8}{'untested':>10}{'wrong':>8}")
    for row in sorted({key[:2] for key in counts}):
        cells = [counts[(*row, status)] for status in ("pass", "untested", "wrong")]
        print(f"{row[0]:18}{row[1]:20}{sum(cells):8}{cells[0]:8}{cells[1]:10}{cells[2]:8}")
    cells = [
        sum(n for key, n in counts.items() if key[2] == status) for status in ("pass", "untested", "wrong")
    ]
    print(f"{'all':18}{'':20}{sum(cells):8}{cells[0]:8}{cells[1]:10}{cells[2]:8}", flush=True)


class Results:
    """A file with a line for the code and the stack that made it, and then one for each chunk that is done.

    Exits where other code made it, or its chunks are of another size.
    """

    def __init__(self, path: Path | None, gates: int):
        self.path, self.head = path, {"made_by": made_by(), "gates": gates}
        self.chunks: dict[int, tuple[Counter, Counter]] = {}
        if path is not None and path.exists():
            head, *lines = path.read_text().splitlines(keepends=True)
            self._require_same(json.loads(head))
            for line in (json.loads(line) for line in lines if line.endswith("\n")):  # the last may be torn
                found = ({tuple(key): n for *key, n in line[side]} for side in ("right", "wrong"))
                self.chunks[line["chunk"]] = tuple(Counter(counts) for counts in found)
            path.write_text(head + "".join(line for line in lines if line.endswith("\n")))
        elif path is not None:
            path.write_text(json.dumps(self.head) + "\n")

    def _require_same(self, head: dict) -> None:
        changed = differences(head["made_by"], self.head["made_by"])
        if head["gates"] != self.head["gates"]:
            changed.append(f"chunks of {head['gates']} gates there, {self.head['gates']} here")
        if changed:
            sys.exit(f"{self.path} was made otherwise: {'; '.join(changed)}. Name another file.")

    def add(self, number: int, right: Counter, wrong: Counter) -> None:
        """Keep a chunk."""
        self.chunks[number] = right, wrong
        if self.path is not None:
            sides = {"right": right, "wrong": wrong}
            line = {name: [[*key, n] for key, n in counts.items()] for name, counts in sides.items()}
            with self.path.open("a") as file:
                file.write(json.dumps({"chunk": number} | line) + "\n")

    def print(self) -> None:
        """The table of all chunks so far."""
        for k, title in enumerate(("right gradients", "wrong gradients")):
            table(title, sum((counts[k] for counts in self.chunks.values()), Counter()))


def main(gates: int = GATES, path: Path | None = None) -> None:
    """Run the chunks that `path` does not have yet, and print the table of all."""
    size = min(CHUNK, gates)
    results, todo = Results(path, size), range(-(-gates // size))
    left = [number for number in todo if number not in results.chunks]
    if left:
        points = all_trained_points()
        alphas = [float(p.objective.alpha(p.params["alpha"])) for p in points]
        print(
            f"{len(points)} points of {len(TRAININGS) + 1} trainings, alpha up to {max(alphas):.0f}",
            flush=True,
        )
        done = 2 * size * (len(todo) - len(left))
        with tqdm(total=2 * size * len(todo), initial=done, unit="gate", mininterval=10) as bar:
            for number in left:
                results.add(number, *chunk(points, number, size, bar))
                if number % 10 == 9:
                    results.print()
    results.print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gates", type=int, default=GATES, help="of right gradients, and as many of wrong ones"
    )
    parser.add_argument("--results", type=Path, help="a file that chunks are kept in, and read from")
    arguments = parser.parse_args()
    main(arguments.gates, arguments.results)
