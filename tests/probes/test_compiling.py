import subprocess

import pytest

from qnb.core.circuit import CircuitSpec
from qnb.probes import compiling


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_compiled():
    first, second = compiling.in_processes(CircuitSpec(wires=4, layers=3), rows=16)
    assert 0 < second < first


@pytest.mark.slow
def test_an_engine_that_cannot_be_made_says_why():
    with pytest.raises(subprocess.CalledProcessError) as error:
        compiling.in_processes(CircuitSpec(wires=40))
    assert "GB" in error.value.stderr


@pytest.mark.parametrize(("first", "second", "verdict"), [(4.9, 0.9, "met"), (5.1, 0.9, "missed"), (4.9, 1.1, "missed")])
def test_both_processes_are_judged(first, second, verdict):
    found = compiling.judge(first, second)
    assert found.verdict == verdict and found.figures == {"first_process_s": first, "second_process_s": second}
