"""The project a run belongs to, and where it is.

A project is a checkout of qnb: a folder with notebooks/ and a pyproject.toml that names the project qnb.
Notebooks and run folders live there, never in the installed package.
"""

import importlib.metadata
import json
import tomllib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from qnb.errors import QnbError

# the project of this kernel's run, where `qnb run` made it (see qnb.runs.kernel.attach)
attached: Path | None = None


class RunError(QnbError):
    """A run cannot be started, found, resumed or saved; the message says why."""


def find_root(start: str | Path | None = None) -> Path:
    """The project at or above `start`, otherwise the checkout that pip installed qnb from.

    Args:
        start: a folder; None: under `qnb run` the project of this kernel's run is returned, elsewhere the
            search starts in the working directory.

    Raises:
        RunError: neither is a project.
    """
    if start is None and attached is not None:
        return attached
    try:
        here = Path(start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise RunError("The working directory has been deleted: change to another one.") from None
    for folder in (here, *here.parents, *_checkouts_installed_from()):
        if is_project(folder):
            return folder
    raise RunError(
        f"No qnb project at or above {here}, and qnb was not installed from a checkout that still exists. "
        "Give it with --root DIR (qnb) or --cwd DIR (papermill)."
    )


def given_root(root: str | Path | None) -> Path:
    """The project given with --root, as an absolute path; None: the one that `find_root` finds.

    Raises:
        RunError: the folder given has no notebooks/, or no project was found.
    """
    if root is None:
        return find_root()
    if not (Path(root) / "notebooks").is_dir():
        raise RunError(f"--root {root}: expected a folder with notebooks/ in it.")
    return Path(root).resolve()


def is_project(folder: Path) -> bool:
    """Whether `folder` has notebooks/ and a pyproject.toml whose project name is qnb."""
    if not (folder / "notebooks").is_dir():
        return False
    try:
        pyproject = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
        return bool(pyproject.get("project", {}).get("name") == "qnb")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False


def _checkouts_installed_from() -> list[Path]:
    """The folder in pip's record of where qnb came from (PEP 610), if it was a folder."""
    try:
        record = importlib.metadata.distribution("qnb").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return []
    url = urlsplit(json.loads(record)["url"]) if record else None
    return [Path(url2pathname(url.path))] if url and url.scheme == "file" else []
