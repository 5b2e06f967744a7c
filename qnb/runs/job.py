"""A call of `qnb run`, checked before a kernel starts: notebook, parameters, kernel, run to resume."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnb import own
from qnb.config import StrictConfig
from qnb.errors import ParameterError, refuse_unknown
from qnb.files import CHECKPOINT, plain
from qnb.runs.cells import DECLARED
from qnb.runs.listing import LATEST, NOT_NOTEBOOKS, Entry, find_run
from qnb.runs.project import RunError, given_root
from qnb.runs.source import (
    configuration_of,
    declared_parameters,
    find_notebook,
    never_read,
    read_notebook,
    refuse_executed,
    require_kernel,
    written_defaults,
)

# parameters, and the notebook whose run they name
NAMES_A_RUN = {"run": "train", "resume": "explore", "sweep": "sweep"}


@dataclass(frozen=True)
class Job:
    """A notebook that has been checked and can be run.

    Attributes:
        root: the project.
        path: the notebook.
        parameters: what to inject.
        config: the effective parameters; None if the notebook names no configuration class.
        resumed: id of the run to resume; None for a new run.
        resume_from: folder with the checkpoint to resume from: that run's, or that of a run it was itself
            resumed from. None: there is none.
        unread: names in `parameters` that the notebook declares but never reads.
    """

    root: Path
    path: Path
    parameters: dict[str, Any]
    config: StrictConfig | None
    resumed: str | None = None
    resume_from: Path | None = None
    unread: tuple[str, ...] = ()


def prepare(
    notebook: str, parameters: dict[str, Any], root: str | Path | None = None, resume: str | None = None
) -> Job:
    """Check everything that can be checked before a kernel starts.

    Args:
        notebook: a name in notebooks/, or the path of an .ipynb.
        parameters: the overrides, by name.
        root: the project; None: see `qnb.runs.project.find_root`.
        resume: the run to resume with its parameters, as `qnb.runs.listing.find_run` takes it; `parameters`
            may then hold only the user's own circuit parts, with the recorded texts, from other files.

    Raises:
        RunError: there is no such notebook, project, kernel or run; the run cannot be resumed; the notebook
            is an executed one, has no or several parameters cells, or cannot be checked.
        ParameterError: a parameter is unknown to the notebook, refused by its configuration class, or set
            together with `resume`.
    """
    folder = given_root(root)
    path = find_notebook(folder, notebook)
    if path.stem in NOT_NOTEBOOKS:
        raise RunError(f"executed/{path.stem}/ is not for run folders: give {path.name} another name.")
    nb = read_notebook(path)
    declared = declared_parameters(nb, path)
    entry: Entry = {}
    if resume is not None:
        if others := [name for name in parameters if name not in own.PARTS]:
            raise ParameterError(
                f"--resume goes on with the parameters of {resume}: {', '.join(others)} cannot be set."
            )
        entry = _resumable(folder, path.stem, resume)
        recorded = {name: value for name, value in entry["parameters"].items() if name in declared}
        with own.looked_for_in(folder):
            parts = {name: own.in_place_of(recorded.get(name), value) for name, value in parameters.items()}
        parameters = recorded | parts
    if parameters and not declared:
        raise RunError(
            f"{path.name} has no cell tagged `parameters`, so that {', '.join(parameters)} would arrive "
            f"nowhere. A tool may have dropped its tags: tag the cell that begins with {DECLARED!r}."
        )
    refuse_unknown(parameters, declared, path.name)
    if "qnb" in nb.metadata:  # in a notebook of the user's such a name is the user's
        parameters = _with_run_ids(folder, parameters)
    refuse_executed(nb, path, parameters)
    with own.looked_for_in(folder):
        config = configuration_of(
            nb, path, {**written_defaults(nb, path, declared, parameters), **parameters}
        )
        values = parameters if config is None else {name: getattr(config, name) for name in parameters}
        config = config and config.resolved(folder, parameters)
    if entry and config is not None and config.hash() != entry.get("hash"):
        run_name = f"{entry['run_id']} ({entry.get('hash')}, here {config.hash()})"
        raise RunError(
            f"The parameters of {run_name} mean something else to this notebook and this version of qnb."
        )
    require_kernel(nb, path)
    injected = plain(values)  # as the configuration took them; papermill writes a tuple as text
    unread = () if config is not None else never_read(nb, parameters)
    return Job(
        folder,
        path,
        injected,
        config,
        entry.get("run_id"),
        _last_checkpoint(folder, entry) if entry else None,
        unread,
    )


def _with_run_ids(root: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with the id of the run that each of them names: `latest` names another one tomorrow."""
    ids = {}
    for name, notebook in NAMES_A_RUN.items():
        if isinstance(text := parameters.get(name), str):
            ids[name] = find_run(root, f"{notebook}/{LATEST}" if text == LATEST else text)["run_id"]
    return parameters | ids


def _resumable(root: Path, notebook: str, run_id: str) -> Entry:
    entry = find_run(root, run_id)
    status, full_id = entry["status"], entry["run_id"]
    if entry["notebook"] != notebook:
        command = (
            f"qnb sweep FILE --resume {full_id}"
            if entry["notebook"] == "sweep"
            else f"qnb run {entry['notebook']} --resume {full_id}"
        )
        raise RunError(f"{full_id} is a run of {entry['notebook']}, not of {notebook}: {command}")
    if status == "done":
        raise RunError(f"{full_id} is done: there is nothing to resume.")
    if status == "running":
        raise RunError(f"{full_id} is still running.")
    if not isinstance(entry.get("parameters"), dict):
        raise RunError(
            f"{full_id} cannot be resumed: its manifest does not say its parameters ({entry['why']})."
        )
    return entry


def _last_checkpoint(root: Path, entry: Entry) -> Path | None:
    """The nearest folder with a checkpoint: this run's, or one that it was itself resumed from.

    None: start afresh.
    """
    seen: set[str] = set()
    while entry["run_id"] not in seen:
        folder: Path = root / entry["folder"]
        if (folder / CHECKPOINT).exists():
            return folder
        seen.add(entry["run_id"])
        if not entry.get("resumed_from"):
            return None
        entry = find_run(root, f"{entry['notebook']}/{entry['resumed_from']}")
    return None
