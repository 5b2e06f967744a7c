"""Cleaned tables of files that were read before, as Parquet in the user's cache folder.

A table is identified by the content of its file, never by name or date: the key is the SHA-256 of the file's
bytes together with everything that decides how they are cleaned, the code included. A folder is published
whole, by a rename, and only read after that; deleting it costs one reading of the file.
"""

import functools
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qnb.data import (
    cleaning,
    column_roles,
    column_types,
    csv_file,
    labels,
    profiles,
    sampling,
    table_files,
    values,
    zeek_file,
)
from qnb.data import sources as sources_module
from qnb.data.cleaning import Part
from qnb.data.column_roles import Source
from qnb.data.table_files import TableFile
from qnb.data.values import DataError, join_chunks
from qnb.files import atomic_write, cache_folder

WORTH = 1 << 24  # bytes of a file; smaller ones are read in a second
ROWS = 1 << 18  # of one Parquet file
LABEL = "\0label"  # no column of a file is called so
STALE = 86400  # seconds after which a folder that was never finished is removed


def cached_parts(
    source: Source, clean: Callable[[Source, dict[str, Any]], Iterator[Part]], tally: dict[str, Any]
) -> Iterator[Part]:
    """The parts of a cleaned source, from the cache; or from `clean(source, tally)`, and then written to the
    cache.

    Args:
        source: the table; without a file, or with one below WORTH bytes, it is not cached.
        clean: see `qnb.data.cleaning.clean_parts`.
        tally: filled as `clean` fills it, with the key `cache`: `used`, `written`, `not written: (why)`, or
            None where the source is not cached.

    Raises:
        DataError: as `clean`; or the file changed while it was read; or the cached table is damaged.
    """
    before = _state(source)
    if source.file is None or before[0] < WORTH:
        yield from _unless_changed(source, before, clean(source, tally))
        tally["cache"] = None
        return
    cache = cache_folder("tables")
    if cache is None:
        yield from _unless_changed(source, before, clean(source, tally))
        tally["cache"] = "not written: there is no cache folder"
        return
    folder = cache / _key(source, source.file)
    if folder.is_dir():
        yield from _read(folder, tally)
        tally["cache"] = "used"
        return
    with closing(_Writer(folder)) as writer:
        for part in _unless_changed(source, before, clean(source, tally)):
            writer.add(part)
            yield part
        writer.publish(tally)
    tally["cache"] = writer.outcome


def _state(source: Source) -> tuple[int, int]:
    """Size in bytes and time of the last change of the file; zeros without one."""
    if source.file is None:
        return 0, 0
    stat = source.file.path.stat()
    return stat.st_size, stat.st_mtime_ns


def _unless_changed(source: Source, before: tuple[int, int], parts: Iterator[Part]) -> Iterator[Part]:
    yield from parts
    if _state(source) != before:
        raise DataError(f"{source.name} changed while it was read. Read it again once it is complete.")


def _key(source: Source, file: TableFile) -> str:
    roles = [
        source.label,
        source.positive,
        source.negative,
        source.attack,
        source.features,
        source.groups,
        source.drop_duplicates,
        source.columns,
        source.text,
        source.missing,
        source.missing_values,
    ]
    kinds = [type(value).__name__ for value in (source.positive, *source.negative)]
    identity = [_code(), file.path.suffix.lower(), file.sha256, roles, kinds]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40]


@functools.cache
def _code() -> str:
    """SHA-256 of the code that decides what becomes of a file's cells."""
    modules = (
        cleaning, column_roles, column_types, csv_file, labels, profiles, sampling, sources_module,
        table_files, values, zeek_file,
    )  # fmt: skip
    sources = (Path(str(module.__file__)).read_bytes() for module in modules)
    return hashlib.sha256(b"\0".join([*sources, pa.__version__.encode()])).hexdigest()


def _read(folder: Path, tally: dict[str, Any]) -> Iterator[Part]:
    try:
        meta = json.loads((folder / "table.json").read_text())
        for k, rows in enumerate(meta["rows"]):
            table = pq.read_table(folder / f"{k:05d}.parquet", page_checksum_verification=True)
            if table.num_rows != rows:
                raise OSError(f"part {k} has {table.num_rows} rows instead of {rows}")
            y = table.column(LABEL).to_numpy()
            yield Part(
                {name: _from_arrow(table.column(name)) for name in table.schema.names if name != LABEL}, y
            )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"The cached table in {folder} is damaged ({' '.join(str(error).split())}). Delete that folder: "
            "the file is then read anew."
        ) from None
    tally |= meta["tally"]


def _to_arrow(values: np.ndarray | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Numbers as they are, objects as a dictionary, Arrow's text as it is: the type says what to make of it
    again.
    """
    if isinstance(values, np.ndarray) and values.dtype == object:
        return pa.array(values, pa.large_string()).dictionary_encode()
    return pa.array(values) if isinstance(values, np.ndarray) else values


def _from_arrow(column: pa.ChunkedArray) -> np.ndarray | pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column.to_numpy() if pa.types.is_floating(column.type) else column
    encoded = column.combine_chunks()
    # code -1, a missing value, takes the last
    texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return texts[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


class _Writer:
    """Writes parts to a temporary folder.

    What keeps it from that (a full disk, say) ends the writing, not the reading.

    Attributes:
        outcome: `written`, or `not written: (why)`.
    """

    def __init__(self, folder: Path):
        self.folder, self.temporary = folder, folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        self.outcome = "written"
        self.rows: list[int] = []  # of each Parquet file
        self.held: list[Part] = []
        self._try(self._start)

    def add(self, part: Part) -> None:
        self.held.append(part)
        if sum(len(p.y) for p in self.held) >= ROWS:
            self._try(self._write)

    def publish(self, tally: dict[str, Any]) -> None:
        """Write what is left and give the folder its name, unless another process was first."""
        self._try(self._write)
        self._try(lambda: self._finish(tally))

    def close(self) -> None:
        """Remove what was not published."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _try(self, step: Callable[[], None]) -> None:
        if self.outcome == "written":
            try:
                step()
            except OSError as error:
                self.outcome = f"not written: {error}"
        if self.outcome != "written":
            self.held = []

    def _start(self) -> None:
        self.temporary.mkdir(parents=True)
        for left in self.folder.parent.glob(".*.tmp"):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left)

    def _write(self) -> None:
        if not self.held:
            return
        parts, self.held = self.held, []
        columns = {
            name: _to_arrow(join_chunks([part.columns[name] for part in parts])) for name in parts[0].columns
        }
        table = pa.table(columns | {LABEL: np.concatenate([part.y for part in parts])})
        pq.write_table(table, self.temporary / f"{len(self.rows):05d}.parquet", write_page_checksum=True)
        self.rows.append(table.num_rows)

    def _finish(self, tally: dict[str, Any]) -> None:
        atomic_write(self.temporary / "table.json", json.dumps({"rows": self.rows, "tally": tally}).encode())
        if not self.folder.exists():
            try:
                self.temporary.rename(self.folder)
            except OSError:
                if not self.folder.is_dir():  # else another process has just written the same table
                    raise
