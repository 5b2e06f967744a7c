"""Questions and their verdicts, for readers and programs: verdict.json is a list of these."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from qnb.files import VERDICT
from qnb.runs.folder import Run
from qnb.stack import versions

YES, NO, INCONCLUSIVE = "yes", "no", "inconclusive"
ANSWERS = (YES, NO, INCONCLUSIVE)
OF_A_COMPONENT = ("blamed", "cleared", "undecided")  # in a diagnosis, see `qnb.studies.diagnosis.search`


def answer(holds: bool | None) -> str:
    """`yes`, `no`, or `inconclusive` for None."""
    return INCONCLUSIVE if holds is None else YES if holds else NO


def unanimous(cases: Iterable[bool]) -> str:
    """`yes` if it holds in all cases, `no` if in none, otherwise (also without any case) `inconclusive`."""
    held = set(cases)
    return answer(held.pop() if len(held) == 1 else None)


@dataclass(frozen=True)
class Verdict:
    """One question and its verdict.

    Attributes:
        question: a yes-or-no question on one line.
        verdict: one of ANSWERS, or, in a diagnosis, one of OF_A_COMPONENT.
        figures: the numbers that the verdict is based on, JSON-serialisable.
        tolerance: the limits that they were compared with, JSON-serialisable.
        sentence: the reason, in plain words.
        stack: versions of Python, qnb and its dependencies.

    Raises:
        ValueError: the verdict is none of these, or the question does not end with a question mark.
    """

    question: str
    verdict: str
    figures: dict[str, Any]
    tolerance: Any
    sentence: str
    stack: dict[str, str] = field(default_factory=versions)

    def __post_init__(self) -> None:
        if self.verdict not in ANSWERS + OF_A_COMPONENT:
            raise ValueError(
                f"verdict={self.verdict!r}: expected one of {', '.join(ANSWERS + OF_A_COMPONENT)}."
            )
        if not self.question.endswith("?"):
            raise ValueError(f"question={self.question!r} must end with a question mark.")

    def text(self) -> str:
        """Question, verdict and reason on one line."""
        return f"{self.question} {self.verdict.capitalize()}. {self.sentence}"


def conclude(
    run: Run, verdicts: list[Verdict], metrics: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Write verdict.json into the run folder and finish the run, with `metrics` next to the verdicts in
    metrics.json.

    Returns:
        The content of verdict.json.
    """
    listed = [asdict(v) for v in verdicts]
    run.write_json(VERDICT, listed)
    answers = {
        "verdicts": {v.question: v.verdict for v in verdicts},
        "conclusion": [v.text() for v in verdicts],
    }
    run.finish(answers | (metrics or {}))
    return listed


def sentences(verdicts: list[Verdict]) -> str:
    """The verdicts as a Markdown list: question, verdict, reason."""
    text = "\n".join(f"- {v.question} **{v.verdict.capitalize()}.** {v.sentence}" for v in verdicts)
    return text.replace("_", "\\_").replace("<", "&lt;")
