import numpy as np
import pandas as pd
import pytest
from simulated_arms import BASE

from qnb.statistics.compare import compare


def history(seed, **columns):
    """A training history drawn from `seed`, its timings from nowhere."""
    r = np.random.default_rng(seed)
    table = {"epoch": [1, 2], "train_loss": r.random(2), "val_auc": [r.random(), np.nan], "degen_reason": ["", "flat"]}
    return pd.DataFrame(table | {"seconds": np.random.default_rng().random(2), "samples_per_s": [1.0, 2.0]} | columns)


@pytest.fixture(name="history")
def history_of():
    return history


@pytest.fixture
def identical():
    """Two arms that are one program, compared."""
    runs = {arm: [history(seed) for seed in range(10)] for arm in ("base", "arm")}
    return compare({"base": BASE, "arm": BASE}, "base", 0.005, histories=runs)
