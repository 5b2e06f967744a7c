"""What a reader of a run has to know before its figures: one table of flags, each in one wording.

Report, console and index show them as they are here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Metrics = dict[str, Any]  # the content of metrics.json


@dataclass(frozen=True)
class Flag:
    """One thing that can be off about a run.

    Attributes:
        name: in two or three words.
        reason: from the metrics, why it is raised; None where it is not.
        diagnosed: whether `qnb run suspects` can say what it comes from.
    """

    name: str
    reason: Callable[[Metrics], str | None]
    diagnosed: bool = True


def is_below_twin(metrics: Metrics) -> bool:
    """Whether the run is below its classical twin beyond the interval; False where it has none."""
    return (metrics.get("against_twin") or {}).get("decision") == "below"


def _degenerate(metrics: Metrics) -> str | None:
    if not metrics.get("degen"):
        return None
    return f"{metrics.get('degen_reason')}; trust AUC, sep and loss, not the thresholded metrics"


FLAGS = (
    Flag("Diverged", lambda metrics: metrics.get("diverged") or None),
    Flag("Degenerate", _degenerate),
    Flag("Few test rows", lambda metrics: metrics.get("few_rows") or None, diagnosed=False),
    Flag(
        "Below its classical twin",
        lambda metrics: "by more than the interval of the difference" if is_below_twin(metrics) else None,
    ),
    Flag(
        "Still improving",
        lambda metrics: "its validation AUC rose to the end" if metrics.get("still_improving") else None,
    ),
)


def flags(metrics: Metrics, card: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """The flags that a run raises, each with its reason, then what its data card warns of."""
    raised = [(flag.name, reason) for flag in FLAGS if (reason := flag.reason(metrics))]
    card = card or {}
    if card.get("synthetic"):
        raised.append(("Synthetic data", "drawn by a generator, not measured on any network"))
    return raised + [("Caution", text.rstrip(".")) for text in card.get("cautions", [])]


def pointer(metrics: Metrics, run_id: str) -> str:
    """The command that diagnoses the run, with what is off about it; empty where nothing is."""
    found = [flag.name for flag in FLAGS if flag.diagnosed and flag.reason(metrics)]
    if not found:
        return ""
    names = "; ".join([found[0], *(name[0].lower() + name[1:] for name in found[1:])])
    return f"{names}. What it costs, and what heals it: qnb run suspects -p run {run_id}"
