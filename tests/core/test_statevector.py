"""The layouts of the state path. Its numbers are held against default.qubit in test_exact.py."""

import numpy as np
import pennylane as qml
import pytest

from qnb.core import statevector
from qnb.core.circuit import CircuitSpec
from qnb.core.exact import ExactEngine
from qnb.core.objective import Objective


def test_groups_come_in_pairs():
    assert [statevector.group_sizes(n) for n in (1, 5, 8, 12, 13)] == [[1, 0], [3, 2], [4, 4], [6, 6], [4, 3, 3, 3]]


def test_permutations_are_undone_by_their_reverse():
    spec = CircuitSpec(13, 1)
    for there, back in [*statevector.tables(spec)["cnots"], *statevector.tables(spec)["moves"]]:
        assert (there[back] == np.arange(2**14)).all()


@pytest.mark.parametrize("reupload", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_four_groups_of_wires(reupload, monkeypatch):
    monkeypatch.setattr(statevector, "MAX_GROUP", 1)
    spec = CircuitSpec(4, 2, reupload=reupload)
    assert statevector.group_sizes(4) == [1, 1, 1, 1]
    engine = ExactEngine(spec, Objective(), precision="float64")
    monkeypatch.setattr(engine, "path", lambda rows, seeds=1: "statevector")
    params, X = {k: v + 0.4 for k, v in spec.init(0).items()}, np.random.default_rng(0).normal(size=(3, 4))
    node = qml.QNode(spec.score, qml.device("default.qubit", wires=4))
    expected = [node(params["weights"], params["readout"], x) for x in X]
    np.testing.assert_allclose(engine.scores(params, X), expected, atol=1e-12)
