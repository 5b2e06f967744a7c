"""A recorded circuit: the operations that its functions queue, as gates with matrices, and the checks on
these functions.

A function is called once for each circuit that is built, so it must queue the same gates each time. The
numbers in the gates may depend on weights and x; which gates there are may not.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pennylane as qml

from qnb.core.parts import Array
from qnb.errors import ParameterError

WIDEST = 3  # wires of a gate that is applied as it is; a wider one is decomposed, if it can be
UNITARY = 1e-6  # largest |M M^+ - 1|


class Gate(NamedTuple):
    """A unitary on k wires, (2^k, 2^k); the first wire is the most significant digit."""

    wires: tuple[int, ...]
    matrix: Array


def queued(build: Callable[[], object]) -> qml.tape.QuantumScript:
    """The tape of what a function queues."""
    with qml.queuing.AnnotatedQueue() as queue:
        build()
    return qml.tape.QuantumScript.from_queue(queue)


def gates(operations: Iterable[qml.operation.Operator]) -> list[Gate]:
    """The operations as gates with matrices, decomposed as by `elementary`. Raises as it does."""
    return [Gate(tuple(op.wires.tolist()), op.matrix()) for op in elementary(operations)]


def elementary(operations: Iterable[qml.operation.Operator]) -> list[qml.operation.Operator]:
    """The operations without global phases; those without a matrix, or on more than WIDEST wires, are
    decomposed where a decomposition is known.

    Raises:
        ParameterError: an operation that is not a gate, such as a channel or a measurement.
    """
    return [part for operation in operations for part in _elementary(operation) if part.wires]


def _elementary(operation: qml.operation.Operator) -> Iterator[qml.operation.Operator]:
    if isinstance(operation, qml.GlobalPhase):  # some decompositions give it wires
        return
    if isinstance(operation, qml.operation.Channel) or not (
        operation.has_matrix or operation.has_decomposition or operation.name in ("Barrier", "Snapshot")
    ):
        raise ParameterError(f"{operation.name} is no gate: it has neither a unitary nor a decomposition.")
    if operation.has_decomposition and (not operation.has_matrix or len(operation.wires) > WIDEST):
        for part in operation.decomposition():
            yield from _elementary(part)
    elif operation.has_matrix:
        yield operation


def check(who: str, wires: int, build: Callable[[], object], given: str) -> None:
    """Call a function of the user's as the engines will, and refuse it unless it queues the same unitary
    gates each time.

    Args:
        who: what messages call the function.
        wires: of the register.
        build: calls it, with plain numbers.
        given: its arguments, in words.

    Raises:
        ParameterError: the function fails with an IndexError, TypeError or ValueError, is not deterministic,
            draws random numbers, measures, uses wires outside the register, queues batched parameters, or
            queues an operation that is not unitary.
    """
    try:
        state = _random_state()
        first, second = queued(build), queued(build)
        drew = state != _random_state()
        recorded, again = ([*_checked(tape, wires)] for tape in (first, second))
    except ParameterError as error:
        raise ParameterError(f"{who}: {error}") from error
    except (IndexError, TypeError, ValueError) as error:
        raise ParameterError(
            f"{who} failed on {given} and {wires} wires: {type(error).__name__}: {error}. It is called as "
            "encoder(x, wires), pattern(wires, layer) or layer(weights, wires, layer); where the weights of "
            "a layer are not (wires, 3), give their shape: Layer(f, shape=...)."
        ) from error
    if drew:
        raise ParameterError(
            f"{who} draws random numbers: every call would be another circuit. Draw them once, outside of it."
        )
    same = len(recorded) == len(again) and all(
        a.wires == b.wires and np.array_equal(a.matrix, b.matrix)
        for a, b in zip(recorded, again, strict=True)
    )
    if not same:
        raise ParameterError(
            f"{who} is not deterministic: called twice with the same numbers it queued different gates. What "
            "it draws or counts belongs outside of it."
        )


def _checked(tape: qml.tape.QuantumScript, wires: int) -> list[Gate]:
    """The gates of a tape of plain numbers, each of them a unitary on the register."""
    measured = [*tape.measurements, *(op for op in tape.operations if _measures(op))]
    if measured:
        raise ParameterError(
            f"it queues a measurement, {measured[0]}: what is measured is said by `measurement`, and only "
            "once, at the end."
        )
    outside = [op for op in tape.operations if not set(op.wires) <= set(range(wires))]
    if outside:
        raise ParameterError(
            f"{outside[0].name} acts on wires {outside[0].wires.tolist()}; the register has wires 0 to "
            f"{wires - 1}."
        )
    batched = [op for op in tape.operations if op.batch_size is not None]
    if batched:
        raise ParameterError(
            f"{batched[0].name} has a parameter of shape {np.shape(batched[0].parameters[0])} where one "
            "circuit takes one number: x is (features,), the weights are those of one layer."
        )
    recorded = gates(tape.operations)
    for gate in recorded:
        product = np.asarray(gate.matrix) @ np.conj(np.transpose(gate.matrix))
        if not np.abs(product - np.eye(len(product))).max() <= UNITARY:
            raise ParameterError(f"a gate on wires {list(gate.wires)} is not unitary.")
    return recorded


def _measures(operation: qml.operation.Operator) -> bool:
    return type(operation).__name__ in ("MidMeasure", "MidMeasureMP", "PauliMeasure", "Conditional")


def _random_state() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  what a function of the user's may draw from
    return (random.getstate(), name, np.asarray(keys).tobytes(), *rest)


def light_cone(wires: Sequence[Iterable[int]], measured: Iterable[int]) -> list[bool]:
    """For each gate, given by its wires, whether a measurement of the wires `measured` can depend on it.

    The other gates cancel, since U^+ U = 1.
    """
    reached, kept = set(measured), []
    for gate_wires in map(set, reversed(wires)):
        inside = bool(reached & gate_wires)
        reached |= gate_wires if inside else set()
        kept.append(inside)
    return kept[::-1]
