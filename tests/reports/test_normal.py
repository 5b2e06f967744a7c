"""Sources that compute the same under other local names have one normal form, and others have not."""

import ast
import symtable
from pathlib import Path

import pytest

from qnb.reports.normal import LOOKING_IN, normal

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "qnb").rglob("*.py"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", '"""Doc."""\n\nx = 1  # one'),
        ("f(a, b)", "f(\n    a,\n    b,\n)"),
        ("x = 'a' 'b'", 'x = "ab"'),
        ("def f(x):\n a = x\n return a", 'def f(x):\n    """Doc."""\n    b = x\n    return b'),
        ("def f():\n for a in g():\n  yield a", "def f():\n for b in g():\n  yield b"),
        ("def f():\n a, *b = g()\n return b, a", "def f():\n c, *a = g()\n return a, c"),
        ("def f():\n with g() as a:\n  a += 1", "def f():\n with g() as b:\n  b += 1"),
        ("def f():\n try: g()\n except E as a: h(a)", "def f():\n try: g()\n except E as b: h(b)"),
        ("def f(x):\n match x:\n  case [a, *b]: g(a, b)", "def f(x):\n match x:\n  case [c, *d]: g(c, d)"),
        ("def f(x):\n match x:\n  case {**a}: g(a)", "def f(x):\n match x:\n  case {**b}: g(b)"),
        ("def f():\n if (a := g()): return a", "def f():\n if (b := g()): return b"),
        ("def f(y):\n any((a := x) for x in y)\n return a", "def f(x):\n any((b := z) for z in x)\n return b".replace("x", "y")),
        ("x = [a for a in y if a]", "x = [b for b in y if b]"),
        ("x = {a: b for a, b in y}", "x = {b: a for b, a in y}"),
        ("def f(a):\n a = [b for b in a]\n return a", "def f(a):\n a = [c for c in a]\n return a"),
        ("def f():\n a = 1\n return lambda x: a + x", "def f():\n b = 1\n return lambda x: b + x"),
        ("def f():\n def a(): return a\n return a", "def f():\n def b(): return b\n return b"),
        ("def f():\n a = 1\n def g():\n  b = a\n  return b", "def f():\n b = 1\n def g():\n  a = b\n  return a"),
        ("def f():\n a = 1\n return f'{a!r:>{a}} x'", "def f():\n b = 1\n return f'{b!r:>{b}} ' 'x'"),
    ],
)
def test_the_same(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 1", "y = 1"),  # seen from outside
        ("def f(a): return a", "def f(b): return b"),  # may be given by name
        ("f = lambda a: a", "f = lambda b: b"),
        ("def f(): pass", "def g(): pass"),
        ("class A:\n x = 1", "class A:\n y = 1"),
        ("def f(x): x.a = 1", "def f(x): x.b = 1"),
        ("def f(x):\n a = x\n g(a=a)", "def f(x):\n a = x\n g(b=a)"),
        ("def f():\n a = 1\n b = 2\n return a", "def f():\n a = 1\n b = 2\n return b"),
        ("def f():\n a, b = g()\n return a - b", "def f():\n b, a = g()\n return a - b"),
        ("def f():\n a = b\n return a", "def f():\n a = a\n return a"),  # a global one, and none
        ("def f():\n a = 1\n return b", "def f():\n b = 1\n return b"),
        ("def f(x=a):\n a = 1", "def f(x=b):\n b = 1"),  # a default is evaluated outside
        ("def f():\n a = 1\n def g(a): return a", "def f():\n a = 1\n def g(b): return a"),
        ("def f():\n a = 1\n def g():\n  a = 2\n  return a", "def f():\n a = 1\n def g():\n  b = 2\n  return a"),
        ("x = [a for a in b]", "x = [b for b in b if b]"),
        ("x = [a for b in c for a in b]", "x = [a for b in c for a in c]"),
        ("x = [a for a in a]", "x = [b for b in c]"),  # the first iterable is evaluated outside
        ("def f():\n global a\n a = 1", "def f():\n a = 1"),
        ("def f():\n global a\n a = 1", "def f():\n global b\n b = 1"),
        ("def f():\n a = b = 1\n def g():\n  nonlocal a\n  a = 2\n return a", "def f():\n a = b = 1\n def g():\n  nonlocal b\n  b = 2\n return a"),
        ("def f():\n import a\n return a", "def f():\n import b\n return b"),
        ("def f():\n from a import b\n return b", "def f():\n from a import c as b\n return b"),
        ("def f():\n a = 1\n return locals()", "def f():\n b = 1\n return locals()"),
        ("def f():\n a = 1\n return f'{a=}'", "def f():\n b = 1\n return f'{b=}'"),
        ("x = f'{a}b'", "x = f'{a}c'"),
        ("x = f'{a} {b}'", "x = f'{a}{b} '"),
        ("x = [a async for a in b]", "x = [a for a in b]"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(*, a): pass", "def f(a): pass"),
        ("def f(*a): pass", "def f(**a): pass"),
    ],
)  # fmt: skip
def test_not_the_same(one, other):
    assert normal(one) != normal(other)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layout_does_not_count(path):
    source = path.read_text("utf-8")
    assert normal(ast.unparse(ast.parse(source))) == normal(source)


def functions(table):
    """The symbol tables of all functions of a module."""
    for child in table.get_children():
        if child.get_type() == "function":
            yield child
        yield from functions(child)


def renamed(function, name, new):
    """The function with one of its variables called otherwise, wherever a node names it."""
    (function,) = ast.parse(ast.unparse(function)).body
    for node in ast.walk(function):
        for field in ("arg",) if isinstance(node, ast.arg) else ("id", "name", "rest"):
            if getattr(node, field, None) == name and node is not function and not isinstance(node, ast.alias):
                setattr(node, field, new)
    return function


def is_odd(function):
    """Whether names are kept in it; and a lambda's parameters are not told from its variables here."""
    kinds = ast.ClassDef | ast.Nonlocal | ast.Global | ast.Lambda
    return any(isinstance(one, kinds) or getattr(one, "id", "") in LOOKING_IN for one in ast.walk(function))


def test_local_variables_are_those_of_pythons_own_symbol_table():
    """In each function of qnb: its first variable does not count, its first parameter does. None that an inner scope binds as well."""
    tried = {"variable": 0, "parameter": 0}
    for path in MODULES:
        source = path.read_text("utf-8")
        nodes = {node.lineno: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        for function in functions(symtable.symtable(source, str(path), "exec")):
            node = nodes.get(function.get_lineno())
            if node is None or node.name != function.get_name() or is_odd(node):
                continue
            inner = {symbol.get_name() for one in functions(function) for symbol in one.get_symbols() if symbol.is_assigned()}
            own = [s for s in function.get_symbols() if s.is_local() and s.get_name() not in inner and not s.is_imported()]
            for kind in tried:
                for name in [s.get_name() for s in own if s.is_parameter() == (kind == "parameter")][:1]:
                    one, other = (normal(ast.unparse(f)) for f in (node, renamed(node, name, f"{name}_")))
                    assert (one == other) == (kind == "variable"), f"{path}: {node.name}: {name}"
                    tried[kind] += 1
    assert min(tried.values()) > 300
