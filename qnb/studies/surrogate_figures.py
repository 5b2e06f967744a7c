"""The figures of surrogate.ipynb: arrays or tables in, a matplotlib Figure out.

`note` describes the data, at the foot of each.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from qnb.reporting.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    caption,
    legend,
    new_figure,
    styled,
)

MOST_LABELLED = 10  # wires up to which the cells of a matrix carry their numbers


@styled
def composition(shares: np.ndarray, by_wires: np.ndarray, note: str | None = None) -> Figure:
    """The variance of the score by order of interaction, and in main effects and pairs of wires.

    Args:
        shares: (n,) from `qnb.studies.surrogate_anova.Expansion.share_by_order`.
        by_wires: `(2,) * n` from `qnb.studies.surrogate_anova.Expansion.share_by_wires`.
    """
    figure, (bars, pairs) = new_figure(2, height=3.9, gridspec_kw={"width_ratios": [1.2, 1]})
    orders = np.arange(1, len(shares) + 1)
    drawn = bars.bar(orders, shares, color=BLUE, width=0.65)
    bars.bar_label(
        drawn, [f"{share:.1%}" if share >= 0.0005 else "<0.1%" for share in shares], fontsize=8, padding=2
    )
    bars.set(
        title="Variance of the score by order of interaction",
        xlabel="number of wires that interact (1: main effects)",
    )
    bars.set(ylabel="share of variance", xticks=orders, ylim=(0, 1.12 * max(shares)))
    bars.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    matrix = _of_pairs(by_wires)
    image = pairs.imshow(matrix, cmap="Blues", vmin=0)
    pairs.set(title="Main effects (diagonal) and pairs", xlabel="wire", ylabel="wire")
    pairs.set(xticks=range(len(shares)), yticks=range(len(shares)))
    pairs.grid(False)
    for i, j in np.argwhere(np.isfinite(matrix)) if len(shares) <= MOST_LABELLED else ():
        colour = "white" if matrix[i, j] > 0.6 * np.nanmax(matrix) else INK
        pairs.text(j, i, f"{100 * matrix[i, j]:.1f}", ha="center", va="center", fontsize=7, color=colour)
    bar = figure.colorbar(image, ax=pairs, shrink=0.85)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.set_label("share of variance" + (" (cells: in %)" if len(shares) <= MOST_LABELLED else ""))
    return caption(figure, note)


def _of_pairs(by_wires: np.ndarray) -> np.ndarray:
    """(n, n): main effects on the diagonal, pairs below it, NaN above."""
    n = by_wires.ndim
    matrix = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] = by_wires[tuple(int(wire in (i, j)) for wire in range(n))]
    return matrix


@styled
def carried(
    by_terms: pd.DataFrame,
    by_order: pd.DataFrame,
    auc: float,
    lines: dict[str, float],
    min_effect: float,
    note: str | None = None,
) -> Figure:
    """Test AUC of the truncated model against the number of terms kept, and against the order of
    interaction.

    Args:
        by_terms, by_order: tables of `qnb.studies.surrogate`.
        auc: of the whole model.
        lines: test AUCs of other models on the same features, by name.
        min_effect: half the height of the band around the whole model.
    """
    figure, (terms, orders) = new_figure(2, height=3.9, sharey=True)
    terms.semilogx(by_terms["terms"], by_terms["auc"], "o-", ms=3.5, color=BLUE, label="largest terms")
    terms.set(
        title="How few terms carry the ranking",
        xlabel="terms kept, of most variance first",
        ylabel="AUC on the test rows",
    )
    orders.plot(by_order["order"], by_order["auc"], "o-", ms=4.5, color=BLUE, label="parts up to this order")
    orders.plot(
        by_order["order"],
        by_order["fit auc"],
        "s--",
        ms=4.5,
        color=ORANGE,
        label="fit of the logit up to this order",
    )
    orders.set(
        title="How much interaction the ranking needs",
        xlabel="order of interaction",
        xticks=by_order["order"],
    )
    for axes in (terms, orders):
        axes.axhspan(
            auc - min_effect,
            auc + min_effect,
            color=MUTED,
            alpha=0.2,
            lw=0,
            label=f"whole model ± {min_effect:g}",
        )
        for (name, value), style, colour in zip(
            lines.items(), ("--", ":", "-."), (INK, GREEN, MUTED), strict=False
        ):
            axes.axhline(value, color=colour, lw=1.2, ls=style, label=name)
        legend(axes)
    return caption(figure, note)
