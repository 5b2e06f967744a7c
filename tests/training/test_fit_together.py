"""Many runs as one batched program: the same runs, gated, whatever differs between them that is no shape."""

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.core.exact import ExactEngine
from qnb.core.gate import WrongGradientError
from qnb.data.prepare import prepare, prepare_all
from qnb.data.values import DataError
from qnb.errors import ParameterError
from qnb.training.loop import TrainingDiverged, fit, fit_together
from qnb.training.train import fit_all, train, train_all

SMALL = {"wires": 2, "layers": 2, "batch": 32, "epochs": 2, "fixed_num_batches": 5, "lr": 0.1, "engine": "exact"}
TIMES = ["seconds", "samples_per_s"]


def config(**changes):
    return TrainConfig(**{"data": "breast_cancer", "sample": None} | SMALL | changes)


VARIED = [
    config(seed=1),
    config(seed=2),
    config(seed=2, lr=0.02, lr_schedule="onecycle", weight_decay_weights=0.1, lr_mult_readout=3.0),
    config(seed=3, angle_range="pm_pi_2", split_seed=4),
    config(seed=3, balanced_batches=True, prior_correction="importance"),
    config(seed=4, alpha_train=False, class_weights="balanced"),
]


def test_each_run_is_the_run_it_would_be_alone():
    together = train_all(VARIED, progress=False)
    for c, joint in zip(VARIED, together, strict=True):
        alone = train(c, progress=False)
        assert joint.config == c and joint.gate.verdict == "pass"
        pd.testing.assert_frame_equal(
            joint.history.drop(columns=TIMES), alone.history.drop(columns=TIMES), rtol=1e-4, atol=1e-5, check_dtype=False
        )
        for group in alone.params:
            np.testing.assert_allclose(joint.params[group], alone.params[group], rtol=1e-5, atol=1e-5)
        assert joint.metrics["test_auc"] == pytest.approx(alone.metrics["test_auc"], abs=1e-3)
        assert joint.metrics["baselines"] == alone.metrics["baselines"]
    aucs = [r.metrics["test_auc"] for r in together]
    assert len(set(aucs)) > 3  # they are not one run six times


def test_what_is_shared_is_computed_once():
    first, again, *others = prepare_all(
        [config(seed=1), config(seed=2), *(config(seed=1, **how) for how in ({"angle_range": "pm_pi"}, {"rescale": "minmax"}))]
    )
    assert first is again and not any(other is first for other in others)
    for other in others:
        np.testing.assert_array_equal(first.y["test"], other.y["test"])
    with pytest.raises(DataError, match=r"batch=500 rows, but only 341 of the table's 569 rows"):
        prepare_all([config(seed=1), config(batch=500)])


def test_shapes_that_differ_and_engines_that_train_one_at_a_time_are_refused_and_train_all_sorts_them():
    data = prepare(config())
    with pytest.raises(ParameterError, match="2 shapes cannot train together"):
        fit_together([config(), config(layers=1)], [data, data], progress=False)
    pair = [config(engine="catalyst"), config(engine="catalyst", seed=1)]
    with pytest.raises(ParameterError, match="one run at a time"):
        fit_together(pair, [data, data], progress=False)
    mixed = train_all([config(), config(layers=1), pair[0]], progress=False)
    assert [r.config.layers for r in mixed] == [2, 1, 2]
    assert mixed[0].metrics["test_auc"] == pytest.approx(mixed[2].metrics["test_auc"], abs=1e-3)


def test_as_many_train_together_as_pay(monkeypatch):
    """Five runs, two at most at a time: each is the run that it is alone."""
    sizes = []

    def recorded(configs, *args, **options):
        sizes.append(len(configs))
        return fit_together(configs, *args, **options)

    monkeypatch.setattr("qnb.training.train.fit_together", recorded)
    monkeypatch.setattr(ExactEngine, "runs_at_once", lambda self, batch: 2)
    configs = [config(seed=seed) for seed in range(5)]
    data = prepare_all(configs)
    for run, c in zip(fit_all(configs, data, progress=False), configs, strict=True):
        alone = fit(c, data[0], progress=False)
        assert run.config == c
        np.testing.assert_allclose(run.state.params["weights"], alone.state.params["weights"], atol=1e-5)
    assert sizes == [2, 2, 1]


def test_a_run_that_is_over_stays_as_it_is_while_the_others_go_on():
    stuck = config(seed=1, lr=1e-9, epochs=6, early_stop_patience=2)
    free = config(seed=2, epochs=6)
    data = prepare(stuck)
    joint = fit_together([stuck, free], [data, data], progress=False)
    alone = fit(stuck, data, progress=False)
    assert joint[0].state.epoch == alone.state.epoch < 6 == joint[1].state.epoch == len(joint[1].state.history)
    np.testing.assert_allclose(joint[0].state.params["weights"], alone.state.params["weights"], atol=1e-8)


def test_a_run_that_diverges_is_an_error_in_its_place_and_the_others_go_on():
    diverged, fine = train_all([config(seed=1, lr=1e308), config(seed=1)], progress=False)
    assert isinstance(diverged, TrainingDiverged) and "seed 1, epoch 1" in str(diverged)
    assert fine.metrics["test_auc"] == pytest.approx(train(config(seed=1), progress=False).metrics["test_auc"], abs=1e-3)


@pytest.mark.parametrize("group", ["weights", "readout", "bias", "alpha"])
def test_a_program_that_mixes_runs_up_is_stopped_by_the_gate(group, monkeypatch):
    right = ExactEngine.take_steps

    def mixed_up(self, *args):
        steps = right(self, *args)
        return steps._replace(gradient=steps.gradient | {group: steps.gradient[group][::-1]})

    monkeypatch.setattr(ExactEngine, "take_steps", mixed_up)
    data = prepare(config())
    with pytest.raises(WrongGradientError, match=f"(?s)train together.*group '{group}'"):
        fit_together([config(seed=1), config(seed=2)], [data, data], progress=False)
