"""What a probe found, for people and machines: verdict.json is a list of these."""

from dataclasses import asdict, dataclass, field
from typing import Any

from qnb.files import VERDICT
from qnb.runs.folder import Run
from qnb.stack import versions


@dataclass(frozen=True)
class Verdict:
    """One question and its answer.

    Attributes:
        question: what was asked, in one line.
        verdict: `reproduced`, `refuted` or `changed` for a claim of the research note; another word where the
            probe says so.
        figures: the numbers that the verdict rests on, JSON-serialisable.
        tolerance: what the figures were compared with.
        sentence: the answer in plain words.
    """

    question: str
    verdict: str
    figures: dict[str, Any]
    tolerance: Any
    sentence: str
    stack: dict[str, str] = field(default_factory=versions)


def conclude(
    run: Run, verdicts: list[Verdict], metrics: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Write verdict.json into the run folder and end the run, with `metrics` beside the verdicts.

    Returns what was written.
    """
    listed = [asdict(v) for v in verdicts]
    run.write_json(VERDICT, listed)
    told = {
        "verdicts": {v.question: v.verdict for v in verdicts},
        "conclusion": [f"{v.question}: {v.verdict}. {v.sentence}" for v in verdicts],
    }
    run.finish(told | (metrics or {}))
    return listed


def sentences(verdicts: list[Verdict]) -> str:
    """The verdicts as a Markdown list: the claim, the verdict, the sentence."""
    text = "\n".join(f"- {v.question}: **{v.verdict}**. {v.sentence}" for v in verdicts)
    return text.replace("_", "\\_").replace("<", "&lt;")
