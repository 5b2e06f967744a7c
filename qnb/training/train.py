"""Training from a configuration to its metrics: prepare, fit, restore the best epoch, choose the threshold,
test once.

`train(config)` does all of it; a notebook calls `prepare` first, to show the data before training starts.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnb import own
from qnb.config import TrainConfig
from qnb.core.circuit import Params
from qnb.core.engine import Engine, by_hand, make_engine, require_model, steady_scores, takes_steps
from qnb.core.gate import GateReport
from qnb.data.prepare import Prepared, prepare, prepare_all
from qnb.data.splits import SIDES
from qnb.errors import QnbError
from qnb.statistics.auc import MIN_EFFECT, AUCInterval, against, auc_difference, auc_interval
from qnb.training import metrics
from qnb.training.baselines import fit_baselines, trivial
from qnb.training.divergence import divergence
from qnb.training.loop import OnEpoch, begin, compile_ahead, finish, fit_together, interruptible, shape
from qnb.training.model import Model
from qnb.training.progress import still_improving
from qnb.training.state import TrainingRun, circuit_of, objective_of
from qnb.training.twin import Functions, functions_of


@dataclass
class TrainResult:
    """The result of a training.

    Attributes:
        model: of the best epoch, with its decision threshold.
        prepared: the data it was trained on.
        history: one row per epoch; see `qnb.training.loop.fit`.
        params: of the best epoch: weights, readout, bias, alpha (raw), and scaling where it is trained.
        metrics: the content of metrics.json: figures by name, with dicts for intervals and `baselines`.
        gate, gate_trained: gradient check at the initial and at the trained parameters; None with
            gate="off". `gate` is also None where a checkpoint left no step to take.
        logits: by side, "val" and "test", (B,).
        baseline_logits: by baseline, its test logits (B,).
    """

    config: TrainConfig
    model: Model
    prepared: Prepared
    history: pd.DataFrame
    metrics: dict[str, Any]
    gate: GateReport | None
    gate_trained: GateReport | None
    logits: dict[str, np.ndarray]
    baseline_logits: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def params(self) -> Params:
        """Parameters of the best epoch."""
        return self.model.params

    def save(self, folder: str | Path) -> Path:
        """Save the model into `folder`, for `qnb.load_model`.

        Raises:
            ModelError: there is another model in that folder.
        """
        return self.model.save(folder)


def train(
    config: TrainConfig,
    prepared: Prepared | None = None,
    folder: str | Path | None = None,
    resume_from: str | Path | None = None,
    progress: bool = True,
    on_epoch: OnEpoch | None = None,
    engine: Engine | None = None,
) -> TrainResult:
    """Train `config` and evaluate the best epoch.

    Args:
        prepared: the data, if `prepare(config)` has been called already.
        folder: history.csv and checkpoint.npz are written there after every epoch. If training was stopped,
            the same call resumes from the checkpoint. A run folder accepts only its own parameters.
        resume_from: a folder with a checkpoint of the same configuration; training resumes after its last
            epoch and ends with bit-identical parameters.
        progress: whether to show the progress bar.
        on_epoch: called with the history so far after every epoch; what it raises ends the training.
        engine: an engine made by hand for the circuit and the head that `config` describes: with another
            precision, a custom loss, or a class of your own.

    Raises:
        ParameterError, DataError: `engine` is of another circuit or head, the configuration or the table
            cannot be used, or `prepared` is of another configuration.
        EngineError: the engine cannot compile or run the circuit.
        RunError: `folder` is that of a run with other parameters.
        CheckpointError: the checkpoint is of another configuration, or of other data.
        WrongGradientError: the gate found the engine's gradient wrong.
        TrainingDiverged: a loss or a parameter became NaN or infinite.
        DegenerateError: an epoch is degenerate and `abort_on_degen` is set.
        TrainingInterrupted: a KeyboardInterrupt that says after which epoch.
    """
    _require_agreement([config], engine)
    if prepared is None:
        if engine is None:
            compile_ahead(config)
        prepared = prepare(config)
    run = begin(config, prepared, folder, resume_from, progress, engine)
    with _beside() as beside:
        baselines = beside.submit(_baselines, prepared, config, {})
        finish(run, folder, progress, on_epoch)
        with interruptible(run, folder):
            return _result(run, baselines.result())


def _require_agreement(configs: Sequence[TrainConfig], engine: Engine | None) -> None:
    if engine is not None:
        for config in configs:
            require_model(engine, circuit_of(config), objective_of(config))


def train_all(
    configs: Sequence[TrainConfig], progress: bool = True, engine: Engine | None = None
) -> list[TrainResult | QnbError]:
    """Train many configurations; `engine` as in `train`, for all of them.

    Those of one `qnb.training.loop.shape` train together where the engine can do so. Shared data, and the
    baselines on them, are computed once. Each ends as with `train`, up to the rounding of the engine.

    The results hold their data, one object for all of the same table and split: memory grows with the number
    of different splits, and hardly with that of trainings.

    Returns:
        In the order of `configs`, the result, or the error of a training that diverged or was degenerate
        with `abort_on_degen`.

    Raises:
        ParameterError, DataError, EngineError, WrongGradientError: as `train`.
    """
    _require_agreement(configs, engine)
    prepared = prepare_all(configs)
    done: Done = {}
    with _beside() as beside:
        baselines = [
            beside.submit(_baselines, data, c, done) for c, data in zip(configs, prepared, strict=True)
        ]
        fitted = fit_all(configs, prepared, progress, engine)
        return [
            run.failure or _result(run, future.result())
            for run, future in zip(fitted, baselines, strict=True)
        ]


@contextmanager
def _beside() -> Iterator[Executor]:
    """A thread for the baselines: they take one core, and what trains leaves one.

    What has not begun when the training is stopped is not begun.
    """
    thread = ThreadPoolExecutor(1, "baselines")
    try:
        yield thread
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def fit_all(
    configs: Sequence[TrainConfig],
    prepared: Sequence[Prepared],
    progress: bool = True,
    engine: Engine | None = None,
) -> list[TrainingRun]:
    """Train each configuration on its own data, those of one shape together where the engine can do so.

    A run that diverges, or is degenerate with `abort_on_degen`, stops with its error in `failure`. No
    baselines are fitted.

    Raises:
        ParameterError, EngineError, WrongGradientError: as `train`.
    """
    fitted: dict[int, TrainingRun] = {}
    for members in _cohorts(configs, prepared, engine):
        chosen = [configs[i] for i in members], [prepared[i] for i in members]
        together = fit_together(*chosen, progress, engine)
        fitted |= dict(zip(members, together, strict=True))
    return [fitted[i] for i in range(len(configs))]


def _cohorts(
    configs: Sequence[TrainConfig], prepared: Sequence[Prepared], engine: Engine | None
) -> list[list[int]]:
    """Positions of the configurations that train together: of one shape, and as many at a time as pay."""
    of_shape: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, (config, data) in enumerate(zip(configs, prepared, strict=True)):
        of_shape[shape(config, data)].append(i)
    cohorts: list[list[int]] = []
    for (
        name,
        device,
        spec,
        objective,
        *_,
    ), members in of_shape.items():  # an engine is asked for once a shape
        cohort_engine = engine or make_engine(name, spec, objective, device)
        at_once = cohort_engine.runs_at_once(configs[members[0]].batch) if takes_steps(cohort_engine) else 1
        cohorts += [cohort.tolist() for cohort in np.array_split(members, math.ceil(len(members) / at_once))]
    return cohorts


ALL = slice(None)  # every row
# baselines by the data, the name, what a twin is made of, and the rates of its threshold
Done = dict[tuple[int, str, Functions | None, tuple[float, float]], dict[str, metrics.Row]]


def _baselines(prepared: Prepared, config: TrainConfig, done: Done) -> dict[str, metrics.Row]:
    """The baselines that the configuration names; those `done` are not fitted again."""
    train, val, test = (prepared.side(name) for name in SIDES)
    functions, rates = functions_of(circuit_of(config)), (config.min_pred_pos_rate, config.max_pred_pos_rate)
    scores: dict[str, metrics.Row] = {}
    for name in config.baselines:
        key = id(prepared), name, functions if name == "twin" else None, rates
        if key not in done:
            done[key] = fit_baselines(
                train,
                val,
                test,
                config.split_seed,
                [name],
                functions=functions,
                groups=prepared.test_units,
                rates=rates,
            )
        scores |= done[key]
    return scores


# of the data card, kept with the model
ABOUT = ("source", "synthetic", "label", "positive", "negative", "roles", "fingerprint")


def _result(run: TrainingRun, baselines: dict[str, metrics.Row]) -> TrainResult:
    card = run.prepared.card
    about = {"data" if name == "source" else name: card.get(name) for name in ABOUT} | {
        "config_hash": run.config.hash(),
        "trained_types": _trained_types(card),
    }
    model, logits, threshold = choose_model(run, about)
    return TrainResult(
        config=run.config,
        model=model,
        prepared=run.prepared,
        history=pd.DataFrame(run.state.history),
        metrics=_summary(run, logits, threshold, baselines),
        gate=run.gate,
        gate_trained=run.gate_trained,
        logits=logits,
        baseline_logits={name: b["test_logits"] for name, b in baselines.items()},
    )


def _trained_types(card: dict[str, Any]) -> list[str]:
    """The attack types that training or validation had; none where the table has none."""
    sides = card.get("types_of_sides") or {}
    return sorted({kind for name in ("train", "val") for kind in sides.get(name, {})})


def choose_model(
    run: TrainingRun, about: dict[str, Any]
) -> tuple[Model, dict[str, np.ndarray], metrics.Threshold]:
    """The model of the best epoch, its logits (B,) on every side but training, and the threshold chosen on
    the validation rows.

    Args:
        about: where the model comes from; kept with it.

    Raises:
        QnbError: no epoch has been evaluated yet.
    """
    config, prepared = run.config, run.prepared
    model = Model(
        spec=run.spec,
        objective=run.objective,
        params=run.best,
        feature_map=prepared.feature_map,
        threshold=0.0,
        engine=config.engine,
        device=config.device,
        about=about,
    )
    logits = {name: _logits(run, X) for name, X in prepared.X.items() if name != "train"}
    rates = config.min_pred_pos_rate, config.max_pred_pos_rate
    threshold = metrics.choose_threshold(logits["val"], prepared.y["val"], *rates)
    return replace(model, threshold=threshold.value), logits, threshold


def _logits(run: TrainingRun, X: np.ndarray) -> np.ndarray:
    """l(x) of the best epoch, (B,), from the engine that trained."""
    scores = steady_scores(run.engine, run.best, X)
    return np.asarray(run.objective.logit(scores, run.best["bias"], run.best["alpha"]))


def _made_by_hand(run: TrainingRun) -> dict[str, str]:
    """What of an engine made by hand the configuration does not say."""
    loss = run.objective.own_loss
    handmade = {"engine": by_hand(run.engine)} if run.by_hand else {}
    return handmade | ({"loss": str(own.part(loss))} if loss is not None else {})


def _summary(
    run: TrainingRun,
    logits: dict[str, np.ndarray],
    threshold: metrics.Threshold,
    baselines: dict[str, metrics.Row],
) -> dict[str, Any]:
    config, prepared = run.config, run.prepared
    evaluated = {
        side: metrics.evaluate(logits[side], prepared.y[side], threshold)
        | metrics.calibration(logits[side], prepared.y[side])
        for side in ("val", "test")
    }
    flat = {f"{side}_{key}": evaluated[side][key] for side in ("test", "val") for key in metrics.REPORTED}
    interval = _interval(run, logits["test"])
    unseen = {}
    if (unseen_rows := prepared.test_unseen) is not None:
        of_unseen = _interval(run, logits["test"], unseen_rows)
        unseen = {
            "test_auc_unseen_types": of_unseen.auc,
            "test_auc_unseen_types_interval": of_unseen.to_dict(),
        }
    speed = np.median([row["samples_per_s"] for row in run.state.history])
    return flat | {
        **unseen,
        "test_auc_interval": interval.to_dict(),
        "few_rows": interval.few,
        "best_epoch": run.state.best_epoch,
        "epochs_run": run.state.epoch,
        "stopped_early": run.state.epoch < config.epochs,
        **({"elsewhere": run.state.elsewhere} if run.state.elsewhere else {}),
        "still_improving": still_improving(run.state.history),
        "diverged": divergence(run),
        "degen": threshold.degen,
        "degen_reason": threshold.reason,
        "threshold": threshold.value,
        "threshold_criterion": "degenerate: 0 in logit space" if threshold.degen else metrics.CRITERION,
        "trivial": trivial(prepared.prior, prepared.y["test"]),
        "against_twin": _against_twin(run, logits["test"], baselines),
        "prior": prepared.prior,
        "synthetic": prepared.card.get("synthetic"),
        **({"test_file": config.test_data} if config.test_data else {}),
        **_made_by_hand(run),
        "gate_trained": run.gate_trained.verdict if run.gate_trained else "off",
        "gate": run.gate.verdict if run.gate else "off" if config.gate == "off" else "no step taken",
        "compile_seconds": run.compile_seconds,
        "median_samples_per_s": float(speed),
        "baselines": {
            name: {k: v for k, v in b.items() if k != "test_logits"} for name, b in baselines.items()
        },
    }


def _interval(run: TrainingRun, logits: np.ndarray, rows: np.ndarray | slice = ALL) -> AUCInterval:
    """Of the AUC on these of the test rows."""
    units = run.prepared.test_units
    return auc_interval(
        run.prepared.y["test"][rows],
        logits[rows],
        None if units is None else units[rows],
    )


def _against_twin(
    run: TrainingRun, logits: np.ndarray, baselines: dict[str, metrics.Row]
) -> dict[str, Any] | None:
    """The circuit against its dequantised twin on the test rows; None where there is no twin.

    See `qnb.statistics.auc.decide`.
    """
    if "twin" not in baselines:
        return None
    difference = auc_difference(
        run.prepared.y["test"],
        logits,
        baselines["twin"]["test_logits"],
        run.prepared.test_units,
    )
    return against(difference, MIN_EFFECT)
