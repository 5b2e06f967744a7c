"""Suspicion 1: the way a value is written tells the label, before the value means anything.

Among rows whose value means the same (the number 0, say, written `0` and `0.0`), does the spelling predict
the label? Because equal values are compared, a column that is merely larger in attacks does not count as
"formatted" differently.

    AUC = sum over meanings of n1 n0 AUC(meaning) / sum of n1 n0,

where AUC(meaning) is the best that an order of its spellings can reach. Being the best, it lies above 0.5 by
chance, so it is compared with its own distribution when labels are exchanged among rows of equal meaning.

A column leaks if p <= ALPHA / (columns examined) and its AUC lies at least EFFECT above the mean of that
distribution. Where rows come in groups, it must also reach that p when whole groups exchange their
spellings, see `qnb.leakage.group_exchange`: one session that writes `0.0` says nothing about attacks.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from qnb.leakage.classes import USUAL, Classes
from qnb.leakage.group_exchange import p_of_exchanges, some_rows
from qnb.leakage.raw import RawColumn
from qnb.leakage.statistics import ALPHA, rate_auc
from qnb.leakage.verdict import LeakVerdict, leak_verdict

EFFECT = 0.1  # in AUC, above chance
PERMUTATIONS = 20_000
MEANINGS = 100  # per column, those with the most pairs of rows


@dataclass(frozen=True)
class Form:
    """What the text form of one column predicts.

    Attributes:
        column: its name.
        auc_alone: AUC of the form (kind of text, length) over all rows, whatever the values mean; NaN for a
            typed column.
        auc: among rows of equal meaning, see the head of this file; 0.5 where every meaning has one
            spelling.
        chance: mean of that AUC when labels are exchanged; NaN where there was nothing to exchange.
        p: share of the exchanges of labels (PERMUTATIONS or more) that reach `auc`. Where that would call a
            leak and there are groups, the larger of it and the p of exchanges between groups.
        rows: share of all rows whose meaning has more than one spelling.
        example: spelling -> (share among the negative rows of its meaning, among the positive rows), for the
            meaning with the most pairs.
        reaches_model: whether the column is a feature and the reader keeps the spellings apart.
    """

    column: str
    auc_alone: float
    auc: float = 0.5
    chance: float = np.nan
    p: float = 1.0
    rows: float = 0.0
    example: dict[str, tuple[float, float]] | None = None
    reaches_model: bool = False

    def leaks(self, tests: int) -> bool:
        """Whether the form gives the label away, as one of `tests` columns examined (Bonferroni)."""
        return self.p <= ALPHA / tests and self.auc - self.chance >= EFFECT


def kind_of_text(text: str) -> str:
    """`empty`, `integer`, `decimal`, `number` (a number written in any other way) or `text`."""
    bare = text.strip()
    if not bare:
        return "empty"
    if bare.lstrip("+-").isdecimal():
        return "integer"
    whole, dot, part = bare.lstrip("+-").partition(".")
    if dot and (whole + part).isdecimal():
        return "decimal"
    try:
        float(bare)
    except ValueError:
        return "text"
    return "number"


def examine(
    columns: dict[str, RawColumn],
    y: np.ndarray,
    features: Collection[str] = (),
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> list[Form]:
    """One `Form` for each column, highest AUC first.

    Args:
        columns: N rows as written, from `qnb.leakage.raw.read_raw`.
        y: labels 0 or 1, `(N,)`.
        features: names of the columns that the model may use.
        seed: of the exchanges.
        groups: `(N,)`, see `qnb.leakage.group_exchange.groups_of`; None: rows are independent.
    """
    rng = np.random.default_rng(seed)
    # so that p can get under ALPHA / columns
    permutations = max(PERMUTATIONS, round(2 * len(columns) / ALPHA))
    forms = [
        _examine(name, column, y, name in features, permutations, rng) for name, column in columns.items()
    ]
    tests = max(sum(not np.isnan(form.auc_alone) for form in forms), 1)
    if groups is not None:
        forms = [
            replace(form, p=max(form.p, _p_over_groups(columns[form.column], y, groups, tests, rng)))
            if form.leaks(tests)
            else form
            for form in forms
        ]
    return sorted(forms, key=lambda form: -form.auc)


def _p_over_groups(
    column: RawColumn, y: np.ndarray, groups: np.ndarray, tests: int, rng: np.random.Generator
) -> float:
    """The p of the form, the spellings of each meaning exchanged between whole groups."""
    size = len(column.written)
    strata = _strata(column.meanings, _counts(column.codes, y, size))
    meaning = np.full(size, -1)
    for k, stratum in enumerate(strata):
        meaning[stratum] = k
    rows = np.flatnonzero(meaning[column.codes] >= 0)
    rows = rows[some_rows(len(rows), rng)]
    codes, labels = column.codes[rows], y[rows]
    # groups of rows of one meaning exchange among themselves: an exchange changes no row's meaning
    units = np.unique(np.stack([meaning[codes], groups[rows]]), axis=1, return_inverse=True)[1].ravel()

    def won(taken: np.ndarray) -> float:
        counts = _counts(codes[taken], labels, size)
        return float(sum(_won(counts[s][None])[0] for s in strata))

    return p_of_exchanges(won, units, round(2 * tests / ALPHA), rng, within=meaning[codes])


def _counts(codes: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """Rows of class 0 and 1 of each of so many codes, `(size, 2)`."""
    return np.stack([np.bincount(codes[y == c], minlength=size) for c in (0, 1)], axis=1)


def _examine(
    name: str, column: RawColumn, y: np.ndarray, feature: bool, permutations: int, rng: np.random.Generator
) -> Form:
    if column.typed:
        return Form(name, np.nan)
    shapes: dict[tuple[str, int], int] = {}
    shape = np.array([shapes.setdefault((kind_of_text(t), len(t)), len(shapes)) for t in column.written])
    alone = rate_auc(shape[column.codes], y, rng).auc if len(shapes) > 1 else 0.5
    # (K, 2)
    counts = _counts(column.codes, y, len(column.written))
    strata = _strata(column.meanings, counts)
    if not strata:
        return Form(name, alone)
    pairs = sum(counts[s].sum(axis=0).prod() for s in strata)
    auc = sum(_won(counts[s][None])[0] for s in strata) / pairs
    null = sum(_won(_exchanged(counts[s], permutations, rng)) for s in strata) / pairs
    spelled = [i for i, m in enumerate(column.meanings) if m in {column.meanings[s[0]] for s in strata}]
    best = max(strata, key=lambda s: counts[s].sum(axis=0).prod())
    shares = counts[best] / counts[best].sum(axis=0)
    return Form(
        name,
        alone,
        float(auc),
        float(null.mean()),
        float((1 + (null >= auc - 1e-12).sum()) / (1 + len(null))),
        float(counts[spelled].sum() / len(y)),
        {column.written[i]: (float(a), float(b)) for i, (a, b) in zip(best, shares, strict=True)},
        feature and any(len({column.cleaned[i] for i in s}) > 1 for s in strata),
    )


def _strata(meanings: list[str], counts: np.ndarray) -> list[np.ndarray]:
    """Numbers of the spellings of each meaning that has several and holds both classes, largest first, at
    most MEANINGS.
    """
    groups: dict[str, list[int]] = {}
    for i, meaning in enumerate(meanings):
        if counts[i].any():
            groups.setdefault(meaning, []).append(i)
    several = [np.array(g) for g in groups.values() if len(g) > 1 and counts[g].sum(axis=0).all()]
    return sorted(several, key=lambda g: -counts[g].sum(axis=0).prod())[:MEANINGS]


def _won(table: np.ndarray) -> np.ndarray:
    """Pairs of a positive and a negative row that the best order of the spellings ranks right, ties half.

    Args:
        table: rows of class 0 and 1 for each spelling, `(R, spellings, 2)`.

    Returns:
        `(R,)`.
    """
    rate = table[..., 1] / np.maximum(table.sum(axis=-1), 1)
    ordered = np.take_along_axis(table, np.argsort(rate, axis=1)[..., None], axis=1).astype(float)
    zeros, ones = ordered[..., 0], ordered[..., 1]
    pairs: np.ndarray = (ones * (np.cumsum(zeros, axis=1) - zeros / 2)).sum(axis=1)
    return pairs


def _exchanged(table: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` exchanges of the labels of one meaning's rows `(spellings, 2)`, drawn from the multivariate
    hypergeometric.
    """
    rows = table.sum(axis=1)
    ones = rng.multivariate_hypergeometric(rows, int(table[:, 1].sum()), size=size, method="marginals")
    return np.stack([rows - ones, ones], axis=-1)


def judge_forms(forms: list[Form], classes: Classes = USUAL) -> LeakVerdict:
    """The verdict on the formatting of values; `classes` has the words for the two classes."""
    text = [form for form in forms if not np.isnan(form.auc_alone)]
    tests = max(len(text), 1)
    caught = [form for form in text if form.leaks(tests)]
    several = [f.column for f in text if f.p < 1 or not np.isnan(f.chance)]
    tolerance = {"p at most": ALPHA / tests, "AUC above chance at least": EFFECT}
    figures = {
        "columns": [form.column for form in caught],
        "text columns examined": len(text),
        "of each": {
            f.column: {"auc": f.auc, "chance": f.chance, "p": f.p, "auc alone": f.auc_alone} for f in caught
        },
        "columns with two spellings of one value": several,
        "reaches the model": [form.column for form in caught if form.reaches_model],
    }
    return leak_verdict(
        "Does the formatting of values reveal the label?",
        bool(caught) if text else None,
        any(form.reaches_model for form in caught),
        figures,
        tolerance,
        _sentence(len(text), len(several), caught, classes),
    )


def _sentence(examined: int, with_two: int, caught: list[Form], classes: Classes) -> str:
    """The result in words.

    Args:
        examined, with_two: number of text columns, and of those with two spellings of one value.
    """
    if not examined:
        return "The source stores numbers, so there is no formatting to examine."
    if not caught:
        clause = f"{with_two} write a value in two ways"
        return f"Of {examined} text columns {clause}; in none does that tell the label."
    inside = ", ".join(form.column for form in caught if form.reaches_model)
    reader = (
        f"does not make them equal in {inside}" if inside else "makes them equal before the model sees them"
    )
    return (
        f"{len(caught)} columns write equal values differently by label: {_described(caught, classes)}. The "
        f"reader {reader}; encoding these columns as text leaks the label."
    )


def _described(caught: list[Form], classes: Classes) -> str:
    phrases = []
    for form in caught:
        (text, (negative, positive)) = max(
            (form.example or {}).items(), key=lambda item: abs(item[1][0] - item[1][1])
        )
        phrases.append(
            f"{form.column} ('{text[:12]}' in {negative:.0%} of {classes.names[0]}, {positive:.0%} of "
            f"{classes.names[1]}; AUC {form.auc:.2f})"
        )
    return ", ".join(phrases)
