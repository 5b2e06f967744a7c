"""Links within the repository lead somewhere; so do those of the built site, which asks nothing of the outside."""

import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


def markdown(path):
    if path.suffix == ".md":
        return path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def broken(text, folder):
    """Relative links and images of a text, seen from `folder`, that lead nowhere."""
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", re.sub(r"`[^`\n]*`", "", text))
    links = [urlsplit(a or b) for a, b in targets]
    return [link.path for link in links if not link.scheme and link.path and not (folder / link.path).exists()]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    assert not broken(markdown(path), path.parent)


def test_a_link_that_leads_nowhere_is_found():
    text = '[a](README.md#x) [b](https://example.org) [c](gone.md) <img src="gone.png"> [d](#here) `f[x](y)`'
    assert broken(text, ROOT) == ["gone.md", "gone.png"]


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name"):
                self.anchors.add(value)
            elif (tag, name) in LOADS:
                self.loads.append(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)


@pytest.mark.slow
def test_the_site_is_whole_and_asks_nothing_of_the_outside(tmp_path):
    runpy.run_path(str(ROOT / "docs" / "site.py"))["build"](tmp_path)
    pages = {path: Page(path) for path in tmp_path.rglob("*.html")}
    named = ("index.html", "docs/guide.html", "docs/formulas.html", "docs/reports.html", "executed/reference/train.html")
    assert {tmp_path / name for name in (*named, "api/qnb.html", "api/qnb/core.html")} <= set(pages)
    for path, page in pages.items():
        assert not [load for load in page.loads if urlsplit(load).scheme != "data"], path
        for link in map(urlsplit, page.links):
            if link.scheme:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            assert target.exists(), (path, link.path)
            own = "api" not in target.parts  # pdoc also links to classes that it leaves out
            if link.fragment and own and target in pages:
                # a browser looks for the fragment as it is, then decoded
                assert {link.fragment, unquote(link.fragment)} & pages[target].anchors, (path, link.geturl())
