"""Training, validation and test rows: at random, by group, by time, by attack type.

There is one function per rule, found by name in `SPLITS`. Each keeps both classes on each of the three
sides, or says why it cannot; validation is separated by the same rule as the test.
`qnb.data.overlap.split_card` describes the result of a split, and what its sides still share.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from qnb.config import RuleConfig, SidesConfig, SplitConfig
from qnb.data.grouping import assign_groups, stands_in
from qnb.data.roles import Roles
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.errors import nearest

SIDES = ("train", "val", "test")


class Split(NamedTuple):
    """Row numbers of the three sides, each a sorted int64 array.

    The sides are disjoint. Together they are all rows, except under the rule by time, which leaves out rows
    whose time cannot be read and rows within the embargo.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def random_split(y: np.ndarray, val_fraction: float, test_fraction: float, seed: int) -> Split:
    """Stratified random split: each side has the class proportions of the whole, up to rounding.

    Args:
        y: labels 0 or 1, shape `(N,)`.
        val_fraction, test_fraction: shares of the N rows, of which the second may be 0; the rest trains.
        seed: of the shuffle; the same seed gives the same split.

    Raises:
        DataError: a side would be empty or lack a class; the message gives the counts.
    """
    y = np.asarray(y)
    sizes = {"validation": round(len(y) * val_fraction), "test": round(len(y) * test_fraction)}
    sizes["training"] = len(y) - sum(sizes.values())
    counts = np.bincount(y, minlength=2)
    required = [size for name, size in sizes.items() if name != "test" or test_fraction > 0]
    if min(required) < 2 or min(counts) < len(required):
        raise DataError(
            f"{len(y)} rows ({counts[0]} of class 0, {counts[1]} of class 1) cannot be split into "
            f"{sizes['training']} training, {sizes['validation']} validation and {sizes['test']} test rows "
            "with both classes on each side. Give more rows (sample=None takes all), or change val_fraction "
            "and test_fraction."
        )
    rows = np.arange(len(y))
    rest, test = rows, rows[:0]
    if test_fraction > 0:
        rest, test = train_test_split(rows, test_size=sizes["test"], stratify=y, random_state=seed)
    train, val = train_test_split(rest, test_size=sizes["validation"], stratify=y[rest], random_state=seed)
    return check_split(Split(*(np.sort(side) for side in (train, val, test))), y, tested=test_fraction > 0)


def check_split(split: Split, y: np.ndarray, why: str = "", tested: bool = True) -> Split:
    """The same split, once every side is known to hold both classes; the test is checked only if `tested`.

    Args:
        y: labels 0 or 1, `(N,)`.
        why: advice at the end of the message.

    Raises:
        DataError: naming the side and the class that it lacks.
    """
    why = why or (
        "Give more rows (sample=None takes all), enlarge val_fraction or test_fraction, or use another "
        "split_seed."
    )
    names = ("training", "validation", "test") if tested else ("training", "validation")
    for name, side in zip(names, split, strict=False):
        counts = np.bincount(y[side], minlength=2)
        if not counts.all():
            lacking = f"none of class {int(counts.argmin())}" if len(side) else "so none of either class"
            raise DataError(f"The {name} side of the split has {len(side)} rows and {lacking}. {why}")
    return split


def _random(roles: Roles, config: SplitConfig) -> Split:
    _, val, test = fractions(config)
    return random_split(roles.table.y, val, test, config.split_seed)


def _group(roles: Roles, config: SplitConfig) -> Split:
    """No group on two sides.

    See `qnb.data.grouping.assign_groups` for how near to the fractions asked the sides come.
    """
    table, groups = roles.table, roles.groups
    shares = [share for share in fractions(config) if share > 0]
    if stands_in(groups.columns):
        if config.test_data is not None:
            raise DataError(
                "split='group' by attack types keeps types for a test, and test_data is the test: name other "
                "columns in group_by, or use another split."
            )
        return _attack(roles, config)
    codes, names = groups.codes, groups.names
    counts = np.stack([np.bincount(codes[table.y == c], minlength=len(names)) for c in (0, 1)], axis=1)
    holding = (counts > 0).sum(axis=0)
    if holding.min() < len(shares):
        c = int(holding.argmin())
        raise DataError(
            f"split='group' by {', '.join(groups.columns)}: class {c} occurs in {holding[c]} of {len(names)} "
            f"groups, and each of the {'three' if len(shares) == 3 else 'two'} sides needs one. Name finer "
            "columns in group_by, give more rows, or use another split."
        )
    side = assign_groups(counts, shares, np.random.default_rng(config.split_seed))[codes]
    return check_split(_sides(side), table.y, tested=config.test_data is None)


def _time(roles: Roles, config: SplitConfig) -> Split:
    """Inside each capture (or over all rows, where one clock serves them) training comes before validation,
    and that before the test.

    Rows of one time stand on one side. Left out: rows whose time cannot be read, and those less than
    `embargo` seconds before the first row of a later side.
    """
    table, clock = roles.table, roles.clock
    side = np.full(len(table), -1)
    shares = np.cumsum(fractions(config))[:2]
    order = np.lexsort((clock.seconds, clock.capture))
    order = order[np.isfinite(clock.seconds[order])]
    edges = np.flatnonzero(np.diff(clock.capture[order], prepend=-1, append=-1))
    for rows in (order[a:b] for a, b in pairwise(edges)):
        times = clock.seconds[rows]
        # of validation and of the test
        starts = np.append(times, np.inf)[np.round(shares * len(rows)).astype(int)]
        early = [(times < start) & (times > start - config.embargo) for start in starts]
        side[rows] = np.where(
            early[0] | early[1], -1, (times >= starts[0]).astype(int) + (times >= starts[1])
        )
    advice = (
        f"split='time' by {clock.column} ({clock.words}) cuts where the rows' times say. "
        "Use a smaller embargo, other val_fraction and test_fraction, more rows, or another split."
    )
    return check_split(_sides(side), table.y, advice, tested=config.test_data is None)


def _attack(roles: Roles, config: SplitConfig) -> Split:
    """Whole attack types in the test, others in validation (where there are three or more), the rest in
    training.

    Rows of class 0 are split at random. With two types, validation has rows of the type that trains.
    """
    table, (types, kind) = roles.table, roles.attack_types
    positive, rng = np.flatnonzero(table.y == 1), np.random.default_rng(config.split_seed)
    share = np.array(fractions(config))
    counts = np.bincount(kind)[:, None]
    of_type = np.full(len(types), -1)
    if config.attack_test is not None:
        _known_types(config.attack_test, types)
        of_type[np.isin(types, config.attack_test)] = 2
    elif len(types) == 2:
        of_type[assign_groups(counts, share[[0, 2]], rng) == 1] = 2
    unassigned = np.flatnonzero(of_type < 0)
    if config.attack_test is None and len(unassigned) == len(types):
        of_type = assign_groups(counts, share, rng)
    elif len(unassigned) > 1:
        of_type[unassigned] = assign_groups(counts[unassigned], share[:2], rng)
    else:
        of_type[unassigned] = 0
    side = np.empty(len(table), int)
    side[positive] = of_type[kind]
    negative = np.flatnonzero(table.y == 0)
    side[negative] = _at_random(len(negative), share, rng)
    if len(unassigned) == 1 and (of_type == 1).sum() == 0:
        training = positive[of_type[kind] == 0]
        side[training] = _at_random(len(training), share[:2], rng)
    advice = (
        "split='attack' needs three rows of class 0 and of each type that is shared: give more rows "
        "(sample=None takes all)."
    )
    return check_split(_sides(side), table.y, advice)


def _known_types(wanted: tuple[str, ...], types: np.ndarray) -> None:
    for name in wanted:
        if name not in types:
            raise DataError(
                f"attack_test names {name!r}, which is no type among the rows of class 1. "
                f"{nearest(name, types)}"
            )
    if len(set(wanted)) == len(types):
        raise DataError(
            f"attack_test names all {len(types)} types: none is left to train on. Leave some out."
        )


def _at_random(count: int, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sides of `count` rows in the proportions of `share`, in random order.

    Each side gets a row where there are enough.
    """
    ends = np.round(np.cumsum(share) / np.sum(share) * count).astype(int)
    ends = np.maximum(ends, np.minimum(np.arange(1, len(share) + 1), count))
    ends[-1] = count
    return rng.permutation(np.searchsorted(ends, np.arange(count), side="right"))


def fractions(config: SidesConfig) -> tuple[float, float, float]:
    """Shares of the rows asked for training, validation and test; with an official test file the last
    is 0.
    """
    if isinstance(config, RuleConfig) and config.test_data is not None:
        return 1 - config.val_fraction, config.val_fraction, 0.0
    return 1 - config.val_fraction - config.test_fraction, config.val_fraction, config.test_fraction


def _sides(side: np.ndarray) -> Split:
    return Split(*(np.flatnonzero(side == k) for k in range(3)))


SPLITS: dict[str, Callable[[Roles, SplitConfig], Split]] = {
    "random": _random,
    "group": _group,
    "time": _time,
    "attack": _attack,
}


def split_table(table: Table, config: SplitConfig, roles: Roles | None = None) -> Split:
    """Split `table` by the rule named in `config.split`; the rows of an official test file are the test.

    Args:
        roles: of the table's rows, where they have been read already.

    Raises:
        DataError: no such rule, the table lacks the groups, times or attack types that the rule needs, or
            the rule cannot keep both classes on every side.
    """
    if config.split not in SPLITS:
        raise DataError(
            f"split={config.split!r} is not a rule for splitting. {nearest(config.split, SPLITS)}"
        )
    if table.official is None:
        return SPLITS[config.split](roles or Roles(table, config.group_by), config)
    own = np.flatnonzero(~table.official)
    split = SPLITS[config.split](Roles(table.take(own), config.group_by), config)
    test = np.flatnonzero(table.official)
    return check_split(Split(own[split.train], own[split.val], test), table.y, "test_data is that side.")
