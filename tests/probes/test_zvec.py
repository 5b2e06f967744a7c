"""The probe of the z_vec readout: each verdict on what is so, and on the same thing broken."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import reference

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.data.prepare import prepare
from qnb.errors import ParameterError
from qnb.probes import zvec
from qnb.training.loop import fit

SPEC = CircuitSpec(2, 1, measurement="z_vec")


def engine_of(spec, name="catalyst"):
    return make_engine(name, spec, Objective(alpha_mode="direct"))


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(3)
    return zvec.measure(engine_of(SPEC), rng.uniform(0, np.pi, (3, 2)), rng)


class DeadReadout:
    """An engine whose readout gradient is lost, as Catalyst loses it."""

    def __init__(self, engine):
        self.scores, self._engine = engine.scores, engine

    def loss_and_grad(self, *batch):
        loss, grads = self._engine.loss_and_grad(*batch)
        return loss, grads | {"readout": np.zeros_like(grads["readout"])}


@pytest.mark.parametrize("scaling", [False, True])
def test_z_is_that_of_dense_matrices(scaling, rng):
    spec = replace(SPEC, scaling=scaling)
    params, X = zvec.random_point(spec, rng), rng.uniform(0, np.pi, (3, 2))
    z, _ = zvec.by_default_qubit(spec, params, X)
    for i, one in enumerate(np.eye(2)):
        np.testing.assert_allclose(z[:, i], [reference.dense_score(spec, params | {"readout": one}, x) for x in X], atol=1e-12)


def test_on_this_stack_the_coefficients_are_dead_and_the_identity_holds(found):
    dead, identity = zvec.judge_coefficients(found), zvec.judge_identity(found)
    assert (dead.verdict, identity.verdict) == ("yes", "yes")
    assert dead.figures["largest_gradient"] == 0 < 0.01 < dead.figures["smallest_move_of_s"]
    assert set(identity.figures) == set(zvec.WAYS[1:]) and max(identity.figures.values()) < 1e-10


@pytest.mark.parametrize(
    ("gradient", "verdict"), [(lambda z: z, "no"), (lambda z: z / 2, "no"), (lambda z: 1e-6 * z, "no"), (lambda z: 0 * z, "yes")]
)
def test_a_gradient_through_coefficients_that_is_not_dead_is_seen(found, gradient, verdict):
    other = replace(found, ways=found.ways | {zvec.WAYS[0]: gradient(found.z)})
    assert zvec.judge_coefficients(other).verdict == verdict


def test_zeros_where_the_coefficients_do_nothing_prove_nothing(found):
    assert zvec.judge_coefficients(replace(found, moved=np.zeros(2))).verdict == "inconclusive"


def test_an_engine_with_a_dead_readout_breaks_the_identity(found, rng):
    params, X = zvec.random_point(SPEC, rng), rng.uniform(0, np.pi, (3, 2))
    engine = engine_of(SPEC)
    np.testing.assert_allclose(zvec.by_engine(engine, params, X), zvec.by_default_qubit(SPEC, params, X)[0], atol=1e-10)
    broken = replace(found, ways=found.ways | {zvec.WAYS[2]: zvec.by_engine(DeadReadout(engine), params, X)})
    verdict = zvec.judge_identity(broken)
    assert verdict.verdict == "no" and zvec.WAYS[2] in verdict.sentence


def history(**changes):
    config = TrainConfig(
        data="breast_cancer",
        sample=None,
        wires=2,
        layers=1,
        measurement="z_vec",
        batch=32,
        epochs=3,
        fixed_num_batches=3,
        **changes,
    )
    return pd.DataFrame(fit(config, prepare(config), progress=False).state.history)


def test_a_training_revives_the_readout_and_one_that_holds_it_still_does_not():
    alive = zvec.judge_training(history())
    assert alive.verdict == "no" and min(alive.figures["grad_norm_readout"]) > 1e-3
    assert zvec.judge_training(history(lr_mult_readout=0.0)).verdict == "yes"


def test_a_dead_gradient_is_a_dead_readout_though_it_moves():
    drifting = pd.DataFrame({"grad_norm_readout": [0.0, 0.0], "delta_readout": [0.1, 0.2]})
    assert zvec.judge_training(drifting).verdict == "yes"


@pytest.mark.parametrize("spec", [CircuitSpec(2, 1, measurement="mean_z"), CircuitSpec(2, 1, "amplitude", measurement="z_vec")])
def test_other_circuits_are_refused(spec, rng):
    with pytest.raises(ParameterError, match="z_vec under Catalyst"):
        zvec.measure(engine_of(spec, "exact"), np.ones((1, spec.features)), rng)
