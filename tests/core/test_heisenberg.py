"""The steps of the observable path against their plain definitions, by matrices."""

import functools

import jax
import numpy as np
import pytest

from qnb.core import heisenberg
from qnb.core.circuit import CircuitSpec
from qnb.core.heisenberg import _conjugate, bloch_features, bloch_rotation, contract, plan

PAULI = np.array([np.eye(2), [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]])  # I, X, Z, Y


def rz(a):
    return np.diag([np.exp(-0.5j * a), np.exp(0.5j * a)])


def ry(a):
    return np.array([[np.cos(a / 2), -np.sin(a / 2)], [np.sin(a / 2), np.cos(a / 2)]])


def rx(a):
    return np.array([[np.cos(a / 2), -1j * np.sin(a / 2)], [-1j * np.sin(a / 2), np.cos(a / 2)]])


def string_matrix(string, wires):
    return functools.reduce(np.kron, [PAULI[(string >> 2 * (wires - 1 - i)) & 3] for i in range(wires)])


def cnot_matrix(control, target, wires):
    k = np.arange(2**wires)
    image = k ^ (((k >> (wires - 1 - control)) & 1) << (wires - 1 - target))
    return np.eye(2**wires)[:, image].T


def test_bloch_rotation():
    a, b, c = angles = np.array([0.3, -1.1, 2.0])
    u = rz(c) @ ry(b) @ rz(a)
    expected = [[np.trace(u.conj().T @ p @ u @ q).real / 2 for q in PAULI] for p in PAULI]
    np.testing.assert_allclose(bloch_rotation(angles), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("encoder", "hadamard", "gates"),
    [("angle_y", False, [ry]), ("angle_y", True, [lambda x: (PAULI[1] + PAULI[2]) / 2**0.5, ry]), ("angle_xy", False, [rx, ry])],
)
def test_bloch_features(encoder, hadamard, gates):
    x = 0.7
    state = functools.reduce(lambda v, gate: gate(x) @ v, gates, np.array([1, 0]))
    vector = [np.vdot(state, p @ state).real for p in PAULI]
    spec = CircuitSpec(1, encoder=encoder, hadamard=hadamard)
    found = bloch_features(spec, np.array([[x]]))[0, :, 0]
    np.testing.assert_allclose(found, vector[: heisenberg.features(spec)], atol=1e-6)
    assert heisenberg.features(spec) == 4 or abs(vector[3]) < 1e-12


def test_cnots_are_signed_permutations_of_pauli_strings():
    wires, cnots = 3, CircuitSpec(3).cnots(0)
    u = functools.reduce(lambda m, pair: cnot_matrix(*pair, wires) @ m, cnots, np.eye(8))
    strings = np.arange(4**wires)
    images, signs = _conjugate(strings, cnots, range(wires))
    for string, image, sign in zip(strings, images, signs, strict=True):
        np.testing.assert_allclose(u.T @ string_matrix(string, wires) @ u, sign * string_matrix(image, wires), atol=1e-12)


def test_coefficients_are_those_of_the_evolved_observable():
    spec, rng = CircuitSpec(4, 3, measurement="z_vec"), np.random.default_rng(0)
    weights, readout = rng.normal(size=spec.shapes["weights"]), rng.normal(size=4)
    u = np.eye(16)
    for layer in range(3):
        u = functools.reduce(np.kron, [rz(c) @ ry(b) @ rz(a) for a, b, c in weights[layer]]) @ u
        for pair in spec.cnots(layer):
            u = cnot_matrix(*pair, 4) @ u
    z = sum(r * string_matrix(heisenberg.Z << 2 * (3 - i), 4) for i, r in enumerate(readout))
    evolved = u.conj().T @ z @ u
    found = np.asarray(jax.jit(functools.partial(heisenberg.prepare, spec))(heisenberg.tables(spec), weights, readout)).ravel()
    assert plan(spec).order == (0, 2, 1, 3)  # layer 1 leaves even and odd wires apart
    for k, value in enumerate(found):
        paulis = [k // 3 ** (3 - place) % 3 for place in range(4)]
        matrix = functools.reduce(np.kron, [PAULI[paulis[plan(spec).order.index(i)]] for i in range(4)])
        assert abs(value - np.trace(evolved @ matrix).real / 16) < 1e-5


def test_contract_and_its_gradient():
    rng = np.random.default_rng(0)
    C, left, right, g = (rng.normal(size=s).astype("f4") for s in ((9, 27), (2, 3, 20), (3, 3, 20), (20,)))
    left[:, 0] = right[:, 0] = 1
    s, pull = jax.vjp(contract, C, left, right)
    u, v = (np.stack([functools.reduce(np.kron, f[:, :, b]) for b in range(20)], 1) for f in (left, right))
    np.testing.assert_allclose(s, np.einsum("jk,jb,kb->b", C, u, v), rtol=1e-4, atol=1e-4)
    d_C, d_left, _ = pull(g)
    np.testing.assert_allclose(d_C, np.einsum("jb,kb,b->jk", u, v, g), rtol=1e-4, atol=1e-4)
    assert np.isnan(d_left).all()  # not differentiable in x, and not silently so


def test_plan_keeps_halves_apart_only_where_the_cnots_do():
    assert plan(CircuitSpec(8, 3)).apart == 1
    assert plan(CircuitSpec(8, 2)).apart == plan(CircuitSpec(7, 3)).apart == plan(CircuitSpec(8, 3, ansatz="ring")).apart == 0
    assert plan(CircuitSpec(5)).left == (0, 1, 2)
