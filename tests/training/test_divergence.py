"""A training that ends worse than no training is marked, and a sound one is not, however its loss is weighted."""

import pytest

from qnb import cli
from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.reporting import tables
from qnb.runs.flags import flags
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.training.divergence import FAR, divergence
from qnb.training.loop import fit
from qnb.training.train import train

SMALL = {
    "data": "breast_cancer", "engine": "exact", "wires": 2, "layers": 1, "batch": 32, "epochs": 3, "fixed_num_batches": 4, "gate": "off",
}  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"class_weights": (1.0, 50.0)},  # far above the entropy of the prior, and sound
        {"class_weights": "balanced"},
        {"focal_gamma": 2.0},
        {"balanced_batches": True},
        {"balanced_batches": True, "prior_correction": "importance"},
    ],
    ids=str,
)
def test_a_sound_training_is_not_marked(values):
    assert train(TrainConfig(**SMALL | values), progress=False).metrics["diverged"] is None


@pytest.mark.parametrize("values", [{}, {"class_weights": (1.0, 50.0)}, {"focal_gamma": 2.0}], ids=str)
def test_a_rate_that_is_far_too_high_is_told(values):
    result = train(TrainConfig(**SMALL | values | {"lr": 1e9}), progress=False)
    assert result.metrics["diverged"].endswith("Lower lr=1e+09")
    assert "**Diverged: " in tables.training_sentence(result)
    assert flags(result.metrics)[0][0] == "Diverged"


def test_parameters_that_ran_away_are_told_though_the_objective_is_low():
    run = fit(TrainConfig(**SMALL), prepare(TrainConfig(**SMALL)), progress=False)
    assert divergence(run) is None
    run.state.params["weights"] = run.state.params["weights"] + 2 * FAR
    assert "weights ran away to 2e+06" in divergence(run)


def test_it_is_seen_in_the_list_and_in_the_exit_code(tmp_path, monkeypatch, capsys):
    from qnb.runs import headless, job

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')

    def finished(prepared, timeout, start_timeout):
        run = create(tmp_path, "train", TrainConfig())
        run.finish({"test_auc": 0.5, "diverged": "the objective ends at 9"})
        return run

    monkeypatch.setattr(job, "prepare", lambda *_: job.Job(tmp_path, tmp_path, {}, None))
    monkeypatch.setattr(headless, "execute", finished)
    assert cli.main(["run", "train", "--root", str(tmp_path)]) == 3
    assert "qnb: diverged: the objective ends at 9." in capsys.readouterr().err
    (entry,) = list_runs(tmp_path)
    assert (entry["status"], entry["why"]) == ("done", "diverged: the objective ends at 9")
    assert cli.main(["runs", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "done, diverged" in out and f"{entry['run_id']}: diverged: the objective ends at 9" in out
