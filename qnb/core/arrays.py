"""Products over wires and permutations of their basis: the array operations that the two fast paths of the
exact engine share.

Wire 0 is the most significant digit of a basis index, as in PennyLane. Every function can be traced by JAX,
takes any dtype and keeps it.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def grow(factors: Sequence[jax.Array]) -> jax.Array:
    """The column-wise Kronecker product (Khatri-Rao) of one or more factors (d_i, B) -> (prod_i d_i, B)."""
    return functools.reduce(lambda a, b: (a[:, None] * b[None]).reshape(-1, a.shape[-1]), factors)


def kron(matrices: Sequence[jax.Array]) -> jax.Array:
    """Kronecker product of one or more matrices (..., r_i, c_i) -> (..., prod_i r_i, prod_i c_i)."""

    def pair(a: jax.Array, b: jax.Array) -> jax.Array:
        product = a[..., :, None, :, None] * b[..., None, :, None, :]
        return product.reshape(*a.shape[:-2], a.shape[-2] * b.shape[-2], a.shape[-1] * b.shape[-1])

    return functools.reduce(pair, matrices)


@jax.custom_vjp
def permute(array: ArrayLike, there: ArrayLike, back: ArrayLike) -> jax.Array:
    """array[there] along the first axis: array (N, ...), `there` and its inverse `back` (N,) int.

    With the inverse at hand the reverse pass is a gather too, never a scatter.
    """
    return jnp.asarray(array).at[there].get(mode="promise_in_bounds", unique_indices=True)


def _permute_forward(
    array: ArrayLike, there: ArrayLike, back: ArrayLike
) -> tuple[jax.Array, tuple[ArrayLike, ArrayLike]]:
    return permute(array, there, back), (there, back)


def _permute_backward(
    tables: tuple[ArrayLike, ArrayLike], cotangent: jax.Array
) -> tuple[jax.Array, None, None]:
    there, back = tables
    return permute(cotangent, back, there), None, None


permute.defvjp(_permute_forward, _permute_backward)


def inverse(permutation: np.ndarray) -> np.ndarray:
    """The inverse of a permutation (N,) of 0 ... N - 1, int32 (N,)."""
    back = np.empty(len(permutation), np.int32)
    back[permutation] = np.arange(len(permutation), dtype=np.int32)
    return back
