"""Engines made by hand in every probe that trains or differentiates: the same findings, said to be by hand; others are refused."""

from dataclasses import replace

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.core.engine import make_engine
from qnb.core.objective import Objective
from qnb.data.prepare import prepare
from qnb.errors import ParameterError
from qnb.probes import alpha, focal, geometry, suspects, zvec
from qnb.probes.subject import SmallModelConfig, Subject, subject
from qnb.studies.diagnosis.reproduce import reproduce
from qnb.studies.explore import Bench
from qnb.studies.surrogate import trained

SMALL = {"wires": 1, "layers": 1, "batch": 40, "lr": 0.1, "engine": "exact"}


class Mine:
    """An engine of one's own, made for each circuit and head that a probe asks for, which counts what it is asked."""

    name, made, asked = "mine", 0, 0

    def __init__(self, spec, objective):
        self.right = make_engine("exact", spec, objective, precision="float64")
        self.spec, self.objective, self.dtype = spec, objective, self.right.dtype
        Mine.made += 1

    def scores(self, params, X):
        Mine.asked += 1
        return self.right.scores(params, X)

    def loss_and_grad(self, params, X, y, w):
        Mine.asked += 1
        return self.right.loss_and_grad(params, X, y, w)

    def compile(self, batch):
        return self.right.compile(batch)


def descents(found):
    return {name: descent.history["bce"].to_numpy() for name, descent in found.items()}


def of_alpha(config, prepared, make):
    return descents(alpha.trainings(config, prepared, 0.05, 0.5, 5, 0, make))


def of_focal(config, prepared, make):
    return descents(focal.trainings(config, prepared, 2.0, 0.05, 2.0, 5, 0, make))


def of_geometry(config, prepared, make):
    found = geometry.trainings(config, prepared, 3, 0, make)
    jacobians = geometry.identifiability(config, prepared.X["val"][:3], np.random.default_rng(0), make)
    return descents({name: sides["descent"] for name, sides in found.items()}) | {k: j.values for k, j in jacobians.items()}


def of_zvec(config, prepared, make):
    config = config.model_copy(update={"measurement": "z_vec"})
    case = Subject(config, prepared, "", "").with_engines(make)
    found = zvec.measure(case.engine(Objective(alpha_mode="direct")), prepared.X["val"][:2], np.random.default_rng(0))
    return found.ways


def of_suspects(config, prepared, make):
    figures = suspects.compiler_figures(Subject(config, prepared, "", "").with_engines(make))
    return {"gate": np.array(figures["gate_now"] == "pass")}


def of_diagnosis(config, prepared, make):
    sides = [{**of, "test": of["val"]} for of in (prepared.X, prepared.y)]
    found = reproduce(Subject(config, replace(prepared, X=sides[0], y=sides[1]), "", "").with_engines(make))
    return {"right": np.array(not found.gradient_is_wrong)}


def of_explore(config, prepared, make):
    bench = Bench(config, prepared, make=make)
    return bench.read(bench.start(0)).gradient


@pytest.mark.parametrize(
    "probe", [of_alpha, of_focal, of_geometry, of_zvec, of_suspects, of_diagnosis, of_explore], ids=lambda f: f.__name__
)
def test_a_probe_takes_engines_made_by_hand_and_finds_the_same_with_them(probe, prepared):
    config = TrainConfig(**SMALL)
    expected, asked = probe(config, prepared, None), Mine.asked
    found = probe(config, prepared, Mine)
    assert Mine.asked > asked
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=2e-4, err_msg=str(name))
    with pytest.raises(ParameterError, match="The engine is of another model than the configuration: layers is 2"):
        probe(config, prepared, lambda spec, objective: Mine(replace(spec, layers=2), objective))


def test_every_figure_of_a_probe_on_engines_made_by_hand_says_so():
    config = SmallModelConfig(data="breast_cancer", sample=200, wires=2, layers=1)
    assert "made by hand" not in subject(config).note
    assert subject(config, make=Mine).note.endswith(" · engine mine, float64, made by hand")


def test_the_model_of_a_surrogate_trains_on_the_engine_made_by_hand():
    config = TrainConfig(
        data="breast_cancer", sample=200, wires=2, layers=1, batch=16, epochs=1, fixed_num_batches=2, baselines=()
    )
    case = Subject(config, prepare(config), "", "").with_engines(Mine)
    assert trained(case)[1]["engine"] == "mine, float64, made by hand"
