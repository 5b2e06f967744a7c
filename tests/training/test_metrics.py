import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss, precision_score, recall_score

from qnb.training import metrics

rows = (
    st.integers(4, 60)
    .flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(-20, 20), min_size=n, max_size=n), st.lists(st.integers(0, 1), min_size=n, max_size=n)
        )
    )
    .filter(lambda pair: 0 < sum(pair[1]) < len(pair[1]))
)


@given(rows)
def test_auc_counts_pairs(pair):
    logits, y = np.array(pair[0]) / 7, np.array(pair[1])
    differences = logits[y == 1][:, None] - logits[y == 0][None, :]
    assert metrics.auc(logits, y) == pytest.approx((differences > 0).mean() + (differences == 0).mean() / 2)


@given(rows)
@settings(deadline=None)
def test_threshold_is_the_best_of_all_ties_by_precision(pair):
    logits, y = np.array(pair[0]) / 7, np.array(pair[1])
    if np.ptp(logits) == 0:
        return
    chosen = metrics.choose_threshold(logits, y, 0.0, 1.0)

    def value(t):
        called = logits >= t
        bacc = ((called & (y == 1)).sum() / (y == 1).sum() + (~called & (y == 0)).sum() / (y == 0).sum()) / 2
        return round(bacc, 12), (called & (y == 1)).sum() / called.sum()

    assert value(chosen.value) == max(value(t) for t in logits)
    assert chosen.degen == 0
    lower, upper = logits[logits < chosen.value], logits[logits >= chosen.value]
    if len(lower):
        assert chosen.value - lower.max() == pytest.approx(upper.min() - chosen.value)  # no row within rounding of it
    else:
        assert chosen.value == upper.min()


def test_rounding_moves_no_validation_row_over_the_threshold(rng):
    y = rng.integers(0, 2, 300)
    logits = y + rng.normal(size=300)
    threshold = metrics.choose_threshold(logits, y).value
    for shift in (-2e-7, 2e-7):
        np.testing.assert_array_equal(logits + shift >= threshold, logits >= threshold)


def test_a_threshold_between_neighbouring_numbers_parts_them():
    logits, y = np.array([0.0, np.nextafter(1, 0), 1.0]), np.array([0, 0, 1])
    assert metrics.choose_threshold(logits, y).value == 1.0


def test_thresholded_metrics_agree_with_scikit_learn(rng):
    logits, y = rng.normal(size=200), rng.integers(0, 2, 200)
    found = metrics.evaluate(logits, y, metrics.Threshold(0.3, 0, ""))
    called = logits >= 0.3
    assert found["bacc"] == pytest.approx(balanced_accuracy_score(y, called))
    assert found["f1"] == pytest.approx(f1_score(y, called))
    assert found["precision"] == pytest.approx(precision_score(y, called))
    assert found["recall"] == pytest.approx(recall_score(y, called))
    assert found["pred_pos_rate"] == called.mean()
    assert found["loss"] == pytest.approx(log_loss(y, expit(logits)))
    assert found["sep"] == pytest.approx(logits[y == 1].mean() - logits[y == 0].mean())


def test_loss_is_finite_for_huge_logits():
    assert metrics.bce(np.array([1e4, -1e4]), np.array([0, 1])) == pytest.approx(1e4)


def test_constant_logits_are_degenerate():
    y = np.array([0, 1, 1, 0])
    threshold = metrics.choose_threshold(np.full(4, 0.7), y)
    assert (threshold.value, threshold.degen) == (0.0, 1) and "constant" in threshold.reason
    found = metrics.evaluate(np.full(4, 0.7), y, threshold)
    assert found["auc"] == 0.5 and found["degen"] == 1  # AUC, sep and loss stay


def test_extreme_positive_rate_is_degenerate():
    y, logits = np.r_[1, np.zeros(999)].astype(int), np.r_[5.0, np.linspace(-1, 0, 999)]
    threshold = metrics.choose_threshold(logits, y)  # the best threshold calls 1 of 1000 positive
    assert (
        (threshold.value, threshold.degen) == (0.0, 1)
        and "0.0010" in threshold.reason
        and "not within 0.01 to 0.99" in threshold.reason
    )
    assert metrics.choose_threshold(logits, y, min_pred_pos_rate=0.001).degen == 0
    assert metrics.evaluate(logits, y, threshold)["auc"] == 1.0


def test_undefined_ratios_are_zero():
    found = metrics.thresholded(np.array([-1.0, -2.0]), np.array([1, 0]), 5.0)
    assert found["precision"] == found["f1"] == found["pred_pos_rate"] == 0 and found["bacc"] == 0.5


@pytest.mark.parametrize("bins", [5, 10])
def test_calibration_is_scikit_learns(rng, bins):
    logits = rng.normal(size=900)
    y = (rng.random(900) < expit(2 * logits - 1)).astype(int)  # badly calibrated
    observed, predicted = calibration_curve(y, expit(logits), n_bins=bins, strategy="quantile")
    table = metrics.reliability(logits, y, bins)
    np.testing.assert_allclose(table[["predicted", "observed"]], np.c_[predicted, observed])
    assert table["rows"].sum() == 900 and table["rows"].max() - table["rows"].min() <= 1
    found = metrics.calibration(logits, y)
    assert found["brier"] == pytest.approx(brier_score_loss(y, expit(logits)))
    ten = metrics.reliability(logits, y)
    assert found["ece"] == pytest.approx(np.average((ten["predicted"] - ten["observed"]).abs(), weights=ten["rows"]))
    assert found["ece"] > 0.05


def test_a_calibrated_model_errs_by_chance_alone(rng):
    logits = rng.normal(size=20_000)
    assert metrics.calibration(logits, (rng.random(20_000) < expit(logits)).astype(int))["ece"] < 0.02
    assert metrics.calibration(np.zeros(10), np.tile([0, 1], 5)) == {"brier": 0.25, "ece": 0.0}  # one bin
