"""The dequantised twin: its functions are those of the circuit, its fit is scikit-learn's, its size is bounded."""

import itertools

import numpy as np
import pennylane as qml
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from qnb.core.circuit import CircuitSpec
from qnb.training import twin
from qnb.training.twin import fit_twin, functions_of, products

ENCODERS = [
    {"encoder": "angle_y"},
    {"encoder": "angle_y", "hadamard": True},
    {"encoder": "angle_xy"},
    {"encoder": "angle_y", "reupload": True},
    {"encoder": "angle_y", "reupload": True, "hadamard": True},
    {"encoder": "angle_xy", "reupload": True},
]


def circuit_scores(spec, X, seed):
    """Scores of the circuit at random angles, gate by gate on PennyLane's default.qubit."""
    rng = np.random.default_rng(seed)
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=spec.wires))
    return np.asarray(node(rng.uniform(-3, 3, spec.shapes["weights"]), rng.uniform(-3, 3, spec.shapes["readout"]), X.T))


def residual(columns, target):
    """Largest error of the least-squares fit of `target` (B,) by a constant and columns (p, B)."""
    A = np.vstack([columns, np.ones(columns.shape[1])]).T
    weights, *_ = np.linalg.lstsq(A, target, rcond=None)
    return np.abs(A @ weights - target).max()


@pytest.mark.parametrize("options", ENCODERS, ids=lambda o: "-".join(map(str, o.values())))
def test_the_circuits_score_is_a_sum_of_the_twins_functions(rng, options):
    spec = CircuitSpec(wires=2, layers=2, measurement="mean_z_readout", **options)
    functions = functions_of(spec)
    X = rng.uniform(-np.pi, np.pi, (400, 2))
    scores = circuit_scores(spec, X, seed=1)
    assert functions.order == 2 and functions.limited is None
    assert residual(functions.columns(X, 2), scores) < 1e-10
    assert residual(functions.columns(X, 1), scores) > 1e-3  # the circuit is entangled: single wires do not do
    if functions.highest:  # and every frequency is needed
        fewer = twin.Functions(spec.encoder, functions.highest - 1, 2, 2, None)
        assert residual(fewer.columns(X, 2), scores) > 1e-3


def test_products_are_of_different_wires(rng):
    f = rng.normal(size=(4, 3, 7))
    found = products(f, 3)
    expected = [np.prod([f[w, k] for w, k in zip(wires, ks, strict=True)], axis=0)
                for order in (1, 2, 3) for wires in itertools.combinations(range(4), order) for ks in itertools.product(range(3), repeat=order)]  # fmt: skip
    np.testing.assert_allclose(found, expected)
    assert len(found) == twin.count_features(3, 4, 3) == 4 * 3 + 6 * 9 + 4 * 27


@pytest.mark.parametrize(
    ("options", "order", "features", "limited"),
    [
        ({"wires": 8}, 3, 16 + 28 * 4 + 56 * 8, None),
        ({"wires": 2}, 2, 4 + 4, None),
        ({"wires": 1}, 1, 2, None),
        ({"wires": 8, "encoder": "angle_xy"}, 2, 24 + 28 * 9, "products of 3 wires would make 1,788 features, more than 1,000"),
        ({"wires": 8, "reupload": True}, 1, 48, "products of 2 wires would make 1,056 features, more than 1,000"),
        ({"wires": 2, "scaling": True}, 2, 4 + 4, "a trained scaling's other frequencies are left out"),
        ({"wires": 20}, 2, 40 + 190 * 4, "products of 3 wires would make 9,920 features, more than 1,000"),
        (
            {"wires": 20, "layers": 100, "reupload": True},
            1,
            1000,
            "frequencies above 25 of 100 are left out; products of 2 wires would",
        ),
    ],
)
def test_features_are_at_most_a_thousand_and_what_is_left_out_is_said(options, order, features, limited):
    functions = functions_of(CircuitSpec(**{"layers": 3} | options))
    assert (functions.order, functions.count(functions.order)) == (order, features)
    assert functions.columns(np.zeros((1, options["wires"])), order).shape == (features, 1)
    assert functions.limited is None if limited is None else functions.limited.startswith(limited)


def own_encoder(x, wires):
    for wire in range(wires):
        qml.RY(x[wire] ** 2, wire)


@pytest.mark.parametrize("encoder", ["amplitude", own_encoder])
def test_where_no_functions_of_angles_are_known_there_is_no_twin(encoder):
    assert functions_of(CircuitSpec(wires=3, layers=1, encoder=encoder)) is None


def test_without_entanglement_the_score_is_a_sum_over_single_wires(rng):
    """What `unentangled` can express is the twin's order 1: what its counterparts gain over it are interactions."""
    spec = CircuitSpec(wires=2, layers=2, measurement="mean_z_readout", ansatz="unentangled")
    X = rng.uniform(-np.pi, np.pi, (400, 2))
    assert residual(functions_of(spec).columns(X, 1), circuit_scores(spec, X, seed=1)) < 1e-10


@pytest.mark.parametrize("C", [0.01, 0.3, 10.0, 300.0])
def test_the_fit_is_scikit_learns(rng, C):
    X = rng.uniform(0, np.pi, (600, 4))
    y = (np.sin(X[:, 0]) * np.cos(X[:, 1]) + 0.4 * rng.normal(size=600) > 0.1).astype(float)
    functions = functions_of(CircuitSpec(wires=4, layers=1))
    found = fit_twin(functions, (X, y), (X, y), np.arange(600), orders=(3,), penalties=(0.01, C))  # on a path, from another start
    scaler = StandardScaler().fit(functions.columns(X, 3).T)
    reference = LogisticRegression(C=found.penalty, solver="newton-cholesky", tol=1e-10, max_iter=200)
    reference.fit(scaler.transform(functions.columns(X, 3).T), y)
    elsewhere = rng.uniform(0, np.pi, (200, 4))
    expected = reference.decision_function(scaler.transform(functions.columns(elsewhere, 3).T))
    np.testing.assert_allclose(found.logits(elsewhere), expected, atol=0.02 * expected.std())


def test_order_and_penalty_are_chosen_on_validation_rows(rng):
    functions = functions_of(CircuitSpec(wires=3, layers=1))

    def side(rows, product):
        X = rng.uniform(0, np.pi, (rows, 3))
        signal = np.cos(X[:, 0]) * np.cos(X[:, 1]) if product else np.cos(X[:, 0]) + np.cos(X[:, 1])
        return X, (signal + 0.5 * rng.normal(size=rows) > 0).astype(float)

    pairs = fit_twin(functions, side(3000, True), side(1000, True), np.arange(3000))
    single = fit_twin(functions, side(60, False), side(1000, False), np.arange(60))
    assert pairs.order >= 2 and single.order == 1
    few = fit_twin(functions, side(60, False), side(1000, False), np.arange(60), orders=(3,))
    assert few.penalty < 300  # 26 features of 60 noisy rows


def test_only_the_rows_named_are_fitted(rng):
    functions = functions_of(CircuitSpec(wires=2, layers=1))
    X = rng.uniform(0, np.pi, (200, 2))
    y = (np.cos(X[:, 0]) > 0).astype(float)
    part = fit_twin(functions, (X, y), (X, y), np.arange(100))
    alone = fit_twin(functions, (X[:100], y[:100]), (X, y), np.arange(100))
    np.testing.assert_array_equal(part.logits(X), alone.logits(X))
    assert part.rows == 100


def test_rows_are_scored_in_chunks(rng, monkeypatch):
    functions = functions_of(CircuitSpec(wires=2, layers=1))
    X = rng.uniform(0, np.pi, (100, 2))
    fitted = fit_twin(functions, (X, (X[:, 0] > 1).astype(float)), (X, (X[:, 0] > 1).astype(float)), np.arange(100))
    whole = fitted.logits(X)
    monkeypatch.setattr(twin, "CHUNK", 7)
    np.testing.assert_allclose(fitted.logits(X), whole, atol=1e-12)


def test_constant_columns_and_separable_classes_are_no_trouble():
    X = np.zeros((40, 2))
    X[:, 0] = np.linspace(0, np.pi, 40)
    y = (X[:, 0] > 1.5).astype(float)
    fitted = fit_twin(functions_of(CircuitSpec(wires=2, layers=1)), (X, y), (X, y), np.arange(40), penalties=(300.0, 1e8))
    assert np.isfinite(fitted.logits(X)).all() and (fitted.logits(X)[y == 1].min() > fitted.logits(X)[y == 0].max())
