"""Training state in one npz file, written whole after every epoch; loading it goes on bit for bit.

No pickle.
"""

import io
import json
import zipfile
from pathlib import Path

import jax
import numpy as np

from qnb.errors import QnbError
from qnb.files import CHECKPOINT, atomic_write
from qnb.training.state import State

COUNTERS = ("epoch", "best_epoch", "best_value", "stale", "history")


class CheckpointError(QnbError):
    """There is no checkpoint, or it belongs to another configuration."""


def save(folder: Path, state: State, config_hash: str) -> None:
    """Write `folder`/checkpoint.npz."""
    arrays = {f"params/{k}": v for k, v in state.params.items()}
    arrays |= {f"best/{k}": v for k, v in (state.best_params or {}).items()}
    arrays |= {
        f"optimiser/{i}": np.asarray(leaf)
        for i, leaf in enumerate(jax.tree_util.tree_leaves(state.optimiser))
    }
    meta = {name: getattr(state, name) for name in COUNTERS}
    meta |= {"config_hash": config_hash, "generator": state.rng.bit_generator.state}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    atomic_write(folder / CHECKPOINT, buffer.getvalue())


def load(folder: Path, fresh: State, config_hash: str) -> State:
    """The state in `folder`/checkpoint.npz (or in that very file).

    `fresh` is the state at the start of such a run.

    Raises:
        CheckpointError: no readable checkpoint, or one of another configuration.
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
    leaves, structure = jax.tree_util.tree_flatten(fresh.optimiser)
    saved = [arrays[f"optimiser/{i}"] for i in range(len(leaves))]
    best = {name: arrays[f"best/{name}"] for name in fresh.params if f"best/{name}" in arrays}
    fresh.rng.bit_generator.state = meta["generator"]
    return State(
        params={name: arrays[f"params/{name}"] for name in fresh.params},
        optimiser=jax.tree_util.tree_unflatten(structure, saved),
        rng=fresh.rng,
        best_params=best or None,
        **{name: meta[name] for name in COUNTERS},
    )
