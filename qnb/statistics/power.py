"""What a number of seeds can show: detectable differences, and the seeds that a fresh experiment needs.

All of it supposes normal differences whose true standard deviation is the one given. Where that was itself
estimated from a few seeds, so were these figures.
"""

import math
from functools import cache, lru_cache

import numpy as np
from scipy import optimize, special

from qnb.statistics.paired import standard_error

POWER = 0.8
MOST_SEEDS = 100_000


@cache
def _shares() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on 0..1, drawn towards the ends, where quantiles are steep: u =
    10 v^3 - 15 v^4 + 6 v^5.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    v = (nodes + 1) / 2
    return v**3 * (10 - 15 * v + 6 * v**2), weights / 2 * 30 * (v * (1 - v)) ** 2


@lru_cache(maxsize=256)
def _spread(n: int, widest: float = 1.0) -> np.ndarray:
    """Quantiles, at `widest` times the nodes, of the estimated over the true standard deviation of n normal
    values: chi / sqrt(n - 1).
    """
    ratios: np.ndarray = np.sqrt(2 * special.gammaincinv((n - 1) / 2, widest * _shares()[0]) / (n - 1))
    return ratios


def power_of_difference(difference: float, sd: float, n: int, alpha: float, ratio: float = 0.0) -> float:
    """Chance that a two-sided paired t test at level alpha finds a true difference, of either sign.

    P(|T| > t), T noncentral t, as E[Phi(c - t s) + Phi(-c - t s)] over the estimated spread s, c = difference
    / standard error: scipy's own functions (nct, ncf) give NaN for some n and c.

    Args:
        difference, sd: mean and standard deviation of the paired differences.
        n: seeds.
        ratio: n_test / n_train where seeds resample the split, see `qnb.statistics.paired.standard_error`.
    """
    return _two_sided(difference / standard_error(sd, n, ratio), n, alpha)


def _two_sided(noncentrality: float, n: int, alpha: float) -> float:
    beyond = -special.stdtrit(n - 1, alpha / 2) * _spread(n)
    return float(
        _shares()[1] @ (special.ndtr(noncentrality - beyond) + special.ndtr(-noncentrality - beyond))
    )


def detectable_difference(sd: float, n: int, alpha: float, ratio: float = 0.0) -> float:
    """The smallest true difference that n seeds find with a power of 80 %, if sd is the true one.

    NaN for n < 2 or sd = 0.

    Where sd comes from as many seeds itself, the power at what is reported is `power_of_reported`.
    """
    if n < 2 or not sd > 0:
        return math.nan
    return _noncentrality(n, alpha) * standard_error(sd, n, ratio)


@cache
def power_of_reported(n: int, alpha: float) -> float:
    """Power of n seeds at the difference that `detectable_difference` gives for the sd of n earlier seeds,
    the mean over such sds.

    E[power at r times the detectable difference], r the estimated over the true sd: 70 % for 6 seeds, 74 %
    for 10, 78 % for 30 at alpha = 5 %. The split's ratio is in both and cancels. NaN for n < 2.
    """
    if n < 2:
        return math.nan
    found = [_two_sided(_noncentrality(n, alpha) * ratio, n, alpha) for ratio in _spread(n)]
    return float(_shares()[1] @ found)


@cache
def _noncentrality(n: int, alpha: float) -> float:
    high = 10 - 2 * special.stdtrit(n - 1, alpha / 2)
    return float(optimize.brentq(lambda value: _two_sided(value, n, alpha) - POWER, 0, high))


def power_of_equivalence(margin: float, sd: float, n: int, ratio: float = 0.0) -> float:
    """Chance that the 90 % t interval of n seeds lies inside ±margin where the true difference is 0.

    E[2 Phi(c - t s) - 1]+ over the estimated spread s, c = margin / standard error.
    """
    width = margin / standard_error(sd, n, ratio)
    critical = special.stdtrit(n - 1, 0.95)
    # share of the spreads that leave room
    widest = float(special.gammainc((n - 1) / 2, (n - 1) / 2 * (width / critical) ** 2))
    inside = 2 * special.ndtr(np.maximum(width - critical * _spread(n, widest), 0)) - 1
    return float(widest * _shares()[1] @ inside)


def seeds_needed(margin: float, sd: float, alpha: float, ratio: float = 0.0) -> int | None:
    """The fewest seeds of a fresh experiment that decides with a power of 80 % in either clear case.

    That is, a true difference of ±margin is found at level alpha, and a true difference of 0 is called
    equivalent within ±margin. The margin is used, not the difference that was seen: planning on that one asks
    too little of an experiment that had luck.

    Returns:
        None where no number up to 100,000 does: with ratio > 0 the variance of the mean stays above ratio
        sd^2 however many splits are drawn from one table. NaN margins and sd = 0 are refused by the caller.
    """

    def enough(n: int) -> bool:
        return (
            power_of_difference(margin, sd, n, alpha, ratio) >= POWER
            and power_of_equivalence(margin, sd, n, ratio) >= POWER
        )

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
