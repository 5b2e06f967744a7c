"""The decision on the gain of an intervention.

Gains are validation AUCs after the change minus before, paired by seed, compared by the rule of the
ablations (`qnb.statistics.compare`). A change *matters* if it restores the margin of its component: at least
`min_effect`, and at least a share of the AUC's gap to 1, because 0.01 is much at 0.98 and little at 0.7.
More epochs and more layers nearly always help a little, so their share is larger.

    cleared     the 90 % interval of the gain lies below the margin (equivalent, or worse)
    heals otherwise, if the mean reaches the margin, and Holm's interval lies above 0, or the AUCs after
                the change are above those before by an exact rank test (2.5 % over all changes)
    undecided   otherwise

The rank test covers faults that make training erratic: with a rate that is far too large some seeds end at
0.99 and some at 0.5, so no t interval of five seeds excludes 0, and yet every seed after the change is above
every seed before. Only gains are blamed, so both tests together have level 5 %, one-sided.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qnb.statistics import paired
from qnb.statistics.compare import PairedDifference, compare

Interval = tuple[float, float]
RANKS = 0.025  # level of the rank tests of one family
ENUMERATED = 7  # seeds up to which every way of sharing out the ranks is counted
SUSPECTED = 0.2  # of min_effect: the margin of a component that the run's own history speaks against


@dataclass(frozen=True)
class Gain:
    """The gain in validation AUC by a change.

    Attributes:
        mean, interval: mean of the paired differences, and its 95 % t interval.
        test: mean difference in test AUC.
        margin: the mean gain that would matter.
        decision: heals | cleared | undecided.
        values: the differences by seed.
    """

    mean: float
    interval: Interval
    test: float
    margin: float
    decision: str
    values: tuple[float, ...]


def margin(before: np.ndarray, share: float, min_effect: float, suspected: bool = False) -> float:
    """The gain that would matter.

    Args:
        before: (S,) validation AUCs before the change.
        share: of the AUC's gap to 1.
        suspected: whether the run's history alone speaks against the component: then a small gain is enough,
            because a readout that never moved is a fault however little it costs.
    """
    return SUSPECTED * min_effect if suspected else max(min_effect, share * (1 - float(np.mean(before))))


def rank_test(before: np.ndarray, after: np.ndarray) -> float:
    """One-sided p value of the rank-sum test that the AUCs after are above those before, each (S,).

    Two samples, mid-ranks for ties (Wilcoxon 1945, Biometrics Bulletin 1, 80-83): exact by enumeration up to
    ENUMERATED seeds, above that `scipy.stats.mannwhitneyu`.
    """
    if len(after) > ENUMERATED:
        return float(stats.mannwhitneyu(after, before, alternative="greater").pvalue)
    ranks = stats.rankdata(np.concatenate([after, before]))
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, len(after))])
    return float(np.mean(sums >= ranks[: len(after)].sum() - 1e-9))


def decide(
    before: np.ndarray, after: dict[str, np.ndarray], margins: dict[str, float], test: dict[str, float]
) -> dict[str, Gain]:
    """The gain of each change, decided as one family.

    Args:
        before: (S,) validation AUCs without the change.
        after: by change, validation AUCs (S,) of the same seeds.
        margins, test: by change, the gain that would matter, and the mean difference in test AUC.
    """
    if not after:
        return {}
    comparison = compare({"before": before} | after, "before", min(margins.values()), metric="validation AUC")
    ranks = np.array([rank_test(before, after[name]) for name in comparison.differences])
    adjusted, _ = paired.holm(ranks, RANKS)
    return {
        name: _gain(difference, margins[name], test[name], bool(p <= RANKS))
        for (name, difference), p in zip(comparison.differences.items(), adjusted, strict=True)
    }


def _gain(d: PairedDifference, margin: float, test: float, above: bool) -> Gain:
    upper = d.mean if d.sd == 0 else d.interval_90[1]
    lower = d.mean if d.sd == 0 else d.holm[0]
    if math.isfinite(upper) and upper < margin:
        decision = "cleared"
    elif (lower > 0 or above) and d.mean >= margin:
        decision = "heals"
    else:
        decision = "undecided"
    interval = (d.mean, d.mean) if d.sd == 0 else d.interval
    return Gain(d.mean, interval, test, margin, decision, d.values)
