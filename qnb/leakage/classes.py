"""The names of a table's two classes, and which of them is normal traffic: either may be class 1."""

from typing import Any, NamedTuple

NORMAL = frozenset({"normal", "benign", "legitimate", "legit", "background", "clean"})  # in lower case


class Classes(NamedTuple):
    """The two classes.

    Attributes:
        names: of class 0 and of class 1, as words for their rows.
        normal: the class that is normal traffic; None where the labels do not tell.
    """

    names: tuple[str, str]
    normal: int | None

    @property
    def alike(self) -> int:
        """The class whose rows should look alike on both sides of a split: normal traffic, else class 0."""
        return self.normal or 0


USUAL = Classes(("normal rows", "attacks"), 0)


def classes_of(card: dict[str, Any]) -> Classes:
    """The classes of a table, from its data card."""
    values = [str(value) for value in card.get("label_values", {})]
    if card.get("negative"):
        zeros = {str(value) for value in card["negative"]}
        sides = [v for v in values if v in zeros], [v for v in values if v not in zeros]
    else:
        positive = {"None": "1", "True": "1", "False": "0"}.get(
            str(card.get("positive")), str(card.get("positive"))
        )
        sides = [v for v in values if v != positive], [v for v in values if v == positive]
    for k, side in enumerate(sides):
        if side and {v.lower() for v in side} <= NORMAL:
            return _where_normal_is(k)
    known = card.get("data_set") or card.get("synthetic")
    if known and card.get("positive") is None and not card.get("negative"):
        return USUAL  # 0 and 1, as the authors of a known data set mean them
    names = [f"rows labelled {' or '.join(map(repr, side[:3]))}" if side else "the others" for side in sides]
    return Classes((names[0], names[1]), None)


def _where_normal_is(k: int) -> Classes:
    return USUAL if k == 0 else Classes(("attacks", "normal rows"), 1)
