"""Executed notebooks for readers: without traces of the machine that ran them, each with a thumbnail."""

import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

from qnb.files import NOTEBOOK, REPORT, RESULTS, atomic_write
from qnb.runs.folder import METRICS
from qnb.runs.html import as_html

SHIPPED = Path("executed") / "reference"
LIMIT = 1_000_000  # bytes of a reference notebook
TAG = "thumbnail"  # of the cell whose figure stands for the notebook
WIDTH = 360  # pixels of a thumbnail, and at most as many high; a README shows it at half of that
PLACES = re.compile(r"(?<![\w.])/(?:root|home|tmp|work|Users|opt|usr|var|mnt)\b[^\s\"'<>),;:\\]*/?")
ADDRESSES = re.compile(r"\b(?:https?|file)://[^\s\"'<>),\\]+")
LIMITED = ("text/plain", "text/html", "text/markdown")


def scrub(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy of the notebook whose outputs hold no folders, addresses and execution times of this machine.

    Of a path the last part remains, of addresses those of pennylane.ai and arxiv.org. Sources are unchanged.
    """
    nb = nbformat.from_dict(nb)
    nb.metadata.pop("papermill", None)
    for cell in nb.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = _clean(output["text"])
            for kind in LIMITED:
                if kind in output.get("data", {}):
                    output["data"][kind] = _clean(output["data"][kind])
    return nb


def _clean(text: str) -> str:
    text = ADDRESSES.sub(lambda m: m[0] if "pennylane.ai" in m[0] or "arxiv.org" in m[0] else "…", text)
    return PLACES.sub(lambda m: m[0].rstrip("/").rsplit("/", 1)[-1], text)


def thumbnail(nb: nbformat.NotebookNode) -> bytes:
    """The first figure of the cell tagged `thumbnail`, WIDTH pixels wide or less, as PNG.

    Raises:
        ValueError: no such cell has shown a figure.
    """
    shown = (
        o["data"]
        for c in nb.cells
        if TAG in c.metadata.get("tags", [])
        for o in c.get("outputs", [])
        if "data" in o
    )
    figure = next((data["image/png"] for data in shown if "image/png" in data), None)
    if figure is None:
        raise ValueError(
            f"No cell tagged {TAG!r} has shown a figure: tag one in the notebook's source, and run it again."
        )
    image = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
    image.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def stamped(nb: nbformat.NotebookNode, stamp: dict[str, str]) -> nbformat.NotebookNode:
    """The scrubbed notebook, with the stamp in its metadata."""
    nb = scrub(nb)
    nb.metadata.setdefault("qnb", {})["reference"] = stamp
    return nb


def text_of(nb: nbformat.NotebookNode, name: str) -> bytes:
    """The file of a notebook that is shipped as `name`.

    Raises:
        ValueError: it is larger than LIMIT.
    """
    text: bytes = (nbformat.writes(nb) + "\n").encode()
    if len(text) > LIMIT:
        raise ValueError(f"{name} has {len(text):,} bytes; at most {LIMIT:,} are shipped.")
    return text


def publish(folder: Path, name: str, root: Path, stamp: dict[str, str]) -> None:
    """Put a finished run into executed/reference/: NAME.ipynb, NAME.report.html, NAME.json (its metrics)
    and, for an ablation, NAME.csv (its results); and its thumbnail into docs/thumbnails/.

    Args:
        folder: the run folder.
        name: the name under which it is published.
        root: the project.
        stamp: kept in the notebook's metadata: code, commit, run.

    Raises:
        ValueError: the notebook is larger than LIMIT, or has no figure for a thumbnail.
    """
    nb = stamped(nbformat.read(folder / NOTEBOOK, as_version=4), stamp)
    text = text_of(nb, name)
    picture, shipped = thumbnail(nb), root / SHIPPED
    shipped.mkdir(parents=True, exist_ok=True)
    atomic_write(root / "docs" / "thumbnails" / f"{name}.png", picture)
    atomic_write(shipped / f"{name}.{REPORT}", as_html(nb, f"{name} (reference)").encode())
    atomic_write(shipped / f"{name}.json", _clean((folder / METRICS).read_text("utf-8")).encode())
    if (folder / RESULTS).exists():
        atomic_write(shipped / f"{name}.csv", _clean((folder / RESULTS).read_text("utf-8")).encode())
    atomic_write(shipped / f"{name}.ipynb", text)  # last: with its stamp the report is done


def stamp_of(name: str, root: Path) -> dict[str, str]:
    """The stamp of a published report; empty where there is none."""
    path = root / SHIPPED / f"{name}.ipynb"
    if not path.exists():
        return {}
    stamp: dict[str, str] = nbformat.read(path, as_version=4).metadata.get("qnb", {}).get("reference", {})
    return stamp
