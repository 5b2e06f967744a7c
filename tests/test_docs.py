"""What is public is documented: every module, and every function, class and method whose name says that it is for others."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qnb"
MODULES = sorted(PACKAGE.rglob("*.py"))


def undocumented(source: str) -> list[str]:
    """Public names in `source` without a docstring. Methods of classes with a base are left to the base."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
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
    assert undocumented(source) == ["a", "B.c"] and undocumented("x = 1") == ["the module"]
