"""What rows of a table have in addition to features and label: their group, time and attack type.

Each is read once, when first used; the split, its card and the bootstrap share it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from qnb.data.grouping import group_codes, group_columns, stands_in
from qnb.data.table import Table
from qnb.data.times import Clock, read_clock
from qnb.data.values import DataError


@dataclass(frozen=True)
class Groups:
    """The group of each row.

    Attributes:
        columns: that define a group.
        codes: of every row, int64 `(N,)`, including rows that belong to no group.
        names: of the groups.
        grouped: whether a row belongs to its group, bool `(N,)`: where the attack type stands in for the
            capture session, rows of class 0 belong to none.
    """

    columns: tuple[str, ...]
    codes: np.ndarray
    names: list[str]
    grouped: np.ndarray

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The groups of these rows, int64 `(M,)`, numbered in order of appearance; -1 where a row belongs to
        none.
        """
        return np.where(self.grouped[rows], pd.factorize(self.codes[rows])[0], -1)


@dataclass(frozen=True)
class Roles:
    """The roles of a table's rows. `group_by` names the columns of a group; None leaves them to the table."""

    table: Table
    group_by: tuple[str, ...] | None = None

    @cached_property
    def groups(self) -> Groups:
        """The group of each row. Raises DataError where a name is not a column, or the table has neither
        sessions nor hosts.
        """
        table, columns = self.table, group_columns(self.table, self.group_by)
        codes, names = group_codes(table, columns)
        return Groups(
            columns, codes, names, table.y == 1 if stands_in(columns) else np.ones(len(table), bool)
        )

    @cached_property
    def known_groups(self) -> Groups | None:
        """As `groups`, but None where the table has neither sessions nor hosts and `group_by` is None."""
        try:
            return self.groups
        except DataError:
            if self.group_by is not None:
                raise
            return None

    @cached_property
    def clock(self) -> Clock:
        """The time of each row. Raises DataError where the table has no usable times."""
        return read_clock(self.table)

    @cached_property
    def attack_types(self) -> tuple[np.ndarray, np.ndarray]:
        """Names of the T attack types `(T,)`, and the type of each row of class 1, int64 `(n1,)`.

        Raises:
            DataError: the table has no column of attack types, or fewer than two types in class 1.
        """
        if self.table.attack is None:
            raise DataError(
                "This split leaves attack types out of training; the table has no column of attack types. "
                "Use another split; for a table of your own, split='group' with group_by naming the column."
            )
        positive = self.table.attack[self.table.y == 1]
        kind, types = pd.factorize(positive.astype(str).astype(object), sort=True)
        if len(types) < 2:
            raise DataError(
                "Two types or more are needed among the rows of class 1 to leave one out; there is "
                f"{' '.join(types) or 'none'}."
            )
        return types, kind
