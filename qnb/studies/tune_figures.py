"""The figures of tune.ipynb: a search or a confirmation in, a matplotlib Figure out.

`note` describes the data, at the foot of each.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnb.reporting.plots import (
    BASELINE_COLOURS,
    BLUE,
    INK,
    MUTED,
    ORANGE,
    caption,
    legend,
    new_figure,
    styled,
    whole_ticks,
)
from qnb.studies.tune import SEARCHED, Confirmation, Search
from qnb.training.baselines import NAMES

MARKERS = "o^svDPX*"  # one a table
STATES = {"COMPLETE": (BLUE, "finished"), "PRUNED": (MUTED, "stopped early")}


@styled
def progress(result: Search, note: str | None = None) -> Figure:
    """Validation AUC of every trial in order, and the best one so far."""
    figure, (axes,) = new_figure(height=3.8, width=9.0)
    for state, (colour, label) in STATES.items():
        trials = result.trials[result.trials["state"] == state]
        axes.plot(trials["number"], trials["val_auc"], "o", ms=5, color=colour, label=label)
    finished = result.trials["val_auc"].where(result.trials["state"] == "COMPLETE")
    axes.step(
        result.trials["number"],
        finished.cummax().ffill(),
        where="post",
        color=ORANGE,
        lw=1.6,
        label="best so far",
    )
    axes.set(title="The search", xlabel="trial (0: the defaults)", ylabel="best validation AUC")
    legend(axes)
    return caption(figure, note)


@styled
def by_parameter(result: Search, note: str | None = None) -> Figure:
    """Validation AUC of the trials against each searched parameter; those that were stopped early in grey."""
    figure, panels = new_figure(-(-len(SEARCHED) // 2), rows=2, height=5.6, width=12.0)
    for axes, name in zip(panels, SEARCHED, strict=True):
        values = result.trials[name]
        ordered = (
            sorted(values.dropna().unique(), key=lambda v: (isinstance(v, str), v)) if name != "lr" else None
        )
        places = (
            values.astype(float) if ordered is None else values.map({v: k for k, v in enumerate(ordered)})
        )
        jitter = 0 if ordered is None else np.linspace(-0.18, 0.18, len(values))
        for state, (colour, _) in STATES.items():
            chosen = (result.trials["state"] == state).to_numpy()
            axes.plot(
                (places + jitter)[chosen],
                result.trials["val_auc"][chosen],
                "o",
                ms=4,
                color=colour,
                alpha=0.85,
            )
        axes.set(xlabel=name, ylabel="val AUC")
        if ordered is None:
            axes.set_xscale("log")
        else:
            axes.set_xticks(range(len(ordered)), [str(v).replace("_", "\n", 1) for v in ordered], fontsize=8)
    return caption(figure, note)


@styled
def importances(shares: pd.DataFrame, note: str | None = None) -> Figure:
    """Importance of each searched parameter on each table, and its mean over tables.

    Args:
        shares: from `qnb.studies.tune.decides`.
    """
    figure, (axes,) = new_figure(height=1.4 + 0.36 * len(shares), width=8.0)
    rows = np.arange(len(shares))
    axes.barh(rows, shares.mean(axis=1), color=BLUE, alpha=0.25, label="mean over tables")
    for k, (table, values) in enumerate(shares.items()):
        axes.plot(values, rows, MARKERS[k % len(MARKERS)], ms=5, color=INK, alpha=0.75, label=str(table))
    axes.set(yticks=rows, yticklabels=list(shares.index), ylim=(len(shares) - 0.5, -0.5))
    axes.set(title="What decides", xlabel="share of the variance of validation AUC (functional ANOVA)")
    axes.grid(False, axis="y")
    legend(axes)
    return caption(figure, note)


@styled
def confirmation(confirmed: Confirmation, note: str | None = None) -> Figure:
    """Test AUC of every fresh seed and of the classical baselines on the same rows, and the differences with
    their intervals.
    """
    figure, (seeds, differences) = new_figure(2, height=3.8, width=10.5)
    seeds.plot(
        [r.config.seed for r in confirmed.results],
        confirmed.test_auc,
        "o",
        color=ORANGE,
        label="circuit, one seed",
    )
    for name in confirmed.over:
        of_seeds = [r.config.seed for r in confirmed.results], confirmed.test_auc_of(name)
        seeds.plot(*of_seeds, color=BASELINE_COLOURS[name], lw=1.4, label=NAMES[name])
    seeds.set(
        title="Fresh seeds, rows not given to the search",
        xlabel="seed of the confirmation",
        ylabel="test AUC",
    )
    seeds.ticklabel_format(axis="x", useOffset=False)
    whole_ticks(seeds)
    legend(seeds)
    for row, (_, d) in enumerate(confirmed.over.items()):
        differences.errorbar(
            d.difference,
            row,
            xerr=[[d.difference - d.low], [d.high - d.difference]],
            fmt="o",
            color=BLUE,
            capsize=3,
        )
    differences.axvline(0, color=MUTED, lw=0.9)
    differences.set(
        yticks=range(len(confirmed.over)),
        yticklabels=[NAMES[name] for name in confirmed.over],
        ylim=(-0.6, len(confirmed.over) - 0.4),
    )
    unit = "rows" if confirmed.units == "rows" else "groups of rows"
    over = "captures" if confirmed.captures else f"seeds and {unit}"
    differences.set(title="Circuit minus classical model", xlabel=f"difference in test AUC, 95 % over {over}")
    differences.locator_params(axis="x", nbins=5)
    return caption(figure, note)
