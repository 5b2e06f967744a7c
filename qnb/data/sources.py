"""Sources of tables: the bundled capture, tables of scikit-learn, and files."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from qnb.config import TableConfig, TrainConfig
from qnb.data.capture import STANDARD, Difficulty, generate_capture
from qnb.data.column_roles import Reading, Source, known_roles, with_roles
from qnb.data.profiles import EDGE_IIOT, profile_of
from qnb.data.table_files import open_file, require_header
from qnb.data.values import DataError, clean_column
from qnb.errors import nearest

COUNTED = 30  # rows from which on a column is recognised as a row count


def _frame_source(frame: pd.DataFrame, **rest: Any) -> Source:
    def batches(columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from pa.Table.from_pandas(frame[columns], preserve_index=False).combine_chunks().to_batches()

    return Source(columns=list(frame.columns), batches=batches, **rest)


def _bundled(data_seed: int, leaks: tuple[str, ...], difficulty: Difficulty) -> Source:
    frame, sessions = generate_capture(seed=data_seed, leaks=leaks, difficulty=difficulty)
    moved = [
        f"{name}={value:g}"
        for name, value in difficulty._asdict().items()
        if value != getattr(STANDARD, name) and value is not None
    ]
    table = pd.concat([frame, sessions], axis=1)
    known = known_roles(EDGE_IIOT, list(table.columns))
    return _frame_source(
        table,
        name="bundled",
        synthetic=True,
        **known
        | {
            "groups": (
                *sessions.columns,
                *EDGE_IIOT.clocks[0],
                *(h for pair in EDGE_IIOT.hosts for h in pair),
            ),
            "notes": (
                "Synthetic: drawn by qnb.data.capture, not measured on any network.",
                *([f"Drawn with {', '.join(moved)}."] if moved else []),
            ),
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


def _digits_even() -> Source:
    return _digits("digits_even", "an even digit", lambda digit: digit % 2 == 0)


def _digits_low() -> Source:
    return _digits("digits_low", "a digit from 0 to 4", lambda digit: digit < 5)


def _digits(name: str, positive: str, rule: Callable[[pd.Series], pd.Series]) -> Source:
    from sklearn.datasets import load_digits

    frame = load_digits(as_frame=True).frame
    notes = (
        "Optical Recognition of Handwritten Digits, 8 x 8 pixels (UCI), the 1,797 that scikit-learn has; "
        f"positive = {positive}.",
    )
    frame = frame.assign(target=rule(frame["target"]).astype(int))
    return _frame_source(frame, name=name, label="target", positive=1, notes=notes)


def _diabetes() -> Source:
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    notes = (
        "Diabetes progression after one year (Efron, Hastie, Johnstone and Tibshirani, Annals of Statistics "
        "32, 407, 2004), scikit-learn's copy; positive = above the median.",
    )
    above = frame["target"] > frame["target"].median()
    return _frame_source(
        frame.assign(target=above.astype(int)), name="diabetes", label="target", positive=1, notes=notes
    )


def _wine() -> Source:
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).frame
    notes = ("Wine recognition (UCI), scikit-learn's copy; positive = cultivar 1, of 0 to 2.",)
    return _frame_source(frame, name="wine", label="target", positive=1, notes=notes)


REAL = {
    "breast_cancer": _breast_cancer,
    "digits_even": _digits_even,
    "digits_low": _digits_low,
    "diabetes": _diabetes,
    "wine": _wine,
}


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
    if pa.types.is_temporal(column.type):  # a row a second counts seconds
        return None
    values = clean_column(column, name)[0]
    if before is not None:
        values = np.concatenate([[before], values])
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values count nothing
        counts = values.dtype != object and len(values) and bool((np.diff(values) == 1).all())
    return float(values[-1]) if counts else None


def require_source(config: TableConfig) -> None:
    """Raise DataError where `open_source` would, for the files of a configuration; their rows are not
    read.
    """
    for data in (config.data, getattr(config, "test_data", None)):
        if data is not None and data not in TrainConfig.BUILT_IN_TABLES:
            with_roles(_file(data, reading := Reading.of(config)), reading)


def open_source(
    data: str,
    reading: Reading,
    data_seed: int,
    leaks: tuple[str, ...],
    difficulty: Difficulty = STANDARD,
) -> Source:
    """The source that the parameter `data` names, with its columns read as `reading` says.

    Args:
        data: a built-in table, or the path of a file.
        data_seed, leaks, difficulty: of the bundled capture, see `qnb.data.capture.generate_capture`.

    Raises:
        DataError: it cannot be opened, or lacks columns that `reading` names.
    """
    if data == "bundled":
        source = _bundled(data_seed, tuple(leaks), difficulty)
    else:
        source = REAL[data]() if data in REAL else _file(data, reading)
    source = with_roles(source, reading)
    return source if source.file is None else _kept_apart(source, _row_numbers(source), "counts the rows")
