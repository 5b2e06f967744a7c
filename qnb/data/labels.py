"""The meaning of a label column's values: 0 or 1, or an error that names the line. No label is guessed."""

import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd

from qnb.data.column_roles import Source
from qnb.data.values import Column, DataError, parse_values, take
from qnb.errors import nearest


class Labelled(Protocol):
    """What is needed to read the labels of a table: its columns, the label column, and the value that counts
    as 1, or those that count as 0.
    """

    @property
    def name(self) -> str:
        """The name of the table."""

    @property
    def columns(self) -> list[str]:
        """Every column of the table."""

    @property
    def label(self) -> str | None:
        """The column of the labels."""

    @property
    def positive(self) -> str | int | bool | None:
        """The value that counts as 1."""

    @property
    def negative(self) -> tuple[str | int | bool, ...]:
        """The values that count as 0, all others being 1; without these and `positive` the labels are 0 and
        1.
        """

    @property
    def place(self) -> Callable[[int], str]:
        """A function that gives the place of row number `row` (from 0), in words."""


class Labels:
    """Turns label values into 0 and 1, batch by batch, and remembers every value seen.

    Numbers are compared by value (0, 0.0 and "0" are one), text by its letters without surrounding spaces.
    Text that differs from a named value only in case, invisible characters or Unicode form is refused, since
    it may or may not mean the same.

    Attributes:
        seen: rows of each value.
        first: number of the first row (from 0) of each value.
        last: the value of the last row.
    """

    def __init__(self, source: Labelled):
        self.source, self.rows = source, 0
        self.seen: Counter[str] = Counter()
        self.first: dict[str, int] = {}
        self.last: str | None = None
        self.named, self.means = _named(source)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The labels of the next rows, bool `(n,)`.

        Raises:
            DataError: a row without a value, or with one whose meaning is not certain.
        """
        codes, distinct = pd.factorize(values)
        if (codes < 0).any():
            place = self.source.place(self.rows + int((codes < 0).argmax()))
            count = int((codes < 0).sum())
            raise DataError(
                f"Label column {self.source.label!r} has {count} rows without a value, the first on {place}. "
                "Fill or remove them."
            )
        # all: what is missing has code -1
        texts = [text for text in parse_values(list(distinct))[1] if text is not None]
        for text, count, first in zip(texts, np.bincount(codes).tolist(), _firsts(codes), strict=True):
            self.seen[text] += count
            self.first.setdefault(text, self.rows + first)
        if len(codes):
            self.last = texts[codes[-1]]
        self.rows += len(codes)
        self._refuse_strange()
        named = {"1"} if self.named is None else self.named
        counts_as_one = [(self._fold(text) in named) == (not self.source.negative) for text in texts]
        positive: np.ndarray = np.array(counts_as_one, bool)[codes]
        return positive

    def _fold(self, text: str) -> str:
        words = (self.source.positive, *self.source.negative)
        return text.lower() if any(isinstance(word, bool) for word in words) else text

    def _refuse_strange(self) -> None:
        """Text over several lines, 0/1 labels that are neither, and twins of the values that are named (see
        `_seen_as`).
        """
        several = [text for text in self.seen if "\n" in text or "\r" in text]
        self._refuse(several, "go over several lines, so a quotation mark may be missing")
        if self.named is None:
            strange = [text for text in self.seen if text not in ("0", "1")]
            self._refuse(
                strange,
                "are not 0 and 1, so positive='...' must say which value counts as 1, or negative='...' "
                "which one counts as 0 and all others as 1",
            )
        else:
            looks = {_seen_as(text) for text in self.named}
            twins = [
                text for text in self.seen if self._fold(text) not in self.named and _seen_as(text) in looks
            ]
            folded = {text.casefold() for text in self.named}
            in_case = [text for text in twins if text.casefold() in folded]
            self._refuse(
                in_case, f"differ from {self.means} in upper and lower case alone; write them one way"
            )
            self._refuse(
                twins,
                f"differ from {self.means} in characters that do not show or in Unicode form "
                f"alone{_codes(twins)}; write them one way",
            )

    def _refuse(self, wrong: list[str], why: str) -> None:
        if wrong:
            example = f"first {wrong[0][:40]!r} on {self.source.place(self.first[wrong[0]])}"
            raise DataError(
                f"Values of label column {self.source.label!r} {why}: {example}. Seen: {self._shown()}."
            )

    def _shown(self) -> str:
        return ", ".join(f"{text[:40]!r} ({count} rows)" for text, count in self.seen.most_common(20))

    def check(self) -> None:
        """Raise DataError unless both classes were seen, and the named value among them."""
        subject = f"The values of label column {self.source.label!r}"
        if self.named is not None and not self.named & {self._fold(text) for text in self.seen}:
            value = self.source.negative[0] if self.source.negative else self.source.positive
            raise DataError(
                f"{subject} do not contain {self.means}. {nearest(value, self.seen)} Seen: {self._shown()}."
            )
        if len(self.seen) < 2:
            raise DataError(
                f"{subject} are all the same: one class only, and two are needed to train. Seen: "
                f"{self._shown()}."
            )


def _named(source: Labelled) -> tuple[set[str] | None, str]:
    """What is named as 1, or as 0, as `parse_values` writes it, and how it was named.

    None: the labels are 0 and 1. Empty for a value that stands for no value.
    """
    if source.negative:
        words = " or ".join(f"{value!r}" for value in source.negative)
        return set().union(*map(_texts, source.negative)), f"negative={words}"
    if source.positive is None:
        return None, ""
    return _texts(source.positive), f"positive={source.positive!r}"


def _texts(value: str | int | bool) -> set[str]:
    """A value as the cells of a label column may write it."""
    if isinstance(value, bool):
        return {"1", "true"} if value else {"0", "false"}
    return {text for text in parse_values([value])[1] if text is not None}


def _seen_as(text: str) -> str:
    """What a reader sees of a text, upper and lower case apart: without format characters (Unicode's Cf:
    zero-width spaces, byte order marks) and in the form NFKC, where a no-break space is a space and an accent
    is part of its letter.
    """
    if text.isascii():  # as most are, and none of this applies to them
        return text.casefold().strip()
    shown = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", shown.casefold()).casefold().strip()


def _codes(twins: list[str]) -> str:
    """The first of them with what does not show written as escapes, in brackets."""
    return f" ({twins[0][:40]!a})" if twins else ""


def refuse_header_rows(source: Labelled, columns: dict[str, Column], start: int) -> None:
    """Raise DataError where a row consists of column names alone, as a header line does, in whatever order.

    A single value that is a column name means nothing (`land` is a column and an attack of NSL-KDD), so the
    whole row is compared. Where every name is a number, rows of data look the same, and nothing is refused.

    Args:
        columns: values of the next rows, cleaned.
        start: number of the first of them.
    """
    if np.isfinite(parse_values(list(columns))[0]).all():
        return
    names = {text for text in parse_values(source.columns)[1] if text is not None}
    numeric = [number for number in parse_values(source.columns)[0].tolist() if number == number]
    first = [source.label] if source.label in columns else []
    rows: np.ndarray | None = None
    for name in [*first, *columns]:
        values = columns[name]
        if isinstance(values, np.ndarray) and values.dtype != object:
            held = np.isin(values if rows is None else values[rows], numeric)
        else:
            texts = pd.Series(values if rows is None else take(values, rows), dtype=object)
            held = texts.isin(names).to_numpy()
        rows = np.flatnonzero(held) if rows is None else rows[held]
        if not len(rows):
            return
    for row in [] if rows is None else rows.tolist():
        shown = [str(take(values, np.array([row]))[0]) for values in columns.values()]
        if len(set(shown)) == len(shown):
            raise DataError(
                f"{source.name}: the row on {source.place(start + row)} holds names of columns, as a header "
                f"does: {', '.join(shown)[:60]!r}. Remove it; or, where a second table begins there with its "
                "columns in another order, give that table as a file of its own."
            )


def _firsts(codes: np.ndarray) -> list[int]:
    """Position of the first row of each code; codes are numbered in the order in which they come."""
    firsts: list[int] = np.unique(codes, return_index=True)[1].tolist()
    return firsts


def refuse_cut(source: Source, column: str, seen: Counter[str], last: str | None) -> None:
    """Raise DataError where the file ends inside its last line, in a value of `column` that may have been
    cut short.

    Args:
        column: the last column of the file, which holds the label or the attack type.
        seen: rows of each of its values.
        last: its value in the last row.
    """
    longer = [value for value in seen if value != last and last and value.startswith(last)]
    if last and (longer or seen[last] == 1):
        twin = f" and may be the start of {longer[0]!r}" if longer else " and no other row has"
        raise DataError(
            f"{source.name} ends without a line end, in a value of {column!r} that stands last, "
            f"{last[:40]!r},{twin}: the file may have been cut short. Complete it, or end its last line."
        )
