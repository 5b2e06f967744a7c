"""The surrogate against the circuit on default.qubit; its file."""

import io
import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import reference
from surrogates import ENCODERS, circuit_logits, model_of, three_wires

from qnb.core.circuit import ANSATZE, MEASUREMENTS, CircuitSpec
from qnb.core.engine import EngineError
from qnb.core.objective import Objective
from qnb.errors import ParameterError
from qnb.training import surrogate
from qnb.training.model import ModelError
from qnb.training.surrogate import along_every_wire, load_surrogate

CIRCUITS = [
    spec
    for (encoder, hadamard), ansatz, measurement in itertools.product(ENCODERS, ANSATZE, MEASUREMENTS)
    if (spec := CircuitSpec(3, 2, encoder, ansatz, measurement, hadamard=hadamard)).fast  # of Z on single wires
]


@pytest.fixture(scope="module")
def made():
    return three_wires()


@pytest.mark.parametrize("spec", CIRCUITS, ids=lambda s: f"{s.encoder}{'-h' * s.hadamard}-{s.ansatz}-{s.measurement}")
def test_it_is_the_circuit(spec, rng):
    model = model_of(spec, rng)
    X = rng.uniform(-4, 4, (3, spec.wires))
    expected = model.objective.alpha(model.params["alpha"]) * (
        np.array([reference.dense_score(spec, model.params, x) for x in X]) + model.params["bias"]
    )
    np.testing.assert_allclose(model.surrogate().logits_of_features(X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "objective"),
    [
        (CircuitSpec(), Objective()),
        (CircuitSpec(3, 1, "angle_xy", "ring", "z_vec"), Objective(alpha_mode="direct")),
        (CircuitSpec(1, 1), Objective()),
        (CircuitSpec(3, 2, "angle_xy", scaling=True), Objective()),
        (CircuitSpec(3, 2, hadamard=True, scaling=True), Objective()),
    ],
    ids=["default", "angle_xy", "one wire", "angle_xy, scaled", "scaled"],
)
def test_logits_are_those_of_default_qubit(spec, objective, rng):
    model = model_of(spec, rng, objective=objective)
    model.params["alpha"] = np.asarray(40.0)  # as large as training makes it
    X = rng.uniform(0, np.pi, (4, spec.wires))
    np.testing.assert_allclose(model.surrogate().logits_of_features(X), circuit_logits(model, X), rtol=0, atol=1e-11)


@pytest.mark.parametrize("rows", [1, 256, 272, 273, 4128, 5000])
def test_any_number_of_rows_in_chunks(made, rng, rows):
    _, s = made
    X = rng.uniform(0, np.pi, (rows, 3))
    f = np.stack([np.ones_like(X), np.sin(X), np.cos(X)])
    expected = np.einsum("abc,ar,br,cr->r", s.coefficients, *f.transpose(2, 0, 1))
    np.testing.assert_allclose(s.scores_of_features(X), expected, rtol=0, atol=1e-13)


def test_angles_of_any_size(made, rng):
    X = np.append(rng.uniform(-10, 10, (3, 3)), rng.uniform(1e6, 1e12, (3, 3)), axis=0)
    f = np.stack([np.ones_like(X), np.sin(X), np.cos(X)])
    expected = np.einsum("abc,ar,br,cr->r", made[1].coefficients, *f.transpose(2, 0, 1))
    np.testing.assert_allclose(made[1].scores_of_features(X), expected, rtol=0, atol=1e-13)


def test_raw_rows_are_scored_as_the_model_scores_them(made, rng):
    model, s = made
    frame = pd.DataFrame(rng.normal(size=(20, 4)), columns=[f"c{i}" for i in range(4)])
    np.testing.assert_allclose(s.logits(frame), circuit_logits(model, model.feature_map.transform(frame)), rtol=0, atol=1e-12)


def test_what_has_no_surrogate_is_refused(rng, monkeypatch, made):
    with pytest.raises(ParameterError, match=r"reupload=True has no surrogate here.*Use reupload=False"):
        model_of(CircuitSpec(2, 2, reupload=True), rng).surrogate()
    with pytest.raises(ParameterError, match=r"encoder='amplitude' has no surrogate.*Use encoder='angle_y'"):
        model_of(CircuitSpec(2, 2, "amplitude"), rng).surrogate()
    monkeypatch.setattr(surrogate, "available_memory", lambda: 1000)
    with pytest.raises(EngineError, match="GB to compute: use fewer wires"):
        made[0].surrogate()


@pytest.mark.parametrize(
    ("X", "message"),
    [(np.zeros((2, 4)), r"\(2, 4\); \(rows, 3\)"), (np.zeros(3), r"\(3,\)"), (np.zeros((0, 3)), r"\(0, 3\)"), ([[0, np.nan, 0]], "in 1 of 1 rows")],
)  # fmt: skip
def test_unusable_rows_are_refused(made, X, message):
    with pytest.raises(ParameterError, match=message):
        made[1].scores_of_features(X)


def test_a_new_process_reads_the_file_and_makes_the_same_one(made, tmp_path, rng):
    model, s = made
    X = rng.uniform(0, np.pi, (7, 3))
    path, folder = s.save(tmp_path / "new" / "s.npz"), model.save(tmp_path / "model")
    script = f"""
import numpy as np, qnb
from qnb.training.surrogate import load_surrogate
read, again = load_surrogate({str(path)!r}), qnb.load_model({str(folder)!r}).surrogate()
np.savez({str(tmp_path / "out.npz")!r}, read=read.logits_of_features(np.array({X.tolist()})), again=again.coefficients)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["read"], s.logits_of_features(X))
        np.testing.assert_allclose(out["again"], s.coefficients, rtol=0, atol=1e-14)  # in float64 there, too
    read = load_surrogate(path)
    assert read.about["circuit"]["wires"] == 3 and read.about["synthetic"] is True
    assert (read.threshold, read.encoder, read.bias, read.alpha) == (s.threshold, s.encoder, s.bias, s.alpha)
    with pytest.raises(ModelError, match="exists already; nothing is overwritten"):
        s.save(path)


def test_a_scaling_is_saved_with_it(rng, tmp_path):
    model = model_of(CircuitSpec(3, 1, scaling=True), rng)
    path, X = model.surrogate().save(tmp_path / "s.npz"), rng.uniform(0, np.pi, (5, 3))
    np.testing.assert_allclose(load_surrogate(path).logits_of_features(X), circuit_logits(model, X), rtol=0, atol=1e-12)
    rewritten(path, {"scaling": np.ones(2)})
    with pytest.raises(ModelError, match=r"scaling has shape \(2,\); \(3,\) was expected"):
        load_surrogate(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def rewritten(path, changes, meta=None):
    with np.load(path) as file:
        arrays = dict(file) | changes
    if meta is not None:
        arrays["meta"] = np.array(json.dumps(json.loads(arrays["meta"].item()) | meta))
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("changes", "meta", "message"),
    [
        ({"coefficients": np.array([Bomb()], dtype=object)}, None, "cannot be read as plain arrays"),
        ({"coefficients": np.zeros((3, 3))}, None, r"coefficients has shape \(3, 3\); \(3, 3, 3\) was expected"),
        ({"coefficients": np.full((3, 3, 3), np.nan)}, None, "coefficients holds values that are not finite"),
        ({"coefficients": np.zeros((3, 3, 3), "f4")}, None, "not finite float64"),
        ({"features/mean": np.zeros(9)}, None, r"features/mean has shape \(9,\); \(4,\)"),
        ({"features/quantiles": np.zeros((5, 3))}, None, "features/quantiles has shape"),
        ({"features/scale": np.full(4, np.inf)}, None, "scale holds values"),
        ({"features/levels": None}, None, "not the parts of a feature map"),
        ({"coefficients": None}, None, "KeyError: 'coefficients'"),
        ({"meta": None}, None, "KeyError: 'meta'"),
        ({"meta": np.array("{")}, None, "JSONDecodeError"),
        ({"meta": np.array(3.0)}, None, "TypeError"),
        ({}, {"format": 2}, "format 2; this qnb reads format 1"),
        ({}, {"encoder": "amplitude"}, "encoder 'amplitude' is none of angle_y, angle_xy"),
        ({}, {"encoder": "angle_xy"}, r"\(4, 4, 4\) was expected"),
        ({}, {"bias": "high"}, "ValueError"),
        ({}, {"alpha": float("nan")}, "alpha holds values that are not finite"),
        ({}, {"features": {"version": 1}}, "not the parts of a feature map"),
    ],
)
def test_files_that_do_not_hold_a_surrogate_are_refused(made, tmp_path, changes, meta, message):
    path = made[1].save(tmp_path / "s.npz")
    rewritten(path, changes, meta)
    with pytest.raises(ModelError, match=message):
        load_surrogate(path)


def test_missing_and_damaged_files_are_named(made, tmp_path):
    with pytest.raises(ModelError, match=r"No surrogate at .*none.npz"):
        load_surrogate(tmp_path / "none.npz")
    path = made[1].save(tmp_path / "s.npz")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"s.npz cannot be read"):
        load_surrogate(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=r"s.npz cannot be read"):
        load_surrogate(path)


def test_change_of_basis_by_einsum(rng):
    tensor, matrix = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 4))
    np.testing.assert_allclose(along_every_wire(tensor, matrix), np.einsum("abc,ai,bj,ck->ijk", tensor, matrix, matrix, matrix))
