"""Suspicion 12: the training rows differ from the test rows, and a classifier can tell them apart.

For each rule, gradient boosting on all features separates rows of the training side from rows of the test
side, cross-validated in two folds. The rules distribute attack types unevenly by design, so only normal
traffic is compared (rows of class 0, where the labels do not say which class is normal): it should look
alike on both sides of any split. Where it does not, sessions or the time leave a mark on it, which a random
split hides.

Leak if for some rule the AUC is at least 0.5 + EFFECT and p <= ALPHA / rules, under the null that the sides
are alike. It reaches the model if the random split is such a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from qnb.data.table import Table
from qnb.leakage.classes import USUAL, Classes
from qnb.leakage.single_columns import coded
from qnb.leakage.splitting import Rule
from qnb.leakage.statistics import ALPHA, FOLDS, folds, null_sd_of_mean, rate_auc
from qnb.leakage.tabular import boost, matrix
from qnb.leakage.verdict import LeakVerdict, leak_verdict

EFFECT = 0.05
ROWS = 20_000
MIN_ROWS = 40  # of each side


@dataclass(frozen=True)
class Separation:
    """How well normal rows of the two sides can be told apart.

    Attributes:
        rule: name of the splitting rule.
        rows: compared, both sides together.
        auc: of the boosting, mean over two folds.
        sd: upper bound of the standard deviation of `auc` if the sides are alike, see
            `qnb.leakage.statistics.null_sd_of_mean`.
        columns: the three columns that separate the sides best by themselves, with their AUC.
        of: the rows that are compared, in words.
    """

    rule: str
    rows: int
    auc: float
    sd: float
    columns: dict[str, float]
    of: str = "normal traffic"

    @property
    def p(self) -> float:
        """One-sided p of an AUC this high if the sides are alike (normal approximation)."""
        return float(stats.norm.sf((self.auc - 0.5) / self.sd))


def examine(
    table: Table,
    rules: dict[str, Rule],
    seed: int = 0,
    done: Callable[[str], object] = lambda what: None,
    classes: Classes = USUAL,
) -> list[Separation]:
    """One `Separation` for each rule that could be used and has MIN_ROWS normal rows on both sides.

    Args:
        rules: from `qnb.leakage.splitting.plan`.
        seed: of the folds, of the rows drawn (at most ROWS) and of the boosting.
        done: called with the name of each rule that has been examined.
        classes: what the two classes mean.
    """
    separations = []
    for rule in rules.values():
        if not rule.arms:
            continue
        separation = _examine(table, rule, np.random.default_rng(seed), seed, classes)
        if separation is not None:
            separations.append(separation)
            done(rule.name)
    return separations


def _examine(
    table: Table, rule: Rule, rng: np.random.Generator, seed: int, classes: Classes
) -> Separation | None:
    sides = [rows[table.y[rows] == classes.alike] for rows in (rule.arms[0].train, rule.arms[0].test)]
    if min(map(len, sides)) < MIN_ROWS:
        return None
    rows = np.concatenate(sides)
    side = np.repeat([0, 1], [len(s) for s in sides])
    kept = rng.permutation(len(rows))[:ROWS]
    rows, side = rows[kept], side[kept]
    frame = table.frame.iloc[rows]
    X, text = matrix(frame)
    fold, areas = folds(side, rng), []
    for k in range(FOLDS):
        inside = fold == k
        areas.append(roc_auc_score(side[inside], boost(X[~inside], side[~inside], X[inside], text, seed)))
    alone = pd.Series({name: rate_auc(coded(frame[name]), side, rng).auc for name in frame.columns}).nlargest(
        3
    )
    best = {str(name): area for name, area in alone.items()}
    traffic = classes.names[0] if classes.normal is None else "normal traffic"
    return Separation(rule.name, len(rows), float(np.mean(areas)), null_sd_of_mean(side, fold), best, traffic)


def judge_sides(separations: list[Separation]) -> LeakVerdict:
    """The verdict on all rules together."""
    level = ALPHA / max(len(separations), 1)
    caught = [s for s in separations if s.auc >= 0.5 + EFFECT and s.p <= level]
    traffic = separations[0].of if separations else "normal traffic"
    return leak_verdict(
        question=f"Can {traffic} in the training rows be distinguished from that in the test rows?",
        leak=bool(caught) if separations else None,
        reaches_model=any(s.rule == "random" for s in caught),
        figures={s.rule: {"auc": s.auc, "p": s.p, "rows": s.rows, "columns": s.columns} for s in separations},
        tolerance={"AUC at least": 0.5 + EFFECT, "p at most": level},
        sentence=_sentence(separations, caught),
    )


def _sentence(separations: list[Separation], caught: list[Separation]) -> str:
    if not separations:
        return f"No split that could be used has {MIN_ROWS} normal rows (or rows of class 0) on both sides."
    listed = ", ".join(f"{s.rule} {s.auc:.3f}" for s in separations)
    sentences = [f" Under {s.rule}, {', '.join(s.columns)} tell most." for s in caught]
    return f"AUC of telling them apart, by rule: {listed}.{''.join(sentences)}"
