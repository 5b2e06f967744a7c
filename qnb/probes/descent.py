"""A short training recorded step by step, for questions that need a finer resolution than epochs."""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import pandas as pd

from qnb.config import TrainConfig
from qnb.core.circuit import ALPHA_FLOOR, Params, of_circuit
from qnb.core.engine import Engine, Maker
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective
from qnb.data.prepare import Prepared
from qnb.errors import ParameterError
from qnb.training import metrics
from qnb.training.batches import epoch_batches
from qnb.training.optimiser import make_step
from qnb.training.state import circuit_of, engine_of

WATCHED_ROWS = 256  # validation rows scored after each step


@dataclass(frozen=True)
class Head:
    """The head of a short training.

    Attributes:
        alpha, bias: initial values; alpha is the factor, not the raw parameter.
        mode: alpha_mode, "softplus" or "direct".
        focal_gamma: of the loss.
    """

    alpha: float = 1.0
    bias: float = 0.0
    mode: str = "softplus"
    focal_gamma: float = 0.0

    def params(self) -> Params:
        """The head's parameters, alpha (raw) and bias, each ().

        Raises:
            ParameterError: softplus cannot give this alpha.
        """
        if self.mode == "softplus" and self.alpha <= ALPHA_FLOOR:
            raise ParameterError(
                f"alpha = {self.alpha}: with alpha_mode='softplus' it is larger than {ALPHA_FLOOR}."
            )
        raw = np.log(np.expm1(self.alpha - ALPHA_FLOOR)) if self.mode == "softplus" else self.alpha
        return {"alpha": np.asarray(raw, dtype=np.float64), "bias": np.asarray(self.bias, dtype=np.float64)}


@dataclass(frozen=True)
class Descent:
    """A short training.

    Attributes:
        params: at its end.
        scores, y: final scores (B,) and labels (B,) of the watched rows, the first WATCHED_ROWS to validate.
        history: row k is the state after k steps, k >= 0, on the watched rows: step; loss, the objective
            (nats); alpha, bias; auc and sep of the logits, auc_s of the scores, bce (unweighted, nats),
            mean_abs_logit; distance of the circuit's parameters from their initial values.
    """

    params: Params
    scores: np.ndarray
    y: np.ndarray
    history: pd.DataFrame


def descend(
    config: TrainConfig,
    prepared: Prepared,
    optimiser: optax.GradientTransformation,
    steps: int,
    seed: int,
    head: Head,
    circuit: Params | None = None,
    make: Maker | None = None,
) -> Descent:
    """Train the circuit of `config` with equal row weights; with gate="on" the gradient is checked before
    the first step.

    Args:
        config: its circuit, engine, device, batch and `gate` are used.
        optimiser: for all parameter groups.
        steps: number of optimiser steps.
        seed: of the initial circuit and the batches.
        head: initial alpha and bias, and the loss.
        circuit: circuit parameters to start from, instead of random ones.
        make: see `qnb.probes.subject.subject`.

    Raises:
        WrongGradientError: the gate found the gradient wrong.
        ParameterError: softplus cannot give the head's alpha, or `make` gives an engine of another model.
    """
    objective, spec = Objective(head.focal_gamma, head.mode), circuit_of(config)
    engine = engine_of(config, spec, objective, make)
    rng = np.random.default_rng(seed)
    (of_batches,) = rng.spawn(1)  # as in training: the same batches for circuits of any shape
    params = spec.init(rng, head.mode) | head.params() | (circuit or {})
    first, state, step = params, optimiser.init(params), make_step(optimiser)
    (X, y), (X_val, y_val) = prepared.side("train"), prepared.side("val")
    watched = (X_val[:WATCHED_ROWS], y_val[:WATCHED_ROWS])
    ones, rows = np.ones(config.batch), [_watch(engine, params, first, watched)]
    for k, batch in enumerate(epoch_batches(y, config.batch, steps, of_batches)):
        if k == 0 and config.gate == "on":
            check_gradient(engine, params, X[batch], y[batch], ones, seed=seed)
        _, grads = engine.loss_and_grad(params, X[batch], y[batch], ones)
        moved, state = step(params, state, grads)
        params = jax.tree.map(np.asarray, moved)
        rows.append(_watch(engine, params, first, watched))
    history = pd.DataFrame(rows).rename_axis("step").reset_index()
    return Descent(params, engine.scores(params, watched[0]), watched[1], history)


def _watch(
    engine: Engine, params: Params, first: Params, watched: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    X, y = watched
    objective, scores = engine.objective, engine.scores(params, X)
    logits = np.asarray(objective.logit(scores, params["bias"], params["alpha"]), dtype=np.float64)
    squared = sum(float(np.sum((params[group] - first[group]) ** 2)) for group in of_circuit(params))
    return {
        "loss": float(np.mean(objective.loss(logits, y))),
        "alpha": float(objective.alpha(params["alpha"])),
        "bias": float(params["bias"]),
        "auc": metrics.auc(logits, y),
        "sep": metrics.separation(logits, y),
        "auc_s": metrics.auc(scores, y),
        "bce": metrics.bce(logits, y),
        "mean_abs_logit": float(np.mean(np.abs(logits))),
        "distance": float(np.sqrt(squared)),
    }
