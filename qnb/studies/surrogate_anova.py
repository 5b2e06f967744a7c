"""Functional ANOVA of a surrogate, a trigonometric polynomial, and the same polynomial truncated.

Over independent angles, each uniform on its encoded range, a function of n angles is a unique sum of parts
s_A, one for each set A of wires, that are orthogonal to each other, so that Var s = sum_A Var s_A
(Hoeffding, Ann. Math. Stat. 19, 293, 1948; Sobol', Math. Model. Comput. Exp. 1, 407, 1993). The order of
interaction of s_A is the number of wires in A; parts of order 1 are main effects.

1, sin and cos are not orthogonal over half a turn, so a squared C_k is not a variance. With E[f f^T] =
L_i L_i^T (Cholesky) and f = L_i phi on wire i:
    s(x) = sum_k D_k prod_i phi_{k_i}(x_i),    D = C x_1 L_1 ... x_n L_n,
    Var s_A = sum of D_k^2 over all k with k_i > 0 exactly for i in A,
where phi = (1, ...) is orthonormal.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from qnb.training.model_file import ModelError
from qnb.training.surrogate import BASES, Surrogate, along_every_wire, basis
from qnb.training.twin import products

NODES = 64  # of Gauss-Legendre quadrature: exact to rounding for products of two of the functions
NARROW = 0.05  # rad; under it the Gram matrix of `angle_xy` is singular to rounding
CONSTANT = 1e-20  # variance under which a score is constant


@dataclass(frozen=True, eq=False)
class Expansion:
    """A surrogate in a basis that is orthonormal over its encoded range.

    Attributes:
        surrogate: the whole polynomial.
        coefficients: D, `(d,) * n`; the squares of all but the first add up to the score's variance.
        triangles: L_i of each wire, `(n, d, d)`, with f = L_i phi.
    """

    surrogate: Surrogate
    coefficients: np.ndarray
    triangles: np.ndarray

    @property
    def orders(self) -> np.ndarray:
        """The order of interaction of each term, `(d,) * n`."""
        varies = np.minimum(np.arange(self.triangles.shape[-1]), 1)
        first, *others = np.meshgrid(*[varies] * self.coefficients.ndim, indexing="ij", sparse=True)
        return sum(others, start=first)

    @property
    def variance(self) -> float:
        """Variance of the score s over independent, uniform angles."""
        return float(np.sum(self.coefficients.ravel()[1:] ** 2))

    def share_by_order(self) -> np.ndarray:
        """Share of the variance in the parts of each order 1 ... n, `(n,)`."""
        sums = np.bincount(self.orders.ravel(), self.coefficients.ravel() ** 2)
        return sums[1:] / self.variance

    def share_by_wires(self) -> np.ndarray:
        """Share of the variance in each s_A, `(2,) * n`: index 1 at the wires of A; 0 for the mean."""
        parts = self.coefficients**2
        for axis in range(parts.ndim):
            parts = np.add.reduceat(parts, [0, 1], axis=axis)
        parts.flat[0] = 0.0
        return parts / self.variance

    def terms(self) -> np.ndarray:
        """Flat indices of all terms but the constant, (d^n - 1,), by falling variance; ties by index."""
        return 1 + np.argsort(-np.abs(self.coefficients.ravel()[1:]), kind="stable")

    def largest(self, count: int) -> Surrogate:
        """The mean and the `count` terms of most variance: best in mean square of that many terms."""
        keep = np.zeros(self.coefficients.size, bool)
        keep[[0, *self.terms()[:count]]] = True
        return self._kept(keep.reshape(self.coefficients.shape))

    def up_to_order(self, order: int) -> Surrogate:
        """The mean and all parts up to this order of interaction."""
        return self._kept(self.orders <= order)

    def _kept(self, keep: np.ndarray) -> Surrogate:
        cut = np.where(keep, self.coefficients, 0.0)
        return replace(self.surrogate, coefficients=along_every_wire(cut, np.linalg.inv(self.triangles)))

    def columns(self, X: ArrayLike, order: int) -> np.ndarray:
        """All terms but the constant up to this order of interaction, (B, columns), at rows X (B, n) of
        angles in radians.
        """
        f = basis(self.surrogate.encoder, self.surrogate.angles(np.asarray(X)).T)  # (d, n, B)
        phi = np.linalg.solve(self.triangles, f.swapaxes(0, 1))
        return products(phi[:, 1:], order).T


def expand(surrogate: Surrogate) -> Expansion:
    """The expansion over independent angles, each uniform on the range that the feature map encodes into.

    Raises:
        ModelError: the score is constant over that range, or the range of a feature is narrower than NARROW.
    """
    low, high = surrogate.encoded_range()
    i = int(np.argmin(high - low))
    if high[i] - low[i] < NARROW:
        raise ModelError(
            f"Feature {i} lies between {low[i]:g} and {high[i]:g} rad in the training rows: over so narrow a "
            "range sines and cosines cannot be told apart. Rescale it."
        )
    grams = [gram(surrogate.encoder, *bounds) for bounds in zip(low, high, strict=True)]
    triangles = np.linalg.cholesky(np.stack(grams))
    expansion = Expansion(surrogate, along_every_wire(surrogate.coefficients, triangles), triangles)
    if expansion.variance < CONSTANT:
        raise ModelError(
            "The score is constant over the encoded range: there is nothing to take apart. Train the model "
            "further."
        )
    return expansion


def gram(encoder: str, low: float, high: float) -> np.ndarray:
    """E[f f^T], `(d, d)`, for one angle uniform on [low, high] in radians."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    f = basis(encoder, low + (high - low) * (nodes + 1) / 2)
    expected: np.ndarray = (f * weights / 2) @ f.T
    return expected


def formula(expansion: Expansion, count: int) -> pd.DataFrame:
    """The `count` terms of most variance: term, order, coefficient D_k, share of the variance, and the
    shares added up.

    A factor such as `cos x3` stands for phi: cos of the angle of wire 3, less its mean, over its standard
    deviation (for `angle_xy` also less its projection on the functions before it in BASES).
    """
    chosen = expansion.terms()[:count]
    values = expansion.coefficients.ravel()[chosen]
    shares = values**2 / expansion.variance
    table = {
        "term": [term_name(expansion, k) for k in chosen],
        "order": expansion.orders.ravel()[chosen],
        "coefficient": values,
        "share of variance": shares,
        "added up": np.cumsum(shares),
    }
    return pd.DataFrame(table, index=pd.RangeIndex(1, len(chosen) + 1, name="rank"))


def term_name(expansion: Expansion, flat: int) -> str:
    """A term as a product of its factors: `sin x0 · cos x3`."""
    names, indices = BASES[expansion.surrogate.encoder], np.unravel_index(flat, expansion.coefficients.shape)
    return " · ".join(f"{names[k]}{wire}" for wire, k in enumerate(indices) if k) or "1"


def written(expansion: Expansion, count: int) -> str:
    """The model in one line, with its `count` terms of most variance:
    `s(x) = 0.015 − 0.035 cos x0 + …; logit = 15.16 (s + 0.146)`.
    """
    chosen = expansion.terms()[:count]
    terms = [f"{_signed(expansion.coefficients.flat[k])} {term_name(expansion, k)}" for k in chosen]
    rest = " + …" if count < expansion.coefficients.size - 1 else ""
    mean, head = expansion.coefficients.flat[0], expansion.surrogate
    return f"s(x) = {mean:.3f} {' '.join(terms)}{rest}; logit = {head.alpha:.2f} (s {_signed(head.bias)})"


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {abs(value):.3f}"
