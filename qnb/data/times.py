"""When rows were captured, as far as their times say.

Edge-IIoTset's `frame.time` holds a year and a time of day, but no date (` 2021 22:49:20.400794000 `), and in
some rows no time at all. So times of two captures cannot be compared, and the order holds inside a capture
only. No column of that file says which capture a row is of: its attack type stands in.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from qnb.data.table import Table
from qnb.data.values import DataError

TIME = "frame.time"
TIME_OF_DAY = r"^(?:\d{4}\s+)?(?P<h>\d{1,2}):(?P<m>[0-5]\d):(?P<s>[0-5]\d(?:\.\d+)?)$"
WIRESHARK = r"^[A-Z][a-z]{2} +\d{1,2}, \d{4} \d{2}:\d{2}:\d{2}"  # Dec  3, 2021 22:49:20.400794000 CET
ISO = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}"


class Clock(NamedTuple):
    """The time of each row.

    Attributes:
        seconds: float64 `(N,)`, NaN where the time cannot be read; comparable inside one capture.
        capture: int64 `(N,)`, the capture of each row; all 0 where one clock serves all rows.
        column: that the times stand in.
        words: what the times are and where their order holds.
    """

    seconds: np.ndarray
    capture: np.ndarray
    column: str
    words: str


def read_clock(table: Table) -> Clock:
    """Read the times of a table.

    One clock serves all rows where times have a date, are plain numbers (seconds), or where `capture.start`
    places every capture on the same day, as in the bundled capture. Otherwise the order holds per attack
    type.

    Raises:
        DataError: there is no such column, most of its values are no times, or nothing says where their order
            holds.
    """
    held = table.groups if TIME in table.groups else table.frame
    if TIME not in held:
        raise DataError(
            f"split='time' needs a column {TIME!r}, and the table has none. Use another split, or name the "
            "column so."
        )
    values, everywhere = held[TIME], np.zeros(len(table), np.int64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        seconds = values.to_numpy(np.float64, na_value=np.nan)
        _require_times(seconds, values)
        return Clock(seconds, everywhere, TIME, "numbers, taken for seconds on one clock")
    seconds, dated = read_times(values)
    _require_times(seconds, values)
    if dated:
        return Clock(seconds, everywhere, TIME, "date and time, on one clock")
    if "capture.start" in table.groups:
        return Clock(
            seconds,
            everywhere,
            TIME,
            "time of day; capture.start places all captures on one day, so one clock",
        )
    if table.attack is None:
        raise DataError(
            f"Column {TIME!r} holds times of day without a date, so their order holds inside a capture only, "
            "and the table has no capture.start and no attack types to tell captures apart. Add the date, "
            "or use another split."
        )
    words = (
        "time of day without a date, so ordered inside a capture only; Attack_type stands in for the capture"
    )
    return Clock(seconds, pd.factorize(table.attack, use_na_sentinel=False)[0], TIME, words)


def read_times(values: pd.Series | list[str]) -> tuple[np.ndarray, bool]:
    """Seconds of texts that are times, float64 `(N,)`, NaN where one is none.

    And whether they count from one date.

    They do where more of the texts are dates and times than are times of day.
    """
    texts = pc.utf8_trim_whitespace(pa.array(values, pa.large_string()))
    time_of_day, dated = _time_of_day(texts), _dated(texts)
    with_date = bool(np.isfinite(dated).sum() > np.isfinite(time_of_day).sum())
    return (dated if with_date else time_of_day), with_date


def _time_of_day(texts: pa.Array) -> np.ndarray:
    """Seconds after midnight, NaN where a text is no time of day."""
    parts = pc.extract_regex(texts, TIME_OF_DAY)
    h, m, s = (
        pc.struct_field(parts, name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in "hms"
    )
    return np.where(h < 24, h * 3600 + m * 60 + s, np.nan)


def _dated(texts: pa.Array) -> np.ndarray:
    """Seconds on one clock, NaN where a text is no date and time.

    Time zones' names are dropped: one file, one zone.
    """
    seconds = np.full(len(texts), np.nan)
    for shape, form, cut in (
        (WIRESHARK, "%b %d, %Y %H:%M:%S.%f", r"^(.{3} +\d+, \d{4} [\d:]+(?:\.\d{1,9})?).*$"),
        (ISO, "ISO8601", None),
    ):
        at = np.flatnonzero(
            pc.fill_null(pc.match_substring_regex(texts, shape), False).to_numpy(zero_copy_only=False)
        )
        if len(at):
            found = texts.take(pa.array(at))
            found = found if cut is None else pc.replace_substring_regex(found, cut, r"\1")
            stamps = pd.to_datetime(pd.Series(found.to_pylist()), format=form, errors="coerce", utc=True)
            seconds[at] = (stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return seconds


def _require_times(seconds: np.ndarray, values: pd.Series) -> None:
    """Raise DataError where most of the values cannot be read."""
    unread = int((~np.isfinite(seconds)).sum())
    if 2 * unread > len(seconds):
        example = values[~np.isfinite(seconds)].iloc[0]
        raise DataError(
            f"Column {TIME!r} cannot be read as a time in {unread} of {len(seconds)} rows, such as "
            f"{str(example)[:40]!r}; expected '2021 22:49:20.4', 'Dec 3, 2021 22:49:20.4', '2021-12-03 "
            "22:49:20' or seconds. Use another split."
        )
