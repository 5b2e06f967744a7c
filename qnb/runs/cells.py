"""What the code of a notebook's cells assigns and reads, without running it."""

import ast
import contextlib
from typing import Any

from qnb.runs.project import RunError

DECLARED = "# Parameters of "  # how the first line of a notebook's parameters cell begins
INJECTED = "# Parameters"  # the first line of the cell that papermill injects


def assigned_names(source: str) -> dict[str, ast.expr | None]:
    """Names that a cell assigns at top level, in order, each with the expression assigned; None where the
    value is not that of a single expression: in a tuple assignment, `+=`, a loop.

    Raises:
        RunError: the cell is not Python.
    """
    try:
        return assigned(ast.parse(source).body)
    except SyntaxError as error:
        raise RunError(
            f"The parameters cell is not valid Python (line {error.lineno}: {error.msg})."
        ) from None


def assigned(statements: list[ast.stmt]) -> dict[str, ast.expr | None]:
    """As `assigned_names`, for parsed statements."""
    expressions: dict[str, ast.expr | None] = {}
    for statement in statements:
        targets, value = _assignment(statement)
        for target in targets:
            if isinstance(target, ast.Name):
                expressions[target.id] = value
            elif isinstance(target, ast.Tuple | ast.List):
                expressions |= {item.id: None for item in target.elts if isinstance(item, ast.Name)}
    return expressions


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


def literals(assigned: dict[str, ast.expr | None]) -> dict[str, Any]:
    """The values of those names that are assigned a literal."""
    values = {}
    for name, value in assigned.items():
        if value is not None:
            with contextlib.suppress(ValueError, TypeError):
                values[name] = ast.literal_eval(value)
    return values


def names_read(code: ast.AST) -> set[str]:
    """Names that the code reads."""
    return {
        node.id for node in ast.walk(code) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
