"""Do gradients survive more wires and layers? Their variance over random initialisations.

Measured on default.qubit, for layers of arbitrary gates on the exact engine, whatever the engine under test.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pennylane as qml

from qnb.core.circuit import CircuitSpec, Layer, Measurement
from qnb.core.engine import make_engine, score_gradient
from qnb.core.objective import Objective
from qnb.core.parts import mean
from qnb.errors import ParameterError
from qnb.reporting.verdict import Verdict, answer

OBSERVABLES = ("z0", "mean_z", "global")
BARREN, NOT_BARREN = 0.5, 0.25  # bits per wire: variance falling as 2^(-b n) with b above, below


def gradient_variance(spec: CircuitSpec, initialisations: int, rng: np.random.Generator) -> dict[str, float]:
    """Variance of ds/dp over weights uniform on [-pi, pi] and inputs uniform on [0, pi].

    p is the parameter of the middle layer with the largest variance, because others may lie outside the
    observable's light cone; for patterns of CNOTs, only RY angles are considered. Local observables of
    shallow circuits keep their gradients, global ones do not (McClean et al., Nat. Commun. 9, 4812, 2018;
    Cerezo et al., Nat. Commun. 12, 1791, 2021).

    Args:
        initialisations: number of random draws.

    Returns:
        By observable: `z0` <Z_0>, `mean_z` the mean of <Z_i>, `global` <Z x ... x Z>.
    """
    X = rng.uniform(0, np.pi, (initialisations, spec.features))
    weights = rng.uniform(-np.pi, np.pi, (initialisations, *spec.shapes["weights"]))
    slopes = (_by_engine if isinstance(spec.layer, Layer) else _by_shifts)(spec, weights, X)
    return dict(zip(OBSERVABLES, slopes.var(axis=0).max(axis=1).tolist(), strict=True))


def _by_shifts(spec: CircuitSpec, weights: np.ndarray, X: np.ndarray) -> np.ndarray:
    """ds/dp of each observable for the RY angles of the middle layer of a pattern, (N, 3, n)."""
    slopes = []
    for wire in range(spec.wires):
        shift = np.zeros(spec.shapes["weights"])
        shift[spec.layers // 2, wire, 1] = np.pi / 2
        # (N, n + 1)
        of_z = (expectations(spec, weights + shift, X) - expectations(spec, weights - shift, X)) / 2
        slopes.append([of_z[:, 0], of_z[:, :-1].mean(axis=1), of_z[:, -1]])
    return np.moveaxis(np.array(slopes), 2, 0).swapaxes(1, 2)


def _by_engine(spec: CircuitSpec, weights: np.ndarray, X: np.ndarray) -> np.ndarray:
    """ds/dp of each observable for every parameter of the middle layer, (N, 3, P), by the exact engine."""
    n = spec.wires
    words = [*("I" * i + "Z" + "I" * (n - 1 - i) for i in range(n)), "Z" * n]
    measured = replace(spec, measurement=Measurement(None, words=words))
    engine = make_engine("exact", measured, Objective(alpha_mode="direct"), precision="float64")
    observables = np.array([np.eye(n + 1)[0], np.append(mean(n), 0), np.eye(n + 1)[n]])

    def slopes(of_one: np.ndarray, readout: np.ndarray, x: np.ndarray) -> np.ndarray:
        params = measured.init(0, "direct") | {"weights": of_one, "readout": readout}
        return np.ravel(score_gradient(engine, params, x)[1]["weights"][spec.layers // 2])

    return np.array([[slopes(w, c, x) for c in observables] for w, x in zip(weights, X, strict=True)])


def expectations(spec: CircuitSpec, weights: np.ndarray, X: np.ndarray) -> np.ndarray:
    """<Z_0>, ..., <Z_{n-1}> and <Z x ... x Z> without a readout, for N circuits: weights (N, L, n, 3) and
    X (N, features) -> (N, n + 1).

    On default.qubit, all circuits as one batch, so that no size has to be compiled.
    """
    wires = range(spec.wires)
    local = [qml.PauliZ(i) for i in wires]

    def circuit() -> list[qml.measurements.ExpectationMP]:
        replace(spec, measurement="mean_z", scaling=False).apply(
            np.moveaxis(weights, 0, -1), None, X if spec.encoder == "amplitude" else X.T
        )
        return [qml.expval(z) for z in (*local, qml.prod(*local))]

    return np.stack(qml.QNode(circuit, qml.device("default.qubit", wires=spec.wires))(), axis=-1)


def grid(spec: CircuitSpec, quick: bool) -> tuple[list[int], list[int]]:
    """Numbers of wires and of layers for `variances`.

    The number of layers of `spec` is among them; numbers of wires that your own parts do not accept are left
    out. For layers of arbitrary gates there are fewer, because each size is compiled.
    """
    wires, depths = ([2, 4, 6, 8], {1, 3, 8}) if quick else ([2, 4, 6, 8, 10], {1, 3, 8, 16, 32})
    if isinstance(spec.layer, Layer):
        wires, depths = wires[:-1], {1, 3} if quick else {1, 3, 8}
    depths |= {spec.layers}
    return [n for n in wires if _takes(spec, n, max(depths))], sorted(depths)


def _takes(spec: CircuitSpec, wires: int, layers: int) -> bool:
    try:
        replace(spec, wires=wires, layers=layers, measurement="mean_z")
    except ParameterError:
        return False
    return True


def variances(
    spec: CircuitSpec, wires: Sequence[int], layers: Sequence[int], initialisations: int, seed: int
) -> pd.DataFrame:
    """`gradient_variance` over a grid, one row per circuit: wires, layers, z0, mean_z, global."""
    rng, spec = np.random.default_rng(seed), replace(spec, measurement="mean_z")  # words would fix the wires
    return pd.DataFrame(
        [
            {"wires": n, "layers": depth}
            | gradient_variance(replace(spec, wires=n, layers=depth), initialisations, rng)
            for depth in layers
            for n in wires
        ]
    )


def decay(table: pd.DataFrame, column: str) -> pd.Series:
    """By number of layers, b in bits per wire from a least-squares fit of log2(variance) by -b n + const.

    The average over n wires in `mean_z` brings a factor 1/n^2 that is no barren plateau; it is removed
    before the fit. NaN with fewer than two numbers of wires.

    Args:
        table: from `variances`.
        column: one of OBSERVABLES.
    """

    def fit(rows: pd.DataFrame) -> float:
        if len(rows) < 2:
            return float("nan")
        variance = rows[column] * (rows["wires"] ** 2 if column == "mean_z" else 1)
        slope: float = np.polyfit(rows["wires"], np.log2(variance.clip(lower=1e-30)), 1)[0]
        return -slope

    bits: pd.Series = table.groupby("layers")[["wires", column]].apply(fit)
    return bits


def judge_plateau(table: pd.DataFrame, layers: int, column: str) -> Verdict:
    """Is there a barren plateau: do gradients vanish exponentially with wires at this number of layers?

    Yes above BARREN bits per wire, no below NOT_BARREN.

    Args:
        table: from `variances`.
        column: one of OBSERVABLES.
    """
    decays = {name: decay(table, name) for name in OBSERVABLES}
    bits = decays[column]
    b = float(bits[layers])
    holds = None if np.isnan(b) or NOT_BARREN <= b <= BARREN else b > BARREN
    figures = {
        "bits_per_wire": {
            name: dict(zip(s.index.tolist(), s.tolist(), strict=True)) for name, s in decays.items()
        }
    }
    deepest, depth = int(bits.index.max()), f"{layers} layer{'s' if layers > 1 else ''}"
    text = (
        f"With {depth} the variance of ds/dp under {column} falls by {b:.2f} bits per wire "
        f"({float(decays['global'][layers]):.2f} for the global observable), with {deepest} layers by "
        f"{float(bits[deepest]):.2f}."
    )
    if np.isnan(b):
        text = "Gradients of one number of wires alone show no decay with wires."
    elif holds is None:
        text += f" Between {NOT_BARREN:g} and {BARREN:g} the fit over these wires does not decide."
    return Verdict(
        f"Does the gradient of {column} vanish exponentially with wires at {depth} (barren plateau)?",
        answer(holds),
        figures,
        {"barren above": BARREN, "not below": NOT_BARREN},
        text,
    )
