"""A run as its notebook sees it: `begin`, in the cell after the parameters.

A notebook reads its own parameters back from what was executed, so that papermill, `qnb run` and JupyterLab
are treated alike: the names are those assigned in the parameters cell and in the cell that papermill injects
after it, the values are those of the variables.
"""

import atexit
import gc
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from qnb import own
from qnb.config import StrictConfig
from qnb.errors import ParameterError, QnbError, refuse_unknown
from qnb.runs import alt_text, project
from qnb.runs.cells import DECLARED, INJECTED, assigned_names, literals
from qnb.runs.folder import Failure, Run, create, reopen
from qnb.runs.guard import Guard, StaleParameters
from qnb.runs.project import RunError, find_root
from qnb.runs.provenance import package

_attached: tuple[Path, Path | None] | None = None  # set by the cell that `qnb run` inserts
_current: Run | None = None  # the run of this kernel; holding it here keeps its lock
_seen = 0  # cells of the history that earlier calls of `begin` have judged


def begin(notebook: str, config_class: type[StrictConfig]) -> Run:
    """Start the run of a notebook, in the cell after its parameters: check the parameters, then create the
    run folder, or open the one that `qnb run` has created.

    What was injected and what the variables hold must agree. From then on the kernel's cells are checked
    against the run's parameters (see `qnb.runs.guard`). A second call in one kernel (cells run again in
    JupyterLab) starts a new run; the one before, if unfinished, gets the status `failed`.

    Args:
        notebook: its name, without ending.
        config_class: the class of its parameters.

    Raises:
        ParameterError: a parameter is unknown, refused by `config_class`, or not what was injected; no folder
            was created.
        RunError: not in a notebook, no parameters cell was executed, no project, its executed/ cannot be
            written, or, under `qnb run`, a second call, or parameters other than those of the run.
    """
    global _attached, _current, _seen
    shell = _shell()
    shell.set_custom_exc((QnbError,), _message_alone)
    _stop_in_one_line(shell)
    alt_text.install(shell)
    if _current is not None and _current.managed:
        raise RunError("begin() was called twice: under `qnb run` a notebook has one run.")
    if _current is not None and _current.manifest["status"] == "running":
        _current.close(
            "failed", {"kind": "error", "message": "given up: its notebook was begun anew", "cell": None}
        )
    _current = None
    history = shell.history_manager.input_hist_parsed
    since, _seen = _seen, len(history)
    where = f"{notebook}.ipynb"
    values = parameter_values(history, shell.user_ns, config_class, where)
    injected = _injected(history, since, where, values)
    root = find_root()
    own.belongs_to(root)
    config = config_class.make(values).resolved(root, injected)
    if _attached is not None:
        _current, _attached = reopen(_attached[0], config, _attached[1]), None
        for difference in _current.manifest["launched_with"]:
            print(f"not the stack that `qnb run` has: {difference}", file=sys.stderr)
    else:
        _current = create(root, notebook, config)
        shell.events.register("post_run_cell", _after_cell)
        from qnb.runs.recorder import Recorder  # `qnb run` needs none

        sources = list(enumerate(shell.history_manager.input_hist_raw))[1:]
        first = max((k for k, source in sources if source.startswith(DECLARED)), default=len(sources))
        Recorder(_current, [(k, source) for k, source in sources if k >= first]).install(shell)
    Guard(_current, values).install(shell)
    return _current


def attach(
    folder: str,
    resume_from: str | None = None,
    launched_from: str | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """Hand the next `begin` a folder that `qnb run` has created, and the one to resume from.

    For the cell that `qnb run` inserts. From then on `find_root` returns the folder's project, whatever the
    kernel's working directory is.

    Args:
        folder: the run folder.
        resume_from: the folder with the checkpoint; None: there is none.
        launched_from: the package folder of qnb in the process of `qnb run`.
        texts: of the user's circuit files in the configuration, by hash; see `qnb.own.ship`.

    Raises:
        RunError: this kernel has imported qnb from elsewhere.
    """
    global _attached
    if launched_from is not None and Path(launched_from) != package():
        raise RunError(
            f"`qnb run` has qnb from {launched_from}, its kernel from {package()} ({sys.executable}): that "
            "would be other code than was asked. Start `qnb` from the environment whose kernel runs the "
            "notebook, with one PYTHONPATH for both, or choose another kernel."
        )
    # Most of what is allocated here is modules, which stay: looking through them for cycles every 700 objects
    # takes a quarter of the time of importing, and once more, at the exit, 0.6 s.
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)
    own.ship(texts or {})
    _attached = (Path(folder), Path(resume_from) if resume_from else None)
    project.attached = _attached[0].parents[2]


def parameter_values(
    history: list[str], variables: dict[str, Any], config_class: type[StrictConfig], where: str
) -> dict[str, Any]:
    """The values that the kernel's variables hold for the parameters, by name.

    The names are those of the last executed parameters cell. A kernel that keeps no history
    (`store_history=False`: nbval, %run) cannot tell whether one was executed; there they are the fields of
    `config_class`, if all of them have a value.

    Raises:
        RunError: no parameters cell was executed, or one of its names has lost its value.
    """
    declared = [source for source in history if source.startswith(DECLARED)]
    names = list(assigned_names(declared[-1]) if declared else config_class.model_fields)
    missing = [name for name in names if name not in variables]
    if missing and not declared:
        raise RunError(
            f"No parameters cell was executed: run the cell of {where} that begins with {DECLARED!r} first "
            f"({len(missing)} of its {len(names)} names have no value: {', '.join(missing[:5])}, ...)."
        )
    if missing:
        raise RunError(f"Parameter {missing[0]!r} has no value: run the parameters cell again.")
    return {name: variables[name] for name in names}


def _injected(history: list[str], since: int, where: str, values: dict[str, Any]) -> list[str]:
    """Names that papermill or `qnb run` injected: by cells after the last parameters cell, and, in vain, by
    others since the last `begin`.

    Raises:
        ParameterError: one is not declared, or its variable holds another value.
    """
    last = max((i for i, source in enumerate(history) if source.startswith(DECLARED)), default=-1)
    cells = [
        source for source in history[min(since, last + 1) :] if source.split("\n", 1)[0].strip() == INJECTED
    ]
    after = [source for source in history[last + 1 :] if source in cells]
    injected: dict[str, Any] = {}
    for source in cells:
        refuse_unknown(assigned_names(source), values, where)
        injected |= literals(assigned_names(source))
    for name, value in injected.items():
        if (type(value), value) != (type(values[name]), values[name]):
            raise ParameterError(
                f"{name} = {value!r} was injected into {where}, but its variable holds {values[name]!r}: a "
                f"cell below assigns it again, or the cell that begins with {DECLARED!r} has lost its tag "
                "`parameters`, so that it ran after the injected one."
            )
    return [name for source in after for name in assigned_names(source)]


def _shell() -> Any:
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise RunError("begin() is for notebooks: open one in JupyterLab, or use papermill or `qnb run`.")
    return shell


def _message_alone(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
    tb_offset: int | None = None,
) -> list[str]:
    """IPython's traceback for an error of ours: its message, which is all that helps."""
    lines = [f"{kind.__name__}: {error}"]
    shell._showtraceback(kind, error, lines)
    return lines


def _stop_in_one_line(shell: Any) -> None:
    """Answer the stop button by one line, whether it meets a cell's own code or IPython's around it."""
    show = shell.showtraceback
    if getattr(show, "__name__", "") == "message_or_traceback":  # done by an earlier `begin`
        return

    def message_or_traceback(exc_tuple: Any = None, *args: Any, **options: Any) -> None:
        kind, error, _ = exc_tuple or sys.exc_info()
        if isinstance(error, KeyboardInterrupt):
            shell._showtraceback(kind, error, [_stopped(str(error))])
        else:
            show(exc_tuple, *args, **options)

    shell.showtraceback = message_or_traceback


def _stopped(message: str) -> str:
    """One line for an interrupt: where it stopped, as far as that is known, and how to resume elsewhere."""
    message = message or "Stopped. Run the cell again."
    if _current is None:
        return message
    command = f"qnb run {_current.folder.parent.name} --resume {_current.id}"
    return f"{message} In another kernel or from a terminal: {command}"


def _after_cell(result: Any) -> None:
    """IPython's post_run_cell hook: a cell that raised makes the run a failed one, until a later cell
    finishes it after all.
    """
    error = result.error_before_exec or result.error_in_exec
    if _current is None or error is None or _current.manifest["status"] == "done":
        return
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return
    if isinstance(error, StaleParameters):  # the cell did not run
        return
    interrupted = isinstance(error, KeyboardInterrupt)
    message = (
        str(error) if isinstance(error, QnbError) else f"{type(error).__name__}: {error}".removesuffix(": ")
    )
    message = "stopped by the user" if interrupted else message
    kind = "interrupted" if interrupted else "out_of_memory" if isinstance(error, MemoryError) else "error"
    failure: Failure = {"kind": kind, "message": message, "cell": result.execution_count}
    _current.close("interrupted" if interrupted else "failed", failure)
