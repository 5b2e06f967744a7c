"""Suspicion 11: the pipeline itself passes the label on.

Labels are permuted over all rows, then the whole pipeline runs as usual: split, PLS, quantile map, model,
epoch chosen on validation rows. Nothing is left to learn, so the AUC on the test rows must be 0.5. Given the
scores, permuted test labels have the Mann-Whitney distribution, of standard deviation `null_sd`; the mean
over R permutations is compared with it.

Leak if for some model |mean AUC - 0.5| has a two-sided p <= ALPHA / models.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.data.splits import random_split
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.leakage.models import MODELS, Arm, score_arms
from qnb.leakage.statistics import ALPHA, null_sd, require_rows
from qnb.leakage.verdict import LeakVerdict, leak_verdict

PERMUTATIONS = 5
ROWS = 20_000


@dataclasses.dataclass(frozen=True)
class Permuted:
    """AUCs on permuted labels.

    Attributes:
        rows: whose labels were permuted.
        auc: by model, one for each of PERMUTATIONS.
        sd: standard deviation of one AUC when nothing leaks.
    """

    rows: int
    auc: dict[str, list[float]]
    sd: float

    def z(self, model: str) -> float:
        """(mean AUC - 0.5) over its standard error."""
        return (float(np.mean(self.auc[model])) - 0.5) / (self.sd / math.sqrt(len(self.auc[model])))

    def half_width(self) -> float:
        """Half the width of the interval around 0.5 in which a model's mean must lie."""
        return float(stats.norm.isf(ALPHA / (2 * len(self.auc))) * self.sd / np.sqrt(PERMUTATIONS))


def examine(
    table: Table, config: TrainConfig, seed: int = 0, done: Callable[[str], object] = lambda what: None
) -> Permuted:
    """Run the pipeline on PERMUTATIONS permutations of the labels of at most ROWS rows.

    Args:
        config: the pipeline; permutation k is split by `split_seed` + k.
        seed: of the rows drawn and of the permutations.
        done: see `qnb.leakage.models.score_arms`.

    Raises:
        DataError: too few rows to split or to reduce.
        WrongGradientError, TrainingDiverged: as `qnb.leakage.models.score_arms`.
    """
    rng = np.random.default_rng(seed)
    part = table if len(table) <= ROWS else table.take(np.sort(rng.choice(len(table), ROWS, replace=False)))
    tables = [dataclasses.replace(part, y=rng.permutation(part.y)) for _ in range(PERMUTATIONS)]
    arms = [
        Arm(
            f"permutation {k + 1}",
            *random_split(t.y, config.val_fraction, config.test_fraction, config.split_seed + k),
        )
        for k, t in enumerate(tables)
    ]
    require_rows(tables[0].y[arms[0].test], "The test side of the random split")
    scores = score_arms(tables, arms, config, done)
    y = [t.y[arm.test] for t, arm in zip(tables, arms, strict=True)]
    auc = {
        m: [float(roc_auc_score(labels, s[m])) for labels, s in zip(y, scores, strict=True)] for m in MODELS
    }
    return Permuted(len(part), auc, null_sd(y[0]))


def judge_permuted(permuted: Permuted | DataError) -> LeakVerdict:
    """The verdict on the pipeline; inconclusive where there are too few rows for it."""
    question = "Does the pipeline score above chance on permuted labels?"
    tolerance: dict[str, Any] = {"p at most": ALPHA / len(MODELS), "AUC expected": 0.5}
    if isinstance(permuted, DataError):
        return leak_verdict(question, None, False, {}, tolerance, str(permuted))
    low, high = 0.5 - permuted.half_width(), 0.5 + permuted.half_width()
    tolerance["mean AUC within"] = [low, high]
    means = {m: float(np.mean(values)) for m, values in permuted.auc.items()}
    p = {m: float(2 * stats.norm.sf(abs(permuted.z(m)))) for m in means}
    figures = {
        "rows": permuted.rows,
        "auc": permuted.auc,
        "mean": means,
        "p": p,
    }
    wrong = [m for m in means if p[m] <= ALPHA / len(MODELS)]
    listed = ", ".join(f"{m} {mean:.3f}" for m, mean in means.items())
    text = (
        f"Mean AUC over {PERMUTATIONS} permutations of {permuted.rows:,} labels: {listed}; {low:.3f} to "
        f"{high:.3f} is chance."
    )
    return leak_verdict(question, bool(wrong), True, figures, tolerance, text)
