"""Notebooks executed for real: every way a run can end, and what is left of it."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from qnb.config import TrainConfig
from qnb.runs import headless
from qnb.runs.folder import create
from qnb.runs.headless import execute
from qnb.runs.job import prepare
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError

FIXTURES = Path(__file__).parents[1] / "fixtures"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project {x}")  # papermill formats paths: braces must survive
    shutil.copytree(FIXTURES, folder / "notebooks")
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    return folder


def run(root, notebook, timeout=None, resume=None, **parameters):
    log = io.StringIO()
    finished = execute(prepare(notebook, parameters, root, resume), timeout, log)
    finished.log = log.getvalue()
    finished.nb = nbformat.read(finished.folder / "notebook.ipynb", as_version=4)
    assert not (finished.folder / "notebook.partial.ipynb").exists()
    assert json.loads((finished.folder / "manifest.json").read_text()) == finished.manifest
    return finished


def errors(nb):
    return [o for cell in nb.cells for o in cell.get("outputs", []) if o.output_type == "error"]


@pytest.fixture(scope="module")
def ok(root):
    return run(root, "ok", seed=3)


def test_a_run_that_works_leaves_everything(ok):
    manifest = ok.manifest
    assert (manifest["status"], manifest["failure"], manifest["seed"]) == ("done", None, 3)
    assert manifest["hash"] == TrainConfig(seed=3).hash()
    assert ok.metrics() == {"test_auc": 0.75, "val_auc": None, "baselines": {"logistic": {"test_auc": 0.9}}}
    assert manifest["files"] == ["manifest.json", "metrics.json", "notebook.ipynb", "params.yaml", "report.html"]
    assert 0 < manifest["wall_seconds"] < 60


def test_progress_is_shown_as_it_comes_and_stored_as_its_last_state(ok):
    assert "\repoch 1/3\repoch 2/3\repoch 3/3" in ok.log
    streams = [
        o.text for cell in ok.nb.cells for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stderr"
    ]
    assert streams == ["epoch 3/3"]


def test_the_stored_notebook_is_the_notebook_with_its_parameters(ok, root):
    source = nbformat.read(root / "notebooks" / "ok.ipynb", as_version=4)
    injected = [cell for cell in ok.nb.cells if "injected-parameters" in cell.metadata.tags]
    assert [cell.source for cell in injected] == ["# Parameters\nseed = 3\n"]
    assert [c.source for c in ok.nb.cells if c not in injected] == [c.source for c in source.cells]
    assert str(root) not in (ok.folder / "notebook.ipynb").read_text()


def test_the_report_asks_nothing_of_the_outside(ok):
    html = (ok.folder / "report.html").read_text()
    assert "default-src 'none'" in html
    assert not re.search(r"<script|<link|<iframe|@import|url\(\s*['\"]?(https?:)?//|\bsrc=['\"](?!data:)", html)
    assert '<span class="n">finish</span>' in html  # the code is there


@pytest.mark.parametrize(
    ("notebook", "kind", "message"),
    [
        ("raises", "error", "ZeroDivisionError: division by zero"),
        ("refuses", "error", "No label column 'attack'.\nDid you mean 'Attack'?"),
        ("exhausts", "out_of_memory", "MemoryError"),
        ("dies", "dead_kernel", "the kernel died without a Python error (Kernel died); kernel.log has its last words"),
        ("forgets", "error", "the notebook ended before run.finish(...)"),
    ],
)
def test_a_failed_run_says_how_and_keeps_its_notebook(root, notebook, kind, message):
    failed = run(root, notebook)
    assert failed.manifest["status"] == "failed"
    assert failed.manifest["failure"] == {"kind": kind, "message": message, "cell": 4}
    assert message.split("\n")[0].split(": ")[-1] in errors(failed.nb)[0].evalue + errors(failed.nb)[0].ename
    assert not any(
        cell.metadata.papermill.status == "completed" for cell in failed.nb.cells if cell.source.startswith("run.finish")
    )
    opening = failed.nb.cells[0].source
    assert opening.startswith(f"**This run did not finish.** {kind}".replace("_", r"\_"))
    assert message.splitlines()[0].replace("_", r"\_") in opening
    report = (failed.folder / "report.html").read_text()
    assert "This run did not finish." in report and "papermill encountered an exception" not in report
    assert ("Traceback" in failed.log) == (notebook in ("raises", "exhausts"))


def test_a_cell_that_takes_too_long_is_a_timeout_and_the_run_can_be_resumed(root):
    late = run(root, "sleeps", timeout=1, seed=5)
    assert late.manifest["failure"]["kind"] == "timeout"
    (late.folder / "checkpoint.npz").write_bytes(b"")
    second = run(root, "sleeps", timeout=1, resume=late.id)
    assert (second.manifest["resumed_from"], second.manifest["seed"], second.resume_from) == (late.id, 5, late.folder)
    printed = re.search(r"^run (executed/\S+)$", second.log, re.MULTILINE)[1]
    for name in (second.id, printed, str(second.folder), f"{second.folder}/", str(second.folder / "report.html")):
        third = prepare("sleeps", {}, root, name)  # it has no checkpoint of its own
        assert (third.resumed, third.resume_from) == (second.id, late.folder)


def test_memory_that_the_system_took_is_told_from_another_death(root, monkeypatch):
    counts = iter((4, 5))
    monkeypatch.setattr(headless, "_oom_kills", lambda: next(counts))
    assert run(root, "dies").manifest["failure"]["kind"] == "out_of_memory"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/gone/bin/python"], "the kernel could not be started: "),
        (["sh", "-c", "sleep 60"], "the kernel did not answer within 1 s of its start: see --start-timeout"),
        (["false"], "the kernel died without a Python error"),
    ],
)
def test_a_kernel_that_does_not_start_is_told_from_one_that_dies_and_from_a_folder(root, monkeypatch, command, message):
    job = prepare("ok", {"seed": 17}, root)
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: KernelSpec(argv=command, language="python"))
    failed = execute(job, log=io.StringIO(), start_timeout=1)
    assert failed.manifest["status"] == "failed" and failed.manifest["failure"]["message"].startswith(message)
    shutil.rmtree(failed.folder)


def test_an_error_that_nobody_foresaw_leaves_a_failed_run(root, monkeypatch):
    def surprises(*_, **__):
        raise LookupError("nobody thought of it")

    monkeypatch.setattr(headless.papermill, "execute_notebook", surprises)
    with pytest.raises(LookupError):
        run(root, "ok", seed=18)
    (entry,) = [e for e in list_runs(root) if e.get("seed") == 18]
    assert (entry["status"], entry["why"]) == ("failed", "error: LookupError: nobody thought of it")


def test_a_full_disk_ends_in_one_message(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(headless, "publish", full)
    with pytest.raises(headless.LostRunError, match="No space left"):
        run(root, "forgets", seed=28)
    assert [e["status"] for e in list_runs(root) if e.get("seed") == 28] == ["failed"]


def test_values_of_python_reach_the_notebook_as_they_are(root):
    job = prepare(str(Path("notebooks/train.ipynb").resolve()), {"leaks": ("drift",), "class_weights": (1.0, 2.0)}, root)
    assert job.parameters == {"leaks": ["drift"], "class_weights": [1.0, 2.0]}  # papermill would write a tuple as text
    assert job.config.leaks == ("drift",) and job.config.class_weights == (1.0, 2.0)


# --- refused before the start


def test_resume_is_refused_where_it_makes_no_sense(root, ok):
    with pytest.raises(RunError, match="is done"):
        prepare("ok", {}, root, ok.id)
    with pytest.raises(RunError, match="qnb run ok --resume"):
        prepare("dies", {}, root, ok.id)
    live = create(root, "ok", TrainConfig(seed=9))
    with pytest.raises(RunError, match="still running"):
        prepare("ok", {}, root, live.id)
    live.unlock()
    assert prepare("ok", {}, root, live.id).parameters == {"seed": 9, "epochs": TrainConfig().epochs}
    live.note(hash="0123456789")
    with pytest.raises(RunError, match="mean something else"):
        prepare("ok", {}, root, live.id)
    shutil.rmtree(live.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"kernelspec": {"name": "julia"}}}, "asks for the kernel 'julia'"),
        ({"metadata": {"qnb": {"config": "TrainConfig"}}}, "'TrainConfig'; expected one like 'qnb.config:TrainConfig'"),
        ({"metadata": {"qnb": {"config": "qnb.config:Tranconfig"}}}, "expected one like 'qnb.config:TrainConfig'"),
        ({"metadata": {"qnb": {"config": "qnb.confg:TrainConfig"}}}, "No module named 'qnb.confg'"),
        ({"metadata": {"qnb": {"config": "qnb.config:Leak"}}}, "expected one like 'qnb.config:TrainConfig'"),
        ({"cells": 3}, "is not a notebook"),
    ],
)
def test_a_notebook_that_cannot_run_is_refused(root, tmp_path, change, message):
    notebook = json.loads((FIXTURES / "ok.ipynb").read_text())
    notebook |= {key: notebook[key] | value if isinstance(value, dict) else value for key, value in change.items()}
    path = tmp_path / "odd.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(RunError, match=message):
        prepare(str(path), {}, root)


@pytest.mark.parametrize("text", ["", "{", "not json", "[]", '{"nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_refused(root, tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)
    with pytest.raises(RunError, match="is not a notebook"):
        prepare(str(path), {}, root)


# --- as processes


def start(root, *arguments, cwd=None):
    command = [str(BIN / "qnb"), "run", *arguments, "--root", str(root)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd or root, preexec_fn=hear_sigint, **pipes)


def hear_sigint():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when the tests are a shell's background job


def kernel_of(process):
    for line in process.stderr:
        if line.startswith("kernel "):
            return int(line.split()[1])
    raise AssertionError("the notebook did not start")


def gone(pid, seconds=10):
    for _ in range(seconds * 10):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(("notebook", "number"), [("busy", signal.SIGINT), ("sleeps", signal.SIGTERM)])
def test_a_stopped_run_is_interrupted_and_leaves_no_kernel(root, notebook, number):
    process = start(root, notebook, "-p", "seed", str(100 + number))
    kernel = kernel_of(process)
    time.sleep(1.5)  # into the native code
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert gone(kernel)
    entry = next(e for e in list_runs(root) if e.get("seed") == 100 + number)
    assert (entry["status"], entry["failure"]["message"]) == ("interrupted", f"stopped by {number.name}")
    assert "interrupted" in [o.ename for o in errors(nbformat.read(root / entry["folder"] / "notebook.ipynb", as_version=4))]


def test_a_run_killed_outright_is_listed_as_killed_and_leaves_no_kernel(root):
    process = start(root, "sleeps", "-p", "seed", "109")
    kernel = kernel_of(process)
    assert next(e for e in list_runs(root) if e.get("seed") == 109)["status"] == "running"
    process.kill()
    process.communicate()
    assert next(e for e in list_runs(root) if e.get("seed") == 109)["status"] == "killed"
    assert gone(kernel)


def test_two_runs_at_once_from_elsewhere_do_not_disturb_each_other(root, tmp_path):
    processes = [start(root, "ok", "-p", "seed", "7", cwd=tmp_path) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        outputs = list(pool.map(lambda p: p.communicate(timeout=60), processes))
    assert [p.returncode for p in processes] == [0, 0]
    reports = {re.search(r"^report  (.*)$", stdout, re.MULTILINE)[1] for stdout, _ in outputs}
    assert len(reports) == 2 and all(Path(path).is_file() for path in reports)


def papermill(root, *arguments):
    command = [str(BIN / "papermill"), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def test_bare_papermill_makes_a_run_folder_too(root, tmp_path):
    before = {e["run_id"] for e in list_runs(root)}
    done = papermill(root, "notebooks/ok.ipynb", str(tmp_path / "out.ipynb"), "-p", "seed", "11")
    assert done.returncode == 0, done.stderr
    (entry,) = [e for e in list_runs(root) if e["run_id"] not in before]
    assert (entry["status"], entry["seed"], entry["metrics"]["test_auc"]) == ("done", 11, 0.75)


def test_bare_papermill_refuses_an_unknown_parameter_in_its_last_line(root, tmp_path):
    before = list_runs(root)
    refused = papermill(root, "notebooks/ok.ipynb", str(tmp_path / "out.ipynb"), "-p", "sed", "3")
    assert refused.returncode != 0
    last = refused.stderr.strip().splitlines()[-1]
    assert last == "ParameterError: Unknown parameter 'sed' for ok.ipynb. Did you mean 'seed'? Valid: seed, epochs."
    assert list_runs(root) == before
