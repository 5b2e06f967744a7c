"""A call of `qnb run`, checked before a kernel starts: notebook, parameters, kernel, run to resume."""

import ast
import difflib
import importlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from papermill.iorw import NoDatesSafeLoader

from qnb import own
from qnb.config import StrictConfig
from qnb.errors import ParameterError, nearest, refuse_unknown
from qnb.files import CHECKPOINT, plain
from qnb.runs.cells import DECLARED, assigned_names, literals, names_read
from qnb.runs.listing import LATEST, Entry, find_run
from qnb.runs.project import RunError, given_root

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
    parameters = _with_run_ids(folder, parameters)
    _refuse_executed(nb, path, parameters)
    with own.looked_for_in(folder):
        config = _configuration(nb, path, {**_defaults(nb, path, declared, parameters), **parameters})
        values = parameters if config is None else {name: getattr(config, name) for name in parameters}
        config = config and config.resolved(folder, parameters)
    if entry and config is not None and config.hash() != entry.get("hash"):
        run_name = f"{entry['run_id']} ({entry.get('hash')}, here {config.hash()})"
        raise RunError(
            f"The parameters of {run_name} mean something else to this notebook and this version of qnb."
        )
    _require_kernel(nb, path)
    injected = plain(values)  # as the configuration took them; papermill writes a tuple as text
    unread = () if config is not None else _unread(nb, parameters)
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


def find_notebook(root: Path, name: str) -> Path:
    """The path of the notebook called `name` in notebooks/, or at that path.

    Raises:
        RunError: there is none; the message has the nearest name.
    """
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    paths = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    stem = name.removesuffix(".ipynb")
    if stem not in paths:
        raise RunError(f"No notebook {name!r} in {root / 'notebooks'}. {nearest(stem, paths)}")
    return paths[stem]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, in version 4 of the format.

    Raises:
        RunError: the file cannot be read, or is not a notebook.
    """
    try:
        nb: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror}.") from None
    except (
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        nbformat.ValidationError,
        nbformat.reader.NotJSONError,
    ) as error:
        raise RunError(f"{path} is not a notebook: {str(error).splitlines()[0][:200]}") from None
    return nb


def _tagged(nb: nbformat.NotebookNode, tag: str) -> list[str]:
    """Sources of the cells with that tag."""
    return [cell.source for cell in nb.cells if tag in cell.metadata.get("tags", [])]


def declared_parameters(nb: nbformat.NotebookNode, path: Path) -> dict[str, ast.expr | None]:
    """Names of the parameters cell, each with the expression assigned (`qnb.runs.cells.assigned_names`);
    empty if there is no such cell.

    Raises:
        RunError: there are several, of which papermill would override only the first, or it is not Python.
    """
    cells = _tagged(nb, "parameters")
    if len(cells) > 1:
        raise RunError(
            f"{path.name} has {len(cells)} cells tagged `parameters`; papermill overrides the first alone. "
            "Tag one."
        )
    return assigned_names(cells[0]) if cells else {}


def _refuse_executed(nb: nbformat.NotebookNode, path: Path, parameters: dict[str, Any]) -> None:
    """Raise RunError where the notebook holds overrides of an earlier execution: they would run under the
    name of the defaults, or be replaced by `parameters` as a whole.
    """
    overrides: dict[str, ast.expr | None] = {}
    for source in _tagged(nb, "injected-parameters"):
        overrides |= assigned_names(source)
    values, defaults = literals(overrides), literals(declared_parameters(nb, path))
    same = [name for name in values if name in defaults and plain(values[name]) == plain(defaults[name])]
    lost = [name for name in overrides if name not in parameters and name not in same]
    if lost:
        options = " ".join(f"-p {name} {values.get(name, '...')!r}" for name in lost)
        raise RunError(
            f"{path.name} is an executed notebook, with "
            f"{', '.join(f'{name} = {values.get(name)!r}' for name in lost)} injected into it. Run its "
            f"source, or give what it was given as well: {options}"
        )


def _defaults(
    nb: nbformat.NotebookNode, path: Path, declared: dict[str, ast.expr | None], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Defaults that the parameters cell writes out.

    RunError where a checked notebook computes one, which the kernel alone would know.
    """
    values = literals(declared)
    computed = [name for name in declared if name not in values and name not in parameters]
    if computed and "config" in nb.metadata.get("qnb", {}):
        raise RunError(
            f"{path.name} computes the default of {computed[0]}: write its value out, or give one with -p "
            f"{computed[0]}."
        )
    return values


def _unread(nb: nbformat.NotebookNode, parameters: dict[str, Any]) -> tuple[str, ...]:
    """Names given that no code cell reads.

    Empty where that cannot be told: a magic, or a call that looks names up.
    """
    names: set[str] = set()
    for cell in nb.cells:
        if cell.cell_type == "code":
            try:
                names |= names_read(ast.parse(cell.source))
            except SyntaxError:
                return ()
    lookups = {"begin", "globals", "locals", "vars", "eval", "exec", "get_ipython"}
    begins = any("begin(" in cell.source for cell in nb.cells if cell.cell_type == "code")
    return () if begins or names & lookups else tuple(name for name in parameters if name not in names)


def _configuration(nb: nbformat.NotebookNode, path: Path, values: dict[str, Any]) -> StrictConfig | None:
    """The notebook's configuration, of the class that its metadata `qnb.config` names as "module:Class".

    None where it names none.
    """
    name = nb.metadata.get("qnb", {}).get("config")
    if name is None:
        return None
    module, _, cls = str(name).partition(":")
    expected = (
        f"{path.name} names the configuration class {name!r}; expected one like 'qnb.config:TrainConfig'"
    )
    if not cls:
        raise RunError(f"{expected}.")
    try:
        config = getattr(importlib.import_module(module), cls, None)
    except ModuleNotFoundError as error:
        raise RunError(f"{expected} ({error}).") from None
    if not (isinstance(config, type) and issubclass(config, StrictConfig)):
        raise RunError(f"{expected}.")
    return config.make(values)


def _require_kernel(nb: nbformat.NotebookNode, path: Path) -> None:
    """Raise RunError where the notebook's kernel is not named, not known, not Python, or has lost its
    program. Notes its language.
    """
    name = nb.metadata.get("kernelspec", {}).get("name")
    kernels = KernelSpecManager().find_kernel_specs()
    if not name:
        raise RunError(
            f"{path.name} names no kernel (metadata.kernelspec.name): open it in JupyterLab and choose one "
            f"of {', '.join(kernels)}."
        )
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise RunError(f"{path.name} asks for the kernel {name!r}. {nearest(name, kernels)}") from None
    if spec.language.lower() not in ("python", ""):
        raise RunError(
            f"{path.name} asks for the kernel {name!r}, whose language is {spec.language!r}; qnb runs Python "
            "notebooks."
        )
    program = kernel_program(spec)
    if shutil.which(program) is None:
        raise RunError(
            f"The kernel {name!r} of {path.name} starts {program}, which is not there: was its environment "
            "removed? `jupyter kernelspec list` shows where it is registered; `jupyter kernelspec remove "
            f"{name}` removes it."
        )


def kernel_program(spec: KernelSpec) -> str:
    """The interpreter that a kernel starts; for a bare `python`, jupyter_client takes its own."""
    program: str = spec.argv[0]
    return (
        sys.executable if program in ("python", "python3", f"python3.{sys.version_info.minor}") else program
    )


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


def read_parameters(path: str) -> dict[str, Any]:
    """The parameters in a YAML file, as `papermill -f` reads them.

    Raises:
        ParameterError: the file cannot be read, is no YAML mapping of names to values, or gives a name
            twice.
    """
    try:
        return parse_parameters(Path(path).read_text("utf-8"), path)
    except OSError as error:
        raise ParameterError(
            f"Cannot read the parameters file {path}: {error.strerror}.{_nearest_file(Path(path))}"
        ) from None
    except UnicodeDecodeError:
        raise ParameterError(f"The parameters file {path} is not UTF-8 text.") from None


def _nearest_file(path: Path) -> str:
    """A sentence with the YAML file whose name comes closest, beside `path` or in params/ below the working
    directory.
    """
    files = {
        str(file): file.name for folder in (path.parent, Path("params")) for file in folder.glob("*.y*ml")
    }
    close = difflib.get_close_matches(path.name, files.values(), n=1, cutoff=0.5)
    return f" Did you mean {next(file for file, name in files.items() if name == close[0])}?" if close else ""


def parse_parameters(text: str, where: str) -> dict[str, Any]:
    """As `read_parameters`, for YAML text; `where` names it in messages.

    Raises:
        ParameterError: it is no YAML mapping of names to values, or gives a name twice.
    """
    try:
        node = yaml.compose(text, Loader=NoDatesSafeLoader)
        values = yaml.load(text, Loader=NoDatesSafeLoader)
    except yaml.YAMLError as error:
        raise ParameterError(f"{where} is not YAML: {_yaml_error(error)}.") from None
    if node is None or values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ParameterError(f"{where} holds no parameters: expected lines of the form `name: value`.")
    names = [key.value for key, _ in node.value]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ParameterError(f"{where} gives {repeated[0]!r} twice.")
    return values


def _yaml_error(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = f"line {error.problem_mark.line + 1}"
        if "'\\t'" in (error.problem or ""):
            return f"{place} has a tab where YAML takes spaces only"
        return f"{place}: {error.problem}"
    return " ".join(str(error).split())
