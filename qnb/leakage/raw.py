"""The rows of a table as its source writes them, before any cleaning: values that `qnb.data.table` makes
equal are still distinct here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from qnb.data.capture import STANDARD, Difficulty
from qnb.data.column_roles import Reading, Source
from qnb.data.dates import read_times
from qnb.data.labels import Labels
from qnb.data.sources import open_source
from qnb.data.values import as_numbers, clean_column, missing_texts, parse_present


@dataclass(frozen=True, eq=False)
class RawColumn:
    """N values as the source writes them.

    Attributes:
        codes: index into `written` for each row, int64 `(N,)`.
        written: the K distinct texts; for a typed column (numbers in a Parquet file, say) what the reader
            makes of them.
        typed: whether the source stores numbers rather than text, so that there is no formatting to examine.
        numbers: `(K,)`, NaN where a text is not a number.
        meanings: `(K,)` texts, equal where two texts mean the same: numbers written in one way, other text
            stripped and in lower case.
        cleaned: `(K,)` texts, equal where `qnb.data.table` reads two texts as the same value.
    """

    codes: np.ndarray
    written: list[str]
    typed: bool
    numbers: np.ndarray
    meanings: list[str]
    cleaned: list[str]

    @classmethod
    def of(cls, column: pa.Array, missing: Collection[str] = frozenset()) -> "RawColumn":
        """The column as it is written, from an Arrow array; values in `missing` are read as missing."""
        typed = not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
        encoded = as_numbers(column).dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        written = ["" if v is None else str(v) for v in [*encoded.dictionary.to_pylist(), None]]
        numbers, texts, _ = parse_present(written, missing)
        cleaned = ["" if text is None else text for text in texts]
        return cls(codes.astype(int), written, typed, numbers, [text.lower() for text in cleaned], cleaned)

    def categories(self) -> np.ndarray:
        """Codes `(N,)`, equal where the cleaned values are equal."""
        codes: np.ndarray = _codes_of(self.cleaned)[self.codes]
        return codes

    def values(self) -> np.ndarray | None:
        """The numbers as float64 `(N,)`, NaN where missing; None if some value is text."""
        text = [m for m, n in zip(self.meanings, self.numbers, strict=True) if m and np.isnan(n)]
        return None if text else self.numbers[self.codes]

    def seconds(self) -> np.ndarray | None:
        """Times of day, or dates and times, in seconds, `(N,)`, NaN where a text is not one; None if no text
        is.
        """
        times, _ = read_times(self.written)
        return times[self.codes] if np.isfinite(times).any() else None

    def present(self) -> np.ndarray:
        """Which rows carry the field, bool `(N,)`: neither missing nor zero, since Edge-IIoTset writes a
        zero where a packet lacks a field.
        """
        absent = np.array([not text for text in self.cleaned]) | (self.numbers == 0)
        present: np.ndarray = ~absent[self.codes]
        return present


@dataclass(frozen=True, eq=False)
class Raw:
    """N labelled rows as the source writes them, duplicates included.

    Attributes:
        columns: every column but the label and the attack type, by name.
        y: int8 `(N,)`.
        source: where they come from; its `features` are the columns that the model may use.
        text: features that are text, decided on all rows of the source and not on these.
    """

    columns: dict[str, RawColumn]
    y: np.ndarray
    source: Source
    text: frozenset[str] = frozenset()

    def frame(self) -> pd.DataFrame:
        """The features after cleaning, duplicates included: N rows of float64 and text columns, as in
        `qnb.data.table.Table`.
        """
        features = {}
        for name in self.source.features:
            column = self.columns[name]
            values = None if name in self.text else column.values()
            features[name] = (
                np.array(column.cleaned, dtype=object)[column.codes] if values is None else values
            )
        return pd.DataFrame(features)


def read_raw(
    data: str,
    reading: Reading | None = None,
    *,
    sample: int | None = None,
    data_seed: int = 0,
    leaks: tuple[str, ...] = (),
    difficulty: Difficulty = STANDARD,
    seed: int = 0,
) -> Raw:
    """Draw rows from a source, stratified by label.

    The source is read twice, first its labels and then the rows drawn, so that memory grows with the rows
    drawn and not with the file.

    Args:
        reading: how its columns are to be read; None: as its data set says.
        data, sample, data_seed, leaks, difficulty, seed: as in `qnb.data.table.read_table`.

    Raises:
        DataError: the source or its label cannot be used.
    """
    source = open_source(data, reading or Reading(), data_seed, leaks, difficulty)
    labels = Labels(source)
    parts = [
        labels(clean_column(batch.column(0), source.label)[0]) for batch in source.batches([source.label])
    ]
    labels.check()
    y = np.concatenate(parts).astype(np.int8)
    rows = _draw(y, sample, np.random.default_rng(seed))
    names = [c for c in source.columns if c not in (source.label, source.attack)]
    batches, start = [], 0
    for batch in source.batches(names):
        inside = rows[(rows >= start) & (rows < start + batch.num_rows)] - start
        batches.append(batch.take(pa.array(inside)))
        start += batch.num_rows
    table = pa.Table.from_batches(batches).combine_chunks()
    missing, features = missing_texts(source.missing_values), set(source.features)
    columns = {
        name: RawColumn.of(_whole(table.column(name)), missing if name in features else frozenset())
        for name in names
    }
    return Raw(columns, y[rows], source)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.cast(whole.type.value_type) if pa.types.is_dictionary(whole.type) else whole


def _draw(y: np.ndarray, sample: int | None, rng: np.random.Generator) -> np.ndarray:
    if sample is None or sample >= len(y):
        return np.arange(len(y))
    ones = min(max(round(sample * float(y.mean())), 1), sample - 1)
    take = [rng.choice(np.flatnonzero(y == c), n, replace=False) for c, n in ((0, sample - ones), (1, ones))]
    return np.sort(np.concatenate(take))


def _codes_of(texts: list[str]) -> np.ndarray:
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(text, len(codes)) for text in texts])
