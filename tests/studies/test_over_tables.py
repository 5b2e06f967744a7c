"""One ablation on several tables: what each table is given, what is said over them."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qnb.studies import ablation, ablation_figures, over_tables
from qnb.studies.ablation import AblationConfig

BASE = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 32, "epochs": 2, "fixed_num_batches": 4}
ARMS = {"slow": {"lr": 0.01}, "fast": {"lr": 0.1}}
TABLES = {"wine": {"data": "wine", "resample": "split"}, "diabetes": {"data": "diabetes", "epochs": 3}}


@pytest.fixture(scope="module")
def found():
    config = AblationConfig(**BASE, arms=ARMS, seeds=3, baselines=("logistic",), other_tables=TABLES)
    base = ablation.train_here(config, progress=False)
    return over_tables.on_tables(config, base, lambda c: ablation.train_here(c, progress=False))


def test_a_table_has_its_own_data_and_the_rest_is_the_ablations(found):
    assert list(found.studies) == [over_tables.BASE, "wine", "diabetes"]
    wine, diabetes = (found.studies[name].config for name in ("wine", "diabetes"))
    assert (wine.data, wine.sample, wine.epochs, wine.seeds, wine.resample) == ("wine", 20_000, 2, 3, "split")
    assert (diabetes.data, diabetes.epochs, diabetes.resample) == ("diabetes", 3, "none")
    assert wine.arms == found.studies[over_tables.BASE].config.arms and wine.other_tables is None
    assert found.comparisons["wine"].ratio > 0 and not found.comparisons["diabetes"].ratio


def test_over_tables_every_table_counts_once(found):
    means = [c.differences["fast"].mean for c in found.comparisons.values()]
    overall = found.of("fast")["overall"]
    assert overall.n == 3 and overall.interval == pytest.approx(stats.t.interval(0.95, 2, np.mean(means), stats.sem(means)))
    table = over_tables.table(found)
    assert list(table["table"]) == [over_tables.BASE, "wine", "diabetes", "overall"] and list(table.columns) == ["table", "fast"]
    results = over_tables.results(found)
    assert list(results.columns[:3]) == ["table", "arm", "seed"] and len(results) == 3 * 6
    figure = ablation_figures.over_tables(found)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(table["table"])


def test_what_is_written_is_what_was_found_and_a_change_of_sign_is_said(found):
    written = json.loads(json.dumps(over_tables.metrics(found)))
    d = found.comparisons["wine"].differences["fast"]
    assert written["tables"]["wine"]["fast"]["decision"] == d.decision
    assert [written["tables"]["wine"]["fast"][end] for end in ("low", "high")] == pytest.approx(d.nadeau_bengio)
    assert set(written["tables"]) == {over_tables.BASE, "wine", "diabetes", "overall"}
    kinds = {over_tables.BASE: 0.05, "wine": -0.05, "diabetes": 0.0}
    noise = np.tile(np.repeat([0.0, 0.0005, -0.0005], 2), 1)
    moved = {}
    for name, study in found.studies.items():
        fast = study.results["arm"] == "fast"
        moved[name] = study.results.assign(test_auc=0.8 + np.where(fast, kinds[name] + noise, 0.0))
    studies = {n: ablation.Study(s.config, moved[n], s.histories, s.cards) for n, s in found.studies.items()}
    again = over_tables.on_tables(found.studies[over_tables.BASE].config, studies[over_tables.BASE], lambda c: studies[c.data])
    (said,) = over_tables.sentences(again)
    assert "better on 1, worse on 1, equivalent on 1." in said
    assert said.endswith("Its sign changes with the table: better on as configured, worse on wine.")


def test_one_table_says_nothing_of_others(found):
    config = found.studies["wine"].config
    alone = over_tables.on_tables(config, found.studies["wine"])
    assert alone.overall is None and not over_tables.sentences(alone) and not over_tables.metrics(alone)
    assert isinstance(over_tables.results(alone), pd.DataFrame)
