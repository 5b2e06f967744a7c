"""The figures of an ablation.

Each takes what `qnb.statistics.compare.compare` returns, or histories, and returns a matplotlib Figure.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    styled,
    whole_ticks,
)
from qnb.statistics.compare import Comparison
from qnb.studies.over_tables import BASE, OverTables

# Okabe and Ito; the reference is first
ARM_COLOURS = (INK, ORANGE, BLUE, GREEN, PURPLE, "#e69f00", "#56b4e9", "#999933")
DECISION_COLOURS = {
    "better": GREEN,
    "worse": ORANGE,
    "equivalent": BLUE,
    "undecided": MUTED,
    "identical": PURPLE,
}


@styled
def forest(comparison: Comparison, note: str | None = None) -> Figure:
    """Forest plot of the differences to the reference: for each arm every seed, the mean, the intervals that
    decide, and the margin of equivalence.
    """
    rows = list(comparison.differences.values())
    figure, (axes,) = new_figure(height=1.9 + 0.62 * len(rows), width=9.5)
    axes.axvspan(
        -comparison.min_effect,
        comparison.min_effect,
        color=BLUE,
        alpha=0.1,
        lw=0,
        label=f"±{comparison.min_effect:g}, would not matter",
    )
    axes.axvline(0, color=INK, lw=0.8)
    for row, d in enumerate(rows):
        colour, first = DECISION_COLOURS[d.decision], row == 0
        seeds = np.array(d.values)
        axes.plot(
            seeds,
            np.full(len(seeds), row + 0.22),
            "|",
            ms=8,
            color=INK,
            alpha=0.55,
            label="one seed" if first else None,
        )
        kind = "Holm interval" if len(rows) > 1 else "95 % interval"
        butt: Any = {"color": colour, "solid_capstyle": "butt"}  # a line that ends where its interval ends
        axes.plot(d.holm, [row, row], "-", lw=1.4, label=f"{kind} (better, worse)" if first else None, **butt)
        axes.plot(
            d.interval_90,
            [row, row],
            "-",
            lw=4.5,
            label="90 % interval (equivalent)" if first else None,
            **butt,
        )
        axes.plot(d.mean, row, "o", ms=6.5, mfc="white", mec=colour, mew=1.6)
        words = f"{d.mean:+.4f}  {d.decision}"
        axes.text(
            1.01, row, words, transform=axes.get_yaxis_transform(), va="center", color=colour, fontsize=10
        )
    axes.set(yticks=range(len(rows)), yticklabels=[d.arm for d in rows], ylim=(len(rows) - 0.45, -0.55))
    axes.set(
        title=f"Differences over {comparison.seeds} seeds, each arm minus {comparison.reference}",
        xlabel=f"difference in {comparison.metric}",
        ylabel="arm",
    )
    axes.grid(False, axis="y")
    legend = axes.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.5 / figure.get_figheight() - 0.08), ncols=4
    )
    lines: list[Any] = legend.legend_handles[2:]
    for handle in lines:
        handle.set_color(INK)
    return caption(figure, note)


@styled
def over_tables(found: OverTables, note: str | None = None) -> Figure:
    """For each arm, its difference on every table and over tables, with 95 % intervals."""
    arms = found.arms
    names = [*found.comparisons, *(["overall"] if found.overall else [])]
    figure, panels = new_figure(len(arms), height=1.6 + 0.34 * len(names), width=3.0 + 2.6 * len(arms))
    margin = found.comparisons[BASE].min_effect
    for axes, arm in zip(panels, arms, strict=True):
        axes.axvspan(-margin, margin, color=BLUE, alpha=0.1, lw=0)
        axes.axvline(0, color=INK, lw=0.8)
        for row, (name, d) in enumerate(found.of(arm).items()):
            colour = DECISION_COLOURS[d.decision]
            axes.plot(d.stated, [row, row], "-", lw=2, color=colour)
            axes.plot(d.mean, row, "D" if name == "overall" else "o", ms=5, color=colour)
        axes.set(title=arm, xlabel="difference in test AUC", ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(range(len(names)), names if axes is panels[0] else [""] * len(names))
        axes.grid(False, axis="y")
        axes.locator_params(axis="x", nbins=4)
    return caption(figure, note)


@styled
def slopes(comparison: Comparison, note: str | None = None) -> Figure:
    """One line per seed across the arms, the reference first, and the means; lines that run in parallel show
    the pairing.
    """
    names = [comparison.reference, *comparison.differences]
    values = np.array([comparison.arms[name].values for name in names])  # (arms, S)
    figure, (axes,) = new_figure(height=4.2, width=min(11.0, 2.6 + 1.5 * len(names)))
    places = np.arange(len(names))
    for seed, line in enumerate(values.T):
        axes.plot(
            places,
            line,
            "o-",
            ms=3.5,
            lw=0.9,
            color=MUTED,
            alpha=0.75,
            label="one seed" if seed == 0 else None,
        )
    axes.plot(
        places,
        [comparison.arms[name].mean for name in names],
        "D-",
        ms=6,
        lw=2,
        color=ORANGE,
        label="mean of the seeds that ended",
    )
    axes.set(
        xticks=places,
        xlim=(-0.35, len(names) - 0.65),
        title="The same seeds in every arm",
        xlabel="arm",
        ylabel=comparison.metric,
    )
    crowded = sum(map(len, names)) > 12 * len(names)
    axes.set_xticks(places, names, rotation=20 if crowded else 0, ha="right" if crowded else "center")
    legend(axes)
    return caption(figure, note)


@styled
def learning_curves(histories: dict[str, list[pd.DataFrame | None]], note: str | None = None) -> Figure:
    """Validation AUC and loss by epoch: for each arm the mean over seeds and a band of one sd.

    Args:
        histories: by arm, the reference first, one table of `qnb.training.loop.fit` per seed; None where the
            run failed.
    """
    figure, panels = new_figure(2, height=3.9)
    columns = {
        "val_auc": ("Validation AUC", "AUC"),
        "val_loss": ("Validation loss, true prior", "BCE (nats per row)"),
    }
    for axes, (column, (title, label)) in zip(panels, columns.items(), strict=True):
        for k, (arm, runs) in enumerate(histories.items()):
            curves = [run.set_index("epoch")[column].dropna() for run in runs if run is not None]
            if curves:
                _band(
                    axes,
                    pd.concat(curves, axis=1),
                    f"{arm} ({len(curves)} seeds)",
                    ARM_COLOURS[k % len(ARM_COLOURS)],
                )
        axes.set(title=title, xlabel="epoch", ylabel=f"{label}, mean ± sd over seeds")
        whole_ticks(axes)
        legend(axes)
    return caption(figure, note)


def _band(axes: Axes, curves: pd.DataFrame, label: str, colour: str) -> None:
    """Mean and one sd of `curves` (epochs, seeds); where some seeds stopped early, of the others."""
    mean, sd = curves.mean(axis=1), curves.std(axis=1, ddof=1)
    axes.plot(mean.index, mean, "o-", ms=3, lw=1.5, color=colour, label=label)
    axes.fill_between(mean.index, mean - sd, mean + sd, color=colour, alpha=0.14, lw=0)
