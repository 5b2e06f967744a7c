"""Run folders: executed/<notebook>/<run_id>/, the files in them and their manifests.

A folder is made under its final name by an exclusive mkdir; every file in it is written to a temporary name and renamed. While a
run is alive its process holds a lock on `.lock`: a manifest that says `running` without that lock belongs to a run that was
killed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import yaml

from qnb.config import StrictConfig
from qnb.files import atomic_write, plain
from qnb.runs.project import RunError, git_state
from qnb.stack import versions

MANIFEST, METRICS, PARAMS, LOCK = "manifest.json", "metrics.json", "params.yaml", ".lock"


class Failure(TypedDict):
    """What ended a run before its time."""

    kind: str  # error, interrupted, timeout, out_of_memory, dead_kernel
    message: str
    cell: int | None  # its number in the notebook, where one is to blame


class Run:
    """One run folder, open for writing.

    Attributes:
        folder: the run folder, absolute.
        id: its name.
        config: the effective parameters (None for a notebook without a configuration class).
        resume_from: folder of the run whose checkpoint this one goes on from, or None.
        manifest: what manifest.json holds; change it through `note`.
        managed: whether another process (`qnb run`) made the folder and will write the status.
    """

    def __init__(
        self,
        folder: Path,
        config: StrictConfig | None,
        resume_from: Path | None,
        manifest: dict[str, Any],
        managed: bool = False,
    ):
        self.folder, self.id = folder, folder.name
        self.config, self.resume_from, self.manifest = config, resume_from, manifest
        self.managed = managed
        self._started = time.monotonic()
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"Run({self.folder.parent.name}/{self.id}, {self.manifest['status']})"

    def path(self, name: str) -> Path:
        """Path of a file of this run, its folder made. ValueError for a name that leads out of the run folder."""
        path = self.folder / name
        if ".." in path.parts or not path.is_relative_to(self.folder):
            raise ValueError(f"{name!r} leads out of the run folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of this run, whole or not at all; returns its path."""
        path = self.path(name)
        atomic_write(path, data)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """As write_bytes, in UTF-8."""
        return self.write_bytes(name, text.encode("utf-8"))

    def write_json(self, name: str, value: Any) -> Path:
        """As write_bytes, as JSON; arrays become lists, NaN and infinity null."""
        return self.write_text(name, json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")

    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds; empty before `finish`."""
        path = self.folder / METRICS
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def note(self, **items: Any) -> None:
        """Merge items into the manifest, the data card or the gate's verdict say."""
        self.manifest.update(plain(items))
        self.write_json(MANIFEST, self.manifest)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json and, with it, the status `done` (under `qnb run` that follows when the notebook has ended)."""
        self.write_json(METRICS, metrics)
        if not self.managed:
            self.close("done")

    def close(self, status: str, failure: Failure | None = None) -> None:
        """Give the run its final status: done, failed or interrupted. The lock goes with it."""
        files = sorted(
            p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file() and not _hidden(p, self.folder)
        )
        self.note(
            status=status, failure=failure, ended=_now(), wall_seconds=round(time.monotonic() - self._started, 3), files=files
        )
        self.unlock()

    def lock(self) -> None:
        """Show that this run is alive, until `unlock`, or the end of this process however it ends."""
        if self._lock is None:
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let go of the lock, if it is held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def create(
    root: Path,
    notebook: str,
    config: StrictConfig | None,
    parameters: dict[str, Any] | None = None,
    **items: Any,
) -> Run:
    """Make a run folder with its manifest (status `running`) and params.yaml, and hold its lock.

    `parameters` stand in for `config` where a notebook has no configuration class; `items` go into the manifest.

    Raises:
        RunError: executed/ cannot be written.
    """
    values = plain(config if config is not None else parameters or {})
    digest = config.hash() if config is not None else hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]
    try:
        folder = _new_folder(root / "executed" / notebook, _run_id(values.get("seed"), digest))
        run = Run(folder, config, None, {})
        run.lock()
        run.note(
            run_id=run.id,
            notebook=notebook,
            status="running",
            failure=None,
            **describe(config, values, digest),
            git=git_state(root),
            versions=versions(),
            data=None,
            gate=None,
            started=_now(),
            ended=None,
            wall_seconds=None,
            **{"resumed_from": None, **items},
        )
        run.write_text(PARAMS, params_yaml(values))
    except OSError as error:
        raise RunError(f"Cannot write a run folder in {root / 'executed' / notebook}: {error.strerror or error}.") from None
    return run


def reopen(folder: Path, config: StrictConfig, resume_from: Path | None) -> Run:
    """The run that another process made and watches, opened for its notebook, whose word on the parameters counts."""
    run = Run(folder, config, resume_from, json.loads((folder / MANIFEST).read_text("utf-8")), managed=True)
    run.note(**describe(config, plain(config), config.hash()))
    run.write_text(PARAMS, params_yaml(plain(config)))
    return run


def describe(config: StrictConfig | None, values: dict[str, Any], digest: str) -> dict[str, Any]:
    """The manifest's entries about parameters: class name, effective values, hash, seed."""
    name = type(config).__name__ if config is not None else None
    return {"config": name, "parameters": values, "hash": digest, "seed": values.get("seed")}


def params_yaml(values: dict[str, Any]) -> str:
    """Parameters as the YAML that `papermill -f` and `qnb run -f` read back."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _run_id(seed: int | None, digest: str) -> str:
    now = datetime.now(UTC)
    stamp = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
    return "-".join([stamp, *([f"s{seed}"] if seed is not None else []), digest])


def _new_folder(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise RunError(f"{parent} already holds 999 runs named {name}.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)


def is_live(folder: Path) -> bool:
    """Whether a process holds the lock of this run. A lock that cannot be examined counts as held."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two lists at once do not see each other
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
