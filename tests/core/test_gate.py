import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import loss_and_grad, random_params

from qnb.core.circuit import MEASUREMENTS, CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError, check_gradient, check_gradient_of
from qnb.core.objective import Objective

BCE = Objective()


def batch(spec, rng, rows=6):
    return rng.uniform(0, np.pi, (rows, spec.features)), (np.arange(rows) % 2).astype(float), np.ones(rows)


class Bent:
    """An engine whose answer is bent on its way out."""

    name, dtype = "bent", np.dtype(np.float64)

    def __init__(self, engine, bend):
        self.engine, self.bend, self.spec, self.objective = engine, bend, engine.spec, engine.objective

    def scores(self, params, X):
        return self.engine.scores(params, X)

    def loss_and_grad(self, params, X, y, w):
        loss, grads = self.engine.loss_and_grad(params, X, y, w)
        return self.bend(loss, dict(grads))


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_right_engine_passes(measurement, rng):
    spec = CircuitSpec(3, 2, measurement=measurement)
    report = check_gradient(make_engine("catalyst", spec, BCE), spec.init(0), *batch(spec, rng))
    assert report.verdict == "pass" and report.rows == 6 and report.dtype == "float64"
    for group, check in report.groups.items():
        if group == "readout" and not spec.has_readout:
            assert check.status == "untested" and check.where == "random point"  # never `pass` without a measurement
        else:
            assert check.status == "pass" and check.relative_error < 1e-5
            assert check.found == pytest.approx(check.expected, rel=1e-4)


def test_one_sample_gradient_is_caught(rng):
    spec = CircuitSpec(3, 2)
    engine = make_engine("one_sample_demo", spec, BCE)
    with pytest.raises(WrongGradientError, match=r"wrong in group 'weights'.*Stack: pennylane \d") as caught:
        check_gradient(engine, spec.init(0), *batch(spec, rng))
    assert caught.value.group == "weights"
    assert abs(caught.value.found - caught.value.expected) > 1e-4 * abs(caught.value.expected)


def test_one_sample_demo_follows_the_law(rng):
    """dL/dtheta = (sum_b dL/ds_b) ds_last/dtheta, against derivatives from default.qubit; the rest of its answer is right."""
    spec = CircuitSpec(3, 2)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    w = rng.uniform(0.5, 2, len(w))
    loss, found = make_engine("one_sample_demo", spec, BCE).loss_and_grad(params, X, y, w)
    right_loss, right = loss_and_grad(spec, BCE, params, X, y, w)
    assert loss == pytest.approx(right_loss)
    for group in ("bias", "alpha"):
        np.testing.assert_allclose(found[group], right[group], atol=1e-9)
    per_row = [loss_and_grad(spec, BCE, params, X[k : k + 1], y[k : k + 1], w[k : k + 1])[1] for k in range(len(X))]
    d_scores = np.array([float(g["bias"]) for g in per_row])  # dl/db = dl/ds for s + b
    for group in ("weights", "readout"):
        law = d_scores.mean() / d_scores[-1] * per_row[-1][group]
        np.testing.assert_allclose(found[group], law, atol=1e-9)
        assert np.linalg.norm(found[group] - right[group]) > 0.1 * np.linalg.norm(right[group])


@pytest.mark.parametrize("group", ["weights", "readout", "bias", "alpha"])
@pytest.mark.parametrize(
    "spoil",
    [lambda g: 1.001 * g, lambda g: np.zeros_like(g), lambda g: g + 0.01 * np.arange(1, g.size + 1).reshape(g.shape)],
    ids=["0.1 % too long", "zero", "shifted"],
)
def test_any_wrong_group_is_caught(group, spoil, rng):
    spec = CircuitSpec(3, 2)
    engine = Bent(make_engine("catalyst", spec, BCE), lambda loss, g: (loss, g | {group: spoil(g[group])}))
    with pytest.raises(WrongGradientError) as caught:
        check_gradient(engine, random_params(spec, rng), *batch(spec, rng))
    assert caught.value.group == group


def test_wrong_loss_nan_and_wrong_shape_are_caught(rng):
    spec = CircuitSpec(3, 1)
    right = make_engine("catalyst", spec, BCE)
    for bend, group in (
        (lambda loss, g: (1.01 * loss, g), "loss"),
        (lambda loss, g: (loss, g | {"readout": np.full(9, np.nan)}), "readout"),
        (lambda loss, g: (loss, g | {"weights": g["weights"][0]}), "weights"),
    ):
        with pytest.raises(WrongGradientError) as caught:
            check_gradient(Bent(right, bend), random_params(spec, rng), *batch(spec, rng))
        assert caught.value.group == group


def test_repeated_rows_and_equal_weights_do_not_hide_a_wrong_gradient(rng):
    spec = CircuitSpec(3, 2)
    x = rng.uniform(0, np.pi, (1, 3))
    with pytest.raises(WrongGradientError):
        check_gradient(
            make_engine("one_sample_demo", spec, BCE), random_params(spec, rng), np.tile(x, (5, 1)), np.ones(5), np.ones(5)
        )


def test_a_group_flat_at_the_start_is_measured_elsewhere():
    def loss(p, x):
        return float(np.sum((p["a"] * x) ** 2) + np.sum(p["b"] * x))

    def grad(p, x):
        return {"a": 2 * p["a"] * x**2, "b": x}

    def wrong(p, x):
        return {"a": 3 * p["a"] * x**2, "b": x}

    p, x = {"a": np.zeros(3), "b": np.zeros(3)}, np.array([1.0, 2.0, 3.0])
    report = check_gradient_of(loss, grad, p, x)
    assert report.groups["a"].status == "pass" and report.groups["a"].where == "random point"
    assert report.groups["b"].where == "start"
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, wrong, p, x)


def test_a_loss_that_ignores_its_parameters_is_untested():
    report = check_gradient_of(lambda p: 1.5, lambda p: np.zeros(4), np.ones(4))
    assert report.verdict == "untested" and report.groups["params"].status == "untested"


def test_any_function_of_a_users_own():
    def loss(p, x):
        return jnp.mean(jnp.sin(x @ p[0]) * p[1]) ** 2

    p, x = (np.array([0.3, -0.2]), np.array(1.7)), np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 2.0]])
    report = check_gradient_of(loss, jax.grad(loss), p, x)
    assert report.verdict == "pass" and set(report.groups) == {"0", "1"}
    with pytest.raises(WrongGradientError, match="wrong in group '0'"):
        check_gradient_of(loss, lambda p, x: (jax.grad(loss)(p, x)[0] + 0.1, jax.grad(loss)(p, x)[1]), p, x)


def test_float32_tolerance_follows_the_dtype():
    p = np.array([0.3, -0.2, 1.1])

    def loss(p):
        return float(np.sum(np.sin(np.float32(p)) ** 2, dtype=np.float32))

    assert check_gradient_of(loss, lambda p: np.sin(2 * p), p, dtype=np.float32).verdict == "pass"
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, lambda p: 1.1 * np.sin(2 * p), p, dtype=np.float32)


def test_report_is_plain_data(rng):
    import json

    spec = CircuitSpec(2, 1)
    report = check_gradient(make_engine("catalyst", spec, BCE), spec.init(0), *batch(spec, rng))
    again = json.loads(json.dumps(report.to_dict()))
    assert again["verdict"] == "pass" and again["groups"]["weights"]["status"] == "pass"
