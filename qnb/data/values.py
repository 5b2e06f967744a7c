"""Values of a table's cells: what counts as a number, and the canonical text of each value."""

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from qnb.errors import QnbError

PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # Arrow's units of time
# what pandas calls columns whose values are no text, though their dtype is no number's
TYPED = ("datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "boolean", "decimal")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "-nan"})  # text that counts as missing, in lower case

Column: TypeAlias = np.ndarray | pa.Array | pa.ChunkedArray  # numbers or text; Arrow's text stays Arrow's


class DataError(QnbError):
    """A table cannot be read or used as asked."""


def number_text(value: float) -> str:
    """The canonical text of a number: 0 and 0.0 are both '0'."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def missing_texts(values: Iterable[str | float]) -> frozenset[str]:
    """The canonical texts of values that count as missing (`missing_values`)."""
    return frozenset(text for text in parse_values(list(values))[1] if text is not None)


def parse_values(values: list[Any]) -> tuple[np.ndarray, list[str | None]]:
    """Read distinct values, as numbers where they are numbers.

    Returns:
        numbers: float64, NaN where a value is text or missing.
        texts: the canonical text of each value; None where it is missing.
    """
    numbers, texts = [], []
    for value in values:
        text = "" if value is None else str(value).strip()
        number = math.nan if text.lower() in MISSING else _number(text)
        numbers.append(math.nan if number is None else number)
        texts.append(text if number is None else None if math.isnan(number) else number_text(number))
    return np.array(numbers, np.float64), texts


def parse_present(
    values: list[Any], missing: Collection[str]
) -> tuple[np.ndarray, list[str | None], frozenset[str]]:
    """As `parse_values`, with the texts in `missing` (see `missing_texts`) counted as missing too; and which
    of these occurred.
    """
    numbers, texts = parse_values(values)
    if not missing:
        return numbers, texts, frozenset()
    is_missing = [text in missing for text in texts]
    numbers[is_missing] = math.nan
    met = frozenset(text for text in texts if text in missing and text is not None)
    return numbers, [None if gone else text for text, gone in zip(texts, is_missing, strict=True)], met


def _number(text: str) -> float | None:
    """The number that a text is, or None. Python reads 1_000 as a number; tables do not mean it."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def is_numeric(values: pd.Series | np.ndarray) -> bool:
    """Whether a column of a table is numeric by its dtype, which was decided when the table was read."""
    return pd.api.types.is_numeric_dtype(values.dtype)


def to_numbers(values: pd.Series | np.ndarray, missing: Collection[str] = frozenset()) -> np.ndarray | None:
    """float64 `(N,)`, NaN where missing, if every value present is a number or reads as one; None if one is
    text.

    Args:
        missing: further texts that count as missing, see `missing_texts`.
    """
    values = as_read(pd.Series(values))
    if is_numeric(values):
        return without(values.to_numpy(np.float64, na_value=np.nan), missing)[0]
    codes, distinct = pd.factorize(values)
    numbers, texts, _ = parse_present(list(distinct), missing)
    if any(text is not None and np.isnan(number) for number, text in zip(numbers, texts, strict=True)):
        return None
    return np.append(numbers, np.nan)[codes]  # code -1, a missing value, takes the last


def as_read(values: pd.Series) -> pd.Series:
    """A column of a frame as a file's reader makes it: dates, times, durations, decimals and truth values of
    Python or pandas are numbers, see `as_numbers`; all else stays as it is.
    """
    if is_numeric(values) or pd.api.types.infer_dtype(values, skipna=True) not in TYPED:
        return values
    column = as_numbers(pa.array(values, from_pandas=True)).cast(pa.float64())
    return pd.Series(column.to_numpy(zero_copy_only=False), values.index)


def as_numbers(column: pa.Array) -> pa.Array:
    """Dates and times of Arrow's own types as seconds, float64: since 1970, after midnight, or of a duration.
    Truth values as 0 and 1. Other columns as they are.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.float64())
    if not pa.types.is_temporal(kind) or pa.types.is_interval(kind):
        return column
    counts = column.view(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.float64(), safe=False)
    if pa.types.is_date(kind):
        return pa.compute.multiply(counts, 86400.0 if kind.bit_width == 32 else 1e-3)
    return pa.compute.divide(counts, PER_SECOND[kind.unit])


def holds_numbers(values: pd.Series | np.ndarray) -> bool:
    """Whether a column holds a number, and nothing but numbers and missing values."""
    numbers = to_numbers(values)
    return numbers is not None and bool((~np.isnan(numbers)).any())


def without(numbers: np.ndarray, missing: Collection[str]) -> tuple[np.ndarray, frozenset[str]]:
    """The numbers with NaN in place of those in `missing`; and which of these occurred."""
    if not missing:
        return numbers, frozenset()
    gone = np.isin(numbers, parse_values(list(missing))[0])
    met = frozenset(number_text(number) for number in np.unique(numbers[gone]).tolist())
    return np.where(gone, np.nan, numbers), met


class Texts(NamedTuple):
    """The distinct cells of a batch in which some are text.

    Attributes:
        codes: index of the cell of each row, int64 `(n,)`; -1, like the last index, is a missing value.
        texts: the canonical text of each, None where it is missing.
        numbers: float64, NaN where the cell is text or missing.
        is_text: bool, whether the cell is text.
    """

    codes: np.ndarray
    texts: list[str | None]
    numbers: np.ndarray
    is_text: np.ndarray


class Cells(NamedTuple):
    """One column of a batch, cleaned.

    Attributes:
        values: float64 `(n,)`, NaN where missing; or, if some value is text, objects `(n,)` of text, None
            where missing.
        hashes: uint64 `(n,)`, equal for equal values, whichever of the two forms the batch has.
        texts: the distinct cells if some are text; None otherwise.
        met: which of the further values that count as missing occurred.
    """

    values: np.ndarray
    hashes: np.ndarray
    texts: Texts | None
    met: frozenset[str] = frozenset()


def clean_column(column: pa.Array, name: str = "", missing: Collection[str] = frozenset()) -> Cells:
    """One column of a batch, with each number in its canonical form.

    Dates, times and truth values of Arrow's own types are numbers, see `as_numbers`.

    Args:
        name: of the column, for errors.
        missing: further texts that count as missing, see `missing_texts`.

    Raises:
        DataError: the column holds neither numbers nor text (lists, say).
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        numbers = as_numbers(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
        numbers = numbers + 0.0  # -0.0 + 0.0 is 0.0
    except pa.ArrowNotImplementedError:
        raise DataError(
            f"Column {name!r} holds {column.type}; expected numbers or text. Convert or remove it."
        ) from None
    except pa.ArrowInvalid:  # some value is not a number as it is
        return _clean_text(column, missing)
    numbers, met = without(numbers, missing)
    return Cells(numbers, pd.util.hash_array(numbers), None, met)


def _clean_text(column: pa.Array, missing: Collection[str]) -> Cells:
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    # code -1 takes the last, None
    numbers, texts, met = parse_present([*encoded.dictionary.to_pylist(), None], missing)
    is_text = np.array([text is not None for text in texts]) & np.isnan(numbers)
    hashes = pd.util.hash_array(numbers + 0.0)
    if not is_text.any():
        return Cells(numbers[codes] + 0.0, hashes[codes], None, met)
    values = np.array(texts, dtype=object)
    hashes[is_text] = pd.util.hash_array(values[is_text])
    return Cells(values[codes], hashes[codes], Texts(codes, texts, numbers, is_text), met)


def clean_text_as_it_stands(column: pa.Array) -> pa.Array | None:
    """Text stripped of surrounding spaces, as an Arrow array; None where the column is not of text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return pa.compute.utf8_trim_whitespace(column) if is_text else None


def take(values: Column, rows: np.ndarray) -> Column:
    """The rows at positions `rows`, `(M,)`."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(pa.array(rows))


def join_chunks(chunks: list[Column], text: bool = False) -> np.ndarray | pa.ChunkedArray:
    """One column from its batches: numbers if every batch is numeric and not `text`, else text.

    Arrow's text stays in Arrow's memory.
    """
    if not isinstance(chunks[0], np.ndarray):
        return pa.chunked_array(
            [part for c in chunks for part in (c.chunks if isinstance(c, pa.ChunkedArray) else [c])]
        )
    if not text and all(chunk.dtype != object for chunk in chunks):
        return np.concatenate(chunks)
    return np.concatenate([chunk if chunk.dtype == object else _as_text(chunk) for chunk in chunks])


def _as_text(numbers: np.ndarray) -> np.ndarray:
    codes, distinct = pd.factorize(numbers)
    # code -1, a missing value, takes the last
    texts = np.array([*map(number_text, distinct.tolist()), None], dtype=object)
    return texts[codes]
