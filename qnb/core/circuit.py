"""The variational circuit: what is encoded, entangled and measured, and the shapes of its parameters.

ENCODERS, ANSATZE and MEASUREMENTS are the only places that know what the names stand for. Every engine reads
them through `CircuitSpec`; the PennyLane circuit that it draws is the one that is compiled.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import jax
import numpy as np
import pennylane as qml

from qnb.errors import ParameterError, nearest

GROUPS = ("weights", "readout", "alpha", "bias")  # of parameters
ALPHA_FLOOR = 1e-3  # alpha = softplus(alpha_raw) + ALPHA_FLOOR > 0

Array = jax.Array | np.ndarray  # traced, or a plain one
# one array per group: weights (layers, wires, 3), readout (r,), bias (), alpha () the raw one
Params = dict[str, np.ndarray]


def _angle_y(spec: "CircuitSpec", x: Array) -> None:
    for i in range(spec.wires):
        if spec.hadamard:
            qml.Hadamard(wires=i)
        qml.RY(x[i], wires=i)


def _angle_xy(spec: "CircuitSpec", x: Array) -> None:
    for i in range(spec.wires):
        qml.RX(x[i], wires=i)
        qml.RY(x[i], wires=i)


def _amplitude(spec: "CircuitSpec", x: Array) -> None:
    qml.StatePrep(
        x / qml.math.sqrt(qml.math.sum(x * x, axis=-1, keepdims=True)),
        wires=range(spec.wires),
        validate_norm=False,
    )


def _cyclic(n: int, reach: int) -> list[tuple[int, int]]:
    return [(i, (i + reach) % n) for i in range(n)]


def _strongly_entangling(n: int, layer: int) -> list[tuple[int, int]]:
    return _cyclic(n, layer % (n - 1) + 1)


def _ring(n: int, layer: int) -> list[tuple[int, int]]:
    return _cyclic(n, 1)


def _first(n: int) -> np.ndarray:
    return np.array([1.0] + [0.0] * (n - 1))


def _mean(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


@dataclass(frozen=True)
class Measurement:
    """The score sum_i c_i <Z_i>, each wire turned by a trainable RZ RY RZ before where `rotated`.

    Attributes:
        coefficients: c, float64 (n,), by the number of wires; None: c is trainable, it is the readout.

    Raises:
        ParameterError: trainable coefficients after trainable rotations: the readout is one of the two.
    """

    coefficients: Callable[[int], np.ndarray] | None
    rotated: bool = False

    def __post_init__(self) -> None:
        if self.weighted and self.rotated:
            raise ParameterError(
                "A measurement has trainable coefficients (coefficients=None) or trainable rotations "
                "(rotated=True), not both: the readout is one of the two."
            )

    @property
    def weighted(self) -> bool:
        """Whether the readout is the coefficients."""
        return self.coefficients is None


ENCODERS: dict[str, Callable[["CircuitSpec", Array], None]] = {
    "angle_y": _angle_y,
    "angle_xy": _angle_xy,
    "amplitude": _amplitude,
}
# (wires, layer) -> CNOTs as (control, target)
ANSATZE: dict[str, Callable[[int, int], list[tuple[int, int]]]] = {
    "strongly_entangling": _strongly_entangling,  # Schuld et al., PRA 101, 032308, 2020
    "ring": _ring,
}
MEASUREMENTS: dict[str, Measurement] = {
    "z0": Measurement(_first),
    "mean_z": Measurement(_mean),
    "z_vec": Measurement(None),
    "mean_z_readout": Measurement(_mean, rotated=True),
}


@dataclass(frozen=True)
class CircuitSpec:
    """A circuit family, without its parameters.

    Encoders:
        `angle_y` RY(x_i) on wire i; `angle_xy` RX(x_i) then RY(x_i); `amplitude` the normalised vector of
        2^wires entries.
    Ansätze, each layer RZ RY RZ per wire and then CNOTs:
        `strongly_entangling` i -> (i + r) mod n with r = l mod (n - 1) + 1; `ring` i -> (i + 1) mod n.
        One wire has no CNOT; two wires in a ring have both directions.
    Measurements:
        `z0` <Z_0>; `mean_z` mean of <Z_i>; `z_vec` sum_i w_i <Z_i>; `mean_z_readout` a trainable RZ RY RZ
        per wire, then the mean of <Z_i>.

    A name is looked up once, when the spec is made: what is assigned to it in a table later is for later
    specs.

    Attributes:
        encode, entangle, measured: what the names of encoder, ansatz and measurement stood for.

    Raises:
        ParameterError: an unknown name or a combination that means nothing.
    """

    wires: int = 8
    layers: int = 3
    encoder: str = "angle_y"
    ansatz: str = "strongly_entangling"
    measurement: str = "mean_z_readout"
    reupload: bool = False
    hadamard: bool = False
    encode: Callable[["CircuitSpec", Array], None] = field(init=False, repr=False)
    entangle: Callable[[int, int], list[tuple[int, int]]] = field(init=False, repr=False)
    measured: Measurement = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tables: dict[str, tuple[str, dict[str, Any]]] = {
            "encoder": ("encode", ENCODERS),
            "ansatz": ("entangle", ANSATZE),
            "measurement": ("measured", MEASUREMENTS),
        }
        for name, (attribute, table) in tables.items():
            chosen = getattr(self, name)
            if chosen not in list(table):
                raise ParameterError(f"{name} = {chosen!r} is not known. {nearest(chosen, table)}")
            object.__setattr__(self, attribute, table[chosen])
        for name in ("wires", "layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ParameterError(f"{name} = {value!r}: a whole number from 1 up was expected.")
        if self.hadamard and self.encoder != "angle_y":
            raise ParameterError(
                f"hadamard=True goes with encoder='angle_y' only; encoder={self.encoder!r} was given."
            )
        if self.reupload and self.encoder == "amplitude":
            raise ParameterError(
                "encoder='amplitude' prepares the whole state and cannot be re-uploaded: set reupload=False."
            )

    @property
    def features(self) -> int:
        """Length of x: one angle per wire, or 2^wires amplitudes."""
        return 2**self.wires if self.encoder == "amplitude" else self.wires

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields that a spec is made from, as `CircuitSpec(...)` takes them."""
        return tuple(f.name for f in fields(cls) if f.init)

    def to_dict(self) -> dict[str, Any]:
        """The spec in plain types: `CircuitSpec(**spec.to_dict())` looks its names up anew."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def readout_size(self) -> int:
        """Length of the readout vector: n where it is the coefficients (`z_vec`), 3 n where it is rotations
        (`mean_z_readout`; reshaped (n, 3), row by row), else 1, unused.
        """
        return self.wires if self.measured.weighted else 3 * self.wires if self.measured.rotated else 1

    @property
    def has_readout(self) -> bool:
        """Whether the measurement has trainable parameters."""
        return self.measured.weighted or self.measured.rotated

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter group: weights (layers, wires, 3), readout (readout_size,), bias (), alpha
        ().
        """
        return {
            "weights": (self.layers, self.wires, 3),
            "readout": (self.readout_size,),
            "bias": (),
            "alpha": (),
        }

    def init(self, seed: int | np.random.Generator, alpha_mode: str = "softplus") -> Params:
        """Starting parameters, float64: weights 0.01 N(0, 1); readout 1/n (`z_vec`) or 0.01 N(0, 1)
        (`mean_z_readout`); bias 0; alpha the raw value for which alpha = 1.

        Args:
            seed: an integer, or a numpy Generator to draw from.
        """
        rng = np.random.default_rng(seed)
        weights = 0.01 * rng.standard_normal(self.shapes["weights"])
        if self.measured.rotated:
            readout = 0.01 * rng.standard_normal(self.readout_size)
        else:
            readout = _mean(self.wires) if self.measured.weighted else np.zeros(self.readout_size)
        raw = {"direct": 1.0, "softplus": np.log(np.expm1(1 - ALPHA_FLOOR))}
        if alpha_mode not in raw:
            raise ParameterError(f"alpha_mode = {alpha_mode!r} is not known. {nearest(alpha_mode, raw)}")
        return {
            "weights": weights,
            "readout": readout,
            "bias": np.zeros(()),
            "alpha": np.asarray(raw[alpha_mode]),
        }

    def apply(self, weights: Array, readout: Array | None, x: Array) -> None:
        """Queue the gates, readout rotations included, for one x of shape (features,), weights (layers,
        wires, 3).
        """
        for layer in range(self.layers):
            if layer == 0 or self.reupload:
                self.encode(self, x)
            for i in range(self.wires):
                _rotate(weights[layer, i], i)
            for control, target in self.cnots(layer):
                qml.CNOT(wires=[control, target])
        if self.measured.rotated:
            if readout is None:
                raise ParameterError(
                    f"measurement={self.measurement!r} needs its readout angles; None was given."
                )
            for i in range(self.wires):
                _rotate(readout[3 * i : 3 * i + 3], i)

    def cnots(self, layer: int) -> list[tuple[int, int]]:
        """(control, target) pairs of one layer, in order of application."""
        return self.entangle(self.wires, layer) if self.wires > 1 else []

    def coefficients(self, readout: Array) -> Array:
        """c (n,) of the measured sum_i c_i <Z_i>: the readout itself (`z_vec`), or fixed ones in its
        dtype.
        """
        fixed = self.measured.coefficients
        return readout if fixed is None else fixed(self.wires).astype(readout.dtype)

    def observable(self, coefficients: Array | Sequence[float] | None = None) -> qml.operation.Operator:
        """The measured observable sum_i c_i Z_i: with the measurement's own c_i, or those given (n,) for
        `z_vec`.
        """
        fixed = self.measured.coefficients
        if fixed is None:
            return qml.Hamiltonian(coefficients, [qml.PauliZ(i) for i in range(self.wires)])
        terms = {i: c for i, c in enumerate(fixed(self.wires).tolist()) if c}
        if list(terms.values()) == [1.0]:
            return qml.PauliZ(*terms)
        return qml.Hamiltonian(list(terms.values()), [qml.PauliZ(i) for i in terms])

    def score(self, weights: Array, readout: Array | None, x: Array) -> qml.measurements.ExpectationMP:
        """The circuit as a QNode body: queue everything and return the expectation value s(x), a scalar."""
        self.apply(weights, readout, x)
        return qml.expval(self.observable(readout if self.measured.weighted else None))

    def operations(self) -> list[qml.operation.Operator]:
        """The PennyLane operations of one forward pass, in order, for drawing and counting.

        Those that encode data hold NaN.
        """
        return self._tape(self.init(0), np.full(self.features, np.nan))

    def fingerprint(self) -> str:
        """SHA-256 of what the circuit computes, whatever it is called: the operations that it queues at two
        random points, with their wires and parameters, and the observable. A closure that has changed changes
        it: it is computed anew each time, but where all parts are this file's own.
        """
        parts = self.encode, self.entangle, self.measured.coefficients
        return _fingerprint_once(self) if all(part in OWN for part in parts) else self._fingerprint()

    def _fingerprint(self) -> str:
        digest, rng = hashlib.sha256(), np.random.default_rng(0)
        for _ in range(2):
            params = {name: rng.uniform(0.1, 1, shape) for name, shape in self.shapes.items()}
            for operation in self._tape(params, rng.uniform(0.1, 1, self.features)):
                described = (
                    operation.name,
                    operation.wires.tolist(),
                    [np.asarray(p).tolist() for p in operation.parameters],
                )
                digest.update(repr(described).encode())
            digest.update(
                repr((self.measured.rotated, self.coefficients(params["readout"]).tolist())).encode()
            )
        return digest.hexdigest()

    def _tape(self, params: Params, x: np.ndarray) -> list[qml.operation.Operator]:
        with qml.queuing.AnnotatedQueue() as queue:
            self.apply(params["weights"], params["readout"], x)
        operations: list[qml.operation.Operator] = qml.tape.QuantumScript.from_queue(queue).operations
        return operations


# functions that hold nothing, whose results never change; None: coefficients that are the readout
OWN = frozenset(
    {*ENCODERS.values(), *ANSATZE.values(), *(measured.coefficients for measured in MEASUREMENTS.values())}
)


@functools.lru_cache(maxsize=256)
def _fingerprint_once(spec: CircuitSpec) -> str:
    return spec._fingerprint()


def _rotate(angles: Array, wire: int) -> None:
    # qml.Rot's order; three gates, because they compile and differentiate in every version of the stack
    # that was measured
    qml.RZ(angles[0], wires=wire)
    qml.RY(angles[1], wires=wire)
    qml.RZ(angles[2], wires=wire)
