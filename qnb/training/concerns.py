"""What about a finished training asks for a diagnosis."""

from typing import Any

Metrics = dict[str, Any]  # the content of metrics.json


def concerns(metrics: Metrics) -> list[str]:
    """What is off, a few words each; empty where nothing is.

    Diverged, degenerate, below its classical twin beyond the interval, still improving.
    """
    named = {
        "it diverged": bool(metrics.get("diverged")),
        "it is degenerate": bool(metrics.get("degen")),
        "it is below its classical twin, beyond the interval": is_below_twin(metrics),
        "it was still improving when it stopped": bool(metrics.get("still_improving")),
    }
    return [words for words, so in named.items() if so]


def is_below_twin(metrics: Metrics) -> bool:
    """Whether the run is below its classical twin beyond the interval; False where it has none."""
    return (metrics.get("against_twin") or {}).get("decision") == "below"


def pointer(metrics: Metrics, run_id: str) -> str:
    """The command that diagnoses the run, with what is off about it; empty where nothing is."""
    found = concerns(metrics)
    if not found:
        return ""
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}. What it costs, and what heals it: qnb run suspects -p run {run_id}"
