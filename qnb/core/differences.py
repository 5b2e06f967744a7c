"""Is a gradient the gradient of its loss? Central differences of the loss decide, group by group.

This file needs numpy alone, so you can copy it into a project of your own. `loss` takes a dict of arrays and
returns a number; `gradient` takes the same dict and returns the claimed gradient, an array of the same shape
for each:

    checks = check_groups(loss, gradient, {"weights": w, "bias": b})
    assert all(check.status == "pass" for check in checks.values()), checks

The loss alone is trusted. If it is a mean over few rows, or over equally weighted ones, a wrong gradient can
equal the right one.

Along a unit direction d of a group, <g, d> is compared with the slope f'(0) of f(t) = L(p + t d), for the
direction of the claimed gradient itself and for random directions. D(h) = (f(h) - f(-h)) / 2h differs from
f'(0) by

    truncation   h^2 f'''/6 + ..., removed by extrapolation from h, 2h, 4h, ...; the change made by the last
                 order is taken as its error (Ridders, Adv. Eng. Softw. 4, 75, 1982; Press et al., Numerical
                 Recipes, section 5.7)
    noise / h    where `noise` bounds the error of each value of f

and <g, d> may be off by `rounding`. Let e be the sum of the three, and scale the largest of |<g, d>|,
|f'(0)| and |g| / sqrt(size of the group), the root mean square of <g, d> over random directions d. Then the
two

    agree        if |<g, d> - f'(0)| + e <= tolerance * scale
    disagree     if |<g, d> - f'(0)| - e > tolerance * scale, in two measurements that share no value of the
                 loss and agree with each other
    neither      otherwise: other steps are tried, and then the direction is given up

A group is `wrong` if a direction disagrees, or if its gradient has another shape or is not finite; `pass` if
all directions agree; else `untested`. Where no group is wrong, untested groups are tried again at a random
point.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

RANDOM_DIRECTIONS = 3
RELATIVE_TOLERANCE = {
    "float64": 1e-4,
    "float32": 2e-2,
}  # by the precision of loss and gradient, whichever is coarser
STEPS = 7  # of one direction, at most
APART = 0.7  # of the first step: that of a second measurement, whose steps are none of the first one's

Groups = dict[str, np.ndarray]  # name of the group -> its parameters, or its part of the gradient; any shapes
Loss = Callable[[Groups], float]
Gradient = Callable[[Groups], Mapping[str, np.ndarray]]
Along = Callable[[float], float]  # t -> L(p + t d)


@dataclass(frozen=True)
class Errors:
    """What limits a comparison in one group, along a unit direction.

    Attributes:
        noise: bound on the absolute error of a value of the loss.
        rounding: bound on the absolute error of a claimed derivative that is right.
        step: the first step h.
    """

    noise: float
    rounding: float
    step: float


@dataclass(frozen=True)
class GroupCheck:
    """The result of the comparison for one parameter group.

    Attributes:
        status: "pass", "wrong" or "untested".
        expected: slope by central differences along the direction of the largest scale, taken among those
            that disagree if any do; NaN where nothing could be compared.
        found: the same slope from the claimed gradient.
        relative_error: largest |found - expected| / scale over the directions; None unless `pass`.
        where: "start", or "random point" where nothing could be measured at the start.
        error: e, the bound on the error of `found - expected`; None where it is unknown.
        step: the largest step of the differences behind `expected`; None where nothing could be compared.
        problem: why a gradient could not be compared at all; None where it could.
    """

    status: str
    expected: float
    found: float
    relative_error: float | None
    where: str
    error: float | None = None
    step: float | None = None
    problem: str | None = None


def check_groups(
    loss: Loss,
    gradient: Gradient,
    params: Mapping[str, np.ndarray],
    dtype: str = "float64",
    errors: Callable[[Groups], Mapping[str, Errors]] | None = None,
    seed: int | np.random.Generator = 0,
) -> dict[str, GroupCheck]:
    """Compare a gradient with central differences of its loss.

    Args:
        loss: dict of float64 arrays -> number.
        gradient: the same dict -> dict of arrays of the same shapes.
        params: the point of comparison.
        dtype: the precision of loss and gradient, whichever is coarser: a key of RELATIVE_TOLERANCE.
        errors: the error model at a point, by group; None: `measured_errors`.
        seed: of the random directions and the random point, or a numpy Generator.

    Returns:
        The `GroupCheck` of each group, in the order of `params`.

    Raises:
        KeyError: `dtype` is not in RELATIVE_TOLERANCE, or the gradient lacks a group.
    """
    rng = np.random.default_rng(seed)
    tolerance = RELATIVE_TOLERANCE[dtype]

    def at(point: Groups, names: Iterable[str], where: str) -> dict[str, GroupCheck]:
        model = errors(point) if errors else measured_errors(loss, point, dtype, rng)
        claimed = gradient(point)
        return {
            name: _check_group(loss, point, name, claimed[name], model[name], tolerance, rng, where)
            for name in names
        }

    start = {name: np.asarray(value, dtype=np.float64) for name, value in params.items()}
    checks = at(start, start, "start")
    untested = [name for name, check in checks.items() if check.status == "untested"]
    if untested and all(check.status != "wrong" for check in checks.values()):
        elsewhere = {name: value + rng.normal(size=value.shape) for name, value in start.items()}
        if math.isfinite(loss(elsewhere)):
            checks |= at(elsewhere, untested, "random point")
    return checks


def measured_errors(loss: Loss, params: Groups, dtype: str, rng: np.random.Generator) -> dict[str, Errors]:
    """An error model by group for a loss of which only the precision is known.

    The noise is measured on the loss itself: in the fourth to sixth differences of nine values along a line
    a smooth function vanishes and noise remains (Moré and Wild, SIAM J. Sci. Comput. 33, 1292, 2011). It is
    no less than the last binary digit in use, and no less than 4 eps |L|; infinite where the loss is not
    finite on the line. No rounding is allowed to the claimed derivative: where loss and gradient have the
    same precision, it is more precise than any difference.
    """
    eps = float(np.finfo(dtype).eps)
    lengths = {
        name: max(1.0, float(np.linalg.norm(value)) / math.sqrt(max(value.size, 1)))
        for name, value in params.items()
    }
    along = {name: lengths[name] * _unit(rng.normal(size=value.shape)) for name, value in params.items()}

    def line(spacing: float) -> np.ndarray:
        return np.array(
            [loss({k: v + t * spacing * along[k] for k, v in params.items()}) for t in range(-4, 5)]
        )

    for wider in (
        1,
        30,
        900,
    ):  # differences of zero show no rounding: the line is too short for the loss's digits
        values = line(wider * math.sqrt(eps))
        if np.diff(values, 4).all():
            break
    if not np.isfinite(values).all():
        return {name: Errors(math.inf, 0.0, np.cbrt(eps) * length) for name, length in lengths.items()}
    deviations = []
    for order in (4, 5, 6):
        differences = np.diff(values, order)
        deviations.append(math.sqrt(np.mean(differences**2) / math.comb(2 * order, order)))
    digit = 1 / max(float(value).as_integer_ratio()[1] for value in values)  # the last one that is used
    noise = max(6 * max(deviations), digit, 4 * eps * abs(values[4]))
    return {name: Errors(noise, 0.0, np.cbrt(eps) * length) for name, length in lengths.items()}


@dataclass(frozen=True)
class _Slope:
    """f'(0) by differences, and what it may be off by."""

    value: float
    truncation: float
    noise: float
    step: float


@dataclass(frozen=True)
class _Comparison:
    """A slope against the claimed derivative along one direction."""

    expected: float
    found: float
    error: float
    scale: float
    tolerance: float
    step: float

    @property
    def status(self) -> str:
        gap, allowed = abs(self.found - self.expected), self.tolerance * self.scale
        if gap + self.error <= allowed and self.scale > 0:
            return "agree"
        return "disagree" if gap - self.error > allowed else "neither"


def _check_group(
    loss: Loss,
    params: Groups,
    name: str,
    claimed: np.ndarray,
    errors: Errors,
    tolerance: float,
    rng: np.random.Generator,
    where: str,
) -> GroupCheck:
    claimed = np.asarray(claimed, dtype=np.float64)
    if claimed.shape != params[name].shape:
        return _incomparable(where, f"it has shape {claimed.shape}; {params[name].shape} was expected")
    if not np.isfinite(claimed).all():
        return _incomparable(where, "it holds NaN or inf")
    floor = float(np.linalg.norm(claimed)) / math.sqrt(claimed.size)
    compared = []
    for direction in _directions(claimed, rng):

        def along(t: float, direction: np.ndarray = direction) -> float:
            return loss(params | {name: params[name] + t * direction})

        compared.append(_compare(along, float(np.sum(claimed * direction)), floor, errors, tolerance))
    return _judge(compared, where)


def _incomparable(where: str, problem: str) -> GroupCheck:
    return GroupCheck("wrong", math.nan, math.nan, None, where, problem=problem)


def _directions(claimed: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Unit directions: the claimed gradient's own (unless zero), then random ones. A scalar has just one."""
    if claimed.size == 1:
        return [np.ones(claimed.shape)]
    own = [claimed] if np.linalg.norm(claimed) > 0 else []
    return [_unit(d) for d in own + [rng.normal(size=claimed.shape) for _ in range(RANDOM_DIRECTIONS)]]


def _unit(direction: np.ndarray) -> np.ndarray:
    return np.asarray(direction / np.linalg.norm(direction))


def _compare(along: Along, found: float, floor: float, errors: Errors, tolerance: float) -> _Comparison:
    """One direction, measured twice if it disagrees: both must."""
    first = _measured(along, found, floor, errors, tolerance, errors.step)
    if first.status != "disagree":
        return first
    second = _measured(along, found, floor, errors, tolerance, APART * errors.step)
    confirmed = (
        second.status == "disagree" and abs(first.expected - second.expected) <= first.error + second.error
    )
    return first if confirmed else replace(first, error=abs(first.found - first.expected))


def _measured(
    along: Along, found: float, floor: float, errors: Errors, tolerance: float, step: float
) -> _Comparison:
    """Steps get smaller while truncation is the larger error, larger while noise is, until all is clear."""
    slopes: dict[float, float] = {}
    for h in (step, 2 * step):
        slopes[h] = (along(h) - along(-h)) / (2 * h)
    while True:
        slope = _extrapolate(slopes, errors.noise)
        scale = max(abs(slope.value), abs(found), floor)
        error = slope.truncation + slope.noise + errors.rounding
        comparison = _Comparison(slope.value, found, error, scale, tolerance, slope.step)
        if comparison.status != "neither" or scale == 0 or len(slopes) == STEPS:
            return comparison
        h = min(slopes) / 2 if slope.truncation > slope.noise else 2 * max(slopes)
        slopes[h] = (along(h) - along(-h)) / (2 * h)


def _extrapolate(slopes: Mapping[float, float], noise: float) -> _Slope:
    """Neville's table in h^2 of the slopes at h, 2h, 4h, ...: its entry of the least error."""
    steps = sorted(slopes)
    column = [(slopes[h], noise / h) for h in steps]
    best: _Slope | None = None
    for order in range(1, len(column)):
        finer = 4.0**order
        previous, column = (
            column,
            [
                ((finer * a - b) / (finer - 1), (finer * of_a + of_b) / (finer - 1))
                for (a, of_a), (b, of_b) in pairwise(column)
            ],
        )
        for k, ((value, amplified), (lower, _)) in enumerate(zip(column, previous, strict=False)):
            entry = _Slope(value, abs(value - lower), amplified, steps[k + order])
            if best is None or entry.truncation + entry.noise < best.truncation + best.noise:
                best = entry
    assert best is not None  # two steps at least
    return best


def _judge(compared: list[_Comparison], where: str) -> GroupCheck:
    disagreeing = [c for c in compared if c.status == "disagree"]
    largest = max(disagreeing or compared, key=lambda c: c.scale)
    status = "wrong" if disagreeing else "pass" if all(c.status == "agree" for c in compared) else "untested"
    worst = max(abs(c.found - c.expected) / c.scale for c in compared) if status == "pass" else None
    error = largest.error if math.isfinite(largest.error) else None
    return GroupCheck(status, largest.expected, largest.found, worst, where, error, largest.step)
