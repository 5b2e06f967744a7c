"""suspects.ipynb from a run to its verdicts: the sentence, the files that others read, parameters that heal."""

import json
import shutil
from pathlib import Path

import pytest
from in_process import execute

from qnb import cli
from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.runs.folder import create
from qnb.runs.parameter_files import read_parameters
from qnb.studies.diagnosis.components import COMPONENTS
from qnb.training.train import train

ROOT = Path(__file__).parents[3]
BROKEN = {
    "data": "breast_cancer", "sample": None, "engine": "exact", "wires": 2, "layers": 3, "epochs": 6, "fixed_num_batches": 20,
    "lr": 1e-5, "baselines": ("logistic",),
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    return folder


def test_a_run_is_diagnosed_and_its_corrected_parameters_heal(project, monkeypatch):
    config = TrainConfig(**BROKEN)
    run = create(project, "train", config)
    prepared = prepare(config)
    run.note(data=prepared.card)
    result = train(config, prepared, folder=run.folder, progress=False)
    run.note(gate=result.gate.to_dict())
    result.save(run.path("model"))
    run.finish(result.metrics)
    probe, _, _ = execute("suspects", {"run": run.id, "seeds": 4}, project, monkeypatch)
    metrics = probe.metrics()
    assert metrics["blamed"] == ["rate"] and metrics["reproduction"] == "reproduced"
    assert metrics["conclusion"][0].startswith("The learning rate: raising lr from 1e-05 to 0.05 restores 0.")
    verdicts = json.loads((probe.folder / "verdict.json").read_text())
    assert [v["figures"]["component"] for v in verdicts] == list(COMPONENTS)
    assert all({"question", "verdict", "figures", "tolerance"} <= set(v) for v in verdicts)
    (rate,) = [v for v in verdicts if v["question"] == "Is it the rate?"]
    assert rate["verdict"] == "blamed" and rate["figures"]["interval"][0] > 0.05
    assert rate["figures"]["gain"] == pytest.approx(sum(rate["figures"]["gains"]) / 4)
    corrected = TrainConfig.make(read_parameters(str(probe.folder / "corrected.yaml")))
    assert corrected == config.model_copy(update={"lr": 0.05})
    assert f"qnb run train -f {probe.folder.relative_to(project)}/corrected.yaml" in metrics["conclusion"][-1]
    healed = train(corrected, prepared, progress=False)
    assert healed.metrics["val_auc"] - result.metrics["val_auc"] > 0.05


def test_a_configuration_that_never_ran_is_diagnosed_too(project, monkeypatch):
    probe, _, _ = execute("suspects", BROKEN | {"lr": 0.05, "seeds": 2}, project, monkeypatch)
    metrics = probe.metrics()
    assert metrics["blamed"] == [] and metrics["reproduction"] == "not recorded" and metrics["corrected"] is None
    assert "It has not run" not in metrics["conclusion"][0] and metrics["conclusion"][0].startswith("Nothing to blame")
    assert not (probe.folder / "corrected.yaml").exists()


def test_a_training_that_ends_with_something_off_names_the_command(project, capsys):
    run = create(project, "train", TrainConfig(**BROKEN, seed=7))
    run.folder.joinpath("history.csv").write_text("epoch\n1\n")
    run.finish({"epochs_run": 1, "still_improving": True, "degen": 0})
    cli._tell(run)
    told = capsys.readouterr().out
    assert f"Still improving. What it costs, and what heals it: qnb run suspects -p run {run.id}" in told
