"""What a number of seeds can show: detectable differences, and the seeds that a fresh experiment needs.

Differences are assumed to be normal. Their true standard deviation is the one given, except where a function
says how it accounts for an estimated one. Powers are those of the rule of `qnb.statistics.compare`, which
tests equivalence first.
"""

import math
from functools import cache, lru_cache

import numpy as np
from scipy import optimize, special

from qnb.statistics.paired import standard_error

POWER = 0.8
CONFIDENCE = 0.8  # that an experiment of `seeds_needed` has that power, its sd being an estimate
MOST_SEEDS = 100_000
FINE, COARSE = 200, 16  # nodes of an integral over the spread, and of one over earlier spreads


@cache
def _shares(nodes: int = FINE) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on 0..1, concentrated towards the ends, where quantiles are steep: u
    = 10 v^3 - 15 v^4 + 6 v^5.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    v = (points + 1) / 2
    return v**3 * (10 - 15 * v + 6 * v**2), weights / 2 * 30 * (v * (1 - v)) ** 2


@lru_cache(maxsize=256)
def _spread(n: int, widest: float = 1.0, nodes: int = FINE) -> np.ndarray:
    """Quantiles, at `widest` times the nodes, of the estimated over the true standard deviation of n normal
    values: chi / sqrt(n - 1).
    """
    ratios: np.ndarray = np.sqrt(2 * special.gammaincinv((n - 1) / 2, widest * _shares(nodes)[0]) / (n - 1))
    return ratios


def power_of_rule(
    difference: float, sd: float, n: int, alpha: float, margin: float, ratio: float = 0.0
) -> float:
    """Probability that the rule of `qnb.statistics.compare` calls a true difference better or worse.

    The mean must lie beyond t_a times its standard error e, and the test that comes first must fail: the 90
    % interval must not lie inside ±margin. So |mean| > max(t_a e, margin - t_90 e), and a true difference
    below the margin is found less and less often as seeds are added. The probability is E[Phi(c - b) +
    Phi(-c - b)] over the estimated spread, with c the difference and b that bound, in true standard errors
    (scipy's noncentral t gives NaN for some n and c).

    Args:
        difference, sd: true mean and standard deviation of the paired differences.
        n: seeds.
        alpha: of the two-sided test.
        margin: `min_effect` of the rule; 0 leaves the t test alone.
        ratio: n_test / n_train where seeds resample the split, see `qnb.statistics.paired.standard_error`.
    """
    se = standard_error(sd, n, ratio)
    return _beyond(difference / se, margin / se, n, alpha)


def _beyond(centre: float, margin: float, n: int, alpha: float) -> float:
    """The chance that the rule finds a difference of `centre`, in standard errors as `margin` is."""
    spread = _spread(n)
    bound = np.maximum(
        -special.stdtrit(n - 1, alpha / 2) * spread, margin - special.stdtrit(n - 1, 0.95) * spread
    )
    return float(_shares()[1] @ (special.ndtr(centre - bound) + special.ndtr(-centre - bound)))


def detectable_difference(sd: float, n: int, alpha: float, margin: float, ratio: float = 0.0) -> float:
    """The smallest true difference that the rule finds over n seeds with a power of 80 %, if sd is the true
    one.

    Where sd is estimated from as many seeds, the power at this difference is `power_of_reported`. NaN for n
    < 2 or sd = 0. The arguments are those of `power_of_rule`.
    """
    if n < 2 or not sd > 0:
        return math.nan
    se = standard_error(sd, n, ratio)
    return _centre(margin / se, n, alpha) * se


def power_of_reported(sd: float, n: int, alpha: float, margin: float, ratio: float = 0.0) -> float:
    """Power of n seeds at the difference that `detectable_difference` reports from the sd of n earlier
    seeds, as the mean over such estimates, where `sd` is the true one.

    At alpha = 5 % and without a margin it is 70 % for 6 seeds, 74 % for 10 and 78 % for 30. NaN for n < 2 or
    sd = 0. The arguments are those of `power_of_rule`.
    """
    if n < 2 or not sd > 0:
        return math.nan
    se = standard_error(sd, n, ratio)
    powers = [
        _beyond(earlier * _centre(margin / se / earlier, n, alpha), margin / se, n, alpha)
        for earlier in _spread(n, nodes=COARSE)
    ]
    return float(_shares(COARSE)[1] @ powers)


def _centre(margin: float, n: int, alpha: float) -> float:
    """The true difference that the rule finds with a power of 80 %, in standard errors as `margin` is."""
    high = 10 - 2 * special.stdtrit(n - 1, alpha / 2) + margin
    return float(optimize.brentq(lambda value: _beyond(value, margin, n, alpha) - POWER, 0, high))


def power_of_equivalence(margin: float, sd: float, n: int, ratio: float = 0.0) -> float:
    """Probability that the 90 % t interval of n seeds lies inside ±margin where the true difference is 0.

    It is E[2 Phi(c - t s) - 1]+ over the estimated spread s, with c = margin / standard error. The arguments
    are those of `power_of_rule`.
    """
    width = margin / standard_error(sd, n, ratio)
    critical = special.stdtrit(n - 1, 0.95)
    # share of the spreads that leave room
    widest = float(special.gammainc((n - 1) / 2, (n - 1) / 2 * (width / critical) ** 2))
    inside = 2 * special.ndtr(np.maximum(width - critical * _spread(n, widest), 0)) - 1
    return float(widest * _shares()[1] @ inside)


def seeds_needed(
    margin: float, sd: float, n: int, alpha: float, ratio: float = 0.0, confidence: float = CONFIDENCE
) -> int | None:
    """The smallest number of seeds of a fresh experiment that decides with a power of 80 % in both clear
    cases.

    That is, the rule finds a true difference of ±margin, and calls a true difference of 0 equivalent within
    ±margin. The margin is used, not the observed difference: planning on that asks too little of an
    experiment that was lucky. For the same reason the upper limit of sd, from the n seeds that it was
    estimated from, is used in place of sd: sd sqrt((n - 1) / chi2_{1 - confidence, n - 1}) (Browne,
    Statistics in Medicine 14, 1933, 1995). The power is met with that confidence.

    Args:
        margin: `min_effect` of the rule, above 0.
        sd: estimated from `n` seeds, above 0; n is 2 or more.
        alpha, ratio: as in `power_of_rule`.
        confidence: that the power is met.

    Returns:
        None where no number up to 100,000 suffices: with ratio > 0 the variance of the mean stays above
            ratio sd^2 however many splits are drawn from one table.
    """
    upper = sd / math.sqrt(2 * special.gammaincinv((n - 1) / 2, 1 - confidence) / (n - 1))

    def enough(count: int) -> bool:
        return (
            power_of_rule(margin, upper, count, alpha, margin, ratio) >= POWER
            and power_of_equivalence(margin, upper, count, ratio) >= POWER
        )

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
