"""Silent faults: how many does a diagnosis name, and how many sound runs does it blame?

    python -m benchmarks.silent_faults RESULTS.jsonl [HOURS]     # resumes; every line is one diagnosed run
    papermill benchmarks/silent_faults.ipynb OUT.ipynb -p results RESULTS.jsonl

Each fault raises no error. It is planted, in several strengths, into a sound run of 4 wires, 3 layers and 240 steps on each of
three tables; the run is diagnosed with the defaults, from what it leaves. The tables and figures of the notebook are in
benchmarks/silent_faults_report.py.
"""

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

from benchmarks.faulty_runs import (
    ByHand,
    FirstRow,
    constant,
    cut,
    of_range,
    permuted,
    run_of,
    shuffled,
)
from qnb.config import TrainConfig
from qnb.data.prepare import Prepared, prepare
from qnb.data.splits import SIDES
from qnb.errors import QnbError
from qnb.files import cache_folder
from qnb.probes import suspects
from qnb.runs.provenance import code_state, commit_name
from qnb.studies.diagnosis import diagnose
from qnb.training.baselines import fit_baselines

SEEDS, ROWS, LEVELS = 30, 4000, 6
SOUND = {"engine": "exact", "wires": 4, "layers": 3, "batch": 64, "epochs": 8, "fixed_num_batches": 30, "gate": "off",
         "baselines": ("logistic", "boosting")}  # fmt: skip
TABLES = ("capture", "breast_cancer", "make_classification")


@dataclass(frozen=True)
class Fault:
    """One fault in one strength.

    Attributes:
        component: who is to blame; "" for a sound run. Several, where either answer is right.
        changes: parameters of the run.
        rows: the rows in that process, from those of the table.
        truth: what the table itself is like, from the sound one.
        engine: made by hand for the run; `known`: and handed to the diagnosis.
    """

    component: tuple[str, ...]
    changes: dict[str, Any] | None = None
    rows: Any = None
    truth: Any = None
    engine: Any = None
    known: bool = False


def _only(group, factor):
    return lambda grads: {name: g * (factor if name == group else 1) for name, g in grads.items()}


def _gradient(change):
    return {
        "engine at hand": Fault(("gradient",), engine=lambda c: ByHand(c, change), known=True),
        "engine gone": Fault(("gradient",), engine=lambda c: ByHand(c, change)),
    }


def _values(component, name, values, **beside):
    return {f"{value:g}": Fault((component,), {name: value} | beside) for value in values}


def _stale(config):
    other = ByHand(config.model_copy(update={"layers": 1}))
    params = other.spec.init(5)
    sizes: set[int] = {config.batch}
    return ByHand(config, scores=lambda scores, X: scores if len(X) in sizes else other.scores(params, X))


def _leak(prepared):
    """The first feature is the label on training and validation rows, and noise on test rows."""
    rng = np.random.default_rng(0)

    def leaky(side, X, y):
        tells = np.where(y == 1, 0.75, 0.25) * np.pi if side != "test" else rng.uniform(0, np.pi, len(y))
        return np.column_stack([tells + 0.1 * rng.standard_normal(len(y)), X[:, 1:]]).clip(0, np.pi)

    return replace(prepared, X={k: leaky(k, x, prepared.y[k]) for k, x in prepared.X.items()})


def _fewer_positives(prepared):
    keep = (prepared.y["train"] == 0) | (np.arange(len(prepared.y["train"])) % 10 == 0)
    return replace(
        prepared,
        X=prepared.X | {"train": prepared.X["train"][keep]},
        y=prepared.y | {"train": prepared.y["train"][keep]},
    )


def _noisy(share):
    def flip(prepared):
        rng = np.random.default_rng(2)
        return replace(
            prepared,
            y={k: np.where(rng.uniform(size=len(y)) < share, 1 - y, y) for k, y in prepared.y.items()},
        )

    return flip


def _weak(prepared):
    """Every angle half noise."""
    rng = np.random.default_rng(3)
    return replace(prepared, X={k: (x + rng.uniform(0, np.pi, x.shape)) / 2 for k, x in prepared.X.items()})


def _unbalanced(prepared):
    def keep(y):
        return (y == 0) | (np.arange(len(y)) % 8 == 0)

    return replace(
        prepared,
        X={k: x[keep(prepared.y[k])] for k, x in prepared.X.items()},
        y={k: y[keep(y)] for k, y in prepared.y.items()},
    )


FAULTS: dict[str, dict[str, Fault]] = {
    "one sample's gradient, the last": {"": Fault(("gradient",), {"engine": "one_sample_demo"})},
    "one sample's gradient, the first": {"": Fault(("gradient",), engine=FirstRow, known=True)},
    "dead Hamiltonian coefficients": {
        "": Fault(("gradient",), {"measurement": "z_vec"}, engine=lambda c: ByHand(c, _only("readout", 0.0)), known=True)
    },
    "sign of the weights' gradient": _gradient(_only("weights", -1.0)),
    "sign of the readout's gradient": _gradient(_only("readout", -1.0)),
    "a gradient scaled": _gradient(_only("weights", 5.0)),
    "a third of the angles without gradient": _gradient(lambda g: g | {"weights": g["weights"] * (np.arange(3) != 1)}),
    "scores of another circuit": {
        "engine at hand": Fault(("gradient", "data"), engine=_stale, known=True),
        "engine gone": Fault(("gradient", "data"), engine=_stale),
    },
    "rate too small": _values("rate", "lr", (1e-5, 1e-4, 1e-3, 5e-3)),
    "rate too large": _values("rate", "lr", (20.0, 5.0, 1.0)),
    "weights decay": _values("rate", "weight_decay_weights", (10.0, 3.0, 1.0)),
    "one-cycle too steep": _values("rate", "lr", (10.0, 2.0), lr_schedule="onecycle"),
    "frozen angles": _values("rate", "lr_mult_weights", (0.0, 1e-3, 1e-2)),
    "too few epochs": _values("length", "fixed_num_batches", (5, 15, 30, 60), epochs=1),
    "class weights": {f"{w:g}": Fault(("objective",), {"class_weights": (w, 1.0)}) for w in (1e-5, 1e-3, 1e-2)},
    "alpha crushed": {
        "direct, decay 20": Fault(("objective",), {"alpha_mode": "direct", "weight_decay_alpha": 20.0}),
        "direct, decay 5": Fault(("objective",), {"alpha_mode": "direct", "weight_decay_alpha": 5.0}),
        "decay 20": Fault(("objective",), {"weight_decay_alpha": 20.0}),
    },
    "readout frozen or narrow": {
        "z_vec 0, two layers": Fault(("readout",), {"measurement": "z_vec", "lr_mult_readout": 0.0, "layers": 2}),
        "z0, two layers": Fault(("readout",), {"measurement": "z0", "layers": 2}),
        "z_vec 0": Fault(("readout",), {"measurement": "z_vec", "lr_mult_readout": 0.0}),
    },
    "angles that wrap": {
        "pm_pi": Fault(("encoding",), {"angle_range": "pm_pi"}),
        "0 to 4 pi": Fault(("encoding",), truth=lambda p: of_range(p, 0, 4 * np.pi)),
        "0 to 12 pi": Fault(("encoding",), truth=lambda p: of_range(p, 0, 12 * np.pi)),
    },
    "angles that collapsed": {
        f"{width:g} rad": Fault(("encoding",), truth=lambda p, w=width: of_range(p, 1.0, 1.0 + w)) for width in (1e-3, 1e-2, 0.1)
    },
    "too few layers": {
        "one": Fault(("circuit",), {"layers": 1}),
        "one, z0": Fault(("circuit", "readout"), {"layers": 1, "measurement": "z0"}),
    },
    "labels of training shuffled": {
        f"{share:g}": Fault(("data",), rows=lambda p, s=share: shuffled(p, ("train",), s)) for share in (1.0, 0.3, 0.1)
    },
    "labels without meaning": {"": Fault(("data",), truth=lambda p: shuffled(p, SIDES))},
    "features permuted between sides": {
        "test and validation": Fault(("data",), rows=lambda p: permuted(p, ("val", "test"))),
        "test": Fault(("data",), rows=lambda p: permuted(p, ("test",))),
    },
    "wires fed a constant": {f"{n}": Fault(("data",), rows=lambda p, n=n: constant(p, n)) for n in (2, 1)},
    "prior shift": {"": Fault(("data",), rows=_fewer_positives)},
    "stale training rows": {"": Fault(("data",), rows=lambda p: cut(p, len(p.y["train"]) // 4))},
    "labels that follow a leak": {"": Fault(("data",), truth=_leak)},
}  # fmt: skip
HARD: dict[str, dict[str, Fault]] = {
    "sound": {"": Fault(())},
    "few rows": {"300": Fault((), truth=lambda p: cut(p, 300))},
    "noisy labels": {f"{share:g}": Fault((), truth=_noisy(share)) for share in (0.1, 0.3)},
    "weak signal": {"": Fault((), truth=_weak)},
    "unbalanced": {"": Fault((), truth=_unbalanced)},
    "another schedule": {
        "cosine": Fault((), {"lr_schedule": "cosine"}), "rate 0.1": Fault((), {"lr": 0.1}), "batch 32": Fault((), {"batch": 32}),
        "16 epochs": Fault((), {"epochs": 16}),
    },
    "another circuit": {
        "mean_z": Fault((), {"measurement": "mean_z"}), "ring": Fault((), {"ansatz": "ring"}), "z_vec": Fault((), {"measurement": "z_vec"}),
        "two layers": Fault((), {"layers": 2}), "four layers": Fault((), {"layers": 4}),
    },
    "another setting": {
        "pm_pi_2": Fault((), {"angle_range": "pm_pi_2"}), "balanced": Fault((), {"class_weights": "balanced"}),
    },
}  # fmt: skip


def table(name: str, seed: int) -> TrainConfig:
    """The configuration of a sound run on a table; seed of its rows and of the circuit."""
    if name == "capture":
        return TrainConfig(**SOUND, data="bundled", leaks=(), sample=ROWS, split_seed=seed, seed=100 * seed)
    if name == "breast_cancer":
        return TrainConfig(**SOUND, data="breast_cancer", sample=None, split_seed=seed, seed=100 * seed)
    folder = cache_folder("bench") or Path("/tmp")
    path = folder / f"make_classification_{seed}.csv"
    if not path.exists():
        X, y = make_classification(ROWS, n_features=12, n_informative=8, n_redundant=2, n_clusters_per_class=3,
                                   flip_y=0.01, random_state=seed)  # fmt: skip
        frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
        frame.assign(label=y).to_csv(path, index=False)
    return TrainConfig(**SOUND, data=str(path), label="label", sample=None, split_seed=seed, seed=100 * seed)


def jobs():
    """Every (seed, table, fault, strength), seeds first, so that a run that is stopped has something of everything."""
    for seed in (1, 0, *range(2, SEEDS)):  # the first is one of those reported
        for level in range(LEVELS):
            for kind, strengths in (HARD | FAULTS).items():
                for name in list(strengths)[level : level + 1]:
                    yield from ((seed, where, kind, name) for where in TABLES)


def diagnosed(seed: int, where: str, kind: str, name: str, rows: Prepared) -> dict[str, Any]:
    """One run made and diagnosed. `rows`: those of the sound table."""
    fault = (FAULTS | HARD)[kind][name]
    base = table(where, seed)
    config = TrainConfig.make(dict(base) | (fault.changes or {}))
    truth = replace(rows, asked={})  # arrays by hand: their table needs no reading
    if fault.changes and "angle_range" in fault.changes:
        truth = replace(prepare(config), asked={})
    truth = fault.truth(truth) if fault.truth else truth
    trained_on = fault.rows(truth) if fault.rows else truth
    engine = fault.engine(config) if fault.engine else None
    baselines = fit_baselines(*(truth.side(side) for side in SIDES), seed=0)
    case = run_of(config, trained_on, truth, engine, baselines)
    started = time.perf_counter()
    found = diagnose(case, engine=engine if fault.known else None, progress=False)
    seconds = time.perf_counter() - started
    return {
        "commit": commit_name(code_state()), "seed": seed, "table": where, "fault": kind, "strength": name, "component": list(fault.component),
        "blamed": list(found.blamed), "history": sorted(f.suspect for f in suspects.examine(case) if f.status == "suspected"),
        "recorded": case.metrics["val_auc"], "as_it_is": found.as_it_is.val.mean(), "reference": found.reference.val.mean(),
        "gains": {f.component: f.gain.mean for f in found.findings if f.gain}, "seconds": seconds,
    }  # fmt: skip


def run(path: Path, hours: float) -> None:
    """Diagnose what is not yet in the file, until the time is over."""
    ended = time.monotonic() + 3600 * hours
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    done = {(r["seed"], r["table"], r["fault"], r["strength"]) for r in map(json.loads, lines)}
    prepared: dict[tuple[int, str], Prepared] = {}
    for job in jobs():
        if time.monotonic() > ended:
            return
        if job in done:
            continue
        seed, where = job[:2]
        if (seed, where) not in prepared:
            prepared = {key: value for key, value in prepared.items() if key[0] == seed}
            prepared[seed, where] = prepare(table(where, seed))
        try:
            row = diagnosed(*job, prepared[seed, where])
        except QnbError as error:
            row = dict(zip(("seed", "table", "fault", "strength"), job, strict=True)) | {"error": str(error)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, default=float) + "\n")
        print(*job, row.get("blamed", row.get("error")), f"{row.get('seconds', 0):.1f} s", flush=True)


def main() -> None:
    match sys.argv[1:]:
        case [path]:
            run(Path(path), 24.0)
        case [path, hours]:
            run(Path(path), float(hours))
        case _:
            sys.exit("python -m benchmarks.silent_faults RESULTS.jsonl [HOURS]")


if __name__ == "__main__":
    main()
