"""A log as Zeek writes it (docs.zeek.org, Log Formats and Inspection): lines that begin with `#` name the
fields and the separator, the others are rows.

Where labels were added (`conn.log.labeled` of IoT-23) the last fields are separated by three spaces instead:
`tunnel_parents   label   detailed-label` is one field by the file's own separator, and three by its name.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from qnb.data.csv_file import sha256
from qnb.data.values import DataError

FIRST = b"#separator"
BETWEEN = " {3}"  # blanks, in a field that stands for several


class ZeekFile:
    """A Zeek log, with the interface of a `qnb.data.csv_file.CsvFile` but for its scan and header."""

    rows: int | None = None
    headers = 0
    index: frozenset[str] = frozenset()

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns. Raises DataError where no line begins with `#fields`."""
        return [name for field in self._fields for name in re.split(BETWEEN, field)]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        return sha256(self.path)

    @cached_property
    def ends_whole(self) -> bool:
        """Whether the last line has a line end."""
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read() == b"\n"

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Rows as text, with those columns. Raises DataError where a line has too many or too few fields."""
        names = [f"\0{k}" for k in range(len(self._fields))]
        parse = pa.csv.ParseOptions(
            delimiter=self._separator, quote_char=False, invalid_row_handler=_comment_or_error
        )
        read = pa.csv.ReadOptions(column_names=names, skip_rows=len(self._comments))
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        try:
            with pa.csv.open_csv(
                self.path, read_options=read, parse_options=parse, convert_options=convert
            ) as reader:
                for batch in reader:
                    yield self._split(batch).select(columns)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path} cannot be read to its end: {error}") from None

    def place(self, row: int) -> str:
        """The place of data row number `row` (from 0), such as `line 17`."""
        with self.path.open("rb") as file:
            rows = (line for line, text in enumerate(file, 1) if not text.startswith(b"#"))
            return f"line {next(line for k, line in enumerate(rows) if k == row)}"

    def _split(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The columns of the file from the fields of its separator; lines of comments left out."""
        batch = batch.filter(pc.invert(pc.starts_with(batch.column(0), "#")))
        columns = []
        for field, column in zip(self._fields, batch.columns, strict=True):
            several = len(re.split(BETWEEN, field))
            if several == 1:
                columns.append(column)
                continue
            parts = pc.split_pattern_regex(column, BETWEEN)
            counts = pc.list_value_length(parts)
            if batch.num_rows and not pc.all(pc.equal(counts, several)).as_py():
                row = column.filter(pc.not_equal(counts, several))[0].as_py()
                raise DataError(
                    f"{self.path}: the field {field!r} should hold {several} values three blanks apart, and "
                    f"one holds {row[:60]!r}."
                )
            columns += [pc.list_element(parts, k) for k in range(several)]
        return pa.RecordBatch.from_arrays(columns, names=self.columns)

    @cached_property
    def _comments(self) -> list[str]:
        """The lines before the first row."""
        lines = []
        with self.path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for line in file:
                if not line.startswith("#"):
                    break
                lines.append(line.rstrip("\r\n"))
        return lines

    @cached_property
    def _separator(self) -> str:
        """As the first line names it, `\\x09` say."""
        separator = self._comments[0].removeprefix(FIRST.decode()).strip(" ")
        code = re.fullmatch(r"\\x([0-9a-fA-F]{2})", separator)
        return chr(int(code[1], 16)) if code else separator[:1] or "\t"

    @cached_property
    def _fields(self) -> list[str]:
        for line in self._comments:
            if line.startswith("#fields"):
                return line.split(self._separator)[1:]
        raise DataError(f"{self.path} begins as a Zeek log, and no line begins with #fields to name columns.")


def _comment_or_error(row: pa.csv.InvalidRow) -> str:
    """A line of comment may have any number of fields."""
    return "skip" if row.text.startswith("#") else "error"
