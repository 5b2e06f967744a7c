"""Baselines: what they see, what is chosen for them and on which rows, and what they report."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from qnb.config import BaselinesConfig
from qnb.core.circuit import CircuitSpec
from qnb.training import baselines, metrics
from qnb.training.baselines import NAMES, fit_baselines, trivial
from qnb.training.twin import functions_of


def sides(rng, rows=(2000, 400, 400)):
    def side(count):
        X = rng.uniform(-1, 1, (count, 2))
        return X, (X[:, 0] * X[:, 1] > 0).astype(float)  # an interaction: a line cannot

    return [side(count) for count in rows]


@pytest.fixture(scope="module")
def fitted():
    train, val, test = sides(np.random.default_rng(0))
    functions = functions_of(CircuitSpec(wires=2, layers=1))
    return test, fit_baselines(train, val, test, 0, NAMES, functions=functions), (train, val)


def test_each_name_of_the_configuration_is_a_model(fitted):
    assert list(fitted[1]) == list(NAMES) == list(BaselinesConfig().baselines)


def test_baselines_see_the_features_and_report_what_they_score(fitted):
    (_, y), found, _ = fitted
    assert abs(found["logistic"]["test_auc"] - 0.5) < 0.12
    assert min(found[name]["test_auc"] for name in ("boosting", "twin", "svm")) > 0.95
    for b in found.values():
        logits = b["test_logits"]
        assert b["test_auc"] == pytest.approx(roc_auc_score(y, logits)) and b["test_auc_interval"]["low"] < b["test_auc"]
        assert b["test_loss"] == pytest.approx(log_loss(y, expit(logits)), rel=1e-6)
        assert b["test_f1"] == pytest.approx(f1_score(y, logits >= b["threshold"]))
        assert b["test_ece"] == metrics.calibration(logits, y)["ece"] and b["degen"] == 0


def test_what_was_chosen_is_told(fitted):
    found = fitted[1]
    assert found["twin"]["order"] == 2 and found["twin"]["features"] == 8 and found["twin"]["rows"] == 2000
    assert found["svm"]["C"] in baselines.SVM_C and found["svm"]["gamma"] * 2 in baselines.SVM_WIDTHS


def test_margins_become_logits_without_a_change_of_order(fitted):
    found = fitted[1]
    assert found["svm"]["test_loss"] < 0.3 and found["svm"]["test_ece"] < 0.1


def test_choices_are_made_on_validation_rows(fitted):
    """Test rows decide nothing: with their labels exchanged the models are the same."""
    (X, y), found, (train, val) = fitted
    functions = functions_of(CircuitSpec(wires=2, layers=1))
    again = fit_baselines(train, val, (X, 1 - y), 0, ("twin", "svm"), functions=functions)
    for name, b in again.items():
        np.testing.assert_array_equal(b["test_logits"], found[name]["test_logits"])
        assert b["threshold"] == found[name]["threshold"]


def test_kernels_and_twins_are_fitted_on_a_bounded_number_of_rows(rng, monkeypatch):
    monkeypatch.setattr(baselines, "SVM_ROWS", 100)
    monkeypatch.setattr(baselines, "MOST_ROWS", 150)
    train, val, test = sides(rng)
    train[1][:] = 0.0
    train[1][:3] = 1.0  # a rare class is among them
    found = fit_baselines(train, val, test, 0, ("twin", "svm"), functions=functions_of(CircuitSpec(wires=2, layers=1)))
    assert (found["svm"]["rows"], found["twin"]["rows"]) == (100, 150)


def test_groups_are_those_of_the_intervals(fitted):
    (X, y), _, (train, val) = fitted
    groups = np.arange(400) // 10
    found = fit_baselines(train, val, (X, y), 0, ("logistic",), groups=groups)
    assert found["logistic"]["test_auc_interval"]["method"] == "DeLong over groups"


def test_without_angles_there_is_no_twin(fitted):
    test, _, (train, val) = fitted
    assert list(fit_baselines(train, val, test, 0, ("logistic", "twin"))) == ["logistic"]


def test_the_trivial_predictor_calls_every_row_positive():
    y = np.r_[np.ones(80), np.zeros(20)]
    found = trivial(0.75, y)
    assert found["test_f1"] == pytest.approx(f1_score(y, np.ones(100))) == pytest.approx(1.6 / 1.8)
    assert (found["test_bacc"], found["test_precision"], found["test_recall"], found["test_pred_pos_rate"]) == (
        0.5,
        0.8,
        1.0,
        1.0,
    )
    assert found["test_loss"] == pytest.approx(log_loss(y, np.full(100, 0.75)))
    assert found["test_ece"] == pytest.approx(0.05) and found["test_brier"] == pytest.approx(0.8 * 0.0625 + 0.2 * 0.5625)
