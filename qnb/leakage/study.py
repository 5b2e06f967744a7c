"""The stress test from end to end: its rows, every suspicion in turn, and the table of verdicts."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Self, TypeVar

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from pandas.io.formats.style_render import CSSDict
from pydantic import Field, model_validator
from tqdm import tqdm

from qnb.config import (
    OF_ONE_SPLIT,
    Batch,
    Layers,
    Names,
    Rate,
    Sample,
    Seed,
    SidesConfig,
    SplitName,
    TableConfig,
    TrainConfig,
    Wires,
    training_of,
)
from qnb.data.capture import Difficulty
from qnb.data.column_roles import Reading, Source
from qnb.data.grouping import group_columns
from qnb.data.splits import split_table
from qnb.data.table import Table, read_table
from qnb.data.values import DataError
from qnb.errors import ParameterError, nearest
from qnb.leakage.models import score_arms
from qnb.leakage.raw import Raw, read_raw
from qnb.leakage.splitting import Compared, Rule, compare, plan
from qnb.leakage.statistics import ALPHA
from qnb.leakage.verdict import LeakVerdict
from qnb.reporting import tables
from qnb.reporting.verdict import INCONCLUSIVE
from qnb.runs.folder import Run

RULES: tuple[SplitName, ...] = ("random", "group", "time", "attack")
T = TypeVar("T")


class LeakageConfig(SidesConfig, TableConfig):
    """Parameters of leakage_stress_test.ipynb. The defaults take all 100,000 rows of the bundled capture."""

    sample: Sample = 100_000
    columns: Names | None = None
    """names of the columns to look at and to train on; None: all"""
    wires: Wires = 8
    layers: Layers = 3
    batch: Batch = 256
    epochs: Annotated[int, Field(ge=1)] = 6
    """of the short trainings, on the exact engine"""
    fixed_num_batches: Annotated[int, Field(ge=1)] = 50
    """batches per epoch"""
    lr: Rate = 0.05
    seed: Seed = 0
    """of the circuit, of bootstraps and permutations"""

    def training(self, rule: SplitName = "random") -> TrainConfig:
        """A training on this table under one rule for splitting, on the exact engine.

        Raises:
            ParameterError: a value contradicts another.
        """
        others = [name for name, owner in OF_ONE_SPLIT.items() if owner != rule]
        defaults = {name: TrainConfig.model_fields[name].default for name in others}
        return training_of(self, split=rule, engine="exact", **defaults)

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        for rule in RULES:
            try:
                self.training(rule)
            except ParameterError as error:
                raise ValueError(str(error)) from None
        return self


def read(config: LeakageConfig) -> tuple[Raw, Table]:
    """A sample of the rows as their source writes them, and one as `qnb.data.table` reads them; of
    `config.columns` alone, if given.

    Both are all rows where `config.sample` covers them. Where it does not they are separate draws, not the
    same rows.

    Raises:
        DataError: the source cannot be used, `columns` or `group_by` names a column that it lacks, or the
            types that `attack_test` names cannot be left out of training.
    """
    options: dict[str, Any] = {
        "sample": config.sample,
        "seed": config.split_seed,
        "data_seed": config.data_seed,
        "leaks": config.leaks,
        "difficulty": Difficulty.of(config),
    }
    reading = Reading.of(config)
    raw = read_raw(config.data, reading, **options)
    if config.columns is not None:
        raw = only(raw, config.columns)
    table = read_table(config.data, **dataclasses.asdict(reading), **options)
    types = table.card["types"]
    raw = dataclasses.replace(raw, text=frozenset(name for name in types if types[name]["type"] == "text"))
    raw = dataclasses.replace(raw, source=_as_they_look(raw.source, table.card["look_alikes"]))
    kept = [name for name in table.frame.columns if name in raw.columns]
    table = dataclasses.replace(table, frame=table.frame[kept])
    if config.group_by is not None:
        group_columns(table, config.group_by)
    if config.attack_test is not None:
        split_table(table, config.training("attack"))
    return raw, table


def _as_they_look(source: Source, look_alikes: dict[str, dict[str, str]]) -> Source:
    """The source with the roles that its columns look as if they had: judged so, though they are features."""
    roles = {name: look_alike["role"] for name, look_alike in look_alikes.items()}
    times = tuple(name for name, role in roles.items() if role == "time")
    others = {name: "named" for name, role in roles.items() if role in ("identifiers", "drop")}
    return dataclasses.replace(source, time=source.time + times, identifiers=source.identifiers | others)


def only(raw: Raw, columns: tuple[str, ...]) -> Raw:
    """The same rows, with these columns alone.

    Raises:
        DataError: a name is not a column.
    """
    for name in columns:
        if name not in raw.columns:
            raise DataError(
                f"columns names {name!r}, which is no column of {raw.source.name}. "
                f"{nearest(name, raw.columns)}"
            )
    source = dataclasses.replace(raw.source, columns=[c for c in raw.source.columns if c in columns])
    return dataclasses.replace(raw, columns={name: raw.columns[name] for name in columns}, source=source)


def about(raw: Raw, table: Table) -> str:
    """The number of rows examined, the level of the tests, and the notes and cautions on the source, in
    words.
    """
    return (
        f"{len(raw.y):,} rows as the source writes them, and, drawn apart, {len(table):,} cleaned ones. The "
        f"tests of one suspicion together are made at the level {ALPHA:.0%}, and none counts without an "
        f"effect of a stated size. {' '.join([*table.card['notes'], *table.card['cautions']])}"
    )


def raw_note(raw: Raw, table: Table) -> str:
    """As `qnb.reporting.tables.data_note`, for the rows as the source writes them, which are more where the
    reader drops duplicates.
    """
    return (
        tables.data_note(table.card | {"rows_kept": len(raw.y), "prior": float(raw.y.mean())})
        + ", as written"
    )


def tried(examine: Callable[[], T]) -> T | DataError:
    """The result of `examine`; or, where the table is too small or lacks what it needs, the DataError that
    says so, for the verdict.
    """
    try:
        return examine()
    except DataError as error:
        return error


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar over `total` steps. It yields a function that takes the name of each finished step."""
    with tqdm(total=total, unit="step", file=sys.stdout, mininterval=1.0, ncols=100) as bar:

        def done(what: str) -> None:
            bar.set_description(f"done: {what}")
            bar.update()

        yield done


def compare_splits(config: LeakageConfig, table: Table) -> tuple[dict[str, Rule], list[Compared]]:
    """The rules, and every model under every rule that could be used.

    Where the models cannot be trained on this table at all, every rule has the reason in `refused`.
    """
    configs: dict[str, TrainConfig] = {rule: config.training(rule) for rule in RULES}
    rules = plan(table, configs, config.seed)
    arms = [arm for rule in rules.values() for arm in rule.arms]
    try:
        with progress(len(arms) + 1) as done:
            scores = score_arms(table, arms, configs["random"], done)
    except DataError as error:
        return {name: Rule(name, refused=str(error)) for name in rules}, []
    return rules, compare(
        table, rules, {arm.name: logits for arm, logits in zip(arms, scores, strict=True)}, config.seed
    )


def shown(result: T | DataError, draw: Callable[[T, str], Figure], note: str) -> Figure | Markdown:
    """The figure of a result; or, where nothing could be examined, the reason as text."""
    if isinstance(result, DataError):
        return Markdown(f"Not tested: {result}")
    return draw(result, note) if result else Markdown("Not tested; the verdict gives the reason.")


def conclude(run: Run, verdicts: list[LeakVerdict]) -> None:
    """Write leakage.json into the run folder and finish the run."""
    run.write_json("leakage.json", [dataclasses.asdict(v) for v in verdicts])
    run.finish(
        {
            "leaks": [v.question for v in verdicts if v.reaches_model is not None],
            "leaks_that_reach_the_model": [v.question for v in verdicts if v.reaches_model],
            "verdicts": {v.question: v.verdict for v in verdicts},
            "conclusion": in_short(verdicts),
        }
    )


def in_short(verdicts: list[LeakVerdict]) -> list[str]:
    """The result in one sentence, then each leak with its reason, first those that reach the model."""
    leaks = sorted((v for v in verdicts if v.reaches_model is not None), key=lambda v: not v.reaches_model)
    reaching = [v for v in leaks if v.reaches_model]
    inconclusive = sum(v.verdict == INCONCLUSIVE for v in verdicts)
    harmless, verb = len(leaks) - len(reaching), "was" if inconclusive == 1 else "were"
    phrase = "1 leak reaches" if len(reaching) == 1 else f"{len(reaching) or 'No'} leaks reach"
    sentence = (
        f"{phrase} the model as it is, of {len(verdicts)} tests: {harmless} found a leak that does not reach "
        f"it, {inconclusive} {verb} inconclusive on this table."
    )
    return [sentence, *(v.text() for v in leaks)]


def verdicts_table(verdicts: list[LeakVerdict]) -> Styler:
    """One row per suspicion: question, verdict, whether a leak reaches the model as it is, and the reason."""
    reach = {True: "yes", False: "no", None: ""}
    rows = [(v.question, v.verdict, reach[v.reaches_model], v.sentence) for v in verdicts]
    frame = pd.DataFrame(rows, columns=["question", "verdict", "reaches the model", "reason"])
    alignment: list[CSSDict] = [
        {"selector": "td, th", "props": [("text-align", "left"), ("vertical-align", "top")]}
    ]
    styler = Styler(frame, cell_ids=False).hide(axis="index").set_table_styles(alignment)
    return styler.map(
        lambda word: "font-weight: bold; color: #c75300" if word == "yes" else "",
        subset=["reaches the model"],
    )
