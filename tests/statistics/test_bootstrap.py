import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from qnb.statistics import bootstrap
from qnb.statistics.bootstrap import BootstrapError, auc_difference_interval, seeds_and_rows_interval


def delong(y, a, b):
    """AUC(a) - AUC(b) and its standard error (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44, 837-845), by counting pairs."""
    placed = []
    for scores in (a, b):
        pos, neg = scores[y == 1][:, None], scores[y == 0][None, :]
        placed.append((pos > neg) + (pos == neg) / 2)
    by_pos, by_neg = (np.array([p.mean(axis=axis) for p in placed]) for axis in (1, 0))
    d_pos, d_neg = by_pos[0] - by_pos[1], by_neg[0] - by_neg[1]
    return d_pos.mean(), math.sqrt(d_pos.var(ddof=1) / len(d_pos) + d_neg.var(ddof=1) / len(d_neg))


def draw(rng, rows, shift_a=1.2, shift_b=1.0):
    y = (rng.random(rows) < 0.3).astype(int)
    common = rng.normal(size=rows)
    return y, shift_a * y + common + 0.5 * rng.normal(size=rows), shift_b * y + common + 0.5 * rng.normal(size=rows)


def test_weighted_auc_is_that_of_repeated_rows(rng):
    for ties in (False, True):
        y, a, _ = draw(rng, 200)
        a = np.round(a, 1) if ties else a
        ranked = bootstrap.Ranked(y, a, "a")
        assert ranked.auc(1.0) == pytest.approx(roc_auc_score(y, a))
        for _ in range(5):
            weights = rng.integers(0, 4, 200)
            assert ranked.auc(weights.astype(float)) == pytest.approx(roc_auc_score(np.repeat(y, weights), np.repeat(a, weights)))
    assert math.isnan(ranked.auc((y == 0).astype(float)))


def test_interval_over_rows_agrees_with_delong(rng):
    y, a, b = draw(rng, 1500)
    found = auc_difference_interval(y, a, b, seed=0, resamples=3000)
    difference, se = delong(y, a, b)
    assert found.difference == pytest.approx(difference) == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert (found.high - found.low) / (2 * stats.norm.ppf(0.975)) == pytest.approx(se, rel=0.06)
    assert (found.low + found.high) / 2 == pytest.approx(difference, abs=0.15 * se)
    assert (found.units, found.seeds, found.undefined, found.resamples) == (1500, 1, 0, 3000)


def test_the_same_seed_gives_the_same_interval(rng):
    y, a, b = draw(rng, 200)
    assert auc_difference_interval(y, a, b, seed=3, resamples=50) == auc_difference_interval(y, a, b, seed=3, resamples=50)
    assert auc_difference_interval(y, a, b, seed=3, resamples=50) != auc_difference_interval(y, a, b, seed=4, resamples=50)


def test_copies_of_a_row_are_no_new_rows(rng):
    y, a, b = draw(rng, 300)
    once = auc_difference_interval(y, a, b, seed=0, resamples=800)
    copies = [np.tile(v, 5) for v in (y, a, b)]
    grouped = auc_difference_interval(*copies, groups=np.tile(np.arange(300), 5), seed=0, resamples=800)
    naive = auc_difference_interval(*copies, seed=0, resamples=800)
    assert (grouped.low, grouped.high, grouped.units) == (pytest.approx(once.low), pytest.approx(once.high), 300)
    assert (naive.high - naive.low) / (once.high - once.low) == pytest.approx(1 / math.sqrt(5), rel=0.1)


def test_seeds_and_rows_both_count(rng):
    y, a, b = draw(rng, 800)
    quiet = np.tile(a, (6, 1))
    rows_alone = auc_difference_interval(y, a, b, seed=0, resamples=600)
    same = seeds_and_rows_interval(y, quiet, np.tile(b, (6, 1)), seed=0, resamples=600)
    assert same.difference == pytest.approx(rows_alone.difference) and same.seeds == 6 and same.units == 800
    assert same.high - same.low == pytest.approx(
        rows_alone.high - rows_alone.low, rel=0.1
    )  # seeds that change nothing add nothing
    shifts = np.linspace(-0.6, 0.6, 6)[:, None] * y  # seeds that differ in what they learned
    loud = seeds_and_rows_interval(y, quiet + shifts, np.tile(b, (6, 1)), seed=0, resamples=600)
    aucs = [roc_auc_score(y, row) - roc_auc_score(y, b) for row in quiet + shifts]
    expected = math.hypot((rows_alone.high - rows_alone.low) / 2 / 1.96, np.std(aucs) / math.sqrt(6))
    assert loud.difference == pytest.approx(np.mean(aucs))
    assert (loud.high - loud.low) / 2 / 1.96 == pytest.approx(expected, rel=0.15)


def test_seeds_with_rows_of_their_own(rng):
    sides = [draw(rng, rows) for rows in (300, 400, 350)]
    y, a, b = zip(*sides, strict=True)
    found = seeds_and_rows_interval(y, a, b, seed=0, resamples=300)
    assert found.units == 1050 and found.seeds == 3
    assert found.difference == pytest.approx(np.mean([roc_auc_score(y, a) - roc_auc_score(y, b) for y, a, b in sides]))
    y, a, b = sides[0]  # three seeds with the same rows, named as such, are three seeds that share rows
    shared = seeds_and_rows_interval(y, [a] * 3, [b] * 3, seed=0, resamples=1000)
    named = seeds_and_rows_interval([y] * 3, [a] * 3, [b] * 3, [np.arange(300)] * 3, seed=0, resamples=1000)
    strangers = seeds_and_rows_interval([y] * 3, [a] * 3, [b] * 3, seed=0, resamples=1000)
    assert named == shared  # else the three average: a seed drawn t times weighs t / 3, and E sum t^2 = 5
    assert (strangers.high - strangers.low) / (shared.high - shared.low) == pytest.approx(math.sqrt(5) / 3, rel=0.1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"logits_a": np.zeros(9)}, "logits_a has shape"),
        ({"logits_b": np.full(40, np.nan)}, "not finite"),
        ({"y": np.zeros(40, int)}, "both present"),
        ({"groups": np.zeros(9)}, "group labels"),
        ({"groups": np.r_[np.zeros(20), np.ones(20)]}, "too few units of one class"),
    ],
)
def test_what_cannot_be_resampled_is_refused(rng, change, match):
    given = {"y": np.r_[np.zeros(20, int), np.ones(20, int)], "logits_a": rng.normal(size=40), "logits_b": rng.normal(size=40)}
    with pytest.raises(BootstrapError, match=match):
        auc_difference_interval(**given | change, seed=0, resamples=100)


def test_seeds_must_match(rng):
    y, a, b = draw(rng, 50)
    with pytest.raises(BootstrapError, match="logits_a for 2 and logits_b for 1"):
        seeds_and_rows_interval(y, [a, a], [b], seed=0, resamples=10)


@pytest.mark.slow
def test_coverage_over_rows():
    """500 draws of 400 rows: the 95 % interval holds the true difference in 93 to 97 % of them."""
    rng = np.random.default_rng(11)
    # scores are normal with sd sqrt(1.25) in each class: AUC = Phi(shift / sqrt(2.5))
    truth = stats.norm.cdf(1.2 / math.sqrt(2.5)) - stats.norm.cdf(1.0 / math.sqrt(2.5))
    held = 0
    for k in range(500):
        found = auc_difference_interval(*draw(rng, 400), seed=k, resamples=400)
        held += found.low <= truth <= found.high
    assert held / 500 == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_coverage_over_seeds_and_rows():
    """300 experiments of ten seeds on 400 shared test rows, both drawn anew: the 95 % interval holds the truth in 92 to 99 % of them.

    The bootstrap over ten seeds takes their spread a factor sqrt(9/10) too small, and crossing adds a little: found is their sum.
    """
    rng = np.random.default_rng(12)
    shifts = rng.normal(1.2, 0.15, 200_000)  # what a seed learns
    truth = stats.norm.cdf(shifts / math.sqrt(2.5)).mean() - stats.norm.cdf(1.0 / math.sqrt(2.5))
    held = 0
    for k in range(300):
        y, _, b = draw(rng, 400)
        common = b - 1.0 * y
        a = np.array([s * y + (common + 0.3 * rng.normal(size=400)) * math.sqrt(1.25 / 1.34) for s in rng.normal(1.2, 0.15, 10)])
        found = seeds_and_rows_interval(y, a, np.tile(b, (10, 1)), seed=k, resamples=300)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 300 <= 0.99


def test_few_units_expand_the_percentiles_as_student_does_the_normal(rng):
    draws = rng.normal(0.1, 0.02, 400_000)
    low, high = bootstrap.expanded(0.1, draws, 0.95, 8, 5)
    half = 0.02 * math.sqrt(8 / 7) * stats.t.ppf(0.975, 5)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=4e-4)
    assert bootstrap.expanded(0.9, 0.9 + draws - 0.1, 0.95, 3, 1) == (
        pytest.approx(0.9 - 12.706 * 0.02 * math.sqrt(1.5), abs=2e-3),
        1.0,
    )
    assert bootstrap.expanded(0.1, draws, 0.95, 1, 0) == (-1.0, 1.0)
    many = bootstrap.expanded(0.1, draws, 0.95, 10**6, 10**6)
    assert many == pytest.approx(bootstrap.percentiles(draws, 0.95), abs=1e-6)
