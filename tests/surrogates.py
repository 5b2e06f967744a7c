"""Untrained models with random parameters, their logits on PennyLane's default.qubit, and polynomials of given coefficients."""

import numpy as np
import pandas as pd
import pennylane as qml
import reference

from qnb.core.circuit import CircuitSpec
from qnb.core.objective import Objective
from qnb.data.features import ANGLE_RANGES, FeatureMap
from qnb.training.model import Model
from qnb.training.surrogate import Surrogate

PLAIN = Objective()
ENCODERS = [("angle_y", False), ("angle_y", True), ("angle_xy", False)]
RANGES = [name for name in ANGLE_RANGES if name is not None]


def feature_map(wires, angle_range="0_pi"):
    frame = pd.DataFrame(np.random.default_rng(3).normal(size=(80, wires + 1)), columns=[f"c{i}" for i in range(wires + 1)])
    return FeatureMap.fit(frame, (frame.to_numpy() @ np.arange(1, wires + 2) > 0).astype(int), wires, angle_range)


def model_of(spec, rng, angle_range="0_pi", objective=PLAIN):
    params = reference.random_params(spec, rng)
    return Model(spec, objective, params, feature_map(spec.wires, angle_range), 0.25, about={"synthetic": True})


def circuit_scores(model, X):
    """default.qubit in float64, the gates of the encoder broadcast over the rows."""
    node = qml.QNode(model.spec.score, qml.device("default.qubit", wires=model.spec.wires), diff_method=None)
    scaling = [model.params["scaling"]] if model.spec.scaling else []
    return np.asarray(node(model.params["weights"], model.params["readout"], X.T, *scaling))


def circuit_logits(model, X):
    """alpha (s + bias), written out."""
    raw, bias = model.params["alpha"], model.params["bias"]
    alpha = np.log1p(np.exp(raw)) + 1e-3 if model.objective.alpha_mode == "softplus" else raw
    return alpha * (circuit_scores(model, X) + bias)


def polynomial(coefficients, angle_range="0_pi", encoder="angle_y"):
    C = np.asarray(coefficients, float)
    return Surrogate(C, encoder, 0.0, 1.0, feature_map(C.ndim, angle_range), 0.0)


def three_wires():
    """A model of three wires and its surrogate."""
    model = model_of(CircuitSpec(3, 2), np.random.default_rng(1))
    return model, model.surrogate()
