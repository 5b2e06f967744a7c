"""Where tables come from, and which of their columns are features: the bundled capture, scikit-learn's table, CSV and Parquet files."""

import csv
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from qnb.capture import AUTHORS_DROP, EDGE_COLUMNS, generate_capture
from qnb.config import TrainConfig, nearest
from qnb.values import DataError

HOST_AND_TIME = ("frame.time", "ip.src_host", "ip.dst_host", "arp.src.proto_ipv4", "arp.dst.proto_ipv4")
BATCH_BYTES = 1 << 25


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch: `batches(columns)` yields Arrow record batches with those columns."""

    name: str
    columns: list[str]  # every column there is
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    label: str
    positive: str | int | bool | None = None
    attack: str | None = None
    groups: tuple[str, ...] = ()  # no features, kept for splits
    dropped: tuple[str, ...] = ()  # no features; a column may be both dropped and kept for splits
    synthetic: bool = False
    drop_duplicates: bool = False
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> list[str]:
        aside = {self.label, self.attack, *self.groups, *self.dropped}
        return [c for c in self.columns if c not in aside]


def _frame_source(frame: pd.DataFrame, **rest) -> Source:
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
        synthetic=True,
        drop_duplicates=True,
        notes=("Synthetic: drawn by qnb.capture, not measured on any network.",),
    )


def _breast_cancer() -> Source:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    notes = ("Breast Cancer Wisconsin (Diagnostic), scikit-learn's copy; positive = malignant (scikit-learn's target 0).",)
    return _frame_source(frame, name="breast_cancer", label="target", positive=0, notes=notes)


def _csv_columns(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader(file), [])


def _csv_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    reader = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=BATCH_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
        ),
    )
    with reader:
        yield from reader


def _parquet_columns(path: Path) -> list[str]:
    return pa.parquet.read_schema(path).names


def _parquet_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pa.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(columns=columns)


READERS = {
    ".csv": (_csv_columns, _csv_batches),
    ".parquet": (_parquet_columns, _parquet_batches),
    ".pq": (_parquet_columns, _parquet_batches),
}


def _file(data: str, label: str | None, positive: str | int | bool | None) -> Source:
    path = _existing_file(data)
    read_columns, read_batches = READERS[path.suffix.lower()]
    try:
        columns = read_columns(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read as {path.suffix}: {error}") from None
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(f"{path} names a column twice: {', '.join(map(repr, twice))}. Rename or remove one.")
    is_edge = len(set(columns) & set(EDGE_COLUMNS)) >= 50
    if label is None and not is_edge:
        raise DataError(
            f"{path} is not in Edge-IIoTset's format, so its label column must be named: label='...'. {nearest('label', columns)}"
        )
    label = label or "Attack_label"
    if label not in columns:
        raise DataError(f"{path} has no label column {label!r}. {nearest(label, columns)}")

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_batches(path, wanted)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path} cannot be read to its end: {error}") from None

    common = {"name": str(path), "columns": columns, "batches": batches, "label": label, "positive": positive}
    return Source(**common, **_edge_roles(columns)) if is_edge else Source(**common)


def _edge_roles(columns: list[str]) -> dict[str, Any]:
    """Which columns of an Edge-IIoTset file are no features: the authors' 15, both labels, and any the data set does not have."""
    extra = tuple(c for c in columns if c not in EDGE_COLUMNS)
    present = set(columns)
    notes = ["Edge-IIoTset (Ferrag et al., 2022, doi 10.1109/ACCESS.2022.3165809). Attack_type stands in for a capture session."]
    if extra:
        notes.append(f"Columns that Edge-IIoTset does not have were kept for splits, not as features: {', '.join(extra)}.")
    return {
        "attack": "Attack_type" if "Attack_type" in present else None,
        "groups": tuple(c for c in HOST_AND_TIME if c in present) + extra,
        "dropped": tuple(c for c in (*AUTHORS_DROP, "Attack_label", "Attack_type") if c in present),
        "drop_duplicates": True,
        "notes": tuple(notes),
    }


def _existing_file(data: str) -> Path:
    path = Path(data).expanduser()
    if path.is_dir():
        raise DataError(f"data={data!r} is a folder; expected a file ending in {', '.join(READERS)}.")
    if not path.exists():
        folder = path.parent
        siblings = [p.name for p in folder.iterdir() if p.suffix.lower() in READERS] if folder.is_dir() else []
        near = nearest(path.name, [*TrainConfig.BUILT_IN_TABLES, *sorted(siblings)])
        raise DataError(f"data={data!r} is neither a built-in table nor a file that exists. {near}")
    if path.suffix.lower() not in READERS:
        raise DataError(f"data={data!r} ends in {path.suffix!r}, which has no reader. {nearest(path.suffix, READERS)}")
    if path.stat().st_size == 0:
        raise DataError(f"data={data!r} is an empty file; expected a header line and rows.")
    return path


def open_source(data: str, label, positive, data_seed: int, leaks: tuple[str, ...]) -> Source:
    """The source that the parameter `data` names. DataError where it cannot be opened."""
    if data == "bundled":
        return _bundled(data_seed, tuple(leaks))
    if data == "breast_cancer":
        return _breast_cancer()
    return _file(data, label, positive)
