"""A trained model as a formula: without re-uploading, the circuit's score is a trigonometric polynomial in
its angles.

    s(x) = sum_k C_k prod_i f_{k_i}(x_i),    k in {0, ..., d - 1}^n,    logit = alpha (s + bias),

f = (1, sin x, cos x) for `angle_y`, with or without Hadamard, and (1, sin x, sin 2x, cos 2x) for `angle_xy`.
The d^n coefficients are not fitted: they are the observable pulled back through the trained circuit in the
Heisenberg picture (`qnb.core.heisenberg`), in float64. Schreiber, Eisert and Meyer (PRL 131, 100803, 2023)
call this a classical surrogate: once a model is trained, no circuit is needed to use it.
"""

import functools
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qnb.core import heisenberg, trig
from qnb.core.circuit import Array, CircuitSpec, Params
from qnb.core.engine import EngineError
from qnb.core.exact import padded
from qnb.core.memory import MEMORY_SHARE, available_memory
from qnb.core.objective import Objective
from qnb.core.settings import own_settings
from qnb.data.features import ANGLE_RANGES, FeatureMap
from qnb.data.table import Table
from qnb.errors import ParameterError, QnbError
from qnb.files import atomic_write, plain
from qnb.stack import versions
from qnb.training.model_file import ModelError

FORMAT = 1
BASES = {"angle_y": ("1", "sin x", "cos x"), "angle_xy": ("1", "sin x", "sin 2x", "cos 2x")}  # f, by encoder
CHUNKS = (256, 4096)  # rows of a compiled call: the smaller that holds all rows, or the larger, repeatedly
CHUNK_BYTES = 4 << 20  # of one of the two work arrays of a call
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}  # for a program that runs once
META, COEFFICIENTS = "meta", "coefficients"
SCALING = "scaling"
MAP_SHAPES = {"mean": "p", "scale": "p", "rotation": "pn", "quantiles": "qn", "levels": "q"}


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A trained model without its circuit, equal to it up to float64 rounding.

    Attributes:
        coefficients: C, float64 `(d,) * n`; axis i belongs to wire i, index k to the k-th function of
            BASES[encoder].
        encoder: a key of BASES.
        bias, alpha: of the head, logit = alpha (s + bias); alpha is the factor, not the raw parameter.
        feature_map: from raw rows to angles.
        threshold: decision threshold in logit space.
        about: where the model comes from, its circuit included.
        scaling: the trained factor of each angle, float64 `(n,)`; None: the model has none.
    """

    coefficients: np.ndarray
    encoder: str
    bias: float
    alpha: float
    feature_map: FeatureMap
    threshold: float
    about: dict[str, Any] = field(default_factory=dict)
    scaling: np.ndarray | None = None

    def logits(self, table: Table | pd.DataFrame) -> np.ndarray:
        """l(x), (B,), for each raw row of a table with the columns the model was trained on.

        Raises:
            DataError: columns are missing or unusable, or hold another type than in training.
        """
        frame = table.frame if isinstance(table, Table) else table
        return self.logits_of_features(self.feature_map.of_rows(frame))

    def logits_of_features(self, X: ArrayLike) -> np.ndarray:
        """l(x) for rows of angles in radians, X (B, n) -> float64 (B,).

        Raises:
            ParameterError: as `scores_of_features`.
        """
        return self.alpha * (self.scores_of_features(X) + self.bias)

    def scores_of_features(self, X: ArrayLike) -> np.ndarray:
        """s(x) for rows of angles in radians, X (B, n) -> float64 (B,).

        Raises:
            ParameterError: X has another shape, no rows, or values that are not finite.
        """
        X, n = np.asarray(X, dtype=np.float64), self.coefficients.ndim
        if X.ndim != 2 or X.shape[1] != n or len(X) == 0:
            raise ParameterError(f"X has shape {X.shape}; (rows, {n}) was expected: one angle per wire.")
        if not np.isfinite(X).all():
            raise ParameterError(
                f"X holds NaN or inf in {int((~np.isfinite(X)).any(1).sum())} of {len(X)} rows."
            )
        return _evaluate(self.coefficients, self.encoder, self.angles(X))

    def angles(self, X: np.ndarray) -> np.ndarray:
        """The arguments of sine and cosine, radians: X (..., n), times `scaling` if there is one."""
        return X if self.scaling is None else X * self.scaling

    def encoded_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest of each of `angles` over the range of the feature map, radians, `(n,)` each."""
        ends = np.sort([self.angles(end) for end in self.feature_map.encoded_range()], axis=0)
        return ends[0], ends[1]

    def save(self, path: str | Path) -> Path:
        """Write one npz file (no pickle) with all that is needed to score raw rows; return its path.

        Raises:
            ModelError: there is a file of that name already.
        """
        path = Path(path)
        if path.exists():
            raise ModelError(f"{path} exists already; nothing is overwritten. Name another file.")
        meta = {
            "format": FORMAT,
            "encoder": self.encoder,
            "bias": self.bias,
            "alpha": self.alpha,
            "threshold": self.threshold,
            "features": self.feature_map.meta(),
            "about": self.about,
            "versions": versions(),
        }
        arrays = {COEFFICIENTS: self.coefficients, META: np.array(json.dumps(plain(meta), allow_nan=False))}
        arrays |= {} if self.scaling is None else {SCALING: self.scaling}
        arrays |= {f"features/{k}": v for k, v in self.feature_map.arrays().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, buffer.getvalue())
        return path


def surrogate_of(
    spec: CircuitSpec,
    objective: Objective,
    params: Params,
    feature_map: FeatureMap,
    threshold: float,
    about: dict[str, Any],
) -> Surrogate:
    """The trigonometric polynomial of a trained circuit; see `qnb.training.model.Model.surrogate`.

    Args:
        params: weights (layers, wires, 3), readout (r,), bias (), alpha () the raw one, and scaling (1,
            wires) where it is trained.
        feature_map, threshold: kept as they are.
        about: where the model comes from; the circuit is added.

    Raises:
        ParameterError: the circuit re-uploads, its encoder is `amplitude`, it measures other words than
            single Z (`parity`, say), or it has gates of your own; see `qnb.core.circuit.CircuitSpec.fast`.
        EngineError: the coefficients do not fit into memory.
    """
    if not spec.fast:
        raise ParameterError(
            f"{spec} has no surrogate here: that is made of angles, RZ RY RZ, CNOTs and Z alone, through "
            "which the exact engine pulls the observable back."
        )
    refuse(spec.encoder, spec.reupload)
    needed, _ = heisenberg.memory(spec, 8)
    if needed > MEMORY_SHARE * available_memory():
        raise EngineError(
            f"The surrogate of {spec} needs {needed / 1e9:.1f} GB to compute: use fewer wires, or a larger "
            "machine."
        )
    weights, readout = (np.asarray(params[name], np.float64) for name in ("weights", "readout"))
    pull_back = jax.jit(functools.partial(heisenberg.prepare, spec), compiler_options=QUICK_TO_COMPILE)
    with own_settings():
        pulled_back = pull_back(heisenberg.tables(spec), weights, readout)
    strings = np.asarray(pulled_back).reshape((heisenberg.features(spec),) * spec.wires)
    strings = np.moveaxis(strings, range(spec.wires), heisenberg.plan(spec).order)
    return Surrogate(
        coefficients=along_every_wire(strings, _bloch_in_basis(spec)),
        encoder=spec.encoder,
        bias=float(params["bias"]),
        alpha=float(objective.alpha(params["alpha"])),
        feature_map=feature_map,
        threshold=threshold,
        about=about | {"circuit": spec.to_dict()},
        scaling=np.asarray(params["scaling"], np.float64)[0] if spec.scaling else None,
    )


def refuse(encoder: str, reupload: bool) -> None:
    """Raise ParameterError for an encoder without a surrogate, or for re-uploading."""
    if encoder not in BASES:
        raise ParameterError(
            f"encoder={encoder!r} has no surrogate: the score is a quadratic form of the normalised row, not "
            "a polynomial in sines and cosines of angles. Use encoder='angle_y' or 'angle_xy'."
        )
    if reupload:
        raise ParameterError(
            "reupload=True has no surrogate here: each further encoding raises the degree in every angle, so "
            "that L layers need (2 L + 1)^n coefficients instead of 3^n. Use reupload=False."
        )


def load_surrogate(path: str | Path) -> Surrogate:
    """The surrogate in a file that `Surrogate.save` wrote.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    path = Path(path)
    arrays = _read(path)
    try:
        meta = json.loads(arrays[META].item())
        if meta["format"] != FORMAT:
            raise ModelError(f"format {meta['format']!r}; this qnb reads format {FORMAT}")
        features = {
            name.removeprefix("features/"): value
            for name, value in arrays.items()
            if name.startswith("features/")
        }
        surrogate = Surrogate(
            arrays[COEFFICIENTS],
            meta["encoder"],
            float(meta["bias"]),
            float(meta["alpha"]),
            FeatureMap.from_parts(features, meta["features"]),
            float(meta["threshold"]),
            dict(meta["about"]),
            arrays.get(SCALING),
        )
        _check(surrogate)
    except (KeyError, TypeError, ValueError, QnbError) as error:
        raise ModelError(f"{path} does not describe a surrogate: {type(error).__name__}: {error}.") from error
    return surrogate


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ModelError(
            f"No surrogate at {path}: the file is missing. `model.surrogate().save(path)` writes one."
        ) from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, AttributeError) as error:
        # pickles and damaged files
        raise ModelError(f"{path} cannot be read as plain arrays: {error}.") from error


def _check(surrogate: Surrogate) -> None:
    """Raise ModelError for parts that do not fit each other, or numbers that are not finite."""
    if surrogate.encoder not in BASES:
        raise ModelError(f"encoder {surrogate.encoder!r} is none of {', '.join(BASES)}")
    feature_map, C = surrogate.feature_map, surrogate.coefficients
    no_angles = feature_map.angle_range is None and feature_map.rescale != "none"
    if no_angles or feature_map.angle_range not in ANGLE_RANGES:
        raise ModelError(f"angle_range {feature_map.angle_range!r} is no range of angles")
    n = feature_map.rotation.shape[-1]
    expected = (len(BASES[surrogate.encoder]),) * n
    if C.shape != expected:
        raise ModelError(f"{COEFFICIENTS} has shape {C.shape}; {expected} was expected of {n} features")
    sizes = {"p": len(feature_map.inputs), "n": n, "q": feature_map.levels.size}
    for name, letters in MAP_SHAPES.items():
        value, shape = getattr(feature_map, name), tuple(sizes[letter] for letter in letters)
        if value.shape != shape:
            raise ModelError(f"features/{name} has shape {value.shape}; {shape} was expected")
    if (scaling := surrogate.scaling) is not None and scaling.shape != (n,):
        raise ModelError(f"{SCALING} has shape {scaling.shape}; {(n,)} was expected")
    head = {name: np.array(getattr(surrogate, name)) for name in ("bias", "alpha", "threshold")}
    head |= {} if scaling is None else {SCALING: scaling}
    for name, value in ({COEFFICIENTS: C} | feature_map.arrays() | head).items():
        if value.dtype != np.float64 or not np.isfinite(value).all():
            raise ModelError(f"{name} holds values that are not finite float64 numbers")


def basis(encoder: str, x: np.ndarray) -> np.ndarray:
    """The functions f of BASES[encoder] at angles x in radians, of any shape: (d, *x.shape)."""
    return np.stack(_functions(encoder, np.sin(x), np.cos(x)))


def along_every_wire(tensor: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """A matrix applied to each axis of a tensor: sum over k of tensor[k] prod_i matrices[i, k_i, j_i].

    Args:
        tensor: (d,) * n.
        matrices: (n, d, e), or (d, e), the same for every wire.

    Returns:
        (e,) * n.
    """
    for matrix in np.broadcast_to(matrices, (tensor.ndim, *matrices.shape[-2:])):
        tensor = np.tensordot(tensor, matrix, (0, 0))  # the wire in front leaves, and comes back at the end
    return tensor


def _functions(encoder: str, sin: Array, cos: Array) -> list[Array]:
    double = [2 * sin * cos, cos * cos - sin * sin]
    return [1 + 0 * sin, sin, *(double if encoder == "angle_xy" else [cos])]


def _bloch_in_basis(spec: CircuitSpec) -> np.ndarray:
    """M with (1, <X>, <Z>[, <Y>]) = M f for one encoded wire (`heisenberg.bloch_features`), (d, d)."""
    if spec.encoder == "angle_xy":  # (1, cos x sin x, cos^2 x, -sin x)
        return np.array([[1, 0, 0, 0], [0, 0, 0.5, 0], [0.5, 0, 0, 0.5], [0, -1, 0, 0]])
    if spec.hadamard:  # (1, cos x, -sin x)
        return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return np.eye(3)


@own_settings()
def _evaluate(coefficients: np.ndarray, encoder: str, X: np.ndarray) -> np.ndarray:
    """s(x) in compiled chunks of rows."""
    if np.abs(X).max() > trig.LARGEST:
        X = np.arctan2(np.sin(X), np.cos(X))  # the same angles, within half a turn
    d, n = len(coefficients), coefficients.ndim
    half = d ** ((n + 1) // 2)
    C = jnp.asarray(coefficients.reshape(half, -1))
    size = next((size for size in CHUNKS if size >= len(X)), CHUNKS[-1])
    size = padded(min(size, max(16, CHUNK_BYTES // (8 * half))))
    last = np.zeros((size, n))
    last[: len(X) % size] = X[len(X) - len(X) % size :]
    chunks = [X[start : start + size] for start in range(0, len(X) - size + 1, size)] + [last] * (
        len(X) % size > 0
    )
    scores = [_scores(encoder, C, chunk) for chunk in chunks]  # JAX returns before it has computed
    return np.concatenate(scores)[: len(X)]


@functools.partial(jax.jit, static_argnums=0)
def _scores(encoder: str, C: jax.Array, X: jax.Array) -> jax.Array:
    f = jnp.stack(_functions(encoder, *trig.sin_cos(X.T)), axis=1)
    left = (X.shape[1] + 1) // 2
    return heisenberg.contract(C, f[:left], f[left:])
