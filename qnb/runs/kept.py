"""What is kept of a notebook that `qnb run` executed: notebook.ipynb, with the failure in it if there was
one, and report.html.
"""

import copy
import html
import re

import nbformat

from qnb.files import NOTEBOOK, REPORT
from qnb.runs.folder import Failure, Run

PARTIAL = "notebook.partial.ipynb"  # where papermill writes while the notebook runs
KERNEL_LOG = "kernel.log"  # what the kernel process wrote outside of the notebook: crashes in native code
BANNER = "papermill-error-cell-tag"  # papermill's tag of the cells that say where an error was
OURS = "qnb-run"  # tag of the cell that hands the kernel its run folder


def publish(nb: nbformat.NotebookNode, run: Run, failure: Failure | None) -> None:
    """Store the executed notebook and its HTML. The failure is in the notebook whatever kind it was."""
    partial = run.folder / PARTIAL
    try:
        nb = nbformat.read(partial, as_version=4)
    except (ValueError, nbformat.reader.NotJSONError):
        # half-written: keep at least the source and the failure
        nb = copy.deepcopy(nb)
    nb.cells = [cell for cell in nb.cells if OURS not in cell.metadata.get("tags", [])]
    _correct_metadata(nb, run)
    if failure is not None:
        _mark_failure(nb, failure)
    run.write_text(NOTEBOOK, nbformat.writes(nb) + "\n")
    from qnb.runs.html import as_html

    run.write_text(REPORT, as_html(nb, f"{run.folder.parent.name} {run.id}"))
    partial.unlink(missing_ok=True)
    if failure is None:
        (run.folder / KERNEL_LOG).unlink(missing_ok=True)


def _correct_metadata(nb: nbformat.NotebookNode, run: Run) -> None:
    """papermill's notes, without paths of this machine, and without `completed` on cells that never ran."""
    notes = nb.metadata.get("papermill", {})
    notes["input_path"] = notes["output_path"] = f"{run.folder.parent.name}/{run.id}/{NOTEBOOK}"
    for cell in nb.cells:
        status = cell.metadata.get("papermill", {})
        if status.get("start_time", True) is None:
            status["status"] = "pending"


def _mark_failure(nb: nbformat.NotebookNode, failure: Failure) -> None:
    """Write a failure at the top, in place of papermill's banner; and, where it left no error output, into
    the cell that was running.
    """
    text = f"{failure['kind']}: {failure['message']}"
    if failure["cell"] is None:
        _into_the_running_cell(nb, failure, text)
    nb.cells = [cell for cell in nb.cells if BANNER not in cell.metadata.get("tags", [])]
    where = f" in cell [{failure['cell']}]" if failure["cell"] is not None else ""
    paragraph = _as_markdown(f"{failure['kind']}{where}: {failure['message']}")
    nb.cells.insert(0, nbformat.v4.new_markdown_cell(f"**This run did not finish.** {paragraph}"))


def _as_markdown(text: str) -> str:
    """Text of any kind as a paragraph of Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]#|$~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _into_the_running_cell(nb: nbformat.NotebookNode, failure: Failure, text: str) -> None:
    started = [
        c for c in nb.cells if c.cell_type == "code" and c.metadata.get("papermill", {}).get("start_time")
    ]
    if started:
        output = nbformat.v4.new_output(
            "error", ename=failure["kind"], evalue=failure["message"], traceback=[text]
        )
        started[-1].outputs.append(output)
        started[-1].metadata["papermill"] |= {"exception": True, "status": "failed"}
        failure["cell"] = started[-1].execution_count or 1 + max(
            (c.execution_count or 0 for c in started), default=0
        )
