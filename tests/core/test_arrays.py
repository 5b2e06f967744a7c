import jax
import jax.numpy as jnp
import numpy as np

from qnb.core.arrays import grow, inverse, kron, permute


def test_grow_and_kron():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
    np.testing.assert_allclose(grow([a, b])[:, 1], np.kron(a[:, 1], b[:, 1]), rtol=1e-6)
    np.testing.assert_allclose(kron([a, b]), np.kron(a, b), rtol=1e-6)
    np.testing.assert_allclose(kron([a[None], b[None]])[0], np.kron(a, b), rtol=1e-6)


def test_permute_is_differentiated_by_a_gather():
    there = np.random.default_rng(0).permutation(6).astype(np.int32)
    back, values = inverse(there), np.arange(6.0, dtype=np.float32)
    out, pull = jax.vjp(lambda v: permute(v, there, back), jnp.asarray(values))
    assert (np.asarray(out) == values[there]).all() and (np.asarray(pull(values)[0]) == values[back]).all()
    assert "scatter" not in jax.jit(lambda v: pull(v)).lower(values).as_text()
