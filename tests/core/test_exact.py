"""The exact engine against PennyLane's default.qubit through JAX, and against the catalyst engine."""

import itertools
import os
import random
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from reference import turned

from qnb.core import exact
from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec
from qnb.core.engine import EngineError, make_engine
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective
from qnb.errors import ParameterError

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
PLAIN = Objective()

# every encoder, ansatz, measurement and option; one wire, two, odd and even; 1 to 4 layers; halves apart (4 wires) or not
SPECS = [
    CircuitSpec(1, 2, measurement="z0"),
    CircuitSpec(1, 2, encoder="angle_xy", reupload=True),
    CircuitSpec(2, 1, encoder="amplitude", measurement="z_vec"),
    CircuitSpec(2, 3, ansatz="ring", measurement="mean_z", hadamard=True),
    CircuitSpec(3, 1, encoder="angle_xy", measurement="mean_z_readout"),
    CircuitSpec(3, 2, measurement="mean_z_readout", reupload=True, hadamard=True),
    CircuitSpec(3, 2, encoder="amplitude", measurement="mean_z_readout"),
    CircuitSpec(4, 4, measurement="z_vec"),
    CircuitSpec(4, 3, encoder="angle_xy", measurement="mean_z_readout"),
    CircuitSpec(4, 2, ansatz="ring", measurement="z0", reupload=True),
    CircuitSpec(5, 2, measurement="mean_z_readout"),
]
SCALED = [
    CircuitSpec(1, 2, measurement="z0", scaling=True),
    CircuitSpec(3, 2, "angle_y", "ring", "z_vec", hadamard=True, scaling=True),
    CircuitSpec(4, 3, "angle_xy", scaling=True),
    CircuitSpec(3, 3, "angle_y", reupload=True, hadamard=True, scaling=True),
    CircuitSpec(2, 2, "angle_xy", measurement="mean_z", reupload=True, scaling=True),
]


def named(spec):
    options = "".join(f"-{name}" for name in ("reupload", "hadamard", "scaling") if getattr(spec, name))
    return f"{spec.wires}x{spec.layers}-{spec.encoder}-{spec.ansatz}-{spec.measurement}{options}"


def batch(spec, rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-np.pi, np.pi, (rows, spec.features)), rng.integers(0, 2, rows).astype(float), rng.uniform(0.5, 1.5, rows)


def parameters(spec, objective=PLAIN, seed=1):
    rng = np.random.default_rng(seed)
    return {k: v + 0.5 * rng.normal(size=v.shape) for k, v in spec.init(0, objective.alpha_mode).items()}


def reference(spec, objective, params, X, y, w):
    """scores, loss and gradient in float64: the circuit by default.qubit and autograd (nothing to compile), the head by JAX."""
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=spec.wires), diff_method="backprop", interface="autograd")
    groups = [k for k in ("weights", "readout", "scaling") if k in params]
    circuit = [qml.numpy.array(params[k], requires_grad=True) for k in groups]
    arguments = [(*circuit[:2], qml.numpy.array(x, requires_grad=False), *circuit[2:]) for x in X]
    s = np.array([float(node(*a)) for a in arguments])
    slopes = [qml.grad(node, argnums=[0, 1, 3][: len(groups)])(*a) for a in arguments]

    def loss(s, head):
        return objective.batch_loss(head, s, y, w)

    with jax.experimental.enable_x64():
        head = {k: jnp.asarray(params[k]) for k in ("bias", "alpha")}
        value, (d_s, grads) = jax.value_and_grad(loss, argnums=(0, 1))(jnp.asarray(s), head)
    grads |= {name: np.einsum("b,b...->...", d_s, np.stack([g[k] for g in slopes])) for k, name in enumerate(groups)}
    return s, float(value), {k: np.asarray(g) for k, g in grads.items()}


def assert_same(found, expected, tolerance):
    """Loss and every gradient group, relative to the larger of the group's norm and 1 % of the whole gradient's."""
    (loss, grads), (expected_loss, expected_grads) = found, expected
    assert abs(loss - expected_loss) <= tolerance * abs(expected_loss)
    whole = np.sqrt(sum(np.sum(np.square(g)) for g in expected_grads.values()))
    for name, g in expected_grads.items():
        assert grads[name].shape == g.shape
        scale = max(np.linalg.norm(g), 0.01 * whole)
        assert np.linalg.norm(grads[name] - g) <= tolerance * scale, name


def check(spec, objective, rows, precision="float64"):
    params, (X, y, w) = parameters(spec, objective), batch(spec, rows)
    scores, loss, grads = reference(spec, objective, params, X, y, w)
    engine = make_engine("exact", spec, objective, precision=precision)
    assert_same(engine.loss_and_grad(params, X, y, w), (loss, grads), TOLERANCE[precision])
    np.testing.assert_allclose(engine.scores(params, X), scores, rtol=0, atol=TOLERANCE[precision])


@pytest.mark.parametrize("spec", SPECS + SCALED, ids=named)
def test_equals_default_qubit(spec):
    check(spec, PLAIN, 5)


@pytest.mark.parametrize("spec", [SPECS[3], SPECS[5], SPECS[6], SCALED[2], SCALED[3]], ids=named)
def test_equals_default_qubit_in_float32(spec):
    check(spec, PLAIN, 5, "float32")


def test_equals_default_qubit_with_the_focal_loss():
    check(SPECS[4], Objective(focal_gamma=1.5, alpha_mode="direct"), 5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("wires", range(1, 6))
def test_equals_default_qubit_on_a_sample_of_all_circuits(wires, precision):
    encoders = [("angle_y", False, False), ("angle_y", True, False), ("angle_y", False, True), ("angle_y", True, True)]
    encoders += [("angle_xy", False, False), ("angle_xy", False, True), ("amplitude", False, False)]
    circuits = list(itertools.product(range(1, 5), encoders, ANSATZE, MEASUREMENTS))
    for layers, (encoder, hadamard, reupload), ansatz, measurement in random.Random(wires).sample(circuits, 10):
        check(CircuitSpec(wires, layers, encoder, ansatz, measurement, reupload, hadamard), PLAIN, 3, precision)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("rows", [1, 256, 257])
def test_equals_the_catalyst_engine(rows, precision):
    spec = CircuitSpec(4, 3)
    params, data = parameters(spec), batch(spec, rows)
    catalyst, batched = make_engine("catalyst", spec, PLAIN), make_engine("exact", spec, PLAIN, precision=precision)
    assert_same(batched.loss_and_grad(params, *data), catalyst.loss_and_grad(params, *data), TOLERANCE[precision])
    np.testing.assert_allclose(
        batched.scores(params, data[0]), catalyst.scores(params, data[0]), rtol=0, atol=TOLERANCE[precision]
    )


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_passes_the_gradient_gate(measurement, precision):
    spec = CircuitSpec(3, 1, measurement=measurement)
    engine = make_engine("exact", spec, PLAIN, precision=precision)
    report = check_gradient(engine, parameters(spec), *batch(spec, 32))
    assert report.verdict == "pass" and report.dtype == precision
    tested = {name for name, group in report.groups.items() if group.status == "pass"}
    assert tested == {"weights", "bias", "alpha"} | ({"readout"} if spec.has_readout else set())


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("magnitude", [1e2, 1e4, 1e6, 1e9, 1e16])
@pytest.mark.parametrize("spec", [SPECS[4], SPECS[5]], ids=named)
def test_angles_of_any_magnitude(spec, magnitude, precision, rng):
    """Scores and gradients are those of the same angles within a turn, found in rational arithmetic."""
    params, (X, y, w) = parameters(spec), batch(spec, 5)
    large = params | {k: params[k] + magnitude * rng.uniform(-1, 1, params[k].shape) for k in ("weights", "readout")}
    X = X + magnitude * rng.uniform(-1, 1, X.shape)
    small = large | {k: np.vectorize(turned)(large[k]) for k in ("weights", "readout")}
    scores, loss, grads = reference(spec, PLAIN, small, np.vectorize(turned)(X), y, w)
    engine = make_engine("exact", spec, PLAIN, precision=precision)
    found_loss, found = engine.loss_and_grad(large, X, y, w)
    whole, found_whole = (np.concatenate([np.ravel(g[name]) for name in spec.shapes]) for g in (grads, found))
    assert abs(found_loss - loss) <= TOLERANCE[precision] * loss
    assert np.linalg.norm(found_whole - whole) <= TOLERANCE[precision] * np.linalg.norm(whole)
    np.testing.assert_allclose(engine.scores(large, X), scores, rtol=0, atol=TOLERANCE[precision])


def test_what_is_no_angle_keeps_its_magnitude():
    """Coefficients of `z_vec` and amplitudes are not reduced."""
    spec = CircuitSpec(2, 1, encoder="amplitude", measurement="z_vec")
    engine, params, X = make_engine("exact", spec, PLAIN, precision="float64"), parameters(spec), batch(spec, 5)[0]
    scores = engine.scores(params, X)
    np.testing.assert_allclose(engine.scores(params, 100 * X), scores, rtol=1e-12)
    np.testing.assert_allclose(engine.scores(params | {"readout": 100 * params["readout"]}, X), 100 * scores, rtol=1e-12)


@pytest.mark.parametrize("path", exact.PATHS)
def test_chunks_do_not_change_the_numbers(path, monkeypatch):
    spec = CircuitSpec(3, 2)
    params, data = parameters(spec), batch(spec, 50)
    engine = exact.ExactEngine(spec, PLAIN, precision="float64")
    whole = engine.loss_and_grad(params, *data)
    monkeypatch.setattr(engine, "path", lambda rows, seeds=1: path)
    monkeypatch.setattr(exact.PATHS[path], "row_limit", lambda spec, itemsize: 16)
    assert engine.chunk(path, 50) == 16
    assert_same(engine.loss_and_grad(params, *data), whole, 1e-12)
    np.testing.assert_allclose(engine.scores(params, data[0]), reference(spec, PLAIN, params, *data)[0], atol=1e-12)


@pytest.mark.parametrize("spec", [SPECS[7], SPECS[9], SPECS[6]], ids=named)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_a_steady_score_does_not_depend_on_the_rows_beside_it(spec, precision):
    engine, params, X = make_engine("exact", spec, PLAIN, precision=precision), parameters(spec), batch(spec, 5000)[0]
    every = engine.steady_scores(params, X)
    for rows in (1, 2, 16, 17, 300):
        np.testing.assert_allclose(
            engine.steady_scores(params, X[-rows:]), every[-rows:], rtol=0, atol=4 * np.finfo(precision).eps
        )
    np.testing.assert_allclose(every[:5], reference(spec, PLAIN, params, X[:5], *np.ones((2, 5)))[0], atol=TOLERANCE[precision])


def test_what_is_kept_of_the_last_parameters_is_theirs(monkeypatch):
    """Scores of other parameters, of arrays changed in place, and where nothing is kept."""
    spec = CircuitSpec(3, 2)
    engine, params, data = exact.ExactEngine(spec, PLAIN, precision="float64"), parameters(spec), batch(spec, 5)
    for change in ("weights", "readout"):
        engine.steady_scores(params, data[0])
        params[change] += 0.3
        expected = reference(spec, PLAIN, params, *data)[0]
        np.testing.assert_allclose(engine.steady_scores(params, data[0]), expected, atol=1e-12)
        np.testing.assert_allclose(engine.scores(params, data[0]), expected, atol=1e-12)
    monkeypatch.setattr(exact, "KEPT_BYTES", 0)
    again = exact.ExactEngine(spec, PLAIN, precision="float64")
    np.testing.assert_array_equal(again.steady_scores(params, data[0]), engine.steady_scores(params, data[0]))
    assert again._kept is None


def test_padded_lengths_avoid_powers_of_two():
    assert [exact.padded(rows) for rows in (1, 16, 17, 256, 257, 512, 4096)] == [16, 16, 32, 272, 272, 528, 4112]


def test_the_same_dtypes_with_and_without_x64():
    spec = CircuitSpec(3, 2, reupload=True)
    params, data = parameters(spec), batch(spec, 20)
    results = []
    for context in (jax.experimental.enable_x64, jax.experimental.disable_x64):
        with context():
            engine = exact.ExactEngine(spec, PLAIN)
            results.append(engine.loss_and_grad(params, *data))
            assert {g.dtype for g in results[-1][1].values()} == {np.dtype("float32")}
            program = next(p for key, p in engine._programs.items() if "gradient" in key)
            assert not {"f64", "c128"} & set(program.as_text().replace("[", " ").split())
    assert_same(*results, 1e-6)


def test_compiles_once_per_batch_size():
    spec = CircuitSpec(2, 1)
    engine = exact.ExactEngine(spec, PLAIN)
    assert engine.compile(20) > 0
    programs = set(engine._programs)
    engine.loss_and_grad(parameters(spec), *batch(spec, 20))
    engine.scores(parameters(spec), batch(spec, 200)[0])
    assert set(engine._programs) == programs


@pytest.mark.slow
def test_a_second_process_finds_the_compiled_programs(tmp_path):
    code = """
from qnb.core.circuit import CircuitSpec; from qnb.core.objective import Objective; from qnb.core.engine import make_engine
import jax.numpy as jnp; jnp.ones(3) + 1  # JAX has compiled something before the engine is made
make_engine("exact", CircuitSpec(), Objective()).compile(256)
"""
    files = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(tmp_path)})
        files.append({f.name for f in (tmp_path / ".cache" / "qnb" / "xla").glob("*-cache")})
    assert files[0] and files[1] == files[0]


def test_the_cost_decides_the_path():
    def path(rows, **circuit):
        return exact.ExactEngine(CircuitSpec(**circuit), PLAIN).path(rows)

    assert path(256) == "heisenberg"
    assert path(256, reupload=True) == path(256, wires=3, encoder="amplitude") == "statevector"
    assert path(256, wires=12) == "statevector"
    assert path(100_000, wires=12) == "heisenberg"


def test_small_circuits_train_together():
    def at_once(batch, **circuit):
        return exact.ExactEngine(CircuitSpec(**circuit), PLAIN).runs_at_once(batch)

    assert at_once(64, wires=4) == at_once(256, wires=6) == exact.MOST_RUNS
    assert at_once(64) == at_once(256) == at_once(64, wires=8, reupload=True) == 1


def test_too_little_memory_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(exact, "available_memory", lambda: 10_000_000)
    with pytest.raises(EngineError, match=r"needs .* GB for a step of 16 rows .* Use fewer wires or layers"):
        exact.ExactEngine(CircuitSpec(wires=16), PLAIN)


def test_refuses_what_has_no_effect():
    spec = CircuitSpec(2, 1)
    with pytest.raises(ParameterError, match="has no effect with engine='exact'"):
        make_engine("exact", spec, PLAIN, "lightning.kokkos")
    with pytest.raises(ParameterError, match="'float16' is not known"):
        make_engine("exact", spec, PLAIN, precision="float16")
    with pytest.raises(ParameterError, match=r"Unknown parameter 'precision' for engine='catalyst'"):
        make_engine("catalyst", spec, PLAIN, precision="float32")
    with pytest.raises(ParameterError, match="weights has shape"):
        make_engine("exact", spec, PLAIN).scores(CircuitSpec(3, 1).init(0), np.ones((1, 2)))


def test_a_user_without_a_cache_folder_does_without(tmp_path):
    (tmp_path / ".cache").write_text("a file where the folder would be")
    program = """
import numpy as np, warnings
warnings.simplefilter("always")
from qnb import CircuitSpec, Objective, make_engine
spec = CircuitSpec(2, 1)
engine = make_engine("exact", spec, Objective())
print(engine.scores(spec.init(0), np.ones((3, 2))).shape)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HOME": str(tmp_path)})
    assert done.stdout == "(3,)\n" and "works without its cache of xla" in done.stderr, done.stderr
