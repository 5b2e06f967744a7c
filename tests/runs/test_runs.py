"""Run folders, manifests, the index, and `begin` in a live IPython."""

import errno
import json
import math
import os
import re
import shutil
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml

from qnb import files
from qnb.config import TrainConfig
from qnb.files import atomic_write, plain
from qnb.runs import folder, project
from qnb.runs.folder import create
from qnb.runs.index import record
from qnb.runs.listing import find_run, list_runs
from qnb.runs.parameter_files import parse_parameters
from qnb.runs.project import RunError, find_root
from qnb.runs.summary import none_matches, selected, summary, table

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
    assert not re.search(rf"\b{os.uname().nodename}\b", json.dumps(manifest)) and str(root) not in json.dumps(manifest)
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


def test_params_yaml_reads_back_what_yaml_is_prone_to_change():
    values = {"a": "no", "b": "1e-3", "c": "2026-01-01", "d": None, "e": 1e-05, "f": [], "g": "0_pi", "h": "ä: b"}
    assert yaml.safe_load(folder.params_yaml(values)) == values


def test_a_run_is_found_by_every_path_that_leads_into_it(root, monkeypatch, tmp_path_factory):
    run = create(root, "train", TrainConfig())
    (root / "notebooks" / "deep").mkdir()
    places = {
        root: ("", "./"),
        root / "notebooks": ("../",),
        root / "executed": ("",),
        tmp_path_factory.mktemp("x"): (f"{root}/",),
    }
    for place, prefixes in places.items():
        monkeypatch.chdir(place)
        for prefix in prefixes:
            folder = run.folder.relative_to(root / "executed" if place == root / "executed" else root)
            for name in (f"{prefix}{folder}", f"{prefix}{folder}/", f"{prefix}{folder}/manifest.json"):
                assert find_run(root, name)["run_id"] == run.id, (place, name)
    assert find_run(root, f"executed/train/{run.id}")["run_id"] == run.id  # as printed, from anywhere
    with pytest.raises(RunError, match=r"is in no run folder of .* --root"):
        find_run(root, "/tmp")
    with pytest.raises(RunError, match="Did you mean"):
        find_run(root, f"executed/train/{run.id[:-1]}zz")


WRITTEN = {"lr": ("0.05", "5e-2", "0.050"), "epochs": ("8", "8.0"), "sample": ("20000", "20_000", "2e4"),
           "reupload": ("False", "false"), "class_weights": ("None", "null"), "drop": ("['a', 'b']", "[a, b]"), "seed": ("3",)}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRITTEN.items() for text in texts])
def test_runs_are_filtered_by_a_value_however_it_is_written(root, name, text):
    create(root, "train", TrainConfig(seed=3, drop=("a", "b"))).close("done")
    other = {"lr": 0.5, "epochs": 2, "sample": 100, "reupload": True, "class_weights": "balanced", "drop": ("a",), "seed": 4}[
        name
    ]
    create(root, "train", TrainConfig(**{"seed": 3, "drop": ("a", "b"), name: other})).close("done")
    assert [entry["parameters"][name] for entry in selected(list_runs(root), [f"{name}={text}"], None)] == [
        plain(getattr(TrainConfig(seed=3, drop=("a", "b")), name))
    ]
    assert none_matches(list_runs(root), ["epoch=2"]).startswith(
        "No run matches epoch=2. No run has a parameter 'epoch'. Did you mean 'epochs'"
    )
    assert none_matches(list_runs(root), ["epochs=77", "x"]) == "No run matches epochs=77 x."


def test_the_latest_run_is_the_one_that_began_last_whatever_folders_are_called(root):
    first = create(root, "train", TrainConfig(seed=1))
    first.close("done")
    last = create(root, "train", TrainConfig(seed=2))
    last.close("done")
    shutil.copytree(first.folder, root / "executed" / "train" / "z-backup")
    (root / "executed" / "train" / "zz-notes").mkdir()
    assert [entry["run_id"] for entry in list_runs(root)] == [first.id, "z-backup", last.id, "zz-notes"]
    assert find_run(root, "latest")["run_id"] == find_run(root, "train/latest")["run_id"] == last.id


def test_figures_that_were_altered_are_not_shown(root):
    run = create(root, "train", TrainConfig())
    run.write_text("history.csv", "epoch,val_auc\n1,0.5\n")
    run.finish({"test_auc": 0.5})
    (run.folder / "metrics.json").write_text('{"test_auc": 0.99}')
    (run.folder / "history.csv").write_text("epoch,val_auc\n1,0.99\n")
    (entry,) = list_runs(root)
    assert (entry["status"], entry["metrics"]) == ("broken", {}) and "0.99" not in summary(entry, root) + table([entry])
    made = record(entry, root)
    assert made["curves"] == {} and made["curves_why"] == "history.csv is not the file that the run wrote"


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("manifest.json", '{"run_id": ', "manifest.json is no JSON"),
        ("manifest.json", "[]", "manifest.json holds no object"),
        ("metrics.json", "{", "metrics.json is no JSON"),
    ],
)
def test_a_damaged_file_is_named(root, file, content, why):
    run = create(root, "train", TrainConfig())
    run.finish({"test_auc": 0.5})
    (run.folder / file).write_text(content)
    assert why in list_runs(root)[0]["why"]


@pytest.mark.parametrize("metrics", [{"against_twin": "x"}, {"against_twin": None}, {"baselines": None}])
@pytest.mark.parametrize("card", [None, {"cautions": None}, {"cautions": []}])
def test_a_summary_survives_entries_of_another_shape(root, metrics, card):
    run = create(root, "train", TrainConfig())
    run.note(data=card)
    run.finish(metrics)
    assert summary(list_runs(root)[0], root).startswith("done")
