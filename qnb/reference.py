"""Executed notebooks for readers: without traces of the machine that made them, and a small picture of each.

python -m qnb.reference RUN_ID[=NAME] ... puts the notebook of each run into executed/reference/ and its
picture into docs/thumbnails/, under NAME, else its own name.
"""

import base64
import io
import re
import sys

import nbformat
from PIL import Image

from qnb.files import NOTEBOOK, REPORT, atomic_write
from qnb.runs.html import as_html
from qnb.runs.listing import find_run
from qnb.runs.project import find_root

LIMIT = 1_000_000  # bytes of a reference notebook
TAG = "thumbnail"  # of the cell whose figure stands for the notebook
WIDTH = 360  # pixels of a thumbnail, and at most as many high; a README shows it at half of that
PLACES = re.compile(r"(?<![\w.])/(?:root|home|tmp|work|Users|opt|usr|var|mnt)\b[^\s\"'<>),;:\\]*/?")
ADDRESSES = re.compile(r"\b(?:https?|file)://[^\s\"'<>),\\]+")
LIMITED = ("text/plain", "text/html", "text/markdown")


def scrub(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without folders, addresses and times of this machine in its outputs.

    Its sources are as they were.

    A path keeps its last part. What it is told to keep: the versions and the numbers.
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


def publish(run_id: str, name: str = "") -> None:
    """Put the notebook and report of a finished run into executed/reference/, under `name`, else that of the
    notebook.

    Raises:
        RunError: there is no such run.
        ValueError: the notebook is larger than LIMIT, or has no figure for a thumbnail.
    """
    root = find_root()
    entry = find_run(root, run_id)
    nb = scrub(nbformat.read(root / entry["folder"] / NOTEBOOK, as_version=4))
    text = (nbformat.writes(nb) + "\n").encode()
    if len(text) > LIMIT:
        raise ValueError(f"{entry['notebook']} has {len(text):,} bytes; at most {LIMIT:,} are shipped.")
    name = name or entry["notebook"]
    folder, pictures = root / "executed" / "reference", root / "docs" / "thumbnails"
    for place in (folder, pictures):
        place.mkdir(parents=True, exist_ok=True)
    atomic_write(pictures / f"{name}.png", thumbnail(nb))
    atomic_write(folder / f"{name}.ipynb", text)
    atomic_write(folder / f"{name}.{REPORT}", as_html(nb, f"{name} (reference)").encode())
    print(f"executed/reference/{name}.ipynb, {len(text):,} bytes")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        publish(*argument.split("=", 1))
