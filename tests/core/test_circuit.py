import dataclasses
import itertools

import jax
import numpy as np
import pennylane as qml
import pytest
from jax.experimental import enable_x64
from reference import dense_score, random_params, score_function

from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec, Measurement
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.errors import ParameterError

ENCODINGS = [
    {"encoder": "angle_y"},
    {"encoder": "angle_y", "hadamard": True},
    {"encoder": "angle_y", "hadamard": True, "reupload": True},
    {"encoder": "angle_xy"},
    {"encoder": "angle_xy", "reupload": True},
    {"encoder": "amplitude"},
]


@pytest.mark.parametrize(("encoding", "ansatz", "measurement"), list(itertools.product(ENCODINGS, ANSATZE, MEASUREMENTS)))
@pytest.mark.parametrize("wires", [1, 3])
def test_circuit_is_the_product_of_its_matrices(wires, encoding, ansatz, measurement, rng):
    spec = CircuitSpec(wires, 4, ansatz=ansatz, measurement=measurement, **encoding)
    params, x = random_params(spec, rng), rng.uniform(0.1, 3, spec.features)
    found = float(score_function(spec)(params["weights"], params["readout"], x))
    assert found == pytest.approx(float(dense_score(spec, params, x)), abs=1e-12)


def test_ranges_of_strongly_entangling_repeat_after_n_minus_one():
    spec = CircuitSpec(wires=4, layers=5)
    reach = [(spec.cnots(layer)[0][1] - spec.cnots(layer)[0][0]) % 4 for layer in range(5)]
    assert reach == [1, 2, 3, 1, 2]
    assert CircuitSpec(wires=1).cnots(0) == []
    assert CircuitSpec(wires=3, ansatz="ring").cnots(2) == [(0, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize(("engine", "reupload"), [("exact", False), ("exact", True), ("catalyst", False)])
@enable_x64()
def test_a_line_in_each_table_is_all_that_an_engine_needs(engine, reupload, monkeypatch, rng):
    """An open chain and a signed difference of two turned wires, against gates written out here."""
    monkeypatch.setitem(ANSATZE, "chain", lambda n, layer: [(i, i + 1) for i in range(n - 1)])
    monkeypatch.setitem(MEASUREMENTS, "difference", Measurement(lambda n: np.array([0.75, -0.25, *[0] * (n - 2)]), rotated=True))

    @qml.qnode(qml.device("default.qubit", wires=3), diff_method="backprop", interface="jax")
    def by_hand(weights, readout, x):
        for layer in range(2):
            for i in range(3):
                if layer == 0 or reupload:
                    qml.RY(x[i], wires=i)
                qml.Rot(*weights[layer, i], wires=i)
            qml.CNOT(wires=[0, 1])
            qml.CNOT(wires=[1, 2])
        for i in range(3):
            qml.Rot(*readout[3 * i : 3 * i + 3], wires=i)
        return qml.expval(0.75 * qml.PauliZ(0) - 0.25 * qml.PauliZ(1))

    spec = CircuitSpec(3, 2, ansatz="chain", measurement="difference", reupload=reupload)
    params, X = random_params(spec, rng), rng.uniform(0, 3, (4, 3))
    assert spec.shapes["readout"] == (9,) and spec.has_readout
    found = make_engine(engine, spec, Objective(alpha_mode="direct"), **{"precision": "float64"} if engine == "exact" else {})
    expected = [float(by_hand(params["weights"], params["readout"], x)) for x in X]
    np.testing.assert_allclose(found.scores(params, X), expected, atol=1e-12)
    loss, grads = found.loss_and_grad(params | {"alpha": np.ones(()), "bias": np.zeros(())}, X[:1], np.zeros(1), np.ones(1))
    slopes = jax.grad(by_hand, argnums=(0, 1))(params["weights"], params["readout"], X[0])
    assert loss == pytest.approx(np.log1p(np.exp(expected[0])), abs=1e-12)  # of label 0: softplus(s)
    for group, slope in zip(("weights", "readout"), slopes, strict=True):
        np.testing.assert_allclose(grads[group], np.asarray(slope) / (1 + np.exp(-expected[0])), atol=1e-10)


def test_shapes_and_start():
    spec = CircuitSpec(wires=5, layers=2, measurement="z_vec")
    params = spec.init(3)
    assert (
        {k: v.shape for k, v in params.items()} == spec.shapes == {"weights": (2, 5, 3), "readout": (5,), "bias": (), "alpha": ()}
    )
    np.testing.assert_allclose(params["readout"], 1 / 5)
    assert 0.002 < params["weights"].std() < 0.02
    assert float(Objective().alpha(params["alpha"])) == pytest.approx(1, abs=1e-12)
    assert float(spec.init(3, "direct")["alpha"]) == 1
    assert CircuitSpec(wires=3, encoder="amplitude").features == 8


def test_start_draws_from_the_generator_given():
    spec, generator = CircuitSpec(), np.random.default_rng(5)
    first, second = spec.init(generator), spec.init(generator)
    np.testing.assert_array_equal(first["weights"], spec.init(5)["weights"])
    assert not np.array_equal(first["weights"], second["weights"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "angle_z"}, "Did you mean 'angle_"),
        ({"ansatz": "rings"}, "Did you mean 'ring'"),
        ({"measurement": "mean-z"}, "Did you mean 'mean_z'"),
        ({"wires": 0}, "wires = 0: a whole number from 1 up"),
        ({"layers": 2.5}, "layers = 2.5"),
        ({"hadamard": True, "encoder": "angle_xy"}, "hadamard=True goes with encoder='angle_y' only"),
        ({"reupload": True, "encoder": "amplitude"}, "cannot be re-uploaded"),
        ({"scaling": True, "encoder": "amplitude"}, "no angles to scale"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        CircuitSpec(**changes)


def test_trained_coefficients_without_a_readout_are_refused():
    spec = CircuitSpec(2, 1, measurement="z_vec")
    with pytest.raises(ParameterError, match="trains its coefficients: give the readout"):
        spec.score(spec.init(0)["weights"], None, np.ones(2))


def test_readout_rotations_without_angles_are_refused():
    spec = CircuitSpec(2, 1, measurement="mean_z_readout")
    with pytest.raises(ParameterError, match="needs its readout angles; None was given"):
        spec.apply(spec.init(0)["weights"], None, np.ones(2))


@pytest.mark.parametrize("reupload", [False, True])
def test_a_trained_scaling_multiplies_the_angles_of_each_encoding(reupload, rng):
    """Against matrices in plain numpy; where it starts, the circuit is the one without it."""
    spec = CircuitSpec(2, 3, "angle_xy", "ring", "mean_z", reupload=reupload, scaling=True)
    params, x = random_params(spec, rng), rng.uniform(0, 3, 2)
    assert spec.shapes["scaling"] == ((3, 2) if reupload else (1, 2))
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=2))
    arguments = params["weights"], params["readout"], x
    assert float(node(*arguments, params["scaling"])) == pytest.approx(dense_score(spec, params, x), abs=1e-12)
    start = spec.init(3)
    assert (start.pop("scaling") == 1).all()
    plain = dataclasses.replace(spec, scaling=False)
    assert all(np.array_equal(start[group], value) for group, value in plain.init(3).items())
    without = qml.QNode(plain.score, qml.device("default.qubit", wires=2))
    assert float(node(*arguments, np.ones(spec.shapes["scaling"]))) == pytest.approx(float(without(*arguments)), abs=1e-12)


def test_factors_are_asked_for_where_they_are_trained_and_nowhere_else():
    spec, x = CircuitSpec(2, 1, measurement="z0", scaling=True), np.ones(2)
    with pytest.raises(ParameterError, match="scaling=True needs its factors; None was given"):
        spec.apply(spec.init(0)["weights"], None, x)
    with pytest.raises(ParameterError, match="scaling=False has no factors"):
        CircuitSpec(2, 1, measurement="z0").apply(spec.init(0)["weights"], None, x, np.ones((1, 2)))


def test_a_readout_is_coefficients_then_angles():
    spec = CircuitSpec(2, 1, measurement=Measurement(None, rotated=True))
    readout = spec.init(0)["readout"]
    np.testing.assert_array_equal(readout[:2], [0.5, 0.5])
    np.testing.assert_array_equal(spec.coefficients(readout), readout[:2])
    np.testing.assert_array_equal(spec.angles(readout), readout[2:])
    assert spec.readout_size == 8 and 0 < np.abs(readout[2:]).max() < 0.05
