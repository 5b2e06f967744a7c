"""Gradient boosting on the columns as they are: what a strong model finds without reduction or angles."""

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from qnb.data.values import is_numeric

CATEGORIES = 60  # the commonest of a text column; the rest are one


def matrix(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as they are, and text as category codes, the commonest first.

    Returns:
        X: float64 `(N, p)`, NaN where a number is missing.
        text: bool `(p,)`, which columns are categories.
    """
    text = np.array([not is_numeric(frame[name]) for name in frame.columns], bool)
    filled = [
        common(pd.factorize(frame[name], use_na_sentinel=False)[0], CATEGORIES) if words else frame[name]
        for name, words in zip(frame.columns, text, strict=True)
    ]
    return np.column_stack(filled).astype(float), text


def common(codes: np.ndarray, limit: int) -> np.ndarray:
    """Codes `(N,)` renumbered by frequency, 0 for the commonest; `limit` - 1 stands for all that are
    rarer.
    """
    order = np.argsort(-np.bincount(codes), kind="stable")
    place = np.full(len(order), limit - 1)
    place[order[: limit - 1]] = np.arange(min(limit - 1, len(order)))
    ranks: np.ndarray = place[codes]
    return ranks


def boost(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, text: np.ndarray, seed: int = 0) -> np.ndarray:
    """Logits of the test rows, `(M,)`, from scikit-learn's HistGradientBoostingClassifier with 60 trees.

    Columns that are entirely NaN in the training rows, which it cannot bin, are left out.

    Args:
        X, y: training rows, `(N, p)` and `(N,)`.
        X_test: `(M, p)`.
        text: which columns are categories, bool `(p,)`.
    """
    held = ~np.isnan(X).all(axis=0)
    X, X_test, text = X[:, held], X_test[:, held], text[held]
    model = HistGradientBoostingClassifier(
        max_iter=60, categorical_features=text, early_stopping=False, random_state=seed
    )
    with threadpool_limits(1):  # see qnb.training.baselines
        logits: np.ndarray = model.fit(X, y).decision_function(X_test)
    return logits
