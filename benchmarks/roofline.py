"""Where the time of a training step goes on the exact engine's observable path, and what bounds each phase.

    python -m benchmarks.roofline

Each phase is a program of its own. Operations and bytes are XLA's own count for the compiled program; the two roofs are what this
machine reaches in a large float32 matrix product and in a pass over an array as large as those of a step. `bound` is the longer of operations over the one
and bytes over the other (Williams, Waterman, Patterson, CACM 52, 65, 2009), and `reached` is bound over time: what is far below 1
is neither, but latency: many small operations, one after the other.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.exact import gemm_rate
from benchmarks.rows import batch
from benchmarks.timing import in_turn
from qnb.core import heisenberg
from qnb.core.circuit import CircuitSpec
from qnb.core.exact import padded
from qnb.core.objective import Objective

ROWS, ROUNDS = (256, 4096), 15


def copy_rate(size: int = 1 << 22) -> float:
    """Bytes per second, read and written, of XLA's pass over a float32 array of `size` bytes, as large as those of a step."""
    array = jnp.zeros(size // 4, jnp.float32)
    copy = jax.jit(lambda a: a + 1)
    seconds = in_turn({"copy": lambda: copy(array).block_until_ready()}, ROUNDS)["copy"]
    return 2 * size / float(seconds.min())


def phases(spec: CircuitSpec, rows: int):
    """By name (function, arguments): what a step consists of, and the step itself. Arrays are float32."""
    tables = jax.tree.map(jnp.asarray, heisenberg.tables(spec))
    x, y, w = (jnp.asarray(column, jnp.float32) for column in batch(spec, rows))
    params = {name: jnp.asarray(value, jnp.float32) for name, value in spec.init(0).items()}
    plan, objective = heisenberg.plan(spec), Objective()
    circuit = params["weights"], params["readout"]
    C = heisenberg.prepare(spec, tables, *circuit)

    def evolve(weights, readout):
        return heisenberg.prepare(spec, tables, weights, readout)

    def features(x):
        return heisenberg.bloch_features(spec, x.T[np.array(plan.order)])

    f = features(x)
    halves = f[: len(plan.left)], f[len(plan.left) :]

    def loss(params):
        s = heisenberg.scores(spec, tables, evolve(params["weights"], params["readout"]), x)
        return objective.batch_loss(params, s, y, w)

    return {
        "evolve the observable": (evolve, circuit),
        "its backward pass": (lambda c, *args: jax.vjp(evolve, *args)[1](c), (C, *circuit)),
        "features of the rows": (features, (x,)),
        "contraction": (heisenberg.contract, (C, *halves)),
        "its backward pass, by C": (
            lambda g, c: jax.vjp(lambda c: heisenberg.contract(c, *halves), c)[1](g),
            (w, C),
        ),
        "the whole step": (jax.value_and_grad(loss), (params,)),
    }


def main() -> None:
    spec = CircuitSpec()
    gemm, copy = gemm_rate(), copy_rate()
    print(f"{spec}, float32: matrix products reach {gemm / 1e9:.0f} GFLOP/s, copies {copy / 1e9:.0f} GB/s\n")
    print(
        f"{'rows':>6}  {'phase':26}{'ms':>8}{'GFLOP':>9}{'MB':>8}{'GFLOP/s':>9}{'bound ms':>10}{'reached':>9}  bound by"
    )
    for rows in map(padded, ROWS):
        made = {name: jax.jit(f).lower(*args).compile() for name, (f, args) in phases(spec, rows).items()}
        arguments = {name: args for name, (_, args) in phases(spec, rows).items()}
        calls = {
            name: lambda f=f, a=arguments[name]: jax.block_until_ready(f(*a)) for name, f in made.items()
        }
        in_turn(calls, 2)
        for name, seconds in in_turn(calls, ROUNDS).items():
            counted, time = made[name].cost_analysis(), float(np.median(seconds))
            operations, moved = counted["flops"], counted["bytes accessed"]
            by = {"operations": operations / gemm, "memory": moved / copy}
            bound = max(by, key=by.get)
            print(
                f"{rows:6}  {name:26}{1e3 * time:8.2f}{operations / 1e9:9.4f}{moved / 1e6:8.1f}{operations / time / 1e9:9.0f}"
                f"{1e3 * by[bound]:10.2f}{by[bound] / time:9.0%}  {bound}",
                flush=True,
            )


if __name__ == "__main__":
    main()
