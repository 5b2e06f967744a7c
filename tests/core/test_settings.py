"""What the process is set to does not reach the results, and is left as it was; a fork is refused in words."""

import contextlib
import os
import subprocess
import sys
import warnings

import jax
import numpy as np
import pennylane as qml
import pytest
from reference import loss_and_grad, random_params, score_function

from qnb.core.circuit import CircuitSpec
from qnb.core.compiled import CatalystEngine
from qnb.core.exact import ExactEngine
from qnb.core.gate import check_gradient
from qnb.core.objective import Objective

SPEC = CircuitSpec(3, 2)


@contextlib.contextmanager
def jax_set(name, value):
    before = jax.config.values[name]
    jax.config.update(name, value)
    try:
        yield
    finally:
        jax.config.update(name, before)


@contextlib.contextmanager
def capture():
    qml.capture.enable()
    try:
        yield
    finally:
        qml.capture.disable()


@contextlib.contextmanager
def warnings_raise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextlib.contextmanager
def numpy_raises():
    with np.errstate(all="raise"):
        yield


OTHERS = {
    "jax_enable_x64": True,
    "jax_disable_jit": True,
    "jax_no_tracing": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_default_matmul_precision": "bfloat16",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_transfer_guard": "disallow",
    "jax_transfer_guard_host_to_device": "disallow",
    "jax_check_tracer_leaks": True,
    "jax_enable_checks": True,
    "jax_enable_compilation_cache": False,
}
FLAGS = {name: lambda name=name: jax_set(name, OTHERS[name]) for name in OTHERS}
FLAGS |= {"qml.capture": capture, "-W error": warnings_raise, "np.seterr": numpy_raises}
ENGINES = {
    "catalyst": CatalystEngine,
    "exact float32": ExactEngine,
    "exact float64": lambda *parts: ExactEngine(*parts, precision="float64"),
}
ATOL = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture(scope="module")
def case():
    """Parameters, a batch, and what default.qubit makes of them."""
    rng = np.random.default_rng(7)
    params, X = random_params(SPEC, rng), rng.uniform(0, 3, (20, 3))
    batch = (X, np.arange(20) % 2.0, rng.uniform(0.5, 2, 20))
    score = score_function(SPEC)
    scores = [float(score(params["weights"], params["readout"], x)) for x in X]
    return params, batch, scores, *loss_and_grad(SPEC, Objective(), params, *batch)


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("name", ENGINES)
def test_results_do_not_depend_on_what_the_process_is_set_to(name, flag, case):
    params, batch, scores, loss, grads = case
    with FLAGS[flag]():
        set_to = dict(jax.config.values)
        engine = ENGINES[name](SPEC, Objective())  # not from the cache: its programs are traced here
        found_scores, (found_loss, found) = engine.scores(params, batch[0]), engine.loss_and_grad(params, *batch)
        report = check_gradient(engine, params, *batch)
        assert dict(jax.config.values) == set_to
    atol = ATOL[engine.dtype.name]
    np.testing.assert_allclose(found_scores, scores, atol=atol)
    assert abs(found_loss - loss) < atol
    for group, expected in grads.items():
        np.testing.assert_allclose(found[group], expected, atol=atol)
    assert report.verdict == "pass"


PROGRAM = """
import numpy as np
from qnb import CircuitSpec, Objective, check_gradient, make_engine
spec, rng = CircuitSpec(2, 1), np.random.default_rng(0)
params, batch = spec.init(0), (rng.uniform(0, 3, (6, 2)), np.arange(6) % 2.0, np.ones(6))
for name in ("exact", "catalyst"):
    engine = make_engine(name, spec, Objective())
    loss, _ = engine.loss_and_grad(params, *batch)
    print(f"{loss:.5f}", f"{engine.scores(params, batch[0]).sum():.5f}", check_gradient(engine, params, *batch).verdict)
"""


def run(*arguments, **environment):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_nor_on_the_environment():
    """The child process of compiled programs inherits it."""
    asked = {name.upper(): str(value) for name, value in OTHERS.items()}
    exact, catalyst = run("-W", "error", "-c", PROGRAM, PYTHONWARNINGS="error", **asked)
    assert exact == catalyst and [exact, catalyst] == run("-c", PROGRAM) and "pass" in exact


FORK = """
import multiprocessing, sys, warnings
import numpy as np
import jax
from qnb import CircuitSpec, Objective, make_engine
from qnb.errors import QnbError
warnings.simplefilter("ignore")
spec, used = CircuitSpec(2, 1), sys.argv[1]

def scores(answers):
    try:
        answers.put(make_engine("exact", spec, Objective()).scores(spec.init(0), np.ones((3, 2))).tolist())
    except QnbError as error:
        answers.put(f"{type(error).__name__}: {error}")

def main():
    if used == "the engine":
        make_engine("exact", spec, Objective()).scores(spec.init(0), np.ones((3, 2)))
    if used == "JAX":
        jax.numpy.ones(3).sum()
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    process = fork.Process(target=scores, args=(answers,), daemon=True)
    process.start()
    print(answers.get(timeout=60))
    expected = make_engine("exact", spec, Objective()).scores(spec.init(0), np.ones((3, 2)))
    print(expected.tolist())

main()
"""


@pytest.mark.parametrize(("used", "works"), [("the engine", False), ("JAX", False), ("nothing", True)])
def test_a_fork_of_a_process_that_used_jax_works_or_is_refused(used, works):
    in_fork, in_parent = run("-c", FORK, used)
    if works:
        assert in_fork == in_parent
    else:
        assert in_fork.startswith("EngineError: This process was forked from one that had used JAX")
        assert "get_context('spawn') or 'forkserver'" in in_fork
