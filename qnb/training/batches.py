"""Which training rows each optimiser step sees.

All draws come from one numpy Generator, a child of the run's own (`qnb.training.state.start`).
"""

from collections.abc import Callable, Iterator

import numpy as np

from qnb.errors import ParameterError


def batches_per_epoch(rows: int, batch: int, fixed: int | None) -> int:
    """`fixed` if given, else the number of full batches that `rows` training rows give."""
    return fixed if fixed is not None else rows // batch


def epoch_batches(
    y: np.ndarray, batch: int, count: int, rng: np.random.Generator, pos_frac: float | None = None
) -> Iterator[np.ndarray]:
    """Row indices of the `count` batches of one epoch, each (batch,).

    Without `pos_frac`, batches are consecutive slices of a random permutation; a new one is drawn whenever
    it is used up. With `pos_frac`, each batch has round(batch * pos_frac) positives, and positives and
    negatives are drawn in the same way from separate permutations.

    Args:
        y: (N,) labels in {0, 1} of the training rows; with `pos_frac` both classes must be present.
        batch: rows per batch.

    Raises:
        ParameterError: a class to draw from has no rows.
    """
    y = np.asarray(y)
    if pos_frac is not None and len(np.unique(y)) < 2:
        raise ParameterError("Balanced batches draw from both classes, and all training rows are of one.")
    if pos_frac is None:
        stream = _stream(np.arange(len(y)), rng)
        for _ in range(count):
            yield stream(batch)
        return
    positives = round(batch * pos_frac)
    draw_pos, draw_neg = _stream(np.flatnonzero(y == 1), rng), _stream(np.flatnonzero(y == 0), rng)
    for _ in range(count):
        yield np.concatenate([draw_pos(positives), draw_neg(batch - positives)])


def _stream(rows: np.ndarray, rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    left = np.empty(0, dtype=int)

    def draw(size: int) -> np.ndarray:
        nonlocal left
        while len(left) < size:
            left = np.concatenate([left, rng.permutation(rows)])
        drawn, left = left[:size], left[size:]
        return drawn

    return draw
