"""The optimiser: Adam with decoupled weight decay, a learning-rate schedule, and a multiplier per parameter
group (optax).

Rates, multipliers and decays are arrays in the optimiser's state, so that one compiled step serves every
configuration, and several runs with different configurations at once.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qnb.config import TrainConfig
from qnb.core.circuit import Array, Params
from qnb.core.settings import own_settings


class OptimiserState(NamedTuple):
    """The state of `make_optimiser`'s optimiser.

    Attributes:
        adam: Adam's moments and step count (`optax.scale_by_adam`).
        rates: (R,) the learning rate of each step, padded at the end with the last one.
        multiplier, decay: per parameter group, the factor of the rate and the weight decay.
    """

    adam: optax.OptState
    rates: Array
    multiplier: Mapping[str, Array | np.float64]
    decay: Mapping[str, Array | np.float64]


Update = Callable[..., tuple[dict[str, jax.Array], OptimiserState]]  # of optax: (gradients, state, params)
Step = Callable[[Params, OptimiserState, Params], tuple[dict[str, jax.Array], OptimiserState]]


def schedule(name: str, lr: float, steps: int) -> optax.Schedule:
    """The learning rate as a function of step t, 0 <= t < T.

    `constant`: lr. `cosine`: lr (1 + cos(pi t / T)) / 2 (Loshchilov and Hutter, SGDR, arXiv:1608.03983, eq.
    5, without restarts). `onecycle`: from lr / 25 up to lr at 0.3 T, then down to lr / 250,000, both along
    cosines (Smith and Topin, arXiv:1708.07120; `optax.cosine_onecycle_schedule`).

    Args:
        name: "constant", "cosine" or "onecycle".
        lr: the peak rate.
        steps: T.
    """
    if name == "constant":
        return optax.constant_schedule(lr)
    if name == "cosine":
        return optax.cosine_decay_schedule(lr, steps)
    return optax.cosine_onecycle_schedule(steps, lr)


def make_optimiser(config: TrainConfig, steps: int) -> optax.GradientTransformation:
    """Adam with decoupled weight decay: p -= rate(t) * mult_g * (adam(grad) + decay_g * p) for each group g.

    Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101, algorithm 2; Adam with
    the defaults of `optax.scale_by_adam`. The bias follows the plain rate without decay; `alpha_train=False`
    freezes alpha.

    Args:
        steps: optimiser steps of the whole run, for the schedule.
    """
    rate = schedule(config.lr_schedule, config.lr, steps)
    with own_settings():
        rates = np.asarray(jax.vmap(lambda t: jnp.asarray(rate(t)))(jnp.arange(steps)))
    rates = np.pad(rates, (0, _room(steps) - steps), mode="edge")
    multiplier = {"weights": config.lr_mult_weights, "readout": config.lr_mult_readout, "bias": 1.0}
    multiplier["alpha"] = config.lr_mult_alpha if config.alpha_train else 0.0
    decay = {"weights": config.weight_decay_weights, "readout": config.weight_decay_readout, "bias": 0.0}
    decay["alpha"] = config.weight_decay_alpha
    multiplier["scaling"], decay["scaling"] = config.lr_mult_scaling, config.weight_decay_scaling

    def init(params: Params) -> OptimiserState:
        multipliers, decays = ({g: np.float64(factors[g]) for g in params} for factors in (multiplier, decay))
        with own_settings():
            moments = ADAM.init(params)
        return OptimiserState(moments, rates, multipliers, decays)

    return optax.GradientTransformation(init, _update)


ADAM = optax.scale_by_adam()


def _room(steps: int) -> int:
    """Steps rounded up to 1,024 times a power of four, so that few programs serve trainings of any length."""
    room = 1024
    while room < steps:
        room *= 4
    return room


def _update(
    grads: dict[str, jax.Array], state: OptimiserState, params: dict[str, jax.Array]
) -> tuple[dict[str, jax.Array], OptimiserState]:
    direction, adam = ADAM.update(grads, state.adam)
    rate = state.rates[state.adam.count]
    updates = {g: -rate * state.multiplier[g] * (direction[g] + state.decay[g] * params[g]) for g in params}
    return updates, state._replace(adam=adam)


def make_step(optimiser: optax.GradientTransformation, together: bool = False) -> Step:
    """step(params, state, grads) -> (params, state) in float64, compiled once for all of `make_optimiser`'s.

    With `together`, every array has a leading axis of runs, and all runs take the step at once (`jax.vmap`).
    """
    return _compiled_step(optimiser.update, together)


@functools.lru_cache(maxsize=16)
def _compiled_step(update: Update, together: bool) -> Step:
    def step(
        params: dict[str, jax.Array], state: OptimiserState, grads: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], OptimiserState]:
        updates, state = update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return own_settings()(jax.jit(jax.vmap(step) if together else step))
