"""The path of the exact engine for circuits of arbitrary gates: the states of a whole batch, block by block.

The circuit is recorded as gates (`qnb.core.recording`). Neighbouring gates whose matrices are the same for
all rows are multiplied into blocks of up to BLOCK wires, once per batch; a block is then applied to all
states as one real matrix product. Gates that depend on x have one matrix per row and are applied wire by
wire. The matrices of all gates of a class are formed at once, and products along all wires at once, which
keeps the traced program small. JAX differentiates all of it.

Wires that no block has joined yet are kept apart: a product state of single wires takes 2 n numbers a row
instead of 2^n. Gates outside the light cone of the measurement are left out.

A state over m wires is a real array (2, 2^m, B): real and imaginary part, basis state, row. Its wires are in
the order in which the last block left them.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from qnb.core import recording
from qnb.core.circuit import CircuitSpec
from qnb.core.settings import own_settings
from qnb.errors import ParameterError

BLOCK = 4  # wires of a block: matrices of 32 x 32 real numbers


class Run(NamedTuple):
    """Gates that follow each other on the same wires: one gate on several wires, or a sequence on one wire.

    Attributes:
        wires: that the gates act on.
        rowwise: whether the gates depend on x.
        places: their indices among the recorded operations.
    """

    wires: tuple[int, ...]
    rowwise: bool
    places: tuple[int, ...]


@dataclass
class Block:
    """Runs that are applied as one matrix over `wires`, in order."""

    wires: list[int]
    rowwise: bool
    runs: list[Run] = field(default_factory=list)


class Words(NamedTuple):
    """Pauli words that flip the same wires of the register.

    With f_i = <i|P|i ^ flips> and z_i = conj(psi_i) psi_(i ^ flips), <P> = sum_i Re(z_i f_i) = sum_i (real_i
    Re z_i + imaginary_i Im z_i).

    Attributes:
        flips: the wires with X or Y, in order.
        words: the K indices of the words in `CircuitSpec.words`.
        real, imaginary: Re f and -Im f, int8 (K, 2^n).
    """

    flips: tuple[int, ...]
    words: tuple[int, ...]
    real: np.ndarray
    imaginary: np.ndarray


class Prepared(NamedTuple):
    """What depends on the parameters alone.

    Attributes:
        blocks: the blocks that are the same for all rows, in order: over m wires a real matrix (2^(m+1),
            2^(m+1)).
        coefficients: of the measured words, (K,).
        weights, readout: the parameters, for the gates that depend on x.
    """

    blocks: Sequence[jax.Array]
    coefficients: jax.Array
    weights: jax.Array
    readout: jax.Array


def tables(spec: CircuitSpec) -> dict[str, Any]:
    """An empty dict: this path has no static arrays. The order of the blocks is found when a program is
    traced.

    Raises:
        ParameterError: the circuit cannot be traced, because which gates it queues depends on the values of
            weights or x; or an operation is not a gate.
    """
    schedule(spec)
    return {}


def prepare(spec: CircuitSpec, tables: dict[str, Any], weights: jax.Array, readout: jax.Array) -> Prepared:
    """Everything that depends on the parameters alone.

    Args:
        tables: from `tables`, unused.
        weights: (layers, *shape of a layer); readout: (readout_size,).
    """
    blocks = [block for block in schedule(spec) if not block.rowwise]
    some_x = jnp.full(spec.features, 0.5, weights.dtype)  # of gates that do not depend on it
    ones = jnp.ones(spec.shapes["scaling"], weights.dtype) if spec.scaling else None  # nor on its factors
    products = _products(spec, blocks, (weights, readout, some_x, ones))
    real = [_real_form(product, weights.dtype) for product in products]
    return Prepared(real, jnp.asarray(spec.coefficients(readout)), weights, readout)


def scores(
    spec: CircuitSpec,
    tables: dict[str, Any],
    prepared: Prepared,
    X: jax.Array,
    scaling: jax.Array | None = None,
) -> jax.Array:
    """s(x) for rows X (B, features) -> (B,), with scaling (encodings, wires) where it is trained."""
    order = schedule(spec)
    rowwise = [block for block in order if block.rowwise]

    def of_row(x: jax.Array) -> list[jax.Array]:
        return _products(spec, rowwise, (prepared.weights, prepared.readout, x, scaling))

    of_rows = iter(jax.vmap(of_row, out_axes=-1)(X) if rowwise else [])
    shared = iter(prepared.blocks)
    state = _States(len(X), X.dtype)
    for block in order:
        if block.rowwise:
            state.multiply(block.wires, next(of_rows))
        else:
            state.apply(block.wires, next(shared))
    return _expectation(spec, prepared.coefficients, state.all(range(spec.wires)))


def cost(spec: CircuitSpec, rows: int) -> float:
    """Multiply-adds of a training step: per row and block 2^(n+1) numbers times a matrix of 2^(BLOCK+1)
    rows, 3 times (the value and two gradients).
    """
    return float(3 * rows * 2 ** (spec.wires + 1) * 2 ** (BLOCK + 1) * _block_count(spec))


def memory(spec: CircuitSpec, itemsize: int) -> tuple[int, int]:
    """Bytes that a training step needs: once, and for each row."""
    blocks, size = _block_count(spec), 2 ** (spec.wires + 1)
    once = itemsize * (3 * blocks * 4 ** (BLOCK + 1) + 2 * len(spec.words) * size)
    return once, itemsize * size * (2 * blocks + 6)


def row_limit(spec: CircuitSpec, itemsize: int) -> int:
    """Rows (16 or more) above which the states of a chunk exceed 1 MiB, and no longer fit the processor's
    cache.
    """
    return max(16, (1 << 20) // (itemsize << (spec.wires + 1)))


def schedule(spec: CircuitSpec) -> list[Block]:
    """The gates inside the light cone of the measurement, as blocks in order of application.

    A run joins the first block of its kind (shared or per row) with room for its wires, searched from the
    last block that acts on any of these wires; otherwise it opens a new block.

    Raises:
        ParameterError: as `tables`.
    """
    blocks: list[Block] = []
    last: dict[int, int] = {}  # by wire, the last block on it
    for run in _runs(spec):
        room = max(len(run.wires), 1 if run.rowwise else BLOCK)
        first = max((last[w] for w in run.wires if w in last), default=0)
        fitting = (
            k
            for k in range(first, len(blocks))
            if blocks[k].rowwise == run.rowwise and len({*blocks[k].wires, *run.wires}) <= room
        )
        k = next(fitting, len(blocks))
        if k == len(blocks):
            blocks.append(Block([], run.rowwise))
        blocks[k].wires += [w for w in run.wires if w not in blocks[k].wires]
        blocks[k].runs.append(run)
        last |= dict.fromkeys(run.wires, k)
    return blocks


def _runs(spec: CircuitSpec) -> list[Run]:
    wires, rowwise = _structure(spec)
    measured = {i for word in spec.live_words for i, letter in enumerate(word) if letter != "I"}
    kept = recording.light_cone(wires, measured)
    runs: list[Run] = []
    open_on: dict[int, int] = {}  # by wire, the run that a gate on it may lengthen
    for place, (gate_wires, by_row) in enumerate(zip(wires, rowwise, strict=True)):
        if not kept[place]:
            continue
        k = open_on.get(gate_wires[0])
        if len(gate_wires) == 1 and k is not None and runs[k].rowwise == by_row:
            runs[k] = runs[k]._replace(places=(*runs[k].places, place))
            continue
        for w in gate_wires:
            open_on.pop(w, None)
        if len(gate_wires) == 1:
            open_on[gate_wires[0]] = len(runs)
        runs.append(Run(gate_wires, by_row, (place,)))
    return runs


@functools.lru_cache(maxsize=64)
def _block_count(spec: CircuitSpec) -> int:
    """Number of blocks, for the estimate of a step's cost. A changed closure may change it, but only the
    estimate depends on it.
    """
    with own_settings():
        return len(schedule(spec))


# what a circuit is queued from: weights, readout, x, and the scaling where it is trained
Point = tuple[Any, Any, Any, Any]


def _record(spec: CircuitSpec, point: Point) -> list[qml.operation.Operator]:
    return recording.elementary(recording.queued(lambda: spec.apply(*point)).operations)


def _structure(spec: CircuitSpec) -> tuple[list[tuple[int, ...]], list[bool]]:
    """The wires of each gate, and whether it depends on x, from the data flow of the traced program.

    Raises:
        ParameterError: it cannot be traced.
    """
    params = spec.init(0)
    x, others = np.full(spec.features, 0.5), (params["weights"], params["readout"], params.get("scaling"))

    wires: list[tuple[int, ...]] = []  # as traced: of numbers, a state preparation leaves out gates by zero

    def numbers(x: jax.Array, weights: jax.Array, readout: jax.Array, scaling: Any) -> list[list[jax.Array]]:
        operations = _record(spec, (weights, readout, x, scaling))
        wires[:] = [tuple(op.wires.tolist()) for op in operations]
        return [
            [jnp.asarray(p) for p in (op.parameters if _compute_matrix(op) else [op.matrix()])]
            for op in operations
        ]

    try:
        traced, shapes = jax.make_jaxpr(numbers, return_shape=True)(x, *others)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ParameterError(
            f"Which gates {spec} queues depends on the numbers in weights or x, or they leave JAX (numpy, an "
            f"if, float(...)): use qml.math or jax.numpy on them. {str(error).splitlines()[0]}"
        ) from error
    depends = set(traced.jaxpr.invars[:1])
    for equation in traced.jaxpr.eqns:
        if any(v in depends for v in equation.invars if not hasattr(v, "val")):
            depends |= set(equation.outvars)
    reached = iter([not hasattr(v, "val") and v in depends for v in traced.jaxpr.outvars])
    rowwise = [any([next(reached) for _ in parameters]) for parameters in shapes]
    return wires, rowwise


def _compute_matrix(
    operation: qml.operation.Operator,
) -> tuple[type, Callable[..., Any], dict[str, Any]] | None:
    """The class, its matrix as a function of the parameters, and what else that takes.

    None where the parameters are not single numbers, or PennyLane has no such function.
    """
    function: Callable[..., Any] = type(operation).compute_matrix
    single = operation.parameters and all(np.ndim(p) == 0 for p in operation.parameters)
    if not single or function is qml.operation.Operator.compute_matrix:
        return None
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters}
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    hyperparameters = {name: v for name, v in operation.hyperparameters.items() if any_name or name in names}
    return type(operation), function, hyperparameters


def _products(spec: CircuitSpec, blocks: Sequence[Block], point: Point) -> list[jax.Array]:
    """The matrix of each block, over its wires, (2^k, 2^k)."""
    weights, *_ = point
    operations = _record(spec, point)
    runs = [run for block in blocks for run in block.runs]
    matrices = _matrices(operations, [p for run in runs for p in run.places], weights.dtype)
    of_run = dict(zip(runs, _run_products(runs, matrices), strict=True))
    return [_block_product(block, of_run) for block in blocks]


def _matrices(
    operations: Sequence[qml.operation.Operator], places: Sequence[int], dtype: Any
) -> dict[int, jax.Array]:
    """The matrices of the operations at these places: all of one class at once, where they have numbers."""
    kind = jnp.result_type(dtype, jnp.complex64)
    classes: dict[tuple[type, str], list[int]] = {}
    matrices: dict[int, jax.Array] = {}
    for place in places:
        formula = _compute_matrix(operations[place])
        if formula is None:
            matrices[place] = jnp.asarray(operations[place].matrix()).astype(kind)
        else:
            classes.setdefault((formula[0], repr(formula[2])), []).append(place)
    for members in classes.values():
        _, function, hyperparameters = _compute_matrix(operations[members[0]]) or (None, jnp.asarray, {})
        columns = zip(*(operations[place].parameters for place in members), strict=True)
        numbers = [jnp.stack([jnp.asarray(p, dtype) for p in column]) for column in columns]
        stack = jax.vmap(functools.partial(function, **hyperparameters))(*numbers).astype(kind)
        matrices |= dict(zip(members, jnp.unstack(stack), strict=True))
    return matrices


def _run_products(runs: Sequence[Run], matrices: dict[int, jax.Array]) -> list[jax.Array]:
    """The matrix of each run; those of one wire are multiplied side by side."""
    single = [run for run in runs if len(run.wires) == 1]
    products = {run: matrices[run.places[0]] for run in runs if len(run.wires) > 1}
    if single:
        identity = jnp.eye(2, dtype=next(iter(matrices.values())).dtype)
        longest = max(len(run.places) for run in single)
        columns = [
            jnp.stack([matrices[run.places[j]] if j < len(run.places) else identity for run in single])
            for j in range(longest)
        ]
        product = functools.reduce(lambda before, after: after @ before, columns)
        products |= dict(zip(single, jnp.unstack(product), strict=True))
    return [products[run] for run in runs]


def _block_product(block: Block, of_run: dict[Run, jax.Array]) -> jax.Array:
    k = len(block.wires)
    product = jnp.eye(2**k, dtype=of_run[block.runs[0]].dtype)
    for run in block.runs:
        g, axes = len(run.wires), [block.wires.index(w) for w in run.wires]
        gate, rows = of_run[run].reshape((2,) * 2 * g), product.reshape((2,) * k + (-1,))
        tensor = jnp.tensordot(gate, rows, (list(range(g, 2 * g)), axes))
        product = jnp.moveaxis(tensor, list(range(g)), axes).reshape(2**k, 2**k)
    return product


def _real_form(matrix: jax.Array, dtype: Any) -> jax.Array:
    """[[re, -im], [im, re]], (2 k, 2 k): what multiplies the two parts of a state, one over the other."""
    re, im = matrix.real.astype(dtype), matrix.imag.astype(dtype)
    return jnp.concatenate([jnp.concatenate([re, -im], 1), jnp.concatenate([im, re], 1)], 0)


class _States:
    """The states of B rows, in parts that are not entangled with each other.

    `parts` holds for each its wires, in the order of its basis, and its array (2, 2^m, B) or, the same for
    all rows, (2, 2^m, 1).
    """

    def __init__(self, rows: int, dtype: Any):
        self.rows, self.dtype = rows, dtype
        self.parts: list[tuple[list[int], jax.Array]] = []

    def apply(self, wires: list[int], matrix: jax.Array) -> None:
        """Multiply by the real form (2 k, 2 k) of a matrix over `wires`."""
        rest, state = self._in_front(wires)
        front = state.reshape(2, 2 ** len(wires), -1)
        product = matrix @ front.reshape(len(matrix), -1)
        self.parts.append((wires + rest, product.reshape(state.shape)))

    def multiply(self, wires: list[int], matrices: jax.Array) -> None:
        """Multiply every row by its own matrix, (2^k, 2^k, B) complex."""
        rest, state = self._in_front(wires)
        front = state.reshape(2, 2 ** len(wires), -1, state.shape[-1])
        re, im = matrices.real.astype(self.dtype), matrices.imag.astype(self.dtype)

        def product(part: jax.Array, values: jax.Array) -> jax.Array:
            terms = (part[:, j, None] * values[j][None] for j in range(part.shape[1]))
            return functools.reduce(jnp.add, terms)

        a, b = front
        products = jnp.stack([product(re, a) - product(im, b), product(re, b) + product(im, a)])
        self.parts.append((wires + rest, products.reshape(2, -1, self.rows)))

    def all(self, wires: Sequence[int]) -> jax.Array:
        """The states over `wires` in that order, (2, 2^n, B)."""
        _, state = self._in_front(list(wires))
        return jnp.broadcast_to(state, (*state.shape[:2], self.rows))

    def _in_front(self, wires: list[int]) -> tuple[list[int], jax.Array]:
        """Take out the parts that these wires are in, as one: the other wires, the state, `wires` first."""
        taken = [part for part in self.parts if set(part[0]) & set(wires)]
        self.parts = [part for part in self.parts if not set(part[0]) & set(wires)]
        known = {w for own, _ in taken for w in own}
        start = jnp.array([[[1.0], [0.0]], [[0.0], [0.0]]], self.dtype)
        taken += [([w], start) for w in wires if w not in known]
        own, state = functools.reduce(_joined, taken)
        rest = [w for w in own if w not in wires]
        order = [own.index(w) for w in wires + rest]
        if order != list(range(len(own))):
            axes = [0, *(1 + k for k in order), len(own) + 1]
            state = state.reshape(2, *(2,) * len(own), -1).transpose(axes).reshape(state.shape)
        return rest, state


def _joined(a: tuple[list[int], jax.Array], b: tuple[list[int], jax.Array]) -> tuple[list[int], jax.Array]:
    """Two parts as one: the product of their states."""
    (a_re, a_im), (b_re, b_im) = a[1][:, :, None], b[1][:, None]
    product = jnp.stack([a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re])
    return a[0] + b[0], product.reshape(2, -1, product.shape[-1])


def words(spec: CircuitSpec) -> list[Words]:
    """The measured Pauli words, grouped by the wires that they flip."""
    of_flips: dict[tuple[int, ...], list[int]] = {}
    for k, word in enumerate(spec.words):
        of_flips.setdefault(tuple(i for i, p in enumerate(word) if p in "XY"), []).append(k)
    bits = (np.arange(2**spec.wires) >> np.arange(spec.wires - 1, -1, -1)[:, None]) & 1
    groups = []
    for flips, indices in of_flips.items():
        factors = np.stack([_factor(spec.words[k], bits) for k in indices])  # (K, 2^n), of {1, -1, i, -i}
        groups.append(
            Words(flips, tuple(indices), factors.real.astype(np.int8), -factors.imag.astype(np.int8))
        )
    return groups


def _factor(word: str, bits: np.ndarray) -> np.ndarray:
    """<i|P|i ^ flips> for every basis state i: (-1)^b for each Z, -i (-1)^b for each Y."""
    signs = np.prod([1 - 2 * bits[i] for i, p in enumerate(word) if p in "YZ"] or [np.ones(bits.shape[1])], 0)
    return np.asarray(signs * (-1j) ** word.count("Y"))


def _expectation(spec: CircuitSpec, coefficients: jax.Array, state: jax.Array) -> jax.Array:
    """sum_k c_k <psi|P_k|psi>, (B,): Re(z f) = Re z Re f - Im z Im f, z_i = conj(psi_i) psi_(i ^ flips)."""
    re, im = state
    total: Any = 0.0
    for flips, indices, real, imaginary in words(spec):
        c = coefficients[np.array(indices)]
        if not flips:
            total += (c @ real.astype(re.dtype)) @ (re * re + im * im)
            continue
        there_re, there_im = (_flipped(part, flips, spec.wires) for part in state)
        if real.any():
            total += jnp.sum((c @ real.astype(re.dtype))[:, None] * (re * there_re + im * there_im), 0)
        if imaginary.any():
            total += jnp.sum((c @ imaginary.astype(re.dtype))[:, None] * (re * there_im - im * there_re), 0)
    expectation: jax.Array = total
    return expectation


def _flipped(part: jax.Array, flips: Sequence[int], wires: int) -> jax.Array:
    return jnp.flip(part.reshape(*(2,) * wires, -1), flips).reshape(part.shape)
