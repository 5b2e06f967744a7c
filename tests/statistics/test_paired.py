"""Against published worked examples, scipy, and (constants, and live where it is installed) statsmodels and baycomp."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from qnb.statistics import paired

# Lakens 2013, Frontiers in Psychology 4:863, Table 1: ten ratings of two films. Published: M = 1.00, SD = 0.67, t(9) = 4.74, p = 0.001,
# 95 % CI 0.52 to 1.48, d_z = 1.50.
FILMS = np.array([9, 7, 8, 9, 8, 9, 9, 10, 9, 9]) - np.array([9, 6, 7, 8, 7, 9, 8, 8, 8, 7.0])
# Darwin's crossed and self-fertilised maize, Fisher 1935, The Design of Experiments, III: differences in eighths of an inch.
# Published: t = 2.148 (p just under 5 %), and a share of 1726 / 2^15 of the sign patterns with a sum as far out.
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48.0])
# Hollander and Wolfe 1973, p. 29: depression before and after, as in R's help page of wilcox.test. Published: V = 40, p = 0.03906.
DEPRESSION = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]) - np.array(
    [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
)


def figures(d):
    return d.mean(), paired.standard_error(d.std(ddof=1), len(d)), len(d)


def test_t_interval_and_effect_size_as_published():
    mean, se, n = figures(FILMS)
    assert paired.t_interval(mean, se, n, 0.95) == pytest.approx((0.52, 1.48), abs=0.005)
    assert mean / se == pytest.approx(4.74, abs=0.005) and paired.t_test(mean, se, n) == pytest.approx(0.001, abs=1e-4)
    d_z, g_z = paired.effect_size(mean, FILMS.std(ddof=1), n)
    assert d_z == pytest.approx(1.5) and g_z == pytest.approx(1.5 * (1 - 3 / (4 * 9 - 1)), rel=1e-3)  # Hedges' own approximation
    mean, se, n = figures(MAIZE)
    assert mean / se == pytest.approx(2.148, abs=5e-4) and 0.049 < paired.t_test(mean, se, n) < 0.05


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=15).filter(lambda v: np.std(v) > 1e-6), st.sampled_from([0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_t_agrees_with_scipy(values, level):
    d = np.array(values)
    expected = stats.ttest_1samp(d, 0)
    assert paired.t_test(*figures(d)) == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert paired.t_interval(*figures(d), level) == pytest.approx(tuple(expected.confidence_interval(level)), rel=1e-9, abs=1e-12)


def test_wilcoxon_as_published():
    assert paired.wilcoxon(DEPRESSION) == pytest.approx(0.03906, abs=5e-6)
    assert paired.wilcoxon(MAIZE) == pytest.approx(0.041259765625)  # scipy's documentation of scipy.stats.wilcoxon


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(deadline=None)
def test_wilcoxon_with_ties_and_zeros_counts_sign_patterns(values):
    d = np.array(values, float)
    kept = d[d != 0]
    if not len(kept):
        assert math.isnan(paired.wilcoxon(d))
        return
    ranks = stats.rankdata(np.abs(kept))
    sums = np.array([ranks @ np.array(signs) for signs in itertools.product([-1, 1], repeat=len(kept))])
    assert paired.wilcoxon(d) == pytest.approx((np.abs(sums) >= abs(ranks @ np.sign(kept))).mean())


def test_wilcoxon_of_ties_agrees_with_scipys_exact_permutations():
    d = np.array([1, 1, 2, -1, 3, 3, -2, 4, 5, 5, 5.0])
    expected = stats.wilcoxon(d, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert paired.tied(d) and paired.wilcoxon(d) == pytest.approx(expected)
    assert paired.wilcoxon(d) != pytest.approx(stats.wilcoxon(np.arange(1, 12) * np.sign(d), method="exact").pvalue, rel=0.01)


def test_wilcoxon_of_ties_over_many_seeds_is_a_probability(rng):
    d = np.round(rng.normal(0.1, 1, 300), 1)
    p = paired.wilcoxon(d)
    assert p == pytest.approx(stats.wilcoxon(d, method="asymptotic").pvalue, rel=0.05) and 0 < p < 1


@pytest.mark.parametrize("n", [2, 5, 6, 10])
def test_the_least_p_is_that_of_equal_signs(n):
    d = np.arange(1.0, n + 1)
    assert paired.wilcoxon(d) == paired.sign_test(d)[2] == pytest.approx(paired.smallest_p(n))
    assert paired.smallest_p(5) == 0.0625


def test_sign_test_leaves_zeros_out():
    assert paired.sign_test(FILMS) == (8, 0, pytest.approx(2 / 2**8))
    up, down, p = paired.sign_test(MAIZE)
    assert (up, down) == (13, 2) and p == pytest.approx(2 * (1 + 15 + 105) / 2**15)
    assert math.isnan(paired.sign_test(np.zeros(3))[2])


def test_tost_as_statsmodels():
    # DescrStatsW(FILMS).ttost_mean(-m, m)[0], statsmodels 0.15.0
    for margin, expected in ((0.5, 0.9791040996114435), (1.5, 0.020895900388556515), (2.0, 0.000526935628508277)):
        assert paired.tost(*figures(FILMS), margin) == pytest.approx(expected)
    assert paired.tost(*figures(MAIZE), 50) == pytest.approx(0.004943730384809449)


@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(2, 30), st.floats(0.05, 2))
@settings(deadline=None)
def test_tost_is_the_90_percent_interval(mean, se, n, margin):
    low, high = paired.t_interval(mean, se, n, 0.9)
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (paired.tost(mean, se, n, margin) < 0.05) == (-margin < low and high < margin)


def test_nadeau_bengio_as_baycomp():
    # baycomp.two_on_single(MAIZE / 1000, zeros(15), rope=r, runs=3), baycomp 1.0.3: three runs of five folds, n_test / n_train = 1/4
    d = MAIZE / 1000
    se = paired.standard_error(d.std(ddof=1), 15, 1 / 4)
    assert se**2 == pytest.approx(0.00045113539682539684)
    assert paired.t_test(d.mean(), se, 15) == pytest.approx(2 * 0.17053724139012494)
    left, right = stats.t.sf((0.05 + np.array([1, -1]) * d.mean()) / se, 14)
    assert (right, left) == pytest.approx((0.09635973866107861, 0.002431693450967387))


def test_nadeau_bengio_as_published():
    """scikit-learn's example "Statistical comparison of models using grid search", ten times ten folds: it prints a corrected t of
    0.750 (one-sided p 0.227) and an uncorrected one of 2.611 (p 0.005)."""
    X, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (cross_val_score(SVC(kernel=k, random_state=0), X, y, scoring="roc_auc", cv=folds) for k in ("rbf", "linear"))
    d = rbf - linear
    corrected, plain = (paired.standard_error(d.std(ddof=1), 100, ratio) for ratio in (10 / 90, 0))
    assert d.mean() / corrected == pytest.approx(0.750, abs=5e-4) and d.mean() / plain == pytest.approx(2.611, abs=5e-4)
    assert paired.t_test(d.mean(), corrected, 100) / 2 == pytest.approx(0.227, abs=5e-4)


def test_holm_as_statsmodels():
    # multipletests(p, 0.05, "holm"), statsmodels 0.15.0
    adjusted, levels = paired.holm(np.array([0.01, 0.04, 0.03, 0.005]), 0.05)
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02]) and 1 / levels * 0.05 == pytest.approx([3, 2, 2, 4])
    adjusted, levels = paired.holm(np.array([0.02, 0.014, 0.03, 0.6, 0.0001]), 0.05)
    assert adjusted == pytest.approx([0.06, 0.056, 0.06, 0.6, 0.0005]) and 1 / levels * 0.05 == pytest.approx([4, 4, 4, 4, 5])
    assert paired.holm(np.array([np.nan, 0.02]), 0.05)[0] == pytest.approx([1.0, 0.04])


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_rejects_exactly_where_p_is_under_its_level(values):
    p = np.array(values)
    adjusted, levels = paired.holm(p, 0.05)
    assert ((adjusted <= 0.05) == (p <= levels)).all()


@pytest.mark.slow
def test_against_statsmodels_live(rng):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for _ in range(50):
        d, margin = rng.normal(0.2, 1, rng.integers(3, 20)), rng.uniform(0.1, 2)
        assert paired.tost(*figures(d), margin) == pytest.approx(weightstats.DescrStatsW(d).ttost_mean(-margin, margin)[0])
        p = rng.beta(0.3, 3, rng.integers(1, 8))
        assert paired.holm(p, 0.05)[0] == pytest.approx(multitest.multipletests(p, 0.05, "holm")[1])


def test_against_baycomp_live(rng):
    baycomp = pytest.importorskip("baycomp")
    for folds, runs in ((2, 5), (10, 3)):
        d = rng.normal(0.3, 1, folds * runs)
        se = paired.standard_error(d.std(ddof=1), len(d), 1 / (folds - 1))
        tails = baycomp.two_on_single(d, np.zeros(len(d)), rope=0, runs=runs)
        assert paired.t_test(d.mean(), se, len(d)) == pytest.approx(2 * min(tails))


def test_what_cannot_be_computed_is_nan():
    nan = math.nan
    assert all(map(math.isnan, paired.t_interval(0.1, nan, 1, 0.95)))
    assert (
        math.isnan(paired.t_test(0.1, 0.0, 5))
        and math.isnan(paired.tost(0.1, 0.0, 5, 0.2))
        and math.isnan(paired.t_test(0.1, nan, 1))
    )
    assert math.isnan(paired.standard_error(nan, 0)) and all(map(math.isnan, paired.effect_size(1.0, 0.0, 5)))
