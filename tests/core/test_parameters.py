"""What provably never moves the score, against adjoint gradients of lightning.qubit at random points."""

import itertools

import numpy as np
import pennylane as qml
import pytest
from circuits import OWN, random_spec

from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec, Layer


def still(spec, points=3):
    """Names of the parameters whose derivative vanishes at random points."""
    rng, largest = np.random.default_rng(1), 0
    argnums, groups = ([0, 1, 3], ("scaling",)) if spec.scaling else ([0, 1], ())
    slope = qml.grad(
        qml.QNode(spec.score, qml.device("lightning.qubit", wires=spec.wires), diff_method="adjoint"), argnums=argnums
    )
    coefficients = len(spec.words) if spec.measured.weighted else 0
    for _ in range(points):
        names = ("weights", "readout", *groups)
        at = [qml.numpy.array(rng.normal(size=spec.shapes[name]), requires_grad=True) for name in names]
        x = qml.numpy.array(rng.uniform(0.2, 3, spec.features), requires_grad=False)
        weights, readout, *scaling = (np.ravel(g) for g in slope(*at[:2], x, *at[2:]))
        readout[:coefficients] = 1  # no gate
        largest = np.maximum(largest, np.abs(np.concatenate([weights, *scaling, readout])))
    names = [f"{group}{list(i)}" for group in ("weights", *groups) for i in np.ndindex(spec.shapes[group])]
    if spec.has_readout:
        flat = range(spec.readout_size)
        names += [f"readout[{k}]" if spec.measured.weighted else f"readout{list(divmod(k, 3))}" for k in flat]
    return {name for name, value in zip(names, largest, strict=False) if value < 1e-13}


BUILT_IN = [
    CircuitSpec(wires, 2, ansatz=ansatz, measurement=measurement)
    for wires, ansatz, measurement in itertools.product((1, 3), ANSATZE, MEASUREMENTS)
]


CANCELLED = {  # on three wires
    ("ring", "z0"): {"1, 0, 0", "1, 0, 1"},
    ("ring", "parity"): {"0, 0, 2", "1, 0, 0", "1, 0, 1", "1, 2, 0", "1, 2, 1"},
    ("strongly_entangling", "parity"): {"0, 2, 2", "1, 1, 0", "1, 1, 1", "1, 2, 0", "1, 2, 1"},
}


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda s: f"{s.wires}-{s.ansatz}-{s.measurement}")
def test_of_the_built_in_circuits_every_dead_parameter_is_found(spec):
    """But where CNOTs cancel: one of the ring turns Z_0 into a product that leaves wire 0 out, and a parity into Z of one wire."""
    proved, seen = set(spec.parameters.dead), still(spec)
    cancelled = CANCELLED.get((spec.ansatz, spec.measurement), {}) if spec.wires == 3 else {}
    assert seen - proved == {f"weights[{place}]" for place in cancelled} and proved <= seen


@pytest.mark.parametrize("spec", [*OWN.values(), *map(random_spec, (1, 2, 3, 5))], ids=[*OWN, *map(str, (1, 2, 3, 5))])
def test_what_is_called_dead_never_moves(spec):
    assert set(spec.parameters.dead) <= still(spec)


def test_each_reason_by_itself():
    def layer(weights, wires, layer):
        qml.RZ(weights[0], wires=0)  # on |0>: a phase
        qml.RX(weights[1], wires=0)
        qml.Rot(weights[2], weights[3], weights[4], wires=0)  # its last RZ commutes with Z
        qml.RX(weights[5], wires=1)  # not measured

    nothing = CircuitSpec(2, 1, encoder=lambda x, wires: None, ansatz=Layer(layer, (7,)), measurement=["ZI"])
    assert nothing.parameters.dead == ("weights[0, 0]", "weights[0, 4]", "weights[0, 5]", "weights[0, 6]")
    assert "weights[0, 0]" not in CircuitSpec(2, 1, ansatz=Layer(layer, (7,)), measurement=["ZI"]).parameters.dead


@pytest.mark.parametrize("reupload", [False, True])
def test_factors_of_an_input_that_is_not_measured_are_dead(reupload):
    spec = CircuitSpec(2, 2, ansatz="unentangled", measurement="z0", reupload=reupload, scaling=True)
    dead = {name for name in spec.parameters.dead if name.startswith("scaling")}
    assert dead == {f"scaling[{k}, 1]" for k in range(2 if reupload else 1)}
    assert spec.parameters.scaling == (4 if reupload else 2) and spec.parameters.total == 12 + 2 + spec.parameters.scaling
    assert set(spec.parameters.dead) == still(spec)


def test_counts():
    found = CircuitSpec(4, 2).parameters
    assert (found.weights, found.readout, found.bias, found.alpha, found.total) == (24, 12, 1, 1, 38)
    assert len(found.dead) == 4  # the last RZ of each wire's readout
    assert CircuitSpec(4, 2, measurement="mean_z").parameters.readout == 0
    assert CircuitSpec(2, 1, encoder="amplitude").parameters.total == 14
