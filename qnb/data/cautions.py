"""Cautions about the data, for the first lines of a report.

They name columns without a role that look as if they had one, an official test file with attack types that
training never saw, and training or validation sides with few rows of a class. (For the test,
`qnb.statistics.auc` says so next to the interval.)
"""

from typing import Any

import numpy as np

from qnb.data.lookalikes import sentence

FEW_ROWS = 20  # of a class on a side; as `qnb.leakage.statistics.MIN_ROWS`


def cautions(card: dict[str, Any]) -> list[str]:
    """The cautions that a data card calls for, one or two sentences each.

    Args:
        card: of a table; its sides are examined too if it contains `qnb.data.overlap.split_card`.
    """
    sentences = [sentence(card.get("look_alikes", {})), *_of_test_file(card)]
    sides = {name: side for name, side in card.get("sides", {}).items() if name != "test"}
    sentences += [_of_side(name, side["rows"], side["prior"]) for name, side in sides.items()]
    return [text for text in sentences if text]


def _of_test_file(card: dict[str, Any]) -> list[str]:
    test = card.get("test")
    if test is None:
        return []
    caution = (
        f"The test is the file {test['source']} ({test['rows_kept']:,} rows, {test['prior']:.1%} positive); "
        f"validation is carved from {card['source']} ({card['prior']:.1%} positive). Validation and test AUC "
        "are of different rows: the first does not stand for the second."
    )
    unseen = test["unseen_types"]
    if unseen:
        listed = ", ".join(f"{kind} {count:,}" for kind, count in list(unseen.items())[:8])
        caution += (
            f" {sum(unseen.values()):,} test rows are of {len(unseen)} attack types that {card['source']} "
            f"does not have: {listed}{', ...' if len(unseen) > 8 else ''}."
        )
    return [caution]


def _of_side(name: str, rows: int, prior: float) -> str:
    """A caution about a side with few rows of a class; empty where it has enough."""
    positive = round(rows * prior)
    few = min(positive, rows - positive)
    if few >= FEW_ROWS:
        return ""
    rarer = "positives" if few == positive else "negatives"
    return (
        f"The {name} side has {few} {rarer} among {rows:,} rows. An AUC of so few says little: at random it "
        f"scatters by {_chance_sd(few, rows - few):.2f} (one standard deviation)."
    )


def _chance_sd(a: int, b: int) -> float:
    """Standard deviation of the AUC of uninformative scores, of a and b rows (Mann and Whitney, 1947)."""
    return float(np.sqrt((a + b + 1) / (12 * a * b)))
