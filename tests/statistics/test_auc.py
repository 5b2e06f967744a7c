import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.nonparametric import rank_compare_2indep

from qnb.statistics import auc
from qnb.statistics.auc import auc_difference, auc_interval, decide
from qnb.statistics.bootstrap import AUCDifference, BootstrapError, auc_difference_interval, bootstrap_auc


def pairs(y, scores):
    """DeLong's placements by counting every pair: shares below each positive, and above each negative."""
    positive, negative = scores[y == 1][:, None], scores[y == 0][None, :]
    psi = (positive > negative) + (positive == negative) / 2
    return psi.mean(axis=1), psi.mean(axis=0)


def draw(rng, rows, shift=1.2, share=0.3):
    """Labels and two correlated scores, of which the second ranks a little worse."""
    y = (rng.random(rows) < share).astype(int)
    common = rng.normal(size=rows)
    return y, shift * y + common + 0.5 * rng.normal(size=rows), 0.8 * shift * y + common + 0.5 * rng.normal(size=rows)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_placements_are_counts_of_pairs(rng, decimals):
    y, a, _ = draw(rng, 300)
    a = np.round(a, decimals)  # ties, many and few
    for fast, naive in zip(auc.placements(y, a), pairs(y, a), strict=True):
        np.testing.assert_allclose(fast, naive, atol=1e-12)


@pytest.mark.parametrize("decimals", [0, 12])
def test_standard_error_is_that_of_statsmodels(rng, decimals):
    """Brunner and Munzel's variance of P(X > Y) + P(X = Y) / 2 is DeLong's."""
    y, a, _ = draw(rng, 400)
    a = np.round(a, decimals)
    other = rank_compare_2indep(a[y == 1], a[y == 0], use_t=False)
    found = auc_interval(y, a)
    assert found.auc == pytest.approx(other.prob1) == pytest.approx(roc_auc_score(y, a))
    # on the logit scale by the delta method
    se = math.sqrt(other.var_prob) / (other.prob1 * (1 - other.prob1))
    logit = [math.log(p / (1 - p)) for p in (found.low, found.auc, found.high)]
    assert logit[2] - logit[1] == pytest.approx(1.959964 * se) == pytest.approx(logit[1] - logit[0])


def test_difference_is_delongs(rng):
    y, a, b = draw(rng, 500)
    found = auc_difference(y, a, b)
    (pos_a, neg_a), (pos_b, neg_b) = pairs(y, a), pairs(y, b)
    covariance = np.cov(pos_a, pos_b) / len(pos_a) + np.cov(neg_a, neg_b) / len(neg_a)  # DeLong's S, 2 by 2
    se = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert (found.low, found.high) == pytest.approx((found.difference - 1.959964 * se, found.difference + 1.959964 * se))
    assert found.interval_90 == pytest.approx((found.difference - 1.644854 * se, found.difference + 1.644854 * se))
    assert (found.seeds, found.units, found.resamples) == (1, 500, 0)


def test_intervals_over_rows_agree_with_the_bootstrap(rng):
    y, a, b = draw(rng, 1500)
    draws = bootstrap_auc([a], y, rng, resamples=3000)[:, 0]
    found = auc_interval(y, a)
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.15 * draws.std())
    ours, theirs = auc_difference(y, a, b), auc_difference_interval(y, a, b, seed=1, resamples=3000)
    sd = (theirs.high - theirs.low) / 4
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.15 * sd)
    assert ours.interval_90 == pytest.approx(theirs.interval_90, abs=0.15 * sd)


def test_groups_count_once(rng):
    """What 200 rows say is not more for being said five times."""
    y, a, b = draw(rng, 200)
    copies = [np.tile(v, 5) for v in (y, a, b)]
    groups = np.tile(np.arange(200), 5)
    once, found = auc_interval(y, a), auc_interval(copies[0], copies[1], groups)
    assert (found.method, found.units) == ("DeLong over groups", (int((y == 0).sum()), int(y.sum())))
    assert found.high - found.low == pytest.approx(once.high - once.low, rel=0.05)
    assert auc_interval(*copies[:2]).high - found.low < once.high - once.low
    paired, ours = auc_difference(y, a, b), auc_difference(*copies, groups)
    assert (ours.high - ours.low, ours.units) == (pytest.approx(paired.high - paired.low, rel=0.05), 200)


def clustered(rng, groups, shift=1.5, spread=0.7):
    """Labels, two scores and groups of some 20 rows, which share an effect and, by their own share of positives, the label."""
    of = np.repeat(np.arange(groups), rng.poisson(20, groups) + 1)
    y = (rng.random(len(of)) < rng.random(groups)[of]).astype(int)
    common = spread * rng.normal(size=groups)[of]
    return y, *(shift * y + common + rng.normal(size=len(of)) for _ in range(2)), of


def test_standard_error_over_groups_is_obuchowskis_and_near_the_jackknifes(rng):
    y, a, b, groups = clustered(rng, 60)
    (pos_a, neg_a), (pos_b, neg_b), G = pairs(y, a), pairs(y, b), 60
    # Obuchowski's S10, S01 and S11 with one factor G / (G - 1) for all three: sums of placements by group, less the expected
    X = np.bincount(groups[y == 1], pos_a - pos_b, G) - np.bincount(groups[y == 1], minlength=G) * (pos_a - pos_b).mean()
    Y = np.bincount(groups[y == 0], neg_a - neg_b, G) - np.bincount(groups[y == 0], minlength=G) * (neg_a - neg_b).mean()
    m, n = y.sum(), len(y) - y.sum()
    variance = G / (G - 1) * ((X @ X) / m**2 + (Y @ Y) / n**2 + 2 * (X @ Y) / (m * n))
    found = auc_difference(y, a, b, groups)
    t = stats.t.ppf(0.975, min(len(set(groups[y == c])) for c in (0, 1)) - 1)
    assert (found.high - found.low) / 2 == pytest.approx(t * math.sqrt(variance))
    left = [roc_auc_score(y[k], a[k]) - roc_auc_score(y[k], b[k]) for k in (groups != g for g in range(G))]
    jackknife = math.sqrt((G - 1) / G * ((left - np.mean(left)) ** 2).sum())
    assert math.sqrt(variance) == pytest.approx(jackknife, rel=0.05)


def test_groups_that_share_an_effect_widen_the_interval(rng):
    groups = np.repeat(np.arange(40), 25)
    y = (rng.random(1000) < 0.5).astype(int)
    scores = y + 2 * rng.normal(size=40)[groups] * (2 * y - 1) + rng.normal(size=1000)
    over_rows, over_groups = auc_interval(y, scores), auc_interval(y, scores, groups)
    assert over_groups.high - over_groups.low > 2 * (over_rows.high - over_rows.low)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_scores_that_separate_the_classes_have_an_exact_limit(level):
    y = np.r_[np.zeros(50), np.ones(8)]
    found = auc_interval(y, y + 0.0, level=level)
    limit = stats.binomtest(8, 8).proportion_ci(level, method="exact")
    assert (found.auc, found.low, found.high, found.method) == (1.0, pytest.approx(limit.low), 1.0, "exact")
    upside_down = auc_interval(y, -y, level=level)
    assert (upside_down.low, upside_down.high) == (0.0, pytest.approx(1 - limit.low))


def test_of_groups_no_more_pairs_than_disjoint_ones():
    y, groups = np.tile([0.0, 1.0], 12), np.repeat(np.arange(12), 2)  # each of twelve groups has both classes
    found = auc_interval(y, y, groups)
    assert found.low == pytest.approx(0.025 ** (1 / 6)) and found.units == (12, 12)


def test_two_models_that_separate_the_classes_are_not_known_to_be_equal():
    y = np.r_[np.zeros(20), np.ones(20)]
    found = auc_difference(y, y + 0.0, 2 * y)
    assert (found.difference, found.low, found.high) == (0.0, -found.high, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert decide(found, 0.005) == "undecided" and decide(found, 0.5) == "equivalent"


def test_the_same_ranking_has_no_difference(rng):
    y, a, _ = draw(rng, 100)
    found = auc_difference(y, a, np.exp(a))
    assert (found.low, found.difference, found.high) == (0.0, 0.0, 0.0)
    assert decide(found, 0.005) == "equivalent"


def test_one_row_of_a_class_says_nothing():
    y, scores = np.r_[np.zeros(9), 1.0], np.r_[np.arange(9.0), 4.5]
    found = auc_interval(y, scores)
    assert (found.auc, found.low, found.high) == (pytest.approx(5 / 9), 0.0, 1.0)
    difference = auc_difference(y, scores, np.r_[np.arange(9.0), 6.5])
    assert (difference.low, difference.high) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("positives", "groups", "said"),
    [
        (29, None, "29 rows hold class 1: under 30"),
        (30, None, None),
        (40, np.arange(100) % 20, "20 groups hold class 0: under 30"),
        (40, np.r_[np.arange(60), np.full(40, 7)], "one group alone holds rows of class 1: nothing is known"),
    ],
)
def test_few_units_are_said(rng, positives, groups, said):
    y = np.r_[np.zeros(100 - positives), np.ones(positives)]
    found = auc_interval(y, rng.normal(size=100), groups)
    assert found.few is None if said is None else found.few.startswith(said)


@pytest.mark.parametrize(
    ("interval", "inner", "decision"),
    [
        ((-0.004, 0.004), (-0.003, 0.003), "equivalent"),
        ((0.001, 0.004), (0.002, 0.003), "equivalent"),  # a difference too small to matter is asked first
        ((0.001, 0.02), (0.002, 0.015), "above"),
        ((-0.02, -0.001), (-0.015, -0.002), "below"),
        ((-0.02, 0.001), (-0.015, -0.002), "undecided"),
        ((-0.006, 0.006), (-0.005, 0.005), "undecided"),  # the margin itself is outside
    ],
)
def test_decision(interval, inner, decision):
    assert decide(AUCDifference(0.0, *interval, 0.95, inner, 1, 100, 0, 0), 0.005) == decision


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"logits": np.zeros(9)}, "logits has shape"),
        ({"logits": np.full(40, np.nan)}, "not finite"),
        ({"y": np.zeros(40, int)}, "both present"),
        ({"groups": np.zeros(9)}, "9 group labels for 40 rows"),
    ],
)
def test_what_does_not_belong_together_is_refused(rng, change, match):
    given = {"y": np.r_[np.zeros(20, int), np.ones(20, int)], "logits": rng.normal(size=40)}
    with pytest.raises(BootstrapError, match=match):
        auc_interval(**given | change)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "shift"), [(80, 1.0), (80, 3.0), (400, 1.0)])
def test_coverage_of_an_auc(rows, shift):
    """2000 draws: the 95 % interval holds the true AUC in 93 to 97.5 % of them, near 1 and with 24 positives too."""
    rng = np.random.default_rng(21)
    truth, held = stats.norm.cdf(shift / math.sqrt(2.5)), 0  # each class is normal with variance 1.25
    for _ in range(2000):
        y, a, _ = draw(rng, rows, shift)
        found = auc_interval(y, a)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 2000 <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("groups", [6, 14, 40])
def test_coverage_over_groups(groups):
    """1000 draws of few groups that share an effect: the interval of an AUC and that of a difference hold the truth in 92 % at least."""
    rng = np.random.default_rng(groups)
    truth, held = stats.norm.cdf(1.5 / math.sqrt(2 * (1 + 0.7**2))), np.zeros(3)
    for _ in range(1000):
        y, a, b, of = clustered(rng, groups)
        one, two = auc_interval(y, a, of), auc_difference(y, a, b, of)
        held += one.low <= truth <= one.high, two.low <= 0 <= two.high, one.few is not None
    assert (held[:2] >= 920).all() and held[2] == (1000 if groups < 30 else 0)
