"""Training steps as one compiled program: a loop over the gradient of each batch, the optimiser, and the
norms.

The number of steps is an argument at run time, so that one program takes both the single steps that the gate
checks and the chunks that train.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qnb.core.circuit import groups_of

ROOM = 1 << 24  # bytes of the batches that one call takes, at most
MOST = 256  # steps of one call

Traced = dict[str, jax.Array]  # parameters by group
Gradient = Callable[..., tuple[jax.Array, Traced]]  # (tables, parameters, X, y, w), traced
Update = Callable[..., tuple[Traced, Any]]  # of optax: (gradients, state, parameters) -> (updates, state)


class Steps(NamedTuple):
    """The result of T steps. With S runs, `params`, `optimiser` and `gradient` have an axis of runs in
    front.

    Attributes:
        params, optimiser: parameters and optimiser state after the last step.
        losses: of each batch before its step, (T,) or (T, S).
        norms: L2 norm of each batch's gradient, by group as in `groups_of`, (T, groups) or (T, groups, S).
        gradient: of the last batch.
    """

    params: dict[str, Any]
    optimiser: Any
    losses: Any
    norms: Any
    gradient: dict[str, Any]


def steps_at_once(row_bytes: int, rows: int) -> int:
    """The number of batches that one call has room for: at most MOST, and at most ROOM bytes, but one or
    more.

    Args:
        row_bytes: of a row.
        rows: of a batch, all runs together.
    """
    return max(1, min(MOST, ROOM // (row_bytes * rows)))


def steps_program(gradient: Gradient, update: Update, runs: int | None) -> Callable[..., Steps]:
    """The program (count, tables, params, optimiser, X, y, w) -> Steps, of which the first `count` losses
    and norms count.

    Args:
        gradient: of X (rows, features), y and w (rows,). A batch comes in parts of so many rows, with an
            axis of parts in front, and, with `runs`, one of runs before that.
        update: optax's (gradients, state, parameters) -> (updates, state).
        runs: their number; None: one run, without an axis of its own.
    """
    of_batch = _summed(gradient)
    if runs is not None:
        of_batch, update = jax.vmap(of_batch, (None, 0, 0, 0, 0)), jax.vmap(update)

    def program(
        count: jax.Array,
        tables: Any,
        params: Traced,
        optimiser: Any,
        X: jax.Array,
        y: jax.Array,
        w: jax.Array,
    ) -> Steps:
        def step(k: jax.Array, now: Steps) -> Steps:
            loss, grads = of_batch(tables, now.params, X[k], y[k], w[k])
            updates, state = update(grads, now.optimiser, now.params)
            return Steps(
                {group: now.params[group] + updates[group] for group in now.params},
                state,
                now.losses.at[k].set(loss),
                now.norms.at[k].set(jnp.stack([_norm(grads[group], runs) for group in groups])),
                grads,
            )

        groups = groups_of(params)
        _, like = jax.eval_shape(of_batch, tables, params, X[0], y[0], w[0])
        grads = {group: jnp.zeros(leaf.shape, leaf.dtype) for group, leaf in like.items()}
        of_runs = () if runs is None else (runs,)
        losses, norms = (jnp.zeros((len(y), *shape, *of_runs), y.dtype) for shape in ((), (len(groups),)))
        start = Steps(params, jax.tree.map(jnp.asarray, optimiser), losses, norms, grads)
        taken: Steps = jax.lax.fori_loop(0, count, step, start)
        return taken

    return program


def _summed(gradient: Gradient) -> Gradient:
    def of_parts(
        tables: Any, params: Traced, X: jax.Array, y: jax.Array, w: jax.Array
    ) -> tuple[jax.Array, Traced]:
        def add(k: jax.Array | int, total: tuple[jax.Array, Traced]) -> tuple[jax.Array, Traced]:
            sums: tuple[jax.Array, Traced] = jax.tree.map(
                jnp.add, total, gradient(tables, params, X[k], y[k], w[k])
            )
            return sums

        total: tuple[jax.Array, Traced] = gradient(tables, params, X[0], y[0], w[0])
        return total if len(y) == 1 else jax.lax.fori_loop(1, len(y), add, total)

    return of_parts


def _norm(gradient: jax.Array, runs: int | None) -> jax.Array:
    return jnp.sqrt(
        jnp.sum(jnp.square(gradient), axis=None if runs is None else tuple(range(1, gradient.ndim)))
    )
