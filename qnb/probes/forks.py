"""Runs each job in its own process, because a compiler can abort; a program that needs nothing but Python.

`python -I forks.py FILE FOLDER WORKERS LIMIT` imports the Python file FILE once, then forks a process for
each job in the JSON on its standard input (a list of objects with a `name`), WORKERS at once, each for at
most LIMIT seconds. Jobs come by standard input, because they may carry the user's functions, which are never
loaded from disk. The process calls FILE's work(folder, job); what it prints goes to FOLDER/<name>.log. When
a job has ended, one line of JSON is printed: its name, its exit code (negative: the signal that ended it),
its seconds, and whether it reached the limit.
"""

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

STOP = {signal.SIGTERM}
Job = dict[str, Any]  # its `name`, and what its work asks for


def load(file: str) -> ModuleType:
    """The module in a Python file, which need not be on the path.

    Raises:
        ImportError: it is not a Python file.
    """
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def fork(work: Callable[[Path, Job], None], folder: Path, job: Job) -> int:
    """Start a process that does the job and exits; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        os.setsid()  # so that the compiler, a child of its own, is killed with it
        log = os.open(folder / f"{job['name']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        work(folder, job)
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(file: str, folder: Path, workers: int, limit: float) -> None:
    """Run the jobs on standard input, each in its own fork, `workers` at a time, killed after `limit`
    seconds.
    """
    todo: list[Job] = json.load(sys.stdin)[::-1]
    work = load(file).work
    running: dict[int, tuple[str, float]] = {}  # by process id, the name and the start of its job
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        while todo or running:
            while todo and len(running) < workers:
                job = todo.pop()
                # a process that is forked is one that is known
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
                running[fork(work, folder, job)] = (job["name"], time.monotonic())
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in running:
                report(*running.pop(pid), os.waitstatus_to_exitcode(status), limit)
            for pid, (_, started) in running.items():
                if time.monotonic() - started > limit:
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)
    finally:
        for pid in running:
            os.killpg(pid, signal.SIGKILL)
        for pid in running:  # gone before this program is
            os.waitpid(pid, 0)


def report(name: str, started: float, code: int, limit: float) -> None:
    """Print how a job ended as one line of JSON: name, exit, seconds, limit (whether it was reached)."""
    seconds = time.monotonic() - started
    print(
        json.dumps(
            {
                "name": name,
                "exit": code,
                "seconds": seconds,
                "limit": code == -signal.SIGKILL and seconds > limit,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
