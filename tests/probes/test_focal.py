"""The probe of the focal plateau: closed forms, the yardstick of leaving it, and each verdict on a broken case."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.core.objective import Objective
from qnb.probes import focal
from qnb.probes.descent import Descent


def test_closed_forms_against_the_definition_by_differences():
    for gamma in (0.0, 0.5, 2.0, 5.0):
        for y in (0, 1):

            def loss(l, y=y, gamma=gamma):
                p = 1 / (1 + np.exp(-l))
                p_t = p if y == 1 else 1 - p
                return -((1 - p_t) ** gamma) * np.log(p_t)

            assert focal.value_at_zero(gamma) == pytest.approx(loss(0.0), rel=1e-12)
            assert focal.slope_at_zero(gamma) == pytest.approx(abs(loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-8)
    assert focal.value_at_zero([0, 2]).round(4).tolist() == [0.6931, 0.1733]


def test_the_value_is_reproduced_and_a_loss_with_another_exponent_is_not():
    verdict = focal.judge_value(focal.at_zero([0.0, 2.0, 3.0]))
    assert verdict.verdict == "yes"
    assert verdict.figures["value_gamma_2"] == pytest.approx(0.1733, abs=5e-5)
    assert verdict.figures["attenuation_gamma_2"] == pytest.approx(0.5966, abs=5e-5)
    assert focal.judge_value(focal.at_zero([0.0, 2.0], lambda gamma: Objective(1.01 * gamma).loss)).verdict == "no"
    stopped = focal.at_zero([2.0], lambda gamma: lambda l, y: Objective(gamma).loss(0 * l, y))  # right value, no slope
    assert stopped["value"].iloc[0] == pytest.approx(0.1733, abs=5e-5) and focal.judge_value(stopped).verdict == "no"


def test_curves_are_the_objective_and_its_slope():
    logits = np.linspace(-3, 3, 7)
    c = focal.curves([2.0], logits)[2.0]
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(c["loss1"], -((1 - p) ** 2) * np.log(p), rtol=1e-6)
    np.testing.assert_allclose(c["slope0"], np.gradient(c["loss0"], logits), atol=0.2)
    assert c["slope0"].min() >= 0


def descent(bce):
    return Descent({}, jnp.zeros(1), jnp.zeros(1), pd.DataFrame({"step": range(len(bce)), "bce": bce}))


def ramp(steps, at):
    """The BCE of a training that leaves the plateau at step `at`."""
    return descent(np.where(np.arange(steps) >= at, 0.6, np.log(2)))


def table(sgd, adam, steps=100):
    runs = {("SGD", 0.0): sgd[0], ("SGD", 2.0): sgd[1], ("Adam", 0.0): adam[0], ("Adam", 2.0): adam[1]}
    return focal.times({key: ramp(steps, at) for key, at in runs.items()})


@pytest.mark.parametrize(
    ("sgd", "adam", "verdict"),
    [
        ((10, 17), (5, 5), "no"),
        ((10, 200), (5, 50), "yes"),  # never, and ten times as long
        ((10, 31), (5, 5), "inconclusive"),
        ((10, 17), (200, 200), "no"),  # where BCE does not leave either, nothing is said about focal
        ((200, 200), (200, 200), "inconclusive"),
        ((60, 200), (5, 5), "no"),  # 100 steps are too few to tell that focal takes three times 60
    ],
)
def test_the_verdict_on_stalling(sgd, adam, verdict):
    assert focal.judge_stall([table(sgd, adam)]).verdict == verdict


def test_leaving_is_measured_on_the_bce_alone():
    assert focal.left_at(ramp(10, 4).history) == 4
    assert focal.left_at(ramp(10, 11).history) is None
    assert focal.left_at(descent([0.694, 0.1 + np.log(2), 0.659, 0.658]).history) == 3


def test_trainings_leave_in_the_time_that_the_slope_says(config, prepared):
    found = focal.trainings(config, prepared, gamma=2.0, alpha=0.05, rate_sgd=2.0, steps=40, seed=0)
    times = focal.times(found)
    assert found["SGD", 0.0].history["loss"][0] == pytest.approx(4 * found["SGD", 2.0].history["loss"][0], rel=0.05)
    assert 1.5 < times.loc["SGD", "ratio"] < 1.9  # 1.68 by the slope
    assert 0.6 < times.loc["Adam", "ratio"] < 1.5
    assert focal.judge_stall([times]).verdict == "no"


def test_focal_with_balanced_batches():
    assert "focal_gamma > 0 with balanced_batches=True" in focal.refusal()
    assert focal.judge_refusal(focal.refusal()).verdict == "yes"
    rewritten = focal.refusal(lambda values: TrainConfig.make(values | {"focal_gamma": 0.0}))  # what the note's code did
    assert focal.judge_refusal(rewritten).verdict == "no"
