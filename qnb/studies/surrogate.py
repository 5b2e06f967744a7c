"""The analysis of surrogate.ipynb: which terms of a trained model's polynomial carry the ranking, and what
that says about the circuit.

The ANOVA of `qnb.studies.surrogate_anova` is over independent, uniform angles. Features of data, mapped by
quantiles, are nearly uniform one by one but depend on each other. So what matters on data is measured on
data, by least squares and by AUC on test rows.
"""

import statistics
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypedDict

import numpy as np
import pandas as pd
import pennylane as qml
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.stats import kstest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from qnb import own
from qnb.config import EngineName, TrainConfig, contradiction
from qnb.core.engine import Maker
from qnb.probes.subject import ModelConfig, Subject, finished_run, subject
from qnb.runs.project import RunError, find_root
from qnb.statistics.bootstrap import auc_difference_interval
from qnb.studies.surrogate_anova import Expansion
from qnb.training import metrics
from qnb.training.baselines import Side
from qnb.training.model import Model, load_model
from qnb.training.state import circuit_of
from qnb.training.surrogate import Surrogate
from qnb.training.train import train

ROWS_PER_COLUMN = 10  # least squares is fitted where there are that many rows for each column
REPEATS = 5  # of a timing
STEPS = 30  # numbers of terms at which the AUC is taken, about evenly on a logarithmic scale

# with another model on the same rows: its `auc`, and `difference`, `low`, `high` of the two
Comparison = dict[str, float]


class SurrogateConfig(ModelConfig, TrainConfig):
    """surrogate.ipynb: the model is trained as in train.ipynb, or is that of `run`."""

    terms: Annotated[int, Field(ge=1, le=200)] = 12
    """rows of the table of the largest terms"""
    min_effect: Annotated[float, Field(gt=0, lt=0.5)] = 0.005
    """difference in test AUC that would matter"""
    quick: bool = True
    """False: ten times as many resamples, and as many rows for the rate"""
    engine: EngineName = "exact"


@contradiction
def _has_a_surrogate(c: SurrogateConfig) -> Iterator[str]:
    if c.encoder == "amplitude" or c.reupload:
        yield (
            "surrogate.ipynb takes a model apart that is a polynomial in sines and cosines of angles: use "
            f"encoder='angle_y' or 'angle_xy' with reupload=False (given: encoder={c.encoder!r}, "
            f"reupload={c.reupload})."
        )
    elif not circuit_of(c).fast:
        yield (
            "surrogate.ipynb takes a model apart whose circuit is of angles, RZ RY RZ, CNOTs and Z of single "
            "wires alone: of parts of your own, a Pattern for the ansatz (given: "
            f"encoder={str(c.encoder)!r}, ansatz={str(c.ansatz)!r}, measurement={str(c.measurement)!r})."
        )


def under_test(config: SurrogateConfig, make: Maker | None = None) -> Subject:
    """The model to train, or that of `config.run`, with its data.

    Args:
        make: see `qnb.probes.subject.subject`.

    Raises:
        RunError, ModelError, ParameterError, DataError: as `qnb.probes.subject.finished_run`.
    """
    return subject(config, make=make) if config.run is None else finished_run(config.run, make=make)


class Figures(TypedDict):
    """The figures of the study for metrics.json; `conclusion` puts them into words."""

    test_auc: float
    share_by_order: Sequence[float]
    order_needed: int
    terms_needed: int
    terms_total: int
    fit_main: Sequence[float]  # `fit R2` and `fit auc` of order 1 from `by_order`, NaN if it was not fitted
    against: dict[str, Comparison]  # `main` and `pairs`, from `compare`
    by_order: dict[Hashable, list[Any]]  # the table of that function, by column
    by_terms: dict[Hashable, list[Any]]


def trained(subject: Subject) -> tuple[Model, metrics.Row, dict[str, Any] | None]:
    """The model under test, its metrics and its gradient check (None with gate="off"): those of its run, or
    of a training now.

    Raises:
        RunError: the run left no model.
        WrongGradientError, TrainingDiverged, DegenerateError: as `qnb.training.train.train`.
    """
    if subject.run_id is None:
        engine = subject.engine() if subject.make is not None else None
        result = train(subject.config, subject.prepared, engine=engine)
        return result.model, result.metrics, result.gate.to_dict() if result.gate else None
    if subject.params is None:
        raise RunError(f"Run {subject.run_id} left no model. Give one that is done; `qnb runs` lists them.")
    return (
        load_model(find_root() / subject.manifest["folder"], **own.given_in(subject.config)),
        subject.metrics,
        subject.manifest.get("gate"),
    )


def difference_from_circuit(surrogate: Surrogate, model: Model, X: ArrayLike) -> float:
    """Largest |difference| of the logits of rows X (B, n), angles in radians, between surrogate and model,
    whose circuit is run on PennyLane's default.qubit in float64.
    """
    node = qml.QNode(model.spec.score, qml.device("default.qubit", wires=model.spec.wires))
    params, columns = model.params, np.asarray(X).T  # broadcast over the rows
    score = node(params["weights"], params["readout"], columns, params.get("scaling"))
    logit = model.objective.alpha(model.params["alpha"]) * (np.asarray(score) + model.params["bias"])
    return float(np.max(np.abs(logit - surrogate.logits_of_features(X))))


def by_terms(expansion: Expansion, X: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """The surrogate truncated to its largest terms, one row per number of terms: terms, share of the
    variance, and auc on rows X (B, n) in radians, y (B,).
    """
    total = expansion.coefficients.size - 1
    counts = np.unique(np.round(np.geomspace(1, total, STEPS)).astype(int))
    added = np.cumsum(expansion.coefficients.ravel()[expansion.terms()] ** 2) / expansion.variance
    aucs = [metrics.auc(expansion.largest(count).logits_of_features(X), y) for count in counts]
    return pd.DataFrame({"terms": counts, "share": added[counts - 1], "auc": aucs})


def by_order(expansion: Expansion, train: Side, test: Side) -> pd.DataFrame:
    """The surrogate by order of interaction k.

    Args:
        train, test: pairs (X (B, n) in radians, y (B,)).

    Returns:
        One row for each k = 1 ... n: `order` (k); `terms`, the number of terms of that order; `share` of the
        variance over independent, uniform angles, and the same `added up`; `auc` on the test rows of the
        parts up to k; `fit R2` and `fit auc` on the test rows of the least-squares fit of the logit, on the
        training rows, by all terms up to k. The last two are NaN with fewer than ROWS_PER_COLUMN training
        rows per term, and 1 and the model's own AUC at k = n.
    """
    (X, _), (X_test, y_test) = train, test
    logit, logit_test = (expansion.surrogate.logits_of_features(rows) for rows in (X, X_test))
    shares, counts = expansion.share_by_order(), np.bincount(expansion.orders.ravel())
    rows = []
    for k in range(1, len(shares) + 1):
        row: metrics.Row = {
            "order": k,
            "terms": counts[k],
            "share": shares[k - 1],
            "added up": shares[:k].sum(),
        }
        row |= {
            "auc": metrics.auc(expansion.up_to_order(k).logits_of_features(X_test), y_test),
            "fit R2": np.nan,
            "fit auc": np.nan,
        }
        if k == len(shares):
            row |= {"fit R2": 1.0, "fit auc": row["auc"]}
        elif counts[: k + 1].sum() * ROWS_PER_COLUMN <= len(X):
            fit = _least_squares(expansion.columns(X, k), logit, expansion.columns(X_test, k))
            row |= {
                "fit R2": 1 - np.mean((logit_test - fit) ** 2) / np.var(logit_test),
                "fit auc": metrics.auc(fit, y_test),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _least_squares(columns: np.ndarray, target: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
    """The least-squares fit of `target` by a constant and `columns`, evaluated at the rows of `elsewhere`."""
    mean, means = target.mean(), columns.mean(axis=0)
    weights, *_ = np.linalg.lstsq(columns - means, target - mean, rcond=None)
    fit: np.ndarray = (elsewhere - means) @ weights + mean
    return fit


def logistic(expansion: Expansion, train: Side, test: Side, order: int, seed: int) -> np.ndarray:
    """Test logits (B,) of scikit-learn's logistic regression, at its defaults, on all terms up to this order
    of interaction.

    Args:
        train, test: pairs (X (B, n) in radians, y (B,)).
    """
    (X, y), (X_test, _) = train, test
    with threadpool_limits(1):
        model = LogisticRegression(max_iter=1000, random_state=seed).fit(expansion.columns(X, order), y)
    logits: np.ndarray = model.decision_function(expansion.columns(X_test, order))
    return logits


def on_data(expansion: Expansion, X: np.ndarray) -> dict[str, float]:
    """How far rows X (B, n), in radians, are from the ANOVA's assumption: independent angles, uniform on the
    encoded range.

    Returns:
        from_uniform: largest distance of a feature's distribution function from the uniform one
            (Kolmogorov-Smirnov).
        correlation: largest |Spearman's rho| of two features.
        variance_data, variance_uniform: variance of the score on these rows and under the assumption.
    """
    ranges = zip(*expansion.surrogate.feature_map.encoded_range(), strict=True)
    distances = [
        kstest(column, "uniform", (low, high - low)).statistic
        for column, (low, high) in zip(np.asarray(X).T, ranges, strict=True)
    ]
    rho = np.abs(pd.DataFrame(X).corr("spearman").to_numpy())
    return {
        "from_uniform": float(max(distances)),
        "correlation": float(np.max(rho[~np.eye(len(rho), dtype=bool)], initial=0.0)),
        "variance_data": float(np.var(expansion.surrogate.scores_of_features(X))),
        "variance_uniform": expansion.variance,
    }


def rate(surrogate: Surrogate, X: np.ndarray, rows: int) -> float:
    """Rows per second from angles to logits: median of REPEATS calls, X (B, n) repeated to `rows` rows."""
    X = np.resize(X, (rows, X.shape[1]))
    seconds = []
    for _ in range(1 + REPEATS):  # the first call compiles
        started = time.perf_counter()
        surrogate.logits_of_features(X)
        seconds.append(time.perf_counter() - started)
    return rows / statistics.median(seconds[1:])


def compare(
    logits: np.ndarray, others: dict[str, np.ndarray], y: np.ndarray, resamples: int, seed: int
) -> dict[str, Comparison]:
    """The model's AUC minus that of others on the same rows, with a 95 % interval.

    The interval is a paired bootstrap over rows: it covers other test rows, not another training.

    Args:
        logits: (B,) of the model.
        others: by name, logits (B,).
        y: (B,) labels in {0, 1}.
        resamples, seed: of the bootstrap.

    Returns:
        By name: auc of the other; difference, low, high.
    """
    comparisons = {}
    for name, other in others.items():
        interval = asdict(auc_difference_interval(y, logits, other, seed=seed, resamples=resamples))
        comparisons[name] = {"auc": metrics.auc(other, y)} | {
            key: float(interval[key]) for key in ("difference", "low", "high")
        }
    return comparisons


def needed(table: pd.DataFrame, column: str, auc: float, min_effect: float) -> int:
    """The lowest value of `column` from which on the table's `auc` stays within `min_effect` of `auc`."""
    outside = np.flatnonzero((table["auc"] - auc).abs() > min_effect)
    return int(table[column].iloc[outside[-1] + 1 if len(outside) else 0])


def outcome(interval: Comparison, min_effect: float) -> str:
    """`equal` if the interval lies within ±min_effect; `better` or `worse` if it excludes 0 and the
    difference is at least min_effect; otherwise `undecided`.
    """
    low, high, difference = interval["low"], interval["high"], interval["difference"]
    if -min_effect < low and high < min_effect:
        return "equal"
    if low > 0 and difference >= min_effect:
        return "better"
    if high < 0 and difference <= -min_effect:
        return "worse"
    return "undecided"


def figures(
    expansion: Expansion,
    by_order: pd.DataFrame,
    by_terms: pd.DataFrame,
    against: dict[str, Comparison],
    test_auc: float,
    min_effect: float,
) -> Figures:
    """The figures of the study, from its tables; see `by_order`, `by_terms` and `compare`."""
    return {
        "test_auc": test_auc,
        "share_by_order": expansion.share_by_order().tolist(),
        "order_needed": needed(by_order, "order", test_auc, min_effect),
        "terms_needed": needed(by_terms, "terms", test_auc, min_effect),
        "terms_total": expansion.coefficients.size - 1,
        "fit_main": by_order[["fit R2", "fit auc"]].iloc[0].tolist(),
        "against": against,
        "by_order": by_order.to_dict("list"),
        "by_terms": by_terms.to_dict("list"),
    }


def conclusion(figures: Figures, min_effect: float) -> str:
    """The conclusion from the figures, in words."""
    main, pairs = (outcome(figures["against"][name], min_effect) for name in ("main", "pairs"))
    return " ".join(
        [
            _composition(figures["share_by_order"]),
            _ranking(figures, min_effect),
            _against(figures["against"], main, pairs, min_effect),
        ]
    )


def _composition(shares: Sequence[float]) -> str:
    kind = (
        "nearly additive"
        if shares[0] >= 0.9
        else "mostly main effects"
        if shares[0] >= 0.5
        else "mostly interactions"
    )
    text = (
        f"Over independent, uniform angles the score is {kind}: {shares[0]:.0%} of its variance are main "
        "effects of single wires"
    )
    if len(shares) > 1:
        text += f", {shares[1]:.0%} interactions of two"
    if len(shares) > 2:
        text += f", {sum(shares[2:]):.0%} of more"
    return text + "."


def _ranking(figures: Figures, min_effect: float) -> str:
    order = figures["order_needed"]
    parts = "its main effects alone" if order == 1 else f"the parts up to order {order}"
    text = (
        f"On the test rows the AUC of {parts}, or of the {figures['terms_needed']:,} largest of its "
        f"{figures['terms_total']:,} terms (the smallest of the counts tried), is within {min_effect:g} of "
        "the whole model's."
    )
    r2, auc = figures["fit_main"]
    return (
        text
        if np.isnan(r2)
        else text
        + (
            f" Fitted to the data instead, main effects alone have {r2:.0%} of the logit's variance there, "
            f"and an AUC of {auc:.4f}."
        )
    )


WORDS = {
    "better": "above",
    "worse": "below",
    "equal": "within {0:g} of",
    "undecided": "not shown to differ by {0:g} from",
}


def _against(against: dict[str, Comparison], main: str, pairs: str, min_effect: float) -> str:
    def compared(name: str, word: str, other: str) -> str:
        d = against[name]
        interval = f"({d['difference']:+.4f}, 95 % interval {d['low']:+.4f} to {d['high']:+.4f})"
        return f"{WORDS[word].format(min_effect)} that of {other} {interval}"

    text = "The model's AUC is " + compared(
        "main", main, "a logistic regression on the sines and cosines of single angles"
    )
    text += ", and " + compared("pairs", pairs, "one that also has their products for two wires") + ": "
    return (
        f"{text}{_verdict(main, pairs)}. This rests on one split and one training run: another order of the "
        "batches can turn it."
    )


def _verdict(main: str, pairs: str) -> str:
    if main == "better" and pairs == "better":
        return "what the circuit found is more than a linear model of its own encoding finds up to pairs"
    if main == "better":
        return (
            "it finds interactions that matter, and a linear classical model that is given them does not do "
            "worse"
        )
    if main == "worse":
        return (
            "the circuit does worse with its encoding than a linear model does; nothing here speaks for the "
            "quantum part"
        )
    return "beyond the encoding, which any classical model can use, nothing here speaks for the quantum part"
