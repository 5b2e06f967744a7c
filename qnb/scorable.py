"""A table to be scored: opened as in training, but its label may be absent, and no column's role is guessed."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from qnb.config import TrainConfig, nearest
from qnb.csv_file import CsvFile
from qnb.labels import Labels
from qnb.sources import READERS, open_source
from qnb.values import DataError


@dataclass(frozen=True)
class Scorable:
    """A table to be scored: its columns, and how to read some of them batch by batch. `place(row)` says where a row stands."""

    name: str
    columns: list[str]
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    label: str | None  # None: it has none
    positive: str | int | bool | None
    synthetic: bool
    rows: int | None = None  # None: not known before it was read
    place: Callable[[int], str] = lambda row: f"row {row + 1}"

    def __post_init__(self) -> None:
        if self.label not in self.columns:
            object.__setattr__(self, "label", None)


def open_table(table: str, label: str | None, asked: dict[str, Any]) -> Scorable:
    """The table that a user names: the path of a CSV or Parquet file, or a built-in one.

    Args:
        label: the label column that the model was trained on; it need not be there.
        asked: the parameters of the model's run, as far as they are known: `positive`, and what draws the bundled capture.

    Raises:
        DataError: there is no such table, or it cannot be opened.
    """
    if table in TrainConfig.BUILT_IN_TABLES:
        if table == "bundled" and asked.get("data") != "bundled":
            raise DataError(
                "The bundled capture is drawn with the seed and the leaks of a run that was trained on it: give such a run's id or "
                "folder (a model folder alone does not know them), or the path of a table."
            )
        drawn = {name: asked[name] for name in ("data_seed", "leaks") if table == "bundled" and name in asked}
        config = TrainConfig.make({"data": table} | drawn)
        source = open_source(table, None, None, config.data_seed, config.leaks)
        return Scorable(source.name, source.columns, source.batches, source.label, source.positive, source.synthetic)
    return _open_file(Path(table).expanduser(), label, asked.get("positive"))


def _open_file(path: Path, label: str | None, positive: str | int | bool | None) -> Scorable:
    if path.suffix.lower() not in READERS:
        raise DataError(
            f"{path}: a file ending in {', '.join(READERS)} was expected, or {' or '.join(TrainConfig.BUILT_IN_TABLES)}."
        )
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir() if p.suffix.lower() in READERS] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file. {nearest(path.name, [*TrainConfig.BUILT_IN_TABLES, *sorted(siblings)])}")
    about: dict[str, Any] = {"name": str(path), "label": label, "positive": positive, "synthetic": False}
    if path.suffix.lower() == ".csv":
        file = CsvFile(path)
        return Scorable(columns=file.columns, batches=file.batches, place=file.place, **about)
    try:
        columns, rows = pa.parquet.read_schema(path).names, pa.parquet.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None
    return Scorable(columns=columns, batches=partial(_parquet_batches, path), rows=rows, **about)


def _parquet_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read to its end: {error}") from None


def check_columns(source: Scorable, needed: list[str]) -> None:
    """Raise DataError unless the table has each of the columns that a model takes, once; with the nearest name for each it lacks."""
    missing = [name for name in needed if name not in source.columns]
    if missing:
        free = [name for name in source.columns if name not in needed]
        listed = [f"  {name!r}{_hint(name, free)}" for name in missing[:20]]
        more = [f"  and {len(missing) - 20} more"] if len(missing) > 20 else []
        head = f"{source.name} lacks {len(missing)} of the {len(needed)} columns that the model takes:"
        raise DataError("\n".join([head, *listed, *more]))
    twice = [
        name
        for name in dict.fromkeys([*needed, *([] if source.label is None else [source.label])])
        if source.columns.count(name) > 1
    ]
    if twice:
        raise DataError(f"{source.name} names a column twice: {', '.join(map(repr, twice))}. Rename or remove one.")


def _hint(name: str, columns: list[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    return f" (is it {close[0]!r}?)" if close else ""


class Truth:
    """The labels of a table, if it has them, as 0 and 1, read as in training; a label that cannot be read is no reason not to score."""

    def __init__(self, source: Scorable):
        self.parts: list[np.ndarray] = []
        self.labels = None if source.label is None else Labels(source)  # None: there is nothing to rank by, see `why`
        self.why = "the table has no label column"

    def add(self, values: np.ndarray | None) -> None:
        """Take the labels of a batch, cleaned; None where there is no label column."""
        if self.labels is not None and values is not None:
            try:
                self.parts.append(self.labels(values))
            except DataError as error:
                self.labels, self.why = None, str(error)

    def result(self) -> np.ndarray | str:
        """0 and 1 for every row, bool (N,); or why there is nothing to rank by."""
        if self.labels is None:
            return self.why
        try:
            self.labels.check()
        except DataError as error:
            return str(error)
        return np.concatenate(self.parts)
