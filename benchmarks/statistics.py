"""What the statistics of the reports do when the truth is known: levels, coverage, power.

    python -m benchmarks statistics

Every line is simulated anew: DRAWS experiments, a share, and its 95 % interval. Decisions are
by the rule with its real margin, `min_effect` = 0.005 in AUC; the sd of one run around its seed is 0.01 where
no other is given. 95 % intervals should cover 93 to 97 %. `benchmarks/statistics.ipynb` makes a report of it.
"""

import math
from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from qnb.leakage.group_exchange import p_of_exchanges
from qnb.leakage.statistics import folded_auc, folds, rate_auc
from qnb.reporting import plots
from qnb.statistics.auc import auc_difference, auc_interval
from qnb.statistics.bootstrap import seeds_and_rows_interval
from qnb.statistics.compare import compare
from qnb.statistics.power import power_of_rule

DRAWS = 500
MARGIN, SIGMA = 0.005, 0.01
SETTINGS = (10, SIGMA), (10, 0.003), (40, 0.003)  # seeds, and the sd of one run around its seed
DIFFERENCES = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02)
ROWS, SHIFTS = 400, (1.2, 1.0)  # of the two models; scores are normal with variance 1.25 in each class
AREAS = [float(stats.norm.cdf(shift / math.sqrt(2.5))) for shift in SHIFTS]


def decisions(
    rng: np.random.Generator, effects: tuple[float, ...], seeds: int, draws: int, sigma: float = SIGMA
) -> np.ndarray:
    """What the rule calls arms of these true differences from the reference, `(draws, arms)`.

    A part of each seed is shared by all arms; each has normal noise of sd `sigma` of its own.
    """
    called = []
    for _ in range(draws):
        shared = 0.9 + 0.02 * rng.normal(size=seeds)
        runs = {f"arm{k}": shared + d + sigma * rng.normal(size=seeds) for k, d in enumerate((0.0, *effects))}
        called.append([d.decision for d in compare(runs, "arm0", MARGIN).differences.values()])
    return np.array(called)


def paired_t(rng: np.random.Generator, seeds: int, draws: int) -> float:
    """Coverage of the interval of a paired difference."""
    held = 0
    for _ in range(draws):
        runs = {"base": SIGMA * rng.normal(size=seeds), "arm": 0.003 + SIGMA * rng.normal(size=seeds)}
        low, high = compare(runs, "base", MARGIN).differences["arm"].interval
        held += low <= 0.003 <= high
    return held / draws


def nadeau_bengio(rng: np.random.Generator, splits: int, draws: int) -> float:
    """Coverage of the corrected interval, of two equal learners over random splits of a table of 300 rows.

    Each projects on the difference of the class means of its training rows, in five features of its own.
    """
    held = 0
    for _ in range(draws):
        runs = dict(zip(("a", "b"), _over_splits(rng, splits), strict=True))
        found = compare(runs, "b", MARGIN, resampled=True, n_train=225, n_test=75).differences["a"]
        assert found.nadeau_bengio is not None
        held += found.nadeau_bengio[0] <= 0 <= found.nadeau_bengio[1]
    return held / draws


def _over_splits(rng: np.random.Generator, splits: int, rows: int = 300, n_test: int = 75) -> np.ndarray:
    """Test AUC of both learners, `(2, splits)`."""
    y = (rng.random(rows) < 0.5).astype(int)
    X = rng.normal(size=(rows, 10)) + 0.35 * y[:, None]
    areas = np.empty((2, splits))
    for j in range(splits):
        test, train = np.split(rng.permutation(rows), [n_test])
        for k, own in enumerate((X[:, :5], X[:, 5:])):
            direction = own[train][y[train] == 1].mean(axis=0) - own[train][y[train] == 0].mean(axis=0)
            ranks, ones = stats.rankdata(own[test] @ direction), int(y[test].sum())
            areas[k, j] = (ranks[y[test] == 1].sum() - ones * (ones + 1) / 2) / (ones * (n_test - ones))
    return areas


def two_models(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels `(ROWS,)`, 30 % positive, and the scores of two models that share most of their noise."""
    y, common = (rng.random(ROWS) < 0.3).astype(int), rng.normal(size=ROWS)
    return y, [shift * y + common + 0.5 * rng.normal(size=ROWS) for shift in SHIFTS]


def delong(rng: np.random.Generator, draws: int) -> tuple[float, float]:
    """Coverage of the interval of one AUC (logit scale), and of that of a difference."""
    held = np.zeros(2)
    for _ in range(draws):
        y, (a, b) = two_models(rng)
        one, two = auc_interval(y, a), auc_difference(y, a, b)
        held += one.low <= AREAS[0] <= one.high, two.low <= AREAS[0] - AREAS[1] <= two.high
    return float(held[0] / draws), float(held[1] / draws)


def over_groups(rng: np.random.Generator, groups: int, draws: int) -> dict[str, float]:
    """Coverage of a difference of two equal models, whose rows share much within groups of 20."""
    held = {"DeLong over groups": 0, "bootstrap of groups": 0}
    of = np.repeat(np.arange(groups), 20)
    for draw in range(draws):
        y = (rng.random(len(of)) < rng.uniform(0.2, 0.8, groups)[of]).astype(int)
        a, b = (1.5 * y + 0.7 * rng.normal(size=groups)[of] + rng.normal(size=len(of)) for _ in range(2))
        found = {
            "DeLong over groups": auc_difference(y, a, b, of),
            "bootstrap of groups": seeds_and_rows_interval(y, [a], [b], of, seed=draw, resamples=400),
        }
        for name, interval in found.items():
            held[name] += interval.low <= 0 <= interval.high
    return {name: count / draws for name, count in held.items()}


def leaks_called(rng: np.random.Generator, sessions: int, draws: int) -> dict[str, float]:
    """How often a host that is constant within sessions, and unrelated to the label, is called a leak (p <= 5 %).

    Each session has its own share of attacks, and about 50 rows.
    """
    called = {"rows taken as independent": 0, "whole sessions exchanged": 0}
    for _ in range(draws):
        of = np.repeat(np.arange(sessions), rng.integers(25, 75, sessions))
        y = (rng.random(len(of)) < rng.random(sessions)[of]).astype(np.int8)
        host, fold = rng.integers(0, 5, sessions)[of], folds(y, rng)
        exchanged = p_of_exchanges(lambda rows, h=host, y=y, f=fold: folded_auc(h[rows], y, f), of, 400, rng)
        called["rows taken as independent"] += rate_auc(host, y, rng).p <= 0.05
        called["whole sessions exchanged"] += exchanged <= 0.05
    return {name: count / draws for name, count in called.items()}


def _share(of: Collection[bool]) -> float:
    return float(np.mean(of))


def levels(draws: int = DRAWS, seed: int = 22) -> pd.DataFrame:
    """How often nothing is called something: columns what, share, expected, draws."""
    rng, rows = np.random.default_rng(seed), []
    for arms in (1, 4, 5):
        for seeds in (5, 10, 20):
            called = decisions(rng, (0.0,) * arms, seeds, draws)
            won = np.isin(called, ["better", "worse"]).any(axis=1)
            of = f"{arms} equal arm{'s' * (arms > 1)} against the reference, {seeds} seeds"
            rows.append((f"a winner among {of}", _share(won), "at most 5 %", draws))
            far = decisions(rng, (MARGIN,) * arms, seeds, draws, 0.003)
            equal = (far == "equivalent").any(axis=1)
            rows.append((f"an arm called equivalent that differs by the margin, of {arms}, {seeds} seeds, sd 0.003",
                         _share(equal), "at most 5 % an arm", draws))  # fmt: skip
    for sessions in (12, 20, 60):
        for name, share in leaks_called(rng, sessions, draws).items():
            expected = "at most 5 %" if name.startswith("whole") else "what is avoided"
            rows.append((f"a leak in {sessions} sessions, {name}", share, expected, draws))
    return _table(rows)


def powers(draws: int = DRAWS, seed: int = 23) -> pd.DataFrame:
    """The rule at a true difference: columns difference, seeds, sd, found (better or worse), computed, draws."""
    rng, rows = np.random.default_rng(seed), []
    for seeds, sd in SETTINGS:
        for d in DIFFERENCES:
            called = decisions(rng, (d,), seeds, draws, sd)
            computed = power_of_rule(d, sd * math.sqrt(2), seeds, 0.05, MARGIN)
            rows.append((d, seeds, sd, _share(np.isin(called, ["better", "worse"])), computed, draws))
    return pd.DataFrame(rows, columns=["difference", "seeds", "sd", "found", "computed", "draws"])


def coverage(draws: int = DRAWS, seed: int = 24) -> pd.DataFrame:
    """Coverage of 95 % intervals: columns what, share, expected, draws."""
    rng, rows = np.random.default_rng(seed), []
    for seeds in (5, 10, 20):
        rows.append((f"paired t, {seeds} seeds", paired_t(rng, seeds, draws)))
    for splits in (10, 30):
        rows.append((f"Nadeau and Bengio, {splits} splits", nadeau_bengio(rng, splits, draws)))
    one, two = delong(rng, draws)
    rows += [(f"DeLong, one AUC of {ROWS} rows", one), (f"DeLong, a difference, {ROWS} rows", two)]
    for groups in (6, 10, 14, 30, 60):
        rows += [
            (f"{name}, {groups} groups", share) for name, share in over_groups(rng, groups, draws).items()
        ]
    return _table([(what, share, "93 to 97 %", draws) for what, share in rows])


def _table(rows: list[tuple[str, float, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["what", "share", "expected", "draws"])


def interval(share: float, draws: int) -> tuple[float, float]:
    """95 %, of a share (Clopper and Pearson, Biometrika 26, 404, 1934)."""
    found = stats.binomtest(round(share * draws), draws).proportion_ci()
    return float(found.low), float(found.high)


def in_words(found: pd.DataFrame) -> pd.DataFrame:
    """Shares in percent, with their 95 % intervals."""
    shown = found.copy()
    for name in {"share", "found"} & set(found):
        shown[name] = [
            f"{share:.1%} [{low:.1%}, {high:.1%}]"
            for share, (low, high) in (
                (p, interval(p, n)) for p, n in zip(found[name], found["draws"], strict=True)
            )
        ]
    if "computed" in found:
        shown["computed"] = found["computed"].map("{:.1%}".format)
    return shown.drop(columns="draws")


@plots.styled
def figure(powers: pd.DataFrame, coverage: pd.DataFrame, note: str) -> Figure:
    """Power simulated and computed, by difference; and coverage, with their 95 % intervals."""
    fig, (left, right) = plots.new_figure(2, height=5.6, width=11.0)
    colours = [plots.BLUE, plots.ORANGE, plots.GREEN]
    for ((seeds, sd), of), colour in zip(powers.groupby(["seeds", "sd"], sort=False), colours, strict=True):
        left.plot(1e3 * of["difference"], of["computed"], color=colour, lw=1.2)
        left.errorbar(1e3 * of["difference"], of["found"], yerr=_errors(of["found"], of["draws"]), fmt="o", ms=4,
                      color=colour, label=f"{seeds} seeds, sd {sd:g}")  # fmt: skip
    left.axvline(1e3 * MARGIN, color=plots.MUTED, lw=1, ls=":")
    left.set(
        title="How often better or worse is said",
        xlabel="true difference of AUC (thousandths; dotted: the margin)",
        ylabel="share of experiments",
    )
    plots.legend(left)
    rows = np.arange(len(coverage))
    right.axvspan(93, 97, color=plots.GREEN, alpha=0.15, lw=0)
    right.errorbar(100 * coverage["share"], rows, xerr=100 * _errors(coverage["share"], coverage["draws"]), fmt="o",
                   ms=4, color=plots.BLUE)  # fmt: skip
    right.set(title="Coverage of 95 % intervals", xlabel="%", yticks=rows, yticklabels=coverage["what"])
    right.tick_params(axis="y", labelsize=8)
    right.invert_yaxis()
    return plots.caption(fig, note)


def _errors(share: pd.Series, draws: pd.Series) -> np.ndarray:
    """Below and above, (2, rows)."""
    bounds = np.array([interval(p, n) for p, n in zip(share, draws, strict=True)]).T
    return np.abs(bounds - share.to_numpy())


def main() -> None:
    """Print levels, power and coverage."""
    for simulated in (levels, powers, coverage):
        print(f"\n{simulated.__doc__.split(':')[0]}")
        print(in_words(simulated()).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
