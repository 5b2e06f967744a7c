"""Runs of a sweep that train together: which, what is left of them, and what happens when they cannot end."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qnb import cli, load_model
from qnb.config import TrainConfig
from qnb.runs import job
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.runs.parameter_files import read_parameters
from qnb.runs.project import RunError
from qnb.studies import ablation
from qnb.studies.sweep import cohort, task, worker
from qnb.studies.sweep.arms import Planned, SweepConfig
from qnb.studies.sweep.folder import load_sweep
from qnb.studies.sweep.plan import overrides, plan_sweep
from qnb.training.train import train

SOURCE = Path(__file__).parents[2] / "notebooks" / "train.ipynb"
SMALL = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 16, "epochs": 2, "baselines": ["logistic"]}
ARMS = {"slow": {"lr": 0.01}, "fast": {"lr": 0.1}}
DIVERGES = {"fast": {"lr": 0.1}, "diverges": {"lr": 1e200}}


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(SOURCE, folder / "notebooks")
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    monkeypatch.chdir(folder)
    return folder


def planned(root, arms=ARMS, seeds=3, **values):
    return plan_sweep(SMALL | {"arms": arms, "seeds": seeds} | values, root)


def order_of(plan, runs, sweep="a sweep"):
    return {
        "root": str(plan.root), "sweep": sweep, "sweeps": [sweep], "own": {}, "threads": 1, "cwd": str(plan.root),
        "runs": [{"arm": one.arm, "hash": one.config.hash(), "parameters": overrides(one.config)} for one in runs],
    }  # fmt: skip


# --- which


def test_runs_of_one_small_circuit_train_together(root):
    plan = planned(root)
    kinds = cohort.kinds(plan)
    assert set(kinds) == {(one.arm, one.seed) for one in plan.planned} and len(set(kinds.values())) == 1
    assert all(cohort.at_once(kind) > 1 for kind in kinds.values())
    assert (
        cohort.told(kinds, 6) == "6 of 6 runs train together, up to 16 in one process: each has its run folder, and no notebook"
    )
    assert len(cohort.take(deque(plan.todo), kinds, 1)) == 6


@pytest.mark.parametrize("values", [{"engine": "catalyst"}, {"wires": 10, "batch": 512}, {"wires": 8, "layers": 3, "batch": 64}])
def test_what_the_engine_trains_by_itself_has_its_notebook(root, values):
    assert cohort.kinds(planned(root, **values)) == {}


def test_circuits_of_two_kinds_are_two_tasks_and_one_that_is_alone_has_its_notebook(root):
    arms = {"mean_z": {"measurement": "mean_z"}, "readout": {"measurement": "mean_z_readout"}}
    plan = planned(root, arms, seeds=2)
    kinds, left = cohort.kinds(plan), deque(plan.todo)
    assert [[one.arm for one in cohort.take(left, kinds, 1)] for _ in arms] == [["mean_z"] * 2, ["readout"] * 2]
    ended = create(root, "sweep", plan.config)
    for one in plan.planned[:3]:
        create(root, "train", one.config, sweep=ended.id, arm=one.arm).close("done" if one.arm == "mean_z" else "failed")
    ended.close("failed")
    again = plan_sweep(SMALL | {"arms": arms, "seeds": 2}, root, ended.id)
    assert [(one.arm, one.seed) for one in again.todo] == [("readout", 0), ("readout", 1)]
    assert cohort.kinds(again) == {}  # one of them was tried before, and so the other one is alone


def test_a_notebook_that_was_changed_is_run_and_one_with_other_words_is_not(root):
    path = root / "notebooks" / "train.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells[0].source += "\n\nA word of the user's."
    nbformat.write(nb, path)
    assert cohort.kinds(planned(root))
    nb.cells[-1].source += "\nprint('one thing more')"
    nbformat.write(nb, path)
    assert cohort.kinds(planned(root)) == {}


@given(st.integers(1, 60), st.integers(1, 8))
def test_tasks_are_even_hold_every_run_once_and_leave_no_worker_idle(runs, workers):
    config = TrainConfig(**SMALL, engine="exact")
    left = deque(Planned("arm", seed, config) for seed in range(runs))
    kind = cohort._kind(config)
    kinds = {(one.arm, one.seed): kind for one in left}
    tasks = []
    while left:
        tasks.append(cohort.take(left, kinds, workers))
    assert [one.seed for together in tasks for one in together] == list(range(runs))
    sizes = [len(one) for one in tasks]
    assert max(sizes) <= cohort.at_once(kind) and len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]
    assert len(tasks) >= min(workers, runs) / 2


# --- what is left of them


def test_each_run_has_in_its_folder_what_training_gives(root):
    plan = planned(root, seeds=2)
    task.train_together(order_of(plan, plan.todo))
    runs = list_runs(root)
    assert [(run["status"], run["arm"], run["seed"], run["hash"]) for run in runs] == [
        ("done", one.arm, one.seed, one.config.hash()) for one in plan.todo
    ]
    for run, one in zip(runs, plan.todo, strict=True):
        folder, alone = root / run["folder"], train(one.config, progress=False)
        found = pd.read_csv(folder / "history.csv")
        assert list(found) == list(alone.history)
        assert found["train_loss"].tolist() == pytest.approx(alone.history["train_loss"].tolist(), rel=1e-5)
        assert run["metrics"]["test_auc"] == pytest.approx(alone.metrics["test_auc"], abs=1e-3)
        assert set(run["metrics"]) == set(alone.metrics)
        assert run["metrics"]["baselines"]["logistic"]["test_auc"] == alone.metrics["baselines"]["logistic"]["test_auc"]
        assert run["gate"]["verdict"] == run["gate_trained"]["verdict"] == "pass"
        assert run["data"]["fingerprint"] == alone.prepared.card["fingerprint"]
        assert (run["together"], run["sweep"], run["resumed_from"]) == (4, "a sweep", None)
        assert sorted(run["files"]) == sorted(
            ["history.csv", "manifest.json", "metrics.json", "params.yaml", *_files(folder / "model")]
        )
        for name, value in load_model(folder).params.items():
            np.testing.assert_allclose(value, alone.params[name], atol=1e-4)


def _files(folder):
    return [f"{folder.name}/{path.name}" for path in folder.iterdir()]


def test_the_notebook_of_a_run_can_be_run_later(root, capsys):
    plan = planned(root, seeds=2)
    task.train_together(order_of(plan, plan.todo))
    (run, *_) = list_runs(root)
    params = root / run["folder"] / "params.yaml"
    assert cli.main(["show", run["run_id"], "--open"]) == 2
    assert f"`qnb run train -f {params}` makes one" in capsys.readouterr().err
    assert job.prepare("train", read_parameters(str(params)), root).config.hash() == run["hash"]


def test_an_ablation_reads_them_as_all_others(root):
    plan = planned(root, DIVERGES, seeds=2)
    sweep = create(root, "sweep", plan.config)
    task.train_together(order_of(plan, plan.todo, sweep.id))
    sweep.close("failed")
    assert [run["status"] for run in list_runs(root) if run["notebook"] == "train"] == ["done", "failed"] * 2
    study = ablation.from_sweep(ablation.AblationConfig(**dict(plan.config)), sweep.id, root)
    here = ablation.train_here(ablation.AblationConfig(**dict(plan.config)), progress=False)
    columns = ["arm", "seed", "hash", "status"]
    assert study.results[columns].equals(here.results[columns])
    assert study.results["test_auc"].tolist() == pytest.approx(here.results["test_auc"].tolist(), abs=1e-6, nan_ok=True)
    assert all("is not finite" in row["why"] for row in load_sweep(root, sweep.id).missing)


# --- what cannot end


def test_what_no_run_can_do_is_the_failure_of_each(root):
    plan = planned(root, seeds=2, data="table.csv", label="label", wires=2) if _table(root) else None
    (root / "table.csv").unlink()
    task.train_together(order_of(plan, plan.todo))
    assert [run["status"] for run in list_runs(root)] == ["failed"] * 4
    assert all("table.csv" in run["why"] for run in list_runs(root))


def _table(root):
    rows = "".join(f"{i},{(i * i) % 7},{i % 2}\n" for i in range(200))
    return (root / "table.csv").write_text("a,b,label\n" + rows)


def test_parameters_that_mean_something_else_here_are_refused_before_a_folder_is_made(root):
    plan = planned(root, seeds=2)
    order = order_of(plan, plan.todo)
    order["runs"][1]["hash"] = "0123456789"
    with pytest.raises(RunError, match="not those that were planned"):
        task.train_together(order)
    assert not list_runs(root)
    outcomes = worker.run_together(order)  # in its own process
    assert [outcome["status"] for outcome in outcomes] == ["failed"] * 4
    assert "not those that were planned" in outcomes[0]["why"]


def until(found, seconds=120):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "interrupted"), (signal.SIGKILL, "killed")])
def test_stopped_or_killed_they_say_so(root, number, status):
    plan = planned(root, seeds=2, epochs=100_000)
    order = order_of(plan, plan.todo) | {"together": True}
    command = [sys.executable, "-P", "-m", worker.PROCESS, json.dumps(order)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root) as process:
        until(lambda: len(list_runs(root)) == 4)
        busy = psutil.Process(process.pid).cpu_times().user
        until(lambda: psutil.Process(process.pid).cpu_times().user > busy + 1)  # it trains
        process.send_signal(number)
        process.wait(60)  # its stdin stays open: it would be killed with its worker
        stderr = process.stderr.read()
    assert [run["status"] for run in list_runs(root)] == [status] * 4
    assert b"Traceback" not in stderr and process.returncode == (0 if status == "interrupted" else -number)


@pytest.mark.slow
def test_what_fails_together_is_run_again_by_its_notebook_which_shows_why(root):
    (root / "arms.yaml").write_text(yaml.safe_dump(SMALL | {"arms": DIVERGES, "seeds": 2}, sort_keys=False))
    command = [str(Path(sys.executable).parent / "qnb"), "sweep", "arms.yaml", "--workers", "2"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert "4 of 4 runs train together" in ran.stderr and ran.stderr.count("it is run again") == 2
    sweep = load_sweep(root, [run["run_id"] for run in list_runs(root) if run["notebook"] == "sweep"][-1])
    assert [row["status"] for row in sweep.rows] == ["done", "failed"] * 2
    for row in sweep.rows:
        assert (row["folder"] / "notebook.ipynb").exists() == (row["arm"] == "diverges")
    assert isinstance(sweep.config, SweepConfig) and "2 failed" in ran.stderr
