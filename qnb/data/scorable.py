"""A table to be scored: opened as in training, but its label may be absent, and no role is guessed."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from qnb.config import TrainConfig
from qnb.data.capture import Difficulty
from qnb.data.column_roles import Reading
from qnb.data.labels import Labels
from qnb.data.sources import open_source
from qnb.data.table_files import open_file, require_header
from qnb.data.values import DataError


@dataclass(frozen=True)
class LabelRule:
    """How a model's training read its labels.

    Attributes:
        label: the column; None where the model does not name it.
        positive: the value that counted as 1.
        unknown: why the rule is not known, in which case no label is read; None where it is known.
        negative: the values that counted as 0; without these and `positive` the labels were 0 and 1.
        attack: the column of the attack types.
        trained: the attack types that training and validation had; empty where there were none.
    """

    label: str | None
    positive: str | int | bool | None
    unknown: str | None = None
    negative: tuple[str | int | bool, ...] = ()
    attack: str | None = None
    trained: tuple[str, ...] = ()


def label_rule_of(about: dict[str, Any], card: dict[str, Any]) -> LabelRule:
    """The rule recorded in a model's `about`; for models of earlier versions, in the data card of its run."""
    kept = about if "positive" in about else card
    label, positive = about.get("label"), kept.get("positive")
    if not isinstance(label, str):
        return LabelRule(None, None, "the model does not name the column of its labels")
    if "positive" not in kept or not isinstance(positive, str | int | bool | None):
        return LabelRule(
            label,
            None,
            f"the model does not say which value of {label!r} counted as 1, so that column is not read: "
            "score with the run, whose data card says it, or train anew",
        )
    roles = about.get("roles") or {}
    return LabelRule(
        label,
        positive,
        negative=tuple(kept.get("negative") or ()),
        attack=roles.get("attack_type"),
        trained=tuple(about.get("trained_types") or ()),
    )


@dataclass(frozen=True)
class Scorable:
    """A table to be scored: its columns, and how to read some of them batch by batch.

    Attributes:
        name, columns: of the table.
        batches: yields Arrow record batches with the given columns.
        label_rule: how labels are read.
        synthetic: whether the rows were generated, not measured.
        rows: their number; None: unknown before the table is read.
        place: gives the place of a row number (from 0), in words.
    """

    name: str
    columns: list[str]
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]
    label_rule: LabelRule
    synthetic: bool
    rows: int | None = None  # None: not known before it was read
    place: Callable[[int], str] = lambda row: f"row {row + 1}"

    @property
    def label(self) -> str | None:
        """The column of the labels; None where none can be read, see `unlabelled`."""
        return None if self.unlabelled else self.label_rule.label

    @property
    def positive(self) -> str | int | bool | None:
        """The value that counts as 1."""
        return self.label_rule.positive

    @property
    def negative(self) -> tuple[str | int | bool, ...]:
        """The values that count as 0."""
        return self.label_rule.negative

    @property
    def attack(self) -> str | None:
        """The column of the attack types, if the table has it and training had any."""
        rule = self.label_rule
        return rule.attack if rule.attack in self.columns and rule.trained else None

    @property
    def unlabelled(self) -> str | None:
        """Why no label is read; None where labels are read."""
        return self.label_rule.unknown or (
            None if self.label_rule.label in self.columns else "the table has no label column"
        )


def open_table(table: str, label_rule: LabelRule, asked: dict[str, Any]) -> Scorable:
    """Open the table that a user names: the path of a file, or a built-in table.

    Args:
        label_rule: how the model's training read its labels; those of the table are read in the same way,
            whatever the table.
        asked: the parameters of the model's run, as far as they are known: what draws the bundled capture.

    Raises:
        DataError: there is no such table, it cannot be opened, or it is the bundled capture and the model
            was not trained on it.
    """
    if table in TrainConfig.BUILT_IN_TABLES:
        if table == "bundled" and asked.get("data") != "bundled":
            raise DataError(
                "The bundled capture is drawn with the seed and the leaks of a run that was trained on it: "
                "give such a run's id or folder (a model folder alone does not know them), or the path of a "
                "table."
            )
        generator = ("data_seed", "leaks", *Difficulty._fields)
        drawn = {name: asked[name] for name in generator if table == "bundled" and name in asked}
        config = TrainConfig.make({"data": table} | drawn)
        source = open_source(table, Reading(), config.data_seed, config.leaks, Difficulty.of(config))
        return Scorable(source.name, source.columns, source.batches, label_rule, source.synthetic)
    file = open_file(table)
    require_header(file)
    return Scorable(str(file.path), file.columns, file.batches, label_rule, False, file.rows, file.place)


def check_columns(source: Scorable, needed: list[str]) -> None:
    """Raise DataError unless the table has each column that a model needs exactly once, and its label column
    at most once.

    The message gives the nearest name for each that is missing.
    """
    missing = [name for name in needed if name not in source.columns]
    if missing:
        free = [name for name in source.columns if name not in (*needed, source.label_rule.label)]
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
        raise DataError(
            f"{source.name} names a column twice: {', '.join(map(repr, twice))}. Rename or remove one."
        )


def _hint(name: str, columns: list[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    return f" (is it {close[0]!r}?)" if close else ""


class Truth:
    """The labels of a table, if it has them, as 0 and 1, read as in training.

    A label that cannot be read does not prevent scoring.

    Attributes:
        why: why there are no labels to evaluate against; empty where there are.
    """

    def __init__(self, source: Scorable):
        self.parts: list[np.ndarray] = []
        # None: there is nothing to rank by, see `why`
        self.labels = None if source.label is None else Labels(source)
        self.why = source.unlabelled or ""

    def add(self, values: np.ndarray | None) -> None:
        """Take the labels of a batch, cleaned; None where there is no label column."""
        if self.labels is not None and values is not None:
            try:
                self.parts.append(self.labels(values))
            except DataError as error:
                self.labels, self.why = None, str(error)

    def result(self) -> np.ndarray | str:
        """The labels of all rows, bool (N,); or, as text, why there are none to evaluate against."""
        if self.labels is None:
            return self.why
        try:
            self.labels.check()
        except DataError as error:
            return str(error)
        return np.concatenate(self.parts)
