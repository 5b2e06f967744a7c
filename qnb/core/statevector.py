"""The state path of the exact engine: the states of a whole batch, layer by layer, in real arithmetic.

The wires are cut into groups of neighbours: two groups up to 12 wires, four up to 24, and so on. A batch of
states is one array (2^(n+1), B); its first index is (g0, c, g1, ...), with g the basis states of a group and
c = 0, 1 the real and the imaginary part. So the matrix of g0 acts on the merged (g0, c) and that of g1 on
the merged (c, g1), each as one real product; for g2 and g3 c is moved next to them.

A circuit is a sequence of three kinds of steps:
    Rotate   a complex 2 x 2 matrix per wire, multiplied out over each group
    Permute  the CNOTs of a layer
    Encode   RZ(x_i) on every wire of every row. Re-uploading is reduced to it: RY(x) = V RZ(x) V^+, V = S H;
             RX(x) = H RZ(x) H.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from qnb.core import trig
from qnb.core.arrays import grow, inverse, kron, permute
from qnb.core.circuit import Array, CircuitSpec

MAX_GROUP = 6  # wires of one group: matrices of 128 x 128 real numbers
H = np.array([[1, 1], [1, -1]]) * math.sqrt(0.5)
V = np.diag([1, 1j]) @ H

Permutation = tuple[Array, Array]  # (there, back), int32
Parts = tuple[jax.Array, ...]  # the real and the imaginary part; () where nothing is encoded


class Tables(TypedDict):
    """The static arrays of a circuit.

    `cnots` per layer and `moves` are permutations. `signs` (n, 2^(n+1)), int8, is the eigenvalue of Z_i at
    each index of a state.
    """

    cnots: Sequence[Permutation]
    moves: Sequence[Permutation]
    signs: Array


class Rotate(NamedTuple):
    """One rotation on every wire.

    Attributes:
        blocks: one matrix per group of g wires, (2^(g+1), 2^(g+1)), over (g, c) for the first of a pair of
            groups, over (c, g) for the second.
        moves: the permutations that take c from each pair of groups to the next, and from the last to the
            first; () for a single pair.
    """

    # per group (2 * 2^g, 2 * 2^g), on (g, c) for the first of a pair and on (c, g) for the second
    blocks: tuple[jax.Array, ...]
    moves: tuple[
        Permutation, ...
    ]  # (there, back) that take c from pair j to the next, the last one to the first; () for a single pair

    def __call__(self, state: jax.Array, rows: Parts) -> jax.Array:
        before = 1
        for j, pair in enumerate(zip(self.blocks[::2], self.blocks[1::2], strict=True)):
            for block in pair:
                state = jnp.matmul(block, state.reshape(before, len(block), -1))
                before *= len(block) // 2
            if self.moves:
                state = permute(state.reshape(len(self.moves[j][0]), -1), *self.moves[j])
        return state.reshape(2 * before, -1)


class Permute(NamedTuple):
    """A layer of CNOTs, as a permutation of the amplitudes."""

    there: Array  # (2^(n+1),) int32
    back: Array

    def __call__(self, state: jax.Array, rows: Parts) -> jax.Array:
        return permute(state, self.there, self.back)


class Encode(NamedTuple):
    """The encoder's rotations, which differ from row to row."""

    def __call__(self, state: jax.Array, rows: Parts) -> jax.Array:
        halves = state.reshape(rows[0].shape[0], 2, -1, state.shape[-1])
        return jnp.stack(_multiply((halves[:, 0], halves[:, 1]), rows), axis=1).reshape(state.shape)


Step = Rotate | Permute | Encode
Prepared = tuple[list[Step], jax.Array]  # steps, and the diagonal of the observable, row by row, (2^(n+1),)


def group_sizes(wires: int) -> list[int]:
    """Wires of each group: an even number of groups of at most MAX_GROUP wires, as equal as possible, the
    larger first.

    With one wire the second group is empty.
    """
    count = 2 * math.ceil(wires / (2 * MAX_GROUP))
    return [len(part) for part in np.array_split(np.arange(wires), count)]


def tables(spec: CircuitSpec) -> Tables:
    """The tables of a circuit, as numpy arrays."""
    n, sizes = spec.wires, group_sizes(spec.wires)
    index = np.arange(2 ** (n + 1), dtype=np.int32).reshape(2, -1)  # c in front of the basis state
    places = [sum(sizes[: 2 * j + 1]) for j in range(len(sizes) // 2)]  # wires in front of c, for each pair
    # place of a row -> (c, basis state)
    layouts = [np.moveaxis(index.reshape(2, 2**p, -1), 0, 1).ravel() for p in places]
    moves = (
        [_permutation(a, b) for a, b in zip(layouts, layouts[1:] + layouts[:1], strict=True)]
        if len(places) > 1
        else []
    )
    cnots = [_permutation(_after(spec, layer, layouts[0]), layouts[0]) for layer in range(spec.layers)]
    bits = (layouts[0] >> np.arange(n - 1, -1, -1, dtype=np.int32)[:, None]) & 1
    return {"cnots": cnots, "moves": moves, "signs": (1 - 2 * bits).astype(np.int8)}


def prepare(spec: CircuitSpec, tables: Tables, weights: jax.Array, readout: jax.Array) -> Prepared:
    """Everything that depends on the parameters alone: the steps, and the diagonal of the observable
    (2^(n+1),).

    Args:
        tables: from `tables`, as arrays.
        weights: (layers, n, 3); readout: (readout_size,).
    """
    turns: list[jax.Array | Step] = []  # per step: the (n, 2, 2) matrices of a Rotate, or another step
    pending: jax.Array | None = None  # matrices not yet applied

    def rotate(matrices: jax.Array) -> None:
        nonlocal pending
        pending = matrices if pending is None else matrices @ pending

    def apply() -> None:
        nonlocal pending
        if pending is not None:
            turns.append(pending)
        pending = None

    def step(other: Step) -> None:
        apply()
        turns.append(other)

    for layer in range(spec.layers):
        if layer > 0 and spec.reupload:
            for before, after in _encoding(spec):
                rotate(jnp.broadcast_to(jnp.asarray(before, _complex(weights)), (spec.wires, 2, 2)))
                step(Encode())
                rotate(jnp.broadcast_to(jnp.asarray(after, _complex(weights)), (spec.wires, 2, 2)))
        angles = weights[layer]
        if layer == spec.layers - 1 and not spec.measured.rotated:
            # this RZ commutes with the CNOTs and with Z: its gradient is exactly zero
            angles = angles.at[:, 2].set(0)
        rotate(_rotation(angles))
        if spec.wires > 1:
            step(Permute(*tables["cnots"][layer]))
    if spec.measured.rotated:
        rotate(_rotation(readout.reshape(spec.wires, 3).at[:, 2].set(0)))
    apply()
    diagonal = jnp.matmul(tables["signs"].astype(weights.dtype).T, spec.coefficients(readout))
    return _multiply_out(spec, tables, turns), diagonal


def scores(
    spec: CircuitSpec,
    tables: Tables,
    prepared: Prepared,
    X: jax.Array,
    scaling: jax.Array | None = None,
) -> jax.Array:
    """s(x) = sum_k z_k |psi_k|^2 for rows X (B, features) -> (B,), with scaling (encodings, n) where it is
    trained.
    """
    steps, diagonal = prepared
    front = 2 ** group_sizes(spec.wires)[0]
    amplitudes = spec.encoder == "amplitude"
    first = _normalised(X) if amplitudes else _start(spec, *_half(spec, X, scaling, 0))
    re, im = (part.reshape(front, -1, len(X)) for part in first)
    state = jnp.stack([re, im], axis=1).reshape(-1, len(X))
    encoded = iter(_later_encodings(spec, X, scaling, front))
    for step in steps:
        state = step(state, next(encoded) if isinstance(step, Encode) else ())
    return diagonal @ (state * state)


def cost(spec: CircuitSpec, rows: int) -> float:
    """Multiply-adds of a training step: for each Rotate 2^(n+1) numbers a row times the matrix of every
    group, 3 times (the value and two gradients).
    """
    multiply_adds: int = (
        3
        * rows
        * 2 ** (spec.wires + 1)
        * sum(2 ** (g + 1) for g in group_sizes(spec.wires))
        * _rotations(spec)
    )
    return multiply_adds


def memory(spec: CircuitSpec, itemsize: int) -> tuple[int, int]:
    """Bytes that a training step needs: once, and for each row."""
    rows, groups = 2 ** (spec.wires + 1), len(group_sizes(spec.wires))
    once = rows * (8 * (spec.layers + groups // 2) + spec.wires * (1 + itemsize) + 40)
    phases = spec.encodings - 1 if spec.scaling else 0
    return once, itemsize * rows * (groups * _rotations(spec) + 6 + 4 * phases)


def row_limit(spec: CircuitSpec, itemsize: int) -> int:
    """Rows (16 or more) above which the states of a chunk exceed 1 MiB, and no longer fit the processor's
    cache: 512 rows of the default circuit in float32.
    """
    return max(16, (1 << 20) // (itemsize << (spec.wires + 1)))


def _rotations(spec: CircuitSpec) -> int:
    encoded = (spec.layers - 1) * spec.reupload * (2 if spec.encoder == "angle_xy" else 1)
    return spec.layers + encoded + (spec.measured.rotated)


def _complex(array: jax.Array) -> DTypeLike:
    return np.complex128 if array.dtype == np.float64 else np.complex64


def _encoding(spec: CircuitSpec) -> list[tuple[np.ndarray, np.ndarray]]:
    """One wire's encoder as pairs (before, after) of fixed matrices around RZ(x), first applied first."""
    first = H if spec.hadamard else np.eye(2)
    if spec.encoder == "angle_xy":
        return [(H, H), (V.conj().T, V)]
    return [(V.conj().T @ first, V)]


def _rotation(angles: jax.Array) -> jax.Array:
    """RZ(c) RY(b) RZ(a) on each wire: angles (n, 3) -> complex (n, 2, 2)."""
    a, b, c = angles.T
    cos, sin = jnp.cos(b / 2), jnp.sin(b / 2)
    plus, minus = ((a + c) / 2, (a - c) / 2)
    entries = [(cos, -plus), (-sin, minus), (sin, -minus), (cos, plus)]
    re, im = (
        jnp.stack([r * f(phase) for r, phase in entries], -1).reshape(-1, 2, 2) for f in (jnp.cos, jnp.sin)
    )
    return re + 1j * im


def _multiply_out(spec: CircuitSpec, tables: Tables, turns: Sequence[jax.Array | Step]) -> list[Step]:
    """Replace every (n, 2, 2) among the steps by a Rotate.

    The products over wires are formed for all of them at once.
    """
    matrices = jnp.stack([t for t in turns if not isinstance(t, tuple)])  # (P, n, 2, 2)
    wires, blocks, start = jnp.unstack(matrices, axis=1), [], 0
    for g, size in enumerate(group_sizes(spec.wires)):
        ones = jnp.ones((len(matrices), 1, 1), matrices.dtype)
        block = kron(wires[start : start + size]) if size else ones
        re, im = block.real, block.imag
        real_form = jnp.stack([jnp.stack([re, -im], -1), jnp.stack([im, re], -1)], -2)  # (P, k, k', c, c')
        order = (0, 1, 3, 2, 4) if g % 2 == 0 else (0, 3, 1, 4, 2)
        blocks.append(real_form.transpose(order).reshape(len(matrices), 2 * block.shape[1], -1))
        start += size
    rotations = (Rotate(step, tuple(tables["moves"])) for step in zip(*map(jnp.unstack, blocks), strict=True))
    return [t if isinstance(t, tuple) else next(rotations) for t in turns]


def _after(spec: CircuitSpec, layer: int, rows: np.ndarray) -> np.ndarray:
    """Where (c, basis state) in bits goes under the layer's CNOTs."""
    rows = rows.copy()
    for control, target in spec.cnots(layer):
        rows ^= ((rows >> (spec.wires - 1 - control)) & 1) << (spec.wires - 1 - target)
    return rows


def _permutation(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(there, back) with new_state[k] = old_state[there[k]], from the labels that rows hold before
    and after.
    """
    where = inverse(old)
    return where[new], inverse(where[new])


def _half(
    spec: CircuitSpec, X: jax.Array, scaling: jax.Array | None, encoding: int
) -> tuple[jax.Array, jax.Array]:
    """(sin, cos) of half the angles of an encoding, (n, B) each."""
    if scaling is None:
        return jnp.sin(X.T / 2), jnp.cos(X.T / 2)
    angles = spec.scaled(X.T.astype(jnp.float64), scaling.astype(jnp.float64), encoding)
    sin, cos = trig.sin_cos(jnp.asarray(angles) / 2)
    return sin.astype(X.dtype), cos.astype(X.dtype)


def _normalised(X: jax.Array) -> Parts:
    re = (X / jnp.sqrt(jnp.sum(X * X, axis=1, keepdims=True))).T
    return re, jnp.zeros_like(re)


def _start(spec: CircuitSpec, sin: jax.Array, cos: jax.Array) -> Parts:
    """The encoded states as (re, im), (2^n, B) each."""
    if spec.encoder == "angle_xy":  # RY(x) RX(x) |0> = (cos^2 + i sin^2, (1 - i) sin cos)
        return _product(jnp.stack([cos * cos, sin * cos], 1), jnp.stack([sin * sin, -sin * cos], 1))
    if spec.hadamard:  # RY(x) |+>
        cos, sin = (cos - sin) * math.sqrt(0.5), (cos + sin) * math.sqrt(0.5)
    re = grow(jnp.unstack(jnp.stack([cos, sin], 1)))
    return re, jnp.zeros_like(re)


def _later_encodings(spec: CircuitSpec, X: jax.Array, scaling: jax.Array | None, front: int) -> list[Parts]:
    """What each `Encode` multiplies by."""

    def phases(encoding: int) -> Parts:
        parts = _row_phases(*_half(spec, X, scaling, encoding))
        return tuple(part.reshape(front, -1, len(X)) for part in parts)

    later = range(1, spec.encodings)
    if scaling is None and later:
        factors = [phases(0)] * len(later)
    else:
        factors = [phases(encoding) for encoding in later]
    return [parts for parts in factors for _ in _encoding(spec)]


def _row_phases(sin: jax.Array, cos: jax.Array) -> Parts:
    """The diagonal of RZ(x_0) x ... x RZ(x_{n-1}) for every row, as (re, im), (2^n, B) each."""
    return _product(jnp.stack([cos, cos], 1), jnp.stack([-sin, sin], 1))


def _product(re: jax.Array, im: jax.Array) -> Parts:
    """Product over wires of complex factors: re, im (n, 2, B) -> (2^n, B) each."""

    def pair(a: Parts, b: Parts) -> Parts:
        wide = _multiply(tuple(part[:, None] for part in a), tuple(part[None] for part in b))
        return tuple(part.reshape(-1, part.shape[-1]) for part in wide)

    return functools.reduce(pair, zip(re, im, strict=True))


def _multiply(a: Parts, b: Parts) -> Parts:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
