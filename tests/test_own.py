"""Parts of one's own by their texts: what is another part, what is found, run, refused and shipped."""

import contextlib
import copy
import functools
import json
import pickle

import numpy as np
import pennylane as qml
import pytest
import yaml

from qnb import own
from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec, Layer, Measurement, Pattern
from qnb.errors import ParameterError
from qnb.files import plain
from qnb.studies.sweep.arms import SweepConfig
from qnb.studies.sweep.plan import overrides

TEXT = """import pennylane as qml
from qnb.core.circuit import Measurement


def mine(weights, wires, layer):
    for i in wires:
        qml.RX(weights[i, 0], wires=i)


parity = Measurement(words=lambda n: ["Z" * n])
number = 3
"""


@pytest.fixture
def project(tmp_path):
    """A project with a file of circuits beside its notebooks."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "circuits.py").write_text(TEXT)
    with own.looked_for_in(tmp_path):
        yield tmp_path


def layer(weights, wires, layer):
    qml.RX(weights[0, 0], wires=0)


def made(scale, helper=None):
    def mine(weights, wires, layer):
        qml.RX(scale * weights[0, 0], wires=0)
        if helper is not None:
            helper(weights)

    return mine


def test_a_file_is_found_beside_the_notebooks_and_in_the_project(project):
    first = own.part("circuits.py:mine")
    assert (first.name, first.file, first.text) == ("mine", "circuits.py", TEXT)
    assert str(first) == f"circuits.py:mine@{first.sha256[:16]}"
    assert own.part(str(first)) == first and own.part("circuits.py:mine").value is first.value
    (project / "circuits.py").rename(project / "notebooks" / "circuits.py")
    assert own.part("circuits.py:mine") == first
    (project / "circuits.py").write_text(TEXT + "\n")
    with pytest.raises(ParameterError, match="with different texts: keep one"):
        own.part("circuits.py:mine")


def test_without_a_project_said_it_is_that_of_the_working_directory(project):
    (project / "below").mkdir()
    with contextlib.chdir(project / "below"):
        token = own._project.set(None)
        try:
            assert own.part("circuits.py:mine").name == "mine"
        finally:
            own._project.reset(token)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("circuit.py:mine", r"no file 'circuit.py' in .*notebooks or"),
        ("circuits.py:yours", "defines no 'yours'. It defines: Measurement, mine"),
        ("../outside.py:mine", "leads out of the project"),
        ("executed/train/run/source/mine.py:mine", "code is not run from run folders"),
        ("circuits.py:mine@0000000000000000", r"circuits\.py has changed: mine was recorded from .* 0000000000000000"),
        ("mine@0000000000000000", "was written in a cell, and nothing that is stored is run"),
        ("broken.py:mine", "broken.py fails when it is run: ZeroDivisionError"),
        ("wrong.py:mine", "wrong.py fails when it is run: SyntaxError"),
        ("needs.py:mine", "takes helper from helper, which is not installed"),
    ],
)
def test_what_is_not_a_part_is_refused_with_the_reason(given, message, project, monkeypatch):
    (project.parent / "outside.py").write_text(TEXT)
    for name, text in {
        "executed/train/run/source/mine.py": TEXT,
        "broken.py": "mine = 1 / 0\n",
        "wrong.py": "def mine(:\n",
        "helper.py": "scale = 2\n",
        "needs.py": "import helper\n" + TEXT,
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    monkeypatch.syspath_prepend(project)
    with pytest.raises(ParameterError, match=message):
        own.part(given)


def test_a_text_that_was_sent_along_counts_for_its_hash_and_no_other(project, monkeypatch):
    monkeypatch.setattr(own, "_shipped", {})
    first = own.part("circuits.py:mine")
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    own.ship({first.sha256: first.text})
    assert own.part(str(first)) == first  # as it was recorded
    assert own.part("circuits.py:mine") != first  # as it is
    with pytest.raises(ParameterError, match="whose hash is not"):
        own.ship({first.sha256: TEXT + " "})


def test_another_text_is_another_part_under_the_same_name():
    def again(weights, wires, layer):
        qml.RY(weights[0, 0], wires=0)

    again.__name__ = "layer"
    parts = [
        layer,
        again,
        made(1.0),
        made(2.0),
        made(1.0, lambda w: w),
        made(1.0, made(1.0)),
        functools.partial(made(1.0), layer=0),
    ]
    parts += [Layer(layer), Layer(layer, (2, 2)), Pattern(lambda n, k: []), Measurement(words=["Z"]), ["Z"], ["X"], np.cos]
    texts = [str(own.part(part)) for part in parts[:-1]]
    assert len(set(texts)) == len(texts)
    assert own.part(made(1.0)) == own.part(made(1.0)) and own.part(layer) == own.part(layer)
    with pytest.raises(ParameterError, match="a function written in Python was expected"):
        own.part(np.cos)


def test_a_part_is_copied_pickled_and_written_as_its_text(project):
    part = own.part("circuits.py:mine")
    assert copy.deepcopy(part) is part
    named = own.Own(len, "length", None, "text")
    back = pickle.loads(pickle.dumps(named))
    assert back == named and back.value is len and back.sha256 == named.sha256
    config = TrainConfig(ansatz=part)
    assert type(plain(config)["ansatz"]) is str and type(plain({"a": part})["a"]) is str
    assert yaml.safe_load(yaml.safe_dump(plain(config)))["ansatz"] == str(part)
    assert json.loads(config.model_dump_json())["ansatz"] == str(part)


def test_a_configuration_takes_functions_and_files_and_its_hash_has_their_text(project):
    named = TrainConfig.make({"ansatz": "circuits.py:mine", "measurement": "circuits.py:parity"})
    assert named.ansatz.value(np.zeros((1, 3)), range(0), 0) is None and named.changed("ansatz")
    assert TrainConfig.make(plain(named)) == named and TrainConfig.make(plain(named)).hash() == named.hash()
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    assert TrainConfig.make({"ansatz": "circuits.py:mine", "measurement": "circuits.py:parity"}).hash() != named.hash()
    hashes = {TrainConfig(ansatz=part).hash() for part in ("ring", layer, made(1.0), made(2.0))}
    assert len(hashes) == 4
    assert CircuitSpec(2, 1, ansatz=TrainConfig(ansatz=layer).ansatz) == CircuitSpec(2, 1, ansatz=layer)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ansatz": 3}, "Parameter ansatz = 3"),
        ({"ansatz": "rings"}, "Did you mean 'ring'"),
        ({"ansatz": "nowhere.py:mine"}, "no file 'nowhere.py'"),
        ({"measurement": Measurement(), "lr_mult_readout": 2.0}, "lr_mult_readout has no effect"),
        ({"measurement": ["ZZ"], "weight_decay_readout": 0.1}, "weight_decay_readout has no effect"),
        ({"encoder": layer, "hadamard": True}, "hadamard goes with encoder='angle_y' only"),
    ],
)
def test_a_configuration_refuses_what_has_no_effect_or_is_none(values, message, project):
    with pytest.raises(ParameterError, match=message):
        TrainConfig.make(values)


def test_a_trained_measurement_of_ones_own_has_a_readout():
    for measurement in (Measurement(None), Measurement(rotated=True)):
        assert TrainConfig(measurement=measurement, lr_mult_readout=2.0).lr_mult_readout == 2.0


def test_arms_of_a_sweep_carry_the_text_to_its_workers(project, monkeypatch):
    arms = {"mine": {"ansatz": "circuits.py:mine"}, "none": {"ansatz": "unentangled"}}
    sweep = SweepConfig.make({"arms": arms, "wires": 2})
    (one, *_) = sweep.plan()
    injected = overrides(one.config)
    text = own.texts_of(one.config)
    assert injected["ansatz"] == str(own.part("circuits.py:mine")) and list(text.values()) == [TEXT]
    assert SweepConfig.make(plain(sweep)).hash() == sweep.hash()
    (project / "circuits.py").write_text(TEXT.replace("RX", "RY"))
    assert SweepConfig.make({"arms": arms, "wires": 2}).hash() != sweep.hash()
    with pytest.raises(ParameterError, match="has changed"):
        TrainConfig.make(injected)
    monkeypatch.setattr(own, "_shipped", {})
    own.ship(text)
    assert TrainConfig.make(injected).hash() == one.config.hash()
