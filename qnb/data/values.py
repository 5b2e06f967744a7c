"""Values of a table's cells: what is a number, and the one way in which each is written."""

import math
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from qnb.errors import QnbError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "-nan"})  # text that stands for no value, in lower case

Column: TypeAlias = np.ndarray | pa.Array | pa.ChunkedArray  # numbers or text; Arrow's text stays Arrow's


class DataError(QnbError):
    """A table cannot be read or used as asked."""


def number_text(value: float) -> str:
    """The one way a number is written: 0 and 0.0 are both '0'."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def parse_values(values: list[Any]) -> tuple[np.ndarray, list[str | None]]:
    """Read distinct values as numbers where they are numbers.

    Returns:
        numbers: float64, NaN where a value is text or missing.
        texts: the one way each value is written; None where it is missing.
    """
    numbers, texts = [], []
    for value in values:
        text = "" if value is None else str(value).strip()
        number = math.nan if text.lower() in MISSING else _number(text)
        numbers.append(math.nan if number is None else number)
        texts.append(text if number is None else None if math.isnan(number) else number_text(number))
    return np.array(numbers, np.float64), texts


def _number(text: str) -> float | None:
    """The number that a text is, or None. Python reads 1_000 as a number; tables do not mean it."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def to_numbers(values: pd.Series | np.ndarray) -> np.ndarray | None:
    """float64 `(N,)` where every value present is a number or reads as one (NaN where missing).

    None where one is text.
    """
    values = pd.Series(values)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    codes, distinct = pd.factorize(values)
    numbers, texts = parse_values(list(distinct))
    if any(text is not None and np.isnan(number) for number, text in zip(numbers, texts, strict=True)):
        return None
    return np.append(numbers, np.nan)[codes]  # code -1, a missing value, takes the last


def clean_column(column: pa.Array, name: str = "") -> tuple[np.ndarray, np.ndarray]:
    """One column of a batch, each number written one way.

    Returns:
        values: float64 `(n,)` with NaN where missing; or object `(n,)` of text, None where missing, if one is
            no number.
        hashes: uint64 `(n,)`, equal for equal values whichever of the two forms the batch took.

    Raises:
        DataError: the column holds neither numbers nor text (lists, say).
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_temporal(column.type):  # counts of the type's own unit, from its own origin
        column = column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    try:
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0  # -0.0 + 0.0 is 0.0
        return numbers, pd.util.hash_array(numbers)
    except pa.ArrowNotImplementedError:
        raise DataError(
            f"Column {name!r} holds {column.type}; expected numbers or text. Convert or remove it."
        ) from None
    except pa.ArrowInvalid:  # some value is no number as it stands
        return _clean_text(column)


def _clean_text(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    numbers, texts = parse_values([*encoded.dictionary.to_pylist(), None])  # code -1 takes the last, None
    is_text = np.array([text is not None for text in texts]) & np.isnan(numbers)
    hashes = pd.util.hash_array(numbers + 0.0)
    if not is_text.any():
        return numbers[codes] + 0.0, hashes[codes]
    values = np.array(texts, dtype=object)
    hashes[is_text] = pd.util.hash_array(values[is_text])
    return values[codes], hashes[codes]


def clean_text_as_it_stands(column: pa.Array) -> pa.Array | None:
    """Text without the spaces around it, as an Arrow array; None where the column holds something else."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return pa.compute.utf8_trim_whitespace(column) if is_text else None


def take(values: Column, rows: np.ndarray) -> Column:
    """The rows at positions `rows`, `(M,)`."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(pa.array(rows))


def join_chunks(chunks: list[Column]) -> np.ndarray | pa.ChunkedArray:
    """One column from its batches: numbers if every batch is numbers, text otherwise.

    Arrow's text stays Arrow's.
    """
    if not isinstance(chunks[0], np.ndarray):
        return pa.chunked_array(
            [part for c in chunks for part in (c.chunks if isinstance(c, pa.ChunkedArray) else [c])]
        )
    if all(chunk.dtype != object for chunk in chunks):
        return np.concatenate(chunks)
    return np.concatenate([chunk if chunk.dtype == object else _as_text(chunk) for chunk in chunks])


def _as_text(numbers: np.ndarray) -> np.ndarray:
    codes, distinct = pd.factorize(numbers)
    # code -1, a missing value, takes the last
    texts = np.array([*map(number_text, distinct.tolist()), None], dtype=object)
    return texts[codes]
