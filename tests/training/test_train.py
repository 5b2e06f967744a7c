import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError
from qnb.core.objective import importance_weights
from qnb.data.prepare import prepare
from qnb.data.table import Table
from qnb.data.values import DataError
from qnb.errors import ParameterError, QnbError
from qnb.reporting import tables
from qnb.statistics.auc import auc_difference, auc_interval, decide
from qnb.training import checkpoint
from qnb.training import train as module
from qnb.training.baselines import fit_baselines
from qnb.training.checkpoint import CheckpointError
from qnb.training.loop import TrainingDiverged, fit
from qnb.training.metrics import DegenerateError
from qnb.training.model import load_model
from qnb.training.state import batch_of, circuit_of, start
from qnb.training.train import train

SMALL = {"wires": 2, "layers": 1, "batch": 32, "epochs": 3, "fixed_num_batches": 4, "lr": 0.1}
HISTORY = {
    *("epoch", "train_loss", "train_loss_std", "val_auc", "val_sep", "val_loss", "val_bacc", "val_f1", "val_precision"),
    *(
        "val_recall",
        "val_pred_pos_rate",
        "val_threshold",
        "degen",
        "degen_reason",
        "alpha",
        "bias",
        "lr",
        "seconds",
        "samples_per_s",
    ),
    *(f"{what}_{group}" for what in ("grad_norm", "param_norm", "delta") for group in ("weights", "readout", "alpha", "bias")),
}


def config(**changes):
    return TrainConfig(**{"data": "breast_cancer", "sample": None} | SMALL | changes)


@pytest.fixture(scope="module")
def cancer():
    return prepare(config())


def test_it_learns_and_every_number_is_what_was_run(cancer):
    result = train(config(epochs=6, fixed_num_batches=None), cancer, progress=False)
    m, history = result.metrics, result.history
    assert set(history.columns) == HISTORY and list(history["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert m["test_auc"] > 0.9 and history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert m["val_auc"] == history["val_auc"].max() and m["best_epoch"] == history["val_auc"].idxmax() + 1
    assert m["test_auc"] == roc_auc_score(cancer.y["test"], result.logits["test"])
    assert {"test_auc", "val_auc", "test_sep", "val_sep", "val_loss", "best_epoch", "degen", "threshold", "baselines"} <= set(m)
    assert m["baselines"]["logistic"]["test_auc"] > 0.9 and m["baselines"]["boosting"]["test_auc"] > 0.9
    y = cancer.y["test"]
    assert m["test_auc_interval"] == auc_interval(y, result.logits["test"]).to_dict() and m["few_rows"] is None
    for name, logits in result.baseline_logits.items():
        assert m["baselines"][name]["test_auc_interval"] == auc_interval(y, logits).to_dict()
    against = auc_difference(y, result.logits["test"], result.baseline_logits["twin"])
    assert m["against_twin"]["decision"] == decide(against, 0.005) and m["against_twin"]["low"] == against.low
    assert m["trivial"]["test_precision"] == y.mean() and "balanced accuracy" in m["threshold_criterion"]
    assert m["test_brier"] == pytest.approx(np.mean((expit(result.logits["test"]) - y) ** 2))
    assert m["gate"] == "pass" and result.gate.groups["weights"].status == "pass"
    assert (history["grad_norm_readout"] > 0).all() and history["delta_readout"].iloc[-1] > 0.1


def test_without_baselines_there_is_none_and_no_twin(cancer):
    m = train(config(epochs=1, engine="exact", baselines=[]), cancer, progress=False).metrics
    assert m["baselines"] == {} and m["against_twin"] is None and m["test_auc_interval"]["low"] < m["test_auc"]
    said = tables.verdict_sentence(m)
    assert "against" not in said and "twin" not in said and len(tables.results(m).data) == 2


def test_amplitudes_have_no_twin():
    c = config(epochs=1, engine="exact", encoder="amplitude", wires=2)
    m = train(c, progress=False).metrics
    assert list(m["baselines"]) == ["logistic", "boosting", "svm"] and m["against_twin"] is None


def test_baselines_of_one_table_are_fitted_once_and_a_twin_for_each_encoder(cancer, monkeypatch):
    fitted = []
    monkeypatch.setattr(
        module, "fit_baselines", lambda *args, **kwargs: fitted.append(args[4][0]) or fit_baselines(*args, **kwargs)
    )
    done = {}
    asked = [config(baselines=["logistic", "twin"], seed=s, encoder=e) for s in (0, 1) for e in ("angle_y", "angle_xy")]
    found = [module._baselines(cancer, c, done) for c in asked]
    assert fitted == ["logistic", "twin", "twin"]
    features = [baselines["twin"]["features"] for baselines in found]
    assert features[0] == features[2] < features[1] == features[3]


@pytest.mark.parametrize("scaling", [False, True])
def test_one_epoch_by_hand(scaling, cancer):
    """Loss, gradient norms and parameters of one step, recomputed with the engine and Adam's first step."""
    c = config(epochs=1, fixed_num_batches=1, scaling=scaling)
    fitted = fit(c, cancer, progress=False)
    start = circuit_of(c).init(c.seed)
    rows = np.random.default_rng(c.seed).spawn(1)[0].permutation(len(cancer.y["train"]))[:32]
    engine = make_engine("catalyst", fitted.spec, fitted.objective)
    loss, grads = engine.loss_and_grad(start, cancer.X["train"][rows], cancer.y["train"][rows], np.ones(32))
    (row,) = fitted.state.history
    assert row["train_loss"] == pytest.approx(loss, abs=1e-12) and row["train_loss_std"] == 0
    assert {name.removeprefix("delta_") for name in row if name.startswith("delta_")} == set(grads)
    for group, grad in grads.items():
        assert row[f"grad_norm_{group}"] == pytest.approx(np.linalg.norm(grad), rel=1e-9)
        step = c.lr * grad / (np.abs(grad) + 1e-8)  # Adam's first step
        np.testing.assert_allclose(fitted.state.params[group], start[group] - step, rtol=1e-6, atol=1e-9)
        assert row[f"delta_{group}"] == pytest.approx(np.linalg.norm(step), rel=1e-5)


def test_a_scaling_is_trained_gated_and_saved(cancer, tmp_path):
    c = config(engine="exact", scaling=True, reupload=True, layers=2, epochs=4, lr_mult_scaling=0.5)
    result = train(c, cancer, progress=False)
    assert set(result.history.columns) == HISTORY | {f"{what}_scaling" for what in ("grad_norm", "param_norm", "delta")}
    assert result.gate.groups["scaling"].status == "pass" and result.history["delta_scaling"].iloc[-1] > 0.01
    assert result.params["scaling"].shape == (2, 2)
    again = load_model(result.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.logits_of_features(cancer.X["test"]), result.logits["test"])
    still = train(c.model_copy(update={"lr_mult_scaling": 0.0}), cancer, progress=False)
    assert (still.params["scaling"] == 1).all() and still.metrics["test_auc"] != result.metrics["test_auc"]


def test_rate_in_the_history_is_the_schedules(cancer):
    history = pd.DataFrame(fit(config(lr_schedule="cosine", epochs=3), cancer, progress=False).state.history)
    np.testing.assert_allclose(
        history["lr"], 0.05 * (1 + np.cos(np.pi * np.array([3, 7, 11]) / 12)), rtol=1e-6
    )  # lr=0.1, 12 steps


def test_seeds_share_the_split_and_split_seeds_do_not(cancer):
    np.testing.assert_array_equal(prepare(config(seed=5)).X["test"], cancer.X["test"])
    assert not np.array_equal(prepare(config(split_seed=5)).y["test"], cancer.y["test"])


def test_same_seed_same_numbers_other_seed_others(cancer):
    first, again, other = (fit(config(seed=s, epochs=1), cancer, progress=False).state.params for s in (1, 1, 2))
    for group in first:
        np.testing.assert_array_equal(first[group], again[group])
    assert not np.array_equal(first["weights"], other["weights"])


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"balanced_batches": True, "prior_correction": "importance", "lr_schedule": "onecycle"},
        {"engine": "exact", "scaling": True, "reupload": True, "layers": 2},
    ],
)
def test_killed_run_resumes_bit_for_bit(extra, cancer, tmp_path):
    whole, cut = config(epochs=4, **extra), tmp_path / "cut"
    cut.mkdir()
    straight = fit(whole, cancer, progress=False)

    class Killed(Exception):
        pass

    kept = checkpoint.save

    def dies_after_two(folder, state, config_hash):
        kept(folder, state, config_hash)
        if state.epoch == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint, "save", dies_after_two)
        fit(whole, cancer, folder=cut, progress=False)
    resumed = fit(whole, cancer, resume_from=cut, progress=False)
    for group in straight.state.params:
        np.testing.assert_array_equal(resumed.state.params[group], straight.state.params[group])
        np.testing.assert_array_equal(resumed.state.best_params[group], straight.state.best_params[group])
    ignore = ["seconds", "samples_per_s"]
    frames = [pd.DataFrame(f.state.history).drop(columns=ignore) for f in (resumed, straight)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_checkpoint_of_another_configuration_or_damaged_is_refused(cancer, tmp_path):
    fit(config(epochs=1), cancer, folder=tmp_path, progress=False)
    assert (tmp_path / "history.csv").read_text().startswith("epoch,train_loss")
    with pytest.raises(CheckpointError, match="belongs to configuration"):
        fit(config(epochs=2), cancer, resume_from=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="does not exist"):
        fit(config(epochs=1), cancer, resume_from=tmp_path / "nowhere", progress=False)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        fit(config(epochs=1), cancer, resume_from=tmp_path, progress=False)


def test_wrong_engine_is_refused_by_name_and_stopped_by_the_gate(cancer, monkeypatch):
    demo = config().model_copy(update={"engine": "one_sample_demo"})
    with pytest.raises(ParameterError, match="needs gate='off'"):
        fit(demo, cancer, progress=False)
    monkeypatch.setattr(sys.modules["qnb.training.state"], "WRONG_ON_PURPOSE", frozenset())
    with pytest.raises(WrongGradientError, match="group 'weights'"):
        fit(demo, cancer, progress=False)


def test_gate_off_is_said(cancer):
    result = train(config(gate="off", epochs=1), cancer, progress=False)
    assert result.gate is None and result.metrics["gate"] == "off"


def test_before_an_evaluation_there_is_no_best_epoch(cancer):
    with pytest.raises(QnbError, match="there is no best one"):
        _ = start(config(), cancer).best


def test_batch_weights(cancer):
    rows = np.arange(32)
    y = cancer.y["train"][rows]
    np.testing.assert_array_equal(batch_of(config(), cancer, rows)[2], np.ones(32))
    np.testing.assert_array_equal(batch_of(config(class_weights=(2.0, 3.0)), cancer, rows)[2], np.where(y == 1, 3.0, 2.0))
    balanced = config(balanced_batches=True, prior_correction="importance")
    np.testing.assert_array_equal(batch_of(balanced, cancer, rows)[2], importance_weights(y, cancer.prior))


def test_early_stopping_and_best_epoch(cancer):
    stuck = config(lr=1e-9, epochs=9, early_stop_patience=2)  # nothing improves after the first epoch but by rounding
    fitted = fit(stuck, cancer, progress=False)
    assert fitted.state.epoch < 9 and fitted.state.stale == 2
    assert fitted.state.best_epoch == fitted.state.epoch - 2


def test_evaluation_is_skipped_between_and_made_at_the_end(cancer):
    history = pd.DataFrame(fit(config(epochs=5, eval_every_epochs=2), cancer, progress=False).state.history)
    assert list(history["epoch"][history["val_auc"].notna()]) == [2, 4, 5]


@pytest.mark.parametrize(("name", "best"), [("auc", "max"), ("sep", "max"), ("val_loss", "min"), ("bacc", "max"), ("f1", "max")])
def test_selection_follows_the_objective(name, best, cancer):
    state = fit(config(val_objective=name, epochs=4), cancer, progress=False).state
    column = pd.DataFrame(state.history)["val_loss" if name == "val_loss" else f"val_{name}"]
    assert state.best_epoch == (column.idxmax() if best == "max" else column.idxmin()) + 1


def test_degenerate_run_goes_on_unless_told_to_abort(cancer):
    flat = config(measurement="z0", lr=1e-12, alpha_mode="direct", epochs=1, max_pred_pos_rate=0.02, min_pred_pos_rate=0.01)
    result = train(flat, cancer, progress=False)
    assert result.metrics["degen"] == 1 and result.metrics["threshold"] == 0.0 and result.metrics["degen_reason"]
    assert 0 <= result.metrics["test_auc"] <= 1
    with pytest.raises(DegenerateError, match="Epoch 1 is degenerate and abort_on_degen=True"):
        train(flat.model_copy(update={"abort_on_degen": True}), cancer, progress=False)


def test_divergence_is_an_error_not_a_nan_in_the_table(cancer):
    with pytest.raises(TrainingDiverged, match="Lower lr"):
        fit(config(lr=1e308), cancer, progress=False)


def test_runs_of_one_seed_see_the_same_batches_whatever_their_shapes(cancer):
    runs = [
        start(config(seed=3), cancer),
        start(config(seed=3, layers=5, measurement="z_vec"), cancer),
        start(config(seed=4), cancer),
    ]
    first, same, other = (np.concatenate(run.draw()) for run in runs)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_fewer_rows_than_abatch_of():
    with pytest.raises(DataError, match=r"batch=500 rows, but only 341 of the table's 569 rows"):
        prepare(config(batch=500))


def test_transform_is_fitted_on_training_rows_alone():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": rng.normal(size=400) for i in range(4)})
    y = (frame["c0"] + frame["c1"] * frame["c2"] > 0).to_numpy().astype(np.int8)
    card = {"source": "test", "synthetic": True, "label": "y", "fingerprint": "0"}
    c = config()
    table = Table(frame, y, None, pd.DataFrame(index=frame.index), card)
    first = prepare(c, table)
    from qnb.data.splits import split_table

    held_out = frame.copy()
    held_out.iloc[split_table(table, c).test] *= 100
    second = prepare(c, Table(held_out, y, None, pd.DataFrame(index=frame.index), card))
    np.testing.assert_array_equal(first.X["train"], second.X["train"])
    assert not np.array_equal(first.X["test"], second.X["test"])


def test_amplitude_gets_its_vector_of_features():
    c = config(wires=2, encoder="amplitude", engine="exact")
    prepared = prepare(c)
    assert prepared.X["train"].shape[1] == 4 and prepared.X["train"].min() >= 0 and prepared.X["train"].max() <= 1
    assert train(c, prepared, progress=False).metrics["gate"] == "pass"


def test_both_engines_train_alike(cancer):
    """Same seed, same batches: the exact engine's float32 follows the catalyst engine's float64."""
    results = {name: train(config(engine=name, epochs=2), cancer, progress=False) for name in ("catalyst", "exact")}
    histories = [r.history for r in results.values()]
    np.testing.assert_allclose(histories[0]["train_loss"], histories[1]["train_loss"], rtol=1e-4)
    np.testing.assert_allclose(histories[0]["val_auc"], histories[1]["val_auc"], atol=1e-3)
    assert results["exact"].gate.dtype == "float32" and results["exact"].gate.verdict == "pass"
    assert abs(results["catalyst"].metrics["test_auc"] - results["exact"].metrics["test_auc"]) < 1e-3
