import jax
import numpy as np
import pytest
from jax.experimental import enable_x64

from qnb.config import TrainConfig
from qnb.training.optimiser import make_optimiser, make_step, schedule

START = {"weights": np.array([[[1.0, -2.0, 3.0]]]), "readout": np.array([0.5]), "bias": np.array(0.2), "alpha": np.array(0.7)}
GRADS = {"weights": np.array([[[0.3, -0.1, 2.0]]]), "readout": np.array([-0.4]), "bias": np.array(0.5), "alpha": np.array(-0.2)}


def run(steps=3, **values):
    optimiser = make_optimiser(TrainConfig(**values), steps)
    step, params, state = make_step(optimiser), START, optimiser.init(START)
    for k in range(steps):
        params, state = step(params, state, {g: v * (1 + k) for g, v in GRADS.items()})
    return {k: np.asarray(v) for k, v in params.items()}


def adam_by_hand(start, grad, rates, decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma and Ba 2015, algorithm 1, with decoupled decay."""
    p, m, v = np.array(start, dtype=float), 0.0, 0.0
    for k, rate in enumerate(rates):
        g = grad * (1 + k)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        p = p - rate * (m / (1 - beta1 ** (k + 1)) / (np.sqrt(v / (1 - beta2 ** (k + 1))) + eps) + decay * p)
    return p


def test_adam_with_multipliers_and_decay_per_group():
    found = run(lr=0.1, lr_mult_weights=0.5, lr_mult_readout=3.0, weight_decay_weights=0.2, weight_decay_alpha=0.3)
    expected = {
        "weights": adam_by_hand(START["weights"], GRADS["weights"], [0.05] * 3, 0.2),
        "readout": adam_by_hand(START["readout"], GRADS["readout"], [0.3] * 3),
        "bias": adam_by_hand(START["bias"], GRADS["bias"], [0.1] * 3),
        "alpha": adam_by_hand(START["alpha"], GRADS["alpha"], [0.1] * 3, 0.3),
    }
    for group in expected:
        np.testing.assert_allclose(found[group], expected[group], rtol=1e-7, err_msg=group)


def test_a_trained_scaling_has_its_own_multiplier_and_decay(monkeypatch):
    start, grad = np.ones((2, 1)), np.array([[0.2], [-0.4]])
    monkeypatch.setitem(START, "scaling", start)
    monkeypatch.setitem(GRADS, "scaling", grad)
    found = run(lr=0.1, scaling=True, lr_mult_scaling=2.0, weight_decay_scaling=0.3)
    np.testing.assert_allclose(found["scaling"], adam_by_hand(start, grad, [0.2] * 3, 0.3), rtol=1e-7)
    np.testing.assert_allclose(found["readout"], adam_by_hand(START["readout"], GRADS["readout"], [0.1] * 3), rtol=1e-7)


def test_alpha_can_be_frozen_and_a_multiplier_of_zero_freezes():
    assert run(alpha_train=False)["alpha"] == START["alpha"]
    np.testing.assert_array_equal(run(lr_mult_weights=0.0)["weights"], START["weights"])


def test_steps_do_not_depend_on_what_the_process_is_set_to():
    values = {"lr": 0.1, "lr_schedule": "onecycle", "weight_decay_weights": 0.2}
    expected = run(**values)
    with (
        jax.disable_jit(),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.transfer_guard("disallow"),
    ):
        found = run(**values)
    for group, value in expected.items():
        np.testing.assert_array_equal(found[group], value)


@enable_x64()
def test_schedule_values():
    steps = np.arange(101)
    constant, cosine, onecycle = (np.array([schedule(n, 0.2, 100)(t) for t in steps]) for n in ("constant", "cosine", "onecycle"))
    np.testing.assert_allclose(constant, 0.2)
    np.testing.assert_allclose(cosine, 0.1 * (1 + np.cos(np.pi * steps / 100)), atol=1e-8)
    assert (
        onecycle[0] == pytest.approx(0.2 / 25)
        and onecycle[30] == pytest.approx(0.2)
        and onecycle[100] == pytest.approx(0.2 / 25e4)
    )
    assert onecycle.argmax() == 30
    rising, falling = steps[:31] / 30, (steps[30:] - 30) / 70
    np.testing.assert_allclose(onecycle[:31], 0.2 / 25 + 0.2 * 24 / 25 * (1 - np.cos(np.pi * rising)) / 2, rtol=1e-5)
    low = 0.2 / 25e4
    np.testing.assert_allclose(onecycle[30:], low + (0.2 - low) * (1 + np.cos(np.pi * falling)) / 2, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_runs_have_finite_rates(name, steps):
    assert all(np.isfinite(float(schedule(name, 0.1, steps)(t))) for t in range(steps))


@enable_x64()
def test_schedule_is_followed_by_every_group():
    rates = [float(schedule("cosine", 0.1, 3)(t)) for t in range(3)]
    np.testing.assert_allclose(
        run(lr=0.1, lr_schedule="cosine")["bias"], adam_by_hand(START["bias"], GRADS["bias"], rates), rtol=1e-7
    )
