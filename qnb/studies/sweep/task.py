"""What the process of a task does: run the notebook of one run, or train several runs together."""

import os
from typing import TYPE_CHECKING, Any, cast

from qnb.errors import QnbError
from qnb.files import HISTORY
from qnb.runs.folder import Run, create
from qnb.runs.job import Job, prepare
from qnb.runs.project import RunError
from qnb.runs.stop_signals import StopSignals
from qnb.studies.sweep.folder import TRAIN

if TYPE_CHECKING:
    from qnb.config import TrainConfig
    from qnb.training.train import TrainResult


def run_notebook(order: dict[str, Any]) -> None:
    """Run the notebook of the one run of an order.

    Args:
        order: see `qnb.studies.sweep.worker.run_process`.

    Raises:
        QnbError: it was refused, or its outcome could not be written.
    """
    from qnb.runs.headless import execute  # papermill, which training together does without

    (run,) = order["runs"]
    job = _prepared(order, run)
    with open(os.devnull, "w") as nowhere:
        execute(job, log=nowhere, sweep=order["sweep"], arm=run["arm"])


def train_together(order: dict[str, Any]) -> None:
    """Train the runs of an order with `qnb.train_all`. Each has a run folder of its own with what train.ipynb
    writes, but for the notebook, its report and a checkpoint.

    What ends the training of all of them, a wrong gradient say, is the failure of each.

    Args:
        order: see `qnb.studies.sweep.worker.run_process`.

    Raises:
        QnbError: a run was refused before any was begun, or a run folder cannot be created.
    """
    from qnb.training.train import train_all  # JAX, which the process of a notebook does without

    jobs = [_prepared(order, run) for run in order["runs"]]
    runs = [
        create(job.root, TRAIN, job.config, sweep=order["sweep"], arm=run["arm"], together=len(jobs))
        for job, run in zip(jobs, order["runs"], strict=True)
    ]
    with StopSignals() as signals:
        try:
            signals.armed = True
            results = train_all([cast("TrainConfig", job.config) for job in jobs], progress=False)
            signals.armed = False
        except KeyboardInterrupt as stop:
            _close(runs, "interrupted", f"stopped by {stop}")
        except (QnbError, MemoryError) as error:
            signals.armed = False
            _close(runs, "out_of_memory" if isinstance(error, MemoryError) else "error", str(error))
        else:
            for run, result in zip(runs, results, strict=True):
                _keep(run, result)


def _close(runs: list[Run], kind: str, message: str) -> None:
    for run in runs:
        run.close(
            "interrupted" if kind == "interrupted" else "failed",
            {"kind": kind, "message": message, "cell": None},
        )


def _keep(run: Run, result: "TrainResult | QnbError") -> None:
    """Write what came of a training, and close its run."""
    if isinstance(result, QnbError):
        _close([run], "error", str(result))
        return
    run.note(
        data=result.prepared.card,
        gate=result.gate.to_dict() if result.gate else result.metrics["gate"],
        **({"gate_trained": result.gate_trained.to_dict()} if result.gate_trained else {}),
    )
    run.write_text(HISTORY, result.history.to_csv(index=False))
    result.save(run.path("model"))
    run.finish(result.metrics)


def _prepared(order: dict[str, Any], run: dict[str, Any]) -> Job:
    """The notebook with the parameters of a run, or with those of the run that it resumes.

    Raises:
        QnbError: it is refused, or would not be the run that was planned.
    """
    resume = order.get("resume")
    job = prepare(TRAIN, {} if resume is not None else run["parameters"], order["root"], resume)
    if job.config is None or job.config.hash() != run["hash"]:
        raise RunError(f"The notebook's parameters are not those that were planned ({run['hash']}).")
    return job
