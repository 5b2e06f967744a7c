"""Speed of the exact engine: training steps and forward passes against what else computes the same numbers, side by side.

    python benchmarks/exact.py

Against the catalyst engine, PennyLane's default.qubit under jax.jit and vmap, and tensorcircuit-ng (only if it is installed).
Medians in one process, host time included, from float64 rows to float64 scores; in brackets, how many times the exact engine's.
"""

import importlib.util
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from qnb import heisenberg
from qnb.circuit import CircuitSpec
from qnb.engine import make_engine
from qnb.exact_core import PATHS, ExactEngine
from qnb.objective import Objective
from qnb.probes.contenders import tensorcircuit_score

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


class Mapped:
    """A score of one row, under jax.jit and vmap, behind the same two calls as an engine."""

    def __init__(self, spec, objective, score):
        def loss(params, X, y, w):
            s = jax.vmap(lambda x: score(params["weights"], params["readout"], x))(X)
            return objective.batch_loss(params, s, y, w)

        self._step = jax.jit(jax.value_and_grad(loss))
        self._scores = jax.jit(lambda p, X: jax.lax.map(lambda x: score(p["weights"], p["readout"], x), X, batch_size=256))

    def loss_and_grad(self, *args):
        return jax.tree.map(np.asarray, self._step(*jax.tree.map(_single, args)))

    def scores(self, params, X):
        return np.asarray(self._scores(jax.tree.map(_single, params), _single(X)))


def _single(array):
    return np.asarray(array, np.float32)


def default_qubit(spec, objective):
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=spec.wires), diff_method="backprop", interface="jax")
    return Mapped(spec, objective, lambda *args: jnp.real(node(*args)))


def tensorcircuit(spec, objective):
    """strongly_entangling with mean_z_readout and RY encoding, complex64."""
    return Mapped(spec, objective, tensorcircuit_score(spec))


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
        "default.qubit": lambda: default_qubit(spec, objective),
    }
    if importlib.util.find_spec("tensorcircuit"):
        others["tensorcircuit-ng"] = lambda: tensorcircuit(spec, objective)
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


def many_seeds(spec, objective, seeds: int = 10, rows: int = 256) -> None:
    """Print what a step of many seeds at once costs, first call included, against as many single runs' steps."""
    engine, data = ExactEngine(spec, objective), batch(spec, rows)
    params = {k: np.stack([spec.init(s)[k] for s in range(seeds)]) for k in spec.shapes}
    stacked = [np.stack([column] * seeds) for column in data]
    one = median_ms(lambda: engine.loss_and_grad(spec.init(0), *data))
    many = median_ms(lambda: engine.loss_and_grad_many(params, *stacked))
    print(f"\nstep of {rows}: one seed {one:.2f} ms, {seeds} at once {many:.2f} ms ({many / one / seeds:.2f} of {seeds} steps)")


def main() -> None:
    spec, objective = CircuitSpec(), Objective()
    print(f"{spec}\n{objective}, float32, {jax.devices()}\n")
    gemm_fraction(spec, side_by_side(spec, objective))
    by_wires(objective)
    many_seeds(spec, objective)


if __name__ == "__main__":
    main()
