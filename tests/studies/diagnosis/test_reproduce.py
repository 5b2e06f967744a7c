"""A run that does not come out again: who is to blame is told from what differs."""

from dataclasses import replace

import numpy as np
import pytest
from silent_runs import SOUND

from benchmarks.faulty_runs import ByHand, constant, cut, permuted, run_of, shuffled
from qnb.config import TrainConfig
from qnb.studies.diagnosis import diagnose
from qnb.studies.diagnosis.reproduce import reproduce

CONFIG = TrainConfig(**SOUND, gate="off")


def test_a_sound_run_comes_out_again(sound):
    found = reproduce(sound)
    assert found.status == "reproduced" and not found.gradient_is_wrong
    assert all(abs(then - now) < 1e-6 for then, now in found.figures["auc_again"].values())


def test_a_chaotic_run_comes_out_again(table):
    assert reproduce(run_of(TrainConfig(**SOUND | {"lr": 20.0}), table)).status == "reproduced"


ROWS = {
    "labels of training shuffled": lambda t: shuffled(t, ("train",)),
    "labels of training shuffled in part": lambda t: shuffled(t, ("train",), 0.5),
    "labels of the other sides shuffled": lambda t: shuffled(t, ("val", "test")),
    "features permuted in training": lambda t: permuted(t, ("train",)),
    "features permuted in the other sides": lambda t: permuted(t, ("val", "test")),
    "one wire fed a constant": lambda t: constant(t, 1),
    "training cut short": lambda t: cut(t, 200),
}


@pytest.mark.parametrize("fault", ROWS)
def test_rows_that_are_not_those_of_the_table_are_the_data(fault, table):
    case = run_of(CONFIG, ROWS[fault](table), truth=table)
    assert reproduce(case).status == "data"
    if "cut" not in fault:  # without a checkpoint rows of one kind cannot be told apart
        assert reproduce(replace(case, identity=None)).status == "data"
    assert "data" in diagnose(case, seeds=2, progress=False).blamed


def only(group, factor):
    return lambda grads: {name: g * (factor if name == group else 1) for name, g in grads.items()}


GRADIENTS = {
    "sign of the weights": only("weights", -1.0),
    "dead readout": only("readout", 0.0),
    "half of the weights": lambda grads: grads | {"weights": grads["weights"] * (np.arange(3) != 1)},
    "scaled": only("weights", 3.0),
}


@pytest.mark.parametrize("fault", GRADIENTS)
def test_a_gradient_that_is_wrong_is_named_with_its_engine(fault, table):
    engine = ByHand(CONFIG, GRADIENTS[fault])
    found = reproduce(run_of(CONFIG, table, engine=engine), engine)
    assert found.status == "gradient" and found.gradient_is_wrong


@pytest.mark.parametrize("fault", ["sign of the weights", "half of the weights"])
def test_and_is_told_from_other_rows_where_the_engine_is_gone(fault, table):
    case = run_of(CONFIG, table, engine=ByHand(CONFIG, GRADIENTS[fault]))
    found = reproduce(case)
    assert found.status == "gradient" and not found.gradient_is_wrong
    assert "these rows trained, by another gradient" in found.sentences[-1]


def test_stale_scores_are_found_with_the_engine_and_without(table):
    """Validation and test rows scored by another circuit; training batches as they are."""
    other = make_other()
    engine = ByHand(CONFIG, scores=lambda scores, X: other(X) if len(X) == 180 else scores)
    case = run_of(CONFIG, table, engine=engine)
    assert reproduce(case).status == "data"
    found = reproduce(case, engine)
    assert found.status == "gradient" and "scores of val rows differ" in found.sentences[0]


def make_other():
    config = TrainConfig(**SOUND | {"layers": 1})
    engine = ByHand(config)
    params = engine.spec.init(5)
    return lambda X: engine.scores(params, X)


def test_what_was_not_recorded_cannot_differ(sound):
    assert reproduce(replace(sound, params=None, history=None, metrics={})).status == "not recorded"
    refused = replace(sound, manifest={"failure": {"message": "The gradient of engine 'x' is wrong in group 'y'"}})
    found = reproduce(refused)
    assert found.status == "gradient" and "own gate refused" in found.sentences[0]
