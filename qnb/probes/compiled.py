"""What the probes compile with Catalyst, in the child process of `qnb.core.child`; only there is this file
imported.

Ways to evaluate a QNode on a batch and its gradient, by JAX or Catalyst, and the gradient with respect to a
Hamiltonian's coefficients. Arrays are made C-contiguous float64, because Catalyst ignores strides.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import catalyst
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from threadpoolctl import ThreadpoolController

from qnb.core.circuit import Array, CircuitSpec, Params
from qnb.core.objective import Objective


def _float64(*arrays: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(a, dtype=np.float64).reshape(np.shape(a)) for a in arrays]


class _Compiled:
    """Contenders on one QNode s(weights, readout, x), compiled or to be compiled by Catalyst."""

    all_scores: Callable[[Array, Array, Array], jax.Array]  # (weights, readout, X) -> (B,)

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str):
        self.spec, self.objective = spec, objective
        readout = spec.has_readout
        self.node = qml.QNode(
            lambda weights, readout_or_none, x: spec.score(weights, readout_or_none if readout else None, x),
            qml.device(device, wires=spec.wires),
            diff_method="adjoint",
        )

    def loss(self, params: Mapping[str, Array], X: jax.Array, y: jax.Array, w: jax.Array) -> Array:
        return self.objective.batch_loss(
            params, self.all_scores(params["weights"], params["readout"], X), y, w
        )

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        weights, readout, X = _float64(params["weights"], params["readout"], X)
        return np.asarray(self.all_scores(weights, readout, X))

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        params = dict(zip(params, _float64(*params.values()), strict=True))
        loss, grads = jax.value_and_grad(self.loss)(params, *(jnp.asarray(a) for a in _float64(X, y, w)))
        return float(loss), {k: np.asarray(v) for k, v in grads.items()}


class PythonLoop(_Compiled):
    """A compiled QNode called once per row from Python."""

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str):
        super().__init__(spec, objective, device)
        self.score = catalyst.qjit(self.node)

    def all_scores(self, weights: Array, readout: Array, X: Array) -> jax.Array:
        return jnp.stack([self.score(weights, readout, x) for x in X])


class VmapOfQjit(PythonLoop):
    """jax.vmap of a compiled QNode."""

    def all_scores(self, weights: Array, readout: Array, X: Array) -> jax.Array:
        scores: jax.Array = jax.vmap(self.score, in_axes=(None, None, 0))(weights, readout, X)
        return scores


class ScanOfQjit(PythonLoop):
    """lax.scan over a compiled QNode, outside of any qjit: the evaluation of the research note."""

    def all_scores(self, weights: Array, readout: Array, X: Array) -> jax.Array:
        scores: jax.Array = jax.lax.scan(lambda carry, x: (carry, self.score(weights, readout, x)), 0.0, X)[1]
        return scores


class _QjitOfVmap(_Compiled):
    """One qjit around a vmap of the QNode; its gradient by catalyst.grad inside the qjit."""

    vmap: ClassVar[Any]

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str):
        super().__init__(spec, objective, device)
        mapped = type(self).vmap(self.node, in_axes=(None, None, 0))
        self.all_scores = catalyst.qjit(mapped)

        def loss(
            weights: Array, readout: Array, bias: Array, alpha: Array, X: Array, y: Array, w: Array
        ) -> Array:
            return objective.batch_loss({"bias": bias, "alpha": alpha}, mapped(weights, readout, X), y, w)

        self.value_and_grad = catalyst.qjit(
            lambda *args: catalyst.value_and_grad(loss, argnums=(0, 1, 2, 3))(*args)
        )

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        names = ("weights", "readout", "bias", "alpha")
        loss, grads = self.value_and_grad(*_float64(*(params[n] for n in names), X, y, w))
        return float(loss), dict(zip(names, grads, strict=True))


class QjitOfJaxVmap(_QjitOfVmap):
    """jax.vmap inside the qjit."""

    vmap = jax.vmap


class QjitOfCatalystVmap(_QjitOfVmap):
    """catalyst.vmap inside the qjit."""

    vmap = catalyst.vmap


def coefficient_gradients(spec: CircuitSpec, params: Params, X: np.ndarray, device: str) -> np.ndarray:
    """ds/dw, (B, n), as a user would write it: catalyst.grad of the compiled QNode with respect to the
    Hamiltonian's coefficients.

    Args:
        params: weights (L, n, 3), readout (n,), and scaling where the circuit has one.
        X: (B, features).
    """
    backend = qml.device(device, wires=spec.wires)
    scaling = _float64(params["scaling"])[0] if spec.scaling else None
    node = qml.QNode(lambda w, weights, x: spec.score(weights, w, x, scaling), backend, diff_method="adjoint")
    gradient = catalyst.qjit(lambda w, weights, x: catalyst.grad(node, argnums=0)(w, weights, x))
    readout, weights, X = _float64(params["readout"], params["weights"], X)
    return np.array([np.asarray(gradient(readout, weights, x)) for x in X])


def use_threads(count: int) -> None:
    """Limit OpenMP to `count` threads in this process from now on."""
    ThreadpoolController().limit(limits=count, user_api="openmp")
