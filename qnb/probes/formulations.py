"""Formulations of the gradient of a batch through a compiled circuit.

Needs Catalyst, PennyLane, JAX and numpy; qnb only for its engines and for the user's own circuit parts.

`qnb.probes.audit` runs it with the Python of each audited stack, through `forks.py`. A formulation takes a
`Problem` and returns its gradient: a tuple with one array per differentiated argument.
"""

import functools
import json
import operator
import pickle
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

# What qjit compiles is annotated with this union: plain types would be a signature to it, and make it
# compile ahead of its call.
Array = jax.Array | np.ndarray
Arrays = tuple[Array, ...]  # differentiated arguments, or the gradient in them
Scalar = jax.Array | float
Function = Callable[["Problem"], Arrays]
# (X, y, w, p) of a batch or a row -> its gradient
Body = Callable[[jax.Array, jax.Array, jax.Array, Arrays], Arrays]
Scores = Callable[[Arrays, jax.Array], jax.Array]  # (circuit, X) -> (B,)
Differentiate = Callable[..., Callable[..., Arrays]]  # (function, argnums=) -> gradient(*p)
Layout = Callable[[np.ndarray], np.ndarray]
Value = Callable[[Arrays, jax.Array], tuple[jax.Array, Arrays]]  # (circuit, x) -> s, one ds per circuit group

# qnb reads the table at the end, where no compiler may be imported
if TYPE_CHECKING or not __name__.startswith("qnb."):
    import catalyst
if TYPE_CHECKING:
    from qnb.core.circuit import CircuitSpec

NO_READOUT = np.zeros(0)


class NotApplicable(Exception):
    """The formulation does not exist for this circuit, or cannot run in this stack."""


class Circuit:
    """The circuit of a `qnb.core.circuit.CircuitSpec`, restated because qnb may be absent here.

    Args:
        spec: the fields of a CircuitSpec, and `device`.
        rot: whether to use qml.Rot instead of RZ RY RZ.
    """

    def __init__(self, spec: dict[str, Any], rot: bool = False):
        self.spec, self.rot, self.wires = spec, rot, range(spec["wires"])
        # trained, the first of the readout
        self.coefficients = len(self.wires) if spec["measurement"] == "z_vec" else 0

    def score(self, weights: Array, readout: Array, x: Array) -> Any:
        """A QNode's body: the score s(x). weights (L, n, 3), readout (r,), x (features,).

        Raises:
            NotApplicable: the circuit is not restated here, or has a trained scaling.
        """
        self.gates(weights, readout, x)
        n, measurement = len(self.wires), self.spec["measurement"]
        if measurement == "z0":
            return qml.expval(qml.PauliZ(0))
        if measurement == "parity":
            return qml.expval(functools.reduce(operator.matmul, map(qml.PauliZ, self.wires)))
        if measurement not in ("z_vec", "mean_z", "mean_z_readout"):
            raise NotApplicable(f"measurement {measurement!r} is not written out here")
        coefficients = readout if measurement == "z_vec" else [1 / n] * n
        return qml.expval(qml.Hamiltonian(coefficients, [qml.PauliZ(i) for i in self.wires]))

    def expectations(self, weights: Array, readout: Array, x: Array) -> tuple[Any, ...]:
        """A QNode's body: the expectation value that multiplies each of the coefficients."""
        self.gates(weights, readout, x)
        return tuple(qml.expval(qml.PauliZ(i)) for i in self.wires)

    def gates(self, weights: Array, readout: Array, x: Array) -> None:
        """Queue the circuit up to its measurement. Raises as `score`."""
        self.require_unscaled()
        for layer in range(self.spec["layers"]):
            if layer == 0 or self.spec["reupload"]:
                self.encode(x)
            for i in self.wires:
                self.rotate(weights[layer, i], i)
            self.entangle(layer)
        if self.spec["measurement"] == "mean_z_readout":
            for i in self.wires:
                self.rotate(readout[3 * i : 3 * i + 3], i)

    def require_unscaled(self) -> None:
        """Raise NotApplicable for a trained scaling, which these programs do not pass on."""
        if self.spec.get("scaling"):
            raise NotApplicable("a trained scaling is not written out here")

    def entangle(self, layer: int) -> None:
        """Queue the CNOTs of a layer. Raises NotApplicable for an ansatz that is not restated here."""
        n, ansatz = len(self.wires), self.spec["ansatz"]
        if ansatz not in ("strongly_entangling", "ring", "unentangled"):
            raise NotApplicable(f"ansatz {ansatz!r} is not written out here")
        if n == 1 or ansatz == "unentangled":
            return
        reach = layer % (n - 1) + 1 if ansatz == "strongly_entangling" else 1
        for i in self.wires:
            qml.CNOT(wires=[i, (i + reach) % n])

    def encode(self, x: Array) -> None:
        """Queue the encoder for one row x: angles in radians, or amplitudes.

        Raises:
            NotApplicable: the encoder is not restated here.
        """
        if self.spec["encoder"] not in ("angle_y", "angle_xy", "amplitude"):
            raise NotApplicable(f"encoder {self.spec['encoder']!r} is not written out here")
        if self.spec["encoder"] == "amplitude":
            qml.StatePrep(x / qml.math.sqrt(qml.math.sum(x * x)), wires=self.wires, validate_norm=False)
            return
        for i in self.wires:
            if self.spec["hadamard"]:
                qml.Hadamard(wires=i)
            if self.spec["encoder"] == "angle_xy":
                qml.RX(x[i], wires=i)
            qml.RY(x[i], wires=i)

    def rotate(self, angles: Array, wire: int) -> None:
        """Queue RZ RY RZ on a wire, or qml.Rot with `rot`; angles (3,) in radians."""
        if self.rot:
            qml.Rot(angles[0], angles[1], angles[2], wires=wire)
            return
        qml.RZ(angles[0], wires=wire)
        qml.RY(angles[1], wires=wire)
        qml.RZ(angles[2], wires=wire)


class OwnCircuit(Circuit):
    """A circuit with the user's own parts, which come with the job; built by qnb, so only in stacks with it.

    Raises:
        NotApplicable: this stack lacks qnb, or `rot` is set: the gates of a part of your own are not known.
    """

    def __init__(self, spec: dict[str, Any], rot: bool = False):
        super().__init__(spec, rot)
        if rot:
            raise NotApplicable("gates of your own are not written in another form")
        self.whole = spec_of(spec)
        self.coefficients = len(self.whole.words) if self.whole.measured.weighted else 0

    def score(self, weights: Array, readout: Array, x: Array) -> Any:
        """See Circuit."""
        self.require_unscaled()
        return self.whole.score(weights, readout, x)

    def expectations(self, weights: Array, readout: Array, x: Array) -> tuple[Any, ...]:
        """See Circuit."""
        self.require_unscaled()
        self.whole.apply(weights, readout, x)
        return tuple(qml.expval(word) for word in self.whole.observables())


def spec_of(spec: dict[str, Any]) -> "CircuitSpec":
    """The CircuitSpec of a job.

    Raises:
        NotApplicable: qnb is not installed in this stack.
    """
    try:
        from qnb.core.circuit import CircuitSpec
    except ImportError:
        raise NotApplicable("qnb is not installed in this stack") from None
    fields = {k: v for k, v in spec.items() if k not in ("has_readout", "device", "parts")}
    parts = pickle.loads(bytes.fromhex(spec["parts"])) if "parts" in spec else {}
    return CircuitSpec(**fields | parts)


class Problem:
    """A circuit, a head l = alpha (s + bias) with BCE, and a batch.

    Args:
        spec: see Circuit, and `has_readout`.
        arrays: weights (L, n, 3), readout (r,), bias (), alpha () raw, X (B, features), y (B,), w (B,).
        rot: see Circuit.
        flat: differentiate with respect to one flat vector of all groups, not to one argument per group.
        diff_method: of the QNode.
        differentiate: turns a loss into its gradient; None: `catalyst.grad`.
        layout: sets the memory layout of X.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        arrays: dict[str, np.ndarray],
        rot: bool = False,
        flat: bool = False,
        diff_method: str = "adjoint",
        differentiate: Differentiate | None = None,
        layout: Layout = np.ascontiguousarray,
    ):
        self.spec, self.arrays, self.flat = spec, arrays, flat
        self.groups = tuple(
            g for g in ("weights", "readout", "bias", "alpha") if g != "readout" or spec["has_readout"]
        )
        groups = tuple(np.ascontiguousarray(arrays[g]).reshape(arrays[g].shape) for g in self.groups)
        self.params = (np.concatenate([g.ravel() for g in groups]),) if flat else groups
        self.differentiate: Differentiate = differentiate or catalyst.grad
        self.batch = (layout(arrays["X"]), *(np.ascontiguousarray(arrays[k]) for k in ("y", "w")))
        self.rows, self.argnums = len(arrays["X"]), tuple(range(len(self.params)))
        self.circuit = (OwnCircuit if "parts" in spec else Circuit)(spec, rot)
        self.device = qml.device(spec["device"], wires=spec["wires"])
        self.score = qml.QNode(self._score(), self.device, diff_method=diff_method)

    def variant(self, **options: Any) -> "Problem":
        """The same problem with other options."""
        return Problem(self.spec, self.arrays, **options)

    def _score(self) -> Callable[..., Any]:
        circuit = self.circuit
        score: Callable[..., Any]
        if self.spec["has_readout"]:

            def score(weights: Array, readout: Array, x: Array) -> Any:
                return circuit.score(weights, readout, x)
        else:

            def score(weights: Array, x: Array) -> Any:
                return circuit.score(weights, NO_READOUT, x)

        return score

    def split(self, p: Arrays) -> Arrays:
        """The parameter groups in the differentiated arguments p: p itself, or slices of the flat vector."""
        if not self.flat:
            return p
        shapes = [self.arrays[group].shape for group in self.groups]
        ends = np.cumsum([self.arrays[group].size for group in self.groups])
        return tuple(
            part.reshape(shape) for part, shape in zip(jnp.split(p[0], ends[:-1]), shapes, strict=True)
        )

    def circuit_of(self, p: Arrays) -> Arrays:
        """The arguments that the QNode takes before x: weights and, if it has one, the readout."""
        return self.split(p)[:-2]

    def loss(self, p: Arrays, s: jax.Array, y: jax.Array, w: jax.Array) -> jax.Array:
        """w BCE / B (nats) of rows with scores s, for one row () or for all (B,)."""
        *_, bias, raw = self.split(p)
        logit = (jax.nn.softplus(raw) + 1e-3) * (s + bias)
        return w * (jax.nn.softplus(logit) - y * logit) / self.rows

    def run(self, body: Body) -> Arrays:
        """The gradient by body(X, y, w, p), compiled by qjit and called on the batch."""
        program = catalyst.qjit(lambda X, y, w, *p: body(X, y, w, p), autograph=False)
        gradient: Arrays = program(*self.batch, *self.params)
        return gradient

    def of_loss(self, scores: Scores) -> Arrays:
        """The gradient of a loss over all scores: scores(circuit, X) -> (B,)."""

        def body(X: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
            def loss(*p: Array) -> jax.Array:
                return jnp.sum(self.loss(p, scores(self.circuit_of(p), X), y, w))

            return self.differentiate(loss, argnums=self.argnums)(*p)

        return self.run(body)

    def of_row(self, x: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
        """The gradient of one row's share of the loss, through circuit and head."""
        return self.differentiate(
            lambda *p: self.loss(p, self.score(*self.circuit_of(p), x), y, w), argnums=self.argnums
        )(*p)


def with_value(function: Callable[..., jax.Array], argnums: tuple[int, ...]) -> Callable[..., Arrays]:
    """catalyst.value_and_grad, of which only the gradient is returned."""
    return lambda *p: catalyst.value_and_grad(function, argnums=argnums)(*p)[1]


def by_differences(loss: Callable[..., jax.Array], argnums: tuple[int, ...]) -> Callable[..., Arrays]:
    """catalyst.grad by finite differences: right wherever the loss is, so that only the memory layout can
    make it wrong.
    """
    gradient: Callable[..., Arrays] = catalyst.grad(loss, argnums=argnums, method="fd")
    return gradient


def column_major(X: np.ndarray) -> np.ndarray:
    """A copy of X (B, features) in column-major order."""
    return np.asfortranarray(X)


def every_other(X: np.ndarray) -> np.ndarray:
    """X (B, features) as a view of every other column of a larger array."""
    return np.repeat(X, 2, axis=1)[:, ::2]


# A. The loss of the whole batch, differentiated as a whole


def scan_scores(score: Callable[..., jax.Array]) -> Scores:
    """A function for the scores of a batch, (B,), by lax.scan."""
    return lambda circuit, X: jax.lax.scan(lambda carry, x: (carry, score(*circuit, x)), 0.0, X)[1]


def loss_scan_of_qjit(q: Problem) -> Arrays:
    """lax.scan over a compiled QNode."""
    return q.of_loss(scan_scores(catalyst.qjit(q.score)))


def loss_scan(q: Problem) -> Arrays:
    """lax.scan over the QNode."""
    return q.of_loss(scan_scores(q.score))


def sum_scan(q: Problem) -> Arrays:
    """A weighted sum carried by lax.scan."""

    def body(X: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
        def loss(*p: Array) -> Scalar:
            def step(total: Scalar, row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Scalar, float]:
                x, y, w = row
                return total + q.loss(p, q.score(*q.circuit_of(p), x), y, w), 0.0

            summed: tuple[Scalar, Any] = jax.lax.scan(step, 0.0, (X, y, w))
            return summed[0]

        return q.differentiate(loss, argnums=q.argnums)(*p)

    return q.run(body)


def loss_for_loop(q: Problem) -> Arrays:
    """catalyst.for_loop over the QNode."""

    def scores(circuit: Arrays, X: jax.Array) -> jax.Array:
        def row(k: int, out: jax.Array) -> jax.Array:
            return out.at[k].set(q.score(*circuit, X[k]))

        s: jax.Array = catalyst.for_loop(0, q.rows, 1)(row)(jnp.zeros(q.rows))
        return s

    return q.of_loss(scores)


def loss_autograph(q: Problem) -> Arrays:
    """A Python for, which autograph turns into a loop in the program."""
    rows, row_loss = (
        q.rows,
        catalyst.disable_autograph(lambda p, x, y, w: q.loss(p, q.score(*q.circuit_of(p), x), y, w)),
    )

    def total(X: jax.Array, y: jax.Array, w: jax.Array, *p: jax.Array) -> jax.Array:
        loss = jnp.zeros(())
        for k in range(rows):
            loss = loss + row_loss(p, X[k], y[k], w[k])
        return loss

    argnums = tuple(3 + a for a in q.argnums)
    program = catalyst.qjit(lambda *a: q.differentiate(total, argnums=argnums)(*a), autograph=True)
    gradient: Arrays = program(*q.batch, *q.params)
    return gradient


def loss_vmap(q: Problem) -> Arrays:
    """catalyst.vmap of the QNode."""
    return q.of_loss(
        lambda circuit, X: catalyst.vmap(q.score, in_axes=(None,) * len(circuit) + (0,))(*circuit, X)
    )


def loss_jax_vmap(q: Problem) -> Arrays:
    """jax.vmap of the QNode, inside the qjit."""
    return q.of_loss(lambda circuit, X: jax.vmap(lambda x: q.score(*circuit, x))(X))


def loss_unrolled(q: Problem) -> Arrays:
    """A Python loop, unrolled into the program."""
    return q.of_loss(lambda circuit, X: jnp.stack([q.score(*circuit, X[k]) for k in range(q.rows)]))


# B. The gradient of one row, inside a compiled loop over the rows


def inside_scan(q: Problem) -> Arrays:
    """The sum of the rows' gradients, taken inside lax.scan."""

    def body(X: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
        def step(total: Arrays, row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Arrays, float]:
            return tuple(t + g for t, g in zip(total, q.of_row(*row, p), strict=True)), 0.0

        zero: Arrays = tuple(jnp.zeros_like(v) for v in p)
        return jax.lax.scan(step, zero, (X, y, w))[0]

    return q.run(body)


def add_in_for_loop(q: Problem, gradient: Body) -> Arrays:
    """The sum of the rows' gradients, taken inside catalyst.for_loop."""

    def body(X: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
        def row(k: int, *total: Array) -> Arrays:
            return tuple(t + g for t, g in zip(total, gradient(X[k], y[k], w[k], p), strict=True))

        summed: Arrays = catalyst.for_loop(0, q.rows, 1)(row)(*(jnp.zeros_like(v) for v in p))
        return summed

    return q.run(body)


def inside_for_loop(q: Problem) -> Arrays:
    """The sum of the rows' gradients, taken inside catalyst.for_loop."""
    return add_in_for_loop(q, q.of_row)


def by_chain_rule(q: Problem, value: Value) -> Arrays:
    """dL/dtheta = sum_k dL/dl_k alpha ds_k/dtheta, with the chain rule through the head written out.

    Args:
        value: (circuit, x) -> s, and one ds per circuit group.
    """

    def row(x: jax.Array, y: jax.Array, w: jax.Array, p: Arrays) -> Arrays:
        *circuit, bias, raw = p
        s, ds = value(tuple(circuit), x)
        alpha = jax.nn.softplus(raw) + 1e-3
        d = w * (jax.nn.sigmoid(alpha * (s + bias)) - y) / q.rows
        return (*(d * alpha * g for g in ds), d * alpha, d * (s + bias) * jax.nn.sigmoid(raw))

    return add_in_for_loop(q, row)


def value_of_one_vector(q: Problem) -> Value:
    """value_and_grad of one QNode call with respect to one flat vector of angles.

    Trained coefficients get ds/dw_i = <P_i> (<Z_i> for `z_vec`), from a forward pass.
    """
    shape, size, count = q.arrays["weights"].shape, q.arrays["weights"].size, q.circuit.coefficients
    angles = q.spec["has_readout"] and q.arrays["readout"].size > count

    def joined(coefficients: Array, others: Array) -> Array:
        """Of one readout: its coefficients, and what belongs to its angles."""
        if count and angles:
            return jnp.concatenate([coefficients, others])
        return coefficients if count else others

    def flat_score(theta: Array, coefficients: Array, x: Array) -> Any:
        return q.circuit.score(theta[:size].reshape(shape), joined(coefficients, theta[size:]), x)

    score = qml.QNode(flat_score, q.device, diff_method="adjoint")
    expectations = qml.QNode(q.circuit.expectations, q.device)

    def value(circuit: Arrays, x: jax.Array) -> tuple[jax.Array, Arrays]:
        turned = (circuit[1][count:],) if angles else ()
        theta = jnp.concatenate([g.reshape(-1) for g in (circuit[0], *turned)])
        fixed = circuit[1][:count] if count else jnp.zeros(1)
        s, ds = catalyst.value_and_grad(score, argnums=0)(theta, fixed, x)
        of_words = jnp.stack(expectations(*circuit, x)) if count else fixed
        return s, (ds[:size].reshape(shape), joined(of_words, ds[size:]))[: len(circuit)]

    return value


def row_by_row(q: Problem) -> Arrays:
    """The package's formulation: one QNode call per row, one differentiated argument."""
    return by_chain_rule(q, value_of_one_vector(q))


def row_by_row_two(q: Problem) -> Arrays:
    """The same with two differentiated arguments.

    Raises:
        NotApplicable: the measurement has no readout.
    """
    if not q.spec["has_readout"]:
        raise NotApplicable("this measurement has one group of circuit parameters")
    return by_chain_rule(q, lambda circuit, x: catalyst.value_and_grad(q.score, argnums=(0, 1))(*circuit, x))


# C. The loop in Python, around compiled functions


def python_loop(q: Problem) -> Arrays:
    """The compiled gradient of a row's loss, called in a Python loop."""
    gradient = catalyst.qjit(lambda x, y, w, *p: q.of_row(x, y, w, p), autograph=False)
    rows = [gradient(np.ascontiguousarray(x), y, w, *q.params) for x, y, w in zip(*q.batch, strict=True)]
    return tuple(sum((np.asarray(g) for g in column), np.zeros(())) for column in zip(*rows, strict=True))


def by_jax(q: Problem, scores: Scores) -> Arrays:
    """The gradient of the batch by jax.grad, outside qjit."""
    X, y, w = (jnp.asarray(a) for a in q.batch)
    gradient = jax.grad(lambda *p: jnp.sum(q.loss(p, scores(q.circuit_of(p), X), y, w)), argnums=q.argnums)
    return tuple(gradient(*q.params))


def jax_python_loop(q: Problem) -> Arrays:
    """jax.grad of a loss over a Python loop of qjit calls."""
    score = catalyst.qjit(q.score)
    return by_jax(q, lambda circuit, X: jnp.stack([score(*circuit, x) for x in X]))


def jax_vmap(q: Problem) -> Arrays:
    """jax.grad of a loss over jax.vmap of a qjit."""
    score = catalyst.qjit(q.score)
    return by_jax(q, lambda circuit, X: jax.vmap(lambda x: score(*circuit, x))(X))


def jax_scan(q: Problem) -> Arrays:
    """jax.grad of a loss over lax.scan of a qjit."""
    return by_jax(q, scan_scores(catalyst.qjit(q.score)))


# D. The package itself, in the stack it is installed in


def by_engine(q: Problem, name: str) -> Arrays:
    """The gradient by one of the package's engines.

    Raises:
        NotApplicable: qnb is not installed in this stack.
    """
    spec = spec_of(q.spec)
    from qnb.core.engine import make_engine
    from qnb.core.objective import Objective

    options = {} if name == "exact" else {"device": q.spec["device"]}
    engine = make_engine(name, spec, Objective(), **options)
    params = {k: v for k, v in q.arrays.items() if k not in ("X", "y", "w")}
    grads = engine.loss_and_grad(params, *q.batch)[1]
    return tuple(grads[g] for g in q.groups)


class Formulation(NamedTuple):
    """A formulation: its title, its program, the options of Problem that it sets, and whether a quick audit
    includes it.
    """

    title: str
    program: Function
    options: dict[str, Any] = {}  # noqa: RUF012  of Problem
    quick: bool = True

    def gradient(self, problem: "Problem") -> Arrays:
        """The gradient of a problem, with this formulation's options."""
        return self.program(problem.variant(**self.options))


FLAT, ROT, VALUE, DIFFERENCES = (
    {"flat": True},
    {"rot": True},
    {"differentiate": with_value},
    {"differentiate": by_differences},
)
# the same X, laid out otherwise
LAYOUTS: dict[str, Layout] = {"fortran_order": column_major, "strided_view": every_other}
_full = functools.partial(Formulation, quick=False)
FORMULATIONS = {  # in the order of the report
    "loss_scan": Formulation("grad of a loss over lax.scan (the note's)", loss_scan_of_qjit),
    "loss_scan_flat": Formulation("the note's, one flat vector differentiated", loss_scan_of_qjit, FLAT),
    "loss_scan_rot": _full("the note's, with qml.Rot for RZ RY RZ", loss_scan_of_qjit, ROT),
    "loss_scan_shift": _full(
        "the note's, with parameter-shift", loss_scan_of_qjit, {"diff_method": "parameter-shift"}
    ),
    "loss_scan_fd": Formulation("finite differences (method='fd') of the note's", loss_scan, DIFFERENCES),
    "loss_scan_value": _full("value_and_grad of a loss over lax.scan", loss_scan, VALUE),
    "sum_scan": Formulation("grad of a weighted sum carried by lax.scan", sum_scan),
    "sum_scan_flat": _full("weighted sum carried by lax.scan, one flat vector", sum_scan, FLAT),
    "loss_for_loop": Formulation("grad of a loss over catalyst.for_loop", loss_for_loop),
    "loss_for_loop_flat": _full("loss over catalyst.for_loop, one flat vector", loss_for_loop, FLAT),
    "loss_for_loop_value": _full("value_and_grad of a loss over catalyst.for_loop", loss_for_loop, VALUE),
    "loss_autograph": Formulation("grad of a loss over a Python for, autograph=True", loss_autograph),
    "loss_vmap": Formulation("grad of a loss over catalyst.vmap", loss_vmap),
    "loss_jax_vmap": Formulation("grad of a loss over jax.vmap in the qjit", loss_jax_vmap),
    "loss_unrolled": Formulation("grad of an unrolled loss (for while tracing)", loss_unrolled),
    "loss_unrolled_flat": _full("unrolled loss, one flat vector", loss_unrolled, FLAT),
    "loss_unrolled_value": _full("value_and_grad of an unrolled loss", loss_unrolled, VALUE),
    "inside_scan": Formulation("grad of a row's loss inside lax.scan", inside_scan),
    "inside_scan_flat": _full("row's loss inside lax.scan, one flat vector", inside_scan, FLAT),
    "inside_for_loop": Formulation("grad of a row's loss inside catalyst.for_loop", inside_for_loop),
    "inside_for_loop_flat": _full(
        "row's loss inside catalyst.for_loop, one flat vector", inside_for_loop, FLAT
    ),
    "inside_for_loop_value": Formulation(
        "value_and_grad of a row's loss inside catalyst.for_loop", inside_for_loop, VALUE
    ),
    "row_by_row": Formulation(
        "value_and_grad of one QNode call per row, chain rule by hand (the package's)", row_by_row
    ),
    "row_by_row_rot": Formulation("the package's, with qml.Rot for RZ RY RZ", row_by_row, ROT),
    "row_by_row_two": Formulation("the package's, but two differentiated arguments", row_by_row_two),
    "python_loop": Formulation("compiled grad of a row's loss, called in a Python loop", python_loop),
    "python_loop_flat": _full("compiled grad in a Python loop, one flat vector", python_loop, FLAT),
    "jax_python_loop": Formulation("jax.grad of a loss over a Python loop of qjit calls", jax_python_loop),
    "jax_vmap": Formulation("jax.grad of a loss over jax.vmap of a qjit", jax_vmap),
    "jax_scan": _full("jax.grad of a loss over lax.scan of a qjit", jax_scan),
    "fortran_order": Formulation(
        "finite differences of the note's, X in Fortran order",
        loss_scan,
        DIFFERENCES | {"layout": column_major},
    ),
    "strided_view": Formulation(
        "finite differences of the note's, X a strided view",
        loss_scan,
        DIFFERENCES | {"layout": every_other},
        quick=False,
    ),
    "engine_catalyst": Formulation("qnb.make_engine('catalyst')", lambda q: by_engine(q, "catalyst")),
    "engine_exact": Formulation("qnb.make_engine('exact'), float32", lambda q: by_engine(q, "exact")),
}


# The job


def work(folder: Path, job: dict[str, Any]) -> None:
    """Run FORMULATIONS[job["key"]]; write its gradient to FOLDER/<name>.npz, or what it raised to
    FOLDER/<name>.json.

    Args:
        job: name, key, inputs (file of the arrays in FOLDER) and spec; see `Problem`.
    """
    started = time.perf_counter()
    try:
        problem = Problem(job["spec"], dict(np.load(folder / job["inputs"])))
        gradient: Arrays = tuple(np.asarray(g) for g in FORMULATIONS[job["key"]].gradient(problem))
    except NotApplicable as error:
        failed = {"kind": "not applicable", "message": str(error)}
    except Exception as error:  # noqa: BLE001  what a compiler or a tracer raises is what is audited
        traceback.print_exc()
        failed = {"kind": type(error).__name__, "message": telling(str(error))}
    else:
        if len(gradient) != len(problem.groups):
            gradient = problem.variant(flat=True).split(gradient)
        arrays: dict[str, Any] = {
            "seconds": time.perf_counter() - started,
            **dict(zip(problem.groups, gradient, strict=True)),
        }
        np.savez(folder / f"{job['name']}.npz", **arrays)
        return
    (folder / f"{job['name']}.json").write_text(json.dumps(failed))


def telling(message: str, lines: int = 3, width: int = 400) -> str:
    """The lines of a compiler's message that name the error, or its last ones, without paths or backtrace."""
    kept = [
        line.strip()
        for line in message.splitlines()
        if line.strip() and not re.match(r"\s*#\d+ |Stack dump|PLEASE submit", line)
    ]
    marked = [line for line in kept if re.search(r"\berror:|Assertion|Error:|not implemented", line)]
    text = "\n".join(line[:width] for line in (marked[:lines] or kept[-lines:]))
    return re.sub(r"(?:/[\w.<>+-]+)+/", "", text)
