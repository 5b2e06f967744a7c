"""The geometry probe: Jacobian and state vectors against references, and each verdict on a broken case."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
import reference

from qnb.config import TrainConfig
from qnb.core.circuit import ANSATZE, CircuitSpec, Layer, Measurement
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.probes import barren, geometry

CONFIG = TrainConfig(wires=2, layers=1, measurement="mean_z_readout")


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    return geometry.identifiability(CONFIG, rng.uniform(0, np.pi, (24, 2)), rng)


@pytest.mark.parametrize("measurement", ["z_vec", "mean_z_readout"])
def test_the_jacobian_is_that_of_dense_matrices_by_differences(rng, measurement):
    spec = CircuitSpec(2, 1, measurement=measurement)
    params, X = reference.random_params(spec, rng), rng.uniform(0, np.pi, (3, 2))
    j = geometry.jacobian(make_engine("catalyst", spec, Objective()), params, X)
    step, k = 1e-5, 0
    for group in ("weights", "readout"):
        for index in np.ndindex(spec.shapes[group]):
            move = np.zeros(spec.shapes[group])
            move[index] = step
            ahead, behind = (
                np.array([reference.dense_score(spec, params | {group: params[group] + sign * move}, x) for x in X])
                for sign in (1, -1)
            )
            np.testing.assert_allclose(j.values[:, k], (ahead - behind) / (2 * step), atol=1e-9, err_msg=j.names[k])
            k += 1
    assert k == len(j.names) and j.names[0] == "weights[0, 0, 0]"
    assert j.names[-1] == ("readout[1, 2]" if measurement == "mean_z_readout" else "readout[1]")


def test_rank_dead_parameters_and_null_vectors_of_a_known_matrix(rng):
    a, b = rng.normal(size=(2, 9, 1))
    j = geometry.Jacobian(np.hstack([a, b, 0 * a, a - 2 * b]), ["p", "q", "r", "t"], 1e-8)
    assert (j.rank, j.dead) == (2, ["r"])
    vectors = j.null_vectors()
    assert {"r": 1.0} in vectors and len(vectors) == 2
    other = next(v for v in vectors if v != {"r": 1.0})
    assert other == pytest.approx({"p": 1.0, "q": -2.0, "t": -1.0})


def test_the_last_rz_is_dead_and_the_verdict_flips_where_it_is_not(found):
    verdict = geometry.judge_dead(found)
    assert verdict.verdict == "yes"
    assert verdict.figures["mean_z_readout, ring"]["dead"] == ["readout[0, 2]", "readout[1, 2]"]
    assert verdict.figures["z_vec, ring"] | {"rank_of_all": 0, "all": 0} == {
        "parameters": 2,
        "rank": 2,
        "dead": [],
        "rank_of_all": 0,
        "all": 0,
    }
    key = ("mean_z_readout", "ring")
    alive, values = found[key], found[key].values.copy()
    values[:, -1] = np.random.default_rng(1).normal(size=len(values))
    assert geometry.judge_dead(found | {key: replace(alive, values=values)}).verdict == "no"
    values = alive.values.copy()
    values[:, -2] = 0  # an RY that is dead as well
    assert geometry.judge_dead(found | {key: replace(alive, values=values)}).verdict == "no"


def test_ranks_add_up(found):
    table = geometry.ranks(found)
    assert (
        len(table) == len(ANSATZE) * len(geometry.OF_WIRES)
        and (table["rank of all"] <= table["rank of weights"] + table["rank of readout"]).all()
    )
    assert (table["all"] - table["rank of all"] >= table["dead weights"] + table["dead readout"]).all()
    for (measurement, ansatz), j in found.items():
        assert len(j.null_vectors()) == len(j.names) - j.rank, (measurement, ansatz)
        for vector in j.null_vectors():
            direction = np.array([vector.get(name, 0.0) for name in j.names])
            np.testing.assert_allclose(j.values @ direction, 0, atol=1e-5)


@pytest.mark.parametrize(
    "spec",
    [
        CircuitSpec(3, 2, "angle_xy", "ring", "z0", reupload=True),
        CircuitSpec(3, 2, measurement="z0", hadamard=True),
        CircuitSpec(2, 1, "amplitude", measurement="z0"),
    ],
)
def test_state_vectors_are_those_of_dense_matrices(spec, rng):
    params, X = reference.random_params(spec, rng), rng.uniform(0.1, np.pi, (2, spec.features))
    z = barren.expectations(spec, np.stack([params["weights"]] * 2), X)
    np.testing.assert_allclose(z[:, 0], [reference.dense_score(spec, params, x) for x in X], atol=1e-12)
    mean = [reference.dense_score(replace(spec, measurement="mean_z"), params, x) for x in X]
    np.testing.assert_allclose(z[:, :-1].mean(axis=1), mean, atol=1e-12)


def test_one_wire_gradient_variance_is_the_closed_form(rng):
    """One wire, one layer: <Z> after RY(x), then RZ(a) RY(b): z = cos b cos x - sin b cos a sin x; Var over a, b, x is 3/8."""
    found = barren.gradient_variance(CircuitSpec(1, 1), 40_000, rng)
    assert found["z0"] == found["mean_z"] == found["global"] == pytest.approx(3 / 8, rel=0.03)


def as_a_layer(weights, wires, layer):
    """What `ring` queues, as a layer of any gates."""
    for i in wires:
        qml.RZ(weights[i, 0], wires=i)
        qml.RY(weights[i, 1], wires=i)
        qml.RZ(weights[i, 2], wires=i)
    for i in wires:
        qml.CNOT(wires=[i, (i + 1) % wires])


def two_weights(weights, wires, layer):
    for i in wires:
        qml.RY(weights[i, 0] + weights[i, 1], wires=i)
    qml.CRX(weights[0, 1], wires=[0, 1])


def test_gradients_of_a_layer_of_any_gates_are_those_of_the_pattern_by_shifts(rng):
    pattern, layer = CircuitSpec(3, 2, ansatz="ring"), CircuitSpec(3, 2, ansatz=as_a_layer)
    weights, X = rng.uniform(-np.pi, np.pi, (4, 2, 3, 3)), rng.uniform(0, np.pi, (4, 3))
    shifts, engine = barren._by_shifts(pattern, weights, X), barren._by_engine(layer, weights, X)
    np.testing.assert_allclose(engine.reshape(4, 3, 3, 3)[..., 1], shifts, atol=1e-10)
    params = reference.random_params(pattern, rng)
    direct = Objective(alpha_mode="direct")
    by_pattern, by_layer = (
        geometry.jacobian(make_engine("exact", spec, direct, precision="float64"), params, X) for spec in (pattern, layer)
    )
    np.testing.assert_allclose(by_layer.values, by_pattern.values, atol=1e-10)
    assert by_layer.names == by_pattern.names


def test_weights_of_another_shape_and_wires_that_a_layer_refuses():
    spec = CircuitSpec(4, 1, ansatz=Layer(two_weights, lambda n: (n, 2)))
    wires, depths = barren.grid(spec, quick=True)
    assert (wires, depths) == ([2, 4, 6], [1, 3])
    assert (barren.variances(spec, wires[:2], (1,), 5, seed=0)["z0"] > 0).all()

    def four(weights, wires, layer):
        qml.RX(weights[3, 0], wires=3)

    only = CircuitSpec(4, 1, ansatz=Layer(four, (4, 1)))
    assert barren.grid(only, quick=True)[0] == [4, 6]
    one_size = barren.variances(only, (4,), (1,), 5, seed=0)
    assert barren.judge_plateau(one_size, 1, "z0").verdict == "inconclusive"


def test_the_geometry_of_a_model_has_its_own_parts_beside_the_packages(rng):
    words = Measurement(None, rotated=True, words=["ZI", "XX"])
    config = TrainConfig(wires=2, layers=1, ansatz=as_a_layer, measurement=words, engine="exact")
    float64 = partial(make_engine, "exact", precision="float64")
    found = geometry.identifiability(config, rng.uniform(0, np.pi, (12, 2)), rng, float64)
    assert len(found) == (len(ANSATZE) + 1) * (len(geometry.OF_WIRES) + 1)
    mine = found[config.measurement, config.ansatz]
    assert mine.names[-8:] == ["readout[0]", "readout[1]", *(f"readout[{i}, {k}]" for i in range(2) for k in range(3))]
    assert geometry.judge_dead(found).verdict == "yes"


def test_the_verdict_on_barren_plateaus():
    rows = [
        {"wires": n, "layers": d, "z0": 0.1 / n, "mean_z": 2.0 ** -(0.4 * n) / n**2, "global": 2.0**-n}
        for d in (1, 4)
        for n in (2, 4, 6, 8)
    ]
    table = pd.DataFrame(rows)
    verdicts = {name: barren.judge_plateau(table, 4, name) for name in ("z0", "mean_z", "global")}
    assert {k: v.verdict for k, v in verdicts.items()} == {"z0": "inconclusive", "mean_z": "inconclusive", "global": "yes"}
    assert verdicts["global"].figures["bits_per_wire"]["global"][4] == pytest.approx(1.0)
    assert barren.judge_plateau(table.assign(z0=0.1), 4, "z0").verdict == "no"


def test_a_shallow_local_observable_keeps_its_gradient_and_a_global_one_does_not():
    table = barren.variances(CircuitSpec(4, 1), (2, 4, 6, 8), (1,), 300, seed=0)
    assert barren.judge_plateau(table, 1, "global").verdict == "yes"


def outcome(scale, y, rng):
    """A trained model whose score separates the classes, with a logit `scale` times it; start: no separation."""
    s = 0.3 * (2 * y - 1) + 0.05 * rng.normal(size=len(y))
    return {"start": {"s": 0.01 * rng.normal(size=len(y)), "l": 0 * y}, "end": {"s": s, "l": scale * s}, "y": y}


def test_the_verdict_on_what_alpha_carries(rng):
    y = (rng.uniform(size=200) < 0.5).astype(float)
    needed = geometry.carried({name: outcome(20.0, y, rng) for name in ("z0", "mean_z", "z_vec", "mean_z_readout")})
    assert geometry.judge_alpha(needed).verdict == "yes"
    assert (needed["trained"] < needed["trained circuit, alpha = 1"]).all()
    assert (needed["trained circuit, alpha = 1"] < needed["prior alone"]).all()
    np.testing.assert_allclose(needed["untrained circuit, best alpha"], needed["prior alone"], atol=0.03)
    idle = geometry.carried({name: outcome(1.0, y, rng) for name in ("z0", "mean_z", "z_vec", "mean_z_readout")})
    assert geometry.judge_alpha(idle).verdict == "no"
