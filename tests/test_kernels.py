"""What a notebook leaves in its kernel: no compiler, and JAX's settings as they were."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from qnb.runs.headless import execute
from qnb.runs.job import prepare
from qnb.runs.source import declared_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = {  # of each notebook those that it declares
    "data": "breast_cancer",
    "engine": "catalyst",
    "wires": 3,
    "layers": 1,
    "batch": 16,
    "epochs": 2,
    "fixed_num_batches": 3,
    "seeds": 2,
    "steps": 20,
    "rows": 4,
    "initialisations": 20,
    "training_epochs": 3,
    "repeats": 3,
    "seconds": 0.05,
    "trials": 2,
    "confirm_runs": 2,
}
CHECK = """
import sys
import jax
assert "catalyst" not in sys.modules, "the kernel has imported the compiler"
assert not jax.config.jax_enable_x64 and jax.config.jax_compilation_cache_dir is None
"""


def test_nothing_that_a_notebook_imports_imports_the_compiler():
    program = []
    for path in NOTEBOOKS:
        cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        nodes = [node for source in cells for node in ast.walk(ast.parse(source))]
        program += [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        program += [f"print({path.stem!r}, flush=True)", CHECK]
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True)
    assert done.returncode == 0, f"after {done.stdout.split()}: {done.stderr}"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the notebooks, each with a last cell that looks at its kernel, and a finished run of train."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        nb.cells.append(nbformat.v4.new_code_cell(CHECK))
        nbformat.write(nb, folder / "notebooks" / path.name)
    run(folder, "train")
    return folder


def run(project, name, **values):
    path = project / "notebooks" / f"{name}.ipynb"
    declared = declared_parameters(nbformat.read(path, as_version=4), path)
    values |= {key: value for key, value in TINY.items() if key in declared and "run" not in values}
    done = execute(prepare(name, values, root=project), log=sys.stderr)
    assert done.manifest["status"] == "done", done.manifest["failure"]
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_no_kernel_imports_the_compiler(project, name):
    if name == "suspects":
        (of_train,) = (project / "executed" / "train").iterdir()
        run(project, name, run=of_train.name)
    elif name != "train":  # that one has run
        run(project, name)
