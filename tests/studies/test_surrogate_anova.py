"""The ANOVA of a surrogate against numerical integration of the circuit's own score, and closed forms."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from surrogates import ENCODERS, RANGES, circuit_scores, model_of, polynomial, three_wires

from qnb.core.circuit import CircuitSpec
from qnb.data.features import ANGLE_RANGES, FeatureMap
from qnb.studies import surrogate_anova
from qnb.studies.surrogate_anova import expand, formula, gram
from qnb.training.model_file import ModelError
from qnb.training.surrogate import BASES


@pytest.fixture(scope="module")
def made():
    return three_wires()


def integrated(model, points=16):
    """Var s_A for every set A of wires, from the circuit on default.qubit on a grid of Gauss nodes: conditional means, inclusion and exclusion."""
    n = model.spec.wires
    nodes, weights = np.polynomial.legendre.leggauss(points)
    low, high = model.feature_map.encoded_range()
    angles, weights = low + (high - low) * (nodes[:, None] + 1) / 2, weights / 2
    grid = circuit_scores(model, np.array(list(itertools.product(*angles.T)))).reshape((points,) * n)
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


def test_shares_of_a_scaled_model_are_those_over_its_features(rng):
    """A factor narrows or widens, or turns round, the range that an angle is uniform on."""
    model = model_of(CircuitSpec(2, 2, "angle_xy", scaling=True), rng, "pm_pi_2")
    model.params["scaling"] = np.array([[-1.7, 0.4]])
    parts, expansion = integrated(model, 24), expand(model.surrogate())
    np.testing.assert_allclose(expansion.share_by_wires() * expansion.variance, parts, rtol=0, atol=1e-12)
    X = rng.uniform(-1, 1, (40, 2))
    fitted = np.linalg.lstsq(np.c_[np.ones(40), expansion.columns(X, 2)], circuit_scores(model, X))[0]
    np.testing.assert_allclose(np.sort(fitted), np.sort(expansion.coefficients.ravel()), rtol=0, atol=1e-8)


def test_shares_of_three_wires(rng):
    model = model_of(CircuitSpec(3, 2), rng)
    parts, expansion = integrated(model, 10), expand(model.surrogate())
    np.testing.assert_allclose(expansion.share_by_wires(), parts / parts.sum(), rtol=0, atol=1e-9)
    orders = np.indices(parts.shape).sum(axis=0)
    np.testing.assert_allclose(expansion.share_by_order(), [parts[orders == k].sum() / parts.sum() for k in (1, 2, 3)], atol=1e-9)


def test_shares_in_closed_form():
    """sin x sin y on [0, pi]^2: mean (2/pi)^2, each main effect (2/pi)^2 (1/2 - 4/pi^2), the pair (1/2 - 4/pi^2)^2."""
    expansion = expand(polynomial(np.outer([0, 1, 0], [0, 1, 0])))
    m, v = (2 / np.pi) ** 2, 0.5 - (2 / np.pi) ** 2
    np.testing.assert_allclose(expansion.share_by_wires() * expansion.variance, [[0, m * v], [m * v, v * v]], atol=1e-14)
    full_turn = expand(polynomial(np.outer([0, 1, 0], [0, 1, 0]), "pm_pi"))  # there it is a pair alone
    np.testing.assert_allclose(full_turn.share_by_order(), [0, 1], atol=1e-14)
    assert full_turn.variance == pytest.approx(0.25)


@pytest.mark.parametrize("angle_range", RANGES)
@pytest.mark.parametrize("encoder", BASES)
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


def test_features_as_they_are_have_each_their_own_range(rng):
    """Against the variance of the score over rows drawn uniformly from each feature's own range."""
    model = model_of(CircuitSpec(2, 2), rng)
    frame = pd.DataFrame(rng.uniform(size=(60, 2)) * [0.5, 2.0] + [1.0, -1.0], columns=["a", "b"])
    as_they_are = FeatureMap.fit(frame, np.arange(60) % 2, 2, None, reduction="none", rescale="none")
    model = replace(model, feature_map=as_they_are)
    parts, expansion = integrated(model), expand(model.surrogate())
    np.testing.assert_allclose(expansion.share_by_wires() * expansion.variance, parts, rtol=0, atol=1e-12)
    narrow = FeatureMap.fit(frame * [1e-4, 1], np.arange(60) % 2, 2, None, reduction="none", rescale="none")
    with pytest.raises(ModelError, match=r"Feature 0 lies between 0\.00010"):
        expand(replace(model, feature_map=narrow).surrogate())
