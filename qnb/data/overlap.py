"""The result of a split, and what its sides still share: rows, near copies, groups, attack types."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from qnb.config import SplitConfig
from qnb.data.grouping import PAIR, stands_in
from qnb.data.missing import count_missing
from qnb.data.roles import Roles
from qnb.data.splits import SIDES, Split, fractions
from qnb.data.table import Table

SIGNIFICANT_BITS = 8  # of a number, for near duplicates: those of bfloat16
NEAR_RULE = (
    f"equal text, and numbers equal once rounded to {SIGNIFICANT_BITS} significant bits (steps of 0.4 to "
    "0.8 %); two values on either side of a rounding edge count as different, so this is a lower bound"
)


def split_card(table: Table, split: Split, config: SplitConfig, roles: Roles | None = None) -> dict[str, Any]:
    """How `split` divides `table`, for the data card; JSON-serialisable.

    Args:
        roles: of the table's rows, where they have been read already.

    Returns:
        split: name of the rule; rule: in words, with what stands in for what.
        sides: per side `rows`, `prior` and `asked`, the share of the rows that was asked for (None for an
            official test file).
        missing_of_sides: per column that has any, side -> missing values.
        left_out: reason -> rows that are on no side.
        groups: `columns`, `count`, the number on each side (`train`, `val`, `test`), and `on_two_sides`;
            None where the table has none.
        types_of_sides: per side, attack type -> rows; {} where the table has none.
        duplicates_across: `exact` and `near`, per pair of sides the rows of the later side whose features
            also occur on the earlier one, as `train-val`, `train-test`, `val-test`; `other_label` the same
            for exact ones whose label differs; `near_rule`.

    Raises:
        DataError: `config.group_by` names a column that the table does not have.
    """
    roles = roles or Roles(table, config.group_by)
    sides = dict(zip(SIDES, split, strict=True))
    shares: dict[str, float | None] = dict(zip(SIDES, fractions(config), strict=True))
    if table.official is not None:
        shares["test"] = None
    return {
        "split": config.split,
        "rule": _rule(roles, config),
        "sides": {
            name: {"rows": len(rows), "prior": float(table.y[rows].mean()), "asked": shares[name]}
            for name, rows in sides.items()
        },
        "missing_of_sides": count_missing(table.frame, sides),
        "left_out": _left_out(roles, split, config),
        "groups": _groups(roles, sides),
        "types_of_sides": {}
        if table.attack is None
        else {name: dict(Counter(table.attack[rows].tolist()).most_common()) for name, rows in sides.items()},
        "duplicates_across": across_sides(table, split),
    }


def _rule(roles: Roles, config: SplitConfig) -> str:
    """The rule in words, with what stands in for what."""
    if config.test_data is not None:
        own = _own_rule(roles, config)
        return f"the test is all of {config.test_data}; validation is carved from the other file: {own}"
    return _own_rule(roles, config)


def _own_rule(roles: Roles, config: SplitConfig) -> str:
    if config.split == "group":
        columns = roles.groups.columns
        if stands_in(columns):
            return (
                "whole attack types on one side each; Attack_type stands in for the capture session, "
                "and rows of class 0 are split at random"
            )
        words = "sender and receiver, in either order" if columns == (PAIR,) else ", ".join(columns)
        return f"whole groups on one side each, by {words}"
    if config.split == "time":
        clock = roles.clock
        embargo = (
            f", {config.embargo:g} s left out before each later side" if config.embargo else ", no embargo"
        )
        return f"training before validation before test by {clock.column} ({clock.words}){embargo}"
    if config.split == "attack":
        types = len(roles.attack_types[0])
        named = ", ".join(config.attack_test) if config.attack_test else "drawn by split_seed"
        few = types - len(set(config.attack_test or "x")) < 2
        val = (
            "validation shares the one type that trains, for there are too few"
            if few
            else "validation has types of its own"
        )
        return f"whole attack types kept for the test ({named}); {val}; rows of class 0 are split at random"
    return "at random, in the proportions of the classes"


def _left_out(roles: Roles, split: Split, config: SplitConfig) -> dict[str, int]:
    if config.split != "time":
        return {}
    absent = np.ones(len(roles.table), bool)
    absent[np.concatenate(split)] = False
    unread = ~np.isfinite(roles.clock.seconds)
    return {"time cannot be read": int((absent & unread).sum()), "embargo": int((absent & ~unread).sum())}


def _groups(roles: Roles, sides: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Groups by the columns asked for, or by the source's own where the split is another."""
    known = roles.known_groups
    if known is None:
        return None
    codes = np.where(known.grouped, known.codes, -1)
    held = {name: set(np.unique(codes[rows]).tolist()) - {-1} for name, rows in sides.items()}
    groups = set(np.unique(codes).tolist()) - {-1}
    two = sum(sum(k in side for side in held.values()) > 1 for k in groups)
    return (
        {"columns": list(known.columns), "count": len(groups)}
        | {name: len(side) for name, side in held.items()}
        | {"on_two_sides": two}
    )


def across_sides(table: Table, split: Split) -> dict[str, Any]:
    """Number of rows of a later side whose features also occur on an earlier one; see `split_card` for the
    keys.
    """
    y = np.asarray(table.y, bool)
    exact, near = (pd.factorize(row_hashes(table.frame, bits))[0] for bits in (None, SIGNIFICANT_BITS))
    pairs = {"train-val": split[:2], "train-test": split[::2], "val-test": split[1:]}
    counts: dict[str, dict[str, int]] = {"exact": {}, "other_label": {}, "near": {}}
    for name, (early, late) in pairs.items():
        counts["exact"][name] = _also_there(exact, early, late)
        counts["other_label"][name] = sum(
            _also_there(exact, early[y[early] != c], late[y[late] == c]) for c in (False, True)
        )
        counts["near"][name] = _also_there(near, early, late)
    return counts | {"near_rule": NEAR_RULE}


def _also_there(codes: np.ndarray, early: np.ndarray, late: np.ndarray) -> int:
    """How many of the rows `late` have a code that one of the rows `early` has too.

    Codes are small integers.
    """
    present = np.zeros(codes.max(initial=-1) + 1, bool)
    present[codes[early]] = True
    return int(present[codes[late]].sum())


def row_hashes(frame: pd.DataFrame, bits: int | None = None) -> np.ndarray:
    """One 64-bit hash per row over all columns, uint64 `(N,)`; equal rows have equal hashes.

    With `bits`, numbers are first rounded to that many significant bits, so that near copies have equal
    hashes too. The probability that any two different rows among N share a hash is below N^2 / 2^65 (the
    birthday bound).
    """
    row_hash = np.zeros(len(frame), np.uint64)
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            numbers = values.to_numpy(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
            hashes = pd.util.hash_array(numbers if bits is None else _rounded(numbers, bits))
        else:
            codes, distinct = pd.factorize(values, use_na_sentinel=False)
            hashes = pd.util.hash_array(np.array(distinct, dtype=object), categorize=False)[codes]
        row_hash = row_hash * np.uint64(0x9E3779B97F4A7C15) + hashes  # wraps around, as hashes do
    return row_hash


def _rounded(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Numbers rounded to `bits` significant bits, half away from zero: the rest of the 53 is rounded off the
    binary form.
    """
    rest = 53 - bits
    integers = numbers.view(np.int64) + (1 << (rest - 1))
    return (integers >> rest << rest).view(np.float64)
