"""The simulations of `benchmarks.statistics` at reduced size: coverage within three binomial standard errors of 93 to 97 %."""

import math

import numpy as np
import pytest

from benchmarks import statistics as simulated
from qnb.statistics.power import power_of_rule

pytestmark = pytest.mark.slow
DRAWS = 200


def covers(share, draws=DRAWS):
    error = 3 * math.sqrt(0.05 * 0.95 / draws)
    return 0.93 - error <= share <= 0.97 + error


def test_the_paired_t_interval_covers(rng):
    assert covers(simulated.paired_t(rng, 10, DRAWS))


def test_the_interval_over_splits_covers(rng):
    assert covers(simulated.nadeau_bengio(rng, 10, DRAWS))


def test_delongs_intervals_cover(rng):
    assert all(covers(share, 500) for share in simulated.delong(rng, 500))


@pytest.mark.parametrize("groups", [6, 14])
def test_intervals_over_few_groups_cover(rng, groups):
    assert all(share >= 0.93 - 3 * math.sqrt(0.05 * 0.95 / DRAWS) for share in simulated.over_groups(rng, groups, DRAWS).values())


@pytest.mark.parametrize(("difference", "seeds", "sigma"), [(0.0025, 10, 0.003), (0.005, 10, 0.003), (0.0025, 40, 0.003)])
def test_the_rule_with_its_real_margin_has_the_power_computed(rng, difference, seeds, sigma):
    called = simulated.decisions(rng, (difference,), seeds, DRAWS, sigma)
    computed = power_of_rule(difference, sigma * math.sqrt(2), seeds, 0.05, simulated.MARGIN)
    error = 3 * math.sqrt(max(computed * (1 - computed), 0.01) / DRAWS)
    assert np.isin(called, ["better", "worse"]).mean() == pytest.approx(computed, abs=error)


def test_equal_arms_have_a_winner_no_more_often_than_stated(rng):
    called = simulated.decisions(rng, (0.0,) * 4, 10, DRAWS)
    assert np.isin(called, ["better", "worse"]).any(axis=1).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / DRAWS)
