"""A run as its notebook sees it: `begin`, in the cell after the parameters.

A notebook reads its own parameters back from what was executed, so that papermill, `qnb run` and JupyterLab are judged alike: the
names are those assigned in the parameters cell and in the cell that papermill injects after it, the values are the variables'.
"""

import ast
from pathlib import Path
from types import TracebackType
from typing import Any

from qnb.config import StrictConfig
from qnb.errors import QnbError, refuse_unknown
from qnb.runs import alt_text, project
from qnb.runs.folder import Failure, Run, create, reopen
from qnb.runs.project import RunError, find_root

DECLARED = "# Parameters of "  # how the first line of a notebook's parameters cell begins
INJECTED = "# Parameters"  # the first line of the cell that papermill injects

_attached: tuple[Path, Path | None] | None = None  # set by the cell that `qnb run` inserts
_current: Run | None = None  # the run of this kernel; holding it here keeps its lock


def begin(notebook: str, config_class: type[StrictConfig]) -> Run:
    """Start the run of a notebook, in the cell after its parameters: check the parameters, make or attach the run folder.

    A second call in one kernel (cells run again in JupyterLab) starts a run of its own; the one before, if unfinished, is failed.

    Raises:
        ParameterError: a parameter is unknown or refused by `config_class`; no folder was made.
        RunError: not in a notebook, no parameters cell was executed, no project, or its executed/ cannot be written.
    """
    global _attached, _current
    shell = _shell()
    shell.set_custom_exc((QnbError,), _message_alone)
    alt_text.install(shell)
    if _current is not None and _current.managed:
        raise RunError("begin() was called twice: under `qnb run` a notebook has one run.")
    if _current is not None and _current.manifest["status"] == "running":
        _current.close("failed", {"kind": "error", "message": "given up: its notebook was begun anew", "cell": None})
    _current = None
    names, values = shell.user_ns, {}
    for name in parameter_names(shell.history_manager.input_hist_parsed, f"{notebook}.ipynb"):
        if name not in names:
            raise RunError(f"Parameter {name!r} has no value: run the parameters cell again.")
        values[name] = names[name]
    root = find_root()
    config = config_class.make(values).resolved(root, injected_names(shell.history_manager.input_hist_parsed))
    if _attached is not None:
        _current, _attached = reopen(_attached[0], config, _attached[1]), None
    else:
        _current = create(root, notebook, config)
        shell.events.register("post_run_cell", _after_cell)
    return _current


def attach(folder: str, resume_from: str | None = None) -> None:
    """Hand the next `begin` a folder that `qnb run` has made, and the one to go on from. For the cell that `qnb run` inserts.

    From then on the folder's project is the one that `find_root` finds, wherever the kernel works.
    """
    global _attached
    _attached = (Path(folder), Path(resume_from) if resume_from else None)
    project.attached = _attached[0].parents[2]


def parameter_names(history: list[str], where: str) -> list[str]:
    """Names of the parameters that executed cells declare or inject, in order.

    The last executed parameters cell counts, with the cells injected after it.

    Raises:
        ParameterError: an injected name is not declared.
        RunError: no parameters cell was executed.
    """
    starts = _declarations(history)
    if not starts:
        raise RunError(f"No parameters cell was executed: run the cell of {where} that begins with {DECLARED!r} first.")
    declared = assigned_names(history[starts[-1]])
    refuse_unknown(injected_names(history), declared, where)
    return list(declared)


def injected_names(history: list[str]) -> list[str]:
    """Names that the cells injected after the last executed parameters cell assign, in order.

    Raises:
        RunError: such a cell is not Python.
    """
    after = history[max(_declarations(history), default=-1) + 1 :]
    return [name for source in after if source.split("\n", 1)[0].strip() == INJECTED for name in assigned_names(source)]


def _declarations(history: list[str]) -> list[int]:
    """Where in the history the parameters cells are."""
    return [i for i, source in enumerate(history) if source.startswith(DECLARED)]


def assigned_names(source: str) -> dict[str, ast.expr | None]:
    """Names that a cell assigns at its top level, in order, each with the expression assigned; None where the value is not
    that of one expression: in a tuple assignment, `+=`, a loop.

    Raises:
        RunError: the cell is not Python.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise RunError(f"The parameters cell is not valid Python (line {error.lineno}: {error.msg}).") from None
    found: dict[str, ast.expr | None] = {}
    for statement in statements:
        targets, value = _assignment(statement)
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = value
            elif isinstance(target, ast.Tuple | ast.List):
                found |= {item.id: None for item in target.elts if isinstance(item, ast.Name)}
    return found


def _assignment(statement: ast.stmt) -> tuple[list[ast.expr], ast.expr | None]:
    """What a statement assigns to, and the expression that is assigned."""
    match statement:
        case ast.Assign():
            return statement.targets, statement.value
        case ast.AnnAssign():
            return [statement.target], statement.value
        case ast.AugAssign() | ast.For() | ast.AsyncFor():
            return [statement.target], None
    return [], None


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


def _after_cell(result: Any) -> None:
    """IPython's post_run_cell hook: a cell that raised makes the run a failed one, until a later cell finishes it after all."""
    error = result.error_before_exec or result.error_in_exec
    if _current is None or error is None or _current.manifest["status"] == "done":
        return
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return
    interrupted = isinstance(error, KeyboardInterrupt)
    message = str(error) if isinstance(error, QnbError) else f"{type(error).__name__}: {error}".removesuffix(": ")
    message = "stopped by the user" if interrupted else message
    kind = "interrupted" if interrupted else "out_of_memory" if isinstance(error, MemoryError) else "error"
    failure: Failure = {"kind": kind, "message": message, "cell": result.execution_count}
    _current.close("interrupted" if interrupted else "failed", failure)
