"""Files that hold a table: which reader takes which file, and the reader of Parquet files."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from qnb.config import TrainConfig
from qnb.data.csv_file import UNNAMED, CsvFile, looks_like_data, sha256
from qnb.data.values import DataError
from qnb.data.zeek_file import FIRST, ZeekFile
from qnb.errors import nearest


class ParquetFile:
    """A Parquet file, with the interface of a `CsvFile` but for its scan and header."""

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
        """SHA-256 of the file's bytes, in hex."""
        return sha256(self.path)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Rows with those columns. Raises DataError where the file is damaged."""
        try:
            with pa.parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} cannot be read to its end: {error}") from None

    def place(self, row: int) -> str:
        """The place of row number `row` (from 0), in words."""
        return f"row {row + 1}"


TableFile = CsvFile | ParquetFile | ZeekFile
READERS: dict[str, type[TableFile]] = {
    ".csv": CsvFile,
    ".txt": CsvFile,
    ".log": ZeekFile,
    ".labeled": ZeekFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")


def open_file(data: str) -> TableFile:
    """The reader of a file, by its path.

    Raises:
        DataError: there is no such file, it is empty or a folder, or no reader takes it.
    """
    path = _existing(data)
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file ending in {', '.join(READERS)}.")
    if path.suffix.lower() not in READERS:
        expected = f"a file ending in {', '.join(READERS)} was expected"
        hint = (
            "Unpack it first."
            if path.suffix.lower() in PACKED and path.with_suffix("").suffix
            else nearest(path.suffix, READERS)
        )
        raise DataError(f"{path} ends in {path.suffix!r}, which has no reader; {expected}. {hint}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file; expected a header line and rows.")
    try:
        return _reader(path)(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix}: {error}") from None


def _existing(data: str) -> Path:
    """The path that `data` is. Raises DataError where there is nothing, or no path can be so."""
    try:
        path = Path(data).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a null character
        raise DataError(f"{data[:80]!r} cannot be the path of a file: {error}") from None
    if not exists:
        siblings = (
            [p.name for p in path.parent.iterdir() if p.suffix.lower() in READERS]
            if path.parent.is_dir()
            else []
        )
        hint = nearest(path.name, [*TrainConfig.BUILT_IN_TABLES, *sorted(siblings)])
        raise DataError(f"{data!r} is neither a built-in table nor a file: no such file. {hint}")
    return path


def _reader(path: Path) -> type[TableFile]:
    """By the file's ending; a Zeek log by its first bytes, whatever its ending."""
    with path.open("rb") as file:
        zeek = file.read(len(FIRST)) == FIRST
    by_ending = READERS[path.suffix.lower()]
    if zeek:
        return ZeekFile
    return CsvFile if by_ending is ZeekFile else by_ending


def require_header(file: TableFile) -> None:
    """Raise DataError where the first line of a CSV file holds data."""
    if isinstance(file, CsvFile) and looks_like_data(file.columns):
        raise DataError(
            f"{file.path} has no header: its first line holds data, not names of columns: "
            f"{','.join(file.columns)[:80]!r}. Write the file anew with names: pandas.read_csv(path, "
            "header=None, names=[...]).to_csv(new, index=False)."
        )
