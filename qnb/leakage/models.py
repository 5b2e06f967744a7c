"""The three models that the suspicions are tested on: logistic regression, gradient boosting and the
circuit, on the same features.

Everything (coercion, PLS, quantile map) is fitted on the training rows of each arm alone, as in train.ipynb.
All circuits of one call train together as one batched program, from the same initial parameters, with their
gradients checked first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qnb.config import TrainConfig
from qnb.data.prepare import Prepared, fit_features
from qnb.data.splits import SIDES
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.training.baselines import fit_baselines
from qnb.training.loop import fit_together

MODELS = ("logistic", "boosting", "circuit")


@dataclass(frozen=True, eq=False)
class Arm:
    """Row numbers to train on, to choose the epoch by (`val`) and to score; int64, each `(n,)`."""

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def prepare_arm(table: Table, arm: Arm, config: TrainConfig) -> Prepared:
    """The features and labels of an arm's rows, with the transform fitted on its training rows.

    Raises:
        DataError: the training rows carry too few directions, or hold one class only.
    """
    sides = {name: table.take(rows) for name, rows in zip(SIDES, (arm.train, arm.val, arm.test), strict=True)}
    feature_map = fit_features(sides["train"], config)
    X = {name: feature_map.transform(side.frame) for name, side in sides.items()}
    return Prepared(
        X, {name: side.y.astype(np.float64) for name, side in sides.items()}, feature_map, table.card
    )


def score_arms(
    tables: Table | Sequence[Table],
    arms: Sequence[Arm],
    config: TrainConfig,
    done: Callable[[str], object] = lambda what: None,
) -> list[dict[str, np.ndarray]]:
    """Logits on the test rows of each arm, `(n,)`, by model of MODELS.

    Args:
        tables: one for all arms, or one for each.
        config: the circuit and its training.
        done: called with the name of what has just finished: once for each arm, once for the circuits.

    Raises:
        DataError: as `prepare_arm`; or fewer training rows than one batch.
        WrongGradientError: a circuit's gradient is wrong.
        TrainingDiverged: a circuit's loss became NaN or infinite.
    """
    if not arms:
        return []
    prepared, scores = [], []
    tables = [tables] * len(arms) if isinstance(tables, Table) else tables
    for table, arm in zip(tables, arms, strict=True):
        if len(arm.train) < config.batch:
            raise DataError(
                f"batch={config.batch} rows, but {arm.name} has {len(arm.train)} to train on. Use a smaller "
                "batch, or more rows."
            )
        ready = prepare_arm(table, arm, config)
        prepared.append(ready)
        train, val, test = (ready.side(name) for name in SIDES)
        baselines = fit_baselines(train, val, test, seed=config.seed)
        scores.append({name: result["test_logits"] for name, result in baselines.items()})
        done(arm.name)
    for ready, fitted, logits in zip(
        prepared, fit_together([config] * len(arms), prepared, progress=False), scores, strict=True
    ):
        if fitted.failure is not None:
            raise fitted.failure
        best = fitted.best
        logits["circuit"] = np.asarray(
            fitted.objective.logit(fitted.engine.scores(best, ready.X["test"]), best["bias"], best["alpha"])
        )
    done("circuits")
    return scores
