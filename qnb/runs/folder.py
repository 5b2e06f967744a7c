"""Run folders: executed/<notebook>/<run_id>/, the files in them and their manifests.

A folder is created under its final name by an exclusive mkdir; every file in it is written to a temporary
name and renamed. While a run is alive its process holds a lock on `.lock`: a manifest that says `running`
without that lock belongs to a run that was killed.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import yaml

from qnb import own
from qnb.config import StrictConfig
from qnb.files import HISTORY, atomic_write, plain
from qnb.runs.liveness import Lock
from qnb.runs.project import RunError
from qnb.runs.provenance import differences, made_by

MANIFEST, METRICS, PARAMS = "manifest.json", "metrics.json", "params.yaml"


class Failure(TypedDict):
    """Why a run ended early."""

    kind: str  # error, interrupted, timeout, out_of_memory, dead_kernel, no_kernel
    message: str
    cell: int | None  # execution count of the cell that failed, if one did


class Run:
    """One run folder, open for writing.

    Attributes:
        folder: the run folder, absolute.
        id: its name.
        config: the effective parameters; None for a notebook without a configuration class.
        resume_from: folder of the run whose checkpoint this one resumes from, or None.
        manifest: the content of manifest.json; change it through `note`.
        managed: whether another process (`qnb run`) created the folder and will write the status.
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
        self._lock: Lock | None = None

    def __repr__(self) -> str:
        return f"Run({self.folder.parent.name}/{self.id}, {self.manifest['status']})"

    def path(self, name: str) -> Path:
        """Path of a file of this run; its parent folder is created.

        Raises:
            ValueError: the name leads out of the run folder.
        """
        path = self.folder / name
        if ".." in path.parts or not path.is_relative_to(self.folder):
            raise ValueError(f"{name!r} leads out of the run folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of this run atomically; returns its path.

        Raises:
            ValueError: the name leads out of the run folder.
            OSError: it cannot be written.
        """
        path = self.path(name)
        atomic_write(path, data)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """As `write_bytes`, in UTF-8."""
        return self.write_bytes(name, text.encode("utf-8"))

    def write_json(self, name: str, value: Any) -> Path:
        """As `write_bytes`, as JSON; arrays become lists, NaN and infinity null."""
        return self.write_text(
            name, json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        )

    def keep_texts(self) -> None:
        """Write the texts of the user's own circuit parts into source/, for readers; they are never run from
        there.
        """
        entries = []
        for part in own.parts_of(self.config or {}):
            name = f"source/{part.name}-{part.sha256[: own.DIGITS]}.py"
            self.write_text(name, part.text)
            entries.append({"part": str(part), "file": part.file, "sha256": part.sha256, "text": name})
        if entries:
            self.note(own=entries)

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json; {} before `finish`."""
        path = self.folder / METRICS
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def note(self, **items: Any) -> None:
        """Merge items into the manifest, for example the data card or the gradient check."""
        self.manifest.update(plain(items))
        self.write_json(MANIFEST, self.manifest)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json and set the status `done` (under `qnb run`: when the notebook has ended).

        Raises:
            RunError: the metrics are of a training that did not write into this run: of an earlier one, in a
                kernel where `begin` was called again.
        """
        if "epochs_run" in metrics and not (self.folder / HISTORY).exists():
            raise RunError(
                f"These metrics are of another training: run {self.id} has no {HISTORY}. Run the training "
                "cell for this run."
            )
        self.write_json(METRICS, metrics)
        if not self.managed:
            self.close("done")

    def close(self, status: str, failure: Failure | None = None) -> None:
        """Give the run its final status (done, failed or interrupted) and release its lock."""
        self.note(
            status=status,
            failure=failure,
            ended=_now(),
            wall_seconds=round(time.monotonic() - self._started, 3),
            **self.inventory(),
        )
        self.unlock()

    def inventory(self) -> dict[str, Any]:
        """The manifest's entries about the files in the folder: their names, and their SHA-256 by name."""
        files = sorted(
            p.relative_to(self.folder).as_posix()
            for p in self.folder.rglob("*")
            if p.is_file() and not _hidden(p, self.folder)
        )
        return {
            "files": files,
            "sha256": {name: sha256(self.folder / name) for name in files if name != MANIFEST},
        }

    def go_on(self) -> None:
        """Set the status back to `running`, when a kernel continues after an error or an interrupt.

        Raises:
            OSError: the lock cannot be taken, or the manifest cannot be written.
        """
        self.lock()
        self.note(status="running", failure=None, ended=None, wall_seconds=None, files=None, sha256=None)

    def lock(self) -> None:
        """Take the lock that shows this run to be alive, until `unlock` or the end of this process.

        Raises:
            OSError: it cannot be taken.
        """
        if self._lock is None:
            self._lock = Lock(self.folder)

    def unlock(self) -> None:
        """Release the lock, if it is held."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def create(
    root: Path,
    notebook: str,
    config: StrictConfig | None,
    parameters: dict[str, Any] | None = None,
    **items: Any,
) -> Run:
    """Create a run folder with its manifest (status `running`) and params.yaml, and hold its lock.

    Args:
        root: the project.
        notebook: its name, without ending.
        config: the effective parameters; None where the notebook has no configuration class.
        parameters: the parameters in that case.
        **items: further entries of the manifest.

    Raises:
        RunError: executed/ cannot be written.
    """
    values = plain(config if config is not None else parameters or {})
    digest = (
        config.hash()
        if config is not None
        else hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]
    )
    folder = None
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
            **made_by(root),
            data=None,
            gate=None,
            started=_now(),
            ended=None,
            wall_seconds=None,
            **{"resumed_from": None, **items},
        )
        run.write_text(PARAMS, params_yaml(values))
        run.keep_texts()
    except OSError as error:
        if folder is not None:  # nothing is left of a run that did not begin
            shutil.rmtree(folder, ignore_errors=True)
        raise RunError(
            f"Cannot write a run folder in {root / 'executed' / notebook}: {error.strerror or error}."
        ) from None
    return run


def reopen(folder: Path, config: StrictConfig, resume_from: Path | None) -> Run:
    """The run that another process created and watches, opened in the kernel of its notebook.

    From now on the manifest names the code and stack of this process, which computes; `launched_with` lists
    how those of the other process differ.

    Raises:
        RunError: the notebook's parameters are not those that the run was created for.
    """
    run = Run(folder, config, resume_from, json.loads((folder / MANIFEST).read_text("utf-8")), managed=True)
    require_parameters(run.manifest, config)
    here = made_by(folder.parents[2])
    mismatches = differences(run.manifest, here)
    run.note(**here, **describe(config, plain(config), config.hash()), launched_with=mismatches)
    run.write_text(PARAMS, params_yaml(plain(config)))
    return run


def require_parameters(manifest: dict[str, Any], config: StrictConfig) -> None:
    """Raise RunError, naming both values of each, if a run was created for other parameters than `config`.

    If it was created without a configuration class, only the injected parameters are known and compared.
    """
    recorded, current = manifest["parameters"], plain(config)
    _refuse_others(manifest, config, {**recorded, **current} if manifest["config"] is not None else recorded)


def require_own_folder(folder: Path, config: StrictConfig) -> None:
    """Raise RunError if `folder` is that of a run with another value of a parameter of `config`.

    A folder without a manifest is accepted.
    """
    if (folder / MANIFEST).exists():
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        _refuse_others(manifest, config, [name for name in plain(config) if name in manifest["parameters"]])


def _refuse_others(manifest: dict[str, Any], config: StrictConfig, names: Iterable[str]) -> None:
    recorded, current = manifest["parameters"], plain(config)
    mismatches = [
        f"{name} = {current.get(name)!r}, but the run was made for {name} = {recorded.get(name)!r}"
        for name in names
        if recorded.get(name) != current.get(name)
    ]
    if mismatches:
        raise RunError(f"Not the parameters of run {manifest['run_id']}: {'; '.join(mismatches)}.")


def require_as_written(folder: Path, names: Iterable[str]) -> None:
    """Raise RunError if a file of a finished run has another SHA-256 than in its manifest.

    Without recorded digests nothing is checked: in a folder without a manifest, and for a run that was
    killed or is older than the digests.
    """
    if not (folder / MANIFEST).exists():
        return
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    for name in names:
        if is_altered(folder, name, manifest):
            digests = manifest["sha256"]
            raise RunError(
                f"{folder / name} is not the file that run {folder.name} wrote: its SHA-256 was "
                f"{digests[name][:16]}, it is {sha256(folder / name)[:16]} now. Bring the old file back."
            )


def is_altered(folder: Path, name: str, manifest: dict[str, Any]) -> bool:
    """Whether a file of a run has another SHA-256 than its manifest records; False where it records none."""
    digests = manifest.get("sha256") or {}
    return name in digests and digests[name] != sha256(folder / name)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(config: StrictConfig | None, values: dict[str, Any], digest: str) -> dict[str, Any]:
    """The manifest's entries about parameters: class name, effective values, those that differ from their
    defaults, hash, seed.
    """
    name = type(config).__name__ if config is not None else None
    changed = values if config is None else {k: v for k, v in values.items() if config.changed(k)}
    return {
        "config": name,
        "parameters": values,
        "changed": changed,
        "hash": digest,
        "seed": values.get("seed"),
    }


def params_yaml(values: dict[str, Any]) -> str:
    """Parameters as YAML, for `papermill -f` and `qnb run -f`."""
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
