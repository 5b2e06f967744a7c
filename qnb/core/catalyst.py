"""Everything that knows Catalyst: the programs that it compiles, run in the child process of
`qnb.core.child`.

Of all formulations that were tried, one alone compiles and is right on the pinned stack
(`notebooks/gradient_audit.ipynb`): inside one qjit a `catalyst.for_loop` over the rows, in each iteration
`catalyst.value_and_grad` of one QNode call with one differentiated argument, and the chain rule through the
head written out. Do not differentiate a loss that itself contains the loop: Catalyst then returns the
gradient of one row in place of the batch's.
"""

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import catalyst
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from catalyst.utils.exceptions import CompileError

from qnb.core.circuit import Array, CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, EngineError
from qnb.core.objective import Objective
from qnb.stack import describe_stack

CHUNK = 256  # rows that a compiled forward call has room for

# (parameters, rows) -> numbers; two arguments, because each costs a call
Program = Callable[[Array, Array], jax.Array]


class Programs:
    """The compiled programs of one circuit, kept per kind and batch size.

    Parameters go in as one vector [theta, coefficients, bias, alpha]: theta is the weights, then the readout
    angles and the scaling where the circuit has them; the coefficients are the trained ones, or one unused
    number. Rows go in as X (rows, features) for scores, and as [X, y, w] (rows, features + 2) for the
    gradient.
    """

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str):
        self.spec, self.objective, self.device = spec, objective, device
        self._device = qml.device(device, wires=spec.wires)
        self._programs: dict[tuple[str, int], catalyst.QJIT] = {}
        self._weights = math.prod(spec.shapes["weights"])
        self._turns = self._weights + (3 * spec.wires if spec.measured.rotated else 0)
        self._theta = self._turns + (math.prod(spec.shapes["scaling"]) if spec.scaling else 0)
        self._coefficients = len(spec.words) if spec.measured.weighted else 1
        self._compiled: dict[int, float] = {}

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """Scores (B,) of rows X (B, features), float64, in compiled chunks of CHUNK rows.

        Raises:
            EngineError: Catalyst or the device cannot compile the program.
        """
        program, vector, scores = self._program("scores", CHUNK), self._vector(params), np.empty(len(X))
        for start in range(0, len(X), CHUNK):
            rows = X[start : start + CHUNK]
            room = np.zeros((CHUNK, X.shape[1]))
            room[: len(rows)] = rows
            scores[start : start + len(rows)] = self._call(program, np.append(vector, len(rows)), room)[
                : len(rows)
            ]
        return scores

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`.

        Raises:
            EngineError: Catalyst or the device cannot compile the program.
        """
        program = self._program("gradient", len(X))
        numbers = self._call(program, self._vector(params), np.column_stack([X, y, w]))
        ends = np.cumsum([1, self._theta, self._coefficients, 1])
        loss, theta, coefficients, bias, alpha = np.split(numbers, ends)
        weights, angles, scaling = self._split(theta)
        unused = self.spec.measured.rotated and not self.spec.measured.weighted
        return float(loss[0]), {
            "weights": np.asarray(weights),
            "readout": np.append([] if unused else coefficients, angles),
            "bias": bias.reshape(()),
            "alpha": alpha.reshape(()),
        } | ({} if scaling is None else {"scaling": np.asarray(scaling)})

    def compile(self, batch: int) -> float:
        """Compile what training with this batch size needs, unless it is compiled already.

        For the encoder `amplitude`, which has no gradient here, that is the forward program alone.

        Returns:
            The seconds that the compilation took when it was made.

        Raises:
            EngineError: Catalyst or the device cannot compile a program.
        """
        if batch not in self._compiled:
            started = time.perf_counter()
            params, row = (
                self.spec.init(0, self.objective.alpha_mode),
                np.linspace(0.1, 1, self.spec.features),
            )
            self.scores(params, row[None])
            if self.spec.encoder != "amplitude":
                self.loss_and_grad(params, np.tile(row, (batch, 1)), np.zeros(batch), np.ones(batch))
            self._compiled[batch] = time.perf_counter() - started
        return self._compiled[batch]

    def compiled(self) -> dict[tuple[str, int], int]:
        """The identity of each program's binary, by (kind, rows). It changes only when something is
        compiled.
        """
        return {key: id(program.compiled_function) for key, program in self._programs.items()}

    def _vector(self, params: Params) -> np.ndarray:
        readout, measured = params["readout"], self.spec.measured
        angles = self.spec.angles(readout) if measured.rotated else np.zeros(0)
        coefficients = self.spec.coefficients(readout) if measured.weighted else np.zeros(1)
        head = params["bias"].reshape(1), params["alpha"].reshape(1)
        scaling = params["scaling"].ravel() if self.spec.scaling else np.zeros(0)
        return np.concatenate([params["weights"].ravel(), angles, scaling, coefficients, *head])

    def _program(self, kind: str, rows: int) -> catalyst.QJIT:
        key = (kind, rows)
        if key not in self._programs:
            # their parameters are annotated with a union: where all are plain types, qjit
            # compiles ahead of time, for those types
            build = {"scores": self._scores_program, "gradient": self._gradient_program}[kind]
            with self._in_words(kind):
                self._programs[key] = catalyst.qjit(build(rows), autograph=False)
        return self._programs[key]

    def _call(self, program: catalyst.QJIT, *args: np.ndarray) -> np.ndarray:
        # Catalyst 0.15.0 ignores strides: an array that is not C-contiguous is silently read in the
        # wrong order.
        arrays = [np.ascontiguousarray(a, dtype=np.float64) for a in args]
        with self._in_words(program.__name__):
            if program.compiled_function is None:
                return np.asarray(program(*arrays))
            with _pointer_types_of_one_call():
                return np.asarray(program(*arrays))

    @contextlib.contextmanager
    def _in_words(self, name: str) -> Iterator[None]:
        """Turn what Catalyst or the device refuses into an EngineError that names the circuit and the
        stack.
        """
        try:
            yield
        except (CompileError, qml.exceptions.QuantumFunctionError, ValueError) as error:
            last = "\n".join(str(error).strip().splitlines()[-5:])
            hint = "" if self.device == DEFAULT_DEVICE else f" Its own device is {DEFAULT_DEVICE!r}."
            raise EngineError(
                f"Catalyst could not compile the {name} of {self.spec} for device={self.device!r}.{hint}\n"
                f"Stack: {describe_stack()}\nLast lines of the compiler:\n{last}"
            ) from error

    def _qnode(self, body: Callable[..., Any]) -> qml.QNode:
        return qml.QNode(body, self._device, diff_method="adjoint")

    def _score_qnode(self) -> qml.QNode:
        """s(theta, coefficients, x), with coefficients that are trained as plain run-time values."""
        spec = self.spec

        def score(theta: jax.Array, coefficients: jax.Array, x: jax.Array) -> qml.measurements.ExpectationMP:
            weights, angles, scaling = self._split(theta)
            spec.queue(weights, angles, x, scaling)
            return qml.expval(spec.observable(coefficients if spec.measured.weighted else None))

        return self._qnode(score)

    def _split(self, theta: Array) -> tuple[Array, Array, Array | None]:
        """(weights, angles of the readout, scaling where it is trained)."""
        shapes, scaling = self.spec.shapes, theta[self._turns :]
        weights = theta[: self._weights].reshape(shapes["weights"])
        angles = theta[self._weights : self._turns]
        return weights, angles, scaling.reshape(shapes["scaling"]) if self.spec.scaling else None

    def _unpack(self, p: Array) -> tuple[Array, Array, Array, Array]:
        """(theta, coefficients, bias, raw alpha)."""
        return p[: self._theta], p[self._theta : -2], p[-2], p[-1]

    def _scores_program(self, rows: int) -> Program:
        """Scores of the first k rows of X (rows, features), then zeros; k is the last entry of the
        parameters.
        """
        score = self._score_qnode()

        def scores(p: Array, X: Array) -> jax.Array:
            theta, coefficients, _, _ = self._unpack(p[:-1])
            count = p[-1].astype(int)

            def row(k: jax.Array, out: jax.Array) -> jax.Array:
                return out.at[k].set(score(theta, coefficients, X[k]))

            row_scores: jax.Array = catalyst.for_loop(0, count, 1)(row)(jnp.zeros(rows))
            return row_scores

        return scores

    def _gradient_program(self, rows: int) -> Program:
        """L = mean_k w_k loss(l_k, y_k), l_k = alpha (s_k + b). With d_k = w_k loss'(l_k) / B:
        dL/dtheta = sum_k d_k alpha ds_k/dtheta, dL/db = sum_k d_k alpha, dL/dalpha_raw = sum_k d_k (s_k + b)
        dalpha/draw. Returns [L, dL/dtheta, dL/dcoefficients, dL/db, dL/dalpha_raw].
        """
        value, objective, features = self._value_qnode(), self.objective, self.spec.features

        def gradient(p: Array, D: Array) -> jax.Array:
            theta, coefficients, bias, raw = self._unpack(p)
            alpha, alpha_slope = objective.alpha(raw), objective.alpha_slope(raw)

            def row(k: jax.Array, total: jax.Array) -> jax.Array:
                x, y, w = D[k, :features], D[k, features], D[k, features + 1]
                s, ds_theta, ds_coefficients = value(theta, coefficients, x)
                logit = alpha * (s + bias)
                d = w * objective.slope(logit, y) / rows
                loss = w * objective.loss(logit, y) / rows
                head = jnp.stack([d * alpha, d * (s + bias) * alpha_slope])
                return total + jnp.concatenate(
                    [loss[None], d * alpha * ds_theta, d * alpha * ds_coefficients, head]
                )

            size = self._theta + self._coefficients + 3
            sums: jax.Array = catalyst.for_loop(0, rows, 1)(row)(jnp.zeros(size))
            return sums

        return gradient

    def _value_qnode(self) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
        """(theta, coefficients, x) -> s, ds/dtheta, ds/dcoefficients of one row.

        Catalyst's gradient with respect to Hamiltonian coefficients is silently zero, so where they are
        trained the identity ds/dc_k = <P_k> is used, from a forward pass that returns the expectation values.
        """
        score, spec = self._score_qnode(), self.spec
        if not spec.measured.weighted:

            def value(
                theta: jax.Array, coefficients: jax.Array, x: jax.Array
            ) -> tuple[jax.Array, jax.Array, jax.Array]:
                s, ds = catalyst.value_and_grad(score, argnums=0)(theta, coefficients, x)
                return s, ds, jnp.zeros(self._coefficients)

            return value

        def expectations(theta: jax.Array, x: jax.Array) -> tuple[qml.measurements.ExpectationMP, ...]:
            weights, angles, scaling = self._split(theta)
            spec.queue(weights, angles, x, scaling)
            return tuple(qml.expval(word) for word in spec.observables())

        expectations = self._qnode(expectations)

        def value_of_trained(
            theta: jax.Array, coefficients: jax.Array, x: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            p = jnp.stack(expectations(theta, x))
            return jnp.dot(coefficients, p), catalyst.grad(score, argnums=0)(theta, coefficients, x), p

        return value_of_trained


@contextlib.contextmanager
def _pointer_types_of_one_call() -> Iterator[None]:
    """Forget the pointer types that a call makes.

    Catalyst 0.15.0 describes the arguments of every call by ctypes classes of their own, and ctypes keeps a
    pointer type for each class for ever: 53 kB a call with seven arguments. Those of a program's first call
    are kept, for its results are read through them.
    """
    kept: dict[Any, Any] = ctypes._pointer_type_cache  # type: ignore[attr-defined]  # insertion-ordered
    before = len(kept)
    yield
    while len(kept) > before:
        kept.popitem()
