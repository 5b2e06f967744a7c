"""A table that a small circuit learns in 240 steps."""

import numpy as np

from qnb.data.prepare import Prepared

SOUND = {"engine": "exact", "wires": 3, "layers": 3, "batch": 64, "epochs": 8, "fixed_num_batches": 30}


def ring(rows=900, seed=0):
    """Three features, uniform as quantile-mapped ones are; the label is a blurred ball in the middle."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(size=(rows, 3))
    u[:2] = [[0.0] * 3, [1.0] * 3]  # training reaches both ends
    score = 0.33 - np.hypot(u[:, 0] - 0.5, u[:, 1] - 0.5) + 0.2 * (u[:, 2] - 0.5) + 0.06 * rng.standard_normal(rows)
    sides = dict(zip(("train", "val", "test"), np.split(np.arange(rows), [rows * 6 // 10, rows * 8 // 10]), strict=True))
    return Prepared(
        {k: np.pi * u[rows] for k, rows in sides.items()},
        {k: (score[rows] > 0).astype(float) for k, rows in sides.items()},
        None,
        {},
    )
