"""The type of each column of a table, decided on all of its rows: numbers, text, or a mixture, which is
refused.

A column is numeric where every value present reads as a number, and text (categories) where its values are
words. In between lies what a malformed cell makes: `?` or `0x1f` among numbers, percentages, units, commas.
Such a column is refused with its name, values, lines and counts, whichever rows a sample draws and wherever
the cell stands. It still counts as text where its words outnumber what looks like a number, or where its
only number is a single value (0, say) next to words that recur.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from qnb.data.column_roles import Source
from qnb.data.values import DataError, Texts

PLACEHOLDERS = frozenset(  # texts that usually mean a missing value, in lower case
    ("?", "??", "-", "--", "---", ".", "..", "*", "#", "_", "/", "none", "nil", "missing", "unknown")
    + ("undefined", "undef", "unset", "(empty)", "empty", "n.a.", "n/k", "#n/a", "#na", "#value!", "#div/0!")
    + ("<na>", "nat")
)
UNITS = (  # in lower case
    *(
        "ns",
        "us",
        "µs",
        "μs",
        "ms",
        "s",
        "sec",
        "secs",
        "second",
        "seconds",
        "min",
        "mins",
        "minute",
        "minutes",
    ),
    *("h", "hr", "hrs", "hour", "hours", "day", "days", "hz", "khz", "mhz", "ghz", "rpm"),
    *(
        "bit",
        "bits",
        "byte",
        "bytes",
        "kb",
        "mb",
        "gb",
        "tb",
        "kib",
        "mib",
        "gib",
        "tib",
        "kbit",
        "mbit",
        "gbit",
    ),
    *("bps", "kbps", "mbps", "gbps", "b/s", "kb/s", "mb/s", "gb/s", "bit/s", "kbit/s", "mbit/s", "gbit/s"),
    *("pps", "pkt", "pkts", "packet", "packets", "pkts/s", "packets/s"),
    *("mm", "cm", "m", "km", "kg", "mv", "ma", "kw", "°c", "°f", "db", "dbm", "pa", "hpa", "kpa", "bar"),
)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
HEXADECIMAL = "hexadecimal numbers"
DECIMAL, THOUSANDS = "numbers with a decimal comma", "numbers with thousands' separators"
UNIT = "numbers with a unit"


class Spoiled(NamedTuple):
    """Numbers in a notation that no reader takes for a number.

    Attributes:
        shape: the pattern that they match.
        mend: pandas code that, appended to `frame[column]` of texts, turns them into readable numbers.
    """

    shape: re.Pattern[str]
    mend: str


SPOILED = {  # in words; the first that matches counts
    HEXADECIMAL: Spoiled(
        re.compile(r"0[xX][0-9a-fA-F]+"), ".map(lambda t: int(t, 16) if str(t)[:2] in ('0x', '0X') else t)"
    ),
    THOUSANDS: Spoiled(
        re.compile(r"[+-]?\d{1,3}(?:[,'’_ \u00a0\u202f]\d{3})+(?:\.\d+)?"),
        r""".str.replace(r"(?<=\d)[,'’_ \u00a0\u202f](?=\d{3})", '', regex=True)""",
    ),
    DECIMAL: Spoiled(
        re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?"),
        r".str.replace(r'\.(?=.*,)', '', regex=True).str.replace(',', '.')",
    ),
    "per cents": Spoiled(re.compile(rf"{_NUMBER}\s*%"), ".str.rstrip(' %')"),
    "amounts of money": Spoiled(
        re.compile(rf"[$€£¥]\s*{_NUMBER}|{_NUMBER}\s*[$€£¥]"), ".str.strip(' $€£¥')"
    ),
    UNIT: Spoiled(
        re.compile(rf"{_NUMBER}\s*(?P<unit>{_UNIT})", re.IGNORECASE),
        r".str.extract(r'^\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)')[0]",
    ),
    "numbers with a typographic minus": Spoiled(
        re.compile(rf"[−–]\s*{_NUMBER}"), r".str.replace(r'^[−–]\s*', '-', regex=True)"
    ),
    "numbers in quotation marks": Spoiled(
        re.compile(rf"(['\"]){_NUMBER}\1"), ".str.strip('\\'\"')"
    ),
}  # fmt: skip
LONGEST_NUMBER = 40  # characters; a longer text is a word
KEPT = 1000  # distinct texts of a column whose counts and first rows are kept
SHOWN = 5  # of them, and of refused columns, in a message


def spoiled_as(text: str) -> str | None:
    """The key of `SPOILED` that a text matches; None where it matches none."""
    if len(text) > LONGEST_NUMBER or not any(character.isdigit() for character in text):
        return None
    return next((name for name, kind in SPOILED.items() if kind.shape.fullmatch(text)), None)


def _unit_of(text: str) -> str:
    match = SPOILED[UNIT].shape.fullmatch(text)
    return match["unit"] if match else ""


class ColumnType:
    """Counts what one column holds, batch by batch; the result does not depend on the batches.

    Attributes:
        numbers, words, placeholders: rows that hold a number, a word, a text of `PLACEHOLDERS`.
        spoiled: rows of each kind of `SPOILED`.
        missing, infinite: rows without a value, and with an infinite number.
        texts: rows of each distinct text, for the first `KEPT` of them.
        first: the first row of each of these texts, and of `missing` and `infinite` (keys None and inf).
        one_number: the only number so far; NaN if there are several, None if there is none.
    """

    def __init__(self) -> None:
        self.numbers = self.words = self.placeholders = self.missing = self.infinite = 0
        self.spoiled: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        self.first: dict[str | float | None, int] = {}
        self.one_number: float | None = None  # the only one so far; NaN: there are several

    def add(self, values: np.ndarray, texts: Texts | None, start: int) -> None:
        """Take the next cleaned values, `(n,)`, of which the first is row `start`.

        Args:
            texts: the distinct cells of the batch where some are text; None where all are numbers.
        """
        if texts is not None:
            self._add_texts(texts, start)
            return
        if not np.isfinite(values).all():
            nan, inf = np.isnan(values), np.isinf(values)
            self._count_missing(nan, inf, start)
            values = values[~nan]
        self._add_numbers(values)

    def _add_texts(self, texts: Texts, start: int) -> None:
        counts = np.bincount(texts.codes[texts.codes >= 0], minlength=len(texts.texts))
        held = counts > 0
        missing = np.array([text is None for text in texts.texts], bool)
        self._count_missing(missing[texts.codes], np.isinf(texts.numbers)[texts.codes], start)
        numbers = ~texts.is_text & ~missing & held
        self._add_numbers(texts.numbers[numbers], int(counts[numbers].sum()))
        for k in np.flatnonzero(texts.is_text & held).tolist():
            text, rows = str(texts.texts[k]), int(counts[k])
            if text.lower() in PLACEHOLDERS:
                self.placeholders += rows
            elif kind := spoiled_as(text):
                self.spoiled[kind] += rows
            else:
                self.words += rows
            if text in self.texts or len(self.texts) < KEPT:
                if text not in self.texts:
                    self.first[text] = start + int((texts.codes == k).argmax())
                self.texts[text] += rows

    def _count_missing(self, missing: np.ndarray, infinite: np.ndarray, start: int) -> None:
        for key, mask in ((None, missing), (np.inf, infinite)):
            if mask.any():
                self.first.setdefault(key, start + int(mask.argmax()))
        self.missing, self.infinite = self.missing + int(missing.sum()), self.infinite + int(infinite.sum())

    def _add_numbers(self, values: np.ndarray, rows: int | None = None) -> None:
        self.numbers += len(values) if rows is None else rows
        if len(values) and (self.one_number is None or self.one_number == self.one_number):
            number = float(values[0]) if self.one_number is None else self.one_number
            self.one_number = number if (values == number).all() else np.nan

    @property
    def distinct(self) -> int:
        """Number of distinct texts, `KEPT` at most."""
        return len(self.texts)

    def verdict(self) -> str:
        """`number`, `text`, `empty` (no value at all), or `mixed`, which no model can use as it is."""
        if not self.texts:
            return "number" if self.numbers else "empty"
        spoiled, words = sum(self.spoiled.values()), self.words
        if not self.numbers and spoiled == self.spoiled[HEXADECIMAL]:
            return "text"  # words alone, or one way of writing throughout
        numeric = self.numbers + spoiled
        constant = spoiled == 0 and self.one_number == self.one_number
        distinct_words = sum(
            1 for text in self.texts if text.lower() not in PLACEHOLDERS and not spoiled_as(text)
        )
        outnumbered = words > numeric and (distinct_words > 1 or constant)
        return "text" if outnumbered or (constant and words > 1) else "mixed"

    def summary(self, text: bool) -> dict[str, Any]:
        """For the data card: `type`; for text also its `values` (distinct) and `numbers` (rows that read as
        one); and the rows that are `missing`, if any.

        Args:
            text: whether the data set keeps the column as text, whatever it looks like.
        """
        verdict = self.verdict()
        entry: dict[str, Any] = {"type": "text" if text and self.texts else verdict}
        if entry["type"] == "text":
            more = "+" if self.distinct == KEPT else ""
            entry |= {"values": f"{self.distinct}{more}", "numbers": self.numbers}
        return entry | ({"missing": self.missing} if self.missing else {})


class ColumnTypes:
    """The types of a source's features, and their missing values."""

    def __init__(self, source: Source):
        self.source, self.rows = source, 0
        self.columns = {name: ColumnType() for name in source.features}

    def add(self, columns: dict[str, np.ndarray], texts: dict[str, Texts | None], rows: int) -> None:
        """Take the next `rows` rows, cleaned; `texts` holds the `Texts` that `qnb.data.values.clean_column`
        returned for each column.
        """
        for name, column in self.columns.items():
            column.add(columns[name], texts[name], self.rows)
        self.rows += rows

    def refuse(self) -> None:
        """Raise DataError where a column mixes numbers and text, holds infinite values, or lacks values
        where that is refused.
        """
        mixed = [
            name
            for name, column in self.columns.items()
            if name not in self.source.text and column.verdict() == "mixed"
        ]
        if mixed:
            raise DataError(self._mixed(mixed))
        self._refuse_gaps()

    def summary(self) -> dict[str, dict[str, Any]]:
        """`ColumnType.summary` of each column."""
        return {name: column.summary(name in self.source.text) for name, column in self.columns.items()}

    def _mixed(self, names: list[str]) -> str:
        column = self.columns[names[0]]
        shown = [
            f"{text[:40]!r} ({rows:,} {'rows, the first' if rows > 1 else 'row,'} on "
            f"{self.source.place(column.first[text])})"
            for text, rows in column.texts.most_common(SHOWN)
        ]
        texts = column.words + column.placeholders + sum(column.spoiled.values())
        more = f" and {column.distinct - SHOWN} more" if column.distinct > SHOWN else ""
        siblings = f" Columns of the same kind: {', '.join(map(repr, names[1:6]))}." if names[1:] else ""
        return (
            f"{self.source.name}: column {names[0]!r} holds numbers in {column.numbers:,} rows and text in "
            f"{texts:,}, so it is neither numbers nor categories: {', '.join(shown)}{more}. "
            f"{' '.join(self._advice(names[0], column))}{siblings}"
        )

    def _advice(self, name: str, column: ColumnType) -> list[str]:
        sentences = []
        for kind in column.spoiled:
            texts = [text for text in column.texts if spoiled_as(text) == kind]
            if not texts:  # it occurred only after the texts that are kept
                continue
            example, mend = f"{texts[0]!r} is among {kind}", f"frame[{name!r}]{SPOILED[kind].mend}"
            units = sorted({_unit_of(text) for text in texts}) if kind == UNIT else []
            if len(units) > 1:
                sentences.append(f"{example}, of {', '.join(units)}: write them in one.")
            elif kind != THOUSANDS or DECIMAL not in column.spoiled:  # 1,234 is 1.234 beside 1,5
                sentences.append(
                    f"{example}: read the table as text (dtype=str) and write it anew with "
                    f"frame[{name!r}] = {mend}."
                )
            if kind == THOUSANDS and "," in texts[0] and DECIMAL not in column.spoiled:
                sentences.append("If its comma is a decimal one, with .str.replace(',', '.') instead.")
        if column.words or column.placeholders:
            common = [text for text, _ in column.texts.most_common() if not spoiled_as(text)]
            strays = [text for text in common if len(text) <= LONGEST_NUMBER][:SHOWN] or ["..."]
            sentences.append(
                f"Texts that stand for no value are named: missing_values={strays!r} and missing='median' or "
                "'indicator'; else mend the file, or leave the column out."
            )
            if column.words:
                sentences.append(
                    "Where it holds categories, write them so that none reads as a number ('c12')."
                )
        return sentences

    def _refuse_gaps(self) -> None:
        gaps = []
        for name, column in self.columns.items():
            if column.missing and self.source.missing == "refuse":
                gaps.append((name, column.missing, "missing (NaN or empty)", column.first[None]))
            if column.infinite:
                gaps.append((name, column.infinite, "infinite", column.first[np.inf]))
        if not gaps:
            return
        listed = "; ".join(f"column {name!r}: {rows} rows {kind}" for name, rows, kind, _ in gaps[:10])
        more = f" and {len(gaps) - 10} more" if len(gaps) > 10 else ""
        advice = ["Leave these columns out or mend them"]
        if self.source.missing == "refuse":
            advice.append("missing='median' or 'indicator' fills in what is missing")
        if any(kind == "infinite" for _, _, kind, _ in gaps):
            advice.append("missing_values=['inf', '-inf'] reads infinite values as missing")
        raise DataError(
            f"{self.source.name} has values that are no finite numbers: {listed}{more}; the first on "
            f"{self.source.place(min(row for *_, row in gaps))}. {'; '.join(advice)}."
        )
