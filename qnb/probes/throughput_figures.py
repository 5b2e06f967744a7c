"""The figures of throughput.ipynb: tables of `qnb.probes.throughput` in, a matplotlib Figure out.

`note` names the machine, at the foot of each.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qnb.probes.contenders import CATALYST, CONTENDERS, EXACT
from qnb.probes.throughput import Timing
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

COLOURS = (MUTED, PURPLE, "#56b4e9", "#c9a227", "#8c564b", ORANGE, GREEN, BLUE, INK)
MARKERS = "ovs<>DPX*"


def _style(name: str) -> dict[str, Any]:
    k = list(CONTENDERS).index(name)
    return {
        "color": COLOURS[k],
        "marker": MARKERS[k],
        "ms": 5,
        "lw": 2.2 if name in (CATALYST, EXACT) else 1.2,
    }


@styled
def rate_by_batch(table: pd.DataFrame, note: str | None = None) -> Figure:
    """Samples/s against batch size, forward and gradient, one line per contender, with bars from the slowest
    to the fastest call.

    Args:
        table: of `qnb.probes.throughput.timings_table`; rows without a median are left out.
    """
    figure, panels = new_figure(2, height=4.6, width=12.0, sharey=True)
    measured = table.dropna(subset=["samples_per_s"])
    for axes, kind in zip(panels, ("forward", "gradient"), strict=True):
        for name in CONTENDERS:
            line = measured[(measured["name"] == name) & (measured["kind"] == kind)].sort_values("rows")
            if len(line):
                axes.errorbar(
                    line["rows"],
                    line["samples_per_s"],
                    yerr=_spread(line),
                    capsize=2,
                    label=name,
                    **_style(name),
                )
        _ideal(axes, measured[(measured["kind"] == kind) & (measured["name"] == EXACT)])
        axes.set(title=kind.capitalize(), xlabel="batch (rows)", xscale="log", yscale="log")
    panels[0].set_ylabel("samples/s")
    entries = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    panels[1].legend(
        entries.values(), entries.keys(), fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return caption(figure, note)


def _spread(line: pd.DataFrame) -> np.ndarray:
    """From the slowest to the fastest call, as distances from the median rate."""
    rate = line["samples_per_s"]
    slow, fast = line["rows"] / line["slowest_s"], line["rows"] / line["fastest_s"]
    return np.array([rate - slow, fast - rate])


def _ideal(axes: Axes, line: pd.DataFrame) -> None:
    """Slope 1: a call costs the same whatever the batch.

    Slope 0, the grid's own lines: a row costs the same.
    """
    if len(line) < 2:
        return
    rows = np.array([line["rows"].min(), line["rows"].max()])
    start = float(line["samples_per_s"].iloc[line["rows"].argmin()])
    axes.plot(
        rows, start * rows / rows[0], ":", color=INK, lw=1, label="ideal: a call costs the same (slope 1)"
    )
    axes.axhline(start, ls="--", color=INK, lw=0.8, label="ideal: a row costs the same (slope 0)")


@styled
def time_by_shape(table: pd.DataFrame, note: str | None = None) -> Figure:
    """Time per row (µs) of both engines against wires, and against layers if more than one number of them
    was measured.

    Args:
        table: `qnb.probes.throughput.timings_table` of `qnb.probes.throughput.by_shape`.
    """
    by_layers = table["layers"].nunique() > 1
    figure, panels = new_figure(
        2 if by_layers else 1, height=3.8, width=11.0 if by_layers else 6.0, sharey=True
    )
    base = table["layers"].mode()[0] if by_layers else table["layers"].iloc[0]
    widest = table.loc[table["layers"] != base, "wires"].iloc[0] if by_layers else None
    _lines(panels[0], table[table["layers"] == base], "wires")
    wires = np.array(sorted(table["wires"].unique()))
    floor = table["median_s"].min() / table["rows"].iloc[0] * 1e6
    panels[0].plot(
        wires, floor * 2.0 ** (wires - wires[0]), ":", color=INK, lw=1, label="ideal for states: 2^wires"
    )
    panels[0].plot(
        wires,
        floor * 3.0 ** (wires - wires[0]),
        "--",
        color=INK,
        lw=1,
        label="ideal for coefficients: 3^wires",
    )
    panels[0].set(
        title=f"{base} layers, batch {table['rows'].iloc[0]}",
        xlabel="wires",
        ylabel="time per row (µs)",
        yscale="log",
    )
    whole_ticks(panels[0])
    legend(panels[0])
    if by_layers:
        _lines(panels[1], table[table["wires"] == widest], "layers")
        panels[1].set(title=f"{widest} wires", xlabel="layers", xscale="log")
        legend(panels[1])
    return caption(figure, note)


def _lines(axes: Axes, table: pd.DataFrame, key: str) -> None:
    for name, colour in ((CATALYST, ORANGE), (EXACT, GREEN)):
        for kind, style in (("forward", "o--"), ("gradient", "s-")):
            line = (
                table[(table["name"] == name) & (table["kind"] == kind)]
                .dropna(subset=["median_s"])
                .sort_values(key)
            )
            line = line.drop_duplicates(key)
            axes.plot(
                line[key],
                1e6 * line["median_s"] / line["rows"],
                style,
                ms=4,
                color=colour,
                label=f"{name}, {kind}",
            )


@styled
def compile_times(table: pd.DataFrame, note: str | None = None) -> Figure:
    """Compile time (s) per contender, the first call minus a later one: the largest over batch sizes."""
    measured = table.dropna(subset=["compile_s"])
    names = [name for name in CONTENDERS if name in set(measured["name"])]
    figure, (axes,) = new_figure(width=8.0, height=0.8 + 0.42 * len(names))
    for kind, offset, colour in (("forward", -0.2, BLUE), ("gradient", 0.2, ORANGE)):
        part = measured[measured["kind"] == kind].groupby("name")["compile_s"].max()
        axes.barh(
            [names.index(n) + offset for n in part.index], part.to_numpy(), 0.38, color=colour, label=kind
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="Compile time: first call over a later one", xlabel="seconds")
    legend(axes)
    return caption(figure, note)


@styled
def thread_gain(timings: Iterable[Timing], note: str | None = None) -> Figure:
    """Speed-up of two OpenMP threads over one, against wires.

    Args:
        timings: of `qnb.probes.throughput.by_threads`; what could not be measured is left out.
    """
    medians = {(t.wires, t.threads): t.took for t in timings if t.seconds}
    wires = sorted({w for w, _ in medians})
    gains = [medians[w, 1] / medians[w, 2] for w in wires]
    figure, (axes,) = new_figure(width=5.5, height=3.4)
    axes.plot(wires, gains, "o-", color=BLUE, label="one compiled row after another")
    axes.axhline(1, color=MUTED, lw=1)
    axes.axhline(2, color=INK, lw=1, ls=":", label="ideal: 2")
    axes.set(title="Two OpenMP threads against one", xlabel="wires", ylabel="speed-up", ylim=(0, 2.3))
    whole_ticks(axes)
    legend(axes)
    return caption(figure, note)
