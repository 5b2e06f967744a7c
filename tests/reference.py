"""Independent references: the circuit on PennyLane's default.qubit through JAX, and in plain numpy matrices; angles in rationals."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from jax.experimental import enable_x64


def score_function(spec):
    """s(weights, readout, x[, scaling]) on default.qubit, differentiable by backpropagation through JAX."""
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=spec.wires), diff_method="backprop", interface="jax")
    return enable_x64()(lambda *args: jnp.real(node(*args)))


@enable_x64()
def loss_and_grad(spec, objective, params, X, y, w):
    """Loss and gradient of a batch; vmap over the rows, autodiff through head and circuit. Not jitted: compiling takes longer."""
    score = score_function(spec)

    def loss(p):
        s = jax.vmap(lambda x: score(p["weights"], p["readout"], x, p.get("scaling")))(jnp.asarray(X))
        logit = (jax.nn.softplus(p["alpha"]) + 1e-3 if objective.alpha_mode == "softplus" else p["alpha"]) * (s + p["bias"])
        p_true = jax.nn.sigmoid((2 * y - 1) * logit)
        return jnp.mean(w * -((1 - p_true) ** objective.focal_gamma) * jnp.log(p_true))

    value, grads = jax.value_and_grad(loss)({k: jnp.asarray(v) for k, v in params.items()})
    return float(value), {k: np.asarray(v) for k, v in grads.items()}


def dense_score(spec, params, x):
    """The score from 2^n x 2^n matrices, written from docs/formulas.md without PennyLane. Wire 0 is the leftmost factor."""
    X, Y, Z, one = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]), np.eye(2)
    n = spec.wires

    def on(wire, matrix):
        factors = [one] * n
        factors[wire] = matrix
        out = np.eye(1)
        for factor in factors:
            out = np.kron(out, factor)
        return out

    def rotation(pauli, angle):
        return np.cos(angle / 2) * one - 1j * np.sin(angle / 2) * pauli

    def cnot(control, target):
        return on(control, np.diag([1, 0])) + on(control, np.diag([0, 1])) @ on(target, X)

    def rz_ry_rz(state, wire, angles):
        for pauli, angle in zip((Z, Y, Z), angles, strict=True):
            state = on(wire, rotation(pauli, angle)) @ state
        return state

    def encode(state, x):
        if spec.encoder == "amplitude":
            return (x / np.linalg.norm(x)).astype(complex)
        for i in range(n):
            if spec.hadamard:
                state = on(i, (X + Z) / np.sqrt(2)) @ state
            if spec.encoder == "angle_xy":
                state = on(i, rotation(X, x[i])) @ state
            state = on(i, rotation(Y, x[i])) @ state
        return state

    state = np.zeros(2**n, complex)
    state[0] = 1
    for layer in range(spec.layers):
        if layer == 0 or spec.reupload:
            state = encode(state, params["scaling"][layer] * x if spec.scaling else x)
        for i in range(n):
            state = rz_ry_rz(state, i, params["weights"][layer, i])
        reach = layer % (n - 1) + 1 if n > 1 and spec.ansatz == "strongly_entangling" else 1
        for i in range(n if n > 1 and spec.ansatz != "unentangled" else 0):
            state = cnot(i, (i + reach) % n) @ state
    if spec.measurement == "mean_z_readout":
        for i in range(n):
            state = rz_ry_rz(state, i, params["readout"].reshape(n, 3)[i])
    z = np.array([np.real(state.conj() @ on(i, Z) @ state) for i in range(n)])
    if spec.measurement == "parity":
        signs = [(-1) ** bin(k).count("1") for k in range(2**n)]
        return signs @ np.abs(state) ** 2
    return {"z0": z[0], "z_vec": params["readout"][:n] @ z if spec.measurement == "z_vec" else 0}.get(spec.measurement, z.mean())


def random_params(spec, rng, scale=0.7):
    """Parameters away from the start, so that no gradient is small by accident."""
    return {k: v + scale * rng.normal(size=v.shape) for k, v in spec.init(0).items()}


def pi_to(bits):
    """pi as a fraction, by Machin's 16 atan(1/5) - 4 atan(1/239) in integers."""
    one = 1 << bits

    def atan_of_inverse(n):
        term, total, k = one // n, 0, 0
        while term:
            total += (-1) ** k * (term // (2 * k + 1))
            term //= n * n
            k += 1
        return total

    return Fraction(16 * atan_of_inverse(5) - 4 * atan_of_inverse(239), one)


PI = pi_to(1200)  # 1e300 has 997 bits before the point


def turned(x):
    """x, a fraction or a float64, modulo 2 pi, in [-pi, pi]."""
    x = Fraction(x)
    return float(x - 2 * PI * round(x / (2 * PI)))
