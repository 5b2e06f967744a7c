"""The cells of a kernel, checked against the parameters of its run.

A run's parameters are fixed when it begins. In JupyterLab the parameters cell can be edited and run again
without `begin`: the variables then differ from the configuration that trains. A cell that uses the run or
its configuration is refused while they differ.
"""

import ast
import copy
from typing import Any

from IPython.core.error import InputRejected

from qnb.errors import QnbError
from qnb.runs.cells import assigned, literals, names_read
from qnb.runs.folder import Run


class StaleParameters(InputRejected, QnbError):  # IPython refuses the cell, and shows the message alone
    """A parameter has been assigned another value since the run began, and the run still has the old one."""


class Guard(ast.NodeTransformer):
    """An IPython AST transformer that sees every cell before it runs, and changes none.

    A parameter counts as reassigned where a cell assigns a literal to its variable, as a parameters cell
    does; a loop variable of the same name, for example, does not count.
    """

    def __init__(self, run: Run, values: dict[str, Any]):
        self.run, self.values, self.again = run, copy.deepcopy(values), dict[str, Any]()

    def install(self, shell: Any) -> None:
        """Register with this shell, replacing the guard of an earlier run."""
        self.variables = shell.user_ns
        shell.ast_transformers[:] = [*(t for t in shell.ast_transformers if not isinstance(t, Guard)), self]

    def visit(self, node: ast.AST) -> Any:
        """Return the cell `node` unchanged, or refuse it.

        A cell that uses a failed or interrupted run outside of `qnb run` sets its status back to running.

        Raises:
            StaleParameters: it uses the run while a parameter has another value in the kernel.
        """
        if not isinstance(node, ast.Module) or _begins(node):
            return node
        assignments = {
            name: value for name, value in literals(assigned(node.body)).items() if name in self.values
        }
        self.again |= assignments
        if not self._uses_the_run(node):
            return node
        for name in self.again:
            value = assignments.get(name, self.variables.get(name))
            if (type(value), value) != (type(self.values[name]), self.values[name]):
                raise StaleParameters(
                    f"{name} is {value!r} in the kernel, but run {self.run.id} began with {name} = "
                    f"{self.values[name]!r} and goes on with that. Run the cell with begin(...) again for a "
                    "run of the new value, or put the old one back."
                )
        if self.run.manifest["status"] in ("failed", "interrupted") and not self.run.managed:
            self.run.go_on()
        return node

    def _uses_the_run(self, cell: ast.Module) -> bool:
        objects = (self.run, self.run.config)
        return any(any(self.variables.get(name) is one for one in objects) for name in names_read(cell))


def _begins(cell: ast.Module) -> bool:
    """Whether a cell calls `begin`."""
    calls = (node.func for node in ast.walk(cell) if isinstance(node, ast.Call))
    return any(getattr(function, "id", getattr(function, "attr", None)) == "begin" for function in calls)
