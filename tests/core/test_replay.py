"""The gate of many steps: what goes wrong in a loop alone is found, and a right loop passes."""

import numpy as np
import pytest
from reference import random_params
from stepping import SPEC, batches, momentum, zeros

from qnb.core.exact import ExactEngine
from qnb.core.gate import WrongGradientError
from qnb.core.objective import Objective
from qnb.core.replay import replayed


def step(params, state, grads):
    updates, state = momentum(grads, state, params)
    return {group: params[group] + updates[group] for group in params}, state


class Spoiled(ExactEngine):
    """Right in single steps; of more than one, something is off."""

    def __init__(self, spoil):
        super().__init__(SPEC, Objective())
        self.spoil = spoil

    def take_steps(self, update, params, optimiser, X, y, w):
        right = super().take_steps
        if len(y) == 1:
            return right(update, params, optimiser, X, y, w)
        return self.spoil(right, update, params, optimiser, X, y, w)


def first_batch_always(right, update, params, optimiser, X, y, w):
    return right(update, params, optimiser, *(np.broadcast_to(column[:1], column.shape) for column in (X, y, w)))


def one_batch_late(right, update, params, optimiser, X, y, w):
    return right(update, params, optimiser, *(np.roll(column, 1, axis=0) for column in (X, y, w)))


def forgetful(grads, state, params):
    return momentum(grads, {group: 0 * value for group, value in state.items()}, params)


def state_lost(right, update, params, optimiser, X, y, w):
    return right(forgetful, params, optimiser, X, y, w)


def last_step_left_out(right, update, params, optimiser, X, y, w):
    done = right(update, params, optimiser, X[:-1], y[:-1], w[:-1])
    whole = right(update, params, optimiser, X, y, w)
    return whole._replace(params=done.params, optimiser=done.optimiser)


def norms_of_others(right, update, params, optimiser, X, y, w):
    whole = right(update, params, optimiser, X, y, w)
    return whole._replace(norms=whole.norms[:, ::-1])


def losses_of_others(right, update, params, optimiser, X, y, w):
    whole = right(update, params, optimiser, X, y, w)
    return whole._replace(losses=whole.losses[::-1])


def a_right_one(right, update, params, optimiser, X, y, w):
    return right(update, params, optimiser, X, y, w)


@pytest.mark.parametrize(
    "spoil", [first_batch_always, one_batch_late, state_lost, last_step_left_out, norms_of_others, losses_of_others]
)
def test_a_loop_that_is_wrong_is_not_trained_with(spoil, rng):
    params, data = random_params(SPEC, rng), batches(rng)
    with pytest.raises(WrongGradientError, match=r"(?s)in one program on engine 'exact'.*was expected from single steps"):
        replayed(Spoiled(spoil), momentum, step, params, zeros(params), *data)


def test_an_optimiser_that_takes_another_step_is_not_trained_with(rng):
    def longer(params, state, grads):
        moved, state = step(params, state, grads)
        return moved | {"readout": moved["readout"] + 1e-3 * (moved["readout"] - params["readout"])}, state

    params, data = random_params(SPEC, rng), batches(rng)
    with pytest.raises(WrongGradientError, match=r"step 1 of 4 in one program.*group 'readout'") as error:
        replayed(ExactEngine(SPEC, Objective()), momentum, longer, params, zeros(params), *data)
    assert error.value.group == "readout"


@pytest.mark.parametrize("runs", [None, 3])
def test_a_right_loop_passes_and_is_returned(runs, rng):
    params, data = random_params(SPEC, rng), batches(rng, () if runs is None else (runs,))
    if runs:
        params = {group: np.stack([value * k for k in range(runs)]) for group, value in params.items()}
    engine = Spoiled(a_right_one)
    found = replayed(engine, momentum, step, params, zeros(params), *data)
    expected = engine.take_steps(momentum, params, zeros(params), *data)
    for group in params:
        np.testing.assert_array_equal(found.params[group], expected.params[group])


def test_what_diverges_on_both_sides_is_the_trainings_business(rng):
    params, data = random_params(SPEC, rng), batches(rng)
    wild = params | {"bias": np.asarray(1e308)}
    found = replayed(ExactEngine(SPEC, Objective()), momentum, step, wild, zeros(params), *data)
    assert not np.isfinite(found.losses).all()
