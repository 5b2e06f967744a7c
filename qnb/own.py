"""Parts of a circuit that are the user's own: written in a cell, or in a file and given as FILE:NAME.

Such a part is an `Own`: a string of its place and the hash of its text, so that it is stored, hashed and
compared like the names of qnb's built-in parts; it also carries the part itself. A file is read and run only
where the user names it: never from a run folder, and never if its hash differs from the recorded one.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from qnb.errors import ParameterError

PARTS = ("encoder", "ansatz", "measurement")  # parameters whose value may be one
DIGITS = 16  # of the SHA-256, in the string
LARGEST = 1 << 16  # bytes of a file of circuits
# what a file may raise when it is run, as a message; anything else is its own traceback
FAILURES = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
            SyntaxError, TypeError, ValueError)  # fmt: skip

_project: ContextVar[Path | None] = ContextVar("project", default=None)
_default: Path | None = None  # the project of this kernel's run
_shipped: dict[str, str] = {}  # by DIGITS of its hash, the text that another process sent along


class Own(str):
    """A part of the user's own. As a string it is "circuits.py:brickwork@1f3a5c7e9b2d4f60", or
    "brickwork@..." where it was written in a cell.

    Two are equal if their places and the hashes of their texts are.

    Attributes:
        value: the function, Pattern, Layer, Measurement or list of Pauli words.
        name: of the part in its file, or of its function.
        file: relative to the project or to notebooks/; None: it comes from a cell.
        text: of the file; else of the function, with the global and enclosing names it uses.
        sha256: of the text, in hex.
    """

    value: Any
    name: str
    file: str | None
    text: str
    sha256: str

    def __new__(cls, value: Any, name: str, file: str | None, text: str) -> Self:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        place = name if file is None else f"{file}:{name}"
        own = super().__new__(cls, f"{place}@{sha256[:DIGITS]}")
        own.value, own.name, own.file, own.text, own.sha256 = value, name, file, text, sha256
        return own

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.value, self.name, self.file, self.text

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def part(given: Any) -> Any:
    """The `Own` for a part of the user's or for FILE:NAME; names of qnb's built-in parts as they are.

    Raises:
        ParameterError: there is no such file or name; the file cannot be read, lies outside the project or
            in executed/, fails when run, takes names from code that is not installed, or has another hash
            than recorded; a recorded part was written in a cell; or a function is not written in Python.
    """
    if isinstance(given, Own):
        return given
    if not isinstance(given, str):
        return Own(given, name_of(given), None, "\n".join(_texts(given, set())))
    place, at, digits = given.partition("@")
    file, colon, name = place.rpartition(":")
    if colon:
        return _from_file(file, name, digits)
    if at:
        raise ParameterError(
            f"{given} was written in a cell, and nothing that is stored is run: give the function itself, "
            f"or FILE:{place} of a file with it."
        )
    return given


def value_of(given: Any) -> Any:
    """The part that an `Own` carries; anything else as it is."""
    return given.value if isinstance(given, Own) else given


def place(given: str) -> str:
    """A part's string without the hash: FILE:NAME, or its name in a cell; built-in names as they are."""
    return given.partition("@")[0]


def is_part(given: Any) -> bool:
    """Whether a value is a part of the user's, or a string that names one, and not a built-in name."""
    if isinstance(given, str):
        return isinstance(given, Own) or ":" in given or "@" in given
    instance = dataclasses.is_dataclass(given) and not isinstance(given, type)
    return instance or callable(given) or isinstance(given, list | tuple)


def same(own: Any, recorded: Any) -> bool:
    """Whether a part has the text and the name that an earlier run recorded, in whichever file."""
    if not isinstance(own, Own) or not isinstance(recorded, str):
        return False
    place, _, digits = recorded.partition("@")
    return (own.name, own.sha256[:DIGITS]) == (place.rpartition(":")[2], digits)


def in_place_of(recorded: Any, given: Any) -> Own:
    """A part given for a recorded run, as an `Own` with the recorded place: same text and name, but maybe in
    another file now.

    Raises:
        ParameterError: it has another text or name, the run has a built-in part there, or as `part`.
    """
    loaded = part(given)
    if not same(loaded, recorded):
        raise ParameterError(
            f"{loaded} is not what the run had, {recorded}: give the same name, of a file with the same text."
        )
    file, colon, _ = str(recorded).partition("@")[0].rpartition(":")
    return Own(loaded.value, loaded.name, file if colon else None, loaded.text)


def parts_of(values: Any) -> Iterator[Own]:
    """Every `Own` in a mapping of parameters, nested ones (arms) too, each once."""
    parts: dict[str, Own] = {}

    def walk(value: Any) -> None:
        if isinstance(value, Own):
            parts.setdefault(str(value), value)
        elif isinstance(value, Mapping):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(dict(values))
    yield from parts.values()


@contextlib.contextmanager
def looked_for_in(project: Path) -> Iterator[None]:
    """Context in which FILE is looked up in this project: in notebooks/, then in its root."""
    token = _project.set(Path(project))
    try:
        yield
    finally:
        _project.reset(token)


def belongs_to(project: Path) -> None:
    """Make `project`, that of this kernel's run, the default for looking up FILE."""
    global _default
    _default = Path(project)


def given_in(config: Any) -> dict[str, Own]:
    """The user's own parts in a training configuration, by parameter, for `qnb.load_model`."""
    return {name: value for name, value in config if name in PARTS and isinstance(value, Own)}


def texts_of(values: Any) -> dict[str, str]:
    """The texts of the files in a configuration, by their SHA-256 in hex, for `ship` in another process."""
    return {own.sha256: own.text for own in parts_of(values) if own.file is not None}


def ship(texts: Mapping[str, str]) -> None:
    """Use these texts, by their SHA-256, for files recorded with these hashes, without reading the files.

    Raises:
        ParameterError: a text does not have its hash.
    """
    for sha256, text in texts.items():
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise ParameterError(f"A text was sent along whose hash is not {sha256}.")
        _shipped[sha256[:DIGITS]] = text


def _from_file(file: str, name: str, digits: str) -> Own:
    text = _shipped.get(digits) if digits else None
    if text is None:
        text = _read(file)
    sha256 = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    if digits and sha256 != digits:
        raise ParameterError(
            f"{file} has changed: {name} was recorded from a text of SHA-256 {digits}..., it is {sha256}... "
            "now. Bring the old text back, or give another file that has it."
        )
    namespace = _run(text, file)
    if name not in namespace:
        known = [key for key, value in namespace.items() if callable(value) and not key.startswith("_")]
        raise ParameterError(f"{file} defines no {name!r}. It defines: {', '.join(known) or 'no function'}.")
    return Own(namespace[name], name, Path(file).as_posix(), text)


def _read(file: str) -> str:
    path = _find(file)
    try:
        data = path.read_bytes()
        if len(data) > LARGEST:
            raise ParameterError(f"{path} has {len(data):,} bytes; one of circuits may have {LARGEST:,}.")
        return data.decode()
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{path} is not UTF-8 text.") from None


def _find(file: str) -> Path:
    """The file, in notebooks/ or in the project; without a project set, in that of the working directory."""
    project, cwd = _project.get() or _default, Path.cwd()
    around = [cwd, *(p for p in cwd.parents if (p / "notebooks").is_dir())]
    roots = [project] if project is not None else around
    places = [base.resolve() for root in roots for base in (root / "notebooks", root)]
    paths = [path for base in places if (path := (base / file).resolve()).is_file()]
    if not paths:
        raise ParameterError(
            f"There is no file {file!r} in {' or '.join(map(str, places[:2]))}: a file beside the notebook, "
            "or in the project, is given as FILE:NAME."
        )
    path = paths[0]
    if not any(path.is_relative_to(base) for base in places):
        raise ParameterError(f"{file!r} leads out of the project: give a file in it.")
    if "executed" in path.parts:
        raise ParameterError(
            f"{file!r} is in executed/: code is not run from run folders. Give your own copy."
        )
    if len({p.read_bytes() for p in paths[:2]}) > 1:
        raise ParameterError(f"{file!r} is both {paths[0]} and {paths[1]}, with different texts: keep one.")
    return path


@functools.lru_cache(maxsize=64)
def _run(text: str, file: str) -> dict[str, Any]:
    """What a text defines; once for each text, so that the same part is the same object."""
    namespace: dict[str, Any] = {"__name__": f"qnb circuits {file}", "__file__": file}
    try:
        exec(compile(text, file, "exec"), namespace)
    except FAILURES as error:
        raise ParameterError(f"{file} fails when it is run: {type(error).__name__}: {error}.") from error
    for name, value in namespace.items():
        module = value if isinstance(value, types.ModuleType) else sys.modules.get(_module_of(value) or "")
        if module is not None and not _installed(module):
            raise ParameterError(
                f"{file} takes {name} from {module.__name__}, which is not installed: a run records one "
                "file, so that what it needs has to stand in it."
            )
    del namespace["__builtins__"]
    return namespace


def _module_of(value: Any) -> str | None:
    return getattr(value, "__module__", None) if isinstance(value, types.FunctionType | type) else None


def _installed(module: types.ModuleType) -> bool:
    """Whether a module is Python's, of an installed package, or qnb's."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return module.__name__ != "__main__"
    own = Path(__file__).parent
    prefixes = (Path(sys.prefix), Path(sys.base_prefix), own)
    outside = any(part in ("site-packages", "dist-packages") for part in Path(file).parts)
    return outside or any(Path(file).is_relative_to(prefix) for prefix in prefixes)


def name_of(value: Any) -> str:
    """The name of a part for messages and files."""
    if isinstance(value, list | tuple):
        return "words"
    function = getattr(value, "f", value)
    return str(getattr(function, "__name__", type(value).__name__)).strip("<>")


def _texts(value: Any, seen: set[int]) -> Iterator[str]:
    """The text of a value, line by line: of a function its source, with what it takes from around it."""
    if isinstance(value, types.FunctionType):
        if id(value) not in seen:
            seen.add(id(value))
            yield _source(value)
            around = inspect.getclosurevars(value)
            for name, item in sorted({**around.nonlocals, **around.globals}.items()):
                yield from _around(name, item, seen)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield f"{type(value).__name__}:"
        for field in dataclasses.fields(value):
            yield from _around(field.name, getattr(value, field.name), seen)
    elif isinstance(value, functools.partial):
        yield from _texts(value.func, seen)
        yield from _around("arguments", (value.args, value.keywords), seen)
    elif hasattr(value, "tolist"):  # arrays
        yield repr(value.tolist())
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, seen)
    elif callable(value):
        raise ParameterError(
            f"{value!r}: a function written in Python was expected, of which qnb reads the text."
        )
    else:
        yield repr(value)


def source_of(part: Own) -> str:
    """The source of a part to show: that of its file or function; "" for words written in a cell."""
    function = getattr(part.value, "f", part.value)
    if part.file is not None:
        return part.text
    return _source(function) if isinstance(function, types.FunctionType) else ""


def _around(name: str, value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, types.ModuleType):
        yield f"# {name} = {value.__name__}"
    elif callable(value) and _installed(sys.modules.get(getattr(value, "__module__", ""), types)):
        yield f"# {name} = {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    else:
        yield f"# {name} ="
        yield from _texts(value, seen)


def _source(function: types.FunctionType) -> str:
    """Its source; of one without (made by exec), its byte code."""
    try:
        return textwrap.dedent(inspect.getsource(function)).rstrip()
    except (OSError, TypeError):
        code = function.__code__
        return f"{code.co_name} {code.co_code.hex()} {code.co_consts!r} {code.co_names!r}"
