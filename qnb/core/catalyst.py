"""Engine "catalyst": the circuit compiled by PennyLane Catalyst for Lightning, differentiated by the adjoint method.

All that knows Catalyst is in this file. One formulation is used because, of all that were tried, it alone compiles and is right
on the pinned stack (`notebooks/gradient_audit.ipynb`): inside one qjit a `catalyst.for_loop` over the rows, in each iteration
`catalyst.value_and_grad` of one QNode call with one differentiated argument, and the chain rule through the head written out.
A loss that itself contains the loop must not be differentiated: Catalyst then returns the gradient of one row for the batch's.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import catalyst
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from catalyst.utils.exceptions import CompileError
from threadpoolctl import ThreadpoolController

from qnb.core.circuit import Array, CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, EngineError, check_batch, check_params
from qnb.core.objective import Objective
from qnb.errors import ParameterError, nearest
from qnb.stack import describe_stack

EVALUATION_CHUNK = 256  # rows per compiled forward call; the tail is padded to it

# A compiled function called from two threads at once aborts the process, so calls take turns.
_ONE_AT_A_TIME = threading.Lock()


class CatalystEngine:
    """See `qnb.core.engine.Engine`. float64; compiled programs are kept per kind and batch size."""

    name = "catalyst"
    dtype = np.dtype(np.float64)

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str = DEFAULT_DEVICE):
        self.spec, self.objective, self.device = spec, objective, device
        self._device = _open_device(device, spec.wires)
        self._threads = ThreadpoolController()  # after the device has loaded its OpenMP runtime
        self._programs: dict[tuple[str, int], catalyst.QJIT] = {}
        self._split = spec.layers * spec.wires * 3  # theta = weights, then the readout angles if they are gates

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """Scores of any number of rows, in compiled chunks of EVALUATION_CHUNK."""
        (X,) = check_batch(self.spec, X)
        program = self._program("scores", EVALUATION_CHUNK)
        theta, readout = self._theta(check_params(self.spec, params))
        out = np.empty(len(X))
        for start in range(0, len(X), EVALUATION_CHUNK):
            chunk = X[start : start + EVALUATION_CHUNK]
            padded = np.pad(chunk, ((0, EVALUATION_CHUNK - len(chunk)), (0, 0)), mode="edge")
            out[start : start + len(chunk)] = self._call(program, theta, readout, padded)[0][: len(chunk)]
        return out

    def loss_and_grad(self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, Params]:
        """Raises EngineError for `amplitude`, which Catalyst cannot differentiate."""
        X, y, w = check_batch(self.spec, X, y, w)
        if self.spec.encoder == "amplitude":
            raise EngineError(
                "engine='catalyst' cannot train encoder='amplitude': the compiler has no gradient of state preparation. "
                "Its scores are available; to train, use encoder='angle_y' or 'angle_xy'."
            )
        params = check_params(self.spec, params)
        theta, readout = self._theta(params)
        program = self._program("gradient", len(X))
        arguments = (theta, readout, params["bias"], params["alpha"], X, y, w)
        loss, g_theta, g_readout, g_bias, g_alpha = self._call(program, *arguments)
        g_weights = np.asarray(g_theta[: self._split]).reshape(self.spec.shapes["weights"])
        if self.spec.measured.rotated:
            g_readout = g_theta[self._split :]
        grads = {"weights": g_weights, "readout": g_readout, "bias": g_bias, "alpha": g_alpha}
        return float(loss), {k: np.asarray(v) for k, v in grads.items()}

    def compile(self, batch: int) -> float:
        """See `qnb.core.engine.Engine`."""
        started = time.perf_counter()
        params, row = self.spec.init(0, self.objective.alpha_mode), np.linspace(0.1, 1, self.spec.features)
        self.scores(params, row[None])
        self.loss_and_grad(params, np.tile(row, (batch, 1)), np.zeros(batch), np.ones(batch))
        return time.perf_counter() - started

    def _theta(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """(theta, readout): the differentiated flat vector, and the vector of `z_vec` coefficients (unused otherwise)."""
        weights, readout = params["weights"], params["readout"]
        if self.spec.measured.rotated:
            return np.concatenate([weights.ravel(), readout]), np.zeros(1)
        return weights.ravel(), readout

    def _program(self, kind: str, rows: int) -> catalyst.QJIT:
        key = (kind, rows)
        if key not in self._programs:
            # their parameters are annotated with a union: where all are plain types, qjit compiles ahead of time, for those types
            build = {"scores": self._scores_program, "gradient": self._gradient_program}[kind]
            self._programs[key] = catalyst.qjit(build(rows), autograph=False)
        return self._programs[key]

    def _call(self, program: catalyst.QJIT, *args: np.ndarray) -> tuple[np.ndarray, ...]:
        # Catalyst 0.15.0 ignores strides: an array that is not C-contiguous is silently read in the wrong order.
        arrays = [np.ascontiguousarray(a, dtype=np.float64).reshape(np.shape(a)) for a in args]
        try:
            # Gates on few wires are far too small to share between OpenMP threads: more threads are slower.
            with _ONE_AT_A_TIME, self._threads.limit(limits=1, user_api="openmp"):
                return tuple(np.asarray(r) for r in program(*arrays))
        except CompileError as error:
            last = "\n".join(str(error).strip().splitlines()[-5:])
            raise EngineError(
                f"Catalyst could not compile the {program.__name__} of {self.spec} on {self.device}.\n"
                f"Stack: {describe_stack()}\nLast lines of the compiler:\n{last}"
            ) from error

    def _qnode(self, body: Callable[..., Any]) -> qml.QNode:
        return qml.QNode(body, self._device, diff_method="adjoint")

    def _unpack(self, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        return theta[: self._split].reshape(self.spec.shapes["weights"]), theta[self._split :]

    def _score_qnode(self) -> qml.QNode:
        """s(theta, readout, x), with the coefficients of `z_vec` as plain run-time values."""

        def score(theta: jax.Array, readout: jax.Array, x: jax.Array) -> qml.measurements.ExpectationMP:
            weights, angles = self._unpack(theta)
            return self.spec.score(weights, readout if self.spec.measured.weighted else angles, x)

        return self._qnode(score)

    def _scores_program(self, rows: int) -> Callable[..., tuple[jax.Array]]:
        score = self._score_qnode()

        def scores(theta: Array, readout: Array, X: Array) -> tuple[jax.Array]:
            def row(k: jax.Array, out: jax.Array) -> jax.Array:
                return out.at[k].set(score(theta, readout, X[k]))

            return (catalyst.for_loop(0, rows, 1)(row)(jnp.zeros(rows)),)

        return scores

    def _gradient_program(self, rows: int) -> Callable[..., tuple[jax.Array, ...]]:
        """L = mean_k w_k loss(l_k, y_k), l_k = alpha (s_k + b). With d_k = w_k loss'(l_k) / B:
        dL/dtheta = sum_k d_k alpha ds_k/dtheta, dL/db = sum_k d_k alpha, dL/dalpha_raw = sum_k d_k (s_k + b) dalpha/draw."""
        value = self._value_qnode()
        objective, size, readout_size = self.objective, self._theta_size(), self.spec.readout_size

        def gradient(
            theta: Array, readout: Array, bias: Array, alpha_raw: Array, X: Array, y: Array, w: Array
        ) -> tuple[jax.Array, ...]:
            alpha, alpha_slope = objective.alpha(alpha_raw), objective.alpha_slope(alpha_raw)

            def row(
                k: jax.Array, loss: jax.Array, g_theta: jax.Array, g_readout: jax.Array, g_bias: jax.Array, g_alpha: jax.Array
            ) -> tuple[jax.Array, ...]:
                s, ds_theta, ds_readout = value(theta, readout, X[k])
                logit = alpha * (s + bias)
                d = w[k] * objective.slope(logit, y[k]) / rows
                loss = loss + w[k] * objective.loss(logit, y[k]) / rows
                g_theta = g_theta + d * alpha * ds_theta
                g_readout = g_readout + d * alpha * ds_readout
                return loss, g_theta, g_readout, g_bias + d * alpha, g_alpha + d * (s + bias) * alpha_slope

            zero = jnp.zeros(())
            start = (zero, jnp.zeros(size), jnp.zeros(readout_size), zero, zero)
            sums: tuple[jax.Array, ...] = catalyst.for_loop(0, rows, 1)(row)(*start)
            return sums

        return gradient

    def _theta_size(self) -> int:
        return self._split + (self.spec.readout_size if self.spec.measured.rotated else 0)

    def _value_qnode(self) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
        """(theta, readout, x) -> s, ds/dtheta, ds/dreadout of one row.

        Catalyst's gradient with respect to Hamiltonian coefficients is silently zero, so `z_vec` uses the identity
        ds/dw_i = <Z_i>, from a forward pass that returns the n expectation values.
        """
        score, spec = self._score_qnode(), self.spec
        if not spec.measured.weighted:

            def value(theta: jax.Array, readout: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
                s, ds = catalyst.value_and_grad(score, argnums=0)(theta, readout, x)
                return s, ds, jnp.zeros(spec.readout_size)

            return value

        def expectations(theta: jax.Array, x: jax.Array) -> tuple[qml.measurements.ExpectationMP, ...]:
            spec.apply(self._unpack(theta)[0], None, x)
            return tuple(qml.expval(qml.PauliZ(i)) for i in range(spec.wires))

        expectations = self._qnode(expectations)

        def value_of_z_vec(theta: jax.Array, readout: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            z = jnp.stack(expectations(theta, x))
            return jnp.dot(readout, z), catalyst.grad(score, argnums=0)(theta, readout, x), z

        return value_of_z_vec


def _open_device(name: str, wires: int) -> qml.devices.Device:
    try:
        return qml.device(name, wires=wires)
    except qml.exceptions.DeviceError as error:
        installed = sorted(n for n in qml.plugin_devices if n.startswith("lightning."))
        raise ParameterError(f"device = {name!r} is not installed ({error}). {nearest(name, installed)}") from None
