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
    assert power.detectable_difference(1.0, n, alpha) == pytest.approx(d, rel=1e-6)
    assert power.detectable_difference(0.02, n, alpha) == pytest.approx(0.02 * d, rel=1e-6)


def test_detectable_difference_as_statsmodels_live(rng):
    expected = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for _ in range(20):
        n, alpha, d = int(rng.integers(3, 60)), rng.uniform(0.005, 0.1), rng.uniform(0.1, 1.5)
        assert power.power_of_difference(d, 1.0, n, alpha) == pytest.approx(expected.power(d, n, alpha), rel=1e-6)
        assert power.detectable_difference(1.0, n, alpha) == pytest.approx(expected.solve_power(None, n, alpha, 0.8), rel=1e-4)


@pytest.mark.parametrize("n", [2, 3, 6, 10, 50, 2000])
def test_power_is_that_of_the_noncentral_t(n):
    for alpha, noncentrality in ((0.05, 0.5), (0.05, 3.0), (0.0125, 4.0), (0.0025, 2.0)):
        critical = stats.t.isf(alpha / 2, n - 1)
        expected = stats.nct.sf(critical, n - 1, noncentrality) + stats.nct.cdf(-critical, n - 1, noncentrality)
        assert power.power_of_difference(noncentrality / math.sqrt(n), 1.0, n, alpha) == pytest.approx(expected, abs=1e-9)


def test_power_is_the_level_at_no_difference_and_one_at_a_huge_one():
    assert power.power_of_difference(0.0, 1.0, 10, 0.05) == pytest.approx(0.05)
    assert power.power_of_difference(1e6, 1.0, 10, 0.05) == pytest.approx(1.0)
    assert power.power_of_difference(-1e6, 1.0, 1587, 0.001) == pytest.approx(1.0)


def test_nadeau_bengio_scales_what_is_detectable():
    plain, inflated = (power.detectable_difference(0.01, 10, 0.05, ratio) for ratio in (0.0, 1 / 3))
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
        return min(power.power_of_difference(margin, 1.0, n, alpha, ratio), power.power_of_equivalence(margin, 1.0, n, ratio))

    n = power.seeds_needed(margin, 1.0, alpha, ratio)
    assert both(n) >= 0.8 and (n == 2 or both(n - 1) < 0.8)
    if (margin, ratio) == (0.5, 0.0):
        assert n >= 34  # TTestPower().solve_power(0.5, None, 0.05, 0.8) is 33.4; equivalence asks for a little more


@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (10, 0.05), (10, 0.0125), (30, 0.05)])
def test_power_of_what_is_reported_as_drawn(rng, n, alpha):
    """Pilots whose sd is their own, each followed by one experiment with a true difference as large as that pilot reports."""
    draws = 200_000
    seen, then = np.sqrt(rng.chisquare(n - 1, (2, draws)) / (n - 1))
    t = (power.detectable_difference(1.0, n, alpha) * seen + rng.normal(size=draws) / math.sqrt(n)) / (then / math.sqrt(n))
    share = np.mean(np.abs(t) > stats.t.isf(alpha / 2, n - 1))
    assert power.power_of_reported(n, alpha) == pytest.approx(share, abs=4 * math.sqrt(0.25 / draws))


def test_no_number_of_splits_removes_what_they_share():
    assert power.seeds_needed(1.0, 1.0, 0.05, ratio=1 / 3) is None  # (1.96 + 0.84) sqrt(1/3) = 1.6 > 1
    assert power.seeds_needed(2.0, 1.0, 0.05, ratio=1 / 3) is not None
    assert power.seeds_needed(1e-3, 1.0, 0.05) is None


def test_nothing_is_detectable_without_a_spread():
    assert math.isnan(power.detectable_difference(0.0, 10, 0.05)) and math.isnan(power.detectable_difference(math.nan, 1, 0.05))
