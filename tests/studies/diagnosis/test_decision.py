"""What a gain decides, against tables of AUCs by seed; the exact rank test against scipy's."""

import numpy as np
import pytest
from scipy import stats

from qnb.studies.diagnosis.decision import decide, margin, rank_test

BASE = np.array([0.80, 0.81, 0.79, 0.80, 0.80])


@pytest.mark.parametrize(
    ("before", "after", "decision"),
    [
        (BASE, BASE + [0.10, 0.11, 0.09, 0.10, 0.10], "heals"),
        (BASE, BASE + [0.02, 0.02, 0.021, 0.019, 0.02], "cleared"),  # certain, and too small to matter
        (BASE, BASE - 0.1 * np.array([1, 1.1, 0.9, 1, 1]), "cleared"),  # worse
        (BASE, BASE + [0.10, -0.12, 0.09, 0.00, 0.15], "undecided"),
        (np.array([0.5, 0.98, 0.6, 0.99, 0.95]), np.full(5, 0.995) + [0, 1e-4, 2e-4, 0, 1e-4], "heals"),  # erratic
        (np.array([0.5, 0.998, 0.6, 0.999, 0.95]), np.full(5, 0.995) + [0, 1e-4, 2e-4, 0, 1e-4], "undecided"),
    ],
)
def test_a_gain_decides(before, after, decision):
    gain = decide(before, {"x": after}, {"x": margin(before, 0.15, 0.01)}, {"x": 0.3})["x"]
    assert gain.decision == decision
    np.testing.assert_allclose(gain.mean, np.mean(after - before))
    assert gain.test == 0.3 and gain.margin == margin(before, 0.15, 0.01)


def test_more_changes_ask_for_more():
    """A gain that one comparison tells from nothing is undecided among seven."""
    after = BASE + [0.02, 0.12, 0.05, 0.11, 0.03]
    alone = decide(BASE, {"x": after}, {"x": 0.01}, {"x": 0})["x"]
    noise = {f"n{i}": BASE + np.random.default_rng(i).normal(0, 0.05, 5) for i in range(6)}
    names = ["x", *noise]
    among = decide(BASE, {"x": after} | noise, dict.fromkeys(names, 0.01), dict.fromkeys(names, 0))["x"]
    assert (alone.decision, among.decision) == ("heals", "undecided")


def test_false_alarms_are_rare():
    """No change does anything: three changes over five seeds of noise heal in 5 % of the diagnoses at most."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        before = 0.8 + 0.02 * rng.standard_normal(5)
        after = {name: 0.8 + 0.02 * rng.standard_normal(5) for name in "abc"}
        gains = decide(before, after, dict.fromkeys("abc", 1e-9), dict.fromkeys("abc", 0.0))
        alarms += any(gain.decision == "heals" for gain in gains.values())
    assert alarms <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)


@pytest.mark.parametrize("seeds", [2, 3, 5, 7, 9])
def test_the_rank_test_is_wilcoxons(seeds, rng):
    before, after = rng.normal(size=seeds), rng.normal(0.7, size=seeds)
    method = "exact" if seeds <= 7 else "asymptotic"
    expected = stats.mannwhitneyu(after, before, alternative="greater", method=method).pvalue
    assert rank_test(before, after) == pytest.approx(expected, abs=0.02 if seeds > 7 else 1e-12)


def test_the_margin_is_the_larger_of_two_and_small_where_history_speaks():
    assert margin(BASE, 0.15, 0.01) == pytest.approx(0.03)
    assert margin(np.full(5, 0.99), 0.15, 0.01) == 0.01
    assert margin(BASE, 0.15, 0.01, suspected=True) == pytest.approx(0.002)
