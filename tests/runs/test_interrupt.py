"""The stop button: a real kernel is interrupted at random moments of train.ipynb, and trains on to the very same model."""

import json
import random
import re
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

from qnb.config import TrainConfig
from qnb.training.train import train

ROOT = Path(__file__).parents[2]
PARAMETERS = {"data": "breast_cancer", "wires": 3, "layers": 2, "batch": 32, "epochs": 150, "fixed_num_batches": 6}
STOPPED = re.compile(
    r"(Stopped (after epoch \d+ of 150\. Run it again to resume from there\."
    r"|before the end of the first epoch\. Run it again to start\."
    r"|after epoch \d+ of 150\. Without a folder nothing is kept\.)|Stopped\. Run the cell again\.)"
    r" In another kernel or from a terminal: qnb run train --resume \S+"
)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    return tmp_path


class Kernel:
    """A kernel as JupyterLab has one: cells are run, and the stop button pressed."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))

    def start(self, source):
        return self.client.execute(source, store_history=True)

    def end(self, message, seconds=300):
        """The reply of a cell, and the text of its outputs."""
        text = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            out = self.client.get_iopub_msg(timeout=seconds)
            if out["parent_header"].get("msg_id") != message:
                continue
            if out["msg_type"] == "stream":
                text.append(out["content"]["text"])
            if out["msg_type"] == "error":
                text.append("\n" + "\n".join(out["content"]["traceback"]))  # an output of its own
            if out["msg_type"] == "status" and out["content"]["execution_state"] == "idle":
                break
        while (reply := self.client.get_shell_msg(timeout=seconds))["parent_header"]["msg_id"] != message:
            pass
        return reply["content"], "".join(text)

    def run(self, source):
        content, text = self.end(self.start(source))
        assert content["status"] == "ok", text
        return text


@pytest.fixture
def kernel(project):
    started = Kernel(project / "notebooks")
    yield started
    started.client.stop_channels()
    started.manager.shutdown_kernel(now=True)


def cells(engine):
    """(parameters, begin, data, training, end) of train.ipynb, the parameters changed as a person would."""
    nb = nbformat.read(ROOT / "notebooks" / "train.ipynb", as_version=4)
    code = [c for c in nb.cells if c.cell_type == "code"]
    parameters = code[0].source
    for name, value in (PARAMETERS | {"engine": engine}).items():
        parameters, count = re.subn(rf"^{name} = \S+", f"{name} = {value!r}", parameters, flags=re.M)
        assert count == 1, name
    sources = [c.source for c in code]
    find = lambda text: next(s for s in sources if text in s)  # noqa: E731
    return parameters, find("begin("), find("prepare(config)"), find("train(config"), find("run.finish(")


def press(kernel, source, wait):
    """Run a cell and stop it after `wait` seconds. The reply, what was shown, and how long the cell took to end."""
    message = kernel.start(source)
    time.sleep(wait)
    pressed = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply, text = kernel.end(message)
    return reply, text, time.monotonic() - pressed


def status(project):
    (folder,) = (project / "executed" / "train").iterdir()
    return json.loads((folder / "manifest.json").read_text())["status"], folder


def stop_and_resume(kernel, project, engine, presses, seed):
    parameters, begin, data, training, end = cells(engine)
    kernel.run(parameters), kernel.run(begin), kernel.run(data)
    moments, stopped = random.Random(seed), 0
    for _ in range(presses):
        reply, text, _ = press(kernel, training, moments.uniform(0, 1.2))
        if reply["status"] == "ok":  # it was done before the button was pressed
            continue
        stopped += 1
        assert STOPPED.fullmatch(text.splitlines()[-1]), text
        assert "Traceback" not in text and status(project)[0] == "interrupted"
        assert kernel.run("print(6 * 7)") == "42\n"
    kernel.run(training), kernel.run(end)
    assert status(project)[0] == "done" and stopped > 0
    return status(project)[1]


def same_as_uninterrupted(folder, engine):
    expected = train(TrainConfig(**PARAMETERS, engine=engine), progress=False)
    with np.load(folder / "checkpoint.npz") as kept:
        last = {name: kept[f"best/{name}"] for name in expected.params}
    for name, value in expected.params.items():
        np.testing.assert_array_equal(last[name], value)


@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_a_training_that_was_stopped_resumes_to_the_same_model(kernel, project, engine):
    same_as_uninterrupted(stop_and_resume(kernel, project, engine, 3, 0), engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_twenty_presses_at_random_moments(kernel, project, engine):
    same_as_uninterrupted(stop_and_resume(kernel, project, engine, 20, 1), engine)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["data", "compile"])
def test_the_cells_around_training_can_be_stopped_too(kernel, project, moment):
    parameters, begin, data, training, _ = cells("catalyst")
    kernel.run(parameters), kernel.run(begin)
    if moment == "compile":
        kernel.run(data)
    reply, text, _ = press(kernel, data if moment == "data" else training, 0.05)
    assert reply["status"] == "ok" or text.splitlines()[-1].startswith("Stopped"), text
    kernel.run(data)
    assert kernel.run("print(6 * 7)") == "42\n" and "catalyst" not in kernel.run("import sys; print(*sys.modules)").split()
