"""The code that a report shows is the circuit: it is run here, and compared."""

import sys

import numpy as np
import pytest
from circuits import OWN
from reference import random_params, score_function

from qnb.core.circuit import CircuitSpec, Measurement
from qnb.errors import ParameterError
from qnb.reporting.listing import GRADIENTS, circuit_code, gradient_code, listing

SPECS = [
    CircuitSpec(3, 3),
    CircuitSpec(3, 2, encoder="angle_xy", ansatz="ring", measurement="z_vec", reupload=True),
    CircuitSpec(2, 2, hadamard=True, ansatz="unentangled", measurement="z0"),
    CircuitSpec(2, 1, encoder="amplitude", measurement="mean_z"),
    CircuitSpec(2, 1, measurement=Measurement(None, rotated=True, words=["ZZ", "XI"])),
    OWN["basic entangler"],
    CircuitSpec(2, 2, hadamard=True, measurement="z0", scaling=True),
    CircuitSpec(2, 2, "angle_xy", reupload=True, scaling=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.encoder}-{s.ansatz}-{s.measurement}")
def test_the_code_computes_the_circuits_score(spec, rng):
    scope = {"qml": __import__("pennylane")}
    exec(circuit_code(spec), scope)
    params, x = random_params(spec, rng), rng.uniform(0.1, 3, spec.features)
    arguments = params["weights"], params["readout"], x, *([params["scaling"]] if spec.scaling else [])
    expected = float(score_function(spec)(*arguments))
    assert float(scope["score"](*arguments)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("engine", GRADIENTS)
def test_the_program_shown_is_that_of_the_file_and_compiles_nothing(engine):
    text, before = gradient_code(engine), set(sys.modules)
    assert "loss" in text and set(sys.modules) == before
    with pytest.raises(ParameterError, match="no file of qnb's"):
        gradient_code("mine")


def test_both_are_folded():
    shown = listing(CircuitSpec(2, 1), "catalyst").data
    assert shown.count("<details>") == 2 and "value_and_grad" in shown and "&lt;" not in shown.split("<pre>")[0]
    assert np.all([word in shown for word in ("qml.RY(x[i], wires=i)", "def score(")])
