"""The error model of the gradient gate: the largest float32 errors of losses and derivatives, in units of what it allows.

    python -m benchmarks gate_errors

At random parameters (spread 0.05 to 3, alpha 1 to 48) and batches, on both paths of the exact engine, against the same engine in
float64. Noise: of a loss; rounding: of a claimed derivative along a random unit direction and along the gradient, in each group.
The model holds where no figure is over 1.
"""

import numpy as np

from qnb.core.circuit import CircuitSpec, Params
from qnb.core.exact import PATHS, ExactEngine
from qnb.core.gate import _BatchLoss
from qnb.core.objective import Objective

WIRES = (2, 4, 6, 8, 10, 12)
LAYERS = (1, 3, 8)
ROWS, POINTS, DIRECTIONS = 32, 6, 4
LARGEST = 10  # wires up to which the path that evolves 4^wires numbers is tried


def random_point(spec: CircuitSpec, rng: np.random.Generator) -> Params:
    """As the gate's benchmark draws them."""
    params = {
        name: rng.choice([0.05, 0.5, 3.0]) * rng.normal(size=shape) for name, shape in spec.shapes.items()
    }
    params["alpha"] = np.asarray(np.log(np.expm1(np.exp(rng.uniform(0, np.log(48))))))
    return params | {"bias": np.asarray(rng.normal(scale=0.3))}


def errors_at(spec: CircuitSpec, path: str, rng: np.random.Generator) -> tuple[float, dict[str, float]]:
    """(noise, rounding by group) over what the model allows, the largest of POINTS points."""
    noise, rounding = 0.0, dict.fromkeys(spec.shapes, 0.0)
    engines = {p: ExactEngine(spec, Objective(), precision=p) for p in ("float32", "float64")}
    engines["float32"].path = lambda rows, seeds=1: path
    for _ in range(POINTS):
        params, X = random_point(spec, rng), rng.uniform(0, np.pi, (ROWS, spec.features))
        batch = X, rng.integers(0, 2, ROWS).astype(float), rng.uniform(0.5, 1.5, ROWS)
        coarse, fine = (_BatchLoss(engine, *batch) for engine in engines.values())
        allowed = coarse.errors(params)
        noise = max(noise, abs(coarse(params) - fine(params)) / allowed["weights"].noise)
        found, right = (engine.loss_and_grad(params, *batch)[1] for engine in engines.values())
        for group, g in right.items():
            off = np.asarray(found[group], np.float64) - g
            for direction in [g, *rng.normal(size=(DIRECTIONS, *g.shape))]:
                norm = np.linalg.norm(direction)
                if norm > 0:
                    error = abs(float(np.sum(off * direction))) / norm
                    rounding[group] = max(rounding[group], error / allowed[group].rounding)
    return noise, rounding


def main() -> None:
    """Print a line per number of wires, layers, measurement and path."""
    groups = ("weights", "readout", "bias", "alpha")
    print(
        f"{'wires':>6}{'layers':>8}  {'measurement':16}{'path':12}{'noise':>8}"
        + "".join(f"{g:>9}" for g in groups)
    )
    worst, rng = 0.0, np.random.default_rng(0)
    for wires in WIRES:
        for layers in LAYERS:
            for measurement in ("mean_z_readout", "z_vec"):
                for path in PATHS:
                    if path == "heisenberg" and wires > LARGEST:
                        continue
                    noise, rounding = errors_at(
                        CircuitSpec(wires, layers, measurement=measurement), path, rng
                    )
                    worst = max(worst, noise, *rounding.values())
                    figures = f"{noise:8.2f}" + "".join(f"{rounding[g]:9.2f}" for g in groups)
                    print(f"{wires:6}{layers:8}  {measurement:16}{path:12}{figures}", flush=True)
    print(f"\nlargest: {worst:.2f}; the model {'holds' if worst <= 1 else 'does NOT hold'}")


if __name__ == "__main__":
    main()
