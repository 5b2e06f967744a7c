"""Errors whose messages are meant for the user, and the sentences they share."""

import difflib
from collections.abc import Collection, Iterable


class QnbError(Exception):
    """An error whose message is meant for the user: what was given, what was expected, what to do."""


class ParameterError(QnbError):
    """A parameter is unknown, of the wrong type, out of range, or contradicts another."""


def nearest(name: object, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest valid name, if any, and all of them."""
    valid = list(valid)
    close = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Valid: {', '.join(map(str, valid))}."


def refuse_unknown(names: Iterable[str], declared: Collection[str], where: str) -> None:
    """Raise ParameterError for the first of `names` that is not in `declared`, with the nearest valid
    name.
    """
    for name in names:
        if name not in declared:
            raise ParameterError(f"Unknown parameter {name!r} for {where}. {nearest(name, declared)}")
