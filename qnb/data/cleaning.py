"""A source cleaned batch by batch: numbers are written in one way, labels become 0 and 1, exact duplicates
are found.

Nothing is filled in and no label is guessed: a value that cannot be read for certain is an error that names
its place.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from qnb.data.column_roles import Source
from qnb.data.column_types import ColumnTypes
from qnb.data.labels import Labels, refuse_cut, refuse_header_rows
from qnb.data.sampling import FirstSeen
from qnb.data.values import (
    Column,
    DataError,
    Texts,
    clean_column,
    clean_text_as_it_stands,
    missing_texts,
    take,
)


class Part(NamedTuple):
    """Some rows of a cleaned source: columns by name (float64, objects, or Arrow text), and labels, bool
    `(n,)`.
    """

    columns: dict[str, Column]
    y: np.ndarray


def clean_parts(source: Source, tally: dict[str, Any]) -> Iterator[Part]:
    """Read a source once and yield it cleaned, without exact duplicates where the source drops them.

    Args:
        tally: filled when the last part has been taken, JSON-serialisable: `rows_read`, among them `headers`
            (lines that repeat the header) and `duplicates`; `label_values`, the 20 commonest values of the
            label and their rows; `types`, see `qnb.data.column_types.ColumnTypes.summary`; `notes`.

    Raises:
        DataError: the source has no rows; a label, an attack type or a feature cannot be read for certain,
            with its place; a feature mixes numbers and text, or is missing or infinite where that is
            refused; or one class only.
    """
    names = list(
        dict.fromkeys(c for c in (*source.features, source.label, source.attack, *source.groups) if c)
    )
    labels, first_seen, types = Labels(source), FirstSeen(), ColumnTypes(source)
    attacks, rows_read, duplicates, disagree = _Attacks(source), 0, 0, 0
    known = source.profile.missing if source.profile else ()
    unmet = missing_texts(source.missing_values) - missing_texts(known)
    for batch in source.batches(names):
        columns, texts, row_hash, met = _clean_batch(batch, source)
        unmet -= met
        refuse_header_rows(source, columns, rows_read)
        y = labels(columns[source.label])
        types.add(columns, texts, len(y))
        disagree += attacks.add(columns, y)
        fresh = first_seen(row_hash)
        rows_read, duplicates = rows_read + len(y), duplicates + len(y) - len(fresh)
        columns = {
            name: values for name, values in columns.items() if name != source.label or name == source.attack
        }
        if source.drop_duplicates and len(fresh) < len(y):
            columns, y = {name: take(values, fresh) for name, values in columns.items()}, y[fresh]
        if len(y):
            yield Part(columns, y)
    if not rows_read:
        raise DataError(f"{source.name} has a header and no rows.")
    labels.check()
    types.refuse()
    headers = source.file.headers if source.file else 0
    values = {text: count for text, count in labels.seen.most_common(20)}
    notes = [*_cut_short(source, labels, attacks), *_contradictions(source, disagree)]
    if unmet:
        notes.append(f"missing_values: {', '.join(map(repr, sorted(unmet)))} stands in no feature column.")
    tally |= {
        "rows_read": rows_read + headers,
        "headers": headers,
        "duplicates": duplicates,
        "label_values": values,
        "types": types.summary(),
        "notes": notes,
    }


def _clean_batch(
    batch: pa.RecordBatch, source: Source
) -> tuple[dict[str, Column], dict[str, Texts | None], np.ndarray, set[str]]:
    """Cleaned columns, their distinct cells where some are text, one uint64 hash per row over features, label
    and attack type, and which of `source.missing_values` were met.
    """
    columns: dict[str, Column] = {}
    met: set[str] = set()
    texts, row_hash = {}, np.zeros(batch.num_rows, np.uint64)
    missing, features = missing_texts(source.missing_values), set(source.features)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in source.groups:
            text = clean_text_as_it_stands(column)
            columns[name] = clean_column(column, name)[0] if text is None else text
            continue
        cells = clean_column(column, name, missing if name in features else frozenset())
        columns[name], texts[name] = cells.values, cells.texts
        met |= cells.met
        row_hash = row_hash * np.uint64(0x9E3779B97F4A7C15) + cells.hashes  # wraps around, as hashes do
    return columns, texts, row_hash, met


NO_ATTACK = "Normal"  # the type of rows of class 0, of a data set that names none


class _Attacks:
    """Follows the attack types: attacks must have one, and rows where the type contradicts the label are
    counted.
    """

    def __init__(self, source: Source):
        self.source, self.rows = source, 0
        self.seen: Counter[str] = Counter()
        self.last: str | None = None

    def add(self, columns: dict[str, Column], y: np.ndarray) -> int:
        """Take the next rows; in `columns` those of class 0 get `NO_ATTACK` where their data set names no
        type.

        Returns how many are `Normal` and labelled 1, or of another type and labelled 0.
        """
        if self.source.attack is None:
            return 0
        values = columns[self.source.attack]
        codes, distinct = pd.factorize(values)
        nameless = (codes < 0) & ~y
        if self.source.profile and self.source.profile.untyped and nameless.any():
            values = np.array(values, dtype=object)
            values[nameless] = NO_ATTACK
            columns[self.source.attack] = values
            codes, distinct = pd.factorize(values)
        if (codes < 0).any():
            place = self.source.place(self.rows + int((codes < 0).argmax()))
            raise DataError(
                f"Column {self.source.attack!r} of attack types has no value on {place}. Fill it, or remove "
                "the row."
            )
        names = [str(name) for name in distinct]
        broken = [k for k, name in enumerate(names) if "\n" in name or "\r" in name]
        if broken:
            place = self.source.place(self.rows + int((codes == broken[0]).argmax()))
            raise DataError(
                f"The attack type on {place} goes over several lines: {names[broken[0]][:40]!r}. Mend its "
                "quotation marks."
            )
        self.seen.update(dict(zip(names, np.bincount(codes).tolist(), strict=True)))
        self.last, self.rows = names[codes[-1]] if len(codes) else self.last, self.rows + len(codes)
        normal = np.array([name.lower() in ("normal", "benign") for name in names], bool)[codes]
        return int((normal == y).sum())


def _cut_short(source: Source, labels: Labels, attacks: _Attacks) -> list[str]:
    """A note if the last line of a CSV file has no end.

    An error if a label or an attack type may have been cut with it.
    """
    if source.file is None or source.file.ends_whole:
        return []
    last = source.columns[-1]
    if last == source.label and (
        source.positive is not None or source.negative
    ):  # 0 and 1 are not cut from anything longer
        refuse_cut(source, last, labels.seen, labels.last)
    elif last == source.attack:
        refuse_cut(source, last, attacks.seen, attacks.last)
    elif last != source.label:
        return [
            "The last line of the file has no line end: had the file been cut short there, its last value "
            "would be wrong."
        ]
    return []


def _contradictions(source: Source, count: int) -> list[str]:
    if source.label != "Attack_label" or not count:
        return []
    return [
        f"In {count} rows Attack_label and Attack_type contradict each other (Normal is 0, all else 1); the "
        "label counts."
    ]
