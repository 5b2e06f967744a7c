"""Statistics of paired differences: scipy's, and in a few lines what scipy lacks.

d_j is the difference between two arms in seed j, j = 1..J. The t interval keeps differences of zero; the
sign test and Wilcoxon's leave them out.
"""

import math

import numpy as np
from scipy import special, stats

# of the largest value of the metric: differences closer than this are ties, and smaller ones are 0
ROUNDING = 1e-12


def standard_error(sd: float, n: int, ratio: float = 0.0) -> float:
    """Standard error of the mean of n paired differences, sd sqrt(1/n + ratio); NaN for n = 0.

    Args:
        sd: of the differences.
        n: their number.
        ratio: n_test / n_train where every seed draws its own split of one table, so that seeds share rows
            and are not independent (Nadeau and Bengio 2003, Inference for the generalization error, Machine
            Learning 52, 239-281, equation 9); else 0.
    """
    return sd * math.sqrt(1 / n + ratio) if n else math.nan


def t_interval(mean: float, se: float, n: int, level: float) -> tuple[float, float]:
    """The interval of confidence `level`, mean ± t_{(1 + level)/2, n - 1} se, as (low, high); NaN for n
    < 2.
    """
    if n < 2:
        return math.nan, math.nan
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * se
    return mean - half, mean + half


def t_test(mean: float, se: float, n: int) -> float:
    """Two-sided p of mean / se under Student's t with n - 1 degrees of freedom.

    NaN where se is 0 or n < 2.
    """
    return float(2 * special.stdtr(n - 1, -abs(mean) / se)) if n > 1 and se > 0 else math.nan


def tost(mean: float, se: float, n: int, margin: float) -> float:
    """p of two one-sided t tests: the larger of the p values against mean <= -margin and against mean >=
    margin.

    It is below 5 % exactly where the 90 % interval lies inside ±margin (Schuirmann 1987, J. Pharmacokin.
    Biopharm. 15, 657-680). NaN where se is 0 or n < 2.
    """
    return float(special.stdtr(n - 1, (abs(mean) - margin) / se)) if n > 1 and se > 0 else math.nan


def sign_test(differences: np.ndarray) -> tuple[int, int, float]:
    """(number above zero, number below zero, two-sided binomial p); zeros are left out, and p is NaN if
    nothing remains.
    """
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    return up, down, float(stats.binomtest(up, up + down).pvalue) if up + down else math.nan


def tied(differences: np.ndarray) -> bool:
    """Whether absolute differences repeat, zeros aside, so that Wilcoxon's ranks are mid-ranks."""
    sizes = np.abs(differences[differences != 0])
    return len(np.unique(sizes)) < len(sizes)


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided exact p of Wilcoxon's signed-rank test; NaN where all differences are zero.

    Zeros are left out before ranking (Wilcoxon's own rule). Without ties it is scipy's exact distribution.
    That does not hold for tied ranks, so with ties the distribution of the rank sum over all 2^n signs is
    computed, which is exact for the mid-ranks at hand.
    """
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return math.nan
    if not tied(differences):
        return float(stats.wilcoxon(differences[differences != 0], method="exact").pvalue)
    doubled = np.rint(2 * stats.rankdata(sizes)).astype(int)  # mid-ranks are halves
    total = doubled.sum()
    share = np.zeros(total + 1)  # share[k]: of the 2^n sign patterns, those whose positive ranks sum to k / 2
    share[0] = 1
    for rank in doubled:
        share /= 2
        share[rank:] += share[: total + 1 - rank].copy()
    positive = doubled[differences[differences != 0] > 0].sum()
    return float(min(1.0, 2 * share[: min(positive, total - positive) + 1].sum()))


def smallest_p(n: int) -> float:
    """2^(1-n): the smallest two-sided p that the sign test or Wilcoxon's can give over n seeds; 0.0625 for
    five.
    """
    return 2.0 ** (1 - n)


def effect_size(mean: float, sd: float, n: int) -> tuple[float, float]:
    """(d_z, g_z): d_z = mean / sd of the differences, and Hedges' g_z, which corrects its bias.

    g_z = d_z Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)), m = n - 1 (Hedges 1981, J. Educ. Stat. 6, 107-128).
    Both are NaN for n < 2 or sd = 0, and g_z for n = 2.
    """
    if n < 2 or not sd > 0:
        return math.nan, math.nan
    m = n - 1
    factor = math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2) if m > 1 else math.nan
    return mean / sd, factor * mean / sd


def holm(p: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Holm's step-down correction of k two-sided tests (Holm 1979, Scand. J. Statist. 6, 65-70).

    Args:
        p: shape `(k,)`; NaN (no test could be made) counts as 1.
        alpha: family-wise error rate.

    Returns:
        adjusted: `(k,)` p values, rejected where <= alpha; the chance of any false rejection is then at most
            alpha.
        levels: `(k,)` the level alpha / m at which each was decided: m = k, k - 1, ... for those rejected,
            in order of p; for all others the m at which the procedure stopped. An interval of confidence 1 -
            alpha / m excludes 0 exactly where Holm rejects. It belongs to its own decision; the k intervals
            together are not a simultaneous confidence region.
    """
    p = np.where(np.isnan(p), 1.0, p)
    k, order = len(p), np.argsort(p, kind="stable")
    factors = k - np.arange(k)
    stepped = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    rejected = int((stepped <= alpha).sum())
    adjusted, levels = np.empty(k), np.empty(k)
    adjusted[order] = stepped
    levels[order] = alpha / np.where(np.arange(k) < rejected, factors, k - rejected)
    return adjusted, levels
