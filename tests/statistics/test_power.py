import math

import numpy as np
import pytest
from scipy import stats

from qnb.statistics import power
from qnb.statistics.paired import standard_error


@pytest.mark.parametrize(
    ("n", "alpha", "d"),  # TTestPower().solve_power(None, n, alpha, 0.8, "two-sided"), statsmodels 0.15.0
    [(10, 0.05, 0.9960019107624178), (10, 0.05 / 3, 1.2234701205496286), (6, 0.05, 1.4345451395119289)]
    + [(5, 0.0125, 2.4767903925670174), (30, 0.01, 0.6622069388851101), (2, 0.05, 11.549889754978167)],
)
def test_detectable_difference_as_statsmodels(n, alpha, d):
    assert power.detectable_difference(1.0, n, alpha, 0.0) == pytest.approx(d, rel=1e-6)
    assert power.detectable_difference(0.02, n, alpha, 0.0) == pytest.approx(0.02 * d, rel=1e-6)


def test_detectable_difference_as_statsmodels_live(rng):
    expected = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for _ in range(20):
        n, alpha, d = int(rng.integers(3, 60)), rng.uniform(0.005, 0.1), rng.uniform(0.1, 1.5)
        assert power.power_of_rule(d, 1.0, n, alpha, 0.0) == pytest.approx(expected.power(d, n, alpha), rel=1e-6)
        assert power.detectable_difference(1.0, n, alpha, 0.0) == pytest.approx(
            expected.solve_power(None, n, alpha, 0.8), rel=1e-4
        )


@pytest.mark.parametrize("n", [2, 3, 6, 10, 50, 2000])
def test_power_is_that_of_the_noncentral_t(n):
    for alpha, noncentrality in ((0.05, 0.5), (0.05, 3.0), (0.0125, 4.0), (0.0025, 2.0)):
        critical = stats.t.isf(alpha / 2, n - 1)
        expected = stats.nct.sf(critical, n - 1, noncentrality) + stats.nct.cdf(-critical, n - 1, noncentrality)
        assert power.power_of_rule(noncentrality / math.sqrt(n), 1.0, n, alpha, 0.0) == pytest.approx(expected, abs=1e-9)


def test_power_is_the_level_at_no_difference_and_one_at_a_huge_one():
    assert power.power_of_rule(0.0, 1.0, 10, 0.05, 0.0) == pytest.approx(0.05)
    assert power.power_of_rule(1e6, 1.0, 10, 0.05, 0.0) == pytest.approx(1.0)
    assert power.power_of_rule(-1e6, 1.0, 1587, 0.001, 0.0) == pytest.approx(1.0)


def test_nadeau_bengio_scales_what_is_detectable():
    plain, inflated = (power.detectable_difference(0.01, 10, 0.05, 0.0, ratio) for ratio in (0.0, 1 / 3))
    assert inflated / plain == pytest.approx(math.sqrt(1 + 10 / 3))


@pytest.mark.parametrize(
    ("margin", "n", "ratio"), [(1.0, 10, 0.0), (0.6, 20, 0.0), (1.3, 5, 0.0), (2.0, 8, 0.25), (30.0, 2, 0.0)]
)
def test_power_of_equivalence_as_drawn(rng, margin, n, ratio):
    draws = 400_000
    mean = standard_error(1.0, n, ratio) * rng.normal(size=draws)
    se = standard_error(1.0, n, ratio) * np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    critical = {10: 1.8331129, 20: 1.7291328, 5: 2.1318468, 8: 1.8945786, 2: 6.3137515}[n]  # Student's t, 95 %, from tables
    share = (np.abs(mean) + critical * se < margin).mean()
    assert power.power_of_equivalence(margin, 1.0, n, ratio) == pytest.approx(share, abs=4 * math.sqrt(0.25 / draws))


@pytest.mark.parametrize(("margin", "alpha", "ratio"), [(0.5, 0.05, 0.0), (1.0, 0.0125, 0.0), (2.0, 0.05, 0.2), (5.0, 0.05, 0.0)])
def test_seeds_needed_is_the_first_that_is_enough(margin, alpha, ratio):
    def both(n):
        return min(
            power.power_of_rule(margin, upper, n, alpha, margin, ratio), power.power_of_equivalence(margin, upper, n, ratio)
        )

    upper = 1.0 / math.sqrt(stats.chi2.ppf(0.2, 9) / 9)  # of an sd that ten seeds gave
    n = power.seeds_needed(margin, 1.0, 10, alpha, ratio)
    assert both(n) >= 0.8 and (n == 2 or both(n - 1) < 0.8)
    if (margin, ratio) == (0.5, 0.0):
        assert n >= 54  # TTestPower().solve_power(0.5 / upper, None, 0.05, 0.8) is 53.6; equivalence asks for a little more


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("n", "alpha", "ratio"), [(6, 0.05, 0.0), (10, 0.0125, 0.0), (10, 0.05, 0.25), (30, 0.05, 0.0)])
def test_power_of_the_rule_as_drawn(rng, margin, n, alpha, ratio):
    """The rule itself, put to drawn means and standard deviations: equivalence first, then the interval."""
    draws, difference = 200_000, 0.8
    se = standard_error(1.0, n, ratio)
    mean, estimated = difference + se * rng.normal(size=draws), se * np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    equivalent = np.abs(mean) + stats.t.ppf(0.95, n - 1) * estimated < margin
    share = np.mean(~equivalent & (np.abs(mean) > stats.t.isf(alpha / 2, n - 1) * estimated))
    assert power.power_of_rule(difference, 1.0, n, alpha, margin, ratio) == pytest.approx(share, abs=4 * math.sqrt(0.25 / draws))
    found = power.detectable_difference(1.0, n, alpha, margin, ratio)
    assert power.power_of_rule(found, 1.0, n, alpha, margin, ratio) == pytest.approx(0.8)


def test_more_seeds_find_less_of_what_lies_below_the_margin():
    few, many = (power.power_of_rule(0.8, 1.0, n, 0.05, 1.0) for n in (20, 400))
    assert few > many and many < 0.1
    assert power.detectable_difference(1.0, 400, 0.05, 1.0) > 0.9 > 0.2 > power.detectable_difference(1.0, 400, 0.05, 0.0)


@pytest.mark.parametrize("margin", [0.0, 0.7])
@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (10, 0.05), (10, 0.0125), (30, 0.05)])
def test_power_of_what_is_reported_as_drawn(rng, n, alpha, margin):
    """Pilots whose sd is their own, each followed by one experiment with a true difference as large as that pilot reports."""
    draws = 200_000
    seen, then = np.sqrt(rng.chisquare(n - 1, (2, draws)) / (n - 1))
    grid = np.linspace(seen.min(), seen.max(), 400)
    reported = np.interp(seen, grid, [power.detectable_difference(sd, n, alpha, margin) for sd in grid])
    mean, se = reported + rng.normal(size=draws) / math.sqrt(n), then / math.sqrt(n)
    equivalent = np.abs(mean) + stats.t.ppf(0.95, n - 1) * se < margin
    share = np.mean(~equivalent & (np.abs(mean) > stats.t.isf(alpha / 2, n - 1) * se))
    assert power.power_of_reported(1.0, n, alpha, margin) == pytest.approx(share, abs=4 * math.sqrt(0.25 / draws))


@pytest.mark.parametrize("n", [6, 10])
def test_seeds_needed_are_enough_in_80_percent_of_pilots(rng, n):
    """An experiment planned on the sd of n seeds has a power of 80 % or more in 80 % of plans, and not in many more."""
    seen = np.sqrt(rng.chisquare(n - 1, 300) / (n - 1))
    planned = [power.seeds_needed(0.7, sd, n, 0.05) for sd in seen]
    enough = [min(power.power_of_rule(0.7, 1.0, k, 0.05, 0.7), power.power_of_equivalence(0.7, 1.0, k)) >= 0.8 for k in planned]
    assert 0.73 <= np.mean(enough) <= 0.9


def test_no_number_of_splits_removes_what_they_share():
    assert power.seeds_needed(1.0, 1.0, 1000, 0.05, ratio=1 / 3) is None  # (1.96 + 0.84) sqrt(1/3) = 1.6 > 1
    assert power.seeds_needed(2.0, 1.0, 1000, 0.05, ratio=1 / 3) is not None
    assert power.seeds_needed(1e-3, 1.0, 10, 0.05) is None


def test_nothing_is_detectable_without_a_spread():
    assert math.isnan(power.detectable_difference(0.0, 10, 0.05, 0.1)) and math.isnan(
        power.detectable_difference(math.nan, 1, 0.05, 0.1)
    )
