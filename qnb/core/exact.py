"""Engine "exact": the same model computed for whole batches at once by a simulator in pure JAX.

Two paths give the same numbers: `qnb.core.heisenberg` pulls the observable back once and then costs a few
thousand operations a row; `qnb.core.statevector` follows every row's state, and also does what the first
cannot: re-uploading and `amplitude`. The head and its chain rule are shared, and are those of the catalyst
engine.
"""

import contextlib
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache as persistent

from qnb.core import heisenberg, statevector, trig
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, EngineError, check_batch, check_params
from qnb.core.memory import MEMORY_SHARE, available_memory
from qnb.core.objective import Objective
from qnb.core.settings import own_settings
from qnb.errors import ParameterError, nearest
from qnb.files import cache_folder

PRECISIONS = ("float32", "float64")
# rows of compiled forward programs: the smallest that holds all rows, or the largest, repeatedly
SCORE_ROWS = (16, 256, 4096)
KEPT_BYTES = 1 << 26  # of what is prepared from the parameters, kept for the next rows


class PathModule(Protocol):
    """What `qnb.core.heisenberg` and `qnb.core.statevector` have in common.

    Their tables, and what they prepare, are their own.
    """

    def tables(self, spec: CircuitSpec, /) -> Any:
        """What is static, in numpy arrays."""

    def prepare(self, spec: CircuitSpec, tables: Any, weights: jax.Array, readout: jax.Array, /) -> Any:
        """All that depends on the parameters only."""

    def scores(self, spec: CircuitSpec, tables: Any, prepared: Any, X: jax.Array, /) -> jax.Array:
        """s(x) for rows X (B, features) -> (B,)."""

    def cost(self, spec: CircuitSpec, rows: int, /) -> float:
        """Multiply-adds of a training step."""

    def memory(self, spec: CircuitSpec, itemsize: int, /) -> tuple[int, int]:
        """Bytes of a training step: once, and for each row."""

    def row_limit(self, spec: CircuitSpec, itemsize: int, /) -> int:
        """Rows after which a larger chunk brings nothing."""


class ExactEngine:
    """See `qnb.core.engine.Engine`.

    Programs are compiled once per kind and batch size, and kept on disk for later processes.

    Args:
        device: the default only; this engine runs where JAX runs.
        precision: "float32" or "float64", whatever JAX is set to.

    Raises:
        ParameterError: another device, or an unknown precision.
        EngineError: the memory of this machine cannot hold one row.
    """

    name = "exact"

    def __init__(
        self,
        spec: CircuitSpec,
        objective: Objective,
        device: str = DEFAULT_DEVICE,
        precision: str = "float32",
    ):
        if device != DEFAULT_DEVICE:
            raise ParameterError(
                f"device = {device!r} has no effect with engine='exact', which runs where JAX runs: leave it "
                "out."
            )
        if precision not in PRECISIONS:
            raise ParameterError(f"precision = {precision!r} is not known. {nearest(precision, PRECISIONS)}")
        self.spec, self.objective, self.dtype = spec, objective, np.dtype(precision)
        self._computes = spec.fingerprint()
        self._programs: dict[tuple[str, str, int, int], Callable[..., Any]] = {}
        self._tables: dict[str, Any] = {}
        self._kept: tuple[tuple[Any, ...], Any] | None = None
        self._memory = MEMORY_SHARE * available_memory()
        self.path(1)  # raises where not even one row fits

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """Scores of any number of rows, in compiled chunks, by the path that costs least for so many."""
        (X,) = check_batch(self.spec, X)
        return self._scores(self.path(_score_rows(len(X))), params, X)

    def steady_scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """As `scores`, by one path whatever the number of rows, for the paths round differently: the one that
        costs least for many. What it prepares is kept for the next call, so one row costs little too.
        """
        (X,) = check_batch(self.spec, X)
        return self._scores(self.path(SCORE_ROWS[-1]), params, X)

    @own_settings()
    def _scores(self, path: str, params: Params, X: np.ndarray) -> np.ndarray:
        prepared = self._prepared(path, self._cast(params))
        size = self.chunk(path, _score_rows(len(X)))
        chunks = [
            self._run(
                path,
                "scores",
                size,
                self._path_tables(path),
                prepared,
                self._rows(X[start : start + size], size),
            )
            for start in range(0, len(X), size)
        ]
        return np.concatenate([np.asarray(c) for c in chunks])[: len(X)].astype(np.float64)

    def _prepared(self, path: str, params: Params) -> Any:
        """What depends on the parameters only; that of the last parameters is kept."""
        circuit = params["weights"], params["readout"]
        key = path, *(array.tobytes() for array in circuit)
        if (kept := self._kept) is not None and kept[0] == key:
            return kept[1]
        prepared = self._run(path, "prepare", 0, self._path_tables(path), *circuit)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(prepared))
        self._kept = (key, prepared) if size <= KEPT_BYTES else None
        return prepared

    @own_settings()
    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """The batch is padded with rows of zero weight, and cut into equal chunks where memory asks
        for it.
        """
        X, y, w = check_batch(self.spec, X, y, w)
        params = self._cast(params)
        path = self.path(len(X))
        size = self.chunk(path, len(X))
        parts = [
            self._run(
                path,
                "gradient",
                size,
                self._path_tables(path),
                params,
                *self._batch(X[k], y[k], w[k] / len(X), size),
            )
            for k in (slice(start, start + size) for start in range(0, len(X), size))
        ]
        loss, grads = jax.tree.map(lambda *leaves: np.sum([np.asarray(a) for a in leaves], axis=0), *parts)
        return float(loss), grads

    @own_settings()
    def loss_and_grad_many(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[np.ndarray, Params]:
        """S seeds as one program: params (S, ...), X (S, B, features), y and w (S, B) -> losses (S,),
        gradients (S, ...).
        """
        X = np.asarray(X, dtype=np.float64)
        checked = [check_batch(self.spec, *seed) for seed in zip(X, y, w, strict=True)]
        X, y, w = (np.stack(column) for column in zip(*checked, strict=True))
        seeds, rows = y.shape
        params = self._cast(params, seeds)
        path = self.path(rows, seeds)
        size = self.chunk(path, rows, seeds)
        tables, parts = self._path_tables(path), []
        for start in range(0, rows, size):
            k = slice(start, start + size)
            batches = [self._batch(X[s, k], y[s, k], w[s, k] / rows, size) for s in range(seeds)]
            part = self._run(
                path,
                "many",
                size,
                tables,
                params,
                *(np.stack(column) for column in zip(*batches, strict=True)),
            )
            parts.append(jax.tree.map(np.asarray, part))
        losses, grads = functools.reduce(lambda a, b: jax.tree.map(np.add, a, b), parts)
        return losses, grads

    def compile(self, batch: int) -> float:
        """See `qnb.core.engine.Engine`."""
        started = time.perf_counter()
        params, row = self.spec.init(0, self.objective.alpha_mode), np.linspace(0.1, 1, self.spec.features)
        X = np.tile(row, (batch, 1))
        self.scores(params, X)
        self.loss_and_grad(params, X, np.zeros(batch), np.ones(batch))
        return time.perf_counter() - started

    def path(self, rows: int, seeds: int = 1) -> str:
        """The path that costs fewer multiply-adds of those that can run the circuit in the memory there is.

        Raises:
            EngineError: none can.
        """
        needed = {
            name: self._bytes(name, 16, seeds)
            for name in PATHS
            if name == "statevector" or _has_one_observable(self.spec)
        }
        fitting = [name for name, size in needed.items() if size <= self._memory]
        if not fitting:
            raise EngineError(
                f"engine='exact' needs {min(needed.values()) / 1e9:.1f} GB for a step of 16 rows of "
                f"{self.spec}; {self._memory / 1e9:.1f} GB is what it may take of this machine. Use fewer "
                "wires or layers."
            )
        return min(fitting, key=lambda name: PATHS[name].cost(self.spec, rows))

    def chunk(self, path: str, rows: int, seeds: int = 1) -> int:
        """Rows of a compiled call, padding included: all of them in equal parts within the path's limit and
        the memory.
        """
        once, _ = PATHS[path].memory(self.spec, self.dtype.itemsize)
        each = self._bytes(path, 1, seeds) - seeds * once
        limit = min(
            PATHS[path].row_limit(self.spec, self.dtype.itemsize) // seeds,
            (self._memory - seeds * once) // each,
        )
        parts = math.ceil(rows / max(limit, 16))
        return padded(math.ceil(rows / parts))

    def _bytes(self, path: str, rows: int, seeds: int) -> int:
        once, each = PATHS[path].memory(self.spec, self.dtype.itemsize)
        return seeds * (once + rows * (each + self.dtype.itemsize * self.spec.features))

    def _cast(self, params: Params, seeds: int | None = None) -> Params:
        """Arrays of the engine's dtype, checked against the shapes of the spec, angles reduced."""
        params = check_params(self.spec, params, seeds)
        angles = ("weights", "readout") if self.spec.measured.rotated else ("weights",)
        params |= {name: trig.reduced(params[name]) for name in angles}
        with np.errstate(over="ignore"):  # what becomes infinite here is found by the training, which says so
            return {name: array.astype(self.dtype) for name, array in params.items()}

    def _rows(self, X: np.ndarray, size: int) -> np.ndarray:
        padded = np.ones((size, self.spec.features), self.dtype)  # ones: `amplitude` cannot encode zeros
        padded[: len(X)] = X if self.spec.encoder == "amplitude" else trig.reduced(X)
        return padded

    def _batch(
        self, X: np.ndarray, y: np.ndarray, w: np.ndarray, size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = np.zeros((2, size), self.dtype)
        columns[:, : len(X)] = y, w
        return self._rows(X, size), *columns

    def _path_tables(self, path: str) -> Any:
        if path not in self._tables:
            self._tables[path] = jax.tree.map(jnp.asarray, PATHS[path].tables(self.spec))
        return self._tables[path]

    def _run(self, path: str, kind: str, rows: int, *args: Any) -> Any:
        """Call the compiled program of that kind.

        The first call of a kind, size and seed count compiles it.
        """
        seeds = len(args[-1]) if kind == "many" else 0
        key = (path, kind, rows, seeds)
        if key not in self._programs:
            build = {"prepare": _prepare, "scores": _scores, "gradient": _loss_and_grad, "many": _many}[kind]
            if self.spec.fingerprint() != self._computes:
                raise EngineError(
                    f"What {self.spec} computes has changed since this engine was made: make the engine anew."
                )
            with compilation_cache():
                self._programs[key] = (
                    jax.jit(build(PATHS[path], self.spec, self.objective)).lower(*args).compile()
                )
        return self._programs[key](*args)


def _score_rows(rows: int) -> int:
    """Rows of the forward program that so many take."""
    return next((size for size in SCORE_ROWS if size >= rows), SCORE_ROWS[-1])


def padded(rows: int) -> int:
    """`rows` rounded up to a multiple of 16 that is no multiple of 256: rows of such lengths fall on each
    other in the cache.
    """
    size = -(-rows // 16) * 16
    return size + 16 if size % 256 == 0 else size


def _has_one_observable(spec: CircuitSpec) -> bool:
    return not spec.reupload and spec.encoder != "amplitude"


PATHS: dict[str, PathModule] = {"heisenberg": heisenberg, "statevector": statevector}


def _prepare(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    def prepare(tables: Any, weights: jax.Array, readout: jax.Array) -> Any:
        return path.prepare(spec, tables, weights, readout)

    return prepare


def _scores(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    def scores(tables: Any, prepared: Any, X: jax.Array) -> jax.Array:
        return path.scores(spec, tables, prepared, X)

    return scores


def _loss_and_grad(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    """L = sum_k w_k loss(l_k, y_k), l_k = alpha (s_k + b), with the mean's 1/B inside w. With d_k = w_k
    loss'(l_k): dL/dtheta = sum_k d_k alpha ds_k/dtheta, dL/db = sum_k d_k alpha, dL/dalpha_raw = sum_k d_k
    (s_k + b) dalpha/draw.
    """

    def loss_and_grad(
        tables: Any, params: dict[str, jax.Array], X: jax.Array, y: jax.Array, w: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        def score(weights: jax.Array, readout: jax.Array) -> jax.Array:
            return path.scores(spec, tables, path.prepare(spec, tables, weights, readout), X)

        s, pull = jax.vjp(score, params["weights"], params["readout"])
        bias, raw = params["bias"], params["alpha"]
        logit = objective.logit(s, bias, raw)
        d = w * objective.slope(logit, y)
        g_weights, g_readout = pull(objective.alpha(raw) * d)
        g_bias, g_alpha = (
            objective.alpha(raw) * jnp.sum(d),
            objective.alpha_slope(raw) * jnp.sum(d * (s + bias)),
        )
        loss = jnp.sum(w * objective.loss(logit, y))
        return loss, {"weights": g_weights, "readout": g_readout, "bias": g_bias, "alpha": g_alpha}

    return loss_and_grad


def _many(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    return jax.vmap(_loss_and_grad(path, spec, objective), in_axes=(None, 0, 0, 0, 0))


@contextlib.contextmanager
def compilation_cache() -> Iterator[None]:
    """While it lasts, JAX keeps compiled programs in the user's cache folder, unless the user has set a place
    of their own.

    JAX's settings are those of the process, and it decides once whether to use a cache, so both are put back.
    """
    folder = cache_folder("xla")
    if jax.config.values["jax_compilation_cache_dir"] is not None or folder is None:
        yield
        return
    ours = {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.1}
    with _COMPILING:
        before = {name: jax.config.values[name] for name in ours}
        try:
            for name, value in ours.items():
                jax.config.update(name, value)
            persistent.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            persistent.reset_cache()


_COMPILING = threading.RLock()
