"""Runs in the terminal: one in a few lines, many as a table."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qnb.errors import nearest
from qnb.runs.flags import flags
from qnb.runs.folder import MANIFEST
from qnb.runs.listing import Entry, columns_of_text
from qnb.runs.provenance import commit_name

KEY_METRICS = ("test_auc", "val_auc")
SHOWN = 4  # changed parameters of a run in a line of the table


def number(value: Any) -> str:
    """A figure for display: a float with four decimals, `-` for None."""
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


def outcome(entry: Entry) -> list[str]:
    """How a run ended, its key figures and its conclusions, as lines."""
    metrics, wall = entry["metrics"], entry.get("wall_seconds")
    seconds = f"  {wall:.1f} s" if isinstance(wall, int | float) else ""
    lines = [f"{entry['status']}  {entry['notebook']} {entry['run_id']}{seconds}"]
    if figures := [
        f"{name} {number(metrics[name])}{_between(metrics, name)}" for name in KEY_METRICS if name in metrics
    ]:
        baselines = metrics.get("baselines") or {}
        aucs = [f"{name} {number(baseline['test_auc'])} (test_auc)" for name, baseline in baselines.items()]
        lines.append("  ".join(figures + aucs))
    return lines + conclusions(metrics)


def conclusions(metrics: dict[str, Any]) -> list[str]:
    """The conclusions of a run in words: the sentence or sentences under `conclusion` in metrics.json."""
    sentences = metrics.get("conclusion") or []
    return [sentences] if isinstance(sentences, str) else sentences


def summary(entry: Entry, root: Path) -> str:
    """A run as `qnb show` prints it: outcome, warnings, changed parameters, data, gradient, code, files."""
    metrics, folder = entry["metrics"], root / entry["folder"]
    warnings = [f"{name}: {reason}" for name, reason in flags(metrics, _object(entry, "data"))]
    gate = entry.get("gate")
    facts = {
        "why": entry["why"] if entry["status"] != "done" else None,
        "warning": "; ".join(warnings),
        "changed": ", ".join(f"{name}={value!r}" for name, value in changed(entry).items()) or "nothing",
        "data": data_name(_object(entry, "data"), _object(entry, "parameters")),
        "gradient": gate.get("verdict") if isinstance(gate, dict) else gate,
        "commit": commit_name(entry.get("git")),
        "started": str(entry.get("started") or "-")[:19].replace("T", " ") + " UTC",
        "resume": resume_command(entry),
        "report": folder / "report.html" if (folder / "report.html").exists() else None,
        "folder": folder if (folder / MANIFEST).exists() else None,
    }
    rows = [(name, " ".join(str(value).split())) for name, value in facts.items() if value]
    return "\n".join([*outcome(entry), columns_of_text(rows)])


def resume_command(entry: Entry) -> str | None:
    """The command that resumes this run; None if it did not end early, or has no configuration class."""
    if entry["status"] not in ("failed", "interrupted", "killed") or entry.get("config") is None:
        return None
    return f"qnb run {entry['notebook']} --resume {entry['run_id']}"


def short_name(entry: Entry) -> str:
    """A run's name for display: when it began (UTC), its seed, four digits of its hash."""
    match = re.fullmatch(
        r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.\d+Z(?:-s(\w+))?-(\w{4})\w*(-\d+)?", entry["run_id"]
    )
    if match is None:
        return str(entry["run_id"])
    year, month, day, hour, minute, second, seed, digest, attempt = match.groups()
    parts = [
        f"{year}-{month}-{day} {hour}:{minute}:{second}",
        *([f"seed {seed}"] if seed else []),
        digest + (attempt or ""),
    ]
    return " · ".join(parts)


def changed(entry: Entry) -> dict[str, Any]:
    """The parameters of a run that differ from their defaults, without the seed."""
    values = entry.get("changed")
    return {k: v for k, v in values.items() if k != "seed"} if isinstance(values, dict) else {}


def table(entries: Sequence[Entry]) -> str:
    """Entries of `list_runs` as a table, in their order, followed by the reasons in their `why`."""
    if not entries:
        return "No runs yet."
    rows = [("notebook", "run id", "status", "seed", *KEY_METRICS, "wall s", "started (UTC)", "changed")]
    for entry in entries:
        wall, started = entry.get("wall_seconds"), str(entry.get("started") or "-")[:19].replace("T", " ")
        parameters = [f"{name}={value}" for name, value in changed(entry).items()]
        rest = [f"+{len(parameters) - SHOWN}"] if len(parameters) > SHOWN else []
        rows.append(
            (
                entry["notebook"],
                entry["run_id"],
                _status(entry),
                number(entry.get("seed")),
                *(number(entry["metrics"].get(name)) for name in KEY_METRICS),
                f"{wall:.1f}" if isinstance(wall, int | float) else "-",
                started,
                " ".join([*parameters[:SHOWN], *rest]),
            )
        )
    notes = [f"{entry['run_id']}: {' '.join(entry['why'].split())}" for entry in entries if entry["why"]]
    return "\n".join([columns_of_text(rows), *([""] if notes else []), *notes])


def selected(entries: Sequence[Entry], words: Sequence[str], limit: int | None) -> list[Entry]:
    """The last `limit` entries that match every word (None: all of them).

    `name=value` matches a parameter, or `status`, `notebook`, `seed`, with this value, as Python or YAML
    writes it; any other word matches a part of the notebook's name, the run id or the status.
    """
    chosen = [entry for entry in entries if all(_matches(entry, word) for word in words)]
    return chosen[-limit:] if limit else chosen


def none_matches(entries: Sequence[Entry], words: Sequence[str]) -> str:
    """That no entry matches the words, with the nearest name where one asks for a parameter that none has."""
    known = sorted({name for entry in entries for name in _values(entry)})
    asked = [name for word in words for name, equals, _ in [word.partition("=")] if equals]
    unknown = [name for name in asked if name not in known]
    hint = f" No run has a parameter {unknown[0]!r}. {nearest(unknown[0], known)}" if unknown else ""
    return f"No run matches {' '.join(words)}.{hint}"


def data_name(card: dict[str, Any], parameters: dict[str, Any]) -> str:
    """The data of a run: the source of the table that was read, otherwise the one that was asked for."""
    if not card:
        return f"{parameters['data']} (not read)" if "data" in parameters else ""
    return f"{card.get('source')}{' (SYNTHETIC)' if card.get('synthetic') else ''}"


def _matches(entry: Entry, word: str) -> bool:
    name, equals, value = word.partition("=")
    if not equals:
        return any(word in text for text in (entry["notebook"], entry["run_id"], _status(entry)))
    values = _values(entry)
    return name in values and _is_written(value, values[name])


def _values(entry: Entry) -> dict[str, Any]:
    return {**_object(entry, "parameters"), **{k: entry.get(k) for k in ("status", "notebook", "seed")}}


def _is_written(text: str, value: Any) -> bool:
    """Whether a text is a way to write a value: Python's, YAML's, or a number's."""
    if text == str(value):
        return True
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return float(text) == value
        return False
    try:
        return bool(yaml.safe_load(text) == value)
    except yaml.YAMLError:
        return False


def interval_of(metrics: dict[str, Any], name: str = "test_auc") -> str:
    """The interval of an AUC, as text; "" where the metrics hold none."""
    interval = metrics.get(f"{name}_interval")
    return f"{number(interval['low'])} to {number(interval['high'])}" if interval else ""


def _between(metrics: dict[str, Any], name: str) -> str:
    """An interval behind its figure; nothing where there is none."""
    interval = interval_of(metrics, name)
    return f" ({interval})" if interval else ""


def _status(entry: Entry) -> str:
    """Its status; of one that is done, whether its training diverged."""
    return f"{entry['status']}, diverged" if entry["metrics"].get("diverged") else str(entry["status"])


def _object(entry: Entry, name: str) -> dict[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, dict) else {}
