"""Help and hints of the command line: what to type instead of another tool's syntax.

The classes replace click's own for the commands of `qnb.cli`.
"""

import contextlib

import click

from qnb.errors import QnbError
from qnb.runs.project import find_root, given_root


class Command(click.Command):
    """A command that answers a parameter in another tool's syntax with the right syntax, and `qnb run
    NOTEBOOK --help` with the notebook's parameters.
    """

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """As click's own, with a hint added to its UsageError where one is known."""
        given = list(arguments)
        if self.name == "run" and given and given[0][:1] != "-" and {"-h", "--help"} & set(given):
            root = _root_of(given)
            click.echo(_probes_help() if given[0] == "probes" else _parameters_help(given[0], root))
            context.exit()
        try:
            return super().parse_args(context, arguments)
        except click.UsageError as error:
            hint = _instead(self.name, given, error)
            raise click.UsageError(f"{error.format_message()} {hint}", context) if hint else error from None


def _instead(command: str | None, given: list[str], error: click.UsageError) -> str | None:
    """The right way to give what was given, None where nothing is known of it."""
    if command == "sweep" and isinstance(error, click.MissingParameter) and "--resume" in given[:-1]:
        file = given[given.index("--resume") + 1]
        return f"--resume took {file!r} as the id of a sweep. FILE comes first: qnb sweep {file} --resume"
    for text in given:
        name, equals, value = text.lstrip("-").partition("=")
        if equals and name.isidentifier():
            return f"A parameter is given as -p {name} {value or 'VALUE'}"
    if isinstance(error, click.NoSuchOption) and error.option_name.startswith("--"):
        after = given[given.index(error.option_name) + 1 :] if error.option_name in given else []
        return (
            f"A parameter is given as -p {error.option_name[2:].replace('-', '_')} "
            f"{after[0] if after else 'VALUE'}"
        )
    return None


def _root_of(given: list[str]) -> str | None:
    """The value of --root, given as one word or as two."""
    for word, value in zip(given, [*given[1:], None], strict=True):
        if word == "--root" or word.startswith("--root="):
            return word.partition("=")[2] or value
    return None


def _probes_help() -> str:
    """What `qnb run probes` runs, and where the parameters of each notebook are listed."""
    from qnb.probes.suite import NAME, NOTEBOOKS, SUSPECTS

    return (
        f"qnb run {NAME} [-p NAME VALUE]... runs {', '.join(NOTEBOOKS)}, and {SUSPECTS} where -p run RUN_ID "
        "is given. A parameter goes to every notebook that has it: "
        + ", ".join(f"qnb run {name} --help" for name in (*NOTEBOOKS, SUSPECTS))
    )


def _parameters_help(notebook: str, root: str | None) -> str:
    """The parameters of a notebook, each with its default and what its cell says of it."""
    from papermill.inspection import inspect_notebook

    from qnb.runs.source import find_notebook

    path = find_notebook(given_root(root), notebook)
    formatter = click.HelpFormatter(width=100)
    formatter.write_usage("qnb run", f"{path.stem} [-p NAME VALUE]... [OPTIONS]; the options: qnb run --help")
    with formatter.section("Parameters"):
        formatter.write_dl(
            [(f"{of['name']} = {of['default']}", of["help"]) for of in inspect_notebook(str(path)).values()],
            col_max=44,
        )
    return formatter.getvalue().rstrip()


class Commands(click.Group):
    """The group of commands; a notebook's name in place of a command is answered with how to run it."""

    command_class = Command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, with a hint added to its UsageError where the name is that of a notebook."""
        try:
            return super().resolve_command(context, arguments)
        except click.UsageError as error:
            name = arguments[0].removesuffix(".ipynb")
            hint = f" {name} is a notebook: qnb run {' '.join(arguments)}" if name in _notebooks() else ""
            raise click.UsageError(error.format_message() + hint, context) from None


def _notebooks() -> list[str]:
    """Names of the notebooks of the project here; none where there is no project."""
    with contextlib.suppress(QnbError):
        return ["probes", *(path.stem for path in (find_root() / "notebooks").glob("*.ipynb"))]
    return []
