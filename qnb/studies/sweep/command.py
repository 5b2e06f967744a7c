"""The implementation of `qnb sweep`."""

from typing import Any

import click

from qnb.errors import ParameterError
from qnb.studies.sweep import cluster, dispatch
from qnb.studies.sweep.folder import RUNS, summary
from qnb.studies.sweep.plan import changes, plan_sweep
from qnb.studies.sweep.worker import cores

DIVERGED = 3
CODES = {"done": 0, "failed": 1, "interrupted": 130}


def sweep(
    values: dict[str, Any],
    root: str | None,
    workers: int | None,
    scheduler: str | None,
    resume: str | None,
    dry_run: bool,
) -> int:
    """Plan a sweep, then run it or, with `dry_run`, estimate its time; print the result.

    Args:
        values: parameters of SweepConfig.
        root, resume: see `qnb.studies.sweep.plan.plan_sweep`.
        workers: local processes; None: one per core.
        scheduler: address of a Dask scheduler to use instead.

    Returns:
        The exit code: 0 done, 1 failed, 3 done but a training diverged, 130 interrupted.

    Raises:
        ParameterError: `workers` and `scheduler` are both given, or as `plan_sweep`.
        DataError, RunError: as `plan_sweep` and `qnb.studies.sweep.dispatch.execute`.
    """
    if workers is not None and scheduler is not None:
        raise ParameterError(
            "--workers starts workers here, --scheduler uses those of a running cluster: give one of the two."
        )
    plan = plan_sweep(values, root, resume)
    workers = workers or len(cores())
    for sentence in changes(plan):
        click.echo(f"qnb: {sentence}", err=True)
    if dry_run:
        from qnb.studies.sweep import estimate

        if scheduler is not None:
            workers = cluster.count_workers(scheduler)
        click.echo(estimate.describe(plan, workers))
        return 0
    finished = dispatch.execute(plan, workers, scheduler)
    click.echo(summary(finished))
    click.echo(f"\n{finished.status}  sweep {finished.id}\nruns    {finished.folder / RUNS}")
    if finished.status == "done":
        click.echo(f"report  qnb run ablation -p sweep {finished.id}")
    else:
        click.echo(f"resume  the same command with --resume {finished.id}")
    if finished.status == "done" and any(row["diverged"] for row in finished.rows):
        return DIVERGED
    return CODES[finished.status]
