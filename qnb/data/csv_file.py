"""A CSV file, read fast by Arrow, with malformed lines found and named.

Arrow takes an unclosed quotation mark for a long field, text after a closing one for more of the field, and
names no line. So the bytes are scanned once: every quotation mark must stand where RFC 4180 allows it. Only
where one does not, or where Arrow stops, is the file read again by Python's reader, which is slow and
strict, to name the line.
"""

import csv
import hashlib
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from qnb.data.profiles import header_of, without_doubles
from qnb.data.values import DataError

CHUNK = 1 << 22  # bytes scanned at a time
LONGEST = 1 << 30  # bytes of a row
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip"}
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DATUM = re.compile(
    r"\d{1,3}(\.\d{1,3}){3}|\d{1,2}:\d{2}:\d{2}(\.\d+)?|\d{4}-\d{2}-\d{2}.*"
)  # address, time, date
UNNAMED = re.compile(
    r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__"
)  # as pandas names an index without a name
BESIDE_QUOTE = np.zeros(256, bool)
BESIDE_QUOTE[list(b',"\r\n')] = True


class Scan(NamedTuple):
    """What a scan of a file's bytes found.

    Attributes:
        block: bytes of a block that holds the longest row.
        headers: lines below the first that repeat the header.
        ends_whole: whether the last line has a line end.
    """

    block: int
    headers: int
    ends_whole: bool


class CsvFile:
    """A CSV file in UTF-8 with a header line, separated by commas; or one of a known data set without a
    header.

    Attributes:
        path: of the file.
        columns: names in the header, stripped; those of the data set where there is no header.
        sha256: of its bytes, in hex.
        scan: see `Scan`.
        rows: None, because they are not counted before the file is read.
    """

    rows: int | None = None

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns. Raises DataError where the first line is not a header in UTF-8 separated by
        commas.
        """
        known = header_of(self._first)
        return list(known) if known else without_doubles([name.strip() for name in self._first])

    @property
    def has_header(self) -> bool:
        """Whether the first line names the columns."""
        return header_of(self._first) is None

    @cached_property
    def _first(self) -> list[str]:
        """The fields of the first line that is not empty, as they are written."""
        with self.path.open("rb") as file:
            start = file.read(4)
        if packed := next((word for magic, word in PACKED.items() if start.startswith(magic)), None):
            raise DataError(
                f"{self.path} is compressed ({packed}, by its first bytes). Unpack it and give the file "
                "inside."
            )
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
            raise DataError(
                f"{self.path} is not in UTF-8 (UTF-16, by its first bytes). Write it anew in UTF-8."
            )
        with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            try:
                names = next((row for row in csv.reader(file) if row), [])
            except csv.Error as error:
                raise DataError(f"{self.path} has no header: line 1 cannot be read ({error}).") from None
        if not names:
            raise DataError(f"{self.path} has no header: all of its lines are empty.")
        if not _is_utf8(names):
            raise DataError(
                f"{self.path}: line 1, the header, is not in UTF-8. Write the file anew in UTF-8."
            )
        for mark, word in DELIMITERS.items():
            if sum(name.count(mark) for name in names) > len(names) - 1:
                raise DataError(
                    f"{self.path}: line 1 looks separated by {word}, not commas: {mark.join(names)[:60]!r}. "
                    f"Write the file anew with commas: pandas.read_csv(path, sep={mark!r}"
                    f"{self._decimal(mark)}).to_csv(new, index=False)."
                )
        return names

    @cached_property
    def scan(self) -> Scan:
        """The scan of the bytes. Raises DataError, naming the line, where a quotation mark is out of place
        or a row is longer than about 1 GiB.
        """
        quotes, headers, previous = _Quotes(), 0, b""
        header = b"" if _all_numbers(self.columns) else self._header_line()  # a row of data may look the same
        longest = since = 0  # chunks in a row without the end of a row
        with self.path.open("rb") as file:
            chunk = file.read(CHUNK)
            while chunk:
                following = file.read(CHUNK)
                ended = quotes.add(chunk, following[:1])
                since = 0 if ended else since + 1
                longest = max(longest, since)
                headers += _lines_like(header, previous, chunk, following[: len(header) + 3])
                previous, chunk = chunk, following
        if quotes.misplaced or quotes.count % 2:
            self._check_quotes()
        block = (longest + 2) * CHUNK
        if block > LONGEST:
            raise DataError(f"{self.path} has a row of more than {LONGEST >> 20} MB: {self._longest_row()}.")
        return Scan(block, headers, previous[-1:] in (b"\n", b"\r"))

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Rows as text, with those columns, without lines that repeat the header.

        Raises:
            DataError: a row has too many or too few fields, or a value is not in UTF-8, naming the line; or
                as `scan`.
        """
        dropped = 0
        options = pa.csv.ReadOptions(block_size=self.scan.block)
        if self.columns != self._first:  # Arrow takes names as they are written, each once
            options.column_names = self.columns
            options.skip_rows_after_names = self._empty_lines + 1 if self.has_header else 0
        convert = pa.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        )
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        try:
            with pa.csv.open_csv(
                self.path, read_options=options, parse_options=parse, convert_options=convert
            ) as reader:
                for batch in reader:
                    rows = batch if not self.scan.headers else batch.filter(pc.invert(_is_header(batch)))
                    dropped += batch.num_rows - rows.num_rows
                    yield rows
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{self.path} cannot be read to its end: {self._fault(columns) or error}"
            ) from None
        if dropped != self.scan.headers:
            raise DataError(
                f"{self.path}: {self.scan.headers} lines repeat the header, but {dropped} rows look like it. "
                "Remove them."
            )

    @property
    def index(self) -> set[str]:
        """Columns that hold the index of a pandas frame whose index has no name."""
        return {name for name in self.columns if UNNAMED.fullmatch(name)}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        return sha256(self.path)

    @property
    def headers(self) -> int:
        """Lines below the first that repeat the header; `batches` leaves them out."""
        return self.scan.headers

    @property
    def ends_whole(self) -> bool:
        """Whether the last line has a line end."""
        return self.scan.ends_whole

    def place(self, row: int) -> str:
        """Where data row number `row` (from 0) starts, such as `line 17`."""
        rows = (line for line, fields in self._rows() if not self.headers or fields != self._first)
        return f"line {next(line for k, line in enumerate(rows) if k == row)}"

    @property
    def _empty_lines(self) -> int:
        """Number of empty lines before the header."""
        with self.path.open("rb") as file:
            return next((k for k, line in enumerate(file) if line.strip(b"\xef\xbb\xbf\r\n")), 0)

    def _decimal(self, mark: str) -> str:
        """`, decimal=','` where fields that `mark` separates are numbers with a decimal comma."""
        with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.reader(itertools.islice(file, 1000), delimiter=mark)
            comma = any(re.fullmatch(r"\s*[+-]?[\d.]*\d,\d+\s*", field) for row in rows for field in row)
        return ", decimal=','" if comma else ""

    def _header_line(self) -> bytes:
        """The bytes of the header; none where there is no header."""
        if not self.has_header:
            return b""
        with self.path.open("rb") as file:
            line = file.readline(CHUNK).removeprefix(b"\xef\xbb\xbf")
        return re.split(rb"[\r\n]", line)[0]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line on which each row starts (from 1) and its fields, without the header and empty lines.

        Raises DataError, naming the line, where a row cannot be read.
        """
        with (
            _long_fields(),
            self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file,
        ):
            reader, start, header = csv.reader(file, strict=True), 1, self.has_header
            try:
                for fields in reader:
                    if fields and not header:
                        yield start, fields
                    header = header and not fields
                    start = reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"{self.path}: line {start}: {self._words(str(error), reader.line_num)}"
                ) from None

    def _words(self, error: str, end: int) -> str:
        if "unexpected end" in error:
            return (
                "a quotation mark opens a field there and nothing closes it. Close it, or double it; or the "
                "file was cut short."
            )
        if "expected after" in error:
            return (
                f"a field that a quotation mark opens goes on after the one that closes it, on line {end}. "
                "Double those inside."
            )
        return error

    def _check_quotes(self) -> None:
        for _ in self._rows():
            pass

    def _longest_row(self) -> str:
        line = max((sum(map(len, fields)), -line) for line, fields in self._rows())
        return f"line {-line[1]}"

    def _fault(self, columns: list[str]) -> str | None:
        """A description of the first malformed row; None where there is none."""
        positions = [self.columns.index(name) for name in columns]
        wrong = None
        for line, fields in self._rows():
            if wrong:
                return wrong
            if len(fields) != len(self.columns):
                wrong = f"line {line}: expected {len(self.columns)} columns, got {len(fields)}."
            elif not _is_utf8([fields[k] for k in positions]):
                name = next(self.columns[k] for k in positions if not _is_utf8([fields[k]]))
                wrong = (
                    f"line {line}: column {name!r} is not in UTF-8. Write the file anew in one encoding, "
                    "UTF-8."
                )
        return wrong and f"{wrong} It is the last line: the file may have been cut short."


class _Quotes:
    """Follows the quotation marks of a file from chunk to chunk."""

    def __init__(self) -> None:
        self.count, self.misplaced, self.last = 0, False, b"\n"

    def add(self, chunk: bytes, after: bytes) -> bool:
        """Take the next chunk, `after` being the byte that follows it; True if a row ends in it."""
        data = np.frombuffer(self.last + chunk + (after or b"\n"), np.uint8)
        at = np.flatnonzero(data[1:-1] == ord('"')) + 1
        opens = (self.count + np.arange(len(at))) % 2 == 0
        beside = data[np.where(opens, at - 1, at + 1)]  # before one that opens, after one that closes
        self.misplaced |= not BESIDE_QUOTE[beside].all()
        ended = False
        for end in (b"\n", b"\r"):
            last = chunk.rfind(end)
            if last >= 0 and not ended:
                ended = (self.count + np.searchsorted(at, last + 1)) % 2 == 0
                if not ended:  # the last one is inside quotation marks; another may not be
                    ends = np.flatnonzero(data[1:-1] == end[0]) + 1
                    ended = bool(((self.count + np.searchsorted(at, ends)) % 2 == 0).any())
        self.count += len(at)
        self.last = chunk[-1:]
        return bool(ended)


def looks_like_data(names: list[str]) -> bool:
    """Whether the fields of a first line are data rather than names of columns.

    Dates, times and addresses are data. Numbers may be names where they increase from left to right, as
    pandas' own and wavelengths do, or where they are whole, distinct and next to words.
    """
    if any(DATUM.fullmatch(name.strip()) for name in names):
        return True
    numbers = [float(name) for name in names if _is_number(name)]
    if all(a < b for a, b in itertools.pairwise(numbers)):
        return False
    whole = all(number.is_integer() and number >= 0 for number in numbers)
    return not whole or len(set(numbers)) < len(numbers) or len(numbers) == len(names)


def _all_numbers(names: list[str]) -> bool:
    return all(_is_number(name) for name in names)


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text.strip()) is not None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines_like(header: bytes, previous: bytes, chunk: bytes, following: bytes) -> int:
    """How many lines that equal the header, with or without a byte order mark, start in `chunk`.

    Not counting the file's first.
    """
    if not header:
        return 0
    text = previous[-4:] + chunk + following
    start, end, count = len(previous[-4:]), len(previous[-4:]) + len(chunk), 0
    at = text.find(header, start)
    while 0 <= at < end:
        before = text[max(0, at - 4) : at].removesuffix(b"\xef\xbb\xbf")
        after = text[at + len(header) : at + len(header) + 1]
        count += before[-1:] in (b"\n", b"\r") and after in (b"", b"\n", b"\r")
        at = text.find(header, at + len(header))
    return count


def _is_header(batch: pa.RecordBatch) -> pa.Array:
    """Which rows repeat the names of the columns."""
    same = None
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        text = pc.utf8_trim_whitespace(pc.utf8_ltrim(column, "\ufeff"))
        equal = pc.equal(text, name.removeprefix("\ufeff"))
        same = equal if same is None else pc.and_(same, equal)
    return same


def _is_utf8(texts: list[str]) -> bool:
    """Whether texts read with surrogateescape were in UTF-8."""
    return not any(
        "\udc80" <= character <= "\udcff" for text in texts if not text.isascii() for character in text
    )


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let Python's csv module read fields of any length."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)
