"""Hands the runs of a sweep to the workers of a Dask cluster, one to each at a time, and keeps the sweep's
folder up to date.

Each run is submitted to a given worker instead of to the scheduler's queue, because workers that were
started with several threads would take several at once. A run whose worker is lost goes to another one.
"""

import contextlib
import queue
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

from distributed import CancelledError, Client, Future, LocalCluster, wait
from distributed.diagnostics.plugin import WorkerPlugin
from tqdm import tqdm

from qnb import own
from qnb.runs.folder import Failure, Run, create
from qnb.runs.headless import StopSignals
from qnb.runs.project import RunError
from qnb.stack import versions
from qnb.studies.sweep import worker
from qnb.studies.sweep.arms import Planned
from qnb.studies.sweep.folder import NAME, Sweep, chain, load_sweep, require_one_table, write_results
from qnb.studies.sweep.plan import Plan, overrides

TRIES = 3  # of a run whose process or worker is killed
CONNECT = 10  # seconds to wait for a scheduler, and for its first worker
ANSWER = 60  # seconds that workers have to say who they are, and workers of our own to start
NO_WORKER = 600  # seconds without any worker after which a sweep ends; it can be resumed
STOP = 60  # seconds that runs have to end after an interruption
LOOK = 1.0  # seconds between looks at which workers there are

T = TypeVar("T")
Seen = dict[str, Any]  # what `worker.describe` returns
Outcome = dict[str, Any]  # what `worker.run_one` returns


def execute(plan: Plan, workers: int = 1, scheduler: str | None = None, log: TextIO = sys.stderr) -> Sweep:
    """Run the trainings of a plan that are not done, and write the sweep's folder.

    SIGINT, SIGTERM and SIGHUP stop the runs and end the sweep as `interrupted` (when called from the main
    thread).

    Args:
        workers: processes of a local cluster, which share the cores of this machine.
        scheduler: address of a running Dask scheduler, whose workers are used instead.
        log: where progress is shown.

    Returns:
        The sweep; its status is done, failed (not every run is done) or interrupted.

    Raises:
        RunError: there is no such scheduler, its workers cannot run the sweep, or the sweep's folder cannot
            be created; nothing was started.
    """
    if not plan.todo:
        print("every run is done", file=log)
        earlier = load_sweep(plan.root, plan.resumed) if plan.resumed else None
        return earlier if earlier is not None and earlier.status == "done" else _record(plan, None, log)
    with _client(min(workers, len(plan.todo)), scheduler) as client:
        _try_out(client, plan.root)
        return _record(plan, client, log)


def _record(plan: Plan, client: Client | None, log: TextIO) -> Sweep:
    run = create(plan.root, NAME, plan.config, resumed_from=plan.resumed)
    print(f"sweep {run.folder.relative_to(plan.root)}", file=log, flush=True)
    with StopSignals() as signals:
        failure = _Crew(plan, run, client, log).work(signals) if client is not None else None
        sweep = load_sweep(plan.root, run.id)
        write_results(run, sweep)
        if failure is None and sweep.missing:
            message = f"{len(sweep.missing)} of {len(sweep.rows)} runs are not done"
            failure = {"kind": "error", "message": message, "cell": None}
        try:
            require_one_table(sweep)
        except RunError as error:
            failure = failure or {"kind": "error", "message": str(error), "cell": None}
        run.close(
            "done" if failure is None else "interrupted" if failure["kind"] == "interrupted" else "failed",
            failure,
        )
    return load_sweep(plan.root, run.id)


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of that scheduler, or of a cluster of our own on this machine.

    Raises:
        RunError: the scheduler does not answer in time, or the cluster cannot be started.
    """
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            try:
                client = _within(CONNECT + 2, "its handshake", Client, scheduler, timeout=CONNECT)
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


def _within(seconds: float, what: str, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
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
    with _client(0, scheduler) as client:
        try:
            return len(_addresses(client))
        except OSError as error:
            raise RunError(f"The scheduler at {scheduler} is gone: {error}.") from None


def _addresses(client: Client) -> list[str]:
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


def _try_out(client: Client, root: Path) -> None:
    """Refuse before anything is written: every worker must see the project, and its locks, where this process
    does.
    """
    parent = root / "executed" / NAME
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=parent) as folder:
            trial = Run(Path(folder), None, None, {})
            trial.lock()
            answers = _describe(client, _addresses(client), trial.folder)
            trial.unlock()
    except OSError as error:
        raise RunError(f"Cannot write a sweep folder in {parent}: {error.strerror or error}.") from None
    for address, reason in ((a, _unfit(seen, root)) for a, seen in answers.items()):
        if reason:
            raise RunError(f"Worker {address} cannot run this sweep: {reason}")


def _describe(client: Client, addresses: list[str], folder: Path) -> dict[str, Seen | Exception]:
    awaited = f"an answer of {len(addresses)} worker{'s' if len(addresses) > 1 else ''}"
    options = {"workers": addresses, "on_error": "return"}
    answers: dict[str, Seen | Exception]
    try:
        answers = _within(
            ANSWER, awaited, client.run, worker.describe, str(folder), str(Path.cwd()), **options
        )
    except TimeoutError as error:
        answers = dict.fromkeys(addresses, error)
    return answers


def _unfit(seen: Seen | Exception, root: Path) -> str | None:
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


class _Crew:
    """The workers there are, the run that each has in hand, and what is left to hand out."""

    def __init__(self, plan: Plan, run: Run, client: Client, log: TextIO):
        self.plan, self.run, self.client, self.log = plan, run, client, log
        self.sweeps = [run.id, *(chain(plan.root, plan.resumed) if plan.resumed else [])]
        self.left = deque(plan.todo)
        self.tries: dict[str, int] = {}  # by hash
        self.waiting_since: float | None = None
        self.known: dict[str, Seen | None] = {}  # by address: what a worker says of itself; None: unfit
        self.in_hand: dict[str, tuple[Future[Outcome], Planned]] = {}  # by address
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.failed = 0
        self.refused: dict[str, str] = {}  # by hash: why there is no run folder
        self.bar = tqdm(
            total=len(plan.planned), initial=len(plan.done), unit="run", smoothing=0, file=log, ncols=100
        )

    def work(self, signals: StopSignals) -> Failure | None:
        """Until every run has ended. Returns the failure that cut it short, None if there was none."""
        try:
            signals.armed = True
            while self.left or self.in_hand:
                self._look()
                self._hand_out()
                self._take_back()
            signals.armed = False
        except KeyboardInterrupt as stop:
            self._stop()
            return {"kind": "interrupted", "message": f"stopped by {stop}", "cell": None}
        except (OSError, CancelledError) as error:
            signals.armed = False
            return {"kind": "error", "message": f"the Dask cluster was lost: {error}", "cell": None}
        finally:
            signals.armed = False
            self.bar.close()
        return None

    def _look(self) -> None:
        """Take on workers that have come; have the runs of those that are gone done again."""
        addresses = set(_addresses(self.client))
        for address in set(self.known) - addresses:
            del self.known[address]
            if address in self.in_hand:
                future, training = self.in_hand.pop(address)
                future.cancel()
                self._again(training, "its worker was lost")
        if fresh := addresses - set(self.known):
            for address, seen in _describe(self.client, list(fresh), self.run.folder).items():
                reason = _unfit(seen, self.plan.root)
                self.known[address] = None if reason or isinstance(seen, Exception) else seen
                if reason:
                    self._say(f"worker {address} is not used: {reason}")

        if any(self.known.values()):
            if self.waiting_since is not None:
                self._say("there is a worker again")
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = time.monotonic()
            self._say(f"there is no worker: waiting for one, {NO_WORKER} s at most")
        elif time.monotonic() - self.waiting_since > NO_WORKER:
            raise ConnectionError(f"waited {NO_WORKER} s for a worker")

    def _hand_out(self) -> None:
        for address, seen in self.known.items():
            if self.left and seen is not None and address not in self.in_hand:
                training = self.left.popleft()
                future = self.client.submit(
                    worker.run_one,
                    self._order(training, seen),
                    key=f"{self.run.id}-{training.config.hash()}-{self.tries.get(training.config.hash(), 0)}",
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                )
                future.add_done_callback(lambda _, address=address: self.ended.put(address))
                self.in_hand[address] = future, training

    def _order(self, one: Planned, seen: Seen) -> dict[str, Any]:
        """What `worker.run_one` takes; workers of one host that may use the same cores share them."""
        alike = [
            k for k in self.known.values() if k and (k["host"], k["cores"]) == (seen["host"], seen["cores"])
        ]
        return {
            "root": str(self.plan.root),
            "sweep": self.run.id,
            "sweeps": self.sweeps,
            "arm": one.arm,
            "hash": one.config.hash(),
            "parameters": overrides(one.config),
            "own": own.texts_of(one.config),
            "threads": max(1, len(seen["cores"]) // len(alike)),
            "cwd": str(Path.cwd()),
        }

    def _take_back(self) -> None:
        try:
            address = self.ended.get(timeout=LOOK)
        except queue.Empty:
            if self.log.isatty():
                self.bar.refresh()
            return
        if address not in self.in_hand or not self.in_hand[address][0].done():
            return  # it was lost, and is done again
        future, training = self.in_hand.pop(address)
        if future.status != "finished":
            self._again(
                training,
                f"{type(error).__name__}: {error}" if (error := _error(future)) else "its worker was lost",
            )
        elif (outcome := future.result())["status"] == "killed":
            self._again(training, f"{outcome['run_id']} was killed")
        else:
            self._count(training, outcome)

    def _again(self, one: Planned, why: str) -> None:
        digest = one.config.hash()
        self.tries[digest] = self.tries.get(digest, 0) + 1
        again = self.tries[digest] < TRIES
        self._say(
            f"{one.arm}, seed {one.seed}: {why}; "
            + ("it is run again" if again else f"given up after {TRIES} tries")
        )
        if again:
            self.left.appendleft(one)
        else:
            self._ended(failed=True)

    def _count(self, one: Planned, outcome: Outcome) -> None:
        auc = outcome["metrics"].get("test_auc")
        figure = f"test AUC {auc:.4f}" if isinstance(auc, float) else " ".join((outcome["why"] or "").split())
        self._say(f"{outcome['status']}  {one.arm}, seed {one.seed}  {outcome['run_id'] or ''}  {figure}")
        if outcome["run_id"] is None:
            self.refused[one.config.hash()] = outcome["why"]
            self.run.note(refused=self.refused)
        self._ended(failed=outcome["status"] != "done")

    def _ended(self, failed: bool) -> None:
        self.failed += failed
        self.bar.set_postfix_str(f"{self.failed} failed" if self.failed else "", refresh=False)
        self.bar.update()

    def _say(self, line: str) -> None:
        tqdm.write(line.rstrip(), file=self.log)

    def _stop(self) -> None:
        """End the runs that are in hand as interrupted, and wait until they have ended."""
        self.bar.close()
        self._say("stopping")
        if self.client.status != "running":  # the workers go with their scheduler, and their runs with them
            return
        # a worker or the scheduler may be gone: then its runs are too
        with contextlib.suppress(OSError, CancelledError):
            _within(STOP, "the workers to stop", self.client.run, worker.stop, self.run.id, on_error="ignore")
            futures = [future for future, _ in self.in_hand.values()]
            deadline = time.monotonic() + STOP
            while futures and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    wait(futures, timeout=1)
                    break


def _error(future: Future[Outcome]) -> BaseException | None:
    return future.exception() if future.status == "error" else None
