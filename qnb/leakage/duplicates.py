"""Suspicion 8: the same row on both sides of a split, so that a model is tested on what it was trained on.

Rows are the same if they agree in every feature after cleaning. They are counted among the rows as the
source writes them: qnb's reader drops exact duplicates of Edge-IIoTset, but other readers may keep them. Two
figures: the AUC on all test rows next to that on test rows not duplicated in training; and, on the test rows
with a twin, how much the twins in training raise the AUC (`seen` against `apart`, as in `splitting`).

Leak if at least SHARE of the test rows are duplicated in training. The share decides and not the AUC: few
twins can move an AUC but little, yet a row that was trained on tests nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from qnb.data.splits import random_split
from qnb.data.values import DataError
from qnb.leakage.raw import Raw
from qnb.leakage.statistics import MIN_ROWS, interval
from qnb.leakage.tabular import boost, matrix
from qnb.leakage.verdict import LeakVerdict, leak_verdict
from qnb.statistics.bootstrap import bootstrap_auc

SHARE = 0.001


@dataclass(frozen=True)
class Twins:
    """The effect of duplicates under a random split of the rows as written, for gradient boosting on the
    features as they are.

    Attributes:
        rows: N.
        repeats: how many of them repeat an earlier row.
        same_label: among the rows that have a twin anywhere, the share whose twins all have the same label
            as they; NaN without any.
        test, both_sides: test rows, and those of them duplicated in training.
        auc, auc_without: on all test rows, and on those not duplicated in training; the second is NaN where
            these lack a class.
        worth: on the test rows with a twin, AUC with the twins in training minus AUC without.
        worth_interval: its interval; NaN, like `worth`, where those rows hold fewer than MIN_ROWS of a
            class.
        dropped_by_reader: whether the reader drops repeats before any split.
    """

    rows: int
    repeats: int
    same_label: float
    test: int
    both_sides: int
    auc: float
    auc_without: float
    worth: float
    worth_interval: tuple[float, float]
    dropped_by_reader: bool

    @property
    def share(self) -> float:
        """Share of the test rows that are duplicated in training."""
        return self.both_sides / self.test


def row_numbers(raw: Raw) -> np.ndarray:
    """A number for each row, equal where all features are equal, int64 `(N,)`."""
    frame = pd.DataFrame({name: raw.columns[name].categories() for name in raw.source.features})
    return pd.factorize(pd.util.hash_pandas_object(frame, index=False))[0]


def examine(raw: Raw, test_fraction: float = 0.2, seed: int = 0) -> Twins:
    """Split the rows as written at random, and examine those that appear in both train and test.

    Args:
        test_fraction: share of the rows in the test; as many are set aside for validation, and not used.
        seed: of the split, of the boosting and of the bootstrap.

    Raises:
        DataError: too few rows of a class to split.
    """
    numbers = row_numbers(raw)
    train, _, test = random_split(raw.y, test_fraction, test_fraction, seed)
    twin = np.isin(numbers[test], numbers[train])
    X, text = matrix(raw.frame())
    with_twins = boost(X[train], raw.y[train], X[test], text, seed)
    auc = roc_auc_score(raw.y[test], with_twins)
    unique = ~twin
    auc_without = (
        roc_auc_score(raw.y[test][unique], with_twins[unique]) if _both(raw.y[test][unique]) else np.nan
    )
    worth, bounds = np.nan, (np.nan, np.nan)
    if np.bincount(raw.y[test][twin], minlength=2).min() >= MIN_ROWS:
        rest = train[~np.isin(numbers[train], numbers[test])]
        apart = boost(X[rest], raw.y[rest], X[test][twin], text, seed)
        y, seen = raw.y[test][twin], with_twins[twin]
        worth = roc_auc_score(y, seen) - roc_auc_score(y, apart)
        draws = bootstrap_auc([seen, apart], y, np.random.default_rng(seed), numbers[test][twin])
        bounds = interval(worth, draws[:, 0] - draws[:, 1])
    counts = np.bincount(numbers)
    ones = np.bincount(numbers, weights=raw.y)
    repeated = counts[numbers] > 1
    pure = ((ones == 0) | (ones == counts))[numbers]
    return Twins(
        rows=len(numbers),
        repeats=len(numbers) - len(counts),
        same_label=float(pure[repeated].mean()) if repeated.any() else np.nan,
        test=len(test),
        both_sides=int(twin.sum()),
        auc=float(auc),
        auc_without=float(auc_without),
        worth=float(worth),
        worth_interval=bounds,
        dropped_by_reader=raw.source.drop_duplicates,
    )


def _both(y: np.ndarray) -> bool:
    return bool(0 < y.sum() < len(y))


def judge_twins(twins: Twins | DataError) -> LeakVerdict:
    """The verdict on duplicates; inconclusive where there are too few rows to split."""
    question = "Do the same rows appear in both train and test of a random split?"
    tolerance = {"share of test rows duplicated in training at least": SHARE}
    if isinstance(twins, DataError):
        return leak_verdict(question, None, False, {}, tolerance, str(twins))
    figures = {
        "rows": twins.rows,
        "repeats": twins.repeats,
        "test rows duplicated in training": twins.both_sides,
        "share of the test rows": twins.share,
        "share of twins with one label": twins.same_label,
        "auc": twins.auc,
        "auc without them": twins.auc_without,
        "worth of twins": twins.worth,
        "interval of the worth": twins.worth_interval,
        "dropped by the reader": twins.dropped_by_reader,
    }
    leak = twins.share >= SHARE
    return leak_verdict(question, leak, not twins.dropped_by_reader, figures, tolerance, _sentence(twins))


def _sentence(twins: Twins) -> str:
    text = (
        f"{twins.repeats:,} of {twins.rows:,} rows repeat another in every feature, {twins.both_sides:,} of "
        f"{twins.test:,} test rows are duplicated in training"
    )
    if twins.share < SHARE:
        return f"{text}."
    reader = "drops repeats before any split" if twins.dropped_by_reader else "keeps repeats of this table"
    areas = f"AUC of boosting {twins.auc:.4f} with these, {twins.auc_without:.4f} without"
    return f"{text}; {areas}. The reader {reader}."
