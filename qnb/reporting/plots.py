"""The figures of a training's report, and the style that all figures share.

Functions take arrays or histories and return a matplotlib Figure; `note` says what the data is, at its foot.
"""

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.typing import RcKeyType
from sklearn.metrics import roc_curve

from qnb.training import metrics

if TYPE_CHECKING:  # what draws a run folder needs no compiler
    from pennylane.operation import Operator

    from qnb.core.circuit import CircuitSpec

# Okabe and Ito
INK, MUTED, BLUE, ORANGE, GREEN, PURPLE = "#222222", "#8a8a8a", "#0072b2", "#d55e00", "#009e73", "#aa4499"
AMBER = "#e69f00"
GROUP_COLOURS = {"weights": BLUE, "readout": ORANGE, "alpha": GREEN, "bias": PURPLE, "scaling": AMBER}
BASELINE_COLOURS = {"logistic": INK, "boosting": MUTED, "twin": PURPLE, "svm": BLUE}
STYLE: dict[RcKeyType, Any] = {
    "figure.dpi": 110,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}
SMALL = 8.0  # points, of a legend's letters
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: the function draws its figure in STYLE."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(
    columns: int = 1, height: float = 3.4, width: float = 11.0, rows: int = 1, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """An empty figure and its panels, row by row; for functions that are `styled`.

    Args:
        columns, rows: of panels.
        height, width: of the figure, in inches.
        **kwargs: passed to `matplotlib.pyplot.subplots`.
    """
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **kwargs)
    plt.close(figure)  # a notebook shows it once, as the value of its cell
    return figure, list(axes.ravel())


def caption(figure: Figure, note: str | None) -> Figure:
    """The figure with `note` at its foot; None leaves it as it is."""
    if note:
        figure.supxlabel(note, fontsize=9, color=MUTED)
    return figure


def legend(axes: Axes, handles: Any = None, labels: Any = None) -> None:
    """Put a panel's legend between its title and its axes, where it covers no data.

    Call it after the title is set. Without labels it does nothing.

    Args:
        handles, labels: entries; by default all labelled artists in the panel.
    """
    if handles is None:
        handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    room = 72 * axes.bbox.width / axes.figure.dpi  # points
    entry = 0.53 * SMALL * max(len(label) for label in labels) + 4.5 * SMALL  # text, handle and gaps
    columns = max(1, min(len(labels), int(room / entry)))
    axes.legend(
        handles,
        labels,
        fontsize=SMALL,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderpad=0.2,
        borderaxespad=0.1,
        columnspacing=1.2,
        labelspacing=0.3,
    )
    axes.set_title(axes.get_title(), pad=8 + 1.45 * SMALL * -(-len(labels) // columns))


def text_instead(axes: Axes, text: str) -> None:
    """Hide a panel's axes and show `text` in place of data: why there are none."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def over(panels: Iterable[Axes], xlabel: str) -> None:
    """Label the x axis of panels over epochs or steps, with ticks at whole numbers."""
    for axes in panels:
        axes.set_xlabel(xlabel)
        whole_ticks(axes)


def whole_ticks(axes: Axes) -> None:
    """Restrict the ticks of the x axis to whole numbers."""
    # its base class, which is what matplotlib promises, has no `integer`
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)


@styled
def circuit(spec: "CircuitSpec", note: str | None = None) -> Figure:
    """Circuit diagram of a `CircuitSpec`: its PennyLane operations packed to the left, wire 0 on top."""
    columns, depth = [], [0] * spec.wires
    for op in spec.operations():
        low, high = min(op.wires), max(op.wires)
        column = max(depth[low : high + 1])
        columns.append((column, op))
        depth[low : high + 1] = [column + 1] * (high + 1 - low)
    width = max(depth) + 1
    figure, (axes,) = new_figure(
        height=0.42 * spec.wires + 0.7, width=min(24.0, max(5.0, 0.29 * width + 1.2))
    )
    axes.hlines(range(spec.wires), -0.6, width - 0.4, color=MUTED, lw=0.8, zorder=0)
    for column, op in columns:
        _draw_operation(axes, column, op)
    for wire, letters in enumerate(zip(*spec.live_words, strict=True)):
        if shown := "".join(sorted(set(letters) - {"I"})):
            axes.text(width - 0.35, wire, f"⟨{shown}⟩", va="center", fontsize=8, color=INK)
    for wire in range(spec.wires):
        axes.text(-0.75, wire, f"wire {wire}", va="center", ha="right", fontsize=8, color=INK)
    axes.set(xlim=(-2.6, width + 1), ylim=(spec.wires - 0.4, -0.7))
    axes.set_axis_off()
    axes.set_title(
        f"{spec.wires} wire{'s' * (spec.wires > 1)}, {spec.layers} layer{'s' * (spec.layers > 1)}: "
        f"{spec.encoder}{' with Hadamard' * spec.hadamard}"
        f"{', re-uploaded' * spec.reupload}{', scaled' * spec.scaling}; {spec.ansatz}; {spec.measurement}",
        fontsize=10,
    )
    return caption(figure, "blue: data, orange: trainable" + (f" · {note}" if note else ""))


def _draw_operation(axes: Axes, column: int, op: "Operator") -> None:
    if op.name == "CNOT":
        control, target = op.wires
        axes.plot([column, column], [control, target], color=INK, lw=0.9)
        axes.plot(column, control, "o", ms=3.5, color=INK)
        axes.plot(column, target, "o", ms=8, mfc="white", mec=INK, mew=0.9)
        axes.plot(column, target, "+", ms=8, color=INK, mew=0.9)
        return
    encodes = any(np.isnan(p).any() for p in op.parameters)
    label = {"Hadamard": "H", "StatePrep": "x"}.get(op.name, f"{op.name}\nx" if encodes else op.name)
    colour = "#cfe3f2" if encodes else "#f6dccb" if op.parameters else "#eeeeee"  # data, trainable, fixed
    low, high = min(op.wires), max(op.wires)
    axes.add_patch(Rectangle((column - 0.42, low - 0.34), 0.84, high - low + 0.68, fc=colour, ec=INK, lw=0.5))
    axes.text(column, (low + high) / 2, label, ha="center", va="center", fontsize=6.5, color=INK)


@styled
def learning_curves(
    history: pd.DataFrame, best_epoch: int, reference: dict[str, float] | None = None, note: str | None = None
) -> Figure:
    """Loss, validation AUC and separation against epoch.

    Args:
        history: the table of `qnb.training.loop.fit`, one row per epoch.
        best_epoch: marked in each panel.
        reference: validation AUCs of baselines to draw as lines, by name.
    """
    figure, (loss, auc, sep) = new_figure(3, height=4.0)
    epoch = history["epoch"]
    loss.plot(epoch, history["train_loss"], "o-", ms=3, color=BLUE, label="training objective")
    spread = history["train_loss_std"]
    loss.fill_between(
        epoch, history["train_loss"] - spread, history["train_loss"] + spread, color=BLUE, alpha=0.15, lw=0
    )
    seen = history.dropna(subset=["val_auc"])
    loss.plot(seen["epoch"], seen["val_loss"], "s-", ms=3, color=ORANGE, label="validation BCE, true prior")
    loss.set(title="Loss", xlabel="epoch", ylabel="loss (nats per row)")
    auc.plot(seen["epoch"], seen["val_auc"], "s-", ms=3, color=ORANGE, label="circuit")
    for name, value in (reference or {}).items():
        colour = BASELINE_COLOURS.get(name, INK)
        auc.axhline(value, color=colour, lw=1, ls="--", label=name)
    auc.set(title="Validation AUC", xlabel="epoch", ylabel="AUC")
    sep.plot(seen["epoch"], seen["val_sep"], "s-", ms=3, color=ORANGE, label="validation")
    sep.set(title="Separation of the classes", xlabel="epoch", ylabel="mean logit, positive − negative")
    for axes in (loss, auc, sep):
        axes.axvline(best_epoch, color=GREEN, lw=1, alpha=0.7, label="best epoch")
        legend(axes)
        whole_ticks(axes)
    return caption(figure, note)


@styled
def learning_signal(history: pd.DataFrame, note: str | None = None) -> Figure:
    """Gradient norm and distance from the initial value per parameter group, and alpha and bias, by epoch.

    Args:
        history: the table of `qnb.training.loop.fit`, one row per epoch.
    """
    figure, (gradient, distance, head) = new_figure(3, height=4.0)
    for group, colour in GROUP_COLOURS.items():
        if f"grad_norm_{group}" not in history:
            continue
        if (history[f"grad_norm_{group}"] > 0).any():
            gradient.plot(
                history["epoch"], history[f"grad_norm_{group}"], "o-", ms=3, color=colour, label=group
            )
        distance.plot(history["epoch"], history[f"delta_{group}"], "o-", ms=3, color=colour, label=group)
    gradient.set(
        title="Gradient norm (mean over batches)",
        xlabel="epoch",
        ylabel="‖gradient‖ (nats per unit)",
        yscale="log",
    )
    distance.set(
        title="Distance from the start",
        xlabel="epoch",
        ylabel="‖change‖ (rad; alpha and bias: units of their own)",
    )
    distance.yaxis.label.set_fontsize(8)
    head.plot(history["epoch"], history["alpha"], "o-", ms=3, color=GREEN, label="alpha")
    head.plot(history["epoch"], history["bias"], "o-", ms=3, color=PURPLE, label="bias")
    head.set(title="Head: logit = alpha (s + bias)", xlabel="epoch", ylabel="value")
    for axes in (gradient, distance, head):
        legend(axes)
        whole_ticks(axes)
    return caption(figure, note)


@styled
def roc(y: np.ndarray, logits: dict[str, np.ndarray], note: str | None = None) -> Figure:
    """ROC curves of several models on the same rows. y: (B,); logits: by model, each (B,)."""
    figure, (axes,) = new_figure(width=4.8, height=4.4)
    for name, values in logits.items():
        colour = BASELINE_COLOURS.get(name, ORANGE)
        fpr, tpr, _ = roc_curve(y, values)
        area = np.trapezoid(tpr, fpr)
        axes.plot(fpr, tpr, color=colour, lw=1.6, label=f"{name}, AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.set(
        title="ROC on the test rows",
        xlabel="false positive rate",
        ylabel="true positive rate",
        aspect="equal",
    )
    legend(axes)
    return caption(figure, note)


@styled
def score_histogram(y: np.ndarray, logits: np.ndarray, threshold: float, note: str | None = None) -> Figure:
    """Histogram of the logits by class, each normalised to 1, with the threshold. y, logits: (B,)."""
    figure, (axes,) = new_figure(width=6.4, height=4.4)
    y, logits = np.asarray(y), np.asarray(logits)
    bins: list[float] = np.linspace(logits.min(), logits.max(), 60).tolist()
    for label, name, colour in ((0, "negative", BLUE), (1, "positive", ORANGE)):
        rows = logits[y == label]
        weights = np.full(len(rows), 1 / len(rows))
        axes.hist(rows, bins, weights=weights, alpha=0.55, color=colour, label=f"{name} ({len(rows):,} rows)")
    axes.axvline(threshold, color=INK, lw=1, label=f"threshold {threshold:.3g}")
    axes.set(title="Logits on the test rows, by class", xlabel="logit", ylabel="share of the class per bin")
    legend(axes)
    return caption(figure, note)


@styled
def reliability(y: np.ndarray, logits: dict[str, np.ndarray], note: str | None = None) -> Figure:
    """Reliability diagram: observed share of positives against predicted probability, in quantile bins.

    y: (B,); logits: by model, each (B,). See `qnb.training.metrics.reliability`.
    """
    figure, (axes,) = new_figure(width=4.8, height=4.4)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":", label="calibrated")
    for name, values in logits.items():
        table, colour = metrics.reliability(values, y), BASELINE_COLOURS.get(name, ORANGE)
        error = metrics.calibration(values, y)["ece"]
        label = f"{name}, ECE {error:.3f}"
        axes.plot(table["predicted"], table["observed"], "o-", ms=3, color=colour, lw=1.2, label=label)
    axes.set(
        title="Reliability on the test rows",
        xlabel="mean predicted probability of the bin",
        ylabel="share of positives in the bin",
        aspect="equal",
    )
    legend(axes)
    return caption(figure, note)
