"""What is public is documented; what a text names is there: modules, classes, functions, files."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "qnb"
MODULES = sorted(PACKAGE.rglob("*.py"))
PATTERNS = ("README.md", "CHANGELOG.md", "docs/*.md", "notebooks/*.ipynb", "params/*", "benchmarks/*.py", "qnb/**/*.py")
TEXTS = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]


def undocumented(source: str) -> list[str]:
    """Public names in `source` without a docstring. Methods of classes with a base are left to the base."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["the module"]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            found += [] if ast.get_docstring(node) else [node.name]
            if isinstance(node, ast.ClassDef) and not node.bases:
                methods = [m for m in node.body if isinstance(m, kinds) and not m.name.startswith("_")]
                found += [f"{node.name}.{m.name}" for m in methods if not ast.get_docstring(m)]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_public_name_has_a_docstring(path):
    assert not undocumented(path.read_text("utf-8"))


def test_the_check_finds_what_is_missing():
    source = '"""m"""\ndef a(): pass\nclass B:\n    """b"""\n    def c(self): pass\n    def _d(self): pass\ndef _e(): pass\n'
    assert undocumented(source) == ["a", "B.c"] and undocumented("x = 1") == undocumented("") == ["the module"]


def missing(text: str) -> list[str]:
    """What a text names but the project does not have: dotted names of qnb, and files of qnb/, tests/ and benchmarks/."""
    names = set(re.findall(r"(?<![\w./-])qnb(?:\.[A-Za-z_]\w*)+", text))
    files = set(re.findall(r"(?<![\w./-])(?:qnb|tests|benchmarks)/[\w/]*(?:\.pyi?)?(?![\w.*{-])", text))
    return sorted([name for name in names if not exists(name)] + [file for file in files if not (ROOT / file).exists()])


def exists(name: str) -> bool:
    """Whether the longest module at the beginning of a dotted name has the rest of it, annotated fields included."""
    parts = name.split(".")
    length = max(n for n in range(1, len(parts) + 1) if is_module(ROOT.joinpath(*parts[:n])))
    value = importlib.import_module(".".join(parts[:length]))
    for part in parts[length:]:
        if not hasattr(value, part):
            return part in getattr(value, "__annotations__", {})
        value = getattr(value, part)
    return True


def is_module(path: Path) -> bool:
    """Whether a path without suffix is that of a module or of a package."""
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_text_names_is_there(path):
    assert not missing(path.read_text("utf-8"))


def test_the_check_finds_what_has_moved():
    text = "`qnb.core.gate.check_gradient`, qnb/core/gate.py, `qnb.gate.check_gradient`, `qnb.core.gate.chek`, (qnb/gate.py)."
    assert missing(text) == ["qnb.core.gate.chek", "qnb.gate.check_gradient", "qnb/gate.py"]
