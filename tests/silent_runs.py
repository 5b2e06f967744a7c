"""A table that a small circuit learns in 240 steps, runs of it as a diagnosis meets them, and engines made by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd

from qnb.core.engine import make_engine
from qnb.data.prepare import Prepared
from qnb.probes.subject import Subject
from qnb.training.loop import fit
from qnb.training.metrics import auc
from qnb.training.state import circuit_of, data_identity, objective_of

SOUND = {"engine": "exact", "wires": 3, "layers": 3, "batch": 64, "epochs": 8, "fixed_num_batches": 30}


def ring(rows=900, seed=0):
    """Three features, uniform as quantile-mapped ones are; the label is a blurred ball in the middle."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(size=(rows, 3))
    u[:2] = [[0.0] * 3, [1.0] * 3]  # training reaches both ends
    score = 0.33 - np.hypot(u[:, 0] - 0.5, u[:, 1] - 0.5) + 0.2 * (u[:, 2] - 0.5) + 0.06 * rng.standard_normal(rows)
    sides = dict(zip(("train", "val", "test"), np.split(np.arange(rows), [rows * 6 // 10, rows * 8 // 10]), strict=True))
    return Prepared(
        {k: np.pi * u[rows] for k, rows in sides.items()},
        {k: (score[rows] > 0).astype(float) for k, rows in sides.items()},
        None,
        {},
    )


def of_range(prepared, low, high):
    """The same rows, their angles between low and high (rad)."""
    return replace(prepared, X={k: low + (high - low) * x / np.pi for k, x in prepared.X.items()})


class ByHand:
    """An exact engine of its configuration whose scores or gradients go through a function first."""

    name = "by hand"

    def __init__(self, config, gradient=lambda grads: grads, scores=lambda scores, params, X: scores):
        self._engine = make_engine("exact", circuit_of(config), objective_of(config))
        self.spec, self.objective, self.dtype = self._engine.spec, self._engine.objective, self._engine.dtype
        self._gradient, self._scores = gradient, scores

    def scores(self, params, X):
        return self._scores(self._engine.scores(params, X), params, X)

    def loss_and_grad(self, params, X, y, w):
        loss, grads = self._engine.loss_and_grad(params, X, y, w)
        return loss, self._gradient(grads)

    def compile(self, batch):
        return self._engine.compile(batch)


def run_of(config, trained_on, truth=None, engine=None):
    """A finished run.

    Args:
        trained_on: its rows, as they were in that process.
        truth: what preparing its data anew gives, where that is something else.
        engine: one made by hand, that trained and scored.
    """
    fitted = fit(config, trained_on, progress=False, engine=engine)
    scores = {side: fitted.engine.scores(fitted.best, trained_on.X[side]) for side in ("val", "test")}
    metrics = {f"{side}_auc": auc(s, trained_on.y[side]) for side, s in scores.items()}
    return Subject(
        config,
        truth or trained_on,
        note="",
        said="",
        run_id="a run",
        params=fitted.best,
        history=pd.DataFrame(fitted.state.history),
        metrics=metrics | {"best_epoch": fitted.state.best_epoch},
        identity=data_identity(trained_on),
    )
