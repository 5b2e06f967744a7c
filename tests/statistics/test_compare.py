import json
import math

import numpy as np
import pytest
from scipy import stats
from simulated_arms import BASE, NOISE, arms

from qnb.statistics.compare import CompareError, compare, identical_arms
from qnb.statistics.power import detectable_difference


def decisions(found):
    return {arm: d.decision for arm, d in found.differences.items()}


def test_the_four_decisions():
    found = compare(arms(up=(0.02, 0.005), down=(-0.02, 0.005), same=(0.0005, 0.002), loose=(0.003, 0.02)), "base", 0.005)
    assert decisions(found) == {"up": "better", "down": "worse", "same": "equivalent", "loose": "undecided"}
    assert found.differences["loose"].seeds_needed > 10 and found.differences["up"].seeds_needed is None


def test_equivalence_takes_precedence_over_a_difference_too_small_to_matter():
    d = compare(arms(small=(0.002, 0.001)), "base", 0.005).differences["small"]
    assert d.p < 1e-3 and d.holm[0] > 0 and d.decision == "equivalent"


def test_figures_of_one_difference_are_scipys():
    d = compare(arms(up=(0.004, 0.006)), "base", 0.005).differences["up"]
    expected = stats.ttest_rel(BASE + 0.004 + 0.006 * NOISE, BASE)
    assert d.p == pytest.approx(expected.pvalue) and d.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert d.interval_90 == pytest.approx(tuple(expected.confidence_interval(0.9))) and d.holm == pytest.approx(d.interval)
    assert d.p_wilcoxon == pytest.approx(stats.wilcoxon(np.array(d.values), method="exact").pvalue)
    assert d.d_z == pytest.approx(2 / 3) and (d.n, d.zeros, d.tied, d.nadeau_bengio) == (10, 0, False, None)
    assert d.detectable == pytest.approx(detectable_difference(0.006, 10, 0.05, 0.005))


def test_holm_interval_excludes_0_exactly_where_holm_rejects(rng):
    seen = set()
    for _ in range(40):
        values = {"base": BASE} | {f"arm{k}": BASE + 0.005 * rng.normal(0.5, 1, 10) for k in range(4)}
        for d in compare(values, "base", 1e-6).differences.values():
            outside = d.holm[0] > 0 or d.holm[1] < 0
            seen.add(outside)
            assert outside == (d.p_holm <= 0.05) == (d.decision in ("better", "worse"))
    assert seen == {True, False}


def test_more_arms_ask_for_more():
    one = compare(arms(up=(0.0055, 0.006)), "base", 0.001)
    four = compare(arms(up=(0.0055, 0.006), b=(0, 0.006), c=(0, 0.007), d=(0, 0.008)), "base", 0.001)
    assert decisions(one)["up"] == "better" and decisions(four)["up"] == "undecided"
    assert four.differences["up"].holm_confidence == pytest.approx(1 - 0.05 / 4)
    assert four.differences["up"].detectable == pytest.approx(detectable_difference(0.006, 10, 0.05 / 4, 0.001))


def test_nadeau_bengio_decides_where_seeds_resample_the_split():
    values = arms(up=(0.0055, 0.006))
    d = compare(values, "base", 0.001, resampled=True, n_train=600, n_test=200).differences["up"]
    half = stats.t.ppf(0.975, 9) * 0.006 * math.sqrt(1 / 10 + 200 / 600)
    assert d.nadeau_bengio == pytest.approx((0.0055 - half, 0.0055 + half)) and d.holm == pytest.approx(d.nadeau_bengio)
    assert d.interval == pytest.approx(compare(values, "base", 0.001).differences["up"].interval)
    assert d.decision == "undecided" and d.detectable == pytest.approx(detectable_difference(0.006, 10, 0.05, 0.001, 1 / 3))
    assert d.seeds_needed is None


def test_failed_runs_leave_their_seed():
    values = arms(up=(0.02, 0.005), other=(0.0, 0.02))
    values["up"] = np.where(np.arange(10) == 3, np.nan, values["up"])
    found = compare(values, "base", 0.005)
    d = found.differences["up"]
    assert (d.n, found.differences["other"].n, found.arms["up"].n) == (9, 10, 9) and math.isnan(d.values[3])
    assert d.mean == pytest.approx(np.delete(0.02 + 0.005 * NOISE, 3).mean())


@pytest.mark.parametrize("left", [0, 1])
def test_an_arm_that_always_fails_is_undecided(left):
    values = arms(up=(0.02, 0.005), lost=(0.0, 0.01))
    values["lost"] = np.where(np.arange(10) < left, values["lost"], np.nan)
    found = compare(values, "base", 0.005)
    assert decisions(found) == {"up": "better", "lost": "undecided"}
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("shift", "decision"), [(0.0, "equivalent"), (0.001, "equivalent"), (0.02, "undecided")])
def test_one_difference_in_all_seeds_is_no_test(shift, decision):
    found = compare({"base": BASE, "arm": BASE + shift}, "base", 0.005)
    d = found.differences["arm"]
    assert (d.sd, d.decision) == (0.0, decision) and math.isnan(d.p) and math.isnan(d.detectable)
    assert (d.zeros, d.up) == ((10, 0) if shift == 0 else (0, 10))
    json.dumps(found.to_dict(), allow_nan=False)


def test_rounding_makes_neither_ties_nor_signs():
    d = compare({"a": BASE, "b": BASE + np.array([1, 1, -1, 2, 2, -3, 4, 5, 0, 0]) * 1e-3}, "a", 0.005).differences["b"]
    assert d.tied and (d.up, d.down, d.zeros) == (6, 2, 2)
    shifted = compare({"a": BASE, "b": BASE + 1e-17 + np.array([1, 1, -1, 2, 2, -3, 4, 5, 1e-13, -1e-13]) * 1e-3}, "a", 0.005)
    assert shifted.differences["b"].p_wilcoxon == d.p_wilcoxon and shifted.differences["b"].zeros == 2


def test_identical_arms_are_found_timings_aside(history):
    runs = {"a": [history(0), history(1)], "b": [history(0), history(1)], "c": [history(0), history(2)]}
    assert identical_arms(runs) == [("a", "b")]
    last_bit = history(1)
    last_bit.loc[0, "train_loss"] = np.nextafter(last_bit.loc[0, "train_loss"], 1)
    assert identical_arms({"a": runs["a"], "b": [history(0), last_bit]}) == []
    assert identical_arms({"a": runs["a"], "b": [history(0), None]}) == [("a", "b")]
    assert identical_arms({"a": runs["a"], "b": [None, None]}) == []
    assert (
        identical_arms({"a": [history(0)], "b": [history(0).iloc[:1]]})
        == identical_arms({"a": [history(0)], "b": [history(0, x=1)]})
        == []
    )
    assert identical_arms({"a": [history(0)], "b": [history(0, epoch=[1.0, 2.0])]}) == [("a", "b")]
    with pytest.raises(CompareError, match="different numbers of seeds"):
        identical_arms({"a": [history(0)], "b": []})


def test_an_arm_that_is_the_reference_is_identical(identical):
    assert identical.identical == (("base", "arm"),) and decisions(identical) == {"arm": "identical"}
    written = identical.to_dict()
    assert written["identical"] == [["base", "arm"]] and written["differences"]["arm"]["decision"] == "identical"


def test_two_arms_that_are_one_program_are_still_held_against_another_reference(history):
    values = arms(a=(0.02, 0.005), b=(0.02, 0.005))
    found = compare(values, "base", 0.005, histories={arm: [history(s + (arm == "base")) for s in range(10)] for arm in values})
    assert found.identical == (("a", "b"),) and decisions(found) == {"a": "better", "b": "better"}


def test_result_is_plain_json():
    found = compare(arms(up=(0.02, 0.005), loose=(0.003, 0.02)), "base", 0.005)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["differences"]["up"]["decision"] == "better" and read["arms"]["base"]["values"] == pytest.approx(BASE)


@pytest.mark.parametrize(
    ("values", "kwargs", "match"),
    [
        ({"base": BASE, "a": BASE}, {"reference": "bose"}, "Did you mean 'base'"),
        ({"base": BASE, "a": BASE[:3]}, {}, "got shapes"),
        ({"base": BASE}, {}, "two arms or more"),
        ({"base": BASE[:1], "a": BASE[:1]}, {}, "two seeds or more"),
        ({"base": BASE, "a": BASE * np.inf}, {}, "infinite"),
        ({"base": BASE, "a": BASE}, {"min_effect": 0.0}, "above 0"),
        ({"base": BASE, "a": BASE}, {"resampled": True, "n_train": 100}, "n_train and n_test"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, kwargs, match):
    with pytest.raises(CompareError, match=match):
        compare(values, **{"reference": "base", "min_effect": 0.005} | kwargs)


def test_better_says_whether_it_is_by_more_than_the_margin():
    """The same precision, two differences: that 0 is excluded does not say that what matters is."""
    found = compare(arms(small=(0.006, 0.003), large=(0.02, 0.003), less=(-0.02, 0.003), none=(0.0, 0.002)), "base", 0.005)
    assert decisions(found) == {"small": "better", "large": "better", "less": "worse", "none": "equivalent"}
    assert {arm: d.beyond_margin for arm, d in found.differences.items()} == {
        "small": False, "large": True, "less": True, "none": None,
    }  # fmt: skip


def test_the_correlation_of_paired_values_is_scipys(rng):
    common = rng.normal(size=12)
    values = {"base": common + rng.normal(size=12), "paired": common, "apart": -common, "flat": np.full(12, 0.5)}
    values["paired"] = np.where(np.arange(12) == 3, np.nan, values["paired"])
    found = compare(values, "base", 0.1).differences
    kept = np.arange(12) != 3
    assert found["paired"].correlation == pytest.approx(stats.pearsonr(common[kept], values["base"][kept])[0])
    assert found["apart"].correlation < 0 and math.isnan(found["flat"].correlation)
