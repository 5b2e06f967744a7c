"""The cache of engines: its key is what the programs compute, so that a name with another meaning is another
engine. And what every engine refuses, in the same words."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
from jax.experimental import enable_x64
from reference import loss_and_grad, random_params, score_function

from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec, Measurement
from qnb.core.engine import EngineError, make_engine
from qnb.core.objective import Objective
from qnb.errors import ParameterError

ENGINES = pytest.mark.parametrize("name", ["catalyst", "exact"])


def scores_of(name, spec, params, X):
    return make_engine(name, spec, Objective()).scores(params, X)


def on_default_qubit(spec, params, X):
    score = score_function(spec)
    return [float(score(params["weights"], params["readout"], x)) for x in X]


@ENGINES
def test_an_ansatz_redefined_under_its_name_is_another_circuit(name, monkeypatch, rng):
    answers = []
    for reach in (1, 2):
        monkeypatch.setitem(ANSATZE, "mine", lambda n, layer, reach=reach: [(i, (i + reach) % n) for i in range(n)])
        spec = CircuitSpec(3, 2, ansatz="mine", measurement="mean_z")
        params, X = random_params(spec, np.random.default_rng(0)), np.random.default_rng(1).uniform(0, 3, (4, 3))
        answers.append(scores_of(name, spec, params, X))
        np.testing.assert_allclose(answers[-1], on_default_qubit(spec, params, X), atol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-2


@ENGINES
def test_a_spec_keeps_what_its_names_stood_for(name, monkeypatch, rng):
    monkeypatch.setitem(ANSATZE, "mine", lambda n, layer: [(0, 1)])
    spec = CircuitSpec(3, 2, ansatz="mine", measurement="mean_z")
    params, X = random_params(spec, rng), rng.uniform(0, 3, (4, 3))
    before = scores_of(name, spec, params, X)
    monkeypatch.setitem(ANSATZE, "mine", lambda n, layer: [(2, 0), (1, 2)])
    np.testing.assert_array_equal(scores_of(name, spec, params, X), before)
    assert spec != CircuitSpec(3, 2, ansatz="mine", measurement="mean_z")


@ENGINES
def test_a_closure_that_changed_is_noticed(name, monkeypatch, rng):
    """The same function object, and the same spec: only what it computes is another thing."""
    reach = {"r": 1}
    monkeypatch.setitem(ANSATZE, "mine", lambda n, layer: [(i, (i + reach["r"]) % n) for i in range(n)])
    spec = CircuitSpec(3, 2, ansatz="mine", measurement="mean_z")
    params, X = random_params(spec, rng), rng.uniform(0, 3, (4, 3))
    before = scores_of(name, spec, params, X)
    reach["r"] = 2
    after = scores_of(name, spec, params, X)
    np.testing.assert_allclose(after, on_default_qubit(spec, params, X), atol=1e-5)
    assert np.abs(after - before).max() > 1e-2
    reach["r"] = 1
    np.testing.assert_array_equal(scores_of(name, spec, params, X), before)  # and the old one is still there


def test_an_engine_whose_circuit_changed_compiles_nothing_more(monkeypatch, rng):
    reach = {"r": 1}
    monkeypatch.setitem(ANSATZE, "mine", lambda n, layer: [(i, (i + reach["r"]) % n) for i in range(n)])
    spec = CircuitSpec(3, 2, ansatz="mine", measurement="mean_z")
    engine, params = make_engine("exact", spec, Objective()), random_params(spec, rng)
    small, large = rng.uniform(0, 3, (4, 3)), rng.uniform(0, 3, (300, 3))
    before = engine.scores(params, small)
    reach["r"] = 2
    np.testing.assert_array_equal(engine.scores(params, small), before)  # compiled when it was the old one
    with pytest.raises(EngineError, match="has changed since this engine was made"):
        engine.scores(params, large)


@ENGINES
def test_a_measurement_redefined_under_its_name_is_another_score(name, monkeypatch, rng):
    answers = []
    for coefficients in ([1.0, 0.0], [0.25, -0.75]):
        monkeypatch.setitem(MEASUREMENTS, "mine", Measurement(lambda n, c=tuple(coefficients): np.array(c)))
        spec = CircuitSpec(2, 1, measurement="mine")
        params, X = random_params(spec, np.random.default_rng(0)), np.array([[0.3, 1.2]])
        answers.append(scores_of(name, spec, params, X))
        np.testing.assert_allclose(answers[-1], on_default_qubit(spec, params, X), atol=1e-5)
    assert abs(answers[0] - answers[1]) > 1e-2


def scaled(factor):
    @dataclass(frozen=True)
    class Mine(Objective):
        """The same name and fields each time; the loss is `factor` times BCE."""

        def loss(self, logit, y):
            return factor * super().loss(logit, y)

        def slope(self, logit, y):
            return factor * super().slope(logit, y)

    return Mine()


@ENGINES
def test_an_objective_redefined_under_its_name_is_another_loss(name, rng):
    spec = CircuitSpec(2, 1)
    params, X, y, w = random_params(spec, rng), rng.uniform(0, 3, (3, 2)), np.array([0.0, 1, 1]), np.ones(3)
    expected, slopes = loss_and_grad(spec, Objective(), params, X, y, w)
    for factor in (1.0, 3.0):
        loss, grads = make_engine(name, spec, scaled(factor)).loss_and_grad(params, X, y, w)
        assert loss == pytest.approx(factor * expected, rel=1e-5)
        np.testing.assert_allclose(grads["weights"], factor * slopes["weights"], atol=1e-5)


def test_a_loss_that_is_patched_is_another_objective(monkeypatch, rng):
    spec, objective = CircuitSpec(2, 1), Objective()
    engine = make_engine("exact", spec, objective)
    monkeypatch.setattr(Objective, "slope", lambda self, logit, y: 2 * (1 / (1 + np.exp(-logit)) - y))
    assert make_engine("exact", spec, objective) is not engine


def test_the_fingerprint_sees_every_part_of_a_circuit():
    base = CircuitSpec(3, 2)
    others = [
        replace(base, wires=4),
        replace(base, layers=1),
        replace(base, encoder="angle_xy"),
        replace(base, encoder="amplitude"),
        replace(base, ansatz="ring"),
        replace(base, reupload=True),
        replace(base, hadamard=True),
        *(replace(base, measurement=m) for m in ("z0", "mean_z", "z_vec")),
    ]
    prints = [spec.fingerprint() for spec in (base, *others)]
    assert len(set(prints)) == len(prints) and base.fingerprint() == CircuitSpec(3, 2).fingerprint()
    with enable_x64():
        assert base.fingerprint() == prints[0]


def test_the_fingerprint_of_the_packages_own_parts_is_computed_once(monkeypatch):
    recorded = []
    tape = CircuitSpec.record
    monkeypatch.setattr(CircuitSpec, "record", lambda self, *args: (recorded.append(self), tape(self, *args))[1])
    monkeypatch.setitem(ANSATZE, "mine", lambda n, layer: [(0, 1)])
    for ansatz, times in (("ring", 2), ("mine", 6)):  # two points each time
        spec = CircuitSpec(7, 5, ansatz=ansatz)
        assert len({spec.fingerprint() for _ in range(3)}) == 1
        assert recorded.count(spec) == times


def test_a_spec_round_trips_through_its_names():
    spec = CircuitSpec(3, 2, encoder="angle_xy", ansatz="ring", measurement="z_vec", reupload=True)
    assert CircuitSpec(**spec.to_dict()) == spec and CircuitSpec.names() == tuple(spec.to_dict())


SPEC = CircuitSpec(2, 1)
EVERY_ENGINE = pytest.mark.parametrize("name", ["catalyst", "exact", "one_sample_demo"])


def good():
    return SPEC.init(0), np.full((3, 2), 0.5), np.array([0.0, 1.0, 1.0]), np.ones(3)


def changed(values, k, value):
    values = np.array(values, dtype=object if isinstance(value, str) else float)
    values[k] = value
    return values


@EVERY_ENGINE
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, 1, 1], r"need to be 0 or 1; 1 of 3 are not \(-1\)\. For -1 and 1, pass \(y \+ 1\) / 2"),
        ([0, 2, 1], r"1 of 3 are not \(2\)"),
        ([0.25, 0.5, 0.75], r"3 of 3 are not \(0\.25, 0\.5, 0\.75\)"),
        ([0, np.nan, 1], r"1 of 3 are not \(nan\)"),
        ([0, np.inf, 1], r"1 of 3 are not \(inf\)"),
        (["normal", "attack", "attack"], "y needs to be an array of real numbers"),
        ([0, 1], r"shape \(3,\) like X's rows; \(2,\) was given"),
    ],
)
def test_labels_are_zero_or_one(name, labels, message):
    params, X, _, w = good()
    with pytest.raises(ParameterError, match=message):
        make_engine(name, SPEC, Objective()).loss_and_grad(params, X, labels, w)


@EVERY_ENGINE
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, -1e-300])
def test_weights_of_rows_are_finite_and_not_negative(name, value):
    params, X, y, w = good()
    with pytest.raises(ParameterError, match=rf"need to be finite and not negative; 1 of 3 are not \({value:g}\)"):
        make_engine(name, SPEC, Objective()).loss_and_grad(params, X, y, changed(w, 1, value))


@ENGINES
def test_a_row_of_weight_zero_counts_as_a_row_and_adds_nothing(name):
    params, X, y, w = good()
    engine = make_engine(name, SPEC, Objective())
    loss, grads = engine.loss_and_grad(params, X, y, changed(w, 0, 0.0))
    without, slopes = engine.loss_and_grad(params, X[1:], y[1:], w[1:])
    assert loss == pytest.approx(2 / 3 * without, rel=1e-6)
    for group, slope in slopes.items():
        np.testing.assert_allclose(grads[group], 2 / 3 * slope, rtol=1e-5, atol=1e-7)


@EVERY_ENGINE
@pytest.mark.parametrize("group", SPEC.shapes)
def test_parameters_have_the_shapes_of_the_circuit(name, group):
    params, X, y, w = good()
    engine = make_engine(name, SPEC, Objective())
    wrong = params | {group: np.zeros((2, *SPEC.shapes[group]))}
    lacking = {k: v for k, v in params.items() if k != group}
    for call in (lambda p: engine.scores(p, X), lambda p: engine.loss_and_grad(p, X, y, w)):
        with pytest.raises(ParameterError, match=rf"{group} has shape \(2.*\) was expected by CircuitSpec"):
            call(wrong)
        with pytest.raises(ParameterError, match=f"lack '{group}'; weights, readout, bias, alpha were expected"):
            call(lacking)
    with pytest.raises(ParameterError, match=f"{group} needs to be an array of real numbers"):
        engine.scores(params | {group: "x"}, X)


@EVERY_ENGINE
def test_lists_frames_and_booleans_are_taken(name):
    params, X, y, w = good()
    engine = make_engine(name, SPEC, Objective())
    loss, grads = engine.loss_and_grad(params, X, y, w)
    others = {k: v.tolist() for k, v in params.items()}
    for batch in ((X.tolist(), y.tolist(), w.tolist()), (pd.DataFrame(X), pd.Series(y) == 1, pd.Series(w))):
        found, found_grads = engine.loss_and_grad(others, *batch)
        assert found == loss
        for group, g in grads.items():
            np.testing.assert_array_equal(found_grads[group], g)


@ENGINES
def test_a_layer_redefined_under_its_name_is_another_circuit(name):
    def made(angle):
        def mine(weights, wires, layer):
            for i in wires:
                qml.RX(weights[i, 0] + angle, wires=i)

        return mine

    answers = []
    for angle in (0.0, 1.0):
        spec = CircuitSpec(2, 1, ansatz=made(angle), measurement="mean_z")
        params, X = random_params(spec, np.random.default_rng(0)), np.array([[0.3, 1.2]])
        answers.append(scores_of(name, spec, params, X))
        np.testing.assert_allclose(answers[-1], on_default_qubit(spec, params, X), atol=1e-5)
    assert abs(answers[0] - answers[1]) > 1e-2


@ENGINES
def test_a_function_from_a_module_that_is_loaded_again_is_another_circuit(name, tmp_path, monkeypatch):
    """The child never reads the file: it gets the function that this process has."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    text = "import pennylane as qml\ndef mine(weights, wires, layer):\n    for i in wires:\n        qml.RX(weights[i, 0] + {}, wires=i)\n"
    answers = []
    for angle in ("0.0", "1.0"):
        (tmp_path / "of_the_user.py").write_text(text.format(angle))
        importlib.invalidate_caches()
        sys.modules.pop("of_the_user", None)
        module = importlib.import_module("of_the_user")
        (tmp_path / "of_the_user.py").write_text("raise RuntimeError('this file is not for the child')\n")
        spec = CircuitSpec(2, 1, ansatz=module.mine, measurement="mean_z")
        params, X = random_params(spec, np.random.default_rng(0)), np.array([[0.3, 1.2]])
        answers.append(scores_of(name, spec, params, X))
        np.testing.assert_allclose(answers[-1], on_default_qubit(spec, params, X), atol=1e-5)
    sys.modules.pop("of_the_user")
    assert abs(answers[0] - answers[1]) > 1e-2
