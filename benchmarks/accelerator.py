"""Training steps of the exact engine where JAX runs, an accelerator where there is one: wires by batch by precision.

    python -m benchmarks.accelerator [TABLE.csv [WIRES ...]]

`step ms` is one gradient from float64 rows to float64 gradients in the host's memory; `chunk ms` a step of Adam where many are one
program, as in a training, their batches' way to the device included. `error` is the largest difference of a gradient on 64 rows
from that of float64 on this machine's processor, over that gradient's largest entry. Every line's engine must pass the gate on them.
"""

import functools
import platform
import sys
import time
from collections.abc import Iterator

import jax
import numpy as np
import optax
import pandas as pd

from benchmarks.rows import batch, params_of
from benchmarks.timing import median_seconds
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.exact import PRECISIONS, ExactEngine
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective
from qnb.core.settings import own_settings

WIRES, BATCHES = (8, 4, 12, 6, 10), (256, 4096, 65536)
CHECKED, SECONDS = 64, 0.4  # rows of the comparison; of repeated calls for a median
STEPS, CHUNK_SECONDS = 64, 2.0  # of a chunk at most; the engine may take fewer of large batches


def where() -> str:
    """The device that JAX computes on, in words."""
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform}, {platform.machine()}), JAX {jax.__version__}"


def error(engine: ExactEngine, params: Params) -> float:
    """How far a gradient is from that of float64 on the processor, relative to its largest entry.

    Raises:
        WrongGradientError: the gate finds the gradient wrong on those rows.
    """
    data = batch(engine.spec, CHECKED)
    check_gradient(engine, params, *data)
    with jax.default_device(jax.devices("cpu")[0]):
        _, known = ExactEngine(engine.spec, engine.objective, precision="float64").loss_and_grad(
            params, *data
        )
    _, grads = engine.loss_and_grad(params, *data)
    largest = max(np.abs(value).max() for value in known.values())
    return max(float(np.abs(grads[group] - known[group]).max()) for group in known) / largest


def times(engine: ExactEngine, params: Params, rows: int) -> dict[str, object]:
    """Of a batch of so many rows: times in ms, medians."""
    data, started = batch(engine.spec, rows), time.perf_counter()
    step = median_seconds(functools.partial(engine.loss_and_grad, params, *data), SECONDS)
    count = max(1, min(STEPS, engine.steps_at_once(rows), int(CHUNK_SECONDS / step)))
    adam = optax.adam(1e-3)
    with own_settings():
        state = adam.init(params)
    chunk = tuple(np.stack([column] * count) for column in data)
    took = functools.partial(engine.take_steps, adam.update, params, state, *chunk)
    return {
        "path": engine.path(rows),
        "step ms": 1e3 * step,
        "chunk ms": 1e3 * median_seconds(took, SECONDS) / count,
        "steps of a chunk": count,
        "seconds to measure": time.perf_counter() - started,
    }


def lines(wires: int, precision: str) -> Iterator[dict[str, object]]:
    """A line of the table for each batch, once the gate has passed.

    Raises:
        WrongGradientError: as `error`.
    """
    engine = ExactEngine(CircuitSpec(wires), Objective(), precision=precision)
    params = params_of(engine.spec)
    known = {"wires": wires, "precision": precision, "error": error(engine, params)}
    for rows in BATCHES:
        yield known | {"batch": rows} | times(engine, params, rows)


def main(path: str | None = None, *wires: str) -> None:
    """Print a line as soon as it is known, and keep what is known in the file."""
    print(where(), flush=True)
    rows = []
    for n in map(int, wires or WIRES):
        for precision in PRECISIONS:
            for line in lines(n, precision):
                rows.append(line | {"device": where()})
                print("  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                                for name, value in list(rows[-1].items())[:-1]), flush=True)  # fmt: skip
                if path:
                    pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
