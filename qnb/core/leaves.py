"""Parameters of the user's own: any pytree of real arrays, as float64 groups and back."""

from typing import Any

import jax
import numpy as np

from qnb.core.circuit import Params
from qnb.core.differences import RELATIVE_TOLERANCE
from qnb.errors import ParameterError


class Tree:
    """Parameters of any structure.

    Attributes:
        start: the leaves that are not empty, as float64 arrays, by name.

    Raises:
        ParameterError: a leaf is complex or not numeric, or all leaves are empty.
    """

    def __init__(self, params: Any):
        paths, self._structure = jax.tree_util.tree_flatten_with_path(params)
        self._leaves = [leaf for _, leaf in paths]
        names = [jax.tree_util.keystr(path, simple=True, separator="/") or "params" for path, _ in paths]
        if len(set(names)) < len(names):  # {"a/b": ..., "a": {"b": ...}}
            names = [jax.tree_util.keystr(path) for path, _ in paths]
        self._names = names
        values = (
            real(leaf, f"Group {name!r} of the parameters")
            for name, leaf in zip(names, self._leaves, strict=True)
        )
        self.start = {name: value for name, value in zip(names, values, strict=True) if value.size}
        if not self.start:
            raise ParameterError("There are no parameters to differentiate: every leaf is empty.")

    def rebuilt(self, groups: Params) -> Any:
        """`groups` in the structure, array types and dtypes of the parameters.

        Integers become floating-point numbers: a loss has no slope along integers.
        """
        leaves = [
            _like(leaf, groups[n]) if n in groups else leaf
            for n, leaf in zip(self._names, self._leaves, strict=True)
        ]
        return jax.tree_util.tree_unflatten(self._structure, leaves)

    def groups_of(self, gradient: Any) -> Params:
        """The leaves of a gradient as float64 arrays, by the names of the parameters' leaves.

        Raises:
            ParameterError: another number of leaves, or a leaf that is complex or not numeric.
        """
        leaves = jax.tree_util.tree_leaves(gradient)
        if len(leaves) != len(self._names):
            raise ParameterError(
                f"The gradient has {len(leaves)} arrays, the parameters have {len(self._names)} "
                f"({', '.join(self._names)}): it needs to be the same pytree."
            )
        named = zip(self._names, leaves, strict=True)
        return {n: real(leaf, f"Group {n!r} of the gradient") for n, leaf in named if n in self.start}


def _like(leaf: Any, values: np.ndarray) -> Any:
    """`values` as `leaf` is: of JAX, of numpy or a subclass of its arrays (PennyLane's), else a float."""
    if isinstance(leaf, jax.Array):
        inexact = jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)
        return jax.numpy.asarray(values, dtype=leaf.dtype if inexact else None)
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
        moved = leaf.copy()  # keeps `requires_grad`
        moved[...] = values
        return moved
    if isinstance(leaf, np.floating):
        return leaf.dtype.type(values)
    return values if np.ndim(leaf) else float(values)


def real(value: Any, name: str) -> np.ndarray:
    """The value as a float64 array; `name` is what messages call it.

    Raises:
        ParameterError: it is complex or not numeric.
    """
    array = np.asarray(value)
    if array.dtype.kind == "c":
        raise ParameterError(
            f"{name} is complex: compare real numbers, the real and the imaginary part apart."
        )
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} needs to be an array of real numbers ({error}).") from None


def coarser_precision(loss: Any, gradient: Any) -> str:
    """The coarser precision of the two, "float32" or "float64"; what is not a floating-point array counts as
    float64.

    Raises:
        ParameterError: one of them is coarser than float32.
    """
    arrays = [np.asarray(loss), *map(np.asarray, jax.tree_util.tree_leaves(gradient))]
    names = {a.dtype.name for a in arrays if a.size and a.dtype.kind in "fV"} - {"longdouble", "float128"}
    coarse = names - set(RELATIVE_TOLERANCE)
    if coarse:
        raise ParameterError(
            f"The loss or its gradient is {', '.join(sorted(coarse))}, in which differences show nothing: "
            "compute both in float32 or float64 for the check."
        )
    return "float32" if "float32" in names else "float64"
