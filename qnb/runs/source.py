"""A source notebook: where it is, what its cells declare, and whether its kernel is there."""

import ast
import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from qnb.config import StrictConfig
from qnb.errors import nearest
from qnb.files import plain
from qnb.runs.cells import assigned_names, literals, names_read
from qnb.runs.project import RunError


def find_notebook(root: Path, name: str) -> Path:
    """The path of the notebook called `name` in notebooks/, or at that path.

    Raises:
        RunError: there is none; the message has the nearest name.
    """
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    paths = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    stem = name.removesuffix(".ipynb")
    if stem not in paths:
        raise RunError(f"No notebook {name!r} in {root / 'notebooks'}. {nearest(stem, paths)}")
    return paths[stem]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, in version 4 of the format.

    Raises:
        RunError: the file cannot be read, or is not a notebook.
    """
    try:
        nb: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror}.") from None
    except (
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        nbformat.ValidationError,
        nbformat.reader.NotJSONError,
    ) as error:
        raise RunError(f"{path} is not a notebook: {str(error).splitlines()[0][:200]}") from None
    return nb


def _tagged(nb: nbformat.NotebookNode, tag: str) -> list[str]:
    """Sources of the cells with that tag."""
    return [cell.source for cell in nb.cells if tag in cell.metadata.get("tags", [])]


def declared_parameters(nb: nbformat.NotebookNode, path: Path) -> dict[str, ast.expr | None]:
    """Names of the parameters cell, each with the expression assigned (`qnb.runs.cells.assigned_names`);
    empty if there is no such cell.

    Raises:
        RunError: there are several, of which papermill would override only the first, or it is not Python.
    """
    cells = _tagged(nb, "parameters")
    if len(cells) > 1:
        raise RunError(
            f"{path.name} has {len(cells)} cells tagged `parameters`; papermill overrides the first alone. "
            "Tag one."
        )
    return assigned_names(cells[0]) if cells else {}


def refuse_executed(nb: nbformat.NotebookNode, path: Path, parameters: dict[str, Any]) -> None:
    """Raise RunError where the notebook holds overrides of an earlier execution: they would run under the
    name of the defaults, or be replaced by `parameters` as a whole.
    """
    overrides: dict[str, ast.expr | None] = {}
    for source in _tagged(nb, "injected-parameters"):
        overrides |= assigned_names(source)
    values, defaults = literals(overrides), literals(declared_parameters(nb, path))
    same = [name for name in values if name in defaults and plain(values[name]) == plain(defaults[name])]
    lost = [name for name in overrides if name not in parameters and name not in same]
    if lost:
        options = " ".join(f"-p {name} {values.get(name, '...')!r}" for name in lost)
        raise RunError(
            f"{path.name} is an executed notebook, with "
            f"{', '.join(f'{name} = {values.get(name)!r}' for name in lost)} injected into it. Run its "
            f"source, or give what it was given as well: {options}"
        )


def written_defaults(
    nb: nbformat.NotebookNode, path: Path, declared: dict[str, ast.expr | None], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Defaults that the parameters cell writes out.

    RunError where a checked notebook computes one, which the kernel alone would know.
    """
    values = literals(declared)
    computed = [name for name in declared if name not in values and name not in parameters]
    if computed and "config" in nb.metadata.get("qnb", {}):
        raise RunError(
            f"{path.name} computes the default of {computed[0]}: write its value out, or give one with -p "
            f"{computed[0]}."
        )
    return values


def never_read(nb: nbformat.NotebookNode, parameters: dict[str, Any]) -> tuple[str, ...]:
    """Names given that no code cell reads.

    Empty where that cannot be told: a magic, or a call that looks names up.
    """
    names: set[str] = set()
    for cell in nb.cells:
        if cell.cell_type == "code":
            try:
                names |= names_read(ast.parse(cell.source))
            except SyntaxError:
                return ()
    lookups = {"begin", "globals", "locals", "vars", "eval", "exec", "get_ipython"}
    begins = any("begin(" in cell.source for cell in nb.cells if cell.cell_type == "code")
    return () if begins or names & lookups else tuple(name for name in parameters if name not in names)


def configuration_of(nb: nbformat.NotebookNode, path: Path, values: dict[str, Any]) -> StrictConfig | None:
    """The notebook's configuration, of the class that its metadata `qnb.config` names as "module:Class".

    None where it names none.
    """
    name = nb.metadata.get("qnb", {}).get("config")
    if name is None:
        return None
    module, _, cls = str(name).partition(":")
    expected = (
        f"{path.name} names the configuration class {name!r}; expected one like 'qnb.config:TrainConfig'"
    )
    if not cls:
        raise RunError(f"{expected}.")
    try:
        config = getattr(importlib.import_module(module), cls, None)
    except ModuleNotFoundError as error:
        raise RunError(f"{expected} ({error}).") from None
    if not (isinstance(config, type) and issubclass(config, StrictConfig)):
        raise RunError(f"{expected}.")
    return config.make(values)


def require_kernel(nb: nbformat.NotebookNode, path: Path) -> None:
    """Raise RunError where the notebook's kernel is not named, not known, not Python, or has lost its
    program. Notes its language.
    """
    name = nb.metadata.get("kernelspec", {}).get("name")
    kernels = KernelSpecManager().find_kernel_specs()
    if not name:
        raise RunError(
            f"{path.name} names no kernel (metadata.kernelspec.name): open it in JupyterLab and choose one "
            f"of {', '.join(kernels)}."
        )
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise RunError(f"{path.name} asks for the kernel {name!r}. {nearest(name, kernels)}") from None
    if spec.language.lower() not in ("python", ""):
        raise RunError(
            f"{path.name} asks for the kernel {name!r}, whose language is {spec.language!r}; qnb runs Python "
            "notebooks."
        )
    program = kernel_program(spec)
    if shutil.which(program) is None:
        raise RunError(
            f"The kernel {name!r} of {path.name} starts {program}, which is not there: was its environment "
            "removed? `jupyter kernelspec list` shows where it is registered; `jupyter kernelspec remove "
            f"{name}` removes it."
        )


def kernel_program(spec: KernelSpec) -> str:
    """The interpreter that a kernel starts; for a bare `python`, jupyter_client takes its own."""
    program: str = spec.argv[0]
    return (
        sys.executable if program in ("python", "python3", f"python3.{sys.version_info.minor}") else program
    )
