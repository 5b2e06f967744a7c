"""Metrics of a set of logits: ranking, margin, loss, calibration, and decisions at a threshold.

AUC, sep and val_loss do not depend on a threshold. The threshold is the one of highest balanced accuracy on
the validation rows, ties broken by precision, halfway between the two logits that it separates, so that
rounding moves neither across it. Where the logits are (near-)constant, or that threshold puts almost all
rows on one side, the evaluation is *degenerate*: threshold = 0 in logit space, degen = 1 with the reason,
and thresholded metrics are diagnostic only.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import roc_auc_score, roc_curve

from qnb.errors import QnbError

CRITERION = "highest balanced accuracy on the validation rows, ties by precision"
REPORTED = (  # of `evaluate` and `calibration`, for metrics.json
    "auc",
    "sep",
    "loss",
    "bacc",
    "f1",
    "precision",
    "recall",
    "pred_pos_rate",
    "brier",
    "ece",
)
BINS = 10  # of a reliability diagram, of equally many rows
CONSTANT_SPREAD = 1e-9  # standard deviation of the logits under which they carry no ranking

Row = dict[str, Any]  # of a table of results: numbers, and reasons in words


class DegenerateError(QnbError):
    """The evaluation is degenerate and `abort_on_degen` is set."""


@dataclass(frozen=True)
class Threshold:
    """A decision threshold in logit space: positive where logit >= value."""

    value: float
    degen: int  # 1 if degenerate
    reason: str  # empty if not


def auc(logits: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC curve: P(l_pos > l_neg) + P(l_pos = l_neg) / 2. logits, y: (B,).

    NaN, with scikit-learn's UndefinedMetricWarning, where y holds one class only.
    """
    return float(roc_auc_score(y, logits))


def separation(logits: np.ndarray, y: np.ndarray) -> float:
    """sep = mean(l | y = 1) - mean(l | y = 0), in logits; logits, y: (B,), both classes present."""
    y = np.asarray(y)
    return float(np.mean(logits[y == 1]) - np.mean(logits[y == 0]))


def bce(logits: np.ndarray, y: np.ndarray) -> float:
    """Unweighted mean binary cross-entropy, softplus(l) - y l, in nats. logits, y: (B,)."""
    return float(np.mean(np.logaddexp(0, logits) - np.asarray(y) * logits))


def choose_threshold(
    logits: np.ndarray, y: np.ndarray, min_pred_pos_rate: float = 0.01, max_pred_pos_rate: float = 0.99
) -> Threshold:
    """The threshold of highest balanced accuracy on these rows, ties broken by precision, or the degenerate
    fallback.

    It lies halfway between the lowest logit that is predicted positive and the highest that is not, if there
    is one.

    Args:
        logits, y: (B,) validation logits and labels in {0, 1}, both classes present.
        min_pred_pos_rate, max_pred_pos_rate: bounds on the share of rows that the chosen threshold predicts
            positive; outside them the threshold is degenerate.
    """
    logits, y = np.asarray(logits, dtype=float), np.asarray(y)
    if np.std(logits) < CONSTANT_SPREAD:
        return Threshold(0.0, 1, f"the logits are constant (standard deviation {np.std(logits):.1e})")
    # the first predicts no positive at all
    fpr, tpr, values = (a[1:] for a in roc_curve(y, logits, drop_intermediate=False))
    positives = y.sum()
    true_pos, false_pos = tpr * positives, fpr * (len(y) - positives)
    precision = true_pos / (true_pos + false_pos)
    best = np.lexsort((precision, np.round((tpr + 1 - fpr) / 2, 12)))[-1]
    rate = (true_pos + false_pos)[best] / len(y)
    if not min_pred_pos_rate <= rate <= max_pred_pos_rate:
        within = f"{min_pred_pos_rate:g} to {max_pred_pos_rate:g}"
        return Threshold(
            0.0,
            1,
            f"the best threshold calls a share of {rate:.4f} of the rows positive, not within {within}",
        )
    return Threshold(_halfway(values, int(best)), 0, "")


def _halfway(values: np.ndarray, cut: int) -> float:
    """Between values[cut] and the next lower one, values (V,) falling.

    It is values[cut] where there is no number between, or none lower.
    """
    least = float(values[cut])
    below = float(values[cut + 1]) if cut + 1 < len(values) else least
    middle = below + (least - below) / 2
    return middle if middle > below else least


def thresholded(logits: np.ndarray, y: np.ndarray, threshold: float) -> dict[str, float]:
    """bacc, f1, precision, recall and pred_pos_rate of `logit >= threshold`; logits, y: (B,).

    f1 and precision are 0 where no positive is found, as in scikit-learn. Both classes must be present: bacc
    and recall have no value without.
    """
    y = np.asarray(y) == 1
    called = np.asarray(logits) >= threshold
    tp, fp, fn, tn = (np.sum(a & b) for a, b in ((called, y), (called, ~y), (~called, y), (~called, ~y)))
    return {
        "bacc": float((tp / (tp + fn) + tn / (tn + fp)) / 2),
        "f1": float(2 * tp / (2 * tp + fp + fn)) if tp else 0.0,
        "precision": float(tp / (tp + fp)) if tp else 0.0,
        "recall": float(tp / (tp + fn)),
        "pred_pos_rate": float(called.mean()),
    }


def reliability(logits: np.ndarray, y: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Reliability diagram: predicted and observed shares of positives in quantile bins of the probability.

    Rows of equal probability share a bin, so there can be fewer than `bins`.

    Args:
        logits, y: (B,) logits and labels in {0, 1}.

    Returns:
        One row per bin: predicted (mean probability), observed (share of positives), rows.
    """
    p = expit(np.asarray(logits, dtype=float))
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))[1:-1]
    table = pd.DataFrame({"bin": np.searchsorted(edges, p), "predicted": p, "observed": y, "rows": 1})
    return table.groupby("bin").agg({"predicted": "mean", "observed": "mean", "rows": "sum"})


def calibration(logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Brier score and expected calibration error of p = sigmoid(l); logits, y: (B,).

    brier: mean (p - y)^2 (Brier, Monthly Weather Review 78, 1, 1950). ece: mean |predicted - observed| over
    the bins of `reliability`, weighted by rows (Guo et al., ICML 2017, eq. 3, with quantile bins). Chance
    alone puts ece above 0, at about sqrt(p (1 - p) bins / rows).
    """
    table = reliability(logits, y)
    gaps = (table["predicted"] - table["observed"]).abs()
    return {
        "brier": float(np.mean((expit(np.asarray(logits, dtype=float)) - y) ** 2)),
        "ece": float((gaps * table["rows"]).sum() / table["rows"].sum()),
    }


def evaluate(logits: np.ndarray, y: np.ndarray, threshold: Threshold) -> Row:
    """All metrics of one set of rows at a threshold that was chosen on validation rows; logits, y: (B,).

    Returns:
        auc, sep, loss (nats), bacc, f1, precision, recall, pred_pos_rate, threshold, degen, degen_reason.
    """
    logits = np.asarray(logits, dtype=float)
    return {
        "auc": auc(logits, y),
        "sep": separation(logits, y),
        "loss": bce(logits, y),
        **thresholded(logits, y, threshold.value),
        "threshold": threshold.value,
        "degen": threshold.degen,
        "degen_reason": threshold.reason,
    }
