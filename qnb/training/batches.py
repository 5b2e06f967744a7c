"""Which rows each step sees.

All draws come from one numpy Generator, the child that the run's own has for them.
"""

from collections.abc import Callable, Iterator

import numpy as np


def batches_per_epoch(rows: int, batch: int, fixed: int | None) -> int:
    """`fixed` if given, else the number of full batches in `rows`."""
    return fixed if fixed is not None else rows // batch


def epoch_batches(
    y: np.ndarray, batch: int, count: int, rng: np.random.Generator, pos_frac: float | None = None
) -> Iterator[np.ndarray]:
    """Row indices of the `count` batches of one epoch, each (batch,).

    Without `pos_frac`: consecutive pieces of a random permutation, a new permutation whenever one is used up.
    With it, each batch has round(batch * pos_frac) positives, and positives and negatives are each drawn so,
    from permutations of their own.
    """
    y = np.asarray(y)
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
