"""Where tables come from: the bundled capture, scikit-learn's table, and files."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from qnb.config import TableConfig, TrainConfig
from qnb.data.capture import generate_capture
from qnb.data.column_roles import Reading, Source, known_roles, with_roles
from qnb.data.profiles import EDGE_IIOT, profile_of
from qnb.data.table_files import open_file, require_header
from qnb.data.values import DataError, clean_column
from qnb.errors import nearest

COUNTED = 30  # rows from which a column that counts them is known for that


def _frame_source(frame: pd.DataFrame, **rest: Any) -> Source:
    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from pa.Table.from_pandas(frame[columns], preserve_index=False).combine_chunks().to_batches()

    return Source(columns=list(frame.columns), batches=batches, **rest)


def _bundled(data_seed: int, leaks: tuple[str, ...]) -> Source:
    frame, sessions = generate_capture(seed=data_seed, leaks=leaks)
    whole = pd.concat([frame, sessions], axis=1)
    known = known_roles(EDGE_IIOT, list(whole.columns))
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
    known = {} if profile is None else known_roles(profile, columns)
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


def require_source(config: TableConfig) -> None:
    """Raise DataError where `open_source` would, of a file; its rows are not read."""
    for data in (config.data, getattr(config, "test_data", None)):
        if data is not None and data not in TrainConfig.BUILT_IN_TABLES:
            with_roles(_file(data, reading := Reading.of(config)), reading)


def open_source(data: str, reading: Reading, data_seed: int, leaks: tuple[str, ...]) -> Source:
    """The source that the parameter `data` names, its columns read as `reading` says.

    Raises:
        DataError: it cannot be opened, or has not the columns that `reading` names.
    """
    if data == "bundled":
        source = _bundled(data_seed, tuple(leaks))
    else:
        source = _breast_cancer() if data == "breast_cancer" else _file(data, reading)
    source = with_roles(source, reading)
    return source if source.file is None else _kept_apart(source, _row_numbers(source), "counts the rows")
