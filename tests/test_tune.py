"""The search on a small table: what it chooses, what it may see, and what confirms it."""

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from qnb import tune, tune_figures
from qnb.config import ParameterError, TrainConfig
from qnb.fit import fit
from qnb.prepare import prepare
from qnb.study_config import TuneConfig

BASE = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 64, "lr": 0.05, "epochs": 2, "engine": "exact"}
SUGGEST = tune.suggest  # as it is, before the fixture puts a smaller space in its place
CONFIG = TuneConfig(data="breast_cancer", sample=None, wires=2, epochs=2, trials=4, confirm_runs=2)


@pytest.fixture(scope="module")
def small_space():
    def suggest(trial, rows):
        return {
            "lr": trial.suggest_categorical("lr", [0.05, 1e-9, 1e308]),
            "batch": trial.suggest_categorical("batch", [64]),
            "layers": trial.suggest_categorical("layers", [1]),
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "suggest", suggest)
        patch.setattr(tune, "SEARCHED", ("lr", "batch", "layers"))
        patch.setattr(TuneConfig, "training", lambda self: TrainConfig(**BASE))
        yield


@pytest.fixture(scope="module")
def found(small_space):
    seen = []
    search = tune.search(CONFIG, progress=False, on_trial=seen.append)
    assert [len(table) for table in seen] == [1, 2, 3, 4]
    return search


def test_the_winner_is_the_trial_with_the_best_validation_auc_and_can_be_run_again(found):
    done = found.trials[found.trials["state"] == "COMPLETE"]
    assert found.best.lr == done.loc[done["val_auc"].idxmax(), "lr"] != 1e308
    history = fit(found.best, prepare(found.best), progress=False).state.history
    assert max(row["val_auc"] for row in history) == done["val_auc"].max()


def test_trial_0_is_the_starting_point_and_a_trial_that_diverges_has_failed(found):
    assert found.trials.loc[0, "lr"] == 0.05 and found.trials.loc[0, "state"] == "COMPLETE"
    assert set(found.trials.loc[found.trials["lr"] == 1e308, "state"]) <= {"FAIL"}


def test_no_trial_sees_a_test_row(small_space, monkeypatch):
    """The same search with the test rows ruined finds the same."""

    def ruined(configs):
        return [blind(prepare(c)) for c in configs]

    def blind(prepared):
        prepared.X["test"][:] = np.nan
        prepared.y["test"][:] = np.nan
        return prepared

    config = CONFIG.model_copy(update={"trials": 2})
    plain = tune.search(config, progress=False)
    monkeypatch.setattr(tune, "prepare_all", ruined)
    assert tune.search(config, progress=False).trials.equals(plain.trials)


def test_the_confirmation_is_on_other_rows_with_other_seeds(found):
    confirmed = tune.confirm(CONFIG, found.best, progress=False)
    first, second = confirmed.results
    assert (first.config.seed, second.config.seed, first.config.split_seed) == (1000, 1001, 1000)
    assert not np.array_equal(first.prepared.y["test"], prepare(found.best).y["test"])
    aucs = [roc_auc_score(r.prepared.y["test"], r.logits["test"]) for r in confirmed.results]
    np.testing.assert_allclose(confirmed.test_auc, aucs)
    logistic = first.metrics["baselines"]["logistic"]["test_auc"]
    assert confirmed.over["logistic"].difference == pytest.approx(np.mean(aucs) - logistic)
    words = tune.sentence(confirmed, "note")
    assert "2 fresh seeds" in words and "logistic regression" in words and words.endswith("note.")
    written = tune.metrics(found, confirmed, words)
    assert written["test_auc"] == np.mean(aucs) and sum(written["trials"].values()) == 4
    for figure in (tune_figures.progress(found, "n"), tune_figures.confirmation(confirmed, "n")):
        assert figure.axes[0].get_xlabel() and figure.axes[0].get_title()


def test_the_file_is_what_was_chosen(found):
    text = tune.parameters_file(found, "breast_cancer", 0.9)
    assert TrainConfig.make(yaml.safe_load(text)) == found.best and text.startswith("# The best of 4 trials")


def test_seeds_of_the_search_are_not_fresh_and_training_is_exact():
    with pytest.raises(ParameterError, match="take one that is fresh"):
        TuneConfig.make({"seed": 7, "confirm_seed": 7})


def test_the_whole_space_makes_configurations_that_are_legal():
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        values = SUGGEST(study.ask(), 300)
        assert set(values) == {
            "angle_range", "lr", "lr_schedule", "layers", "ansatz", "reupload", "measurement", "batch",
        }  # fmt: skip
        assert TrainConfig.make({"engine": "exact"} | values).batch <= 64
