"""Warning flags of a run: what a reader must know before its figures, in one table.

Report, console and index show them with the wording given here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Metrics = dict[str, Any]  # the content of metrics.json


@dataclass(frozen=True)
class Flag:
    """A warning about a run.

    Attributes:
        name: a few words.
        reason: function of the metrics: why the flag is raised, or None where it is not.
        diagnosed: whether `qnb run suspects` can find the cause.
    """

    name: str
    reason: Callable[[Metrics], str | None]
    diagnosed: bool = True


def is_below_twin(metrics: Metrics) -> bool:
    """Whether the run's AUC is significantly below its dequantised twin's; False where it has no twin."""
    twin = metrics.get("against_twin")
    return isinstance(twin, dict) and twin.get("decision") == "below"


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
    """The flags that a run raises, as (name, reason), followed by the warnings of its data card."""
    raised = [(flag.name, reason) for flag in FLAGS if (reason := flag.reason(metrics))]
    card = card or {}
    if card.get("synthetic"):
        raised.append(("Synthetic data", "drawn by a generator, not measured on any network"))
    return raised + [("Caution", text.rstrip(".")) for text in card.get("cautions") or ()]


def pointer(metrics: Metrics, run_id: str) -> str:
    """The flags that a diagnosis can explain, with the command that runs it; "" where there are none."""
    names = [flag.name for flag in FLAGS if flag.diagnosed and flag.reason(metrics)]
    if not names:
        return ""
    text = "; ".join([names[0], *(name[0].lower() + name[1:] for name in names[1:])])
    return f"{text}. What it costs, and what heals it: qnb run suspects -p run {run_id}"
