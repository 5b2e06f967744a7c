"""Speed of the exact engine: training steps and forward passes against what else computes the same numbers, side by side.

    python benchmarks/exact.py

Against the catalyst engine, PennyLane's default.qubit under jax.jit and vmap, and tensorcircuit-ng (only if it is installed).
Medians in one process, host time included, from float64 rows to float64 scores; in brackets, how many times the exact engine's.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from qnb.core import heisenberg
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.exact import PATHS, ExactEngine
from qnb.core.objective import Objective
from qnb.probes.contenders import default_qubit, tensorcircuit

BATCHES = (256, 1024, 4096)
FORWARD_ROWS = 100_000
SLOW_FORWARD_ROWS = 10_000  # for the others, whose time grows in proportion; scaled up


def median_ms(call, seconds: float = 2.0, least: int = 3) -> float:
    """Median of at least `least` calls within about `seconds`, after one to warm up."""
    call()
    times, started = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times)


def gemm_rate(size: int = 2048) -> float:
    """Operations per second of one float32 matrix product by XLA on this machine, in 1e9 (2 size^3 a product)."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / median_ms(lambda: product(a, a).block_until_ready(), 1.0) / 1e6


def batch(spec, rows):
    rng = np.random.default_rng(0)
    return rng.uniform(0, np.pi, (rows, spec.features)), rng.integers(0, 2, rows).astype(float), rng.uniform(0.5, 1.5, rows)


def side_by_side(spec, objective, batches=BATCHES) -> dict[int, float]:
    """Print one line per engine: compile, step at each batch, forward; and check that all give the exact engine's loss.

    Returns:
        the exact engine's milliseconds a step, by batch.
    """
    others = {
        "catalyst": lambda: make_engine("catalyst", spec, objective),
        "default.qubit": lambda: default_qubit(spec, objective, None),
    }
    if importlib.util.find_spec("tensorcircuit"):
        others["tensorcircuit-ng"] = lambda: tensorcircuit(spec, objective, None)
    params, exact, base = spec.init(0), ExactEngine(spec, objective), None
    print(f"{'ms':18}{'first call':>12}" + "".join(f"{f'step {b}':>18}" for b in batches) + f"{f'forward {FORWARD_ROWS}':>20}")
    for name, build in ({"exact": lambda: exact} | others).items():
        engine = build()
        started = time.perf_counter()
        loss, _ = engine.loss_and_grad(params, *batch(spec, batches[0]))
        first = 1e3 * (time.perf_counter() - started)
        assert abs(loss - exact.loss_and_grad(params, *batch(spec, batches[0]))[0]) < 1e-5, name
        sizes = batches[:1] if name == "default.qubit" else batches  # it compiles for minutes, anew for every batch size
        row = [_step(engine, params, batch(spec, rows)) for rows in sizes]
        if name != "default.qubit":
            rows = FORWARD_ROWS if name == "exact" else SLOW_FORWARD_ROWS
            row += [_forward(engine, params, batch(spec, rows)[0]) * FORWARD_ROWS / rows]
        base = base or row
        cells = [f"{t:.2f}" + ("" if base is row else f" ({t / b:.0f}x)") for t, b in zip(row, base, strict=False)]
        print(f"{name:18}{first:12.0f}" + "".join(f"{c:>18}" for c in cells), flush=True)
    return dict(zip(batches, base, strict=False))


def _step(engine, params, data):
    return median_ms(lambda: engine.loss_and_grad(params, *data))


def _forward(engine, params, X):
    return median_ms(lambda: engine.scores(params, X))


def gemm_fraction(spec, steps: dict[int, float]) -> None:
    """Print which part of the machine's matrix product rate the steps reach: operations of the products alone over the time."""
    rate = gemm_rate()
    print(f"\nmatrix products alone reach {rate:.0f} GFLOP/s here")
    for rows, ms in steps.items():
        reached = 2 * heisenberg.products(spec, rows) / ms / 1e6
        print(f"  step of {rows}: {reached:.0f} GFLOP/s, {reached / rate:.0%}; {rows / ms / 1e3:.2f} million rows/s")


def by_wires(objective, wires=(4, 6, 8, 10), batches=(256, 4096)) -> None:
    """Print both paths' step against wires and batch, and which one the engine picks."""
    print(f"\n{'wires':>6}{'batch':>7}{'heisenberg ms':>15}{'statevector ms':>16}  picked")
    for n in wires:
        engine = ExactEngine(CircuitSpec(n), objective)
        for rows in batches:
            times = {path: _step_on(path, CircuitSpec(n), objective, rows) for path in PATHS}
            print(f"{n:6}{rows:7}{times['heisenberg']:15.2f}{times['statevector']:16.2f}  {engine.path(rows)}", flush=True)


def _step_on(path, spec, objective, rows):
    engine, params, data = ExactEngine(spec, objective), spec.init(0), batch(spec, rows)
    engine.path = lambda rows, seeds=1: path
    return median_ms(lambda: engine.loss_and_grad(params, *data), 0.5)


def many_seeds(seeds: int = 10) -> None:
    """Print what ten trainings cost as one batched program and one after the other, compile included: each way in a process of its
    own, with an empty cache of compiled programs; and what ten processes of one training cost, which is what ten runs are."""
    plan = {
        "together": ("fit_together(configs, data, progress=False)", 1),
        "in turn": ("[fit(c, data[0], progress=False) for c in configs]", 1),
    }
    plan |= {"in processes of their own": ("fit(configs[0], data[0], progress=False)", seeds)}
    print(f"\n{seeds} seeds, 2 epochs of 50 batches of 256, 8 wires; seconds after imports and data")
    for name, (call, times) in plan.items():
        found = [_seconds_of(call, seeds) * times for _ in range(3)]
        print(f"  {name:28}{statistics.median(found):8.1f}   ({min(found):.1f} to {max(found):.1f})", flush=True)


def _seconds_of(call, seeds):
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run([sys.executable, "-c", TEN, call, str(seeds), cache], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


TEN = """
import sys, time, jax
call, seeds, cache = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jax.config.update("jax_compilation_cache_dir", cache)
from qnb.config import TrainConfig
from qnb.training.loop import fit, fit_together
from qnb.data.prepare import prepare_all
shape = dict(engine="exact", batch=256, fixed_num_batches=50, epochs=2, sample=5000)
configs = [TrainConfig(seed=s, **shape) for s in range(seeds)]
data = prepare_all(configs)
started = time.perf_counter()
eval(call)
print(time.perf_counter() - started)
"""


def main() -> None:
    spec, objective = CircuitSpec(), Objective()
    print(f"{spec}\n{objective}, float32, {jax.devices()}\n")
    gemm_fraction(spec, side_by_side(spec, objective))
    by_wires(objective)
    many_seeds()


if __name__ == "__main__":
    main()
