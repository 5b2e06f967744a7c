"""The executed notebook of a run without `qnb run`: in JupyterLab, or under bare papermill.

The kernel records what its cells displayed, and stores notebook.ipynb and report.html in the run folder when
the run has ended. Text between the cells comes from the notebook in notebooks/, where cells are the same.
"""

import base64
from collections.abc import Callable
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qnb.files import NOTEBOOK, REPORT
from qnb.runs.folder import Run

Cells = list[nbformat.NotebookNode]
ENDED = ("done", "failed", "interrupted")
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


class Recorder:
    """Records the cells of a kernel from `begin` on.

    Args:
        run: the run whose folder gets the notebook.
        cells: execution count and source of the cells from the parameters cell to the current one; empty in
            a kernel without history.
    """

    def __init__(self, run: Run, cells: list[tuple[int, str]]):
        self.run = run
        self.cells = [new_code_cell(source, execution_count=k) for k, source in cells] or [new_code_cell("")]
        self.stored = False
        self.displays: dict[str, nbformat.NotebookNode] = {}
        path = run.folder.parents[2] / "notebooks" / f"{run.folder.parent.name}.ipynb"
        self.source = nbformat.read(path, as_version=4).cells if path.exists() else []

    def install(self, shell: Any) -> None:
        """Subscribe to the cells and displays of this shell, replacing an earlier run's recorder."""
        for event, hear in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            for other in list(shell.events.callbacks[event]):
                if isinstance(getattr(other, "__self__", None), Recorder):
                    shell.events.unregister(event, other)
            shell.events.register(event, hear)
        _listen(shell.display_pub, "publish", self._displayed)
        _listen(shell.displayhook, "write_format_data", self._result)

    def _before(self, info: Any) -> None:
        if info.store_history:
            self.cells.append(new_code_cell(info.raw_cell))

    def _displayed(
        self,
        data: dict[str, Any],
        metadata: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        name = (transient or {}).get("display_id")
        output = new_output("display_data", data=_plain(data), metadata=metadata or {})
        if update and name in self.displays:
            self.displays[name].update(output)
            return
        self.cells[-1].outputs.append(output)
        if name is not None:
            self.displays[name] = self.cells[-1].outputs[-1]

    def _result(self, data: dict[str, Any], metadata: Any = None) -> None:
        output = new_output("execute_result", data=_plain(data), metadata=metadata or {})
        self.cells[-1].outputs.append(output)

    def _after(self, result: Any) -> None:
        cell = self.cells[-1]
        cell.execution_count = result.execution_count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = result.execution_count
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            name, text = type(error).__name__, str(error)
            cell.outputs.append(new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"]))
        if self.run.manifest["status"] not in ENDED:
            self.stored = False
        elif not self.stored or cell.source in {known.source for known in self.source}:
            self._store()
        else:  # what is tried in a kernel after its run has ended is no part of the run
            self.cells.pop()

    def _store(self) -> None:
        from qnb.runs.html import (
            as_html,  # nbconvert, which a cell that runs before the end need not wait for
        )

        nb = new_notebook(cells=_with_text(self.cells, self.source), metadata=METADATA)
        self.run.write_text(NOTEBOOK, nbformat.writes(nb) + "\n")
        self.run.write_text(REPORT, as_html(nb, f"{self.run.folder.parent.name} {self.run.id}"))
        self.run.note(**self.run.inventory())
        self.stored = True


def _listen(speaker: Any, method: str, hear: Callable[..., None]) -> None:
    """Call `hear` before each call of a method of one object, in the place of an earlier listener."""
    speak = getattr(getattr(speaker, method), "spoken", getattr(speaker, method))

    def heard(*arguments: Any, **options: Any) -> Any:
        hear(*arguments, **options)
        return speak(*arguments, **options)

    heard.spoken = speak  # type: ignore[attr-defined]
    setattr(speaker, method, heard)


def _with_text(
    cells: list[nbformat.NotebookNode], source: list[nbformat.NotebookNode]
) -> list[nbformat.NotebookNode]:
    """The executed cells, with the tags and the text that the same cells have in their notebook."""
    merged, start = [], 0
    for cell in cells:
        same = next((k for k in range(start, len(source)) if source[k].source == cell.source), None)
        if same is not None:
            merged += [text for text in source[start:same] if text.cell_type == "markdown"]
            cell.metadata, start = source[same].metadata, same + 1
        merged.append(cell)
    return merged


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """A mime bundle with images in base64, as notebooks hold them."""
    return {kind: base64.b64encode(v).decode() if isinstance(v, bytes) else v for kind, v in data.items()}
