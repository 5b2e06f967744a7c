"""The uncertainty of a difference of two AUCs, by resampling rows (or groups) and seeds.

Percentile bootstrap, with intervals that are expanded for few units (`expanded`). A resample is a weight per
row, so that every score is sorted once and an AUC costs one pass over the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qnb.errors import QnbError

MOST_UNDEFINED = 0.05  # share of resamples without both classes that is still accepted

# one array for each seed; of labels and groups also one (N,) for all
PerSeed = np.ndarray | Sequence[np.ndarray]


class BootstrapError(QnbError):
    """Scores and labels do not match, or there are too few rows of a class to resample."""


@dataclass(frozen=True)
class AUCDifference:
    """AUC(a) - AUC(b), mean over seeds, and its interval at `level`: from percentiles where it was
    resampled, else DeLong's.
    """

    difference: float
    low: float
    high: float
    level: float
    interval_90: tuple[float, float]  # decides equivalence: two one-sided tests at 5 %
    seeds: int
    units: int  # rows or groups, the units of resampling
    resamples: int  # with both classes; 0: the interval is DeLong's
    undefined: int  # resamples left out because they lack a class


def auc_difference_interval(
    y: np.ndarray,
    logits_a: np.ndarray,
    logits_b: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> AUCDifference:
    """Bootstrap interval of AUC(a) - AUC(b) on the same rows: how far another sample of rows could move it.

    Args:
        y: labels 0 or 1, shape `(N,)`.
        logits_a, logits_b: shape `(N,)`, of two models that are held fixed.
        groups: one label per row; rows that share one are drawn together. None: rows are independent.
        seed: of the resampling.
        resamples: their number.
        level: confidence of the interval.

    Raises:
        BootstrapError: shapes differ, a score is not finite, a class is missing, or more than 5 % of the
            resamples lack one.
    """
    return seeds_and_rows_interval(
        y, [logits_a], [logits_b], groups, seed=seed, resamples=resamples, level=level
    )


def seeds_and_rows_interval(
    y: PerSeed,
    logits_a: PerSeed,
    logits_b: PerSeed,
    groups: PerSeed | None = None,
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> AUCDifference:
    """Bootstrap interval of the mean over S seeds of AUC(a) - AUC(b): how far other rows and other seeds
    could move it.

    Rows and seeds are crossed where seeds share rows, so each resample draws units once for all seeds, and
    seeds with replacement on top (the pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics 1,
    386-411; it errs towards wide intervals).

    Args:
        y: labels, `(N,)` where all seeds have the same test rows; else a list of S arrays.
        logits_a, logits_b: per seed, `(S, N)` or a list of S arrays.
        groups: labels of what is resampled together, shaped like `y`. A label that occurs in the rows of two
            seeds is one unit, drawn for both. Where seeds have rows of their own that come from one table,
            give row numbers here; None treats all of them as different rows. (The noise of a seed's own rows
            is then counted twice, in the spread of seeds and in that of rows: the interval is wider still.)
        seed: of the resampling.
        resamples: their number.
        level: confidence of the interval.

    Raises:
        BootstrapError: as `auc_difference_interval`; or the numbers of seeds differ.
    """
    labels, a, b = _per_seed(y, len(logits_a)), list(logits_a), list(logits_b)
    if not len(labels) == len(a) == len(b):
        raise BootstrapError(
            f"Got labels for {len(labels)} seeds, logits_a for {len(a)} and logits_b for {len(b)}."
        )
    units, count = _units(y, labels, groups)
    pairs = [
        (Ranked(y, a, "logits_a"), Ranked(y, b, "logits_b")) for y, a, b in zip(labels, a, b, strict=True)
    ]
    observed = np.mean([ranked_a.auc(1.0) - ranked_b.auc(1.0) for ranked_a, ranked_b in pairs])
    rng = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for r in range(resamples):
        weights = np.bincount(rng.integers(0, count, count), minlength=count).astype(float)
        times = np.bincount(rng.integers(0, len(pairs), len(pairs)), minlength=len(pairs))
        differences = [
            n * (pairs[s][0].auc(weights[units[s]]) - pairs[s][1].auc(weights[units[s]]))
            for s, n in enumerate(times)
            if n
        ]
        drawn[r] = sum(differences) / len(pairs)
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < (1 - MOST_UNDEFINED) * resamples:
        raise BootstrapError(
            f"{resamples - len(defined)} of {resamples} resamples of {count} units lack a class: too few "
            "units of one class for an interval."
        )
    fewer = min(len(_held(labels, units, label)) for label in (0, 1))
    outer, inner = (
        expanded(float(observed), defined, confidence, count, fewer - 1) for confidence in (level, 0.9)
    )
    return AUCDifference(
        difference=float(observed),
        low=outer[0],
        high=outer[1],
        level=level,
        interval_90=inner,
        seeds=len(pairs),
        units=count,
        resamples=len(defined),
        undefined=resamples - len(defined),
    )


def bootstrap_auc(
    scores: Sequence[np.ndarray],
    y: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
    resamples: int = 200,
) -> np.ndarray:
    """AUCs of m sets of scores on the same bootstrap resamples of the rows, so that their differences are
    paired.

    Args:
        scores: m arrays `(N,)`.
        y: `(N,)`, 0 or 1.
        rng: draws the resamples.
        clusters: `(N,)`; whole clusters are drawn instead of rows, for rows that belong together.
        resamples: 200 suffice for a standard deviation; percentiles take a thousand.

    Returns:
        `(resamples, m)`, without the resamples that lost a class.

    Raises:
        BootstrapError: shapes differ, a class is missing, or a score is not finite.
    """
    ranked = [Ranked(y, s, "scores") for s in scores]
    unit = np.arange(len(y)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    count, drawn = int(unit.max()) + 1, np.empty((resamples, len(ranked)))
    for r in range(resamples):
        weights = np.bincount(rng.integers(0, count, count), minlength=count).astype(float)[unit]
        drawn[r] = [one.auc(weights) for one in ranked]
    return drawn[np.isfinite(drawn).all(axis=1)]


def percentiles(draws: np.ndarray, level: float) -> tuple[float, float]:
    """The interval (low, high) that holds the middle share `level` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def expanded(
    estimate: float, draws: np.ndarray, level: float, units: int, freedom: int
) -> tuple[float, float]:
    """The percentile interval of a difference of two AUCs, expanded around the estimate by the ratio of
    Student's interval to a normal one with the spread of the draws, sqrt(G / (G - 1)) t / z, and clipped to
    -1..1.

    Over few groups percentiles are too narrow for two reasons: draws with replacement have (G - 1) / G of
    the variance, and the spread is itself an estimate (Hesterberg, American Statistician 69, 371, 2015,
    section 4.3). With one unit nothing is known of the spread, and the interval is (-1, 1).

    Args:
        estimate: the difference on all rows.
        draws: of the difference, `(resamples,)`.
        level: confidence of the interval.
        units: G, rows or groups.
        freedom: degrees of freedom, 1 at least; over groups, one less than the class with fewer groups has.
    """
    if units < 2:
        return -1.0, 1.0  # nothing is known of the spread between units
    share, freedom = (1 + level) / 2, max(freedom, 1)
    factor = np.sqrt(units / (units - 1)) * stats.t.ppf(share, freedom) / stats.norm.ppf(share)
    low, high = (estimate + factor * (bound - estimate) for bound in percentiles(draws, level))
    return max(float(low), -1.0), min(float(high), 1.0)


def _held(labels: list[np.ndarray], units: list[np.ndarray], label: int) -> np.ndarray:
    """Numbers of the units that hold rows of a class, in any seed."""
    return np.unique(np.concatenate([u[y == label] for y, u in zip(labels, units, strict=True)]))


def _per_seed(values: PerSeed, seeds: int) -> list[np.ndarray]:
    """One array per seed: `values` itself where all seeds share it."""
    shared = np.ndim(values[0]) == 0
    return [np.asarray(values)] * seeds if shared else [np.asarray(v) for v in values]


def _units(y: PerSeed, labels: list[np.ndarray], groups: PerSeed | None) -> tuple[list[np.ndarray], int]:
    """Per seed the number of each row's unit, and how many units there are in all."""
    if groups is None:
        shared = np.ndim(y[0]) == 0
        starts = np.zeros(len(labels), int) if shared else np.cumsum([0] + [len(v) for v in labels[:-1]])
        units = [start + np.arange(len(v)) for start, v in zip(starts, labels, strict=True)]
        return units, int(units[-1][-1]) + 1
    groups = _per_seed(groups, len(labels))
    if [len(g) for g in groups] != [len(v) for v in labels]:
        raise BootstrapError(
            f"Got {[len(g) for g in groups]} group labels for {[len(v) for v in labels]} rows."
        )
    names, numbers = np.unique(np.concatenate(groups), return_inverse=True)
    return np.split(numbers, np.cumsum([len(g) for g in groups])[:-1]), len(names)


def labelled(y: np.ndarray, logits: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores as arrays `(N,)`, checked; `name` is what messages call the scores.

    Raises:
        BootstrapError: shapes differ or are not `(N,)`, a score is not finite, labels are not 0 and 1, or a
            class is missing.
    """
    y, logits = np.asarray(y), np.asarray(logits, dtype=float)
    if y.shape != logits.shape or y.ndim != 1:
        raise BootstrapError(f"{name} has shape {logits.shape} for labels of shape {y.shape}.")
    if not np.isfinite(logits).all():
        raise BootstrapError(f"{name} holds values that are not finite.")
    if set(np.unique(y)) != {0, 1}:
        raise BootstrapError(f"Labels must be 0 and 1, both present; got {np.unique(y)[:5]}.")
    return y, logits


class Ranked:
    """The scores of one model, sorted once, so that the AUC under any row weights is one pass.

    Args:
        y: labels 0 or 1, `(N,)`.
        logits: scores of any kind, `(N,)`; larger means more likely class 1.
        name: what messages call the scores.

    Raises:
        BootstrapError: as `labelled`.
    """

    def __init__(self, y: np.ndarray, logits: np.ndarray, name: str):
        y, logits = labelled(y, logits, name)
        self.order = np.argsort(logits, kind="stable")
        ordered = logits[self.order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        # of each run of equal scores; None: no ties
        self.starts = None if len(starts) == len(ordered) else starts
        self.positive = y[self.order].astype(float)

    def auc(self, weights: np.ndarray | float) -> float:
        """P(l_pos > l_neg) + P(l_pos = l_neg) / 2 under row weights `(N,)`, or one weight for all rows.

        NaN where a class has no weight.
        """
        weights = (
            weights[self.order] if isinstance(weights, np.ndarray) else np.full(len(self.order), weights)
        )
        positive = weights * self.positive
        negative = weights - positive
        if self.starts is not None:
            positive, negative = (
                np.add.reduceat(positive, self.starts),
                np.add.reduceat(negative, self.starts),
            )
        below = np.cumsum(negative)
        pairs = positive.sum() * below[-1]
        # the sum of a product, not `@`: BLAS splits a long one over threads, which wait for each other on a
        # busy machine, and 0.1 ms becomes 10
        return float((positive * (below - negative / 2)).sum() / pairs) if pairs else float("nan")
