"""Interventions on the data: what the rows contribute to the AUC, whatever the circuit does.

They use fast models (logistic regression, gradient boosting) on the circuit's own features, or column by
column, with the methods of the leakage stress test. A check is *against* the data if there is nothing to
learn, if one column gives the label away, if rows that appear in both train and test carry the score, or if
a random split of the same rows would do better by more than chance: the sides differ.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from qnb.config import TrainConfig
from qnb.data.overlap import SIGNIFICANT_BITS, row_hashes
from qnb.data.prepare import Prepared, prepare
from qnb.data.table import Table, load_table
from qnb.errors import QnbError
from qnb.leakage.single_columns import GIVEAWAY, coded
from qnb.leakage.statistics import null_sd, rate_auc
from qnb.studies.diagnosis.components import SHARE
from qnb.training.metrics import auc

CHANCE = 3.0  # standard deviations: a score within them of 0.5, or of another, is not told apart from it
TREES = 60
SHARE_BY_DESIGN = (
    0.5  # of what the AUC lacks to 1, that a random split must restore where sides differ by design
)
FEWEST = 20  # rows of a class, under which an AUC is not compared


@dataclass(frozen=True)
class Check:
    """One intervention on the data.

    Attributes:
        name: the intervention.
        against: whether it is evidence against the data.
        sentence: the result in words.
        gain: the difference in AUC that it measures; NaN where it measures none.
        error: standard error of the gain.
    """

    name: str
    against: bool
    sentence: str
    gain: float = np.nan
    error: float = np.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the gain, normal approximation."""
        return self.gain - 1.96 * self.error, self.gain + 1.96 * self.error


def auc_error(area: float, y: np.ndarray) -> float:
    """Standard error of an AUC for labels y (B,) (Hanley and McNeil 1982, Radiology 143, 29-36)."""
    ones, zeros = float(np.sum(y)), float(np.sum(1 - y))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (ones - 1) * (q1 - area**2) + (zeros - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / (ones * zeros)))


def nothing_to_learn(ceiling: float, circuit: float, prepared: Prepared) -> Check:
    """Is there nothing to learn: do neither the classical models nor the circuit beat chance?

    Args:
        ceiling: the best classical AUC, mean of validation and test.
        circuit: the circuit's best one, over all changes, likewise.
    """
    spread = float(np.hypot(null_sd(prepared.y["val"]), null_sd(prepared.y["test"]))) / 2
    nothing = max(ceiling, circuit) < 0.5 + CHANCE * spread
    text = f"The best classical model on the same features has AUC {ceiling:.3f}"
    text += f"; chance is 0.5 ± {spread:.3f}."
    return Check(
        "classical models", nothing, text + " There is nothing to learn in these features." * nothing
    )


def validation_against_test(
    config: TrainConfig, baselines: dict[str, Any], prepared: Prepared, min_effect: float
) -> Check:
    """Is the best classical model worse on test than on validation rows, by more than chance?

    If the sides differ by design (a split by time, group or attack, a test file), that is not a fault.

    Args:
        baselines: by name, val_auc and test_auc.
    """
    best = max(baselines, key=lambda name: baselines[name]["val_auc"])
    val, test = (float(baselines[best][f"{side}_auc"]) for side in ("val", "test"))
    errors = [auc_error(area, prepared.y[side]) for area, side in ((val, "val"), (test, "test"))]
    error = float(np.linalg.norm(errors))
    drop = val - test
    differs = drop > max(min_effect, SHARE * (1 - test)) and drop > CHANCE * error
    against = differs and not _by_design(config)
    text = f"The best classical model has validation AUC {val:.3f} and test AUC {test:.3f}."
    text += " What it learnt does not hold on the test rows: a leak, or sides that differ." * against
    return Check("labels of validation against test", bool(against), text, drop, error)


def _by_design(config: TrainConfig) -> bool:
    """Whether the sides were asked to differ."""
    return config.split != "random" or config.test_data is not None


def near_copies(logits: np.ndarray, prepared: Prepared, min_effect: float) -> Check | None:
    """Does the AUC fall without the test rows that have a near copy in training? None if there are no such
    rows, or if too few are left without them.

    Args:
        logits: (B,) of the test rows, by the model without changes.
    """
    import pandas as pd

    hashes = {
        side: row_hashes(pd.DataFrame(X, columns=[str(i) for i in range(X.shape[1])]), SIGNIFICANT_BITS)
        for side, X in prepared.X.items()
    }
    y = prepared.y["test"]
    copies = np.isin(hashes["test"], hashes["train"])
    alone = ~copies
    counts = np.bincount(y[alone].astype(int), minlength=2)
    if not copies.any() or counts.min() < FEWEST:
        return None
    whole, without = auc(logits, y), auc(logits[alone], y[alone])
    error = auc_error(without, y[alone]) * float(np.sqrt(copies.mean()))  # the rows in common cancel
    drop = without - whole
    against = -drop > max(min_effect, SHARE * (1 - without)) and -drop > CHANCE * error
    text = f"Without the {copies.sum()} test rows that have a near copy in training the AUC is {without:.3f} "
    text += f"({drop:+.3f})."
    return Check("rows without near copies", bool(against), text, drop, error)


def give_aways(table: Table, seed: int = 0) -> Check:
    """Does a single column give the label away?

    Args:
        seed: of the folds in `qnb.leakage.statistics.rate_auc`.
    """
    rng = np.random.default_rng(seed)
    alone = {name: rate_auc(coded(table.frame[name]), table.y, rng) for name in table.frame.columns}
    aucs = {name: column.auc for name, column in alone.items() if np.isfinite(column.auc)}
    if not aucs:
        return Check("columns one at a time", False, "Too few rows for columns one at a time.")
    best = max(aucs, key=lambda name: aucs[name])
    against = aucs[best] >= GIVEAWAY and alone[best].p <= 0.01 / len(aucs)
    text = f"The best column by itself is {best!r}, with AUC {aucs[best]:.3f}."
    if against:
        text += " It alone is the label in other words: leave it out, or find out how it comes about."
    return Check("columns one at a time", bool(against), text)


def _boosted(prepared: Prepared, seed: int) -> tuple[float, float]:
    """Test AUC of gradient boosting on the circuit's features, and its standard error."""
    model = HistGradientBoostingClassifier(max_iter=TREES, early_stopping=False, random_state=seed)
    with threadpool_limits(1):
        logits = model.fit(*prepared.side("train")).decision_function(prepared.X["test"])
    y = prepared.y["test"]
    area = auc(logits, y)
    return area, auc_error(area, y)


def other_splits(config: TrainConfig, prepared: Prepared, table: Table, min_effect: float) -> list[Check]:
    """A fresh random split of the same rows, and splits by group and by time where the table has them."""
    own, own_error = _boosted(prepared, config.seed)
    checks = []
    for rule in ("random", "group", "time"):
        fresh: dict[str, Any] = {"split": rule, "split_seed": config.split_seed + (rule == config.split)}
        fresh |= {
            "embargo": 0.0,
            "attack_test": None,
            "group_by": config.group_by if rule == "group" else None,
        }
        try:
            other = prepare(TrainConfig.make(dict(config) | fresh), table)
        except QnbError:  # the table has no groups, or no times, or a side lacks a class
            continue
        if min(np.bincount(other.y["test"].astype(int), minlength=2)) < FEWEST:
            continue
        area, error = _boosted(other, config.seed)
        checks.append(_compared(config, rule, own, area, float(np.hypot(own_error, error)), min_effect))
    return checks


def _compared(
    config: TrainConfig, rule: str, own: float, area: float, error: float, min_effect: float
) -> Check:
    gain, chance = area - own, CHANCE * error
    name = f"a fresh split, {rule}" if rule == config.split else f"a split by {rule}"
    name = "a random split" if rule == "random" and config.split != "random" else name
    text = f"Gradient boosting has test AUC {own:.3f} as the rows are split, {area:.3f} with {name} "
    text += f"({gain:+.3f})."
    share = SHARE_BY_DESIGN if _by_design(config) else SHARE
    against = rule == "random" and gain > max(min_effect, share * (1 - own)) and gain > chance
    if against:
        text += " The sides differ, and that is what limits the AUC."
        if config.split != "random":
            text += f" A random split would hide it: with split={config.split!r} this is the honest score."
    elif gain < -chance and -gain > min_effect:
        text += " The split as it is flatters: see leakage_stress_test."
    return Check(name, bool(against), text, gain, error)


def examine(
    config: TrainConfig,
    prepared: Prepared,
    baselines: dict[str, Any],
    circuit: float,
    logits: np.ndarray,
    min_effect: float,
) -> list[Check]:
    """All interventions that the data allow.

    Args:
        baselines: by name, val_auc and test_auc.
        circuit: see `nothing_to_learn`.
        logits: (B,) of the test rows, by the model without changes.
        min_effect: the difference in AUC that would matter.

    Raises:
        DataError: the table can no longer be read.
    """
    ceiling = max((float(b["val_auc"]) + float(b["test_auc"])) / 2 for b in baselines.values())
    checks = [
        nothing_to_learn(ceiling, circuit, prepared),
        validation_against_test(config, baselines, prepared, min_effect),
    ]
    if copies := near_copies(logits, prepared, min_effect):
        checks.append(copies)
    if prepared.asked:  # not arrays by hand: there is a table
        table = load_table(config)
        checks.append(give_aways(table, config.seed))
        checks += other_splits(config, prepared, table, min_effect)
    return checks


def table_of(checks: list[Check]) -> list[dict[str, Any]]:
    """The checks as dicts, for verdict.json."""
    return [
        {"name": c.name, "against": c.against, "gain": c.gain, "interval": c.interval, "sentence": c.sentence}
        for c in checks
    ]
