"""Classical baselines on the same features, the yardstick beside every result."""

from typing import Any, TypedDict

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from qnb.statistics.auc import auc_interval
from qnb.training.metrics import auc, bce

Side = tuple[np.ndarray, np.ndarray]  # X (B, features), y (B,)


class Baseline(TypedDict):
    """What one baseline reached."""

    val_auc: float
    test_auc: float
    test_auc_interval: dict[str, Any]  # see `qnb.statistics.auc.AUCInterval`
    test_loss: float  # nats
    test_logits: np.ndarray  # (B_test,)


def fit_baselines(
    train: Side, val: Side, test: Side, seed: int, groups: np.ndarray | None = None
) -> dict[str, Baseline]:
    """Logistic regression and gradient boosting, scikit-learn's defaults, on the encoder's own inputs.

    Args:
        train, val, test: pairs (X (B, features), y (B,)).
        seed: random_state of both, and of the resampling of groups.
        groups: of the test rows, (B_test,), for the intervals; None: rows are independent.

    Returns:
        {"logistic" | "boosting": Baseline}.
    """
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed)),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    results: dict[str, Baseline] = {}
    for name, model in models.items():
        # on a busy machine OpenMP's threads wait for each other: 1 s becomes 100 s
        with threadpool_limits(1):
            model.fit(*train)
            logits = [model.decision_function(X) for X, _ in (val, test)]
        results[name] = {
            "val_auc": auc(logits[0], val[1]),
            "test_auc": auc(logits[1], test[1]),
            "test_auc_interval": auc_interval(test[1], logits[1], groups, seed=seed).to_dict(),
            "test_loss": bce(logits[1], test[1]),
            "test_logits": np.asarray(logits[1]),
        }
    return results
