"""No module imports itself, however far around. Every import counts: those inside functions and those for types alone too."""

import sys
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def imports(package: str) -> dict[str, set[str]]:
    """By module of a package the modules of it that it imports."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circle(imported: Mapping[str, Iterable[str]]) -> list[str] | None:
    """The modules of one circle, its first again at the end; None if there is none."""
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_qnb_has_no_import_circle():
    assert circle(imports("qnb")) is None


@pytest.mark.parametrize(
    "closing",
    [
        "from built.core import b",
        "def f():\n    from built.core.b import g",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import built.core.b",
    ],
    ids=["at the top", "inside a function", "for types"],
)
def test_a_circle_is_found(tmp_path, monkeypatch, closing):
    room = tmp_path / "built" / "core"
    room.mkdir(parents=True)
    for name, source in {
        "../__init__": "",
        "__init__": "",
        "a": closing,
        "b": "from built.core.c import x",
        "c": "import built.core.a",
        "d": "import built.core.a",
    }.items():
        (room / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert set(circle(imports("built"))) == {"built.core.a", "built.core.b", "built.core.c"}
    (room / "a.py").write_text("import math")
    assert circle(imports("built")) is None
    assert "built" not in sys.modules  # read, not imported
