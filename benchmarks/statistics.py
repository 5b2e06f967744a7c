"""What the statistics of the reports do when the truth is known: levels, coverage, power.

    python -m benchmarks statistics

Every line is simulated anew: DRAWS experiments, a share, and two binomial standard errors of it. Decisions are
by the rule with its real margin, `min_effect` = 0.005 in AUC; the sd of one run around its seed is 0.01 where
no other is given. 95 % intervals should cover 93 to 97 %.
"""

import math

import numpy as np
from scipy import stats

from qnb.statistics.auc import auc_difference, auc_interval
from qnb.statistics.bootstrap import seeds_and_rows_interval
from qnb.statistics.compare import compare
from qnb.statistics.power import power_of_rule

DRAWS = 500
MARGIN, SIGMA = 0.005, 0.01
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


def _line(what: str, share: float, draws: int, expected: str) -> None:
    error = 200 * math.sqrt(share * (1 - share) / draws)
    print(f"{what:66}{100 * share:7.1f} % ± {error:.1f}   {expected}", flush=True)


def main() -> None:
    """Print levels, coverage and power, a line each."""
    rng = np.random.default_rng(22)
    print("A winner among equal arms (5 % at most)")
    for arms in (1, 4):
        for seeds in (5, 10, 20):
            called = decisions(rng, (0.0,) * arms, seeds, DRAWS)
            share = float(np.isin(called, ["better", "worse"]).any(axis=1).mean())
            _line(f"{arms} arms against the reference, {seeds} seeds", share, DRAWS, "<= 5 %")
    print("\nThe rule at a true difference d: better or worse, and the computed power")
    for d in (0.0, 0.0025, 0.005, 0.01, 0.02):
        for seeds, sigma in ((10, SIGMA), (10, 0.003), (40, 0.003)):
            called = decisions(rng, (d,), seeds, DRAWS, sigma)
            computed = power_of_rule(d, sigma * math.sqrt(2), seeds, 0.05, MARGIN)
            share = float(np.isin(called, ["better", "worse"]).mean())
            _line(f"d = {d:g}, {seeds} seeds, sd {sigma:g}", share, DRAWS, f"computed {100 * computed:.1f} %")
    print("\nCoverage of 95 % intervals (93 to 97 %)")
    for seeds in (5, 10, 20):
        _line(f"paired t, {seeds} seeds", paired_t(rng, seeds, DRAWS), DRAWS, "")
    for splits in (10, 30):
        _line(f"Nadeau and Bengio, {splits} splits", nadeau_bengio(rng, splits, DRAWS), DRAWS, "")
    one, two = delong(rng, DRAWS)
    _line(f"DeLong, one AUC on the logit scale, {ROWS} rows", one, DRAWS, "")
    _line(f"DeLong, a difference, {ROWS} rows", two, DRAWS, "")
    for groups in (6, 10, 14, 30, 60):
        for name, share in over_groups(rng, groups, DRAWS).items():
            _line(f"{name}, {groups} groups", share, DRAWS, "")


if __name__ == "__main__":
    main()
