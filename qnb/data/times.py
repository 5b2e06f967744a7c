"""The times at which rows were captured, and the range within which they can be ordered.

Edge-IIoTset's `frame.time` holds a year and a time of day, but no date (` 2021 22:49:20.400794000 `), and in
some rows no time at all. So times of two captures cannot be compared, and the order holds within a capture
only. No column of that file says which capture a row is from: its attack type stands in.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from qnb.data.dates import UNITS, read_times, unit_since_1970
from qnb.data.table import Table
from qnb.data.values import DataError, is_numeric, to_numbers


class Clock(NamedTuple):
    """The time of each row.

    Attributes:
        seconds: float64 `(N,)`, NaN where the time cannot be read; comparable within one capture.
        capture: int64 `(N,)`, the capture of each row; all 0 where one clock serves all rows.
        column: the name of the column, or columns, that hold the times.
        words: what the times are, and where their order holds.
    """

    seconds: np.ndarray
    capture: np.ndarray
    column: str
    words: str


def read_clock(table: Table) -> Clock:
    """Read the times of a table.

    One clock serves all rows where times have a date, are plain numbers (taken as seconds, unless all can
    only be milliseconds, microseconds or nanoseconds since 1970), or where `capture.start` places every
    capture on the same day, as in the bundled capture. Otherwise the order holds per attack type.

    Raises:
        DataError: the column of the clock is not known, most of its values are not times, or nothing says
            where their order holds.
    """
    if not table.time:
        hint = ", ".join(c for c, seen in table.card.get("look_alikes", {}).items() if seen["role"] == "time")
        raise DataError(
            "split='time' needs the column of the clock, and the table's is not known: name it, time='...'"
            + (f" (such as {hint})" if hint else "")
            + ", or use another split."
        )
    column, everywhere = " ".join(table.time), np.zeros(len(table), np.int64)
    values, parts = table.groups[table.time[0]], [table.groups[name] for name in table.time]
    if all(is_numeric(part) for part in parts):
        return _numeric_clock([part.to_numpy(np.float64, na_value=np.nan) for part in parts], column)
    if len(table.time) > 1:
        texts = table.groups[list(table.time)].astype(str)
        values = texts.apply(lambda column: column.str.strip()).agg(" ".join, axis=1)
    seconds, dated = read_times(values)
    if not np.isfinite(seconds).any() and (numbers := to_numbers(values)) is not None:
        return _numeric_clock([numbers], column)
    _require_times(seconds, values, column)
    if dated:
        return Clock(seconds, everywhere, column, "date and time, on one clock")
    if "capture.start" in table.groups:
        return Clock(
            seconds,
            everywhere,
            column,
            "time of day; capture.start places all captures on one day, so one clock",
        )
    if table.attack is None:
        raise DataError(
            f"Column {column!r} holds times of day without a date, so their order holds inside a capture "
            "only, and the table has no capture.start and no attack types to tell captures apart. Add the "
            "date, or use another split."
        )
    words = (
        "time of day without a date, so ordered inside a capture only; Attack_type stands in for the capture"
    )
    return Clock(seconds, pd.factorize(table.attack, use_na_sentinel=False)[0], column, words)


def _numeric_clock(parts: list[np.ndarray], column: str) -> Clock:
    """A clock of numbers `(N,)`; of several, a date and a time of day in seconds say, the sum."""
    numbers = np.sum(parts, axis=0)
    _require_times(numbers, pd.Series(numbers), column)
    unit = unit_since_1970(numbers)
    words = f"{unit} since 1970" if unit else "numbers, taken for seconds"
    seconds = numbers / UNITS[unit or "seconds"]
    return Clock(seconds, np.zeros(len(seconds), np.int64), column, f"{words}, on one clock")


def _require_times(seconds: np.ndarray, values: pd.Series, column: str) -> None:
    """Raise DataError where most of the values cannot be read."""
    unread = int((~np.isfinite(seconds)).sum())
    if 2 * unread > len(seconds):
        example = values[~np.isfinite(seconds)].iloc[0]
        raise DataError(
            f"Column {column!r} cannot be read as a time in {unread} of {len(seconds)} rows, such as "
            f"{str(example)[:40]!r}; expected '2021 22:49:20.4', 'Dec 3, 2021 22:49:20.4', '2021-12-03 "
            "22:49:20' or seconds. Use another split."
        )
