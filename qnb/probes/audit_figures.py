"""The figures of gradient_audit.ipynb and throughput.ipynb; `note` says what the data or the machine is."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qnb.plots import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, _caption, _figure
from qnb.probes.audit import NONE, OWN, SAME, STRIDES, SUM, ZERO
from qnb.probes.formulations import FORMULATIONS

VERDICTS = {  # verdict -> colour of its cells
    "right": "#a6dcc4", "wrong": "#f0a986", "does not compile": "#dddddd", "crashed": "#c9b3da", "timed out": "#c9b3da",
    "not applicable": "#ffffff",
}  # fmt: skip
SHORT = {
    SUM: "one row for all",
    SAME: "one row's x for all",
    OWN: "one row alone",
    ZERO: "zero",
    STRIDES: "memory order",
    NONE: "other",
}


def verdict_grid(outcomes, note: str | None = None) -> Figure:
    """One row per formulation, one column per stack and measurement, the verdict as colour; where wrong, how.

    Args:
        outcomes: of `qnb.probes.audit.audit`.
    """
    columns = list(dict.fromkeys((o.stack, o.measurement) for o in outcomes))
    keys = [key for key in FORMULATIONS if any(o.key == key for o in outcomes)]
    names = list(VERDICTS)
    cells = np.full((len(keys), len(columns)), len(names) - 1)
    figure, (axes,) = _figure(width=6.2 + 1.25 * len(columns), height=1.6 + 0.27 * len(keys))
    for o in outcomes:
        row, column = keys.index(o.key), columns.index((o.stack, o.measurement))
        cells[row, column] = names.index(o.verdict)
        text = {"wrong": _how(o), "right": "right", "does not compile": "–", "not applicable": ""}.get(o.verdict, o.verdict)
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=INK)
    axes.imshow(cells, cmap=ListedColormap(list(VERDICTS.values())), vmin=-0.5, vmax=len(names) - 0.5, aspect="auto")
    axes.set_xticks(range(len(columns)), [f"{stack}\n{measurement}" for stack, measurement in columns], fontsize=8)
    axes.set_yticks(range(len(keys)), [_shorter(FORMULATIONS[key].title) for key in keys], fontsize=8)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(keys)), minor=True)
    axes.grid(False)
    axes.grid(which="minor", color="white", lw=1.5, alpha=1)
    axes.tick_params(which="both", length=0)
    axes.set_title("Gradient of a batch against default.qubit (– does not compile)", pad=12)
    return _caption(figure, note)


def _how(o):
    if not o.laws:
        return "wrong: not finite, or head only"
    return "\n".join(dict.fromkeys(SHORT.get(law.name, law.name) for law in o.laws.values()))


def _shorter(title, width=66):
    return title if len(title) <= width else title[: width - 1] + "…"


def row_weights(outcomes, references, note: str | None = None, most: int = 4) -> Figure:
    """The weight that each row's derivative has in the gradient, c in Σ_k c_k ds_k/dθ: the right one, dL/ds_k, beside the one found.

    Args:
        outcomes: wrong ones, at most `most` are drawn.
        references: by measurement.
    """
    shown = [o for o in outcomes if "weights" in o.laws][:most]
    figure, axes = _figure(max(len(shown), 1), height=3.2, width=max(4.5, 3.4 * len(shown)))
    for panel, o in zip(axes, shown, strict=False):
        right, found = references[o.measurement].d_scores, o.laws["weights"].coefficients
        rows = np.arange(len(right))
        panel.bar(rows - 0.2, right, 0.4, color=GREEN, label="right: dL/ds_k")
        panel.bar(rows + 0.2, found, 0.4, color=ORANGE, label="found")
        panel.axhline(0, color=MUTED, lw=0.8)
        panel.set(title=f"{o.stack}, {o.measurement}", xlabel=f"row k of the batch\n{_shorter(o.title, 46)}", xticks=rows)
        panel.xaxis.label.set_fontsize(8)
    if shown:
        axes[0].set_ylabel("weight of ds_k/dθ (nats)")
        axes[0].legend(fontsize=8)
    else:
        axes[0].text(0.5, 0.5, "no wrong gradient to take apart", ha="center", transform=axes[0].transAxes)
    return _caption(figure, note)


def consequence(histories, note: str | None = None) -> Figure:
    """Loss, validation AUC and gradient norm against epoch, one line per training. histories: name -> history rows."""
    figure, (loss, auc, norm) = _figure(3)
    for (name, rows), colour in zip(histories.items(), (GREEN, ORANGE, BLUE, PURPLE), strict=False):
        epoch = [row["epoch"] for row in rows]
        for axes, key in ((loss, "train_loss"), (auc, "val_auc"), (norm, "grad_norm_weights")):
            axes.plot(epoch, [row[key] for row in rows], "o-", ms=3, color=colour, label=f"{name} gradient")
    auc.axhline(0.5, color=MUTED, lw=0.8)
    loss.set(title="Training objective", ylabel="loss (nats per row)")
    auc.set(title="Validation AUC", ylabel="AUC")
    norm.set(title="Gradient norm of the weights, as returned", ylabel="‖gradient‖ (nats per rad)")
    norm.set_ylim(bottom=0)
    for axes in (loss, auc, norm):
        axes.set_xlabel("epoch")
        axes.legend(fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _caption(figure, note)
