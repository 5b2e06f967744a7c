"""The command line: `qnb run`, `sweep`, `runs`, `show`, `report`, `score` and `data`.

Each command parses its arguments and calls one function. It is written with click, as papermill's is, so
that `-p lr -1e-3` and the like are parsed exactly as papermill does.
"""

import contextlib
import json
import os
import sys
import warnings
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qnb.config import DataConfig, TableConfig
from qnb.errors import QnbError, refuse_unknown
from qnb.files import REPORT
from qnb.hints import Commands
from qnb.options import Pairs, collect
from qnb.runs import grammar
from qnb.runs.flags import flags, pointer
from qnb.runs.folder import PARAMS, Run
from qnb.runs.listing import SkippedWarning, find_run, list_runs
from qnb.runs.project import RunError, given_root
from qnb.runs.summary import none_matches, outcome, selected, summary, table
from qnb.stack import versions

if TYPE_CHECKING:
    from qnb.runs.job import Job

DONE, FAILED, REFUSED, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = {"done": DONE, "failed": FAILED, "interrupted": INTERRUPTED}
ROOT = click.option(
    "--root",
    metavar="DIR",
    help=(
        "The project: the folder with notebooks/. Default: found from here, then from where qnb is installed "
        "from."
    ),
)


@click.group(
    cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(versions()["qnb"], prog_name="qnb")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train and diagnose variational quantum classifiers, one notebook a run."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.argument("notebook")
@click.option(
    "-p", "--parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of the notebook."
)
@click.option(
    "-r",
    "--parameters_raw",
    nargs=2,
    multiple=True,
    metavar="NAME TEXT",
    help="The same, the value taken as text.",
)
@click.option(
    "-f",
    "--parameters_file",
    multiple=True,
    metavar="FILE",
    help="A YAML file of parameters, params/NAME.yaml say.",
)
@click.option(
    "-y", "--parameters_yaml", multiple=True, metavar="YAML", help="Parameters as YAML: 'leaks: []'."
)
@click.option(
    "--resume",
    metavar="RUN",
    help=(
        "Resume from the last checkpoint of a run, its id or path, that did not finish. Where a file of its "
        "circuit is gone, -p ansatz FILE:NAME gives another with the same text."
    ),
)
@click.option(
    "--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The longest that one cell may take."
)
@click.option(
    "--start-timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    default=300,
    show_default=True,
    help="The longest that the kernel may take to start.",
)
@click.option("--open", "opens", is_flag=True, help="Open the report in the browser when it is there.")
@ROOT
def run(
    notebook: str,
    parameters: Pairs,
    parameters_raw: Pairs,
    parameters_file: tuple[str, ...],
    parameters_yaml: tuple[str, ...],
    resume: str | None,
    timeout: int | None,
    start_timeout: int,
    opens: bool,
    root: str | None,
) -> int:
    """Execute NOTEBOOK, a name in notebooks/ or the path of an .ipynb, in its own run folder. `probes`
    stands for all diagnostic notebooks: they end with one table of verdicts and, with -p run RUN_ID, one row
    for each suspect.

    Files are read first, then -y, -p and -r; later ones override earlier ones.

    Exit codes: 0 done, 1 failed, 2 refused before it started, 3 done but the training diverged, 130
    interrupted.
    """
    from qnb.runs import headless, job

    values = collect(parameters_file, parameters_yaml, parameters, parameters_raw)
    if notebook == "probes":
        return _probes(values, root, resume, timeout, start_timeout, opens)
    prepared = job.prepare(notebook, values, root, resume)
    _refuse_early(prepared)
    finished = headless.execute(prepared, timeout, start_timeout=start_timeout)
    _tell(finished)
    if opens:
        _open_at_the_end(finished.folder)
    return DIVERGED if finished.metrics().get("diverged") else EXIT_CODES[finished.manifest["status"]]


def _refuse_early(job: "Job") -> None:
    """Raise what the notebook would raise after its kernel has started: no such table or label."""
    if isinstance(job.config, TableConfig):
        from qnb.data.sources import require_source

        require_source(job.config)


def _probes(
    values: dict[str, Any],
    root: str | None,
    resume: str | None,
    timeout: int | None,
    start_timeout: int,
    opens: bool,
) -> int:
    from qnb.probes import suite

    jobs = suite.prepare_probes(values, root, resume)
    for job in jobs:
        _refuse_early(job)
    for line in suite.left_out(jobs, values):
        click.echo(line, err=True)
    finished = suite.execute(jobs, timeout, start_timeout=start_timeout)
    click.echo(suite.verdicts_table(finished))
    for one in finished:
        click.echo(f"report  {one.folder / 'report.html'}")
        if opens:
            _open_at_the_end(one.folder)
    return max(EXIT_CODES[one.manifest["status"]] for one in finished)


@cli.command()
@click.argument("file")
@click.option(
    "-p",
    "--parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter; it overrides FILE.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine. Default: one per core.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A running Dask scheduler, tcp://HOST:PORT, whose workers are used instead.",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="last",
    metavar="[SWEEP_ID]",
    help=(
        "Resume a sweep of FILE that did not finish, the last one if no id is given. What is done is not "
        "run again."
    ),
)
@click.option("--dry-run", is_flag=True, help="Say what would run, and how long it should take.")
@ROOT
def sweep(
    file: str,
    parameters: Pairs,
    workers: int | None,
    scheduler: str | None,
    resume: str | None,
    dry_run: bool,
    root: str | None,
) -> int:
    """Run every arm and seed of FILE, a YAML file of parameters of ablation.ipynb, each as its own run of
    train.ipynb.

    The runs share the cores of this machine, or of a Dask cluster (--scheduler) that sees the project under
    the same path.

    Exit codes: 0 every run is done, 1 some are not, 2 refused before it started, 3 every run is done but
    some diverged, 130 interrupted.
    """
    from qnb.studies.sweep import command

    return command.sweep(collect((file,), pairs=parameters), root, workers, scheduler, resume, dry_run)


def _tell(run: Run) -> None:
    """Print how a run ended, its key figures, and where its report is."""
    entry = run.manifest | {"metrics": run.metrics()}
    if failure := run.manifest["failure"]:
        where = f" in cell [{failure['cell']}]" if failure["cell"] is not None else ""
        click.echo(f"qnb: {failure['kind']}{where}: {failure['message']}", err=True)
    for name, reason in flags(entry["metrics"], run.manifest.get("data")):
        click.echo(f"qnb: {name[0].lower()}{name[1:]}: {reason}.", err=True)
    hint = pointer(entry["metrics"], run.id) if "epochs_run" in entry["metrics"] else ""
    click.echo("\n".join([*outcome(entry), *filter(None, [hint]), f"report  {run.folder / 'report.html'}"]))


@cli.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="The newest N alone.")
@click.option(
    "--json", "as_json", is_flag=True, help="For machines: everything that is known, as a list of objects."
)
@ROOT
def runs(words: tuple[str, ...], limit: int | None, as_json: bool, root: str | None) -> int:
    """List runs, the newest last: status, key figures, changed parameters.

    Every WORD filters the list: `epochs=2` matches a parameter (or status, notebook, seed) with this value,
    any other word a part of the notebook's name, the run id or the status.
    """
    known = list_runs(given_root(root))
    entries = selected(known, words, limit)
    if words and not entries and not as_json:
        click.echo(none_matches(known, words))
    else:
        click.echo(json.dumps(entries, indent=2, default=str) if as_json else table(entries))
    return DONE


@cli.command()
@click.argument("run", metavar="RUN")
@click.option("--open", "opens", is_flag=True, help="Open its report in the browser.")
@ROOT
def show(run: str, opens: bool, root: str | None) -> int:
    """Print a summary of RUN, given by its id or the beginning of it, its path, or `latest`."""
    project = given_root(root)
    entry = find_run(project, run)
    click.echo(summary(entry, project))
    if opens:
        _open(project / entry["folder"])
    return DONE


def _open(folder: Path) -> None:
    """Open the report of a run in the browser of this machine.

    Raises:
        RunError: there is no report, or no browser.
    """
    report = folder / REPORT
    if not report.exists():
        raise RunError(
            f"{folder} has no {REPORT}: `qnb run {folder.parent.name} -f {folder / PARAMS}` makes one."
        )
    if not webbrowser.open(report.as_uri()):
        raise RunError(f"There is no browser here. The report is {report}")


def _open_at_the_end(folder: Path) -> None:
    """`_open`; where it cannot be, a line says so, and the run remains what it was."""
    try:
        _open(folder)
    except RunError as error:
        click.echo(f"qnb: {error}", err=True)


@cli.command()
@ROOT
def report(root: str | None) -> int:
    """Build executed/index.html: every run on one page, to filter, sort and compare. Prints its path.

    The page is made from the run folders, loads nothing from elsewhere, and replaces an earlier one; no
    other file is touched.
    """
    from qnb.runs import index

    click.echo(index.build(given_root(root)))
    return DONE


@cli.command()
@click.argument("run", metavar="RUN")
@click.argument("table", metavar="TABLE")
@click.option("-o", "--output", required=True, metavar="FILE", help="A new file, .parquet or .csv.")
@click.option(
    "--surrogate", is_flag=True, help="Score with the model's polynomial, not with the engine that trained."
)
@click.option("--encoder", metavar="FILE:NAME", help="The model's encoder, where it is your own.")
@click.option("--ansatz", metavar="FILE:NAME", help="The same, of its ansatz.")
@click.option("--measurement", metavar="FILE:NAME", help="The same, of its measurement.")
@ROOT
def score(run: str, table: str, output: str, surrogate: bool, root: str | None, **parts: Any) -> int:
    """Score every row of TABLE with the model of RUN: logit, probability, and decision at the stored
    threshold, in the order of the table.

    RUN is the id of a run, its folder, or a folder with a model. TABLE is a CSV or Parquet file with the
    columns that the model takes, of any size; or a table of scikit-learn, `breast_cancer` for example; or
    `bundled`, the capture that the run drew. If TABLE has the label column, its AUC is printed.

    Exit codes: 0 done, 2 refused, with nothing written.
    """
    from qnb import scoring

    scores = scoring.score(run, table, output, root=root, surrogate=surrogate, **parts)
    click.echo(scoring.told(scores))
    return DONE


@cli.command()
@click.argument("file", metavar="FILE")
@click.option(
    "-p", "--parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of the data."
)
@click.option(
    "-y", "--parameters_yaml", multiple=True, metavar="YAML", help="Parameters as YAML: 'drop: [a, b]'."
)
def data(file: str, parameters: Pairs, parameters_yaml: tuple[str, ...]) -> int:
    """Describe FILE without training: the data set that it is recognised as, its label, rows, attack types,
    the columns that are left out and why, and cautions.

    The whole of FILE is read, unless -p sample gives a number of rows. The parameters are those of
    train.ipynb that decide the table: label, positive, negative, drop, time, identifiers, attack_type,
    missing, missing_values, sample, group_by, split_seed, test_data; and of the bundled capture data_seed,
    leaks, attack_ring, attack_push, attack_share.

    Exit codes: 0 done, 2 refused.
    """
    from qnb.data.prepare import DECIDES_TABLE
    from qnb.data.table import load_table
    from qnb.reporting.tables import card_rows

    values = {"data": file, "sample": None} | collect(texts=parameters_yaml, pairs=parameters)
    refuse_unknown(values, DECIDES_TABLE, "qnb data")
    card = load_table(DataConfig.make(values)).card
    for name, value in card_rows(card).items():
        click.echo(f"{name}: {value}")
    if card["data_set"] is None and not card["synthetic"]:
        click.echo("recognised as: no known data set; every column without a role is a feature")
    return DONE


@contextlib.contextmanager
def _skipped_on_stderr() -> Iterator[None]:
    """What list_runs leaves out is told as this command tells everything, once."""
    with warnings.catch_warnings():
        shown, usual = set[str](), warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
            if not issubclass(category, SkippedWarning):
                usual(message, category, *place, **rest)
            elif str(message) not in shown:
                shown.add(str(message))
                click.echo(f"qnb: {message}", err=True)

        warnings.showwarning = show
        yield


def main(arguments: list[str] | None = None) -> int:
    """The console script. A QnbError or a usage error becomes one message on stderr and an exit code.

    Returns:
        0 done, 1 a run failed, 2 refused before anything was started, 3 done but a training diverged, 130
        interrupted.
    """
    if sys.stdin is None:  # closed by a batch system; papermill asks for it when imported
        os.open(os.devnull, os.O_RDONLY)
    grammar.leave_out()
    try:
        with _skipped_on_stderr():
            return cli.main(arguments, prog_name="qnb", standalone_mode=False) or DONE
    except click.ClickException as error:
        error.show()
        return REFUSED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except QnbError as error:
        click.echo(f"qnb: {error}", err=True)
        return FAILED if getattr(error, "started", False) else REFUSED
