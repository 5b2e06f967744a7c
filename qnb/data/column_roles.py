"""The role of each column: as the data set defines it, and as the user assigns it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from qnb.config import SidesConfig, TableConfig
from qnb.data.profiles import Profile, same, spelled
from qnb.data.table_files import TableFile
from qnb.data.values import DataError
from qnb.errors import nearest

Scalar = str | int | bool | None


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a table's columns are to be read. Values that are None or empty are taken from the data set, if it
    is known.

    The fields are those of `qnb.config.TableConfig`, and `group_by`.
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
        """The reading that a configuration asks for."""
        names = (field.name for field in dataclasses.fields(cls) if field.name != "group_by")
        group_by = config.group_by if isinstance(config, SidesConfig) else None
        return cls(**{name: getattr(config, name) for name in names}, group_by=group_by)


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch: `batches(columns)` yields Arrow record batches with those
    columns.

    Attributes:
        name: of the table, for messages.
        columns: every column of the table.
        label: the column of the labels.
        positive: the label's value that counts as 1.
        negative: values that count as 0, all others being 1; without either the label is 0 and 1.
        attack: column of the attack types.
        groups: columns that are not features, kept for splits.
        dropped: columns that are not features, and why; a column may be both dropped and kept for splits.
        time: columns of the clock.
        identifiers: columns that say who or which, and their kind.
        hosts: sender and receiver, see `Profile.hosts`.
        text: columns that are text even where most of their values are numbers.
        missing: treatment of missing values, "refuse", "median" or "indicator".
        missing_values: of features: further values that count as missing.
        profile: the data set, where it is known.
        synthetic: whether the rows were generated, not measured.
        drop_duplicates: whether exact duplicates are dropped.
        notes: for the data card.
        file: the file that it is read from; None for a built-in table.
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
    file: TableFile | None = None

    @property
    def features(self) -> list[str]:
        """The columns that a model may use."""
        excluded = {self.label, self.attack, *self.groups, *self.dropped}
        return [c for c in self.columns if c not in excluded]

    def place(self, row: int) -> str:
        """The place of row number `row` (from 0), in words."""
        return f"row {row + 1}" if self.file is None else self.file.place(row)


def known_roles(profile: Profile, columns: list[str]) -> dict[str, Any]:
    """The roles of the columns of a known data set, as attributes of `Source`.

    Excluded from the features are its labels, attack types, clocks and identifiers (but those that its
    authors keep), the columns that its authors drop, and columns that the data set does not have.
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
        | {c: reason for name, reason in profile.drop.items() for c in spelled(columns, [name])}
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


def with_roles(source: Source, reading: Reading) -> Source:
    """The source with the roles that a user assigns to its columns, in addition to those that it has.

    Raises:
        DataError: a name is not a column, or is the label in a role other than attack_type.
    """
    roles = {
        "drop": reading.drop,
        "time": reading.time or (),
        "identifiers": reading.identifiers,
        "attack_type": () if reading.attack_type is None else (reading.attack_type,),
    }
    for role, names in roles.items():
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
