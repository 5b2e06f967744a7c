"""The first lines of a report: its findings, its warnings, and what it is based on.

A notebook shows them in its last cell, tagged `summary`; the HTML report has them below its title.
"""

from collections.abc import Sequence
from typing import Any

from IPython.display import Markdown

from qnb.reporting.tables import data_note
from qnb.runs.flags import flags
from qnb.runs.folder import Run


def summary(run: Run, sentences: str | Sequence[str]) -> Markdown:
    """The summary of a run for its report: findings, warnings, gradient check, data, changed parameters.

    Args:
        run: with its metrics written and its data noted, see `Run.finish` and `Run.note`.
        sentences: the findings in one or two sentences of Markdown; empty ones are left out.
    """
    findings = [sentences] if isinstance(sentences, str) else [sentence for sentence in sentences if sentence]
    manifest, metrics = run.manifest, run.metrics()
    facts = [
        f"**Gradient check**: {_gradient(manifest.get('gate'))}" if manifest.get("gate") else None,
        f"**Data**: {_data(manifest['data'])}" if _has_rows(manifest.get("data")) else None,
        f"**Changed parameters**: {_changed(manifest)}",
    ]
    raised = flags(metrics, manifest.get("data"))
    warned = [f"- ⚠ **{name}**: {reason}." for name, reason in raised]
    parts = ["\n\n".join(findings), "\n".join(warned), "\n".join(f"- {fact}" for fact in facts if fact)]
    return Markdown("\n\n".join(part for part in parts if part))


def _gradient(gate: Any) -> str:
    verdict = gate.get("verdict") if isinstance(gate, dict) else gate
    return {"pass": "passed", "off": "**off**, no gradient was checked"}.get(str(verdict), str(verdict))


def _data(card: dict[str, Any]) -> str:
    return data_note(card).removeprefix("Data: ")


def _has_rows(card: Any) -> bool:
    return isinstance(card, dict) and "rows_kept" in card and "prior" in card


def _changed(manifest: dict[str, Any]) -> str:
    changed = manifest.get("changed") or {}
    return ", ".join(f"`{name} = {value!r}`" for name, value in changed.items()) or "none, all defaults"
