"""What the gain of an intervention decides.

The gains are validation AUCs after the change minus before, paired by seed, compared by the rule of the
ablations (`qnb.statistics.compare`). A change *matters* where it restores the margin of its component: at
least `min_effect`, and at least a share of what the AUC lacks to 1, for 0.01 is much at 0.98 and little at
0.7. More epochs and more layers nearly always help a little, so theirs is the larger share.

    cleared     the 90 % interval of the gain lies under the margin (equivalent, or worse)
    heals       otherwise, where the mean reaches the margin, and Holm's interval excludes 0, or the AUCs
                after the change stand above those before by an exact rank test (2.5 % over all changes)
    undecided   otherwise

The rank test is there for faults that make a training erratic: with a rate that is far too large some seeds
end at 0.99 and some at 0.5, no t interval of five seeds excludes 0, and yet every seed that is healed stands
above every seed that is not. Only gains are blamed, so that both tests together are made at 5 %, one-sided.
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
    """What a change does to the validation AUC.

    Attributes:
        mean, interval: of the paired differences, with their 95 % t interval.
        test: mean difference in test AUC.
        margin: what the mean must reach to matter.
        decision: heals | cleared | undecided.
        values: by seed.
    """

    mean: float
    interval: Interval
    test: float
    margin: float
    decision: str
    values: tuple[float, ...]


def margin(before: np.ndarray, share: float, min_effect: float, suspected: bool = False) -> float:
    """The gain that matters, where the AUCs before are (S,).

    Args:
        suspected: whether the history speaks against the component by itself: then a small gain is enough,
            for a readout that never moved is at fault however little that costs.
    """
    return SUSPECTED * min_effect if suspected else max(min_effect, share * (1 - float(np.mean(before))))


def rank_test(before: np.ndarray, after: np.ndarray) -> float:
    """One-sided exact p that the AUCs after stand above those before, each (S,), by the sum of their ranks.

    Wilcoxon 1945 (Biometrics Bulletin 1, 80-83), two samples, mid-ranks for ties; above ENUMERATED seeds
    by its normal approximation.
    """
    if len(after) > ENUMERATED:
        return float(stats.mannwhitneyu(after, before, alternative="greater").pvalue)
    ranks = stats.rankdata(np.concatenate([after, before]))
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, len(after))])
    return float(np.mean(sums >= ranks[: len(after)].sum() - 1e-9))


def decide(
    before: np.ndarray, after: dict[str, np.ndarray], margins: dict[str, float], test: dict[str, float]
) -> dict[str, Gain]:
    """A gain for each change, as one family.

    Args:
        before: validation AUCs (S,) without the change.
        after: by change, validation AUCs (S,) of the same seeds.
        margins, test: by change, what the gain must reach, and the mean difference in test AUC.
    """
    if not after:
        return {}
    compared = compare({"before": before} | after, "before", min(margins.values()), metric="validation AUC")
    ranks = np.array([rank_test(before, after[name]) for name in compared.differences])
    adjusted, _ = paired.holm(ranks, RANKS)
    return {
        name: _gain(difference, margins[name], test[name], bool(p <= RANKS))
        for (name, difference), p in zip(compared.differences.items(), adjusted, strict=True)
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
