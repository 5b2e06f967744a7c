import subprocess
import time

import pytest

from benchmarks import compiling, exact, silent_faults
from benchmarks.timing import in_turn
from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
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


def test_a_silent_fault_is_named_and_a_sound_run_is_not_and_a_report_counts_them(tmp_path, capsys, monkeypatch):
    """Two runs of the bench: resumed, the second is added to the first."""
    results = tmp_path / "results.jsonl"
    two = [(1, "breast_cancer", "sound", ""), (1, "breast_cancer", "rate too small", "1e-05")]
    for done in (1, 2, 2):
        monkeypatch.setattr(silent_faults, "jobs", lambda done=done: iter(two[:done]))
        silent_faults.run(results, hours=1)
        assert len(results.read_text().splitlines()) == done
    silent_faults.report(results)
    told = capsys.readouterr().out
    assert "faults named 1/1, of those that cost 0.02 or more 1/1" in told and "sound runs blamed 0/1" in told
