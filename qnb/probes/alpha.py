"""The effect of a sign change of alpha: at fixed scores, where it is an identity, and in training, where the
circuit may adapt.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from qnb.config import TrainConfig
from qnb.core.circuit import Params, of_circuit
from qnb.core.engine import Maker
from qnb.core.objective import Objective
from qnb.data.prepare import Prepared
from qnb.probes.descent import WATCHED_ROWS, Descent, Head, descend
from qnb.probes.subject import SimulatedModelConfig
from qnb.reporting.verdict import Verdict, answer
from qnb.training import metrics
from qnb.training.optimiser import make_optimiser
from qnb.training.state import circuit_of, engine_of

TOLERANCE = 1e-12  # of AUC(-alpha) = 1 - AUC(alpha)
MARGIN = 0.02  # an AUC under 0.5 - MARGIN is an inverted ranking
END = 0.1  # the part of a training, its last, that says how it ended
ARMS = ("direct", "softplus", "alpha fixed", "direct, circuit held still")


class AlphaConfig(SimulatedModelConfig):
    """alpha_sign_inversion.ipynb."""

    alpha_start: Annotated[float, Field(gt=0.001)] = 0.05
    """where alpha starts, in both modes"""
    push: Annotated[float, Field(gt=0)] = 0.5
    """|mean(s) + bias| at the start, on the side that pulls alpha down"""
    steps: Annotated[int, Field(ge=20)] = 120
    """of each training, by Adam"""
    quick: bool = True
    """False: the trainings repeated with ten seeds"""


def sweep(scores: np.ndarray, y: np.ndarray, bias: float, alphas: Iterable[float]) -> pd.DataFrame:
    """One row per alpha: AUC of alpha (s + bias), and BCE (nats) with the bias inside, alpha (s + b), and
    outside, alpha s + b.

    Args:
        scores, y: (B,) scores s and labels in {0, 1}.
    """
    scores = np.asarray(scores, dtype=np.float64)
    rows = [
        {
            "alpha": a,
            "auc": metrics.auc(a * (scores + bias), y),
            "loss_inside": metrics.bce(a * (scores + bias), y),
            "loss_outside": metrics.bce(a * scores + bias, y),
        }
        for a in alphas
    ]
    return pd.DataFrame(rows)


def pushing_bias(mean_score: float, prior: float, push: float) -> float:
    """The bias that makes Adam pull alpha down through zero at the start: mean(s) + bias = -push, or +push
    where the prior is below 1/2.

    dL/dalpha = mean((p - y)(s + b)) is about (1/2 - prior)(mean(s) + b) at l = 0.
    """
    return -mean_score - float(np.copysign(push, prior - 0.5))


def trainings(
    config: TrainConfig,
    prepared: Prepared,
    alpha: float,
    push: float,
    steps: int,
    seed: int,
    make: Maker | None = None,
) -> dict[str, Descent]:
    """The arms (ARMS) by name, all with the same seed, batches and rate: `direct` and `softplus` from the
    same small alpha; alpha fixed at 1; and the circuit that softplus trained, frozen while its head is
    trained again as in the first arm.

    Args:
        alpha: where alpha starts.
        push: see `pushing_bias`.
        steps: of each training.
        make: see `qnb.probes.subject.subject`.

    Raises:
        WrongGradientError, ParameterError: as `qnb.probes.descent.descend`.
    """
    prior = prepared.prior

    def arm(mode: str, alpha: float, frozen: Params | None = None, **changes: Any) -> Descent:
        optimiser = make_optimiser(config.model_copy(update={"alpha_train": True} | changes), steps)
        bias = pushing_bias(_mean_score(config, prepared, seed, frozen, make), prior, push)
        return descend(config, prepared, optimiser, steps, seed, Head(alpha, bias, mode), frozen, make)

    arms = {
        "direct": arm("direct", alpha),
        "softplus": arm("softplus", alpha),
        "alpha fixed": arm("softplus", 1.0, alpha_train=False),
    }
    still = {
        "lr_mult_weights": 0.0,
        "lr_mult_readout": 0.0,
        "weight_decay_weights": 0.0,
        "weight_decay_readout": 0.0,
        "lr_mult_scaling": 0.0,
        "weight_decay_scaling": 0.0,
    }
    circuit = of_circuit(arms["softplus"].params)
    return arms | {"direct, circuit held still": arm("direct", alpha, circuit, **still)}


def _mean_score(
    config: TrainConfig, prepared: Prepared, seed: int, circuit: Params | None, make: Maker | None
) -> float:
    spec = circuit_of(config)
    engine = engine_of(config, spec, Objective(alpha_mode="direct"), make)
    return float(engine.scores(spec.init(seed) | (circuit or {}), prepared.X["train"][:WATCHED_ROWS]).mean())


def kind(history: pd.DataFrame) -> str:
    """The kind of inversion in a training's history: "none", "transient" or "lasting".

    A step is inverted if alpha < 0 and AUC < 0.5 - MARGIN; "lasting" means more than half of the last tenth
    of the steps.
    """
    inverted = (history["alpha"] < 0) & (history["auc"] < 0.5 - MARGIN)
    if not inverted.any():
        return "none"
    end = inverted.tail(max(1, int(END * len(history))))
    return "lasting" if end.mean() > 0.5 else "transient"


def summary(arms: dict[str, Descent]) -> pd.DataFrame:
    """The end of each training: alpha, bias, auc, auc_s, sep, bce, and the `kind` of its inversion."""
    rows = {
        name: dict(descent.history.iloc[-1]) | {"inversion": kind(descent.history)}
        for name, descent in arms.items()
    }
    return pd.DataFrame(rows).T[["alpha", "bias", "auc", "auc_s", "sep", "bce", "inversion"]]


def judge_identity(table: pd.DataFrame) -> Verdict:
    """Is AUC(-alpha) = 1 - AUC(alpha) at fixed scores? Inconclusive if the AUC is within MARGIN of 1/2.

    Args:
        table: from `sweep`, over alphas that are symmetric about zero.
    """
    auc = table.set_index("alpha")["auc"]
    positive = auc[auc.index > 0]
    errors = [abs(auc[-a] + auc[a] - 1) for a in positive.index]
    worst, ranked = float(max(errors)), float(positive.iloc[-1])
    informative = abs(ranked - 0.5) > MARGIN  # with an AUC of 0.5 there is nothing to invert
    holds = worst <= TOLERANCE and informative and positive.max() - positive.min() <= TOLERANCE
    text = (
        f"AUC is {ranked:.4f} for every alpha > 0 and {float(auc[-positive.index[-1]]):.4f} for every alpha "
        "< 0: only the sign counts."
        if holds
        else f"AUC(-alpha) + AUC(alpha) - 1 reaches {worst:.2g}."
        if informative
        else f"AUC is {ranked:.4f}, within {MARGIN:g} of chance: there is no ranking to invert."
    )
    figures = {"auc_positive": ranked, "worst_error": worst}
    return Verdict(
        "At fixed s, does a negative alpha turn AUC into 1 - AUC?",
        answer(bool(holds) if informative else None),
        figures,
        TOLERANCE,
        text,
    )


def judge_training(histories: list[pd.DataFrame]) -> Verdict:
    """Did an alpha that may change sign leave the ranking inverted in most of these trainings?

    Args:
        histories: of `qnb.probes.descent.Descent`, one for each seed.
    """
    kinds = [kind(h) for h in histories]
    lasting = kinds.count("lasting")
    holds = None if 2 * lasting == len(kinds) else 2 * lasting > len(kinds)
    shown = max(("transient", "none") if holds is False else ("lasting",), key=kinds.count)
    h = histories[kinds.index(shown)]
    inverted = h[(h["alpha"] < 0) & (h["auc"] < 0.5 - MARGIN)]["step"]
    counts = {name: kinds.count(name) for name in ("none", "transient", "lasting")}
    figures = {
        "kinds": counts,
        "steps_inverted": len(inverted),
        "steps_negative": int((h["alpha"] < 0).sum()),
        "steps": int(h["step"].max()),
        "lowest_auc": float(h["auc"].min()),
        "final_auc": float(h["auc"].iloc[-1]),
        "final_auc_s": float(h["auc_s"].iloc[-1]),
        "final_alpha": float(h["alpha"].iloc[-1]),
    }
    end = (
        f"it ends with alpha = {figures['final_alpha']:.2f}, AUC {figures['final_auc']:.3f} (of the score "
        f"alone {figures['final_auc_s']:.3f})"
    )
    text = {
        "none": (
            f"alpha is negative in {figures['steps_negative']} of {figures['steps']} steps and the ranking "
            f"is never upside down; {end}."
        ),
        "transient": (
            f"The ranking is upside down in {len(inverted)} of {figures['steps']} steps, then the circuit "
            f"adapts; {end}."
        ),
        "lasting": (
            f"The ranking is upside down in {len(inverted)} of {figures['steps']} steps and stays so; {end}."
        ),
    }[shown]
    if len(kinds) > 1:
        text += " Of the seeds: " + ", ".join(f"{n} {name}" for name, n in counts.items()) + "."
    return Verdict(
        "Does a direct alpha leave the ranking inverted at the end of training?",
        answer(holds),
        figures,
        MARGIN,
        text,
    )


def judge_cure(softplus: pd.DataFrame, fixed: pd.DataFrame) -> Verdict:
    """Does softplus keep alpha positive, and alpha_train=False keep it fixed, so that the loss falls by the
    circuit and the bias alone?

    Args:
        softplus, fixed: the histories of these two arms.
    """
    lowest, moved = (
        float(softplus["alpha"].min()),
        float((fixed["alpha"] - fixed["alpha"].iloc[0]).abs().max()),
    )
    holds = lowest > 0 and moved == 0
    figures = {
        "lowest_alpha_softplus": lowest,
        "largest_move_fixed": moved,
        "loss_softplus": float(softplus["bce"].iloc[-1]),
        "loss_fixed": float(fixed["bce"].iloc[-1]),
    }
    text = (
        f"With softplus alpha stays above {lowest:.3f}. With alpha_train=False it does not move, and the "
        f"loss falls from {fixed['bce'].iloc[0]:.3f} to {fixed['bce'].iloc[-1]:.3f} by the circuit and the "
        f"bias alone ({softplus['bce'].iloc[-1]:.3f} with alpha)."
        if holds
        else f"alpha reaches {lowest:.3f} with softplus, and moves by {moved:.3g} where it was held fixed."
    )
    return Verdict(
        "Does softplus keep alpha positive, and alpha_train=False keep it fixed?",
        answer(bool(holds)),
        figures,
        0.0,
        text,
    )
