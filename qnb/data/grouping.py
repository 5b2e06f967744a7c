"""Groups of rows that belong together, and their assignment to the sides of a split."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.errors import nearest

SESSION = "capture.session"
ATTACK_TYPE = "Attack_type"  # stands for `Table.attack`, whatever that column is called
PAIR = "host pair"  # sender and receiver in either order
TRIES = 20
NEAR = 0.01  # of the rows: no further try once every side's size and prior are this close to what was asked


def group_columns(table: Table, group_by: tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns that define a group: those of `group_by`, else the capture session, else the host pair.

    Raises:
        DataError: a name is not a column, or none is given and the table has neither sessions nor hosts.
    """
    held = [*table.groups.columns, *table.frame.columns]
    if table.attack is not None:
        held += [ATTACK_TYPE, *([table.attack_name] if table.attack_name else [])]
    if table.hosts:
        held.append(PAIR)
    if group_by is None:
        default = next((name for name in (SESSION, PAIR) if name in held), None)
        if default is None:
            raise DataError(
                "This table has neither capture sessions nor hosts: name the columns that make a group in "
                "group_by."
            )
        return (default,)
    for name in group_by:
        if name not in held:
            raise DataError(f"group_by names {name!r}, which the table does not hold. {nearest(name, held)}")
    return tuple(ATTACK_TYPE if name == table.attack_name else name for name in group_by)


def stands_in(columns: tuple[str, ...]) -> bool:
    """Whether the attack type alone stands in for the capture session; rows of class 0 then belong to no
    group.
    """
    return columns == (ATTACK_TYPE,)


def group_codes(table: Table, columns: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """The group of each row, int64 `(N,)`, and the names of the groups.

    In each column, missing values are a value of their own.
    """
    codes, names = np.zeros(len(table), np.int64), [""]
    for column in columns:
        own, distinct = pd.factorize(_column(table, column), use_na_sentinel=False)
        codes, kept = pd.factorize(codes * len(distinct) + own)
        texts = ["(none)" if pd.isna(d) else str(d) for d in distinct]
        names = [f"{names[k // len(distinct)]}, {texts[k % len(distinct)]}".removeprefix(", ") for k in kept]
    return codes, names


def _column(table: Table, name: str) -> pd.Series | np.ndarray:
    if name == PAIR:
        return _host_pairs(table)
    if name == ATTACK_TYPE and table.attack is not None:
        return table.attack
    return table.groups[name] if name in table.groups else table.frame[name]


def _host_pairs(table: Table) -> np.ndarray:
    """`a - b` with a <= b as text, object `(N,)`."""
    ends = []
    for first, *others in zip(*table.hosts, strict=True):
        codes, distinct = pd.factorize(_column(table, first), use_na_sentinel=False)
        hosts = list(distinct)
        for other in others:  # ARP's fields where a frame has no IP addresses
            other_codes, other_hosts = pd.factorize(_column(table, other), use_na_sentinel=False)
            codes = np.where(
                np.isin(np.array(hosts, dtype=object), ["0", "0.0"])[codes], len(hosts) + other_codes, codes
            )
            hosts = [*hosts, *other_hosts]
        ends.append(np.array(["(none)" if pd.isna(h) else str(h) for h in hosts], dtype=object)[codes])
    # few hosts: pairs are made of codes, not of texts
    codes, names = pd.factorize(np.concatenate(ends), sort=True)
    low, high = np.sort(codes.reshape(2, -1), axis=0)
    pairs, kept = pd.factorize(low * len(names) + high)
    return np.array([f"{names[k // len(names)]} - {names[k % len(names)]}" for k in kept], dtype=object)[
        pairs
    ]


def assign_groups(
    counts: np.ndarray, shares: Sequence[float] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Assign whole groups to sides, so that each side comes close to its share of the rows of every class.

    One group per class and side is set aside first, which keeps every class on every side. The others come
    in random order, each to the side where it lowers the sum over sides and classes of (rows there - rows
    wanted)^2 / rows wanted most: a greedy rule like that of scikit-learn's StratifiedGroupKFold, for sides
    of unequal size. The best of up to `TRIES` orders is kept.

    Args:
        counts: rows of each group and class, `(G, C)`.
        shares: of the S sides, positive.
        rng: draws the orders.

    Returns:
        The side of each group, int64 `(G,)`. Every class is on every side if it occurs in S groups or more.
    """
    wanted = np.outer(np.asarray(shares) / np.sum(shares), counts.sum(axis=0))
    best, best_cost = _one_try(counts, wanted, rng)
    for _ in range(TRIES - 1):
        if best_cost < NEAR:
            break
        side, cost = _one_try(counts, wanted, rng)
        if cost < best_cost:
            best, best_cost = side, cost
    return best


def _one_try(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Sides of the groups `(G,)`, placed in one order, and how far off the worst side then is, as a share of
    the rows.
    """
    order = rng.permutation(len(counts))
    side = np.full(len(counts), -1)
    holds = counts[order] > 0
    for group_of in _set_aside(holds, len(wanted), rng):
        for s, k in group_of:
            side[order[k]] = s
    rows = np.stack([counts[side == s].sum(axis=0) for s in range(len(wanted))]).astype(float)
    for g in order[side[order] < 0]:
        gain = ((2 * (rows - wanted) + counts[g]) * counts[g] / np.maximum(wanted, 1e-9)).sum(axis=1)
        side[g] = s = int(gain.argmin())
        rows[s] += counts[g]
    return side, float((np.abs(rows - wanted).sum(axis=1) / counts.sum()).max())


def _set_aside(holds: np.ndarray, sides: int, rng: np.random.Generator) -> Iterator[list[tuple[int, int]]]:
    """Pairs (side, position of a group), per round: first groups with every class, one to a side, then one of
    each class lacking.
    """
    every = np.flatnonzero(holds.all(axis=1))[:sides]
    places = rng.permutation(sides)
    yield list(zip(places, every, strict=False))
    lacking = places[len(every) :]
    for c in range(holds.shape[1]):
        yield list(zip(lacking, np.flatnonzero(holds[:, c] & ~holds.all(axis=1)), strict=False))
