"""Arms against a reference, paired by seed, ending in a decision by a rule that is stated before the
numbers.

There is one metric per arm and seed; a larger value is better. A seed's difference is arm minus reference in
that seed. `qnb.statistics.words` puts rule and result into words; the arithmetic is in
`qnb.statistics.paired` and `qnb.statistics.power`.
"""

import math
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from qnb.errors import QnbError, nearest
from qnb.files import plain
from qnb.statistics import paired, power

ALPHA = 0.05  # of a whole family of comparisons, and of each equivalence test
TIMING = ("seconds", "samples_per_s")  # columns of a history that differ between two runs of one program


class CompareError(QnbError):
    """Arms cannot be compared as given."""


@dataclass(frozen=True)
class ArmSummary:
    """The metric of one arm: `values` per seed, NaN where the run failed; n, mean and sd of the others."""

    values: tuple[float, ...]
    n: int
    mean: float
    sd: float


@dataclass(frozen=True)
class PairedDifference:
    """One arm minus the reference, seed by seed.

    Intervals are (low, high). NaN stands for what cannot be computed.
    """

    arm: str
    values: tuple[float, ...]  # one per seed; NaN where either run failed
    n: int  # seeds in which both runs ended
    mean: float
    sd: float  # 0 exactly where all differences are one number
    interval: tuple[float, float]  # 95 %, Student's t, seeds independent
    nadeau_bengio: tuple[float, float] | None  # 95 %, where seeds resample the split
    # decides equivalence; Nadeau-Bengio where seeds resample the split, as are holm, p, p_holm and
    # p_equivalent
    interval_90: tuple[float, float]
    holm: tuple[float, float]  # decides better or worse
    holm_confidence: float  # 1 - alpha / m, see `qnb.statistics.paired.holm`
    p: float
    p_holm: float
    p_equivalent: float
    p_wilcoxon: float  # exact
    up: int  # differences above, below and equal to 0
    down: int
    zeros: int
    tied: bool  # sizes of differences repeat, so that Wilcoxon's ranks are mid-ranks
    p_sign: float
    d_z: float
    g_z: float
    # true difference that the rule finds with a power of 80 % at alpha / comparisons, if sd is the true one
    detectable: float
    # mean power at that difference, since sd is an estimate from these seeds, see
    # `qnb.statistics.power.power_of_reported`
    power_estimated: float
    decision: str  # identical | equivalent | better | worse | undecided
    beyond_margin: bool | None  # if better or worse: whether the whole Holm interval is beyond ±min_effect
    correlation: float  # of the two arms' values over seeds; at 0 or below, pairing gains nothing
    seeds_needed: int | None  # of a fresh ablation, where undecided; None also where no number would do

    @property
    def stated(self) -> tuple[float, float]:
        """The 95 % interval of the design: Nadeau-Bengio where seeds resample the split, else Student's t."""
        return self.nadeau_bengio or self.interval


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`."""

    metric: str
    reference: str
    min_effect: float
    seeds: int
    resampled: bool
    ratio: float  # n_test / n_train where seeds resample the split, else 0
    arms: dict[str, ArmSummary]
    differences: dict[str, PairedDifference]  # by arm, without the reference
    identical: tuple[tuple[str, str], ...]  # arms whose histories agree to the last bit in every seed

    def to_dict(self) -> dict[str, Any]:
        """The comparison in JSON's own types; NaN becomes None."""
        plain_types: dict[str, Any] = plain(asdict(self))
        return plain_types


def compare(
    values: dict[str, np.ndarray],
    reference: str,
    min_effect: float,
    *,
    n_train: float | None = None,
    n_test: float | None = None,
    resampled: bool = False,
    histories: dict[str, list[pd.DataFrame | None]] | None = None,
    metric: str = "test AUC",
) -> Comparison:
    """Compare every arm with the reference, paired by seed.

    Args:
        values: per arm one value per seed, shape `(S,)`, the same seeds in the same order; NaN where that
            run failed. Larger is better.
        reference: the arm that the others are compared with.
        min_effect: the smallest difference that would matter, in units of the metric; above 0.
        n_train, n_test: number of training and test rows (groups, where the split keeps groups together),
            mean over seeds; required, and used, only if `resampled`.
        resampled: every seed draws its own split. Then the Nadeau-Bengio variance (1/S + n_test/n_train) s^2
            decides.
        histories: per arm the training histories, seed by seed (None: failed), to find arms that are the
            same program. An arm that is the same program as the reference is `identical`, whatever its
            values.
        metric: its name, kept for figures and words.

    Raises:
        CompareError: no such reference; shapes differ; fewer than two arms or seeds; infinite values;
            min_effect not above 0; n_train or n_test missing; histories of different numbers of seeds.
    """
    values = _checked(values, reference, min_effect)
    ratio = _ratio(n_train, n_test) if resampled else 0.0
    others = [arm for arm in values if arm != reference]
    unit = paired.ROUNDING * max(
        (np.nanmax(np.abs(v)) for v in values.values() if not np.isnan(v).all()), default=0.0
    )
    design = _Design(min_effect, ratio, ALPHA / len(others), unit)
    p = np.array([_p(values[arm] - values[reference], design) for arm in others])
    adjusted, levels = paired.holm(p, ALPHA)
    identical = tuple(identical_arms(histories)) if histories else ()
    twins = {arm for pair in identical if reference in pair for arm in pair}
    return Comparison(
        metric=metric,
        reference=reference,
        min_effect=min_effect,
        seeds=len(values[reference]),
        resampled=resampled,
        ratio=design.ratio,
        arms={arm: ArmSummary(tuple(v.tolist()), *_mean_and_sd(v)) for arm, v in values.items()},
        differences={
            arm: _difference(
                arm, (values[arm], values[reference]), design, float(p_holm), float(level), arm in twins
            )
            for arm, p_holm, level in zip(others, adjusted, levels, strict=True)
        },
        identical=identical,
    )


def _ratio(n_train: float | None, n_test: float | None) -> float:
    if not (n_train and n_test and min(n_train, n_test) > 0):
        raise CompareError(
            "Seeds that resample the split need n_train and n_test for the Nadeau-Bengio interval; got "
            f"{n_train} and {n_test}."
        )
    return n_test / n_train


def _checked(values: dict[str, np.ndarray], reference: str, min_effect: float) -> dict[str, np.ndarray]:
    arrays = {arm: np.asarray(v, dtype=float) for arm, v in values.items()}
    if reference not in arrays:
        raise CompareError(f"reference={reference!r} is no arm. {nearest(reference, arrays)}")
    shapes = {arm: v.shape for arm, v in arrays.items()}
    if (
        len(arrays) < 2
        or len(set(shapes.values())) > 1
        or len(shapes[reference]) != 1
        or shapes[reference][0] < 2
    ):
        raise CompareError(
            "Expected two arms or more, each with one value per seed for the same two seeds or more; got "
            f"shapes {shapes}."
        )
    infinite = [arm for arm, v in arrays.items() if np.isinf(v).any()]
    if infinite:
        raise CompareError(f"Arm {infinite[0]!r} holds infinite values. Give NaN for a run that failed.")
    if not 0 < min_effect < math.inf:
        raise CompareError(
            f"min_effect={min_effect} must be above 0: it is the difference that would matter."
        )
    return arrays


class _Design(NamedTuple):
    """What all comparisons of one ablation share."""

    min_effect: float
    ratio: float  # n_test / n_train where seeds resample the split, else 0
    alpha: float  # of the first Holm step, which each comparison must be able to pass
    unit: float  # differences are told apart down to this


def _mean_and_sd(values: np.ndarray, unit: float = 0.0) -> tuple[int, float, float]:
    """n, mean and sd of what is not NaN; an sd no larger than `unit` is 0."""
    values = values[~np.isnan(values)]
    n = len(values)
    sd = float(values.std(ddof=1)) if n > 1 else math.nan
    return n, float(values.mean()) if n else math.nan, 0.0 if sd <= unit else sd


def _p(values: np.ndarray, design: _Design) -> float:
    n, mean, sd = _mean_and_sd(values, design.unit)
    return paired.t_test(mean, paired.standard_error(sd, n, design.ratio), n)


def _difference(
    arm: str,
    of: tuple[np.ndarray, np.ndarray],
    design: _Design,
    p_holm: float,
    level: float,
    identical: bool,
) -> PairedDifference:
    """`of`: the arm's values and the reference's, (seeds,) each."""
    values = of[0] - of[1]
    n, mean, sd = _mean_and_sd(values, design.unit)
    tested = sd > 0
    se = paired.standard_error(sd, n, design.ratio)
    inner, outer = paired.t_interval(mean, se, n, 1 - 2 * ALPHA), paired.t_interval(mean, se, n, 1 - level)
    decision = "identical" if identical else _decide(mean, sd, n, inner, outer, design.min_effect)
    steps = np.rint(values[~np.isnan(values)] / design.unit) if design.unit else np.zeros(n)
    up, down, p_sign = paired.sign_test(steps)
    d_z, g_z = paired.effect_size(mean, sd, n)
    return PairedDifference(
        arm=arm,
        values=tuple(values.tolist()),
        n=n,
        mean=mean,
        sd=sd,
        interval=paired.t_interval(mean, paired.standard_error(sd, n), n, 1 - ALPHA),
        nadeau_bengio=paired.t_interval(mean, se, n, 1 - ALPHA) if design.ratio else None,
        interval_90=inner,
        holm=outer,
        holm_confidence=1 - level,
        p=paired.t_test(mean, se, n),
        p_holm=p_holm if tested else math.nan,
        p_equivalent=paired.tost(mean, se, n, design.min_effect),
        p_wilcoxon=paired.wilcoxon(steps),
        up=up,
        down=down,
        zeros=n - up - down,
        tied=paired.tied(steps),
        p_sign=p_sign,
        d_z=d_z,
        g_z=g_z,
        detectable=power.detectable_difference(sd, n, design.alpha, design.min_effect, design.ratio),
        power_estimated=power.power_of_reported(sd, n, design.alpha, design.min_effect, design.ratio),
        decision=decision,
        beyond_margin=_beyond_margin(decision, outer, design.min_effect),
        correlation=_correlation(*of, design.unit),
        seeds_needed=power.seeds_needed(design.min_effect, sd, n, design.alpha, design.ratio)
        if tested and decision == "undecided"
        else None,
    )


def _decide(
    mean: float, sd: float, n: int, inner: tuple[float, float], outer: tuple[float, float], min_effect: float
) -> str:
    if n < 2:
        return "undecided"
    if sd == 0:  # no spread, so no test
        return "equivalent" if abs(mean) < min_effect else "undecided"
    if -min_effect < inner[0] and inner[1] < min_effect:
        return "equivalent"
    return "better" if outer[0] > 0 else "worse" if outer[1] < 0 else "undecided"


def _beyond_margin(decision: str, outer: tuple[float, float], min_effect: float) -> bool | None:
    if decision not in ("better", "worse"):
        return None
    return outer[0] > min_effect if decision == "better" else outer[1] < -min_effect


def _correlation(a: np.ndarray, b: np.ndarray, unit: float) -> float:
    """Pearson's, over the seeds that both have; NaN for fewer than three, or without spread."""
    shared = ~(np.isnan(a) | np.isnan(b))
    if shared.sum() < 3 or min(a[shared].std(), b[shared].std()) <= unit:
        return math.nan
    return float(np.corrcoef(a[shared], b[shared])[0, 1])


def identical_arms(histories: dict[str, list[pd.DataFrame | None]]) -> list[tuple[str, str]]:
    """Pairs of arms whose histories agree to the last bit in every seed that both finished, timings aside.

    Two such arms are the same program, whatever their names say: an override had no effect.

    Args:
        histories: per arm one table per seed, the same seeds in the same order; None where the run failed.

    Raises:
        CompareError: the arms have different numbers of seeds.
    """
    if len({len(runs) for runs in histories.values()}) > 1:
        raise CompareError(
            "Histories of different numbers of seeds: "
            f"{ {arm: len(runs) for arm, runs in histories.items()} }."
        )
    pairs = []
    for (a, runs_a), (b, runs_b) in combinations(histories.items(), 2):
        finished = [(x, y) for x, y in zip(runs_a, runs_b, strict=True) if x is not None and y is not None]
        if finished and all(_same(x, y) for x, y in finished):
            pairs.append((a, b))
    return pairs


def _same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    a, b = (table.drop(columns=[c for c in TIMING if c in table]) for table in (a, b))
    return (
        list(a) == list(b)
        and len(a) == len(b)
        and all(_same_column(a[c].to_numpy(), b[c].to_numpy()) for c in a)
    )


def _same_column(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal values, NaN equal to NaN; 1 and 1.0 are equal, text and missing text are not."""
    same = a == b
    return bool((same | (pd.isna(a) & pd.isna(b))).all())
