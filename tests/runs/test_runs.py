"""Run folders, manifests, the index, and `begin` in a live IPython."""

import ast
import errno
import fcntl
import json
import math
import os
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from qnb import files
from qnb.config import TrainConfig
from qnb.errors import ParameterError
from qnb.files import atomic_write, plain
from qnb.runs import folder, kernel, project
from qnb.runs.folder import create, is_live
from qnb.runs.job import parse_parameters
from qnb.runs.kernel import assigned_names, parameter_names
from qnb.runs.listing import find_run, list_runs
from qnb.runs.project import RunError, find_root


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- where the project is


def test_root_is_the_nearest_project_above(root):
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    assert find_root(deep) == find_root() == root


@pytest.mark.parametrize("text", ['[project]\nname = "other"\n', "not toml [", "[tool]\n"])
def test_another_project_is_not_ours(root, text, monkeypatch):
    monkeypatch.setattr(project, "_checkouts_installed_from", list)
    (root / "pyproject.toml").write_text(text)
    with pytest.raises(RunError, match=r"--root DIR"):
        find_root()


def test_outside_of_any_project_the_checkout_pip_installed_from_counts(tmp_path):
    assert project.is_project(find_root(tmp_path))
    assert (find_root(tmp_path) / "qnb" / "config.py").exists()


def test_git_state_is_null_outside_of_git_and_tells_changes(root):
    assert project.git_state(root) is None

    def git(*args):
        os.spawnlp(os.P_WAIT, "git", "git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t", *args)

    git("init", "-q")
    git("add", ".")
    assert project.git_state(root) is None  # no commit yet
    git("commit", "-qm", "one")
    assert project.git_state(root) | {"commit": ""} == {"commit": "", "dirty": False, "imported": False}
    (root / "notebooks" / "new.ipynb").write_text("{}")
    assert project.git_state(root)["dirty"] is True


# --- files


def test_atomic_write_leaves_the_old_file_when_the_write_fails(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    atomic_write(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_plain_turns_what_runs_measure_into_json():
    value = {
        "auc": np.float64(0.5),
        "nan": math.nan,
        "inf": [np.inf],
        "curve": np.array([[1.0, np.nan]]),
        3: (np.int64(2), True, None),
    }
    assert plain(value) == {"auc": 0.5, "nan": None, "inf": [None], "curve": [[1.0, None]], "3": [2, True, None]}


def test_a_run_folder_holds_what_was_asked(root):
    config = TrainConfig(seed=3, lr=1e-5, class_weights=(1.0, 2.5), data="table.csv", positive="yes", sample=None)
    run = create(root, "train", config)
    assert run.folder.parent == root / "executed" / "train"
    assert run.id.endswith(f"Z-s3-{config.hash()}")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["status"] == "running"
    assert manifest["hash"] == config.hash()
    assert manifest["versions"]["pennylane-catalyst"]
    assert os.uname().nodename not in json.dumps(manifest) and str(root) not in json.dumps(manifest)
    again = parse_parameters((run.folder / "params.yaml").read_text(), "params.yaml")
    assert TrainConfig.make(again).hash() == config.hash()


def test_runs_of_the_same_instant_get_folders_of_their_own(root, monkeypatch):
    monkeypatch.setattr(folder, "_run_id", lambda seed, digest: "20260101T000000.000Z-s0-abc")
    made = []
    threads = [threading.Thread(target=lambda: made.append(create(root, "train", TrainConfig()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.folder for run in made}) == 8
    assert {e["status"] for e in list_runs(root)} == {"running"}


def test_a_clock_that_jumps_loses_no_run_and_makes_no_time_negative(root, monkeypatch):
    """The clock is set back an hour during a run, and on by a day during the next."""

    class Clock(datetime):
        at = datetime(2026, 1, 1, 12, tzinfo=UTC)

        @classmethod
        def now(cls, zone=None):
            return cls.at

    monkeypatch.setattr(folder, "datetime", Clock)
    for jump in (timedelta(hours=-1), timedelta(days=1)):
        run = create(root, "train", TrainConfig())
        Clock.at += jump
        run.finish({"test_auc": 0.5})
    entries = list_runs(root)
    assert [e["status"] for e in entries] == ["done", "done"] and len({e["run_id"] for e in entries}) == 2
    assert all(0 <= e["wall_seconds"] < 60 for e in entries)
    assert find_run(root, entries[1]["run_id"])["metrics"] == {"test_auc": 0.5}


def test_files_stay_inside_of_the_run_folder(root):
    run = create(root, "train", TrainConfig())
    assert run.write_bytes("model/params.npz", b"x").read_bytes() == b"x"
    for name in ("../x", "/tmp/x", "model/../../x"):
        with pytest.raises(ValueError, match="leads out"):
            run.write_text(name, "x")


def test_executed_that_cannot_be_written_is_one_message(root):
    (root / "executed").write_text("in the way")
    with pytest.raises(RunError, match=r"Cannot write a run folder in .*executed"):
        create(root, "train", TrainConfig())
    with pytest.raises(RunError, match=r"Cannot read .*executed"):
        list_runs(root)


# --- the index


def test_list_tells_the_truth_about_every_folder(root):
    for seed, status in enumerate(("running", "killed", "done", "failed")):
        run = create(root, "train", TrainConfig(seed=seed))
        if status == "killed":
            run.unlock()
        elif status == "done":
            run.finish({"test_auc": 0.9, "val_auc": math.nan})
        elif status == "failed":
            run.close("failed", {"kind": "error", "message": "no", "cell": 3})
    half = create(root, "train", TrainConfig(seed=4))
    half.write_text("history.csv", "epoch\n")
    half.finish({})
    (half.folder / "history.csv").unlink()
    for number, text in enumerate((None, "{", "[]", '{"status": "done"}', '{"status": ["x"], "failure": 3}', "\0")):
        folder = root / "executed" / "train" / f"broken-{number}"
        folder.mkdir()
        if text is not None:
            (folder / "manifest.json").write_text(text)
    (root / "executed" / "reference" / "train").mkdir(parents=True)
    (root / "executed" / "train" / "note.txt").write_text("not a run")
    entries = list_runs(root)
    assert [e["status"] for e in entries] == ["running", "killed", "done", "failed", *["broken"] * 7]
    assert entries[2]["metrics"] == {"test_auc": 0.9, "val_auc": None}
    assert entries[3]["why"] == "error: no"
    assert entries[4]["why"] == "missing: history.csv"
    assert entries[5]["why"] == "no manifest.json"
    assert all(e["why"] for e in entries[5:])


def test_a_lock_is_seen_while_it_is_held_and_by_several_readers(root):
    run = create(root, "train", TrainConfig())
    assert is_live(run.folder)
    run.unlock()
    with open(run.folder / ".lock", "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert not is_live(run.folder)


def test_find_run_by_prefix_with_the_nearest_when_wrong(root):
    first, second = create(root, "train", TrainConfig(seed=1)), create(root, "audit", TrainConfig(seed=2))
    assert find_run(root, first.id)["notebook"] == "train"
    assert find_run(root, f"audit/{second.id[:8]}")["run_id"] == second.id
    with pytest.raises(RunError, match="ambiguous"):
        find_run(root, first.id[:8])
    with pytest.raises(RunError, match=f"Did you mean '{second.id}'"):
        find_run(root, second.id[:-1] + "zz")
    with pytest.raises(RunError, match="No run ''"):
        find_run(root, "")


# --- begin, in a live shell


@pytest.fixture
def shell(root, monkeypatch):
    monkeypatch.setattr(kernel, "_current", None)
    monkeypatch.setattr(kernel, "_attached", None)
    monkeypatch.setattr(project, "attached", None)
    instance = InteractiveShell.instance(config=Config(HistoryManager={"hist_file": ":memory:"}))
    instance.run_cell("from qnb import config, errors\nfrom qnb.runs import kernel", store_history=True)
    yield lambda source: instance.run_cell(source, store_history=True)
    instance.history_manager.end_session()
    InteractiveShell.clear_instance()


DECLARED = "# Parameters of train.ipynb\nseed = 0\nepochs: int = 10"
BEGIN = "run = kernel.begin('train', config.TrainConfig)"


def statuses(root):
    return [e["status"] for e in list_runs(root)]


def test_begin_takes_the_variables_that_the_cells_declare(shell, root):
    shell(DECLARED)
    shell("# Parameters\nseed = 3\n")
    shell("figure = 7; epochs = 5")
    run = shell(BEGIN + "; run").result
    assert (run.config.seed, run.config.epochs) == (3, 5)
    assert run.folder.parent == root / "executed" / "train"


def test_begin_refuses_an_injected_name_before_it_makes_a_folder(shell, root, capsys):
    shell(DECLARED)
    shell("# Parameters\nsed = 3\n")
    result = shell(BEGIN)
    assert isinstance(result.error_in_exec, ParameterError)
    printed = capsys.readouterr().out.strip()
    assert printed == "ParameterError: Unknown parameter 'sed' for train.ipynb. Did you mean 'seed'? Valid: seed, epochs."
    assert statuses(root) == []


def test_begin_stores_the_configuration_that_counts_and_tells_what_was_given(shell, root):
    class Pointing(TrainConfig):
        def resolved(self, folder, given):
            assert folder == root and list(given) == ["seed"]
            return self.make(self.model_dump() | {"epochs": 3})

    for attached in (False, True):
        if attached:
            shell(f"kernel.attach({str(create(root, 'train', TrainConfig()).folder)!r})")
        InteractiveShell.instance().user_ns["Pointing"] = Pointing
        shell(DECLARED), shell("# Parameters\nseed = 0\n")
        run = shell("run = kernel.begin('train', Pointing); run").result
        stored = yaml.safe_load((run.folder / "params.yaml").read_text())
        assert (stored["epochs"], run.manifest["parameters"]["epochs"], run.manifest["hash"]) == (3, 3, run.config.hash())
        shell("run.finish({})")


def test_begin_judges_a_second_pass_by_its_own_cells(shell, root):
    for cell in (DECLARED, "# Parameters\nsed = 3\n", BEGIN, DECLARED, "# Parameters\nseed = 4\n", BEGIN):
        result = shell(cell)
    assert result.success
    assert [e["seed"] for e in list_runs(root)] == [4]


def test_a_parameter_has_a_value_before_the_kernel_only_where_one_expression_gives_it():
    cell = "a = b = 1\nc: int = 2\nd, e = 3, 4\na += 1\nfor f in (5, 6):\n    g = f\nprint(a)"
    found = {name: value and ast.literal_eval(value) for name, value in assigned_names(cell).items()}
    assert found == {"a": None, "b": 1, "c": 2, "d": None, "e": None, "f": None}


def test_begin_wants_the_parameters_cell_first(shell):
    assert "run the cell of train.ipynb that begins with '# Parameters of '" in str(shell(BEGIN).error_in_exec)


def test_a_cell_that_raises_fails_the_run_and_finishing_it_later_counts(shell, root):
    shell(DECLARED), shell(BEGIN), shell("1 / 0")
    assert list_runs(root)[0]["why"] == "error: ZeroDivisionError: division by zero"
    shell("run.finish({'test_auc': 0.5})")
    assert statuses(root) == ["done"]
    shell("1 / 0")
    assert statuses(root) == ["done"]


@pytest.mark.parametrize(
    ("cell", "status", "kind"),
    [
        ("raise KeyboardInterrupt", "interrupted", "interrupted"),
        ("raise MemoryError", "failed", "out_of_memory"),
        ("raise errors.QnbError('no label')", "failed", "error"),
        ("x = = 1", "failed", "error"),
    ],
)
def test_kinds_of_failure_in_a_live_kernel(shell, root, cell, status, kind):
    shell(DECLARED), shell(BEGIN), shell(cell)
    assert (statuses(root)[0], list_runs(root)[0]["failure"]["kind"]) == (status, kind)


def test_beginning_anew_leaves_the_unfinished_run_failed(shell, root):
    shell(DECLARED), shell(BEGIN), shell(DECLARED), shell(BEGIN), shell("run.finish({})")
    assert statuses(root) == ["failed", "done"]
    assert "begun anew" in list_runs(root)[0]["why"]


def test_an_attached_run_leaves_the_status_to_its_maker(shell, root):
    made = create(root, "train", TrainConfig(seed=1))
    shell(f"kernel.attach({str(made.folder)!r}, '/elsewhere/old')"), shell(DECLARED)
    run = shell(BEGIN + "; run").result
    assert run.folder == made.folder and run.resume_from.name == "old"
    shell("run.note(gate='pass'); run.finish({'test_auc': 0.5})")
    entry = list_runs(root)[0]
    assert (entry["status"], entry["gate"], entry["seed"]) == ("running", "pass", 0)
    assert "begin() was called twice" in str(shell(BEGIN).error_in_exec)


def test_the_project_of_an_attached_run_is_the_one_that_counts(shell, root, tmp_path_factory, monkeypatch):
    made = create(root, "train", TrainConfig())
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find_root() != root
    shell(f"kernel.attach({str(made.folder)!r})"), shell(DECLARED)
    assert shell(BEGIN + "; run").result.folder == made.folder
    assert find_root() == root  # for what the notebook looks up later, too
    assert find_run(find_root(), made.id)["run_id"] == made.id


def test_begin_outside_of_ipython_says_so():
    with pytest.raises(RunError, match="is for notebooks"):
        kernel.begin("train", TrainConfig)


def test_parameter_names_of_odd_cells():
    history = [
        "# Parameters of a.ipynb\nold = 1",
        "# Parameters of a.ipynb\na, b = 1, 2\nc: int = 3\nd = [x for x in ()]\nimport os",
    ]
    assert parameter_names(history, "a.ipynb") == ["a", "b", "c", "d"]
    with pytest.raises(RunError, match="not valid Python"):
        parameter_names(["# Parameters of a.ipynb\nx = = 1"], "a.ipynb")


def test_params_yaml_reads_back_what_yaml_is_prone_to_change():
    values = {"a": "no", "b": "1e-3", "c": "2026-01-01", "d": None, "e": 1e-05, "f": [], "g": "0_pi", "h": "ä: b"}
    assert yaml.safe_load(folder.params_yaml(values)) == values
