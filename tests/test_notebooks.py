"""The fourteen notebooks: each parameters cell is its configuration class, as papermill's own inspector reads it."""

import ast
import importlib
import logging
from pathlib import Path

import nbformat
import pytest
from papermill.inspection import inspect_notebook

from qnb.config import OptimiserConfig, StrictConfig
from qnb.reporting import tables
from qnb.runs.cells import DECLARED
from qnb.runs.source import declared_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = 51  # lines of a cell: a tall screen of JupyterLab

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def parameters_cell(nb):
    (cell,) = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def configuration(nb):
    module, cls = nb.metadata.qnb.config.split(":")
    return getattr(importlib.import_module(module), cls)


def test_there_are_fourteen():
    assert len(NOTEBOOKS) == 14


@every_notebook
def test_papermill_reads_names_defaults_and_help_of_the_configuration(path, caplog):
    config = configuration(nbformat.read(path, as_version=4))
    assert issubclass(config, StrictConfig)
    with caplog.at_level(logging.WARNING):
        found = inspect_notebook(path)
    assert not caplog.records, "papermill could not read a line"
    fields = config.model_fields
    assert set(found) == set(fields)
    for name, read in found.items():
        assert ast.literal_eval(read["default"]) == fields[name].default, name
        assert read["help"] == fields[name].description, name


@every_notebook
def test_the_cell_is_flat_in_groups_and_is_what_a_job_reads(path):
    nb = nbformat.read(path, as_version=4)
    source, config = parameters_cell(nb).source, configuration(nb)
    lines = source.splitlines()
    assert lines[0] == f"{DECLARED}{path.stem}.ipynb"
    assert list(declared_parameters(nb, path)) == list(inspect_notebook(path))
    assert not [line for line in lines if not line.strip()]
    if not issubclass(config, OptimiserConfig):  # the others describe any training
        assert len(lines) <= SHORT


@every_notebook
def test_the_notebook_begins_with_the_class_that_its_metadata_names(path):
    nb = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in nb.cells if "= begin(" in cell.source]
    tree, scope = ast.parse(cell.source), {}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), path.name, "exec"), scope)
    (call,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "begin"]
    name, cls = call.args
    assert ast.literal_eval(name) == path.stem
    assert eval(ast.unparse(cls), scope) is configuration(nb)


@every_notebook
def test_it_is_committed_without_outputs(path):
    nb = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in nb.cells)
    assert len({cell.id for cell in nb.cells}) == len(nb.cells)


@every_notebook
def test_its_parameters_are_shown_with_those_that_have_no_effect(path):
    cls = configuration(nbformat.read(path, as_version=4))
    config = cls.make({"run": "a-run"} if cls.__name__ == "DiagnosisConfig" else {})
    shown = tables.asked(config).to_html()
    assert all(name in shown for name in cls.model_fields)
    assert not [name for name in cls.model_fields if config.idle(name) and config.changed(name)]


@every_notebook
def test_a_cell_that_opens_the_report_shows_its_summary_before_anything_else(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if "summary" in cell.metadata.get("tags", []):
            body = ast.parse(cell.source).body
            calls = [ast.unparse(node.value) for node in body if isinstance(node, ast.Expr)]
            shown = [call for call in calls if call.startswith("display(")] + calls[-1:]
            assert shown[0].removeprefix("display(").startswith("summary("), shown
