"""The process of compiled programs: what its death, an interrupt, a fork and the end of its parent leave behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from reference import loss_and_grad, random_params

from qnb.core.child import Remote, child
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import EngineError, make_engine
from qnb.core.objective import Objective
from qnb.errors import ParameterError

SPEC = CircuitSpec(2, 1)


def batch(rng, rows=6):
    return rng.uniform(0, 3, (rows, 2)), np.arange(rows) % 2.0, rng.uniform(0.5, 2, rows)


def run(program, *, wait=True):
    """A Python program in a process of its own, as a user's script would be."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    if not wait:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def gone(pid, seconds=20):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def right(engine, rng):
    params, (X, y, w) = random_params(SPEC, rng), batch(rng)
    loss, grads = engine.loss_and_grad(params, X, y, w)
    expected, slopes = loss_and_grad(SPEC, engine.objective, params, X, y, w)
    for group, slope in slopes.items():
        np.testing.assert_allclose(grads[group], slope, atol=1e-8)
    return loss == pytest.approx(expected, abs=1e-10)


def test_one_child_for_all_engines_with_a_session_of_its_own(rng):
    engines = [make_engine("catalyst", SPEC, Objective(gamma)) for gamma in (0.0, 1.0)]
    assert all(right(engine, rng) for engine in engines)
    pid = child().about["pid"]
    assert pid != os.getpid() and os.getsid(pid) == pid
    assert child().call("os:getpid") == pid


def test_what_is_raised_in_the_child_is_raised_here_and_it_goes_on():
    pid = child().about["pid"] if child().about else child().call("os:getpid")
    with pytest.raises(EngineError, match="ZeroDivisionError") as raised:
        child().call("operator:truediv", 1, 0)
    assert "operator" in raised.value.__notes__[0] or "Traceback" in raised.value.__notes__[0]
    with pytest.raises(ParameterError, match="hadamard=True goes with"):
        child().call("qnb.core.circuit:CircuitSpec", 2, 1, "angle_xy", "ring", "z0", False, True)
    with pytest.raises(EngineError, match="ModuleNotFoundError"):
        Remote("no_such_module:Thing").call("method")
    assert child().call("os:getpid") == pid


def test_a_child_that_is_killed_is_said_and_the_next_call_starts_another(rng):
    engine = make_engine("catalyst", SPEC, Objective())
    assert right(engine, rng)
    pid = child().about["pid"]
    waiting = child().submit("time:sleep", 60)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"was ended by SIGKILL \(out of memory\?\).*next call starts another"):
        waiting.result(60)
    assert right(engine, rng) and child().about["pid"] != pid and gone(pid)


def test_a_child_that_ends_by_itself_is_said():
    with pytest.raises(EngineError, match="exited with code 3"):
        child().call("os:_exit", 3)
    assert child().call("operator:add", 1, 2) == 3


INTERRUPTED = """
    import os, random, signal, threading
    import numpy as np
    from qnb import CircuitSpec, Objective, make_engine

    inside = False  # a press counts where it is caught, not in this script's own start of a thread

    def interrupt(number, frame):
        if inside:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)

    def press(after, caught):
        # again after a while: Python drops an exception that meets a callback of the garbage collector, such as JAX's
        while not caught.wait(after):
            os.kill(os.getpid(), signal.SIGINT)
            after = 2.0

    spec = CircuitSpec(4, 2)
    engine, params = make_engine("catalyst", spec, Objective()), spec.init(0)
    rng = np.random.default_rng(0)
    X, y, w = rng.uniform(0, 3, (64, 4)), np.arange(64) % 2.0, np.ones(64)
    expected = engine.loss_and_grad(params, X, y, w)
    scores = engine.scores(params, X)
    random.seed(1)
    for k in range(20):
        rows = 64 if k % 4 else 5 + k  # every fourth press meets the compiler
        caught = threading.Event()
        threading.Thread(target=press, args=(random.uniform(0, 0.15), caught)).start()
        try:
            inside = True
            while True:
                engine.loss_and_grad(params, X[:rows], y[:rows], w[:rows])
                engine.scores(params, X)
        except KeyboardInterrupt:
            inside = False
            caught.set()
        loss, grads = engine.loss_and_grad(params, X, y, w)
        assert loss == expected[0] and all(np.array_equal(grads[k], expected[1][k]) for k in grads)
        assert np.array_equal(engine.scores(params, X), scores)
    print("caught 20")
"""


def test_twenty_interrupts_leave_the_engine_usable_and_right():
    done = run(INTERRUPTED)
    assert done.returncode == 0 and "caught 20" in done.stdout, done.stderr[-2000:]


def test_a_script_without_a_main_guard_runs_once_and_the_child_ends_with_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from qnb import CircuitSpec, Objective, make_engine
        from qnb.core.child import child
        spec = CircuitSpec(2, 1)
        print("scores", make_engine("catalyst", spec, Objective()).scores(spec.init(0), [[0.1, 0.2]]).shape)
        print("child", child().about["pid"])
    """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.stdout.count("scores (1,)") == 1, done.stderr
    assert gone(int(done.stdout.split("child")[1]))


def test_a_parent_that_is_killed_leaves_no_child():
    parent = run(
        """
        import time
        from qnb.core.child import child
        waiting = child().submit("time:sleep", 600)
        while not child().about: time.sleep(0.05)
        print(child().about["pid"], flush=True)
        waiting.result()
    """,
        wait=False,
    )
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def pid_of_child(queue):
    queue.put((os.getpid(), child().call("os:getpid")))


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_fork_has_a_child_of_its_own_and_leaves_ours_alone():
    mine = child().call("os:getpid")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=pid_of_child, args=(queue,), daemon=True)  # daemonic, as joblib's workers are
    process.start()
    forked, its = queue.get(timeout=120)
    process.join(60)
    assert len({os.getpid(), forked, mine, its}) == 4
    assert child().call("os:getpid") == mine and gone(its)


@pytest.mark.parametrize("engine", ["catalyst", "exact"])
def test_the_users_jax_is_as_it_was(engine):
    program = f"""
        import sys
        import jax
        import jax.numpy as jnp
        before = dict(jax.config.values)
        import qnb
        from qnb import CircuitSpec, Objective, TrainConfig, check_gradient, make_engine, train
        spec = CircuitSpec(3, 1)
        made = make_engine({engine!r}, spec, Objective())
        config = TrainConfig(data="breast_cancer", wires=3, layers=1, epochs=1, fixed_num_batches=2, engine={engine!r})
        result = train(config, progress=False)
        result.model.logits_of_features(result.prepared.X["test"])
        changed = {{k: (before[k], v) for k, v in jax.config.values.items() if before.get(k) != v}}
        assert changed == {{}}, changed
        assert jnp.ones(2).dtype == "float32" and "catalyst" not in sys.modules
        print("unchanged")
    """
    done = run(program)
    assert "unchanged" in done.stdout, done.stderr[-2000:]
