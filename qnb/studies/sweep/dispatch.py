"""Hands the runs of a sweep to the workers of a Dask cluster, to each one task at a time, and keeps the
sweep's folder up to date. A task is a run, or runs that train together (`qnb.studies.sweep.cohort`).

Each task is submitted to a given worker instead of to the scheduler's queue, because workers that were
started with several threads would take several at once. A run whose worker is lost goes to another one.
"""

import contextlib
import queue
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

from distributed import CancelledError, Client, Future, wait
from tqdm import tqdm

from qnb import own
from qnb.runs.folder import Failure, Run, create
from qnb.runs.progress import shown_on
from qnb.runs.project import RunError
from qnb.runs.stop_signals import StopSignals
from qnb.studies.sweep import cohort, worker
from qnb.studies.sweep.arms import Planned
from qnb.studies.sweep.cluster import Seen, addresses_of, connected, describe, try_out, unfit, within
from qnb.studies.sweep.folder import NAME, Sweep, chain, load_sweep, require_one_table, write_results
from qnb.studies.sweep.plan import Plan, overrides
from qnb.studies.sweep.worker import Outcome

TRIES = 3  # of a run whose process or worker is killed
NO_WORKER = 600  # seconds without any worker after which a sweep ends; it can be resumed
STOP = 60  # seconds that runs have to end after an interruption
LOOK = 1.0  # seconds between looks at which workers there are


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
    with shown_on(log) as stream:
        if not plan.todo:
            print("every run is done", file=stream)
            if plan.resumed and (earlier := load_sweep(plan.root, plan.resumed)).status == "done":
                return earlier
            return _record(plan, None, stream)
        with connected(min(workers, len(plan.todo)), scheduler) as client:
            try_out(client, plan.root)
            return _record(plan, client, stream)


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


class _Crew:
    """The workers there are, the task that each has in hand, and the runs that are left to hand out."""

    def __init__(self, plan: Plan, run: Run, client: Client, log: TextIO):
        self.plan, self.run, self.client, self.log = plan, run, client, log
        self.sweeps = [run.id, *(chain(plan.root, plan.resumed) if plan.resumed else [])]
        self.left = deque(plan.todo)
        self.kinds = cohort.kinds(plan)
        self.tries: dict[str, int] = {}  # by hash
        self.waiting_since: float | None = None
        self.known: dict[str, Seen | None] = {}  # by address: what a worker says of itself; None: unfit
        self.in_hand: dict[str, tuple[Future[list[Outcome]], list[Planned]]] = {}  # by address
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.failed = 0
        self.refused: dict[str, str] = {}  # by hash: why there is no run folder
        self.bar = tqdm(
            total=len(plan.planned), initial=len(plan.done), unit="run", smoothing=0, file=log, ncols=100
        )

    def work(self, signals: StopSignals) -> Failure | None:
        """Until every run has ended. Returns the failure that cut it short, None if there was none."""
        if self.kinds:
            self._say(cohort.told(self.kinds, len(self.left)))
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
        addresses = set(addresses_of(self.client))
        for address in set(self.known) - addresses:
            del self.known[address]
            if address in self.in_hand:
                future, task = self.in_hand.pop(address)
                future.cancel()
                for training in task:
                    self._again(training, "its worker was lost")
        if fresh := addresses - set(self.known):
            for address, seen in describe(self.client, list(fresh), self.run.folder).items():
                reason = unfit(seen, self.plan.root)
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
        fit = {address: seen for address, seen in self.known.items() if seen is not None}
        for address, seen in fit.items():
            if self.left and address not in self.in_hand:
                task = cohort.take(self.left, self.kinds, len(fit))
                digest = task[0].config.hash()
                future = self.client.submit(
                    worker.run_together if cohort.place(task[0]) in self.kinds else worker.run_one,
                    self._order(task, seen),
                    key=f"{self.run.id}-{digest}-{self.tries.get(digest, 0)}",
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                )
                future.add_done_callback(lambda _, address=address: self.ended.put(address))
                self.in_hand[address] = future, task

    def _order(self, task: list[Planned], seen: Seen) -> dict[str, Any]:
        """What the worker takes; workers of one host that may use the same cores share them."""
        alike = [
            k for k in self.known.values() if k and (k["host"], k["cores"]) == (seen["host"], seen["cores"])
        ]
        return {
            "root": str(self.plan.root),
            "sweep": self.run.id,
            "sweeps": self.sweeps,
            "runs": [
                {"arm": one.arm, "hash": one.config.hash(), "parameters": overrides(one.config)}
                for one in task
            ],
            "own": {digest: text for one in task for digest, text in own.texts_of(one.config).items()},
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
        future, task = self.in_hand.pop(address)
        if future.status != "finished":
            error = _error(future)
            why = f"{type(error).__name__}: {error}" if error else "its worker was lost"
            for training in task:
                self._again(training, why)
            return
        for training, outcome in zip(task, future.result(), strict=True):
            if outcome["status"] == "killed":
                self._again(training, f"{outcome['run_id']} was killed")
            elif outcome["status"] == "failed" and cohort.place(training) in self.kinds:
                self._again(training, f"failed ({outcome['why']})")  # its notebook shows more
            else:
                self._count(training, outcome)

    def _again(self, one: Planned, why: str) -> None:
        """Put a run back at the head of the queue, for its notebook, unless it was tried often enough."""
        digest = one.config.hash()
        self.kinds.pop(cohort.place(one), None)
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
            within(STOP, "the workers to stop", self.client.run, worker.stop, self.run.id, on_error="ignore")
            futures = [future for future, _ in self.in_hand.values()]
            deadline = time.monotonic() + STOP
            while futures and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    wait(futures, timeout=1)
                    break


def _error(future: Future[list[Outcome]]) -> BaseException | None:
    return future.exception() if future.status == "error" else None
