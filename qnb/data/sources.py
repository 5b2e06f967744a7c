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

from qnb.config import SidesConfig, TableConfig, TrainConfig
from qnb.data.capture import generate_capture
from qnb.data.csv_file import UNNAMED, CsvFile, looks_like_data, sha256
from qnb.data.profiles import EDGE_IIOT, Profile, profile_of, same, spelled
from qnb.data.values import DataError, clean_column
from qnb.data.zeek_file import FIRST, ZeekFile
from qnb.errors import nearest

Scalar = str | int | bool | None
COUNTED = 30  # rows from which a column that counts them is known for that


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a table's columns are to be read; what is None or empty is left to its data set, if that is known.

    The names are those of `qnb.config.TableConfig`.
    """

    label: str | None = None
    positive: Scalar = None
    negative: Scalar = None
    drop: tuple[str, ...] = ()
    time: tuple[str, ...] | None = None
    identifiers: tuple[str, ...] = ()
    attack_type: str | None = None
    group_by: tuple[str, ...] | None = None
    missing: str = "refuse"
    missing_values: tuple[str | float, ...] = ()

    @classmethod
    def of(cls, config: TableConfig) -> "Reading":
        """What a configuration asks for."""
        names = (field.name for field in dataclasses.fields(cls) if field.name != "group_by")
        group_by = config.group_by if isinstance(config, SidesConfig) else None
        return cls(**{name: getattr(config, name) for name in names}, group_by=group_by)


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch: `batches(columns)` yields Arrow record batches with those
    columns.

    Attributes:
        columns: every column there is.
        positive: the label's value that counts as 1.
        negative: those that count as 0, all others being 1; without either the label is 0 and 1.
        attack: column of the attack types.
        groups: columns that are no features, kept for splits.
        dropped: columns that are no features, and why; a column may be both dropped and kept for splits.
        time: columns of the clock.
        identifiers: columns that say who or which, and their kind.
        hosts: sender and receiver, see `Profile.hosts`.
        text: columns that are text also where most of their values are numbers.
        missing: "refuse", "median" or "indicator": what becomes of values that are missing.
        missing_values: of features: they stand for no value.
        profile: the data set, where it is known.
        file: what it is read from, None for a built-in table.
    """

    name: str
    columns: list[str]
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    label: str
    positive: Scalar = None
    negative: tuple[str | int | bool, ...] = ()
    attack: str | None = None
    groups: tuple[str, ...] = ()
    dropped: dict[str, str] = dataclasses.field(default_factory=dict)
    time: tuple[str, ...] = ()
    identifiers: dict[str, str] = dataclasses.field(default_factory=dict)
    hosts: tuple[tuple[str, str], ...] = ()
    text: tuple[str, ...] = ()
    missing: str = "refuse"
    missing_values: tuple[str | float, ...] = ()
    profile: Profile | None = None
    synthetic: bool = False
    drop_duplicates: bool = False
    notes: tuple[str, ...] = ()
    file: "CsvFile | ParquetFile | ZeekFile | None" = None

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
    whole = pd.concat([frame, sessions], axis=1)
    known = _known(EDGE_IIOT, list(whole.columns))
    return _frame_source(
        whole,
        name="bundled",
        synthetic=True,
        **known
        | {
            "groups": (
                *sessions.columns,
                *EDGE_IIOT.clocks[0],
                *(h for pair in EDGE_IIOT.hosts for h in pair),
            ),
            "notes": ("Synthetic: drawn by qnb.data.capture, not measured on any network.",),
            "profile": None,
        },
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


READERS: dict[str, type[CsvFile] | type[ParquetFile] | type[ZeekFile]] = {
    ".csv": CsvFile,
    ".txt": CsvFile,
    ".log": ZeekFile,
    ".labeled": ZeekFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}


def open_file(data: str) -> CsvFile | ParquetFile | ZeekFile:
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
        return _reader(path)(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix}: {error}") from None


def _reader(path: Path) -> type[CsvFile] | type[ParquetFile] | type[ZeekFile]:
    """By the file's ending; a Zeek log by its first bytes, whatever its ending."""
    with path.open("rb") as file:
        zeek = file.read(len(FIRST)) == FIRST
    by_ending = READERS[path.suffix.lower()]
    if zeek:
        return ZeekFile
    return CsvFile if by_ending is ZeekFile else by_ending


def _file(data: str, reading: Reading) -> Source:
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
    profile = profile_of(columns)
    known = {} if profile is None else _known(profile, columns)
    label = reading.label or known.get("label") or (profile and profile.label[0])
    if label is None:
        raise DataError(
            f"{path} is of no known data set, so its label column must be named: label='...'. "
            f"{nearest('label', columns)}"
        )
    if label not in columns:
        raise DataError(
            f"{path} has no label column {label!r}. {nearest(label, columns)} Its first line: "
            f"{','.join(columns)[:80]!r}."
        )
    if reading.label not in (None, known.get("label")):
        known |= {"negative": ()}
    common: dict[str, Any] = {"name": str(path), "columns": columns, "batches": file.batches, "file": file}
    source = Source(**known | common | {"label": label})
    return _kept_apart(source, tuple(name for name in source.features if name in file.index), "pandas' index")


def require_header(file: CsvFile | ParquetFile | ZeekFile) -> None:
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
    names, rows = ([] if source.profile else source.features), 0
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


def _known(profile: Profile, columns: list[str]) -> dict[str, Any]:
    """The roles of the columns of a known data set, as attributes of `Source`.

    No features are its labels, its attack types, its identifiers, its clocks, what its authors drop, and
    columns that it does not have.
    """
    every = set(map(same, profile.columns))
    extra = tuple(c for c in columns if same(c) not in every)
    label = next(iter(spelled(columns, profile.label)), None)
    attack = next(iter(spelled(columns, [profile.attack] if profile.attack else [])), None)
    clocks = [clock for clock in profile.clocks if len(spelled(columns, clock)) == len(clock)]
    time = tuple(spelled(columns, clocks[0])) if clocks else ()
    kinds = {c: kind for name, kind in profile.identifiers.items() for c in spelled(columns, [name])}
    kept = spelled(columns, profile.kept)
    hosts = tuple((pair[0], pair[1]) for names in profile.hosts if len(pair := spelled(columns, names)) == 2)
    times = [c for clock in profile.clocks for c in spelled(columns, clock)]
    dropped = (
        {c: "time" for c in times}
        | {c: f"identifier ({kind})" for c, kind in kinds.items() if c not in kept}
        | {c: why for name, why in profile.drop.items() for c in spelled(columns, [name])}
        | dict.fromkeys(extra, "kept for splits")
        | ({attack: "attack type"} if attack else {})
        | dict.fromkeys(spelled(columns, profile.label), "label")
    )
    notes = [f"{profile.name} ({profile.citation}). {profile.note}".strip()]
    if extra:
        notes.append(
            f"Columns that {profile.name} does not have were kept for splits, not as features: "
            f"{', '.join(extra)}."
        )
    return {
        "label": label,
        "negative": profile.negative,
        "attack": attack,
        "groups": tuple(dict.fromkeys((*time, *(host for pair in hosts for host in pair), *extra))),
        "dropped": dropped,
        "time": time,
        "identifiers": kinds,
        "hosts": hosts,
        "text": tuple(spelled(columns, profile.text)),
        "missing_values": profile.missing,
        "profile": profile,
        "drop_duplicates": profile.drop_duplicates,
        "notes": tuple(notes),
    }


def _with_roles(source: Source, reading: Reading) -> Source:
    """The source with the roles that a user gives its columns, beside those that it has.

    Raises:
        DataError: a name is no column.
    """
    given = {
        "drop": reading.drop,
        "time": reading.time or (),
        "identifiers": reading.identifiers,
        "attack_type": () if reading.attack_type is None else (reading.attack_type,),
    }
    for role, names in given.items():
        for name in names:
            if name not in source.columns:
                raise DataError(
                    f"{role} names {name!r}, which is no column of {source.name}. "
                    f"{nearest(name, source.columns)}"
                )
            if name == source.label and role != "attack_type":
                raise DataError(f"{role} names {name!r}, the label of {source.name}. A column has one role.")
    means = (reading.positive, reading.negative) != (None, None)
    attack, time = reading.attack_type or source.attack, reading.time or source.time
    grouped = tuple(c for c in (reading.group_by or ()) if c in source.columns and c != source.label)
    dropped = (
        source.dropped
        | {c: "time" for c in time}
        | {c: "identifier" for c in reading.identifiers}
        | {c: "drop" for c in reading.drop}
        | ({attack: "attack type"} if attack else {})
    )
    return dataclasses.replace(
        source,
        positive=reading.positive if means else source.positive,
        negative=(() if reading.negative is None else (reading.negative,)) if means else source.negative,
        attack=attack,
        groups=tuple(dict.fromkeys((*source.groups, *time, *(c for c in grouped if c != attack)))),
        dropped=dropped,
        time=time,
        identifiers=source.identifiers | dict.fromkeys(reading.identifiers, "named"),
        missing=reading.missing,
        missing_values=tuple(dict.fromkeys((*source.missing_values, *reading.missing_values))),
    )


def require_source(config: TableConfig) -> None:
    """Raise DataError where `open_source` would, of a file; its rows are not read."""
    for data in (config.data, getattr(config, "test_data", None)):
        if data is not None and data not in TrainConfig.BUILT_IN_TABLES:
            _with_roles(_file(data, reading := Reading.of(config)), reading)


def open_source(data: str, reading: Reading, data_seed: int, leaks: tuple[str, ...]) -> Source:
    """The source that the parameter `data` names, its columns read as `reading` says.

    Raises:
        DataError: it cannot be opened, or has not the columns that `reading` names.
    """
    if data == "bundled":
        source = _bundled(data_seed, tuple(leaks))
    else:
        source = _breast_cancer() if data == "breast_cancer" else _file(data, reading)
    source = _with_roles(source, reading)
    return source if source.file is None else _kept_apart(source, _row_numbers(source), "counts the rows")
