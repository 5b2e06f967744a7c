"""The figures of the leakage stress test, one per suspicion: from results of `qnb.leakage` to a matplotlib
Figure. `note` says what the data is.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qnb.leakage import single_columns as single
from qnb.leakage.adversarial import EFFECT as TOLD
from qnb.leakage.adversarial import Separation
from qnb.leakage.duplicates import SHARE, Twins
from qnb.leakage.formatting import Form
from qnb.leakage.permutation import Permuted
from qnb.leakage.preprocessing import EFFECT as FITTED
from qnb.leakage.preprocessing import STEPS, StepGain
from qnb.leakage.single_columns import Pair, Single
from qnb.leakage.splitting import DECIDE, Compared
from qnb.leakage.splitting import EFFECT as SEEN
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
    text_instead,
)

MODEL_COLOURS = {"logistic": BLUE, "boosting": GREEN, "circuit": ORANGE}
MODEL_NAMES = {"logistic": "logistic regression", "boosting": "gradient boosting", "circuit": "circuit"}
KIND_COLOURS = {
    "feature": MUTED,
    "set aside": "#c9c9c9",
    "host": ORANGE,
    "port": PURPLE,
    "counter": BLUE,
    "flow": "#8c6d31",
    "named": INK,
    "time": GREEN,
    "session": "#56b4e9",
}
SHOWN = 30


@styled
def formatting(forms: list[Form], note: str | None = None) -> Figure:
    """Left: AUC of the way each text column is written, filled where it is judged a leak.

    Right: for columns that write a value in several ways, which class uses which spelling.

    Args:
        forms: from `qnb.leakage.formatting.examine`.
    """
    text = [f for f in forms if not np.isnan(f.auc_alone)][:SHOWN]
    several = [f for f in text if f.example][:10]
    figure, (areas, shares) = new_figure(
        2, height=max(2.6, 0.27 * len(text) + 1.2), gridspec_kw={"width_ratios": [1.4, 1]}
    )
    place = np.arange(len(text))
    areas.plot(
        [f.auc_alone for f in text],
        place,
        "o",
        ms=6,
        mfc="none",
        color=MUTED,
        label="form alone, all rows (not judged)",
    )
    tests = sum(not np.isnan(f.auc_alone) for f in forms)
    for leak, fill, label in (
        (False, "none", "among rows of equal meaning, no leak"),
        (True, ORANGE, "the same, judged a leak"),
    ):
        positions = [i for i, f in enumerate(text) if f.leaks(tests) == leak]
        areas.plot(
            [text[i].auc for i in positions], positions, "o", ms=5, color=ORANGE, mfc=fill, label=label
        )
    areas.plot([f.chance for f in text], place, "|", ms=10, color=INK, label="its mean by chance")
    areas.axvline(0.5, color=INK, lw=0.8)
    areas.set(
        title="Label information in value formatting",
        xlabel="AUC",
        xlim=(0.35, 1.03),
        yticks=place,
        yticklabels=[f.column for f in text],
    )
    legend(areas)
    areas.invert_yaxis()
    if several:
        _spellings(shares, several)
    else:
        text_instead(shares, "No column writes\none value in two ways.")
    return caption(figure, note)


def _spellings(axes: Axes, several: list[Form]) -> None:
    """For the commonest value of each column, the share of rows of each class that use the spelling which
    differs most.
    """
    names = []
    for row, form in enumerate(several):
        text, (negative, positive) = max(
            (form.example or {}).items(), key=lambda item: item[1][1] - item[1][0]
        )
        axes.barh(row - 0.2, negative, 0.38, color=BLUE, label="negative rows" if row == 0 else None)
        axes.barh(row + 0.2, positive, 0.38, color=ORANGE, label="positive rows" if row == 0 else None)
        names.append(f"{form.column} as {text[:14]!r}")
    axes.set(
        title="Who writes it so",
        xlabel="share of the rows of that value",
        xlim=(0, 1.02),
        yticks=range(len(names)),
        yticklabels=names,
    )
    axes.tick_params(axis="y", labelsize=8)
    legend(axes)
    axes.invert_yaxis()


@styled
def columns(singles: list[Single], pair: Pair | None = None, note: str | None = None) -> Figure:
    """AUC of each column by itself.

    Left: columns that should be uninformative. Right: the best features, and the best pair of them.

    Args:
        singles: from `qnb.leakage.single_columns.examine`.
        pair: from `qnb.leakage.single_columns.best_pair`.
    """
    finite = [s for s in singles if np.isfinite(s.auc)]
    uninformative = [s for s in finite if s.kind in (*single.IDENTIFIERS, *single.WHEN)][:SHOWN]
    features = [s for s in finite if s.kind not in (*single.IDENTIFIERS, *single.WHEN)][
        : max(12, len(uninformative))
    ]
    rows = max(len(uninformative), len(features) + 1, 4)
    figure, (left, right) = new_figure(2, height=0.27 * rows + 1.3)
    _dots(left, uninformative, "Host, time, session: should be uninformative")
    left.axvline(
        0.5 + single.EFFECT,
        color=INK,
        lw=0.8,
        ls="--",
        label=f"leak from {0.5 + single.EFFECT:g} on, if p is small",
    )
    _dots(right, features, "Packet contents: may be predictive")
    right.axvline(
        single.GIVEAWAY, color=INK, lw=0.8, ls="--", label=f"leak from {single.GIVEAWAY:g} on, if p is small"
    )
    if pair is not None:
        right.plot(pair.auc, -1, "D", ms=6, color=INK)
        ticks = [-1, *range(len(features))]
        right.set(
            yticks=ticks,
            yticklabels=[f"best pair: {' with '.join(pair.columns)}", *(s.column for s in features)],
        )
    for axes in (left, right):
        axes.axvline(0.5, color=INK, lw=0.8)
        legend(axes)
        axes.tick_params(axis="y", labelsize=8)
        axes.invert_yaxis()
    return caption(figure, note)


def _dots(axes: Axes, singles: list[Single], title: str) -> None:
    for kind, colour in KIND_COLOURS.items():
        positions = [i for i, s in enumerate(singles) if s.kind == kind]
        if positions:
            axes.plot([singles[i].auc for i in positions], positions, "o", ms=5, color=colour, label=kind)
    names = [s.column + (" (a feature)" if s.reaches_model and s.kind != "feature" else "") for s in singles]
    axes.set(
        title=title,
        xlabel="AUC of the column alone",
        xlim=(min([0.45, *(s.auc - 0.02 for s in singles)]), 1.02),
        yticks=range(len(singles)),
        yticklabels=names,
    )


@styled
def splits(compared: list[Compared], refused: list[str], note: str | None = None) -> Figure:
    """Left: AUC of each model under each rule. Middle: its drop from the random split.

    Right: on the same test rows, what related rows in training add.

    Args:
        compared: from `qnb.leakage.splitting.compare`.
        refused: rules that could not be used, named at the foot.
    """
    rules = list(dict.fromkeys(c.rule for c in compared))
    figure, (areas, drops, gains) = new_figure(3, height=3.8, gridspec_kw={"width_ratios": [1.15, 1, 1]})
    for k, (model, colour) in enumerate(MODEL_COLOURS.items()):
        cases = [c for c in compared if c.model == model]
        shift = 0.2 * (k - 1)
        _bars(
            areas,
            [rules.index(c.rule) + shift for c in cases],
            [c.auc for c in cases],
            [c.auc_interval for c in cases],
            colour,
            MODEL_NAMES[model],
        )
        others = [c for c in cases if c.rule != "random"]
        positions = [rules.index(c.rule) + shift for c in cases]
        _bars(
            drops,
            positions[len(cases) - len(others) :],
            [c.drop for c in others],
            [c.drop_interval for c in others],
            colour,
        )
        _bars(gains, positions, [c.gain for c in cases], [c.gain_interval for c in cases], colour)
        if model in DECIDE:
            limits = [SEEN * (1 - c.apart) for c in others]
            gains.plot(
                positions[len(cases) - len(others) :],
                limits,
                "_",
                ms=11,
                mew=1.6,
                color=INK,
                label=f"leak from here on ({SEEN:.0%} of what is lacking)",
            )
    low, high = areas.get_ylim()
    areas.set(title="AUC on the rule's test rows", ylabel="AUC", xticks=range(len(rules)), xticklabels=rules)
    areas.set_ylim(max(low, 0), min(high, 1))  # a normal interval may end beyond
    drops.set(title="Drop from the random split", ylabel="AUC(random) − AUC(rule)")
    drops.set(xticks=range(1, len(rules)), xticklabels=rules[1:], xlim=(0.5, len(rules) - 0.5))
    gains.set(title="Gain from related rows", ylabel="AUC(seen) − AUC(apart)")
    gains.set(xticks=range(len(rules)), xticklabels=["random\n(control)", *rules[1:]])
    for axes in (drops, gains):
        axes.axhline(0, color=INK, lw=0.8)
    handles, labels = gains.get_legend_handles_labels()
    legend(gains, handles[:1], labels[:1])
    figure.legend(*areas.get_legend_handles_labels(), loc="outside upper center", ncol=3, fontsize=8)
    foot = [f"{rule} could not be used" for rule in refused]
    return caption(figure, " · ".join([*foot, note] if note else foot) or None)


def _bars(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    colour: str,
    label: str | None = None,
) -> None:
    values = np.asarray(y, float)
    error = np.abs(np.asarray(intervals, float).reshape(-1, 2).T - values) if len(values) else None
    axes.errorbar(x, values, error, fmt="o", ms=4.5, color=colour, elinewidth=1.2, capsize=2.5, label=label)


@styled
def duplicates(twins: Twins, note: str | None = None) -> Figure:
    """Left: share of the test rows duplicated in training. Middle: AUC with and without them.

    Right: how much the twins in training raise the AUC on those rows.
    """
    figure, (counts, areas, worth) = new_figure(3, height=3.0)
    counts.barh([0], [twins.share], color=ORANGE, height=0.5)
    counts.axvline(SHARE, color=INK, lw=0.8, ls="--", label=f"leak from {SHARE:.1%} on")
    counts.set(
        title="Test rows duplicated in training",
        xlabel="share of the test rows",
        yticks=[],
        xlim=(0, max(2 * SHARE, 1.3 * twins.share)),
        ylim=(-0.7, 0.9),
    )
    counts.text(
        twins.share,
        0.32,
        f"{twins.both_sides:,} of {twins.test:,}",
        fontsize=9,
        ha="right" if twins.share > SHARE else "left",
    )
    legend(counts)
    areas.plot([0, 1], [twins.auc, twins.auc_without], "o", color=GREEN, ms=7)
    for x, value in enumerate((twins.auc, twins.auc_without)):
        areas.annotate(f"{value:.4f}", (x, value), xytext=(8, 4), textcoords="offset points", fontsize=9)
    areas.set(
        title="AUC of gradient boosting",
        ylabel="AUC",
        xticks=[0, 1],
        xticklabels=["all test rows", "without twins"],
        xlim=(-0.5, 1.7),
    )
    # without twins a class may be missing
    aucs = [value for value in (twins.auc, twins.auc_without) if np.isfinite(value)]
    if aucs:
        # a difference under 0.005 is not to look large
        middle, half = float(np.mean(aucs)), max(float(np.ptp(aucs)), 0.005)
        areas.set_ylim(middle - half, middle + half)
    if np.isnan(twins.worth):
        text_instead(worth, "Too few rows with twins\nto compare.")
    else:
        _bars(worth, [0], [twins.worth], [twins.worth_interval], GREEN)
        worth.axhline(0, color=INK, lw=0.8)
        worth.set(
            title="What twins are worth to themselves",
            ylabel="AUC(seen) − AUC(apart)",
            xticks=[],
            xlim=(-1, 1),
        )
    return caption(figure, note)


@styled
def preprocessing(gains: list[StepGain], sizes: pd.DataFrame, note: str | None = None) -> Figure:
    """Left: gain on the whole table.

    Right: gain of logistic regression on smaller draws, with true and with permuted labels.

    Args:
        gains: from `qnb.leakage.preprocessing.examine`.
        sizes: the table of `qnb.leakage.preprocessing.by_size`.
    """
    figure, (own, small) = new_figure(2, height=3.4, gridspec_kw={"width_ratios": [1, 1.5]})
    for k, model in enumerate(dict.fromkeys(f.model for f in gains)):
        cases = [f for f in gains if f.model == model]
        positions = [list(STEPS).index(f.step) + 0.16 * (2 * k - 1) for f in cases]
        _bars(
            own,
            positions,
            [f.gain for f in cases],
            [f.gain_interval for f in cases],
            MODEL_COLOURS[model],
            MODEL_NAMES[model],
        )
    own.axhline(FITTED, color=INK, lw=0.8, ls="--", label=f"would leak from {FITTED:g} on")
    own.set(
        title="This table",
        ylabel="gain in AUC",
        xticks=range(len(STEPS)),
        xticklabels=list(STEPS.values()),
        xlim=(-0.6, 1.6),
    )
    legend(own)
    for (step, labels), rows in sizes.groupby(["step", "labels"]):
        colour, style = (ORANGE if step == "pls" else BLUE), ("-" if labels == "true" else ":")
        small.errorbar(
            rows["size"],
            rows["gain"],
            rows["error"],
            fmt="o" + style,
            ms=4,
            color=colour,
            capsize=2,
            label=f"{STEPS[str(step)]}, {labels} labels",
        )
    small.set(
        title="Smaller draws from it", xlabel="rows", ylabel="gain in AUC (± standard error)", xscale="log"
    )
    if len(sizes):
        small.set_xticks(sorted(set(sizes["size"])), [f"{size:,}" for size in sorted(set(sizes["size"]))])
        small.minorticks_off()
        legend(small)
    for axes in (own, small):
        axes.axhline(0, color=INK, lw=0.8)
    return caption(figure, note)


@styled
def permutation(permuted: Permuted, note: str | None = None) -> Figure:
    """AUC of each model on permuted labels, its means, and the interval in which a mean must lie."""
    figure, (axes,) = new_figure(height=2.6, width=8.0)
    half = permuted.half_width()
    axes.axvspan(0.5 - half, 0.5 + half, color=MUTED, alpha=0.2, lw=0, label="where the mean must lie")
    axes.axvline(0.5, color=INK, lw=0.8)
    for row, (model, values) in enumerate(permuted.auc.items()):
        axes.plot(values, [row] * len(values), "o", ms=5, mfc="none", color=MODEL_COLOURS[model])
        axes.plot(np.mean(values), row, "D", ms=7, color=MODEL_COLOURS[model])
    axes.set(
        title="AUC on permuted labels (circles) and its mean (diamonds)",
        xlabel="AUC on the test rows",
        yticks=range(len(permuted.auc)),
        yticklabels=[MODEL_NAMES[m] for m in permuted.auc],
        ylim=(-0.6, len(permuted.auc) - 0.4),
    )
    legend(axes)
    axes.invert_yaxis()
    return caption(figure, _with_rows(note, f"{permuted.rows:,} of these rows used"))


def _with_rows(note: str | None, used: str) -> str:
    return f"{note}\n{used}" if note else used


@styled
def adversarial(separations: list[Separation], note: str | None = None) -> Figure:
    """AUC of separating normal rows of training and test, by rule, with the columns that separate best by
    themselves; the rows used are named at the foot.
    """
    figure, (axes,) = new_figure(height=0.55 * max(len(separations), 2) + 1.5, width=9.0)
    traffic = separations[0].of if separations else "normal traffic"
    for row, separation in enumerate(separations):
        axes.errorbar(
            separation.auc,
            row,
            xerr=3 * separation.sd,
            fmt="o",
            color=ORANGE,
            capsize=3,
            label="± 3 standard deviations of a useless one" if row == 0 else None,
        )
        best = ", ".join(f"{name} {auc:.2f}" for name, auc in separation.columns.items())
        left = separation.auc < 0.75
        axes.annotate(
            f"alone: {best}",
            (separation.auc, row),
            xytext=(-4 if left else 4, -14),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            ha="left" if left else "right",
        )
    axes.axvline(0.5, color=INK, lw=0.8)
    axes.axvline(0.5 + TOLD, color=INK, lw=0.8, ls="--", label=f"leak from {0.5 + TOLD:g} on, if p is small")
    axes.set(
        title=f"{traffic[:1].upper()}{traffic[1:]}: training side told from test side",
        xlabel="AUC",
        yticks=range(len(separations)),
        yticklabels=[t.rule for t in separations],
        ylim=(-0.6, len(separations) - 0.3),
        xlim=(max(min([0.42, *(t.auc - 3.2 * t.sd for t in separations)]), 0), 1),
    )
    legend(axes)
    axes.invert_yaxis()
    used = ", ".join(f"{s.rule} {s.rows:,}" for s in separations)
    return caption(figure, _with_rows(note, f"{traffic}, rows used: {used}"))
