"""One row's logit from a model, beside the smallest forward program of its engine.

    python -m benchmarks single_rows

Host time included, from float64 features to a float64 logit, as `qnb.Model.logits_of_features` is called once for each row that
comes. The smallest program is the one that a row takes: 16 rows of the exact engine, one row of the catalyst engine.
"""

import numpy as np

from benchmarks.timing import in_turn
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine, steady_scores
from qnb.core.objective import Objective
from qnb.training.model import Model

CIRCUITS = (
    CircuitSpec(4, 2),
    CircuitSpec(8, 3),
    CircuitSpec(8, 3, reupload=True),
    CircuitSpec(12, 3, reupload=True),
)
ROWS = {"exact": 16, "catalyst": 1}  # of the smallest program
TARGET = 1.5  # times as long as that at most
ROUNDS = 40


def main() -> None:
    """Print a line per engine and circuit."""
    print(f"{'engine':10}{'circuit':34}{'one row ms':>12}{'program ms':>12}{'ratio':>8}   target {TARGET:g}")
    for name, rows in ROWS.items():
        for spec in CIRCUITS:
            rng = np.random.default_rng(0)
            params = {k: v + 0.5 * rng.normal(size=v.shape) for k, v in spec.init(0).items()}
            model, engine = (
                Model(spec, Objective(), params, None, 0.0, name),
                make_engine(name, spec, Objective()),
            )
            X = rng.uniform(0, np.pi, (rows, spec.wires))
            calls = {
                "one row": lambda model=model, X=X: model.logits_of_features(X[:1]),
                "program": lambda engine=engine, params=params, X=X: steady_scores(engine, params, X),
            }
            in_turn(calls, 3)
            ms = {call: 1e3 * np.median(times) for call, times in in_turn(calls, ROUNDS).items()}
            ratio = ms["one row"] / ms["program"]
            circuit = f"{spec.wires} wires, {spec.layers} layers{', re-uploading' if spec.reupload else ''}"
            figures = f"{ms['one row']:12.2f}{ms['program']:12.2f}{ratio:8.2f}"
            print(f"{name:10}{circuit:34}{figures}   {'met' if ratio <= TARGET else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main()
