"""The training loop: gate the gradient, take the steps, evaluate, write the checkpoint.

One run trains by itself; runs of one `shape` can train together, as one batched program.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from qnb.config import TrainConfig
from qnb.core.circuit import Params, groups_of
from qnb.core.engine import Engine, compiles_ahead, make_engine, takes_steps
from qnb.core.gate import Batch, GateReport, WrongGradientError, check_gradient, check_together
from qnb.core.objective import class_weight_pair
from qnb.data.prepare import Prepared
from qnb.errors import ParameterError, QnbError
from qnb.files import CHECKPOINT, HISTORY, atomic_write
from qnb.runs.folder import require_own_folder
from qnb.training import checkpoint, metrics
from qnb.training.batches import batches_per_epoch
from qnb.training.chunks import Chunks, Epoch
from qnb.training.metrics import Row
from qnb.training.optimiser import OptimiserState, make_step
from qnb.training.state import TrainingRun, circuit_of, objective_of, start

OnEpoch = Callable[[list[Row]], None]


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C or the stop button ended training; the message says after which epoch, and how to resume."""


class TrainingDiverged(QnbError):
    """A loss or a parameter became NaN or infinite."""


def fit(
    config: TrainConfig,
    prepared: Prepared,
    folder: str | Path | None = None,
    resume_from: str | Path | None = None,
    progress: bool = True,
    on_epoch: OnEpoch | None = None,
    engine: Engine | None = None,
    initial: Params | None = None,
) -> TrainingRun:
    """Gate the gradient, then train to the last epoch, or until `early_stop_patience` evaluations in a row
    brought no new best.

    Each epoch's history row holds: epoch; train_loss and train_loss_std, mean and standard deviation over
    its batches of the objective that is trained; alpha (not the raw parameter) and bias; for each parameter
    group g (weights, readout, alpha, bias, and scaling where it is trained) grad_norm_g (norm of the raw
    gradient, mean over batches), param_norm_g and delta_g (distance from the initial value); lr of its last
    step; seconds and samples_per_s of its training steps, for all runs that train together. After every
    `eval_every_epochs` epochs and after the last one also: val_auc, val_sep, val_loss (unweighted BCE,
    nats), val_bacc, val_f1, val_precision, val_recall, val_pred_pos_rate, val_threshold, degen,
    degen_reason; and, with val_objective="weighted_loss", val_weighted_loss (the objective with class
    weights and focal factor).

    Args:
        folder, resume_from: see `qnb.training.train.train`. A checkpoint in `folder` is resumed from.
        on_epoch: called with the history so far after every epoch; what it raises ends the training.
        engine: an engine made by hand, in place of the one that `config` names.
        initial: parameters to start from; None: drawn with the seed.

    Raises:
        ParameterError: see `qnb.training.state.start`.
        RunError: `folder` is that of a run with other parameters.
        CheckpointError: the checkpoint is of another configuration or of other data.
        EngineError: the engine cannot compile or run the circuit.
        WrongGradientError: the gradient is wrong at the start or at the trained parameters.
        TrainingDiverged: a loss or a parameter became NaN or infinite.
        DegenerateError: an epoch is degenerate and `abort_on_degen` is set.
        TrainingInterrupted: a KeyboardInterrupt that says after which epoch.
    """
    return finish(
        begin(config, prepared, folder, resume_from, progress, engine, initial), folder, progress, on_epoch
    )


def begin(
    config: TrainConfig,
    prepared: Prepared,
    folder: str | Path | None = None,
    resume_from: str | Path | None = None,
    progress: bool = True,
    engine: Engine | None = None,
    initial: Params | None = None,
) -> TrainingRun:
    """A run at its start, or at its checkpoint; arguments as for `fit`.

    Warnings about the checkpoint are issued here, before any thread is started: `warnings` is global to the
    process, and a warning can be lost while a thread is in `warnings.catch_warnings`, as libraries do.

    Raises:
        ParameterError, RunError, CheckpointError, TrainingInterrupted: as `fit`.
    """
    if folder is not None:
        require_own_folder(Path(folder), config)
    run = start(config, prepared, engine, initial)
    with interruptible(run, folder):
        if folder is not None and (Path(folder) / CHECKPOINT).exists():
            resume_from = folder  # its own training was stopped, and is started again
        if resume_from is not None:
            run.state = checkpoint.load(Path(resume_from), run.state, config.hash())
            if progress:
                print(f"resuming after epoch {run.state.epoch} of {config.epochs}")
            if folder is not None:  # so that nothing is missing where no epoch is left to train
                _keep(Path(folder), run)
    return run


def finish(
    run: TrainingRun, folder: str | Path | None = None, progress: bool = True, on_epoch: OnEpoch | None = None
) -> TrainingRun:
    """Train the run that `begin` returned to its end; arguments as for `fit`.

    Raises:
        WrongGradientError, TrainingDiverged, DegenerateError, TrainingInterrupted: as `fit`.
    """
    with interruptible(run, folder):
        _fit([run], folder, progress, on_epoch)
    if run.failure is not None:
        raise run.failure
    return run


def compile_ahead(config: TrainConfig) -> None:
    """Start compiling, on an engine that does so in its own process, while the data is being prepared.

    Raises:
        ParameterError: the engine or the device is not known.
    """
    if config.preflight_compile:
        engine = make_engine(config.engine, circuit_of(config), objective_of(config), config.device)
        if compiles_ahead(engine):
            engine.start_compiling(config.batch)


@contextlib.contextmanager
def interruptible(run: TrainingRun, folder: str | Path | None) -> Iterator[None]:
    """Turn a KeyboardInterrupt into a TrainingInterrupted that says where training stopped.

    Args:
        folder: where the run's checkpoints are written; None: nowhere.
    """
    try:
        yield
    except KeyboardInterrupt:
        kept = run.state.epoch if folder is None else run.kept
        if kept is None:
            raise TrainingInterrupted(
                "Stopped before the end of the first epoch. Run it again to start."
            ) from None
        resume = (
            "Without a folder nothing is kept." if folder is None else "Run it again to resume from there."
        )
        raise TrainingInterrupted(f"Stopped after epoch {kept} of {run.config.epochs}. {resume}") from None


def fit_together(
    configs: Sequence[TrainConfig],
    prepared: Sequence[Prepared],
    progress: bool = True,
    engine: Engine | None = None,
) -> list[TrainingRun]:
    """Train runs of one `shape` as one batched program; each ends as it would by itself, up to rounding.

    A run that diverges, or is degenerate with `abort_on_degen`, stops with its error in `failure`; the
    others continue.

    Args:
        engine: an engine made by hand, in place of the one that the configurations name.

    Raises:
        ParameterError: the shapes differ, the engine trains one run at a time, or as
            `qnb.training.state.start`.
        WrongGradientError: the gradient of a run is wrong, or the program mixes runs up.
    """
    shapes = {shape(c, p) for c, p in zip(configs, prepared, strict=True)}
    if len(shapes) != 1:
        raise ParameterError(
            f"{len(shapes)} shapes cannot train together: circuit, objective, engine, batch and steps must "
            "agree."
        )
    runs = [start(c, p, engine) for c, p in zip(configs, prepared, strict=True)]
    if len(runs) > 1 and not takes_steps(runs[0].engine):
        raise ParameterError(
            f"engine={runs[0].engine.name!r} trains one run at a time; engine='exact' trains many together."
        )
    _fit(runs, None, progress, None)
    return runs


def shape(config: TrainConfig, prepared: Prepared) -> tuple[Any, ...]:
    """What runs must have in common to train together: circuit, objective, engine, device, batch and steps.

    Rates, decays, loss weights, seeds and rows may differ.
    """
    count = batches_per_epoch(len(prepared.y["train"]), config.batch, config.fixed_num_batches)
    return (
        config.engine,
        config.device,
        circuit_of(config),
        objective_of(config),
        config.batch,
        count,
        config.epochs,
    )


def _fit(
    runs: Sequence[TrainingRun], folder: str | Path | None, progress: bool, on_epoch: OnEpoch | None
) -> None:
    first = runs[0]
    config, total = first.config, first.config.epochs * first.batches
    chunks = Chunks(runs, first.engine) if takes_steps(first.engine) else None
    with tqdm(
        total=total,
        initial=first.state.epoch * first.batches,
        unit="batch",
        disable=not progress,
        file=sys.stdout,
        **BAR,
    ) as bar:
        if config.preflight_compile:
            seconds = (chunks or first.engine).compile(config.batch)
            for run in runs:
                run.compile_seconds = seconds
        gated = False
        while not all(run.over for run in runs):
            drawn = [run.draw() for run in runs]
            if not gated:
                bar.set_description("checking the gradient")
                _check_gradients(
                    runs, chunks, [run.batch(rows[0]) for run, rows in zip(runs, drawn, strict=True)]
                )
                gated = True
                bar.unpause()  # the time left is that of training: the clock starts here
            bar.set_description(f"epoch {first.state.epoch + 1}" if not first.state.history else _line(runs))
            _train_epoch(runs, chunks, drawn, bar)
            if first.failure is None and folder is not None:
                _keep(Path(folder), first)
            if first.failure is None and on_epoch is not None:
                on_epoch(first.state.history)
            bar.set_description(_line(runs))
        _check_trained(runs, chunks)


BAR: dict[str, Any] = {"mininterval": 1.0, "ncols": 100, "desc": "compiling"}


def _check_gradients(runs: Sequence[TrainingRun], chunks: Chunks | None, batches: Sequence[Batch]) -> None:
    """Check every run's gradient where it starts, on the program that trains it."""
    if not any(run.config.gate == "on" for run in runs):
        return
    reports = _reports(runs, chunks, [run.state.params for run in runs], batches)
    for run, report in zip(runs, reports, strict=True):
        run.gate = report if run.config.gate == "on" else None


def _check_trained(runs: Sequence[TrainingRun], chunks: Chunks | None) -> None:
    """Check every run's gradient once more, at its trained parameters.

    One that is right near zero may be wrong later. A run that failed has none, and is checked where it began.

    Raises:
        WrongGradientError: it is wrong there.
    """
    if not any(run.config.gate == "on" and run.failure is None for run in runs):
        return
    trained = [run.initial if run.failure is not None else run.best for run in runs]
    batches = [run.batch(run.draw()[0]) for run in runs]
    try:
        reports = _reports(runs, chunks, trained, batches)
    except WrongGradientError as error:
        message = f"At the trained parameters: {error}"
        raise WrongGradientError(message, error.group, error.expected, error.found) from None
    for run, report in zip(runs, reports, strict=True):
        run.gate_trained = report if run.config.gate == "on" and run.failure is None else None


def _reports(
    runs: Sequence[TrainingRun], chunks: Chunks | None, params: Sequence[Params], batches: Sequence[Batch]
) -> list[GateReport]:
    seed = runs[0].config.seed
    if chunks is not None and len(runs) > 1:
        return check_together(chunks, params, batches, seed=seed)
    return [check_gradient(chunks or runs[0].engine, params[0], *batches[0], seed=seed)]


def _train_epoch(
    runs: Sequence[TrainingRun],
    chunks: Chunks | None,
    drawn: Sequence[Sequence[np.ndarray]],
    bar: "tqdm[Any]",
) -> None:
    """One epoch of every run, and its evaluation.

    A run that is over computes along, for the program has its shape, and is left as it is.
    """
    started = time.perf_counter()
    ends = [_step_by_step(runs[0], drawn[0], bar)] if chunks is None else chunks.train(drawn, bar)
    seconds = time.perf_counter() - started
    for run, end in zip(runs, ends, strict=True):
        if run.over:
            continue
        try:
            _record(run, *end, seconds, len(runs))
            if run.state.epoch % run.config.eval_every_epochs == 0 or run.state.epoch == run.config.epochs:
                _evaluate_epoch(run)
        except (TrainingDiverged, metrics.DegenerateError) as error:
            run.failure = error


def _step_by_step(run: TrainingRun, batches: Sequence[np.ndarray], bar: "tqdm[Any]") -> Epoch:
    step = make_step(run.optimiser)
    params, optimiser, losses, norms = run.state.params, run.state.optimiser, [], []
    for rows in batches:
        loss, grads = run.engine.loss_and_grad(params, *run.batch(rows))
        stepped, optimiser = step(params, optimiser, grads)
        params = {k: np.asarray(v) for k, v in stepped.items()}
        losses.append(loss)
        norms.append([np.linalg.norm(grads[g]) for g in groups_of(grads)])
        bar.update()
    return params, optimiser, np.array(losses), np.array(norms)


def _record(
    run: TrainingRun,
    params: Params,
    optimiser: OptimiserState,
    losses: np.ndarray,
    norms: np.ndarray,
    seconds: float,
    together: int,
) -> None:
    state, config = run.state, run.config
    if not np.isfinite(losses).all() or not all(np.isfinite(v).all() for v in params.values()):
        raise TrainingDiverged(
            f"seed {config.seed}, epoch {state.epoch + 1}: the loss or a parameter is not finite. Lower "
            f"lr={config.lr}."
        )
    state.params, state.optimiser, state.epoch = params, optimiser, state.epoch + 1
    row: Row = {
        "epoch": state.epoch,
        "train_loss": float(np.mean(losses)),
        "train_loss_std": float(np.std(losses)),
    }
    row |= {"alpha": float(run.objective.alpha(params["alpha"])), "bias": float(params["bias"])}
    for group, norm in zip(groups_of(params), np.mean(norms, axis=0), strict=True):
        row[f"grad_norm_{group}"] = float(norm)
        row[f"param_norm_{group}"] = float(np.linalg.norm(params[group]))
        row[f"delta_{group}"] = float(np.linalg.norm(params[group] - run.initial[group]))
    row |= {"lr": float(optimiser.rates[state.epoch * len(losses) - 1])}
    row |= {"seconds": seconds, "samples_per_s": together * len(losses) * config.batch / seconds}
    state.history.append(row)


def _evaluate_epoch(run: TrainingRun) -> None:
    state, config = run.state, run.config
    X, y = run.prepared.side("val")
    logits = np.asarray(
        run.objective.logit(run.engine.scores(state.params, X), state.params["bias"], state.params["alpha"])
    )
    threshold = metrics.choose_threshold(logits, y, config.min_pred_pos_rate, config.max_pred_pos_rate)
    row = metrics.evaluate(logits, y, threshold)
    state.history[-1] |= {k if k.startswith("degen") else f"val_{k}": v for k, v in row.items()}
    if threshold.degen and config.abort_on_degen:
        raise metrics.DegenerateError(
            f"Epoch {state.epoch} is degenerate and abort_on_degen=True: {threshold.reason}."
        )
    if config.val_objective == "weighted_loss":
        w_neg, w_pos = class_weight_pair(config.class_weights, run.prepared.prior)
        row["weighted_loss"] = float(np.mean(np.where(y == 1, w_pos, w_neg) * run.objective.loss(logits, y)))
        state.history[-1]["val_weighted_loss"] = row["weighted_loss"]
    value = _objective_value(config.val_objective, row)
    if state.best_params is None or value > state.best_value:
        state.best_params, state.best_epoch, state.best_value = state.params, state.epoch, value
        state.stale = 0
    else:
        state.stale += 1


def _objective_value(name: str, row: Row) -> float:
    """Larger is better.

    A thresholded metric of a degenerate epoch is diagnostic only, so it wins over nothing.
    """
    if name in ("bacc", "f1") and row["degen"]:
        return -np.inf
    if name in ("val_loss", "weighted_loss"):
        return -float(row["loss" if name == "val_loss" else name])
    return float(row[name])


def _keep(folder: Path, run: TrainingRun) -> None:
    checkpoint.save(folder, run.state, run.config.hash())
    run.kept = run.state.epoch
    atomic_write(folder / HISTORY, pd.DataFrame(run.state.history).to_csv(index=False).encode())


def _line(runs: Sequence[TrainingRun]) -> str:
    rows = [run.state.history[-1] for run in runs if run.state.history]
    if not rows:
        return "failed"
    mean = "mean " if len(runs) > 1 else ""
    shown = (
        f"epoch {max(row['epoch'] for row in rows)}, {mean}loss "
        f"{np.mean([row['train_loss'] for row in rows]):.4f}"
    )
    seen = [row["val_auc"] for row in rows if "val_auc" in row]
    return shown + (f", {mean}val AUC {np.mean(seen):.4f}" if seen else "")
