"""The parts of a circuit: how a row is encoded, which gates a layer has, what is measured.

ENCODERS, ANSATZE and MEASUREMENTS are the only places that know what the names stand for. Besides names,
`qnb.core.circuit.CircuitSpec` takes parts of your own: a function, a `Pattern`, a `Layer`, a `Measurement`,
or a list of Pauli words.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
import pennylane as qml

from qnb.errors import ParameterError, nearest
from qnb.own import name_of

Array = jax.Array | np.ndarray  # traced, or a plain one
CNOTs = list[tuple[int, int]]  # (control, target), in order of application


class Encoded(Protocol):
    """The part of `qnb.core.circuit.CircuitSpec` that an encoder sees."""

    @property
    def wires(self) -> int:
        """The number of wires."""

    @property
    def hadamard(self) -> bool:
        """Whether H comes before the encoder."""


class Register(int):
    """The wires as a function of yours gets them: the number n, which can be iterated over and indexed like
    0 ... n - 1.

    So `range(wires)`, `for i in wires`, `wires[-1]` and `qml.AngleEmbedding(x, wires=wires)` all work.
    """

    def __iter__(self) -> Iterator[int]:
        return iter(range(self))

    def __len__(self) -> int:
        return int(self)

    def __getitem__(self, place: Any) -> Any:
        return range(self)[place]


@dataclass(frozen=True)
class Encoder:
    """An encoder of your own: f(x, wires) queues the gates that encode x, (n,) in radians."""

    f: Callable[[Array, Register], object]

    def __call__(self, spec: Encoded, x: Array) -> None:
        self.f(x, Register(spec.wires))


@dataclass(frozen=True)
class Pattern:
    """Layers of RZ RY RZ on every wire, then CNOTs: f(wires, layer) -> [(control, target), ...].

    All engines run it on their fastest paths. One wire has no CNOT, and f is not called.
    """

    f: Callable[[Register, int], CNOTs]

    def shape_for(self, wires: int) -> tuple[int, ...]:
        """Shape of the weights of one layer: (wires, 3), angles in radians."""
        return (wires, 3)

    def cnots(self, wires: int, layer: int) -> CNOTs:
        """(control, target) pairs of one layer, in order of application."""
        return self.f(Register(wires), layer) if wires > 1 else []

    def queue(self, weights: Array, wires: int, layer: int, x: Array) -> None:
        """Queue the gates of one layer, weights (wires, 3); x is not used."""
        for i in range(wires):
            rotate(weights[i], i)
        for control, target in self.cnots(wires, layer):
            qml.CNOT(wires=[control, target])


@dataclass(frozen=True)
class Layer:
    """A layer of any PennyLane gates: f(weights, wires, layer) queues them.

    Attributes:
        f: if it has a parameter named `x`, it also gets the row, (features,): for re-uploading, or a trained
            scaling of the input.
        shape: of the weights of one layer, or a function of the number of wires that returns it; None:
            (wires, 3).
    """

    f: Callable[..., object]
    shape: tuple[int, ...] | Callable[[int], tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None and not callable(self.shape):
            object.__setattr__(self, "shape", tuple(self.shape))

    def shape_for(self, wires: int) -> tuple[int, ...]:
        """Shape of the weights of one layer.

        Raises:
            ParameterError: it is not a tuple of whole numbers from 1 up.
        """
        shape: Any = self.shape(wires) if callable(self.shape) else self.shape or (wires, 3)
        if not isinstance(shape, tuple | list) or not all(_is_count(k) for k in shape):
            raise ParameterError(
                f"shape = {shape!r} of {name_of(self.f)}: a tuple of whole numbers from 1 up was expected."
            )
        return tuple(int(k) for k in shape)

    def queue(self, weights: Array, wires: int, layer: int, x: Array) -> None:
        """Queue the gates of one layer, weights of shape `shape_for(wires)`, x (features,)."""
        row = {"x": x} if "x" in inspect.signature(self.f).parameters else {}
        self.f(weights, Register(wires), layer, **row)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def rotate(angles: Array, wire: int) -> None:
    """RZ RY RZ on a wire, angles (3,) in radians, in the order of application, which is the order of
    qml.Rot.

    Three gates are used because they compile and differentiate in every version of the stack that was
    measured.
    """
    qml.RZ(angles[0], wires=wire)
    qml.RY(angles[1], wires=wire)
    qml.RZ(angles[2], wires=wire)


def mean(count: int) -> np.ndarray:
    """Equal coefficients whose sum is 1, (count,)."""
    return np.full(count, 1 / count)


def _first(count: int) -> np.ndarray:
    return np.array([1.0] + [0.0] * (count - 1))


def _all_z(wires: int) -> list[str]:
    return ["Z" * wires]


@dataclass(frozen=True)
class Measurement:
    """The score sum_k c_k <P_k> over Pauli words P_k; where `rotated`, after a trainable RZ RY RZ on each
    wire.

    `Measurement(words=["ZZII", "IIXY"])` is the mean of the words, and `Measurement(None, words=...)` trains
    the coefficients.

    Attributes:
        coefficients: c, one per word, or a function of the number of words that returns them; None: c is
            trained.
        rotated: whether the trainable rotations come before the measurement.
        words: each with one letter of I, X, Y, Z per wire, or a PennyLane operator (qml.Z(0) @ qml.Z(1)); or
            a function of the number of wires that returns them; None: Z on each wire in turn.
    """

    coefficients: Callable[[int], np.ndarray] | Sequence[float] | None = mean
    rotated: bool = False
    words: Callable[[int], Sequence[Any]] | Sequence[Any] | None = None

    def __post_init__(self) -> None:
        for name in ("coefficients", "words"):  # hashable, and not the caller's own list
            value = getattr(self, name)
            if value is not None and not callable(value):
                object.__setattr__(self, name, tuple(value))

    @property
    def weighted(self) -> bool:
        """Whether the coefficients are trained."""
        return self.coefficients is None

    def letters(self, wires: int) -> tuple[str, ...]:
        """The words as strings with one letter per wire.

        Raises:
            ParameterError: they are not a list, or one of them is not a Pauli word on so many wires.
        """
        if self.words is None:
            return tuple("I" * i + "Z" + "I" * (wires - i - 1) for i in range(wires))
        words = self.words(wires) if callable(self.words) else self.words
        if isinstance(words, str) or not len(words):
            raise ParameterError(
                f"words = {words!r}: a list of Pauli words was expected, ['ZZI', 'IXX'] say."
            )
        return tuple(_letters(word, wires) for word in words)

    def fixed(self, wires: int) -> np.ndarray | None:
        """The coefficients c, float64 (K,) for K words; None where they are trained.

        Raises:
            ParameterError: they are not K finite numbers; or as `letters`.
        """
        if self.coefficients is None:
            return None
        count = len(self.letters(wires))
        values = self.coefficients(count) if callable(self.coefficients) else self.coefficients
        c = np.asarray(values, dtype=np.float64)
        if c.shape != (count,) or not np.isfinite(c).all():
            raise ParameterError(
                f"The measurement has {count} Pauli words and the coefficients {values!r}: {count} finite "
                "numbers were expected."
            )
        return c


def _letters(word: Any, wires: int) -> str:
    if isinstance(word, qml.operation.Operator):
        pure = qml.pauli.is_pauli_word(word) and qml.pauli.pauli_word_prefactor(word) == 1
        if not pure or not set(word.wires) <= set(range(wires)):
            raise ParameterError(
                f"{word} is no Pauli word on wires 0 to {wires - 1}; coefficients go into `coefficients`."
            )
        word = qml.pauli.pauli_word_to_string(word, {i: i for i in range(wires)})
    if not isinstance(word, str) or len(word) != wires or set(word) - set("IXYZ"):
        raise ParameterError(
            f"{word!r} is no Pauli word of {wires} wires: one letter of I, X, Y, Z for each was expected."
        )
    return word


def _angle_y(spec: Encoded, x: Array) -> None:
    for i in range(spec.wires):
        if spec.hadamard:
            qml.Hadamard(wires=i)
        qml.RY(x[i], wires=i)


def _angle_xy(spec: Encoded, x: Array) -> None:
    for i in range(spec.wires):
        qml.RX(x[i], wires=i)
        qml.RY(x[i], wires=i)


def _amplitude(spec: Encoded, x: Array) -> None:
    qml.StatePrep(
        x / qml.math.sqrt(qml.math.sum(x * x, axis=-1, keepdims=True)),
        wires=range(spec.wires),
        validate_norm=False,
    )


def _cyclic(n: int, reach: int) -> CNOTs:
    return [(i, (i + reach) % n) for i in range(n)]


def _strongly_entangling(n: int, layer: int) -> CNOTs:
    return _cyclic(n, layer % (n - 1) + 1)


def _ring(n: int, layer: int) -> CNOTs:
    return _cyclic(n, 1)


def _unentangled(n: int, layer: int) -> CNOTs:
    return []


ENCODERS: dict[str, Callable[[Encoded, Array], None]] = {
    "angle_y": _angle_y,
    "angle_xy": _angle_xy,
    "amplitude": _amplitude,
}
SIMULATED = tuple(ENCODERS.values())  # those that the exact engine's fast paths have matrices for
# a bare function (wires, layer) stands for its Pattern
ANSATZE: dict[str, Pattern | Layer | Callable[..., Any]] = {
    "strongly_entangling": _strongly_entangling,  # Schuld et al., PRA 101, 032308, 2020
    "ring": _ring,
    "unentangled": _unentangled,  # the control of Bowles, Ahmed and Schuld, arXiv:2403.07059
}
PATTERNS = frozenset(ANSATZE.values())  # those of this package
MEASUREMENTS: dict[str, Measurement] = {
    "z0": Measurement(_first),
    "mean_z": Measurement(mean),
    "z_vec": Measurement(None),
    "mean_z_readout": Measurement(mean, rotated=True),
    "parity": Measurement(words=_all_z),
}
COEFFICIENTS = frozenset(
    part.coefficients for part in MEASUREMENTS.values()
)  # this package's, None the trained


def encoder_of(given: Any) -> Callable[[Encoded, Array], None]:
    """The encoder that a name or a function (x, wires) stands for.

    Raises:
        ParameterError: an unknown name, or a value that is neither a name nor a function.
    """
    if isinstance(given, str):
        named: Callable[[Encoded, Array], None] = _named("encoder", given, ENCODERS)
        return named
    if not callable(given):
        raise ParameterError(f"encoder = {given!r}: a name or a function (x, wires) was expected.")
    return given if isinstance(given, Encoder) else Encoder(given)


def ansatz_of(given: Any) -> Pattern | Layer:
    """The ansatz that a name, a Pattern, a Layer or a function stands for. A function with two required
    parameters, (wires, layer), is a pattern; any other, (weights, wires, layer), is a layer.

    Raises:
        ParameterError: an unknown name, or a value of another type.
    """
    part = _named("ansatz", given, ANSATZE) if isinstance(given, str) else given
    if isinstance(part, Pattern | Layer):
        return part
    if not callable(part):
        raise ParameterError(
            f"ansatz = {given!r}: a name, a Pattern, a Layer or a function (weights, wires, layer) was "
            "expected."
        )
    needed = [p for p in inspect.signature(part).parameters.values() if p.default is p.empty]
    return Pattern(part) if len(needed) == 2 else Layer(part)


def measurement_of(given: Any) -> Measurement:
    """The measurement that a name, a Measurement or a list of Pauli words stands for.

    Raises:
        ParameterError: an unknown name, or a value of another type.
    """
    if isinstance(given, str):
        given = _named("measurement", given, MEASUREMENTS)
    if isinstance(given, list | tuple):
        return Measurement(words=given)
    if not isinstance(given, Measurement):
        raise ParameterError(
            f"measurement = {given!r}: a name, a list of Pauli words or a Measurement was expected."
        )
    return given


def _named(kind: str, name: str, table: dict[str, Any]) -> Any:
    if name not in list(table):
        raise ParameterError(f"{kind} = {name!r} is not known. {nearest(name, table)}")
    return table[name]
