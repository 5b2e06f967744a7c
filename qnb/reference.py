"""Executed notebooks for readers: without traces of the machine that made them.

python -m qnb.reference RUN_ID[=NAME] ... puts the notebook of each run into executed/reference/, under NAME, else its own name.
"""

import re
import sys

import nbformat

from qnb.files import atomic_write
from qnb.headless import NOTEBOOK, REPORT
from qnb.project import find_root
from qnb.report import as_html
from qnb.runs import find_run

LIMIT = 1_000_000  # bytes of a reference notebook
PLACES = re.compile(r"(?<![\w.])/(?:root|home|tmp|work|Users|opt|usr|var|mnt)\b[^\s\"'<>),;:\\]*/?")
ADDRESSES = re.compile(r"\b(?:https?|file)://[^\s\"'<>),\\]+")
LIMITED = ("text/plain", "text/html", "text/markdown")


def scrub(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without folders, addresses and times of this machine in its outputs; its sources are as they were.

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


def publish(run_id: str, name: str = "") -> None:
    """Put the notebook and report of a finished run into executed/reference/, under `name`, else that of the notebook.

    Raises:
        RunError: there is no such run.
        ValueError: the notebook is larger than LIMIT.
    """
    root = find_root()
    entry = find_run(root, run_id)
    nb = scrub(nbformat.read(root / entry["folder"] / NOTEBOOK, as_version=4))
    text = (nbformat.writes(nb) + "\n").encode()
    if len(text) > LIMIT:
        raise ValueError(f"{entry['notebook']} has {len(text):,} bytes; at most {LIMIT:,} are shipped.")
    name = name or entry["notebook"]
    folder = root / "executed" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / f"{name}.ipynb", text)
    atomic_write(folder / f"{name}.{REPORT}", as_html(nb, f"{name} (reference)").encode())
    print(f"executed/reference/{name}.ipynb, {len(text):,} bytes")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        publish(*argument.split("=", 1))
