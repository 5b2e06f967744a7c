"""A study repeated on other tables: the parameter that names them, and its configuration on each."""

from typing import Any, ClassVar, Self

from pydantic import model_validator

from qnb.config import SplitConfig, StrictConfig, TableConfig
from qnb.errors import ParameterError, refuse_unknown

# what a table brings: its data and splits, and what seeds draw of them
OF_A_TABLE = (*TableConfig.model_fields, *SplitConfig.model_fields, "resample")


class TablesConfig(StrictConfig):
    """The other tables of a study."""

    other_tables: dict[str, dict[str, Any]] | None = None
    """by name, data and splits on which it is repeated: overrides, from the defaults of those"""

    THE_SAME: ClassVar[frozenset[str]] = frozenset({"other_tables"})  # on all tables

    def on(self, table: str) -> Self:
        """The study on one of its other tables, by name: data and splits are the table's, the rest its own.

        Raises:
            ParameterError: the overrides are unknown, not valid, or contradict each other.
        """
        fields = type(self).model_fields
        defaults = {name: fields[name].default for name in OF_A_TABLE if name in fields}
        overrides = (self.other_tables or {})[table]
        return type(self).make(dict(self) | defaults | overrides | {"other_tables": None})

    @model_validator(mode="after")
    def _tables_can_be_had(self) -> Self:
        for table, overrides in (self.other_tables or {}).items():
            fixed = sorted(self.THE_SAME & set(overrides))
            if fixed:
                raise ValueError(f"Table {table!r} overrides {', '.join(fixed)}: all tables have the same.")
            try:
                refuse_unknown(overrides, type(self).model_fields, f"table {table!r}")
                self.on(table)
            except ParameterError as error:
                raise ValueError(f"Table {table!r}: {error}") from None
        return self
