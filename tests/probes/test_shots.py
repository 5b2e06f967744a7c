"""Shots: the distribution of the measured sum against default.qubit, and the AUC that shots leave."""

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.data.prepare import prepare
from qnb.errors import ParameterError
from qnb.probes import geometry
from qnb.probes import shots as module
from qnb.probes.shots import auc_by_shots, enough_shots, outcomes

SPECS = [
    CircuitSpec(wires=3, layers=2, measurement=measurement, reupload=reupload)
    for measurement in ("z0", "mean_z", "z_vec", "mean_z_readout")
    for reupload in (False, True)
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.measurement}-{s.reupload}")
def test_outcomes_are_those_of_default_qubit(spec, rng):
    params = {g: rng.normal(size=shape) for g, shape in spec.shapes.items()}
    X = rng.uniform(0, np.pi, (4, 3))
    values, probabilities = outcomes(spec, params, X)
    shots = 20_000
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=3))
    sampled = qml.set_shots(qml.QNode(spec.score, qml.device("default.qubit", wires=3, seed=0)), shots)
    exact = probabilities @ values
    spread = np.sqrt((probabilities @ values**2 - exact**2) / shots)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    for k, x in enumerate(X):
        np.testing.assert_allclose(exact[k], node(params["weights"], params["readout"], x), atol=1e-12)
        assert abs(sampled(params["weights"], params["readout"], x) - exact[k]) < 5 * spread[k]


def test_a_single_shot_of_one_wire_has_the_auc_of_a_coin(rng):
    """P(+1) = q1, q0 by class: AUC of one shot = 1/2 + (q1 - q0) / 2."""
    y = np.arange(4000) % 2
    q = np.where(y == 1, 0.7, 0.4)
    curve = auc_by_shots(np.array([-1.0, 1.0]), np.column_stack([1 - q, q]), y, [1, 1000], 40, rng)
    assert abs(curve["auc"][0] - 0.65) < 0.005 and curve["exact"][0] == 1
    assert curve["auc"][1] > 0.9999


@pytest.mark.parametrize(("low", "expected"), [([0.8, 0.896, 0.899], 20), ([0.896, 0.8, 0.899], 30), ([0.8, 0.8, 0.8], None)])
def test_enough_shots(low, expected):
    curve = pd.DataFrame({"shots": [10, 20, 30], "auc": 0.9, "low": low, "high": 0.901, "exact": 0.9})
    assert enough_shots(curve) == expected


def test_a_circuit_without_that_distribution_is_refused():
    spec = CircuitSpec(wires=2, layers=1, measurement="parity")
    params = {g: np.zeros(shape) for g, shape in spec.shapes.items()}
    with pytest.raises(ParameterError, match="measurement='parity'"):
        outcomes(spec, params, np.zeros((1, 2)))


def test_a_survey_judges_every_measurement_of_a_training_and_says_which_are_not_known():
    config = TrainConfig(data="breast_cancer", sample=None, wires=2, layers=1, engine="exact", batch=32)
    prepared = prepare(config)
    trained = geometry.trainings(config, prepared, 20, 0)
    X = prepared.X["val"][: geometry.WATCHED_ROWS]
    curves = module.survey(trained, config, X, 0)
    assert set(curves) == set(trained)
    for measurement, curve in curves.items():
        exact = roc_auc_score(trained[measurement]["y"], trained[measurement]["end"]["s"])
        assert curve["exact"].iloc[0] == pytest.approx(exact, abs=1e-4)
    verdict = module.judge_shots(curves)
    assert verdict.figures["shots"] == {m: module.enough_shots(curve) for m, curve in curves.items()}
    assert module.judge_shots({}).verdict == "inconclusive"
    near = pd.DataFrame({"shots": [10, 1000], "auc": 0.9, "low": [0.8, 0.899], "high": [0.95, 0.901], "exact": 0.9})
    assert module.judge_shots({"a": near}).verdict == "yes"
    assert module.judge_shots({"a": near.assign(low=0.8)}).verdict == "no"
    assert module.judge_shots({"a": near, "b": near.assign(low=0.8)}).verdict == "inconclusive"
    assert "from 1,000 on" in module.judge_shots({"a": near}).sentence
