"""The arithmetic of explore.ipynb: one input at a time, and the checkpoint that a stopped training resumes
from.

The circuit is run for the score and its gradient; logit, loss and all other gradients follow from them by
the chain rule.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import expit

from qnb.config import EngineName, Layers, Sample, TrainConfig, Wires, training_of
from qnb.core.circuit import MEASUREMENTS, CircuitSpec, Params
from qnb.core.engine import Engine, Maker, score_gradient
from qnb.core.objective import Objective
from qnb.data.prepare import Prepared
from qnb.errors import ParameterError
from qnb.files import CHECKPOINT
from qnb.runs.folder import Run
from qnb.runs.listing import find_run
from qnb.runs.project import RunError, find_root
from qnb.training.state import circuit_of, engine_of

SCANNED = 61  # values of the moved feature at which the score is drawn


class ExploreConfig(TrainConfig):
    """explore.ipynb: a single-input explorer, then live training.

    The model is small by default, so that it follows the controls.
    """

    row: Annotated[int, Field(ge=0)] = 0
    """of the validation rows: the input shown first"""
    resume: str | None = None
    """id of a run of this notebook that was stopped, whose training goes on"""
    sample: Sample = 2_000
    wires: Wires = 4
    layers: Layers = 2
    engine: EngineName = "exact"

    def training(self) -> TrainConfig:
        """The configuration of the live training."""
        return training_of(self)


@dataclass(frozen=True)
class Hand:
    """The values of the controls.

    Attributes:
        measurement: one of `Bench.measurements`.
        row: the input, a row of the validation side.
        feature: its first feature: an angle in radians, or, with `amplitude`, the first entry of the vector.
        readout: the readout parameter that can be moved, the coefficient of the first word or the RY angle
            of wire 0 (radians); None where the measurement has none.
        gamma: of the focal loss.
        alpha: the scale of the head, not the raw parameter.
    """

    measurement: str
    row: int
    feature: float
    readout: float | None
    gamma: float
    alpha: float


@dataclass(frozen=True)
class InputResult:
    """The result for one input.

    Attributes:
        y: its label, 0 or 1.
        score, logit, probability: s, l = alpha (s + bias), sigmoid(l).
        loss: in nats.
        slope: d loss / d logit.
        gradient: of the loss, by group: weights (layers, *shape of a layer), readout (r,), scaling where it
            is trained, bias (), and alpha () with respect to alpha itself.
    """

    y: float
    score: float
    logit: float
    probability: float
    loss: float
    slope: float
    gradient: dict[str, np.ndarray]


@dataclass(frozen=True)
class Bench:
    """A circuit with its data, evaluated at the values of the controls.

    Attributes:
        config: the configuration; the controls may choose another measurement than its own.
        prepared: its data.
        params: trained parameters, for config.measurement only; None: initial ones, for every measurement.
        make: see `qnb.probes.subject.subject`.
    """

    config: TrainConfig
    prepared: Prepared
    params: Params | None = None
    make: Maker | None = None

    @property
    def measurements(self) -> tuple[str, ...]:
        """The measurements to choose from."""
        measurement = self.config.measurement
        return tuple(dict.fromkeys((*MEASUREMENTS, measurement))) if self.params is None else (measurement,)

    @cached_property
    def feature_range(self) -> tuple[float, float]:
        """Smallest and largest value of the first feature over the validation rows."""
        values = self.prepared.X["val"][:, 0]
        return float(values.min()), float(values.max())

    def start(self, row: int) -> Hand:
        """The values of the controls for `row` of the validation side, before anything is moved.

        Raises:
            ParameterError: there is no such row.
        """
        rows = len(self.prepared.y["val"])
        if row >= rows:
            raise ParameterError(f"row={row}: the validation side has {rows} rows, 0 to {rows - 1}.")
        objective = Objective(self.config.focal_gamma, self.config.alpha_mode)
        alpha = 1.0 if self.params is None else float(objective.alpha(self.params["alpha"]))
        hand = Hand(
            self.config.measurement,
            row,
            float(self.prepared.X["val"][row, 0]),
            None,
            self.config.focal_gamma,
            alpha,
        )
        return replace(hand, readout=self.readout_at_rest(hand.measurement))

    def readout_at_rest(self, measurement: str) -> float | None:
        """The value of the movable readout parameter before it is moved; None where there is none."""
        spec = self._spec(measurement)
        return float(self._resting(spec)["readout"][_under_hand(spec)]) if spec.has_readout else None

    def read(self, hand: Hand) -> InputResult:
        """Score, logit, loss and all gradients at the values of the controls."""
        engine, params = self._circuit(hand)
        x, y = self._input(hand), float(self.prepared.y["val"][hand.row])
        score, slopes = score_gradient(engine, params, x)
        bias = float(params["bias"])
        objective, logit = Objective(hand.gamma, "direct"), hand.alpha * (score + bias)
        slope = float(objective.slope(logit, y))
        gradient = {group: slope * hand.alpha * value for group, value in slopes.items()}
        gradient |= {"bias": np.asarray(slope * hand.alpha), "alpha": np.asarray(slope * (score + bias))}
        return InputResult(
            y=y,
            score=score,
            logit=logit,
            probability=float(expit(logit)),
            loss=float(objective.loss(logit, y)),
            slope=slope,
            gradient=gradient,
        )

    def scan(self, hand: Hand) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first feature over its range, and score and logit at each value: three arrays (SCANNED,)."""
        engine, params = self._circuit(hand)
        values = np.linspace(*self.feature_range, SCANNED)
        X = np.tile(self._input(hand), (SCANNED, 1))
        X[:, 0] = values
        scores = engine.scores(params, X)
        return values, scores, hand.alpha * (scores + float(params["bias"]))

    def _input(self, hand: Hand) -> np.ndarray:
        x = np.array(self.prepared.X["val"][hand.row])
        x[0] = hand.feature
        return x

    def _circuit(self, hand: Hand) -> tuple[Engine, Params]:
        spec = self._spec(hand.measurement)
        params = self._resting(spec)
        if hand.readout is not None:
            readout = np.array(params["readout"])
            readout[_under_hand(spec)] = hand.readout
            params = params | {"readout": readout}
        return engine_of(self.config, spec, _BCE, self.make), params

    def _spec(self, measurement: str) -> CircuitSpec:
        return replace(circuit_of(self.config), measurement=measurement)

    def _resting(self, spec: CircuitSpec) -> Params:
        return spec.init(self.config.seed) if self.params is None else self.params


def _under_hand(spec: CircuitSpec) -> int:
    """Entry of the readout that moves: w_0, the coefficient of the first word, or the RY angle of wire 0."""
    return 0 if spec.measured.weighted else 1


_BCE = Objective(0.0, "direct")


def going_on_from(run: Run) -> Path | None:
    """The folder whose checkpoint the training of `run` resumes from; None: it starts from the beginning.

    It is the run that `qnb run --resume` named, else the one that the parameter `resume` names, after the
    kernel was stopped. (A training cell that was stopped resumes by itself when it is run again.)

    Raises:
        RunError: `run` is not one of explore.ipynb; or `resume` names no such run, one without a finished
            epoch, or one with other parameters.
    """
    if run.resume_from is not None:
        return run.resume_from
    config = run.config
    if not isinstance(config, ExploreConfig):
        raise RunError(
            f"{run.id} is a run of {run.folder.parent.name}, whose parameters are not those of explore.ipynb."
        )
    if config.resume is None:
        return None
    root = find_root()
    entry = find_run(root, config.resume)
    folder: Path = root / entry["folder"]
    if entry["notebook"] != run.folder.parent.name:
        raise RunError(
            f"resume={config.resume!r} is a run of {entry['notebook']}; one of {run.folder.parent.name} was "
            "expected."
        )
    if not (folder / CHECKPOINT).exists():
        raise RunError(
            f"Run {entry['run_id']} has no checkpoint: no epoch of it was finished. Leave resume=None to "
            "begin."
        )
    parameters = json.loads(json.dumps(config.training().model_dump(mode="json")))
    changed = [name for name, value in parameters.items() if entry["parameters"].get(name) != value]
    if changed:
        raise RunError(
            f"Run {entry['run_id']} was asked otherwise: {', '.join(changed)}. Its training goes on with its "
            "own parameters only."
        )
    return folder
