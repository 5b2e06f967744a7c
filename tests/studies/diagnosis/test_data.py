"""The data's own interventions, each on a table that it is made for and on one that is sound."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.data.table import load_table
from qnb.statistics.bootstrap import Ranked
from qnb.studies.diagnosis import data
from qnb.training.metrics import auc

BASELINES = {"logistic": {"val_auc": 0.99, "test_auc": 0.98}}
CONFIG = TrainConfig(data="breast_cancer", sample=None, wires=3)


def test_the_error_of_an_auc_is_what_resamples_scatter_by(rng):
    y = (rng.uniform(size=400) < 0.4).astype(float)
    scores = y + rng.normal(0, 1, 400)
    ranked, count = Ranked(y, scores, "scores"), len(y)
    draws = [ranked.auc(np.bincount(rng.integers(0, count, count), minlength=count).astype(float)) for _ in range(500)]
    assert data.auc_error(auc(scores, y), y) == pytest.approx(np.std(draws), rel=0.15)


def test_nothing_to_learn_is_told_from_little(table):
    assert data.nothing_to_learn(0.52, 0.53, table).against
    assert not data.nothing_to_learn(0.52, 0.90, table).against  # the circuit sees what they do not: a parity
    assert not data.nothing_to_learn(0.70, 0.50, table).against


@pytest.mark.parametrize(("test", "against"), [(0.5, True), (0.84, False), (0.99, False)])
def test_what_holds_on_validation_rows_and_not_on_test_rows(table, test, against):
    baselines = {"logistic": {"val_auc": 0.7, "test_auc": 0.7}, "boosting": {"val_auc": 0.9, "test_auc": test}}
    assert data.validation_against_test(CONFIG, baselines, table, 0.01).against == against
    by_time = CONFIG.model_copy(update={"split": "time"})
    assert not data.validation_against_test(by_time, baselines, table, 0.01).against  # by design


def test_a_column_that_gives_the_label_away_is_named(rng):
    table = load_table(CONFIG)
    assert not data.give_aways(table).against
    leaky = replace(table, frame=table.frame.assign(copy=table.y + 0.01 * rng.standard_normal(len(table))))
    found = data.give_aways(leaky)
    assert found.against and "'copy'" in found.sentence


def test_a_score_that_rests_on_near_copies_falls_without_them(table, rng):
    """The test side's first half are copies of training rows, ranked rightly; the other half at random."""
    y, X = table.y["test"], table.X["test"].copy()
    half = len(y) // 2
    X[:half] = table.X["train"][2 : half + 2]
    logits = np.where(np.arange(len(y)) < half, 10 * (y - 0.5), rng.standard_normal(len(y)))
    found = data.near_copies(logits, replace(table, X=table.X | {"test": X}), 0.01)
    assert found.against and found.gain < -0.1
    assert data.near_copies(logits, table, 0.01) is None  # no row stands on both sides


def drifting(folder, drift):
    """Rows in order of time; the rule that makes the label turns round in the last of them, or not."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1500, 4)), columns=list("abcd"))
    turned = drift & (np.arange(1500) > 900)
    frame["label"] = (np.where(turned, -1, 1) * frame["a"] + 0.3 * rng.normal(size=1500) > 0).astype(int)
    frame["frame.time"] = np.arange(1500.0)
    frame.to_csv(folder / "table.csv", index=False)
    return TrainConfig(data=str(folder / "table.csv"), label="label", sample=None, wires=3, split="time", time="frame.time")


@pytest.mark.parametrize("drift", [True, False])
def test_sides_that_differ_are_the_data_and_equal_ones_are_not(tmp_path, drift):
    config = drifting(tmp_path, drift)
    checks = {c.name: c for c in data.other_splits(config, prepare(config), load_table(config), 0.01)}
    fresh = checks["a random split"]
    assert fresh.against == drift
    if drift:
        assert fresh.gain > 0.1 and "this is the honest score" in fresh.sentence


def test_every_check_of_a_sound_table_clears_it():
    prepared = prepare(CONFIG)
    checks = data.examine(CONFIG, prepared, BASELINES, 0.98, prepared.X["test"][:, 0], 0.01)
    assert [c.name for c in checks][:1] == ["classical models"] and len(checks) >= 3
    assert not any(c.against for c in checks), [c.sentence for c in checks if c.against]
