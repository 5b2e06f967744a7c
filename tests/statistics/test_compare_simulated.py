"""What the decision rule does when the truth is known. Slow, seeded; bounds are the stated rate and three binomial standard errors.

Differences are normal and seeds independent, but for Nadeau and Bengio's correction, which is tried on learners trained on overlapping splits.
"""

import math

import numpy as np
import pytest
from scipy import stats

from qnb.statistics.compare import compare
from qnb.statistics.power import MOST_SEEDS, seeds_needed

pytestmark = pytest.mark.slow
SIGMA = 0.01  # sd of one run around what its seed gives to all arms
MARGIN = 0.005  # the default min_effect


def margin_of_error(rate, runs):
    return 3 * math.sqrt(rate * (1 - rate) / runs)


def experiment(rng, seeds, effects, min_effect, sigma=SIGMA):
    """Decisions of one ablation: a part shared by the arms in each seed, then each arm's effect and noise of its own."""
    shared = 0.9 + 0.02 * rng.normal(size=seeds)
    runs = {f"arm{k}": shared + effect + sigma * rng.normal(size=seeds) for k, effect in enumerate((0.0, *effects))}
    return [d.decision for d in compare(runs, "arm0", min_effect).differences.values()]


@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize("comparisons", [1, 4])
def test_equal_arms_have_a_winner_no_more_often_than_stated(comparisons, seeds):
    """A winner in any comparison: 5 % at most. The margin is next to nothing, so that no equivalence hides a false winner."""
    rng, runs = np.random.default_rng(100 + comparisons), 1200 if comparisons == 1 else 600
    winners = [
        not {"better", "worse"}.isdisjoint(experiment(rng, seeds, [0.0] * comparisons, min_effect=1e-9)) for _ in range(runs)
    ]
    share = np.mean(winners)
    assert share <= 0.05 + margin_of_error(0.05, runs)
    assert share >= (0.05 - margin_of_error(0.05, runs) if comparisons == 1 else 0.01)  # Holm on correlated tests: a little under


def test_a_margin_only_takes_false_winners_away():
    rng, runs = np.random.default_rng(7), 400
    found = [experiment(rng, 10, [0.0], min_effect=0.012)[0] for _ in range(runs)]
    assert np.mean([d in ("better", "worse") for d in found]) <= 0.05 and np.mean([d == "equivalent" for d in found]) > 0.5


@pytest.mark.parametrize("margin", [MARGIN, 0.03])
@pytest.mark.parametrize("others", [0, 3])
def test_an_effect_as_large_as_reported_detectable_is_found_at_80_percent(others, margin):
    """Claim: were the sd that an ablation saw the true one, a true difference as large as the one it reports as detectable would be
    called better in 80 % of ablations of as many seeds, whatever the margin.

    So the report is that of a pilot whose differences have exactly the true sd, and the ablations that follow are fresh. With other arms
    in which nothing happens Holm may stop a step later, so power is 80 % or a little over.
    """
    seeds, sd = 10, SIGMA * math.sqrt(2)
    noise = stats.zscore(np.random.default_rng(1).normal(size=seeds), ddof=1)
    pilot = {"arm0": np.zeros(seeds)} | {f"arm{k}": sd * noise for k in range(1, 2 + others)}
    reported = compare(pilot, "arm0", margin).differences["arm1"].detectable
    rng, runs = np.random.default_rng(200 + others), 1200 if others == 0 else 600
    share = np.mean([experiment(rng, seeds, [reported] + [0.0] * others, margin)[0] == "better" for _ in range(runs)])
    assert 0.8 - margin_of_error(0.8, runs) <= share <= 0.8 + margin_of_error(0.8, runs) + 0.02 * bool(others)


@pytest.mark.parametrize("seeds", [6, 10, 30])
def test_a_difference_at_the_margin_is_called_equivalent_in_5_percent_at_most(seeds):
    rng, runs = np.random.default_rng(300 + seeds), 500
    for effect in (0.03, -0.03):
        share = np.mean([experiment(rng, seeds, [effect], min_effect=0.03)[0] == "equivalent" for _ in range(runs)])
        assert share <= 0.05 + margin_of_error(0.05, runs)
    assert seeds < 30 or share >= 0.05 - margin_of_error(0.05, runs)  # with few seeds the interval seldom fits: under 5 %


@pytest.mark.parametrize("comparisons", [1, 4])
def test_as_many_seeds_as_said_to_be_needed_decide_in_80_percent(comparisons):
    """In either clear case: a difference as large as the margin has an interval that excludes 0, and none at all is called equivalent."""
    min_effect, runs = 0.012, 400
    seeds = seeds_needed(min_effect, SIGMA * math.sqrt(2), MOST_SEEDS, 0.05 / comparisons)  # the sd is known
    rng, others = np.random.default_rng(400 + comparisons), [0.0] * (comparisons - 1)
    equal = np.mean([experiment(rng, seeds, [0.0, *others], min_effect)[0] == "equivalent" for _ in range(runs)])
    better = np.mean([experiment(rng, seeds, [min_effect, *others], min_effect)[0] == "better" for _ in range(runs)])
    assert min(equal, better) >= 0.8 - margin_of_error(0.8, runs)


def split_aucs(scores, y):
    """AUC of each row of scores, y: (J, n)."""
    ranks, positives = stats.rankdata(scores, axis=1), y.sum(axis=1)
    return ((ranks * y).sum(axis=1) - positives * (positives + 1) / 2) / (positives * (y.shape[1] - positives))


def resampled_difference(rng, rows, n_test, seeds, training_noise):
    """AUC(A) - AUC(B) of `seeds` random splits of one table. A learns from five features, B from five others that carry as much.

    Both project on the difference of the class means of their training rows; training_noise is added to that direction.
    """
    y = (rng.random(rows) < 0.5).astype(float)
    X = rng.normal(size=(rows, 10)) + 0.35 * y[:, None]
    order = np.argsort(rng.random((seeds, rows)), axis=1)
    test, train = order[:, :n_test], order[:, n_test:]
    aucs = []
    for features in (X[:, :5], X[:, 5:]):
        labels, seen = y[train], features[train]
        up, down = (np.einsum("jn,jnd->jd", w / w.sum(axis=1, keepdims=True), seen) for w in (labels, 1 - labels))
        direction = up - down + training_noise * rng.normal(size=up.shape)
        aucs.append(split_aucs(np.einsum("jnd,jd->jn", features[test], direction), y[test]))
    return aucs[0] - aucs[1]


@pytest.mark.parametrize(
    ("seeds", "n_test", "training_noise", "plain", "corrected"),
    # bounds: of the plain t interval from below, of Nadeau and Bengio's from above
    [(10, 75, 0.0, 0.25, 0.08), (10, 75, 0.3, 0.2, 0.05), (10, 30, 0.0, 0.1, 0.06), (30, 75, 0.0, 0.45, 0.08)],
)
def test_nadeau_bengio_under_resampled_splits(seeds, n_test, training_noise, plain, corrected):
    """Two learners that are equally good on average over tables of 300 rows, compared over random splits of one table.

    Found over 1000 tables, at a nominal 5 %: the plain t interval calls a winner in 35 % (10 splits, n_test/n_train = 1/3), 56 % (30
    splits) and 16 % (n_test/n_train = 1/9); Nadeau and Bengio's in 6.5, 6.1 and 4.3 %. Where training noise, independent between seeds,
    makes up half of the spread, 27 and 2.7 %. So the correction is no guarantee of 5 %, but near it, and what stands without it is no test.
    """
    rng, runs = np.random.default_rng(5), 300
    found = np.empty((runs, 2), bool)
    for r in range(runs):
        d = resampled_difference(rng, 300, n_test, seeds, training_noise)
        values = {"a": d, "b": np.zeros(seeds)}
        result = compare(values, "b", 1e-9, resampled=True, n_train=300 - n_test, n_test=n_test)
        t = result.differences["a"].interval
        found[r] = t[0] > 0 or t[1] < 0, result.differences["a"].decision in ("better", "worse")
    shares = found.mean(axis=0)
    assert shares[0] > plain and shares[1] <= corrected + margin_of_error(corrected, runs) / 3
