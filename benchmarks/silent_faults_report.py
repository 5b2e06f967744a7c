"""What the bench of silent faults found: the tables and figures of benchmarks/silent_faults.ipynb.

A row is a diagnosed run, as `benchmarks.silent_faults.diagnosed` returns it.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest

from benchmarks.silent_faults import FAULTS, HARD, SEEDS, TABLES, jobs
from qnb.reporting import plots
from qnb.studies.diagnosis.components import COMPONENTS

REPORTED = "make_classification"
COSTLY = 0.02  # of validation AUC, against the sound run of the same table and seed
COSTS = (-np.inf, 0.005, 0.01, COSTLY, 0.05, 0.1, np.inf)
GOAL, MOST_BLAMED = 0.95, 0.05  # of costly faults named first; of sound runs blamed
COMPONENT_OF = {"compiler": {"gradient"}, "optimiser": {"rate", "length"}, "objective": {"objective"},
                "readout": {"readout"}, "data": {"data"}}  # of the history rules' suspects  # fmt: skip
NOBODY = "nobody"


def read(path: str | Path) -> pd.DataFrame:
    """One row per diagnosed run; beside what it holds: faulty, named, named_by_history, cost, half.

    Raises:
        ValueError: a diagnosis was refused; the message is its error.
    """
    rows: list[dict[str, Any]] = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    if refused := [row for row in rows if "error" in row]:
        raise ValueError(f"{len(refused)} diagnoses were refused, the first with: {refused[0]['error']}")
    of = pd.DataFrame(rows)
    of["faulty"] = of["component"].map(bool)
    of["truth"] = of["component"].map(lambda names: " or ".join(names) or NOBODY)
    of["first"] = of["blamed"].map(lambda names: names[0] if names else NOBODY)
    of["named"] = [first in names for first, names in zip(of["first"], of["component"], strict=True)]
    of["named_by_history"] = [_by_history(*pair) for pair in zip(of["history"], of["component"], strict=True)]
    sound = of[of["fault"] == "sound"].set_index(["seed", "table"])["as_it_is"]
    known = [sound.get((s, t), r) for s, t, r in zip(of["seed"], of["table"], of["reference"], strict=True)]
    of["cost"] = np.array(known) - of[["recorded", "as_it_is"]].min(axis=1)
    chosen = (of["table"] != REPORTED) & (of["seed"] % 2 == 0)
    of["half"] = np.where(chosen, "thresholds: two tables, even seeds", f"reported: {REPORTED} and odd seeds")
    return of


def _by_history(suspected: list[str], component: list[str]) -> bool:
    """Whether the history rules suspect the component, and at most one other."""
    right = [s for s in suspected if COMPONENT_OF[s] & set(component)]
    return bool(right) and len(suspected) <= len(right) + 1


def share(of: pd.Series) -> str:
    """k of n, the percentage, and its 95 % interval (Clopper and Pearson, Biometrika 26, 404, 1934)."""
    k, n = int(of.sum()), len(of)
    if not n:
        return "none"
    low, high = binomtest(k, n).proportion_ci()
    return f"{k} of {n}: {100 * k / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def headline(of: pd.DataFrame) -> pd.DataFrame:
    """Shares of faults named and of sound runs blamed, by half of the bench and by method."""
    parts = {}
    for half, rows in of.groupby("half"):
        faulty, sound = rows[rows["faulty"]], rows[~rows["faulty"]]
        costly = faulty[faulty["cost"] >= COSTLY]
        for method, name, blames in (
            ("intervention", "named", sound["blamed"].map(bool)),
            ("history rules", "named_by_history", sound["history"].map(bool)),
        ):
            parts[half, method] = {
                f"costly faults named (goal {100 * GOAL:.0f} %)": share(costly[name]),
                "all faults named": share(faulty[name]),
                f"sound runs blamed (goal {100 * MOST_BLAMED:.0f} % at most)": share(blames),
            }
    return pd.DataFrame(parts).T


def how_far(of: pd.DataFrame) -> str:
    """How much of the bench the rows are, and what a diagnosis takes, in words."""
    seconds = of["seconds"]
    return (
        f"{len(of)} of {sum(1 for _ in jobs())} diagnoses, {of['seed'].nunique()} of {SEEDS} seeds, "
        f"{sum(map(len, FAULTS.values()))} strengths of {len(FAULTS)} faults and {sum(map(len, HARD.values()))} kinds of sound runs "
        f"on {len(TABLES)} tables. A diagnosis takes {seconds.median():.1f} s in the median, {seconds.quantile(0.9):.1f} s at the "
        f"ninetieth per cent. Code: {', '.join(of['commit'].unique())}."
    )


def confusion(of: pd.DataFrame) -> pd.DataFrame:
    """Counts: what is wrong, by the first component that is blamed."""
    counts = pd.crosstab(
        of["truth"], of["first"], rownames=["what is wrong"], colnames=["first to be blamed"]
    )
    return counts.reindex(index=sorted(counts.index, key=_place), columns=sorted(counts.columns, key=_place))


def _place(names: str) -> int:
    """Where a component stands in tables; of several, the last one's place."""
    return [NOBODY, *COMPONENTS].index(names.split(" or ")[-1])


def by_fault(of: pd.DataFrame) -> pd.DataFrame:
    """One row per fault and strength, in the order of the bench: median cost, how many were named, or blamed
    if sound.
    """
    rows = []
    for kind, strengths in (FAULTS | HARD).items():
        for strength in strengths:
            runs = of[(of["fault"] == kind) & (of["strength"] == strength)]
            if not len(runs):
                continue
            rows.append(
                {
                    "fault": kind,
                    "strength": strength,
                    "component": runs["truth"].iloc[0],
                    "median cost in AUC": f"{runs['cost'].median():+.3f}",
                    "named first": f"{runs['named'].sum()} of {len(runs)}" if runs["faulty"].all() else "",
                    "blamed": f"{runs['blamed'].map(bool).sum()} of {len(runs)}",
                }
            )
    return pd.DataFrame(rows)


@plots.styled
def figure(of: pd.DataFrame, note: str) -> Figure:
    """The share of faults named, by what they cost, and the confusion matrix as shares of its rows."""
    fig, (left, right) = plots.new_figure(2, height=5.0, width=13.0)
    faulty = of[of["faulty"]]
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(COSTS[1:-1])]
    labels = [f"under {COSTS[1]:g}", *inner, f"{COSTS[-2]:g} and more"]
    bins = pd.cut(faulty["cost"], COSTS, right=False)
    for shift, name, colour, label in (
        (-0.1, "named", plots.BLUE, "intervention"),
        (0.1, "named_by_history", plots.ORANGE, "history rules"),
    ):
        found = faulty.groupby(bins, observed=False)[name].agg(["sum", "size"])
        shares = found["sum"] / found["size"]
        ends = np.array(
            [
                binomtest(int(k), int(n)).proportion_ci() if n else (np.nan, np.nan)
                for k, n in found.to_numpy()
            ]
        )
        x = np.arange(len(found)) + shift
        left.errorbar(
            x, shares, np.abs(ends.T - shares.to_numpy()), fmt="o", color=colour, label=label, capsize=3
        )
    left.axhline(GOAL, color=plots.MUTED, linestyle="--", linewidth=1)
    sizes = faulty.groupby(bins, observed=False).size()
    left.set_xticks(
        range(len(labels)), [f"{label}\nn = {n}" for label, n in zip(labels, sizes, strict=True)], fontsize=8
    )
    left.set(
        ylim=(-0.03, 1.03),
        xlabel="what the fault costs in validation AUC",
        ylabel="share of faults named first, 95 % interval",
    )
    left.set_title("How small may a fault be?")
    plots.legend(left)
    counts = confusion(of)
    shares = counts.div(counts.sum(axis=1), axis=0)
    right.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    right.grid(False)
    for (i, j), n in np.ndenumerate(counts.to_numpy()):
        right.text(
            j,
            i,
            str(n) if n else "",
            ha="center",
            va="center",
            color="white" if shares.iat[i, j] > 0.6 else plots.INK,
        )
    right.set_xticks(range(counts.shape[1]), counts.columns, rotation=40, ha="right")
    right.set_yticks(range(counts.shape[0]), counts.index)
    right.set(
        xlabel="first to be blamed", ylabel="what is wrong", title="Diagnoses, colour by share of the row"
    )
    return plots.caption(fig, note)
