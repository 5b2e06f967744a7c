"""Why a run does not learn: five runs, each broken in one way, and a sound one; then each criterion by itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.data.table import load_table
from qnb.errors import ParameterError
from qnb.probes import suspects, suspects_words
from qnb.probes.alpha import AlphaConfig
from qnb.probes.subject import finished_run, subject
from qnb.probes.throughput import ThroughputConfig
from qnb.probes.zvec import ZvecConfig
from qnb.runs.folder import create
from qnb.runs.project import RunError
from qnb.training.train import train

SOUND = {
    "data": "breast_cancer", "sample": None, "wires": 2, "layers": 2, "batch": 64, "epochs": 4, "fixed_num_batches": 15, "lr": 0.1,
}  # fmt: skip
BROKEN = {
    "none": {},
    "data": {"data": "noise.csv", "label": "label"},
    "objective": {"class_weights": (1e-5, 1.0)},
    "readout": {"measurement": "z_vec", "lr_mult_readout": 0.0},
    "optimiser": {"lr": 20.0},
    "compiler": {"engine": "one_sample_demo", "gate": "off"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    table = load_table(TrainConfig(data="breast_cancer", sample=None))
    noise = table.frame.assign(label=np.random.default_rng(1).permutation(table.y))
    noise.to_csv(folder / "noise.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run_ids(root):
    """Runs as train.ipynb leaves them, by what is broken."""
    found = {}
    for name, changes in BROKEN.items():
        changes = changes | ({"data": str(root / "noise.csv")} if name == "data" else {})
        config = TrainConfig(**SOUND | changes)
        run = create(root, "train", config)
        prepared = prepare(config)
        run.note(data=prepared.card)
        result = train(config, prepared, folder=run.folder, progress=False)
        run.note(gate=result.gate.to_dict() if result.gate else result.metrics["gate"])
        result.save(run.path("model"))
        run.finish(result.metrics)
        found[name] = run.id
    return found


@pytest.fixture(scope="module")
def subjects(root, run_ids):
    return {name: finished_run(run_id, root) for name, run_id in run_ids.items()}


@pytest.mark.parametrize("broken", BROKEN)
def test_each_broken_run_points_to_what_is_broken_and_the_sound_one_to_nothing(subjects, broken):
    found = suspects.examine(subjects[broken])
    assert [f.suspect for f in found] == list(suspects.SUSPECTS)
    suspected = [f.suspect for f in found if f.status == "suspected"]
    assert suspected == ([] if broken == "none" else [broken]), suspects_words.findings_table(found).to_string()
    assert all(f.evidence for f in found) and len(found) == 5
    assert suspects_words.findings_table(found)["suspect"].tolist() == list(suspects.SUSPECTS)


def test_the_evidence_has_the_numbers(subjects):
    by = {name: {f.suspect: f for f in suspects.examine(subjects[name])} for name in ("none", "compiler")}
    assert "test AUC 0.9" in by["none"]["data"].evidence
    twin = subjects["none"].metrics["against_twin"]
    assert by["none"]["data"].figures["against_twin"] == twin
    said = suspects_words.twin_sentence(subjects["none"].metrics)
    assert "its dequantised twin" in said and f"{twin['difference']:+.4f} in test AUC" in said
    assert suspects_words.twin_sentence({}) == "This run has no dequantised twin to stand against."
    wrong = by["compiler"]["compiler"]
    assert wrong.figures["gate_now"] == "wrong" and f"{wrong.figures['expected']:.3g}" in wrong.evidence
    assert by["none"]["compiler"].figures["worst_relative_error"] < 1e-4
    assert "not judged while the compiler is suspected" in by["compiler"]["optimiser"].evidence


def history(**changes):
    columns = {
        "epoch": [1, 2, 3, 4], "train_loss": [0.6, 0.5, 0.45, 0.4], "val_auc": [0.7, 0.8, 0.85, 0.9], "alpha": [1.0, 2, 3, 4],
        "grad_norm_weights": [0.1] * 4, "grad_norm_readout": [0.1] * 4, "delta_weights": [1.0, 1.5, 2, 2.5],
        "delta_readout": [0.1, 0.2, 0.3, 0.4], "param_norm_readout": [1.0] * 4,
    }  # fmt: skip
    return pd.DataFrame(columns | changes)


@pytest.mark.parametrize(
    ("examine", "config", "changes", "words"),
    [
        (suspects.examine_optimiser, {}, {"train_loss": [0.5, 0.5, 0.6, 0.7]}, "training loss rose"),
        (suspects.examine_optimiser, {}, {"val_auc": [0.9, 0.88, 0.85, 0.8]}, "Epoch 1 was the best"),
        (suspects.examine_optimiser, {}, {"delta_weights": [1e-3] * 4}, "too little"),
        (suspects.examine_optimiser, {}, {"delta_weights": [50.0] * 4}, "more than half a turn"),
        (suspects.examine_readout, {}, {"grad_norm_readout": [0.0] * 4}, "gradient is dead"),
        (suspects.examine_readout, {}, {"delta_readout": [0.0] * 4}, "has not moved"),
        (suspects.examine_objective, {"focal_gamma": 7.0}, {}, "of BCE's slope"),
        (suspects.examine_objective, {"focal_gamma": 2.0}, {"train_loss": [0.1733] * 4}, "at l = 0 it would be 0.1733"),
        (suspects.examine_objective, {"alpha_mode": "direct"}, {"alpha": [-1.0] * 4, "val_auc": [0.2] * 4}, "alpha ends at -1"),
    ],
)
def test_each_criterion_by_itself(subjects, examine, config, changes, words):
    sound = replace(subjects["none"], history=history())
    assert examine(sound).status == "cleared", examine(sound).evidence
    broken = replace(sound, config=TrainConfig(**SOUND | config), history=history(**changes))
    found = examine(broken)
    assert found.status == "suspected" and words in found.evidence


@pytest.mark.parametrize("seen", [{}, {"val_auc": [np.nan] * 4}])
def test_a_run_that_ended_before_its_first_evaluation_is_examined(subjects, seen):
    """With eval_every_epochs over 1 the history of such a run has no validation AUC."""
    before = history().drop(columns="val_auc").assign(**seen)
    stopped = replace(subjects["none"], history=before, params=None, metrics={})
    status = {f.suspect: f.status for f in suspects.examine(stopped)}
    assert status == {"data": "cleared", "objective": "open", "readout": "open", "optimiser": "open", "compiler": "cleared"}


def test_what_cannot_be_judged_is_open(subjects):
    stopped = replace(subjects["none"], history=None, params=None, metrics={})
    status = {f.suspect: f.status for f in suspects.examine(stopped)}
    assert status == {"data": "cleared", "objective": "open", "readout": "open", "optimiser": "open", "compiler": "cleared"}
    elsewhere = subjects["none"].manifest | {"versions": {"pennylane": "0.44.0"}}
    ungated = replace(subjects["none"], config=TrainConfig(**SOUND, gate="off"), manifest=elsewhere)
    assert suspects.examine_compiler(ungated).status == "open"
    diverged = replace(
        stopped, manifest=stopped.manifest | {"failure": {"message": "epoch 1: the loss or a parameter is not finite."}}
    )
    assert suspects.examine_optimiser(diverged).status == "suspected"


def test_a_run_brings_the_groups_that_the_probe_has_and_no_more(root, run_ids, subjects):
    probe = ZvecConfig(run=run_ids["readout"]).resolved(root, ["run"])
    assert (probe.wires, probe.lr, probe.data, probe.run) == (2, 0.1, "breast_cancer", run_ids["readout"])
    model = subject(probe, root)
    assert (model.config.measurement, model.config.lr_mult_readout, model.config.epochs) == ("z_vec", 1.0, 8)
    assert f"that of run {probe.run}" in model.said and "decides measurement=z_vec, fixed_num_batches=10." in model.said
    circuit = ThroughputConfig(run=run_ids["none"]).resolved(root, ["run"])
    assert (circuit.wires, circuit.layers) == (2, 2) and "data" not in dict(circuit)
    assert subjects["none"].params["weights"].shape == (2, 2, 3) and len(subjects["none"].history) == 4
    described = subject(AlphaConfig(data="breast_cancer", sample=None))
    assert described.said == "The model under test is described by the parameters above."


def test_runs_that_cannot_be_probed_are_refused(root, run_ids, monkeypatch):
    with pytest.raises(
        ParameterError, match=r"brings its own parameters: leave wires=3 \(the run has 2\), lr=0.2 .* out, or run=None"
    ):
        ZvecConfig(run=run_ids["none"], wires=3, lr=0.2).resolved(root, ["run", "wires", "lr"])
    with pytest.raises(ParameterError, match=r"leave layers=3 \(the run has 2\) out"):  # its default, but set
        ThroughputConfig(run=run_ids["none"]).resolved(root, ["run", "layers"])
    with pytest.raises(RunError, match="No run 'nowhere'"):
        ZvecConfig(run="nowhere").resolved(root, ["run"])
    with pytest.raises(ParameterError, match="engine = 'one_sample_demo': input should be 'catalyst' or 'exact'"):
        ZvecConfig(run=run_ids["compiler"]).resolved(root, ["run"])
    other = create(root, "zvec_gradient_identity", ZvecConfig())
    other.finish({})
    with pytest.raises(RunError, match=r"a finished run of train.ipynb was expected; that is a done run of zvec"):
        ZvecConfig(run=other.id).resolved(root, ["run"])
    probe = ZvecConfig(run=run_ids["none"]).resolved(root, ["run"])
    changed = SimpleNamespace(card={"fingerprint": "0" * 64, "synthetic": False, "source": "x", "rows_kept": 1, "prior": 0.5})
    monkeypatch.setattr("qnb.probes.subject.prepare", lambda config: changed)
    with pytest.raises(RunError, match="has changed since"):
        subject(probe, root)
