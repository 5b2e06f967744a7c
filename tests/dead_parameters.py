"""Tables and helpers of the tests in no_dead_parameter/: of each notebook, small configurations, and for each parameter a change."""

import functools
import importlib
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from circuits import brickwork
from in_process import execute

from qnb.errors import QnbError
from qnb.runs.source import read_notebook

ROOT = Path(__file__).parents[1]
TABLE = {"data": "tiny.csv", "label": "label", "drop": ("kind", "other_kind"), "time": ("frame.time",), "sample": 160}
CIRCUIT = {"wires": 2, "layers": 1}
STEPS = TABLE | CIRCUIT | {"batch": 16}
TRAINING = STEPS | {"epochs": 2, "fixed_num_batches": 3, "engine": "exact"}
ODD = {"balanced_batches": True, "min_pred_pos_rate": 0.98}  # where balanced_pos_frac and abort_on_degen count
PROBE = STEPS | {"engine": "exact", "steps": 20}
BASES = {  # of each notebook, small configurations that together reach every parameter
    "train": [TRAINING, TRAINING | ODD],
    "explore": [TRAINING, TRAINING | ODD],
    "surrogate": [TRAINING, TRAINING | ODD],
    "ablation": [TRAINING | {"seeds": 2}, TRAINING | {"seeds": 2} | ODD],
    "alpha_sign_inversion": [PROBE],
    "focal_fixed_point": [PROBE],
    "readout_geometry": [PROBE | {"rows": 4, "initialisations": 10}],
    "suspects": [TRAINING | {"seeds": 2}, TRAINING | {"seeds": 2, "balanced_batches": True}],
    "throughput": [CIRCUIT | {"repeats": 3, "seconds": 0.01}],
    "tune": [TABLE | {"data": "long.csv", "sample": None, "wires": 2, "epochs": 2, "trials": 2, "confirm_runs": 2}],
    "leakage_stress_test": [CIRCUIT | {"sample": 1500, "batch": 16, "epochs": 1, "fixed_num_batches": 3}],
    "zvec_gradient_identity": [STEPS | {"rows": 2, "training_epochs": 2}],
    "gradient_audit": [STEPS | {"rows": 3, "training_epochs": 3}],
    "own_circuit": [CIRCUIT | {"sample": 300, "batch": 16, "epochs": 2, "seeds": 2}],
}
QUICK = ("train", "surrogate", "alpha_sign_inversion", "suspects")
BUNDLED = {"data": "bundled", "label": None, "drop": (), "time": None}
CHANGES = {  # of each parameter of a training: a value, and what it needs beside it to count
    "data": ("easy_tiny.csv", {}),
    "label": ("other", {}),
    "positive": (0, {}),
    "negative": (1, {}),
    "drop": (("a", "kind", "other_kind"), {}),
    "time": (("b",), {"split": "time"}),
    "identifiers": (("a",), {}),
    "attack_type": ("kind", {"split": "attack", "attack_type": "other_kind"}),
    "missing": ("indicator", {"missing": "median", "missing_values": (3,)}),
    "missing_values": ((3,), {"missing": "median"}),
    "sample": (120, {}),
    "data_seed": (1, BUNDLED),
    "leaks": ((), BUNDLED),
    "attack_ring": (1.0, BUNDLED),
    "attack_push": (0.0, BUNDLED),
    "attack_share": (0.5, BUNDLED),
    "split": ("time", {}),
    "test_data": ("easy_tiny.csv", {}),
    "group_by": (("c",), {"split": "group", "group_by": ("site",)}),
    "embargo": (20.0, {"split": "time"}),
    "attack_test": (("DDoS_UDP",), BUNDLED | {"split": "attack", "attack_test": ("DDoS_ICMP",), "sample": 600}),
    "split_seed": (1, {}),
    "val_fraction": (0.3, {}),
    "test_fraction": (0.3, {}),
    "reduction": ("none", {"wires": 4, "drop": ("kind", "other_kind", "site", "other")}),
    "rescale": ("minmax", {}),
    "angle_range": ("pm_pi", {}),
    "wires": (3, {}),
    "layers": (2, {}),
    "encoder": ("angle_xy", {}),
    "ansatz": ("ring", {"wires": 3, "layers": 2}),  # with two wires, or in the first layer, they are one
    "measurement": ("z0", {}),
    "reupload": (True, {"layers": 2}),
    "hadamard": (True, {}),
    "scaling": (True, {}),
    "engine": ("one_sample_demo", {"gate": "off"}),
    "device": ("default.qubit", {}),  # refused beside the exact engine
    "gate": ("off", {}),
    "preflight_compile": (False, {}),
    "focal_gamma": (2.0, {}),
    "alpha_mode": ("direct", {}),
    "alpha_train": (False, {}),
    "class_weights": ("balanced", {}),
    "balanced_batches": (True, {}),
    "balanced_pos_frac": (0.25, {"balanced_batches": True}),
    "prior_correction": ("importance", {"balanced_batches": True}),
    "seed": (1, {}),
    "epochs": (3, {}),
    "batch": (8, {}),
    "fixed_num_batches": (2, {}),
    "lr": (0.2, {}),
    "lr_schedule": ("cosine", {}),
    "lr_mult_weights": (2.0, {}),
    "lr_mult_readout": (2.0, {}),
    "lr_mult_alpha": (2.0, {}),
    "lr_mult_scaling": (2.0, {"scaling": True}),
    "weight_decay_weights": (0.1, {}),
    "weight_decay_readout": (0.1, {}),
    "weight_decay_alpha": (0.1, {}),
    "weight_decay_scaling": (0.1, {"scaling": True}),
    "val_objective": ("val_loss", {"epochs": 6, "lr": 0.5}),
    "eval_every_epochs": (2, {}),
    "early_stop_patience": (1, {"epochs": 6, "lr": 0.5}),
    "min_pred_pos_rate": (0.98, {}),
    "max_pred_pos_rate": (0.02, {}),
    "abort_on_degen": (True, {"min_pred_pos_rate": 0.98}),
    "baselines": (("logistic",), {}),
}
SOURCES = {"run", "resume", "sweep"}  # where parameters come from: tests/probes/test_suspects.py, tests/studies
OWN = {  # of each notebook, the parameters that it alone has, or that mean something else there
    "explore": {"row": 1},
    "suspects": {"seeds": 3, "min_effect": 0.2, "abort_on_degen": True, "engine": "one_sample_demo"},
    "surrogate": {"terms": 3, "min_effect": 0.2, "quick": False},
    "ablation": {
        "arms": {"z0": {"measurement": "z0"}, "mean_z": {"measurement": "mean_z"}}, "reference": "mean_z_readout",
        "seeds": 3, "resample": "split", "min_effect": 0.2,
        "other_tables": {"easy": TABLE | {"data": "easy_tiny.csv"}},
    },
    "alpha_sign_inversion": {"alpha_start": 0.2, "push": 0.1, "steps": 25, "quick": False, "engine": "catalyst"},
    "focal_fixed_point": {"gamma": 1.0, "alpha_start": 0.2, "rate_sgd": 1.0, "steps": 25, "quick": False, "engine": "catalyst"},
    "readout_geometry": {"steps": 25, "rows": 5, "initialisations": 12, "quick": False, "shots": True, "engine": "catalyst"},
    "throughput": {"repeats": 4, "seconds": 0.2, "quick": False, "device": "nowhere.qubit"},
    "tune": {
        "data": "easy_long.csv", "sample": 450, "trials": 3, "epochs": 3, "confirm_seed": 2000, "confirm_runs": 3,
        "other_tables": {"easy": TABLE | {"data": "easy_long.csv", "sample": None}},
    },
    "leakage_stress_test": {
        "columns": ("tcp.flags", "tcp.len", "udp.port"), "attack_type": "mqtt.msgtype", "group_by": ("ip.src_host",), "embargo": 600.0,
        "attack_test": ("DDoS_UDP",),
    },
    "zvec_gradient_identity": {"rows": 3, "training_epochs": 3, "quick": False, "engine": "exact", "device": "nowhere.qubit"},
    "gradient_audit": {
        "stacks": ("current", "0.0.1"), "rows": 4, "training_epochs": 4, "quick": False, "device": "nowhere.qubit",
    },
    "own_circuit": {"engine": "catalyst", "seeds": 3},
}  # fmt: skip


CIRCUITS = (
    """import pennylane as qml
from qnb.core.circuit import Measurement, Pattern


"""
    + inspect.getsource(brickwork)
    + """

def twice(x, wires):
    for i in wires:
        qml.RX(2 * x[i], wires=i)


words = Measurement(None, words=lambda n: ["Z" + "I" * (n - 1), "X" * n])
chain = Pattern(lambda wires, layer: [(i, i + 1) for i in range(wires - 1)])
"""
)
PARTS = {"ansatz": "circuits.py:brickwork", "encoder": "circuits.py:twice", "measurement": "circuits.py:words"}


def configuration(notebook):
    module, cls = read_notebook(ROOT / "notebooks" / f"{notebook}.ipynb").metadata.qnb.config.split(":")
    return getattr(importlib.import_module(module), cls)


def labelled(rows):
    """Features that tell the label a little, in groups, at times, of two columns of types; `other` is the label upside
    down.
    """
    rng = np.random.default_rng(0)
    y = (rng.random(rows) < 0.6).astype(int)
    frame = pd.DataFrame(rng.normal(y[:, None], 1.5, (rows, 4)), columns=list("abcd"))
    frame["frame.time"] = np.arange(float(rows))
    frame["site"] = rng.integers(0, 12, rows)
    for name in ("kind", "other_kind"):
        frame[name] = np.where(y == 1, rng.choice(["scan", "flood", "worm"], rows), "normal")
    return frame.assign(label=y, other=1 - y)


# what needs other arms to count: what every arm overrides is refused (tests/runs/test_job.py)
OF_OTHER_ARMS = {"ablation": {"measurement": ("z0", {"arms": {"one": {}, "two": {"layers": 2}}, "reference": "one"})}}


def changes_of(notebook):
    fields = configuration(notebook).model_fields
    own = {name: (value, {}) for name, value in OWN.get(notebook, {}).items()} | OF_OTHER_ARMS.get(notebook, {})
    return {name: change for name, change in (CHANGES | own).items() if name in fields and name not in SOURCES}


FINDING = {  # notebooks, by the test file that changes their parameters: files are shared out between processes. One finds timings
    "trainings": ("train", "explore", "surrogate", "own_circuit", "suspects"),
    "studies": ("ablation", "tune", "leakage_stress_test", "zvec_gradient_identity"),
    "probes": ("alpha_sign_inversion", "focal_fixed_point", "readout_geometry", "gradient_audit"),
}


def cases(file):
    """[(notebook, parameter)] of that test file."""
    return [(notebook, name) for notebook in FINDING[file] for name in changes_of(notebook)]


@functools.lru_cache(maxsize=1)
def cached(notebook, items, project):
    with pytest.MonkeyPatch.context() as patch:
        return execute(notebook, dict(items), project, patch)[1]


def require_found_or_refused(notebook, name, project, monkeypatch):
    """Executed with the parameter changed, the notebook finds other than before, or refuses it."""
    value, beside = changes_of(notebook)[name]
    fields = configuration(notebook).model_fields
    base = BASES[notebook][0] | {n: v for n, v in beside.items() if n in fields}
    before = execute(notebook, base, project, monkeypatch)[1] if beside else cached(notebook, tuple(base.items()), project)
    try:
        after = execute(notebook, base | {name: value}, project, monkeypatch)[1]
    except QnbError:
        return
    assert repr(after) != repr(before)
