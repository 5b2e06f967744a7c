"""The verdict on a suspicion: whether there is a leak, and whether it reaches the model as it is."""

from dataclasses import dataclass
from typing import Any

from qnb.reporting.verdict import Verdict, answer

REACHES = "This reaches the model as it is."
DOES_NOT = "This does not reach the model as it is."


@dataclass(frozen=True)
class LeakVerdict(Verdict):
    """A `Verdict` on one suspicion.

    Attributes:
        reaches_model: of a leak, whether it can raise the score of a model trained on this table with the
            parameters given and the default split; None where no leak was found.
    """

    reaches_model: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reaches_model is not None:
            reach = REACHES if self.reaches_model else DOES_NOT
            object.__setattr__(self, "sentence", f"{reach} {self.sentence}")


def leak_verdict(
    question: str,
    leak: bool | None,
    reaches_model: bool,
    figures: dict[str, Any],
    tolerance: Any,
    sentence: str,
) -> LeakVerdict:
    """`yes` for a leak, `no` for none, `inconclusive` for None, where the table lacks what the test needs."""
    return LeakVerdict(
        question,
        answer(leak),
        figures,
        tolerance,
        sentence,
        reaches_model=reaches_model if leak else None,
    )
