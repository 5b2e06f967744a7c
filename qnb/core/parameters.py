"""How many parameters a circuit has, and which of them provably never move the score.

A parameter is dead where every gate that it enters is dead, or where it enters no gate. A gate is dead for
one of two reasons, both found from the recorded gates, without a gradient:

    it commutes with the observable O, pulled back to it from the end. Going backwards, R are the wires on
        which O acts, and S those whose Z commutes with O. A gate U on wires W commutes with O if the wires of
        W in R are all in S, and U is block-diagonal in their bits (outside of the light cone there are none).
        Else W joins R, and a wire w of W is in S from then on if U Z_w U^+ is a function of the Z of S
    it is diagonal, and its wires are still in a basis state: it changes a global phase alone

Whether a matrix is diagonal is tested at a random point: its entries are analytic in the parameters, so an
entry that vanishes there vanishes everywhere (with probability 1).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from jax.experimental import enable_x64

from qnb.core import recording
from qnb.core.parts import Array, Measurement
from qnb.core.recording import Gate

ZERO = 1e-12  # what rounding leaves of an entry that vanishes


class Circuit(Protocol):
    """The part of `qnb.core.circuit.CircuitSpec` that is needed here."""

    @property
    def wires(self) -> int:
        """The number of wires."""

    @property
    def encoder(self) -> str:
        """The name of the encoder."""

    @property
    def features(self) -> int:
        """Length of x."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter group."""

    @property
    def measured(self) -> Measurement:
        """The measurement."""

    @property
    def readout_size(self) -> int:
        """Length of the readout."""

    @property
    def has_readout(self) -> bool:
        """Whether the readout is trained."""

    @property
    def words(self) -> tuple[str, ...]:
        """The Pauli words that are measured."""

    @property
    def live_words(self) -> list[str]:
        """The words whose coefficient is not fixed at 0."""

    def apply(self, weights: Array, readout: Array | None, x: Array, scaling: Array | None = None) -> None:
        """Queue the gates."""


class Parameters(NamedTuple):
    """The number of trained parameters in each group, and the names of dead ones, such as "weights[2, 0,
    2]".
    """

    weights: int
    readout: int
    bias: int
    alpha: int
    scaling: int
    dead: tuple[str, ...]

    @property
    def total(self) -> int:
        """The number of trained parameters, dead ones included."""
        return self.weights + self.readout + self.bias + self.alpha + self.scaling


def parameters_of(spec: Circuit) -> Parameters:
    """Count the parameters of a circuit, and prove which of them are dead."""
    shapes = spec.shapes
    weights = int(np.prod(shapes["weights"]))
    readout = spec.readout_size if spec.has_readout else 0
    scaling = int(np.prod(shapes["scaling"])) if "scaling" in shapes else 0
    return Parameters(weights, readout, 1, 1, scaling, tuple(_dead(spec)))


def _dead(spec: Circuit) -> Iterator[str]:
    rng = np.random.default_rng(0)
    params = {name: rng.uniform(0.1, 1, shape) for name, shape in spec.shapes.items()}
    x = rng.uniform(0.1, 1, spec.features)
    operations = _operations(spec, params, x)
    gates = recording.gates(operations)
    idle = np.array([*_idle(spec, gates)], dtype=bool)
    enters = _enters(spec, params, x)  # (gates, weights, scaling and readout)
    live = enters[~idle].any(axis=0)
    turned = [group for group in ("weights", "scaling") if group in params]
    names = [f"{group}{list(index)}" for group in turned for index in np.ndindex(spec.shapes[group])]
    first = len(names)
    names += [_readout_name(spec, k) for k in range(spec.readout_size)] if spec.has_readout else []
    coefficients = len(spec.words) if spec.measured.weighted else 0
    live[first : first + coefficients] = True
    yield from (name for name, lives in zip(names, live, strict=False) if not lives)


def _readout_name(spec: Circuit, k: int) -> str:
    return f"readout[{k}]" if spec.measured.weighted else f"readout{list(divmod(k, 3))}"


def _operations(spec: Circuit, params: dict[str, Any], x: Any) -> list[qml.operation.Operator]:
    """What is queued behind a state preparation, gates of several numbers taken apart."""
    arguments = params["weights"], params["readout"], x, params.get("scaling")
    queue = recording.queued(lambda: spec.apply(*arguments)).operations
    rest = [op for op in queue if not isinstance(op, qml.operation.StatePrepBase)]
    return [part for op in recording.elementary(rest) for part in _finest(op)]


def _finest(operation: qml.operation.Operator) -> Iterator[qml.operation.Operator]:
    if operation.num_params > 1 and operation.has_decomposition:
        for part in recording.elementary(operation.decomposition()):
            yield from _finest(part)
    else:
        yield operation


@enable_x64()
def _enters(spec: Circuit, params: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Which of the weights, the scaling and the readout (flat) each gate depends on, bool (gates,
    parameters).
    """
    groups = [group for group in ("weights", "scaling", "readout") if group in params]
    ends = np.cumsum([params[group].size for group in groups])[:-1]

    def numbers(flat: jax.Array) -> list[jax.Array]:
        parts = zip(groups, jnp.split(flat, ends), strict=True)
        operations = _operations(spec, {g: part.reshape(params[g].shape) for g, part in parts}, x)
        return [jnp.concatenate([jnp.ravel(p) for p in op.parameters] or [jnp.zeros(1)]) for op in operations]

    flat = jnp.concatenate([params[group].ravel() for group in groups])
    slopes = jax.jacfwd(numbers)(flat)
    return np.array([np.abs(np.asarray(slope)).max(axis=0) > 0 for slope in slopes])


def _idle(spec: Circuit, gates: Sequence[Gate]) -> Iterator[bool]:
    """Whether each gate never moves the score."""
    before, behind = _on_basis_states(spec, gates), _commuting(spec, gates)
    yield from (any(reasons) for reasons in zip(before, behind, strict=True))


def _on_basis_states(spec: Circuit, gates: Sequence[Gate]) -> Iterator[bool]:
    basis = set() if spec.encoder == "amplitude" else set(range(spec.wires))
    for wires, matrix in gates:
        on_basis = set(wires) <= basis
        yield on_basis and _is_diagonal(matrix)
        if not (on_basis and _is_monomial(matrix)):
            basis -= set(wires)


def _commuting(spec: Circuit, gates: Sequence[Gate]) -> list[bool]:
    letters = [set(on_wire) for on_wire in zip(*spec.live_words, strict=True)]
    reached = {i for i, paulis in enumerate(letters) if paulis != {"I"}}
    diagonal = {i for i, paulis in enumerate(letters) if paulis <= {"I", "Z"}}
    commuting = []
    for wires, matrix in reversed(gates):
        touched = [place for place, w in enumerate(wires) if w in reached]
        commutes = all(wires[k] in diagonal for k in touched) and _is_block_diagonal(matrix, touched)
        commuting.append(commutes)
        if not commutes:
            reached |= set(wires)
            kept = {w for place, w in enumerate(wires) if _pulled_back(wires, matrix, place, diagonal)}
            diagonal = diagonal - set(wires) | kept
    return commuting[::-1]


def _pulled_back(wires: tuple[int, ...], matrix: Any, place: int, diagonal: set[int]) -> bool:
    """Whether U Z_w U^+, w the wire at `place`, is a function of the Z of the wires in `diagonal`."""
    k = len(wires)
    bits = (np.arange(2**k) >> np.arange(k - 1, -1, -1)[:, None]) & 1
    u = np.asarray(matrix)
    turned = (u * (1 - 2 * bits[place])) @ u.conj().T
    if not _is_diagonal(turned):
        return False
    values = np.diagonal(turned).reshape((2,) * k)
    return all(wires[j] in diagonal or np.abs(values - np.flip(values, j)).max() < ZERO for j in range(k))


def _is_diagonal(matrix: Any) -> bool:
    return _is_block_diagonal(matrix, range(len(matrix).bit_length() - 1))


def _is_block_diagonal(matrix: Any, places: Sequence[int]) -> bool:
    """Whether no entry leads from one value of the bits at these places to another."""
    k = len(matrix).bit_length() - 1
    bits = (np.arange(2**k)[:, None] >> (k - 1 - np.array(places, dtype=int))) & 1
    apart = (bits[:, None] != bits[None]).any(axis=-1)
    return bool((np.abs(np.asarray(matrix))[apart] < ZERO).all())


def _is_monomial(matrix: Any) -> bool:
    return bool(((np.abs(np.asarray(matrix)) > ZERO).sum(axis=0) == 1).all())
