"""The rows that steps and forward passes are timed on."""

import numpy as np

from qnb.core.circuit import CircuitSpec


def batch(spec: CircuitSpec, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (rows, features) in [0, pi], labels and unequal weights (rows,)."""
    rng = np.random.default_rng(0)
    return (
        rng.uniform(0, np.pi, (rows, spec.features)),
        rng.integers(0, 2, rows).astype(float),
        rng.uniform(0.5, 1.5, rows),
    )
