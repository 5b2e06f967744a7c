"""A loss and an engine of one's own, and the gate at the trained parameters."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from reference import random_params

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError, check_gradient
from qnb.core.objective import Objective
from qnb.errors import ParameterError
from qnb.training.loop import fit
from qnb.training.model import load_model
from qnb.training.train import train, train_all

SMALL = {
    "data": "breast_cancer", "sample": 200, "wires": 2, "layers": 1, "batch": 32, "fixed_num_batches": 3, "epochs": 1,
    "engine": "exact", "baselines": (), "lr": 0.2,
}  # fmt: skip
CONFIG = TrainConfig(**SMALL)
SPEC = CircuitSpec(2, 1)


def squared(logit, y):
    return (jnp.tanh(logit) - (2 * y - 1)) ** 2


def slope_of_squared(logit, y):
    return 2 * (jnp.tanh(logit) - (2 * y - 1)) * (1 - jnp.tanh(logit) ** 2)


@pytest.mark.parametrize("slope", [None, slope_of_squared])
@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_a_loss_of_ones_own_is_differentiated_and_passes_the_gate(engine, slope, rng):
    objective = Objective(loss=squared, slope=slope)
    l, y = np.linspace(-3, 3, 7), np.arange(7) % 2.0
    expected = (np.tanh(l) - (2 * y - 1)) ** 2
    np.testing.assert_allclose(objective.loss(l, y), expected, atol=1e-12)
    step = 1e-6
    ahead, behind = ((np.tanh(l + d) - (2 * y - 1)) ** 2 for d in (step, -step))
    np.testing.assert_allclose(objective.slope(l, y), (ahead - behind) / (2 * step), atol=1e-8)
    params, X = random_params(SPEC, rng), rng.uniform(0, 3, (6, 2))
    report = check_gradient(make_engine(engine, SPEC, objective), params, X, y[:6], np.linspace(0.5, 2, 6))
    assert report.verdict == "pass"


def test_a_slope_that_is_none_is_found_by_the_gate(rng):
    objective = Objective(loss=squared, slope=lambda logit, y: 0.5 * slope_of_squared(logit, y))
    with pytest.raises(WrongGradientError):
        check_gradient(make_engine("exact", SPEC, objective), random_params(SPEC, rng), *batch(rng))


def batch(rng):
    return rng.uniform(0, 3, (6, 2)), np.arange(6) % 2.0, np.linspace(0.5, 2, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": lambda l, y: jnp.mean(l)}, "a finite number for each row was expected"),
        ({"loss": lambda l, y: l - jnp.mean(l)}, "mixes rows up"),
        ({"loss": lambda l, y: jnp.log(l)}, "a finite number for each row"),
        ({"loss": lambda l, y: np.maximum(l, y)}, r"loss\(logit, y\) has to be made of jax.numpy's functions"),
        ({"loss": lambda l: l}, "functions of two arrays; it raised TypeError"),
        ({"loss": "bce"}, "functions of two arrays; it raised TypeError: 'str' object is not callable"),
        ({"loss": squared, "slope": lambda l, y: np.sinh(l)}, r"slope\(logit, y\) has to be made of"),
        ({"loss": squared, "focal_gamma": 2.0}, "focal_gamma belongs to qnb's loss"),
        ({"slope": squared}, "give loss too"),
    ],
)
def test_what_is_no_loss_is_refused(values, message):
    with pytest.raises(ParameterError, match=message):
        Objective(**values)


def test_training_with_a_loss_and_an_engine_of_ones_own_says_so(tmp_path):
    engine = make_engine("exact", SPEC, Objective(loss=squared), precision="float64")
    result = train(CONFIG, progress=False, engine=engine)
    assert result.metrics["engine"] == "exact, float64, made by hand" and result.metrics["loss"].startswith("squared@")
    plain = train(CONFIG, progress=False)
    assert "engine" not in plain.metrics and "loss" not in plain.metrics
    assert plain.metrics["gate"] == plain.metrics["gate_trained"] == "pass"
    first = result.history["train_loss"][0]
    assert first != plain.history["train_loss"][0]
    (same,) = train_all([CONFIG], progress=False, engine=engine)
    assert same.history["train_loss"][0] == pytest.approx(first, rel=1e-9)
    X = result.prepared.X["val"]
    back = load_model(result.save(tmp_path / "model"))  # on the engine that the configuration names: float32
    np.testing.assert_allclose(back.logits_of_features(X), result.logits["val"], atol=1e-4)


def test_an_engine_of_another_model_is_refused():
    other = make_engine("exact", replace(SPEC, ansatz="ring", layers=2), Objective(alpha_mode="direct"))
    with pytest.raises(
        ParameterError, match=r"layers is 2 in the engine, 1 here; ansatz is 'ring' in the engine.*; alpha_mode is 'direct'"
    ):
        train(CONFIG, progress=False, engine=other)


class WrongLater:
    """An engine whose gradient is right where trainings begin, and twice too large once the weights have moved."""

    name = "wrong later"

    def __init__(self):
        self.right = make_engine("exact", SPEC, Objective(), precision="float64")
        self.spec, self.objective, self.dtype = SPEC, Objective(), self.right.dtype
        self.scores, self.compile = self.right.scores, self.right.compile

    def loss_and_grad(self, params, X, y, w):
        loss, grads = self.right.loss_and_grad(params, X, y, w)
        far = np.abs(params["weights"]).max() > 0.15
        return loss, grads | {"weights": grads["weights"] * (2 if far else 1)}


def test_a_gradient_that_goes_wrong_later_fails_the_run_at_its_end():
    with pytest.raises(WrongGradientError, match=r"At the trained parameters: The gradient of engine 'wrong later'.*'weights'"):
        train(CONFIG, progress=False, engine=WrongLater())
    off = train(TrainConfig(**SMALL, gate="off"), progress=False, engine=WrongLater())
    assert off.gate_trained is None and off.metrics["gate_trained"] == "off"


def test_a_run_with_no_epoch_left_is_checked_at_its_end_too(tmp_path):
    prepared = train(CONFIG, folder=tmp_path, progress=False).prepared
    resumed = fit(CONFIG, prepared, folder=tmp_path, progress=False)
    assert resumed.gate is None and resumed.gate_trained.verdict == "pass"
    with pytest.raises(WrongGradientError, match="At the trained parameters"):
        fit(CONFIG, prepared, folder=tmp_path, progress=False, engine=WrongLater())
