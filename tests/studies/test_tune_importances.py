"""What decides: functional ANOVA of the trials of a search, over tables."""

import optuna
import pandas as pd
import pytest

from qnb.errors import ParameterError
from qnb.studies import tune, tune_figures
from qnb.studies.tune import SEARCHED, Search, TuneConfig


def searched(value, trials=60):
    """A search whose AUC is `value` of a trial's parameters, every fifth trial stopped early, every seventh failed."""
    study, rows = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), []
    for k in range(trials):
        params = tune.suggest(trial := study.ask(), 10_000)
        state = "FAIL" if k % 7 == 6 else "PRUNED" if k % 5 == 4 else "COMPLETE"
        rows.append(params | {"number": k, "state": state, "val_auc": None if state == "FAIL" else value(params)})
    return Search(pd.DataFrame(rows), TuneConfig().training(), trial.distributions)


def test_a_small_table_has_a_batch_to_choose():
    assert tune.suggest(optuna.create_study().ask(), 106)["batch"] == 26


RANGE = {"0_pi": 0.9, "pm_pi_2": 0.85, "pm_pi": 0.6}


def test_what_an_auc_depends_on_alone_accounts_for_all_of_its_variance():
    shares = tune.importances(searched(lambda p: RANGE[p["angle_range"]]), seed=0)
    assert set(shares.index) == set(SEARCHED) and shares["angle_range"] > 0.95 and shares.sum() == pytest.approx(1, abs=0.02)


def test_two_additive_effects_share_by_their_variances():
    # variances 0.04^2 and 0.02^2 of two fair halves: 4 to 1
    shares = tune.importances(searched(lambda p: 0.7 + 0.08 * p["reupload"] + 0.04 * (p["layers"] > 3), 400), seed=0)
    assert shares["reupload"] / shares["layers"] == pytest.approx(4, rel=0.25)


def test_what_two_parameters_do_only_together_belongs_to_neither():
    """An exclusive or of two fair halves: no main effect, all variance in the interaction."""
    shares = tune.importances(searched(lambda p: 0.7 + 0.1 * (p["reupload"] != (p["layers"] > 3)), 400), seed=0)
    assert shares.sum() < 0.25


def test_where_all_trials_agree_nothing_decides():
    assert (tune.importances(searched(lambda p: 0.8), seed=0) == 0).all()


def test_over_tables_the_order_is_that_of_the_mean_and_the_sentence_counts(monkeypatch):
    config = TuneConfig(trials=5, other_tables={"wine": {"data": "wine", "sample": None}})
    asked = []

    def search(of, progress):
        asked.append(of)
        return searched(lambda p: 0.7 + p["lr"])

    monkeypatch.setattr(tune, "search", search)
    shares = tune.decides(config, searched(lambda p: RANGE[p["angle_range"]]))
    assert [(c.data, c.trials, c.sample) for c in asked] == [("wine", 5, None)]
    assert list(shares.columns) == ["as configured", "wine"] and set(shares.index[:2]) == {"lr", "angle_range"}
    said = tune.what_decides(shares)
    assert "mean over 2 table(s): " in said and "range is above the rate on 1 of 2" in said
    figure = tune_figures.importances(shares, "n")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(shares.index) and figure.axes[0].get_xlabel()


def test_a_table_that_cannot_be_searched_is_refused():
    with pytest.raises(ParameterError, match=r"Table 'a': .*leaks belongs to data='bundled'"):
        TuneConfig.make({"other_tables": {"a": {"data": "wine", "leaks": []}}})
