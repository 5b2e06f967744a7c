"""One table from two: an official test file appended to the data that train."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from qnb.data.values import DataError, holds_numbers, join_chunks, parse_values
from qnb.errors import nearest


def joined(frame: pd.DataFrame, test: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of `frame`, then those of `test`, in the columns of `frame`.

    Args:
        name: of the test file, for errors.

    Raises:
        DataError: `test` lacks a column; or a column holds numbers in `frame` and text in `test`; or text
            without any number in `frame` and only numbers in `test`.
    """
    for column in frame.columns:
        if column not in test.columns:
            raise DataError(
                f"{name}, given as test_data, lacks the column {column!r} that data has. "
                f"{nearest(column, test.columns)}"
            )
        is_text = [not pd.api.types.is_numeric_dtype(table[column].dtype) for table in (frame, test)]
        if is_text == [False, True]:
            numbers, texts = parse_values(list(test[column].unique()))
            text = next(t for n, t in zip(numbers, texts, strict=True) if np.isnan(n) and t is not None)
            raise DataError(
                f"{name}, given as test_data: column {column!r} holds text, such as {text[:40]!r}, and only "
                "numbers in data. Write it one way in both, or drop it."
            )
        if is_text == [True, False] and holds_numbers(test[column]):
            _refuse_numbers(frame, column, name)
    return pd.DataFrame(
        {c: join_chunks([frame[c].to_numpy(), test[c].to_numpy()]) for c in frame.columns}, copy=False
    )


def _refuse_numbers(frame: pd.DataFrame, column: str, name: str) -> None:
    """Raise DataError where none of the texts of `frame[column]` is a number, as all are in the test file."""
    texts = list(frame[column].dropna().unique())
    if not np.isfinite(parse_values(texts)[0]).any():
        raise DataError(
            f"{name}, given as test_data: column {column!r} holds nothing but numbers, text in data, such "
            f"as {texts[0][:40]!r}. Write it one way in both, or drop it."
        )


def joined_card(card: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """The data card of the first table, with a summary of the test file as `test`.

    `test` holds source, rows_kept, prior, attack_types, fingerprint, and `unseen_types`, the attack types
    that the first table lacks. The card's fingerprint is that of both.

    Raises:
        DataError: one table has a column of attack types and the other has none.
    """
    if (card["roles"]["attack_type"] is None) != (test["roles"]["attack_type"] is None):
        without = card if card["roles"]["attack_type"] is None else test
        raise DataError(
            f"{without['source']} has no column of attack types, and the other table has one. Drop it there."
        )
    summary = {name: test[name] for name in ("source", "rows_kept", "prior", "attack_types", "fingerprint")}
    unseen = {kind: count for kind, count in test["attack_types"].items() if kind not in card["attack_types"]}
    fingerprints = f"{card['fingerprint']} {test['fingerprint']}"
    return card | {
        "test": summary | {"unseen_types": unseen},
        "fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
        "notes": list(dict.fromkeys([*card["notes"], *test["notes"]])),
    }
