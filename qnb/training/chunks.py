"""Epochs in chunks, on an engine that takes many steps as one program, for one run or several together.

A chunk is sized to take about HALF_SECOND (s), so that the progress bar moves and an interrupt gets through.
Results do not depend on where chunks end: the program is the same for any number of steps.
"""

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from qnb.core.circuit import Params
from qnb.core.engine import TakesSteps
from qnb.core.gate import Batch
from qnb.core.replay import replayed
from qnb.core.steps import Steps
from qnb.training.optimiser import OptimiserState, make_step
from qnb.training.state import TrainingRun

HALF_SECOND = 0.5
FIRST = 8  # steps of the first chunk, at most: each is taken again by the gate

# where an epoch ended; per step the loss (T,) and gradient norms (T, groups)
Epoch = tuple[Params, OptimiserState, np.ndarray, np.ndarray]


class Chunks:
    """The program that trains `runs`; for the gate, an engine whose gradient is that of this program.

    Attributes:
        step_seconds: time per step of the last timed call (s); infinite before the first.
    """

    def __init__(self, runs: Sequence[TrainingRun], engine: TakesSteps):
        self.runs, self.engine = runs, engine
        self.name, self.spec, self.objective = engine.name, engine.spec, engine.objective
        self.dtype, self.scores = engine.dtype, engine.scores
        self.update, self.together = runs[0].optimiser.update, len(runs) > 1
        self.step_seconds, self.unchecked = np.inf, any(run.config.gate == "on" for run in runs)

    def compile(self, batch: int) -> float:
        """Compile what the runs need, for batches of `batch` rows; returns the seconds it took."""
        started = time.perf_counter()
        rows = np.arange(batch) % min(len(run.prepared.y["train"]) for run in self.runs)
        self.engine.take_steps(self.update, *self._start(), *self._columns([[rows]] * len(self.runs)))
        self.scores(self.runs[0].state.params, self.runs[0].prepared.X["val"])
        return time.perf_counter() - started

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`; for a single run."""
        chunk = self._timed(params, self._start()[1], X[None], y[None], w[None])
        return float(chunk.losses[0]), chunk.gradient

    def loss_and_grad_many(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[np.ndarray, Params]:
        """See `qnb.core.engine.EngineOfMany`."""
        chunk = self._timed(params, self._start()[1], X[None], y[None], w[None])
        return chunk.losses[0], chunk.gradient

    def train(self, drawn: Sequence[Sequence[np.ndarray]], bar: "tqdm[Any]") -> list[Epoch]:
        """Train every run for one epoch.

        Args:
            drawn: per run, the row indices of each batch, (batch,).
            bar: advanced by one for each step.

        Returns:
            Per run, its parameters, optimiser state, losses (T,) and gradient norms (T, groups).

        Raises:
            WrongGradientError: the gate is on, and the first chunk differs from its steps taken one by one.
        """
        (params, optimiser), (count,) = self._start(), {len(batches) for batches in drawn}
        losses, norms, done = [], [], 0
        while done < count:
            most = self.engine.steps_at_once(self.runs[0].config.batch, len(self.runs))
            length = max(1, min(count - done, most, FIRST if self.unchecked else most, self._steps_in_time()))
            columns = self._columns([batches[done : done + length] for batches in drawn])
            if self.unchecked:
                step = make_step(self.runs[0].optimiser, self.together)
                chunk = replayed(self.engine, self.update, step, params, optimiser, *columns)
                self.unchecked = False
            else:
                chunk = self._timed(params, optimiser, *columns)
            params, optimiser = chunk.params, chunk.optimiser
            losses.append(chunk.losses)
            norms.append(chunk.norms)
            done += length
            bar.update(length)
        return self._apart(params, optimiser, np.concatenate(losses), np.concatenate(norms))

    def _steps_in_time(self) -> int:
        return 1 if np.isinf(self.step_seconds) else int(HALF_SECOND / self.step_seconds)

    def _timed(self, params: Params, optimiser: OptimiserState, *columns: np.ndarray) -> Steps:
        started = time.perf_counter()
        steps = self.engine.take_steps(self.update, params, optimiser, *columns)
        self.step_seconds = (time.perf_counter() - started) / len(columns[0])
        return steps

    def _start(self) -> tuple[Params, OptimiserState]:
        """Where the runs stand; of several, with an axis of runs in front."""
        states = [(run.state.params, run.state.optimiser) for run in self.runs]
        if not self.together:
            return states[0]
        stacked: tuple[Params, OptimiserState] = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        return stacked

    def _columns(self, drawn: Sequence[Sequence[np.ndarray]]) -> Batch:
        """X, y and w of batches (T, ...), of several runs (T, S, ...)."""
        of_runs = [
            [np.stack(column) for column in zip(*map(run.batch, batches), strict=True)]
            for run, batches in zip(self.runs, drawn, strict=True)
        ]
        if not self.together:
            X, y, w = of_runs[0]
        else:
            X, y, w = (np.stack(column, axis=1) for column in zip(*of_runs, strict=True))
        return X, y, w

    def _apart(
        self, params: Params, optimiser: OptimiserState, losses: np.ndarray, norms: np.ndarray
    ) -> list[Epoch]:
        if not self.together:
            return [(params, optimiser, losses, norms)]
        take = [jax.tree.map(lambda leaf, k=k: leaf[k], (params, optimiser)) for k in range(len(self.runs))]
        return [(*of_run, losses[:, k], norms[:, :, k]) for k, of_run in enumerate(take)]
