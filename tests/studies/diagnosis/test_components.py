"""References: one table, each a configuration that can be trained; angles that come back."""

from dataclasses import replace

import numpy as np
import pytest
from silent_runs import SOUND

from benchmarks.faulty_runs import of_range
from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.studies.diagnosis.components import (
    COMPONENTS,
    changed,
    reference_of,
    same_angles,
    with_reference_angles,
)

ODD = [
    {"encoder": "amplitude", "engine": "exact"},
    {"encoder": "angle_xy", "reupload": True},
    {"hadamard": True, "angle_range": "pm_pi"},
    {"engine": "one_sample_demo", "gate": "off"},
    {"measurement": "z_vec", "lr_mult_readout": 0.0, "weight_decay_readout": 1.0},
    {"balanced_batches": True, "balanced_pos_frac": 0.2, "prior_correction": "importance"},
    {"focal_gamma": 2.0, "alpha_mode": "direct", "class_weights": "balanced"},
    {"alpha_train": False, "val_objective": "f1", "early_stop_patience": 1},
    {"ansatz": "ring", "layers": 1, "device": "default.qubit"},
    {"lr": 3.0, "lr_schedule": "onecycle", "lr_mult_weights": 0.0, "weight_decay_weights": 9.0, "lr_mult_alpha": 2.0},
]


@pytest.mark.parametrize("values", ODD)
@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_goes_to_its_reference_and_stays(values, name):
    config = TrainConfig(**values)
    before = reference_of(config, name, 30)
    after = changed(config, (name,) if name == "gradient" else ("gradient", name), 30)
    if name != "length":
        assert reference_of(after, name, 30) == {}
    assert all(getattr(after, parameter) == value for parameter, value in before.items())
    everything = changed(config, tuple(COMPONENTS), 30)
    assert all(not reference_of(everything, other, 30) for other in COMPONENTS if other != "length")


def test_the_defaults_are_the_reference_and_no_parameter_has_two():
    config = TrainConfig(engine="exact")
    assert all(not reference_of(config, name, 30) for name in COMPONENTS if name != "length")
    assert reference_of(config, "length", 30) == {"epochs": 16}
    assert reference_of(TrainConfig(epochs=1), "length", 5) == {"epochs": 60}
    named = [parameter for component in COMPONENTS.values() for parameter in component.reference]
    assert len(set(named)) == len(named) and set(named) <= set(TrainConfig.model_fields)


@pytest.mark.parametrize("angle_range", ["pm_pi", "pm_pi_2", "0_pi"])
def test_angles_of_every_range_come_back(angle_range):
    config = TrainConfig(data="breast_cancer", sample=None, wires=3, angle_range=angle_range)
    reference = prepare(config.model_copy(update={"angle_range": "0_pi"}))
    found = with_reference_angles(prepare(config), changed(config, ("encoding",), 30))
    assert same_angles(found, reference) and found.asked == reference.asked


def test_angles_that_collapsed_come_back_and_a_constant_wire_stays(table):
    config = TrainConfig(**SOUND)
    for low, high in ((0.2, 0.2001), (-40.0, 40.0)):
        assert not same_angles(of_range(table, low, high), table)
        assert same_angles(with_reference_angles(of_range(table, low, high), config), table)
    dead = replace(table, X={k: x * [1, 0, 1] for k, x in table.X.items()})
    back = with_reference_angles(dead, config)
    assert np.ptp(back.X["train"][:, 1]) == 0


def test_amplitudes_are_prepared_anew():
    config = TrainConfig(data="breast_cancer", sample=None, wires=2, encoder="amplitude", engine="exact")
    prepared = prepare(config)
    found = with_reference_angles(prepared, changed(config, ("encoding",), 30))
    assert prepared.X["train"].shape[1] == 4 and found.X["train"].shape[1] == 2
    assert found.X["train"].max() == pytest.approx(np.pi)


@pytest.mark.parametrize("rescale", ["minmax", "none"])
def test_features_that_were_rescaled_otherwise_are_prepared_anew(rescale):
    config = TrainConfig(data="breast_cancer", sample=None, wires=3, rescale=rescale)
    found = with_reference_angles(prepare(config), changed(config, ("encoding",), 30))
    assert same_angles(found, prepare(config.model_copy(update={"rescale": "quantile"})))
