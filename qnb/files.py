"""Atomic file writes, names of a run's files, the user's cache, and conversion to JSON types."""

import math
import os
import secrets
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

NOTEBOOK, REPORT = "notebook.ipynb", "report.html"  # of a run, as it was executed
HISTORY = "history.csv"  # of a run, one row per epoch
RESULTS = "results.csv"  # of an ablation, one row per arm and seed
HISTORIES = "histories.csv"  # of an ablation, one row per arm, seed and epoch
TRIALS = "trials.csv"  # of a search, one row per trial
CHECKPOINT = "checkpoint.npz"  # of a run, the state after its last epoch
VERDICT = "verdict.json"  # of a probe, a list of verdicts


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: under a temporary name in the same folder, flushed to disk, then
    renamed.

    Raises:
        OSError: the write failed (disk full, not writable); an earlier file of that name is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(kind: str) -> Path | None:
    """~/.cache/qnb/`kind`, created if needed; None, with a warning, where it cannot be created or written.

    A cache only saves time, so qnb works without one for a user without a (writable) home.
    """
    try:
        folder = Path.home() / ".cache" / "qnb" / kind
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written")
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"qnb works without its cache of {kind}: {error}. Nothing is lost but time.", stacklevel=2
        )
        return None
    return folder


def plain(value: Any) -> Any:
    """`value` in JSON's own types: arrays and sets as lists, pydantic models as dicts, paths and times as
    text, NaN and infinity as None.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and jax, scalars too
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path | datetime | str) else value  # of a subclass, plain text
