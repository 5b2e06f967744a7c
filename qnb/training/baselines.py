"""Classical baselines on the encoder's own inputs, reported beside every result.

Logistic regression and gradient boosting at scikit-learn's defaults; the circuit's dequantised twin
(`qnb.training.twin`); a support vector machine with a Gaussian kernel, which Bowles, Ahmed and Schuld
(arXiv:2403.07059, 2024) found hard to beat. Hyperparameters are chosen on the validation rows.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from qnb.data.sampling import Draw
from qnb.statistics.auc import auc_interval
from qnb.training import metrics
from qnb.training.metrics import Row
from qnb.training.twin import MOST_ROWS, Functions, fit_twin

NAMES = {
    "logistic": "logistic regression",
    "boosting": "gradient boosting",
    "twin": "dequantised twin",
    "svm": "support vector machine (RBF)",
}
SVM_ROWS = 3000  # that are fitted: a kernel matrix grows with their square
SVM_C = (1.0, 10.0, 100.0)
SVM_WIDTHS = (1.0, 4.0)  # gamma times the number of standardised features

Side = tuple[np.ndarray, np.ndarray]  # X (B, features), y (B,)
Logits = Callable[[np.ndarray], np.ndarray]  # X (B, features) -> (B,)


def fit_baselines(
    train: Side,
    val: Side,
    test: Side,
    seed: int,
    names: Collection[str] = ("logistic", "boosting"),
    *,
    functions: Functions | None = None,
    groups: np.ndarray | None = None,
    rates: tuple[float, float] = (0.01, 0.99),
) -> dict[str, Row]:
    """Fit and evaluate the baselines of these names on the encoder's own inputs.

    Args:
        train, val, test: pairs (X (B, features), y (B,)).
        seed: random_state of each, and of the rows drawn for "twin" and "svm".
        names: keys of NAMES.
        functions: of the circuit's encoder, for "twin"; None where it has none, and then no twin is fitted.
        groups: of the test rows, (B_test,), for the intervals; None: rows are independent.
        rates: lowest and highest share of rows that a threshold may predict positive, see
            `qnb.training.metrics.choose_threshold`.

    Returns:
        By name: val_auc, test_auc, test_auc_interval (`qnb.statistics.auc.AUCInterval.to_dict`), test_sep,
        test_loss (nats), test_bacc, test_f1, test_precision, test_recall, test_pred_pos_rate, test_brier,
        test_ece, threshold, degen; the chosen hyperparameters ("twin": order, features, C, rows, limited;
        "svm": C, gamma, rows); test_logits (B_test,).
    """
    scores = {}
    for name in names:
        if name == "twin" and functions is None:
            continue
        # on a busy machine OpenMP's threads wait for each other: 1 s becomes 100 s
        with threadpool_limits(1):
            logits_of, chosen = _fit(name, train, val, seed, functions)
            logits = [logits_of(X) for X, _ in (val, test)]
        scores[name] = _scored(logits[0], val[1], logits[1], test[1], groups, rates) | chosen
    return scores


def trivial(prior: float, y: np.ndarray) -> Row:
    """Metrics of the trivial model, which a model must beat: every test row is predicted positive, with the
    training prior as its probability.

    Args:
        prior: share of positives among the training rows, in (0, 1).
        y: (B,) test labels.

    Returns:
        test_auc (0.5), test_loss (nats), test_bacc, test_f1, test_precision, test_recall,
        test_pred_pos_rate, test_brier, test_ece.
    """
    constant = np.full(len(y), float(logit(prior)))
    scores = metrics.thresholded(constant, y, -np.inf)
    scores |= {"loss": metrics.bce(constant, y)} | metrics.calibration(constant, y)
    return {"test_auc": 0.5} | {f"test_{name}": value for name, value in scores.items()}


def _scored(
    val_logits: np.ndarray,
    y_val: np.ndarray,
    logits: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    rates: tuple[float, float],
) -> Row:
    threshold = metrics.choose_threshold(val_logits, y_val, *rates)
    evaluated = metrics.evaluate(logits, y, threshold) | metrics.calibration(logits, y)
    keys = ("threshold", "degen")
    return {
        "val_auc": metrics.auc(val_logits, y_val),
        "test_auc_interval": auc_interval(y, logits, groups).to_dict(),
        **{f"test_{name}": evaluated[name] for name in metrics.REPORTED},
        **{name: evaluated[name] for name in keys},
        "test_logits": np.asarray(logits),
    }


def _fit(
    name: str, train: Side, val: Side, seed: int, functions: Functions | None
) -> tuple[Logits, dict[str, Any]]:
    """A fitted baseline's logits, and what was chosen for it."""
    if name == "twin" and functions is not None:
        return _twin(train, val, seed, functions)
    if name == "svm":
        return _svm(train, val, seed)
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed)),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    return models[name].fit(*train).decision_function, {}


def _twin(train: Side, val: Side, seed: int, functions: Functions) -> tuple[Logits, dict[str, Any]]:
    twin = fit_twin(functions, train, val, _drawn(train[1], MOST_ROWS, seed))
    return twin.logits, {
        "order": twin.order,
        "features": functions.count(twin.order),
        "C": twin.penalty,
        "rows": twin.rows,
        "limited": functions.limited,
    }


def _svm(train: Side, val: Side, seed: int) -> tuple[Logits, dict[str, Any]]:
    """The machine of the highest validation AUC.

    Its margins become logits by a logistic regression on the validation rows (Platt, Advances in Large Margin
    Classifiers, 61, 1999).
    """
    rows = _drawn(train[1], SVM_ROWS, seed)
    X, y = train[0][rows], train[1][rows]
    fits = [
        make_pipeline(StandardScaler(), SVC(C=C, gamma=width / X.shape[1])).fit(X, y)
        for C in SVM_C
        for width in SVM_WIDTHS
    ]
    margins = [machine.decision_function(val[0]) for machine in fits]
    best = int(np.argmax([metrics.auc(m, val[1]) for m in margins]))
    platt = LogisticRegression(C=np.inf).fit(margins[best][:, None], val[1])
    chosen = fits[best][-1].get_params()

    def logits(X: np.ndarray) -> np.ndarray:
        log_odds: np.ndarray = platt.decision_function(fits[best].decision_function(X)[:, None])
        return log_odds

    return logits, {"C": chosen["C"], "gamma": chosen["gamma"], "rows": len(rows)}


def _drawn(y: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Positions of at most `most` rows, stratified by label."""
    draw = Draw(most, seed)
    rows: np.ndarray = draw.add(y)[draw.chosen()]
    return rows
