"""A training of one wire on one feature, small enough to be watched step by step."""

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import Prepared


@pytest.fixture(scope="session")
def config():
    return TrainConfig(wires=1, layers=1, measurement="z0", batch=40, lr=0.1)


@pytest.fixture(scope="session")
def prepared():
    """One feature: 80 % positives, and cos(x) ranks them well (AUC about 0.9)."""
    rng = np.random.default_rng(5)
    y = (rng.uniform(size=400) < 0.8).astype(float)
    x = np.clip(rng.normal(np.where(y == 1, 1.2, 2.0), 0.4), 0, np.pi)[:, None]
    return Prepared(
        {"train": x[:200], "val": x[200:], "test": x[:0]}, {"train": y[:200], "val": y[200:], "test": y[:0]}, None, {}
    )
