"""The optimiser: Adam with decoupled weight decay, a schedule, and a multiplier per parameter group (optax)."""

import jax
import optax


def schedule(name: str, lr: float, steps: int) -> optax.Schedule:
    """Learning rate against step t of T: `constant` lr; `cosine` lr (1 + cos(pi t / T)) / 2 (Loshchilov and Hutter, SGDR, 2017);
    `onecycle` from lr / 25 up to lr at 0.3 T and down to lr / 250,000, along cosines (Smith and Topin, 2018)."""
    if name == "constant":
        return optax.constant_schedule(lr)
    if name == "cosine":
        return optax.cosine_decay_schedule(lr, steps)
    return optax.cosine_onecycle_schedule(steps, lr)


def make_optimiser(config, steps: int) -> optax.GradientTransformation:
    """Per group g: p -= rate(t) * mult_g * (adam(grad) + decay_g * p) (Loshchilov and Hutter, Decoupled Weight Decay, 2019).

    The bias follows the plain rate without decay; `alpha_train=False` freezes alpha.

    Args:
        config: TrainConfig.
        steps: optimiser steps of the whole run, for the schedule.
    """
    rate = schedule(config.lr_schedule, config.lr, steps)

    def group(multiplier=1.0, decay=0.0):
        return optax.chain(
            optax.scale_by_adam(), optax.add_decayed_weights(decay), optax.scale(-multiplier), optax.scale_by_schedule(rate)
        )

    return optax.multi_transform(
        {
            "weights": group(config.lr_mult_weights, config.weight_decay_weights),
            "readout": group(config.lr_mult_readout, config.weight_decay_readout),
            "bias": group(),
            "alpha": group(config.lr_mult_alpha, config.weight_decay_alpha) if config.alpha_train else optax.set_to_zero(),
        },
        {name: name for name in ("weights", "readout", "bias", "alpha")},
    )


def make_step(optimiser):
    """step(params, state, grads) -> (params, state), compiled once."""

    @jax.jit
    def step(params, state, grads):
        updates, state = optimiser.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step
