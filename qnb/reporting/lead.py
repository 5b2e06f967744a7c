"""The first lines of a report: what was found, what speaks against it, and what it rests on.

A notebook shows them in its last cell, tagged `summary`; the HTML report has them below its title.
"""

from collections.abc import Sequence
from typing import Any

from IPython.display import Markdown

from qnb.reporting.tables import data_note
from qnb.runs.folder import Run

UNTRUSTED = "; trust AUC, sep and loss, not the thresholded metrics"


def summary(run: Run, sentences: str | Sequence[str]) -> Markdown:
    """What a run found, in a few lines for its report.

    Args:
        run: with its metrics written and its data noted, see `Run.finish` and `Run.note`.
        sentences: the answer, one or two of them, in Markdown; empty ones are left out.
    """
    answer = [sentences] if isinstance(sentences, str) else [sentence for sentence in sentences if sentence]
    manifest, metrics = run.manifest, run.metrics()
    facts = [
        f"**Gradient check**: {_gradient(manifest.get('gate'))}" if manifest.get("gate") else None,
        f"**Data**: {data_note(manifest['data'])}" if _has_rows(manifest.get("data")) else None,
        f"**Changed parameters**: {_changed(manifest)}",
    ]
    warned = [f"- ⚠ {text}" for text in cautions(metrics, manifest.get("data") or {})]
    parts = ["\n\n".join(answer), "\n".join(warned), "\n".join(f"- {fact}" for fact in facts if fact)]
    return Markdown("\n\n".join(part for part in parts if part))


def cautions(metrics: dict[str, Any], card: dict[str, Any]) -> list[str]:
    """What a reader has to know before the figures, in sentences; none where nothing speaks against them."""
    synthetic = "drawn by a generator, not measured on any network" if card.get("synthetic") else None
    said = {
        "Diverged": metrics.get("diverged"),
        "Degenerate": f"{metrics.get('degen_reason')}{UNTRUSTED}" if metrics.get("degen") else None,
        "Few rows of a class": metrics.get("few_rows"),
        "Still improving": "its validation AUC rose to the end" if metrics.get("still_improving") else None,
        "Synthetic data": synthetic,
    }
    of_data = [f"**Caution**: {sentence}" for sentence in card.get("cautions", [])]
    return [f"**{what}**: {why}." for what, why in said.items() if why] + of_data


def _gradient(gate: Any) -> str:
    verdict = gate.get("verdict") if isinstance(gate, dict) else gate
    return {"pass": "passed", "off": "**off**, no gradient was checked"}.get(str(verdict), str(verdict))


def _has_rows(card: Any) -> bool:
    return isinstance(card, dict) and "rows_kept" in card and "prior" in card


def _changed(manifest: dict[str, Any]) -> str:
    changed = manifest.get("changed") or {}
    return ", ".join(f"`{name} = {value!r}`" for name, value in changed.items()) or "none, all defaults"
