import numpy as np
import pytest
from simulated_arms import BASE, arms

from qnb.statistics.compare import compare
from qnb.statistics.power import power_of_reported
from qnb.statistics.words import rule, sentences, table, warnings


def test_the_rule_is_said_before_any_number():
    text = rule(0.005, 10, 3, False)
    for part in ("±0.005", "10 seeds", "2 comparisons", "90 %", "0.00195", "not added after looking", "Student's t"):
        assert part in text
    assert "0.0625" in rule(0.005, 5, 2, False) and "(1/10 + n_test/n_train)" in rule(0.005, 10, 2, True)
    assert "4 comparisons" in rule(0.001, 10, 5, False) and "comparisons" not in rule(0.001, 10, 2, False)
    assert "Identical, which is no decision" in text


def test_few_seeds_are_warned_of():
    values = arms(up=(0.02, 0.005))
    five, six = (warnings(compare({arm: v[:n] for arm, v in values.items()}, "base", 0.005)) for n in (5, 6))
    assert "0.0625" in five[0] and "cannot reach 5 %" in five[0] and not six
    many = arms(a=(0.02, 0.005), b=(0, 0.005), c=(0.01, 0.005))
    (warning,) = warnings(compare({arm: v[:6] for arm, v in many.items()}, "base", 0.005))
    assert "0.03125" in warning and "0.01667" in warning and "Holm" in warning


def test_failed_runs_are_counted():
    values = arms(up=(0.02, 0.005), other=(0.0, 0.02))
    values["up"] = np.where(np.arange(10) == 3, np.nan, values["up"])
    assert "up: 1 of 10" in " ".join(warnings(compare(values, "base", 0.005)))


@pytest.mark.parametrize("left", [0, 1])
def test_an_arm_that_always_fails_has_its_sentence_and_its_row(left):
    values = arms(up=(0.02, 0.005), lost=(0.0, 0.01))
    values["lost"] = np.where(np.arange(10) < left, values["lost"], np.nan)
    comparison = compare(values, "base", 0.005)
    assert f"{left} of 10 seeds have a finished run" in " ".join(sentences(comparison))
    assert list(table(comparison).index) == ["up", "lost"]


@pytest.mark.parametrize("shift", [0.0, 0.02])
def test_one_difference_in_all_seeds_is_said_to_be_no_test(shift):
    comparison = compare({"base": BASE, "arm": BASE + shift}, "base", 0.005)
    assert "no spread" in warnings(comparison)[0] and "the same in each" in sentences(comparison)[0]


def test_identical_arms_are_said_loudly(identical):
    first, *others = warnings(identical)
    assert first.startswith("IDENTICAL ARMS: 'base' and 'arm'") and not others
    (sentence,) = sentences(identical)
    assert sentence.startswith("arm against base: identical") and "equivalent" not in first + sentence
    assert list(table(identical)["decision"]) == ["identical"]


def test_the_interval_that_decides_is_named():
    values = arms(up=(0.0055, 0.006))
    comparison = compare(values, "base", 0.001, resampled=True, n_train=600, n_test=200)
    text = " ".join(warnings(comparison) + sentences(comparison))
    assert "Nadeau-Bengio interval" in text and "take seeds as independent" in text and "more rows" in text
    plain = compare(values, "base", 0.001)
    assert "Nadeau" not in " ".join(warnings(plain) + sentences(plain))


def test_sentences_and_table_hold_the_figures():
    comparison = compare(arms(up=(0.02, 0.005), loose=(0.003, 0.02)), "base", 0.005)
    rows = table(comparison)
    assert list(rows.index) == ["up", "loose"] and list(rows["decision"]) == ["better", "undecided"]
    assert rows.loc["loose", "fresh seeds"] == comparison.differences["loose"].seeds_needed
    up, loose = sentences(comparison)
    assert up.startswith("up against base: better. Mean difference in test AUC +0.02 over 10 seeds")
    assert "on seeds not used here" in loose
    estimated = comparison.differences["up"].power_estimated
    assert estimated == power_of_reported(comparison.differences["up"].sd, 10, 0.05 / 2, 0.005)
    assert (
        "with a power of 80 %, if 0.005 is the true sd; as that is an estimate from these 10 seeds, with about "
        f"{100 * estimated:.0f} %."
    ) in up


def test_what_a_win_and_a_pairing_are_worth_is_said():
    small = compare(arms(small=(0.006, 0.003)), "base", 0.005)
    assert "does not lie beyond ±0.005: whether the difference is more than 0.005 is open" in sentences(small)[0]
    large = compare(arms(large=(0.02, 0.003)), "base", 0.005)
    assert "excludes 0, and lies beyond ±0.005." in sentences(large)[0]
    assert list(table(small)["beyond the margin"]) == ["open"] and list(table(large)["beyond the margin"]) == ["yes"]
    base = np.linspace(0.8, 0.9, 10)
    apart = compare({"base": base, "apart": base[::-1].copy()}, "base", 0.005)
    assert any("Pairing by seed gained nothing" in message and "apart -1.00" in message for message in warnings(apart))
    assert "up to 23 % that one of 5 errs" in rule(0.005, 10, 6, False) and "errs" not in rule(0.005, 10, 2, False)
    assert "All errors are those of this report alone" in rule(0.005, 10, 6, False)
