"""A training step of the exact engine beside other simulators': batch by wires, as a table and a figure.

    python -m benchmarks.peers [FIGURE.png]

A step is the loss of a batch with its gradient, three layers and `mean_z_readout`, from float64 rows to a gradient in numpy. Those
of one row at a time (lightning.qubit, qulacs) are timed on at most ROWS rows, and in proportion above. tensorcircuit-ng and qulacs are
measured where they are installed (`make peers`). Each peer's gradient must be the exact engine's; what takes more than LIMIT seconds
to compile is left out, with all that is larger, and so is what would keep more states for the backward pass than there is memory.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pennylane as qml
from matplotlib.figure import Figure
from pennylane.devices import ExecutionConfig
from threadpoolctl import ThreadpoolController

from benchmarks.rows import batch, params_of
from benchmarks.timing import in_turn
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.exact import ExactEngine
from qnb.core.memory import available_memory
from qnb.core.objective import Objective
from qnb.probes.contenders import Mapped, NotMeasured, default_qubit, tensorcircuit
from qnb.reporting import plots

WIRES, BATCHES = (4, 6, 8, 10, 12), (1, 32, 256, 4096)
ROWS, LIMIT, ROUNDS = 32, 60.0, 5
SHOWN_WIRES, SHOWN_BATCH = 8, 256  # of the figure's two panels


class RowByRow:
    """A simulator of one circuit: the batch's gradient by the chain rule through the head.

    `row(params, x)` returns s and its gradient by weights and readout, one after the other, (P,).
    """

    def __init__(self, spec: CircuitSpec, objective: Objective):
        self.spec = spec
        self._head = jax.jit(jax.value_and_grad(lambda s, *args: objective.batch_loss(args[0], s, *args[1:])))

    def row(self, params: Params, x: np.ndarray) -> tuple[float, np.ndarray]:
        raise NotImplementedError

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`; the gradients by weights and readout alone."""
        scores, slopes = map(np.array, zip(*(self.row(params, x) for x in X), strict=True))
        loss, by_score = self._head(scores, params, y, w)
        weights, readout = np.split(np.asarray(by_score) @ slopes, [params["weights"].size])
        return float(loss), {"weights": weights.reshape(params["weights"].shape), "readout": readout}


class Lightning(RowByRow):
    """PennyLane's lightning.qubit, its adjoint method called on tapes from Python; complex128."""

    def __init__(self, spec: CircuitSpec, objective: Objective, device: Any = None):
        super().__init__(spec, objective)
        self.device = qml.device("lightning.qubit", wires=spec.wires)
        self.config = self.device.setup_execution_config(ExecutionConfig(gradient_method="adjoint"))

    def row(self, params, x):
        with qml.queuing.AnnotatedQueue() as queue:
            self.spec.score(params["weights"], params["readout"], x)
        tape = qml.tape.QuantumScript.from_queue(queue)
        n, k = self.spec.features, params["weights"].size + params["readout"].size
        tape.trainable_params = range(n, n + k)
        (score,), (slope,) = self.device.execute_and_compute_derivatives([tape], self.config)
        return float(score), np.array(slope)


class Qulacs(RowByRow):
    """qulacs, its own backpropagation of one circuit; complex128."""

    def __init__(self, spec: CircuitSpec, objective: Objective, device: Any = None):
        if importlib.util.find_spec("qulacs") is None:
            raise NotMeasured("qulacs is not installed; `make peers` installs it into .venv.")
        import qulacs

        super().__init__(spec, objective)
        self.circuit, self.state = (
            qulacs.ParametricQuantumCircuit(spec.wires),
            qulacs.QuantumState(spec.wires),
        )
        self.z = qulacs.Observable(spec.wires)
        for i in range(spec.wires):
            self.circuit.add_parametric_RY_gate(i, 0.0)
            self.z.add_operator(1 / spec.wires, f"Z {i}")
        for layer in range(spec.layers):
            self._turns()
            for control, target in spec.cnots(layer):
                self.circuit.add_CNOT_gate(control, target)
        self._turns()

    def _turns(self) -> None:
        for i in range(self.spec.wires):
            self.circuit.add_parametric_RZ_gate(i, 0.0)
            self.circuit.add_parametric_RY_gate(i, 0.0)
            self.circuit.add_parametric_RZ_gate(i, 0.0)

    def row(self, params, x):
        # qulacs turns by exp(+i theta P / 2)
        for k, angle in enumerate(np.concatenate([x, params["weights"].ravel(), params["readout"]])):
            self.circuit.set_parameter(k, -float(angle))
        self.state.set_zero_state()
        self.circuit.update_quantum_state(self.state)
        slope = -np.array(self.circuit.backprop(self.z))[self.spec.features :]
        return self.z.get_expectation_value(self.state), slope


PEERS: dict[str, Callable[..., Any]] = {
    "exact engine": lambda spec, objective, device: ExactEngine(spec, objective),
    "default.qubit, jit + vmap": default_qubit,
    "tensorcircuit-ng, jit + vmap": tensorcircuit,
    "lightning.qubit, adjoint": Lightning,
    "qulacs, backprop": Qulacs,
}


def agrees(made: Any, exact: Any, params: Params, data: tuple[np.ndarray, ...]) -> None:
    """Raises AssertionError where the gradient is not the exact engine's."""
    (loss, grads), (true, known) = made.loss_and_grad(params, *data), exact.loss_and_grad(params, *data)
    np.testing.assert_allclose(loss, true, atol=1e-5)
    for name in ("weights", "readout"):
        np.testing.assert_allclose(
            grads[name], known[name], atol=2e-5 * np.abs(known[name]).max() + 1e-7, err_msg=name
        )


def states_bytes(spec: CircuitSpec) -> int:
    """What reverse-mode differentiation through the gates of one row keeps: a complex64 state for each."""
    gates = spec.features + 3 * spec.wires * (spec.layers + 1) + spec.wires * spec.layers
    return gates * 2**spec.wires * 8


def measure(wires: tuple[int, ...] = WIRES, batches: tuple[int, ...] = BATCHES) -> pd.DataFrame:
    """Median milliseconds a step: one row per wires, batch and peer; NaN where it took too long to compile, or is not there."""
    rows, over = [], {name: np.inf for name in PEERS}  # work = rows * 2^wires from which a peer is left out
    for n in wires:
        spec, objective = CircuitSpec(wires=n), Objective()
        params = params_of(spec)
        made = {}
        for name, build in PEERS.items():
            try:
                made[name] = build(spec, objective, None)
            except NotMeasured as why:
                print(f"{name}: {why}")
        for size in batches:
            calls, scale = {}, {}
            for name, way in made.items():
                if size * 2**n >= over[name]:
                    continue
                if isinstance(way, Mapped) and (kept := size * states_bytes(spec)) > available_memory():
                    print(f"{n:3} wires{size:6} rows  {name}: needs {kept / 1e9:.0f} GB")
                    continue
                taken = min(size, ROWS) if isinstance(way, RowByRow) else size
                data = batch(spec, taken)
                started = time.perf_counter()
                way.loss_and_grad(params, *data)
                if name != "exact engine" and time.perf_counter() - started > LIMIT:
                    over[name] = min(over[name], size * 2**n)
                    continue
                agrees(way, made["exact engine"], params, data)
                calls[name] = partial(way.loss_and_grad, params, *data)
                scale[name] = size / taken
            with ThreadpoolController().limit(limits=1, user_api="openmp"):
                seconds = in_turn(calls, ROUNDS)
            of_exact = seconds["exact engine"]
            for name in made:
                times = seconds.get(name, np.array([np.nan])) * scale.get(name, 1.0)
                ratio = float(np.median(times / of_exact))
                rows.append(
                    {
                        "wires": n,
                        "batch": size,
                        "peer": name,
                        "ms": 1e3 * float(np.median(times)),
                        "ratio": ratio,
                    }
                )
                print(
                    f"{n:3} wires{size:6} rows  {name:30}{rows[-1]['ms']:11.2f} ms{ratio:10.1f}", flush=True
                )
    return pd.DataFrame(rows)


@plots.styled
def figure(found: pd.DataFrame) -> Figure:
    """Gradients of single rows per second, against the batch and against wires."""
    fig, (left, right) = plots.new_figure(2, height=4.4, width=11.0)
    colours = [plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.INK]
    for (name, colour), marker in zip(zip(PEERS, colours, strict=True), "osD^v", strict=True):
        of = found[found["peer"] == name]
        rate = of["batch"] / of["ms"] * 1e3
        for axes, kept, x in (
            (left, of["wires"] == SHOWN_WIRES, "batch"),
            (right, of["batch"] == SHOWN_BATCH, "wires"),
        ):
            axes.plot(of[kept][x], rate[kept], marker=marker, color=colour, label=name, markersize=5)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="rows in a batch",
        ylabel="gradients per second",
        title=f"{SHOWN_WIRES} wires",
    )
    right.set(yscale="log", xlabel="wires", title=f"batches of {SHOWN_BATCH}", xticks=WIRES)
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return plots.caption(
        fig,
        "three layers, mean_z_readout, two cores; one row is one circuit with its 3 n (layers + 1) derivatives",
    )


def main(path: str | None = None) -> None:
    found = measure()
    print(
        f"\nhow many times as long as the exact engine\n{found.pivot_table('ratio', ['wires', 'batch'], 'peer', sort=False).round(1)}"
    )
    if path:
        figure(found).savefig(Path(path), dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
