"""Tables: the bundled capture, tables of scikit-learn, Edge-IIoTset and other labelled files.

Every source is read in batches. Each batch is cleaned (see `qnb.data.cleaning`), and the rows to keep are
drawn as it passes, so that a file larger than memory can be sampled. Larger files are cleaned once and then
taken from the cache (see `qnb.data.cache`). The data card records what was done.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from qnb.config import LEAKS, DataConfig
from qnb.data.cache import cached_parts
from qnb.data.capture import STANDARD, Difficulty
from qnb.data.cautions import cautions
from qnb.data.cleaning import clean_parts
from qnb.data.column_roles import Reading, Source
from qnb.data.lookalikes import look_alikes
from qnb.data.official import joined, joined_card
from qnb.data.profiles import Profile
from qnb.data.sampling import Draw
from qnb.data.sources import open_source
from qnb.data.values import Column, DataError, join_chunks, take

TEXT = pd.StringDtype("pyarrow", na_value=np.nan)  # pandas' own dtype for text


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """N labelled rows and their origin.

    Attributes:
        frame: the features after cleaning, N rows; float64 columns, and text columns where some value is not
            a number.
        y: int8 `(N,)`, 1 = positive (an attack).
        attack: names of the attack types, object `(N,)`; None where the source has none.
        groups: N rows of columns that are not features and that splits need (hosts, capture session, time);
            may have no columns.
        card: what was read, kept and dropped; JSON-serialisable. It describes the whole table, also after
            `take`.
        time: the columns of the clock, among `groups`; empty where it is not known.
        hosts: pairs of columns of sender and receiver, among `groups`; a later pair is used where the one
            before is 0.
        attack_name: the column that `attack` holds.
        official: which rows are those of the official test file, bool `(N,)`; None without one.
    """

    frame: pd.DataFrame
    y: np.ndarray
    attack: np.ndarray | None
    groups: pd.DataFrame
    card: dict[str, Any]
    time: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    attack_name: str | None = None
    official: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: np.ndarray) -> "Table":
        """The rows at `indices` (integers, shape `(M,)`), in that order."""
        return dataclasses.replace(
            self,
            frame=self.frame.iloc[indices].reset_index(drop=True),
            y=self.y[indices],
            attack=None if self.attack is None else self.attack[indices],
            groups=self.groups.iloc[indices].reset_index(drop=True),
            official=None if self.official is None else self.official[indices],
        )


def _collect(
    source: Source, sample: int | None, seed: int
) -> tuple[dict[str, Column], np.ndarray, dict[str, Any]]:
    """Read a source once: cleaned columns of the rows drawn, their labels, and what happened to the rest."""
    draw = Draw(sample, seed)
    tally: dict[str, Any] = {}
    chunks: dict[str, list[Column]] = {}
    labels = []
    for part in cached_parts(source, clean_parts, tally):
        rows = draw.add(part.y)
        whole = len(rows) == len(part.y)
        for name, values in part.columns.items():
            chunks.setdefault(name, []).append(values if whole else take(values, rows))
        labels.append(part.y[rows])
    chosen = draw.chosen()
    y = np.concatenate(labels).astype(np.int8)
    everything, table = len(chosen) == len(y), {}
    for name in list(chunks):
        text = tally["types"].get(name, {}).get("type") == "text"  # whatever the rows drawn hold
        joined = join_chunks(chunks.pop(name), text)  # popped, so that a large table is not held twice
        table[name] = joined if everything else take(joined, chosen)
    return table, y if everything else y[chosen], tally


def fingerprint(frame: pd.DataFrame, y: np.ndarray, attack: np.ndarray | None = None) -> str:
    """SHA-256, in hex, of column names, cleaned values, labels and attack types, in row order.

    It is the same in every process.
    """
    digest = hashlib.sha256(json.dumps([list(frame.columns), len(frame)]).encode())
    texts: list[np.ndarray | pd.Series] = [] if attack is None else [attack]
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            digest.update(np.ascontiguousarray(values.to_numpy(np.float64)).tobytes())
        else:
            texts.append(values)
    for text in texts:
        codes, distinct = pd.factorize(text)  # distinct values in the order of their first rows
        digest.update(json.dumps(list(distinct)).encode())
        digest.update(codes.astype("<i8").tobytes())
    digest.update(np.asarray(y, np.int8).tobytes())
    return digest.hexdigest()


def read_table(
    data: str,
    *,
    label: str | None = None,
    positive: str | int | bool | None = None,
    negative: str | int | bool | None = None,
    drop: tuple[str, ...] = (),
    time: tuple[str, ...] | None = None,
    identifiers: tuple[str, ...] = (),
    attack_type: str | None = None,
    sample: int | None = None,
    data_seed: int = 0,
    leaks: tuple[str, ...] = LEAKS,
    difficulty: Difficulty = STANDARD,
    seed: int = 0,
    group_by: tuple[str, ...] | None = None,
    keep_duplicates: bool = False,
    missing: str = "refuse",
    missing_values: tuple[str | float, ...] = (),
) -> Table:
    """Read, clean and sample a table.

    Args:
        data: `"bundled"`, a name of `qnb.data.sources.REAL`, or the path of a CSV or Parquet file or a Zeek
            log. A data set of `qnb.data.profiles` is recognised by its columns: arguments below that are not
            given are then taken from there.
        label: label column of a file.
        positive: the label's value that counts as 1, all others 0.
        negative: the label's value that counts as 0, all others 1. Without both, labels must be 0 and 1.
        drop: columns left out.
        time: column of the clock, or two, date and time of day. It is kept for splits, not as a feature.
        identifiers: columns that say who or which, never what; left out.
        attack_type: column of the attack types.
        sample: number of rows to draw among those that cleaning leaves, stratified by label; None, or more
            than there are: all of them.
        data_seed, leaks, difficulty: of the bundled capture, see `qnb.data.capture.generate_capture`.
        seed: of the draw.
        group_by: columns that are kept for splits, not as features, in addition to those that the source
            itself keeps.
        keep_duplicates: keep the exact duplicates that are otherwise dropped from the bundled capture and
            from Edge-IIoTset.
        missing: "refuse", or one of `qnb.data.missing.TREATMENTS` that imputes missing values later, from
            training rows; they are NaN in the table.
        missing_values: further values that count as missing in a feature, besides empty cells, NA, NaN,
            null, and what the data set is known to write.

    Returns:
        The table, with rows in the order of the source. Memory grows with the rows drawn, not with the file.

    Raises:
        DataError: the file or its label cannot be used, a name is not a column, a feature mixes numbers and
            text (see `qnb.data.column_types`), is infinite, or is missing where that is refused, or all
            features are constant.
    """
    reading = Reading(
        label, positive, negative, drop, time, identifiers, attack_type, group_by, missing, missing_values
    )
    source = open_source(data, reading, data_seed, leaks, difficulty)
    if not source.features:
        raise DataError(f"{source.name} has no feature columns beside its label {source.label!r}.")
    source = dataclasses.replace(source, drop_duplicates=source.drop_duplicates and not keep_duplicates)
    columns, y, tally = _collect(source, sample, seed)
    frame = pd.DataFrame({name: columns.pop(name) for name in source.features}, copy=False)
    constant = [
        name for name in frame if (frame[name] == frame[name].iloc[0]).all() or frame[name].isna().all()
    ]
    if len(constant) == len(frame.columns):
        raise DataError(
            f"{source.name}: all {len(constant)} feature columns are constant, so there is nothing to learn "
            "from."
        )
    attack = None if source.attack is None else np.asarray(columns[source.attack], dtype=object)
    groups = pd.DataFrame(
        {name: _group(columns.pop(name)) for name in source.groups}, index=range(len(y)), copy=False
    )
    card = _card(source, tally, y, attack) | {
        "columns": len(frame.columns),
        "types": tally["types"],
        "missing": source.missing,
        "missing_values": list(source.missing_values),
        "constant_columns": constant,
        "look_alikes": {} if source.profile or source.synthetic else look_alikes(frame),
        "sample": {"requested": sample, "used": len(y)},
        "seeds": {"data_seed": data_seed if data == "bundled" else None, "sample_seed": seed},
        "leaks": list(leaks) if data == "bundled" else None,
        "fingerprint": fingerprint(frame, y, attack),
    }
    card["cautions"] = cautions(card)
    return Table(frame, y, attack, groups, card, source.time, source.hosts, source.attack)


def _group(values: Column) -> pd.Series | np.ndarray:
    """A column of groups; text stays in Arrow's memory."""
    return values if isinstance(values, np.ndarray) else pd.Series(values, dtype=TEXT)


def _card(source: Source, tally: dict[str, Any], y: np.ndarray, attack: np.ndarray | None) -> dict[str, Any]:
    dropped = {"repeated header lines": tally["headers"]} if tally["headers"] else {}
    if source.drop_duplicates:
        dropped["exact duplicates"] = tally["duplicates"]
    dropped["not sampled"] = tally["rows_read"] - len(y) - sum(dropped.values())
    return {
        "source": source.name,
        "synthetic": source.synthetic,
        "cache": tally["cache"],
        "rows_read": tally["rows_read"],
        "rows_kept": len(y),
        "dropped": dropped,
        "duplicates": tally["duplicates"],
        "columns_dropped": [
            c for c in source.columns if c in {*source.dropped, *source.groups} - {source.label}
        ],
        "why_dropped": {
            c: source.dropped.get(c, "kept for splits")
            for c in source.columns
            if c in {*source.dropped, *source.groups} - {source.label}
        },
        "data_set": None if source.profile is None else _about(source.profile),
        "roles": {
            "time": list(source.time),
            "identifiers": [c for c in source.columns if c in source.identifiers],
            "attack_type": source.attack,
        },
        "label": source.label,
        "positive": source.positive,
        "negative": list(source.negative),
        "label_values": tally["label_values"],
        "prior": float(y.mean()),
        "attack_types": {} if attack is None else dict(Counter(attack.tolist()).most_common()),
        "notes": [*source.notes, *tally["notes"]],
    }


def _about(profile: Profile) -> dict[str, str]:
    """What a reader looks up of a data set."""
    return {name: getattr(profile, name) for name in ("name", "citation", "source", "official_split")}


def load_table(config: DataConfig) -> Table:
    """The table that a configuration asks for; `config.split_seed` seeds the draw. See `read_table`.

    With `config.test_data`, all rows of that file follow those of `config.data`.

    Raises:
        DataError: as `read_table`; or the two files do not match, see `qnb.data.official`.
    """
    roles = dataclasses.asdict(Reading.of(config))
    table = read_table(
        config.data,
        **roles,
        sample=config.sample,
        data_seed=config.data_seed,
        leaks=config.leaks,
        difficulty=Difficulty.of(config),
        seed=config.split_seed,
    )
    if config.test_data is None:
        return table
    return _with_test(table, read_table(config.test_data, **roles, keep_duplicates=True))


def _with_test(table: Table, test: Table) -> Table:
    """The rows of `table`, then all those of `test`, which `official` marks."""
    frame = joined(table.frame, test.frame, str(test.card["source"]))
    card = joined_card(table.card, test.card)
    card["cautions"] = cautions(card)
    attack = [one.attack for one in (table, test) if one.attack is not None]
    groups = [table.groups, test.groups.reindex(columns=table.groups.columns)]
    return dataclasses.replace(
        table,
        frame=frame,
        y=np.concatenate([table.y, test.y]),
        attack=np.concatenate(attack) if attack else None,
        groups=pd.concat(groups, ignore_index=True),
        card=card,
        official=np.arange(len(frame)) >= len(table),
    )
