import time
from dataclasses import replace

import numpy as np
import pytest

from qnb.core.circuit import CircuitSpec
from qnb.core.engine import EngineError, make_engine
from qnb.core.objective import Objective
from qnb.probes import throughput, throughput_figures
from qnb.probes.contenders import CATALYST, CONTENDERS, EXACT, Contender, NotMeasured, tensorcircuit
from qnb.probes.throughput import Timing

SMALL, BCE = CircuitSpec(2, 1), Objective()


def took(name, rows, seconds, kind="gradient", wires=8, threads=None):
    return Timing(name, kind, wires, 3, rows, threads, first=2.0, seconds=(seconds,) * 3)


@pytest.mark.parametrize("factor, verdict", [(5, "yes"), (50, "no")])
def test_ceiling_is_broken_only_by_a_way_ten_times_as_fast(factor, verdict):
    timings = [took(CATALYST, 256, 0.1), took(CATALYST, 16, 0.001), took(EXACT, 256, 0.1 / factor)]
    found = throughput.judge_ceiling(timings)
    assert found.verdict == verdict and found.figures["factor"] == pytest.approx(factor)


def test_ceiling_is_not_judged_by_smaller_batches():
    timings = [took(CATALYST, 256, 0.1), took(EXACT, 16, 1e-6)]  # fast, but not at the batch that is asked about
    assert throughput.judge_ceiling(timings).verdict == "yes"


def test_nothing_measured_is_no_verdict():
    assert throughput.judge_ceiling([took(EXACT, 256, 0.1)]).verdict == "inconclusive"
    assert throughput.judge_threads([took("x", 16, 0.1, threads=1)]).verdict == "inconclusive"


@pytest.mark.parametrize("two, verdict", [((0.05, 0.05), "yes"), ((0.2, 0.3), "no"), ((0.05, 0.2), "inconclusive")])
def test_threads(two, verdict):
    timings = [took("x", 16, 0.1, wires=n, threads=1) for n in (4, 12)]
    timings += [took("x", 16, seconds, wires=n, threads=2) for n, seconds in zip((4, 12), two, strict=True)]
    assert throughput.judge_threads(timings).verdict == verdict


def test_timed_calls_as_often_as_time_allows():
    calls = []
    _, later = throughput.timed(lambda: calls.append(1), 4, 10.0)
    assert len(later) == 4 and len(calls) == 5
    _, later = throughput.timed(lambda: time.sleep(0.02), 4, 0.001)
    assert len(later) == 1


def test_one_call_has_no_spread():
    once, twice = replace(took("a", 16, 0.1), seconds=(0.1,)), replace(took("b", 16, 0.1), seconds=(0.1, 0.2))
    spread = throughput.timings_table([once, twice]).set_index("name")["spread"]
    assert np.isnan(spread["a"]) and spread["b"] == pytest.approx(0.1 / 0.15)


class Refusing:
    def scores(self, params, X):
        raise EngineError("no scores here")

    def loss_and_grad(self, params, X, y, w):
        raise ZeroDivisionError


def test_a_failure_is_an_outcome_and_a_mistake_is_not():
    timing = throughput.measure("x", Refusing(), "forward", SMALL, 3, 2, 0.1)
    assert timing.median is None and "no scores here" in timing.failure
    assert list(throughput.failures([timing])["said"]) == ["EngineError: no scores here"]
    with pytest.raises(ZeroDivisionError):
        throughput.measure("x", Refusing(), "gradient", SMALL, 3, 2, 0.1)


def test_a_time_that_was_not_measured_says_why_it_cannot_be_used():
    timing = throughput.measure("x", Refusing(), "forward", SMALL, 3, 2, 0.1)
    with pytest.raises(ValueError, match="x, forward, 3 rows was not measured: EngineError: no scores here"):
        assert timing.rate


def test_tensorcircuit_says_that_it_is_absent(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotMeasured, match="not installed"):
        tensorcircuit(SMALL, BCE, "lightning.qubit")


@pytest.mark.parametrize("name", [n for n in CONTENDERS if n.startswith(("qjit per row", "jax.vmap", "lax.scan"))])
def test_contenders_compute_the_model(name):
    """What is timed is the engine's model: the same scores, loss and gradient."""
    contender, right = CONTENDERS[name].build(SMALL, BCE, "lightning.qubit"), make_engine("catalyst", SMALL, BCE)
    params, (X, y, w) = SMALL.init(1), throughput.batch(SMALL, 3)
    np.testing.assert_allclose(contender.scores(params, X), right.scores(params, X), atol=1e-10)
    (loss, grads), (expected, expected_grads) = contender.loss_and_grad(params, X, y, w), right.loss_and_grad(params, X, y, w)
    assert loss == pytest.approx(expected)
    for group, gradient in expected_grads.items():
        np.testing.assert_allclose(grads[group], gradient, atol=1e-9)


def test_compiled_contenders_do_not_take_a_trained_scaling():
    with pytest.raises(NotMeasured, match=r"written out for qnb's engines and default\.qubit alone"):
        CONTENDERS["jax.vmap(qjit)"].build(replace(SMALL, scaling=True), BCE, "lightning.qubit")


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [False, True])
def test_default_qubit_computes_the_model(scaling):
    spec = replace(SMALL, scaling=scaling)
    contender, right = CONTENDERS["default.qubit, jit + vmap"].build(spec, BCE, ""), make_engine("catalyst", spec, BCE)
    params, data = spec.init(1), throughput.batch(spec, 3)
    assert contender.loss_and_grad(params, *data)[0] == pytest.approx(right.loss_and_grad(params, *data)[0], rel=1e-5)
    np.testing.assert_allclose(contender.scores(params, data[0]), right.scores(params, data[0]), atol=1e-5)


def test_by_batch_stops_where_a_way_fails_or_grows_slow(monkeypatch):
    class Slow:
        def scores(self, params, X):
            time.sleep(0.002 * len(X))

        def loss_and_grad(self, *args):
            raise EngineError("no gradient here")

    ways = {"slow": Contender(lambda *args: Slow()), "long": Contender(lambda *args: Slow(), quick=False)}
    monkeypatch.setattr(throughput, "CONTENDERS", ways)
    timings = throughput.by_batch(SMALL, BCE, "lightning.qubit", (1, 2, 1000), 2, 0.01, quick=True)
    assert [(t.name, t.kind, t.rows, bool(t.seconds)) for t in timings] == [
        ("slow", "forward", 1, True), ("slow", "forward", 2, True), ("slow", "gradient", 1, False),
        ("long", "forward", 1, False), ("long", "gradient", 1, False),
    ]  # fmt: skip
    assert "quick=False" in timings[-1].failure


def test_table_keeps_compile_time_apart():
    row = throughput.timings_table([took(EXACT, 100, 0.5)]).iloc[0]
    assert row["samples_per_s"] == 200 and row["compile_s"] == 1.5 and row["spread"] == 0


@pytest.mark.slow
def test_shapes_and_threads_run_on_the_engines():
    timings = throughput.by_shape([SMALL, CircuitSpec(3, 1)], BCE, "lightning.qubit", 4, 2, 0.05)
    assert [(t.wires, t.name, t.kind) for t in timings] == [
        (n, name, kind) for n in (2, 3) for name in (CATALYST, EXACT) for kind in throughput.KINDS
    ]
    assert all(t.rate > 0 for t in timings)
    timings = throughput.by_threads([SMALL], BCE, "lightning.qubit", 4, 2, 0.05)
    assert [t.threads for t in timings] == [1, 2] and throughput.judge_threads(timings).verdict != "inconclusive"


def test_a_circuit_that_no_thread_can_run_is_a_failure_and_judges_nothing():
    """A trained scaling is not written out for the compiled loop."""
    timings = throughput.by_threads([CircuitSpec(2, 1, scaling=True)], BCE, "lightning.qubit", 4, 2, 0.05)
    assert [(t.threads, t.seconds) for t in timings] == [(1, ()), (2, ())] and "trained scaling" in timings[0].failure
    assert throughput.judge_threads(timings).verdict == "inconclusive"
    assert "trained scaling" in str(throughput.failures(timings))
    assert throughput_figures.thread_gain(timings).axes


@pytest.mark.parametrize("grid", [throughput.QUICK, throughput.FULL])
def test_a_grid_varies_one_axis_at_a_time(grid):
    for spec in grid.shapes(CircuitSpec(8, 3, encoder="angle_xy")):
        assert (spec.wires == 8 or spec.layers == 3) and spec.encoder == "angle_xy"
