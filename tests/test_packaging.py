"""The promises that files make to each other: public names, notebooks without outputs, no address or path of a machine."""

import ast
import importlib
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

import qnb

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REFERENCES = sorted((ROOT / "executed" / "reference").glob("**/*.ipynb"))


def test_type_checkers_are_told_every_public_name_and_where_it_is():
    assert (ROOT / "qnb" / "py.typed").exists()
    stub = ast.parse(Path(qnb.__file__).with_suffix(".pyi").read_text())
    told = {alias.asname: node.module for node in stub.body for alias in node.names}
    assert sorted(told) == sorted(qnb.__all__)
    for name, module in told.items():
        assert getattr(qnb, name) is getattr(importlib.import_module(f"qnb.{module}"), name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_committed_without_outputs(path):
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, f"{path.name}: strip the outputs before committing"
    (cell,) = [c for c in nb.cells if "parameters" in c.metadata.get("tags", [])]
    assert cell.source.startswith(f"# Parameters of {path.name}")
    assert len([c for c in nb.cells if "thumbnail" in c.metadata.get("tags", [])]) == 1
    assert nb.metadata["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", REFERENCES, ids=lambda p: p.stem)
def test_reference_notebooks_are_small_executed_and_name_no_machine(path):
    text = path.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"/(home|root|Users|work|tmp|opt|var)/|https?://(?!(doi|arxiv)\.)\S*(pypi|simple|index)", text)
    nb = json.loads(text)
    code = [c for c in nb["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] for c in code)
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"]


def test_no_tracked_file_names_this_machine_or_is_large():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, tracked):
        path = ROOT / name
        if not path.exists():
            continue  # removed in the working tree
        assert path.stat().st_size < 1_500_000, name
        if path.suffix not in {".png", ".npz"}:
            assert str(ROOT) not in path.read_text("utf-8"), name
