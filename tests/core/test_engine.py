"""What every engine refuses, in the same words."""

import numpy as np
import pandas as pd
import pytest

from qnb.core.circuit import CircuitSpec
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.errors import ParameterError

SPEC = CircuitSpec(2, 1)
ENGINES = ("catalyst", "exact", "one_sample_demo")


def good():
    return SPEC.init(0), np.full((3, 2), 0.5), np.array([0.0, 1.0, 1.0]), np.ones(3)


def changed(values, k, value):
    values = np.array(values, dtype=object if isinstance(value, str) else float)
    values[k] = value
    return values


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, 1, 1], r"need to be 0 or 1; 1 of 3 are not \(-1\)\. For -1 and 1, pass \(y \+ 1\) / 2"),
        ([0, 2, 1], r"1 of 3 are not \(2\)"),
        ([0.25, 0.5, 0.75], r"3 of 3 are not \(0\.25, 0\.5, 0\.75\)"),
        ([0, np.nan, 1], r"1 of 3 are not \(nan\)"),
        ([0, np.inf, 1], r"1 of 3 are not \(inf\)"),
        (["normal", "attack", "attack"], "y needs to be an array of real numbers"),
        ([0, 1], r"shape \(3,\) like X's rows; \(2,\) was given"),
    ],
)
def test_labels_are_zero_or_one(name, labels, message):
    params, X, _, w = good()
    with pytest.raises(ParameterError, match=message):
        make_engine(name, SPEC, Objective()).loss_and_grad(params, X, labels, w)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_of_rows_are_finite(name, value):
    params, X, y, w = good()
    with pytest.raises(ParameterError, match="Weights w hold NaN or inf in 1 of 3 rows"):
        make_engine(name, SPEC, Objective()).loss_and_grad(params, X, y, changed(w, 1, value))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("group", SPEC.shapes)
def test_parameters_have_the_shapes_of_the_circuit(name, group):
    params, X, y, w = good()
    engine = make_engine(name, SPEC, Objective())
    wrong = params | {group: np.zeros((2, *SPEC.shapes[group]))}
    lacking = {k: v for k, v in params.items() if k != group}
    for call in (lambda p: engine.scores(p, X), lambda p: engine.loss_and_grad(p, X, y, w)):
        with pytest.raises(ParameterError, match=rf"{group} has shape \(2.*\) was expected by CircuitSpec"):
            call(wrong)
        with pytest.raises(ParameterError, match=f"lack '{group}'; weights, readout, bias, alpha were expected"):
            call(lacking)
    with pytest.raises(ParameterError, match=f"{group} needs to be an array of real numbers"):
        engine.scores(params | {group: "x"}, X)


@pytest.mark.parametrize("name", ENGINES)
def test_lists_frames_and_booleans_are_taken(name):
    params, X, y, w = good()
    engine = make_engine(name, SPEC, Objective())
    loss, grads = engine.loss_and_grad(params, X, y, w)
    others = {k: v.tolist() for k, v in params.items()}
    for batch in ((X.tolist(), y.tolist(), w.tolist()), (pd.DataFrame(X), pd.Series(y) == 1, pd.Series(w))):
        found, found_grads = engine.loss_and_grad(others, *batch)
        assert found == loss
        for group, g in grads.items():
            np.testing.assert_array_equal(found_grads[group], g)
