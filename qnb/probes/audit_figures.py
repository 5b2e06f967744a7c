"""The figures of gradient_audit.ipynb; `note` says what was measured, at the foot of each."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qnb import own
from qnb.probes.audit import CHAIN, NONE, OWN, REPEATED, SAME, STRIDES, SUM, ZERO, Outcome, Reference
from qnb.probes.formulations import FORMULATIONS
from qnb.reporting.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    caption,
    legend,
    new_figure,
    over,
    styled,
    text_instead,
)
from qnb.training.metrics import Row

VERDICTS = {  # verdict -> colour of its cells
    "right": "#a6dcc4",
    "wrong": "#f0a986",
    "does not compile": "#dddddd",
    "crashed": "#c9b3da",
    "timed out": "#c9b3da",
    "not applicable": "#ffffff",
}
LAWS = {  # law -> its code in a cell, and in words
    SUM: ("S", "one row for all"),
    SAME: ("X", "one row's x for all"),
    OWN: ("1", "one row alone"),
    REPEATED: ("B", "one row, B times"),
    CHAIN: ("C", "one row's score in the chain rule"),
    ZERO: ("0", "zero"),
    STRIDES: ("M", "memory order"),
    NONE: ("?", "no known law"),
}


@styled
def verdict_grid(outcomes: Sequence[Outcome], note: str | None = None) -> Figure:
    """Grid of verdicts as colours, one row per formulation, one column per stack and measurement; a wrong
    one shows the code of its law.

    Args:
        outcomes: of `qnb.probes.audit.audit`.
    """
    columns = list(dict.fromkeys((o.stack, o.measurement) for o in outcomes))
    keys = [key for key in FORMULATIONS if any(o.key == key for o in outcomes)]
    names = list(VERDICTS)
    cells = np.full((len(keys), len(columns)), len(names) - 1)
    figure, (axes,) = new_figure(width=6.0 + 0.72 * max(len(columns), 4), height=2.0 + 0.25 * len(keys))
    figure.set_dpi(85)
    for o in outcomes:
        row, column = keys.index(o.key), columns.index((o.stack, o.measurement))
        cells[row, column] = names.index(o.verdict)
        text = {"wrong": _codes(o), "does not compile": "–", "not applicable": ""}.get(o.verdict, o.verdict)
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=INK)
    axes.imshow(
        cells, cmap=ListedColormap(list(VERDICTS.values())), vmin=-0.5, vmax=len(names) - 0.5, aspect="auto"
    )
    axes.set_xticks(range(len(columns)), [_column_title(*column) for column in columns], fontsize=9)
    axes.set_yticks(range(len(keys)), [_shorter(FORMULATIONS[key].title) for key in keys], fontsize=9)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(keys)), minor=True)
    axes.grid(False)
    axes.grid(which="minor", color="white", lw=1.5, alpha=1)
    axes.tick_params(which="both", length=0)
    axes.set_title("Gradient of a batch against default.qubit", pad=12)
    axes.set_xlabel(_key_to_codes(outcomes), fontsize=9, loc="right")
    return caption(figure, note)


def _column_title(stack: str, measurement: str) -> str:
    return f"{stack}\n{own.place(measurement)}".replace(" (current)", "*").replace("_readout", "\nreadout")


def _codes(o: Outcome) -> str:
    """The law of the weights, and that of the readout where it is another one."""
    laws = {group: LAWS[law.name][0] for group, law in o.laws.items()}
    weights, readout = laws.get("weights"), laws.get("readout")
    if weights == readout or readout is None:
        return weights or "head"
    return f"{weights or ''} w:{readout}".strip()


def _key_to_codes(outcomes: Iterable[Outcome]) -> str:
    present = {law.name for o in outcomes for law in o.laws.values()}
    codes = [f"{code}: {words}" for name, (code, words) in LAWS.items() if name in present]
    return "\n".join(
        [
            "wrong by which law: " + ", ".join(codes) + ", w: of the readout" if codes else "",
            "–: does not compile; *: the current stack",
        ]
    )


def _shorter(title: str, width: int = 80) -> str:
    return title if len(title) <= width else title[: width - 1] + "…"


@styled
def row_weights(
    outcomes: Sequence[Outcome], references: dict[str, Reference], note: str | None = None
) -> Figure:
    """Weights of the rows' derivatives in the gradient, c_k in Σ_k c_k ds_k/dθ: the right ones, dL/ds_k, and
    those found.

    One panel for the first outcome of each one-sample law, and one for the last stack's first such outcome.

    Args:
        outcomes: of `qnb.probes.audit.audit`; those whose weights follow a one-sample law are considered.
        references: by measurement.
    """
    lawful = [o for o in outcomes if "weights" in o.laws and o.laws["weights"].k is not None]
    first = {o.laws["weights"].name: o for o in reversed(lawful)}
    last = next((o for o in lawful if o.stack == outcomes[-1].stack), None) if lawful else None
    shown = list({id(o): o for o in [*reversed(first.values()), *([last] if last else [])]}.values())
    figure, axes = new_figure(max(len(shown), 1), height=3.2, width=max(4.5, 3.4 * len(shown)))
    for panel, o in zip(axes, shown, strict=False):
        right, fitted = references[o.measurement].d_scores, o.laws["weights"].coefficients
        rows = np.arange(len(right))
        panel.bar(rows - 0.2, right, 0.4, color=GREEN, label="right: dL/ds_k")
        panel.bar(rows + 0.2, fitted, 0.4, color=ORANGE, label="found")
        panel.axhline(0, color=MUTED, lw=0.8)
        panel.set(
            title=f"{o.stack}, {o.measurement}",
            xlabel=f"row k of the batch\n{_shorter(o.title, 44)}",
            xticks=rows,
        )
        panel.xaxis.label.set_fontsize(8)
    if shown:
        axes[0].set_ylabel("weight of ds_k/dθ (nats)")
        legend(axes[0])
    else:
        text_instead(axes[0], "no wrong gradient to take apart")
    return caption(figure, note)


@styled
def consequence(histories: dict[str, list[Row]], note: str | None = None) -> Figure:
    """Loss, validation AUC and gradient norm of the weights by epoch, one line per training.

    Args:
        histories: by name, history rows.
    """
    figure, (loss, auc, norm) = new_figure(3)
    for (name, rows), colour in zip(histories.items(), (GREEN, ORANGE, BLUE, PURPLE), strict=False):
        epoch = [row["epoch"] for row in rows]
        for axes, key in ((loss, "train_loss"), (auc, "val_auc"), (norm, "grad_norm_weights")):
            axes.plot(epoch, [row[key] for row in rows], "o-", ms=3, color=colour, label=f"{name} gradient")
    auc.axhline(0.5, color=MUTED, lw=0.8)
    loss.set(title="Training objective", ylabel="loss (nats per row)")
    auc.set(title="Validation AUC", ylabel="AUC")
    norm.set(title="Gradient norm of the weights, as returned", ylabel="‖gradient‖ (nats per rad)")
    norm.set_ylim(bottom=0)
    legend(loss)
    over((loss, auc, norm), "epoch")
    return caption(figure, note)
