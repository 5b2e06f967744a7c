"""The state path of the exact engine: the states of a whole batch, gate by gate, without complex numbers.

A state is a pair (re, im) of arrays (2^n, B), batch last. Every circuit is a sequence of four kinds of steps:
    Phase    e^{i theta_k} on basis state k: all RZ of a layer at once, and those of the next layer behind the permutation
    Real     a real 2 x 2 matrix per wire: RY, or Hadamard; multiplied out over groups of wires
    Permute  the CNOTs of a layer
    Encode   RZ(x_i) on every wire of every row; RY(x) = S H RZ(x) H S^+ and RX(x) = H RZ(x) H bring re-uploading down to it.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from qnb.products import groups, grow, inverse, kron, permute, spread

GROUP = 4  # wires whose matrices are multiplied out: 16 x 16 blocks


class Phase(NamedTuple):
    angle: object  # (2^n,)

    def __call__(self, state, rows):
        re, im = state
        cos, sin = jnp.cos(self.angle)[:, None], jnp.sin(self.angle)[:, None]
        return (re * cos, re * sin) if im is None else (re * cos - im * sin, re * sin + im * cos)


class Real(NamedTuple):
    blocks: tuple  # per group of g wires (2^g, 2^g)

    def __call__(self, state, rows):
        return tuple(None if part is None else self._apply(part) for part in state)

    def _apply(self, part):
        shape, before = part.shape, 1
        for block in self.blocks:
            part = jnp.matmul(block, part.reshape(before, len(block), -1))
            before *= len(block)
        return part.reshape(shape)


class Permute(NamedTuple):
    there: object  # (2^n,) int32
    back: object

    def __call__(self, state, rows):
        return tuple(None if part is None else permute(part, self.there, self.back) for part in state)


class Encode(NamedTuple):
    def __call__(self, state, rows):
        return _multiply(state, rows)


def tables(spec) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per layer, the CNOTs as a permutation of the basis states: (there, back), int32 (2^n,) each."""
    return [_cnot_permutation(spec, layer) for layer in range(spec.layers)]


def prepare(spec, tables, weights, readout):
    """All that depends on the parameters only.

    Args:
        tables: from `tables`, as arrays.
        weights: (layers, n, 3); readout: (readout_size,).

    Returns:
        steps (list of the classes above) and the diagonal of the observable, (2^n,).
    """
    steps, angle = [], None  # angle: the phases not yet applied

    def phase(half_turns):  # RZ(phi) = e^{-i phi / 2} on bit 0, e^{+i phi / 2} on bit 1
        nonlocal angle
        added = spread(-half_turns / 2)
        angle = added if angle is None else angle + added

    def flush():
        nonlocal angle
        if angle is not None:
            steps.append(Phase(angle))
            angle = None

    def real(matrices):
        flush()
        steps.append(Real(tuple(kron([matrices[i] for i in group]) for group in groups(spec.wires, GROUP))))

    hadamard = jnp.tile(jnp.array([[1, 1], [1, -1]], weights.dtype) * math.sqrt(0.5), (spec.wires, 1, 1))
    quarter = jnp.full(spec.wires, math.pi / 2, weights.dtype)  # S = RZ(pi / 2) up to a phase

    def encode_x():
        real(hadamard)
        steps.append(Encode())
        real(hadamard)

    def encode():
        if spec.hadamard:
            real(hadamard)
        if spec.encoder == "angle_xy":
            encode_x()
        phase(-quarter)
        encode_x()
        phase(quarter)

    for layer in range(spec.layers):
        if layer > 0 and spec.reupload:
            encode()
        phase(weights[layer, :, 0])
        real(_ry(weights[layer, :, 1]))
        phase(weights[layer, :, 2])
        if spec.wires > 1:  # the phases wait behind the permutation for those of the next layer
            there, back = tables[layer]
            steps.append(Permute(there, back))
            angle = permute(angle, there, back)
    if spec.measurement == "mean_z_readout":
        angles = readout.reshape(spec.wires, 3)
        phase(angles[:, 0])
        real(_ry(angles[:, 1]))
    # phases that are still waiting commute with Z
    return steps, spread(coefficients_of_z(spec, readout))


def scores(spec, tables, prepared, X):
    """s(x) = sum_k z_k |psi_k|^2 for rows X (B, features) -> (B,). Not differentiable in X."""
    steps, diagonal = prepared
    state = _start(spec, X)
    rows = _row_phases(X) if spec.reupload and spec.layers > 1 else None
    for step in steps:
        state = step(state, rows)
    re, im = state
    return diagonal @ (re * re + im * im)


def coefficients_of_z(spec, readout):
    """c_i of the measured sum_i c_i Z_i: (n,)."""
    if spec.measurement == "z_vec":
        return readout
    if spec.measurement == "z0":
        return jnp.zeros(spec.wires, readout.dtype).at[0].set(1)
    return jnp.full(spec.wires, 1 / spec.wires, readout.dtype)


def _ry(angles):
    cos, sin = jnp.cos(angles / 2), jnp.sin(angles / 2)
    return jnp.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2)


def _cnot_permutation(spec, layer):
    k = np.arange(2**spec.wires, dtype=np.int32)  # where basis state k goes
    for control, target in spec.cnots(layer):
        k ^= ((k >> (spec.wires - 1 - control)) & 1) << (spec.wires - 1 - target)
    return inverse(k), k


def _start(spec, X):
    """The encoded states as (re, im); im is None where they are real."""
    if spec.encoder == "amplitude":
        return (X / jnp.sqrt(jnp.sum(X * X, axis=1, keepdims=True))).T, None
    cos, sin = jnp.cos(X.T / 2), jnp.sin(X.T / 2)  # (n, B)
    if spec.encoder == "angle_xy":  # RY(x) RX(x) |0> = (cos^2 + i sin^2, (1 - i) sin cos)
        re, im = jnp.stack([cos * cos, sin * cos], 1), jnp.stack([sin * sin, -sin * cos], 1)
        return _product(re, im)
    if spec.hadamard:  # RY(x) |+>
        cos, sin = (cos - sin) * math.sqrt(0.5), (cos + sin) * math.sqrt(0.5)
    return grow(list(jnp.stack([cos, sin], 1))), None


def _row_phases(X):
    """The diagonal of RZ(x_0) x ... x RZ(x_{n-1}) for every row, as (re, im), (2^n, B) each."""
    cos, sin = jnp.cos(X.T / 2), jnp.sin(X.T / 2)
    return _product(jnp.stack([cos, cos], 1), jnp.stack([-sin, sin], 1))


def _product(re, im):
    """Product over wires of complex (2, B) factors: re, im (n, 2, B) -> (2^n, B) each."""
    out = re[0], im[0]
    for i in range(1, len(re)):
        out = _multiply(tuple(part[:, None] for part in out), (re[i][None], im[i][None]))
        out = tuple(part.reshape(-1, re.shape[-1]) for part in out)
    return out


def _multiply(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
