"""The rows, and the parameters, that steps and forward passes are timed at."""

import numpy as np

from qnb.core.circuit import CircuitSpec, Params


def batch(spec: CircuitSpec, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (rows, features) in [0, pi], labels and unequal weights (rows,)."""
    rng = np.random.default_rng(0)
    return (
        rng.uniform(0, np.pi, (rows, spec.features)),
        rng.integers(0, 2, rows).astype(float),
        rng.uniform(0.5, 1.5, rows),
    )


def params_of(spec: CircuitSpec) -> Params:
    """Away from the initial ones, where gradients are small."""
    rng = np.random.default_rng(spec.wires)
    return {name: value + 0.3 * rng.standard_normal(np.shape(value)) for name, value in spec.init(0).items()}
