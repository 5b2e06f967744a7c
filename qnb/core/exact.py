"""Engine "exact": the same model computed for whole batches at once by a simulator in pure JAX.

Two paths give the same numbers. `qnb.core.heisenberg` pulls the observable back through the circuit once,
and then costs 3^n multiply-adds a row (4^n with `angle_xy`). `qnb.core.statevector` follows the state of
every row, and covers re-uploading and `amplitude`, which the first cannot. Circuits of other gates or Pauli
words take a third path, `qnb.core.blocks`. Head and chain rule are shared by all, and are the same as in the
catalyst engine.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache as persistent

from qnb.core import blocks, heisenberg, statevector, steps, trig
from qnb.core.circuit import CircuitSpec, Params, of_circuit
from qnb.core.engine import DEFAULT_DEVICE, EngineError, check_batch, check_params
from qnb.core.memory import MEMORY_SHARE, available_memory
from qnb.core.objective import Objective
from qnb.core.settings import own_settings
from qnb.errors import ParameterError, nearest
from qnb.files import cache_folder

PRECISIONS = ("float32", "float64")
# rows of compiled forward programs: the smallest that holds all rows, or the largest, repeatedly
SCORE_ROWS = (16, 256, 4096)
# multiply-adds of a step up to which training runs together takes 0.4 to 0.7 of the time one by one, and
# beyond which 0.8 to 1.2; four runs reach most of the gain, and memory grows with their number
PAYS, MOST_RUNS = 4e6, 16
KEPT_BYTES = 1 << 26  # of what is prepared from the parameters, kept for the next rows


class PathModule(Protocol):
    """The interface shared by `qnb.core.heisenberg`, `qnb.core.statevector` and `qnb.core.blocks`.

    The types of the tables, and of what `prepare` returns, are each path's own.
    """

    def tables(self, spec: CircuitSpec, /) -> Any:
        """The static arrays of a circuit, in numpy."""

    def prepare(self, spec: CircuitSpec, tables: Any, weights: jax.Array, readout: jax.Array, /) -> Any:
        """Everything that depends on the parameters alone, the scaling excepted."""

    def scores(
        self, spec: CircuitSpec, tables: Any, prepared: Any, X: jax.Array, scaling: jax.Array | None = None, /
    ) -> jax.Array:
        """s(x) for rows X (B, features) -> (B,), with scaling (encodings, n) where it is trained."""

    def cost(self, spec: CircuitSpec, rows: int, /) -> float:
        """Multiply-adds of a training step."""

    def memory(self, spec: CircuitSpec, itemsize: int, /) -> tuple[int, int]:
        """Bytes that a training step needs: once, and for each row."""

    def row_limit(self, spec: CircuitSpec, itemsize: int, /) -> int:
        """Rows above which a larger chunk is no faster."""


class ExactEngine:
    """See `qnb.core.engine.Engine`.

    Programs are compiled once per kind and batch size, and kept in the user's cache folder for later
    processes.

    Args:
        device: the default only, because this engine runs where JAX runs.
        precision: "float32" or "float64", whatever JAX is set to.

    Raises:
        ParameterError: another device, or an unknown precision.
        EngineError: this machine's memory cannot hold a chunk of 16 rows, the smallest there is.
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
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._tables: dict[str, Any] = {}
        self._kept: tuple[tuple[Any, ...], Any] | None = None
        self._memory = MEMORY_SHARE * available_memory()
        self.path(1)  # raises where not even one row fits

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """Scores (B,) of rows X (B, features), float64, in compiled chunks, by the path that costs least for
        so many rows.

        Raises:
            ParameterError: X or the parameters are refused, see `qnb.core.engine.check_batch` and
                `check_params`.
            EngineError: a part of the circuit has changed since the engine was made, or the process is a
                fork of one that had used JAX.
        """
        (X,) = check_batch(self.spec, X)
        return self._scores(self.path(_score_rows(len(X))), params, X)

    def steady_scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """As `scores`, but by the same path whatever the number of rows, because the paths round
        differently: the one that costs least for many rows. What it prepares from the parameters is kept for
        the next call, so that one row costs little too. Raises as `scores`.
        """
        (X,) = check_batch(self.spec, X)
        return self._scores(self.path(SCORE_ROWS[-1]), params, X)

    @own_settings()
    def _scores(self, path: str, params: Params, X: np.ndarray) -> np.ndarray:
        params = self._cast(params)
        prepared = self._prepared(path, params)
        scaling = [params[group] for group in ("scaling",) if group in params]
        size = self.chunk(path, _score_rows(len(X)))
        chunks = [
            self._run(
                path,
                "scores",
                size,
                self._path_tables(path),
                prepared,
                self._rows(X[start : start + size], size),
                *scaling,
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
        """See `qnb.core.engine.Engine`. Raises as `scores`.

        The batch is padded with rows of weight zero, and cut into equal chunks where it exceeds the memory
        or the limit of the path.
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

    def steps_at_once(self, batch: int, runs: int | None = None) -> int:
        """The largest number of steps that one call of `take_steps` accepts."""
        return steps.steps_at_once(self.dtype.itemsize * (self.spec.features + 2), batch * (runs or 1))

    def runs_at_once(self, batch: int) -> int:
        """MOST_RUNS for a small circuit, where the call costs more than the step; else 1, whose program may
        be compiled already by a single training.
        """
        return MOST_RUNS if PATHS[self.path(batch)].cost(self.spec, batch) < PAYS else 1

    @own_settings()
    def take_steps(
        self,
        update: steps.Update,
        params: Params,
        optimiser: Any,
        X: np.ndarray,
        y: np.ndarray,
        w: np.ndarray,
    ) -> steps.Steps:
        """Optimiser steps on T batches as one program, for one run or for S runs together.

        Args:
            update: optax's (gradients, state, parameters) -> (updates, state), traced.
            params: as `CircuitSpec.shapes`; with S runs (S, ...), as are the leaves of `optimiser`.
            X: (T, B, features), or (T, S, B, features); T is at most `steps_at_once`.
            y, w: (T, B), or (T, S, B).

        Raises:
            ParameterError, EngineError: as `scores`.
            ValueError: more steps than `steps_at_once`.
        """
        X, y, w = (np.asarray(column, np.float64) for column in (X, y, w))
        runs = y.shape[1] if y.ndim == 3 else None
        check_batch(self.spec, X.reshape(-1, X.shape[-1]), y.reshape(-1), w.reshape(-1))
        params = check_params(self.spec, params, runs)
        count, rows = len(y), y.shape[-1]
        path = self.path(rows, runs or 1)
        size = self.chunk(path, rows, runs or 1)
        key = path, update, rows, runs, *(np.shape(leaf) for leaf in jax.tree.leaves(optimiser))
        room = self.steps_at_once(rows, runs)
        if count > room:
            raise ValueError(
                f"{count} steps are more than steps_at_once({rows}, {runs}) = {room}: take them in parts."
            )
        columns = self._batches(X, y, w / rows, size, room)
        arguments = np.int32(count), self._path_tables(path), params, optimiser, *columns

        def program() -> Callable[..., Any]:
            return steps.steps_program(self._gradient_of_angles(path), update, runs)

        taken: steps.Steps = jax.tree.map(np.asarray, self._call(key, program, *arguments))
        return taken._replace(losses=taken.losses[:count], norms=taken.norms[:count])

    def _batches(
        self, X: np.ndarray, y: np.ndarray, w: np.ndarray, size: int, room: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Batches (T, ..., B, features), (T, ..., B) in room for `room` of them, each in parts of `size`
        rows, padded by rows of weight zero. What is beyond T is not read.
        """
        (count, *runs, rows), parts = y.shape, math.ceil(y.shape[-1] / size)
        shape = (room, *runs, parts * size)
        wide, columns = np.empty((*shape, self.spec.features), self.dtype), np.empty((2, *shape), self.dtype)
        wide[:count, ..., rows:, :], columns[:, :count, ..., rows:] = 1, 0
        wide[:count, ..., :rows, :] = self._reduced(X)
        columns[0, :count, ..., :rows], columns[1, :count, ..., :rows] = y, w
        split = (room, *runs, parts, size)
        return wide.reshape(*split, -1), columns[0].reshape(split), columns[1].reshape(split)

    def _gradient_of_angles(self, path: str) -> Callable[..., Any]:
        """The gradient of float64 parameters, which are reduced and cast as `_cast` does."""
        gradient = _loss_and_grad(PATHS[path], self.spec, self.objective)

        def of_angles(
            tables: Any, params: dict[str, jax.Array], X: jax.Array, y: jax.Array, w: jax.Array
        ) -> Any:
            params = params | {name: trig.reduced(params[name]) for name in self._angles}
            return gradient(
                tables, {name: value.astype(self.dtype) for name, value in params.items()}, X, y, w
            )

        return of_angles

    def compile(self, batch: int) -> float:
        """Compile the scores of so many rows, and the gradient of a batch of them. Returns the seconds that
        it took.

        Raises as `scores`.
        """
        started = time.perf_counter()
        params, row = self.spec.init(0, self.objective.alpha_mode), np.linspace(0.1, 1, self.spec.features)
        X = np.tile(row, (batch, 1))
        self.scores(params, X)
        self.loss_and_grad(params, X, np.zeros(batch), np.ones(batch))
        return time.perf_counter() - started

    def path(self, rows: int, seeds: int = 1) -> str:
        """The name of the path with the fewest multiply-adds, among those that can run the circuit and fit
        the memory.

        Args:
            rows: of a batch.
            seeds: runs in one program.

        Raises:
            EngineError: none of them fits.
        """
        needed = {name: self._bytes(name, 16, seeds) for name in _paths(self.spec)}
        fitting = [name for name, size in needed.items() if size <= self._memory]
        if not fitting:
            raise EngineError(
                f"engine='exact' needs {min(needed.values()) / 1e9:.1f} GB for a step of 16 rows of "
                f"{self.spec}; {self._memory / 1e9:.1f} GB is what it may take of this machine. Use fewer "
                "wires or layers."
            )
        return min(fitting, key=lambda name: PATHS[name].cost(self.spec, rows))

    def chunk(self, path: str, rows: int, seeds: int = 1) -> int:
        """Rows of a compiled call, padding included: `rows` in equal parts, each within the memory and the
        limit of the path.

        Args:
            path: a key of PATHS.
            rows: of a batch.
            seeds: runs in one program.
        """
        once, _ = PATHS[path].memory(self.spec, self.dtype.itemsize)
        per_row = self._bytes(path, 1, seeds) - seeds * once
        limit = min(
            PATHS[path].row_limit(self.spec, self.dtype.itemsize) // seeds,
            (self._memory - seeds * once) // per_row,
        )
        parts = math.ceil(rows / max(limit, 16))
        return padded(math.ceil(rows / parts))

    def _bytes(self, path: str, rows: int, seeds: int) -> int:
        once, per_row = PATHS[path].memory(self.spec, self.dtype.itemsize)
        return seeds * (once + rows * (per_row + self.dtype.itemsize * self.spec.features))

    def _cast(self, params: Params, seeds: int | None = None) -> Params:
        """Arrays of the engine's dtype, checked against the shapes of the spec, angles reduced."""
        params = check_params(self.spec, params, seeds)
        params |= {name: trig.reduced(params[name]) for name in self._angles}
        with np.errstate(over="ignore"):  # the training detects and reports infinities
            return {name: array.astype(self.dtype) for name, array in params.items()}

    @property
    def _angles(self) -> tuple[str, ...]:
        """The groups of parameters that are known to be angles."""
        if not self.spec.fast:
            return ()
        return ("weights", "readout") if self.spec.measured.rotated else ("weights",)

    def _reduced(self, X: np.ndarray) -> np.ndarray:
        angles = self.spec.fast and self.spec.encoder != "amplitude" and not self.spec.scaling
        return trig.reduced(X) if angles else X

    def _rows(self, X: np.ndarray, size: int) -> np.ndarray:
        rows = np.ones((size, self.spec.features), self.dtype)  # ones: `amplitude` cannot encode zeros
        rows[: len(X)] = self._reduced(X)
        return rows

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
        """Call the compiled program of that kind and size."""
        build = {"prepare": _prepare, "scores": _scores, "gradient": _loss_and_grad}[kind]
        return self._call((path, kind, rows), lambda: build(PATHS[path], self.spec, self.objective), *args)

    def _call(self, key: tuple[Any, ...], build: Callable[[], Callable[..., Any]], *args: Any) -> Any:
        """Call the program of that key. The first call compiles it."""
        if key not in self._programs:
            if self.spec.fingerprint() != self._computes:
                raise EngineError(
                    f"What {self.spec} computes has changed since this engine was made: make the engine anew."
                )
            with compilation_cache():
                self._programs[key] = jax.jit(build()).lower(*args).compile()
        return self._programs[key](*args)


def _score_rows(rows: int) -> int:
    """Rows of the forward program that so many take."""
    return next((size for size in SCORE_ROWS if size >= rows), SCORE_ROWS[-1])


def padded(rows: int) -> int:
    """`rows` rounded up to a multiple of 16 that is not a multiple of 256: rows of such lengths would map to
    the same sets of the processor's cache.
    """
    size = -(-rows // 16) * 16
    return size + 16 if size % 256 == 0 else size


def _paths(spec: CircuitSpec) -> tuple[str, ...]:
    """The paths that can run a circuit."""
    if not spec.fast:
        return ("blocks",)
    one_observable = not spec.reupload and spec.encoder != "amplitude"
    return ("heisenberg", "statevector") if one_observable else ("statevector",)


PATHS: dict[str, PathModule] = {"heisenberg": heisenberg, "statevector": statevector, "blocks": blocks}


def _prepare(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    def prepare(tables: Any, weights: jax.Array, readout: jax.Array) -> Any:
        return path.prepare(spec, tables, weights, readout)

    return prepare


def _scores(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    def scores(tables: Any, prepared: Any, X: jax.Array, *scaling: jax.Array) -> jax.Array:
        return path.scores(spec, tables, prepared, X, *scaling)

    return scores


def _loss_and_grad(path: PathModule, spec: CircuitSpec, objective: Objective) -> Callable[..., Any]:
    """L = sum_k w_k loss(l_k, y_k), l_k = alpha (s_k + b), with the mean's 1/B inside w. With d_k = w_k
    loss'(l_k): dL/dtheta = sum_k d_k alpha ds_k/dtheta, dL/db = sum_k d_k alpha, dL/dalpha_raw = sum_k d_k
    (s_k + b) dalpha/draw.
    """

    def loss_and_grad(
        tables: Any, params: dict[str, jax.Array], X: jax.Array, y: jax.Array, w: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        def score(weights: jax.Array, readout: jax.Array, *scaling: jax.Array) -> jax.Array:
            return path.scores(spec, tables, path.prepare(spec, tables, weights, readout), X, *scaling)

        circuit = of_circuit(params)
        s, pull = jax.vjp(score, *circuit.values())
        bias, raw = params["bias"], params["alpha"]
        logit = objective.logit(s, bias, raw)
        d = w * objective.slope(logit, y)
        grads = dict(zip(circuit, pull(objective.alpha(raw) * d), strict=True))
        grads["bias"] = objective.alpha(raw) * jnp.sum(d)
        grads["alpha"] = objective.alpha_slope(raw) * jnp.sum(d * (s + bias))
        return jnp.sum(w * objective.loss(logit, y)), grads

    return loss_and_grad


@contextlib.contextmanager
def compilation_cache() -> Iterator[None]:
    """Within this context JAX keeps compiled programs in the user's cache folder, unless the user has
    configured a folder or there is no cache folder.

    JAX's settings belong to the process, and JAX decides only once whether to use a cache, so both are
    restored.
    """
    folder = cache_folder("xla")
    if jax.config.values["jax_compilation_cache_dir"] is not None or folder is None:
        yield
        return
    settings = {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.1}
    with _COMPILING:
        before = {name: jax.config.values[name] for name in settings}
        try:
            for name, value in settings.items():
                jax.config.update(name, value)
            persistent.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            persistent.reset_cache()


_COMPILING = threading.RLock()
