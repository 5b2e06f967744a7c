"""The notebook of a circuit of one's own: its parameters make the training and the ablation, and it runs."""

import shutil
import sys
from pathlib import Path

import papermill
import pytest

from qnb.runs.headless import execute
from qnb.runs.job import prepare
from qnb.studies.own_circuit import CONTROLS, OwnCircuitConfig

ROOT = Path(__file__).parents[2]
SMALL = {"sample": 200, "wires": 2, "layers": 1, "seeds": 2, "epochs": 1, "batch": 16}


def mine(weights, wires, layer):
    """Any."""


def test_every_parameter_reaches_the_training_and_the_ablation():
    values = {"sample": 300, "wires": 3, "layers": 4, "engine": "catalyst", "seed": 5, "epochs": 6, "batch": 7, "lr": 0.2}
    config = OwnCircuitConfig.make(values | {"seeds": 8})
    training, ablation = config.training(mine), config.ablation(mine)
    for found in (training, ablation):
        assert {name: getattr(found, name) for name in values} == values and found.baselines == ()
    assert training.ansatz.value is mine and ablation.seeds == 8 and ablation.reference == "mine"
    assert {arm: overrides["ansatz"] for arm, overrides in ablation.arms.items()} == {
        "mine": training.ansatz,
        **{name: name for name in CONTROLS},
    }


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "circuits.py").write_text(
        "import pennylane as qml\n\n\ndef mine(weights, wires, layer):\n    for i in wires:\n        qml.RX(weights[i, 0], wires=i)\n"
    )
    return tmp_path


@pytest.mark.slow
def test_the_notebook_runs_to_its_conclusion(project):
    run = execute(prepare("own_circuit", SMALL, project), log=sys.stderr)
    assert run.manifest["status"] == "done", run.manifest["failure"]
    assert run.manifest["gate"]["verdict"] == "pass" and len(run.metrics()["conclusion"]) == 2
    assert "<details>" in (run.folder / "report.html").read_text()


TRAIN = {"sample": 200, "wires": 2, "layers": 1, "batch": 16, "epochs": 1, "fixed_num_batches": 2, "engine": "exact"}


@pytest.mark.slow
def test_a_file_goes_headlessly_through_qnb_run_and_papermill(project, monkeypatch):
    values = TRAIN | {"ansatz": "circuits.py:mine", "baselines": []}
    run = execute(prepare("train", values, project), log=sys.stderr)
    assert run.manifest["status"] == "done", run.manifest["failure"]
    assert (run.folder / run.manifest["own"][0]["text"]).read_text() == (project / "circuits.py").read_text()
    monkeypatch.chdir(project)
    papermill.execute_notebook("notebooks/train.ipynb", "OUT.ipynb", values, progress_bar=False, cwd=str(project))
    hashes = {folder.name.rpartition("-")[2] for folder in (project / "executed" / "train").iterdir()}
    assert len(hashes) == 1  # one text, one configuration
    (project / "circuits.py").write_text((project / "circuits.py").read_text().replace("RX", "RY"))
    assert prepare("train", values, project).config.hash() not in hashes
