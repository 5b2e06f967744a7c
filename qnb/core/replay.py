"""The gate of a program that takes many steps, because loops are what breaks gradients.

`qnb.core.gate` has checked the gradient of single steps against finite differences of the loss. Here every
step of the program's first chunk is repeated on its own. Each must be the step that the optimiser, compiled
separately, makes of its gradient, and the chunk must end where the single steps end, with the same losses
and gradient norms.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from qnb.core.circuit import Params, groups_of
from qnb.core.engine import TakesSteps
from qnb.core.gate import wrong_gradient
from qnb.core.steps import Steps

# relative to what a step moves, or to the loss or norm: the rounding of float32 in two compilations
TOLERANCE = 1e-4
ROUNDING = 1e-12  # of the parameters, float64

Step = Callable[[Params, Any, Params], tuple[Any, Any]]  # (parameters, state, gradient) -> the next ones


def replayed(
    engine: TakesSteps,
    update: Callable[..., Any],
    step: Step,
    params: Params,
    optimiser: Any,
    X: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
) -> Steps:
    """`engine.take_steps`, with each of its T steps repeated on its own and compared.

    Args:
        update, params, optimiser, X, y, w: as in `qnb.core.engine.TakesSteps.take_steps`.
        step: the optimiser, compiled separately from the engine: (parameters, state, gradient) ->
            (parameters, state).

    Returns:
        The result of `engine.take_steps`.

    Raises:
        WrongGradientError: naming the group and the step.
    """
    whole = engine.take_steps(update, params, optimiser, X, y, w)
    for k in range(len(y)):
        single = engine.take_steps(update, params, optimiser, X[k : k + 1], y[k : k + 1], w[k : k + 1])
        expected, state = step(params, optimiser, single.gradient)
        subject = f"step {k + 1} of {len(y)} in one program on engine {engine.name!r} on {engine.spec}"
        for group in params:
            _require(subject, group, "parameters", single.params[group], expected[group], params[group])
        for leaf, right in zip(jax.tree.leaves(single.optimiser), jax.tree.leaves(state), strict=True):
            _require(subject, "optimiser", "state", leaf, right, 0)
        _require(subject, "loss", "value", whole.losses[k], single.losses[0], 0)
        for place, group in enumerate(groups_of(params)):
            norm = np.sqrt(
                np.sum(
                    np.square(single.gradient[group]),
                    axis=tuple(range(y.ndim - 2, single.gradient[group].ndim)),
                )
            )
            _require(subject, group, "gradient's norm", whole.norms[k, place], norm, 0)
        params, optimiser = single.params, single.optimiser
    for group in params:
        subject = f"{len(y)} steps in one program on engine {engine.name!r} on {engine.spec}"
        _require(subject, group, "parameters", whole.params[group], params[group], params[group])
    for leaf, right in zip(jax.tree.leaves(whole.optimiser), jax.tree.leaves(optimiser), strict=True):
        _require(subject, "optimiser", "state", leaf, right, 0)
    return whole


def _require(subject: str, group: str, what: str, found: Any, right: Any, before: Any) -> None:
    """Raise WrongGradientError where `found` is further from `right` than rounding takes it; what is finite
    on neither side is the training's business.
    """
    found, right = np.asarray(found, np.float64), np.asarray(right, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = TOLERANCE * np.abs(right - before) + ROUNDING * np.maximum(1, np.abs(right))
        same = (np.abs(found - right) <= allowed) | (~np.isfinite(found) & ~np.isfinite(right))
    if not same.all():
        worst = np.unravel_index(np.argmax(~same), same.shape)
        problem = (
            f"its {what} {right[worst]:.9g} was expected from single steps, {found[worst]:.9g} was found"
        )
        raise wrong_gradient(subject, group, problem, float(right[worst]), float(found[worst]))
