"""The variational circuit: what is encoded, entangled and measured, and the shapes of its parameters.

Its parts are defined in `qnb.core.parts`. Every engine reads them through `CircuitSpec`, and the PennyLane
circuit that it draws is the one that is compiled.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pennylane as qml

from qnb import own
from qnb.core import recording
from qnb.core.parameters import Parameters, parameters_of
from qnb.core.parts import (
    ANSATZE,
    COEFFICIENTS,
    ENCODERS,
    MEASUREMENTS,
    PATTERNS,
    SIMULATED,
    Array,
    Encoded,
    Encoder,
    Layer,
    Measurement,
    Pattern,
    ansatz_of,
    encoder_of,
    mean,
    measurement_of,
    rotate,
)
from qnb.errors import ParameterError, nearest

__all__ = [
    "ALPHA_FLOOR",
    "ANSATZE",
    "ENCODERS",
    "GROUPS",
    "HEAD",
    "MEASUREMENTS",
    "Array",
    "CircuitSpec",
    "Layer",
    "Measurement",
    "Params",
    "Pattern",
    "groups_of",
    "of_circuit",
]

HEAD = ("alpha", "bias")
GROUPS = ("weights", "readout", *HEAD, "scaling")  # of parameters; the last where it is trained
ALPHA_FLOOR = 1e-3  # alpha = softplus(alpha_raw) + ALPHA_FLOOR > 0

# one array per group: weights (layers, *shape of a layer), readout (r,), bias (), alpha () the raw one; and
# scaling (encodings, wires) where it is trained
Params = dict[str, np.ndarray]


def groups_of(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the parameter groups that are present, in the order of GROUPS."""
    return tuple(group for group in GROUPS if group in params)


def of_circuit(params: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of the circuit alone (without bias and alpha), in the order of GROUPS."""
    return {group: params[group] for group in groups_of(params) if group not in HEAD}


@dataclass(frozen=True)
class CircuitSpec:
    """A circuit family, without its parameters.

    Encoders:
        `angle_y` RY(x_i) on wire i; `angle_xy` RX(x_i) then RY(x_i); `amplitude` the normalised vector of
        2^wires entries. Or a function encoder(x, wires), x (wires,) in radians.
    Ansätze, each layer RZ RY RZ per wire and then CNOTs:
        `strongly_entangling` i -> (i + r) mod n with r = l mod (n - 1) + 1 (Schuld et al., PRA 101, 032308,
        2020); `ring` i -> (i + 1) mod n; `unentangled` none. One wire has no CNOT; two wires in a ring have
        both directions. Or a `Pattern` of CNOTs, or a layer of any gates: a function layer(weights, wires,
        layer), or a `Layer`.
    Measurements:
        `z0` <Z_0>; `mean_z` mean of <Z_i>; `z_vec` sum_i w_i <Z_i>; `mean_z_readout` a trainable RZ RY RZ
        per wire, then the mean of <Z_i>; `parity` <Z_0 ... Z_(n-1)>. Or a list of Pauli words, or a
        `Measurement`.
    Scaling:
        with `scaling` the encoder gets w_i x_i in place of x_i, where w is trained and starts at 1: with
        `reupload` one factor for each layer and wire, L(l) = U(theta_l + w_l x) of Pérez-Salinas et al.
        (Quantum 4, 226, 2020), as in the data re-uploading classifier of Bowles, Ahmed and Schuld
        (arXiv:2403.07059, 2024); without, one factor per wire, since x is encoded once. A `Layer` that takes
        x itself gets it unscaled.

    Names are looked up once, when the spec is made: a later change of a table affects later specs only.
    Functions are called when the spec is made, and a function that does not queue the same circuit each time
    is refused; see `qnb.core.recording.check`.

    Attributes:
        encoder, ansatz, measurement: as strings: names, or a `qnb.own.Own` for a part of your own.
        encode, layer, measured: the parts that these strings stand for.

    Raises:
        ParameterError: an unknown name, `wires` or `layers` below 1, a contradictory combination (`hadamard`
            with an encoder other than `angle_y`, `amplitude` with `reupload` or `scaling`), or a function
            that is refused.
    """

    wires: int = 8
    layers: int = 3
    encoder: Any = "angle_y"
    ansatz: Any = "strongly_entangling"
    measurement: Any = "mean_z_readout"
    reupload: bool = False
    hadamard: bool = False
    scaling: bool = False
    encode: Callable[[Encoded, Array], None] = field(init=False, repr=False)
    layer: Pattern | Layer = field(init=False, repr=False)
    measured: Measurement = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = {"encoder": encoder_of, "ansatz": ansatz_of, "measurement": measurement_of}
        for name, attribute in zip(parts, ("encode", "layer", "measured"), strict=True):
            part = own.part(getattr(self, name))
            object.__setattr__(self, name, part)
            object.__setattr__(self, attribute, parts[name](own.value_of(part)))
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
        if self.scaling and self.encoder == "amplitude":
            raise ParameterError(
                "encoder='amplitude' normalises its vector and has no angles to scale: set scaling=False."
            )
        if not self._built_in:
            self._check()

    def _check(self) -> None:
        """Refuse invalid parts of the user's; see `qnb.core.recording.check`."""
        self.measured.fixed(self.wires)  # raises where words or coefficients are invalid
        rng = np.random.default_rng(0)
        x, weights = rng.uniform(0.1, 1, self.features), rng.uniform(0.1, 1, self.shapes["weights"])
        if isinstance(self.encode, Encoder):
            recording.check(
                f"encoder {self.encoder!r}", self.wires, lambda: self.encode(self, x), f"x of shape {x.shape}"
            )
        arguments = f"weights of shape {weights.shape[1:]}"
        for layer in range(self.layers):
            build = functools.partial(self.layer.queue, weights[layer], self.wires, layer, x)
            recording.check(f"ansatz {self.ansatz!r}, layer {layer},", self.wires, build, arguments)

    @property
    def _built_in(self) -> bool:
        """Whether all parts are this package's: functions that hold nothing, whose results never change."""
        coefficients = self.measured.coefficients
        return (
            self.fast
            and self.layer.f in PATTERNS
            and (not callable(coefficients) or coefficients in COEFFICIENTS)
        )

    @property
    def fast(self) -> bool:
        """Whether it is made of angle or amplitude encoding, RZ RY RZ, CNOTs and <Z_i> alone, for which the
        exact engine has its fastest paths.
        """
        return (
            self.encode in SIMULATED
            and isinstance(self.layer, Pattern)
            and self.measured.words is None
            and not (self.measured.weighted and self.measured.rotated)
        )

    @property
    def features(self) -> int:
        """Length of x: one angle per wire, or 2^wires amplitudes."""
        return 2**self.wires if self.encoder == "amplitude" else self.wires

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields that `CircuitSpec(...)` takes."""
        return tuple(f.name for f in fields(cls) if f.init)

    def to_dict(self) -> dict[str, Any]:
        """The spec as a dict of its fields; `CircuitSpec(**spec.to_dict())` looks the names up again."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def words(self) -> tuple[str, ...]:
        """The K Pauli words that are measured, each with one letter of I, X, Y, Z per wire."""
        return self.measured.letters(self.wires)

    @property
    def live_words(self) -> list[str]:
        """The words of `words` whose coefficient is not fixed at 0."""
        fixed = self.measured.fixed(self.wires)
        return [word for k, word in enumerate(self.words) if fixed is None or fixed[k]]

    @property
    def parameters(self) -> Parameters:
        """The number of trained parameters by group, and the names of those that provably never move the
        score.
        """
        return parameters_of(self)

    @property
    def depth(self) -> int:
        """The depth by which rounding errors are estimated: the number of layers; with gates of your own one
        layer for every four gates on a wire, and `layers` or more.
        """
        if self.fast:
            return self.layers
        operations = recording.elementary(self.record(self.init(0), np.full(self.features, 0.5)))
        on_wire = Counter(w for op in operations for w in op.wires)
        return max(self.layers, *(-(-count // 4) for count in on_wire.values()), 1)

    @property
    def readout_size(self) -> int:
        """Length of the readout vector: one trained coefficient per word (n for `z_vec`), then 3 n angles
        where rotations are trained (`mean_z_readout`; reshaped (n, 3), row by row). Without either it is 1,
        and unused.
        """
        size = len(self.words) * self.measured.weighted + 3 * self.wires * self.measured.rotated
        return size or 1

    @property
    def has_readout(self) -> bool:
        """Whether the measurement has trainable parameters."""
        return self.measured.weighted or self.measured.rotated

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter group: weights (layers, *shape of one layer), for patterns (layers, wires,
        3); readout (readout_size,); bias (); alpha (); with a trained scaling, scaling (encodings, wires).
        """
        return {
            "weights": (self.layers, *self.layer.shape_for(self.wires)),
            "readout": (self.readout_size,),
            "bias": (),
            "alpha": (),
        } | ({"scaling": (self.encodings, self.wires)} if self.scaling else {})

    @property
    def encodings(self) -> int:
        """How many times the encoder is applied to x."""
        return self.layers if self.reupload else 1

    def init(self, seed: int | np.random.Generator, alpha_mode: str = "softplus") -> Params:
        """Initial parameters, float64, with the shapes of `shapes`.

        Weights are 0.01 N(0, 1); readout coefficients 1/K for K words and readout angles 0.01 N(0, 1); bias
        0; alpha the raw value for which alpha = 1; scaling 1.

        Args:
            seed: an integer, or a numpy Generator to draw from.
            alpha_mode: "softplus" or "direct", see `qnb.core.objective.Objective`.

        Raises:
            ParameterError: an unknown alpha_mode.
        """
        rng = np.random.default_rng(seed)
        weights = 0.01 * rng.standard_normal(self.shapes["weights"])
        readout = [mean(len(self.words))] if self.measured.weighted else []
        readout += [0.01 * rng.standard_normal(3 * self.wires)] if self.measured.rotated else []
        raw = {"direct": 1.0, "softplus": np.log(np.expm1(1 - ALPHA_FLOOR))}
        if alpha_mode not in raw:
            raise ParameterError(f"alpha_mode = {alpha_mode!r} is not known. {nearest(alpha_mode, raw)}")
        return {
            "weights": weights,
            "readout": np.concatenate(readout or [np.zeros(1)]),
            "bias": np.zeros(()),
            "alpha": np.asarray(raw[alpha_mode]),
        } | ({"scaling": np.ones(self.shapes["scaling"])} if self.scaling else {})

    def apply(self, weights: Array, readout: Array | None, x: Array, scaling: Array | None = None) -> None:
        """Queue the gates, readout rotations included, for one x of shape (features,).

        Args:
            weights: (layers, *shape of one layer).
            readout: (readout_size,); None is accepted where no rotations are trained.
            x: angles in radians, or amplitudes.
            scaling: (encodings, wires) where it is trained, else None.

        Raises:
            ParameterError: rotations are trained and readout is None; or as `scaled`.
        """
        if self.measured.rotated and readout is None:
            raise ParameterError(
                f"measurement={self.measurement!r} needs its readout angles; None was given."
            )
        self.queue(weights, None if readout is None else self.angles(readout), x, scaling)

    def queue(self, weights: Array, angles: Array | None, x: Array, scaling: Array | None = None) -> None:
        """As `apply`, but takes the readout angles alone, (3 wires,); None queues no readout rotations.

        Raises:
            ParameterError: as `scaled`.
        """
        for layer in range(self.layers):
            if layer == 0 or self.reupload:
                self.encode(self, self.scaled(x, scaling, layer))
            self.layer.queue(weights[layer], self.wires, layer, x)
        if self.measured.rotated and angles is not None:
            for i in range(self.wires):
                rotate(angles[3 * i : 3 * i + 3], i)

    def scaled(self, x: Array, scaling: Array | None, encoding: int) -> Array:
        """The input of the encoder in one of the encodings: x (features, ...), times its factors where they
        are trained.

        Args:
            scaling: (encodings, wires), or None.
            encoding: which of the encodings, from 0.

        Raises:
            ParameterError: factors are trained and scaling is None, or the other way round.
        """
        if self.scaling != (scaling is not None):
            needs = "needs its factors" if self.scaling else "has no factors"
            raise ParameterError(f"scaling={self.scaling} {needs}; {scaling!r:.60} was given.")
        if scaling is None:
            return x
        factors: Array = scaling[encoding].reshape(-1, *(1,) * (x.ndim - 1))
        return factors * x

    def cnots(self, layer: int) -> list[tuple[int, int]]:
        """(control, target) pairs of one layer of a `Pattern`, in order of application.

        Raises:
            ParameterError: the ansatz is a `Layer` of other gates.
        """
        if not isinstance(self.layer, Pattern):
            raise ParameterError(f"ansatz {self.ansatz!r} is no pattern of CNOTs.")
        return self.layer.cnots(self.wires, layer)

    def coefficients(self, readout: Array) -> Array:
        """c (K,) of the measured sum_k c_k <P_k>: the trained ones from the readout, or the fixed ones in
        its dtype.
        """
        fixed = self.measured.fixed(self.wires)
        return readout[: len(self.words)] if fixed is None else fixed.astype(readout.dtype)

    def angles(self, readout: Array) -> Array:
        """The readout (readout_size,) without its trained coefficients: the angles (3 n,) where rotations
        are trained.
        """
        return readout[len(self.words) :] if self.measured.weighted else readout

    def observable(self, coefficients: Array | Sequence[float] | None = None) -> qml.operation.Operator:
        """The measured observable sum_k c_k P_k as a PennyLane operator; terms whose coefficient is fixed at
        0 are left out.

        Args:
            coefficients: c (K,), required where they are trained; ignored otherwise.
        """
        fixed = self.measured.fixed(self.wires)
        if fixed is None:
            return qml.Hamiltonian(coefficients, self.observables())
        terms = [(c, P) for c, P in zip(fixed.tolist(), self.observables(), strict=True) if c]
        if [c for c, _ in terms] == [1.0]:
            return terms[0][1]
        return qml.Hamiltonian(*(list(side) for side in zip(*terms, strict=True)))

    def observables(self) -> list[qml.operation.Operator]:
        """The measured words P_k as PennyLane operators."""
        if self.measured.words is None:
            return [qml.PauliZ(i) for i in range(self.wires)]
        return [
            qml.pauli.string_to_pauli_word(word) if set(word) != {"I"} else qml.Identity(0)
            for word in self.words
        ]

    def score(
        self, weights: Array, readout: Array | None, x: Array, scaling: Array | None = None
    ) -> qml.measurements.ExpectationMP:
        """The circuit as a QNode body: queue the gates and return the measurement of s(x), a scalar.

        The arguments and errors are those of `apply`; the readout is also required where coefficients are
        trained.
        """
        if not self.measured.weighted:
            coefficients = None
        elif readout is None:
            raise ParameterError(
                f"measurement {self.measurement!r} trains its coefficients: give the readout."
            )
        else:
            coefficients = self.coefficients(readout)
        self.apply(weights, readout, x, scaling)
        return qml.expval(self.observable(coefficients))

    def operations(self) -> list[qml.operation.Operator]:
        """The PennyLane operations of one forward pass, in order, for drawing and counting.

        Encoding gates hold NaN in place of x.
        """
        return self.record(self.init(0), np.full(self.features, np.nan))

    def record(self, params: Params, x: np.ndarray) -> list[qml.operation.Operator]:
        """The PennyLane operations at these parameters and one x, (features,). Raises as `apply`."""
        operations: list[qml.operation.Operator] = recording.queued(
            lambda: self.apply(params["weights"], params["readout"], x, params.get("scaling"))
        ).operations
        return operations

    def fingerprint(self) -> str:
        """SHA-256, in hex, of what the circuit computes, whatever it is called: the gates that it queues at
        two random points, with their wires and their parameters or matrices, and the observable.

        It is computed at each call, so that a changed closure changes it; the result is kept where all parts
        are this package's own.
        """
        return _fingerprint_once(self) if self._built_in else self._fingerprint()

    def _fingerprint(self) -> str:
        sha256, rng = hashlib.sha256(), np.random.default_rng(0)
        for _ in range(2):
            params = {name: rng.uniform(0.1, 1, shape) for name, shape in self.shapes.items()}
            operations = self.record(params, rng.uniform(0.1, 1, self.features))
            for gate in _described(operations) if self.fast else _computed(operations):
                sha256.update(repr(gate).encode())
            coefficients = self.coefficients(params["readout"]).tolist()
            sha256.update(
                repr((self.measured.rotated, coefficients, self.measured.words and self.words)).encode()
            )
        return sha256.hexdigest()


def _described(operations: list[qml.operation.Operator]) -> list[tuple[Any, ...]]:
    return [
        (op.name, op.wires.tolist(), [np.asarray(p).tolist() for p in op.parameters]) for op in operations
    ]


@functools.lru_cache(maxsize=256)
def _fingerprint_once(spec: CircuitSpec) -> str:
    return spec._fingerprint()


def _computed(operations: list[qml.operation.Operator]) -> list[tuple[Any, ...]]:
    return [(wires, np.asarray(matrix).tolist()) for wires, matrix in recording.gates(operations)]
