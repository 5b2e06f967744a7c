"""Parameters from the options of a command: -f, -y, -p and -r, in papermill's order."""

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from qnb.errors import ParameterError

OF_THE_GENERATOR = (
    "leaks",
    "data_seed",
    "attack_ring",
    "attack_push",
    "attack_share",
)  # of the bundled capture
NAMED = {"True": True, "False": False, "None": None}
Pairs = tuple[tuple[str, str], ...]  # of an option that takes a name and a value, several times


def collect(
    files: Iterable[str] = (), texts: Iterable[str] = (), pairs: Pairs = (), raw: Pairs = ()
) -> dict[str, Any]:
    """Parameters from the options, in papermill's order: files, YAML, `-p` with values parsed as papermill
    does, raw text. Later ones override.

    Where a later file, or the command, names a table of its own, the earlier files' parameters of the bundled
    capture's generator are left out.

    Raises:
        ParameterError: a file or a text is not YAML with names and values, or a pair is given as NAME=VALUE.
    """
    from qnb.runs.parameter_files import parse_parameters, read_parameters

    for name, value in (*pairs, *raw):
        if "=" in name:
            name, _, assigned = name.partition("=")
            raise ParameterError(
                f"-p takes a name and a value, -p {name} {assigned} (given: {name}={assigned} and {value})."
            )
    options: dict[str, Any] = {}
    for text in texts:
        options |= parse_parameters(text, f"-y {text!r}")
    options |= {name: _value(value) for name, value in pairs} | dict(raw)
    values: dict[str, Any] = {}
    for layer in (*map(read_parameters, files), options):
        values = _on_its_table(values, layer) | layer
    return values


def _on_its_table(values: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """The files' values under a layer that may name another table.

    Those of the bundled capture's generator then go with the capture, and a line says so.
    """
    if layer.get("data", "bundled") == "bundled":
        return values
    dropped = [name for name in OF_THE_GENERATOR if name in values and name not in layer]
    if dropped:
        click.echo(
            f"qnb: left out, for it belongs to the bundled capture and data={layer['data']!r} was given: "
            f"{', '.join(f'{name}={values[name]!r}' for name in dropped)}.",
            err=True,
        )
    return {name: value for name, value in values.items() if name not in dropped}


def _value(text: str) -> Any:
    """The value of `-p NAME text`, as papermill's own `-p` reads it."""
    if text in NAMED:
        return NAMED[text]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
