"""Columns that look like a time, an identifier or an attack type, and to which nobody assigned a role.

Nothing is left out because of its looks: the columns are named, and the reader decides. For numbers a name
alone is not enough (`response_time` is a duration). Values alone are enough where they can be nothing else:
dates, seconds since 1970, addresses, text that differs in nearly every row, numbers that grow with every
row.
"""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from qnb.data.dates import UNITS, read_times, unit_since_1970

SHOWN = 20_000  # rows looked at, the first
MOST, NEARLY = 0.9, 0.95  # shares of the rows
FEW = 20  # rows, under which uniqueness and order mean nothing
LONGEST = 3.2e8  # seconds, ten years: a capture is shorter
ADDRESS = re.compile(
    r"(\d{1,3}\.){3}\d{1,3}(:\d+)?|([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}|(?=.*:.*:)[0-9a-fA-F:.]{3,45}"
)
CLOCKS = {"time", "ts", "date", "timestamp", "datetime", "stime", "ltime", "epoch"}
PORTS = {"port", "sport", "dport", "dsport", "srcport", "dstport"}
WHO = {"id", "uid", "uuid", "guid", "ip", "srcip", "dstip", "mac", "host", "addr", "address", "session"}
ATTACKS = {"attack", "category", "cat", "class", "label", "type", "family"}


def look_alikes(frame: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Columns of `frame` that look like something other than a feature, judged on its first SHOWN rows.

    Returns:
        column -> `role`, the parameter in which to name it (`time`, `identifiers`, `attack_type` or `drop`),
        and `why`, in words.
    """
    suspects: dict[str, dict[str, str]] = {}
    for name in frame.columns:
        values = frame[name][:SHOWN]
        rules = NUMBERS if pd.api.types.is_numeric_dtype(values.dtype) else TEXT
        first = next((seen for rule in rules if (seen := rule(_words(name), values))), None)
        if first:
            suspects[str(name)] = dict(zip(("role", "why"), first, strict=True))
    return suspects


Seen = tuple[str, str] | None


def _words(name: str) -> set[str]:
    """The words of a name: `Flow ID`, `id.orig_h`, `srcPort` have `id`, `port`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(name))
    return set(re.split(r"[^a-z0-9]+", apart.lower()))


def _is_date(words: set[str], values: pd.Series) -> Seen:
    distinct = [str(text) for text in pd.unique(values.dropna())]
    if np.isfinite(read_times(distinct)[0]).mean() >= MOST:
        return "time", "its texts are dates or times"
    return ("time", "its name is that of a time, and it holds text") if words & CLOCKS else None


def _is_address(words: set[str], values: pd.Series) -> Seen:
    texts = [str(text) for text in pd.unique(values.dropna()) if str(text) not in ("0", "0.0")]
    share = np.mean([ADDRESS.fullmatch(text) is not None for text in texts]) if texts else 0.0
    return ("identifiers", "it holds addresses") if share >= MOST else None


def _is_unique_text(words: set[str], values: pd.Series) -> Seen:
    share = values.nunique() / len(values)
    if len(values) >= FEW and share >= MOST:
        return "identifiers", f"{share:.0%} of its texts occur once"
    return ("identifiers", "its name is that of an identifier") if words & WHO else None


def _is_attack(words: set[str], values: pd.Series) -> Seen:
    if words & ATTACKS and any(str(text).lower() in ("normal", "benign") for text in pd.unique(values)):
        return "attack_type", "its name is that of a class, and normal traffic is one of its values"
    return None


def _is_epoch(words: set[str], values: pd.Series) -> Seen:
    numbers = values.to_numpy(float)
    numbers = numbers[np.isfinite(numbers)]
    unit = unit_since_1970(numbers)
    if unit is None or not 0 < np.ptp(numbers) / UNITS[unit] < LONGEST:
        return None
    return "time", f"{unit} since 1970"


def _grows(words: set[str], values: pd.Series) -> Seen:
    numbers = values.to_numpy(float)
    if len(numbers) < FEW:
        return None
    steps = np.diff(numbers)
    if (steps == 1).mean() >= NEARLY:
        return "drop", "it counts the rows"
    if (steps > 0).all():
        return "time", "it grows with every row"
    if words & CLOCKS and (steps >= 0).mean() >= NEARLY and len(np.unique(numbers)) >= FEW:
        return "time", "its name is that of a time, and it grows from row to row"
    return None


def _is_number_of_someone(words: set[str], values: pd.Series) -> Seen:
    numbers = values.to_numpy(float)
    numbers = numbers[np.isfinite(numbers)]
    whole = bool(len(numbers)) and bool((numbers == np.round(numbers)).all())
    if whole and words & PORTS and numbers.min() >= 0 and numbers.max() < 65536:
        return "identifiers", "its name is that of a port, and its numbers can be"
    unique = len(numbers) >= FEW and len(np.unique(numbers)) / len(numbers) >= MOST
    if whole and words & WHO and (unique or len(numbers) < FEW):
        return "identifiers", "its name is that of an identifier, and nearly every row has its own"
    return None


TEXT: tuple[Callable[[set[str], pd.Series], Seen], ...] = (_is_date, _is_address, _is_attack, _is_unique_text)
NUMBERS: tuple[Callable[[set[str], pd.Series], Seen], ...] = (_is_epoch, _grows, _is_number_of_someone)


def sentence(found: dict[str, dict[str, str]]) -> str:
    """The columns and what they look like, in words; empty if there are none."""
    if not found:
        return ""
    listed = "; ".join(f"{name} ({seen['role']}: {seen['why']})" for name, seen in list(found.items())[:12])
    more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
    return (
        f"Columns without a role that look as if they had one, and that the model sees: {listed}{more}. "
        "Name them in time, identifiers, attack_type or drop, or take the score for what they may have told."
    )
