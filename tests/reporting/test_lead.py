"""The first lines of a report: answer, cautions, and what it rests on; nothing that is not so."""

import pytest

from qnb.config import TrainConfig
from qnb.reporting.lead import summary
from qnb.runs.flags import flags
from qnb.runs.folder import create

CARD = {"source": "bundled", "synthetic": True, "rows_kept": 2000, "prior": 0.25, "fingerprint": "0" * 64}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def first_lines(root, metrics, verdict=None, card=None, **changed):
    run = create(root, "train", TrainConfig(**changed))
    run.note(gate=verdict, data=card)
    run.finish(metrics)
    return summary(run, "The answer.").data


def test_a_sound_run_has_its_answer_and_no_caution(root):
    text = first_lines(root, {"test_auc": 0.9, "degen": 0, "diverged": None}, {"verdict": "pass"}, CARD | {"synthetic": False})
    assert text.startswith("The answer.") and "⚠" not in text
    assert "**Gradient check**: passed" in text and "**Data**: bundled, 2,000 rows, 25.0% positive" in text
    assert "**Changed parameters**: none, all defaults" in text


@pytest.mark.parametrize(
    ("metrics", "card", "words"),
    [
        (
            {"degen": 1, "degen_reason": "constant scores"},
            {},
            "**Degenerate**: constant scores; trust AUC, sep and loss, not the thresholded metrics.",
        ),
        ({"diverged": "the loss ended 5 times above that of a zero logit"}, {}, "**Diverged**: the loss ended"),
        ({"few_rows": "2 rows of class 1"}, {}, "**Few test rows**: 2 rows of class 1."),
        ({"still_improving": True}, {}, "**Still improving**: its validation AUC rose to the end."),
        ({}, {"cautions": ["Columns without a role: ts."]}, "**Caution**: Columns without a role: ts."),
        ({}, {"synthetic": True}, "**Synthetic data**: drawn by a generator"),
    ],
)
def test_what_speaks_against_the_figures_is_said_and_nothing_else(metrics, card, words):
    ((name, reason),) = flags(metrics, card)
    assert f"**{name}**: {reason}.".startswith(words)


def test_changed_parameters_and_a_check_that_was_off_are_named(root):
    text = first_lines(root, {}, "off", None, lr=0.2, gate="off", data="breast_cancer")
    assert "**Gradient check**: **off**, no gradient was checked" in text
    assert "`lr = 0.2`" in text and "`data = 'breast_cancer'`" in text and "**Data**" not in text


def test_several_sentences_are_paragraphs(root):
    run = create(root, "train", TrainConfig())
    run.finish({})
    assert summary(run, ["One.", "Two."]).data.startswith("One.\n\nTwo.\n\n- ")
