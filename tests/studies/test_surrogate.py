"""What surrogate.ipynb asks of a trained model's polynomial."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from surrogates import model_of, polynomial

from qnb.core.circuit import CircuitSpec
from qnb.core.objective import Objective
from qnb.errors import ParameterError
from qnb.runs import headless
from qnb.runs.job import prepare
from qnb.studies import surrogate as study
from qnb.studies import surrogate_figures
from qnb.studies.surrogate import SurrogateConfig
from qnb.studies.surrogate_anova import expand
from qnb.training.surrogate import load_surrogate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("spec", "objective"),
    [
        (CircuitSpec(), Objective()),
        (CircuitSpec(3, 1, "angle_xy", "ring", "z_vec"), Objective(alpha_mode="direct")),
        (CircuitSpec(1, 1), Objective()),
    ],
    ids=["default", "angle_xy", "one wire"],
)
def test_a_surrogate_that_is_not_the_circuit_is_found_out(spec, objective, rng):
    model = model_of(spec, rng, objective=objective)
    model.params["alpha"] = np.asarray(40.0)  # as large as training makes it
    X, right = rng.uniform(0, np.pi, (4, spec.wires)), model.surrogate()
    assert study.difference_from_circuit(right, model, X) < 1e-11
    for wrong in ({"coefficients": right.coefficients + 1e-3}, {"alpha": -right.alpha}, {"bias": right.bias + 5}):
        assert study.difference_from_circuit(replace(right, **wrong), model, X) > 1e-3


@pytest.fixture
def rows(rng):
    """Rows whose label is an interaction of two angles, and the expansion of a model that knows it and of no other."""
    X = rng.uniform(0, np.pi, (3000, 3))
    C = np.zeros((3, 3, 3))
    C[2, 2, 0], C[0, 0, 2] = 0.8, 0.1
    y = (rng.uniform(size=3000) < 1 / (1 + np.exp(-6 * np.cos(X[:, 0]) * np.cos(X[:, 1])))).astype(float)
    return expand(polynomial(C)), (X[:2000], y[:2000]), (X[2000:], y[2000:])


def test_orders_against_least_squares_and_the_definition(rows):
    expansion, train, test = rows
    table = study.by_order(expansion, train, test)
    assert table["terms"].tolist() == [6, 12, 8] and table["share"].sum() == pytest.approx(1)
    s, s_test = (expansion.surrogate.logits_of_features(X) for X, _ in (train, test))
    f, f_test = (np.hstack([np.sin(X), np.cos(X)]) for X, _ in (train, test))
    fit = LinearRegression().fit(f, s)
    assert table["fit R2"].iloc[0] == pytest.approx(fit.score(f_test, s_test), abs=1e-9)
    assert table["fit R2"].iloc[1] == pytest.approx(1) and table["auc"].iloc[0] < 0.6 < 0.8 < table["auc"].iloc[1]
    few = study.by_order(expansion, (train[0][:100], train[1][:100]), test)
    assert np.isnan(few["fit R2"].iloc[1]) and few["fit auc"].iloc[2] == few["auc"].iloc[2]


def test_logistic_regression_sees_the_same_functions(rows):
    expansion, train, test = rows
    found = study.logistic(expansion, train, test, 1, seed=0)
    phi = [
        np.hstack([(g(X) - m) / sd for g, m, sd in ((np.sin, 2 / np.pi, (0.5 - 4 / np.pi**2) ** 0.5), (np.cos, 0, 0.5**0.5))])
        for X, _ in (train, test)
    ]
    expected = LogisticRegression(max_iter=1000).fit(phi[0], train[1]).decision_function(phi[1])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert expansion.columns(test[0], 2).shape == (1000, 6 + 12)


def test_terms_kept_and_how_many_are_needed(rows):
    expansion, _, test = rows
    table = study.by_terms(expansion, *test)
    assert table["terms"].iloc[[0, -1]].tolist() == [1, 26] and table["share"].iloc[-1] == pytest.approx(1)
    assert table["share"].iloc[0] == pytest.approx(0.64 / 4 / (0.64 / 4 + 0.01 / 2))
    auc = table["auc"].iloc[-1]
    assert study.needed(table, "terms", auc, 1e-9) == 2
    assert study.needed(pd.DataFrame({"k": [1, 2, 3, 4], "auc": [0.9, 0.5, 0.89, 0.9]}), "k", 0.9, 0.02) == 3


def test_how_far_data_is_from_the_measure(rows, rng):
    expansion, (X, _), _ = rows
    near = study.on_data(expansion, X)
    assert near["from_uniform"] < 0.05 and near["correlation"] < 0.1
    assert near["variance_data"] == pytest.approx(near["variance_uniform"], rel=0.1)
    far = study.on_data(expansion, np.column_stack([X[:, 0] / 2, X[:, 0], np.pi - X[:, 0]]))
    assert far["from_uniform"] > 0.45 and far["correlation"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("low", "difference", "high", "word"),
    [(0.01, 0.02, 0.03, "better"), (-0.03, -0.02, -0.01, "worse"), (-0.002, 0.001, 0.004, "equal"), (-0.01, 0.01, 0.03, "undecided"),
     (0.001, 0.003, 0.006, "undecided")],
)  # fmt: skip
def test_outcomes(low, difference, high, word):
    assert study.outcome({"low": low, "difference": difference, "high": high}, 0.005) == word


def interval(difference, half=0.002):
    return {"auc": 0.9, "difference": difference, "low": difference - half, "high": difference + half}


@pytest.mark.parametrize(
    ("shares", "order", "main", "pairs", "said"),
    [
        ([0.95, 0.04, 0.01], 1, 0.0, 0.0, ["nearly additive: 95%", "its main effects alone", "within 0.005 of that of a logistic", "nothing here speaks for"]),
        ([0.6, 0.3, 0.1], 2, 0.02, 0.02, ["mostly main effects: 60%", "the parts up to order 2", "above that of a logistic", "more than a linear model"]),
        ([0.2, 0.8], 2, 0.02, 0.0, ["mostly interactions: 20%", "80% interactions of two.", "it finds interactions that matter"]),
        ([1.0], 1, -0.02, -0.02, ["100% of its variance are main effects of single wires.", "below that of", "does worse with its encoding"]),
        ([1.0], 1, 0.004, 0.004, ["not shown to differ by 0.005 from", "nothing here speaks for"]),
    ],
)  # fmt: skip
def test_the_conclusion_follows_the_figures(shares, order, main, pairs, said):
    found = {"share_by_order": shares, "order_needed": order, "terms_needed": 12, "terms_total": 6560, "fit_main": [0.84, 0.8]}
    text = study.conclusion(found | {"against": {"main": interval(main), "pairs": interval(pairs)}}, 0.005)
    assert all(part in text for part in said), text
    assert "main effects alone have 84% of the logit's variance there, and an AUC of 0.8000." in text
    assert "Fitted" not in study._ranking(found | {"fit_main": [np.nan, np.nan]}, 0.005)
    assert "12 largest of its 6,560 terms (the smallest of the counts tried)" in text
    assert text.endswith("This rests on one split and one training run: another order of the batches can turn it.")
    assert f"{main:+.4f}" in text


def test_intervals_are_of_paired_rows(rng):
    y = (rng.uniform(size=400) < 0.4).astype(float)
    good, bad = y + rng.normal(size=400), 0.1 * y + rng.normal(size=400)
    found = study.compare(good, {"itself": good, "bad": bad}, y, 200, 0)
    assert (found["itself"]["low"], found["itself"]["high"]) == (0, 0)
    assert 0.05 < found["bad"]["low"] < found["bad"]["difference"] < found["bad"]["high"]


def test_figures_draw_what_they_are_given(rows):
    expansion, train, test = rows
    by_order, by_terms = study.by_order(expansion, train, test), study.by_terms(expansion, *test)
    bars, pairs, _ = surrogate_figures.composition(expansion.share_by_order(), expansion.share_by_wires(), "SYNTHETIC").axes
    np.testing.assert_allclose([p.get_height() for p in bars.patches], expansion.share_by_order())
    drawn = pairs.images[0].get_array()
    assert drawn[1, 0] == pytest.approx(expansion.share_by_wires()[1, 1, 0])
    assert drawn[2, 2] == pytest.approx(expansion.share_by_wires()[0, 0, 1]) and np.isnan(np.ma.filled(drawn, np.nan)[0, 1])
    figure = surrogate_figures.carried(by_terms, by_order, 0.9, {"logistic": 0.8}, 0.005, "SYNTHETIC")
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), by_order["auc"])
    assert figure.get_supxlabel() == "SYNTHETIC"


def test_a_model_without_a_surrogate_is_refused():
    for wrong in ({"reupload": True}, {"encoder": "amplitude"}):
        with pytest.raises(ParameterError, match=r"use encoder='angle_y' or 'angle_xy' with reupload=False"):
            SurrogateConfig.make(wrong)
    with pytest.raises(ParameterError, match=r"Z of single wires alone.*measurement='parity'\)"):
        SurrogateConfig.make({"measurement": "parity"})


def test_parameters_that_a_surrogate_rules_out_are_idle():
    assert SurrogateConfig().idle("lr_mult_scaling") and not SurrogateConfig().idle("reupload")


@pytest.mark.slow
def test_the_notebook_ends_in_its_metrics(tmp_path):  # whose project is not the one that the kernels work in
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    for name in ("surrogate", "train"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    small = {"data": "breast_cancer", "sample": None, "wires": 3, "layers": 2, "batch": 32, "epochs": 2, "engine": "exact"}
    own = headless.execute(prepare("surrogate", small, tmp_path))
    of_run = headless.execute(prepare("train", small, tmp_path))
    given = headless.execute(prepare("surrogate", {"run": of_run.id}, tmp_path))
    for run in (own, given):
        assert run.manifest["status"] == "done", run.manifest["failure"]
        found = run.metrics()
        assert found["test_auc"] == pytest.approx(of_run.metrics()["test_auc"], abs=1e-3)
        assert sum(found["share_by_order"]) == pytest.approx(1) and found["difference_from_circuit"] < 1e-10
        assert found["terms_needed"] <= found["terms_total"] == 26 and "main effects" in found["conclusion"]
        assert load_surrogate(run.folder / "surrogate.npz").coefficients.shape == (3, 3, 3)
    assert own.metrics()["share_by_order"] == pytest.approx(given.metrics()["share_by_order"])
