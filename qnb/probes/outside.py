"""A core from outside the package, as a Catalyst user writes it: compiled scores, a loss over lax.scan, and two ways to its gradient."""

import catalyst
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

WIRES = 4


@qml.qnode(qml.device("lightning.qubit", wires=WIRES), diff_method="adjoint")
def circuit(weights, coefficients, x):
    """weights (L, 4, 3), coefficients (4,), x (4,) -> a score."""
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


def cross_entropy(scores, bias, y, w):
    """Weighted mean of the binary cross-entropy of logits scores + bias, in nats."""
    logits = scores + bias
    return jnp.mean(w * (jax.nn.softplus(logits) - y * logits))


def build():
    """(loss, by_catalyst, by_jax, params, coefficients, X, y, w): a loss, two claims of its gradient, and where to check them.

    `by_catalyst` differentiates the loss over the scan inside one qjit; `by_jax` lets JAX differentiate around the compiled score.
    """
    score = catalyst.qjit(circuit)

    def scanned(weights, bias, coefficients, X, y, w):
        _, scores = jax.lax.scan(lambda carry, x: (carry, score(weights, coefficients, x)), 0.0, X)
        return cross_entropy(scores, bias, y, w)

    compiled_loss = catalyst.qjit(scanned)

    @catalyst.qjit
    def compiled_gradient(weights, bias, coefficients, *batch):
        # asked for the coefficients too, which is what makes it compile on Catalyst 0.15.0
        return catalyst.grad(lambda *p: scanned(*p, *batch), argnums=(0, 1, 2))(weights, bias, coefficients)

    def loss(p, *batch):
        return compiled_loss(p["weights"], p["bias"], *batch)

    def by_catalyst(p, *batch):
        weights, bias, _ = compiled_gradient(p["weights"], p["bias"], *batch)
        return {"weights": weights, "bias": bias}

    def by_jax(p, coefficients, X, y, w):
        def loss(p):
            return cross_entropy(jnp.stack([score(p["weights"], coefficients, x) for x in X]), p["bias"], y, w)

        return jax.grad(loss)(p)

    rng = np.random.default_rng(0)
    params = {"weights": rng.normal(size=(2, WIRES, 3)), "bias": np.array(0.1)}
    coefficients, X = np.array([0.7, 0.3, -0.2, 0.5]), rng.uniform(0, np.pi, (4, WIRES))
    return loss, by_catalyst, by_jax, params, coefficients, X, np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.5, 1.0, 2.0, 1.5])
