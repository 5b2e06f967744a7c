"""Tables in: the bundled capture, Edge-IIoTset, scikit-learn's breast cancer table, any labelled CSV or Parquet file.

Every source is read in batches, once. Each batch is cleaned (the two ways of writing a number become one, fields that give the
answer away are set aside), its exact duplicates are found, and the rows to keep are drawn as it goes by, so that a file larger
than memory can be sampled. What was done is written into the data card.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from qnb.config import LEAKS, TrainConfig, nearest
from qnb.sources import Source, open_source
from qnb.values import DataError, clean_column, join_chunks, parse_values


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """N labelled rows and where they come from.

    Attributes:
        frame: the features after cleaning, N rows; float64 columns, and text columns where some value is not a number.
        y: int8 `(N,)`, 1 = positive (an attack).
        attack: names of the attack types, object `(N,)`, or None where the source has none.
        groups: N rows of columns that are no features and that splits need (hosts, capture session, time); may have no columns.
        card: what was read, kept and dropped; JSON-serialisable. It describes the whole table, also after `take`.
    """

    frame: pd.DataFrame
    y: np.ndarray
    attack: np.ndarray | None
    groups: pd.DataFrame
    card: dict[str, Any]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: np.ndarray) -> "Table":
        """The rows at `indices` (integers, shape `(M,)`), in that order."""
        return Table(
            frame=self.frame.iloc[indices].reset_index(drop=True),
            y=self.y[indices],
            attack=None if self.attack is None else self.attack[indices],
            groups=self.groups.iloc[indices].reset_index(drop=True),
            card=self.card,
        )


class _Labels:
    """Turns label values into 0 and 1, batch by batch, and remembers every value seen."""

    def __init__(self, source: Source):
        self.source, self.seen = source, Counter()
        positive = source.positive
        if isinstance(positive, bool):
            self.wanted = {"1", "true"} if positive else {"0", "false"}
        else:
            self.wanted = None if positive is None else {parse_values([positive])[1][0]}

    def __call__(self, values: np.ndarray) -> np.ndarray:
        codes, distinct = pd.factorize(values)
        if (codes < 0).any():
            count = int((codes < 0).sum())
            raise DataError(f"Label column {self.source.label!r} has {count} rows without a value. Fill or remove them.")
        texts = parse_values(list(distinct))[1]
        self.seen.update(dict(zip(texts, np.bincount(codes, minlength=len(texts)).tolist(), strict=True)))
        if self.wanted is None:
            self._refuse(set(texts) - {"0", "1"}, "are not 0 and 1, so positive='...' must say which value counts as 1")
            return np.array([text == "1" for text in texts], bool)[codes]
        fold = str.lower if isinstance(self.source.positive, bool) else str
        return np.array([fold(text) in self.wanted for text in texts], bool)[codes]

    def _refuse(self, wrong, why: str) -> None:
        if wrong:
            shown = ", ".join(f"{text!r} ({count} rows)" for text, count in self.seen.most_common(20))
            raise DataError(f"The values of label column {self.source.label!r} {why}. Seen: {shown}.")

    def check(self) -> None:
        """Raise DataError unless both classes were seen."""
        if self.wanted is not None:
            fold = str.lower if isinstance(self.source.positive, bool) else str
            absent = not self.wanted & {fold(text) for text in self.seen}
            self._refuse(absent, f"do not contain positive={self.source.positive!r}. {nearest(self.source.positive, self.seen)}")
        self._refuse(len(self.seen) < 2, "are all the same: one class only, and two are needed to train")


class _Draw:
    """A stratified random sample without replacement from a stream, of exactly `size` rows.

    Every row gets a uniform random priority; per class the rows of lowest priority stay (as many as could be needed), and the
    shares of the classes are settled at the end. One number per row in row order, so batch sizes do not matter.
    """

    def __init__(self, size: int | None, seed: int):
        self.size, self.rng, self.counts = size, np.random.default_rng(seed), np.zeros(2, int)
        self.lowest = [np.empty(0), np.empty(0)]
        self.y, self.priority = [], []

    def add(self, y: np.ndarray) -> np.ndarray:
        """Positions, in this batch, of the rows to hold on to."""
        priority = self.rng.random(len(y))
        keep = np.ones(len(y), bool)
        for c in (0, 1):
            self.counts[c] += (y == c).sum()
            if self.size is not None:
                self.lowest[c] = np.sort(np.concatenate([self.lowest[c], priority[y == c]]))[: self.size]
                keep[(y == c) & (priority > self.lowest[c].max(initial=0))] = False
        self.y.append(y[keep])
        self.priority.append(priority[keep])
        return np.flatnonzero(keep)

    def chosen(self) -> np.ndarray:
        """Positions of the sample among all rows held on to, in file order."""
        y, priority = np.concatenate(self.y), np.concatenate(self.priority)
        total = int(self.counts.sum())
        if self.size is None or self.size >= total:
            return np.arange(len(y))
        ones = round(self.size * self.counts[1] / total)
        ones = min(max(ones, 1), self.size - 1)  # both classes, however rare one is
        take = [np.flatnonzero(y == c)[np.argsort(priority[y == c])[:n]] for c, n in ((0, self.size - ones), (1, ones))]
        return np.sort(np.concatenate(take))


def _first_seen(hashes: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of rows whose hash comes for the first time, and the sorted hashes seen so far."""
    distinct, first = np.unique(hashes, return_index=True)
    at = np.searchsorted(seen, distinct)
    known = np.zeros(len(distinct), bool)
    inside = at < len(seen)
    known[inside] = seen[at[inside]] == distinct[inside]
    return np.sort(first[~known]), np.union1d(seen, distinct[~known])


def _clean_batch(batch: pa.RecordBatch, source: Source) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cleaned columns, and one uint64 hash per row over features, label and attack type."""
    columns, row_hash = {}, np.zeros(batch.num_rows, np.uint64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in source.groups and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            encoded = pa.compute.utf8_trim_whitespace(column).dictionary_encode()  # as it stands; equal texts share one object
            texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
            columns[name] = texts[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
            continue
        columns[name], hashes = clean_column(column, name)
        if name not in source.groups:
            row_hash = row_hash * np.uint64(0x9E3779B97F4A7C15) + hashes  # wraps around, as hashes do
    return columns, row_hash


def _collect(source: Source, sample: int | None, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, Counter]:
    """Read a source once: cleaned columns of the rows drawn, their labels, and counts of what happened to the rest."""
    others = [c for c in (source.attack, *source.groups) if c and c != source.label]
    wanted = [*source.features, source.label, *others]
    labels, draw, counts = _Labels(source), _Draw(sample, seed), Counter(rows_read=0, duplicates=0)
    chunks: dict[str, list] = {name: [] for name in wanted}
    bad, seen = Counter(), np.empty(0, np.uint64)
    for batch in source.batches(wanted):
        columns, row_hash = _clean_batch(batch, source)
        y = labels(columns[source.label])
        bad.update(_unusable(columns, source.features))
        fresh, seen = _first_seen(row_hash, seen)
        counts.update(rows_read=len(y), duplicates=len(y) - len(fresh))
        rows = fresh if source.drop_duplicates else np.arange(len(y))
        rows = rows[draw.add(y[rows])]
        for name in wanted:
            chunks[name].append(columns[name][rows])
        chunks.setdefault("", []).append(y[rows])
    if not counts["rows_read"]:
        raise DataError(f"{source.name} has a header and no rows.")
    labels.check()
    _refuse_unusable(bad, source.name)
    chosen = draw.chosen()
    table = {}
    for name in list(chunks):
        whole = join_chunks(chunks.pop(name))  # popped, so that a large table is not held twice
        table[name] = whole if len(chosen) == len(whole) else whole[chosen]
    return table, table.pop("").astype(np.int8), counts


def _unusable(columns: dict[str, np.ndarray], features: list[str]) -> Counter:
    """How many values of each feature are missing or infinite; keys `(column, what)`."""
    found = Counter()
    for name in features:
        values = columns[name]
        if values.dtype == object:
            found[name, "missing (NaN or empty)"] = int(pd.isna(values).sum())
        else:
            found[name, "missing (NaN or empty)"] = int(np.isnan(values).sum())
            found[name, "infinite"] = int(np.isinf(values).sum())
    return +found


def _refuse_unusable(bad: Counter, where: str) -> None:
    if bad:
        listed = "; ".join(f"column {name!r}: {count} rows {what}" for (name, what), count in list(bad.items())[:10])
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise DataError(
            f"{where} has values that are no finite numbers: {listed}{more}. Fill or remove them; qnb fills nothing in."
        )


def fingerprint(frame: pd.DataFrame, y: np.ndarray, attack: np.ndarray | None = None) -> str:
    """SHA-256, in hex, of column names, cleaned values, labels and attack types, in row order. The same in every process."""
    digest = hashlib.sha256(json.dumps([list(frame.columns), len(frame)]).encode())
    texts = [] if attack is None else [attack]
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            digest.update(np.ascontiguousarray(values.to_numpy(np.float64)).tobytes())
        else:
            texts.append(values)
    for values in texts:
        codes, distinct = pd.factorize(values)  # distinct values in the order of their first rows
        digest.update(json.dumps(list(distinct)).encode())
        digest.update(codes.astype("<i8").tobytes())
    digest.update(np.asarray(y, np.int8).tobytes())
    return digest.hexdigest()


def read_table(
    data: str,
    *,
    label: str | None = None,
    positive: str | int | bool | None = None,
    sample: int | None = None,
    data_seed: int = 0,
    leaks: tuple[str, ...] = LEAKS,
    seed: int = 0,
) -> Table:
    """Read, clean and sample a table.

    Args:
        data: `"bundled"`, `"breast_cancer"` (positive = malignant), or the path of a CSV or Parquet file. A file in the format
            of Edge-IIoTset is known by its columns: the authors' 15 fields are dropped, then exact duplicate rows.
        label: label column of a file; None: `Attack_label` of Edge-IIoTset.
        positive: the label's value that counts as 1, all others 0; None: the label is 0 and 1 already.
        sample: rows to draw among those that cleaning leaves, stratified by label; None, or more than there are: all of them.
        data_seed, leaks: of the bundled capture, see `qnb.capture.generate_capture`.
        seed: of the draw.

    Returns:
        The table, rows in the order of the source. Memory grows with the rows drawn, not with the file.

    Raises:
        DataError: the file or its label cannot be used, or a feature is missing, infinite, or nothing but constants.
    """
    source = open_source(data, label, positive, data_seed, leaks)
    if not source.features:
        raise DataError(f"{source.name} has no feature columns beside its label {source.label!r}.")
    columns, y, counts = _collect(source, sample, seed)
    frame = pd.DataFrame({name: columns.pop(name) for name in source.features}, copy=False)
    constant = [name for name in frame if (frame[name] == frame[name].iloc[0]).all()]
    if len(constant) == len(frame.columns):
        raise DataError(f"{source.name}: all {len(constant)} feature columns are constant, so there is nothing to learn from.")
    attack = None if source.attack is None else np.asarray(columns[source.attack], dtype=object)
    groups = pd.DataFrame({name: columns[name] for name in source.groups}, index=range(len(y)))
    card = _card(source, counts, y, attack) | {
        "columns": len(frame.columns),
        "constant_columns": constant,
        "sample": {"requested": sample, "used": len(y)},
        "seeds": {"data_seed": data_seed if data == "bundled" else None, "sample_seed": seed},
        "leaks": list(leaks) if data == "bundled" else None,
        "fingerprint": fingerprint(frame, y, attack),
    }
    return Table(frame, y, attack, groups, card)


def _card(source: Source, counts: Counter, y: np.ndarray, attack: np.ndarray | None) -> dict[str, Any]:
    duplicates = counts["duplicates"]
    dropped = {"exact duplicates": duplicates} if source.drop_duplicates else {}
    dropped["not sampled"] = counts["rows_read"] - len(y) - sum(dropped.values())
    return {
        "source": source.name,
        "synthetic": source.synthetic,
        "rows_read": counts["rows_read"],
        "rows_kept": len(y),
        "dropped": dropped,
        "duplicates": duplicates,
        "columns_dropped": [c for c in source.columns if c in {*source.dropped, *source.groups} - {source.label}],
        "label": source.label,
        "positive": source.positive,
        "prior": float(y.mean()),
        "attack_types": {} if attack is None else dict(Counter(attack.tolist()).most_common()),
        "notes": list(source.notes),
    }


def load_table(config: TrainConfig) -> Table:
    """The table a configuration asks for; `config.split_seed` seeds the draw. See `read_table`."""
    return read_table(
        config.data,
        label=config.label,
        positive=config.positive,
        sample=config.sample,
        data_seed=config.data_seed,
        leaks=config.leaks,
        seed=config.split_seed,
    )
