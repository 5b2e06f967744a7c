"""Where tables come from, and which of their columns are features: the bundled capture, scikit-learn's table,
CSV and Parquet files.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from qnb.config import TrainConfig
from qnb.data.capture import AUTHORS_DROP, EDGE_COLUMNS, TEXT_COLUMNS, generate_capture
from qnb.data.csv_file import UNNAMED, CsvFile, looks_like_data, sha256
from qnb.data.values import DataError, clean_column
from qnb.errors import nearest

COUNTED = 30  # rows from which a column that counts them is known for that
HOST_AND_TIME = ("frame.time", "ip.src_host", "ip.dst_host", "arp.src.proto_ipv4", "arp.dst.proto_ipv4")


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch: `batches(columns)` yields Arrow record batches with those
    columns.

    `file` is what it is read from, None for a built-in table.
    """

    name: str
    columns: list[str]  # every column there is
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    label: str
    positive: str | int | bool | None = None
    attack: str | None = None
    groups: tuple[str, ...] = ()  # no features, kept for splits
    dropped: tuple[str, ...] = ()  # no features; a column may be both dropped and kept for splits
    text: tuple[str, ...] = ()  # text also where most of their values are numbers
    missing: str = "refuse"  # or "median", "indicator": what becomes of values that are missing
    missing_values: tuple[str | float, ...] = ()  # of features: they stand for no value
    synthetic: bool = False
    drop_duplicates: bool = False
    notes: tuple[str, ...] = ()
    file: "CsvFile | ParquetFile | None" = None

    @property
    def features(self) -> list[str]:
        """Columns that a model may use."""
        aside = {self.label, self.attack, *self.groups, *self.dropped}
        return [c for c in self.columns if c not in aside]

    def place(self, row: int) -> str:
        """Where row number `row` (from 0) stands, in words."""
        return f"row {row + 1}" if self.file is None else self.file.place(row)


def _frame_source(frame: pd.DataFrame, **rest: Any) -> Source:
    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from pa.Table.from_pandas(frame[columns], preserve_index=False).combine_chunks().to_batches()

    return Source(columns=list(frame.columns), batches=batches, **rest)


def _bundled(data_seed: int, leaks: tuple[str, ...]) -> Source:
    frame, sessions = generate_capture(seed=data_seed, leaks=leaks)
    return _frame_source(
        pd.concat([frame, sessions], axis=1),
        name="bundled",
        label="Attack_label",
        attack="Attack_type",
        groups=(*sessions.columns, *HOST_AND_TIME),
        dropped=AUTHORS_DROP,
        text=TEXT_COLUMNS,
        synthetic=True,
        drop_duplicates=True,
        notes=("Synthetic: drawn by qnb.data.capture, not measured on any network.",),
    )


def _breast_cancer() -> Source:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    notes = (
        "Breast Cancer Wisconsin (Diagnostic), scikit-learn's copy; positive = malignant (scikit-learn's "
        "target 0).",
    )
    return _frame_source(frame, name="breast_cancer", label="target", positive=0, notes=notes)


class ParquetFile:
    """A Parquet file, with the attributes of a `CsvFile`."""

    headers, ends_whole = 0, True

    def __init__(self, path: Path):
        schema = pa.parquet.read_schema(path)
        self.path, self.columns = path, schema.names
        marked = [
            name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)
        ]
        self.index = {name for name in self.columns if UNNAMED.fullmatch(name) or name in marked}
        self.rows: int | None = pa.parquet.read_metadata(path).num_rows

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, in hex."""
        return sha256(self.path)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Rows with those columns. Raises DataError where the file is damaged."""
        try:
            with pa.parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} cannot be read to its end: {error}") from None

    def place(self, row: int) -> str:
        """Where row number `row` (from 0) stands, in words."""
        return f"row {row + 1}"


READERS: dict[str, type[CsvFile] | type[ParquetFile]] = {
    ".csv": CsvFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}


def open_file(data: str) -> CsvFile | ParquetFile:
    """A file by its path; its columns are known.

    Raises:
        DataError: there is no such file, or nothing can read it.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file ending in {', '.join(READERS)}.")
    if not path.exists():
        siblings = (
            [p.name for p in path.parent.iterdir() if p.suffix.lower() in READERS]
            if path.parent.is_dir()
            else []
        )
        hint = nearest(path.name, [*TrainConfig.BUILT_IN_TABLES, *sorted(siblings)])
        raise DataError(f"{data!r} is neither a built-in table nor a file: no such file. {hint}")
    if path.suffix.lower() not in READERS:
        expected = f"a file ending in {', '.join(READERS)} was expected"
        raise DataError(
            f"{path} ends in {path.suffix!r}, which has no reader; {expected}. "
            f"{nearest(path.suffix, READERS)}"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file; expected a header line and rows.")
    try:
        return READERS[path.suffix.lower()](path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix}: {error}") from None


def _file(data: str, label: str | None, positive: str | int | bool | None) -> Source:
    file = open_file(data)
    path, columns = file.path, file.columns
    require_header(file)
    if "" in columns:
        more = f", nor to {columns.count('') - 1} more" if columns.count("") > 1 else ""
        raise DataError(
            f"{path} gives no name to column {columns.index('') + 1} of {len(columns)}{more}. Name it; or, "
            "if it is pandas' index, write the file anew without: to_csv(path, index=False)."
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(f"{path} names a column twice: {', '.join(map(repr, twice))}. Rename or remove one.")
    is_edge = len(set(columns) & set(EDGE_COLUMNS)) >= 50
    if label is None and not is_edge:
        raise DataError(
            f"{path} is not in Edge-IIoTset's format, so its label column must be named: label='...'. "
            f"{nearest('label', columns)}"
        )
    label = label or "Attack_label"
    if label not in columns:
        raise DataError(
            f"{path} has no label column {label!r}. {nearest(label, columns)} Its first line: "
            f"{','.join(columns)[:80]!r}."
        )
    common: dict[str, Any] = {
        "name": str(path),
        "columns": columns,
        "batches": file.batches,
        "label": label,
        "positive": positive,
        "file": file,
    }
    source = Source(**common, **_edge_roles(columns)) if is_edge else Source(**common)
    return _kept_apart(source, tuple(name for name in source.features if name in file.index), "pandas' index")


def require_header(file: CsvFile | ParquetFile) -> None:
    """Raise DataError where the first line of a CSV file holds data."""
    if isinstance(file, CsvFile) and looks_like_data(file.columns):
        raise DataError(
            f"{file.path} has no header: its first line holds data, not names of columns: "
            f"{','.join(file.columns)[:80]!r}. Write the file anew with names: pandas.read_csv(path, "
            "header=None, names=[...]).to_csv(new, index=False)."
        )


def _kept_apart(source: Source, names: tuple[str, ...], what: str) -> Source:
    """The source with these columns kept for splits, not as features, and a note that says so."""
    if not names:
        return source
    note = f"Kept for splits, not as features ({what}): {', '.join(names)}."
    return dataclasses.replace(source, groups=source.groups + names, notes=(*source.notes, note))


def _row_numbers(source: Source) -> tuple[str, ...]:
    """The features that count the rows: each value one more than the one above, throughout the table."""
    previous: dict[str, float] = {}
    names, rows = [name for name in source.features if name not in EDGE_COLUMNS], 0
    for head in source.batches(names) if names else ():  # the first batch alone: few columns are left of it
        names = [name for name in names if _counts(head.column(name), name, None) is not None]
        break
    if not names:
        return ()
    for batch in source.batches(names):
        rows += batch.num_rows
        last = {name: _counts(batch.column(name), name, previous.get(name)) for name in names}
        previous = {name: value for name, value in last.items() if value is not None}
        names = list(previous)
        if not names:
            return ()
    return tuple(names) if rows >= COUNTED else ()


def _counts(column: pa.Array, name: str, before: float | None) -> float | None:
    """The last of a batch's values, where they count up by one from the value `before`; None where not."""
    values = clean_column(column, name)[0]
    if before is not None:
        values = np.concatenate([[before], values])
    counts = values.dtype != object and len(values) and bool((np.diff(values) == 1).all())
    return float(values[-1]) if counts else None


def _edge_roles(columns: list[str]) -> dict[str, Any]:
    """Which columns of an Edge-IIoTset file are no features: the authors' 15, both labels, and any the data
    set does not have.
    """
    extra = tuple(c for c in columns if c not in EDGE_COLUMNS)
    present = set(columns)
    notes = [
        "Edge-IIoTset (Ferrag et al., 2022, doi 10.1109/ACCESS.2022.3165809). Attack_type stands in for a "
        "capture session."
    ]
    if extra:
        notes.append(
            "Columns that Edge-IIoTset does not have were kept for splits, not as features: "
            f"{', '.join(extra)}."
        )
    return {
        "attack": "Attack_type" if "Attack_type" in present else None,
        "groups": tuple(c for c in HOST_AND_TIME if c in present) + extra,
        "dropped": tuple(c for c in (*AUTHORS_DROP, "Attack_label", "Attack_type") if c in present),
        "text": TEXT_COLUMNS,
        "drop_duplicates": True,
        "notes": tuple(notes),
    }


def require_source(data: str, label: str | None, positive: str | int | bool | None) -> None:
    """Raise DataError where `open_source` would, of a file; its rows are not read."""
    if data not in TrainConfig.BUILT_IN_TABLES:
        _file(data, label, positive)


def open_source(
    data: str,
    label: str | None,
    positive: str | int | bool | None,
    data_seed: int,
    leaks: tuple[str, ...],
    group_by: tuple[str, ...] = (),
    missing: str = "refuse",
    missing_values: tuple[str | float, ...] = (),
) -> Source:
    """The source that the parameter `data` names; columns in `group_by` are kept for splits, not as features.

    `missing` and `missing_values` say what becomes of missing values, and what else stands for one.

    Raises:
        DataError: it cannot be opened.
    """
    if data == "bundled":
        source = _bundled(data_seed, tuple(leaks))
    else:
        source = _breast_cancer() if data == "breast_cancer" else _file(data, label, positive)
    more = tuple(name for name in group_by if name in source.features)
    source = dataclasses.replace(
        source, groups=source.groups + more, missing=missing, missing_values=tuple(missing_values)
    )
    if source.file is None:
        return source
    return _kept_apart(source, _row_numbers(source), "counts the rows")
