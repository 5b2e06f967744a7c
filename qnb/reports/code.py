"""The digest of what decides a report: its parameters, its notebook's code, and the modules that this uses.

Comments, docstrings, layout, names of local variables (see `qnb.reports.normal`) and text cells do not count,
nor do the modules that store and show a run (KEEPING): they decide no number.
"""

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import nbformat

from qnb.files import plain
from qnb.reports.normal import normal
from qnb.reports.plan import Report

KEEPING = ("qnb.runs", "qnb.files", "qnb.errors", "qnb.studies.sweep")
NAMED = re.compile(r"qnb(\.\w+)+:\w+")
ARMS = "qnb.studies.sweep.arms"  # of the room of sweeps, what an ablation is made of


def digest(report: Report, root: Path) -> str:
    """SHA-256 (first 16 hex digits) of what decides the report, for the notebook and package under `root`.

    Raises:
        ParameterError: as `qnb.reports.plan.Report.parameters`.
    """
    cells = code_cells(root / "notebooks" / f"{report.notebook}.ipynb")
    return digest_of(json.dumps(plain(report.parameters(root)), sort_keys=True), cells, root)


def code_cells(path: Path) -> list[str]:
    """Sources of a notebook's code cells."""
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def digest_of(parameters: str, sources: Sequence[str], root: Path) -> str:
    """SHA-256 (first 16 hex digits) of parameters (as text), Python sources, and the modules of qnb under
    `root` that the sources import, directly or not.
    """
    sha256 = hashlib.sha256(parameters.encode())
    for source in sources:
        sha256.update(normal(source).encode())
    start = {module for source in sources for module in _imported(source, root)}
    for module, source in sorted(_closure(start, root).items()):
        sha256.update(f"{module}\n{normal(source)}".encode())
    return sha256.hexdigest()[:16]


def _closure(start: set[str], root: Path) -> dict[str, str]:
    """The modules of qnb that `start` imports, however far around, and their sources; without those that keep
    runs.
    """
    sources: dict[str, str] = {}
    todo = set(start)
    while todo:
        module = todo.pop()
        if module not in sources and (module == ARMS or not module.startswith(KEEPING)):
            path = root.joinpath(*module.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            sources[module] = file.read_text("utf-8")
            todo |= _imported(sources[module], root)
    return sources


def _imported(source: str, root: Path) -> set[str]:
    """The modules of qnb that `source` names."""
    return {_module_of(module, name, root) for module, name in _names(source)}


@cache
def _names(source: str) -> frozenset[tuple[str, str]]:
    """What `source` imports of qnb, module and name, inside functions too, and names as "module:name"."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {(alias.name, "") for alias in node.names if alias.name.startswith("qnb.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "qnb":
            names |= {(str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.fullmatch(node.value):
            names.add((node.value.partition(":")[0], ""))
    return frozenset(names)


def _module_of(module: str, name: str, root: Path) -> str:
    """Where `from module import name` leads."""
    path = root.joinpath(*module.split("."), name) if name else root
    if name and (path.with_suffix(".py").exists() or (path / "__init__.py").exists()):
        return f"{module}.{name}"
    return _public(root)[name] if module == "qnb" else module


@cache
def _public(root: Path) -> dict[str, str]:
    """By public name of the package, the module that holds it."""
    stub = ast.parse((root / "qnb" / "__init__.pyi").read_text("utf-8"))
    return {
        alias.name: f"qnb.{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
