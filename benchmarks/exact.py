"""Speed of the exact engine: training steps and forward passes against what else computes the same numbers, called in turn.

    python -m benchmarks.exact

Against the catalyst engine, PennyLane's default.qubit under jax.jit and vmap, and tensorcircuit-ng (only if it is installed).
Wall times in one process, from float64 rows to float64 scores, with OpenMP held to one thread; TARGETS says which ratios the
engine must reach.
"""

import functools
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
from threadpoolctl import ThreadpoolController

from benchmarks.rows import batch
from benchmarks.timing import in_turn, median_seconds
from qnb.core import heisenberg
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.exact import ExactEngine
from qnb.core.objective import Objective
from qnb.probes.contenders import default_qubit, tensorcircuit

STEPS, FORWARD = (256, 1024, 4096), 100_000  # rows of a training step, and of a forward pass
SLOW_FORWARD = 10_000  # rows forward of the other engines, whose time grows in proportion
TARGETS = {  # (call, rows, other engine): how many times as long as the exact engine the other must take
    ("step", 256, "catalyst"): 25,
    ("step", 4096, "catalyst"): 200,
    ("forward", FORWARD, "catalyst"): 150,
    ("step", 256, "tensorcircuit-ng"): 8,
    ("step", 4096, "tensorcircuit-ng"): 80,
    ("forward", FORWARD, "tensorcircuit-ng"): 40,
}
ROUNDS = 7
FAST = ("heisenberg", "statevector")  # paths of circuits of angles, RZ RY RZ, CNOTs and Z


def side_by_side(spec, objective) -> dict[int, float]:
    """Print the engines' first calls, which compile; then each call's time and ratio, and whether its target is met.

    Returns:
        the exact engine's median seconds a step, by rows.

    Raises:
        AssertionError: an engine computes another loss than the exact one.
    """
    engines = {"exact": ExactEngine(spec, objective), "catalyst": make_engine("catalyst", spec, objective)}
    engines["default.qubit"] = default_qubit(spec, objective, None)
    if importlib.util.find_spec("tensorcircuit"):
        engines["tensorcircuit-ng"] = tensorcircuit(spec, objective, None)
    params, losses = spec.init(0), {}
    for name, engine in engines.items():
        started = time.perf_counter()
        losses[name], _ = engine.loss_and_grad(params, *batch(spec, STEPS[0]))
        print(f"{name:18}first step after {time.perf_counter() - started:.1f} s", flush=True)
        np.testing.assert_allclose(losses[name], losses["exact"], atol=1e-5, err_msg=name)
    print(
        f"\n{'call':9}{'rows':>7}  {'engine':18}{'median ms':>10}{'ratio':>8}{'min':>8}{'max':>8}{'target':>8}"
    )
    steps = {}
    for call, rows in [("step", rows) for rows in STEPS] + [("forward", FORWARD)]:
        seconds = _calls_in_turn(engines, spec, params, call, rows)
        for name, times in seconds.items():
            ratios = times / seconds["exact"]
            print(f"{call:9}{rows:7}  {name:18}{1e3 * np.median(times):10.2f}{np.median(ratios):8.0f}{ratios.min():8.0f}"
                  f"{ratios.max():8.0f}  {outcome(call, rows, name, float(np.median(ratios)))}", flush=True)  # fmt: skip
        if call == "step":
            steps[rows] = float(np.median(seconds["exact"]))
    return steps


def _calls_in_turn(engines, spec, params, call, rows) -> dict[str, np.ndarray]:
    """Seconds of each round, by engine, after a round to warm up; those of a forward pass of fewer rows in proportion."""
    if (call, rows) != ("step", STEPS[0]):
        engines = {
            n: e for n, e in engines.items() if n != "default.qubit"
        }  # compiles for minutes, anew for every batch size
    calls, scale = {}, {}
    for name, engine in engines.items():
        rows_called = SLOW_FORWARD if call == "forward" and name != "exact" else rows
        X, y, w = batch(spec, rows_called)
        calls[name] = (
            (lambda e=engine, X=X: e.scores(params, X))
            if call == "forward"
            else (lambda e=engine, X=X, y=y, w=w: e.loss_and_grad(params, X, y, w))
        )
        scale[name] = rows / rows_called
    with ThreadpoolController().limit(limits=1, user_api="openmp"):
        in_turn(calls, 1)
        seconds = in_turn(calls, ROUNDS)
    return {name: times * scale[name] for name, times in seconds.items()}


def outcome(call: str, rows: int, name: str, ratio: float) -> str:
    """The target of that ratio, and whether it is met; empty where there is none."""
    target = TARGETS.get((call, rows, name))
    return "" if target is None else f"{target:6} {'met' if ratio >= target else 'MISSED'}"


def gemm_rate(size: int = 2048) -> float:
    """Operations per second of one float32 matrix product by XLA on this machine (2 size^3 a product)."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / median_seconds(lambda: product(a, a).block_until_ready(), 1.0)


def gemm_fraction(spec, steps: dict[int, float]) -> None:
    """Print which part of the machine's matrix product rate the steps reach: operations of the products alone over the time."""
    rate = gemm_rate()
    print(f"\nmatrix products alone reach {rate / 1e9:.0f} GFLOP/s here")
    for rows, seconds in steps.items():
        reached = 2 * heisenberg.products(spec, rows) / seconds
        print(
            f"  step of {rows}: {reached / 1e9:.0f} GFLOP/s, {reached / rate:.0%}; {rows / seconds / 1e6:.2f} million rows/s"
        )


def by_wires(objective, wires=(4, 6, 8, 10), batches=(256, 4096)) -> None:
    """Print both paths' step against wires and batch, and which one the engine picks."""
    print(f"\n{'wires':>6}{'batch':>7}{'heisenberg ms':>15}{'statevector ms':>16}  picked")
    for n in wires:
        engine = ExactEngine(CircuitSpec(n), objective)
        for rows in batches:
            ms = {path: 1e3 * _step_on(path, CircuitSpec(n), objective, rows) for path in FAST}
            print(
                f"{n:6}{rows:7}{ms['heisenberg']:15.2f}{ms['statevector']:16.2f}  {engine.path(rows)}",
                flush=True,
            )


def brickwork(weights, wires, layer):
    """A layer of gates that the fast paths do not have."""
    for i in wires:
        qml.RX(weights[i, 0], wires=i)
        qml.RZ(weights[i, 1], wires=i)
    for i in range(layer % 2, wires - 1, 2):
        qml.IsingZZ(weights[i, 2], wires=[i, i + 1])


def own_circuits(objective, rows=STEPS[0]) -> None:
    """Print a training step of circuits of one's own against default.qubit under jax.jit and vmap, in turn.

    Re-uploaded, default.qubit's program of 8 wires and 3 layers compiles for many minutes: a smaller one.
    """
    specs = {
        "brickwork, 8 wires, 3 layers": CircuitSpec(ansatz=brickwork),
        "re-uploaded, 5 wires, 2 layers": CircuitSpec(5, 2, ansatz=brickwork, reupload=True),
    }
    print(f"\n{'own circuit':32}{'exact ms':>10}{'default.qubit ms':>18}{'ratio':>8}")
    for name, spec in specs.items():
        engines = {
            "exact": ExactEngine(spec, objective),
            "default.qubit": default_qubit(spec, objective, None),
        }
        params, data = spec.init(0), batch(spec, rows)
        losses = {n: e.loss_and_grad(params, *data)[0] for n, e in engines.items()}
        np.testing.assert_allclose(losses["default.qubit"], losses["exact"], atol=1e-5)
        with ThreadpoolController().limit(limits=1, user_api="openmp"):
            calls = {n: functools.partial(e.loss_and_grad, params, *data) for n, e in engines.items()}
            seconds = in_turn(calls, ROUNDS)
        exact, other = (1e3 * np.median(seconds[n]) for n in engines)
        print(
            f"{name:32}{exact:10.2f}{other:18.2f}{np.median(seconds['default.qubit'] / seconds['exact']):8.1f}",
            flush=True,
        )


def _step_on(path, spec, objective, rows):
    engine, params, data = ExactEngine(spec, objective), spec.init(0), batch(spec, rows)
    engine.path = lambda rows, seeds=1: path
    return median_seconds(lambda: engine.loss_and_grad(params, *data), 0.5)


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
        print(
            f"  {name:28}{statistics.median(found):8.1f}   ({min(found):.1f} to {max(found):.1f})", flush=True
        )


def _seconds_of(call, seeds):
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", TEN, call, str(seeds), cache], capture_output=True, text=True, check=True
        )
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
    own_circuits(objective)
    many_seeds()


if __name__ == "__main__":
    main()
