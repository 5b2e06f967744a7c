import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnb.core import trig

jax.config.update("jax_enable_x64", True)


def test_sine_and_cosine_together(rng):
    x = np.concatenate(
        [rng.uniform(-10, 10, 100_000), rng.uniform(-trig.LARGEST, trig.LARGEST, 100_000), np.pi / 4 * np.arange(-20, 21)]
    )
    for found, expected in zip(trig.sin_cos(jnp.asarray(x)), (np.sin(x), np.cos(x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-16)
    single = x.astype(np.float32)
    for found, expected in zip(
        trig.sin_cos(jnp.asarray(single)), (np.sin(np.float64(single)), np.cos(np.float64(single))), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=2**-25)  # rounded once


@pytest.mark.parametrize("size", [1e7, 1e10, 1e14])
def test_sine_and_cosine_of_large_angles_are_those_of_a_neighbouring_number(size, rng):
    x = rng.uniform(-size, size, 10_000)
    for found, expected in zip(trig.sin_cos(jnp.asarray(x)), (np.sin(x), np.cos(x)), strict=True):
        np.testing.assert_array_less(np.abs(found - expected), np.spacing(np.abs(x)) + 3e-16)
