"""Is the run reproducible? Checked before anything is changed, because retraining would silently repair
faults that are gone by then: of the compiler, stale scores, shifted rows.

Training is deterministic. So, on rows prepared again,

- the engine's scores and gradient must agree with the exact engine's, at the run's own parameters,
- the labels must be those of its checkpoint,
- the saved model must give the recorded AUC, and
- the first epoch, trained again on the run's own engine from its seed, must give the recorded history.

A failure is itself the finding. Scores or gradients that differ from the exact engine's mean `gradient`;
other labels mean `data`, and so does a saved model with another AUC, because the validation and test rows
are not those that were scored. If the AUCs agree but the first epoch differs, the saved model's objective on
the training rows decides: a wrong gradient leaves the recorded losses true, other rows or labels do not.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qnb.config import TrainConfig
from qnb.core.circuit import Params
from qnb.core.engine import WRONG_ON_PURPOSE, Engine, EngineError, make_engine
from qnb.core.gate import WrongGradientError, check_gradient
from qnb.data.prepare import Prepared
from qnb.errors import QnbError
from qnb.probes.subject import Subject
from qnb.training.loop import fit
from qnb.training.metrics import Row, auc
from qnb.training.state import batch_of, data_identity

SAME_AUC = 2e-3
SAME_LOSS = 2e-3  # relative, of a first epoch
NOISE = 10.0  # times what a relative change of 1e-6 of the gradient does to that epoch
SAME_SCORE, SAME_GRADIENT = 1e-3, 0.02  # relative, between an engine and the exact one in float64
OBJECTIVE = 0.05  # relative to its value at l = 0: what the course of an epoch leaves open of the objective
COMPARED = ("train_loss", "val_auc", "delta_weights", "grad_norm_weights")  # of the first epoch


@dataclass(frozen=True)
class Reproduction:
    """The outcome of `reproduce`.

    Attributes:
        status: reproduced | gradient | data | not recorded.
        sentences: what was compared and found, in words.
        figures: the numbers, by name.
        gradient_is_wrong: whether the engine's scores or gradient are wrong now, see `check_engine`.
    """

    status: str
    sentences: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    gradient_is_wrong: bool = False


def reproduce(case: Subject, engine: Engine | None = None) -> Reproduction:
    """Compare a run's record with what its own configuration gives now.

    Args:
        engine: the run's own engine, if it was made by hand; None: that of the case.
    """
    engine = engine or case.engine()
    wrong, sentence, figures = check_engine(case, engine)
    sentences = [sentence]
    recorded = case.params is not None or (case.history is not None and not case.history.empty)
    if wrong:
        return Reproduction("gradient", tuple(sentences), figures, gradient_is_wrong=True)
    if not recorded:
        return Reproduction("not recorded", tuple(sentences), figures)
    if case.identity is not None and case.identity["split"] != data_identity(case.prepared)["split"]:
        sentences.append("The labels that it was trained or scored on are not those of the table now.")
        return Reproduction("data", tuple(sentences), figures)
    aucs = _aucs(case, engine)
    figures |= {"auc_again": aucs}
    moved = [side for side, (then, now) in aucs.items() if not abs(then - now) <= SAME_AUC]
    for side, (then, now) in aucs.items():
        sentences.append(
            f"The saved model has {side} AUC {now:.4f} on rows prepared anew; recorded {then:.4f}."
        )
    if moved:
        sentences.append("The rows that were scored are not those of the table, or their scores were stale.")
        return Reproduction("data", tuple(sentences), figures)
    epoch = _first_epoch_again(case, engine)
    if epoch is None:
        return Reproduction("reproduced", tuple(sentences), figures)
    figures |= {"first_epoch": epoch}
    differing = [name for name, (then, now, allowed) in epoch.items() if not abs(then - now) <= allowed]
    if not differing:
        sentences.append("Its first epoch, trained again, gives the recorded history.")
        return Reproduction("reproduced", tuple(sentences), figures)
    name = differing[0]
    then, now, _ = epoch[name]
    sentences.append(f"Its first epoch, trained again, has {name} {now:.4g}; recorded {then:.4g}.")
    rows_differ, reason = _other_rows(case, engine)
    sentences.append(reason)
    return Reproduction("data" if rows_differ else "gradient", tuple(sentences), figures)


def check_engine(case: Subject, engine: Engine) -> tuple[bool, str, dict[str, Any]]:
    """(whether the engine's scores or gradient are wrong, the reason in words, figures).

    Checked by the gate and against the exact engine, at the run's trained parameters (its initial ones if it
    left no model). A refusal by the run's own gate, or an engine that is wrong on purpose, also counts.
    """
    config = case.config
    figures: dict[str, Any] = {"engine": engine.name}
    failure = str((case.manifest.get("failure") or {}).get("message", ""))
    if failure.startswith("The gradient of"):
        return True, f"The run's own gate refused its gradient: {failure}", figures
    if engine.name in WRONG_ON_PURPOSE:
        return True, f"The engine is {engine.name}: its gradient is wrong on purpose.", figures
    params = case.params or engine.spec.init(config.seed, config.alpha_mode)
    X, y, w = batch_of(config, case.prepared, np.arange(min(config.batch, len(case.prepared.y["train"]))))
    try:
        report = check_gradient(engine, params, X, y, w, seed=config.seed)
    except WrongGradientError as error:
        figures |= {"gate": "wrong", "group": error.group, "expected": error.expected, "found": error.found}
        return True, f"The gate refuses the gradient of {error.group}.", figures
    figures |= {"gate": report.verdict}
    try:
        worst = _against_exact(engine, params, (X, y, w), config)
        worst |= _scores_of_sides(engine, params, case.prepared)
    except EngineError as error:  # too large for it
        return (
            False,
            f"The gate: {report.verdict}. The exact engine cannot hold this circuit: {error}",
            figures,
        )
    figures |= {"against_exact": worst}
    wrong = [
        name
        for name, error in worst.items()
        if error > (SAME_SCORE if name.startswith("scores") else SAME_GRADIENT)
    ]
    if wrong:
        off = worst[wrong[0]]
        return True, f"Its {wrong[0]} differ from the exact engine's by {off:.2g}, relative.", figures
    return False, f"The gate: {report.verdict}; scores and gradients are the exact engine's.", figures


def _against_exact(engine: Engine, params: Params, batch: Any, config: TrainConfig) -> dict[str, float]:
    """Relative errors of scores and of the gradient by group, at the run's parameters and at its start."""
    exact = make_engine("exact", engine.spec, engine.objective, precision="float64")
    X, y, w = batch
    worst: dict[str, float] = {}
    for point in (params, engine.spec.init(config.seed, config.alpha_mode)):
        own, true = np.asarray(engine.scores(point, X)), exact.scores(point, X)
        size = max(1e-6, float(np.abs(engine.spec.coefficients(point["readout"])).sum()))
        errors = {"scores": float(np.abs(own - true).max()) / size}
        (_, grads), (_, right) = (e.loss_and_grad(point, X, y, w) for e in (engine, exact))
        logits = engine.objective.logit(true, point["bias"], point["alpha"])
        slope = float(np.mean(np.abs(w * np.asarray(engine.objective.slope(logits, y)))))
        floor = 1e-3 * slope * abs(float(engine.objective.alpha(point["alpha"]))) + 1e-12
        for name in right:
            error = float(np.linalg.norm(np.asarray(grads[name]) - right[name]))
            errors[f"gradients of {name}"] = error / (float(np.linalg.norm(right[name])) + floor)
        worst = {name: max(error, worst.get(name, 0.0)) for name, error in errors.items()}
    return worst


def _scores_of_sides(engine: Engine, params: Params, prepared: Prepared) -> dict[str, float]:
    """Relative error of the scores of validation and test rows: what is kept for them can be stale."""
    exact = make_engine("exact", engine.spec, engine.objective)
    size = max(1e-6, float(np.abs(engine.spec.coefficients(params["readout"])).sum()))
    errors = {}
    for side in ("val", "test"):
        X, _ = prepared.side(side)
        off = np.abs(np.asarray(engine.scores(params, X)) - exact.scores(params, X))
        errors[f"scores of {side} rows"] = float(off.max()) / size
    return errors


def _aucs(case: Subject, engine: Engine) -> dict[str, tuple[float, float]]:
    """AUC by side, recorded and now; empty where the run left no model."""
    if case.params is None:
        return {}
    sign = 1 if float(engine.objective.alpha(case.params["alpha"])) >= 0 else -1
    aucs = {}
    for side in ("val", "test"):
        then = case.metrics.get(f"{side}_auc")
        if then is not None:
            X, y = case.prepared.side(side)
            aucs[side] = (float(then), auc(sign * np.asarray(engine.scores(case.params, X)), y))
    return aucs


class _Enough(Exception):
    """The first epoch is over."""


def _first_epoch(config: TrainConfig, prepared: Prepared, engine: Engine) -> Row | None:
    rows: list[Row] = []

    def stop(history: list[Row]) -> None:
        rows.extend(history)
        raise _Enough

    ungated = TrainConfig.make(dict(config) | {"gate": "off", "preflight_compile": False})
    try:
        fit(ungated, prepared, progress=False, on_epoch=stop, engine=engine)
    except _Enough:
        return rows[0]
    except QnbError:  # diverged in its first epoch, as a run may
        return None
    return None


def _first_epoch_again(case: Subject, engine: Engine) -> dict[str, tuple[float, float, float]] | None:
    """Figures of the first epoch: recorded, now, and how far apart they may be; None where none was recorded.

    Where they differ by more than rounding leaves, the epoch is trained once more with the gradient off by
    1e-6: a chaotic training (a rate that is far too large) does not repeat on another machine.
    """
    if case.history is None or case.history.empty:
        return None
    then = case.history.iloc[0]
    names = [n for n in COMPARED if n in then and np.isfinite(then[n])]
    again = _first_epoch(case.config, case.prepared, engine)
    if again is None:
        return None
    allowed = {n: SAME_AUC if n == "val_auc" else SAME_LOSS * abs(float(again[n])) for n in names}
    if any(abs(float(then[n]) - float(again[n])) > allowed[n] for n in names):
        shaken = _first_epoch(case.config, case.prepared, _Shaken(engine, case.config.seed))
        for n in names:
            if shaken is not None:
                allowed[n] += NOISE * abs(float(shaken[n]) - float(again[n]))
    return {n: (float(then[n]), float(again[n]), allowed[n]) for n in names}


class _Shaken:
    """An engine whose gradients are off by 1e-6, relative."""

    def __init__(self, engine: Engine, seed: int):
        self._engine, self._rng = engine, np.random.default_rng(seed)
        self.name, self.spec, self.objective, self.dtype = (
            engine.name,
            engine.spec,
            engine.objective,
            engine.dtype,
        )

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """As the engine's."""
        return self._engine.scores(params, X)

    def compile(self, batch: int) -> float:
        """As the engine's."""
        return self._engine.compile(batch)

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """As the engine's, the gradient shaken."""
        loss, grads = self._engine.loss_and_grad(params, X, y, w)
        return loss, {
            name: np.asarray(g) * (1 + 1e-6 * self._rng.standard_normal(np.shape(g)))
            for name, g in grads.items()
        }


def _other_rows(case: Subject, engine: Engine) -> tuple[bool, str]:
    """Whether the recorded losses are of other training rows than those prepared now, and why."""
    if case.params is None or case.history is None:
        return True, "There is no saved model that would tell other rows from another gradient."
    X, y, w = batch_of(case.config, case.prepared, np.arange(len(case.prepared.y["train"])))
    loss = float(engine.objective.batch_loss(case.params, np.asarray(engine.scores(case.params, X)), y, w))
    at_zero = float(np.mean(w * np.asarray(engine.objective.loss(np.zeros_like(y), y))))
    history = case.history.reset_index(drop=True)
    best = int(case.metrics.get("best_epoch", history["epoch"].iloc[-1]))
    near = history[(history["epoch"] >= best) & (history["epoch"] <= best + 1)]["train_loss"]
    low, high = float(near.min()), float(near.max())
    allowed = OBJECTIVE * at_zero
    differs = not low - allowed <= loss <= high + allowed
    reason = (
        f"The saved model's objective on the training rows is {loss:.4f}, where {low:.4f} to {high:.4f} was "
    )
    reason += (
        "recorded: the rows or labels that trained are not these."
        if differs
        else ("recorded: these rows trained, by another gradient.")
    )
    return differs, reason
