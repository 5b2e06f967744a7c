"""The index over all run folders: every run with its true status, and one run found by its id."""

import difflib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qnb.runs.folder import MANIFEST, METRICS, is_live
from qnb.runs.project import RunError, find_root

Entry = dict[str, Any]  # what `list_runs` says of a run: its manifest, and four keys more
NOT_NOTEBOOKS = ("reference",)  # executed/reference/ holds notebooks for readers, not run folders


def list_runs(root: Path | None = None) -> list[Entry]:
    """Every run folder of the project, oldest first, each as its manifest with four keys put right or added.

    `status` as in the manifest, but `killed` for a run that is no longer alive, and `broken` for a folder that does not hold what
    it should; `why` says what happened to a run that is not done; `metrics` is what metrics.json holds; `folder` is relative
    to the project.

    Raises:
        RunError: there is no project, or executed/ cannot be read.
    """
    root = root or find_root()
    try:
        folders = list(_run_folders(root / "executed"))
    except OSError as error:
        raise RunError(f"Cannot read {error.filename}: {error.strerror}.") from None
    return sorted((_entry(folder, root) for folder in folders), key=lambda e: (e["run_id"], e["notebook"]))


def _run_folders(executed: Path) -> Iterator[Path]:
    for notebook in executed.iterdir() if os.path.lexists(executed) else ():
        if notebook.is_dir() and notebook.name not in NOT_NOTEBOOKS and not notebook.name.startswith("."):
            yield from (f for f in notebook.iterdir() if f.is_dir() and not f.name.startswith("."))


def _entry(folder: Path, root: Path) -> Entry:
    live = is_live(folder)  # before the manifest is read: a run that ends in between is done, not killed
    entry: Entry = {"status": "broken", "why": None, "metrics": {}}
    try:
        manifest = _read_object(folder / MANIFEST)
        entry |= manifest | {"metrics": _read_object(folder / METRICS) if (folder / METRICS).exists() else {}}
        missing = [name for name in manifest.get("files") or () if not (folder / name).exists()]
        if manifest["status"] == "running" and not live:
            entry |= {"status": "killed", "why": "its process ended without a final status"}
        elif missing:
            entry |= {"status": "broken", "why": f"missing: {', '.join(missing)}"}
        elif manifest["failure"]:
            entry["why"] = f"{manifest['failure']['kind']}: {manifest['failure']['message']}"
    except FileNotFoundError as error:
        starting = live and Path(error.filename).name == MANIFEST
        entry |= {"status": "running"} if starting else {"status": "broken", "why": f"no {Path(error.filename).name}"}
    except KeyError as error:
        entry |= {"status": "broken", "why": f"{MANIFEST} has no {error}"}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        entry |= {"status": "broken", "why": f"{type(error).__name__}: {error}"}
    return entry | {"notebook": folder.parent.name, "run_id": folder.name, "folder": folder.relative_to(root).as_posix()}


def _read_object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no object")
    return value


def find_run(root: Path, run_id: str) -> Entry:
    """The entry of list_runs whose run id is `run_id` or, alone, begins with it; `notebook/run_id` is understood too.

    Raises:
        RunError: there is none (with the nearest), or more than one.
    """
    entries = list_runs(root)
    notebook, _, wanted = run_id.rpartition("/")
    if notebook:
        entries = [e for e in entries if e["notebook"] == notebook]
    found = [e for e in entries if e["run_id"] == wanted] or [e for e in entries if wanted and e["run_id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunError(f"Run {run_id!r} is ambiguous: {', '.join(e['notebook'] + '/' + e['run_id'] for e in found[:5])}.")
    close = difflib.get_close_matches(wanted, [e["run_id"] for e in entries], n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise RunError(f"No run {run_id!r} in {root / 'executed'}. {hint}`qnb runs` lists all {len(entries)}.")


def columns_of_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as lines, each column padded to its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
