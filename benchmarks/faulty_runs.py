"""Runs with a silent fault, as a diagnosis meets them: made here, with the fault, and diagnosed from what they leave."""

from dataclasses import replace

import numpy as np
import pandas as pd

from qnb.core.engine import make_engine
from qnb.probes.subject import Subject
from qnb.training.loop import fit
from qnb.training.metrics import auc
from qnb.training.state import circuit_of, data_identity, objective_of


class ByHand:
    """An exact engine of its configuration whose scores or gradients go through a function first."""

    name = "by hand"

    def __init__(self, config, gradient=lambda grads: grads, scores=lambda scores, X: scores):
        self._engine = make_engine("exact", circuit_of(config), objective_of(config))
        self.spec, self.objective, self.dtype = self._engine.spec, self._engine.objective, self._engine.dtype
        self._gradient, self._scores = gradient, scores

    def scores(self, params, X):
        return self._scores(self._engine.scores(params, X), X)

    def loss_and_grad(self, params, X, y, w):
        loss, grads = self._engine.loss_and_grad(params, X, y, w)
        return loss, self._gradient(grads)

    def compile(self, batch):
        return self._engine.compile(batch)


class FirstRow:
    """The other one-sample law: the gradient of the batch's first row (`one_sample_demo` is that of its last)."""

    name = "by hand"

    def __init__(self, config):
        self._engine = make_engine("one_sample_demo", circuit_of(config), objective_of(config))
        self.spec, self.objective, self.dtype = self._engine.spec, self._engine.objective, self._engine.dtype
        self.scores, self.compile = self._engine.scores, self._engine.compile

    def loss_and_grad(self, params, X, y, w):
        return self._engine.loss_and_grad(params, X[::-1], y[::-1], w[::-1])


def run_of(config, trained_on, truth=None, engine=None, baselines=None):
    """A finished run.

    Args:
        trained_on: its rows, as they were in that process.
        truth: what preparing its data anew gives, where that is something else.
        engine: one made by hand, that trained and scored.
        baselines: of metrics.json.
    """
    fitted = fit(config, trained_on, progress=False, engine=engine)
    scores = {side: fitted.engine.scores(fitted.best, trained_on.X[side]) for side in ("val", "test")}
    metrics = {f"{side}_auc": auc(s, trained_on.y[side]) for side, s in scores.items()}
    metrics |= {"best_epoch": fitted.state.best_epoch} | ({"baselines": baselines} if baselines else {})
    return Subject(
        config,
        truth or trained_on,
        note="",
        said="",
        run_id="a run",
        params=fitted.best,
        history=pd.DataFrame(fitted.state.history),
        metrics=metrics,
        identity=data_identity(trained_on),
    )


def of_range(prepared, low, high):
    """The same rows, their angles between low and high (rad), where they were between 0 and pi."""
    return replace(prepared, X={k: low + (high - low) * x / np.pi for k, x in prepared.X.items()})


def shuffled(prepared, sides, share=1.0, seed=1):
    """The labels of a share of the rows of these sides permuted among themselves."""
    rng = np.random.default_rng(seed)

    def some(y):
        rows = np.flatnonzero(rng.uniform(size=len(y)) < share)
        y = y.copy()
        y[rows] = rng.permutation(y[rows])
        return y

    return replace(prepared, y={k: some(y) if k in sides else y for k, y in prepared.y.items()})


def permuted(prepared, sides):
    """The features of these sides in another order."""
    return replace(prepared, X={k: np.roll(x, 1, axis=1) if k in sides else x for k, x in prepared.X.items()})


def constant(prepared, wires):
    """The first wires fed a constant."""
    return replace(
        prepared, X={k: np.where(np.arange(x.shape[1]) < wires, 0.0, x) for k, x in prepared.X.items()}
    )


def cut(prepared, rows):
    """The first training rows alone."""
    return replace(
        prepared,
        X=prepared.X | {"train": prepared.X["train"][:rows]},
        y=prepared.y | {"train": prepared.y["train"][:rows]},
    )
