"""Expressivity of a readout: range of scores and logits, contribution of the logit scale, and the rank of
the Jacobian of the scores.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from qnb.config import TrainConfig
from qnb.core.circuit import ANSATZE, MEASUREMENTS, Layer, Params
from qnb.core.engine import Engine, Maker, score_gradient
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective
from qnb.data.prepare import Prepared
from qnb.probes.descent import WATCHED_ROWS, Descent, Head, descend
from qnb.probes.subject import SimulatedModelConfig
from qnb.reporting.verdict import Verdict, answer, unanimous
from qnb.training import metrics
from qnb.training.optimiser import make_optimiser
from qnb.training.state import circuit_of, engine_of

RANK = 1e-8  # singular values below this part of the largest count as zero (double precision)
RANK_FLOAT32 = 1e-4
CARRIES = 0.05  # alpha carries the margin if without it the BCE is this part higher
# of this package, of single wires
OF_WIRES = {name: measured for name, measured in MEASUREMENTS.items() if measured.words is None}
NO_HEAD = 1e12  # inverse strength of scikit-learn's penalty: none


class GeometryConfig(SimulatedModelConfig):
    """readout_geometry.ipynb."""

    steps: Annotated[int, Field(ge=20)] = 80
    """of the short training of each measurement, by Adam"""
    rows: Annotated[int, Field(ge=2)] = 64
    """inputs over which the Jacobian of the scores is taken"""
    initialisations: Annotated[int, Field(ge=10)] = 200
    """random parameters for the variance of gradients"""
    quick: bool = True
    """False: the larger grid of wires, layers and initialisations"""
    shots: bool = False
    """True: at how many shots per circuit the AUC survives"""


@dataclass(frozen=True)
class Jacobian:
    """ds_k/dp at rows k for all parameters p of weights and readout.

    Attributes:
        values: (B, P).
        names: of the P parameters, like weights[0, 1, 2].
        floor: relative size below which a singular value counts as zero.
    """

    values: np.ndarray
    names: list[str]
    floor: float

    def part(self, group: str) -> "Jacobian":
        """The columns of one group, `weights` or `readout`."""
        keep = [k for k, name in enumerate(self.names) if name.startswith(group)]
        return Jacobian(self.values[:, keep], [self.names[k] for k in keep], self.floor)

    @property
    def singular_values(self) -> np.ndarray:
        """Singular values, largest first, (min(B, P),)."""
        return np.linalg.svd(self.values, compute_uv=False)

    @property
    def rank(self) -> int:
        """Number of singular values above rounding errors: over `floor` times the largest."""
        s = self.singular_values
        return int(np.sum(s > self.floor * max(s.max(initial=0), 1e-6)))

    @property
    def dead(self) -> list[str]:
        """Names of the parameters that move no score: |ds_k/dp| <= `floor` at all rows."""
        size = np.abs(self.values).max(axis=0)
        return [name for name, s in zip(self.names, size, strict=True) if s <= self.floor]

    def null_vectors(self) -> list[dict[str, float]]:
        """A basis of the directions in which no score moves, made sparse by elimination: each a dict from
        parameter name to component.
        """
        _, _, v = np.linalg.svd(self.values)
        return [
            {self.names[k]: round(float(c), 6) for k, c in enumerate(vector) if abs(c) > 1e-6}
            for vector in _echelon(v[self.rank :])
        ]


def _echelon(rows: np.ndarray) -> np.ndarray:
    """Reduced row echelon form with row pivoting: an equivalent basis with many zeros."""
    rows, done = rows.copy(), 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        best = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[best, column]) < 1e-6:
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, column]
        others = [k for k in range(len(rows)) if k != done]
        rows[others] -= np.outer(rows[others, column], rows[done])
        done += 1
    return rows


def jacobian(engine: Engine, params: Params, X: np.ndarray) -> Jacobian:
    """ds/dp at rows X (B, features), for weights and readout.

    If the ansatz has Pauli rotations only, it takes forward passes only, so that no gradient needs to be
    trusted: the parameter-shift rule (s(p + pi/2) - s(p - pi/2)) / 2 for angles (Mitarai et al., PRA 98,
    032309, 2018; Schuld et al., PRA 99, 032331, 2019), and a difference, exact too, for trained coefficients.
    For a layer of arbitrary gates, where that rule does not hold, it is the engine's gradient, once gated.

    Args:
        engine: for a layer of arbitrary gates, one of `Objective(alpha_mode="direct")`.

    Raises:
        WrongGradientError: the gate found the engine's gradient wrong.
    """
    spec, columns, names = engine.spec, [], []
    by_gradient = _gradients(engine, params, X) if isinstance(spec.layer, Layer) else None
    words = len(spec.words) if spec.measured.weighted else 0
    for group in ("weights", "readout"):
        for index in np.ndindex(spec.shapes[group]):
            linear = group == "readout" and index[0] < words
            shift, scale = (0.5, 1.0) if linear else (np.pi / 2, 2.0)
            if by_gradient is not None:
                columns.append(by_gradient[group][:, *index])
            else:
                ahead, behind = (
                    _scores_at(engine, params, X, group, index, sign * shift) for sign in (1, -1)
                )
                columns.append((ahead - behind) / scale)
            angle = group == "readout" and spec.measured.rotated and not linear
            place = divmod(index[0] - words, 3) if angle else index
            names.append(f"{group}[{', '.join(map(str, place))}]")
    return Jacobian(np.array(columns).T, names, RANK if engine.dtype == np.float64 else RANK_FLOAT32)


def _scores_at(
    engine: Engine, params: Params, X: np.ndarray, group: str, index: tuple[int, ...], by: float
) -> np.ndarray:
    moved = np.array(params[group], dtype=float)
    moved[index] += by
    return engine.scores(params | {group: moved}, X)


def _gradients(engine: Engine, params: Params, X: np.ndarray) -> dict[str, np.ndarray]:
    """ds_k/dgroup at rows k, (B, *shape), by the engine, once the gate has passed it."""
    ones = np.ones(len(X))
    check_gradient(engine, params, X, np.arange(len(X)) % 2.0, ones)
    of_rows = [score_gradient(engine, params, x)[1] for x in X]
    return {group: np.array([row[group] for row in of_rows]) for group in ("weights", "readout")}


def identifiability(
    config: TrainConfig, X: np.ndarray, rng: np.random.Generator, make: Maker | None = None
) -> dict[tuple[str, str], Jacobian]:
    """By (measurement, ansatz), for those of this package and that of `config`: the Jacobian on rows X
    (B, features), at weights and readout angles uniform on [-pi, pi] and coefficients drawn from N(0, 1).

    `make`: see `qnb.probes.subject.subject`.

    Raises:
        WrongGradientError: as `jacobian`.
    """
    jacobians = {}
    for ansatz in dict.fromkeys((*ANSATZE, config.ansatz)):
        for measurement in measurements(config):
            spec = replace(circuit_of(config), measurement=measurement, ansatz=ansatz)
            engine = engine_of(config, spec, Objective(alpha_mode="direct"), make)
            coefficients = rng.normal(size=len(spec.words) * spec.measured.weighted)
            angles = rng.uniform(-np.pi, np.pi, spec.readout_size - len(coefficients))
            params = spec.init(0, "direct") | {
                "weights": rng.uniform(-np.pi, np.pi, spec.shapes["weights"]),
                "readout": np.concatenate([coefficients, angles]),
            }
            jacobians[measurement, ansatz] = jacobian(engine, params, X)
    return jacobians


def measurements(config: TrainConfig) -> tuple[str, ...]:
    """The names of this package's measurements on single wires, and that of `config`."""
    return tuple(dict.fromkeys((*OF_WIRES, config.measurement)))


def ranks(jacobians: dict[tuple[str, str], Jacobian]) -> pd.DataFrame:
    """Number of parameters, rank and number of dead ones, of weights, readout and both, one row for each
    measurement and ansatz.
    """
    rows = []
    for (measurement, ansatz), j in jacobians.items():
        row: dict[str, Any] = {"measurement": measurement, "ansatz": ansatz}
        for group in ("weights", "readout"):
            part = j.part(group)
            row |= {
                f"{group}": len(part.names),
                f"rank of {group}": part.rank,
                f"dead {group}": len(part.dead),
            }
        rows.append(
            row
            | {
                "all": len(j.names),
                "rank of all": j.rank,
                "null directions beyond dead ones": len(j.names) - j.rank - len(j.dead),
            }
        )
    return pd.DataFrame(rows)


class Output(TypedDict):
    """Scores s (B,) and logits l (B,) of the watched rows."""

    s: np.ndarray
    l: np.ndarray


class Sides(TypedDict):
    """A training: its output before (`start`) and after (`end`), the labels y (B,) of the watched rows, and
    the Descent.
    """

    start: Output
    end: Output
    y: np.ndarray
    descent: Descent


def trainings(
    config: TrainConfig, prepared: Prepared, steps: int, seed: int, make: Maker | None = None
) -> dict[str, Sides]:
    """By measurement (see `measurements`), a short training of the circuit of `config` with it.

    `make`: see `qnb.probes.subject.subject`.

    Raises:
        WrongGradientError, ParameterError: as `qnb.probes.descent.descend`.
    """
    trained: dict[str, Sides] = {}
    for measurement in measurements(config):
        changed = config.model_copy(update={"measurement": measurement})
        spec, head = circuit_of(changed), Head(mode=config.alpha_mode, focal_gamma=config.focal_gamma)
        engine = engine_of(config, spec, Objective(config.focal_gamma, config.alpha_mode), make)
        optimiser = make_optimiser(changed, steps)
        descent = descend(changed, prepared, optimiser, steps, seed, head, make=make)
        X, y = (part[:WATCHED_ROWS] for part in prepared.side("val"))
        first = spec.init(np.random.default_rng(seed), config.alpha_mode)
        trained[measurement] = {
            "start": _output(engine, first, X),
            "end": _output(engine, descent.params, X),
            "y": y,
            "descent": descent,
        }
    return trained


def _output(engine: Engine, params: Params, X: np.ndarray) -> Output:
    s = engine.scores(params, X)
    return {"s": s, "l": np.asarray(engine.objective.logit(s, params["bias"], params["alpha"]), dtype=float)}


def ranges(trained: dict[str, Sides]) -> pd.DataFrame:
    """Range and separation of s and of l, alpha and AUC: for each measurement before and after training."""
    rows = []
    for measurement, sides in trained.items():
        history = sides["descent"].history
        for when, output, k in (("start", sides["start"], 0), ("end", sides["end"], -1)):
            s, l = output["s"], output["l"]
            rows.append(
                {
                    "measurement": measurement,
                    "when": when,
                    "lowest s": s.min(),
                    "highest s": s.max(),
                    "lowest l": l.min(),
                    "highest l": l.max(),
                    "alpha": history["alpha"].iloc[k],
                    "sep of s": metrics.separation(s, sides["y"]),
                    "sep of l": metrics.separation(l, sides["y"]),
                    "AUC": metrics.auc(l, sides["y"]),
                }
            )
    return pd.DataFrame(rows)


def carried(trained: dict[str, Sides]) -> pd.DataFrame:
    """Contribution of the logit scale, per measurement: BCE (nats) of the trained model, of its scores with
    alpha = 1 and the best bias, of the untrained circuit with the best alpha and bias, and of the prior.
    """
    rows = {}
    for measurement, sides in trained.items():
        y = sides["y"]
        rows[measurement] = {
            "trained": metrics.bce(sides["end"]["l"], y),
            "trained circuit, alpha = 1": metrics.bce(
                sides["end"]["s"] + _best_bias(sides["end"]["s"], y), y
            ),
            "untrained circuit, best alpha": metrics.bce(_best_head(sides["start"]["s"], y), y),
            "prior alone": metrics.bce(np.full(len(y), np.log(y.mean() / (1 - y.mean()))), y),
        }
    return pd.DataFrame(rows).T


def _best_bias(s: np.ndarray, y: np.ndarray) -> float:
    """The bias at which mean sigmoid(s + b) is the prior: where the BCE's derivative in b is zero.

    By bisection.
    """
    low, high = -50.0, 50.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(-(s + middle)))) < y.mean() else (low, middle)
    return middle


def _best_head(s: np.ndarray, y: np.ndarray) -> np.ndarray:
    model = LogisticRegression(C=NO_HEAD, max_iter=1000).fit(s[:, None] / max(s.std(), 1e-12), y)
    logits: np.ndarray = model.decision_function(s[:, None] / max(s.std(), 1e-12))
    return logits


def judge_dead(jacobians: dict[tuple[str, str], Jacobian]) -> Verdict:
    """Is exactly the last RZ of each wire dead in the readout of `mean_z_readout`, with every ansatz?"""
    figures: dict[str, dict[str, Any]] = {}
    holds = True
    for (measurement, ansatz), j in jacobians.items():
        part = j.part("readout")
        figures[f"{measurement}, {ansatz}"] = {
            "parameters": len(part.names),
            "rank": part.rank,
            "dead": part.dead,
            "rank_of_all": j.rank,
            "all": len(j.names),
        }
        if measurement == "mean_z_readout":
            holds &= part.dead == [name for name in part.names if name.endswith(", 2]")] and part.rank == len(
                part.names
            ) - len(part.dead)
    shown = next(v for k, v in figures.items() if k.startswith("mean_z_readout"))
    text = f"{len(shown['dead'])} of the {shown['parameters']} readout angles move no score" + (
        ": the last RZ of each wire, which commutes with Z. The others are independent of each other; z_vec "
        "has no dead coefficient."
        if holds
        else (
            f" and the rank is {shown['rank']}: not the last RZ of each wire alone "
            f"({', '.join(shown['dead']) or 'none'})."
        )
    )
    tolerance = next(iter(jacobians.values())).floor
    return Verdict(
        "Are exactly n of the 3n readout angles of mean_z_readout dead?",
        answer(holds),
        figures,
        tolerance,
        text,
    )


def judge_alpha(table: pd.DataFrame) -> Verdict:
    """The research note's bottleneck: does a bounded score need alpha for its margin?

    Args:
        table: from `carried`; this package's measurements with scores in [-1, 1] count.
    """
    bounded = table.loc[[name for name, m in OF_WIRES.items() if not m.weighted]]
    loss = bounded["trained circuit, alpha = 1"] / bounded["trained"] - 1
    figures = {str(name): row for name, row in table.to_dict("index").items()}
    listed = ", ".join(f"{name} {value:+.0%}" for name, value in loss.items())
    text = (
        f"Without alpha (alpha = 1, best bias) the BCE of the trained circuits changes by: {listed}. The "
        "order of rows, and so AUC, is the same."
    )
    return Verdict(
        "Does a score in [-1, 1] leave the margin to alpha?",
        unanimous(bool(one > CARRIES) for one in loss),
        figures,
        CARRIES,
        text,
    )
