"""The observable path of the exact engine: pull the observable back through the circuit once, whatever the
batch.

Without re-uploading, s(x) = <phi(x)| M |phi(x)> with one M = U^+ O U for all rows and a product state
phi(x), so that
    s(x) = sum_P C_P prod_i f_{P_i}(x_i),    M = sum_P C_P P_0 x ... x P_{n-1},
over Pauli strings P, with f the Bloch vector of one encoded wire. RY encoding never points along Y, which
leaves 3^n terms (Schreiber, Eisert, Meyer, PRL 131, 100803, 2023, call this a classical surrogate). All
numbers are real.

Digits: a Pauli is I, X, Z, Y = 0, 1, 2, 3, that is x + 2 z for its bits in X^x Z^z; a string is a number in
base 4.

The wires are held in two halves, left and right. Where CNOTs do not join the halves, C is a sum of at most 3
n products of a left and a right factor, and each half evolves on its own; the dense array of 4^n is formed
only when a layer joins them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from qnb.core import trig
from qnb.core.arrays import grow, inverse, kron, permute
from qnb.core.circuit import Array, CircuitSpec

I, X, Z, Y = range(4)

Signed = tuple[Array, Array, Array]  # a signed permutation: (there, back, sign)
CNOTs = Sequence[tuple[int, int]]


class Tables(TypedDict):
    """The CNOT layers as static signed permutations.

    first: (K, n, 4), int8: the K strings of one Pauli on one wire, after the CNOTs of the last layer,
    one-hot and signed, wires in `order`.
    layers: per layer before the last, latest first, one (there, back, sign) for each half, or one for all
    wires.
    """

    first: Array
    layers: Sequence[Sequence[Signed]]


@dataclass(frozen=True)
class Plan:
    """Which wires are left and right, and how many layers before the last leave the halves apart."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    apart: int

    @property
    def order(self) -> tuple[int, ...]:
        """All wires, first left, then right."""
        return self.left + self.right


def plan(spec: CircuitSpec) -> Plan:
    """Even and odd wires if n is even and the CNOTs of the layer before the last keep them apart, else the
    first and the second half.
    """
    n, wires = spec.wires, tuple(range(spec.wires))
    parities = [all((c - t) % 2 == 0 for c, t in spec.cnots(layer)) for layer in range(spec.layers - 1)]
    apart = next((k for k, keeps in enumerate(reversed(parities)) if not keeps), len(parities))
    if n % 2 == 0 and apart > 0:
        return Plan(wires[::2], wires[1::2], apart)
    half = (n + 1) // 2
    return Plan(wires[:half], wires[half:], 0)


def features(spec: CircuitSpec) -> int:
    """Number of Bloch components of one encoded wire that can differ from 0, the constant included: 3 (I, X,
    Z) or 4 (I, X, Z, Y).
    """
    return 4 if spec.encoder == "angle_xy" else 3


def tables(spec: CircuitSpec) -> Tables:
    """The tables of a circuit, as numpy arrays."""
    p = plan(spec)
    strings = single_paulis(spec)
    digits, signs = _conjugate(strings, spec.cnots(spec.layers - 1), tuple(range(spec.wires)))
    paulis = np.stack([(digits >> 2 * (spec.wires - 1 - i)) & 3 for i in p.order], axis=1)
    one_hot = (paulis[..., None] == np.arange(4)).astype(np.int8)
    one_hot[:, 0] *= signs[:, None]
    layers = []
    for k, layer in enumerate(range(spec.layers - 2, -1, -1)):
        pieces = [h for h in (p.left, p.right) if h] if k < p.apart else [p.order]
        layers.append(
            [_permutation([c for c in spec.cnots(layer) if c[0] in piece], piece) for piece in pieces]
        )
    return {"first": one_hot, "layers": layers}


def single_paulis(spec: CircuitSpec) -> np.ndarray:
    """The strings measured once the readout rotations are pulled back: X, Z, Y on each wire, int64 (3 n,); Z
    alone, (n,), without rotations.
    """
    wires, paulis = np.arange(spec.wires - 1, -1, -1), [X, Z, Y] if spec.measured.rotated else [Z]
    return np.array([p << 2 * w for w in wires for p in paulis], dtype=np.int64)


def prepare(spec: CircuitSpec, tables: Tables, weights: jax.Array, readout: jax.Array) -> jax.Array:
    """C as a matrix (d^left, d^right), d = 3 or 4: every coefficient of s(x).

    Args:
        tables: from `tables`, as arrays.
        weights: (layers, n, 3); readout: (readout_size,).
    """
    p, d = plan(spec), features(spec)
    left = len(p.left)
    ordered = permute(weights.swapaxes(0, 1), np.array(p.order), inverse(np.array(p.order)))  # (n, layers, 3)
    earliest, *later = jnp.unstack(bloch_rotation(ordered.swapaxes(0, 1)))  # per layer (n, 4, 4)
    rotations = [earliest[..., :d], *later]
    # the last layer: string k becomes a product over wires of the rows that its Paulis pick
    rows = jnp.einsum("kip,ipq->iqk", tables["first"].astype(weights.dtype), rotations[-1])
    first, *others = jnp.unstack(rows)  # per wire (4, K)
    factors = [first * _string_coefficients(spec, readout), *others]
    # (4^left, K), (4^right, K)
    halves = [_grow_or_one(factors[:left], rows), _grow_or_one(factors[left:], rows)]
    dense = None
    for rotation, pieces in zip(rotations[-2::-1], tables["layers"], strict=True):
        if len(pieces) == 2 or not p.right:
            parts = zip(halves, pieces, (rotation[:left], rotation[left:]), strict=False)
            halves = [_rotate(_signed(half, *piece), part) for half, piece, part in parts] + halves[
                len(pieces) :
            ]
        else:
            dense = halves[0] @ halves[1].T if dense is None else dense
            dense = _rotate(_signed(dense.reshape(-1, 1), *pieces[0]), rotation)
    dense = halves[0] @ halves[1].T if dense is None else dense
    return dense.reshape(d**left, -1)


def scores(
    spec: CircuitSpec,
    tables: Tables,
    coefficients: jax.Array,
    x: jax.Array,
    scaling: jax.Array | None = None,
) -> jax.Array:
    """s(x) for rows x (B, n), in radians, -> (B,); scaling (1, n) where it is trained.

    Without a scaling it cannot be differentiated in x: that gradient is NaN.
    """
    p = plan(spec)
    if scaling is None:
        f = bloch_features(spec, x.T[np.array(p.order)])
        return contract(coefficients, f[: len(p.left)], f[len(p.left) :])
    angles = spec.scaled(x.T.astype(jnp.float64), scaling.astype(jnp.float64), 0)
    f = bloch_features(spec, angles[np.array(p.order)]).astype(x.dtype)
    return _contract(coefficients, f[: len(p.left)], f[len(p.left) :])


def cost(spec: CircuitSpec, rows: int) -> float:
    """Multiply-adds of a training step, those of the evolution counted three times: its narrow products run
    at a third of the speed of the others.
    """
    return products(spec, rows) + 2 * products(spec, 0)


def products(spec: CircuitSpec, rows: int) -> float:
    """Multiply-adds of a training step.

    For each layer that joins the halves n / 2 products of 4^n numbers with 16 x 16 blocks, 3 times (the
    value and two gradients); and 2 d^n for each row, twice that where a scaling is trained.
    """
    joined = spec.layers - 1 - plan(spec).apart
    of_row = 2 * (1 + spec.scaling) * features(spec) ** spec.wires
    multiply_adds: int = 3 * joined * 4**spec.wires * 8 * spec.wires + of_row * rows
    return multiply_adds


def memory(spec: CircuitSpec, itemsize: int) -> tuple[int, int]:
    """Bytes that a training step needs: once, and for each row."""
    n, joined, half = spec.wires, spec.layers - 1 - plan(spec).apart, (spec.wires + 1) // 2
    tables, steps = 9 * joined, itemsize * (joined * (n // 2 + 2) + 2)
    building = 48 if joined else 0  # int64 work arrays of `_conjugate`
    return 4**n * (tables + max(steps, building)), itemsize * 6 * (1 + spec.scaling) * features(spec) ** half


def row_limit(spec: CircuitSpec, itemsize: int) -> int:
    """Rows (16 or more) above which a larger chunk is no faster: 4 MiB of features of one half, 12,945 rows
    of the default circuit in float32.
    """
    row: int = itemsize * features(spec) ** ((spec.wires + 1) // 2)  # bytes
    return max(16, (4 << 20) // row)


def bloch_rotation(angles: jax.Array) -> jax.Array:
    """R with U^+ P U = sum_Q R[P, Q] Q for U = RZ(c) RY(b) RZ(a): angles (a, b, c) in radians, (..., 3) ->
    (..., 4, 4), rows and columns I, X, Z, Y.
    """
    (ca, cb, cc), (sa, sb, sc) = (jnp.moveaxis(f(angles), -1, 0) for f in (jnp.cos, jnp.sin))
    zero, one = jnp.zeros_like(ca), jnp.ones_like(ca)
    rows = [
        [one, zero, zero, zero],
        [zero, cc * cb * ca - sc * sa, cc * sb, -cc * cb * sa - sc * ca],
        [zero, -sb * ca, cb, sb * sa],
        [zero, sc * cb * ca + cc * sa, sc * sb, -sc * cb * sa + cc * ca],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def bloch_features(spec: CircuitSpec, x: jax.Array) -> jax.Array:
    """(1, <X>, <Z>) or (1, <X>, <Z>, <Y>) of every encoded wire: x (n, B) in radians -> (n, d, B)."""
    sin, cos = trig.sin_cos(x)
    vector = [cos, -sin] if spec.hadamard else [sin, cos]
    if spec.encoder == "angle_xy":
        vector = [cos * sin, cos * cos, -sin]
    return jnp.stack([jnp.ones_like(x), *vector], axis=1)


def _contract(coefficients: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """s_b = sum_{jk} C_jk u_jb v_kb, u and v the products over wires of the features left and right (wires,
    d, B).
    """
    t = coefficients.T @ _grow_or_one(jnp.unstack(left), left)  # (d^right, B)
    for f in jnp.unstack(right):  # Horner: one wire of v at a time, its first feature is 1
        constant, *others = jnp.unstack(t.reshape(len(f), -1, t.shape[-1]))
        t = constant + sum(a * other for a, other in zip(jnp.unstack(f)[1:], others, strict=True))
    return t[0]


contract = jax.custom_vjp(_contract)  # in the coefficients alone, which is faster


def _contract_forward(
    coefficients: jax.Array, left: jax.Array, right: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _contract(coefficients, left, right), (left, right)


def _contract_backward(
    saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    left, right = saved
    # XLA's product of two arrays with long rows is slow on a CPU: it is made to transpose the second
    # one first
    weighted = jax.lax.optimization_barrier((_grow_or_one(jnp.unstack(right), right) * g).T)
    return (
        _grow_or_one(jnp.unstack(left), left) @ weighted,
        jnp.full_like(left, jnp.nan),
        jnp.full_like(right, jnp.nan),
    )


contract.defvjp(_contract_forward, _contract_backward)


def _grow_or_one(factors: Sequence[jax.Array], like: jax.Array) -> jax.Array:
    """The product of the factors; a row of ones where a half has no wire."""
    return grow(factors) if len(factors) else jnp.ones((1, like.shape[-1]), like.dtype)


def _string_coefficients(spec: CircuitSpec, readout: jax.Array) -> jax.Array:
    """Coefficient of each of `single_paulis` in the measured observable."""
    c = jnp.asarray(spec.coefficients(readout))
    if spec.measured.rotated:
        return (c[:, None] * bloch_rotation(readout.reshape(spec.wires, 3))[:, Z, 1:]).reshape(-1)
    return c


def _rotate(strings: jax.Array, rotations: jax.Array) -> jax.Array:
    """Every wire's rotation on strings (4^m, K), first wire major: rotations (m, 4, d) -> (d^m, K)."""
    count, wires = strings.shape[-1], len(rotations)
    # two wires in one product: 16 x d^2
    pairs = jnp.unstack(kron([rotations[: wires - 1 : 2], rotations[1::2]]))
    blocks = [*pairs, rotations[-1]] if wires % 2 else pairs
    for block in blocks:  # a pair of wires leaves in front and comes back at the end, behind K
        strings = jnp.tensordot(strings.reshape(len(block), -1), block, ((0,), (0,)))
    return strings.reshape(count, -1).T


def _signed(strings: jax.Array, there: Array, back: Array, sign: Array) -> jax.Array:
    return permute(strings, there, back) * sign.astype(strings.dtype)[:, None]


def _permutation(cnots: CNOTs, wires: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The layer on all strings over `wires` as (there, back, sign): new[j] = sign[j] old[there[j]]."""
    image, sign = _conjugate(np.arange(4 ** len(wires), dtype=np.int64), cnots, wires)
    there = inverse(image)
    return there, image.astype(np.int32), sign[there]


def _conjugate(strings: np.ndarray, cnots: CNOTs, wires: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """C^+ P C for the product C of `cnots`: strings (N,) -> (their images, signs in {1, -1} as int8).

    One CNOT: x_t ^= x_c, z_c ^= z_t, sign -1 where x_c z_t (x_t ^ z_c ^ 1) (Aaronson, Gottesman, PRA 70,
    052328, 2004).
    """
    strings, minus = strings.copy(), np.zeros(len(strings), dtype=np.int64)
    x_bit = {w: 2 * (len(wires) - 1 - place) for place, w in enumerate(wires)}
    for control, target in reversed(cnots):
        c, t = x_bit[control], x_bit[target]
        x_c, z_c, x_t, z_t = ((strings >> b) & 1 for b in (c, c + 1, t, t + 1))
        minus ^= x_c & z_t & (x_t ^ z_c ^ 1)
        strings ^= (x_c << t) ^ (z_t << (c + 1))
    return strings, (1 - 2 * minus).astype(np.int8)
