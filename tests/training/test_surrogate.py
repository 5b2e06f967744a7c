"""The surrogate against the circuit on default.qubit; its ANOVA against numerical integration of the circuit's own score, and closed forms."""

import ast
import io
import itertools
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pandas as pd
import pennylane as qml
import pytest
import reference
from sklearn.linear_model import LinearRegression, LogisticRegression

from qnb.core import trig
from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec
from qnb.core.engine import EngineError
from qnb.core.objective import Objective
from qnb.data.features import ANGLE_RANGES, FeatureMap
from qnb.errors import ParameterError
from qnb.runs import headless
from qnb.runs.job import prepare
from qnb.runs.kernel import assigned_names
from qnb.studies import surrogate as surrogate_study
from qnb.studies import surrogate_anova, surrogate_figures
from qnb.studies.config import SurrogateConfig
from qnb.studies.surrogate_anova import expand, formula, gram
from qnb.training import surrogate
from qnb.training.model import Model, ModelError
from qnb.training.surrogate import Surrogate, along_every_wire, load_surrogate

PLAIN = Objective()
ROOT = Path(__file__).parents[2]
ENCODERS = [("angle_y", False), ("angle_y", True), ("angle_xy", False)]
RANGES = [name for name in ANGLE_RANGES if name is not None]
CIRCUITS = [
    CircuitSpec(3, 2, encoder, ansatz, measurement, hadamard=hadamard)
    for (encoder, hadamard), ansatz, measurement in itertools.product(ENCODERS, ANSATZE, MEASUREMENTS)
]


def feature_map(wires, angle_range="0_pi"):
    frame = pd.DataFrame(np.random.default_rng(3).normal(size=(80, wires + 1)), columns=[f"c{i}" for i in range(wires + 1)])
    return FeatureMap.fit(frame, (frame.to_numpy() @ np.arange(1, wires + 2) > 0).astype(int), wires, angle_range)


def model_of(spec, rng, angle_range="0_pi", objective=PLAIN):
    params = reference.random_params(spec, rng)
    return Model(spec, objective, params, feature_map(spec.wires, angle_range), 0.25, about={"synthetic": True})


def circuit_scores(model, X):
    """default.qubit in float64, the gates of the encoder broadcast over the rows."""
    node = qml.QNode(model.spec.score, qml.device("default.qubit", wires=model.spec.wires), diff_method=None)
    return np.asarray(node(model.params["weights"], model.params["readout"], X.T))


def circuit_logits(model, X):
    """alpha (s + bias), written out."""
    raw, bias = model.params["alpha"], model.params["bias"]
    alpha = np.log1p(np.exp(raw)) + 1e-3 if model.objective.alpha_mode == "softplus" else raw
    return alpha * (circuit_scores(model, X) + bias)


@pytest.fixture(scope="module")
def made():
    model = model_of(CircuitSpec(3, 2), np.random.default_rng(1))
    return model, model.surrogate()


@pytest.mark.parametrize("spec", CIRCUITS, ids=lambda s: f"{s.encoder}{'-h' * s.hadamard}-{s.ansatz}-{s.measurement}")
def test_it_is_the_circuit(spec, rng):
    model = model_of(spec, rng)
    X = rng.uniform(-4, 4, (3, spec.wires))
    expected = model.objective.alpha(model.params["alpha"]) * (
        np.array([reference.dense_score(spec, model.params, x) for x in X]) + model.params["bias"]
    )
    np.testing.assert_allclose(model.surrogate().logits_of_features(X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "objective"),
    [
        (CircuitSpec(), Objective()),
        (CircuitSpec(3, 1, "angle_xy", "ring", "z_vec"), Objective(alpha_mode="direct")),
        (CircuitSpec(1, 1), Objective()),
    ],
    ids=["default", "angle_xy", "one wire"],
)
def test_logits_are_those_of_default_qubit(spec, objective, rng):
    model = model_of(spec, rng, objective=objective)
    model.params["alpha"] = np.asarray(40.0)  # as large as training makes it
    X = rng.uniform(0, np.pi, (4, spec.wires))
    np.testing.assert_allclose(model.surrogate().logits_of_features(X), circuit_logits(model, X), rtol=0, atol=1e-11)
    assert surrogate.difference_from_circuit(model.surrogate(), model, X) < 1e-11
    right = model.surrogate()
    for wrong in ({"coefficients": right.coefficients + 1e-3}, {"alpha": -right.alpha}, {"bias": right.bias + 5}):
        assert surrogate.difference_from_circuit(replace(right, **wrong), model, X) > 1e-3


@pytest.mark.parametrize("rows", [1, 256, 272, 273, 4128, 5000])
def test_any_number_of_rows_in_chunks(made, rng, rows):
    _, s = made
    X = rng.uniform(0, np.pi, (rows, 3))
    f = np.stack([np.ones_like(X), np.sin(X), np.cos(X)])
    expected = np.einsum("abc,ar,br,cr->r", s.coefficients, *f.transpose(2, 0, 1))
    np.testing.assert_allclose(s.scores_of_features(X), expected, rtol=0, atol=1e-13)


def test_sine_and_cosine_together(rng):
    x = np.concatenate(
        [rng.uniform(-10, 10, 100_000), rng.uniform(-trig.LARGEST, trig.LARGEST, 100_000), np.pi / 4 * np.arange(-20, 21)]
    )
    for found, expected in zip(trig.sin_cos(jnp.asarray(x)), (np.sin(x), np.cos(x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-16)
    single = x.astype(np.float32)
    for found, expected in zip(
        trig.sin_cos(jnp.asarray(single)), (np.sin(np.float64(single)), np.cos(np.float64(single))), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=2**-25)  # rounded once


@pytest.mark.parametrize("size", [1e7, 1e10, 1e14])
def test_sine_and_cosine_of_large_angles_are_those_of_a_neighbouring_number(size, rng):
    x = rng.uniform(-size, size, 10_000)
    for found, expected in zip(trig.sin_cos(jnp.asarray(x)), (np.sin(x), np.cos(x)), strict=True):
        np.testing.assert_array_less(np.abs(found - expected), np.spacing(np.abs(x)) + 3e-16)


def test_angles_of_any_size(made, rng):
    X = np.append(rng.uniform(-10, 10, (3, 3)), rng.uniform(1e6, 1e12, (3, 3)), axis=0)
    f = np.stack([np.ones_like(X), np.sin(X), np.cos(X)])
    expected = np.einsum("abc,ar,br,cr->r", made[1].coefficients, *f.transpose(2, 0, 1))
    np.testing.assert_allclose(made[1].scores_of_features(X), expected, rtol=0, atol=1e-13)


def test_raw_rows_are_scored_as_the_model_scores_them(made, rng):
    model, s = made
    frame = pd.DataFrame(rng.normal(size=(20, 4)), columns=[f"c{i}" for i in range(4)])
    np.testing.assert_allclose(s.logits(frame), circuit_logits(model, model.feature_map.transform(frame)), rtol=0, atol=1e-12)


def test_what_has_no_surrogate_is_refused(rng, monkeypatch, made):
    with pytest.raises(ParameterError, match=r"reupload=True has no surrogate here.*Use reupload=False"):
        model_of(CircuitSpec(2, 2, reupload=True), rng).surrogate()
    with pytest.raises(ParameterError, match=r"encoder='amplitude' has no surrogate.*Use encoder='angle_y'"):
        model_of(CircuitSpec(2, 2, "amplitude"), rng).surrogate()
    monkeypatch.setattr(surrogate, "available_memory", lambda: 1000)
    with pytest.raises(EngineError, match="GB to compute: use fewer wires"):
        made[0].surrogate()


@pytest.mark.parametrize(
    ("X", "message"),
    [(np.zeros((2, 4)), r"\(2, 4\); \(rows, 3\)"), (np.zeros(3), r"\(3,\)"), (np.zeros((0, 3)), r"\(0, 3\)"), ([[0, np.nan, 0]], "in 1 of 1 rows")],
)  # fmt: skip
def test_unusable_rows_are_refused(made, X, message):
    with pytest.raises(ParameterError, match=message):
        made[1].scores_of_features(X)


def test_a_new_process_reads_the_file_and_makes_the_same_one(made, tmp_path, rng):
    model, s = made
    X = rng.uniform(0, np.pi, (7, 3))
    path, folder = s.save(tmp_path / "new" / "s.npz"), model.save(tmp_path / "model")
    script = f"""
import numpy as np, qnb
from qnb.training.surrogate import load_surrogate
read, again = load_surrogate({str(path)!r}), qnb.load_model({str(folder)!r}).surrogate()
np.savez({str(tmp_path / "out.npz")!r}, read=read.logits_of_features(np.array({X.tolist()})), again=again.coefficients)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["read"], s.logits_of_features(X))
        np.testing.assert_allclose(out["again"], s.coefficients, rtol=0, atol=1e-14)  # in float64 there, too
    read = load_surrogate(path)
    assert read.about["circuit"]["wires"] == 3 and read.about["synthetic"] is True
    assert (read.threshold, read.encoder, read.bias, read.alpha) == (s.threshold, s.encoder, s.bias, s.alpha)
    with pytest.raises(ModelError, match="exists already; nothing is overwritten"):
        s.save(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def rewritten(path, changes, meta=None):
    with np.load(path) as file:
        arrays = dict(file) | changes
    if meta is not None:
        arrays["meta"] = np.array(json.dumps(json.loads(arrays["meta"].item()) | meta))
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("changes", "meta", "message"),
    [
        ({"coefficients": np.array([Bomb()], dtype=object)}, None, "cannot be read as plain arrays"),
        ({"coefficients": np.zeros((3, 3))}, None, r"coefficients has shape \(3, 3\); \(3, 3, 3\) was expected"),
        ({"coefficients": np.full((3, 3, 3), np.nan)}, None, "coefficients holds values that are not finite"),
        ({"coefficients": np.zeros((3, 3, 3), "f4")}, None, "not finite float64"),
        ({"features/mean": np.zeros(9)}, None, r"features/mean has shape \(9,\); \(4,\)"),
        ({"features/quantiles": np.zeros((5, 3))}, None, "features/quantiles has shape"),
        ({"features/scale": np.full(4, np.inf)}, None, "scale holds values"),
        ({"features/levels": None}, None, "not the parts of a feature map"),
        ({"coefficients": None}, None, "KeyError: 'coefficients'"),
        ({"meta": None}, None, "KeyError: 'meta'"),
        ({"meta": np.array("{")}, None, "JSONDecodeError"),
        ({"meta": np.array(3.0)}, None, "TypeError"),
        ({}, {"format": 2}, "format 2; this qnb reads format 1"),
        ({}, {"encoder": "amplitude"}, "encoder 'amplitude' is none of angle_y, angle_xy"),
        ({}, {"encoder": "angle_xy"}, r"\(4, 4, 4\) was expected"),
        ({}, {"bias": "high"}, "ValueError"),
        ({}, {"alpha": float("nan")}, "alpha holds values that are not finite"),
        ({}, {"features": {"version": 1}}, "not the parts of a feature map"),
    ],
)
def test_files_that_do_not_hold_a_surrogate_are_refused(made, tmp_path, changes, meta, message):
    path = made[1].save(tmp_path / "s.npz")
    rewritten(path, changes, meta)
    with pytest.raises(ModelError, match=message):
        load_surrogate(path)


def test_missing_and_damaged_files_are_named(made, tmp_path):
    with pytest.raises(ModelError, match=r"No surrogate at .*none.npz"):
        load_surrogate(tmp_path / "none.npz")
    path = made[1].save(tmp_path / "s.npz")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"s.npz cannot be read"):
        load_surrogate(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=r"s.npz cannot be read"):
        load_surrogate(path)


# the ANOVA


def integrated(model, points=16):
    """Var s_A for every set A of wires, from the circuit on default.qubit on a grid of Gauss nodes: conditional means, inclusion and exclusion."""
    n = model.spec.wires
    nodes, weights = np.polynomial.legendre.leggauss(points)
    angles, weights = ANGLE_RANGES[model.feature_map.angle_range]((nodes + 1) / 2), weights / 2
    grid = circuit_scores(model, np.array(list(itertools.product(angles, repeat=n)))).reshape((points,) * n)
    found = np.zeros((2,) * n)
    for wires in itertools.product((0, 1), repeat=n):  # variance of E[s | wires]: of all its subsets together
        conditional = grid
        for axis in reversed(range(n)):
            conditional = conditional if wires[axis] else np.tensordot(conditional, weights, (axis, 0))
        square, mean = conditional**2, conditional
        for _ in range(sum(wires)):
            square, mean = np.tensordot(square, weights, (0, 0)), np.tensordot(mean, weights, (0, 0))
        smaller = [
            other
            for other in itertools.product((0, 1), repeat=n)
            if other != wires and all(a <= b for a, b in zip(other, wires, strict=True))
        ]
        found[wires] = square - mean**2 - sum(found[other] for other in smaller)
    return found


@pytest.mark.parametrize(("encoder", "hadamard"), ENCODERS)
def test_shares_are_those_of_numerical_integration(encoder, hadamard, rng):
    model = model_of(CircuitSpec(2, 2, encoder, hadamard=hadamard), rng)
    found = model.surrogate()
    for angle_range in RANGES:
        model = replace(model, feature_map=replace(model.feature_map, angle_range=angle_range))
        parts, expansion = integrated(model), expand(replace(found, feature_map=model.feature_map))
        assert expansion.variance == pytest.approx(parts.sum(), rel=1e-9), angle_range
        np.testing.assert_allclose(expansion.share_by_wires(), parts / parts.sum(), rtol=0, atol=1e-9)
        orders = [parts[0, 1] + parts[1, 0], parts[1, 1]]
        np.testing.assert_allclose(expansion.share_by_order(), orders / parts.sum(), rtol=0, atol=1e-9)


def test_shares_of_three_wires(rng):
    model = model_of(CircuitSpec(3, 2), rng)
    parts, expansion = integrated(model, 10), expand(model.surrogate())
    np.testing.assert_allclose(expansion.share_by_wires(), parts / parts.sum(), rtol=0, atol=1e-9)
    orders = np.indices(parts.shape).sum(axis=0)
    np.testing.assert_allclose(expansion.share_by_order(), [parts[orders == k].sum() / parts.sum() for k in (1, 2, 3)], atol=1e-9)


def polynomial(coefficients, angle_range="0_pi", encoder="angle_y"):
    C = np.asarray(coefficients, float)
    return Surrogate(C, encoder, 0.0, 1.0, feature_map(C.ndim, angle_range), 0.0)


def test_shares_in_closed_form():
    """sin x sin y on [0, pi]^2: mean (2/pi)^2, each main effect (2/pi)^2 (1/2 - 4/pi^2), the pair (1/2 - 4/pi^2)^2."""
    expansion = expand(polynomial(np.outer([0, 1, 0], [0, 1, 0])))
    m, v = (2 / np.pi) ** 2, 0.5 - (2 / np.pi) ** 2
    np.testing.assert_allclose(expansion.share_by_wires() * expansion.variance, [[0, m * v], [m * v, v * v]], atol=1e-14)
    full_turn = expand(polynomial(np.outer([0, 1, 0], [0, 1, 0]), "pm_pi"))  # there it is a pair alone
    np.testing.assert_allclose(full_turn.share_by_order(), [0, 1], atol=1e-14)
    assert full_turn.variance == pytest.approx(0.25)


@pytest.mark.parametrize("angle_range", RANGES)
@pytest.mark.parametrize("encoder", surrogate.BASES)
def test_gram_matrix_by_the_midpoint_rule(encoder, angle_range):
    low, high = (ANGLE_RANGES[angle_range](u) for u in (0, 1))
    x = ANGLE_RANGES[angle_range]((np.arange(200_000) + 0.5) / 200_000)
    f = np.stack(
        {"angle_y": [1 + 0 * x, np.sin(x), np.cos(x)], "angle_xy": [1 + 0 * x, np.sin(x), np.sin(2 * x), np.cos(2 * x)]}[encoder]
    )
    np.testing.assert_allclose(gram(encoder, low, high), f @ f.T / len(x), atol=1e-9)


def test_cut_short_it_is_the_conditional_mean(made):
    """The parts up to order 1 are the mean and E[s | x_i] - mean: integrated over the other two wires by the midpoint rule."""
    _, s = made
    u = (np.arange(60) + 0.5) / 60
    grid = np.stack(np.meshgrid(*[np.pi * u] * 3, indexing="ij"), -1).reshape(-1, 3)
    scores = s.scores_of_features(grid).reshape(60, 60, 60)
    additive = sum(scores.mean(axis=axes, keepdims=True) for axes in ((1, 2), (0, 2), (0, 1))) - 2 * scores.mean()
    found = expand(s).up_to_order(1).scores_of_features(grid).reshape(60, 60, 60)
    np.testing.assert_allclose(found, additive, atol=2e-4)
    np.testing.assert_allclose(expand(s).up_to_order(3).coefficients, s.coefficients, atol=1e-14)


def test_the_largest_terms_are_the_best_of_that_number(made, rng):
    expansion, count = expand(made[1]), 5
    X = rng.uniform(0, np.pi, (40_000, 3))
    whole, total = made[1].scores_of_features(X), expansion.coefficients.size - 1
    missing = np.var(whole - expansion.largest(count).scores_of_features(X))
    shares = np.sort(expansion.coefficients.ravel()[1:] ** 2)[::-1]
    assert missing == pytest.approx(shares[count:].sum(), rel=0.05)
    np.testing.assert_allclose(expansion.largest(total).coefficients, made[1].coefficients, atol=1e-14)
    assert expansion.variance == pytest.approx(np.var(whole), rel=0.05)


def test_formula_names_the_largest_terms():
    C = np.zeros((3, 3))
    C[1, 0], C[2, 1], C[0, 2] = 0.5, 0.25, -1.0  # over a full turn each term has variance C^2 times 1/2 for each factor
    table = formula(expand(polynomial(C, "pm_pi")), 3)
    assert table["term"].tolist() == ["cos x1", "sin x0", "cos x0 · sin x1"]
    assert table["order"].tolist() == [1, 1, 2]
    np.testing.assert_allclose(table["coefficient"], [-1 / 2**0.5, 0.5 / 2**0.5, 0.25 / 2])
    np.testing.assert_allclose(table["share of variance"], np.array([0.5, 0.125, 0.015625]) / 0.640625)
    assert table["added up"].iloc[-1] == pytest.approx(1)
    C[0, 0] = 0.25
    line = surrogate_anova.written(expand(replace(polynomial(C, "pm_pi"), bias=-0.5, alpha=3.0)), 2)
    assert line == "s(x) = 0.250 − 0.707 cos x1 + 0.354 sin x0 + …; logit = 3.00 (s − 0.500)"


def test_a_constant_score_has_nothing_to_take_apart():
    C = np.zeros((3, 3))
    C[0, 0] = 0.3
    with pytest.raises(ModelError, match="constant over the encoded range"):
        expand(polynomial(C))


def test_change_of_basis_by_einsum(rng):
    tensor, matrix = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 4))
    np.testing.assert_allclose(along_every_wire(tensor, matrix), np.einsum("abc,ai,bj,ck->ijk", tensor, matrix, matrix, matrix))


# what the notebook asks


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
    table = surrogate_study.by_order(expansion, train, test)
    assert table["terms"].tolist() == [6, 12, 8] and table["share"].sum() == pytest.approx(1)
    s, s_test = (expansion.surrogate.logits_of_features(X) for X, _ in (train, test))
    f, f_test = (np.hstack([np.sin(X), np.cos(X)]) for X, _ in (train, test))
    fit = LinearRegression().fit(f, s)
    assert table["fit R2"].iloc[0] == pytest.approx(fit.score(f_test, s_test), abs=1e-9)
    assert table["fit R2"].iloc[1] == pytest.approx(1) and table["auc"].iloc[0] < 0.6 < 0.8 < table["auc"].iloc[1]
    few = surrogate_study.by_order(expansion, (train[0][:100], train[1][:100]), test)
    assert np.isnan(few["fit R2"].iloc[1]) and few["fit auc"].iloc[2] == few["auc"].iloc[2]


def test_logistic_regression_sees_the_same_functions(rows):
    expansion, train, test = rows
    found = surrogate_study.logistic(expansion, train, test, 1, seed=0)
    phi = [
        np.hstack([(g(X) - m) / sd for g, m, sd in ((np.sin, 2 / np.pi, (0.5 - 4 / np.pi**2) ** 0.5), (np.cos, 0, 0.5**0.5))])
        for X, _ in (train, test)
    ]
    expected = LogisticRegression(max_iter=1000).fit(phi[0], train[1]).decision_function(phi[1])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert expansion.columns(test[0], 2).shape == (1000, 6 + 12)


def test_terms_kept_and_how_many_are_needed(rows):
    expansion, _, test = rows
    table = surrogate_study.by_terms(expansion, *test)
    assert table["terms"].iloc[[0, -1]].tolist() == [1, 26] and table["share"].iloc[-1] == pytest.approx(1)
    assert table["share"].iloc[0] == pytest.approx(0.64 / 4 / (0.64 / 4 + 0.01 / 2))
    auc = table["auc"].iloc[-1]
    assert surrogate_study.needed(table, "terms", auc, 1e-9) == 2
    assert surrogate_study.needed(pd.DataFrame({"k": [1, 2, 3, 4], "auc": [0.9, 0.5, 0.89, 0.9]}), "k", 0.9, 0.02) == 3


def test_how_far_data_is_from_the_measure(rows, rng):
    expansion, (X, _), _ = rows
    near = surrogate_study.on_data(expansion, X)
    assert near["from_uniform"] < 0.05 and near["correlation"] < 0.1
    assert near["variance_data"] == pytest.approx(near["variance_uniform"], rel=0.1)
    far = surrogate_study.on_data(expansion, np.column_stack([X[:, 0] / 2, X[:, 0], np.pi - X[:, 0]]))
    assert far["from_uniform"] > 0.45 and far["correlation"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("low", "difference", "high", "word"),
    [(0.01, 0.02, 0.03, "better"), (-0.03, -0.02, -0.01, "worse"), (-0.002, 0.001, 0.004, "equal"), (-0.01, 0.01, 0.03, "undecided"),
     (0.001, 0.003, 0.006, "undecided")],
)  # fmt: skip
def test_outcomes(low, difference, high, word):
    assert surrogate_study.outcome({"low": low, "difference": difference, "high": high}, 0.005) == word


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
def test_the_reading_follows_the_figures(shares, order, main, pairs, said):
    found = {"share_by_order": shares, "order_needed": order, "terms_needed": 12, "terms_total": 6560, "fit_main": [0.84, 0.8]}
    text = surrogate_study.reading(found | {"against": {"main": interval(main), "pairs": interval(pairs)}}, 0.005)
    assert all(part in text for part in said), text
    assert "main effects alone have 84% of the logit's variance there, and an AUC of 0.8000." in text
    assert "Fitted" not in surrogate_study._ranking(found | {"fit_main": [np.nan, np.nan]}, 0.005)
    assert "12 largest of its 6,560 terms (the smallest of the counts tried)" in text
    assert text.endswith("This rests on one split and one training run: another order of the batches can turn it.")
    assert f"{main:+.4f}" in text


def test_intervals_are_of_paired_rows(rng):
    y = (rng.uniform(size=400) < 0.4).astype(float)
    good, bad = y + rng.normal(size=400), 0.1 * y + rng.normal(size=400)
    found = surrogate_study.compare(good, {"itself": good, "bad": bad}, y, 200, 0)
    assert (found["itself"]["low"], found["itself"]["high"]) == (0, 0)
    assert 0.05 < found["bad"]["low"] < found["bad"]["difference"] < found["bad"]["high"]


def test_figures_draw_what_they_are_given(rows):
    expansion, train, test = rows
    by_order, by_terms = surrogate_study.by_order(expansion, train, test), surrogate_study.by_terms(expansion, *test)
    bars, pairs, _ = surrogate_figures.composition(expansion.share_by_order(), expansion.share_by_wires(), "SYNTHETIC").axes
    np.testing.assert_allclose([p.get_height() for p in bars.patches], expansion.share_by_order())
    drawn = pairs.images[0].get_array()
    assert drawn[1, 0] == pytest.approx(expansion.share_by_wires()[1, 1, 0])
    assert drawn[2, 2] == pytest.approx(expansion.share_by_wires()[0, 0, 1]) and np.isnan(np.ma.filled(drawn, np.nan)[0, 1])
    figure = surrogate_figures.carried(by_terms, by_order, 0.9, {"logistic": 0.8}, 0.005, "SYNTHETIC")
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), by_order["auc"])
    assert figure.get_supxlabel() == "SYNTHETIC"


def test_the_parameters_cell_and_the_configuration_are_one():
    nb = nbformat.read(ROOT / "notebooks" / "surrogate.ipynb", as_version=4)
    (cell,) = [c for c in nb.cells if "parameters" in c.metadata.get("tags", [])]
    assert cell.source.startswith("# Parameters of surrogate.ipynb\n")
    assert {k: ast.literal_eval(v) for k, v in assigned_names(cell.source).items()} == SurrogateConfig().model_dump()
    assert nb.metadata.qnb.config == "SurrogateConfig"
    for wrong in ({"reupload": True}, {"encoder": "amplitude"}):
        with pytest.raises(ParameterError, match=r"use encoder='angle_y' or 'angle_xy' with reupload=False"):
            SurrogateConfig.make(wrong)
    with pytest.raises(ParameterError, match="brings its own parameters: leave lr out"):
        SurrogateConfig.make({"run": "r", "lr": 0.1})


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
