"""Do gradients survive more wires and layers? Their variance over random initialisations, from plain numpy state vectors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from qnb.core.circuit import CircuitSpec
from qnb.reporting.verdict import Verdict

BARREN, NOT_BARREN = 0.5, 0.25  # bits per wire: variance falling as 2^(-b n) with b above, below


def gradient_variance(spec: CircuitSpec, initialisations: int, rng: np.random.Generator) -> dict[str, float]:
    """Variance of ds/dp over weights uniform on [-pi, pi] and inputs uniform on [0, pi], for the RY angle p of the middle layer that has
    the largest (others may lie outside the observable's light cone): of <Z_0>, of the mean of <Z_i>, and, for contrast, of
    <Z x ... x Z> (McClean et al., Nat. Commun. 9, 4812, 2018; Cerezo et al., Nat. Commun. 12, 1791, 2021: local observables of shallow
    circuits keep their gradients, global ones do not)."""
    X = rng.uniform(0, np.pi, (initialisations, spec.features))
    weights = rng.uniform(-np.pi, np.pi, (initialisations, *spec.shapes["weights"]))
    found = []
    for wire in range(spec.wires):
        pair = []
        for shift in (np.pi / 2, -np.pi / 2):
            moved = weights.copy()
            moved[:, spec.layers // 2, wire, 1] += shift
            pair.append(expectations(spec, moved, X))
        slopes = (pair[0] - pair[1]) / 2  # (N, n + 1)
        found.append([slopes[:, 0].var(), slopes[:, :-1].mean(axis=1).var(), slopes[:, -1].var()])
    return dict(zip(("z0", "mean_z", "global"), np.max(found, axis=0).tolist(), strict=True))


def expectations(spec: CircuitSpec, weights: np.ndarray, X: np.ndarray) -> np.ndarray:
    """<Z_0>, ..., <Z_{n-1}> and <Z x ... x Z> without a readout, one circuit for each set of weights: weights (N, L, n, 3), X (N, f)
    -> (N, n + 1). Plain numpy state vectors: no compiler waits for each size."""
    n, count = spec.wires, len(weights)
    if spec.encoder == "amplitude":
        state = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(complex)
    else:
        state = np.zeros((count, 2**n), complex)
        state[:, 0] = 1
    basis = np.arange(2**n)
    for layer in range(spec.layers):
        if spec.encoder != "amplitude" and (layer == 0 or spec.reupload):
            for i in range(n):
                if spec.hadamard:
                    state = _on_wire(state, i, np.broadcast_to(np.array([[1, 1], [1, -1]]) / np.sqrt(2), (count, 2, 2)))
                if spec.encoder == "angle_xy":
                    cos, sin = np.cos(X[:, i] / 2), np.sin(X[:, i] / 2)
                    state = _on_wire(state, i, np.stack([cos, -1j * sin, -1j * sin, cos], -1).reshape(count, 2, 2))
                state = _on_wire(state, i, _rz_ry_rz(np.stack([0 * X[:, i], X[:, i], 0 * X[:, i]], -1)))
        for i in range(n):
            state = _on_wire(state, i, _rz_ry_rz(weights[:, layer, i]))
        for control, target in spec.cnots(layer):
            state = state[:, basis ^ (((basis >> (n - 1 - control)) & 1) << (n - 1 - target))]
    signs = 1 - 2 * ((basis >> np.arange(n - 1, -1, -1)[:, None]) & 1)
    found: np.ndarray = np.abs(state) ** 2 @ np.vstack([signs, signs.prod(axis=0)]).T
    return found


def _rz_ry_rz(angles: np.ndarray) -> np.ndarray:
    a, b, c = angles.T
    cos, sin = np.cos(b / 2), np.sin(b / 2)
    entries = [
        np.exp(-0.5j * (a + c)) * cos,
        -np.exp(0.5j * (a - c)) * sin,
        np.exp(-0.5j * (a - c)) * sin,
        np.exp(0.5j * (a + c)) * cos,
    ]
    return np.stack(entries, -1).reshape(-1, 2, 2)


def _on_wire(state: np.ndarray, wire: int, matrices: np.ndarray) -> np.ndarray:
    split = state.reshape(len(state), 2**wire, 2, -1)
    turned: np.ndarray = np.einsum("nij,najb->naib", matrices, split).reshape(state.shape)
    return turned


def variances(spec: CircuitSpec, wires: Sequence[int], layers: Sequence[int], initialisations: int, seed: int) -> pd.DataFrame:
    """`gradient_variance` over a grid: wires, layers, z0, mean_z, global."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([
        {"wires": n, "layers": depth} | gradient_variance(replace(spec, wires=n, layers=depth, measurement="mean_z"), initialisations, rng)
        for depth in layers for n in wires
    ])  # fmt: skip


def decay(table: pd.DataFrame, column: str) -> pd.Series:
    """Per number of layers: b of a least-squares fit of the variance by 2^(-b n), bits per wire.

    The average over n wires in `mean_z` brings a factor 1/n^2, which is no plateau: it is taken out before the fit.
    """

    def fit(rows: pd.DataFrame) -> float:
        variance = rows[column] * (rows["wires"] ** 2 if column == "mean_z" else 1)
        slope: float = np.polyfit(rows["wires"], np.log2(variance.clip(lower=1e-30)), 1)[0]
        return -slope

    bits: pd.Series = table.groupby("layers")[["wires", column]].apply(fit)
    return bits


def judge_plateau(table: pd.DataFrame, layers: int, column: str) -> Verdict:
    """Whether gradients vanish exponentially with wires for this depth and observable (`z0`, `mean_z` or `global`)."""
    decays = {name: decay(table, name) for name in ("z0", "mean_z", "global")}
    bits = decays[column]
    b = float(bits[layers])
    verdict = "reproduced" if b > BARREN else "refuted" if b < NOT_BARREN else "changed"
    figures = {"bits_per_wire": {name: dict(zip(s.index.tolist(), s.tolist(), strict=True)) for name, s in decays.items()}}
    deepest = int(bits.index.max())
    text = (
        f"With {layers} layers the variance of ds/dp under {column} falls by {b:.2f} bits per wire "
        f"({float(decays['global'][layers]):.2f} for the global observable), with {deepest} layers by {float(bits[deepest]):.2f}."
    )
    return Verdict(
        f"Barren plateau: the gradient of {column} vanishes exponentially with wires at {layers} layers", verdict, figures,
        {"barren above": BARREN, "not below": NOT_BARREN}, text,
    )  # fmt: skip
