"""Many steps as one program equal the steps one by one, by an optimiser and a loop of the test's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import loss_and_grad, random_params
from stepping import DECAY, RATE, ROWS, SPEC, T, batches, momentum, zeros

from qnb.core import exact, steps
from qnb.core.circuit import groups_of
from qnb.core.exact import ExactEngine
from qnb.core.objective import Objective
from qnb.errors import ParameterError


def by_hand(params, X, y, w):
    """The same steps with gradients of default.qubit: where they end, losses, norms, last gradient."""
    state, losses, norms = {group: 0.0 for group in params}, [], []
    for k in range(len(y)):
        loss, grads = loss_and_grad(SPEC, Objective(), params, X[k], y[k], w[k])
        state = {group: DECAY * state[group] + grads[group] for group in grads}
        params = {group: params[group] - RATE * state[group] for group in params}
        losses.append(loss)
        norms.append([np.linalg.norm(grads[group]) for group in groups_of(grads)])
    return params, state, losses, norms, grads


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(7)
    params, data = random_params(SPEC, rng), batches(rng)
    return params, data, by_hand(params, *data)


@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-5), ("float64", 1e-11)])
def test_steps_are_those_of_a_loop(precision, atol, case):
    params, data, by_default_qubit = case
    engine = ExactEngine(SPEC, Objective(), precision=precision)
    found = engine.take_steps(momentum, params, zeros(params), *data)
    for got, expected in zip(found, by_default_qubit, strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol),
            got,
            expected if isinstance(expected, dict) else np.array(expected),
        )
    assert found.params["weights"].dtype == np.float64 and found.losses.shape == (T,) and found.norms.shape == (T, len(params))


def test_of_many_runs_each_is_as_alone(rng):
    engine = ExactEngine(SPEC, Objective(), precision="float64")
    runs = [random_params(SPEC, rng) for _ in range(3)]
    X, y, w = batches(rng, (3,))
    stacked = {group: np.stack([p[group] for p in runs]) for group in SPEC.shapes}
    together = engine.take_steps(momentum, stacked, zeros(stacked), X, y, w)
    for k, params in enumerate(runs):
        alone = engine.take_steps(momentum, params, zeros(params), X[:, k], y[:, k], w[:, k])
        of_run = together._replace(losses=together.losses[:, k], norms=together.norms[:, :, k])
        for name in ("params", "optimiser", "gradient"):
            of_run = of_run._replace(**{name: {g: v[k] for g, v in getattr(together, name).items()}})
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), of_run, alone)


def test_more_steps_than_there_is_room_for_are_refused(monkeypatch, rng):
    engine = ExactEngine(SPEC, Objective())
    monkeypatch.setattr(engine, "steps_at_once", lambda batch, runs=None: 2)
    params = random_params(SPEC, rng)
    with pytest.raises(ValueError, match=r"steps are more than steps_at_once\(.*\) = 2: take them in parts"):
        engine.take_steps(momentum, params, zeros(params), *batches(rng))


@pytest.mark.parametrize("cut", [1, 3])
def test_where_a_chunk_ends_changes_no_bit(cut, rng):
    params, data = random_params(SPEC, rng), batches(rng)
    engine = ExactEngine(SPEC, Objective())
    whole = engine.take_steps(momentum, params, zeros(params), *data)
    first = engine.take_steps(momentum, params, zeros(params), *(column[:cut] for column in data))
    second = engine.take_steps(momentum, first.params, first.optimiser, *(column[cut:] for column in data))
    for name in ("params", "optimiser", "gradient"):
        jax.tree.map(np.testing.assert_array_equal, getattr(second, name), getattr(whole, name))
    np.testing.assert_array_equal(np.concatenate([first.losses, second.losses]), whole.losses)
    assert len(engine._programs) == 1  # one for all numbers of steps


@pytest.mark.parametrize("path", exact.PATHS)
def test_a_batch_in_parts_is_the_same_batch(path, monkeypatch, rng):
    params, data = random_params(SPEC, rng), batches(rng)
    engine = ExactEngine(SPEC, Objective(), precision="float64")
    whole = engine.take_steps(momentum, params, zeros(params), *data)
    parted = ExactEngine(SPEC, Objective(), precision="float64")
    monkeypatch.setattr(parted, "path", lambda rows, seeds=1: path)
    monkeypatch.setattr(exact.PATHS[path], "row_limit", lambda spec, itemsize: 16)
    assert parted.chunk(path, ROWS) == 16
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12),
        parted.take_steps(momentum, params, zeros(params), *data),
        whole,
    )


@pytest.mark.parametrize("magnitude", [1e2, 1e6, 1e9])
def test_angles_of_many_turns_are_those_of_single_calls(magnitude, rng):
    """They are reduced within the program as before a single call."""
    params, (X, y, w) = random_params(SPEC, rng), batches(rng)
    params |= {k: params[k] + magnitude * rng.uniform(-1, 1, params[k].shape) for k in ("weights", "readout")}
    engine = ExactEngine(SPEC, Objective(), precision="float64")
    one = engine.take_steps(momentum, params, zeros(params), X[:1], y[:1], w[:1])
    loss, grads = engine.loss_and_grad(params, X[0], y[0], w[0])
    assert one.losses[0] == pytest.approx(loss, rel=1e-13)
    for group, g in grads.items():
        np.testing.assert_allclose(one.gradient[group], g, atol=1e-13)


def test_any_optimiser_of_optax(rng):
    params, (X, y, w) = random_params(SPEC, rng), batches(rng)
    engine, sgd = ExactEngine(SPEC, Objective(), precision="float64"), optax.sgd(0.5)
    found = engine.take_steps(sgd.update, params, sgd.init(params), X[:1], y[:1], w[:1])
    for group, g in loss_and_grad(SPEC, Objective(), params, X[0], y[0], w[0])[1].items():
        np.testing.assert_allclose(found.params[group], params[group] - 0.5 * g, atol=1e-12)


@pytest.mark.parametrize(("row_bytes", "rows", "most"), [(40, 64, 256), (40, 4096, 102), (1 << 20, 64, 1), (1 << 30, 1, 1)])
def test_the_room_is_bounded(row_bytes, rows, most):
    assert steps.steps_at_once(row_bytes, rows) == most


def test_bad_batches_are_refused(rng):
    params, (X, y, w) = random_params(SPEC, rng), batches(rng)
    engine = ExactEngine(SPEC, Objective())
    for bad in ((X, y - 2, w), (X, y, -w), (np.full_like(X, np.nan), y, w), (X[..., :2], y, w)):
        with pytest.raises(ParameterError):
            engine.take_steps(momentum, params, zeros(params), *bad)


def test_no_float64_in_the_arithmetic_of_float32(rng):
    """Parameters and optimiser are float64; what a row costs is not."""
    params, data = random_params(SPEC, rng), batches(rng)
    engine = ExactEngine(SPEC, Objective())
    found = engine.take_steps(momentum, params, zeros(params), *data)
    assert {g.dtype for g in found.gradient.values()} == {np.dtype("float32")} == {found.losses.dtype}
    (program,) = engine._programs.values()
    wide = [line for line in program.as_text().splitlines() if " dot(" in line and "f64" in line]
    assert not wide and jnp.float32 == found.norms.dtype
