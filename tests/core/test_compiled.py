import contextlib
import itertools

import numpy as np
import pytest
from jax.experimental import disable_x64, enable_x64
from reference import loss_and_grad, random_params, score_function

from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec
from qnb.core.engine import EngineError, make_engine
from qnb.core.objective import Objective
from qnb.errors import ParameterError

ENCODINGS = [
    {"encoder": "angle_y"},
    {"encoder": "angle_y", "reupload": True},
    {"encoder": "angle_y", "hadamard": True},
    {"encoder": "angle_y", "hadamard": True, "reupload": True},
    {"encoder": "angle_xy"},
    {"encoder": "angle_xy", "reupload": True},
]
SCALED = [
    ({"encoder": "angle_y", "scaling": True}, "ring", "z_vec"),
    ({"encoder": "angle_xy", "reupload": True, "scaling": True}, "strongly_entangling", "mean_z_readout"),
]
BCE = Objective()
CHUNK = 256  # of rows in one compiled forward call: `qnb.core.catalyst.CHUNK`, which only the child may import


def batch(spec, rng, rows=5):
    X = rng.uniform(-np.pi, np.pi, (rows, spec.features))
    y = np.arange(rows) % 3 % 2
    return X, y.astype(float), rng.uniform(0.3, 3, rows)


@pytest.mark.parametrize(("encoding", "ansatz", "measurement"), [*itertools.product(ENCODINGS, ANSATZE, MEASUREMENTS), *SCALED])
def test_gradients_of_every_trainable_combination(encoding, ansatz, measurement, rng):
    spec = CircuitSpec(3, 2, ansatz=ansatz, measurement=measurement, **encoding)
    objective = Objective(focal_gamma=1.5) if encoding.get("reupload") else BCE
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    engine = make_engine("catalyst", spec, objective)
    loss, grads = engine.loss_and_grad(params, X, y, w)
    expected_loss, expected = loss_and_grad(spec, objective, params, X, y, w)
    assert loss == pytest.approx(expected_loss, abs=1e-10)
    assert {k: v.shape for k, v in grads.items()} == spec.shapes
    for group in expected:
        np.testing.assert_allclose(grads[group], expected[group], atol=1e-8, err_msg=group)
    trained = set(expected) if spec.has_readout else set(expected) - {"readout"}
    assert all(np.abs(expected[group]).max() > 1e-4 for group in trained)  # there was something to compare


@pytest.mark.parametrize("alpha_mode", ["softplus", "direct"])
@pytest.mark.parametrize(("wires", "rows"), [(1, 5), (2, 1), (4, 7)])
def test_odd_shapes_and_both_alpha_modes(alpha_mode, wires, rows, rng):
    spec, objective = CircuitSpec(wires, 1), Objective(2.0, alpha_mode)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng, rows)
    loss, grads = make_engine("catalyst", spec, objective).loss_and_grad(params, X, y, w)
    expected_loss, expected = loss_and_grad(spec, objective, params, X, y, w)
    assert loss == pytest.approx(expected_loss, abs=1e-10)
    for group in expected:
        np.testing.assert_allclose(grads[group], expected[group], atol=1e-8, err_msg=group)


@pytest.mark.parametrize("encoder", ["angle_y", "amplitude"])
@pytest.mark.parametrize("rows", [1, CHUNK, CHUNK + 1])
def test_scores_with_the_tail_padded(encoder, rows, rng):
    spec = CircuitSpec(2, 2, encoder=encoder)
    params, X = random_params(spec, rng), rng.uniform(0.1, 3, (rows, spec.features))
    scores = make_engine("catalyst", spec, BCE).scores(params, X)
    assert scores.shape == (rows,)
    score = score_function(spec)
    for k in {0, rows // 2, rows - 1}:
        assert scores[k] == pytest.approx(float(score(params["weights"], params["readout"], X[k])), abs=1e-12)


def test_arrays_in_any_memory_order_give_the_same_numbers(rng):
    """Catalyst ignores strides and reads a Fortran-ordered array in the wrong order; pandas hands out such arrays."""
    spec = CircuitSpec(3, 1)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng, 6)
    engine = make_engine("catalyst", spec, BCE)
    expected = engine.loss_and_grad(params, X, y, w)
    twisted = params | {"weights": np.asfortranarray(params["weights"]), "readout": np.repeat(params["readout"], 2)[::2]}
    found = engine.loss_and_grad(twisted, np.asfortranarray(X), np.repeat(y, 2)[::2], w)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1]["weights"], expected[1]["weights"])
    np.testing.assert_array_equal(engine.scores(twisted, np.asfortranarray(X)), engine.scores(params, X))


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 600])
def test_scores_of_any_number_of_rows(rows, rng):
    """Those that fill no chunk are not computed along with rows that nobody asked for, and do not change."""
    spec = CircuitSpec(2, 1)
    params, X = random_params(spec, rng), rng.uniform(0, 3, (rows, 2))
    score = score_function(spec)
    engine = make_engine("catalyst", spec, BCE)
    ends = [0, rows // 2, rows - 1]
    expected = [float(score(params["weights"], params["readout"], X[k])) for k in ends]
    np.testing.assert_allclose(engine.scores(params, X)[ends], expected, atol=1e-12)
    assert engine.scores(params, X).shape == (rows,)


def test_amplitude_scores_but_does_not_train(rng):
    spec = CircuitSpec(2, 1, encoder="amplitude")
    engine = make_engine("catalyst", spec, BCE)
    with pytest.raises(EngineError, match=r"cannot train encoder='amplitude'.*use encoder='angle_y'"):
        engine.loss_and_grad(spec.init(0), np.ones((3, 4)), np.ones(3), np.ones(3))
    with pytest.raises(ParameterError, match="all zeros"):
        engine.scores(spec.init(0), np.zeros((1, 4)))


def test_a_second_call_compiles_nothing(rng):
    spec = CircuitSpec(2, 1)
    engine = make_engine("catalyst", spec, BCE)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    engine.loss_and_grad(params, X, y, w)
    engine.scores(params, X)
    before = engine.programs.call("compiled")
    engine.loss_and_grad(random_params(spec, rng), X + 1, 1 - y, w)
    engine.scores(params, X[:2])
    assert engine.programs.call("compiled") == before
    engine.loss_and_grad(params, X[:4], y[:4], w[:4])  # another batch size is another program
    assert len(engine.programs.call("compiled")) == len(before) + 1


def test_cache_is_keyed_on_all_that_shapes_the_program():
    spec = CircuitSpec(2, 1)
    engine = make_engine("catalyst", spec, BCE)
    assert engine is make_engine("catalyst", CircuitSpec(2, 1), Objective())
    assert engine is not make_engine("catalyst", spec, Objective(focal_gamma=1.0))
    assert engine is not make_engine("catalyst", spec, Objective(alpha_mode="direct"))
    assert engine is not make_engine("catalyst", CircuitSpec(2, 2), BCE)


def test_threads_take_turns(rng):
    from concurrent.futures import ThreadPoolExecutor

    spec = CircuitSpec(2, 1)
    engine, params, X = make_engine("catalyst", spec, BCE), spec.init(0), rng.uniform(0, 3, (40, 2))
    expected = engine.scores(params, X)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: engine.scores(params, X), range(12)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((3, 5)), r"X has shape \(3, 5\); \(rows, 2\) was expected"),
        (np.ones(2), r"X has shape \(2,\)"),
        (np.ones((0, 2)), r"X has shape \(0, 2\)"),
        (np.array([[1, np.nan], [1, 1], [np.inf, 0]]), "NaN or inf in 2 of 3 rows"),
    ],
)
def test_bad_batches_are_refused(X, message):
    spec = CircuitSpec(2, 1)
    with pytest.raises(ParameterError, match=message):
        make_engine("catalyst", spec, BCE).scores(spec.init(0), X)


def test_wrong_parameter_and_label_shapes_are_refused():
    spec = CircuitSpec(2, 1)
    engine = make_engine("catalyst", spec, BCE)
    with pytest.raises(ParameterError, match=r"weights has shape \(1, 3, 3\); \(1, 2, 3\) was expected"):
        engine.scores(CircuitSpec(3, 1).init(0), np.ones((1, 2)))
    with pytest.raises(ParameterError, match=r"shape \(3,\) like X's rows; \(2,\) was given"):
        engine.loss_and_grad(spec.init(0), np.ones((3, 2)), np.ones(2), np.ones(3))


def test_unknown_engine_and_device():
    with pytest.raises(ParameterError, match="Did you mean 'catalyst'"):
        make_engine("catalist", CircuitSpec(2, 1), BCE)
    with pytest.raises(ParameterError, match=r"device = 'lightning.gpux' is not installed .*Did you mean 'lightning.qubit'"):
        make_engine("catalyst", CircuitSpec(2, 1), BCE, device="lightning.gpux")


def test_a_compile_error_names_circuit_and_stack():
    engine = make_engine("catalyst", CircuitSpec(2, 1), BCE, device="default.qubit")  # a device Catalyst cannot compile for
    with pytest.raises(EngineError, match=r"(?s)could not compile the scores of CircuitSpec.*Stack: pennylane .*Last lines"):
        engine.scores(CircuitSpec(2, 1).init(0), np.ones((1, 2)))


@pytest.mark.parametrize("wires", [34, 40, 64, 2000])
def test_a_state_that_does_not_fit_is_refused_in_words(wires):
    with pytest.raises(EngineError, match=rf"needs .* GB for the state vectors of {wires} wires; .* GB is what it may"):
        make_engine("catalyst", CircuitSpec(wires, 1), BCE)


@pytest.mark.parametrize("device", ["null.qubit", "reference.qubit", "default.qubit"])
def test_a_device_that_catalyst_cannot_use_is_refused_in_words(device):
    spec = CircuitSpec(2, 1)
    with pytest.raises(
        EngineError, match=rf"Catalyst could not compile .* device='{device}'. Its own device is 'lightning.qubit'"
    ):
        make_engine("catalyst", spec, BCE, device).loss_and_grad(spec.init(0), np.ones((3, 2)), np.ones(3), np.ones(3))


@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_results_do_not_depend_on_the_users_x64(engine, rng):
    spec = CircuitSpec(3, 2)
    params, (X, y, w) = random_params(spec, rng), batch(spec, rng)
    options = {"precision": "float64"} if engine == "exact" else {}
    made = make_engine(engine, spec, BCE, **options)
    results = []
    for context in (contextlib.nullcontext, disable_x64, enable_x64):
        with context():
            results.append((made.scores(params, X), *made.loss_and_grad(params, X, y, w)))
    for scores, loss, grads in results[1:]:
        np.testing.assert_array_equal(scores, results[0][0])
        assert loss == results[0][1]
        for group in grads:
            np.testing.assert_array_equal(grads[group], results[0][2][group])
    score = score_function(spec)
    expected = [float(score(params["weights"], params["readout"], x)) for x in X]
    np.testing.assert_allclose(results[0][0], expected, atol=1e-12)
