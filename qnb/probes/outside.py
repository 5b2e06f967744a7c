"""A training core as a Catalyst user would write it outside this package: compiled scores, a loss over
lax.scan, and two ways to differentiate it.

It compiles, so it is imported only in the child process: `child().call("qnb.probes.outside:check")`.
"""

from collections.abc import Callable
from typing import Any

import catalyst
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from qnb.probes.audit_verdicts import BY_CATALYST, BY_JAX, gate

WIRES = 4
Array = jax.Array | np.ndarray  # traced, or a plain one
Params = dict[str, Array]  # weights (L, 4, 3) and bias ()
Loss = Callable[[Params, Array, Array, Array, Array], jax.Array]  # of params, coefficients, X, y, w
Gradient = Callable[[Params, Array, Array, Array, Array], Params]


def circuit(weights: Array, coefficients: Array, x: Array) -> Any:
    """Body of the QNode: weights (L, 4, 3), coefficients (4,), x (4,) in radians -> a score."""
    for i in range(WIRES):
        qml.RY(x[i], wires=i)
    for layer in range(weights.shape[0]):
        for i in range(WIRES):
            qml.RZ(weights[layer, i, 0], wires=i)
            qml.RY(weights[layer, i, 1], wires=i)
            qml.RZ(weights[layer, i, 2], wires=i)
        for i in range(WIRES):
            qml.CNOT(wires=[i, (i + 1) % WIRES])
    return qml.expval(qml.Hamiltonian(coefficients, [qml.PauliZ(i) for i in range(WIRES)]))


NODE = qml.QNode(circuit, qml.device("lightning.qubit", wires=WIRES), diff_method="adjoint")


def cross_entropy(scores: Array, bias: Array, y: Array, w: Array) -> jax.Array:
    """Weighted mean of the binary cross-entropy of logits scores + bias, in nats; scores, y, w: (B,)."""
    logits = scores + bias
    return jnp.mean(w * (jax.nn.softplus(logits) - y * logits))


def build() -> tuple[Loss, Gradient, Gradient, Params, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A loss, two claimed gradients of it, and a point to check them at: (loss, by_catalyst, by_jax, params,
    coefficients, X, y, w).

    `by_catalyst` differentiates the loss over the scan inside one qjit; `by_jax` differentiates outside,
    with jax.grad around the compiled score.
    """
    score = catalyst.qjit(NODE)

    def scanned(weights: Array, bias: Array, coefficients: Array, X: Array, y: Array, w: Array) -> jax.Array:
        _, scores = jax.lax.scan(lambda carry, x: (carry, score(weights, coefficients, x)), 0.0, X)
        return cross_entropy(scores, bias, y, w)

    def gradient(weights: Array, bias: Array, coefficients: Array, *batch: Array) -> Any:
        # asked for the coefficients too, which is what makes it compile on Catalyst 0.15.0
        return catalyst.grad(lambda *p: scanned(*p, *batch), argnums=(0, 1, 2))(weights, bias, coefficients)

    compiled_loss, compiled_gradient = catalyst.qjit(scanned), catalyst.qjit(gradient)

    def loss(p: Params, *batch: Array) -> jax.Array:
        value: jax.Array = compiled_loss(p["weights"], p["bias"], *batch)
        return value

    def by_catalyst(p: Params, *batch: Array) -> Params:
        weights, bias, _ = compiled_gradient(p["weights"], p["bias"], *batch)
        return {"weights": weights, "bias": bias}

    def by_jax(p: Params, coefficients: Array, X: Array, y: Array, w: Array) -> Params:
        def loss(p: Params) -> jax.Array:
            return cross_entropy(
                jnp.stack([score(p["weights"], coefficients, x) for x in X]), p["bias"], y, w
            )

        grads: Params = jax.grad(loss)(p)
        return grads

    rng = np.random.default_rng(0)
    params: Params = {"weights": rng.normal(size=(2, WIRES, 3)), "bias": np.array(0.1)}
    coefficients, X = np.array([0.7, 0.3, -0.2, 0.5]), rng.uniform(0, np.pi, (4, WIRES))
    return (
        loss,
        by_catalyst,
        by_jax,
        params,
        coefficients,
        X,
        np.array([1.0, 0.0, 1.0, 0.0]),
        np.array([0.5, 1.0, 2.0, 1.5]),
    )


def check() -> dict[str, dict[str, Any]]:
    """The gate's reports on both gradients, see `qnb.probes.audit_verdicts.gate`."""
    loss, by_catalyst, by_jax, *arguments = build()
    return gate({BY_CATALYST: by_catalyst, BY_JAX: by_jax}, loss, *arguments)
