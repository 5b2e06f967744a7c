"""Build the documentation: texts, executed reports, notebooks and the reference of the interface, as pages
that ask nothing of the outside.

    python docs/site.py [FOLDER]

Texts and notebooks become pages as reports do (`qnb.runs.html`), under the paths that they have in the
repository, so that links between them hold; pdoc writes the reference from the docstrings.
"""

import contextlib
import re
import sys
from pathlib import Path

import nbformat
import pdoc

import qnb
from qnb.runs.html import as_html

ROOT = Path(__file__).parents[1]
TEXTS = ("README.md", "CHANGELOG.md", "docs/*.md")
NOTEBOOKS = ("notebooks/*.ipynb", "executed/reference/*.ipynb")
NAVIGATION = {
    "qnb": "README.md",
    "Guide": "docs/guide.md",
    "Your own data": "docs/data.md",
    "Diagnosis": "docs/diagnosis.md",
    "Claims": "docs/claims.md",
    "Formulas": "docs/formulas.md",
    "Speed": "docs/speed.md",
    "Design": "docs/design.md",
    "Clusters": "docs/clusters.md",
    "Reports": "docs/reports.md",
    "Python interface": "api/qnb.html",
}


def build(folder: Path) -> None:
    """Write the pages into `folder`."""
    texts = {path: path.read_text("utf-8") for pattern in TEXTS for path in ROOT.glob(pattern)}
    notebooks = [path for pattern in NOTEBOOKS for path in sorted(ROOT.glob(pattern))]
    texts[ROOT / "docs" / "reports.md"] = _reports(notebooks)
    for path, text in texts.items():
        _write(folder, path, nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]))
    for path in notebooks:
        _write(folder, path, nbformat.read(path, as_version=4))
    _reference(folder / "api")


def _write(folder: Path, source: Path, nb: nbformat.NotebookNode) -> None:
    """The page of one file, below the navigation."""
    place = _page(str(source.relative_to(ROOT)))
    up = "../" * place.count("/")
    links = " · ".join(f"[{name}]({up}{_page(target)})" for name, target in NAVIGATION.items())
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(links))
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda found: f"({_page(found[1])}{found[2] or ''})", cell.source)
    page = folder / place
    page.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(source.parent):  # where a text's images are
        page.write_text(as_html(nb, source.stem), "utf-8")


# a link within the repository: (docs/guide.md#resuming)
LINK = re.compile(r"(?<=\])\((?!\w+:)([^)#\s]+\.(?:md|ipynb))(#[^)\s]*)?\)")


def _page(path: str) -> str:
    """Where the page of a file of the repository is; README.md is the first one."""
    return re.sub(r"\.(md|ipynb)$", ".html", re.sub(r"README\.md$", "index.html", path))


def _reports(notebooks: list[Path]) -> str:
    """A text that lists the executed notebooks, each by its title."""
    lines = ["# Reports", "", "Executed notebooks, as `qnb run` leaves them.", ""]
    for path in notebooks:
        if path.parent.name == "reference":
            title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")
            lines.append(f"- [{path.stem}](../executed/reference/{path.name}): {title}")
    return "\n".join(lines)


def _reference(folder: Path) -> None:
    """The interface: qnb, its modules, and its rooms."""
    vars(qnb).update((name, getattr(qnb, name)) for name in qnb.__all__)  # they are imported when first used
    package = Path(qnb.__file__).parent
    modules = [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
    rooms = [path.parent.name for path in package.glob("*/__init__.py")]
    pdoc.render.configure(docformat="google")
    pdoc.pdoc("qnb", *(f"qnb.{name}" for name in sorted([*modules, *rooms])), output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site").resolve())
