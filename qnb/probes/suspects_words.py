"""Judgement of a suspect by its figures: suspected, cleared or open, and why, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from qnb.core.engine import WRONG_ON_PURPOSE
from qnb.reporting import tables

SUSPECTS = ("data", "objective", "readout", "optimiser", "compiler")
CHANCE_SDS = 3.0  # a baseline within this many standard deviations of AUC 0.5 has found nothing
# below it a group is dead: its gradient norm beside the weights', its distance beside its norm
DEAD_RATIO = 1e-8
WEIGHT_SHARE = (0.01, 0.99)  # of the loss that falls to positives; outside, one class decides alone
ATTENUATION = 0.1  # slope at l = 0 beside BCE's, below which focal loss mutes the start
PLATEAU = 0.02  # a last training loss within this of its value at l = 0, relative: still there
INVERTED = 0.48  # a validation AUC below this with alpha < 0 is upside down
TOO_STILL, TOO_FAR = 0.05, np.pi  # rad: root mean square distance of a circuit angle over the whole run
# AUC lost since a best first epoch, or training loss gained (relative), that says: rate too high
WORSE = 0.02
EPOCHS_TO_JUDGE = 3  # epochs that a history needs for that

Figures = dict[str, Any]
Evidence = list[tuple[bool, str]]  # whether it speaks against the suspect, and what it is
NO_EPOCH = "No epoch was finished and evaluated."


@dataclass(frozen=True)
class Finding:
    """The finding on one suspect.

    Attributes:
        suspect: one of SUSPECTS.
        status: suspected, cleared or open.
        evidence: in words, with the numbers.
        figures: the numbers, by name.
    """

    suspect: str
    status: str
    evidence: str
    figures: Figures = field(default_factory=dict)


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """The findings as a table: suspect, status, evidence."""
    rows = [{"suspect": f.suspect, "status": f.status, "evidence": f.evidence} for f in findings]
    return pd.DataFrame(rows)


def _finding(suspect: str, figures: Figures, evidence: Evidence, unknown: Sequence[str] = ()) -> Finding:
    """Suspected on any evidence against it; else open if something could not be judged; else cleared."""
    against = [text for is_against, text in evidence if is_against]
    status = "suspected" if against else "open" if unknown else "cleared"
    return Finding(suspect, status, " ".join(against or [*unknown, *(text for _, text in evidence)]), figures)


def _not_judged(blamed: Sequence[str]) -> tuple[bool, str]:
    return False, f"Its course is not judged while the {' and the '.join(blamed)} is suspected."


def judge_data(figures: Figures) -> Finding:
    """Suspected if no classical model's test AUC is CHANCE_SDS standard deviations above 0.5."""
    aucs, spread = figures["baselines_test_auc"], figures["standard_deviation_of_chance"]
    best = max(aucs, key=lambda name: aucs[name])
    text = f"The best classical model on the same features ({best}) has test AUC {aucs[best]:.3f}"
    text += f"; chance is 0.5 ± {spread:.3f}."
    nothing = aucs[best] < 0.5 + CHANCE_SDS * spread
    return _finding(
        "data", figures, [(nothing, text + " There is nothing to learn in these features." * nothing)]
    )


def twin_sentence(metrics: Figures) -> str:
    """The run's circuit against its dequantised twin in a sentence, or that it has no twin."""
    against, twin = metrics.get("against_twin"), (metrics.get("baselines") or {}).get("twin")
    if not (against and twin):
        return "This run has no dequantised twin to stand against."
    return tables.twin_sentence(against, twin, tables.resampled(metrics))


def judge_compiler(figures: Figures) -> Finding:
    """Suspected if a gate refused the gradient or it is wrong on purpose; open if it was never checked on
    the stack that the run used.
    """
    own = "off" if figures["gate"] == "off" else figures["gate_of_the_run"]
    evidence = [(False, f"The run's own gate: {own}.")]
    if figures["engine"] in WRONG_ON_PURPOSE:
        evidence.append((True, f"The engine is {figures['engine']}: its gradient is wrong on purpose."))
    if figures["refused"]:
        evidence.append((True, f"The run's gate refused: {figures['refused']}"))
    if figures["gate_now"] == "wrong":
        text = f"Gated again: the gradient of {figures['group']} is wrong, {figures['found']:.3g} where "
        evidence.append((True, f"{text}differences of the loss give {figures['expected']:.3g}."))
    else:
        worst = figures["worst_relative_error"]
        text = f"Gated again at the {figures['gated_at']} parameters: {figures['gate_now']}"
        evidence.append((False, text + ("." if worst is None else f", relative error {worst:.0e} at worst.")))
    blind = "The run was not gated, and its stack is not the one installed now: nothing can be said about it."
    return _finding(
        "compiler", figures, evidence, () if figures["same_stack"] or figures["gate"] == "on" else (blind,)
    )


def judge_objective(figures: Figures, blamed: Sequence[str] = ()) -> Finding:
    """Suspected if one class has almost all of the loss, focal loss mutes the initial slope or keeps the
    loss on its plateau, or alpha is inverted.
    """
    share, gamma, attenuation = figures["share_of_positives"], figures["focal_gamma"], figures["attenuation"]
    text = f"{share:.2%} of the loss falls to the positives (they are {figures['prior']:.2%} of the rows)."
    evidence = [(not WEIGHT_SHARE[0] <= share <= WEIGHT_SHARE[1], text)]
    if gamma:
        text = f"Focal loss with gamma = {gamma:g} leaves {attenuation:.1%} of BCE's slope at l = 0."
        evidence.append((attenuation < ATTENUATION, text))
    if "last_train_loss" not in figures:
        return _finding("objective", figures, evidence, [NO_EPOCH])
    if blamed:
        return _finding("objective", figures, [*evidence, _not_judged(blamed)])
    loss, zero, alpha, auc = (
        figures[name] for name in ("last_train_loss", "loss_at_l_0", "alpha", "val_auc")
    )
    stuck = abs(loss / zero - 1) < PLATEAU and gamma > 0
    evidence.append((stuck, f"The last training loss is {loss:.4f}; at l = 0 it would be {zero:.4f}."))
    inverted = alpha < 0 and auc < INVERTED
    evidence.append((inverted, f"alpha ends at {alpha:.3g}, with validation AUC {auc:.3f}."))
    return _finding("objective", figures, evidence)


def judge_readout(figures: Figures) -> Finding:
    """Suspected if the readout's gradient is zero relative to the weights', or it has not moved."""
    if not figures["has_readout"]:
        text = f"{figures['measurement']} has no trainable readout that could be dead."
        return _finding("readout", figures, [(False, text)])
    if "delta_readout" not in figures:
        return _finding("readout", figures, [], [NO_EPOCH])
    ratio, distance = figures["gradient_norm_beside_weights"], figures["delta_readout"]
    text = f"Its gradient norm reaches {ratio:.2g} of that of the weights; it has moved {distance:.3g}."
    evidence = [(False, text)]
    if ratio < DEAD_RATIO:
        evidence.append((True, f"Its gradient is dead: at most {ratio:.1e} of that of the weights."))
    if distance <= DEAD_RATIO * max(figures["param_norm_readout"], 1e-300):
        rate = f"lr_mult_readout={figures['lr_mult_readout']:g}"
        evidence.append((True, f"It has not moved: {distance:.1e} from its start ({rate})."))
    return _finding("readout", figures, evidence)


def judge_optimiser(figures: Figures, blamed: Sequence[str] = ()) -> Finding:
    """Suspected if training diverged, the circuit moved too little or too far, or loss or AUC got worse."""
    if "not finite" in figures["failure"]:
        return _finding("optimiser", figures, [(True, f"Training diverged: {figures['failure']}")])
    if "epochs" not in figures:
        return _finding("optimiser", figures, [], [NO_EPOCH])
    epochs, distance = figures["epochs"], figures["rms_distance_of_an_angle"]
    moved = f"In {epochs} epochs at lr={figures['lr']:g} a circuit angle has moved {distance:.3g} rad"
    moved += " (root mean square)"
    if distance < TOO_STILL:
        evidence = [(True, f"{moved}: too little to have learnt anything. Raise lr, or train longer.")]
    elif distance > TOO_FAR:
        evidence = [(True, f"{moved}, more than half a turn: steps are too long. Lower lr.")]
    else:
        evidence = [(False, f"{moved}.")]
    if blamed:
        evidence.append(_not_judged(blamed))
    elif epochs >= EPOCHS_TO_JUDGE:
        evidence += _course(figures)
    return _finding("optimiser", figures, evidence)


def _course(figures: Figures) -> Evidence:
    (first, last), best, lost = figures["train_loss"], figures["best_epoch"], figures["auc_lost_since"]
    text = f"Training loss {first:.4f} to {last:.4f}; best epoch {best} of {figures['epochs']}"
    evidence = [(False, f"{text}, {lost:.3f} of AUC lost since.")]
    if last > first * (1 + WORSE):
        rose = (
            f"The training loss rose, from {first:.4f} in the first epoch to {last:.4f} in the last. Lower "
            "lr."
        )
        evidence.append((True, rose))
    if best == figures["first_epoch"] and figures["evaluations"] >= EPOCHS_TO_JUDGE and lost > WORSE:
        fell = f"Epoch {best} was the best, and validation AUC fell by {lost:.3f} afterwards. Lower lr."
        evidence.append((True, fell))
    return evidence
