"""The part of a sweep that runs in a Dask worker: one task at a time, in its own process, which cannot
outlive the worker.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from qnb.runs.listing import Entry
from qnb.runs.liveness import liveness
from qnb.runs.source import kernel_program
from qnb.stack import versions
from qnb.studies.sweep.folder import attempts

PROCESS = "qnb.studies.sweep.process"  # python -m
STOPPED = "stopped"
# XLA's pool of threads, OpenMP (Lightning, scikit-learn), and what numpy may be built with; all read them
# when they are loaded.
THREADS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
IN_HAND = 3600  # seconds to wait for a run of another worker, which the scheduler has lost
LAST_WORDS = 2000  # characters of a process's stderr that are kept
WORDLESS = "its process ended without a word"

Outcome = dict[str, Any]  # of a run: status, run_id, why, metrics

_one_at_a_time = threading.Lock()  # a worker may have threads for more
_processes: dict[str, subprocess.Popen[bytes]] = {}  # by sweep
_stopped: set[str] = set()


def describe(folder: str, cwd: str) -> dict[str, Any]:
    """What this worker is and sees.

    Args:
        folder: a run folder that the sweep has locked.
        cwd: working directory of `qnb sweep`.

    Returns:
        host, cores (those it may use), versions, interpreter, kernel (the notebook kernel's interpreter),
        missing (of the two folders), locked (whether it sees the lock).
    """
    return {
        "host": socket.gethostname(),
        "cores": cores(),
        "versions": versions(),
        "interpreter": sys.executable,
        "kernel": kernel_program(KernelSpecManager().get_kernel_spec("python3")),
        "missing": [path for path in (folder, cwd) if not Path(path).is_dir()],
        "locked": liveness(Path(folder)).alive is True,
    }


def cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    return (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )


def deaf() -> None:
    """Ignore SIGINT and SIGHUP, which a terminal sends to all its processes; the sweep handles them.

    Call it in the worker's main thread.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def run_one(order: dict[str, Any]) -> list[Outcome]:
    """Run one training to its end, unless it is done already.

    First it looks for earlier attempts at the same parameters in this sweep and those that it resumes. A
    finished one is returned; one that is still running, on a worker that the scheduler has lost, is waited
    for; one that ended early is resumed from its checkpoint.

    Args:
        order: root, sweep (its id), sweeps (ids of its chain), runs (one: its arm, hash and parameters to
            inject), own (texts of the user's circuits, by hash), threads, cwd (that of `qnb sweep`).

    Returns:
        Of the one run: status (`stopped` if it was not started, `failed` if it has no folder), run_id, why,
        metrics.
    """
    root = Path(order["root"])
    with _one_at_a_time:
        deadline = time.monotonic() + IN_HAND
        while _in_hand(tried := _attempts(root, order)) and order["sweep"] not in _stopped:
            if time.monotonic() > deadline:
                return [_waited_in_vain(tried)]
            time.sleep(0.5)
        if order["sweep"] in _stopped:
            return [_without_folder(STOPPED)]
        if tried and tried[-1]["status"] == "done":
            return [_outcome(tried[-1])]
        resume = tried[-1]["run_id"] if tried and tried[-1]["status"] != "broken" else None
        stderr = run_process(order | {"resume": resume})
    now = _attempts(root, order)
    return [_outcome(now[-1]) if len(now) > len(tried) else _without_folder("failed", stderr or WORDLESS)]


def run_together(order: dict[str, Any]) -> list[Outcome]:
    """Train runs, none of which was tried before, in one process.

    Args:
        order: as for `run_one`, with any number of runs.

    Returns:
        Of each run, in their order, what `run_one` returns.
    """
    with _one_at_a_time:
        if order["sweep"] in _stopped:
            return [_without_folder(STOPPED) for _ in order["runs"]]
        stderr = run_process(order | {"together": True})
    made = {run["hash"]: run for run in attempts(Path(order["root"]), [order["sweep"]])}
    missing = _without_folder("failed", stderr or WORDLESS)
    return [_outcome(made[run["hash"]]) if run["hash"] in made else missing for run in order["runs"]]


def _attempts(root: Path, order: dict[str, Any]) -> list[Entry]:
    """Oldest first; one that is done last of all."""
    (run,) = order["runs"]
    return sorted(attempts(root, order["sweeps"], run["hash"]), key=lambda entry: entry["status"] == "done")


def _in_hand(tried: list[Entry]) -> bool:
    return bool(tried) and tried[-1]["status"] != "done" and any(run["status"] == "running" for run in tried)


def _waited_in_vain(tried: list[Entry]) -> Outcome:
    (running, *_) = [run for run in tried if run["status"] == "running"]
    why = f"waited {IN_HAND} s for {running['run_id']}, which is running elsewhere" + (
        f" ({running['why']})" if running["why"] else ""
    )
    return _without_folder("failed", why)


def _without_folder(status: str, why: str | None = None) -> Outcome:
    return {"status": status, "run_id": None, "why": why, "metrics": {}}


def _outcome(run: Entry) -> Outcome:
    return {name: run.get(name) for name in ("status", "run_id", "why", "metrics")}


def run_process(order: dict[str, Any]) -> str:
    """Start the process of a task, wait for it, and return the end of its stderr.

    The process ends when its stdin is closed, which happens when this one ends.

    Args:
        order: that of `run_one`, with `resume`: id of a run to resume, or None; or that of `run_together`,
            with `together`.
    """
    threads = dict.fromkeys(THREADS, str(order["threads"]))
    command = [sys.executable, "-P", "-m", PROCESS, json.dumps(order)]
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
            env=os.environ | threads,
            cwd=order["cwd"],
        ) as process:
            _processes[order["sweep"]] = process
            if order["sweep"] in _stopped:  # in between
                process.terminate()
            process.wait()
        del _processes[order["sweep"]]
        words.seek(0)
        return words.read().decode(errors="replace").strip()[-LAST_WORDS:]


def stop(sweep: str) -> None:
    """Start no more runs of this sweep, and end the one that is running as interrupted."""
    _stopped.add(sweep)
    if (process := _processes.get(sweep)) is not None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
