"""Batches of a small circuit, and an optimiser with a state that must be carried, for tests of many steps as one program."""

import numpy as np

from qnb.core.circuit import CircuitSpec

SPEC, T, ROWS = CircuitSpec(3, 2), 4, 20
RATE, DECAY = 0.3, 0.9


def momentum(grads, state, params):
    """Heavy ball, with a state that must be carried: v = 0.9 v + g, p -= 0.3 v."""
    state = {group: DECAY * state[group] + grads[group] for group in grads}
    return {group: -RATE * state[group] for group in grads}, state


def batches(rng, runs=()):
    shape = (T, *runs, ROWS)
    return rng.uniform(0, 3, (*shape, 3)), rng.integers(0, 2, shape).astype(float), rng.uniform(0.5, 1.5, shape)


def zeros(params):
    return {group: np.zeros(np.shape(value)) for group, value in params.items()}
