"""The interval of an AUC, and of the difference of two on the same rows: what another draw of the test rows
could have given.

Where rows are independent it is DeLong's; where they come in groups, whole groups are resampled, for rows of
one group say much the same. The models are held fixed: what another training would give is a question for
seeds.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from qnb.statistics.bootstrap import (
    AUCDifference,
    BootstrapError,
    bootstrap_auc,
    labelled,
    percentiles,
)

MIN_EFFECT = 0.005  # difference in AUC that would matter, where no other is stated
LEVEL, INNER = 0.95, 0.9  # of an interval, and of the one that decides equivalence
FEW = 30  # rows, or groups, of a class: under that many an interval is approximate, and says so
FEWEST_GROUPS = 5  # of a class, under which groups are not resampled
RESAMPLES = 1000


@dataclass(frozen=True)
class AUCInterval:
    """An AUC and where it lies.

    Attributes:
        auc, low, high, level: the estimate, and its interval of that confidence.
        method: "DeLong", "bootstrap of groups", or "exact" where the scores separate the classes.
        units: rows, or groups, that hold class 0 and class 1; a group can hold both.
        few: why the interval is no better than approximate, in words; None where there are FEW or more units
            of each class.
    """

    auc: float
    low: float
    high: float
    level: float
    method: str
    units: tuple[int, int]
    few: str | None

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json: low, high, level, method, units_of_class_0, units_of_class_1."""
        return {
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "method": self.method,
            "units_of_class_0": self.units[0],
            "units_of_class_1": self.units[1],
        }


def auc_interval(
    y: np.ndarray, logits: np.ndarray, groups: np.ndarray | None = None, *, seed: int, level: float = LEVEL
) -> AUCInterval:
    """The AUC of these scores and its interval.

    DeLong's variance on the logit scale, `logit(A) ± z se / (A (1 - A))`, which stays inside 0..1 (Pepe, The
    Statistical Evaluation of Medical Tests, 2003, section 5.2); percentiles of the bootstrap for groups.
    Scores that separate the classes have no spread to estimate: there, of k disjoint pairs of a positive and
    a negative all k are in order, so that `A >= ((1 - level) / 2)^(1/k)` (Clopper and Pearson, Biometrika
    26, 404, 1934).

    Args:
        y: labels 0 or 1, `(N,)`, both present.
        logits: scores of any kind, `(N,)`, the larger the likelier 1.
        groups: one label per row; rows that share one are drawn together. None: rows are independent. With
            fewer than FEWEST_GROUPS groups of a class the interval is over rows, and `few` says so.
        seed: of the resampling.
        level: of confidence.

    Raises:
        BootstrapError: shapes differ, a score is not finite, or a class is missing.
    """
    y, logits = labelled(y, logits, "logits")
    units, few = _units(y, groups)
    by_positive, by_negative = placements(y, logits)
    area = float(by_positive.mean())
    method = "DeLong" if units.by_rows else "bootstrap of groups"
    if area in (0.0, 1.0):
        worst = _least_in_order(units.pairs, level)
        low, high, method = (worst, 1.0, "exact") if area else (0.0, 1 - worst, "exact")
    elif units.by_rows:
        low, high = _on_logit_scale(area, _standard_error(by_positive, by_negative), level)
    else:
        draws = bootstrap_auc([logits], y, np.random.default_rng(seed), groups, RESAMPLES)
        low, high = percentiles(draws[:, 0], level)
    return AUCInterval(area, low, high, level, method, units.of_class, few)


def auc_difference(
    y: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray | None = None, *, seed: int
) -> AUCDifference:
    """AUC(a) - AUC(b) on the same rows, with its 95 % and 90 % intervals, by the rules of `auc_interval`.

    DeLong's paired interval is `d ± z se`, se from the differences of the two scores' placements. Where both
    separate the classes the difference lies within what either may fall short of 1 by.

    Args:
        y: labels 0 or 1, `(N,)`, both present.
        a, b: scores of two models, `(N,)`.
        groups, seed: as in `auc_interval`.

    Raises:
        BootstrapError: as `auc_interval`.
    """
    (y, a), (_, b) = labelled(y, a, "a"), labelled(y, b, "b")
    units, _ = _units(y, groups)
    (pos_a, neg_a), (pos_b, neg_b) = placements(y, a), placements(y, b)
    areas = float(pos_a.mean()), float(pos_b.mean())
    difference, resamples, undefined = areas[0] - areas[1], 0, 0
    if areas[0] == areas[1] and areas[0] in (0.0, 1.0):
        short = [1 - _least_in_order(units.pairs, level) for level in (LEVEL, INNER)]
        outer, inner = ((-s, s) for s in short)
    elif units.by_rows:
        se = _standard_error(pos_a - pos_b, neg_a - neg_b)
        halves = [float(stats.norm.ppf((1 + level) / 2)) * se for level in (LEVEL, INNER)]
        outer, inner = ((max(difference - half, -1.0), min(difference + half, 1.0)) for half in halves)
    else:
        draws = bootstrap_auc([a, b], y, np.random.default_rng(seed), groups, RESAMPLES)
        differences = draws[:, 0] - draws[:, 1]
        outer, inner = percentiles(differences, LEVEL), percentiles(differences, INNER)
        resamples, undefined = len(draws), RESAMPLES - len(draws)
    return AUCDifference(
        difference=difference,
        low=outer[0],
        high=outer[1],
        level=LEVEL,
        interval_90=inner,
        seeds=1,
        units=units.count,
        resamples=resamples,
        undefined=undefined,
    )


def decide(difference: AUCDifference, min_effect: float) -> str:
    """`equivalent`, `above`, `below` or `undecided`, by the rule of `qnb.statistics.compare`.

    Equivalent, which is asked first, where the 90 % interval lies inside ±min_effect; above or below where
    the 95 % interval excludes 0; else undecided.
    """
    low, high = difference.interval_90
    if -min_effect < low and high < min_effect:
        return "equivalent"
    return "above" if difference.low > 0 else "below" if difference.high < 0 else "undecided"


def against(difference: AUCDifference, min_effect: float) -> dict[str, Any]:
    """A difference and its decision, for metrics.json: decision, difference, low, high, low_90, high_90,
    min_effect, units.
    """
    return {
        "decision": decide(difference, min_effect),
        "difference": difference.difference,
        "low": difference.low,
        "high": difference.high,
        "low_90": difference.interval_90[0],
        "high_90": difference.interval_90[1],
        "min_effect": min_effect,
        "units": difference.units,
    }


def placements(y: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components: per positive the share of negatives below it, `(m,)`, and per negative
    the share of positives above it, `(n,)`; ties count half. The mean of either is the AUC.

    From mid-ranks, in N log N (Sun and Xu, IEEE Signal Process. Lett. 21, 1389, 2014): a row's rank among all
    less its rank in its own class is the number of rows of the other class below it.
    """
    positive, ranks = y == 1, stats.rankdata(logits)
    above, below = logits[positive], logits[~positive]
    by_positive = (ranks[positive] - stats.rankdata(above)) / len(below)
    by_negative = 1 - (ranks[~positive] - stats.rankdata(below)) / len(above)
    return by_positive, by_negative


def _standard_error(by_positive: np.ndarray, by_negative: np.ndarray) -> float:
    """sqrt(var(V10) / m + var(V01) / n) (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 837, 1988).

    Infinite where a class has one row.
    """
    if min(len(by_positive), len(by_negative)) < 2:
        return math.inf
    variances = [v.var(ddof=1) / len(v) for v in (by_positive, by_negative)]
    return math.sqrt(sum(variances))


def _on_logit_scale(area: float, se: float, level: float) -> tuple[float, float]:
    half = float(stats.norm.ppf((1 + level) / 2)) * se / (area * (1 - area))
    middle = float(special.logit(area))
    return float(special.expit(middle - half)), float(special.expit(middle + half))


def _least_in_order(pairs: int, level: float) -> float:
    """Clopper and Pearson's lower limit of a probability of which `pairs` of `pairs` trials came true."""
    return float(((1 - level) / 2) ** (1 / pairs)) if pairs else 0.0


@dataclass(frozen=True)
class _Units:
    """What another sample would draw anew, and of which class it holds rows."""

    by_rows: bool
    count: int
    of_class: tuple[int, int]

    @property
    def pairs(self) -> int:
        """Disjoint pairs of a unit with a positive and another with a negative."""
        return min(*self.of_class, self.count // 2)


def _units(y: np.ndarray, groups: np.ndarray | None) -> tuple[_Units, str | None]:
    """Rows or groups, and what is said where there are few of a class."""
    positives = int((y == 1).sum())
    rows = _Units(True, len(y), (len(y) - positives, positives))
    if groups is None:
        return rows, _few(rows, "rows")
    groups = np.asarray(groups)
    if groups.shape != y.shape:
        raise BootstrapError(f"Got {groups.size} group labels for {len(y)} rows.")
    held = tuple(len(np.unique(groups[y == label])) for label in (0, 1))
    grouped = _Units(False, len(np.unique(groups)), (held[0], held[1]))
    if min(held) >= FEWEST_GROUPS:
        return grouped, _few(grouped, "groups")
    return rows, (
        f"{min(held)} groups hold rows of class {held.index(min(held))}: too few to resample, so the "
        "interval is over rows, and too narrow if rows of a group are alike"
    )


def _few(units: _Units, kind: str) -> str | None:
    least = min(units.of_class)
    if least >= FEW:
        return None
    return (
        f"{least} {kind} hold class {units.of_class.index(least)}: under {FEW}, so that the interval is "
        "approximate"
    )
