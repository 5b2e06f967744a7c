"""Suspicions 2 to 4: one column that gives the answer away.

What decides is the role of a column, not how well it predicts. Three questions:

- Identifiers: hosts, ports, flow ids, counters with an arbitrary start, and columns named in the parameter
  `identifiers`. They say who or which packet it was, never what it did, so they should be uninformative.
  Only rows that carry the field are compared: whether a packet has a port at all is legitimate information.
  Leak if the AUC is at least 0.5 + EFFECT and p <= ALPHA / (columns of the question).
- Time and sessions: when and in which capture a row was taken; the same rule.
- Features: what the model may use. A feature may be predictive; it is called a leak only if it alone is the
  label in other words: AUC >= GIVEAWAY, and p <= ALPHA / features (which matters for small tables).

Where rows come in groups, and an identifier or a feature has the AUC of a leak, its p is that of exchanging
its values between whole groups, see `qnb.leakage.group_exchange`. Time and sessions are the groups, or
reveal them: their p is over rows, and a small one says that labels and sessions go together in these rows.

Counters that start from zero with a connection or capture (tcp.seq, tcp.ack, icmp.seq_le, udp.stream) also
measure how long it has been running; they count as features, unless `identifiers` names them.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from qnb.data.column_roles import Source
from qnb.data.values import is_numeric
from qnb.leakage.group_exchange import groups_of, p_of_exchanges, some_rows
from qnb.leakage.raw import Raw, RawColumn
from qnb.leakage.statistics import ALPHA, bins, folded_auc, folds, rate_auc
from qnb.leakage.tabular import common
from qnb.leakage.verdict import LeakVerdict, leak_verdict

EFFECT = 0.05
GIVEAWAY = 0.99
FOLD_DRAWS = 5  # of a test over groups
IDENTIFIERS, WHEN, FEATURE = ("host", "port", "counter", "flow", "named"), ("time", "session"), ("feature",)
TIMES = ("capture.start", "capture.end")  # of the bundled capture, beside its clock
# set aside: content that the reader keeps from the model (payloads, say)
KINDS = (*IDENTIFIERS, *WHEN, *FEATURE, "set aside")


@dataclass(frozen=True)
class Single:
    """What one column predicts by itself.

    Attributes:
        column: its name.
        kind: one of KINDS.
        auc, p, sd: of the column alone under the null that it is uninformative, see
            `qnb.leakage.statistics.Alone`; NaN where the rows do not hold both classes.
        rows: share of the rows that were compared.
        reaches_model: whether it is a feature as the table is read.
        over_groups: whether p is that of exchanges between whole groups, which are made where the AUC is
            large enough for a leak; else p takes rows as independent.
    """

    column: str
    kind: str
    auc: float
    p: float
    sd: float
    rows: float
    reaches_model: bool
    over_groups: bool = False


def kind_of(name: str, source: Source) -> str:
    """The kind of a column, one of KINDS, which decides the rule that it is judged by; see the head of this
    file.
    """
    if name in source.identifiers:
        return source.identifiers[name]
    if source.dropped.get(name) == "time" or name in (*source.time, *TIMES):
        return "time"
    if name in source.groups:
        return "session"
    return "feature" if name in source.features else "set aside"


def codes_of(column: RawColumn, kind: str) -> np.ndarray:
    """Codes of a column's values, int `(N,)`: bins of numbers and times, categories of text and sessions."""
    values = column.seconds() if kind == "time" and not column.typed else None
    values = column.values() if values is None else values
    return column.categories() if values is None or kind == "session" else bins(values)


def examine(raw: Raw, seed: int = 0, group_by: tuple[str, ...] | None = None) -> list[Single]:
    """One `Single` for each column, highest AUC first.

    Args:
        seed: of the folds and the exchanges.
        group_by: columns that make a group; None: the capture session, where the rows hold it.
    """
    rng, singles = np.random.default_rng(seed), []
    groups = groups_of(raw, group_by)
    kinds = {name: kind_of(name, raw.source) for name in raw.columns}
    for name, column in raw.columns.items():
        kind, feature = kinds[name], name in raw.source.features
        present = column.present() if kind in IDENTIFIERS else np.ones(len(raw.y), bool)
        codes, y = codes_of(column, kind)[present], raw.y[present]
        single = Single(name, kind, *rate_auc(codes, y, rng), float(present.mean()), feature)
        if groups is not None and name not in (group_by or ()) and _large(single):
            tests = sum((other in IDENTIFIERS) == (kind in IDENTIFIERS) for other in kinds.values())
            p = _p_over_groups(codes, y, groups[present], round(2 * tests / ALPHA), rng)
            single = replace(single, p=p, over_groups=True)
        singles.append(single)
    return sorted(singles, key=lambda one: -np.nan_to_num(one.auc, nan=0.5))


def _large(one: Single) -> bool:
    """Whether the AUC of an identifier or a feature is one of a leak, so that its p matters."""
    least = 0.5 + EFFECT if one.kind in IDENTIFIERS else GIVEAWAY
    return one.kind in (*IDENTIFIERS, *FEATURE) and one.auc >= least


def _p_over_groups(
    codes: np.ndarray, y: np.ndarray, groups: np.ndarray, most: int, rng: np.random.Generator
) -> float:
    """Of the mean AUC over FOLD_DRAWS draws of the folds, so that it depends little on one of them."""
    rows = some_rows(len(y), rng)
    codes, y = np.unique(codes[rows], return_inverse=True)[1], y[rows]
    drawn = [folds(y, rng) for _ in range(FOLD_DRAWS)]

    def area(taken: np.ndarray) -> float:
        return float(np.mean([folded_auc(codes[taken], y, fold) for fold in drawn]))

    return p_of_exchanges(area, groups[rows], most, rng)


def coded(values: pd.Series) -> np.ndarray:
    """Codes of a cleaned column's values, int `(N,)`: bins of numbers, categories of text."""
    if is_numeric(values):
        return bins(values.to_numpy(np.float64))
    return pd.factorize(values, use_na_sentinel=False)[0]


@dataclass(frozen=True)
class Pair:
    """Two features, and the AUC of the share of positives in the cells that both span."""

    columns: tuple[str, str]
    auc: float


def best_pair(raw: Raw, singles: list[Single], seed: int = 0, candidates: int = 6) -> Pair | None:
    """The most predictive pair among the `candidates` best features; None with fewer than two features.

    Each feature is cut into at most 16 bins, with one more for missing numbers, so that a pair has at most
    17 x 17 cells.
    """
    best = [one for one in singles if one.kind == "feature" and np.isfinite(one.auc)][:candidates]
    if len(best) < 2:
        return None
    codes = {one.column: _coarse(raw.columns[one.column]) for one in best}
    rng, pairs = np.random.default_rng(seed), []
    for i, a in enumerate(best):
        for b in best[i + 1 :]:
            cell = codes[a.column] * (codes[b.column].max() + 1) + codes[b.column]
            pairs.append(Pair((a.column, b.column), rate_auc(cell, raw.y, rng).auc))
    return max(pairs, key=lambda pair: pair.auc)


def _coarse(column: RawColumn, limit: int = 16) -> np.ndarray:
    values = column.values()
    if values is not None:
        return bins(values, limit)
    return common(column.categories(), limit)


def judge_identifiers(singles: list[Single]) -> LeakVerdict:
    """The verdict: do hosts, ports and counters reveal the label?"""
    question = "Do identifiers (hosts, ports, counters) reveal the label?"
    missing = "No column of this table is known to be an identifier: name them in the parameter identifiers."
    return _judge(question, [one for one in singles if one.kind in IDENTIFIERS], missing, "identifiers")


def judge_time(singles: list[Single]) -> LeakVerdict:
    """The verdict: do the time and the capture session reveal the label?"""
    question = "Do the time and the capture session reveal the label?"
    missing = (
        "No column has the role of a time or a session, nor looks like one: name them in the parameters time "
        "and group_by."
    )
    return _judge(
        question, [one for one in singles if one.kind in WHEN], missing, "columns of time or session"
    )


def _judge(question: str, singles: list[Single], missing: str, noun: str) -> LeakVerdict:
    singles = [one for one in singles if np.isfinite(one.auc)]
    level = ALPHA / max(len(singles), 1)
    caught = [one for one in singles if one.auc >= 0.5 + EFFECT and one.p <= level]
    figures = {
        "columns": [one.column for one in caught],
        "auc where present": {one.column: one.auc for one in singles},
        "p": {one.column: one.p for one in singles},
        "tested over whole groups": [one.column for one in singles if one.over_groups],
        "reaches the model": [one.column for one in caught if one.reaches_model],
    }
    reaches = any(one.reaches_model for one in caught)
    text = _leak(caught) if caught else _no_leak(singles, level, noun) if singles else missing
    text += _sampled(caught, singles, level)
    tolerance = {"AUC at least": 0.5 + EFFECT, "p at most": level}
    return leak_verdict(question, bool(caught) if singles else None, reaches, figures, tolerance, text)


def _sampled(caught: list[Single], singles: list[Single], level: float) -> str:
    """What p resamples, where that decided."""
    text = ""
    over_rows = [one.column for one in caught if not one.over_groups]
    if over_rows:
        text += (
            f" p of {', '.join(over_rows)} takes rows as independent: in other sessions or groups of rows "
            "the relation may be another."
        )
    cleared = [
        f"{one.column} ({one.auc:.3f}, p {one.p:.2g})" for one in singles if one.over_groups and one.p > level
    ]
    if cleared:
        text += (
            f" No more than their groups tell {', '.join(cleared)}: so much is reached when whole groups "
            "exchange their values."
        )
    return text


def _leak(caught: list[Single]) -> str:
    listed = ", ".join(f"{one.column} ({one.auc:.3f})" for one in caught)
    inside = ", ".join(one.column for one in caught if one.reaches_model)
    reaches = f"The model sees {inside}: drop these columns" if inside else "The model sees none of them"
    return f"AUC of a column alone, where present: {listed}. {reaches}."


def _no_leak(singles: list[Single], level: float, noun: str) -> str:
    best = max(singles, key=lambda one: one.auc)
    return (
        f"None of {len(singles)} {noun} does: the best, {best.column}, has AUC {best.auc:.3f} where it is "
        f"present, p {best.p:.2g}. A leak needs both AUC {0.5 + EFFECT:g} or more and p {level:.2g} or "
        f"less{_reach(best, level)}."
    )


def _reach(one: Single, level: float) -> str:
    """Where the rows of a column are few, which AUC it takes to bring p down to `level`."""
    least = 0.5 + float(stats.norm.isf(level)) * one.sd
    if least <= 0.6:
        return ""
    return (
        f", which so few rows reach from AUC {least:.2f} on"
        if least < 1
        else ", which so few rows cannot reach"
    )


def judge_features(singles: list[Single], pair: Pair | None) -> LeakVerdict:
    """The verdict: does one feature nearly equal the label?"""
    features = [one for one in singles if one.kind == "feature" and np.isfinite(one.auc)]
    level = ALPHA / max(len(features), 1)
    caught = [one for one in features if one.auc >= GIVEAWAY and one.p <= level]
    figures = {
        "columns": [one.column for one in caught],
        "best": {one.column: one.auc for one in features[:5]},
        "best pair": None if pair is None else {"columns": list(pair.columns), "auc": pair.auc},
        "reaches the model": [one.column for one in caught if one.reaches_model],
    }
    tolerance = {"AUC at least": GIVEAWAY, "p at most": level}
    return leak_verdict(
        "Does one feature nearly equal the label?",
        bool(caught) if features else None,
        any(one.reaches_model for one in caught),
        figures,
        tolerance,
        _best_features(features, caught, pair) + _sampled(caught, features, level),
    )


def _best_features(features: list[Single], caught: list[Single], pair: Pair | None) -> str:
    if not features:
        return "No feature can be compared: the rows hold one class only."
    best = f"the best feature, {features[0].column}, reaches AUC {features[0].auc:.3f}"
    if pair is not None:
        best += f"; the best pair, {pair.columns[0]} with {pair.columns[1]}, {pair.auc:.3f}"
    if not caught:
        return f"Of {len(features)} features {best}; a feature may predict."
    names = ", ".join(one.column for one in caught)
    return f"By themselves {names} nearly give the label: {best}. Find out what they are."
