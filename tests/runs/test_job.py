"""What is refused before a kernel starts: notebooks whose overrides would be lost, kernels that are not there, parameters files."""

import json
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from qnb.errors import ParameterError
from qnb.runs import headless
from qnb.runs.job import prepare
from qnb.runs.parameter_files import parse_parameters, read_parameters
from qnb.runs.project import RunError

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def edited(root):
    """A function that writes tests/fixtures/ok.ipynb, changed by a function, and prepares it."""

    def prepare_changed(change, parameters=None):
        notebook = json.loads((FIXTURES / "ok.ipynb").read_text())
        change(notebook)
        (root / "notebooks" / "odd.ipynb").write_text(json.dumps(notebook))
        return prepare("odd", parameters or {}, root)

    return prepare_changed


def parameters_cell(notebook):
    (cell,) = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    return cell


def drop_tags(notebook):
    for cell in notebook["cells"]:
        cell["metadata"].pop("tags", None)


def second_cell(notebook):
    notebook["cells"].insert(3, parameters_cell(notebook) | {"id": "second"})


def inject(notebook):
    injected = {"metadata": {"tags": ["injected-parameters"]}, "source": "# Parameters\nseed = 3\nepochs = 2\n", "id": "given"}
    notebook["cells"].insert(notebook["cells"].index(parameters_cell(notebook)) + 1, parameters_cell(notebook) | injected)


def compute(notebook):
    parameters_cell(notebook)["source"] = "# Parameters of ok.ipynb\nseed = 1 + 2\nepochs = 8\n"


def without(*path):
    def change(notebook):
        inner = notebook["metadata"]
        for name in path[:-1]:
            inner = inner[name]
        inner.pop(path[-1])

    return change


LOST = {
    "tags dropped": (drop_tags, {"seed": 3}, "odd.ipynb has no cell tagged `parameters`, so that seed would arrive nowhere"),
    "two parameters cells": (second_cell, {}, "2 cells tagged `parameters`"),
    "executed": (inject, {}, r"an executed notebook, with seed = 3, epochs = 2 injected .* -p seed 3 -p epochs 2"),
    "executed, one given": (inject, {"epochs": 4}, r"with seed = 3 injected .* -p seed 3$"),
    "a computed default": (compute, {}, "computes the default of seed"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_notebook_in_which_an_override_would_be_lost_is_refused(edited, name):
    change, parameters, message = LOST[name]
    with pytest.raises(RunError, match=message):
        edited(change, parameters)


def test_what_an_executed_notebook_was_given_is_not_lost_where_it_is_the_default(edited):
    def inject_default(notebook):
        inject(notebook)
        (cell,) = [c for c in notebook["cells"] if c["id"] == "given"]
        cell["source"] = "# Parameters\nseed = 0\nepochs = 2\n"

    with pytest.raises(RunError, match="with epochs = 2 injected"):
        edited(inject_default)
    assert edited(inject_default, {"epochs": 3}).parameters == {"epochs": 3}


def test_an_executed_notebook_whose_overrides_are_all_given_again_is_run_with_those(edited):
    assert edited(inject, {"seed": 4, "epochs": 5}).config.seed == 4
    assert edited(compute, {"seed": 4}).config.seed == 4  # what is computed is overridden


KERNELS = {
    "none named": (without("kernelspec"), "names no kernel .*choose one of"),
    "without a name": (without("kernelspec", "name"), "names no kernel"),
    "unknown": (lambda nb: nb["metadata"]["kernelspec"].update(name="pyton3"), "kernel 'pyton3'. Did you mean 'python3'"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_is_not_named_or_not_known_is_refused(edited, name):
    change, message = KERNELS[name]
    with pytest.raises(RunError, match=message) as error:
        edited(change)
    assert "None" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"argv": ["/gone/bin/python"], "language": "python"},
            "starts /gone/bin/python, which is not there: was its environment",
        ),
        ({"argv": ["python"], "language": "julia"}, "whose language is 'julia'; qnb runs Python notebooks"),
    ],
)
def test_a_kernel_that_cannot_run_it_is_refused(edited, monkeypatch, spec, message):
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: KernelSpec(**spec))
    with pytest.raises(RunError, match=message):
        edited(lambda notebook: None)


def test_a_bare_python_is_the_one_that_qnb_runs_on_wherever_the_path_leads(edited, monkeypatch):
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda *_: KernelSpec(argv=["python"], language="python"))
    monkeypatch.setenv("PATH", "")
    assert edited(lambda notebook: None)


def test_a_notebook_that_does_not_say_its_language_runs(edited):
    def change(notebook):
        notebook["metadata"].pop("language_info", None)
        notebook["metadata"]["kernelspec"].pop("language", None)

    finished = headless.execute(edited(change, {"seed": 3}))
    assert finished.manifest["status"] == "done" and finished.manifest["seed"] == 3


def test_a_value_that_nothing_reads_is_told(edited):
    def change(notebook):
        notebook["metadata"].pop("qnb", None)
        notebook["cells"] = [parameters_cell(notebook), parameters_cell(notebook) | {"id": "uses", "source": "print(seed)"}]
        notebook["cells"][1]["metadata"] = {}

    assert edited(change, {"seed": 1, "epochs": 2}).unread == ("epochs",)
    assert edited(lambda notebook: None, {"seed": 1}).unread == ()  # begin reads them all


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nlr:\t0.1\n", "a.yaml is not YAML: line 2 has a tab where YAML takes spaces only."),
        ("seed: 1\n\tlr: 0.1\n", "a.yaml is not YAML: line 2 has a tab where YAML takes spaces only."),
        ("seed: [\n", "a.yaml is not YAML: line 2: "),
    ],
)
def test_what_is_no_yaml_is_told_by_its_line(text, message):
    with pytest.raises(ParameterError) as error:
        parse_parameters(text, "a.yaml")
    assert str(error.value).startswith(message)


def test_a_parameters_file_that_is_not_there_is_answered_with_the_nearest(root):
    (root / "params").mkdir()
    (root / "params" / "longer.yaml").write_text("")
    for given in ("params/loger.yaml", "longer.yml"):
        with pytest.raises(ParameterError, match=r"Did you mean params/longer\.yaml\?"):
            read_parameters(given)
    with pytest.raises(ParameterError, match=r"No such file or directory\.$"):
        read_parameters("nothing/like.it")


LAYERS = {"one": {}, "two": {"layers": 2}}


@pytest.mark.parametrize("arms", [{}, {"arms": LAYERS, "reference": "one"}])
def test_a_parameter_that_every_arm_overrides_is_refused(arms):
    """The arms of the notebook's default are of two measurements."""
    root = Path(__file__).parents[2]
    if arms:
        assert prepare("ablation", {"measurement": "z0"} | arms, root).config.measurement == "z0"
        return
    with pytest.raises(
        ParameterError, match=r"measurement would have no effect: every arm \(mean_z, mean_z_readout\) overrides it"
    ):
        prepare("ablation", {"measurement": "z0"}, root)
