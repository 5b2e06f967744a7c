"""The Dask cluster that a sweep runs on: a running one, or one of our own on this machine; which workers
there are, and whether each can run the sweep.
"""

import contextlib
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from distributed import CancelledError, Client, LocalCluster
from distributed.diagnostics.plugin import WorkerPlugin

from qnb.runs.folder import Run
from qnb.runs.project import RunError
from qnb.stack import versions
from qnb.studies.sweep import worker
from qnb.studies.sweep.folder import NAME

CONNECT = 10  # seconds to wait for a scheduler, and for its first worker
ANSWER = 60  # seconds that workers have to say who they are, and workers of our own to start

T = TypeVar("T")
Seen = dict[str, Any]  # what `worker.describe` returns


@contextlib.contextmanager
def connected(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of that scheduler, or of a cluster of our own on this machine.

    Raises:
        RunError: the scheduler does not answer in time, or the cluster cannot be started.
    """
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            try:
                client = within(CONNECT + 2, "its handshake", Client, scheduler, timeout=CONNECT)
                stack.enter_context(client)
                client.wait_for_workers(1, timeout=CONNECT)
            except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
                raise RunError(
                    f"No Dask scheduler with workers at {scheduler}: {error or 'it does not answer'}. The "
                    "address is the one that `dask scheduler` prints as 'Scheduler at', not that of its "
                    "dashboard."
                ) from None
        else:
            try:
                client = stack.enter_context(Client(stack.enter_context(_own_cluster(workers))))
                client.register_plugin(_Deaf())
                client.wait_for_workers(workers, timeout=ANSWER)
            except (OSError, RuntimeError) as error:
                raise RunError(
                    f"Cannot start {workers} workers on this machine: {error}. Dask keeps its files where "
                    "its setting temporary-directory says (DASK_TEMPORARY_DIRECTORY)."
                ) from None
        yield client


def _own_cluster(workers: int) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs="CRITICAL",
    )


def within(seconds: float, what: str, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What a call of Dask's returns, or raises. Its own timeouts leave out some waits, the handshake say.

    Raises:
        TimeoutError: it has not returned after so many seconds; it is left alone then.
    """
    answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put((True, call(*arguments, **options)))
        except (OSError, ValueError, TypeError, RuntimeError, CancelledError) as error:
            answer.put((False, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        returned, value = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"waited {seconds:g} s for {what}") from None
    if not returned:
        raise value
    return cast("T", value)


def count_workers(scheduler: str) -> int:
    """Number of workers of the scheduler at this address.

    Raises:
        RunError: there is no scheduler with workers.
    """
    with connected(0, scheduler) as client:
        try:
            return len(addresses_of(client))
        except OSError as error:
            raise RunError(f"The scheduler at {scheduler} is gone: {error}.") from None


def addresses_of(client: Client) -> list[str]:
    """The workers that there are.

    `Client.scheduler_info` will not do: a timer of the client's own empties its answer now and then.

    Raises:
        OSError: the scheduler is gone.
    """
    # not running: it is reconnecting, or has given up; its futures are cancelled by then
    if client.status != "running" or client.scheduler is None:
        raise ConnectionError("it does not answer")
    return list(client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER)["workers"])


class _Deaf(WorkerPlugin):
    """On our own workers, those that are started anew included."""

    name = "qnb-deaf"

    def setup(self, worker: Any) -> None:
        from qnb.studies.sweep.worker import deaf

        deaf()


def try_out(client: Client, root: Path) -> None:
    """Refuse before anything is written: every worker must see the project, and its locks, where this process
    does.
    """
    parent = root / "executed" / NAME
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=parent) as folder:
            trial = Run(Path(folder), None, None, {})
            trial.lock()
            answers = describe(client, addresses_of(client), trial.folder)
            trial.unlock()
    except OSError as error:
        raise RunError(f"Cannot write a sweep folder in {parent}: {error.strerror or error}.") from None
    for address, reason in ((a, unfit(seen, root)) for a, seen in answers.items()):
        if reason:
            raise RunError(f"Worker {address} cannot run this sweep: {reason}")


def describe(client: Client, addresses: list[str], folder: Path) -> dict[str, Seen | Exception]:
    """By address, what each worker says of itself (`worker.describe`), or why it does not.

    Args:
        folder: a run folder that this process has locked.
    """
    awaited = f"an answer of {len(addresses)} worker{'s' if len(addresses) > 1 else ''}"
    options = {"workers": addresses, "on_error": "return"}
    answers: dict[str, Seen | Exception]
    try:
        answers = within(
            ANSWER, awaited, client.run, worker.describe, str(folder), str(Path.cwd()), **options
        )
    except TimeoutError as error:
        answers = dict.fromkeys(addresses, error)
    return answers


def unfit(seen: Seen | Exception, root: Path) -> str | None:
    """Why a worker that says this of itself cannot be used."""
    if isinstance(seen, TimeoutError):
        return f"{seen}."
    if isinstance(seen, Exception):
        return f"{type(seen).__name__}: {seen}. It needs the environment of this process ({sys.executable})."
    if seen["missing"]:
        return (
            f"on {seen['host']} there is no {seen['missing'][0]}. Workers need the same files under the same "
            "path."
        )
    if not seen["locked"]:
        return (
            f"{seen['host']} does not see the file locks that this machine holds in {root}. Mount it with "
            "flock across machines."
        )
    mine, theirs = versions(), seen["versions"]
    differ = [
        f"{name} {theirs.get(name)}, here {here}" for name, here in mine.items() if theirs.get(name) != here
    ]
    if differ:
        return f"it has {'; '.join(differ)}."
    if Path(seen["kernel"]).parent != Path(seen["interpreter"]).parent:
        return f"its notebooks would run on {seen['kernel']}, itself it runs on {seen['interpreter']}."
    return None
