import itertools

import numpy as np
import pytest
from reference import dense_score, random_params, score_function

from qnb.circuit import ANSATZE, MEASUREMENTS, CircuitSpec
from qnb.config import ParameterError
from qnb.objective import Objective

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
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        CircuitSpec(**changes)


def test_readout_rotations_without_angles_are_refused():
    spec = CircuitSpec(2, 1, measurement="mean_z_readout")
    with pytest.raises(ParameterError, match="needs its readout angles; None was given"):
        spec.apply(spec.init(0)["weights"], None, np.ones(2))
