"""What the functions of a circuit of one's own may do, and what is refused with its reason."""

import itertools
import random

import numpy as np
import pennylane as qml
import pytest
from circuits import OWN, brickwork

from qnb.core import recording
from qnb.core.circuit import CircuitSpec, Layer, Measurement, Pattern
from qnb.errors import ParameterError

COUNT = itertools.count()
DRAWN = np.random.default_rng(0)


def gates_of(*operations):
    """A layer that queues these, and uses its weights."""

    def layer(weights, wires, layer):
        qml.RX(weights[0, 0], wires=0)
        for make in operations:
            make()

    return layer


def counts(weights, wires, layer):
    qml.RX(next(COUNT), wires=0)


def draws_from_a_generator(weights, wires, layer):
    qml.RX(DRAWN.normal(), wires=0)


def seeds_and_draws(weights, wires, layer):
    np.random.seed(0)  # noqa: NPY002
    qml.RX(np.random.normal(), wires=0)  # noqa: NPY002


def draws_from_random(weights, wires, layer):
    qml.RX(random.random(), wires=0)


def wide(weights, wires, layer):
    qml.RX(weights[0, 3], wires=0)


def of_another_shape(weights, wires, layer):
    qml.StronglyEntanglingLayers(weights, wires=wires)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (counts, "is not deterministic"),
        (draws_from_a_generator, "is not deterministic"),
        (seeds_and_draws, "draws random numbers"),
        (draws_from_random, "draws random numbers"),
        (gates_of(lambda: qml.expval(qml.Z(0))), "queues a measurement"),
        (gates_of(lambda: qml.measure(0)), "queues a measurement"),
        (gates_of(lambda: qml.cond(qml.measure(0), qml.X)(1)), "queues a measurement"),
        (gates_of(lambda: qml.X(2)), r"PauliX acts on wires \[2\]; the register has wires 0 to 1"),
        (gates_of(lambda: qml.X("a")), r"acts on wires \['a'\]"),
        (gates_of(lambda: qml.RX(np.ones(3), wires=0)), r"RX has a parameter of shape \(3,\)"),
        (gates_of(lambda: qml.Projector([0], wires=0)), "not unitary"),
        (gates_of(lambda: qml.DepolarizingChannel(0.1, wires=0)), "DepolarizingChannel is no gate"),
        (wide, r"failed on weights of shape \(2, 3\) and 2 wires: IndexError.*Layer\(f, shape=\.\.\.\)"),
        (of_another_shape, r"failed on weights of shape \(2, 3\)"),
        (lambda weights, wires, layer, other: None, "missing 1 required positional argument"),
        (Layer(brickwork, shape=(2, 0)), "whole numbers from 1 up"),
        (Layer(brickwork, shape=lambda n: n), "whole numbers from 1 up"),
        (Pattern(lambda wires, layer: [(0, 2)]), r"CNOT acts on wires \[0, 2\]"),
        (Pattern(lambda wires, layer: [(0, 0)]), "control wires must be different"),
        (3, "a name, a Pattern, a Layer or a function"),
    ],
)  # fmt: skip
def test_a_layer_that_is_no_layer_is_refused_with_the_reason(layer, message):
    with pytest.raises(ParameterError, match=message):
        CircuitSpec(2, 2, ansatz=layer)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda x, wires: qml.RX(x[2], wires=0), r"encoder '.*' failed on x of shape \(2,\) and 2 wires: IndexError"),
        (lambda x, wires: qml.RX(random.random(), wires=0), "draws random numbers"),
        (lambda x, wires: qml.expval(qml.Z(0)), "queues a measurement"),
        (3.0, "a name or a function"),
    ],
)
def test_an_encoder_that_is_none_is_refused_with_the_reason(encoder, message):
    with pytest.raises(ParameterError, match=message):
        CircuitSpec(2, 1, encoder=encoder)


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (["ZZZ"], "'ZZZ' is no Pauli word of 2 wires"),
        (["ZA"], "'ZA' is no Pauli word"),
        ([], "a list of Pauli words was expected"),
        ([qml.Z(5)], "is no Pauli word on wires 0 to 1"),
        ([2 * qml.Z(0)], "coefficients go into `coefficients`"),
        (Measurement([1.0, 2.0], words=["ZZ"]), r"1 Pauli words and the coefficients \(1.0, 2.0\)"),
        (Measurement([float("nan")], words=["ZZ"]), "1 finite numbers were expected"),
        (7, "a name, a list of Pauli words or a Measurement"),
    ],
)
def test_a_measurement_that_is_none_is_refused_with_the_reason(measurement, message):
    with pytest.raises(ParameterError, match=message):
        CircuitSpec(2, 1, measurement=measurement)


def test_wires_are_a_number_and_a_register():
    seen = []

    def layer(weights, wires, layer):
        seen.append((wires + 0, list(wires), list(range(wires)), len(wires), wires[-1], list(wires[1:]), wires % 2))
        qml.AngleEmbedding(weights[:, 0], wires=wires)

    CircuitSpec(3, 1, ansatz=layer)
    assert seen[0] == (3, [0, 1, 2], [0, 1, 2], 3, 2, [1, 2], 1)


def test_a_bare_function_is_a_pattern_or_a_layer_by_what_it_takes():
    pattern = CircuitSpec(3, 2, ansatz=lambda wires, layer: [(0, wires - 1)])
    assert pattern.fast and pattern.cnots(1) == [(0, 2)]
    assert isinstance(CircuitSpec(2, 1, ansatz=brickwork).layer, Layer)
    with pytest.raises(ParameterError, match="is no pattern of CNOTs"):
        CircuitSpec(2, 1, ansatz=brickwork).cnots(0)


@pytest.mark.parametrize("name", OWN)
def test_what_is_wide_is_taken_apart_into_the_same_unitary(name):
    spec = OWN[name]
    rng = np.random.default_rng(0)
    params = {k: rng.normal(size=shape) for k, shape in spec.shapes.items()}
    operations, wires = spec.record(params, rng.uniform(0, 3, spec.features)), range(spec.wires)
    product = np.eye(2**spec.wires)
    for gate in recording.gates(operations):
        assert len(gate.wires) <= recording.WIDEST
        product = qml.math.expand_matrix(gate.matrix, gate.wires, wires) @ product
    expected = qml.matrix(qml.tape.QuantumScript(operations), wire_order=wires)
    overlap = abs(np.trace(expected.conj().T @ product)) / len(product)  # up to a global phase
    assert overlap == pytest.approx(1, abs=1e-12)
