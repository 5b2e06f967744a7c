"""Suspicions 9 and 10: PLS or the quantile map fitted on all rows, test rows and their labels included.

PLS uses labels, so the rows that it is fitted on are trained on; the quantile map uses values alone. qnb
fits both on training rows. How much would fitting them on all rows have raised the AUC on the same test
rows?

    gain = AUC(fitted on all rows) - AUC(fitted on training rows)

The verdict is yes, for a table of this size, if for logistic regression or boosting the gain is at least
EFFECT and its paired bootstrap interval, at 1 - ALPHA / 2, lies above zero. `by_size` repeats the comparison
on smaller draws, with true and with permuted labels: with permuted labels any gain is a leak.
"""

import dataclasses

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import QuantileTransformer

from qnb.config import TrainConfig
from qnb.data.features import QUANTILES, FeatureMap
from qnb.data.prepare import fit_features
from qnb.data.splits import random_split
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.leakage.statistics import ALPHA, interval, require_rows
from qnb.leakage.verdict import LeakVerdict, leak_verdict
from qnb.statistics.bootstrap import bootstrap_auc
from qnb.training.baselines import fit_baselines

EFFECT = 0.005
STEPS = {"pls": "PLS", "quantile": "the quantile map"}
SIZES = (150, 300, 1000, 3000)
JUDGES = ("logistic", "boosting")


@dataclasses.dataclass(frozen=True)
class StepGain:
    """One model with one step of the preprocessing fitted on all rows.

    Attributes:
        step, model: of STEPS and of JUDGES.
        honest, leaky: AUC on the test rows, with the step fitted on training rows, and on all rows.
        gain, gain_interval: leaky - honest, and its interval.
    """

    step: str
    model: str
    honest: float
    leaky: float
    gain: float
    gain_interval: tuple[float, float]


def maps(table: Table, train: np.ndarray, config: TrainConfig) -> dict[str, FeatureMap]:
    """Three feature maps: `honest`, fitted on the rows `train` alone; `pls` and `quantile`, with that step
    fitted on every row of the table (PLS with its standardisation).

    Raises:
        DataError: the rows carry too few directions, or hold one class only.
    """
    side = table.take(train)
    honest, everything = (fit_features(t, config) for t in (side, table))
    return {
        "honest": honest,
        "pls": _with_quantiles(everything, side.frame),
        "quantile": _with_quantiles(honest, table.frame),
    }


def _with_quantiles(feature_map: FeatureMap, frame: pd.DataFrame) -> FeatureMap:
    """The same map with the quantiles of these rows."""
    scores = feature_map.scores(frame)
    fitted = QuantileTransformer(n_quantiles=min(QUANTILES, len(scores)), subsample=None).fit(scores)
    return dataclasses.replace(feature_map, quantiles=fitted.quantiles_, levels=fitted.references_)


def examine(table: Table, config: TrainConfig) -> list[StepGain]:
    """The gain of both steps for both models on the whole table, under the random split of `config`.

    Raises:
        DataError: as `maps`; or too few rows to split, or too few test rows of a class.
    """
    train, val, test = random_split(table.y, config.val_fraction, config.test_fraction, config.split_seed)
    require_rows(table.y[test], "The test side of the random split")
    logits = {}
    for name, feature_map in maps(table, train, config).items():
        a, b, c = (
            (feature_map.transform(table.frame.iloc[rows]), table.y[rows]) for rows in (train, val, test)
        )
        logits[name] = {m: r["test_logits"] for m, r in fit_baselines(a, b, c, seed=config.seed).items()}
    y, rng, gains = table.y[test], np.random.default_rng(config.seed), []
    for model in JUDGES:
        draws = bootstrap_auc([logits[name][model] for name in ("honest", *STEPS)], y, rng)
        honest = roc_auc_score(y, logits["honest"][model])
        for k, step in enumerate(STEPS, start=1):
            leaky = roc_auc_score(y, logits[step][model])
            bounds = interval(leaky - honest, draws[:, k] - draws[:, 0], len(JUDGES))
            gains.append(StepGain(step, model, float(honest), float(leaky), float(leaky - honest), bounds))
    return gains


def by_size(table: Table, config: TrainConfig, seed: int = 0, draws: int = 6) -> pd.DataFrame:
    """Gain of logistic regression on random draws of SIZES rows, for true labels and for permuted ones.

    Args:
        seed: of the draws, the permutations and the splits.
        draws: for each size.

    Returns:
        One row for each size, step and kind of labels: size, step, labels ("true" | "permuted"), gain (mean
            over draws), error (its standard error). Sizes beyond a third of the table are left out, and so
            are draws that cannot be reduced to the features asked for.
    """
    rng, rows = np.random.default_rng(seed), []
    for size in (s for s in SIZES if 3 * s <= len(table)):
        for k in range(draws):
            part = table.take(np.sort(rng.choice(len(table), size, replace=False)))
            for labels, y in (("true", part.y), ("permuted", rng.permutation(part.y))):
                try:
                    gains = _gains(dataclasses.replace(part, y=y), config, seed + k)
                except DataError:  # so few rows may lack a direction or a class
                    continue
                rows += [
                    {"size": size, "labels": labels, "step": step, "gain": gain}
                    for step, gain in gains.items()
                ]
    if not rows:
        return pd.DataFrame(columns=["size", "step", "labels", "gain", "error"])
    grouped = pd.DataFrame(rows).groupby(["size", "step", "labels"])["gain"]
    return pd.DataFrame({"gain": grouped.mean(), "error": grouped.sem(ddof=1)}).reset_index()


def _gains(table: Table, config: TrainConfig, seed: int) -> dict[str, float]:
    train, _, test = random_split(table.y, config.val_fraction, config.test_fraction, seed)
    areas = {}
    for name, feature_map in maps(table, train, config).items():
        X = feature_map.transform(table.frame)
        model = LogisticRegression(max_iter=1000).fit(X[train], table.y[train])
        areas[name] = roc_auc_score(table.y[test], model.decision_function(X[test]))
    return {step: areas[step] - areas["honest"] for step in STEPS}


def judge_step(step: str, gains: list[StepGain] | DataError) -> LeakVerdict:
    """The verdict on one of STEPS; inconclusive where the table is too small for the features asked for."""
    question = f"Would fitting {STEPS[step]} on all rows have raised the score?"
    tolerance = {
        "gain in AUC at least": EFFECT,
        "its interval above": 0.0,
        "level of the interval": 1 - ALPHA / len(JUDGES),
    }
    if isinstance(gains, DataError):
        return leak_verdict(question, None, False, {}, tolerance, str(gains))
    cases = [f for f in gains if f.step == step]
    figures = {
        f.model: {
            "fitted on training rows": f.honest,
            "on everything": f.leaky,
            "gain": f.gain,
            "interval": f.gain_interval,
        }
        for f in cases
    }
    worst = max(cases, key=lambda f: f.gain)
    leak = any(f.gain >= EFFECT and f.gain_interval[0] > 0 for f in cases)
    low, high = worst.gain_interval
    text = (
        f"It changes the AUC of {worst.model} by {worst.gain:+.4f} ({low:+.4f} to {high:+.4f}). qnb fits it "
        "on training rows."
    )
    return leak_verdict(question, leak, False, figures, tolerance, text)
