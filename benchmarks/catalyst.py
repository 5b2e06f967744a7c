"""The catalyst engine: its training step against a bare loop of value_and_grad, what its child process costs, and its memory.

python -m benchmarks.catalyst
"""

import resource
import sys
from pathlib import Path

import catalyst
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import in_turn
from qnb.core.catalyst import Programs
from qnb.core.child import child
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective

BATCH, ROUNDS, FORWARD_ROWS = 256, 15, 4096
STEP_BATCH, STEP_ROUNDS, STEP_TARGET = (
    64,
    60,
    1.05,
)  # a step through the child process, of the same in this one
CALLS, LEAK_TARGET = 20_000, 1024  # bytes a call, by the resident memory of the child


def bare_loop(programs: Programs, rows: int):
    """One qjit with value_and_grad of one QNode call per row and a sum: no head, no labels, no weights."""
    score, size = programs._score_qnode(), programs._theta

    def program(p, X):
        def row(k, total, gradient):
            s, ds = catalyst.value_and_grad(score, argnums=0)(p[:size], p[size:-2], X[k])
            return total + s, gradient + ds

        return catalyst.for_loop(0, rows, 1)(row)(jnp.zeros(()), jnp.zeros(size))

    return catalyst.qjit(program)


def batch(rows: int, wires: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (rows, wires), y and w (rows,)."""
    rng = np.random.default_rng(0)
    return rng.uniform(0, np.pi, (rows, wires)), rng.integers(0, 2, rows).astype(float), np.ones(rows)


def steps() -> None:
    """The training step against a bare loop, and the forward pass."""
    spec = CircuitSpec()
    engine, params = make_engine("catalyst", spec, Objective()), spec.init(0)
    programs = Programs(spec, Objective(), "lightning.qubit")
    (X, y, w), many = batch(BATCH), batch(FORWARD_ROWS)[0]
    bare, vector = bare_loop(programs, BATCH), programs._vector(params)
    functions = {
        "bare loop of value_and_grad": lambda: bare(vector, X),
        "training step": lambda: engine.loss_and_grad(params, X, y, w),
        "forward": lambda: engine.scores(params, many),
    }
    compiled = {name: values[0] for name, values in in_turn(functions, 1).items()}
    seconds = in_turn(functions, ROUNDS)
    print(f"{spec}, batch {BATCH}, {ROUNDS} interleaved rounds\n")
    print(f"{'':30}{'median ms':>10}{'min':>8}{'max':>8}{'samples/s':>11}{'first call s':>14}")
    for name, values in seconds.items():
        rows, ms = FORWARD_ROWS if name == "forward" else BATCH, 1e3 * values
        figures = f"{np.median(ms):10.1f}{ms.min():8.1f}{ms.max():8.1f}{rows / np.median(values):11,.0f}"
        print(f"{name:30}{figures}{compiled[name]:14.2f}")
    ratio = np.median(seconds["training step"] / seconds["bare loop of value_and_grad"])
    print(f"\ntraining step / bare loop: {ratio:.3f} (median of the ratios round by round)")


def child_against_here() -> None:
    """A step of the engine, whose programs are in the child, against the same programs in this process."""
    spec = CircuitSpec()
    engine, params, (X, y, w) = make_engine("catalyst", spec, Objective()), spec.init(0), batch(STEP_BATCH)
    here = Programs(spec, Objective(), "lightning.qubit")
    functions = {
        "in this process": lambda: here.loss_and_grad(params, X, y, w),
        "in the child process": lambda: engine.loss_and_grad(params, X, y, w),
    }
    in_turn(functions, 2)
    seconds = in_turn(functions, STEP_ROUNDS)
    there = np.median(seconds["in the child process"] / seconds["in this process"])
    ms = ", ".join(f"{name} {1e3 * np.median(values):.1f}" for name, values in seconds.items())
    print(f"\nStep at batch {STEP_BATCH}, {STEP_ROUNDS} interleaved rounds, median ms: {ms}")
    print(f"child / in process: {there:.3f}; target at most {STEP_TARGET}")


def resident(pid: int) -> int:
    """Bytes of resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def memory() -> None:
    """Growth of the child's and of this process's resident memory, a call."""
    if sys.platform != "linux":
        print("\nMemory a call is read from /proc, which this system does not have.")
        return
    spec = CircuitSpec(2, 1)
    engine, params, data = make_engine("catalyst", spec, Objective()), spec.init(0), batch(4, 2)
    pids = {"child": child().call("os:getpid"), "this process": child().call("os:getppid")}
    for _ in range(CALLS // 10):
        engine.loss_and_grad(params, *data)
    before = {name: resident(pid) for name, pid in pids.items()}
    for _ in range(CALLS):
        engine.loss_and_grad(params, *data)
    print(f"\nGrowth of resident memory over {CALLS:,} calls of loss_and_grad, after {CALLS // 10:,}:")
    for name, pid in pids.items():
        grown = (resident(pid) - before[name]) / CALLS
        print(f"  {name}: {grown:.0f} bytes a call; target under {LEAK_TARGET}")


def main() -> None:
    """All three."""
    steps()
    child_against_here()
    memory()


if __name__ == "__main__":
    main()
