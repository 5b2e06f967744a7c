"""How many shots per circuit does the AUC need? From the exact distribution of a single shot's outcome.

One shot of a readout that is a weighted sum of Z_i gives sum_i c_i z_i with z_i = +-1, the bits measured
together; the score estimated from S shots is the mean of S such outcomes. Nothing is approximated: shots are
drawn from the state vector's probabilities, as multinomial counts of the distinct values of the sum.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.experimental import enable_x64
from sklearn.metrics import roc_auc_score

from qnb.core import statevector
from qnb.core.circuit import CircuitSpec, Params
from qnb.errors import ParameterError
from qnb.probes.geometry import Sides
from qnb.reporting.verdict import Verdict, unanimous
from qnb.training.state import circuit_of

if TYPE_CHECKING:
    from qnb.config import TrainConfig

MARGIN = 0.005  # of AUC: what shots may cost
LEVEL = 0.95  # of the interval over draws
SHOTS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
DRAWS = 100  # of the scores of all rows, for each number of shots
FEW = 1000  # shots per circuit that a device gives without effort


def outcomes(spec: CircuitSpec, params: Params, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The possible outcomes of one shot, and their probabilities for each row, in double precision.

    Args:
        params: weights, readout, and scaling where it is trained.
        X: rows as the encoder takes them, angles in radians (or amplitudes), (B, features).

    Returns:
        values: the distinct values of the measured sum, ascending, (K,).
        probabilities: (B, K); probabilities @ values is the exact score.

    Raises:
        ParameterError: a circuit that the state-vector path cannot run: a parity, or gates of your own.
    """
    if not spec.fast:
        raise ParameterError(
            f"encoder={spec.encoder!r}, ansatz={spec.ansatz!r}, measurement={spec.measurement!r}: the "
            "distribution of shots is known for this package's circuits and weighted sums of Z_i. Use one."
        )
    with enable_x64():
        tables = jax.tree.map(jnp.asarray, statevector.tables(spec))
        weights, readout = (jnp.asarray(params[group], jnp.float64) for group in ("weights", "readout"))
        steps, diagonal = statevector.prepare(spec, tables, weights, readout)
        values, indices = np.unique(np.round(np.asarray(diagonal), 12), return_inverse=True)
        of_value = jnp.asarray(np.arange(len(values))[:, None] == indices, jnp.float64)
        scaling = (jnp.asarray(params["scaling"], jnp.float64),) if spec.scaling else ()
        probabilities = statevector.scores(
            spec, tables, (steps, of_value), jnp.asarray(X, jnp.float64), *scaling
        )
    return values, np.asarray(probabilities).T


def auc_by_shots(
    values: np.ndarray,
    probabilities: np.ndarray,
    y: np.ndarray,
    shots: Sequence[int],
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """AUC of scores estimated from S shots per circuit.

    Args:
        values, probabilities: from `outcomes`, (K,) and (B, K).
        y: (B,) labels in {0, 1}, both present.
        shots: values of S, ascending.
        draws: how often the scores of all rows are drawn for each S.

    Returns:
        Columns shots, auc (mean over draws), low and high (quantiles over draws, coverage LEVEL), exact.
    """
    p = np.clip(probabilities, 0, None)
    p = p / p.sum(axis=1, keepdims=True)
    exact = roc_auc_score(y, p @ values)
    rows = []
    for count in shots:
        aucs = [roc_auc_score(y, rng.multinomial(count, p) @ values) for _ in range(draws)]
        low, high = np.quantile(aucs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        rows.append({"shots": count, "auc": np.mean(aucs), "low": low, "high": high, "exact": exact})
    return pd.DataFrame(rows)


def enough_shots(curve: pd.DataFrame, margin: float = MARGIN) -> int | None:
    """The lowest number of shots from which on the whole interval stays within `margin` of the exact AUC;
    None if it never does.

    Args:
        curve: from `auc_by_shots`.
    """
    near = (curve["low"] >= curve["exact"] - margin) & (curve["high"] <= curve["exact"] + margin)
    kept = near[::-1].cummin()[::-1].astype(bool)
    return int(curve["shots"][kept].iloc[0]) if kept.any() else None


def survey(
    trained: dict[str, Sides], config: "TrainConfig", X: np.ndarray, seed: int
) -> dict[str, pd.DataFrame]:
    """By measurement, `auc_by_shots` on the watched rows, where the distribution of shots is known.

    Args:
        trained: from `qnb.probes.geometry.trainings` of `config`.
        X: the watched rows as the encoder takes them, (B, features).
        seed: of the draws.
    """
    curves = {}
    for measurement, sides in trained.items():
        spec = circuit_of(config.model_copy(update={"measurement": measurement}))
        if not spec.fast:
            continue
        values, probabilities = outcomes(spec, sides["descent"].params, X)
        rng = np.random.default_rng(seed)
        curves[measurement] = auc_by_shots(values, probabilities, sides["y"], SHOTS, DRAWS, rng)
    return curves


def judge_shots(curves: dict[str, pd.DataFrame]) -> Verdict:
    """Do FEW shots per circuit, which a device gives easily, keep the AUC within MARGIN?

    Args:
        curves: from `survey`.
    """
    question = f"Do {FEW:,} shots per circuit keep the AUC within {MARGIN:g}?"
    needed = {measurement: enough_shots(curve) for measurement, curve in curves.items()}
    if not needed:
        text = (
            "The distribution of shots is known for this package's circuits and weighted sums of Z_i alone."
        )
        return Verdict(question, "inconclusive", {}, {"AUC within": MARGIN, "shots": FEW}, text)
    listed = ", ".join(
        f"{measurement} {f'from {count:,} on' if count else f'not by {SHOTS[-1]:,}'}"
        for measurement, count in needed.items()
    )
    kept = [count is not None and count <= FEW for count in needed.values()]
    text = (
        f"Of {', '.join(f'{n:,}' for n in SHOTS)} shots, the whole 95 % interval over {DRAWS} draws lies "
        f"within {MARGIN:g} of the exact AUC: {listed}."
    )
    return Verdict(question, unanimous(kept), {"shots": needed}, {"AUC within": MARGIN, "shots": FEW}, text)
