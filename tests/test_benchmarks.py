import json
import subprocess
import time
from pathlib import Path

import numpy as np
import papermill
import pytest

from benchmarks import accelerator, compiling, exact, peers, silent_faults, silent_faults_report, small_tables
from benchmarks.timing import in_turn
from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.gate import WrongGradientError
from qnb.core.objective import Objective
from qnb.studies.diagnosis.components import COMPONENTS


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_compiled():
    seconds = compiling.in_processes(CircuitSpec(wires=4, layers=3), rows=16)
    assert 0 < seconds["from the cache"] < seconds["empty cache"]


@pytest.mark.slow
def test_an_engine_that_cannot_be_made_says_why():
    with pytest.raises(subprocess.CalledProcessError) as error:
        compiling.in_processes(CircuitSpec(wires=40))
    assert "GB" in error.value.stderr


@pytest.mark.parametrize(("first", "second", "outcomes"), [
    (4.9, 0.9, ["met", "met"]), (5.1, 0.9, ["MISSED", "met"]), (4.9, 1.1, ["met", "MISSED"]),
])  # fmt: skip
def test_both_processes_are_judged(first, second, outcomes):
    assert [compiling.outcome("empty cache", first), compiling.outcome("from the cache", second)] == outcomes


@pytest.mark.parametrize(("ratio", "outcome"), [(30.0, "met"), (25.0, "met"), (20.0, "MISSED")])
def test_a_target_is_the_least_ratio(ratio, outcome):
    assert exact.outcome("step", 256, "catalyst", ratio).split() == ["25", outcome]
    assert exact.outcome("step", 1024, "catalyst", ratio) == ""


def test_ratios_compare_calls_made_in_turn():
    order = []
    calls = {"slow": lambda: (order.append("slow"), time.sleep(0.05)), "base": lambda: (order.append("base"), time.sleep(0.005))}
    seconds = in_turn(calls, 3)
    assert order == ["slow", "base"] * 3 and ((seconds["slow"] / seconds["base"]) > 2).any()


@pytest.mark.slow
def test_paths_and_ratios_run_on_the_engines():
    spec, objective = CircuitSpec(2, 1), Objective()
    engines = {name: make_engine(name, spec, objective) for name in ("exact", "catalyst")}
    for call, rows in (("step", 8), ("forward", exact.FORWARD)):
        seconds = exact._calls_in_turn(engines, spec, spec.init(0), call, rows)
        assert set(seconds) == set(engines) and all((times > 0).all() for times in seconds.values())
    assert exact._step_on("heisenberg", spec, objective, 8) > 0 and exact._step_on("statevector", spec, objective, 8) > 0
    assert exact.gemm_rate(64) > 0


def test_the_silent_faults_are_runs_that_can_be_asked_for_each_once():
    jobs = list(silent_faults.jobs())
    assert len(set(jobs)) == len(jobs) and len(silent_faults.FAULTS) >= 20
    base = TrainConfig(**silent_faults.SOUND)
    for strengths in (silent_faults.FAULTS | silent_faults.HARD).values():
        for fault in strengths.values():
            TrainConfig.make(dict(base) | (fault.changes or {}))
            assert set(fault.component) <= set(COMPONENTS)


def test_a_silent_fault_is_named_and_a_sound_run_is_not_and_a_report_counts_them(tmp_path, monkeypatch):
    """Two runs of the bench: resumed, the second is added to the first."""
    results = tmp_path / "results.jsonl"
    two = [(1, "breast_cancer", "sound", ""), (1, "breast_cancer", "rate too small", "1e-05")]
    for done in (1, 2, 2):
        monkeypatch.setattr(silent_faults, "jobs", lambda done=done: iter(two[:done]))
        silent_faults.run(results, hours=1)
        assert len(results.read_text().splitlines()) == done
    of = silent_faults_report.read(results)
    (row,) = silent_faults_report.headline(of).filter(like="intervention", axis=0).to_numpy()
    assert [cell.split(":")[0] for cell in row] == ["1 of 1", "1 of 1", "0 of 1"]
    assert silent_faults_report.confusion(of).to_dict() == {"nobody": {"nobody": 1, "rate": 0}, "rate": {"nobody": 0, "rate": 1}}
    assert list(silent_faults_report.by_fault(of)["named first"]) == ["1 of 1", ""]
    assert of["cost"].iloc[0] == 0 and of["cost"].iloc[1] > 0.1


def test_the_report_of_the_silent_faults_executes_and_a_refused_diagnosis_is_not_passed_over(tmp_path):
    rows = [
        {"commit": "0", "seed": 1, "table": "capture", "fault": fault, "strength": strength, "component": component,
         "blamed": blamed, "history": history, "recorded": 0.9 - cost, "as_it_is": 0.9 - cost, "reference": 0.9, "seconds": 1.0}
        for fault, strength, component, blamed, history, cost in (
            ("sound", "", [], [], ["data"], 0.0), ("rate too small", "0.001", ["rate"], ["rate"], ["optimiser"], 0.3),
            ("too few layers", "one, z0", ["circuit", "readout"], ["data"], [], 0.03),
        )
    ]  # fmt: skip
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notebook = Path(silent_faults.__file__).with_suffix(".ipynb")
    done = papermill.execute_notebook(notebook, tmp_path / "out.ipynb", {"results": str(results)}, progress_bar=False)
    text = json.dumps(done)
    assert "1 of 2: 50.0 %" in text and "1 of 1: 100.0 %" in text and "image/png" in text
    results.write_text(json.dumps({"seed": 1, "error": "no such table"}) + "\n")
    with pytest.raises(ValueError, match="1 diagnoses were refused, the first with: no such table"):
        silent_faults_report.read(results)


@pytest.mark.slow
def test_every_peer_that_is_installed_has_the_exact_engines_gradient_or_is_refused(monkeypatch):
    found = peers.measure((3,), (2,))
    measured = found.dropna().set_index("peer")["ratio"]
    assert {"exact engine", "default.qubit, jit + vmap", "lightning.qubit, adjoint"} <= set(measured.index)
    assert measured["exact engine"] == 1 and (measured > 0).all()

    def wrong(self, params, x):
        return 0.5, np.concatenate([params["weights"].ravel(), params["readout"]])

    monkeypatch.setattr(peers.Lightning, "row", wrong)
    with pytest.raises(AssertionError):
        peers.measure((3,), (2,))


@pytest.mark.parametrize("generator", small_tables.GENERATORS)
@pytest.mark.parametrize("columns", [2, 10])
def test_small_tables_have_both_classes_and_come_out_again(generator, columns):
    tables = [small_tables.GENERATORS[generator](np.random.default_rng(0), 200, columns) for _ in range(2)]
    (X, y), (again, labels) = tables
    assert X.shape == (200, columns) and 0.2 < y.mean() < 0.8
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("float64", 1e-12)])
def test_a_line_of_the_accelerators_table_is_gated_and_compared(monkeypatch, precision, most):
    monkeypatch.setattr(accelerator, "SECONDS", 0.01)
    monkeypatch.setattr(accelerator, "BATCHES", (8,))
    (line,) = accelerator.lines(2, precision)
    assert 0 <= line["error"] < most and line["step ms"] > 0 and line["chunk ms"] > 0 and 1 <= line["steps of a chunk"] <= 64
    monkeypatch.setattr(accelerator.ExactEngine, "loss_and_grad", one_row_of_the_batch(accelerator.ExactEngine.loss_and_grad))
    with pytest.raises(WrongGradientError):
        list(accelerator.lines(2, precision))


def one_row_of_the_batch(loss_and_grad):
    """An engine's method that gives the loss of the batch with the gradient of its first row."""

    def wrong(self, params, X, y, w):
        loss, _ = loss_and_grad(self, params, X, y, w)
        return loss, loss_and_grad(self, params, X[:1], y[:1], w[:1])[1]

    return wrong
