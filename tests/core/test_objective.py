import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import enable_x64
from scipy.special import expit, log_expit

from qnb.core.objective import Objective, class_weight_pair, importance_weights
from qnb.errors import ParameterError

LOGITS = np.linspace(-30, 30, 121)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_bce_is_minus_log_likelihood(y):
    np.testing.assert_allclose(Objective().loss(LOGITS, y), -log_expit(LOGITS if y else -LOGITS), rtol=1e-12, atol=1e-14)


def test_bce_is_finite_far_out():
    np.testing.assert_allclose(Objective().loss(np.array([-800.0, 800.0]), 1.0), [800, 0])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_focal_is_the_formula_of_lin_et_al(gamma, y):
    margin = LOGITS if y else -LOGITS
    expected = -(expit(-margin) ** gamma) * log_expit(margin)
    np.testing.assert_allclose(Objective(gamma).loss(LOGITS, y), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
@enable_x64()
def test_slope_is_the_derivative_of_the_loss(gamma, y):
    objective = Objective(gamma)
    expected = jax.vmap(jax.grad(lambda l: objective.loss(l, y)))(LOGITS)
    np.testing.assert_allclose(objective.slope(LOGITS, y), expected, rtol=1e-9, atol=1e-14)


def test_values_at_zero_logit():
    assert float(Objective().loss(0.0, 1.0)) == pytest.approx(np.log(2))
    assert float(Objective(2.0).loss(0.0, 0.0)) == pytest.approx(np.log(2) / 4)
    assert float(Objective(2.0).slope(0.0, 0.0)) == pytest.approx((1 + 2 * np.log(2)) / 8)  # 60 % of BCE's 1/2


@enable_x64()
def test_bias_is_inside_alpha_and_softplus_keeps_alpha_positive():
    softplus, direct = Objective(), Objective(alpha_mode="direct")
    assert float(direct.logit(0.25, 0.5, 2.0)) == 1.5
    assert float(softplus.alpha(-50.0)) == pytest.approx(1e-3)
    for objective in (softplus, direct):
        slope = jax.vmap(jax.grad(lambda r, o=objective: o.alpha(r)))(LOGITS)
        np.testing.assert_allclose(objective.alpha_slope(LOGITS), slope, rtol=1e-12)


def test_batch_loss_is_a_weighted_mean_not_divided_by_the_weights():
    params = {"bias": 0.1, "alpha": 1.7}
    s, y, w = np.array([0.2, -0.4, 0.9]), np.array([1.0, 0.0, 1.0]), np.array([0.5, 2.0, 4.0])
    objective = Objective(1.5, "direct")
    expected = sum(wi * float(objective.loss(1.7 * (si + 0.1), yi)) for si, yi, wi in zip(s, y, w, strict=True)) / 3
    assert float(objective.batch_loss(params, s, y, w)) == pytest.approx(expected)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 0.99))
def test_importance_weights_restore_the_prior_with_mean_one(positives, negatives, prior):
    y = np.r_[np.ones(positives), np.zeros(negatives)]
    w = importance_weights(y, prior)
    assert w.mean() == pytest.approx(1)
    assert w[y == 1].sum() / len(y) == pytest.approx(prior)


def test_importance_weights_of_the_note():
    w = importance_weights(np.r_[np.ones(128), np.zeros(128)], 0.855)
    np.testing.assert_allclose([w[0], w[-1]], [1.71, 0.29])
    with pytest.raises(ParameterError, match="both classes"):
        importance_weights(np.ones(4), 0.5)


def test_class_weights():
    assert class_weight_pair(None, 0.8) == (1, 1)
    assert class_weight_pair((2, 3), 0.8) == (2, 3)
    np.testing.assert_allclose(class_weight_pair("balanced", 0.8), (2.5, 0.625))


def test_unknown_modes_are_refused():
    with pytest.raises(ParameterError, match="Did you mean 'softplus'"):
        Objective(alpha_mode="softmax")
    with pytest.raises(ParameterError, match="focal_gamma"):
        Objective(focal_gamma=-1)
