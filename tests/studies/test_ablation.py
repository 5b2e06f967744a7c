"""An ablation from its configuration to its decision, trained here and gathered from a sweep."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qnb.config import TrainConfig
from qnb.errors import ParameterError
from qnb.runs import job, parameter_files
from qnb.runs.folder import create
from qnb.runs.project import RunError
from qnb.statistics import words
from qnb.studies import ablation
from qnb.studies.ablation import AblationConfig
from qnb.studies.sweep.arms import SweepConfig
from qnb.studies.sweep.folder import Sweep
from qnb.training.train import train

ROOT = Path(__file__).parents[2]

BASE = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 32, "epochs": 2, "fixed_num_batches": 4}
ARMS = {"slow": {"lr": 0.01}, "fast": {"lr": 0.1}, "diverges": {"lr": 1e308}}


@pytest.fixture(scope="module")
def study():
    return ablation.train_here(AblationConfig(**BASE, arms=ARMS, seeds=3, seed=5), progress=False)


def test_arms_of_one_seed_share_rows_and_seeds_follow_the_first():
    plan = AblationConfig(**BASE, arms=ARMS, seeds=3, seed=5).plan()
    assert [(p.arm, p.seed) for p in plan[:4]] == [("slow", 5), ("fast", 5), ("diverges", 5), ("slow", 6)]
    assert {p.config.split_seed for p in plan} == {0} and {p.config.seed for p in plan} == {5, 6, 7}
    resampled = AblationConfig(**BASE, arms=ARMS, seeds=3, seed=5, resample="split").plan()
    assert [p.config.split_seed for p in resampled[::3]] == [5, 6, 7] and {p.config.data_seed for p in resampled} == {0}
    captures = AblationConfig(arms=ARMS, seeds=3, seed=5, resample="capture").plan()
    assert [(p.config.data_seed, p.config.split_seed) for p in captures[::3]] == [(5, 5), (6, 6), (7, 7)]


def test_with_captures_every_seed_has_a_table_of_its_own_and_arms_share_it():
    small = {"sample": 500, "wires": 2, "layers": 1, "batch": 32, "epochs": 3, "fixed_num_batches": 2, "baselines": ()}
    config = AblationConfig(**small, leaks=(), arms={"slow": {"lr": 0.01}, "fast": {"lr": 0.1}}, seeds=2, resample="capture")
    study = ablation.train_here(config, progress=False)
    assert len(set(study.fingerprints)) == 2 and not config.resampled and not study.compare().ratio
    alone = train(TrainConfig(**small, leaks=(), lr=0.1, seed=1, split_seed=1, data_seed=1, engine="exact"), progress=False)
    row = study.results.iloc[3]
    assert (row["arm"], row["hash"]) == ("fast", alone.config.hash())
    assert row["test_auc"] == pytest.approx(alone.metrics["test_auc"], abs=1e-3)
    best = alone.history.set_index("epoch").loc[alone.metrics["best_epoch"]]
    assert row["param_norm_weights"] == pytest.approx(best["param_norm_weights"], rel=1e-3)
    cover = ablation.what_seeds_cover(study)
    assert "every seed has a capture of its own" in cover and "appear in both train and test" not in cover


def test_arms_that_had_not_levelled_off_are_named_and_decide_nothing(study):
    assert not ablation.not_levelled(study)
    rising = replace(study, results=study.results.assign(still_improving=[True, False, None] * 3))
    (said,) = ablation.not_levelled(rising)
    assert said.startswith("Still improving when the training ended: slow in 3 of 3 runs. ")
    assert rising.compare().to_dict() == study.compare().to_dict()
    assert ablation.metrics(rising, rising.compare())["arms"]["slow"]["still_improving"] == 3
    assert list(ablation.summary(rising)["still improving"]) == [3, 0, 0]


def test_a_row_is_the_run_it_names_and_a_run_that_fails_is_a_gap(study):
    row = study.results.iloc[1]
    alone = train(TrainConfig(**BASE | {"lr": 0.1, "seed": 5, "engine": "exact"}), progress=False)
    assert (row["arm"], row["seed"], row["hash"]) == ("fast", 5, alone.config.hash())
    assert row["test_auc"] == pytest.approx(alone.metrics["test_auc"], abs=1e-3)
    failed = study.results[study.results["arm"] == "diverges"]
    assert list(failed["status"]) == ["failed"] * 3 and "not finite" in failed["why"].iloc[0]
    assert np.isnan(study.values()["diverges"]).all() and study.histories["diverges"] == [None] * 3


def test_the_decision_rests_on_the_differences_within_seeds(study):
    found = study.compare()
    values = study.values()
    assert found.reference == "slow" and found.differences["fast"].mean == pytest.approx(np.mean(values["fast"] - values["slow"]))
    assert found.differences["diverges"].decision == "undecided" and found.differences["diverges"].n == 0
    written = ablation.metrics(study, found)
    assert json.loads(json.dumps(written))["decisions"]["fast"] == found.differences["fast"].decision
    twins = ablation.twin_sentence(ablation.against_twin(study))
    assert written["conclusion"] == [*words.warnings(found), *words.sentences(found), twins]
    assert written["comparison"]["rule"] == ablation.rule(study.config) and "2 comparisons" in ablation.rule(study.config)
    assert written["arms"]["diverges"]["failed"] == 3 and written["arms"]["fast"]["test_auc_mean"] == np.mean(values["fast"])


def test_every_arm_stands_against_its_twin_seed_by_seed(study):
    found = ablation.against_twin(study)
    twin = study.values("twin_test_auc")["fast"]
    d = found.differences["fast"]
    assert d.mean == pytest.approx(np.mean(study.values()["fast"] - twin)) and found.reference == "twin"
    assert set(found.differences) == {"slow", "fast"}  # no seed of the third arm finished
    low, high = stats.t.interval(0.95, 2, d.mean, stats.sem(study.values()["fast"] - twin))
    written = ablation.metrics(study, study.compare())["against_twin"]["fast"]
    assert (written["low"], written["high"]) == pytest.approx((low, high))
    assert written["decision"] == {"better": "above", "worse": "below"}.get(d.decision, d.decision)
    said = ablation.twin_sentence(found)
    assert said.startswith("Against the dequantised twin") and f"fast {written['decision']} ({d.mean:+.4f}, 95 %" in said
    without = replace(study, results=study.results.assign(twin_test_auc=np.nan))
    assert ablation.against_twin(without) is None and "No arm has" in ablation.twin_sentence(None)
    assert ablation.metrics(without, study.compare())["against_twin"] == {}
    assert "dequantised twin" not in ablation.baselines_sentence(without)


@pytest.mark.parametrize(("shift", "decision"), [(0.05, "above"), (-0.05, "below"), (0.0, "equivalent")])
def test_the_decision_against_the_twin_is_the_ablations_own(study, shift, decision):
    noise = np.random.default_rng(0).normal(0, 0.0005, len(study.results))
    results = study.results.assign(twin_test_auc=0.9, test_auc=0.9 + shift + noise)
    found = ablation.twin_decisions(ablation.against_twin(replace(study, results=results)))
    assert {arm: of["decision"] for arm, of in found.items()} == dict.fromkeys(ARMS, decision)


def test_what_is_saved_can_be_read_again(study, tmp_path):
    study.save(tmp_path)
    results, histories = (pd.read_csv(tmp_path / name) for name in (ablation.RESULTS, ablation.HISTORIES))
    assert len(results) == 9 and set(histories["arm"]) == {"slow", "fast"} and set(histories["seed"]) == {5, 6, 7}
    assert len(histories) == 2 * 3 * 2  # arms, seeds, epochs


def test_tables_and_sentences(study):
    table = ablation.arms_table(study.config)
    assert list(table.columns) == ["arm", "lr"] and list(table["lr"]) == [0.01, 0.1, 1e308]
    summary = ablation.summary(study).set_index("arm")
    assert summary.loc["fast", "runs"] == 3 and summary.loc["diverges", "runs"] == 0
    assert summary.loc["fast", "test_auc sd"] == pytest.approx(np.std(study.values()["fast"], ddof=1))
    cover = ablation.what_seeds_cover(study)
    assert "3 seeds (5 to 7) cover initial parameters and the order of batches, on one split" in cover
    assert "no interval covers other rows" in cover and "appear in both train and test" not in cover  # a table without groups
    resampled = replace(study, config=study.config.model_copy(update={"resample": "split"}))
    assert "which rows are drawn for training, validation and test" in ablation.what_seeds_cover(resampled)
    assert len(words.sentences(study.compare())) == 2  # said once: not among these
    assert "logistic regression has test AUC 0.99" in ablation.baselines_sentence(study)


def test_an_arm_that_is_wrong_on_purpose_is_named_in_every_figure(study):
    wrong = AblationConfig(**BASE, arms={"right": {}, "one": {"engine": "one_sample_demo", "gate": "off"}}, seeds=2)
    assert "one: WRONG GRADIENT ON PURPOSE" in ablation.note(replace(study, config=wrong))
    assert "WRONG" not in ablation.note(study)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arms": {"a": {}}}, "compares two or more"),
        ({"arms": {"a": {}, "b": {"epochs": 8}}}, "Arms 'a' and 'b' are one configuration"),
        ({"arms": {"a": {}, "b": {"epoch": 8}}}, "Unknown parameter 'epoch' for arm 'b'. Did you mean 'epochs'"),
        ({"arms": {"a": {}, "b": {"epochs": "8"}}}, "Arm 'b': Parameter epochs = '8'"),
        ({"arms": {"a": {}, "b": {"seed": 8}}}, "overrides seed"),
        ({"arms": {"a": {}, "b": {"focal_gamma": 2.0, "balanced_batches": True}}}, "Arm 'b': .*both reweight"),
        ({"reference": "mean"}, "Did you mean 'mean_z'"),
        ({"seeds": 1}, "Parameter seeds = 1"),
        ({"resample": "capture", "data": "breast_cancer"}, "resample='capture' draws a table anew .* Use resample='split'"),
        ({"resample": "capture", "data_seed": 3}, "data_seed=3 has no effect with resample='capture'"),
        ({"resample": "split", "split_seed": 3}, "split_seed=3 has no effect with resample='split'"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(values, message):
    with pytest.raises(ParameterError, match=message):
        AblationConfig.make(values)


def test_from_a_sweep_the_runs_are_read_and_what_is_missing_is_a_gap(study, tmp_path, monkeypatch):
    config = AblationConfig(**BASE, arms=ARMS, seeds=3, seed=5)
    (tmp_path / "run").mkdir()
    study.histories["fast"][1].to_csv(tmp_path / "run" / "history.csv", index=False)
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"test_auc": 0.75, "baselines": {"logistic": {"test_auc": 0.8}}}))
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({"data": study.card}))
    done = {"split_seed": 0, "fingerprint": study.card["fingerprint"], "made_by": {}, "run_id": "r"}
    rows = [
        {"arm": "fast", "seed": 6, "status": "done", "folder": tmp_path / "run", **done},
        {"arm": "slow", "seed": 5, "status": "killed"},
    ]
    monkeypatch.setattr(ablation, "load_sweep", lambda root, name: Sweep(name, tmp_path, "done", config, rows))
    gathered = ablation.from_sweep(config, "s", tmp_path)
    assert list(gathered.cards) == [6] and gathered.fingerprints == [study.card["fingerprint"]]
    assert gathered.values()["fast"][1] == 0.75 and np.isnan(gathered.values()["fast"][[0, 2]]).all()
    assert list(gathered.results["status"])[:4] == ["killed", "not run", "not run", "not run"]
    read, kept = (h.drop(columns="degen_reason") for h in (gathered.histories["fast"][1], study.histories["fast"][1]))
    pd.testing.assert_frame_equal(read, kept, check_dtype=False)
    rows.pop(0)
    with pytest.raises(ParameterError, match="no run that finished"):
        ablation.from_sweep(config, "s", tmp_path)


@pytest.fixture
def swept(tmp_path):
    """A project with a sweep in it whose margin is not the default; returns its root and the sweep's run."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    made = create(tmp_path, "sweep", SweepConfig(**BASE, arms=ARMS, seeds=3, min_effect=0.1, reference="fast"))
    made.close("done")
    return tmp_path, made


def test_with_a_sweep_its_own_configuration_counts_margin_and_reference_included(swept):
    root, sweep = swept
    asked = job.prepare("ablation", {"sweep": sweep.id[:-3]}, root)
    assert asked.config == AblationConfig(**dict(sweep.config), sweep=sweep.id)
    made = create(root, "ablation", asked.config)
    assert (made.manifest["hash"], made.manifest["parameters"]["min_effect"]) == (asked.config.hash(), 0.1)
    again = job.prepare(
        "ablation", parameter_files.read_parameters(str(made.folder / "params.yaml")), root
    )  # what it stores can be run again
    assert again.config == asked.config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_effect": 0.4}, r"leave min_effect=0.4 \(the sweep has 0.1\) out"),
        ({"min_effect": 0.005}, r"leave min_effect=0.005 \(the sweep has 0.1\) out"),  # its default, but given
        ({"reference": "slow", "seeds": 4}, r"reference='slow' \(the sweep has 'fast'\), seeds=4 \(the sweep has 3\)"),
        ({"data": "bundled"}, r"data='bundled' \(the sweep has 'breast_cancer'\)"),
    ],
)
def test_beside_a_sweep_nothing_else_is_taken(swept, values, message):
    root, sweep = swept
    with pytest.raises(ParameterError, match=message):
        job.prepare("ablation", values | {"sweep": sweep.id}, root)
    assert not (root / "executed" / "ablation").exists()


def test_a_sweep_that_is_not_there_is_refused_before_a_kernel_starts(swept):
    with pytest.raises(RunError, match="No run 'x'"):
        job.prepare("ablation", {"sweep": "x"}, swept[0])


def test_the_latest_sweep_is_named_by_its_id(swept):
    assert job.prepare("ablation", {"sweep": "latest"}, swept[0]).parameters == {"sweep": swept[1].id}


GROUPED = {
    "fingerprint": "a", "groups": {"columns": ["capture.session"], "count": 24, "train": 12, "val": 4, "test": 6, "on_two_sides": 23},
    "sides": {"train": {"rows": 600}, "test": {"rows": 200}},
}  # fmt: skip


def test_rows_of_one_session_on_both_sides_are_told(study):
    random = replace(study, cards={5: GROUPED})
    text = ablation.what_seeds_cover(random)
    assert (
        "rows of one session appear in both train and test: 23 of 24 sessions" in text and "does not cover other sessions" in text
    )
    pairs = GROUPED | {"groups": GROUPED["groups"] | {"columns": ["host pair"]}}
    assert "does not cover other host pairs" in ablation.what_seeds_cover(replace(study, cards={5: pairs}))
    apart = GROUPED | {"groups": GROUPED["groups"] | {"on_two_sides": 0}}
    assert "appear in both train and test" not in ablation.what_seeds_cover(replace(study, cards={5: apart}))


@pytest.mark.parametrize(("split", "ratio"), [("random", 250 / 550), ("group", 8 / 11)])
def test_nadeau_and_bengio_get_the_mean_over_seeds_of_groups_where_these_stay_together(study, split, ratio):
    groups = GROUPED["groups"] | {"train": 10, "test": 10}
    second = {"fingerprint": "b", "groups": groups, "sides": {"train": {"rows": 500}, "test": {"rows": 300}}}
    config = study.config.model_copy(update={"resample": "split", "split": split})
    two = replace(study, config=config, cards={5: GROUPED, 6: second})
    assert two.compare().ratio == pytest.approx(ratio) and two.fingerprints == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sweep": "x", "other_tables": {"a": {"data": "wine"}}}, "sweep='x' is of one table: leave other_tables out"),
        ({"other_tables": {"a": {"min_effect": 0.1}}}, "Table 'a' overrides min_effect: all tables have the same"),
        ({"other_tables": {"a": {"dat": "wine"}}}, "Unknown parameter 'dat' for table 'a'. Did you mean 'data'"),
        ({"other_tables": {"a": {"data": "wine", "leaks": []}}}, "Table 'a': .*leaks belongs to data='bundled'"),
    ],
)
def test_tables_that_cannot_be_had_are_refused(values, message):
    with pytest.raises(ParameterError, match=message):
        AblationConfig.make(values)
