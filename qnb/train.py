"""The training run: prepare the data, gate the gradient, train, restore the best epoch, test once.

`train(config)` does all of it; a notebook calls `prepare` first, to show the data before the wait. All draws come from one numpy
Generator seeded by `seed`: initial parameters, then batches.
"""

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from qnb import checkpoint, metrics
from qnb.baselines import fit_baselines
from qnb.batches import batches_per_epoch, epoch_batches
from qnb.circuit import CircuitSpec
from qnb.config import ParameterError, QnbError, TrainConfig
from qnb.data import Table, load_table
from qnb.engine import WRONG_ON_PURPOSE, make_engine
from qnb.features import FeatureMap
from qnb.files import atomic_write
from qnb.gate import GateReport, check_gradient
from qnb.model import Model
from qnb.objective import Objective, class_weight_pair, importance_weights
from qnb.optimiser import make_optimiser, make_step, schedule
from qnb.splits import split_table
from qnb.values import DataError

SIDES = ("train", "val", "test")
GROUPS = ("weights", "readout", "alpha", "bias")


class TrainingDiverged(QnbError):
    """A loss or a parameter became NaN or infinite."""


@dataclass(frozen=True)
class Prepared:
    """Data ready for a circuit: per side X (B, features) and y (B,), the fitted transform and the card of the table."""

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    feature_map: FeatureMap
    card: dict[str, Any]

    @property
    def prior(self) -> float:
        """Fraction of positives among the training rows."""
        return float(self.y["train"].mean())

    def side(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.X[name], self.y[name]


def prepare(config: TrainConfig, table: Table | None = None) -> Prepared:
    """Read, split and transform; everything is fitted on the training rows alone.

    Raises:
        DataError: the table cannot be read or used as asked, or has fewer training rows than one batch.
    """
    table = load_table(config) if table is None else table
    rows = dict(zip(SIDES, split_table(table, config), strict=True))
    if len(rows["train"]) < config.batch:
        raise DataError(
            f"batch={config.batch} rows, but only {len(rows['train'])} of the table's {len(table)} rows are for training. "
            "Use a smaller batch or more rows (sample=None takes all)."
        )
    sides = {name: table.take(index) for name, index in rows.items()}
    angle_range = None if config.encoder == "amplitude" else config.angle_range
    feature_map = FeatureMap.fit(sides["train"].frame, sides["train"].y, config.features, angle_range)
    y = {name: side.y.astype(np.float64) for name, side in sides.items()}
    split_card = {name: {"rows": len(v), "prior": float(v.mean())} for name, v in y.items()}
    X = {name: feature_map.transform(side.frame) for name, side in sides.items()}
    return Prepared(X, y, feature_map, table.card | {"split": config.split, "sides": split_card})


@dataclass
class TrainResult:
    """What a run found.

    Attributes:
        history: one row per epoch; see `fit`.
        params: of the best epoch; weights, readout, bias, alpha (raw).
        metrics: flat, but for `baselines`; the content of metrics.json.
        gate: the verdict on the gradient, None with gate="off".
        logits: per side "val" and "test", (B,).
        baseline_logits: test logits of the classical baselines.
    """

    config: TrainConfig
    model: Model
    prepared: Prepared
    history: pd.DataFrame
    metrics: dict[str, Any]
    gate: GateReport | None
    logits: dict[str, np.ndarray]
    baseline_logits: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, np.ndarray]:
        return self.model.params

    def save(self, folder: str | Path) -> Path:
        """Save the model: `qnb.load_model(folder)` brings it back."""
        return self.model.save(folder)


def train(
    config: TrainConfig,
    prepared: Prepared | None = None,
    folder: str | Path | None = None,
    resume_from: str | Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """Run `config` to its end.

    Args:
        prepared: the data, if `prepare(config)` has been called already.
        folder: history.csv and checkpoint.npz are written there after every epoch.
        resume_from: a folder with a checkpoint of the same configuration; goes on after its last epoch to the same final
            parameters, bit for bit.

    Raises:
        ParameterError, DataError: the configuration or the table cannot be used.
        WrongGradientError: the gate found the engine's gradient wrong.
        DegenerateError: scores are degenerate and `abort_on_degen` is set.
    """
    prepared = prepare(config) if prepared is None else prepared
    fitted = fit(config, prepared, folder, resume_from, progress)
    model = Model(
        fitted.spec, fitted.objective, fitted.state.best_params, prepared.feature_map, 0.0, config.engine, config.device,
        {"data": prepared.card.get("source"), "synthetic": prepared.card.get("synthetic"), "label": prepared.card.get("label"),
         "config_hash": config.hash(), "fingerprint": prepared.card.get("fingerprint")},
    )  # fmt: skip
    logits = {name: model.logits_of_features(prepared.X[name]) for name in ("val", "test")}
    threshold = metrics.choose_threshold(logits["val"], prepared.y["val"], config.min_pred_pos_rate, config.max_pred_pos_rate)
    model = replace(model, threshold=threshold.value)
    baselines = fit_baselines(*(prepared.side(name) for name in SIDES), seed=config.seed)
    history = pd.DataFrame(fitted.state.history)
    return TrainResult(
        config, model, prepared, history, _summary(config, prepared, fitted, logits, threshold, baselines), fitted.gate, logits,
        {name: b["test_logits"] for name, b in baselines.items()},
    )  # fmt: skip


@dataclass
class State:
    """All that training carries from one epoch to the next, and so all that a checkpoint holds."""

    params: dict[str, np.ndarray]
    optimiser: Any
    rng: np.random.Generator
    epoch: int = 0
    best_params: dict[str, np.ndarray] | None = None
    best_epoch: int = 0
    best_value: float = -np.inf  # of val_objective, larger is better
    stale: int = 0  # evaluations since the best one
    history: list[dict] = field(default_factory=list)


@dataclass
class Fitted:
    """The outcome of `fit`."""

    spec: CircuitSpec
    objective: Objective
    state: State
    gate: GateReport | None
    compile_seconds: float


def circuit_of(config: TrainConfig) -> CircuitSpec:
    """The circuit that a configuration asks for."""
    return CircuitSpec(
        config.wires, config.layers, config.encoder, config.ansatz, config.measurement, config.reupload, config.hadamard
    )


def fit(config, prepared, folder=None, resume_from=None, progress=True) -> Fitted:
    """Gate the gradient, then train to the last epoch or until `early_stop_patience` evaluations brought nothing.

    Each epoch's history row: epoch; train_loss and train_loss_std over its batches (the objective that is trained); alpha, bias;
    per group g of weights, readout, alpha, bias grad_norm_g (mean over batches of the norm of the raw gradient), param_norm_g and
    delta_g (distance from the initial value); lr of its last step; seconds and samples_per_s of its training steps; and, every
    `eval_every_epochs`, val_auc, val_sep, val_loss (unweighted BCE, nats), val_bacc, val_f1, val_precision, val_recall,
    val_pred_pos_rate, val_threshold, degen, degen_reason.
    """
    spec, objective = circuit_of(config), Objective(config.focal_gamma, config.alpha_mode)
    if config.engine in WRONG_ON_PURPOSE and config.gate != "off":
        raise ParameterError(f"engine={config.engine!r} has a wrong gradient on purpose: it needs gate='off'.")
    engine = make_engine(config.engine, spec, objective, config.device)
    count = batches_per_epoch(len(prepared.y["train"]), config.batch, config.fixed_num_batches)
    optimiser = make_optimiser(config, config.epochs * count)
    rng = np.random.default_rng(config.seed)
    initial = spec.init(rng, config.alpha_mode)
    state = State(params=initial, optimiser=optimiser.init(initial), rng=rng)
    if resume_from is not None:
        state = checkpoint.load(Path(resume_from), state, config.hash())
    step, gate = make_step(optimiser), None
    with tqdm(
        total=config.epochs * count, initial=state.epoch * count, unit="batch", disable=not progress, file=sys.stdout, **BAR
    ) as bar:
        compile_seconds = engine.compile(config.batch) if config.preflight_compile else 0.0
        while state.epoch < config.epochs and not _exhausted(config, state):
            rows = list(epoch_batches(prepared.y["train"], config.batch, count, state.rng, _pos_frac(config)))
            if gate is None and config.gate == "on":
                bar.set_description("checking the gradient")
                gate = check_gradient(engine, state.params, *_batch(config, prepared, rows[0]), seed=config.seed)
            bar.set_description(f"epoch {state.epoch + 1}" if not state.history else _line(state))
            _train_epoch(config, prepared, engine, state, step, rows, initial, bar)
            if state.epoch % config.eval_every_epochs == 0 or state.epoch == config.epochs:
                _evaluate_epoch(config, prepared, engine, state)
            if folder is not None:
                _keep(Path(folder), config, state)
            bar.set_description(_line(state))
    return Fitted(spec, objective, state, gate, compile_seconds)


BAR = {"mininterval": 1.0, "ncols": 100, "desc": "compiling"}


def _pos_frac(config):
    return config.balanced_pos_frac if config.balanced_batches else None


def _batch(config, prepared, rows):
    """X, y and the loss weights of one batch: class weights, or importance weights where batches are balanced."""
    X, y = prepared.X["train"][rows], prepared.y["train"][rows]
    if config.prior_correction == "importance":
        return X, y, importance_weights(y, prepared.prior)
    w_neg, w_pos = class_weight_pair(config.class_weights, prepared.prior)
    return X, y, np.where(y == 1, w_pos, w_neg)


def _train_epoch(config, prepared, engine, state, step, batches, initial, bar):
    losses, norms = [], []
    started = time.perf_counter()
    for rows in batches:
        loss, grads = engine.loss_and_grad(state.params, *_batch(config, prepared, rows))
        params, state.optimiser = step(state.params, state.optimiser, grads)
        state.params = {k: np.asarray(v) for k, v in params.items()}
        losses.append(loss)
        norms.append([np.linalg.norm(grads[g]) for g in GROUPS])
        bar.update()
    seconds = time.perf_counter() - started
    if not np.isfinite(losses).all() or not all(np.isfinite(v).all() for v in state.params.values()):
        raise TrainingDiverged(f"epoch {state.epoch + 1}: the loss or a parameter is not finite. Lower lr={config.lr}.")
    state.epoch += 1
    row = {"epoch": state.epoch, "train_loss": float(np.mean(losses)), "train_loss_std": float(np.std(losses))}
    row |= {"alpha": float(engine.objective.alpha(state.params["alpha"])), "bias": float(state.params["bias"])}
    for group, norm in zip(GROUPS, np.mean(norms, axis=0), strict=True):
        row[f"grad_norm_{group}"] = float(norm)
        row[f"param_norm_{group}"] = float(np.linalg.norm(state.params[group]))
        row[f"delta_{group}"] = float(np.linalg.norm(state.params[group] - initial[group]))
    last_step = state.epoch * len(batches) - 1
    row |= {"lr": float(schedule(config.lr_schedule, config.lr, config.epochs * len(batches))(last_step))}
    row |= {"seconds": seconds, "samples_per_s": len(batches) * config.batch / seconds}
    state.history.append(row)


def _evaluate_epoch(config, prepared, engine, state):
    X, y = prepared.side("val")
    logits = np.asarray(engine.objective.logit(engine.scores(state.params, X), state.params["bias"], state.params["alpha"]))
    threshold = metrics.choose_threshold(logits, y, config.min_pred_pos_rate, config.max_pred_pos_rate)
    found = metrics.evaluate(logits, y, threshold)
    state.history[-1] |= {k if k.startswith("degen") else f"val_{k}": v for k, v in found.items()}
    if threshold.degen and config.abort_on_degen:
        raise metrics.DegenerateError(f"Epoch {state.epoch} is degenerate and abort_on_degen=True: {threshold.reason}.")
    value = _objective_value(config.val_objective, found)
    if state.best_params is None or value > state.best_value:
        state.best_params, state.best_epoch, state.best_value, state.stale = state.params, state.epoch, value, 0
    else:
        state.stale += 1


def _objective_value(name, found) -> float:
    """Larger is better. A thresholded metric of a degenerate epoch is diagnostic only, so it wins over nothing."""
    if name == "val_loss":
        return -found["loss"]
    if name in ("bacc", "f1") and found["degen"]:
        return -np.inf
    return found[name]


def _exhausted(config, state) -> bool:
    return config.early_stop_patience is not None and state.stale >= config.early_stop_patience


def _keep(folder, config, state):
    checkpoint.save(folder, state, config.hash())
    atomic_write(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False).encode())


def _line(state) -> str:
    row = state.history[-1]
    shown = f"epoch {state.epoch}, loss {row['train_loss']:.4f}"
    return shown + (f", val AUC {row['val_auc']:.4f}" if "val_auc" in row else "")


def _summary(config, prepared, fitted, logits, threshold, baselines) -> dict[str, Any]:
    found = {side: metrics.evaluate(logits[side], prepared.y[side], threshold) for side in ("val", "test")}
    flat = {
        f"{side}_{key}": found[side][key]
        for side in ("test", "val")
        for key in ("auc", "sep", "loss", "bacc", "f1", "precision", "recall", "pred_pos_rate")
    }
    speed = np.median([row["samples_per_s"] for row in fitted.state.history])
    return flat | {
        "best_epoch": fitted.state.best_epoch,
        "epochs_run": fitted.state.epoch,
        "stopped_early": fitted.state.epoch < config.epochs,
        "degen": threshold.degen,
        "degen_reason": threshold.reason,
        "threshold": threshold.value,
        "prior": prepared.prior,
        "synthetic": prepared.card.get("synthetic"),
        "gate": fitted.gate.verdict if fitted.gate else "off" if config.gate == "off" else "no step taken",
        "compile_seconds": fitted.compile_seconds,
        "median_samples_per_s": float(speed),
        "baselines": {name: {k: v for k, v in b.items() if k != "test_logits"} for name, b in baselines.items()},
    }
