"""The interval of an AUC, and of the difference of two AUCs on the same rows: how far another sample of test
rows could move it.

Where rows are independent it is DeLong's. Where they come in groups, it is DeLong's with the placements
summed over each group, because rows of one group are correlated. The models are held fixed: the spread
between trainings is measured over seeds.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from qnb.statistics.bootstrap import (
    AUCDifference,
    BootstrapError,
    labelled,
)

MIN_EFFECT = 0.005  # difference in AUC that would matter, where no other is stated
LEVEL, INNER = 0.95, 0.9  # of an interval, and of the one that decides equivalence
FEW = 30  # rows, or groups, of a class: under that many an interval is approximate, and says so
FEWEST_GROUPS = 2  # of a class, under which nothing is known of the spread between groups


@dataclass(frozen=True)
class AUCInterval:
    """An AUC and its confidence interval.

    Attributes:
        auc: the estimate.
        low, high, level: the interval, and its confidence.
        method: "DeLong", "DeLong over groups", or "exact" where the scores separate the classes.
        units: number of rows, or groups, that hold class 0 and class 1; a group can hold both.
        few: why the interval is only approximate, in words; None with FEW or more units of each class.
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
    y: np.ndarray, logits: np.ndarray, groups: np.ndarray | None = None, *, level: float = LEVEL
) -> AUCInterval:
    """The AUC of these scores and its confidence interval.

    DeLong's variance is used on the logit scale, `logit(A) ± z se / (A (1 - A))`, which stays inside 0..1
    (Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2). Over groups see
    `_standard_error`; z is then the quantile of Student's t, with one degree of freedom less than the class
    with fewer groups has groups. Scores that separate the classes have no spread to estimate. There, of k
    disjoint pairs of a positive and a negative, all k are in order, so that `A >= ((1 - level) / 2)^(1/k)`
    (Clopper and Pearson, Biometrika 26, 404, 1934).

    Args:
        y: labels 0 or 1, `(N,)`, both present.
        logits: scores of any kind, `(N,)`; larger means more likely class 1.
        groups: one label per row, `(N,)`; rows that share one belong together. None: rows are independent.
            With fewer than FEWEST_GROUPS groups of a class the interval is over rows, and `few` says so.
        level: confidence of the interval.

    Raises:
        BootstrapError: shapes differ, a score is not finite, labels are not 0 and 1, or a class is missing.
    """
    y, logits = labelled(y, logits, "logits")
    units, few = _units(y, groups)
    by_positive, by_negative = placements(y, logits)
    area = float(by_positive.mean())
    method = "DeLong" if units.of_rows is None else "DeLong over groups"
    if area in (0.0, 1.0):
        worst = _least_in_order(units.pairs, level)
        low, high, method = (worst, 1.0, "exact") if area else (0.0, 1 - worst, "exact")
    else:
        half = units.quantile(level) * _standard_error(y, by_positive, by_negative, units)
        low, high = _on_logit_scale(area, half)
    return AUCInterval(area, low, high, level, method, units.of_class, few)


def auc_difference(
    y: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray | None = None
) -> AUCDifference:
    """AUC(a) - AUC(b) on the same rows, with its 95 % and 90 % intervals, by the rules of `auc_interval`.

    DeLong's paired interval is `d ± z se`, or `d ± t se` over groups, clipped to -1..1, with se from the
    differences of the two scores' placements. Where both AUCs are 1, or both 0, it is ±(1 - c), with c the
    exact lower limit of an AUC of 1.

    Args:
        y: labels 0 or 1, `(N,)`, both present.
        a, b: scores of two models, `(N,)`.
        groups: as in `auc_interval`.

    Raises:
        BootstrapError: as `auc_interval`.
    """
    (y, a), (_, b) = labelled(y, a, "a"), labelled(y, b, "b")
    units, _ = _units(y, groups)
    (pos_a, neg_a), (pos_b, neg_b) = placements(y, a), placements(y, b)
    areas = float(pos_a.mean()), float(pos_b.mean())
    difference = areas[0] - areas[1]
    if areas[0] == areas[1] and areas[0] in (0.0, 1.0):
        margins = [1 - _least_in_order(units.pairs, level) for level in (LEVEL, INNER)]
        outer, inner = ((-s, s) for s in margins)
    else:
        se = _standard_error(y, pos_a - pos_b, neg_a - neg_b, units)
        halves = [units.quantile(level) * se for level in (LEVEL, INNER)]
        outer, inner = ((max(difference - half, -1.0), min(difference + half, 1.0)) for half in halves)
    return AUCDifference(
        difference=difference,
        low=outer[0],
        high=outer[1],
        level=LEVEL,
        interval_90=inner,
        seeds=1,
        units=units.count,
        resamples=0,
        undefined=0,
    )


def decide(difference: AUCDifference, min_effect: float) -> str:
    """`equivalent`, `above`, `below` or `undecided`, by the rule of `qnb.statistics.compare`.

    Equivalent, which is tested first, if the 90 % interval lies inside ±min_effect; above or below if the 95
    % interval excludes 0; else undecided.
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
    """DeLong's structural components: for each of the m positives the share of negatives below it, `(m,)`,
    and for each of the n negatives the share of positives above it, `(n,)`; ties count half. The mean of
    either is the AUC.

    They are computed from mid-ranks in N log N (Sun and Xu, IEEE Signal Process. Lett. 21, 1389, 2014): a
    row's rank among all rows minus its rank in its own class is the number of rows of the other class below
    it.

    Args:
        y: labels 0 or 1, `(N,)`, both present.
        logits: scores, `(N,)`.
    """
    positive, ranks = y == 1, stats.rankdata(logits)
    above, below = logits[positive], logits[~positive]
    by_positive = (ranks[positive] - stats.rankdata(above)) / len(below)
    by_negative = 1 - (ranks[~positive] - stats.rankdata(below)) / len(above)
    return by_positive, by_negative


def _standard_error(
    y: np.ndarray, by_positive: np.ndarray, by_negative: np.ndarray, units: "_Units"
) -> float:
    """Of an AUC, from the placements of its rows, or of a difference, from the differences of two scores'.

    Over rows sqrt(var(V10) / m + var(V01) / n) (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 837, 1988).
    Over G groups sqrt(G / (G - 1) sum_g e_g^2), e_g the sum over the rows of group g of (V10 - A) / m and
    (V01 - A) / n, which holds the covariance of a group's positives and negatives too (Obuchowski, Biometrics
    53, 567, 1997).

    Infinite where a class has one row.
    """
    if min(len(by_positive), len(by_negative)) < 2:
        return math.inf
    if units.of_rows is None:
        return math.sqrt(sum(v.var(ddof=1) / len(v) for v in (by_positive, by_negative)))
    of_rows = np.empty(len(y))
    for label, v in ((1, by_positive), (0, by_negative)):
        of_rows[y == label] = (v - v.mean()) / len(v)
    sums = np.bincount(units.of_rows, of_rows)
    return math.sqrt(units.count / (units.count - 1) * float((sums**2).sum()))


def _on_logit_scale(area: float, half: float) -> tuple[float, float]:
    middle, half = float(special.logit(area)), half / (area * (1 - area))
    return float(special.expit(middle - half)), float(special.expit(middle + half))


def _least_in_order(pairs: int, level: float) -> float:
    """Clopper and Pearson's lower limit of a probability of which `pairs` of `pairs` trials came true."""
    return float(((1 - level) / 2) ** (1 / pairs)) if pairs else 0.0


@dataclass(frozen=True)
class _Units:
    """The units of sampling, and the number of them that hold rows of each class."""

    of_rows: np.ndarray | None  # each row's group (N,), from 0; None: the rows themselves are drawn
    count: int
    of_class: tuple[int, int]

    @property
    def pairs(self) -> int:
        """Disjoint pairs of a unit with a positive and another with a negative."""
        return min(*self.of_class, self.count // 2)

    def quantile(self, level: float) -> float:
        """Half the width of a two-sided interval of that confidence, in standard errors.

        Over groups Student's t with as many degrees of freedom as the class that has fewer groups has, less
        one: over 6 to 100 groups simulated 95 % intervals cover 92 to 100 %.
        """
        share = (1 + level) / 2
        freedom = min(self.of_class) - 1
        return float(stats.norm.ppf(share) if self.of_rows is None else stats.t.ppf(share, freedom))


def _units(y: np.ndarray, groups: np.ndarray | None) -> tuple[_Units, str | None]:
    """Rows or groups, and what is said where there are few of a class."""
    positives = int((y == 1).sum())
    rows = _Units(None, len(y), (len(y) - positives, positives))
    if groups is None:
        return rows, _few(rows, "rows")
    groups = np.asarray(groups)
    if groups.shape != y.shape:
        raise BootstrapError(f"Got {groups.size} group labels for {len(y)} rows.")
    held = tuple(len(np.unique(groups[y == label])) for label in (0, 1))
    names, of_rows = np.unique(groups, return_inverse=True)
    grouped = _Units(of_rows, len(names), (held[0], held[1]))
    if min(held) >= FEWEST_GROUPS:
        return grouped, _few(grouped, "groups")
    return rows, (
        f"one group alone holds rows of class {held.index(min(held))}: nothing is known of the spread "
        "between groups, so the interval is over rows, and too narrow if rows of a group are alike"
    )


def _few(units: _Units, kind: str) -> str | None:
    least = min(units.of_class)
    if least >= FEW:
        return None
    return (
        f"{least} {kind} hold class {units.of_class.index(least)}: under {FEW}, so that the interval is "
        "approximate"
    )
