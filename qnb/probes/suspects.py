"""Rules of thumb on a run's own record: evidence against each suspect, without a new training.

It supports the diagnosis by intervention (`qnb.studies.diagnosis`), which decides. The figures of each
suspect come from the run's folder, its data and its engine; `suspects_words` judges them.

What a criterion cannot decide while data or compiler are suspected is not judged: a history of AUCs says
nothing about the learning rate if there is nothing to learn, or if the gradient was wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qnb.core.gate import WrongGradientError, check_gradient
from qnb.core.objective import class_weight_pair
from qnb.data.splits import SIDES
from qnb.probes import suspects_words as words
from qnb.probes.focal import slope_at_zero, value_at_zero
from qnb.probes.subject import Subject
from qnb.probes.suspects_words import SUSPECTS, Figures, Finding
from qnb.stack import STACK, versions
from qnb.training.baselines import fit_baselines
from qnb.training.twin import functions_of


def examine(run: Subject) -> list[Finding]:
    """A finding for each of SUSPECTS, in that order.

    Args:
        run: from `qnb.probes.subject.finished_run`.
    """
    data, compiler = examine_data(run), examine_compiler(run)
    blamed = [f.suspect for f in (data, compiler) if f.status == "suspected"]
    findings = [
        data,
        compiler,
        examine_objective(run, blamed),
        examine_readout(run),
        examine_optimiser(run, blamed),
    ]
    return sorted(findings, key=lambda f: SUSPECTS.index(f.suspect))


def examine_data(run: Subject) -> Finding:
    """Is it the data: do classical models learn anything from the same features?"""
    return words.judge_data(data_figures(run))


def examine_compiler(run: Subject) -> Finding:
    """Is it the compiler: is the gradient right?"""
    return words.judge_compiler(compiler_figures(run))


def examine_objective(run: Subject, blamed: Sequence[str] = ()) -> Finding:
    """Is it the objective: do both classes count, is there a slope at the start, is alpha positive?

    `blamed`: suspects that were found guilty before.
    """
    return words.judge_objective(objective_figures(run), blamed)


def examine_readout(run: Subject) -> Finding:
    """Is it the readout: does it get a gradient, and does it move?"""
    return words.judge_readout(readout_figures(run))


def examine_optimiser(run: Subject, blamed: Sequence[str] = ()) -> Finding:
    """Is it the optimiser: did the circuit move, but not too far, and did that help?

    `blamed`: suspects that were found guilty before.
    """
    return words.judge_optimiser(optimiser_figures(run), blamed)


def _history(run: Subject) -> pd.DataFrame | None:
    """One row per epoch; None where none was evaluated."""
    if run.history is None or "val_auc" not in run.history or run.history["val_auc"].isna().all():
        return None
    return run.history


def _failure(run: Subject) -> str:
    message: str = (run.manifest.get("failure") or {}).get("message", "")
    return message


def data_figures(run: Subject) -> Figures:
    """Test AUCs of the baselines (fitted if the run has none) and of the circuit, and the standard deviation
    of the AUC of random scores, sqrt((n + 1) / (12 n_pos n_neg)) (Mann and Whitney, Ann. Math. Statist. 18,
    50, 1947).
    """
    y = run.prepared.y["test"]
    train, val, test = (run.prepared.side(name) for name in SIDES)
    names = run.config.baselines or ("logistic", "boosting")
    baselines = run.metrics.get("baselines") or fit_baselines(
        train, val, test, run.config.split_seed, names, functions=functions_of(run.spec)
    )
    return {
        "baselines_test_auc": {name: float(b["test_auc"]) for name, b in baselines.items()},
        "standard_deviation_of_chance": float(np.sqrt((len(y) + 1) / (12 * y.sum() * (1 - y).sum()))),
        "circuit_test_auc": run.metrics.get("test_auc"),
        "against_twin": run.metrics.get("against_twin"),
    }


def compiler_figures(run: Subject) -> Figures:
    """The run's own gradient check, and the check repeated now: with its engine and batch size, at its
    trained parameters (the initial ones if it left no model), all rows weighing 1.
    """
    config, gate = run.config, run.manifest.get("gate")
    then, now = run.manifest.get("versions") or {}, versions()
    figures: Figures = {
        "engine": config.engine,
        "gate": config.gate,
        "gate_of_the_run": gate.get("verdict", "none") if isinstance(gate, dict) else gate,
        "refused": _failure(run) if _failure(run).startswith("The gradient of") else None,
        "same_stack": all(then.get(name) == now[name] for name in STACK),
        "gated_at": "trained" if run.params else "initial",
    }
    engine = run.engine()
    params = run.params or run.spec.init(config.seed, config.alpha_mode)
    X, y = (part[: config.batch] for part in run.prepared.side("train"))
    try:
        report = check_gradient(engine, params, X, y, np.ones(len(y)), seed=config.seed)
    except WrongGradientError as error:
        wrong = {"group": error.group, "expected": error.expected, "found": error.found}
        return figures | {"gate_now": "wrong"} | wrong
    errors = [g.relative_error for g in report.groups.values() if g.relative_error is not None]
    return figures | {"gate_now": report.verdict, "worst_relative_error": max(errors, default=None)}


def objective_figures(run: Subject) -> Figures:
    """Share of the loss weight on positives, slope at l = 0 relative to BCE's, and how training ended."""
    config, prior = run.config, run.prepared.prior
    w_neg, w_pos = class_weight_pair(config.class_weights, prior)
    drawn = config.balanced_batches and config.prior_correction == "none"
    rate = config.balanced_pos_frac if drawn else prior
    scale = w_pos * rate + w_neg * (1 - rate)
    figures: Figures = {
        "prior": prior,
        "share_of_positives": w_pos * rate / scale,
        "focal_gamma": config.focal_gamma,
        "attenuation": float(slope_at_zero(config.focal_gamma) / slope_at_zero(0)),
    }
    if (history := _history(run)) is None:
        return figures
    last = history.dropna(subset=["val_auc"]).iloc[-1]
    return figures | {
        "last_train_loss": float(last["train_loss"]),
        "loss_at_l_0": float(value_at_zero(config.focal_gamma)) * scale,
        "alpha": float(last["alpha"]),
        "val_auc": float(last["val_auc"]),
    }


def readout_figures(run: Subject) -> Figures:
    """Gradient norm of the readout relative to that of the weights, and how far it has moved."""
    figures: Figures = {"measurement": run.config.measurement, "has_readout": run.spec.has_readout}
    history = _history(run)
    if history is None or not run.spec.has_readout:
        return figures
    ratio = (history["grad_norm_readout"] / history["grad_norm_weights"].clip(lower=1e-300)).max()
    return figures | {
        "gradient_norm_beside_weights": float(ratio),
        "delta_readout": float(history["delta_readout"].iloc[-1]),
        "param_norm_readout": float(history["param_norm_readout"].iloc[-1]),
        "lr_mult_readout": run.config.lr_mult_readout,
    }


def optimiser_figures(run: Subject) -> Figures:
    """Distance of the circuit weights from their initial values (root mean square, rad), training loss, best
    epoch, and AUC lost since.
    """
    figures: Figures = {"lr": run.config.lr, "failure": _failure(run)}
    if (history := _history(run)) is None:
        return figures
    seen = history.dropna(subset=["val_auc"])
    angles: Any = np.prod(run.spec.shapes["weights"])
    return figures | {
        "epochs": len(history),
        "evaluations": len(seen),
        "rms_distance_of_an_angle": float(history["delta_weights"].iloc[-1] / np.sqrt(angles)),
        "train_loss": [float(history["train_loss"].iloc[k]) for k in (0, -1)],
        "first_epoch": int(seen["epoch"].iloc[0]),
        "best_epoch": int(seen["epoch"].iloc[seen["val_auc"].argmax()]),
        "auc_lost_since": float(seen["val_auc"].max() - seen["val_auc"].iloc[-1]),
    }
