"""All probes in one command: what is checked before the start, the tables at the end, and that the notebooks fit their parameters."""

import json
import shutil
from pathlib import Path

import pytest

from qnb import cli
from qnb.config import TrainConfig
from qnb.errors import ParameterError
from qnb.probes import suite
from qnb.reporting.verdict import ANSWERS, Verdict, conclude, sentences
from qnb.runs import headless
from qnb.runs.folder import create
from qnb.runs.job import prepare
from qnb.runs.project import RunError

ROOT = Path(__file__).parents[2]
MINE = ("zvec_gradient_identity", "alpha_sign_inversion", "focal_fixed_point", "readout_geometry", "suspects")
SMALL = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 32}


@pytest.fixture
def project(tmp_path):
    """A project with every notebook."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, tmp_path / "notebooks")
    return tmp_path


@pytest.fixture
def run_id(project):
    run = create(project, "train", TrainConfig(wires=3, lr=0.2))
    run.finish({})
    return run.id


def test_everything_is_checked_before_the_first_probe_starts(monkeypatch, project, run_id):
    monkeypatch.setattr(suite, "NOTEBOOKS", MINE[:2])
    assert [j.path.stem for j in suite.prepare_probes({"seed": 3}, project)] == list(MINE[:2])
    of_run = suite.prepare_probes({"run": run_id}, project)
    assert [j.path.stem for j in of_run] == [*MINE[:2], "suspects"]
    assert [(j.config.wires, j.config.lr) for j in of_run[:2]] == [(3, 0.2)] * 2
    with pytest.raises(ParameterError, match=r"Unknown parameter 'epochs' for the probes"):
        suite.prepare_probes({"epochs": 5}, project)
    with pytest.raises(ParameterError, match=r"brings its own parameters: leave lr=0.1 .* out"):
        suite.prepare_probes({"run": run_id, "lr": 0.1}, project)
    with pytest.raises(RunError, match="No run 'nowhere'"):
        suite.prepare_probes({"run": "nowhere"}, project)
    with pytest.raises(ParameterError, match="--resume"):
        suite.prepare_probes({}, project, resume=run_id)


def test_every_option_reaches_the_probes(monkeypatch, project):
    """Which of them a kernel is given, and that each report is opened."""
    asked, opened = [], []

    def finished(job, timeout, log, start_timeout):
        asked.append((timeout, start_timeout))
        run = create(job.root, job.path.stem, job.config)
        run.finish({})
        (run.folder / "report.html").write_text("")
        return run

    monkeypatch.setattr(suite, "NOTEBOOKS", MINE[:2])
    monkeypatch.setattr(headless, "execute", finished)
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert cli.main(["run", "probes", "--timeout", "9", "--start-timeout", "7", "--open", "--root", str(project)]) == cli.DONE
    assert asked == [(9, 7)] * 2 and [MINE[k] in address for k, address in enumerate(opened)] == [True] * 2


def test_a_probe_takes_the_parameters_that_it_has_and_the_others_are_named(monkeypatch, project):
    monkeypatch.setattr(suite, "NOTEBOOKS", (*MINE[:2], "throughput"))
    asked = {"push": 0.3, "wires": 2}
    jobs = suite.prepare_probes(asked, project)
    assert [j.parameters for j in jobs] == [{"wires": 2}, asked, {"wires": 2}]
    assert suite.left_out(jobs, asked) == [
        "zvec_gradient_identity.ipynb has no parameter push",
        "throughput.ipynb has no parameter push",
    ]


def ended(root, notebook, status="done", verdicts=()):
    run = create(root, notebook, None)
    if status == "done":
        conclude(run, list(verdicts))
    else:
        run.close(status, {"kind": "error", "message": "no\nlabel", "cell": 2})
    return run


def verdict(question, word):
    return Verdict(question, word, {}, None, f"because of a_b < {word}.", stack={})


@pytest.fixture
def started(monkeypatch):
    """Probes that end as `outcomes` says instead of being executed."""
    outcomes = {}

    def execute(job, timeout, log, start_timeout):
        status, verdicts = outcomes[job.path.stem]
        return ended(outcomes["root"], job.path.stem, status, verdicts)

    monkeypatch.setattr(headless, "execute", execute)
    monkeypatch.setattr(suite, "NOTEBOOKS", MINE[:2])
    return outcomes


@pytest.mark.parametrize(("status", "code"), [("done", 0), ("failed", 1), ("interrupted", 130)])
def test_one_table_of_verdicts_one_of_suspects_and_the_worst_exit_code(project, run_id, capsys, started, status, code):
    first = [verdict("Is s moved?", "yes"), verdict("Is it zero?", "no")]
    suspects = [verdict("Is it the data?", "cleared"), verdict("Is it the compiler?", "blamed")]
    started |= {"root": project, MINE[0]: (status, first), MINE[1]: ("done", [verdict("Is it inverted?", "inconclusive")])}
    started["suspects"] = ("done", suspects)
    assert cli.main(["run", "probes", "-p", "run", run_id, "--root", str(project)]) == code
    lines = capsys.readouterr().out.splitlines()
    if status == "done":
        assert lines[1].split() == ["zvec_gradient_identity", "yes", *["Is", "s", "moved?", "because", "of", "a_b", "<", "yes."]]
        assert lines[3].split()[:2] == ["alpha_sign_inversion", "inconclusive"]
    else:
        assert lines[1].split() == ["zvec_gradient_identity", status, "error:", "no", "label"]
    rows = [line.split()[:2] for line in lines]
    if status == "interrupted":
        assert ["alpha_sign_inversion", "inconclusive"] not in rows  # what comes after is not started
    else:
        assert ["data", "cleared"] in rows and ["compiler", "blamed"] in rows
    assert sum(line.startswith("report") for line in lines) == (1 if status == "interrupted" else 3)


def test_sentences_show_names_and_signs_as_they_are():
    assert sentences([verdict("Is w_i <Z>?", "no")]) == r"- Is w\_i &lt;Z>? **No.** because of a\_b &lt; no."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "verdicts"),
    [
        ("zvec_gradient_identity", {"training_epochs": 2, "rows": 2}, {"yes", "no"}),
        ("alpha_sign_inversion", {"steps": 20}, set(ANSWERS)),
        ("focal_fixed_point", {"steps": 20}, set(ANSWERS)),
        ("readout_geometry", {"steps": 20, "rows": 8, "initialisations": 10}, set(ANSWERS)),
    ],
)
def test_each_notebook_runs_headlessly_and_leaves_its_verdicts(tmp_path, name, parameters, verdicts):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "notebooks" / f"{name}.ipynb").write_text((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    run = headless.execute(prepare(name, SMALL | parameters, tmp_path))
    assert run.manifest["status"] == "done", run.manifest["failure"]
    left = json.loads((run.folder / "verdict.json").read_text())
    assert left and all({"question", "verdict", "figures", "tolerance", "stack"} <= set(v) for v in left)
    assert {v["verdict"] for v in left} <= verdicts
    assert run.manifest["data"]["fingerprint"] and run.manifest["model_under_test"]["wires"] == 2
