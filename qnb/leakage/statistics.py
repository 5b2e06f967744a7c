"""What the suspicions share: the AUC of a coded column by itself, the null distribution of an AUC, and
paired bootstrap intervals.

Every suspicion keeps the probability of any false alarm among its own k tests at or below `ALPHA`, by
Bonferroni's ALPHA / k.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from qnb.data.values import DataError

ALPHA = 0.01  # chance of a false alarm per suspicion
FOLDS = 2
MIN_ROWS = 20  # of each class, under which AUCs are not compared


def require_rows(y: np.ndarray, where: str) -> None:
    """Raise DataError where one of the classes has fewer than MIN_ROWS rows."""
    counts = np.bincount(y, minlength=2)
    if counts.min() < MIN_ROWS:
        raise DataError(
            f"{where}: {counts.min()} rows of class {int(counts.argmin())}, and AUCs of fewer than "
            f"{MIN_ROWS} rows of a class say nothing. Give more rows (sample=None takes all), or enlarge "
            "test_fraction."
        )


def null_sd(y: np.ndarray) -> float:
    """Standard deviation of the AUC of scores that are independent of y: sqrt((n + 1) / (12 n1 n0)).

    Mann and Whitney 1947 (Ann. Math. Stat. 18, 50-60), without ties; ties make it smaller. NaN if a class is
    missing.

    Args:
        y: labels 0 or 1, `(n,)`.
    """
    n, ones = len(y), int(np.sum(y))
    return float(np.sqrt((n + 1) / (12 * ones * (n - ones)))) if 0 < ones < n else np.nan


def folds(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fold 0 or 1 of each row, at random within each class: y `(N,)` -> int64 `(N,)`."""
    fold = np.zeros(len(y), int)
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        fold[rows] = (np.arange(len(rows)) + rng.integers(FOLDS)) % FOLDS
    return fold


def null_sd_of_mean(y: np.ndarray, fold: np.ndarray) -> float:
    """An upper bound of the standard deviation of the mean of the folds' AUCs under the null: the mean of
    their `null_sd`.

    The folds are not independent, because each is scored by the rates of the other: on pure noise two folds
    agree or disagree together, and their mean varies nearly as much as either. The standard deviation of a
    mean of dependent variables is at most the mean of theirs.

    Args:
        y: `(N,)`, 0 or 1.
        fold: `(N,)`, from `folds`.
    """
    return float(np.mean([null_sd(y[fold == k]) for k in range(FOLDS)]))


class Alone(NamedTuple):
    """AUC of a column by itself, its one-sided p under the null that the column is uninformative, and the
    standard deviation that p assumes (an upper bound).
    """

    auc: float
    p: float
    sd: float


def rate_auc(codes: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Alone:
    """AUC of a column by itself, whatever the shape of its relation to the label, tested against no
    relation.

    The score of a row is the share of positives among the rows of the same code in the other of two folds,
    shrunk towards the overall share with the weight of two rows. Given the other fold these scores are
    fixed, so each fold's AUC has the null of `null_sd`; the mean of both is returned, and compared with
    `null_sd_of_mean`.

    Args:
        codes: from 0, int `(N,)`; rows with the same value share a code.
        y: `(N,)`, 0 or 1.
        rng: draws the folds.

    Returns:
        All NaN where a fold lacks a class.
    """
    fold = folds(y, rng)
    area, sd = folded_auc(codes, y, fold), null_sd_of_mean(y, fold)
    return Alone(area, float(stats.norm.sf((area - 0.5) / sd)), sd)


def folded_auc(codes: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Mean over the folds of the AUC of the scores of `rate_auc`; NaN where a fold lacks a class.

    Args:
        codes, y, fold: `(N,)` each, the last from `folds`.
    """
    size = int(codes.max(initial=-1)) + 1
    counts = np.bincount(codes * 4 + fold * 2 + y, minlength=4 * size).reshape(size, FOLDS, 2)
    of_class = counts.sum(axis=0)
    if not of_class.all():
        return np.nan
    areas = []
    for k in range(FOLDS):
        inside, outside, (zeros, ones) = counts[:, k], counts[:, 1 - k], of_class[1 - k]
        rate = (outside[:, 1] + 2 * ones / (zeros + ones)) / (outside.sum(axis=1) + 2)
        areas.append(_area_of_counts(rate, inside[:, 1], inside[:, 0]))
    return sum(areas) / FOLDS


def _area_of_counts(score: np.ndarray, ones: np.ndarray, zeros: np.ndarray) -> float:
    """AUC where K codes have these scores and these rows of class 1 and 0, all `(K,)`.

    Equal scores count half.
    """
    order = np.argsort(score)
    score = score[order]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    ones, zeros = np.add.reduceat(ones[order], starts), np.add.reduceat(zeros[order], starts)
    return float((ones * (np.cumsum(zeros) - zeros / 2)).sum() / (int(ones.sum()) * int(zeros.sum())))


def bins(values: np.ndarray, limit: int = 64, rows_per_bin: int = 20) -> np.ndarray:
    """Codes for numbers, int `(N,)`: a code for each distinct number if there are no more of them than bins,
    else quantile bins.

    NaN and infinite values share a code of their own.

    Args:
        values: float64 `(N,)`.
        limit, rows_per_bin: at most `limit` bins, and about `rows_per_bin` rows or more in each, but at
            least two bins.
    """
    finite = np.isfinite(values)
    distinct, codes = np.unique(values[finite], return_inverse=True)
    count = min(limit, max(2, len(codes) // rows_per_bin))
    if len(distinct) > count:
        edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, count + 1)[1:-1]))
        codes = np.searchsorted(edges, values[finite], side="right")
    coded = np.zeros(len(values), int)
    coded[finite] = codes + 1
    return coded


def interval(estimate: float, draws: np.ndarray, tests: int = 1) -> tuple[float, float]:
    """estimate ± z sd(draws), with z for a two-sided 1 - ALPHA / tests: a normal interval with the
    bootstrap's standard deviation.

    Args:
        draws: bootstrap draws of the estimate, `(resamples,)`.
        tests: over which ALPHA is divided.
    """
    half = stats.norm.isf(ALPHA / (2 * tests)) * float(np.std(draws, ddof=1))
    return estimate - half, estimate + half
