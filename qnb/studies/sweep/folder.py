"""A sweep read from its files: executed/sweep/<sweep_id>/ and the run folders that name it.

Resuming a sweep creates a new folder, whose manifest has `resumed_from`; the runs of all sweeps of that
chain count.
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from qnb import own
from qnb.errors import nearest
from qnb.runs.folder import METRICS, Run
from qnb.runs.listing import Entry, columns_of_text, list_runs, run_name
from qnb.runs.project import RunError
from qnb.runs.provenance import differences
from qnb.studies.sweep.arms import SweepConfig

NAME = "sweep"  # its runs are of the notebook TRAIN, it is none itself
TRAIN = "train"
RUNS = "runs.csv"
# of metrics.json
FIGURES = (
    "test_auc",
    "val_auc",
    "val_loss",
    "test_sep",
    "val_sep",
    "best_epoch",
    "degen",
    "diverged",
    "synthetic",
)
NOT_RUN = "not run"


@dataclass(frozen=True)
class Sweep:
    """A sweep and the state of its runs.

    Attributes:
        id: name of its folder.
        folder: absolute.
        status: running, done, failed, interrupted, killed or broken.
        config: its configuration.
        rows: one dict per arm and seed, in the order of `config.plan()`: arm, seed, hash, split_seed, run_id,
            folder (absolute Path), status, why, wall_seconds (s), fingerprint (of its data), made_by (`git`
            and `versions` of its manifest) and the names of FIGURES, None where missing. Without a run
            folder, run_id and folder are None and the status is "not run", or "failed" if it was refused.
    """

    id: str
    folder: Path
    status: str
    config: SweepConfig
    rows: list[dict[str, Any]]

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The rows that are not done."""
        return [row for row in self.rows if row["status"] != "done"]

    @property
    def done(self) -> list[dict[str, Any]]:
        """The rows that are done."""
        return [row for row in self.rows if row["status"] == "done"]


def load_sweep(root: Path, sweep_id: str) -> Sweep:
    """The sweep of this id (or its unambiguous beginning), with the runs of those that it was resumed from.

    Of several attempts at one run the finished one counts, otherwise the last.

    Raises:
        RunError: there is no such sweep, or its manifest does not hold its parameters.
        ParameterError: its parameters are not valid in this version of qnb.
    """
    entry = find_sweep(root, sweep_id)
    if not isinstance(entry.get("parameters"), dict):
        raise RunError(
            f"The manifest of sweep {entry['run_id']} does not say its parameters ({entry['why']})."
        )
    with own.looked_for_in(root):
        config = SweepConfig.make(entry["parameters"])
    tried = attempts(root, chain(root, entry["run_id"]))
    rows, refused = [], entry.get("refused") or {}
    for arm, seed, training in config.plan():
        same = [run for run in tried if run["hash"] == training.hash()]
        best = next((run for run in same if run["status"] == "done"), same[-1] if same else None)
        rows.append(
            {"arm": arm, "seed": seed, "hash": training.hash(), "split_seed": training.split_seed}
            | _row(root, best, refused.get(training.hash()))
        )
    return Sweep(entry["run_id"], root / entry["folder"], entry["status"], config, rows)


def _row(root: Path, run: Entry | None, refused: str | None) -> dict[str, Any]:
    if run is None:
        empty = dict.fromkeys(("run_id", "folder", "wall_seconds", "fingerprint", "made_by", *FIGURES))
        return empty | {"status": "failed" if refused else NOT_RUN, "why": refused}
    figures = {name: run["metrics"].get(name) for name in FIGURES}
    return {
        "folder": root / run["folder"],
        **{name: run.get(name) for name in ("run_id", "status", "why", "wall_seconds")},
        "fingerprint": (run.get("data") or {}).get("fingerprint"),
        "made_by": {name: run.get(name) for name in ("git", "versions")},
    } | figures


def require_one_table(sweep: Sweep) -> None:
    """Raise RunError, naming two runs, if runs with the same split_seed had different tables."""
    first: dict[int, dict[str, Any]] = {}
    for row in sweep.done:
        known = first.setdefault(row["split_seed"], row)
        if known["fingerprint"] != row["fingerprint"]:
            runs = [
                f"{r['arm']}, seed {r['seed']} ({r['run_id']}): {str(r['fingerprint'])[:16]}"
                for r in (known, row)
            ]
            raise RunError(
                f"The runs of sweep {sweep.id} had different tables: {'; '.join(runs)}. {sweep.config.data} "
                "changed in between, so that their difference is one of data. Start a fresh sweep."
            )


def other_code(sweep: Sweep) -> list[str]:
    """Sentences on how code or stack of the runs that are done differs from the first one's, if it does."""
    if not sweep.done:
        return []
    first = sweep.done[0]
    counts = Counter(
        "; ".join(deviations)
        for row in sweep.done
        if (deviations := differences(first["made_by"], row["made_by"]))
    )
    return [
        f"{count} of the {len(sweep.done)} runs were made by other code than {first['run_id']}: {deviation}."
        for deviation, count in counts.items()
    ]


def find_sweep(root: Path, sweep_id: str) -> Entry:
    """The entry of a sweep in `qnb.runs.listing.list_runs`.

    Args:
        sweep_id: its id, an unambiguous beginning of it, or its path.

    Raises:
        RunError: there is none, or more than one.
    """
    known = {run["run_id"]: run for run in list_runs(root) if run["notebook"] == NAME}
    wanted = run_name(root, sweep_id).removeprefix(f"{NAME}/")
    matches = (
        [known[wanted]]
        if wanted in known
        else [run for name, run in known.items() if wanted and name.startswith(wanted)]
    )
    if len(matches) > 1:
        raise RunError(f"Sweep {sweep_id!r} is ambiguous: {', '.join(run['run_id'] for run in matches[:5])}.")
    if not matches:
        raise RunError(
            f"No sweep {sweep_id!r} in {root / 'executed' / NAME}. "
            + (nearest(wanted, known) if known else "There is none yet.")
        )
    return matches[0]


def chain(root: Path, sweep_id: str) -> list[str]:
    """Ids of the sweep and of those that it was resumed from, the latest first.

    Raises:
        RunError: one of them is missing.
    """
    ids: list[str] = []
    link: str | None = sweep_id
    while link is not None and link not in ids:
        ids.append(link)
        link = find_sweep(root, link).get("resumed_from")
    return ids


def attempts(root: Path, sweeps: list[str], digest: str | None = None) -> list[Entry]:
    """The runs of these sweeps, or those with this hash, as entries of `qnb.runs.listing.list_runs`, oldest
    first.
    """
    runs = [run for run in list_runs(root) if run.get("sweep") in sweeps]
    return [run for run in runs if digest in (None, run.get("hash"))]


def write_results(run: Run, sweep: Sweep) -> None:
    """Write runs.csv, one line per arm and seed, and metrics.json with the counts into the run folder."""
    text = io.StringIO()
    table = csv.DictWriter(
        text,
        [name for name in sweep.rows[0] if name not in ("folder", "made_by")],
        extrasaction="ignore",
        lineterminator="\n",
    )
    table.writeheader()
    table.writerows(sweep.rows)
    run.write_text(RUNS, text.getvalue())
    run.write_json(METRICS, {"runs": len(sweep.rows), "done": len(sweep.rows) - len(sweep.missing)})


def summary(sweep: Sweep) -> str:
    """A table with one line per arm: runs done, mean and standard deviation of the AUCs over seeds,
    degenerate runs; then notes on data, code, and runs that diverged or are missing.
    """
    lines: list[tuple[str, ...]] = [("arm", "done", "test AUC", "val AUC", "degenerate")]
    for arm in sweep.config.arms:
        of_arm = [row for row in sweep.rows if row["arm"] == arm]
        done = [row for row in of_arm if row["status"] == "done"]
        degenerate = sum(bool(row["degen"]) for row in done)
        auc = [
            _mean_sd([row[name] for row in done if row[name] is not None]) for name in ("test_auc", "val_auc")
        ]
        lines.append((arm, f"{len(done)} of {len(of_arm)}", *auc, str(degenerate) if degenerate else ""))
    diverged = [
        f"{row['arm']}, seed {row['seed']}: diverged: {row['diverged']}"
        for row in sweep.done
        if row["diverged"]
    ]
    notes = [f"{row['arm']}, seed {row['seed']}: {_state(row)}" for row in sweep.missing]
    data = (
        ["SYNTHETIC data: this says nothing about any network."]
        if any(row["synthetic"] for row in sweep.rows)
        else []
    )
    return "\n".join(
        [columns_of_text(lines), *data, *other_code(sweep), *diverged, *([""] if notes else []), *notes]
    )


def _mean_sd(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _state(row: dict[str, Any]) -> str:
    where = f" {row['run_id']}" if row["run_id"] else ""
    return f"{row['status']}{where}" + (f" ({' '.join(row['why'].split())})" if row["why"] else "")
