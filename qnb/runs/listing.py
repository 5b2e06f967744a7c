"""The index over all run folders: every run with its true status, and one run found by its id."""

import difflib
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qnb.runs.folder import MANIFEST, METRICS, is_altered
from qnb.runs.liveness import liveness
from qnb.runs.project import RunError, find_root

Entry = dict[str, Any]  # what `list_runs` says of a run: its manifest, and four keys more
LATEST = "latest"
NOT_NOTEBOOKS = ("reference",)  # executed/reference/ holds notebooks for readers, not run folders


class SkippedWarning(UserWarning):
    """Something in executed/ was left out, because it cannot be read as a run or as a folder of runs."""


def list_runs(root: Path | None = None) -> list[Entry]:
    """Every run folder of the project, oldest first: its manifest, with these keys corrected or added.

    `status`: as in the manifest, but `killed` for a run that claims to be running and is not alive, and
    `broken` for one whose files are missing or unreadable, or whose metrics.json has been altered; `why`:
    what happened to a run that is not done, or that diverged; `metrics`: the content of metrics.json;
    `folder`: relative to the project; `notebook` and `run_id`: from the folder's path.

    What cannot be read at all (a folder without permission, a name that is not UTF-8) is left out, with a
    SkippedWarning that names it.

    Raises:
        RunError: there is no project, or executed/ cannot be read.
    """
    root = root or find_root()
    executed = root / "executed"
    try:
        notebooks = _folders(executed) if executed.exists() or executed.is_symlink() else []
    except OSError as error:
        raise RunError(f"Cannot read {executed}: {error.strerror}.") from None
    folders = [
        folder
        for notebook in notebooks
        if notebook.name not in NOT_NOTEBOOKS
        for folder in _readable(notebook)
    ]
    return sorted((_entry(folder, root) for folder in folders), key=_age)


def _age(entry: Entry) -> tuple[str, str, str]:
    """Sorts runs by when they began, as manifests say, or else their names; a copy stands beside its run."""
    began = re.sub(r"[-:]", "", str(entry.get("started") or "").partition("+")[0])
    return began or entry["run_id"], entry["run_id"], entry["notebook"]


def _readable(notebook: Path) -> list[Path]:
    try:
        return _folders(notebook)
    except OSError as error:
        _skip(notebook, error.strerror)
        return []


def _folders(parent: Path) -> list[Path]:
    """The folders in a folder whose names are text and not hidden. OSError if it cannot be read."""
    folders = []
    for path in parent.iterdir():
        try:
            path.name.encode()
            if path.is_dir() and not path.name.startswith("."):
                folders.append(path)
        except UnicodeEncodeError:
            _skip(path, "its name is not UTF-8")
        except OSError as error:
            _skip(path, error.strerror)
    return folders


def _skip(path: Path, why: str | None) -> None:
    name = f"{path.parent.name}/{path.name}".encode(errors="surrogateescape").decode(
        errors="backslashreplace"
    )
    warnings.warn(f"{name} is left out: {why}.", SkippedWarning, stacklevel=4)


def _entry(folder: Path, root: Path) -> Entry:
    # before the manifest is read: a run that ends in between is done, not killed
    alive, judged = liveness(folder)
    entry: Entry = {"status": "broken", "why": None, "metrics": {}}
    try:
        manifest = _read_object(folder / MANIFEST)
        entry |= manifest | {"metrics": _read_object(folder / METRICS) if (folder / METRICS).exists() else {}}
        missing = [name for name in manifest.get("files") or () if not (folder / name).exists()]
        if manifest["status"] == "running" and alive is False:
            entry |= {
                "status": "killed",
                "why": "its process ended without a final status" + (f" ({judged})" if judged else ""),
            }
        elif manifest["status"] == "running":
            entry["why"] = judged
        elif missing:
            entry |= {"status": "broken", "why": f"missing: {', '.join(missing)}"}
        elif is_altered(folder, METRICS, manifest):
            why = f"{METRICS} is not the file that the run wrote"
            entry |= {"status": "broken", "why": why, "metrics": {}}
        elif manifest["status"] == "done" and entry["metrics"].get("diverged"):
            entry["why"] = f"diverged: {entry['metrics']['diverged']}"
        elif manifest["failure"]:
            entry["why"] = f"{manifest['failure']['kind']}: {manifest['failure']['message']}"
    except FileNotFoundError as error:
        starting = alive is not False and Path(error.filename).name == MANIFEST
        entry |= (
            {"status": "running"}
            if starting
            else {"status": "broken", "why": f"no {Path(error.filename).name}"}
        )
    except KeyError as error:
        entry |= {"status": "broken", "why": f"{MANIFEST} has no {error}"}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        entry |= {"status": "broken", "why": f"{type(error).__name__}: {error}"}
    return entry | {
        "notebook": folder.parent.name,
        "run_id": folder.name,
        "folder": folder.relative_to(root).as_posix(),
    }


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no object")
    return value


def find_run(root: Path, run_id: str) -> Entry:
    """The entry of `list_runs` that `run_id` names.

    Args:
        root: the project.
        run_id: a run id or an unambiguous beginning of one; `notebook/run_id`; the path of a run folder, as
            `qnb run` prints it, or of a file in it; or `latest`, `notebook/latest`: the run that began last.

    Raises:
        RunError: there is none (with the nearest), or more than one.
    """
    entries = list_runs(root)
    notebook, _, wanted = run_name(root, run_id).rpartition("/")
    if notebook:
        entries = [e for e in entries if e["notebook"] == notebook]
    if wanted == LATEST and (begun := [e for e in entries if e.get("started")]):
        return begun[-1]
    hits = [e for e in entries if e["run_id"] == wanted] or [
        e for e in entries if wanted and e["run_id"].startswith(wanted)
    ]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise RunError(
            f"Run {run_id!r} is ambiguous: {', '.join(e['notebook'] + '/' + e['run_id'] for e in hits[:5])}."
        )
    close = difflib.get_close_matches(wanted, [e["run_id"] for e in entries], n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise RunError(f"No run {run_id!r} in {root / 'executed'}. {hint}`qnb runs` lists all {len(entries)}.")


def columns_of_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as lines, each column padded to its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def run_name(root: Path, text: str) -> str:
    """`notebook/run_id` for a path into executed/, relative to the project or to the working directory; text
    without a slash as it is.

    Raises:
        RunError: the path is in no run folder of this project.
    """
    if "/" not in text:
        return text
    executed = (root / "executed").resolve()
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise RunError(f"{text} is no path: {error}") from None
    for candidate in (path, root / path):
        resolved = candidate.resolve()
        if (
            candidate.exists()
            and resolved.is_relative_to(executed)
            and len(resolved.relative_to(executed).parts) > 1
        ):
            return "/".join(resolved.relative_to(executed).parts[:2])
    if path.is_absolute() or path.exists():
        raise RunError(f"{text} is in no run folder of {executed}. Name the project of that run with --root.")
    parts = [part for part in path.parts if part not in (".", "executed")]
    return "/".join(parts[:2])
