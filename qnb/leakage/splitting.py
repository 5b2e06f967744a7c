"""Suspicions 5 to 7: rows of one session, one part of the day or one attack type on both sides of a random
split.

The AUC of each model under each rule is reported, with its drop from the random split. But a rule also
changes which rows are tested, and late rows, say, may be easier, so the drop alone proves nothing. The
verdict is based on a comparison on the same test rows:

    gain = AUC(seen) - AUC(apart), both on one half of the rule's test rows

`apart` trains as the rule says. `seen` trains on as many rows, of which some are exchanged, class by class,
for the other half of the rule's test rows, as a random split would have allowed. So the gain is the value in
training of rows from the same session, time or type. Its interval comes from a paired bootstrap of the rows,
because rows are exchangeable under the null that groups and times mean nothing. A bootstrap of whole groups
is reported as well: it says how far other groups could differ.

Sessions and time leak if for logistic regression or boosting the gain is at least EFFECT times 1 -
AUC(apart), and its interval, at 1 - ALPHA / 2, lies above zero. The same comparison under the random split
is a control: rows are exchanged for others of the same kind, so its gain is the effect of training on other
rows alone. The circuit is reported and does not decide, because its short training varies more than the
others. For attack types the same result is no leak: types never trained on are harder, which is a limit of
the model.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.data.grouping import stands_in
from qnb.data.roles import Roles
from qnb.data.splits import split_table
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.leakage.models import MODELS, Arm
from qnb.leakage.statistics import ALPHA, folds, interval, require_rows
from qnb.leakage.verdict import LeakVerdict, leak_verdict
from qnb.reporting.verdict import answer
from qnb.statistics.bootstrap import bootstrap_auc

# Of 1 - AUC(apart). Set on the bundled capture, at its 100,000 rows: with nothing planted six captures are
# clean at 0.1, while 0.05 gives two false alarms among them; drift planted alone is worth 0.138 to 0.210 to
# boosting.
EFFECT = 0.1
DECIDE = ("logistic", "boosting")
Base = dict[str, tuple[float, np.ndarray]]  # by model: its AUC under the random split, and that of resamples


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule for splitting: its arms, or why it could not be used.

    Attributes:
        name: of the rule.
        arms: `apart`, then `seen`; none where the rule was refused. The first `half` test rows of both are
            the same.
        half: number of the test rows that are compared.
        clusters: the group of each test row of `apart`, `(n,)`; None where rows are drawn one by one.
        groups: the columns that make a group, for the rule `group`.
        refused: why the rule could not be used; None where it could.
    """

    name: str
    arms: tuple[Arm, ...] = ()
    half: int = 0
    clusters: np.ndarray | None = None
    groups: tuple[str, ...] = ()
    refused: str | None = None


def plan(table: Table, configs: dict[str, TrainConfig], seed: int = 0) -> dict[str, Rule]:
    """The rows of every arm. A rule that cannot be used on this table is returned with the reason in
    `refused`.

    Args:
        configs: by rule, `random` first, each with `split` set to its rule.
        seed: of the halves and of the rows exchanged.
    """
    rng, rules = np.random.default_rng(seed), dict[str, Rule]()
    for name, config in configs.items():
        if "random" in rules and rules["random"].refused:
            rules[name] = Rule(
                name, refused=f"There is no random split to compare with. {rules['random'].refused}"
            )
            continue
        try:
            roles = Roles(table, config.group_by)
            train, val, test = split_table(table, config, roles)
            require_rows(table.y[test], f"The test side of split={name!r}")
            rules[name] = _halves(roles, config, train, val, test, rng)
        except DataError as error:
            rules[name] = Rule(name, refused=str(error))
    return rules


def _halves(
    roles: Roles,
    config: TrainConfig,
    train: np.ndarray,
    val: np.ndarray,
    test: np.ndarray,
    rng: np.random.Generator,
) -> Rule:
    table = roles.table
    half = folds(table.y[test], rng)
    kept, moved = test[half == 0], test[half == 1]
    given_up = []
    for label in (0, 1):
        rows = train[table.y[train] == label]
        count = min(int((table.y[moved] == label).sum()), len(rows) // 2)
        given_up.append(rng.choice(rows, count, replace=False))
        excess = np.flatnonzero(table.y[moved] == label)[count:]
        moved = np.delete(moved, excess)
    seen = np.sort(np.concatenate([np.setdiff1d(train, np.concatenate(given_up)), moved]))
    order = np.concatenate([kept, np.setdiff1d(test, kept)])
    arms = (Arm(f"{config.split}, apart", train, val, order), Arm(f"{config.split}, seen", seen, val, kept))
    if config.split != "group":
        return Rule(config.split, arms, len(kept))
    groups = roles.groups
    clusters = None if stands_in(groups.columns) else groups.codes[order]
    return Rule(config.split, arms, len(kept), clusters, groups.columns)


@dataclass(frozen=True)
class Compared:
    """One model under one rule.

    Attributes:
        auc, auc_interval: under the rule, on all its test rows.
        drop, drop_interval: AUC under the random split minus `auc`; for the random split itself 0 and NaN.
        apart, seen: AUC on the same half of the test rows.
        gain, gain_interval: seen - apart, with its interval over rows.
        gain_over_groups: its interval over whole groups, NaN where there are none.
    """

    rule: str
    model: str
    auc: float
    auc_interval: tuple[float, float]
    drop: float
    drop_interval: tuple[float, float]
    apart: float
    seen: float
    gain: float
    gain_interval: tuple[float, float]
    gain_over_groups: tuple[float, float]

    @property
    def share(self) -> float:
        """The gain as a share of 1 - AUC(apart); 0 where that is 0."""
        return self.gain / (1 - self.apart) if self.apart < 1 else 0.0

    @property
    def matters(self) -> bool:
        """Whether this gain counts by the rule at the head of this file."""
        return self.model in DECIDE and self.share >= EFFECT and self.gain_interval[0] > 0


def compare(
    table: Table, rules: dict[str, Rule], scores: dict[str, dict[str, np.ndarray]], seed: int = 0
) -> list[Compared]:
    """Every model under every rule that could be used, `random` first.

    Args:
        rules: from `plan`.
        scores: by name of the arm, the logits on its test rows by model.
        seed: of the bootstrap.
    """
    rng, compared, base = np.random.default_rng(seed), list[Compared](), Base()
    for rule in rules.values():
        if rule.arms:
            compared += _compare(table, rule, scores, base, rng)
    return compared


def _compare(
    table: Table, rule: Rule, scores: dict[str, dict[str, np.ndarray]], base: Base, rng: np.random.Generator
) -> list[Compared]:
    apart_arm, seen_arm = rule.arms
    y, first = table.y[apart_arm.test], slice(0, rule.half)
    apart, seen = scores[apart_arm.name], scores[seen_arm.name]
    draws = bootstrap_auc([apart[m] for m in MODELS], y, rng, rule.clusters)
    models, y1 = len(DECIDE), y[first]
    halves = [s[m][first] for m in MODELS for s in (apart, seen)]
    paired = bootstrap_auc(halves, y1, rng)
    grouped = None if rule.clusters is None else bootstrap_auc(halves, y1, rng, rule.clusters[first])
    compared = []
    for i, m in enumerate(MODELS):
        auc = roc_auc_score(y, apart[m])
        random_auc, random_draws = base.setdefault(m, (auc, draws[:, i]))  # the first rule is `random`
        apart_auc, seen_auc = roc_auc_score(y1, apart[m][first]), roc_auc_score(y1, seen[m])
        gain, drop = seen_auc - apart_auc, random_auc - auc
        drop_draws = rng.choice(random_draws, len(draws)) - draws[:, i]  # on other rows: not paired
        drop_interval = (np.nan, np.nan) if rule.name == "random" else interval(drop, drop_draws, models)
        gain_interval, over_groups = (
            (np.nan, np.nan) if d is None else interval(gain, d[:, 2 * i + 1] - d[:, 2 * i], models)
            for d in (paired, grouped)
        )
        compared.append(
            Compared(
                rule=rule.name,
                model=m,
                auc=auc,
                auc_interval=_inside(interval(auc, draws[:, i], models)),
                drop=drop,
                drop_interval=drop_interval,
                apart=apart_auc,
                seen=seen_auc,
                gain=gain,
                gain_interval=gain_interval,
                gain_over_groups=over_groups,
            )
        )
    return compared


def _inside(bounds: tuple[float, float]) -> tuple[float, float]:
    """Of an AUC: a normal interval may end beyond 0 or 1."""
    return max(bounds[0], 0.0), min(bounds[1], 1.0)


QUESTIONS = {
    "group": (
        "Does a random split inflate the score, because rows of one group (session, host pair) appear in "
        "both train and test?"
    ),
    "time": "Does a random split inflate the score, because it trains on later rows?",
    "attack": "Does the score hold for attack types never trained on?",
}
SAME = {
    "group": "of the same groups",
    "time": "from the same hours as the test rows",
    "attack": "of the attack types tested",
}


def judge_rule(rule: Rule, compared: list[Compared]) -> LeakVerdict:
    """The verdict on one rule other than `random`; inconclusive where it could not be used."""
    question = QUESTIONS[rule.name]
    tolerance = {
        "gain in AUC at least this share of what is lacking to 1": EFFECT,
        "its interval above": 0.0,
        "level of the interval": 1 - ALPHA / len(DECIDE),
        "decided by": list(DECIDE),
    }
    cases = [c for c in compared if c.rule == rule.name]
    if not cases:
        return leak_verdict(question, None, False, {}, tolerance, rule.refused or "")
    figures = {
        c.model: {
            "auc": c.auc,
            "drop from random": c.drop,
            "interval of the drop": c.drop_interval,
            "apart": c.apart,
            "seen": c.seen,
            "gain": c.gain,
            "share of what is lacking": c.share,
            "control": next(o.gain for o in compared if (o.rule, o.model) == ("random", c.model)),
            "interval of the gain": c.gain_interval,
            "interval of the gain over groups": c.gain_over_groups,
        }
        for c in cases
    }
    worst = max((c for c in cases if c.model in DECIDE), key=lambda c: (c.matters, c.share))
    by_type = stands_in(rule.groups)
    text = _sentence(rule, worst)
    if rule.name == "attack":
        return LeakVerdict(question, answer(not worst.matters), figures, tolerance, text)
    if by_type and worst.matters:
        reason = f"Sessions are attack types here, and new types are harder: no leak follows. {text}"
        return leak_verdict(question, None, False, figures, tolerance, reason)
    return leak_verdict(question, worst.matters, True, figures, tolerance, text)


def _sentence(rule: Rule, worst: Compared) -> str:
    low, high = worst.gain_interval
    text = (
        f"Rows {SAME[rule.name]} in training change the AUC of {worst.model} on the same test rows by "
        f"{worst.gain:+.3f} ({low:+.3f} to {high:+.3f}), from {worst.apart:.3f}; its drop from the random "
        f"split is {worst.drop:+.3f}."
    )
    if rule.groups:
        text += f" A group is one {', '.join(rule.groups)}."
    if rule.name != "attack" and stands_in(rule.groups):
        text += " The table has no capture session; the attack type stands in."
    return text


def as_table(compared: list[Compared]) -> pd.DataFrame:
    """One row for each rule and model, with intervals as text."""

    def between(bounds: tuple[float, float]) -> str:
        return "" if np.isnan(bounds[0]) else f"{bounds[0]:+.4f} to {bounds[1]:+.4f}"

    return pd.DataFrame(
        {
            "rule": c.rule,
            "model": c.model,
            "AUC": c.auc,
            "drop from random": c.drop,
            "interval of the drop": between(c.drop_interval),
            "apart": c.apart,
            "seen": c.seen,
            "gain": c.gain,
            "share of what is lacking": c.share,
            "interval of the gain": between(c.gain_interval),
        }
        for c in compared
    )
