"""Training state in one npz file (no pickle), written atomically after every epoch; resuming from it is
bit-identical.
"""

import functools
import io
import json
import warnings
import zipfile
from pathlib import Path

import jax
import numpy as np

from qnb.errors import QnbError
from qnb.files import CHECKPOINT, atomic_write
from qnb.runs.provenance import differences, made_by
from qnb.training.state import State

COUNTERS = ("epoch", "best_epoch", "best_value", "stale", "history", "elsewhere")

_this_process = functools.cache(made_by)  # once for all epochs


class CheckpointError(QnbError):
    """There is no readable checkpoint, or it is of another configuration or of other data."""


class OtherCodeWarning(UserWarning):
    """Training resumes with other code, or another software stack, than made its first epochs."""


def save(folder: Path, state: State, config_hash: str) -> None:
    """Write `folder`/checkpoint.npz: the state, the data's identity, and the code and stack of this process.

    Raises:
        OSError: the file cannot be written; an earlier checkpoint is left as it was.
    """
    arrays = {f"params/{k}": v for k, v in state.params.items()}
    arrays |= {f"best/{k}": v for k, v in (state.best_params or {}).items()}
    arrays |= {
        f"optimiser/{i}": np.asarray(leaf)
        for i, leaf in enumerate(jax.tree_util.tree_leaves(state.optimiser))
    }
    meta = {name: getattr(state, name) for name in COUNTERS}
    meta |= {"config_hash": config_hash, "generator": state.rng.bit_generator.state}
    meta |= {"data": state.data, "made_by": _this_process()}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    atomic_write(folder / CHECKPOINT, buffer.getvalue())


def load(folder: Path, fresh: State, config_hash: str) -> State:
    """The state in `folder`/checkpoint.npz, or in `folder` itself where it is an .npz file.

    Where other code or another stack made it, an OtherCodeWarning says what differs, and so does `elsewhere`
    of the state from then on.

    Args:
        fresh: the state at the start of the same run; its structure, data and generator are used.
        config_hash: of the configuration that resumes.

    Raises:
        CheckpointError: there is no readable checkpoint, or it is of another configuration or of other data.
    """
    path = folder if folder.suffix == ".npz" else folder / CHECKPOINT
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays["meta"].tobytes())
    except FileNotFoundError:
        raise CheckpointError(
            f"No checkpoint to go on from: {path} does not exist. Start a new run."
        ) from None
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a checkpoint of ours: {error}.") from error
    if meta["config_hash"] != config_hash:
        raise CheckpointError(
            f"{path} belongs to configuration {meta['config_hash']}, not {config_hash}: start a new run."
        )
    _require_same_data(path, meta.get("data"), fresh.data)
    elsewhere = meta.get("elsewhere", [])
    if changes := differences(meta.get("made_by") or {}, _this_process()):
        elsewhere = [
            *elsewhere,
            f"epochs up to {meta['epoch']} were made by other code: {'; '.join(changes)}",
        ]
        warnings.warn(f"{path.parent.name}: {elsewhere[-1]}.", OtherCodeWarning, stacklevel=2)
    leaves, structure = jax.tree_util.tree_flatten(fresh.optimiser)
    needed = [f"optimiser/{i}" for i in range(len(leaves))] + [f"params/{name}" for name in fresh.params]
    if absent := [name for name in needed if name not in arrays]:
        raise CheckpointError(
            f"{path} lacks {', '.join(absent)}: another version of qnb wrote it. Start a new run."
        )
    saved = [arrays[f"optimiser/{i}"] for i in range(len(leaves))]
    best = {name: arrays[f"best/{name}"] for name in fresh.params if f"best/{name}" in arrays}
    fresh.rng.bit_generator.state = meta["generator"]
    return State(
        params={name: arrays[f"params/{name}"] for name in fresh.params},
        optimiser=jax.tree_util.tree_unflatten(structure, saved),
        rng=fresh.rng,
        best_params=best or None,
        data=fresh.data,
        **{name: meta[name] for name in COUNTERS if name in meta} | {"elsewhere": elsewhere},
    )


def identity_in(folder: Path) -> dict[str, str | None] | None:
    """The `qnb.training.state.data_identity` of the data behind the checkpoint in `folder`; None where there
    is no readable one.
    """
    try:
        with np.load(folder / CHECKPOINT, allow_pickle=False) as file:
            data: dict[str, str | None] | None = json.loads(file["meta"].tobytes()).get("data")
    except (FileNotFoundError, KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile):
        return None
    return data


def _require_same_data(path: Path, there: dict[str, str | None] | None, here: dict[str, str | None]) -> None:
    """Raise CheckpointError, naming both fingerprints, where the data are not those of the checkpoint."""
    if there is None:
        raise CheckpointError(
            f"{path} does not say which data it was trained on, and they cannot be compared: start a new run."
        )
    if there["table"] != here["table"]:
        known = [str(side["table"])[:16] for side in (there, here)]
        raise CheckpointError(
            f"The table has changed since {path.parent.name} was stopped: its fingerprint was {known[0]}, "
            f"it is {known[1]} now. Bring the old table back, or start a new run."
        )
    if there["split"] != here["split"]:
        raise CheckpointError(
            f"The split has changed since {path.parent.name} was stopped, though the features have not: "
            "other rows stand on its sides (groups or times in the table, or the code that splits). "
            "Start a new run."
        )
