"""Implementations of a batch's scores and loss gradient to be timed: the package's engines and alternatives.

A contender has the two calls of an engine, `scores(params, X)` and `loss_and_grad(params, X, y, w)`. Those
that Catalyst compiles run in a child process in float64; the JAX simulators run in this one in float32.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from jax.experimental import enable_x64

from qnb.core.child import Remote
from qnb.core.circuit import Array, CircuitSpec, Params
from qnb.core.engine import Engine, make_engine
from qnb.core.objective import Objective
from qnb.errors import QnbError

TENSORCIRCUIT = "tensorcircuit"  # the module of tensorcircuit-ng, an optional dependency


class NotMeasured(QnbError):
    """A contender is not installed, or cannot compute this circuit."""


class Way(Protocol):
    """The two calls of an engine that are timed."""

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """See `qnb.core.engine.Engine`."""

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`."""


@dataclass(frozen=True)
class Contender:
    """How to build one, and when it is measured.

    Attributes:
        build: (spec, objective, device) -> a Way; raises NotMeasured where it cannot be built.
        quick: whether a quick measurement includes it.
        only: the batch sizes worth compiling for; None: all.
    """

    build: Callable[[CircuitSpec, Objective, str], Way]
    quick: bool = True
    only: tuple[int, ...] | None = None


class InChild:
    """A contender on a QNode that Catalyst compiles, in the child process (see `qnb.probes.compiled`).

    Raises:
        NotMeasured: the circuit has a trained scaling.
    """

    def __init__(self, cls: str, spec: CircuitSpec, objective: Objective, device: str):
        if spec.scaling:
            raise NotMeasured("a trained scaling is written out for qnb's engines and default.qubit alone.")
        self.remote = Remote(f"qnb.probes.compiled:{cls}", spec, objective, device)

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """See `qnb.core.engine.Engine`."""
        scores: np.ndarray = self.remote.call("scores", params, X)
        return scores

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`."""
        loss, grads = self.remote.call("loss_and_grad", params, X, y, w)
        return loss, grads


# (weights, readout, x), and scaling where it is trained -> s of one row
Score = Callable[..., jax.Array]


class Mapped:
    """A JAX function of one row under jax.jit and jax.vmap, float32."""

    def __init__(self, objective: Objective, score: Score):
        def of_row(params: dict[str, jax.Array]) -> Callable[[jax.Array], jax.Array]:
            scaling = [params[group] for group in ("scaling",) if group in params]
            return lambda x: score(params["weights"], params["readout"], x, *scaling)

        def loss(params: dict[str, jax.Array], X: jax.Array, y: jax.Array, w: jax.Array) -> Array:
            return objective.batch_loss(params, jax.vmap(of_row(params))(X), y, w)

        self._step = jax.jit(jax.value_and_grad(loss))
        self._scores = jax.jit(lambda p, X: jax.lax.map(of_row(p), X, batch_size=256))

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`."""
        loss, grads = jax.tree.map(np.asarray, self._step(*jax.tree.map(_single, (params, X, y, w))))
        return float(loss), grads

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """See `qnb.core.engine.Engine`."""
        return np.asarray(self._scores(jax.tree.map(_single, params), _single(X)))


class MappedWithoutX64(Mapped):
    """The same, traced and called with jax_enable_x64 off, so that a library's constants are float32."""

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        with enable_x64(False):
            return super().loss_and_grad(params, X, y, w)

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        with enable_x64(False):
            return super().scores(params, X)


def _single(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def default_qubit(spec: CircuitSpec, objective: Objective, device: str) -> Mapped:
    """PennyLane's own simulator, default.qubit, traced by JAX; `device` is not used."""
    node = qml.QNode(
        spec.score, qml.device("default.qubit", wires=spec.wires), diff_method="backprop", interface="jax"
    )
    return Mapped(objective, lambda *args: jnp.real(node(*args)))


def tensorcircuit(spec: CircuitSpec, objective: Objective, device: str) -> MappedWithoutX64:
    """tensorcircuit-ng on JAX, complex64, for `angle_y` without Hadamard, re-uploading and scaling, and
    measurements that are weighted sums of Z_i; `device` is not used.

    Raises:
        NotMeasured: it is not installed, or the circuit is another one.
    """
    if importlib.util.find_spec(TENSORCIRCUIT) is None:
        raise NotMeasured("tensorcircuit-ng is not installed; `make peers` installs it into .venv.")
    if not spec.fast or spec.encoder != "angle_y" or spec.reupload or spec.hadamard or spec.scaling:
        raise NotMeasured(
            "only angle_y without Hadamard, re-uploading and scaling is written out for tensorcircuit-ng."
        )
    return MappedWithoutX64(objective, tensorcircuit_score(spec))


def tensorcircuit_score(spec: CircuitSpec) -> Score:
    """s(weights, readout, x) of one row on tensorcircuit-ng, for the circuits of `tensorcircuit`."""
    import tensorcircuit as tc

    before = jax.config.values["jax_enable_x64"]
    tc.set_backend("jax")
    tc.set_dtype("complex64")
    jax.config.update("jax_enable_x64", before)  # set_dtype switched it off for all of the process

    def turn(circuit: Any, wire: int, angles: jax.Array) -> None:
        circuit.rz(wire, theta=angles[0])
        circuit.ry(wire, theta=angles[1])
        circuit.rz(wire, theta=angles[2])

    def score(weights: jax.Array, readout: jax.Array, x: jax.Array) -> jax.Array:
        circuit = tc.Circuit(spec.wires)
        for i in range(spec.wires):
            circuit.ry(i, theta=x[i])
        for layer in range(spec.layers):
            for i in range(spec.wires):
                turn(circuit, i, weights[layer, i])
            for control, target in spec.cnots(layer):
                circuit.cnot(control, target)
        if spec.measured.rotated:
            for i in range(spec.wires):
                turn(circuit, i, readout[3 * i : 3 * i + 3])
        z = jnp.stack([jnp.real(circuit.expectation_ps(z=[i])) for i in range(spec.wires)])
        return jnp.sum(spec.coefficients(readout) * z)

    return score


def _engine(name: str) -> Callable[[CircuitSpec, Objective, str], Engine]:
    def build(spec: CircuitSpec, objective: Objective, device: str) -> Engine:
        return (
            make_engine(name, spec, objective)
            if name == "exact"
            else make_engine(name, spec, objective, device)
        )

    return build


CATALYST, EXACT, DEFAULT_QUBIT, TC = (
    "engine 'catalyst'",
    "engine 'exact'",
    "default.qubit, jit + vmap",
    "tensorcircuit-ng, jit + vmap",
)
CONTENDERS = {
    "qjit per row, Python loop": Contender(partial(InChild, "PythonLoop")),
    "jax.vmap(qjit)": Contender(partial(InChild, "VmapOfQjit")),
    "lax.scan over qjit": Contender(partial(InChild, "ScanOfQjit")),
    "qjit(jax.vmap)": Contender(partial(InChild, "QjitOfJaxVmap")),
    "qjit(catalyst.vmap)": Contender(partial(InChild, "QjitOfCatalystVmap")),
    CATALYST: Contender(_engine("catalyst")),
    EXACT: Contender(_engine("exact")),
    DEFAULT_QUBIT: Contender(default_qubit, quick=False, only=(256,)),
    TC: Contender(tensorcircuit, quick=False, only=(256, 4096)),
}
