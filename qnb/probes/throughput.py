"""Samples per second: what was run, how long its first call and the later ones took, and what failed with which message."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from catalyst.utils.exceptions import CompileError
from threadpoolctl import ThreadpoolController

from qnb.core import exact as exact_core
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.errors import QnbError
from qnb.probes.contenders import CATALYST, CONTENDERS, EXACT, TC, Way
from qnb.probes.formulations import telling
from qnb.reporting.verdict import Verdict

KINDS = ("forward", "gradient")
FAILURES = (QnbError, CompileError, NotImplementedError)  # of a contender that cannot do what it is asked
FORWARD_ROWS, SCALED_FROM = 100_000, 10_000
TARGETS: list[tuple[str, str, int, str, float]] = [  # name, kind, rows, against, times as fast
    ("training step against the catalyst engine", "gradient", 256, CATALYST, 25),
    ("training step against the catalyst engine", "gradient", 4096, CATALYST, 200),
    ("forward against the catalyst engine", "forward", FORWARD_ROWS, CATALYST, 150),
    ("training step against tensorcircuit-ng", "gradient", 256, TC, 8),
    ("training step against tensorcircuit-ng", "gradient", 4096, TC, 80),
    ("forward against tensorcircuit-ng", "forward", FORWARD_ROWS, TC, 40),
]
SEEDS = 10


@dataclass(frozen=True)
class Timing:
    """One call, timed.

    Attributes:
        first: seconds of the first call, compile included; None if it failed.
        seconds: of the calls after it.
        failure: what was said where it could not be run.
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
        """Seconds of the median call."""
        return float(np.median(self.seconds)) if self.seconds else None

    @property
    def compile(self) -> float | None:
        """Seconds of the first call over a later one."""
        return None if self.first is None or self.median is None else max(self.first - self.median, 0.0)

    @property
    def took(self) -> float:
        """The median of a call that could be run."""
        if self.median is None:
            raise ValueError(f"{self.name}, {self.kind}, {self.rows} rows was not measured: {self.failure}")
        return self.median

    @property
    def rate(self) -> float:
        """Rows per second, by the median, of a call that could be run."""
        return self.rows / self.took


def timed(call: Callable[[], object], repeats: int, seconds: float) -> tuple[float, tuple[float, ...]]:
    """(seconds of the first call, seconds of up to `repeats` more): at least one, none begun after `seconds`."""
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
    """X (rows, features) uniform in [0, pi], labels and unequal weights (rows,)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, np.pi, (rows, spec.features)), rng.integers(0, 2, rows).astype(float), rng.uniform(0.5, 1.5, rows)


def call_of(contender: Way, kind: str, spec: CircuitSpec, rows: int) -> Callable[[], object]:
    """What is timed: from numpy rows to numpy scores, or to loss and gradient."""
    params, (X, y, w) = spec.init(0), batch(spec, rows)
    return (lambda: contender.scores(params, X)) if kind == "forward" else (lambda: contender.loss_and_grad(params, X, y, w))


def one_thread() -> AbstractContextManager[object]:
    """Holds OpenMP to one thread, so that ways are compared and not their numbers of threads. XLA's own threads are not OpenMP's."""
    held: AbstractContextManager[object] = ThreadpoolController().limit(limits=1, user_api="openmp")
    return held


def measure(name: str, contender: Way, kind: str, spec: CircuitSpec, rows: int, repeats: int, seconds: float) -> Timing:
    """One contender at one size, with one OpenMP thread; a failure of FAILURES is an outcome, not an error."""
    empty = Timing(name, kind, spec.wires, spec.layers, rows, threads=1)
    try:
        with one_thread():
            first, later = timed(call_of(contender, kind, spec, rows), repeats, seconds)
    except FAILURES as error:
        return replace(empty, failure=f"{type(error).__name__}: {telling(str(error))}")
    return replace(empty, first=first, seconds=later)


def by_batch(
    spec: CircuitSpec, objective: Objective, device: str, batches: Iterable[int], repeats: int, seconds: float, quick: bool
) -> list[Timing]:
    """Every contender, forward and gradient, at growing batch sizes.

    A contender that failed is not tried again, and one whose next size would take more than ten times `seconds` stops there.
    """
    found: list[Timing] = []
    for name, kind in [(name, kind) for name in CONTENDERS for kind in KINDS]:
        sizes, entry = sorted(batches), CONTENDERS[name]
        if quick and not entry.quick:
            found.append(
                Timing(
                    name, kind, spec.wires, spec.layers, sizes[0], failure="measured with quick=False only: it compiles for long"
                )
            )
            continue
        try:
            contender = entry.build(spec, objective, device)
        except FAILURES as error:
            found.append(
                Timing(name, kind, spec.wires, spec.layers, sizes[0], failure=f"{type(error).__name__}: {telling(str(error))}")
            )
            continue
        for rows in [rows for rows in sizes if entry.only is None or rows in entry.only]:
            last = found[-1] if found and (found[-1].name, found[-1].kind) == (name, kind) else None
            if last and (last.failure or last.took * rows / last.rows > 10 * seconds):
                break
            found.append(measure(name, contender, kind, spec, rows, repeats, seconds))
    return found


def by_shape(
    specs: Iterable[CircuitSpec], objective: Objective, device: str, rows: int, repeats: int, seconds: float
) -> list[Timing]:
    """Both engines, forward and gradient, on circuits of other sizes."""
    found = []
    for spec in specs:
        for name in (CATALYST, EXACT):
            for kind in KINDS:
                try:
                    engine = CONTENDERS[name].build(spec, objective, device)
                except FAILURES as error:
                    found.append(Timing(name, kind, spec.wires, spec.layers, rows, failure=telling(str(error))))
                    continue
                found.append(measure(name, engine, kind, spec, rows, repeats, seconds))
    return found


def by_threads(
    specs: Iterable[CircuitSpec], objective: Objective, device: str, rows: int, repeats: int, seconds: float,
    threads: Sequence[int] = (1, 2),
) -> list[Timing]:  # fmt: skip
    """One compiled loop over the rows, forward, with OpenMP held to each number of threads inside this process."""
    found = []
    for spec in specs:
        contender = CONTENDERS["lax.scan over qjit"].build(spec, objective, device)
        call = call_of(contender, "forward", spec, rows)
        call()  # compiled, and the OpenMP runtime loaded
        controller = ThreadpoolController()
        for count in threads:
            with controller.limit(limits=count, user_api="openmp"):
                first, later = timed(call, repeats, seconds)
            found.append(Timing("lax.scan over qjit", "forward", spec.wires, spec.layers, rows, count, first, later))
    return found


class OnePath(exact_core.ExactEngine):
    """The exact engine held to one of its paths."""

    def __init__(self, spec: CircuitSpec, objective: Objective, path: str):
        self._held = path
        super().__init__(spec, objective)

    def path(self, rows: int, seeds: int = 1) -> str:
        return self._held


def exact_engine(spec: CircuitSpec, objective: Objective) -> exact_core.ExactEngine:
    """The exact engine, of which more is asked here than of any: the path that it picks, and a step of many seeds."""
    engine = make_engine("exact", spec, objective)
    if not isinstance(engine, exact_core.ExactEngine):
        raise TypeError(f"The engine 'exact' is a {type(engine).__name__}.")
    return engine


def by_path(
    specs: Iterable[CircuitSpec], objective: Objective, batches: Iterable[int], repeats: int, seconds: float
) -> pd.DataFrame:
    """The exact engine's training step on each of its paths against wires and batch, and which one it picks itself.

    A path whose step on the batch before took so long that this one would exceed ten times `seconds` is left out.
    """
    rows_of_table = []
    for spec in specs:
        engine = exact_engine(spec, objective)
        last: dict[str, tuple[int, float]] = {}
        for rows in sorted(batches):
            entry: dict[str, Any] = {"wires": spec.wires, "batch": rows, "picked": engine.path(rows)}
            for path in exact_core.PATHS:
                if path in last and last[path][1] * rows / last[path][0] > 10 * seconds:
                    continue
                timing = measure(path, OnePath(spec, objective, path), "gradient", spec, rows, repeats, seconds)
                entry[path] = timing.median
                if timing.median is not None:
                    last[path] = (rows, timing.median)
            rows_of_table.append(entry)
    return pd.DataFrame(rows_of_table)


def gemm_rate(size: int = 2048, repeats: int = 9) -> float:
    """Operations per second of one float32 matrix product by XLA in this process: 2 size^3 over the median of the calls."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / float(np.median(timed(lambda: product(a, a).block_until_ready(), repeats, 5.0)[1]))


def gemm_fraction(spec: CircuitSpec, objective: Objective, batches: Iterable[int], repeats: int, seconds: float) -> pd.DataFrame:
    """Per batch: operations of the exact engine's products over the time of its step, and what part of `gemm_rate` that is.

    Only where the engine takes its Heisenberg path, the one whose products `qnb.core.heisenberg.products` counts.
    """
    from qnb.core import heisenberg

    engine, rate, table = exact_engine(spec, objective), gemm_rate(), []
    for rows in batches:
        if engine.path(rows) != "heisenberg":
            continue
        step = measure(EXACT, engine, "gradient", spec, rows, repeats, seconds).took
        reached = 2 * heisenberg.products(spec, rows) / step
        table.append({"batch": rows, "step (ms)": 1e3 * step, "rows/s": rows / step, "GFLOP/s": reached / 1e9,
                      "machine's product (GFLOP/s)": rate / 1e9, "fraction": reached / rate})  # fmt: skip
    return pd.DataFrame(table)


def ratios(
    calls: dict[str, Callable[[], object]], against: str, rounds: int, seconds: float
) -> dict[str, tuple[float, float, float]]:
    """How many times as long as `against` each other call takes: (median, least, most) over rounds in which all are called in turn."""
    with one_thread():
        return _in_turn(calls, against, rounds, seconds)


def _in_turn(
    calls: dict[str, Callable[[], object]], against: str, rounds: int, seconds: float
) -> dict[str, tuple[float, float, float]]:
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for _ in range(rounds):
        times = {}
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            times[name] = time.perf_counter() - begun
        for name, took in times.items():
            found[name].append(took / times[against])
        if time.perf_counter() - started > seconds:
            break
    return {name: (float(np.median(v)), min(v), max(v)) for name, v in found.items() if name != against}


def targets(
    spec: CircuitSpec, objective: Objective, device: str, rounds: int, seconds: float, with_tensorcircuit: bool
) -> pd.DataFrame:
    """The targets, each with the ratio measured in this process. Forward of others: on SCALED_FROM rows, in proportion."""
    names = [CATALYST] + [TC] * with_tensorcircuit
    built: dict[str, Way] = {EXACT: make_engine("exact", spec, objective)}
    missing: dict[str, str] = {}
    for name in names:
        try:
            built[name] = CONTENDERS[name].build(spec, objective, device)
        except FAILURES as error:
            missing[name] = str(error)
    measured = {}
    for kind, rows in dict.fromkeys((kind, rows) for _, kind, rows, _, _ in TARGETS):
        scale = FORWARD_ROWS / SCALED_FROM if kind == "forward" else 1
        calls = {n: call_of(c, kind, spec, rows if n == EXACT else round(rows / scale)) for n, c in built.items()}
        for name, (middle, low, high) in ratios(calls, EXACT, rounds, seconds).items():
            measured[kind, rows, name] = (scale * middle, scale * low, scale * high)
    table = []
    for title, kind, rows, name, floor in TARGETS:
        median, least, most = measured.get((kind, rows, name)) or (None, None, None)
        said = "not measured: " + missing.get(name, "quick=True") if median is None else "met" if median >= floor else "MISSED"
        table.append(
            {
                "target": title,
                "rows": rows,
                "asked": f"{floor} times",
                "times as fast": median,
                "least": least,
                "most": most,
                "outcome": said,
            }
        )
    return pd.DataFrame(table)


def many_seeds(
    spec: CircuitSpec, objective: Objective, rows: int, rounds: int, seconds: float, seeds: int = SEEDS
) -> tuple[float, float, float]:
    """A step of `seeds` seeds at once, as a share of that many single steps: (median, least, most)."""
    engine, columns = exact_engine(spec, objective), batch(spec, rows)
    params = {name: np.stack([spec.init(s)[name] for s in range(seeds)]) for name in spec.shapes}
    stacked = [np.stack([column] * seeds) for column in columns]
    calls: dict[str, Callable[[], object]] = {
        "at once": lambda: engine.loss_and_grad_many(params, *stacked),
        "one by one": lambda: [engine.loss_and_grad(spec.init(s), *columns) for s in range(seeds)],
    }
    return ratios(calls, "one by one", rounds, seconds)["at once"]


def table(timings: list[Timing]) -> pd.DataFrame:
    """One row per timing: samples/s by the median, the spread of the times in percent of it, compile apart from run time."""
    rows = []
    for t in timings:
        spread = (max(t.seconds) - min(t.seconds)) / t.took if t.seconds else None
        rate = t.rate if t.seconds else None
        kept = {k: v for k, v in asdict(t).items() if k not in ("seconds", "first")}
        kept |= {"fastest_s": min(t.seconds, default=None), "slowest_s": max(t.seconds, default=None), "calls": len(t.seconds)}
        rows.append(kept | {"median_s": t.median, "spread": spread, "compile_s": t.compile, "samples_per_s": rate})
    return pd.DataFrame(rows)


def failures(timings: list[Timing]) -> pd.DataFrame:
    """What could not be measured, and what was said."""
    return pd.DataFrame([{"way": t.name, "kind": t.kind, "said": t.failure} for t in timings if t.failure])


def judge_ceiling(timings: list[Timing]) -> Verdict:
    """The note's claim that throughput is bounded by serial evaluation: does the fastest way gain from a larger batch?

    `reproduced` if no way computes gradients of the largest batch at more than 10 times the rate of the catalyst engine's.
    """
    gradient = [t for t in timings if t.kind == "gradient" and t.seconds]
    mine = max((t for t in gradient if t.name == CATALYST), key=lambda t: t.rows, default=None)
    if mine is None:
        return Verdict(
            "Is throughput bounded by serial evaluation?", "not measured", {}, 10, "The catalyst engine was not measured."
        )
    best = max((t for t in gradient if t.rows >= mine.rows), key=lambda t: t.rate)
    factor = best.rate / mine.rate
    verdict = "refuted" if factor > 10 else "reproduced"
    return Verdict(
        "Is throughput bounded by serial evaluation of the rows?", verdict,
        {"catalyst_samples_per_s": mine.rate, "best": best.name, "best_samples_per_s": best.rate, "factor": factor}, 10,
        f"Gradients of batches of {mine.rows} come at {mine.rate:,.0f} samples/s from the catalyst engine; {best.name} "
        f"reaches {best.rate:,.0f}, {factor:,.0f} times that."
        + (" The bound is one of the compiler, not of the circuit." if verdict == "refuted" else ""),
    )  # fmt: skip


def judge_targets(found: pd.DataFrame) -> Verdict:
    """`met`, `missed`, or `not measured` where no target could be."""
    measured = found[found["times as fast"].notna()]
    missed = measured[measured["outcome"] == "MISSED"]
    verdict = "not measured" if measured.empty else "missed" if len(missed) else "met"
    figures = {f"{row['target']}, {row['rows']} rows": row["times as fast"] for _, row in measured.iterrows()}
    return Verdict(
        "Does the exact engine meet its targets of speed?", verdict, figures, {f"{t[0]}, {t[2]} rows": t[4] for t in TARGETS},
        f"{len(measured) - len(missed)} of {len(measured)} targets measured are met; {len(found) - len(measured)} were not measured.",
    )  # fmt: skip


def judge_threads(timings: list[Timing]) -> Verdict:
    """Whether a second OpenMP thread pays at the sizes measured: `pays`, `costs` or `depends` (5 % either way counts as neither)."""
    by_size: dict[int, dict[int | None, Timing]] = {}
    for t in timings:
        by_size.setdefault(t.wires, {})[t.threads] = t
    gains = {wires: times[1].took / times[2].took for wires, times in by_size.items() if 1 in times and 2 in times}
    if not gains:
        verdict = "not measured"
    else:
        verdict = "pays" if min(gains.values()) > 1.05 else "costs" if max(gains.values()) < 0.95 else "depends"
    said = ", ".join(f"{gain:.2f} at {wires} wires" for wires, gain in gains.items())
    return Verdict("Does a second OpenMP thread speed up the circuit?", verdict, {str(k): v for k, v in gains.items()}, 0.05,
                   f"Two threads run the compiled circuit this many times as fast as one: {said}.")  # fmt: skip
