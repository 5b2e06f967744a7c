"""Samples per second: seconds of the first and of later calls of each contender, and why the others failed.

To measure an engine made by hand, add it: `CONTENDERS[name] = Contender(make)`.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from threadpoolctl import ThreadpoolController

from qnb.config import CircuitConfig, Device
from qnb.core.child import child
from qnb.core.circuit import CircuitSpec
from qnb.core.objective import Objective
from qnb.errors import QnbError
from qnb.probes.contenders import CATALYST, CONTENDERS, EXACT, Way
from qnb.probes.formulations import telling
from qnb.probes.subject import ProbeConfig
from qnb.reporting.verdict import INCONCLUSIVE, Verdict, answer, unanimous

KINDS = ("forward", "gradient")
FAILURES = (QnbError, NotImplementedError)  # of a contender that cannot do what it is asked


class ThroughputConfig(ProbeConfig, CircuitConfig):
    """throughput.ipynb."""

    device: Device = "lightning.qubit"
    repeats: Annotated[int, Field(ge=3)] = 5
    """timings of which the median is taken; a slow call is repeated less"""
    seconds: Annotated[float, Field(gt=0)] = 0.4
    """after which a timing is not repeated further"""
    quick: bool = True
    """False: more sizes, the ways that compile for minutes, and five times the seconds"""


@dataclass(frozen=True)
class Grid:
    """The sizes that are measured.

    Attributes:
        batches: batch sizes (rows) of `by_batch`.
        wires, layers: circuits of `by_shape`: the circuit under test with one of the two changed.
        rows: the batch size of `by_shape`.
        thread_wires: circuits of `by_threads`.
    """

    batches: tuple[int, ...]
    wires: tuple[int, ...]
    layers: tuple[int, ...]
    rows: int
    thread_wires: tuple[int, ...]

    def shapes(self, spec: CircuitSpec) -> list[CircuitSpec]:
        """The circuits of `by_shape`."""
        return [replace(spec, wires=n) for n in self.wires] + [replace(spec, layers=n) for n in self.layers]


QUICK = Grid(batches=(1, 16, 256), wires=(4, 6, 8), layers=(), rows=64, thread_wires=(4, 8, 12))
FULL = Grid(
    batches=(1, 16, 256, 1024, 4096),
    wires=(4, 6, 8, 10, 12),
    layers=(1, 2, 6, 12),
    rows=256,
    thread_wires=(4, 6, 8, 10, 12, 14, 16),
)


@dataclass(frozen=True)
class Timing:
    """The times of one contender at one size.

    Attributes:
        name: a key of CONTENDERS.
        kind: "forward" or "gradient".
        wires, layers, rows: of the circuit and the batch.
        threads: of OpenMP.
        first: seconds of the first call, compilation included; None if it failed.
        seconds: of the later calls.
        failure: the message, if it could not be run.
    """

    name: str
    kind: str
    wires: int
    layers: int
    rows: int
    threads: int | None = None
    first: float | None = None
    seconds: tuple[float, ...] = ()
    failure: str = ""

    @property
    def median(self) -> float | None:
        """Median of `seconds`; None without any."""
        return float(np.median(self.seconds)) if self.seconds else None

    @property
    def compile(self) -> float | None:
        """Compile time: seconds of the first call minus the median, at least 0; None without times."""
        return None if self.first is None or self.median is None else max(self.first - self.median, 0.0)

    @property
    def took(self) -> float:
        """The median of `seconds`, for a timing that was measured.

        Raises:
            ValueError: it was not.
        """
        if self.median is None:
            raise ValueError(f"{self.name}, {self.kind}, {self.rows} rows was not measured: {self.failure}")
        return self.median

    @property
    def rate(self) -> float:
        """Rows per second, by the median, for a timing that was measured; raises as `took`."""
        return self.rows / self.took


def timed(call: Callable[[], object], repeats: int, seconds: float) -> tuple[float, tuple[float, ...]]:
    """(seconds of the first call, seconds of the later ones): at least one later call and at most `repeats`,
    no further one started after `seconds`.
    """
    started = time.perf_counter()
    call()
    first, begun = time.perf_counter() - started, time.perf_counter()
    later: list[float] = []
    while not later or (len(later) < repeats and time.perf_counter() - begun < seconds):
        started = time.perf_counter()
        call()
        later.append(time.perf_counter() - started)
    return first, tuple(later)


def batch(spec: CircuitSpec, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random X (rows, features) in [0, pi], labels (rows,), and weights (rows,) in [0.5, 1.5]."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(0, np.pi, (rows, spec.features)),
        rng.integers(0, 2, rows).astype(float),
        rng.uniform(0.5, 1.5, rows),
    )


def call_of(contender: Way, kind: str, spec: CircuitSpec, rows: int) -> Callable[[], object]:
    """The call that is timed: from numpy rows to scores (`kind` "forward"), or to loss and gradient."""
    params, (X, y, w) = spec.init(0), batch(spec, rows)
    return (
        (lambda: contender.scores(params, X))
        if kind == "forward"
        else (lambda: contender.loss_and_grad(params, X, y, w))
    )


def unmeasured(name: str, kind: str, spec: CircuitSpec, rows: int, failure: Exception | str = "") -> Timing:
    """The timing of a contender without times (one OpenMP thread), with the reason in `failure`."""
    if isinstance(failure, Exception):
        error, message = type(failure).__name__, str(failure)
        # from the child process: the message begins with the kind of error that it was there
        if hasattr(failure, "__notes__"):
            error, _, message = message.partition(": ")
        failure = f"{error}: {telling(message)}"
    return Timing(name, kind, spec.wires, spec.layers, rows, threads=1, failure=failure)


def measure(
    name: str, contender: Way, kind: str, spec: CircuitSpec, rows: int, repeats: int, seconds: float
) -> Timing:
    """Time one contender at one size; an exception of FAILURES becomes the timing's `failure`.

    OpenMP is limited to one thread, so that contenders are compared and not their numbers of threads. XLA's
    threads are not OpenMP's.

    Args:
        name, contender: its key in CONTENDERS, and what its `build` returned.
        kind: "forward" or "gradient".
        repeats, seconds: see `timed`.
    """
    try:
        with ThreadpoolController().limit(limits=1, user_api="openmp"):
            first, later = timed(call_of(contender, kind, spec, rows), repeats, seconds)
    except FAILURES as error:
        return unmeasured(name, kind, spec, rows, error)
    return replace(unmeasured(name, kind, spec, rows), first=first, seconds=later)


def by_batch(
    spec: CircuitSpec,
    objective: Objective,
    device: str,
    batches: Iterable[int],
    repeats: int,
    seconds: float,
    quick: bool,
) -> list[Timing]:
    """Time every contender, forward and gradient, at growing batch sizes.

    A contender that failed is not tried again, and one whose next size would take more than ten times
    `seconds` stops there. With `quick`, those that compile for minutes are left out, with the reason.
    """
    timings: list[Timing] = []
    sizes = sorted(batches)
    for name, kind in [(name, kind) for name in CONTENDERS for kind in KINDS]:
        entry, last = CONTENDERS[name], None
        if quick and not entry.quick:
            reason = "measured with quick=False only: it compiles for long"
            timings.append(unmeasured(name, kind, spec, sizes[0], reason))
            continue
        try:
            contender = entry.build(spec, objective, device)
        except FAILURES as error:
            timings.append(unmeasured(name, kind, spec, sizes[0], error))
            continue
        for rows in [rows for rows in sizes if entry.only is None or rows in entry.only]:
            if last and (last.failure or last.took * rows / last.rows > 10 * seconds):
                break
            last = measure(name, contender, kind, spec, rows, repeats, seconds)
            timings.append(last)
    return timings


def by_shape(
    specs: Iterable[CircuitSpec], objective: Objective, device: str, rows: int, repeats: int, seconds: float
) -> list[Timing]:
    """Time both engines, forward and gradient, on circuits of other sizes with batches of `rows`."""
    timings = []
    for spec, name, kind in itertools.product(specs, (CATALYST, EXACT), KINDS):
        try:
            engine = CONTENDERS[name].build(spec, objective, device)
        except FAILURES as error:
            timings.append(unmeasured(name, kind, spec, rows, error))
        else:
            timings.append(measure(name, engine, kind, spec, rows, repeats, seconds))
    return timings


def by_threads(
    specs: Iterable[CircuitSpec],
    objective: Objective,
    device: str,
    rows: int,
    repeats: int,
    seconds: float,
) -> list[Timing]:
    """Time one compiled loop over the rows, forward, with OpenMP limited to one and to two threads in the
    process that runs it; an exception of FAILURES becomes the timings' `failure`.
    """
    name, timings = "lax.scan over qjit", []
    for spec in specs:
        try:
            call = call_of(CONTENDERS[name].build(spec, objective, device), "forward", spec, rows)
            call()  # compiled, and the OpenMP runtime loaded
        except FAILURES as error:
            failed = unmeasured(name, "forward", spec, rows, error)
            timings += [replace(failed, threads=threads) for threads in (1, 2)]
            continue
        for threads in (1, 2):
            child().call("qnb.probes.compiled:use_threads", threads)
            first, later = timed(call, repeats, seconds)
            timing = unmeasured(name, "forward", spec, rows)
            timings.append(replace(timing, threads=threads, first=first, seconds=later))
    child().call("qnb.probes.compiled:use_threads", 1)
    return timings


def timings_table(timings: list[Timing]) -> pd.DataFrame:
    """One row per timing: median, fastest and slowest call (s), samples/s by the median, spread of the times
    relative to the median (NaN for one call), and compile time apart from run time.
    """
    rows = []
    for t in timings:
        spread = (max(t.seconds) - min(t.seconds)) / t.took if len(t.seconds) > 1 else None
        rate = t.rate if t.seconds else None
        kept = {k: v for k, v in asdict(t).items() if k not in ("seconds", "first")}
        kept |= {
            "fastest_s": min(t.seconds, default=None),
            "slowest_s": max(t.seconds, default=None),
            "calls": len(t.seconds),
        }
        rows.append(
            kept | {"median_s": t.median, "spread": spread, "compile_s": t.compile, "samples_per_s": rate}
        )
    return pd.DataFrame(rows)


def failures(timings: list[Timing]) -> pd.DataFrame:
    """The timings that failed: way (the contender), kind, said (the message)."""
    return pd.DataFrame([{"way": t.name, "kind": t.kind, "said": t.failure} for t in timings if t.failure])


def judge_ceiling(timings: list[Timing]) -> Verdict:
    """The research note's claim: is throughput bounded by serial evaluation of the rows?

    Yes if no contender computes gradients of the catalyst engine's largest batch (or of larger ones) at more
    than 10 times its rate; inconclusive if that engine was not measured.
    """
    gradient = [t for t in timings if t.kind == "gradient" and t.seconds]
    base = max((t for t in gradient if t.name == CATALYST), key=lambda t: t.rows, default=None)
    if base is None:
        return Verdict(
            "Is throughput bounded by serial evaluation of the rows?",
            INCONCLUSIVE,
            {},
            10,
            "The catalyst engine was not measured.",
        )
    best = max((t for t in gradient if t.rows >= base.rows), key=lambda t: t.rate)
    factor = best.rate / base.rate
    broken = factor > 10
    return Verdict(
        "Is throughput bounded by serial evaluation of the rows?",
        answer(not broken),
        {
            "catalyst_samples_per_s": base.rate,
            "best": best.name,
            "best_samples_per_s": best.rate,
            "factor": factor,
        },
        10,
        f"Gradients of batches of {base.rows} come at {base.rate:,.0f} samples/s from the catalyst engine; "
        f"{best.name} reaches {best.rate:,.0f}, a speed-up of {factor:,.0f}."
        + (" The bound is one of the compiler, not of the circuit." if broken else ""),
    )


def judge_threads(timings: list[Timing]) -> Verdict:
    """Does a second OpenMP thread speed up the circuit by more than 5 %? Yes at all sizes, no at none.

    Args:
        timings: from `by_threads`.
    """
    by_size: dict[int, dict[int | None, Timing]] = {}
    for t in timings:
        if t.seconds:
            by_size.setdefault(t.wires, {})[t.threads] = t
    gains = {
        wires: times[1].took / times[2].took for wires, times in by_size.items() if 1 in times and 2 in times
    }
    speedups = ", ".join(f"{gain:.2f} at {wires} wires" for wires, gain in gains.items())
    return Verdict(
        "Does a second OpenMP thread speed up the circuit?",
        unanimous(gain > 1.05 for gain in gains.values()),
        {str(k): v for k, v in gains.items()},
        0.05,
        f"Speed-up of two threads over one: {speedups}."
        if gains
        else "No size was measured with one thread and with two.",
    )
