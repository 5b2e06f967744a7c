"""Seconds from texts that are dates, times of day, or both, and from numbers that count from 1970 on."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TIME_OF_DAY = r"^(?:\d{4}\s+)?(?P<h>\d{1,2}):(?P<m>[0-5]\d):(?P<s>[0-5]\d(?:\.\d+)?)$"
WIRESHARK = r"^[A-Z][a-z]{2} +\d{1,2}, \d{4} \d{2}:\d{2}:\d{2}"  # Dec  3, 2021 22:49:20.400794000 CET
ISO = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}|$)"
DAY_FIRST = r"^\d{1,2}-[A-Z][a-z]{2}-\d{2} \d{1,2}:\d{2}:\d{2}"  # 25-Apr-19 19:22:30

EPOCH = (631_152_000, 2_082_758_400)  # seconds from 1970 to 1990 and to 2036
UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def unit_since_1970(numbers: np.ndarray) -> str | None:
    """The key of UNITS in which all finite numbers are times between 1990 and 2036; None: there is none."""
    finite = numbers[np.isfinite(numbers)]
    for unit, per_second in UNITS.items():
        if len(finite) and EPOCH[0] <= finite.min() / per_second and finite.max() / per_second <= EPOCH[1]:
            return unit
    return None


def read_times(values: pd.Series | list[str]) -> tuple[np.ndarray, bool]:
    """Read texts as times.

    Returns:
        seconds: float64 `(N,)`, NaN where a text is not a time: since 1970-01-01 if they have a date, else
            after midnight.
        with_date: whether they have: more of the texts are dates with times than are times of day.
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
        (DAY_FIRST, "%d-%b-%y %H:%M:%S", None),
    ):
        at = np.flatnonzero(
            pc.fill_null(pc.match_substring_regex(texts, shape), False).to_numpy(zero_copy_only=False)
        )
        if len(at):
            dates = texts.take(pa.array(at))
            dates = dates if cut is None else pc.replace_substring_regex(dates, cut, r"\1")
            stamps = pd.to_datetime(pd.Series(dates.to_pylist()), format=form, errors="coerce", utc=True)
            seconds[at] = (stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return seconds
