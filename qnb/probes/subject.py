"""The model under test: the one that a probe's parameters describe, or that of a finished run of train.ipynb."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.data.prepare import Prepared, prepare
from qnb.errors import ParameterError
from qnb.files import HISTORY
from qnb.probes.config import ProbeConfig
from qnb.reporting.tables import data_note
from qnb.runs.folder import METRICS
from qnb.runs.listing import find_run
from qnb.runs.project import RunError, find_root
from qnb.training.model import load_model
from qnb.training.state import circuit_of


@dataclass(frozen=True)
class Subject:
    """What a probe works on.

    Attributes:
        config: the parameters of the model under test, as the probe uses them.
        prepared: its data.
        note: the data and where the model comes from, for the foot of figures.
        said: what of the parameters given the probe replaces or leaves aside, in words.
        run_id: the run it was taken from, None if it was described by parameters; what follows is empty then.
        params: the trained parameters, None if the run left no model.
        history: its history.csv, None if there is none.
        metrics, manifest: what these files of the run hold.
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

    @property
    def spec(self) -> CircuitSpec:
        """The circuit of the model under test."""
        return circuit_of(self.config)


def subject(probe: ProbeConfig, root: Path | None = None) -> Subject:
    """The model that `probe` is to look at, its data read, split and transformed again.

    Raises:
        RunError: no such run, or not one of train.ipynb that got as far as training, or its data has changed since.
        ParameterError, DataError: the configuration or the table cannot be used.
    """
    if probe.run is None:
        given = TrainConfig.make({name: getattr(probe, name) for name in TrainConfig.model_fields})
        config, said = _as_probed(probe, given)
        prepared = prepare(config)
        return Subject(config, prepared, data_note(prepared.card), said)
    root = root or find_root()
    entry = find_run(root, probe.run)
    if entry.get("config") != TrainConfig.__name__ or entry["status"] not in ("done", "failed"):
        raise RunError(
            f"run={probe.run!r}: a finished run of train.ipynb was expected; that is a {entry['status']} run of {entry['notebook']}."
        )
    config, said = _as_probed(probe, TrainConfig.make(entry["parameters"]))
    prepared = prepare(config)
    before = (entry.get("data") or {}).get("fingerprint")
    if before not in (None, prepared.card["fingerprint"]):
        raise RunError(
            f"The data of run {entry['run_id']} has changed since: its fingerprint was {before[:16]}, it is {prepared.card['fingerprint'][:16]} now."
        )
    folder = root / entry["folder"]
    return Subject(
        config, prepared, f"{data_note(prepared.card)} · model of run {entry['run_id']}", said, entry["run_id"],
        params=load_model(folder).params if (folder / "model").is_dir() else None,
        history=pd.read_csv(folder / HISTORY) if (folder / HISTORY).exists() else None,
        metrics=json.loads((folder / METRICS).read_text("utf-8")) if (folder / METRICS).exists() else {},
        manifest=entry,
    )  # fmt: skip


def finished_run(probe: ProbeConfig, root: Path | None = None) -> Subject:
    """As `subject`, for a probe that has no use for a model that was only described.

    Raises:
        ParameterError: no run is given.
    """
    if probe.run is None:
        raise ParameterError("run=None: give the id of a run of train.ipynb; `qnb runs` lists them.")
    return subject(probe, root)


def _as_probed(probe: ProbeConfig, given: TrainConfig) -> tuple[TrainConfig, str]:
    """The configuration with the probe's own settings in it, and what that left aside, in words."""
    own = probe.own_settings()
    fields = type(probe).model_fields if probe.run is None else TrainConfig.model_fields
    asked = {name: value for name, value in given if value != fields[name].default}
    parts = [
        "The parameters above describe the model under test."
        if probe.run is None
        else f"The model under test is that of run {probe.run}."
    ]
    if own:
        replaced = {
            name: f" (given: {asked[name]})" if name in asked and asked[name] != value else "" for name, value in own.items()
        }
        parts.append("This probe decides " + ", ".join(f"{name}={value}{replaced[name]}" for name, value in own.items()) + ".")
    if unused := [f"{name}={value}" for name, value in asked.items() if name in probe.UNUSED and name not in own]:
        parts.append("Without a part in this probe: " + ", ".join(unused) + ".")
    return TrainConfig.make(given.model_dump() | own), " ".join(parts)
