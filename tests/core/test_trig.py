"""Sine, cosine and the reduction of angles against rational arithmetic: exact where float64 has long lost its digits."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest
from reference import turned

from qnb.core.trig import reduced, sin_cos

MAGNITUDES = [1.0, 6.3, 1e2, 1e4, 1e6, 1e9, 1e16, 1e40, 1e300]


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_reduced_angles_are_the_same_angles(magnitude, rng):
    x = rng.uniform(-magnitude, magnitude, (5, 20))
    found = reduced(x)
    apart = np.array([turned(Fraction(a) - Fraction(b)) for a, b in zip(x.ravel(), found.ravel(), strict=True)])
    assert found.shape == x.shape and np.abs(apart).max() < 1e-15
    near = np.abs(x) <= 2 * math.pi
    np.testing.assert_array_equal(found[near], x[near])
    assert np.all(np.abs(found[~near]) <= math.pi)


def test_infinite_angles_become_nan_without_a_warning():
    found = reduced(np.array([np.inf, -np.inf, np.nan, 0.5]))
    assert np.isnan(found[:3]).all() and found[3] == 0.5


def test_sine_and_cosine_to_the_stated_limit(rng):
    x = rng.uniform(-1e6, 1e6, 1000)
    with jax.experimental.enable_x64():
        sin, cos = (np.asarray(f) for f in sin_cos(jax.numpy.asarray(x)))
    exact = np.array([turned(v) for v in x])
    np.testing.assert_allclose(sin, np.sin(exact), rtol=0, atol=4e-16)
    np.testing.assert_allclose(cos, np.cos(exact), rtol=0, atol=4e-16)
