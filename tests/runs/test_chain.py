"""The chain from a typed parameter to a printed number: every link that docs/design.md names is broken here, and noticed."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qnb import cli
from qnb.config import TrainConfig
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError
from qnb.data.prepare import prepare
from qnb.errors import QnbError
from qnb.runs import folder, job, kernel, provenance
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.studies.sweep.arms import SweepConfig
from qnb.studies.sweep.folder import load_sweep, other_code, require_one_table
from qnb.training import checkpoint
from qnb.training.checkpoint import OtherCodeWarning
from qnb.training.model import load_model
from qnb.training.state import circuit_of, objective_of
from qnb.training.train import train

ROOT = Path(__file__).parents[2]
SMALL = {
    "data": "breast_cancer",
    "engine": "exact",
    "wires": 2,
    "layers": 1,
    "batch": 32,
    "epochs": 2,
    "fixed_num_batches": 2,
    "baselines": (),
}
CONFIG = TrainConfig(**SMALL)
DECLARED = "# Parameters of train.ipynb\nseed = 0\nepochs = 8"
BEGIN = "run = kernel.begin('train', config.TrainConfig)"
BREAKS = {}


def breaks(link):
    """Registers a function that breaks that link and returns what was said of it."""

    def register(function):
        BREAKS[link] = function
        return function

    return register


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training in a folder of its own, with its model."""
    made = tmp_path_factory.mktemp("trained")
    train(CONFIG, folder=made, progress=False).save(made / "model")
    return made


def said(call, *arguments, error=QnbError):
    with pytest.raises(error) as caught:
        call(*arguments)
    return str(caught.value)


@breaks("command line to value")
def typed(root, shell, trained):
    return said(cli.collect, (), (), (("epochs=2", "seed"),))


@breaks("value to notebook")
def declared(root, shell, trained):
    nb = json.loads((ROOT / "notebooks" / "train.ipynb").read_text())
    for cell in nb["cells"]:
        cell["metadata"].pop("tags", None)
    (root / "notebooks" / "train.ipynb").write_text(json.dumps(nb))
    return said(job.prepare, "train", {"epochs": 2}, root)


@breaks("value to configuration")
def without_effect(root, shell, trained):
    shutil.copy(ROOT / "notebooks" / "train.ipynb", root / "notebooks")
    return said(job.prepare, "train", {"balanced_pos_frac": 0.3}, root)


@breaks("configuration to run folder")
def other_folder(root, shell, trained):
    made = create(root, "train", TrainConfig(epochs=2))  # and the notebook has epochs = 8
    shell(f"kernel.attach({str(made.folder)!r})"), shell(DECLARED)
    return str(shell(BEGIN).error_in_exec)


@breaks("injected cell to variable")
def undone(root, shell, trained):
    shell(DECLARED), shell("# Parameters\nepochs = 2\n"), shell("epochs = 1")
    return str(shell(BEGIN).error_in_exec)


@breaks("code that was asked to code that runs")
def other_place(root, shell, trained):
    return said(kernel.attach, str(root), None, "/elsewhere/qnb")


@breaks("code and stack to manifest")
def other_process(root, shell, trained):
    made = create(root, "train", TrainConfig())
    made.note(versions=made.manifest["versions"] | {"optax": "0.2.7"})
    run = folder.reopen(made.folder, TrainConfig(), None)
    assert run.manifest["versions"] == provenance.made_by()["versions"]
    return " ".join(run.manifest["launched_with"])


@breaks("variable to running cell")
def edited(root, shell, trained):
    shell(DECLARED), shell(BEGIN), shell(DECLARED.replace("8", "2"))
    return str(shell("run.config").error_before_exec)


@breaks("configuration to data")
def other_data(root, shell, trained):
    return said(train, CONFIG.model_copy(update={"split_seed": 1}), prepare(CONFIG))


@breaks("configuration to training")
def other_training(root, shell, trained):
    made = create(root, "train", CONFIG)
    return said(train, CONFIG.model_copy(update={"epochs": 1}), None, made.folder)


@breaks("training to its gradient")
def wrong_gradient(root, shell, trained):
    config = CONFIG.model_copy(update={"layers": 5})  # a circuit of its own: its program is kept, and is wrong
    engine = make_engine("exact", circuit_of(config), objective_of(config))
    right = type(engine)._gradient_of_angles

    def wrong(self, path):
        def gradient(*arguments):
            loss, grads = right(self, path)(*arguments)
            return loss, grads | {"weights": 2 * grads["weights"]}

        return gradient

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(engine), "_gradient_of_angles", wrong)
        return said(train, config, error=WrongGradientError)


@breaks("epoch to epoch, when resumed")
def resumed(root, shell, trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "_this_process", lambda: {"versions": {"optax": "0.2.7"}})
        with pytest.warns(OtherCodeWarning):
            assert "elsewhere" in train(CONFIG, resume_from=trained, progress=False).metrics
    prepared = prepare(CONFIG)
    other = replace(prepared, card=prepared.card | {"fingerprint": "f" * 64})
    return said(train, CONFIG, other, None, trained)


@breaks("training to metrics.json")
def stale(root, shell, trained):
    earlier = train(CONFIG, progress=False)
    return said(create(root, "train", CONFIG.model_copy(update={"epochs": 9})).finish, earlier.metrics)


@breaks("file to list")
def gone(root, shell, trained):
    made = create(root, "train", CONFIG)
    made.write_text("history.csv", "epoch\n")
    made.finish({"test_auc": 0.5})
    (made.folder / "history.csv").unlink()
    create(root, "train", CONFIG).unlock()
    first, second = list_runs(root)
    assert (first["status"], second["status"]) == ("broken", "killed")
    return first["why"]


@breaks("file to reader")
def swapped(root, shell, trained):
    """The files of another model of the same circuit, copied over a run's own."""
    made = create(root, "train", CONFIG)
    shutil.copytree(trained / "model", made.folder / "model")
    shutil.copy(trained / "history.csv", made.folder)
    made.finish({"test_auc": 0.5})
    load_model(made.folder)
    model = load_model(trained)
    replace(model, params={**model.params, "bias": np.float64(0.5)}).save(root / "other")
    shutil.copy(root / "other" / "model.npz", made.folder / "model")
    return said(load_model, made.folder)


@breaks("runs to comparison")
def other_tables(root, shell, trained):
    config = SweepConfig(seeds=2)
    sweep = create(root, "sweep", config)
    for planned, letter in zip(config.plan(), "ab", strict=False):
        one = create(root, "train", planned.config, sweep=sweep.id)
        one.note(data={"fingerprint": letter * 64}, git={"commit": letter * 40})
        one.close("done")
    found = load_sweep(root, sweep.id)
    assert "commit aaaaaaaaaaaa there, bbbbbbbbbbbb here" in other_code(found)[0]
    return said(require_one_table, found)


@breaks("model to score")
def damaged(root, shell, trained):
    shutil.copytree(trained / "model", root / "model")
    path = root / "model" / "model.npz"
    data = bytearray(path.read_bytes())
    data[np.flatnonzero(np.frombuffer(data, np.uint8))[len(data) // 3]] ^= 0xFF
    path.write_bytes(bytes(data))
    return said(load_model, root)


NOTICED = {
    "command line to value": "-p epochs 2",
    "value to notebook": "would arrive nowhere",
    "value to configuration": "balanced_pos_frac has no effect",
    "configuration to run folder": "epochs = 8, but the run was made for epochs = 2",
    "injected cell to variable": "epochs = 2 was injected into train.ipynb, but its variable holds 1",
    "code that was asked to code that runs": "/elsewhere/qnb, its kernel from",
    "code and stack to manifest": "optax 0.2.7 there",
    "variable to running cell": "epochs is 2 in the kernel",
    "configuration to data": "split_seed = 0, and the training asks for split_seed = 1",
    "configuration to training": "epochs = 1, but the run was made for epochs = 2",
    "training to its gradient": "weights",
    "epoch to epoch, when resumed": "The table has changed",
    "training to metrics.json": "of another training",
    "file to list": "missing: history.csv",
    "file to reader": "model.npz is not the file that run",
    "runs to comparison": "had different tables",
    "model to score": "model.npz",
}


@pytest.mark.parametrize("link", NOTICED)
def test_a_broken_link_is_noticed(link, root, shell, trained):
    assert NOTICED[link] in BREAKS[link](root, shell, trained)


def test_the_links_are_those_that_the_design_names():
    text = (ROOT / "docs" / "design.md").read_text()
    table = text.split("### A number, from a typed parameter to a printed figure")[1].split("###")[0]
    links = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert [link for link in links if link not in ("link", "---")] == list(NOTICED) == list(BREAKS)
