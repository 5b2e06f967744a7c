"""Speed of the catalyst engine: its training step against a bare loop of value_and_grad, and its forward pass.

python -m benchmarks.catalyst
"""

import catalyst
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import in_turn
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective

BATCH, ROUNDS, FORWARD_ROWS = 256, 15, 4096


def bare_loop(engine, rows: int):
    """One qjit with value_and_grad of one QNode call per row and a sum: no head, no labels, no weights."""
    score = engine._score_qnode()

    def program(theta, readout, X):
        def row(k, total, gradient):
            s, ds = catalyst.value_and_grad(score, argnums=0)(theta, readout, X[k])
            return total + s, gradient + ds

        return catalyst.for_loop(0, rows, 1)(row)(jnp.zeros(()), jnp.zeros(engine._theta_size()))

    return catalyst.qjit(program)


def main() -> None:
    spec, rng = CircuitSpec(), np.random.default_rng(0)
    engine, params = make_engine("catalyst", spec, Objective()), spec.init(0)
    X, y, w = rng.uniform(0, np.pi, (BATCH, 8)), rng.integers(0, 2, BATCH), np.ones(BATCH)
    many = rng.uniform(0, np.pi, (FORWARD_ROWS, 8))
    bare, (theta, readout) = bare_loop(engine, BATCH), engine._theta(params)
    functions = {
        "bare loop of value_and_grad": lambda: engine._call(bare, theta, readout, X),
        "training step": lambda: engine.loss_and_grad(params, X, y, w),
        "forward": lambda: engine.scores(params, many),
    }
    compiled = {name: values[0] for name, values in in_turn(functions, 1).items()}
    seconds = in_turn(functions, ROUNDS)
    print(f"{spec}, batch {BATCH}, {ROUNDS} interleaved rounds\n")
    print(f"{'':30}{'median ms':>10}{'min':>8}{'max':>8}{'samples/s':>11}{'first call s':>14}")
    for name, values in seconds.items():
        rows = FORWARD_ROWS if name == "forward" else BATCH
        ms = 1e3 * values
        print(
            f"{name:30}{np.median(ms):10.1f}{ms.min():8.1f}{ms.max():8.1f}{rows / np.median(values):11,.0f}{compiled[name]:14.2f}"
        )
    ratio = np.median(seconds["training step"] / seconds["bare loop of value_and_grad"])
    print(f"\ntraining step / bare loop: {ratio:.3f} (median of the ratios round by round)")


if __name__ == "__main__":
    main()
