"""Focal loss near l = 0: its value and slope there, and how long training takes to leave the plateau."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import jax
import numpy as np
import optax
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from qnb.config import TrainConfig
from qnb.core.circuit import Array
from qnb.core.engine import Maker
from qnb.core.objective import Objective
from qnb.core.settings import own_settings
from qnb.data.prepare import Prepared
from qnb.errors import ParameterError
from qnb.probes.descent import Descent, Head, descend
from qnb.probes.subject import SimulatedModelConfig
from qnb.reporting.verdict import Verdict, answer, unanimous

Loss = Callable[[Array | float, Array | float], Array]  # (l, y) -> nats

# of values and slopes that must agree, relative: single precision, if that is what JAX is set to
TOLERANCE = 1e-6
LEFT = 0.05  # a training has left the plateau when the BCE of its logits is this part below log 2
STALLED = 3.0  # one that takes this many times as long as without focal is stalled


class FocalConfig(SimulatedModelConfig):
    """focal_fixed_point.ipynb."""

    gamma: Annotated[float, Field(gt=0, le=10)] = 2.0
    """trained beside gamma 0"""
    alpha_start: Annotated[float, Field(gt=0.001)] = 0.05
    """small, so that the logits start near zero"""
    rate_sgd: Annotated[float, Field(gt=0)] = 2.0
    """learning rate of SGD; Adam's is lr"""
    steps: Annotated[int, Field(ge=20)] = 120
    """of each training"""
    quick: bool = True
    """False: the trainings repeated with five seeds"""


def value_at_zero(gamma: ArrayLike) -> np.ndarray:
    """Focal loss at l = 0, either label, nats: 2^-gamma log 2 (Lin et al., ICCV 2017, eq. 4, p_t = 1/2)."""
    value: np.ndarray = 2.0 ** -np.asarray(gamma, dtype=float) * np.log(2)
    return value


def slope_at_zero(gamma: ArrayLike) -> np.ndarray:
    """|dL/dl| at l = 0, nats per logit: 2^(-1 - gamma) (1 + gamma log 2), from d/dp_t of
    -(1 - p_t)^gamma log p_t and |dp_t/dl| = 1/4.
    """
    g = np.asarray(gamma, dtype=float)
    slope: np.ndarray = 2.0 ** (-1 - g) * (1 + g * np.log(2))
    return slope


@own_settings()
def at_zero(
    gammas: Iterable[float], loss: Callable[[float], Loss] = lambda gamma: Objective(gamma).loss
) -> pd.DataFrame:
    """Value and slope (by automatic differentiation) of the package's loss at l = 0, with the closed forms.

    Args:
        loss: gamma -> loss(l, y).

    Returns:
        One row per gamma and label: gamma, y, value, |slope|, their closed forms, and attenuation, |slope|
        relative to BCE's.
    """
    rows = [
        {
            "gamma": gamma,
            "y": y,
            "value": float(loss(gamma)(0.0, y)),
            "value, closed form": float(value_at_zero(gamma)),
            "|slope|": abs(float(jax.grad(loss(gamma))(0.0, y))),
            "|slope|, closed form": float(slope_at_zero(gamma)),
        }
        for gamma in gammas
        for y in (0.0, 1.0)
    ]
    table = pd.DataFrame(rows)
    return table.assign(attenuation=table["|slope|"] / slope_at_zero(0))


def curves(gammas: Iterable[float], logits: np.ndarray) -> dict[float, dict[str, np.ndarray]]:
    """By gamma, loss and |slope| at logits (K,) for y = 0 and 1: loss0, loss1, slope0, slope1, each (K,)."""
    by_gamma = {}
    for gamma in gammas:
        objective = Objective(gamma)
        by_gamma[gamma] = {f"loss{y}": np.asarray(objective.loss(logits, float(y))) for y in (0, 1)}
        by_gamma[gamma] |= {
            f"slope{y}": np.abs(np.asarray(objective.slope(logits, float(y)))) for y in (0, 1)
        }
    return by_gamma


def trainings(
    config: TrainConfig,
    prepared: Prepared,
    gamma: float,
    alpha: float,
    rate_sgd: float,
    steps: int,
    seed: int,
    make: Maker | None = None,
) -> dict[tuple[str, float], Descent]:
    """By (optimiser, gamma): short trainings by SGD and Adam with gamma 0 and `gamma`, from the same start
    with the same batches.

    Args:
        config, prepared, steps, seed: see `qnb.probes.descent.descend`; Adam's rate is config.lr.
        alpha: where alpha starts.
        rate_sgd: learning rate of SGD.
        make: see `qnb.probes.subject.subject`.

    Raises:
        WrongGradientError, ParameterError: as `qnb.probes.descent.descend`; a custom loss, which has no
            gamma, is refused.
    """
    optimisers = {"SGD": optax.sgd(rate_sgd), "Adam": optax.adam(config.lr)}
    return {
        (name, g): descend(config, prepared, optimiser, steps, seed, Head(alpha, focal_gamma=g), make=make)
        for name, optimiser in optimisers.items()
        for g in (0.0, gamma)
    }


def left_at(history: pd.DataFrame) -> int | None:
    """The number of steps after which the BCE of the logits is a part LEFT below log 2; None: never.

    It is the BCE for every objective, so that all gammas are compared on the same scale.
    """
    left = history[history["bce"] <= (1 - LEFT) * np.log(2)]["step"]
    return int(left.iloc[0]) if len(left) else None


def times(descents: dict[tuple[str, float], Descent]) -> pd.DataFrame:
    """Per optimiser: steps to leave the plateau without and with focal loss, their ratio (NaN if either
    never left it), and steps trained.

    Args:
        descents: from `trainings`.
    """
    rows: dict[str, dict[str, int | None]] = {}
    for (name, gamma), descent in descents.items():
        rows.setdefault(name, {})["gamma = 0" if gamma == 0 else f"gamma = {gamma:g}"] = left_at(
            descent.history
        )
    table = pd.DataFrame(rows, dtype=float).T
    return table.assign(
        ratio=table.iloc[:, 1] / table.iloc[:, 0],
        trained=float(max(d.history["step"].max() for d in descents.values())),
    )


def judge_value(table: pd.DataFrame) -> Verdict:
    """Do value and slope at l = 0 equal the closed forms, for every gamma and label?

    Args:
        table: from `at_zero`.
    """
    errors = {
        name: float((table[name] / table[f"{name}, closed form"] - 1).abs().max())
        for name in ("value", "|slope|")
    }
    of_gamma = {g: table[table["gamma"] == g] for g in (0, 2) if (table["gamma"] == g).any()}
    shown = {f"value_gamma_{g}": float(rows["value"].iloc[0]) for g, rows in of_gamma.items()}
    shown |= {
        f"attenuation_gamma_{g}": float(rows["attenuation"].iloc[0]) for g, rows in of_gamma.items() if g == 2
    }
    holds = max(errors.values()) <= TOLERANCE
    text = (
        "At l = 0 the loss is 2^-gamma log 2 for any labels, "
        + ", ".join(
            f"{v:.4f} for gamma = {k.split('_')[-1]}" for k, v in shown.items() if k.startswith("value")
        )
        + ". It is a value, not a fixed point: the slope there is 2^(-1 - gamma) (1 + gamma log 2)"
        + (
            f", {shown['attenuation_gamma_2']:.1%} of BCE's for gamma = 2."
            if "attenuation_gamma_2" in shown
            else "."
        )
        if holds
        else f"Value or slope at l = 0 miss the closed forms, by {max(errors.values()):.2g} relative."
    )
    figures = shown | {f"relative_error_{k.strip('|')}": v for k, v in errors.items()}
    return Verdict(
        "At l = 0, is the loss 0.6931 (BCE) and 0.1733 (focal, gamma = 2)?",
        answer(holds),
        figures,
        TOLERANCE,
        text,
    )


def judge_stall(tables: list[pd.DataFrame]) -> Verdict:
    """Does focal loss stall training? Yes if under every optimiser, no if under none.

    It stalls under an optimiser if the median ratio of steps exceeds STALLED. Seeds that say nothing are not
    counted: those in which BCE itself never leaves the plateau, and those in which focal does not but was
    trained for less than STALLED times BCE's steps.

    Args:
        tables: from `times`, one for each seed.
    """
    stacked, clauses = pd.concat(tables), []
    stalled: dict[str, bool] = {}
    focal = stacked.columns[1]
    of_optimiser = {str(name): rows for name, rows in stacked.groupby(level=0, sort=False)}
    for name, rows in of_optimiser.items():
        left = rows.dropna(subset=["gamma = 0"])
        usable = left[left[focal].notna() | (left["trained"] >= STALLED * left["gamma = 0"])]
        if usable.empty:
            reason = (
                f"BCE takes {left['gamma = 0'].median():g} steps and focal more than the "
                f"{rows['trained'].max():g} trained, too few to tell"
            )
            clauses.append(f"under {name} " + (reason if len(left) else "not even BCE leaves"))
            continue
        never = int(usable[focal].isna().sum())
        ratio = float(usable["ratio"].fillna(np.inf).median())
        stalled[name] = ratio > STALLED
        without, with_focal = usable["gamma = 0"].median(), usable[focal].fillna(np.inf).median()
        clauses.append(
            f"under {name} BCE takes {without:g} steps and focal "
            + (
                f"{with_focal:g} ({ratio:.1f} times)"
                if np.isfinite(ratio)
                else f"does not in {usable['trained'].max():g} ({never} of {len(usable)} seeds)"
            )
        )
    figures: dict[str, Any] = {name: rows.to_dict("list") for name, rows in of_optimiser.items()} | {
        "stalled": stalled
    }
    text = f"To bring the BCE {LEFT:.0%} under log 2, {'; '.join(clauses)}."
    return Verdict(
        f"Does focal loss ({focal}) stall training that starts near l = 0?",
        unanimous(stalled.values()),
        figures,
        {"stalled from (times)": STALLED, "left below log 2": LEFT},
        text,
    )


def refusal(make: Callable[[dict[str, Any]], object] = TrainConfig.make) -> str | None:
    """The package's error message for focal loss with balanced batches; None if they are accepted.

    The research note's code silently set gamma to 0.
    """
    try:
        make({"focal_gamma": 2.0, "balanced_batches": True})
    except ParameterError as error:
        return str(error)
    return None


def judge_refusal(message: str | None) -> Verdict:
    """Is focal loss with balanced batches refused? `message`: from `refusal`."""
    text = (
        "It is refused with a message."
        if message
        else "It is accepted: what runs may not be what was asked for."
    )
    return Verdict(
        "Is focal loss with balanced batches refused?",
        answer(message is not None),
        {"message": message},
        None,
        text,
    )
