"""train.ipynb itself: executed headlessly, as a user would, with small parameters."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from qnb import cli
from qnb.runs.listing import list_runs
from qnb.training.model import load_model

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TINY = {"data": "breast_cancer", "wires": 2, "layers": 1, "batch": 32, "epochs": 2, "fixed_num_batches": 4}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder of its own, so that no run lands in the checkout."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def options(values):
    return [part for name, value in values.items() for part in ("-p", name, str(value))]


def qnb(project, *arguments, cwd=None):
    command = [str(BIN / "qnb"), "run", "train", *map(str, arguments), "--root", str(project)]
    return subprocess.run(command, cwd=cwd or project, capture_output=True, text=True)


@pytest.fixture(scope="module")
def done(project):
    finished = qnb(project, *options(TINY | {"seed": 3}), cwd="/")
    assert finished.returncode == 0, finished.stderr
    (folder,) = (project / "executed" / "train").iterdir()
    return folder, finished


def test_run_folder_holds_what_was_run(done):
    folder, _ = done
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "done" and manifest["seed"] == 3 and manifest["failure"] is None
    assert manifest["parameters"]["wires"] == 2 and manifest["gate"]["verdict"] == "pass"
    assert manifest["data"]["source"] == "breast_cancer" and manifest["data"]["fingerprint"]
    assert yaml.safe_load((folder / "params.yaml").read_text())["seed"] == 3
    metrics, history = json.loads((folder / "metrics.json").read_text()), pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == [1, 2] and metrics["val_auc"] == pytest.approx(history["val_auc"].max(), abs=1e-12)
    assert 0.5 < metrics["test_auc"] <= 1 and 0.9 < metrics["baselines"]["logistic"]["test_auc"] <= 1
    assert load_model(folder).threshold == metrics["threshold"]


def test_notebook_reads_as_a_report(done):
    folder, _ = done
    nb = nbformat.read(folder / "notebook.ipynb", as_version=4)
    images = [
        o.data["image/png"] for c in nb.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert len(images) == 6  # circuit, learning curves, learning signal, ROC, histogram, calibration
    assert all(len(base64.b64decode(image)) > 5_000 for image in images)
    page = (folder / "report.html").read_text()
    for text in ("Configuration", "logistic regression", "gradient boosting", "Test AUC", "default: 0", "measured"):
        assert text in page
    assert "SYNTHETIC" not in page and str(ROOT) not in page


def test_the_command_says_where_the_report_is(done):
    folder, finished = done
    assert str(folder / "report.html") in finished.stdout and "test_auc" in finished.stdout
    assert "epoch 2" in finished.stderr  # the bar


def test_bare_papermill_from_any_directory(project, tmp_path):
    before = len(list_runs(project))
    out = tmp_path / "OUT.ipynb"
    command = [BIN / "papermill", project / "notebooks" / "train.ipynb", out, *options(TINY | {"seed": 4}), "--cwd", project]
    finished = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    newest = list_runs(project)[-1]
    assert len(list_runs(project)) == before + 1 and newest["status"] == "done" and newest["seed"] == 4
    assert "Test AUC" in out.read_text()


def test_unknown_parameter_is_refused_both_ways(project, tmp_path):
    before = len(list_runs(project))
    finished = qnb(project, "-p", "sed", 3)
    assert finished.returncode == 2 and "Traceback" not in finished.stderr
    assert "Unknown parameter 'sed'" in finished.stderr and "Did you mean 'seed'?" in finished.stderr
    command = [BIN / "papermill", project / "notebooks" / "train.ipynb", tmp_path / "O.ipynb", "-p", "sed", "3", "--cwd", project]
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert finished.returncode != 0
    assert "Did you mean 'seed'?" in finished.stderr.strip().splitlines()[-1]
    assert len(list_runs(project)) == before


@pytest.mark.slow
def test_killed_run_shows_as_killed_and_resumes_bit_for_bit(project, tmp_path):
    values = TINY | {"epochs": 60, "seed": 9}
    command = [str(BIN / "qnb"), "run", "train", *options(values), "--root", str(project)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    known = {r["run_id"] for r in list_runs(project)}
    deadline = time.monotonic() + 120
    while True:
        folders = [f for f in (project / "executed" / "train").glob("*") if f.name not in known]
        if folders and (folders[0] / "history.csv").exists() and len(pd.read_csv(folders[0] / "history.csv")) >= 3:
            break
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    cut = folders[0]
    (entry,) = [r for r in list_runs(project) if r["run_id"] == cut.name]
    assert entry["status"] == "killed" and len(pd.read_csv(cut / "history.csv")) < 60
    resumed = qnb(project, "--resume", cut.name)
    assert resumed.returncode == 0, resumed.stderr
    (again,) = [r for r in list_runs(project) if r.get("resumed_from") == cut.name]
    straight = qnb(project, *options(values))
    assert straight.returncode == 0, straight.stderr
    whole = list_runs(project)[-1]
    models = [load_model(project / run["folder"]) for run in (again, whole)]
    for group, value in models[0].params.items():
        np.testing.assert_array_equal(value, models[1].params[group])
    histories = [pd.read_csv(project / run["folder"] / "history.csv") for run in (again, whole)]
    columns = [c for c in histories[0] if c not in ("seconds", "samples_per_s")]
    pd.testing.assert_frame_equal(histories[0][columns], histories[1][columns], check_exact=True)


CSV = "a,b,c,label\n" + "".join(f"{i % 7},{(i * i) % 11},{i % 3},{i % 2}\n" for i in range(400))
NO_TABLES = {  # refused before a kernel starts
    "missing file": (None, {"label": "label"}, "nothing.csv"),
    "empty file": ("", {"label": "label"}, "empty"),
    "no label column": (CSV, {"label": "lable"}, "Did you mean 'label'"),
    "label not named": (CSV, {}, "its label column must be named"),
}
BAD_TABLES = {  # seen when they are read
    "one class only": ("a,b,label\n" + "1,2,1\n3,4,1\n" * 50, {"label": "label"}, "class"),
    "NaN": (CSV.replace("\n3,9,", "\nnan,9,"), {"label": "label"}, "a"),
    "inf": (CSV.replace("\n3,9,", "\ninf,9,"), {"label": "label"}, "a"),
    "constant columns": ("a,b,label\n" + "1,2,0\n1,2,1\n" * 99, {"label": "label"}, "constant"),
    "fewer rows than a batch": (CSV, {"label": "label", "batch": 5000}, "batch=5000"),
    "more components than features": (CSV, {"label": "label", "wires": 8}, "8"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_costs_no_kernel(name, project, tmp_path, capsys):
    text, values, named = NO_TABLES[name]
    path = tmp_path / "nothing.csv"
    if text is not None:
        path = tmp_path / "table.csv"
        path.write_text(text)
    before = list_runs(project)
    given = options({"data": path, "wires": 2} | values)
    assert cli.main(["run", "train", *given, "--root", str(project)]) == 2
    assert named in capsys.readouterr().err and list_runs(project) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_end_in_one_clear_message(name, project, tmp_path):
    text, values, named = BAD_TABLES[name]
    path = tmp_path / "table.csv"
    path.write_text(text)
    finished = qnb(project, *options(TINY | {"wires": 2, "sample": None, "data": path} | values))
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    assert named in finished.stderr + finished.stdout
    newest = list_runs(project)[-1]
    assert newest["status"] == "failed" and newest["failure"]["kind"] == "error" and named in newest["failure"]["message"]
    assert (project / newest["folder"] / "notebook.ipynb").exists() and not (project / newest["folder"] / "metrics.json").exists()


@pytest.mark.slow
def test_compile_error_names_formulation_and_stack(project):
    finished = qnb(project, *options(TINY | {"device": "default.qubit"}))
    assert finished.returncode == 1
    message = list_runs(project)[-1]["failure"]["message"]
    assert "could not compile" in message and "Stack: pennylane" in message and "Traceback" not in finished.stderr
