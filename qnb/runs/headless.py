"""A notebook executed without a browser, in its own run folder: run with papermill, progress shown, outcome
recorded.

papermill injects the parameters and executes. The status and the kind of failure are decided here, and what
is kept of the notebook in `qnb.runs.kept`, because papermill writes its output in place and, after a dead
kernel, marks every cell as completed.
"""

import contextlib
import copy
import hashlib
import importlib
import json
import logging
import re
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError, strip_color
from traitlets import Unicode
from traitlets.config import Config

from qnb import own
from qnb.runs.folder import MANIFEST, METRICS, Failure, Run, create
from qnb.runs.job import Job
from qnb.runs.kept import KERNEL_LOG, OURS, PARTIAL, publish
from qnb.runs.progress import shown_on
from qnb.runs.project import RunError
from qnb.runs.provenance import package
from qnb.runs.source import read_notebook
from qnb.runs.stop_signals import StopSignals

# A kernel stopped while in native code leaves nbclient a task that nobody waits for; asyncio would print
# its traceback.
logging.getLogger("asyncio").addFilter(lambda record: "DeadKernelError" not in record.getMessage())
# what it would warn of is refused or recorded here
logging.getLogger("papermill").addHandler(logging.NullHandler())
# that a kernel may take to start: environments on a slow file system take more than a minute
START_SECONDS = 300
# cgroup v2, v1
OOM_COUNTERS = ("/sys/fs/cgroup{}/memory.events", "/sys/fs/cgroup/memory{}/memory.oom_control")


class LostRunError(RunError):
    """A run was started, but its outcome could not be written."""

    started = True


def execute(
    job: Job,
    timeout: int | None = None,
    log: TextIO | None = None,
    start_timeout: int = START_SECONDS,
    **items: Any,
) -> Run:
    """Run a prepared notebook in its own folder and record how it ended.

    SIGINT, SIGTERM and SIGHUP stop the kernel and end the run as `interrupted` (when called from the main
    thread).

    Args:
        job: what `qnb.runs.job.prepare` returned.
        timeout: seconds that one cell may take; None: no limit.
        log: where the notebook's stdout and stderr are streamed to; None: stderr, with progress bars as
            lines if that is a file.
        start_timeout: seconds that the kernel may take to start.
        **items: further entries of the manifest.

    Returns:
        The closed run; `manifest["status"]` and `manifest["failure"]` say how it ended.

    Raises:
        RunError: the run folder could not be created.
        LostRunError: the run was started, but its files could not be written (disk full).
    """
    nb = read_notebook(job.path)
    source = {"notebook": job.path.name, "sha256": hashlib.sha256(job.path.read_bytes()).hexdigest()}
    run = create(
        job.root, job.path.stem, job.config, job.parameters, source=source, resumed_from=job.resumed, **items
    )
    run.resume_from = job.resume_from
    with shown_on(sys.stderr) if log is None else contextlib.nullcontext(log) as stream:
        _watch(nb, job, run, (timeout, start_timeout), stream)
    return run


def _watch(
    nb: nbformat.NotebookNode, job: Job, run: Run, timeouts: tuple[int | None, int], log: TextIO
) -> None:
    """Run the notebook and close its run, whatever happens."""
    print(f"run {run.folder.relative_to(job.root)}", file=log, flush=True)
    # what the report needs is imported while the kernel works
    threading.Thread(target=importlib.import_module, args=("qnb.runs.html",), daemon=True).start()
    if job.resumed is not None:
        origin = (
            f"the checkpoint of {job.resume_from.name}"
            if job.resume_from
            else "the beginning: there is no checkpoint"
        )
        print(f"resuming {job.resumed} from {origin}", file=log, flush=True)
    for name in job.unread:
        print(f"nothing in {job.path.name} reads {name}: its value has no effect", file=log, flush=True)
    try:
        with StopSignals() as signals:
            failure = _run(nb, job, run, timeouts, log, signals)
            # with what the kernel noted
            run.manifest = json.loads((run.folder / MANIFEST).read_text("utf-8"))
            if failure is None and job.config is not None and not (run.folder / METRICS).exists():
                failure = _failure("error", "the notebook ended before run.finish(...)")
            publish(nb, run, failure)
            status = "interrupted" if failure and failure["kind"] == "interrupted" else "failed"
            run.close(status if failure else "done", failure)
    except OSError as error:
        message = f"Cannot write in {run.folder}: {error.strerror or error}."
        # on a full disk this may fail as well: then the run shows as killed
        with contextlib.suppress(OSError):
            run.close("failed", _failure("error", message))
        raise LostRunError(message) from None
    finally:
        if run.manifest["status"] == "running" and (unforeseen := sys.exc_info()[1]) is not None:
            with contextlib.suppress(OSError):
                run.close("failed", _failure("error", f"{type(unforeseen).__name__}: {unforeseen}"))


class KernelStartError(Exception):
    """The kernel's process could not be started."""


class LoggedKernel(AsyncKernelManager):
    """A kernel whose process writes its own stdout and stderr (not the notebook's) to a file, to keep the
    terminal for the run.
    """

    output = Unicode(help="path of that file").tag(config=True)

    # async in its class too, by assignment
    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        with open(self.output, "wb") as file:
            try:
                await super().start_kernel(stdout=file, stderr=file, **options)
            except OSError as error:  # not of a file of ours: of the program, or of the system's limits
                raise KernelStartError(f"the kernel could not be started: {error}") from None


def _run(
    nb: nbformat.NotebookNode,
    job: Job,
    run: Run,
    timeouts: tuple[int | None, int],
    log: TextIO,
    signals: StopSignals,
) -> Failure | None:
    """Execute with papermill into PARTIAL. Returns the failure, None if there was none."""
    name = str(run.folder / PARTIAL).replace("{", "{{").replace("}", "}}")  # papermill formats paths
    run.write_text(PARTIAL, nbformat.writes(_with_folder(nb, job, run)))
    timeout, start_timeout = timeouts
    options = {
        "kernel_manager_class": LoggedKernel,
        "config": Config(LoggedKernel={"output": str(run.folder / KERNEL_LOG)}),
        "execution_timeout": timeout,
        "start_timeout": start_timeout,
        "language": "python",  # many notebooks do not say
        "coalesce_streams": True,  # a progress bar is stored as its last state
    }
    kills = _oom_kills()
    try:
        signals.armed = True
        papermill.execute_notebook(
            name, name, job.parameters, progress_bar=False, stdout_file=log, stderr_file=log, **options
        )
        signals.armed = False
    except KeyboardInterrupt as stop:
        return _failure("interrupted", f"stopped by {stop}")
    except PapermillExecutionError as error:
        signals.armed = False
        return _cell_error(error, log)
    except KernelStartError as error:
        return _failure("no_kernel", str(error))
    except TimeoutError:  # nbclient's CellTimeoutError
        return _failure("timeout", f"a cell ran longer than {timeout} s")
    except RuntimeError as error:
        # nbclient's DeadKernelError, or jupyter_client's word on a kernel that did not start
        if kills is not None and (_oom_kills() or 0) > kills:
            return _failure("out_of_memory", "the kernel was killed by the system: out of memory")
        if "respond" in str(error):
            return _failure(
                "no_kernel",
                f"the kernel did not answer within {start_timeout} s of its start: see --start-timeout",
            )
        return _failure(
            "dead_kernel",
            f"the kernel died without a Python error ({error}); {KERNEL_LOG} has its last words",
        )
    finally:
        signals.armed = False
    return None


def _failure(kind: str, message: str, cell: int | None = None) -> Failure:
    return {"kind": kind, "message": message, "cell": cell}


def _cell_error(error: PapermillExecutionError, log: TextIO) -> Failure:
    """The failure of a cell that raised.

    An error of ours comes without a traceback (see qnb.runs.kernel); others are shown in full.
    """
    ours = len(error.traceback) == 1
    if not ours:
        print(strip_color("\n".join(error.traceback)), file=log, flush=True)
    kinds = {"MemoryError": "out_of_memory", "KeyboardInterrupt": "interrupted"}
    message = error.evalue if ours else f"{error.ename}: {error.evalue}".removesuffix(": ")
    return _failure(kinds.get(error.ename, "error"), message, error.exec_count)


def _with_folder(nb: nbformat.NotebookNode, job: Job, run: Run) -> nbformat.NotebookNode:
    """A copy of the notebook that begins with a cell handing `qnb.runs.kernel.begin` its folder."""
    resume = str(run.resume_from) if run.resume_from else None
    texts = own.texts_of(job.config or {})
    cell = nbformat.v4.new_code_cell(
        "import qnb.runs.kernel\n"
        f"qnb.runs.kernel.attach({str(run.folder)!r}, {resume!r}, {str(package())!r}, {texts!r})",
        metadata={"tags": [OURS]},
    )
    prepared = copy.deepcopy(nb)
    prepared.cells.insert(0, cell)
    return prepared


def _oom_kills() -> int | None:
    """Processes of this control group that the kernel has killed for want of memory so far.

    None where that is not told.
    """
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    for pattern, group in [(p, g[2]) for p in OOM_COUNTERS for g in groups if g[1] in ("", "memory")]:
        for path in (Path(pattern.format(group)), Path(pattern.format(""))):
            with contextlib.suppress(OSError):
                if match := re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE):
                    return int(match[1])
    return None
