"""The search on a small table: what it chooses, what it may see, and what confirms it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from scipy import stats
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.data.overlap import row_hashes
from qnb.data.prepare import prepare
from qnb.data.splits import split_table
from qnb.data.table import load_table
from qnb.errors import ParameterError
from qnb.studies import tune, tune_figures
from qnb.studies.tune import TuneConfig
from qnb.training.loop import fit

BASE = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 64, "lr": 0.05, "epochs": 2, "engine": "exact"}
SUGGEST, TRAINING = tune.suggest, TuneConfig.training  # as they are, before the fixture puts a smaller space in their place
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


def row_hashes_of(prepared, config):
    """Per side that `prepared` holds, the hashes of the rows of the table that its angles were made from."""
    table = load_table(config)
    split = split_table(table, config)._asdict()
    sides = {name: table.take(split[name]).frame for name in prepared.X}
    for name, frame in sides.items():
        np.testing.assert_array_equal(prepared.feature_map.transform(frame), prepared.X[name])
    return {name: row_hashes(frame) for name, frame in sides.items()}


def test_no_test_row_of_the_confirmation_was_given_to_the_search(small_space, monkeypatch):
    given = []

    def watched(config, prepared, **rest):
        given.append((config, prepared))
        return fit(config, prepared, **rest)

    monkeypatch.setattr(tune, "fit", watched)
    best = tune.search(CONFIG.model_copy(update={"trials": 2}), progress=False).best
    result = tune.confirm(CONFIG, best, progress=False).results[0]
    seen = np.concatenate([h for config, prepared in given for h in row_hashes_of(prepared, config).values()])
    tested = row_hashes_of(result.prepared, result.config)["test"]
    assert len(given) == 2 and len(tested) == 114 and np.isin(tested, seen).sum() == 0
    assert len(np.unique(seen)) == 569 - 114, "every other row was given"


def test_the_confirmation_is_on_the_rows_set_aside_with_other_seeds(found):
    confirmed = tune.confirm(CONFIG, found.best, progress=False)
    first, second = confirmed.results
    assert (first.config.seed, second.config.seed, first.config.split_seed) == (1000, 1001, 0)
    aucs = [roc_auc_score(r.prepared.y["test"], r.logits["test"]) for r in confirmed.results]
    np.testing.assert_allclose(confirmed.test_auc, aucs)
    logistic = first.metrics["baselines"]["logistic"]["test_auc"]
    assert confirmed.over["logistic"].difference == pytest.approx(np.mean(aucs) - logistic)
    words = tune.sentence(confirmed, "note")
    assert "2 fresh seeds on 114 rows that split='random' set aside before the search" in words and words.endswith("note.")
    assert "logistic regression" in words and "over seeds and 114 rows." in words
    assert confirmed.against_twin["difference"] == pytest.approx(np.mean(aucs) - first.metrics["baselines"]["twin"]["test_auc"])
    assert "its dequantised twin" in words and "over seeds and rows" in words
    low, high = confirmed.test_auc_interval
    assert low < np.mean(aucs) < high and f"95 % interval {low:.4f} to {high:.4f} over seeds and rows" in words
    written = tune.metrics(found, confirmed, words)
    assert written["against_twin"] == confirmed.against_twin and written["test_auc_interval"] == {"low": low, "high": high}
    assert written["test_auc"] == np.mean(aucs) and sum(written["trials"].values()) == 4
    for figure in (tune_figures.progress(found, "n"), tune_figures.confirmation(confirmed, "n")):
        assert figure.axes[0].get_xlabel() and figure.axes[0].get_title()


def test_the_bundled_capture_is_drawn_anew_for_every_seed(small_space):
    own = {"data": "bundled", "sample": 400, "split": "group"}
    confirmed = tune.confirm(CONFIG, TrainConfig(**BASE | own), progress=False)
    configs = [r.config for r in confirmed.results]
    assert [(c.seed, c.data_seed, c.split_seed, c.split) for c in configs] == [(s, s, s, "group") for s in (1000, 1001)]
    assert len({r.prepared.card["fingerprint"] for r in confirmed.results}) == 2
    d = confirmed.test_auc - confirmed.test_auc_of("logistic")
    over, expected = confirmed.over["logistic"], stats.t.interval(0.95, 1, d.mean(), stats.sem(d))
    assert (over.difference, over.low, over.high) == pytest.approx((d.mean(), *expected)) and over.seeds == over.units == 2
    ends = stats.t.interval(0.95, 1, confirmed.test_auc.mean(), stats.sem(confirmed.test_auc))
    assert confirmed.test_auc_interval == pytest.approx(tuple(np.clip(ends, 0, 1)))  # two captures: beyond both ends
    words = tune.sentence(confirmed, "note")
    assert "rows of each of 2 captures that the generator drew anew, for training too (data_seed from 1000)" in words
    assert "over 2 captures, one a seed." in words
    assert tune_figures.confirmation(confirmed, "n").axes[1].get_xlabel().endswith("over captures")


def auc(y, logits):
    above = logits[y == 1][:, None] - logits[y == 0]
    return np.mean((above > 0) + (above == 0) / 2)


def test_groups_widen_the_interval_to_that_of_whole_groups_drawn_one_by_one(found):
    """Six groups of ten rows, in some of which only the circuit is right and in the others only the baseline."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 10)
    y = np.tile([0.0, 1.0], 30)
    good = np.where(groups % 2 == 0, 2.0, -1.0) * (y - 0.5)
    circuits = [good + rng.normal(0, 0.3, 60) for _ in range(2)]
    baseline = -good + rng.normal(0, 0.3, 60)
    plain = tune.confirm(CONFIG, found.best, progress=False).results

    def interval(test_groups):
        rows = replace(plain[0].prepared, y={"test": y}, test_groups=test_groups)
        results = [
            replace(r, prepared=rows, logits={"test": logits}, baseline_logits={"logistic": baseline})
            for r, logits in zip(plain, circuits, strict=True)
        ]
        return tune.differences(results, seed=3)["logistic"]

    draws, rng = [], np.random.default_rng(3)
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.integers(0, 6, 6)])
        drawn = [circuits[s] for s in rng.integers(0, 2, 2)]
        draws.append(np.mean([auc(y[rows], c[rows]) - auc(y[rows], baseline[rows]) for c in drawn]))
    grouped, single = interval(groups), interval(None)
    # each group holds both classes: five degrees of freedom, see `qnb.statistics.bootstrap.expanded`
    factor = np.sqrt(6 / 5) * stats.t.ppf(0.975, 5) / stats.norm.ppf(0.975)
    ends = grouped.difference + factor * (np.quantile(draws, [0.025, 0.975]) - grouped.difference)
    np.testing.assert_allclose([grouped.low, grouped.high], np.clip(ends, -1, 1), atol=1e-12)
    assert grouped.units == 6 and single.units == 60 and grouped.high - grouped.low > 1.5 * (single.high - single.low)
    assert interval(np.where(y == 1, groups, -1)).units == 6 + 30, "rows of no group are drawn one by one"


def test_copies_of_rows_that_the_search_was_given_and_rows_of_no_group_are_told(found):
    confirmed = tune.confirm(CONFIG, found.best, progress=False)
    first = confirmed.results[0]
    card = first.prepared.card | {
        "duplicates_across": {"exact": {"train-val": 5, "train-test": 3, "val-test": 1}},
        "groups": {"columns": ["Attack_type"]},
    }
    told = replace(confirmed, results=[replace(first, prepared=replace(first.prepared, card=card))])
    assert told.rows.endswith("(3 of the 114 have the features of a training row, 1 of a validation row)")
    assert told.units == "groups of rows (Attack_type; rows of class 0 one by one)"
    assert "have the features" not in confirmed.rows and confirmed.units == "rows"


def test_an_interval_that_excludes_0_is_never_printed_as_one_that_touches_it():
    assert [tune._end(v) for v in (-0.00004, -0.0001, 0.0, 0.0123)] == ["-4.0e-05", "-0.0001", "+0.0000", "+0.0123"]


def test_the_figure_names_the_seeds_and_its_labels_do_not_overlap(found):
    confirmed = tune.confirm(CONFIG, found.best, progress=False)
    over = {name: replace(d, difference=-0.0072, low=-0.0165, high=0.0002) for name, d in confirmed.over.items()}
    figure = tune_figures.confirmation(replace(confirmed, over=over), "n")
    figure.canvas.draw()
    seeds, differences = figure.axes
    assert seeds.lines[0].get_xdata().tolist() == [1000, 1001]
    assert {"1000", "1001"} <= {label.get_text() for label in seeds.get_xticklabels()}
    left, right = differences.bbox.intervalx
    shown = [b for b in (t.get_window_extent() for t in differences.get_xticklabels()) if left <= (b.x0 + b.x1) / 2 <= right]
    assert len(shown) > 2 and all(a.x1 < b.x0 for a, b in pairwise(shown))


def test_the_file_is_what_was_chosen_and_says_how_to_run_it(found):
    text = tune.parameters_file(found, "breast_cancer", 0.9, "executed/tune/ID/best.yaml")
    assert TrainConfig.make(yaml.safe_load(text)) == found.best and text.startswith("# The best of 4 trials")
    assert "\n#   qnb run train -f executed/tune/ID/best.yaml\n" in text


@pytest.mark.parametrize("values", [{"seed": 7, "confirm_seed": 7}, {"seed": 1003}, {"data_seed": 1000}, {"data_seed": 1003}])
def test_seeds_of_the_search_are_not_fresh(values):
    with pytest.raises(ParameterError, match="take one that is fresh"):
        TuneConfig.make(values)


def test_the_split_is_that_of_every_training_and_types_of_the_test_stay_unseen():
    config = TRAINING(TuneConfig.make({"split": "group", "group_by": ["ip.src_host"]}))
    assert (config.split, config.group_by, config.engine) == ("group", ("ip.src_host",), "exact")
    with pytest.raises(ParameterError, match="name them in attack_test"):
        TuneConfig.make({"split": "attack"})
    assert TRAINING(TuneConfig.make({"split": "attack", "attack_test": ["MITM"]})).attack_test == ("MITM",)


def test_the_whole_space_makes_configurations_that_are_legal():
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        values = SUGGEST(study.ask(), 300)
        assert set(values) == {
            "angle_range", "lr", "lr_schedule", "layers", "ansatz", "reupload", "measurement", "batch",
        }  # fmt: skip
        assert TrainConfig.make({"engine": "exact"} | values).batch <= 64
