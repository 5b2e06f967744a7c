"""The model under test: the one that a probe's parameters describe, or that of a run of train.ipynb."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from qnb import own
from qnb.config import (
    Batch,
    InputConfig,
    Layers,
    Rate,
    Sample,
    Seed,
    SimulationConfig,
    SoundEngineName,
    StrictConfig,
    TrainConfig,
    Wires,
    training_of,
)
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import Engine, Maker, by_hand
from qnb.core.objective import Objective
from qnb.data.prepare import Prepared, prepare
from qnb.errors import ParameterError
from qnb.files import HISTORY
from qnb.reporting.tables import data_note
from qnb.runs.folder import METRICS, require_as_written
from qnb.runs.listing import LATEST, Entry, find_run
from qnb.runs.project import RunError, find_root
from qnb.training.checkpoint import identity_in
from qnb.training.model import load_model
from qnb.training.state import circuit_of, engine_of, objective_of


class ProbeConfig(StrictConfig):
    """A probe of what its groups of parameters describe, or of a finished run's values in these groups."""

    run: str | None = None
    """id of a run of train.ipynb that the parameters below are taken from; None: as they stand here"""

    def resolved(self, root: Path, given: Collection[str]) -> Self:
        """This configuration with the parameters of the run that `run` names, as far as the probe has them.

        Raises:
            RunError: there is no such run, or it is not a done or failed run of train.ipynb.
            ParameterError: a parameter was given that differs from the run's, or the probe cannot work on
                such a model.
        """
        if self.run is None:
            return self
        entry = training_run(root, self.run)
        with own.looked_for_in(root):
            return self.taking(entry["parameters"], given, "run")


class ModelConfig(ProbeConfig, InputConfig):
    """A probe of a model on data, by default the one of train.ipynb's defaults."""

    def training(self) -> TrainConfig:
        """The model under test as a configuration of train.ipynb.

        Raises:
            ParameterError: a value contradicts another.
        """
        return training_of(self)

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        try:
            self.training()
        except ParameterError as error:
            raise ValueError(str(error)) from None
        return self


class SmallModelConfig(ModelConfig):
    """A probe that needs no large model: four wires and two layers on 2,000 rows by default."""

    sample: Sample = 2_000
    wires: Wires = 4
    layers: Layers = 2
    seed: Seed = 0
    """of initial parameters and batches"""
    batch: Batch = 64
    lr: Rate = 0.05


class SimulatedModelConfig(SimulationConfig, SmallModelConfig):
    """The same with a choice of engine; its gradient is always checked."""

    engine: SoundEngineName = "catalyst"


@dataclass(frozen=True)
class Subject:
    """What a probe works on.

    Attributes:
        config: the parameters of the model under test, as the probe uses them.
        prepared: its data.
        note: the data and the origin of the model, for the foot of figures.
        said: the origin of the model, and which of its parameters the probe sets, in words.
        run_id: the run it was taken from; None if it was described by parameters.
        params: the run's trained parameters; None without a run or a saved model.
        history: the run's history.csv; None if there is none.
        metrics, manifest: the content of metrics.json and manifest.json of the run; {} without.
        identity: the `qnb.training.state.data_identity` in the run's checkpoint; None if there is none.
        make: (spec, objective) -> engine, for engines made by hand; None: the engine that `config` names.
    """

    config: TrainConfig
    prepared: Prepared
    note: str
    said: str
    run_id: str | None = None
    params: dict[str, np.ndarray] | None = None
    history: pd.DataFrame | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, str | None] | None = None
    make: Maker | None = None

    @property
    def spec(self) -> CircuitSpec:
        """The circuit of the model under test."""
        return circuit_of(self.config)

    def engine(self, objective: Objective | None = None) -> Engine:
        """The engine of its circuit with this head and loss; None: its own.

        Raises:
            ParameterError: an engine made by hand is of another circuit or head.
        """
        return engine_of(self.config, self.spec, objective or objective_of(self.config), self.make)

    def with_engines(self, make: Maker | None) -> Self:
        """The same with engines made by hand, `make(spec, objective)`; the note says so. None: unchanged.

        Raises:
            ParameterError: they are of another circuit or head.
        """
        if make is None:
            return self
        made = replace(self, make=make)
        return replace(made, note=f"{self.note} · engine {by_hand(made.engine())}")


def training_run(root: Path, run_id: str) -> Entry:
    """The entry of `qnb.runs.listing.list_runs` of a run of train.ipynb that is done or failed.

    Raises:
        RunError: there is no such run, it is of another notebook or status, or `run_id` is "latest", which
            would mean another run tomorrow.
    """
    entry = find_run(root, run_id)
    if run_id.rpartition("/")[2] == LATEST:
        raise RunError(f"run={run_id!r} names another run tomorrow. Give its id: {entry['run_id']!r}.")
    if entry.get("config") != TrainConfig.__name__ or entry["status"] not in ("done", "failed"):
        why = f" ({entry['why']})" if entry["why"] else ""
        raise RunError(
            f"run={run_id!r}: a finished run of train.ipynb was expected; that is a {entry['status']} run of "
            f"{entry['notebook']}{why}."
        )
    return entry


def subject(probe: ModelConfig, root: Path | None = None, make: Maker | None = None) -> Subject:
    """The model under test of `probe`, with its data read, split and transformed.

    Args:
        root: the project in which `probe.run` is looked up; None: see `qnb.runs.project.find_root`.
        make: (spec, objective) -> engine, in place of the one that `probe` names: a class of your own, or
            `functools.partial(make_engine, "exact", precision="float64")`.

    Raises:
        RunError: there is no run as `probe.run` names it, or the data has changed since.
        ParameterError, DataError: the configuration, the table or the engine cannot be used.
    """
    config = probe.training()
    prepared = prepare(config)
    note, source = data_note(prepared.card), "described by the parameters above"
    if probe.run is not None:
        entry = training_run(root or find_root(), probe.run)
        _require_same_data(entry, prepared)
        note, source = f"{note} · model of run {entry['run_id']}", f"that of run {entry['run_id']}"
    decided = [
        f"{name}={value}"
        for name, value in config
        if name not in type(probe).model_fields and config.changed(name)
    ]
    description = f"The model under test is {source}." + (
        f" This probe decides {', '.join(decided)}." if decided else ""
    )
    return Subject(config, prepared, note, description, probe.run).with_engines(make)


def finished_run(run_id: str, root: Path | None = None, make: Maker | None = None) -> Subject:
    """The model that a run of train.ipynb trained, with its data read, split and transformed again.

    Args:
        root, make: see `subject`.

    Raises:
        RunError: there is no such run, it is not a done or failed one of train.ipynb, its data has changed
            since, or its files are not those that it wrote.
        ModelError: its model cannot be loaded.
        ParameterError, DataError: the configuration, the table or the engine cannot be used.
    """
    root = root or find_root()
    entry = training_run(root, run_id)
    with own.looked_for_in(root):
        config = TrainConfig.make(entry["parameters"])
    prepared = prepare(config)
    _require_same_data(entry, prepared)
    folder = root / entry["folder"]
    require_as_written(folder, [HISTORY, METRICS])
    return Subject(
        config,
        prepared,
        note=f"{data_note(prepared.card)} · model of run {entry['run_id']}",
        said=f"The model under test is that of run {entry['run_id']}.",
        run_id=entry["run_id"],
        params=load_model(folder, **own.given_in(config)).params if (folder / "model").is_dir() else None,
        history=pd.read_csv(folder / HISTORY) if (folder / HISTORY).exists() else None,
        metrics=json.loads((folder / METRICS).read_text("utf-8")) if (folder / METRICS).exists() else {},
        manifest=entry,
        identity=identity_in(folder),
    ).with_engines(make)


def _require_same_data(entry: Entry, prepared: Prepared) -> None:
    before, now = (entry.get("data") or {}).get("fingerprint"), prepared.card["fingerprint"]
    if before not in (None, now):
        raise RunError(
            f"The data of run {entry['run_id']} has changed since: its fingerprint was {before[:16]}, it is "
            f"{now[:16]} now."
        )
