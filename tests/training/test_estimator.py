"""QuantumClassifier: scikit-learn's own checks, and that it is qnb's training and nothing else."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from qnb import QuantumClassifier, load_model
from qnb.config import TrainConfig
from qnb.core.gate import WrongGradientError
from qnb.data.prepare import prepare
from qnb.training.estimator import FOLLOWING, POSSIBLE_WIRES, SHARED, EstimatorError, _epochs, _held_out
from qnb.training.loop import fit
from qnb.training.metrics import choose_threshold
from qnb.training.state import circuit_of

QUICK = {"engine": "exact", "wires": 1, "layers": 1, "epochs": 4}
CHECKED = QUICK | {"epochs": 40}  # steps enough to follow class weights of a thousand
CATALYST = [  # of scikit-learn's checks, those that look at what a fit computes
    "check_fit_idempotent", "check_estimators_dtypes", "check_estimators_pickle", "check_methods_subset_invariance",
    "check_methods_sample_order_invariance", "check_classifiers_train", "check_f_contiguous_array_estimator", "check_dict_unchanged",
]  # fmt: skip


@parametrize_with_checks([QuantumClassifier(**CHECKED), QuantumClassifier(**CHECKED, missing="indicator")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([QuantumClassifier(engine="exact")])
def test_scikit_learns_checks_with_the_defaults(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("check", CATALYST)
def test_scikit_learns_checks_with_catalyst(check):
    getattr(estimator_checks, check)("QuantumClassifier", QuantumClassifier(**QUICK | {"engine": "catalyst"}))


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X, y.map({0: "malignant", 1: "benign"})


@pytest.fixture(scope="module")
def fitted(cancer):
    return QuantumClassifier(engine="exact", wires=2, layers=1).fit(*cancer)


def test_defaults_are_those_of_the_configuration():
    given, fields = QuantumClassifier().get_params(), TrainConfig.model_fields
    same = set(SHARED) - {"val_objective"} | {"batch"}  # which has its default where `predict` is at logit 0
    assert {name: given[name] for name in same} == {name: fields[name].default for name in same}
    assert given["validation_fraction"] == fields["val_fraction"].default and given["random_state"] == fields["seed"].default
    own = {"class_weight", "validation_fraction", "warm_start", "callback", "random_state", "verbose"}
    assert set(given) - set(SHARED) == {*FOLLOWING, *own}


@pytest.mark.parametrize("engine", ["exact", "catalyst"])
def test_it_is_the_training_of_qnb(engine):
    """The loop of `qnb.training.train`, on the rows that the estimator keeps for training and for validation."""
    config = TrainConfig(
        data="breast_cancer",
        sample=None,
        wires=2,
        layers=1,
        batch=32,
        epochs=2,
        engine=engine,
        seed=5,
        rescale="minmax",
        val_objective="weighted_loss",
    )
    prepared = prepare(config)
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = 1 - y  # malignant is positive
    model = QuantumClassifier(wires=2, layers=1, batch=32, epochs=2, engine=engine, random_state=5).fit(X, y)
    held = _held_out(y.to_numpy(), 0.2, 5)
    rebuilt = prepared.__class__(
        {"train": model.model_.feature_map.transform(X[~held]), "val": model.model_.feature_map.transform(X[held])},
        {"train": y[~held].to_numpy(float), "val": y[held].to_numpy(float)}, model.model_.feature_map, {},
    )  # fmt: skip
    expected = fit(config, rebuilt, progress=False).state
    for name, value in expected.best_params.items():
        np.testing.assert_array_equal(model.model_.params[name], value)
    timed = ["seconds", "samples_per_s"]
    pd.testing.assert_frame_equal(model.history_.drop(columns=timed), pd.DataFrame(expected.history).drop(columns=timed))
    assert model.gate_.verdict == "pass" and model.model_.spec == circuit_of(config)
    logits = model.decision_function(X)
    assert model.threshold_ == choose_threshold(logits[held], y[held]).value
    assert roc_auc_score(y, logits) > 0.85


def test_the_three_answers_agree(fitted, cancer):
    X, y = cancer
    logits, probabilities = fitted.decision_function(X), fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), np.where(logits > 0, "malignant", "benign"))
    assert not get_tags(fitted).classifier_tags.multi_class
    assert fitted.classes_.tolist() == ["benign", "malignant"] and fitted.score(X, y) > 0.85
    assert fitted.feature_names_in_.tolist() == list(X.columns) and fitted.n_features_in_ == 30


def test_held_out_rows():
    y = np.array([0] * 90 + [1] * 10)
    held = _held_out(y, 0.2, 0)
    assert (held[y == 0].sum(), held[y == 1].sum()) == (18, 2)
    assert not np.array_equal(held, _held_out(y, 0.2, 1))
    few = np.array([0, 0, 1, 1, 1])
    for fraction in (0.01, 0.99):  # one row of each class on either side, whatever the fraction
        held = _held_out(few, fraction, 0)
        assert [few[side].tolist().count(c) > 0 for side in (held, ~held) for c in (0, 1)] == [True] * 4


def test_wires_and_batch_follow_the_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] + rng.normal(size=40) > 0).astype(int)
    model = QuantumClassifier(engine="exact", layers=1, epochs=1)
    assert model.fit(X, y).model_.spec.wires == 3
    assert model.history_["lr"].tolist() == [0.05] and model.gate_.rows == 32  # 40 rows less 8 held out, in one batch of 64 asked
    same = np.column_stack([X[:, 0], 2 * X[:, 0] + 1, X[:, 1], np.ones(40)])
    assert model.fit(same, y).model_.spec.wires == 2
    assert QuantumClassifier(engine="exact", layers=1, epochs=1, encoder="amplitude").fit(X, y).model_.spec.wires == 1


def test_seeds():
    X, y = make_blobs(120, centers=2, cluster_std=5, random_state=0)
    one = partial(QuantumClassifier, **QUICK)
    logits = [
        one(random_state=r).fit(X, y).decision_function(X) for r in (0, 0, 1, np.random.RandomState(3), np.random.RandomState(3))
    ]
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[3], logits[4])
    assert not np.array_equal(logits[0], logits[2])
    one(random_state=None).fit(X, y)


def test_class_weights_reach_the_loss():
    X, y = make_blobs(200, centers=2, cluster_std=6, random_state=0)
    weights = {None: None, "one": {"b": 9.0}, "zero": {"a": 9.0}}  # by the user's labels
    y = np.array(["a", "b"])[y]
    logits = {
        w: QuantumClassifier(**QUICK, class_weight=weights[w]).fit(X, y).decision_function(X).mean()
        for w in (None, "one", "zero")
    }
    assert logits["zero"] < logits[None] < logits["one"]


def test_it_works_inside_scikit_learn(cancer):
    X, y = cancer
    model = make_pipeline(StandardScaler(), QuantumClassifier(engine="exact", wires=2, layers=1, epochs=3, lr=0.2))
    assert cross_val_score(model, X, y, scoring="roc_auc", cv=3).min() > 0.9
    grid = {"quantumclassifier__lr": np.array([0.001, 0.2]), "quantumclassifier__epochs": np.arange(3, 4)}  # numpy's scalars
    search = GridSearchCV(model, grid, scoring="roc_auc", cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["quantumclassifier__lr"] == 0.2
    calibrated = CalibratedClassifierCV(clone(search.best_estimator_), cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.85
    assert clone(search.best_estimator_).get_params()["quantumclassifier__lr"] == 0.2


def test_a_pickle_holds_no_compiled_program(fitted, cancer):
    data = pickle.dumps(fitted)
    assert len(data) < 200_000 and b"Engine" not in data
    np.testing.assert_array_equal(pickle.loads(data).decision_function(cancer[0]), fitted.decision_function(cancer[0]))


def test_its_model_is_saved_as_any(fitted, cancer, tmp_path):
    loaded = load_model(fitted.model_.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.logits(cancer[0]), fitted.decision_function(cancer[0]))
    assert loaded.threshold == fitted.threshold_ and loaded.about["classes"] == ["benign", "malignant"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "one_sample_demo"}, "engine = 'one_sample_demo' is not known"),
        ({"engine": "exat"}, "Did you mean 'exact'"),
        ({"ansatz": "rings"}, "Parameter ansatz = 'rings'"),
        ({"class_weight": {"no": 2.0}}, r"class_weight names \['no'\], and the classes are \[0, 1\]"),
        ({"class_weight": "even"}, "class_weight = 'even': None, 'balanced' or a dict"),
        ({"rescale": "max"}, "Parameter rescale = 'max'"),
        ({"val_objective": "loss"}, "Parameter val_objective = 'loss'"),
        ({"epochs": 2.5}, "Parameter epochs = 2.5"),
        ({"batch": 0}, "Parameter batch = 0"),
        ({"batch": "all"}, "Parameter batch = 'all'"),
        ({"wires": 3}, "3 components were asked of 2"),
        ({"missing": "mean"}, "Parameter missing = 'mean'"),
        ({"focal_gamma": -1.0}, "focal_gamma"),
        ({"validation_fraction": 1.0}, "validation_fraction = 1.0: a number between 0 and 1"),
        ({"random_state": -1}, "random_state = -1: a whole number from 0 up"),
        ({"encoder": "angle_xy", "hadamard": True}, "hadamard=True with encoder"),
    ],
)
def test_parameters_that_are_refused(changes, message):
    X, y = make_blobs(40, centers=2, random_state=0)
    with pytest.raises(EstimatorError, match=message):
        QuantumClassifier(**QUICK | changes).fit(X, y)


@pytest.mark.parametrize("weight", [0, 0.0, -1.0, np.inf, np.nan, None, "a"])
def test_class_weights_that_are_refused(weight):
    X, y = make_blobs(40, centers=2, random_state=0)
    with pytest.raises(EstimatorError, match=r"^class_weight = \{0: .*, 1: 1\}: finite weights above 0 were expected"):
        QuantumClassifier(**QUICK, class_weight={0: weight, 1: 1}).fit(X, y)


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        (30, {"reduction": "none"}, "one wire per column: 30 columns were given .*, 20 or fewer are possible"),
        (1, {"reduction": "none", "encoder": "amplitude"}, r"takes 2\^wires columns: 1 columns .*, 2, 4, 8"),
        (3, {"reduction": "none", "encoder": "amplitude"}, r"takes 2\^wires columns: 3 columns .*, 2, 4, 8"),
        (1, {"encoder": "amplitude"}, "independent columns, at least 2; there is 1"),
    ],
)
def test_columns_from_which_no_number_of_wires_follows(columns, changes, message):
    X, y = make_blobs(40, centers=2, n_features=columns, random_state=0)
    with pytest.raises(EstimatorError, match=f"^wires=None with .*{message}"):
        QuantumClassifier(**QUICK | {"wires": None} | changes).fit(X, y)


def test_the_most_wires_are_those_of_the_configuration():
    assert max(getattr(bound, "le", 0) for bound in TrainConfig.model_fields["wires"].metadata) == POSSIBLE_WIRES


AS_THEY_ARE = {"wires": 2, "encoder": "amplitude", "reduction": "none", "rescale": "none"}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (AS_THEY_ARE, "A row of X is all zeros"),
        ({"encoder": ["ZZ"]}, r"encoder = \['ZZ'\]: a name or a function"),
        ({"ansatz": ["ZZ"]}, r"ansatz = \['ZZ'\]: a name, a Pattern"),
        ({"measurement": ["QQ"]}, "'QQ' is no Pauli word of 1 wires"),
    ],
)
def test_what_the_circuit_refuses_is_a_value_error(method, changes, message):
    rows, _ = make_blobs(40, centers=2, n_features=4, random_state=0)
    rows[::3] = 0
    with pytest.raises(EstimatorError, match=message):
        getattr(QuantumClassifier(**QUICK | changes), method)(rows, np.arange(40) % 2)


def test_a_row_that_the_circuit_cannot_take_is_a_value_error():
    X, y = make_blobs(40, centers=2, n_features=4, random_state=0)
    model = QuantumClassifier(**QUICK | AS_THEY_ARE).fit(X, y)
    with pytest.raises(EstimatorError, match="A row of X is all zeros"):
        model.predict(np.zeros((2, 4)))


@pytest.mark.parametrize("missing", ["median", "indicator"])
def test_missing_values(missing):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (X[:, 0] > 0).astype(int)
    told = X.copy()
    told[(rng.random(120) < 0.8) & (y == 1), 1] = np.nan  # where it is missing gives the label away
    with pytest.raises(ValueError, match="contains NaN"):
        QuantumClassifier(**QUICK).fit(told, y)
    model = QuantumClassifier(**QUICK | {"wires": None}, missing=missing).fit(told, y)
    assert model.model_.spec.wires == (4 if missing == "indicator" else 3)
    assert np.isfinite(model.decision_function(np.full((2, 3), np.nan))).all()
    held = _held_out(y, 0.2, 0)
    assert model.model_.feature_map.missing.medians["x1"] == np.nanmedian(told[~held, 1])  # of the training rows


def test_data_that_is_refused():
    X, y = make_blobs(40, centers=2, random_state=0)
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        QuantumClassifier().fit(X, np.arange(40) % 3)
    with pytest.raises(EstimatorError, match="Class True has one row of 40"):
        QuantumClassifier().fit(X, np.arange(40) == 0)
    with pytest.raises(EstimatorError, match="All 2 feature columns are constant"):
        QuantumClassifier(**QUICK).fit(np.ones((40, 2)), y)


def test_a_wrong_gradient_is_not_trained_on(monkeypatch):
    from qnb.core.exact import ExactEngine

    right = ExactEngine.take_steps

    def wrong(self, *args):
        steps = right(self, *args)
        return steps._replace(gradient=steps.gradient | {"weights": -steps.gradient["weights"]})

    monkeypatch.setattr(ExactEngine, "take_steps", wrong)
    X, y = make_blobs(40, centers=2, random_state=0)
    with pytest.raises(WrongGradientError, match="weights"):
        QuantumClassifier(**QUICK).fit(X, y)


def parity(wires, rows, seed):
    """Angles near 0 and pi, and whether an odd number of them is near pi."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (rows, wires))
    return np.pi * bits + rng.normal(scale=0.3, size=bits.shape), bits.sum(axis=1) % 2


@pytest.mark.parametrize("wires", [2, 3])
def test_parity_is_learnt_on_the_angles_as_they_are(wires):
    as_they_are = {"reduction": "none", "rescale": "none"}
    model = QuantumClassifier(**as_they_are, engine="exact", epochs=100, batch=32, lr=0.1, val_objective="val_loss")
    model.fit(*parity(wires, 120, 0))
    X, y = parity(wires, 300, 1)
    assert model.score(X, y) == 1.0 and model.model_.spec.wires == wires
    np.testing.assert_array_equal(model.model_.feature_map.transform(pd.DataFrame(X, columns=[f"x{i}" for i in range(wires)])), X)


def test_without_reduction_wires_are_the_columns():
    X, y = parity(4, 40, 0)
    quick = QUICK | {"wires": None, "reduction": "none", "epochs": 1}
    assert QuantumClassifier(**quick).fit(X, y).model_.spec.wires == 4
    assert QuantumClassifier(**quick, encoder="amplitude").fit(X, y).model_.spec.wires == 2
    with pytest.raises(EstimatorError, match=r"there are 4 columns \(x0, x1, x2, x3\) for 3 features. Set wires=4"):
        QuantumClassifier(**quick | {"wires": 3}).fit(X, y)
    with pytest.raises(EstimatorError, match="angle_range has no effect with rescale='none'"):
        QuantumClassifier(**quick, rescale="none", angle_range="pm_pi").fit(X, y)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"), [(48, 48, 1000), (192, 64, 334), (8000, 64, 8), (80_000, 64, 8), (640, 64, 100)]
)
def test_a_table_of_any_size_takes_enough_steps(rows, batch, epochs):
    assert _epochs(rows, batch) == epochs
    assert epochs * (rows // batch) >= 1000


def half_spaces(rows, columns, seed):
    """Rows of [-1, 1]^columns on either side of a hyperplane, none nearer to it than 0.02 * columns."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=columns)
    X = rng.uniform(-1, 1, (20 * rows, columns))
    distance = X @ normal / np.linalg.norm(normal)
    far = np.abs(distance) > 0.02 * columns
    return X[far][:rows], (distance > 0)[far][:rows]


@pytest.mark.parametrize(("rows", "columns"), [(100, 2), (240, 5)])
def test_defaults_separate_what_a_hyperplane_does(rows, columns):
    X, y = half_spaces(rows + 500, columns, 0)
    model = QuantumClassifier(engine="exact").fit(X[:rows], y[:rows])
    assert model.score(X[:rows], y[:rows]) > 0.98 and model.score(X[rows:], y[rows:]) > 0.97
    assert len(model.history_) >= 334


def test_a_training_that_is_cut_short_says_so():
    X, y = half_spaces(100, 2, 0)
    with pytest.warns(ConvergenceWarning, match="still falling after 8 epochs"):
        QuantumClassifier(engine="exact", epochs=8).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        QuantumClassifier(engine="exact").fit(X, y)


@pytest.mark.parametrize("engine", ["exact", "catalyst"])
def test_a_warm_start_trains_on(engine):
    X, y = half_spaces(100, 2, 0)
    model = QuantumClassifier(engine=engine, layers=1, epochs=3, warm_start=True, random_state=0)
    first = model.fit(X, y).model_
    once = model.history_["train_loss"].iloc[-1]
    again = model.fit(X, y)
    assert again.history_["train_loss"].iloc[0] < once
    assert again.model_.feature_map is first.feature_map
    with pytest.raises(EstimatorError, match=r"had layers=1, and the parameters ask for layers=2"):
        model.set_params(layers=2).fit(X, y)
    cold = clone(model).set_params(layers=1).fit(X, y)
    np.testing.assert_array_equal(cold.model_.params["weights"], first.params["weights"])


CONTINUED = ["fit", "partial_fit"]
ONCE = {"engine": "exact", "layers": 1, "epochs": 1, "warm_start": True}
THREE = ONCE | {"wires": 3}


def the_same(columns=3):
    """Rows and labels of which an earlier fit and one that continues it have the same."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, columns))
    return X, (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("method", CONTINUED)
@pytest.mark.parametrize(
    ("first", "changes", "before", "now"),
    [
        ({}, {"angle_range": "pm_pi"}, "angle_range='0_pi'", "angle_range='pm_pi'"),
        ({}, {"rescale": "quantile"}, "rescale='minmax'", "rescale='quantile'"),
        ({}, {"rescale": "none"}, "rescale='minmax'", "rescale='none'"),
        ({"rescale": "none"}, {"rescale": "minmax"}, "rescale='none'", "rescale='minmax'"),
        ({}, {"reduction": "none"}, "reduction='pls'", "reduction='none'"),
        ({}, {"missing": "median"}, "missing='refuse'", "missing='median'"),
        ({"missing": "indicator"}, {"missing": "refuse"}, "missing='indicator'", "missing='refuse'"),
        ({}, {"alpha_mode": "direct"}, "alpha_mode='softplus'", "alpha_mode='direct'"),
        ({}, {"wires": 2}, "wires=3", "wires=2"),
        ({}, {"layers": 2, "ansatz": "ring"}, "layers=1, ansatz='strongly_entangling'", "layers=2, ansatz='ring'"),
        ({}, {"encoder": "angle_xy"}, "encoder='angle_y'", "encoder='angle_xy'"),
        ({"wires": 1}, {"wires": 1, "encoder": "amplitude"}, "encoder='angle_y'", "encoder='amplitude'"),
        ({}, {"measurement": "z0"}, "measurement='mean_z_readout'", "measurement='z0'"),
        ({}, {"reupload": True}, "reupload=False", "reupload=True"),
        ({}, {"hadamard": True}, "hadamard=False", "hadamard=True"),
        ({}, {"scaling": True}, "scaling=False", "scaling=True"),
    ],
)
def test_what_the_earlier_fit_decided_is_not_changed(method, first, changes, before, now):
    X, y = the_same()
    model = QuantumClassifier(**THREE | first).fit(X, y)
    learnt = model.model_
    with pytest.raises(EstimatorError, match=f"had {before}, and the parameters ask for {now}, which"):
        getattr(model.set_params(**changes), method)(X, y)
    assert model.model_ is learnt


@pytest.mark.parametrize("method", CONTINUED)
@pytest.mark.parametrize(
    ("first", "columns", "message"),
    [
        (lambda X: X, lambda X: np.column_stack([X, X[:, 0]]), "X has 4 features, but .* expecting 3 features"),
        (lambda X: X, lambda X: X[:, :2], "X has 2 features, but .* expecting 3 features"),
        (partial(pd.DataFrame, columns=list("abc")), partial(pd.DataFrame, columns=list("abd")), "should match"),
        (partial(pd.DataFrame, columns=list("abc")), partial(pd.DataFrame, columns=list("bac")), "in the same order"),
    ],
)
def test_columns_of_a_continued_fit_are_those_of_the_earlier(method, first, columns, message):
    X, y = the_same()
    model = QuantumClassifier(**THREE).fit(first(X), y)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(columns(X), y)
    assert model.n_features_in_ == 3 and np.isfinite(model.decision_function(first(X))).all()
    assert model.set_params(warm_start=False, wires=2).fit(columns(X), y).n_features_in_ == columns(X).shape[1]


def test_classes_of_a_warm_start_are_those_of_the_earlier_fit():
    X, y = the_same()
    model = QuantumClassifier(**THREE).fit(X, y)
    with pytest.raises(EstimatorError, match=r"y holds the labels \[1, 2\], and the classes are \[0, 1\]"):
        model.fit(X, y + 1)
    assert model.classes_.tolist() == [0, 1]
    assert model.set_params(warm_start=False).fit(X, y + 1).classes_.tolist() == [1, 2]


@pytest.mark.parametrize("method", CONTINUED)
@pytest.mark.parametrize(
    ("first", "later", "changes"),
    [  # matrices of the columns, of which chunks have fewer independent ones, or more
        (np.eye(5), np.diag([1, 1, 1, 1, 0]), {}),
        (np.eye(5), np.eye(5)[[0, 1, 0, 1, 0]].T, {}),
        (np.diag([1, 1, 0, 1, 0]), np.eye(5), {}),
        (np.eye(5), np.diag([1, 0, 0, 0, 0]), {"encoder": "amplitude"}),
        (np.eye(5), np.diag([1, 1, 0, 0, 0]), {"missing": "indicator"}),
        (np.eye(5), np.tile(np.eye(5), (30, 1, 1)), {}),  # rows enough for quantiles
    ],
)
def test_wires_and_rescaling_of_a_continued_fit_are_those_of_the_earlier(method, first, later, changes):
    X, y = the_same(5)
    model = QuantumClassifier(**ONCE | changes).partial_fit(X @ first, y)
    learnt, rows = model.model_, (X @ later).reshape(-1, 5)
    getattr(model, method)(rows, np.resize(y, len(rows)))
    assert model.model_.spec == learnt.spec and model.model_.feature_map is learnt.feature_map


@pytest.mark.parametrize("method", CONTINUED)
@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.2, "lr_schedule": "cosine", "batch": 16, "epochs": 2},
        {"random_state": 7, "validation_fraction": 0.3, "early_stop_patience": 2, "val_objective": "auc"},
        {"focal_gamma": 2.0},
        {"class_weight": {0: 2.0}},
        {"class_weight": "balanced"},
        {"rescale": "minmax"},  # what None was
        {"wires": None, "rescale": None},
    ],
)
def test_what_a_continued_fit_may_change(method, changes):
    X, y = the_same()
    model = QuantumClassifier(**THREE).fit(X, y)
    learnt = model.model_.feature_map
    assert getattr(model.set_params(**changes), method)(X, y).model_.feature_map is learnt


def test_partial_fit():
    X, y = half_spaces(300, 2, 0)
    model = QuantumClassifier(engine="exact", batch=16)
    for _ in range(15):
        for rows in (slice(0, 150), slice(150, 300)):
            model.partial_fit(X[rows], y[rows], classes=[False, True])
            assert len(model.history_) == 1
    assert model.score(X, y) > 0.95
    with pytest.raises(EstimatorError, match=r"y holds the labels \[0, 2\], and the classes are \[False, True\]"):
        model.partial_fit(X, 2 * y.astype(int))
    with pytest.raises(EstimatorError, match=r"classes holds the labels \[0, 2\], and the classes are \[False, True\]"):
        model.partial_fit(X, y, classes=[0, 2])
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(np.ones((300, 3)), y)


def test_sample_weights_of_partial_fit_are_those_of_the_loss():
    X, y = make_blobs(200, centers=2, cluster_std=6, random_state=0)
    weigh = np.where(y == 1, 9.0, 1.0)
    by_row = QuantumClassifier(**QUICK, lr=0.2).partial_fit(X, y, sample_weight=weigh)
    by_class = QuantumClassifier(**QUICK, lr=0.2, class_weight={1: 9.0}).partial_fit(X, y)
    np.testing.assert_array_equal(by_row.decision_function(X), by_class.decision_function(X))
    plain = QuantumClassifier(**QUICK, lr=0.2).partial_fit(X, y)
    assert not np.array_equal(by_row.decision_function(X), plain.decision_function(X))
    with pytest.raises(ValueError, match=r"sample_weight\.shape"):
        QuantumClassifier(**QUICK).partial_fit(X, y, sample_weight=weigh[:5])


OF_THE_TRAINING = ~_held_out(np.arange(40) % 2, 0.2, 0)


@pytest.mark.parametrize(
    ("weights", "class_weight", "message"),
    [
        (np.full(40, 1e39), None, r"weighs 1e\+39: a weight from 1e-18 to 1e\+18 was expected"),
        (np.where(OF_THE_TRAINING, 1.0, 1e39), None, r"weighs 1e\+39"),  # whichever rows are held out
        (np.full(40, 1e300), {1: 1e300}, "weighs inf"),
        (np.full(40, 1e10), {1: 1e10}, r"sample_weight times class_weight, weighs 1e\+20"),
        (None, {0: 1e39}, r"weighs 1e\+39"),
        (np.full(40, 1e-40), None, "weighs 1e-40"),
        (np.where(OF_THE_TRAINING, 0.0, 1.0), None, "weighs 0: "),
        (-np.ones(40), None, "Negative values in data passed to `sample_weight`"),
        (np.where(np.arange(40) == 7, -1.0, 1.0), None, "Negative values"),
        (np.full(40, np.inf), None, "sample_weight contains infinity"),
    ],
)
def test_weights_that_are_refused(weights, class_weight, message):
    X, _ = make_blobs(40, centers=2, random_state=0)
    model = QuantumClassifier(**QUICK, class_weight=class_weight)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, np.arange(40) % 2, sample_weight=weights)


@pytest.mark.parametrize("weights", [np.full(40, 1e18), np.full(40, 1e-18), np.where(np.arange(40) < 9, 1e-300, 1.0)])
def test_weights_that_are_taken(weights):
    X, _ = make_blobs(40, centers=2, random_state=0)
    model = QuantumClassifier(**QUICK).partial_fit(X, np.arange(40) % 2, sample_weight=weights)
    assert np.isfinite(model.history_.select_dtypes("number")).all(axis=None)


def test_a_callback_sees_every_epoch():
    X, y = half_spaces(100, 2, 0)
    seen = []
    model = clone(QuantumClassifier(**QUICK, callback=lambda row: seen.append((row["epoch"], row["train_loss"]))))
    model.fit(X, y)
    assert seen == list(model.history_[["epoch", "train_loss"]].itertuples(index=False, name=None))
    assert len(seen) == 4 and callable(model.get_params()["callback"])


def test_more_than_two_classes_by_one_against_the_rest():
    X, y = make_blobs(150, centers=3, random_state=0)
    model = OneVsRestClassifier(QuantumClassifier(engine="exact", layers=1, epochs=100)).fit(X, y)
    assert model.score(X, y) > 0.9 and model.predict_proba(X).shape == (150, 3)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["exact", "catalyst"])
def test_a_grid_search_in_processes(engine):
    X, y = half_spaces(100, 2, 0)
    model = QuantumClassifier(engine=engine, layers=1, epochs=20)
    grid = {"lr": [0.001, 0.2]}
    searches = [GridSearchCV(model, grid, cv=2, error_score="raise", n_jobs=n).fit(X, y) for n in (1, 2)]
    np.testing.assert_array_equal(*(s.cv_results_["mean_test_score"] for s in searches))
    assert searches[1].best_params_ == {"lr": 0.2}
