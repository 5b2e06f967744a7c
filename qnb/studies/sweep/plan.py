"""The plan of a sweep, checked before anything starts: the ablation, its trainings, the sweep to resume."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnb import own
from qnb.config import TrainConfig
from qnb.data.sources import require_source
from qnb.data.table import load_table
from qnb.errors import nearest
from qnb.files import plain
from qnb.runs import job
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError, given_root
from qnb.runs.provenance import differences, made_by
from qnb.studies.sweep.arms import Planned, SweepConfig
from qnb.studies.sweep.folder import NAME, TRAIN, Sweep, load_sweep, require_one_table

LAST = "last"  # resume: the latest sweep of the same configuration


@dataclass(frozen=True)
class Plan:
    """A sweep that can be run.

    Attributes:
        root: the project.
        config: its configuration.
        planned: every training.
        done: by hash of the configuration, the run ids of those that the resumed sweep has done.
        resumed: id of the sweep to resume; None: a new one.
    """

    root: Path
    config: SweepConfig
    planned: list[Planned]
    done: dict[str, str]
    resumed: str | None = None

    @property
    def todo(self) -> list[Planned]:
        """The trainings that are not done."""
        return [one for one in self.planned if one.config.hash() not in self.done]


def plan_sweep(values: dict[str, Any], root: str | Path | None = None, resume: str | None = None) -> Plan:
    """Check a sweep and plan its trainings.

    Args:
        values: parameters of SweepConfig.
        root: the project; None: see `qnb.runs.project.find_root`.
        resume: id of the sweep to resume, or LAST for the latest one of the same configuration.

    Raises:
        ParameterError: a parameter is refused.
        DataError: the table cannot be opened, or lacks named columns.
        RunError: the notebook cannot be run; or the sweep cannot be resumed: there is none, it is of another
            configuration, still running, resumed already, or its table has changed.
    """
    folder = given_root(root)
    with own.looked_for_in(folder):
        config = SweepConfig.make(values)
    require_source(config)
    planned = config.plan()
    for training in planned:
        checked = job.prepare(TRAIN, overrides(training.config), folder)
        if checked.config is None or checked.config.hash() != training.config.hash():
            raise RunError(
                f"{checked.path} does not take the parameters of TrainConfig: its defaults differ."
            )
    if resume is None:
        return Plan(folder, config, planned, {})
    earlier = load_sweep(folder, _latest(folder, config) if resume == LAST else resume)
    _require_resumable(folder, earlier.id, earlier.status)
    if earlier.config.hash() != config.hash():
        raise RunError(_another(earlier.config, config, earlier.id))
    require_one_table(earlier)
    _require_same_table(earlier, planned)
    return Plan(
        folder,
        config,
        planned,
        {r["hash"]: r["run_id"] for r in earlier.rows if r["status"] == "done"},
        earlier.id,
    )


def _require_same_table(earlier: Sweep, planned: list[Planned]) -> None:
    """Raise RunError where the table is no longer that of the runs that are done: the rest would be compared
    with them.
    """
    known = next((row for row in earlier.done if row["fingerprint"] is not None), None)
    if known is None:
        return
    (one,) = (one for one in planned if (one.arm, one.seed) == (known["arm"], known["seed"]))
    now = load_table(one.config).card["fingerprint"]
    if now != known["fingerprint"]:
        raise RunError(
            f"{one.config.data} has changed since sweep {earlier.id}: run {known['run_id']} had the table "
            f"{known['fingerprint'][:16]}, it is {now[:16]} now, and runs on different tables cannot be "
            "compared. Bring the old one back, or start a fresh sweep."
        )


def changes(plan: Plan) -> list[str]:
    """Sentences on how the code or stack differs now from that of the runs that are done; [] without any."""
    here = made_by(plan.root)
    runs = [run for run in list_runs(plan.root) if run["run_id"] in plan.done.values()]
    counts = Counter("; ".join(deviations) for run in runs if (deviations := differences(run, here)))
    return [
        f"{count} of the {len(runs)} runs that are done were made with other code: {deviation}."
        for deviation, count in counts.items()
    ]


def overrides(config: TrainConfig) -> dict[str, Any]:
    """The parameters to inject: those that differ from the defaults of train.ipynb, as JSON values."""
    default = TrainConfig()
    return {name: plain(value) for name, value in config if value != getattr(default, name)}


def _latest(root: Path, config: SweepConfig) -> str:
    same = [e for e in list_runs(root) if e["notebook"] == NAME and e.get("hash") == config.hash()]
    ended = [e for e in same if e["status"] != "running"]
    if not same:
        known = [e["run_id"] for e in list_runs(root) if e["notebook"] == NAME]
        raise RunError(
            f"No sweep of this configuration to resume. {nearest(config.hash(), known)}"
            if known
            else "No sweep yet."
        )
    latest: str = (ended or same)[-1]["run_id"]
    return latest


def _require_resumable(root: Path, sweep_id: str, status: str) -> None:
    if status == "running":
        raise RunError(f"Sweep {sweep_id} is still running.")
    later = [e for e in list_runs(root) if e["notebook"] == NAME and e.get("resumed_from") == sweep_id]
    if later:
        raise RunError(f"Sweep {sweep_id} was resumed already: go on with --resume {later[-1]['run_id']}.")


def _another(earlier: SweepConfig, config: SweepConfig, sweep_id: str) -> str:
    differ = [
        f"{name} (there {getattr(earlier, name)}, here {value})"
        for name, value in config
        if value != getattr(earlier, name)
    ]
    return (
        f"Sweep {sweep_id} is of another configuration: {'; '.join(differ)}. A sweep is resumed as it was "
        "planned; seeds or arms are not added after its results could be seen. Start a fresh one without "
        "--resume."
    )
