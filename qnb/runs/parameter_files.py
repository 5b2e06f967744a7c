"""Parameters from YAML, as `papermill -f` and `-y` read them."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from papermill.iorw import NoDatesSafeLoader

from qnb.errors import ParameterError


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
