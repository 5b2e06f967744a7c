"""Training, validation and test rows. One function per rule, found by name in `SPLITS`.

Only the stratified random split lives here so far. A rule takes the whole table and the configuration, so that rules by group, by
time and by attack type can use `table.groups` and `table.attack`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from qnb.config import TrainConfig, nearest
from qnb.data import Table
from qnb.values import DataError


class Split(NamedTuple):
    """Row numbers of the three sides, each a sorted int64 array; together they are 0..N-1, each once."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def random_split(y: np.ndarray, val_fraction: float, test_fraction: float, seed: int) -> Split:
    """Stratified random split: each side has the class proportions of the whole, up to rounding.

    Args:
        y: labels 0 or 1, shape `(N,)`.
        val_fraction, test_fraction: shares of the N rows; the rest trains.
        seed: of the shuffle; the same seed gives the same split.

    Raises:
        DataError: a side would be empty or miss a class; the message gives the counts.
    """
    y = np.asarray(y)
    sizes = {"validation": round(len(y) * val_fraction), "test": round(len(y) * test_fraction)}
    sizes["training"] = len(y) - sum(sizes.values())
    counts = np.bincount(y, minlength=2)
    if min(sizes.values()) < 2 or min(counts) < 3:
        raise DataError(
            f"{len(y)} rows ({counts[0]} of class 0, {counts[1]} of class 1) cannot be split into "
            f"{sizes['training']} training, {sizes['validation']} validation and {sizes['test']} test rows with both classes on "
            "each side. Give more rows (sample=None takes all), or change val_fraction and test_fraction."
        )
    rows = np.arange(len(y))
    rest, test = train_test_split(rows, test_size=sizes["test"], stratify=y, random_state=seed)
    train, val = train_test_split(rest, test_size=sizes["validation"], stratify=y[rest], random_state=seed)
    return check_split(Split(*(np.sort(side) for side in (train, val, test))), y)


def check_split(split: Split, y: np.ndarray) -> Split:
    """The same split, once every side is known to hold both classes.

    Raises:
        DataError: naming the side and the class that it lacks.
    """
    for name, side in zip(("training", "validation", "test"), split, strict=True):
        counts = np.bincount(y[side], minlength=2)
        if not counts.all():
            raise DataError(
                f"The {name} side of the split has {len(side)} rows and none of class {int(counts.argmin())}. "
                "Give more rows (sample=None takes all), enlarge val_fraction or test_fraction, or use another split_seed."
            )
    return split


def _random(table: Table, config: TrainConfig) -> Split:
    return random_split(table.y, config.val_fraction, config.test_fraction, config.split_seed)


SPLITS: dict[str, Callable[[Table, TrainConfig], Split]] = {"random": _random}


def split_table(table: Table, config: TrainConfig) -> Split:
    """Split `table` by the rule named in `config.split`.

    Raises:
        DataError: no such rule, or the rule cannot keep both classes on every side.
    """
    if config.split not in SPLITS:
        raise DataError(f"split={config.split!r} is not a rule for splitting. {nearest(config.split, SPLITS)}")
    return SPLITS[config.split](table, config)
