import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)  # as make_engine does


@pytest.fixture
def rng():
    return np.random.default_rng(7)
