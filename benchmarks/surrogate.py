"""Speed of the surrogate: rows per second from angles to logits, beside the engines' forward passes, and its distance from the circuit.

    python -m benchmarks.surrogate

Host time included, from float64 rows to float64 logits. The models take turns, so that a busy moment meets all of them; the
medians are over turns. The distance is the largest of 256 logits, from PennyLane's default.qubit in float64, at alpha = 40.
"""

import time

import numpy as np
import pandas as pd

from benchmarks.timing import in_turn
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.data.features import FeatureMap
from qnb.studies.surrogate import difference_from_circuit
from qnb.training.model import Model

ROWS = 200_000
TURNS = 7


def model_of(spec: CircuitSpec) -> Model:
    """A model with random angles, and a feature map of random rows, which takes no part here."""
    rng = np.random.default_rng(0)
    params = spec.init(0) | {
        "weights": rng.uniform(-np.pi, np.pi, spec.shapes["weights"]),
        "alpha": np.asarray(40.0),
    }
    frame = pd.DataFrame(
        rng.normal(size=(100, spec.wires + 1)), columns=[f"c{i}" for i in range(spec.wires + 1)]
    )
    return Model(
        spec, Objective(), params, FeatureMap.fit(frame, np.arange(100) % 2, spec.wires, "0_pi"), 0.0
    )


def main(wires=(4, 6, 8, 10)) -> None:
    """Print a line per number of wires and encoder."""
    columns = ("coefficients", "export ms", "surrogate M/s", "exact f32 M/s", "exact f64 M/s", "distance")
    print(f"{'circuit':14}" + "".join(f"{c:>15}" for c in columns))
    for spec in [*(CircuitSpec(n) for n in wires), CircuitSpec(8, encoder="angle_xy")]:
        model = model_of(spec)
        X = np.random.default_rng(1).uniform(0, np.pi, (ROWS, spec.wires))
        surrogate = model.surrogate()
        engines = {
            p: make_engine("exact", spec, model.objective, precision=p) for p in ("float32", "float64")
        }
        rows = ROWS if surrogate.coefficients.size < 10_000 else ROWS // 10
        calls = {"surrogate": lambda s=surrogate, rows=rows, X=X: s.logits_of_features(X[:rows])}
        calls |= {
            p: lambda e=e, rows=rows, X=X, m=model: e.scores(m.params, X[:rows]) for p, e in engines.items()
        }
        in_turn(calls, 1)
        seconds = {name: np.median(times) for name, times in in_turn(calls, TURNS).items()}
        started = time.perf_counter()
        model.surrogate()
        figures = [f"{surrogate.coefficients.size:,}", f"{1e3 * (time.perf_counter() - started):.0f}"]
        figures += [f"{rows / seconds[name] / 1e6:.2f}" for name in ("surrogate", "float32", "float64")]
        figures.append(f"{difference_from_circuit(surrogate, model, X[:256]):.1e}")
        print(f"{f'{spec.wires} {spec.encoder}':14}" + "".join(f"{f:>15}" for f in figures), flush=True)


if __name__ == "__main__":
    main()
