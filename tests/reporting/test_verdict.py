"""Every verdict is yes, no or inconclusive on a question, in code and in the notebooks kept for readers."""

from pathlib import Path

import pytest

from qnb.leakage.verdict import DOES_NOT, REACHES, leak_verdict
from qnb.reporting.verdict import ANSWERS, OF_A_COMPONENT, Verdict, answer, unanimous

ROOT = Path(__file__).parents[2]
OLD = ("reproduced", "refuted", "changed", "depends", "pays", "costs", "not measured", "leak", "none found", "not testable")


@pytest.mark.parametrize("word", ANSWERS + OF_A_COMPONENT)
def test_a_verdict_answers_a_question(word):
    assert Verdict("Is it so?", word, {}, None, "It is.", stack={}).text() == f"Is it so? {word.capitalize()}. It is."
    with pytest.raises(ValueError, match="question mark"):
        Verdict("It is so", word, {}, None, "It is.")


@pytest.mark.parametrize("word", [*OLD, "", "Yes"])
def test_no_other_word_is_a_verdict(word):
    with pytest.raises(ValueError, match="expected one of yes, no, inconclusive"):
        Verdict("Is it so?", word, {}, None, "It is.")


def test_answers():
    assert [answer(True), answer(False), answer(None)] == list(ANSWERS)
    assert [unanimous(cases) for cases in ([True, True], [False], [True, False], [])] == [
        "yes",
        "no",
        "inconclusive",
        "inconclusive",
    ]


@pytest.mark.parametrize(
    ("leak", "reaches", "kept", "opening"),
    [(True, True, True, REACHES), (True, False, False, DOES_NOT), (False, True, None, "W"), (None, True, None, "W")],
)
def test_a_leak_says_whether_it_reaches_the_model(leak, reaches, kept, opening):
    verdict = leak_verdict("Is there a leak?", leak, reaches, {}, None, "Why.")
    assert verdict.reaches_model is kept and verdict.sentence.startswith(opening) and verdict.sentence.endswith("Why.")
    assert verdict.verdict == answer(leak)
