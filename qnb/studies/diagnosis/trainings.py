"""The trainings of a diagnosis: one set of changes at a time, from every seed, none trained twice."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from qnb.config import TrainConfig
from qnb.core.engine import DEFAULT_DEVICE, Engine
from qnb.data.prepare import Prepared
from qnb.studies.diagnosis.components import (
    COMPONENTS,
    batches_of,
    changed,
    reference_of,
    same_angles,
    with_reference_angles,
)
from qnb.training.loop import fit_together
from qnb.training.metrics import Row, auc
from qnb.training.state import TrainingRun
from qnb.training.train import fit_all

EXACT = {"engine": "exact", "device": DEFAULT_DEVICE, "gate": "on"}


@dataclass(frozen=True)
class Trained:
    """A configuration trained from every seed.

    Attributes:
        config: of the first seed.
        val, test: AUC by seed, (S,), at the epoch that the configuration selects.
        logits: by seed, (B,) of the test rows, at that epoch.
        histories: by seed, one row per epoch.
        failures: by seed, the error that ended it early, or None.
    """

    config: TrainConfig
    val: np.ndarray
    test: np.ndarray
    logits: list[np.ndarray]
    histories: list[list[Row]]
    failures: list[str | None]


class Trainings:
    """All trainings of one diagnosis.

    Args:
        config, prepared: of the case.
        seeds: how many, from the run's own on.
        own: the run's own engine, if its gradient is wrong; `gradient` is then a change like any other.
            None: everything trains on the exact engine.
        progress: whether to show the progress bar.
    """

    def __init__(
        self,
        config: TrainConfig,
        prepared: Prepared,
        seeds: int,
        own: Engine | None = None,
        progress: bool = True,
    ):
        self.config, self.prepared, self.own = config, prepared, own
        self.seeds = range(config.seed, config.seed + seeds)
        self.batches = batches_of(config, prepared)
        self._done: dict[frozenset[str], Trained] = {}
        self._angles: Prepared | None = None
        self._planned = 0
        self._bar = tqdm(
            total=0, unit="training", file=sys.stdout, mininterval=1.0, ncols=100, disable=not progress
        )

    def at_reference(self, name: str) -> bool:
        """Whether the component is at its reference, so that changing it would give the same training."""
        if name == "gradient":
            return self.own is None
        if reference_of(self.config, name, self.batches):
            return False
        return name != "encoding" or same_angles(self.prepared, self._reference_angles())

    def of(self, names: Iterable[str] = ()) -> Trained:
        """The training with these components at their reference and the others unchanged.

        Raises:
            ParameterError: a reference contradicts the rest of the configuration.
            WrongGradientError: the exact engine's gradient is wrong.
        """
        key = frozenset(name for name in names if not self.at_reference(name))
        if key not in self._done:
            self._done[key] = self._train(tuple(name for name in COMPONENTS if name in key))
        return self._done[key]

    def announce(self, trainings: int) -> None:
        """Add this many configurations to the progress bar's total."""
        self._planned += trainings * len(self.seeds)
        self._bar.total = self._planned
        self._bar.refresh()

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def _reference_angles(self) -> Prepared:
        if self._angles is None:
            config = changed(self.config, ("gradient", "encoding"), self.batches)
            self._angles = with_reference_angles(self.prepared, config)
        return self._angles

    def _train(self, names: tuple[str, ...]) -> Trained:
        prepared = self._reference_angles() if "encoding" in names else self.prepared
        on_own = self.own is not None and "gradient" not in names
        config = changed(self.config, tuple(name for name in names if name != "gradient"), self.batches)
        fixed = {"preflight_compile": False, "abort_on_degen": False} | ({"gate": "off"} if on_own else EXACT)
        configs = [TrainConfig.make(dict(config) | fixed | {"seed": seed}) for seed in self.seeds]
        self._bar.set_description(f"{', '.join(names) or 'as it is'}")
        if on_own:
            runs = [fit_together([c], [prepared], progress=False, engine=self.own)[0] for c in configs]
        else:
            runs = fit_all(configs, [prepared] * len(configs), progress=False)
        self._bar.update(min(len(runs), self._planned - self._bar.n))
        return _trained(configs[0], runs)


def _trained(config: TrainConfig, runs: Sequence[TrainingRun]) -> Trained:
    logits = {side: [_logits(run, side) for run in runs] for side in ("val", "test")}
    aucs = {
        side: np.array([auc(l, run.prepared.y[side]) for l, run in zip(of_side, runs, strict=True)])
        for side, of_side in logits.items()
    }
    return Trained(
        config,
        aucs["val"],
        aucs["test"],
        logits["test"],
        [run.state.history for run in runs],
        [None if run.failure is None else str(run.failure) for run in runs],
    )


def _logits(run: TrainingRun, side: str) -> np.ndarray:
    """(B,); all 0, whose AUC is 0.5, where the training diverged before its first evaluation."""
    params, X = run.state.best_params, run.prepared.X[side]
    if params is None:
        return np.zeros(len(X))
    return np.asarray(run.objective.logit(run.engine.scores(params, X), params["bias"], params["alpha"]))
