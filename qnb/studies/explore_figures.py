"""The figures of explore.ipynb."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qnb.core.objective import Objective
from qnb.reporting.plots import (
    BLUE,
    GREEN,
    GROUP_COLOURS,
    INK,
    MUTED,
    ORANGE,
    caption,
    legend,
    new_figure,
    styled,
    whole_ticks,
)
from qnb.studies.explore import Bench, Hand, InputResult
from qnb.training.metrics import Row

FLOOR = 1e-9  # a gradient below it is drawn as none


def steady(values: np.ndarray | float, least: float) -> float:
    """The smallest number 1, 2 or 5 times a power of ten that is at least `least` and no |value| exceeds: an
    axis limit that stays the same while a slider moves, until the values outgrow it.
    """
    largest = max(float(np.abs(values).max()), least)
    decade = 10.0 ** np.floor(np.log10(largest))
    return float(next(step * decade for step in (1, 2, 5, 10) if step * decade >= largest * (1 - 1e-12)))


@styled
def reading(bench: Bench, hand: Hand, result: InputResult, note: str | None = None) -> Figure:
    """Score and logit against the input's first feature, the loss with its slope against the logit, and the
    gradient norm per group.
    """
    figure, (score, logit, loss, gradient) = new_figure(4, height=3.2, width=14.0)
    values, scores, logits = bench.scan(hand)
    xlabel = "first entry of x" if bench.config.encoder == "amplitude" else "first angle (rad)"
    for axes, line, value, title in (
        (score, scores, result.score, "Score s"),
        (logit, logits, result.logit, "Logit l = alpha (s + bias)"),
    ):
        axes.plot(values, line, color=BLUE, lw=1.4)
        axes.plot(hand.feature, value, "o", color=ORANGE, ms=8)
        axes.axhline(0, color=INK, lw=0.8)
        high = 1.05 * steady(line, 1.0)
        axes.set(title=f"{title}: {value:+.3f}", xlabel=xlabel, ylabel=title.split()[0].lower())
        axes.set(xlim=_widened(*bench.feature_range), ylim=(-high, high))
    _loss(loss, hand, result)
    _gradient(gradient, result)
    return caption(figure, note)


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _loss(axes: Axes, hand: Hand, result: InputResult) -> None:
    reach = steady(result.logit, 5.0)
    l = np.linspace(-reach, reach, 121)
    if hand.gamma > 0:
        axes.plot(l, Objective().loss(l, result.y), ":", color=MUTED, lw=1.2, label="gamma = 0")
    axes.plot(l, Objective(hand.gamma).loss(l, result.y), color=BLUE, lw=1.4, label=f"gamma = {hand.gamma:g}")
    axes.plot(result.logit, result.loss, "o", color=ORANGE, ms=8)
    near = result.logit + np.array([-0.25, 0.25]) * reach
    axes.plot(
        near,
        result.loss + result.slope * (near - result.logit),
        color=ORANGE,
        lw=1.6,
        label=f"slope {result.slope:+.3f}",
    )
    axes.set(
        title=f"Loss, label {result.y:.0f}: {result.loss:.4f}",
        xlabel="logit",
        ylabel="loss (nats)",
        xlim=(-reach, reach),
        ylim=(-0.04 * reach, 1.04 * reach),
    )
    legend(axes)


def _gradient(axes: Axes, result: InputResult) -> None:
    norms = {
        group: float(np.linalg.norm(result.gradient[group]))
        for group in GROUP_COLOURS
        if group in result.gradient
    }
    for place, (group, norm) in enumerate(norms.items()):
        axes.barh(group, max(norm, FLOOR), color=GROUP_COLOURS[group])
        axes.text(
            max(norm, FLOOR) * 1.3, place, f"{norm:.2e}" if norm > FLOOR else "0", va="center", fontsize=8
        )
    axes.set(
        title="Gradient of this loss",
        xlabel="‖gradient‖ (nats per unit)",
        xscale="log",
        xlim=(FLOOR, 1e4),
        ylabel="group",
    )
    axes.invert_yaxis()


@styled
def live(rows: list[Row], epochs: int, note: str | None = None) -> Figure:
    """Loss and validation AUC of the epochs finished so far, on axes with room for all epochs.

    Args:
        rows: the history so far, as `qnb.training.loop.fit` passes it to `on_epoch`.
        epochs: of the whole training.
    """
    figure, (loss, auc) = new_figure(2, height=3.2)
    history = pd.DataFrame(rows, columns=None if rows else ["epoch", "train_loss"])
    loss.plot(history["epoch"], history["train_loss"], "o-", ms=3, color=BLUE, label="training objective")
    if "val_auc" in history:
        evaluated = history.dropna(subset=["val_auc"])
        loss.plot(
            evaluated["epoch"],
            evaluated["val_loss"],
            "s-",
            ms=3,
            color=ORANGE,
            label="validation BCE, true prior",
        )
        auc.plot(evaluated["epoch"], evaluated["val_auc"], "s-", ms=3, color=GREEN, label="validation")
    loss.set(title=f"Loss, {len(history)} of {epochs} epochs", ylabel="loss (nats per row)")
    auc.set(title="Validation AUC", ylabel="AUC")
    for axes in (loss, auc):
        axes.set(xlabel="epoch", xlim=(0.5, epochs + 0.5))
        whole_ticks(axes)
        if axes.lines:
            legend(axes)
    return caption(figure, note)
