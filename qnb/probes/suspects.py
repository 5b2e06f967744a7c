"""Why did this run not learn? One row for each suspect: data, compiler, objective, readout, optimiser, from a run's own folder.

What a criterion cannot tell while an earlier suspect stands is left open: a history of AUCs says nothing about the learning rate if
there is nothing to learn, or if the gradient was wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from qnb.core.engine import WRONG_ON_PURPOSE, make_engine
from qnb.core.gate import WrongGradientError, check_gradient
from qnb.core.objective import Objective, class_weight_pair
from qnb.data.splits import SIDES
from qnb.probes.focal import slope_at_zero, value_at_zero
from qnb.probes.subject import Subject
from qnb.reporting.verdict import Verdict
from qnb.stack import STACK, versions
from qnb.training.baselines import fit_baselines

SUSPECTS = ("data", "objective", "readout", "optimiser", "compiler")
CHANCE_SDS = 3.0  # a baseline within this many standard deviations of AUC 0.5 has found nothing
DEAD_RATIO = 1e-8  # a group's gradient norm beside that of the weights, or its way beside its norm, below which it is dead
WEIGHT_SHARE = (0.01, 0.99)  # of the loss that falls to positives; outside, one class decides alone
ATTENUATION = 0.1  # slope at l = 0 beside BCE's, below which focal loss mutes the start
PLATEAU = 0.02  # a last training loss within this of its value at l = 0, relative: still there
INVERTED = 0.48  # a validation AUC below this with alpha < 0 is upside down
TOO_STILL, TOO_FAR = 0.05, np.pi  # rad: root mean square way of a circuit angle over the whole run
WORSE = 0.02  # AUC lost from a best epoch 1 to the last, or training loss gained (relative), that says: rate too high
EPOCHS_TO_JUDGE = 3  # epochs that a history needs for that


@dataclass(frozen=True)
class Finding:
    """One suspect: `status` is suspected, cleared or open; `evidence` in words with the numbers; `figures` the numbers."""

    suspect: str
    status: str
    evidence: str
    figures: dict[str, Any] = field(default_factory=dict)


def examine(run: Subject) -> list[Finding]:
    """A finding for each of SUSPECTS, in that order. `run`: the subject of a finished, or failed, run."""
    data, compiler = examine_data(run), examine_compiler(run)
    blamed = [f.suspect for f in (data, compiler) if f.status == "suspected"]
    findings = [data, examine_objective(run, blamed), examine_readout(run), examine_optimiser(run, blamed), compiler]
    return sorted(findings, key=lambda f: SUSPECTS.index(f.suspect))


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """The findings as a table: suspect, status, evidence."""
    return pd.DataFrame([{"suspect": f.suspect, "status": f.status, "evidence": f.evidence} for f in findings])


def verdicts(findings: list[Finding]) -> list[Verdict]:
    """The findings for verdict.json."""
    tolerance: dict[str, Any] = {
        "data": {"standard deviations from chance": CHANCE_SDS}, "compiler": "that of the gate", "readout": DEAD_RATIO,
        "objective": {"weight share": WEIGHT_SHARE, "attenuation": ATTENUATION, "plateau": PLATEAU, "inverted": INVERTED},
        "optimiser": {"too still, rad": TOO_STILL, "too far, rad": TOO_FAR, "worse": WORSE},
    }  # fmt: skip
    return [Verdict(f"Is it the {f.suspect}?", f.status, f.figures, tolerance[f.suspect], f.evidence) for f in findings]


def _finding(suspect: str, against: list[str], for_it: list[str], figures: dict[str, Any], open_: Sequence[str] = ()) -> Finding:
    """Suspected on any evidence against; else open if something could not be judged; else cleared."""
    status = "suspected" if against else "open" if open_ else "cleared"
    return Finding(suspect, status, " ".join(against or [*open_, *for_it]), figures)


def examine_data(run: Subject) -> Finding:
    """Do classical models find anything in the same features? An AUC of random scores has standard deviation
    sqrt((n + 1) / (12 n_pos n_neg)) (Mann and Whitney, 1947)."""
    y = run.prepared.y["test"]
    positives, negatives = float(y.sum()), float((1 - y).sum())
    spread = float(np.sqrt((len(y) + 1) / (12 * positives * negatives)))
    train, val, test = (run.prepared.side(n) for n in SIDES)
    baselines = run.metrics.get("baselines") or fit_baselines(train, val, test, seed=run.config.seed)
    aucs = {name: float(b["test_auc"]) for name, b in baselines.items()}
    best = max(aucs, key=lambda name: aucs[name])
    figures = {
        "baselines_test_auc": aucs,
        "standard_deviation_of_chance": spread,
        "circuit_test_auc": run.metrics.get("test_auc"),
    }
    text = f"The best classical model on the same features ({best}) has test AUC {aucs[best]:.3f}; chance is 0.5 ± {spread:.3f}."
    nothing = aucs[best] < 0.5 + CHANCE_SDS * spread
    return _finding("data", [f"{text} There is nothing to learn in these features."] if nothing else [], [text], figures)


def examine_compiler(run: Subject) -> Finding:
    """Is the gradient right? Gated again at the parameters where the run ended, with its engine, on its batch size."""
    config = run.config
    against: list[str] = []
    notes: list[str] = []
    gate = run.manifest.get("gate")
    if isinstance(gate, dict):
        gate = gate.get("verdict", "none")
    then = {name: (run.manifest.get("versions") or {}).get(name) for name in STACK}
    same = then == {name: versions()[name] for name in STACK}
    if config.engine in WRONG_ON_PURPOSE:
        against.append(f"The engine is {config.engine}: its gradient is wrong on purpose.")
    notes.append(f"The run's own gate: {'off' if config.gate == 'off' else gate}.")
    failed = (run.manifest.get("failure") or {}).get("message", "")
    if failed.startswith("The gradient of"):
        against.append(f"The run's gate refused: {failed}")
    objective = Objective(config.focal_gamma, config.alpha_mode)
    engine = make_engine(config.engine, run.spec, objective, config.device)
    params = run.params or run.spec.init(config.seed, config.alpha_mode)
    X, y = (part[: config.batch] for part in run.prepared.side("train"))
    figures: dict[str, Any] = {"gate_of_the_run": gate, "gate": config.gate, "engine": config.engine, "same_stack": same}
    try:
        report = check_gradient(engine, params, X, y, np.ones(len(y)), seed=config.seed)
        worst = max((g.relative_error for g in report.groups.values() if g.relative_error is not None), default=None)
        figures |= {"gate_now": report.verdict, "worst_relative_error": worst}
        notes.append(
            f"Gated again at the {'trained' if run.params else 'initial'} parameters: {report.verdict}"
            + ("." if worst is None else f", relative error {worst:.0e} at worst.")
        )
    except WrongGradientError as error:
        figures |= {"gate_now": "wrong", "group": error.group, "expected": error.expected, "found": error.found}
        against.append(
            f"Gated again: the gradient of {error.group} is wrong, {error.found:.3g} where differences of the loss give {error.expected:.3g}."
        )
    blind = (
        []
        if same or config.gate == "on"
        else ["The run was not gated, and its stack is not the one installed now: nothing can be said about it."]
    )
    return _finding("compiler", against, notes, figures, blind)


def examine_objective(run: Subject, blamed: Sequence[str] = ()) -> Finding:
    """Does the objective ask for what the AUC measures: both classes, a slope at the start, a positive alpha?"""
    config, prior = run.config, run.prepared.prior
    against: list[str] = []
    notes: list[str] = []
    open_: list[str] = []
    w_neg, w_pos = class_weight_pair(config.class_weights, prior)
    rate = config.balanced_pos_frac if config.balanced_batches and config.prior_correction == "none" else prior
    share = w_pos * rate / (w_pos * rate + w_neg * (1 - rate))
    attenuation = float(slope_at_zero(config.focal_gamma) / slope_at_zero(0))
    figures = {"share_of_positives": share, "attenuation": attenuation}
    text = f"{share:.2%} of the loss falls to the positives (they are {prior:.2%} of the rows)."
    (notes if WEIGHT_SHARE[0] <= share <= WEIGHT_SHARE[1] else against).append(text)
    if config.focal_gamma:
        text = f"Focal loss with gamma = {config.focal_gamma:g} leaves {attenuation:.1%} of BCE's slope at l = 0."
        (against if attenuation < ATTENUATION else notes).append(text)
    if run.history is None or run.history.empty:
        open_.append("No epoch was finished.")
    elif blamed:
        notes.append(f"Its course is not judged while the {' and the '.join(blamed)} is suspected.")
    else:
        last = run.history.dropna(subset=["val_auc"]).iloc[-1]
        scale = w_pos * rate + w_neg * (1 - rate)
        loss, zero = float(last["train_loss"]), float(value_at_zero(config.focal_gamma)) * scale
        figures |= {
            "last_train_loss": loss,
            "loss_at_l_0": zero,
            "alpha": float(last["alpha"]),
            "val_auc": float(last["val_auc"]),
        }
        stuck = abs(loss / zero - 1) < PLATEAU and config.focal_gamma > 0
        (against if stuck else notes).append(f"The last training loss is {loss:.4f}; at l = 0 it would be {zero:.4f}.")
        inverted = last["alpha"] < 0 and last["val_auc"] < INVERTED
        (against if inverted else notes).append(f"alpha ends at {last['alpha']:.3g}, with validation AUC {last['val_auc']:.3f}.")
    return _finding("objective", against, notes, figures, open_)


def examine_readout(run: Subject) -> Finding:
    """Does the trainable readout get a gradient, and does it move?"""
    if not run.spec.has_readout:
        return Finding("readout", "cleared", f"{run.config.measurement} has no trainable readout that could be dead.")
    if run.history is None or run.history.empty:
        return Finding("readout", "open", "No epoch was finished.")
    h = run.history
    ratio = float((h["grad_norm_readout"] / h["grad_norm_weights"].clip(lower=1e-300)).max())
    way, size = float(h["delta_readout"].iloc[-1]), float(h["param_norm_readout"].iloc[-1])
    figures = {"gradient_norm_beside_weights": ratio, "delta_readout": way, "param_norm_readout": size}
    against = []
    if ratio < DEAD_RATIO:
        against.append(f"Its gradient is dead: at most {ratio:.1e} of that of the weights.")
    if way <= DEAD_RATIO * max(size, 1e-300):
        against.append(f"It has not moved: {way:.1e} from its start (lr_mult_readout={run.config.lr_mult_readout:g}).")
    note = f"Its gradient norm reaches {ratio:.2g} of that of the weights; it has moved {way:.3g}."
    return _finding("readout", against, [note], figures)


def examine_optimiser(run: Subject, blamed: Sequence[str] = ()) -> Finding:
    """Did the circuit move, but not too far, and did that help? The way of an angle, the loss and the best epoch."""
    failed = (run.manifest.get("failure") or {}).get("message", "")
    if "not finite" in failed:
        return Finding("optimiser", "suspected", f"Training diverged: {failed}")
    if run.history is None or run.history.empty:
        return Finding("optimiser", "open", "No epoch was finished.")
    h = run.history
    against: list[str] = []
    notes: list[str] = []
    way = float(h["delta_weights"].iloc[-1] / np.sqrt(np.prod(run.spec.shapes["weights"])))
    first, last = float(h["train_loss"].iloc[0]), float(h["train_loss"].iloc[-1])
    figures: dict[str, Any] = {"rms_way_of_an_angle": way, "lr": run.config.lr, "epochs": len(h), "train_loss": [first, last]}
    text = f"In {len(h)} epochs at lr={run.config.lr:g} a circuit angle has moved {way:.3g} rad (root mean square)"
    if way < TOO_STILL:
        against.append(f"{text}: too little to have learnt anything. Raise lr, or train longer.")
    elif way > TOO_FAR:
        against.append(f"{text}, more than half a turn: steps are too long. Lower lr.")
    else:
        notes.append(f"{text}.")
    if blamed:
        notes.append(f"Its course is not judged while the {' and the '.join(blamed)} is suspected.")
    elif len(h) >= EPOCHS_TO_JUDGE:
        if last > first * (1 + WORSE):
            against.append(f"The training loss rose, from {first:.4f} in the first epoch to {last:.4f} in the last. Lower lr.")
        seen = h.dropna(subset=["val_auc"])
        best, end = int(seen["epoch"].iloc[seen["val_auc"].argmax()]), float(seen["val_auc"].iloc[-1])
        lost = float(seen["val_auc"].max()) - end
        figures |= {"best_epoch": best, "auc_lost_since": lost}
        if best == seen["epoch"].iloc[0] and len(seen) >= EPOCHS_TO_JUDGE and lost > WORSE:
            against.append(f"Epoch {best} was the best, and validation AUC fell by {lost:.3f} afterwards. Lower lr.")
        notes.append(f"Training loss {first:.4f} to {last:.4f}; best epoch {best} of {len(h)}, {lost:.3f} of AUC lost since.")
    return _finding("optimiser", against, notes, figures)
