import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pennylane as qml
import pytest
from jax.experimental import disable_x64, enable_x64
from reference import loss_and_grad, random_params
from tqdm import tqdm

from qnb.config import TrainConfig
from qnb.core.circuit import MEASUREMENTS, CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError, check_gradient, check_gradient_of
from qnb.core.objective import Objective
from qnb.errors import ParameterError

BCE = Objective()


def batch(spec, rng, rows=6):
    return rng.uniform(0, np.pi, (rows, spec.features)), (np.arange(rows) % 2).astype(float), np.ones(rows)


class Bent:
    """An engine whose answer is bent on its way out."""

    name, dtype = "bent", np.dtype(np.float64)

    def __init__(self, engine, bend):
        self.engine, self.bend, self.spec, self.objective = engine, bend, engine.spec, engine.objective

    def scores(self, params, X):
        return self.engine.scores(params, X)

    def loss_and_grad(self, params, X, y, w):
        loss, grads = self.engine.loss_and_grad(params, X, y, w)
        return self.bend(loss, dict(grads))


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_right_engine_passes(measurement, rng):
    spec = CircuitSpec(3, 2, measurement=measurement)
    report = check_gradient(make_engine("catalyst", spec, BCE), spec.init(0), *batch(spec, rng))
    assert report.verdict == "pass" and report.rows == 6 and report.dtype == "float64"
    for group, check in report.groups.items():
        if group == "readout" and not spec.has_readout:
            assert check.status == "untested" and check.where == "random point"  # never `pass` without a measurement
        else:
            assert check.status == "pass" and check.relative_error < 1e-5
            assert check.found == pytest.approx(check.expected, rel=1e-4)


@pytest.mark.parametrize("reupload", [False, True])
@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_a_trained_scaling_is_a_group_of_its_own(engine, reupload, rng):
    spec = CircuitSpec(3, 2, reupload=reupload, scaling=True)
    right = make_engine(engine, spec, BCE)
    assert check_gradient(right, spec.init(0), *batch(spec, rng)).groups["scaling"].status == "pass"
    bent = Bent(right, lambda loss, grads: (loss, grads | {"scaling": 1.05 * np.asarray(grads["scaling"])}))
    bent.dtype = right.dtype
    with pytest.raises(WrongGradientError, match="wrong in group 'scaling'"):
        check_gradient(bent, spec.init(0), *batch(spec, rng))


@pytest.mark.parametrize("far", [0.01, 30.0])
def test_a_right_scaling_passes_whatever_the_size_of_x(far, rng):
    spec = CircuitSpec(3, 2, reupload=True, scaling=True)
    X, y, w = batch(spec, rng)
    for trial in range(5):
        params = random_params(spec, rng)
        report = check_gradient(make_engine("exact", spec, BCE), params, far * X, y, w, seed=trial)
        assert report.groups["scaling"].status in ("pass", "untested")


@pytest.mark.parametrize("scaling", [False, True])
def test_one_sample_gradient_is_caught(scaling, rng):
    spec = CircuitSpec(3, 2, scaling=scaling)
    engine = make_engine("one_sample_demo", spec, BCE)
    with pytest.raises(WrongGradientError, match=r"wrong in group 'weights'.*Stack: pennylane \d") as caught:
        check_gradient(engine, spec.init(0), *batch(spec, rng))
    assert caught.value.group == "weights"
    assert abs(caught.value.found - caught.value.expected) > 1e-4 * abs(caught.value.expected)


def test_one_sample_demo_follows_the_law(rng):
    """dL/dtheta = (sum_b dL/ds_b) ds_last/dtheta, against derivatives from default.qubit; the rest of its answer is right."""
    spec = CircuitSpec(3, 2)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    w = rng.uniform(0.5, 2, len(w))
    loss, found = make_engine("one_sample_demo", spec, BCE).loss_and_grad(params, X, y, w)
    right_loss, right = loss_and_grad(spec, BCE, params, X, y, w)
    assert loss == pytest.approx(right_loss)
    for group in ("bias", "alpha"):
        np.testing.assert_allclose(found[group], right[group], atol=1e-9)
    per_row = [loss_and_grad(spec, BCE, params, X[k : k + 1], y[k : k + 1], w[k : k + 1])[1] for k in range(len(X))]
    d_scores = np.array([float(g["bias"]) for g in per_row])  # dl/db = dl/ds for s + b
    for group in ("weights", "readout"):
        law = d_scores.mean() / d_scores[-1] * per_row[-1][group]
        np.testing.assert_allclose(found[group], law, atol=1e-9)
        assert np.linalg.norm(found[group] - right[group]) > 0.1 * np.linalg.norm(right[group])


@pytest.mark.parametrize("group", ["weights", "readout", "bias", "alpha"])
@pytest.mark.parametrize(
    "spoil",
    [lambda g: 1.001 * g, lambda g: np.zeros_like(g), lambda g: g + 0.01 * np.arange(1, g.size + 1).reshape(g.shape)],
    ids=["0.1 % too long", "zero", "shifted"],
)
def test_any_wrong_group_is_caught(group, spoil, rng):
    spec = CircuitSpec(3, 2)
    engine = Bent(make_engine("catalyst", spec, BCE), lambda loss, g: (loss, g | {group: spoil(g[group])}))
    with pytest.raises(WrongGradientError) as caught:
        check_gradient(engine, random_params(spec, rng), *batch(spec, rng))
    assert caught.value.group == group


def test_wrong_loss_nan_and_wrong_shape_are_caught(rng):
    spec = CircuitSpec(3, 1)
    right = make_engine("catalyst", spec, BCE)
    for bend, group in (
        (lambda loss, g: (1.01 * loss, g), "loss"),
        (lambda loss, g: (loss, g | {"readout": np.full(9, np.nan)}), "readout"),
        (lambda loss, g: (loss, g | {"weights": g["weights"][0]}), "weights"),
    ):
        with pytest.raises(WrongGradientError) as caught:
            check_gradient(Bent(right, bend), random_params(spec, rng), *batch(spec, rng))
        assert caught.value.group == group


def test_repeated_rows_and_equal_weights_do_not_hide_a_wrong_gradient(rng):
    spec = CircuitSpec(3, 2)
    x = rng.uniform(0, np.pi, (1, 3))
    with pytest.raises(WrongGradientError):
        check_gradient(
            make_engine("one_sample_demo", spec, BCE), random_params(spec, rng), np.tile(x, (5, 1)), np.ones(5), np.ones(5)
        )


def test_a_group_flat_at_the_start_is_measured_elsewhere():
    def loss(p, x):
        return float(np.sum((p["a"] * x) ** 2) + np.sum(p["b"] * x))

    def grad(p, x):
        return {"a": 2 * p["a"] * x**2, "b": x}

    def wrong(p, x):
        return {"a": 3 * p["a"] * x**2, "b": x}

    p, x = {"a": np.zeros(3), "b": np.zeros(3)}, np.array([1.0, 2.0, 3.0])
    report = check_gradient_of(loss, grad, p, x)
    assert report.groups["a"].status == "pass" and report.groups["a"].where == "random point"
    assert report.groups["b"].where == "start"
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, wrong, p, x)


def test_a_loss_that_ignores_its_parameters_is_untested():
    report = check_gradient_of(lambda p: 1.5, lambda p: np.zeros(4), np.ones(4))
    assert report.verdict == "untested" and report.groups["params"].status == "untested"


def test_any_function_of_a_users_own():
    def loss(p, x):
        return jnp.mean(jnp.sin(x @ p[0]) * p[1]) ** 2

    p, x = (np.array([0.3, -0.2]), np.array(1.7)), np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 2.0]])
    report = check_gradient_of(loss, jax.grad(loss), p, x)
    assert report.verdict == "pass" and set(report.groups) == {"0", "1"}
    with pytest.raises(WrongGradientError, match="wrong in group '0'"):
        check_gradient_of(loss, lambda p, x: (jax.grad(loss)(p, x)[0] + 0.1, jax.grad(loss)(p, x)[1]), p, x)


def test_float32_tolerance_follows_the_dtype():
    p = np.array([0.3, -0.2, 1.1])

    def loss(p):
        return float(np.sum(np.sin(np.float32(p)) ** 2, dtype=np.float32))

    assert check_gradient_of(loss, lambda p: np.sin(2 * p), p, dtype=np.float32).verdict == "pass"
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, lambda p: 1.1 * np.sin(2 * p), p, dtype=np.float32)


def test_report_is_plain_data(rng):
    import json

    spec = CircuitSpec(2, 1)
    report = check_gradient(make_engine("catalyst", spec, BCE), spec.init(0), *batch(spec, rng))
    again = json.loads(json.dumps(report.to_dict()))
    assert again["verdict"] == "pass" and again["groups"]["weights"]["status"] == "pass"


def trained(spec, seed, alpha, engine):
    """Near a minimum in the bias, with a tenth of the labels on the wrong side: what training leads to."""
    rng = np.random.default_rng(seed)
    params, X = random_params(spec, rng), rng.uniform(0, np.pi, (32, spec.features))
    scores = engine.scores(params, X)
    params |= {"alpha": np.log(np.expm1(alpha)), "bias": -np.median(scores)}
    y = ((scores + params["bias"] > 0) ^ (rng.random(32) < 0.1)).astype(float)
    return params, X, y, np.ones(32)


@pytest.mark.parametrize(("seed", "alpha"), [(11, 48), (14, 48), (47, 48), (53, 48), (55, 24)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_large_alpha_is_no_wrong_gradient(seed, alpha, precision):
    """The bias moves the logit alpha times as far: a step of 1e-2 is then half a logit."""
    spec = CircuitSpec(3, 2)
    engine = make_engine("exact", spec, BCE, precision=precision)
    report = check_gradient(engine, *trained(spec, seed, alpha, engine))
    assert {name: check.status for name, check in report.groups.items()} == dict.fromkeys(spec.shapes, "pass")
    assert report.groups["bias"].step < 1e-4 < report.groups["weights"].step or precision == "float64"


@pytest.mark.parametrize("alpha", [1, 10, 48])
@pytest.mark.parametrize("group", ["weights", "readout", "bias", "alpha"])
def test_a_float32_gradient_off_by_more_than_the_tolerance_never_passes(group, alpha):
    spec = CircuitSpec(3, 2)
    engine = make_engine("exact", spec, BCE)
    for seed in range(5):
        bent = Bent(engine, lambda loss, g: (loss, g | {group: 1.03 * g[group]}))
        bent.dtype = engine.dtype
        with pytest.raises(WrongGradientError) as caught:
            check_gradient(bent, *trained(spec, seed, alpha, engine), seed=seed)
        assert caught.value.group == group


def test_a_group_that_cannot_be_measured_leaves_the_verdict_open():
    """A leaf of the loss that moves it, but by less than can be seen, is not passed over."""

    def loss(p):
        return float(np.sum(np.sin(p["a"])) + 1e-9 * np.sum(np.sin(p["b"])) + 1e3)

    def grad(p):
        return {"a": np.cos(p["a"]), "b": 1e-9 * np.cos(p["b"])}

    report = check_gradient_of(loss, grad, {"a": np.ones(3), "b": np.ones(3)})
    assert report.groups["a"].status == "pass" and report.groups["b"].status == "untested"
    assert report.verdict == "untested"


def test_lists_and_frames_are_taken_as_an_engine_takes_them(rng):
    spec = CircuitSpec(2, 1)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    engine = make_engine("exact", spec, BCE)
    expected = check_gradient(engine, params, X, y, w).groups
    lists = {name: value.tolist() for name, value in params.items()}
    for other in ((X.tolist(), y.tolist(), w.tolist()), (pd.DataFrame(X), pd.Series(y), pd.Series(w))):
        assert check_gradient(engine, lists, *other).groups == expected


def test_labels_that_no_loss_is_defined_for_are_refused(rng):
    spec = CircuitSpec(2, 1)
    X, y, w = batch(spec, rng)
    with pytest.raises(ParameterError, match=r"Labels y need to be 0 or 1"):
        check_gradient(make_engine("exact", spec, BCE), spec.init(0), X, 2 * y - 1, w)


def logistic(p, x):
    return jnp.mean(jnp.logaddexp(0.0, -(x @ p["w"] + p["b"])) * jnp.arange(1, len(x) + 1))


def test_the_precision_is_that_of_the_loss(rng):
    """A right float32 gradient of JAX passes, without being told so."""
    x = rng.normal(size=(20, 5))
    for context, dtype in ((disable_x64, "float32"), (enable_x64, "float64")):
        with context():
            for seed in range(10):
                p = {"w": np.random.default_rng(seed).normal(size=5), "b": np.zeros(())}
                report = check_gradient_of(logistic, jax.grad(logistic), p, x, seed=seed)
                assert (report.verdict, report.dtype) == ("pass", dtype)
                with pytest.raises(WrongGradientError):
                    check_gradient_of(logistic, lambda p, x: jax.tree.map(lambda g: 1.05 * g, jax.grad(logistic)(p, x)), p, x)


def test_leaves_keep_their_type():
    """`qml.grad` differentiates what requires a gradient: tensors of PennyLane, as they were given."""
    node = qml.QNode(lambda w, x: _one_wire(w, x), qml.device("default.qubit", wires=1), interface="autograd")
    x = np.array([0.3, 1.1, -0.7])

    def loss(w, x):
        return sum((k + 1) * node(w, v) for k, v in enumerate(x)) / len(x)

    w = qml.numpy.array([0.4, -0.9, 0.2], requires_grad=True)
    assert check_gradient_of(loss, qml.grad(loss), w, x).verdict == "pass"
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, lambda w, x: 1.01 * qml.grad(loss)(w, x), w, x)


def _one_wire(w, x):
    qml.RY(x, wires=0)
    qml.Rot(*w, wires=0)
    return qml.expval(qml.PauliZ(0))


@pytest.mark.parametrize("start", [jnp.array([1, 2]), np.array([1, 2]), [1, 2]], ids=["jax", "numpy", "python"])
def test_integers_are_moved_as_the_real_numbers_that_they_are(start):
    def loss(p):
        return float(sum(np.sin(np.asarray(v, dtype=np.float64)).sum() for v in p["w"]))

    def grad(p, factor=1.0):
        return jax.tree.map(lambda v: factor * np.cos(np.asarray(v, dtype=np.float64)), p)

    report = check_gradient_of(loss, grad, {"w": start}, dtype=np.float32)
    assert report.verdict == "pass" and {group.status for group in report.groups.values()} == {"pass"}
    with pytest.raises(WrongGradientError):
        check_gradient_of(loss, lambda p: grad(p, 1.1), {"w": start}, dtype=np.float32)


def test_both_functions_get_what_was_given():
    given = {
        "numpy": np.float32([0.3, 0.1]),
        "jax": jnp.array([0.2, 0.7], dtype=jnp.float32),
        "tensor": qml.numpy.array([0.5], requires_grad=False),
        "number": 0.25,
        "single": np.float32(0.5),
        "empty": np.zeros((0, 3)),
    }
    seen = []

    def loss(p):
        seen.append({name: (type(v), getattr(v, "dtype", None), getattr(v, "requires_grad", None)) for name, v in p.items()})
        return sum(float(np.sum(np.sin(np.asarray(v, dtype=np.float64)))) for v in p.values())

    def grad(p):
        return {name: np.cos(np.asarray(v, dtype=np.float64)) for name, v in p.items()}

    report = check_gradient_of(loss, grad, given, dtype=np.float32)
    assert report.verdict == "pass" and set(report.groups) == set(given) - {"empty"}
    assert all(kinds == seen[0] for kinds in seen) and seen[0]["tensor"][2] is False
    assert issubclass(seen[0]["jax"][0], jax.Array)


def test_names_of_nested_leaves():
    p = {"layer": [np.array([0.3]), {"w": np.array([0.4, 0.1])}], "b": 0.2}
    report = check_gradient_of(
        lambda p: sum(float(np.sum(np.sin(v))) for v in jax.tree.leaves(p)), lambda p: jax.tree.map(np.cos, p), p
    )
    assert set(report.groups) == {"layer/0", "layer/1/w", "b"} and report.verdict == "pass"


@pytest.mark.parametrize(
    ("loss", "grad", "params", "message"),
    [
        (np.sum, lambda p: p, np.array([1j, 2.0]), "Group 'params' of the parameters is complex"),
        (lambda p: 1j * np.sum(p), lambda p: p, np.ones(2), "The loss is complex"),
        (np.sum, lambda p: p + 0j, np.ones(2), "Group 'params' of the gradient is complex"),
        (np.sum, lambda p: (p, p), np.ones(2), r"has 2 arrays, the parameters have 1 \(params\)"),
        (lambda p: np.float16(np.sum(p)), lambda p: p, np.ones(2), "is float16, in which differences show nothing"),
        (lambda p: np.nan, lambda p: p, np.ones(2), "The loss of .* is nan"),
        (np.sum, lambda p: p, np.zeros(0), "every leaf is empty"),
        (np.sum, lambda p: p, {"a": "text"}, "Group 'a' of the parameters needs to be an array of real numbers"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_words(loss, grad, params, message):
    with pytest.raises(ParameterError, match=message):
        check_gradient_of(loss, grad, params)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ParameterError, match="dtype = 'float16' is not known"):
        check_gradient_of(np.sum, np.ones_like, np.ones(2), dtype=np.float16)


@pytest.mark.slow
def test_300_gates_without_a_false_alarm_and_300_wrong_gradients_without_a_pass(monkeypatch):
    """A part of the benchmark, on the small circuits: points of trainings and random ones, all engines."""
    from benchmarks import gate

    monkeypatch.setattr(gate, "LONGER_SHARE", 0.0)
    trainings = [TrainConfig(engine="exact", **changes | {"epochs": 10}) for changes in gate.TRAININGS]
    points = [point for config in trainings for point in gate.trained_points("trained", config)]
    right, wrong = gate.chunk(points, 1000, 300, tqdm(disable=True))
    assert right.total() == wrong.total() == 300
    assert {status for *_, status in right} <= {"pass", "untested"}
    assert {status for *_, status in wrong} <= {"wrong", "untested"}
    assert sum(n for (*_, status), n in (right + wrong).items() if status == "untested") < 30
