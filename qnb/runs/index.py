"""executed/index.html: every run of a project on one page, to filter, sort and compare.

The page is one file and needs no server: styles, script and data are in it, it runs no other script, loads
nothing, and its links lead into the run folders next to it. It is derived from those folders alone; building
it again replaces it and touches nothing else.
"""

import base64
import csv
import hashlib
import json
import math
import os
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from qnb.files import HISTORIES, HISTORY, TRIALS, atomic_write, plain
from qnb.runs.folder import is_altered
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError
from qnb.runs.provenance import commit_name
from qnb.runs.summary import changed, data_name, resume_command, short_name

INDEX = "index.html"
CURVES = {  # columns of history.csv that are drawn: title, axis label
    "train_loss": ("Training objective", "nats per row"),
    "val_loss": ("Validation BCE at the true prior", "nats per row"),
    "val_auc": ("Validation AUC", "AUC"),
    "val_sep": ("Separation of the classes, validation", "mean logit, positive − negative"),
    "alpha": ("Alpha, in logit = alpha (s + bias)", "alpha"),
}
POINTS = 200  # of a curve at most; of a longer history every k-th epoch is drawn, and the last
# what tells stacks apart
STACK = {"pennylane-catalyst": "Catalyst", "pennylane": "PennyLane", "jax": "JAX", "qnb": "qnb"}
ROWS_DECIDED_BY = (
    "split",
    "test_data",
    "split_seed",
    "val_fraction",
    "test_fraction",
    "group_by",
    "embargo",
    "attack_test",
)
MANY = {  # files of a run that trained more than one model, and what it is
    HISTORIES: "an ablation: many trainings, whose learning curves are in its report and in {}",
    TRIALS: "a search: many trainings, which are in its report and in {}",
}
LINKS = {
    "report": "report.html",
    "notebook": "notebook.ipynb",
    "parameters": "params.yaml",
    "metrics": "metrics.json",
    "history": HISTORY,
    "histories": HISTORIES,
    "trials": TRIALS,
    "verdicts": "verdict.json",
    "manifest": "manifest.json",
}


def build(root: Path) -> Path:
    """Write executed/index.html atomically, replacing an earlier one; returns its path.

    Raises:
        RunError: executed/ cannot be read or written.
    """
    path = root / "executed" / INDEX
    text = page([record(entry, root) for entry in list_runs(root)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode("utf-8"))
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}.") from None
    return path


def record(entry: dict[str, Any], root: Path) -> dict[str, Any]:
    """The page's record of a run: an entry of `qnb.runs.listing.list_runs` with flattened metrics, its
    learning curves and links to its files.

    Parameters are text, as Python writes them, so that no browser rounds a seed. If parts of the manifest
    have the wrong type, the run's status is `broken`, with the reason.
    """
    folder = root / entry["folder"]
    wrong = [
        name
        for name in ("parameters", "versions", "data", "git", "sha256")
        if not isinstance(entry.get(name), dict | None)
    ]
    if wrong:
        entry = (
            entry
            | dict.fromkeys(wrong)
            | {"status": "broken", "why": f"manifest.json: {', '.join(wrong)}: no object"}
        )
    parameters, data, versions = (entry.get(name) or {} for name in ("parameters", "data", "versions"))
    wall, gate = entry.get("wall_seconds"), entry.get("gate")
    curves, curves_why = _curves_of(entry, folder / HISTORY)
    return {
        "id": entry["run_id"],
        "name": short_name(entry),
        "changed": ", ".join(f"{name}={value}" for name, value in changed(entry).items()),
        "resume": resume_command(entry),
        "notebook": entry["notebook"],
        "status": str(entry["status"]),
        "why": entry["why"],
        "started": _text(entry.get("started")),
        "wall": wall if isinstance(wall, int | float) else None,
        "parameters": {
            name: value if isinstance(value, str) else repr(value) for name, value in parameters.items()
        },
        "metrics": flatten(entry["metrics"]),
        "decisions": decisions(entry["metrics"]),
        "data": data_name(data, parameters),
        "synthetic": data.get("synthetic") is True,
        "fingerprint": _text(data.get("fingerprint")),
        "stack": ", ".join(f"{title} {versions[name]}" for name, title in STACK.items() if name in versions),
        "versions": {name: str(version) for name, version in versions.items()},
        "commit": commit_name(entry.get("git")),
        "gate": _text(gate.get("verdict") if isinstance(gate, dict) else gate),
        "resumed": _text(entry.get("resumed_from")),
        "curves": curves,
        "curves_why": curves_why,
        "links": {name: link(folder, file) for name, file in LINKS.items() if (folder / file).is_file()},
    }


def _curves_of(entry: dict[str, Any], path: Path) -> tuple[dict[str, list[float | None]], str | None]:
    """`learning_curves`; none where the file is not the one that the run wrote."""
    curves, why = learning_curves(path)
    if why is None and is_altered(path.parent, HISTORY, entry):
        return {}, f"{HISTORY} is not the file that the run wrote"
    return curves, why


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def decisions(metrics: dict[str, Any]) -> dict[str, str]:
    """The decisions of an ablation, by arm; of another run that on the circuit against its twin, if any."""
    by_arm = metrics.get("decisions")
    if isinstance(by_arm, dict):
        return {arm: str(decision) for arm, decision in by_arm.items()}
    twin = metrics.get("against_twin")
    decision = twin.get("decision") if isinstance(twin, dict) else None
    return {"against the twin:": str(decision)} if decision else {}


def flatten(metrics: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics as one level, with names like `baselines.logistic.test_auc`; lists become JSON text."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(plain(value)) if isinstance(value, list) else value
    return flat


def learning_curves(path: Path) -> tuple[dict[str, list[float | None]], str | None]:
    """The columns `epoch` and CURVES of a history.csv.

    Returns:
        By column, at most about POINTS values of six digits, None where nothing was measured; and, where
        there are no curves, why (else None).
    """
    if not path.is_file():
        reasons = [words.format(name) for name, words in MANY.items() if (path.parent / name).is_file()]
        return {}, reasons[
            0
        ] if reasons else "no history.csv: this notebook trains nothing, or no epoch was finished"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        step = max(1, math.ceil(len(rows) / POINTS))
        rows = rows[:-1][::step] + rows[-1:]
        columns = [name for name in ("epoch", *CURVES) if rows and name in rows[0]]
        curves = {name: [_number(row[name]) for row in rows] for name in columns}
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        return {}, f"history.csv cannot be read: {error}"
    if not rows or "epoch" not in curves:
        return {}, "history.csv has no epochs"
    return curves, None


def _number(text: str | None) -> float | None:
    if not text:
        return None
    value = float(f"{float(text):.6g}")
    return value if math.isfinite(value) else None


def link(folder: Path, file: str) -> str:
    """Relative URL of a file of a run, from executed/; every part is percent-encoded, so that none can be
    taken for a scheme.
    """
    parts = (folder.parent.name, folder.name, file)
    return "./" + "/".join(quote(os.fsencode(part), safe="") for part in parts)


def page(records: list[dict[str, Any]]) -> str:
    """The HTML page for these records.

    Their content cannot escape its element, nor be executed: the content security policy names the script.
    """
    files = resources.files("qnb.runs") / "templates"
    styles = (files / "index.css").read_text("utf-8")
    script = "\n".join((files / name).read_text("utf-8") for name in ("index.js", "compare.js"))
    built = datetime.now(UTC).isoformat(timespec="seconds")
    data = {"built": built, "runs": records, "curves": CURVES, "rows_decided_by": ROWS_DECIDED_BY}
    policy = (
        f"default-src 'none'; style-src '{_digest(styles)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template((files / "index.html").read_text("utf-8"))
    return template.substitute(policy=policy, styles=styles, script=script, data=embedded(data))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def embedded(value: Any) -> str:
    """JSON that is safe in a <script> element: ASCII, without `<`, `>` and `&`, so that no text in it can
    end the element.
    """
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
