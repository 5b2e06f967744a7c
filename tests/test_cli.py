"""The command line: what it refuses, how it says so, what it prints."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill.cli import papermill as papermill_command

from qnb import cli, options
from qnb.config import TableConfig, TrainConfig
from qnb.data.prepare import DECIDES_TABLE
from qnb.errors import ParameterError
from qnb.runs import headless
from qnb.runs.folder import create
from qnb.runs.job import prepare
from qnb.runs.project import RunError

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def root(tmp_path, monkeypatch):
    shutil.copytree(FIXTURES, tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "list.yaml").write_text("- seed\n")
    (tmp_path / "broken.yaml").write_text("seed: [\n")
    (tmp_path / "twice.yaml").write_text("seed: 1\nseed: 2\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    for name in ("train", "focal_fixed_point"):
        shutil.copy(FIXTURES.parents[1] / "notebooks" / f"{name}.ipynb", tmp_path / "notebooks")
    (tmp_path / "table.csv").write_text("a,label\n1,0\n")
    (tmp_path / "three.yaml").write_text("seed: 3\nepochs: 3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "ok", "-p", "sed", "3"], "Unknown parameter 'sed' for ok.ipynb. Did you mean 'seed'?"),
        (["run", "ok", "-p", "lr", "0.1"], "Unknown parameter 'lr' for ok.ipynb"),
        (["run", "ok", "-p", "seed", "x"], "Parameter seed = 'x': input should be a valid integer"),
        (["run", "ok", "-r", "seed", "3"], "Parameter seed = '3': input should be a valid integer"),
        (["run", "ok", "-p", "seed", "-1"], "greater than or equal to 0"),
        (["run", "ok", "-p", "seed", "-1e-3"], "Parameter seed = -0.001"),
        (["run", "ok", "-p", "seed", "True"], "Parameter seed = True"),
        (["run", "ok", "-p", "epochs", "0"], "Parameter epochs = 0"),
        (["run", "ok", "-p", "seed"], "requires 2 arguments"),
        (["run", "ok", "-f", "nope.yaml"], "Cannot read the parameters file nope.yaml: No such file"),
        (["run", "ok", "-f", "notebooks"], "Cannot read the parameters file notebooks: Is a directory"),
        (["run", "ok", "-f", "list.yaml"], "list.yaml holds no parameters"),
        (["run", "ok", "-f", "broken.yaml"], "broken.yaml is not YAML"),
        (["run", "ok", "-f", "twice.yaml"], "twice.yaml gives 'seed' twice"),
        (["run", "ok", "-f", "bytes.yaml"], "bytes.yaml is not"),
        (["run", "ok", "-y", "1: 2"], "holds no parameters"),
        (["run", "okk"], "No notebook 'okk'"),
        (["run", "no/such.ipynb"], "No notebook 'no/such.ipynb'"),
        (["run", "ok", "--timeout", "0"], "--timeout"),
        (["run", "ok", "--root", "/nowhere"], "--root /nowhere: expected a folder with notebooks/"),
        (["run", "ok", "--resume", "2026"], "No run '2026'"),
        (["run", "ok", "--resume", "2026", "-p", "seed", "1"], "seed cannot be set"),
        (["run"], "Missing argument 'NOTEBOOK'"),
        (["ok"], "No such command 'ok'. ok is a notebook: qnb run ok"),
        (["ok", "-p", "seed", "3"], "qnb run ok -p seed 3"),
        (["probes"], "qnb run probes"),
        (["run", "ok", "seed=3"], "A parameter is given as -p seed 3"),
        (["run", "ok", "--seed=3"], "A parameter is given as -p seed 3"),
        (["run", "ok", "--seed", "3"], "A parameter is given as -p seed 3"),
        (["run", "ok", "--eval-every-epochs", "3"], "A parameter is given as -p eval_every_epochs 3"),
        (["run", "ok", "-p", "epochs=3"], "A parameter is given as -p epochs 3"),
        (["run", "ok", "-p", "epochs=3", "-p", "seed", "1"], "A parameter is given as -p epochs 3"),
        (["run", "ok", "-p", "epochs=3", "x"], "-p takes a name and a value, -p epochs 3"),
        (["sweep", "--resume", "arms.yaml"], "FILE comes first: qnb sweep arms.yaml --resume"),
        (["run", "train", "-p", "leaks", "[drift]"], "A list is given as YAML: -y 'leaks: [drift]'."),
        (["run", "train", "-y", "lr: 1e-3"], "YAML reads 1e-3 as text, for it wants a point and a sign: 1.0e-3."),
        (["run", "train", "-p", "data", "notebooks"], "notebooks is a folder"),
        (["run", "train", "-p", "data", "nowhere.csv", "-p", "label", "y"], "no such file"),
        (["run", "train", "-p", "data", "table.csv", "-p", "label", "lable"], "Did you mean 'label'?"),
        (["run", "focal_fixed_point", "-r", "run", "20200101"], "No run '20200101'"),
        (["run", "focal_fixed_point", "-p", "run", "20200101"], "give text with -r run 20200101"),
        (["sweep", "three.yaml", "-p", "data", "nowhere.csv", "-p", "label", "y"], "no such file"),
        (["rnu"], "No such command 'rnu'"),
        (["runs", "--root", "/nowhere"], "expected a folder with notebooks/"),
    ],
)
def test_refused_before_the_start_with_one_message(root, capsys, arguments, message):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err and out == ""
    assert not (root / "executed").exists()


def test_an_executed_that_cannot_be_written_is_refused(root, capsys):
    (root / "executed").write_text("in the way")
    assert cli.main(["run", "ok"]) == 2
    assert "Cannot write a run folder in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["-p", "seed", "4", "-f", "three.yaml"], {"seed": 4, "epochs": 3}),  # files first
        (["-f", "three.yaml", "-f", "empty.yaml", "-y", "seed: 5"], {"seed": 5, "epochs": 3}),
        (["-p", "seed", "1", "-p", "seed", "2"], {"seed": 2}),
        (
            ["-p", "a", "True", "-p", "b", "None", "-p", "c", "1e-3", "-p", "d", "0_pi"],
            {"a": True, "b": None, "c": 1e-3, "d": "0_pi"},
        ),
        (
            ["-p", "a", "False", "-p", "b", "1_000", "-p", "c", " 7 ", "-p", "d", "-inf", "-p", "e", "true", "-p", "f", ""],
            {"a": False, "b": 1000, "c": 7, "d": float("-inf"), "e": "true", "f": ""},
        ),
        (["-r", "a", "1", "-y", "b: [1, x]", "-y", "c: 2026-01-01"], {"a": "1", "b": [1, "x"], "c": "2026-01-01"}),
    ],
)
def test_values_are_read_as_papermill_reads_them(root, monkeypatch, arguments, values):
    seen = {}
    monkeypatch.setattr("qnb.runs.job.prepare", lambda notebook, parameters, *_: seen.update(qnb=parameters) or exit(9))
    monkeypatch.setattr("papermill.cli.execute_notebook", lambda **options: seen.update(papermill=options["parameters"]))
    with pytest.raises(SystemExit):
        cli.main(["run", "ok", *arguments])
    papermill_command.main(["in.ipynb", "out.ipynb", *arguments], standalone_mode=False)
    assert seen == {"qnb": values, "papermill": values}


CLEAN = "leaks: []\nattack_ring: 2.0\nepochs: 3\n"


@pytest.mark.parametrize(
    ("layers", "values", "left_out"),
    [
        ({"files": ["clean"], "pairs": [("data", "t.csv")]}, {"epochs": 3, "data": "t.csv"}, "leaks=[], attack_ring=2.0"),
        ({"files": ["clean", "mine"]}, {"epochs": 3, "data": "t.csv"}, "leaks=[], attack_ring=2.0"),
        ({"files": ["clean"], "texts": ["data: wine"]}, {"epochs": 3, "data": "wine"}, "leaks=[], attack_ring=2.0"),
        (
            {"files": ["clean"], "pairs": [("data", "bundled")]},
            {"leaks": [], "attack_ring": 2.0, "epochs": 3, "data": "bundled"},
            "",
        ),
        ({"files": ["mine", "clean"]}, {"leaks": [], "attack_ring": 2.0, "epochs": 3, "data": "t.csv"}, ""),  # refused
        ({"files": ["mine"], "texts": ["leaks: []"]}, {"leaks": [], "data": "t.csv"}, ""),  # refused: both on purpose
        ({"pairs": [("data", "t.csv")], "texts": ["leaks: []"]}, {"leaks": [], "data": "t.csv"}, ""),
    ],
)
def test_what_files_say_of_the_generator_goes_with_the_bundled_capture(tmp_path, capsys, layers, values, left_out):
    (tmp_path / "clean").write_text(CLEAN)
    (tmp_path / "mine").write_text("data: t.csv\n")
    files = [str(tmp_path / name) for name in layers.pop("files", [])]
    assert options.collect(files, **layers) == values
    said = capsys.readouterr().err
    assert (left_out in said and "data=" in said) if left_out else not said


OTHER_VALUES = {
    "label": "y", "positive": "a", "negative": "a", "drop": ["a"], "time": ["t"], "identifiers": ["i"], "attack_type": "a",
    "missing": "drop", "missing_values": ["?"], "sample": 100, "data_seed": 1, "leaks": [], "attack_ring": 2.0, "attack_push": 2.0,
    "attack_share": 0.5,
}  # fmt: skip


def test_parameters_of_the_generator_are_those_that_another_table_refuses():
    def refused(name):
        try:
            TableConfig.make({"data": "t.csv", name: OTHER_VALUES[name]})
        except ParameterError as error:
            return "belongs to data='bundled'" in str(error)

    names = set(TableConfig.model_fields) - {"data"}
    assert names == set(OTHER_VALUES)
    assert {name for name in names if refused(name)} == set(options.OF_THE_GENERATOR)


@pytest.mark.parametrize(("status", "code"), [("done", 0), ("failed", 1), ("interrupted", 130)])
def test_exit_code_and_what_is_printed(root, monkeypatch, capsys, status, code):
    def finished(job, timeout, start_timeout):
        run = create(job.root, "ok", job.config)
        run.write_json("metrics.json", {"test_auc": 0.91234, "val_auc": None, "baselines": {"logistic": {"test_auc": 0.9}}})
        run.close(status, None if status == "done" else {"kind": "error", "message": "no label", "cell": 4})
        return run

    monkeypatch.setattr(headless, "execute", finished)
    assert cli.main(["run", "ok"]) == code
    out, err = capsys.readouterr()
    assert out.startswith(status) and "test_auc 0.9123  val_auc -  logistic 0.9000" in out
    report = out.splitlines()[-1].removeprefix("report  ")
    assert Path(report).parent.is_dir() and Path(report).name == "report.html"
    assert err == ("" if status == "done" else "qnb: error in cell [4]: no label\n")


@pytest.mark.parametrize("conclusion", ["It is above.", ["It is above.", "a against b: better."]])
def test_what_a_run_concludes_is_printed_before_its_report(root, monkeypatch, capsys, conclusion):
    def finished(job, timeout, start_timeout):
        run = create(job.root, "ok", job.config)
        run.finish({"conclusion": conclusion})
        return run

    monkeypatch.setattr(headless, "execute", finished)
    assert cli.main(["run", "ok"]) == 0
    said = capsys.readouterr().out.splitlines()[1:-1]
    assert said == ([conclusion] if isinstance(conclusion, str) else conclusion)


def test_a_lost_run_is_a_failed_one(root, monkeypatch, capsys):
    def full(job, timeout, start_timeout):
        raise headless.LostRunError("Cannot write in x: No space left on device.")

    monkeypatch.setattr(headless, "execute", full)
    assert cli.main(["run", "ok"]) == 1
    assert capsys.readouterr().err == "qnb: Cannot write in x: No space left on device.\n"


def test_runs_as_a_table_and_as_json(root, capsys):
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == "No runs yet.\n"
    create(root, "train", TrainConfig(seed=3)).finish({"test_auc": 0.5})
    create(root, "train", TrainConfig(seed=4)).unlock()
    (root / "executed" / "train" / "x").mkdir()
    assert cli.main(["runs"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[2] for line in out.splitlines()[1:4]] == ["done", "killed", "broken"]
    assert "x: no manifest.json" in out
    assert cli.main(["runs", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [e["status"] for e in entries] == ["done", "killed", "broken"]
    assert entries[0]["metrics"] == {"test_auc": 0.5}


def test_what_cannot_be_read_in_executed_is_told_and_the_rest_is_listed(root, capsys):
    create(root, "ok", TrainConfig(seed=3)).finish({"test_auc": 0.5})
    os.mkdir(os.fsencode(root / "executed") + b"/not\xfftext")
    os.mkdir(os.fsencode(root / "executed" / "ok") + b"/run\xff")
    for command in (["runs"], ["runs", "--json"], ["report"], ["run", "ok", "--resume", "nothing"]):
        code = cli.main(command)
        out, err = capsys.readouterr()
        assert code == (2 if "--resume" in command else 0), err
        assert err.count("executed/not\\xfftext is left out: its name is not UTF-8.") == 1
        assert err.count("ok/run\\xff is left out") == 1 and "Traceback" not in err
        assert "runs" not in command or "done" in out


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_without_permission_spoils_no_other(root, capsys, monkeypatch, inside):
    create(root, "ok", TrainConfig(seed=3)).finish({"test_auc": 0.5})
    closed = root / "executed" / "lost+found"
    (closed / "x").mkdir(parents=True)
    forbidden = closed / "x" if inside else closed
    kept_list, kept_look = Path.iterdir, Path.is_dir

    def refuse(method):
        def call(path):
            if path == forbidden:
                raise PermissionError(13, "Permission denied", str(path))
            return method(path)

        return call

    monkeypatch.setattr(Path, "iterdir", refuse(kept_list))
    monkeypatch.setattr(Path, "is_dir", refuse(kept_look))
    assert cli.main(["runs"]) == 0
    out, err = capsys.readouterr()
    assert (
        "done" in out and f"{forbidden.relative_to(root / 'executed' if inside else root)} is left out: Permission denied." in err
    )


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        ([], [1, 2, 3]),
        (["epochs=2"], [1]),  # and not those of 20
        (["epochs=20"], [2, 3]),
        (["epochs=20", "seed=3"], [3]),
        (["killed"], [3]),
        (["status=done"], [1, 2]),
        (["train"], [1, 2, 3]),
        (["notebook=trai"], []),
        (["nothing=1"], []),
        (["-n", "1", "done"], [2]),
        (["-n", "2"], [2, 3]),
    ],
)
def test_runs_are_narrowed_by_exact_values_and_by_words(root, capsys, words, seeds):
    create(root, "train", TrainConfig(seed=1, epochs=2)).finish({"test_auc": 0.5})
    create(root, "train", TrainConfig(seed=2, epochs=20)).finish({"test_auc": 0.5})
    create(root, "train", TrainConfig(seed=3, epochs=20, lr=0.1)).unlock()
    assert cli.main(["runs", *words, "--json"]) == 0
    assert [e["seed"] for e in json.loads(capsys.readouterr().out)] == seeds
    assert cli.main(["runs", *words]) == 0
    out = capsys.readouterr().out
    assert out.count("epochs=20") == sum(seed > 1 for seed in seeds) or not seeds
    assert seeds or out.startswith("No run matches")


def test_a_run_is_shown_by_latest_by_its_beginning_and_by_its_path(root, capsys):
    first = create(root, "train", TrainConfig(seed=1, lr=0.2))
    first.note(data={"source": "bundled", "synthetic": True}, gate={"verdict": "pass"})
    first.finish({"test_auc": 0.75, "degen": 1, "degen_reason": "constant scores", "conclusion": "It learns nothing."})
    create(root, "suspects", TrainConfig(seed=2)).unlock()
    for name in ("train/latest", first.id[:-3], f"executed/train/{first.id}"):
        assert cli.main(["show", name]) == 0
        out = capsys.readouterr().out
        for part in ("test_auc 0.7500", "lr=0.2", "Degenerate: constant scores", "SYNTHETIC", "pass", "It learns nothing."):
            assert part in out
    assert cli.main(["show", "latest"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("killed  suspects") and "qnb run suspects --resume" in out
    assert cli.main(["show", "nothing"]) == 2
    assert "No run 'nothing'" in capsys.readouterr().err


def test_a_report_is_opened_where_there_is_one_and_a_browser(root, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(cli.webbrowser, "open", lambda url: opened.append(url) or len(opened) < 2)
    run = create(root, "train", TrainConfig())
    assert cli.main(["show", "latest", "--open"]) == 2 and "has no report.html" in capsys.readouterr().err
    run.write_text("report.html", "<p>")
    assert cli.main(["show", "latest", "--open"]) == 0 and opened == [(run.folder / "report.html").as_uri()]
    capsys.readouterr()
    assert cli.main(["show", "latest", "--open"]) == 2
    assert f"There is no browser here. The report is {run.folder / 'report.html'}" in capsys.readouterr().err


def test_help_of_a_notebook_lists_its_parameters_with_default_and_meaning(root, capsys):
    assert cli.main(["run", "train", "--help"]) == 0
    out = capsys.readouterr().out
    for name in TrainConfig.model_fields:
        assert re.search(rf"^  {name} = ", out, re.MULTILINE), name
    assert "epochs = 8" in out and "stratified by label" in out
    assert cli.main(["run", "trian", "-h"]) == 2
    assert "'train'" in capsys.readouterr().err


def test_latest_is_written_down_as_the_run_that_it_was(root):
    shutil.copy(FIXTURES.parents[1] / "notebooks" / "readout_geometry.ipynb", root / "notebooks")
    first = create(root, "train", TrainConfig(data="breast_cancer", seed=1))
    first.finish({})
    create(root, "readout_geometry", TrainConfig()).unlock()
    assert prepare("readout_geometry", {"run": "latest"}, root).parameters["run"] == first.id


def test_times_are_told_with_their_zone(root, capsys):
    create(root, "ok", TrainConfig()).finish({})
    assert cli.main(["runs"]) == 0
    assert "started (UTC)" in capsys.readouterr().out


def test_help_and_version(capsys):
    assert cli.main([]) == 0
    assert "run " in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert cli.main(["run", "--help"]) == 0
    assert "NAME VALUE" in capsys.readouterr().out


def test_no_stdin_no_reader_no_traceback(root):
    qnb = str(Path(sys.executable).parent / "qnb")
    refused = subprocess.run(f"'{qnb}' run ok -p sed 3 <&-", shell=True, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("qnb: Unknown parameter 'sed'")
    closed = subprocess.run(f"'{qnb}' runs --json | true", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in closed.stderr


def test_the_help_of_data_names_every_parameter_that_it_takes(capsys):
    cli.main(["data", "--help"])
    told = capsys.readouterr().out
    assert [name for name in DECIDES_TABLE if name != "data" and not re.search(rf"\b{name}\b", told)] == []


def test_data_says_what_is_recognised_without_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{1556245350 + i},25-Apr-19, 19:22:30 ,{i % 7},high,{i % 2},{('normal', 'ddos')[i % 2]}\n" for i in range(40))
    (tmp_path / "fridge.csv").write_text("ts,date,time,fridge_temperature,temp_condition,label,type\n" + rows)
    assert cli.main(["data", "fridge.csv"]) == cli.DONE
    told = capsys.readouterr().out
    assert "recognised as: TON_IoT telemetry: Alsaedi et al." in told and "rows read: 40" in told
    assert "columns left out: time: ts, date, time" in told and "columns left out: attack type: type" in told
    assert "attack types: normal 20, ddos 20" in told and not (tmp_path / "executed").exists()
    rows = "".join(f"10.0.0.{i % 5},{i * 7 % 11},{i % 2}\n" for i in range(40))
    (tmp_path / "own.csv").write_text("src,x,y\n" + rows)
    assert cli.main(["data", "own.csv", "-p", "label", "y", "-p", "drop", "x"]) == cli.DONE
    told = capsys.readouterr().out
    assert "caution 1: Columns without a role" in told and "src (identifiers: it holds addresses)" in told
    assert "columns left out: drop: x" in told and "no known data set" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own.csv"], "is of no known data set, so its label column must be named: label='...'."),
        (["own.csv", "-p", "label", "z"], "has no label column 'z'"),
        (["own.csv", "-p", "label", "y", "-p", "val_fraction", "0.3"], "Unknown parameter 'val_fraction' for qnb data"),
        (["own.csv", "-p", "label", "y", "-p", "time", "tx"], "time names 'tx', which is no column of own.csv"),
    ],
)
def test_data_refuses_what_it_cannot_obey(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("x,t,y\n" + "".join(f"{i * 7 % 11},{i * 3 % 5},{i % 2}\n" for i in range(40)))
    assert cli.main(["data", *arguments]) == cli.REFUSED
    assert message in capsys.readouterr().err


def test_a_run_whose_report_cannot_be_opened_ended_as_it_did(root, capsys, monkeypatch):
    monkeypatch.setattr(cli.webbrowser, "open", lambda url: False)
    assert cli.main(["run", "ok", "--open"]) == 0
    assert "There is no browser here. The report is" in capsys.readouterr().err


def test_a_notebook_of_the_users_may_call_its_parameters_as_it_likes(root):
    cell = nbformat.v4.new_code_cell("run = 'a'\nsweep = 'b'\nresume = 'c'", metadata={"tags": ["parameters"]})
    nb = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("print(run, sweep, resume)")])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nb, root / "notebooks" / "named.ipynb")
    create(root, "train", TrainConfig()).close("done")
    assert prepare("named", {"run": "latest", "sweep": "2026"}, root).parameters == {"run": "latest", "sweep": "2026"}
    nbformat.write(nb, root / "notebooks" / "reference.ipynb")
    with pytest.raises(RunError, match=r"give reference.ipynb another name"):
        prepare("reference", {}, root)


def test_help_of_the_probes_names_their_notebooks(root, capsys):
    assert cli.main(["run", "probes", "--help"]) == 0
    assert "qnb run throughput --help" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--root", "/nonexist"], ["--root=/nonexist"]])
def test_help_looks_where_it_is_told_to(root, capsys, given):
    assert cli.main(["run", "train", *given, "--help"]) == 2
    assert "--root /nonexist: expected a folder with notebooks/" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["show"], ["score", "-o", "x.csv", "run"], ["data"], ["run", "train", "-p", "data"]])
@pytest.mark.parametrize("path", ["~nobody_of_that_name/x.csv", f"{'long' * 80}.csv"])
def test_what_can_be_no_path_is_one_message(root, capsys, command, path):
    assert cli.main([*command, path]) == 2
    assert capsys.readouterr().err.startswith("qnb: ")


def test_a_deleted_working_directory_is_one_message(root, capsys, monkeypatch):
    gone = root / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["runs"]) == 2
    assert "The working directory has been deleted" in capsys.readouterr().err
