"""Still improving, or levelled off; and what asks for a diagnosis."""

import numpy as np
import pytest
import tqdm.std

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.runs.flags import flags, pointer
from qnb.training.chunks import Chunks
from qnb.training.loop import fit
from qnb.training.progress import still_falling, still_improving


@pytest.mark.parametrize(
    ("aucs", "expected"),
    [
        ([0.5, 0.6, 0.7, 0.75, 0.79, 0.82], True),
        ([0.75, 0.84, 0.864, 0.859, 0.866, 0.869], False),
        ([0.3, 0.3, 0.3, 0.3], False),  # never began
        ([0.9, 0.8, 0.7, 0.6], False),
        ([0.98, 0.985, 0.99, 0.991, 0.992, 0.993], False),
        ([0.5, 0.9], None),
        ([], None),
    ],
)
def test_still_improving(aucs, expected):
    assert still_improving([{"val_auc": a} for a in aucs]) is expected


def test_epochs_without_an_evaluation_are_passed_over():
    rows = [{"epoch": 1}, {"val_auc": 0.5}, {"val_auc": np.nan}, {"val_auc": 0.6}, {"val_auc": 0.7}]
    assert still_improving(rows) is True


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"diverged": "the objective ends at 3"}, "Diverged"),
        ({"degen": 1}, "Degenerate"),
        ({"still_improving": True}, "Still improving"),
        ({"against_twin": {"decision": "below"}}, "Below its classical twin"),
    ],
)
def test_what_is_off_ends_in_the_command_that_diagnoses_it(metrics, words):
    assert [name for name, _ in flags(metrics)] == [words] and pointer(metrics, "an-id").startswith(f"{words}. ")
    assert pointer(metrics, "an-id").endswith("qnb run suspects -p run an-id")


def test_a_sound_run_is_left_in_peace():
    metrics = {"diverged": None, "degen": 0, "still_improving": None, "against_twin": {"decision": "equivalent"}}
    assert flags(metrics) == [] and pointer(metrics, "an-id") == ""


def test_the_time_left_does_not_count_compiling_and_a_resume_says_how_far_it_was(tmp_path, capsys, monkeypatch):
    """On a clock that moves by 1,000 s while compiling, and not at all afterwards."""
    config = TrainConfig(data="breast_cancer", sample=None, wires=2, layers=1, engine="exact", epochs=2, fixed_num_batches=2)
    clock, usual = [0.0], Chunks.compile

    def compile_slowly(chunks, batch):
        clock[0] += 1000
        return usual(chunks, batch)

    monkeypatch.setattr(tqdm.std, "time", lambda: clock[0])
    monkeypatch.setattr(Chunks, "compile", compile_slowly)
    prepared = prepare(config)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    fit(config, prepared, tmp_path / "first")
    shown = capsys.readouterr().out
    assert "4/4 [00:00<" in shown and "resuming" not in shown
    fit(config, prepared, tmp_path / "second", resume_from=tmp_path / "first")
    assert "resuming after epoch 2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (np.linspace(0.69, 0.6, 8), True),
        (np.linspace(0.69, 0.6, 300), True),
        (0.3 + 0.4 * np.exp(-np.arange(300) / 30), False),
        (0.69 / (1 + np.arange(300) / 5), False),  # separable rows: it falls for ever, and slowly in the end
        (np.full(9, 0.69), False),
        (np.linspace(0.5, 0.6, 9), False),
        ([0.69, 0.6], False),
        ([], False),
    ],
)
def test_still_falling(losses, expected):
    assert still_falling([{"train_loss": loss} for loss in losses]) is expected
