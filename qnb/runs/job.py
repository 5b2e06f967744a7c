"""What `qnb run` is asked to do, checked before a kernel starts: notebook, parameters, kernel, and the run to go on from."""

import ast
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from papermill.iorw import NoDatesSafeLoader

from qnb import config as train_config
from qnb.config import StrictConfig
from qnb.errors import ParameterError, nearest, refuse_unknown
from qnb.files import CHECKPOINT, plain
from qnb.probes import config as probe_config
from qnb.runs.kernel import assigned_names
from qnb.runs.listing import Entry, find_run
from qnb.runs.project import RunError, given_root
from qnb.studies import config as study_config

CONFIGURATIONS = (train_config, probe_config, study_config)


@dataclass(frozen=True)
class Job:
    """A notebook that has been checked and can be run.

    Attributes:
        root: the project.
        path: the notebook.
        parameters: what to inject.
        config: the effective parameters, None when the notebook names no configuration class.
        resumed: id of the run to go on from, None for a run of its own.
        resume_from: folder with the checkpoint to go on from: that run's, or one it was itself resumed from. None: there is none.
    """

    root: Path
    path: Path
    parameters: dict[str, Any]
    config: StrictConfig | None
    resumed: str | None = None
    resume_from: Path | None = None


def prepare(notebook: str, parameters: dict[str, Any], root: str | Path | None = None, resume: str | None = None) -> Job:
    """Check everything that can be checked before a kernel starts.

    Args:
        notebook: a name in notebooks/, or the path of an .ipynb.
        parameters: the overrides, name to value.
        root: the project; None looks for it.
        resume: id of a run to go on from, with its parameters; then `parameters` must be empty.

    Raises:
        RunError: no such notebook, project, kernel or run.
        ParameterError: a parameter is unknown to the notebook, or refused by its configuration class.
    """
    folder = given_root(root)
    path = find_notebook(folder, notebook)
    nb = read_notebook(path)
    declared = _declared(nb)
    entry: Entry = {}
    if resume is not None:
        if parameters:
            raise ParameterError(f"--resume goes on with the parameters of {resume}: {', '.join(parameters)} cannot be set.")
        entry = _resumable(folder, path.stem, resume)
        parameters = {name: value for name, value in entry["parameters"].items() if name in declared}
    refuse_unknown(parameters, declared, path.name)
    config = _configuration(nb, path, {**_literals(declared), **parameters})
    config = config and config.resolved(folder, parameters)
    if entry and config is not None and config.hash() != entry.get("hash"):
        known = f"{entry['run_id']} ({entry.get('hash')}, here {config.hash()})"
        raise RunError(f"The parameters of {known} mean something else to this notebook and this version of qnb.")
    _require_kernel(nb, path)
    injected = plain(parameters)  # papermill writes a tuple as text
    return Job(folder, path, injected, config, entry.get("run_id"), _last_checkpoint(folder, entry) if entry else None)


def find_notebook(root: Path, name: str) -> Path:
    """The notebook called `name` in notebooks/, or at that path. RunError, with the nearest name, if there is none."""
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    known = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    stem = name.removesuffix(".ipynb")
    if stem not in known:
        raise RunError(f"No notebook {name!r} in {root / 'notebooks'}. {nearest(stem, known)}")
    return known[stem]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, in version 4 of the format. RunError if it cannot be read or is none."""
    try:
        nb: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror}.") from None
    except (ValueError, AttributeError, TypeError, KeyError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise RunError(f"{path} is not a notebook: {str(error).splitlines()[0][:200]}") from None
    return nb


def _declared(nb: nbformat.NotebookNode) -> dict[str, ast.expr | None]:
    """Names of the parameters cell, the first with papermill's tag; empty if there is none."""
    cells = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    return assigned_names(cells[0].source) if cells else {}


def _literals(declared: dict[str, ast.expr | None]) -> dict[str, Any]:
    """Defaults that the parameters cell writes out; one that it computes is known to the kernel alone."""
    found = {}
    for name, value in declared.items():
        if value is not None:
            with contextlib.suppress(ValueError, TypeError):
                found[name] = ast.literal_eval(value)
    return found


def _configuration(nb: nbformat.NotebookNode, path: Path, values: dict[str, Any]) -> StrictConfig | None:
    name = nb.metadata.get("qnb", {}).get("config")
    if name is None:
        return None
    found = next((getattr(module, name) for module in CONFIGURATIONS if hasattr(module, name)), None)
    if not (isinstance(found, type) and issubclass(found, StrictConfig)):
        raise RunError(f"{path.name} asks for the configuration class {name!r}, which is in no configuration module of qnb.")
    return found.make(values)


def _require_kernel(nb: nbformat.NotebookNode, path: Path) -> None:
    name = nb.metadata.get("kernelspec", {}).get("name")
    try:
        KernelSpecManager().get_kernel_spec(name or "")
    except NoSuchKernel:
        raise RunError(
            f"{path.name} asks for the kernel {name!r}. {nearest(name, KernelSpecManager().find_kernel_specs())}"
        ) from None


def _resumable(root: Path, notebook: str, run_id: str) -> Entry:
    entry = find_run(root, run_id)
    status, known = entry["status"], entry["run_id"]
    if entry["notebook"] != notebook:
        command = (
            f"qnb sweep FILE --resume {known}"
            if entry["notebook"] == "sweep"
            else f"qnb run {entry['notebook']} --resume {known}"
        )
        raise RunError(f"{known} is a run of {entry['notebook']}, not of {notebook}: {command}")
    if status == "done":
        raise RunError(f"{known} is done: there is nothing to resume.")
    if status == "running":
        raise RunError(f"{known} is still running.")
    if not isinstance(entry.get("parameters"), dict):
        raise RunError(f"{known} cannot be resumed: its manifest does not say its parameters ({entry['why']}).")
    return entry


def _last_checkpoint(root: Path, entry: Entry) -> Path | None:
    """The nearest folder with a checkpoint: this run's, or one that it was itself resumed from. None: start afresh."""
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


def read_parameters(path: str) -> dict[str, Any]:
    """The parameters in a YAML file, as `papermill -f` reads them; a name given twice is an error.

    Raises:
        ParameterError: no such file, not YAML, or not a mapping of names to values.
    """
    try:
        return parse_parameters(Path(path).read_text("utf-8"), path)
    except OSError as error:
        raise ParameterError(f"Cannot read the parameters file {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ParameterError(f"The parameters file {path} is not UTF-8 text.") from None


def parse_parameters(text: str, where: str) -> dict[str, Any]:
    """As read_parameters, of YAML text; `where` names it in messages."""
    try:
        node = yaml.compose(text, Loader=NoDatesSafeLoader)
        values = yaml.load(text, Loader=NoDatesSafeLoader)
    except yaml.YAMLError as error:
        raise ParameterError(f"{where} is not YAML: {' '.join(str(error).split())}.") from None
    if node is None or values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ParameterError(f"{where} holds no parameters: expected lines of the form `name: value`.")
    names = [key.value for key, _ in node.value]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ParameterError(f"{where} gives {twice[0]!r} twice.")
    return values
