"""Circuits of one's own on both engines, against default.qubit through JAX."""

import jax
import numpy as np
import pennylane as qml
import pytest
from circuits import OWN, brickwork, random_spec
from reference import loss_and_grad, random_params, score_function

from qnb.core import blocks
from qnb.core.circuit import CircuitSpec, Measurement
from qnb.core.engine import make_engine
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective
from qnb.errors import ParameterError

BCE = Objective()
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
WIRES = [1, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, *range(4, 11)))]


def case(spec, rows=5):
    rng = np.random.default_rng(3)
    return random_params(spec, rng), (
        rng.uniform(-np.pi, np.pi, (rows, spec.features)),
        np.arange(rows) % 3 % 2.0,
        rng.uniform(0.3, 3, rows),
    )


def assert_close(found, expected, tolerance):
    """Each group relative to its norm, or to 1 % of the whole gradient's."""
    whole = np.sqrt(sum(np.sum(np.square(g)) for g in expected.values()))
    for name, g in expected.items():
        assert found[name].shape == g.shape
        assert np.linalg.norm(found[name] - g) <= tolerance * max(np.linalg.norm(g), 0.01 * whole), name


def check(spec):
    params, data = case(spec)
    loss, grads = loss_and_grad(spec, BCE, params, *data)
    assert np.abs(grads["weights"]).max() > 1e-4  # there is something to compare
    at = params["weights"], params["readout"], *([params["scaling"]] if spec.scaling else [])
    scores = [float(score_function(spec)(*at[:2], x, *at[2:])) for x in data[0]]
    catalyst = make_engine("catalyst", spec, BCE)
    found, slopes = catalyst.loss_and_grad(params, *data)
    assert found == pytest.approx(loss, abs=1e-8)
    for name, g in grads.items():
        np.testing.assert_allclose(slopes[name], g, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(catalyst.scores(params, data[0]), scores, atol=1e-8)
    check_exact(spec, params, data, (loss, grads, scores))


def check_exact(spec, params, data, expected):
    loss, grads, scores = expected
    for precision, tolerance in TOLERANCE.items():
        exact = make_engine("exact", spec, BCE, precision=precision)
        found, slopes = exact.loss_and_grad(params, *data)
        assert found == pytest.approx(loss, rel=tolerance)
        assert_close(slopes, grads, tolerance)
        np.testing.assert_allclose(exact.scores(params, data[0]), scores, atol=tolerance * max(1, np.abs(scores).max()))


QUICK = ("brickwork", "scaled input", "trained words, turned")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in OWN])
def test_a_circuit_of_ones_own_is_that_of_default_qubit_on_both_engines(name):
    check(OWN[name])


AMPLITUDES = {
    "brickwork": CircuitSpec(3, 1, "amplitude", brickwork, "mean_z"),
    "trained words": CircuitSpec(2, 2, "amplitude", "ring", Measurement(None, words=["ZZ", "XI"])),
    "parity": CircuitSpec(3, 2, "amplitude", "strongly_entangling", "parity"),
    "one wire": CircuitSpec(1, 1, "amplitude", "ring", "parity"),
}


@pytest.mark.parametrize("name", AMPLITUDES)
def test_amplitudes_before_gates_or_words_of_ones_own(name):
    """On the exact engine: the compiler has no gradient of state preparation."""
    spec = AMPLITUDES[name]
    params, data = case(spec)
    scores = [float(score_function(spec)(params["weights"], params["readout"], x)) for x in data[0]]
    check_exact(spec, params, data, (*loss_and_grad(spec, BCE, params, *data), scores))
    assert check_gradient(make_engine("exact", spec, BCE), params, *data).verdict == "pass"
    ends = np.vstack([np.eye(spec.features), -np.eye(spec.features)])  # prepared by gates by zero and by pi
    scores = [float(score_function(spec)(params["weights"], params["readout"], x)) for x in ends]
    exact = make_engine("exact", spec, BCE, precision="float64")
    np.testing.assert_allclose(exact.scores(params, ends), scores, atol=1e-12)


@pytest.mark.parametrize("wires", WIRES)
def test_random_gates_are_those_of_default_qubit_on_both_engines(wires):
    check(random_spec(wires))


@pytest.mark.parametrize("engine", ["catalyst", "exact"])
@pytest.mark.parametrize("name", ["brickwork", "scaled input", "scaled by the option", "trained words, turned", "particles"])
def test_they_pass_the_gate(name, engine):
    spec = OWN[name]
    params, data = case(spec, 8)
    report = check_gradient(make_engine(engine, spec, BCE), params, *data)
    assert report.verdict == "pass"
    assert report.groups["readout"].status == ("pass" if spec.has_readout else "untested")


def test_only_other_gates_and_words_leave_the_fast_paths():
    fast = [OWN["a pattern"], CircuitSpec(3, 2, ansatz="unentangled")]
    assert all(spec.fast and make_engine("exact", spec, BCE).path(8) != "blocks" for spec in fast)
    others = [spec for name, spec in OWN.items() if name != "a pattern"]
    assert all(not spec.fast and make_engine("exact", spec, BCE).path(8) == "blocks" for spec in others)
    assert not CircuitSpec(2, 1, measurement=Measurement(None, rotated=True)).fast


def test_wires_stay_apart_until_a_gate_joins_them_and_what_is_not_measured_is_left_out():
    def pairs(weights, wires, layer):
        for i in range(0, wires, 2):
            qml.RX(weights[i, 0], wires=i)
            qml.CZ(wires=[i, i + 1])

    order = blocks.schedule(CircuitSpec(8, 1, ansatz=pairs, measurement=["ZZIIIIII"]))
    assert {w for block in order for w in block.wires} == {0, 1}
    order = blocks.schedule(CircuitSpec(8, 1, ansatz=pairs, measurement="mean_z"))
    assert [sorted(b.wires) for b in order if not b.rowwise] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_gates_that_depend_on_numbers_are_refused():
    def branching(weights, wires, layer):
        if weights[0, 0] > 0:
            qml.RX(weights[0, 0], wires=0)

    spec = CircuitSpec(2, 1, ansatz=branching)
    params, data = case(spec)
    with pytest.raises(ParameterError, match=r"depends on the numbers in weights or x.*use qml\.math or jax\.numpy"):
        make_engine("exact", spec, BCE).scores(params, data[0])


@pytest.mark.parametrize("x64", [False, True])
def test_results_do_not_depend_on_the_users_x64(x64):
    spec = OWN["brickwork"]
    params, data = case(spec)
    engine = make_engine("exact", spec, BCE, precision="float64")
    with jax.experimental.enable_x64() if x64 else jax.experimental.disable_x64():
        np.testing.assert_array_equal(engine.scores(params, data[0]), engine.scores(params, data[0]))
        found = engine.loss_and_grad(params, *data)[0]
    assert found == pytest.approx(loss_and_grad(spec, BCE, params, *data)[0], abs=1e-12)
