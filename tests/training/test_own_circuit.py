"""A circuit of one's own through training, checkpoint, model file, scoring and a probe's parameters."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest

from qnb import own
from qnb.config import TrainConfig
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.data.prepare import prepare as prepared_of
from qnb.errors import ParameterError
from qnb.probes.subject import ModelConfig, finished_run
from qnb.runs.folder import create
from qnb.runs.job import prepare
from qnb.runs.project import RunError
from qnb.scoring import score
from qnb.studies.sweep.arms import SweepConfig
from qnb.studies.sweep.folder import load_sweep
from qnb.training.checkpoint import CheckpointError
from qnb.training.loop import shape
from qnb.training.model import load_model
from qnb.training.model_file import ModelError
from qnb.training.state import circuit_of
from qnb.training.train import train

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SMALL = {
    "data": "breast_cancer", "sample": 200, "wires": 2, "layers": 1, "batch": 32, "fixed_num_batches": 2, "epochs": 1,
    "engine": "exact", "baselines": (),
}  # fmt: skip
TEXT = """import pennylane as qml


def mine(weights, wires, layer):
    for i in wires:
        qml.RX(weights[i, 0], wires=i)
    qml.IsingZZ(weights[0, 1], wires=wires)
"""


def mine(weights, wires, layer):
    for i in wires:
        qml.RX(weights[i, 0], wires=i)


def other():
    def mine(weights, wires, layer):
        for i in wires:
            qml.RY(weights[i, 0], wires=i)

    return mine


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a file of circuits, and a finished run of it."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "circuits.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(project):
    config = TrainConfig.make(SMALL | {"ansatz": "circuits.py:mine"})
    run = create(project, "train", config)
    result = train(config, folder=run.folder, progress=False)
    run.note(data=result.prepared.card, gate=result.gate.to_dict())
    result.save(run.path("model"))
    run.finish(result.metrics)
    return run, result


def test_a_function_of_a_cell_trains_is_saved_and_comes_back_by_its_text(tmp_path):
    result = train(TrainConfig(**SMALL, ansatz=mine, measurement=["ZI", "XX"]), progress=False)
    assert result.gate.verdict == "pass"
    folder, X = result.save(tmp_path / "model"), result.prepared.X["val"]
    back = load_model(folder, ansatz=mine, measurement=["ZI", "XX"])
    np.testing.assert_array_equal(back.logits_of_features(X), result.logits["val"])
    for given, message in [
        ({}, "its ansatz is 'mine@.*', which is not qnb's, and nothing that is loaded is run: give it with ansatz="),
        ({"ansatz": other()}, "its ansatz is 'mine@.*'; 'mine@.*' was given: another text or name"),
        ({"ansatz": mine}, "its measurement is 'words@.*'"),
        (
            {"ansatz": mine, "measurement": ["ZI", "XX"], "encoder": mine},
            "its encoder is 'angle_y', qnb's own: leave encoder out",
        ),
    ]:
        with pytest.raises(ModelError, match=message):
            load_model(folder, **given)


@pytest.mark.parametrize("words", ["circuits.py:mine", "circuits.py:mine@0123456789abcdef", "mine@0123456789abcdef"])
def test_a_model_file_names_no_code_to_be_run(words, project, run):
    (project / "circuits.py").write_text("raise SystemExit('this file was run')\n")
    folder = shutil.copytree(run[0].folder / "model", project / "copy")
    meta = json.loads((folder / "model.json").read_text())
    meta["spec"]["ansatz"] = words
    (folder / "model.json").write_text(json.dumps(meta))
    with pytest.raises(ModelError, match="nothing that is loaded is run"):
        load_model(folder)


def test_a_run_keeps_the_text_and_scores_with_the_users_file_alone(project, run):
    run, result = run
    (kept,) = run.manifest["own"]
    assert kept["part"] == str(result.config.ansatz) and (run.folder / kept["text"]).read_text() == TEXT
    for name in ("scores.csv", "again.csv"):
        with pytest.raises(ModelError, match="give it with ansatz="):
            score(run.folder, "breast_cancer", project / name, progress=False)
        assert score(run.folder, "breast_cancer", project / name, progress=False, ansatz="circuits.py:mine").rows == 569
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    with pytest.raises(ModelError, match="another text or name"):
        score(run.folder, "breast_cancer", project / "other.csv", progress=False, ansatz="circuits.py:mine")
    path = (run.folder / kept["text"]).relative_to(project)
    with pytest.raises(ModelError, match="code is not run from run folders"):
        score(run.folder, "breast_cancer", project / "other.csv", progress=False, ansatz=f"{path}:mine")


def test_a_checkpoint_of_another_text_is_refused(project, run):
    again = TrainConfig.make(SMALL | {"ansatz": "circuits.py:mine"})
    assert train(again, resume_from=run[0].folder, progress=False).metrics["test_auc"] == run[1].metrics["test_auc"]
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    with pytest.raises(CheckpointError, match="belongs to configuration"):
        train(TrainConfig.make(SMALL | {"ansatz": "circuits.py:mine"}), resume_from=run[0].folder, progress=False)


def test_a_probe_takes_the_runs_circuit_where_its_text_is_found(project, run):
    run, result = run
    probe = ModelConfig(run=run.id)
    assert probe.resolved(project, {"run"}).ansatz == result.config.ansatz
    subject = finished_run(run.id, project)
    np.testing.assert_array_equal(subject.params["weights"], result.params["weights"])
    (project / "circuits.py").rename(project / "moved.py")
    with pytest.raises(ParameterError, match=r"no file 'circuits\.py'"):
        probe.resolved(project, {"run"})
    with contextlib.chdir(project):
        beside = ModelConfig(run=run.id, ansatz="moved.py:mine")
        assert beside.resolved(project, {"run", "ansatz"}).ansatz == "moved.py:mine@" + result.config.ansatz.sha256[:16]
        (project / "moved.py").write_text(TEXT.replace("RX", "RY"))
        with pytest.raises(ParameterError, match=r"no file 'circuits\.py'"):
            ModelConfig(run=run.id, ansatz="moved.py:mine").resolved(project, {"run", "ansatz"})
    assert own.part("moved.py:mine") != result.config.ansatz


@pytest.fixture
def stopped(project):
    """A run of train.ipynb that failed after its first epoch."""
    shutil.copy(NOTEBOOKS / "train.ipynb", project / "notebooks")
    config = TrainConfig.make(SMALL | {"ansatz": "circuits.py:mine"})
    run = create(project, "train", config)
    train(config, folder=run.folder, progress=False)
    run.close("failed", {"kind": "error", "message": "lost", "cell": None})
    return run


def mine_again():
    return TrainConfig.make(SMALL | {"ansatz": "circuits.py:mine"})


def sweep_again(project):
    arms = {"mine": {"ansatz": "circuits.py:mine"}, "none": {"ansatz": "unentangled"}}
    return SweepConfig.make({name: value for name, value in SMALL.items() if name != "epochs"} | {"arms": arms, "seeds": 2})


NOTICES = {  # who meets an ansatz of another text under the same name: what it does, with which error and message
    "train": (lambda root, run: train(mine_again(), folder=run.folder, progress=False), RunError, "ansatz"),
    "resume from": (
        lambda root, run: train(mine_again(), resume_from=run.folder, progress=False),
        CheckpointError,
        "belongs to configuration",
    ),
    "--resume": (lambda root, run: prepare("train", {}, root, run.id), ParameterError, r"circuits\.py has changed"),
    "--resume beside": (
        lambda root, run: prepare("train", {"ansatz": "circuits.py:mine"}, root, run.id),
        ParameterError,
        "is not what the run had",
    ),
    "-p run": (lambda root, run: ModelConfig(run=run.id).resolved(root, {"run"}), ParameterError, "has changed"),
    "finished run": (lambda root, run: finished_run(run.id, root), ParameterError, "has changed"),
    "load_model": (lambda root, run: load_model(run.folder, ansatz="circuits.py:mine"), ModelError, "another text or name"),
    "score": (
        lambda root, run: score(run.folder, "breast_cancer", root / "s.csv", progress=False, ansatz="circuits.py:mine"),
        ModelError,
        "another text or name",
    ),
    "sweep": (
        lambda root, run: load_sweep(root, next((root / "executed" / "sweep").iterdir()).name),
        ParameterError,
        "has changed",
    ),
}


@pytest.mark.parametrize("who", NOTICES)
def test_another_text_under_the_same_name_is_noticed(who, project, stopped):
    meets, error, message = NOTICES[who]
    result = train(mine_again(), resume_from=stopped.folder, progress=False)
    result.save(stopped.path("model"))
    create(project, "sweep", sweep_again(project)).close("failed", {"kind": "error", "message": "lost", "cell": None})
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    with pytest.raises(error, match=message):
        meets(project, stopped)


def test_another_text_is_another_engine_cohort_and_sweep(project):
    first, sweep = mine_again(), sweep_again(project)
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    again, data = mine_again(), prepared_of(first)
    assert make_engine("exact", circuit_of(first), Objective()) is make_engine("exact", circuit_of(first), Objective())
    assert make_engine("exact", circuit_of(first), Objective()) is not make_engine("exact", circuit_of(again), Objective())
    assert shape(first, data) != shape(again, data)
    assert sweep_again(project).hash() != sweep.hash()


def test_a_run_resumes_with_its_text_from_another_file(project, stopped):
    (project / "circuits.py").rename(project / "moved.py")
    with pytest.raises(ParameterError, match=r"no file 'circuits\.py'"):
        prepare("train", {}, project, stopped.id)
    with pytest.raises(ParameterError, match="seed cannot be set"):
        prepare("train", {"seed": 1, "ansatz": "moved.py:mine"}, project, stopped.id)
    with pytest.raises(ParameterError, match="is not what the run had, angle_y"):
        prepare("train", {"encoder": "moved.py:mine"}, project, stopped.id)
    job = prepare("train", {"ansatz": "moved.py:mine"}, project, stopped.id)
    assert (job.resumed, job.resume_from, job.config.hash()) == (stopped.id, stopped.folder, stopped.manifest["hash"])
    assert job.parameters["ansatz"] == stopped.manifest["parameters"]["ansatz"]
    assert list(own.texts_of(job.config).values()) == [TEXT]  # what the kernel gets: there is no such file for it
