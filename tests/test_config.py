import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from qnb.config import (
    READOUT_MEASUREMENTS,
    AnsatzName,
    BaselineName,
    BaselinesConfig,
    CircuitConfig,
    DataConfig,
    EncoderName,
    EngineConfig,
    EngineName,
    MeasurementName,
    ObjectiveConfig,
    OptimiserConfig,
    SelectionConfig,
    SplitName,
    TrainConfig,
)
from qnb.core.circuit import ANSATZE, ENCODERS, MEASUREMENTS, CircuitSpec
from qnb.core.engine import ENGINES
from qnb.data.prepare import DECIDES_ROWS, DECIDES_TABLE
from qnb.data.splits import SPLITS
from qnb.errors import ParameterError, nearest
from qnb.studies.ablation import AblationConfig
from qnb.training.baselines import NAMES

ROOT = Path(__file__).parent.parent
GROUPS = (DataConfig, CircuitConfig, EngineConfig, ObjectiveConfig, OptimiserConfig, SelectionConfig, BaselinesConfig)


def test_names_are_those_of_circuit_engine_and_splits():
    assert get_args(AnsatzName) == tuple(ANSATZE) and get_args(MeasurementName) == tuple(MEASUREMENTS)
    assert get_args(EncoderName) == tuple(ENCODERS) and get_args(get_args(EngineName)[0]) == tuple(ENGINES)
    assert get_args(SplitName) == tuple(SPLITS) and get_args(BaselineName) == tuple(NAMES)
    assert tuple(m for m in MEASUREMENTS if CircuitSpec(measurement=m).has_readout) == READOUT_MEASUREMENTS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 3}, "Unknown parameter 'sed' for TrainConfig. Did you mean 'seed'?"),
        ({"learning_rate": 0.1}, "Unknown parameter 'learning_rate'"),
        ({"seed": "three"}, "Parameter seed = 'three': input should be a valid integer. Default: 0."),
        ({"seed": 1.5}, "Parameter seed = 1.5"),
        ({"seed": True}, "Parameter seed = True"),
        ({"reupload": 1}, "Parameter reupload = 1: input should be a valid boolean"),
        ({"lr": "0.1"}, "Parameter lr = '0.1'"),
        ({"lr": 0}, "Parameter lr = 0: input should be greater than 0"),
        ({"lr": float("nan")}, "Parameter lr = nan: input should be a finite number"),
        ({"wires": 21}, "less than or equal to 20"),
        ({"measurement": "mean-z-readout"}, "Did you mean 'mean_z_readout'?"),
        ({"leaks": ["formatting", "sesions"]}, "Parameter leaks"),
        ({"class_weights": "balance"}, "Did you mean 'balanced'?"),
        ({"val_fraction": 1.0}, "less than 1"),
        ({"fixed_num_batches": 0}, "greater than or equal to 1"),
    ],
)
def test_unknown_mistyped_and_out_of_range_values_name_themselves(values, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        TrainConfig.make(values)


CONTRADICTIONS = pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"focal_gamma": 2.0, "balanced_batches": True}, "both reweight the classes"),
        ({"class_weights": "balanced", "balanced_batches": True}, "both reweight the classes"),
        ({"prior_correction": "importance"}, "set balanced_batches=True"),
        ({"balanced_pos_frac": 0.3}, "balanced_pos_frac has no effect"),
        ({"hadamard": True, "encoder": "angle_xy"}, "hadamard goes with encoder='angle_y' only"),
        ({"encoder": "amplitude", "wires": 3, "engine": "catalyst"}, "cannot be trained by engine='catalyst'"),
        ({"encoder": "amplitude", "engine": "exact", "reupload": True}, "cannot be re-uploaded"),
        ({"encoder": "amplitude", "engine": "exact", "angle_range": "pm_pi"}, "angle_range has no effect"),
        ({"rescale": "none", "angle_range": "pm_pi"}, "angle_range has no effect with rescale='none'"),
        ({"engine": "exact", "device": "lightning.gpu"}, "device='lightning.gpu' has no effect"),
        ({"measurement": "mean_z", "lr_mult_readout": 2.0}, "lr_mult_readout has no effect"),
        ({"measurement": "z0", "weight_decay_readout": 0.1}, "weight_decay_readout has no effect"),
        ({"alpha_train": False, "lr_mult_alpha": 0.1}, "no effect with alpha_train=False"),
        ({"data": "breast_cancer", "leaks": []}, "leaks belongs to data='bundled'"),
        ({"data": "wine", "attack_ring": 2.0}, "attack_ring belongs to data='bundled'"),
        ({"data": "wine", "attack_share": 0.5}, "attack_share belongs to data='bundled'"),
        ({"data": "breast_cancer", "data_seed": 1}, "data_seed belongs to data='bundled'"),
        ({"label": "Attack_label"}, "has its label built in"),
        ({"scaling": False, "lr_mult_scaling": 0.1}, "lr_mult_scaling has no effect with scaling=False"),
        ({"scaling": False, "weight_decay_scaling": 0.1}, "weight_decay_scaling has no effect with scaling=False"),
        ({"encoder": "amplitude", "engine": "exact", "scaling": True}, "has no angles to scale"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, "leaves no rows to train on"),
        ({"min_pred_pos_rate": 0.6, "max_pred_pos_rate": 0.5}, "must be below"),
        ({"balanced_batches": True, "batch": 1}, "hold one class"),
        ({"epochs": 2, "eval_every_epochs": 3}, "only the last one would be evaluated"),
        ({"leaks": ["drift", "drift"]}, "names one thing twice"),
        ({"baselines": ["twin", "svm", "twin"]}, "baselines names one model twice"),
        ({"engine": "one_sample_demo"}, "has a wrong gradient on purpose"),
        ({"data": "t.csv", "positive": 1, "negative": 0}, "one of them says what the label means"),
        ({"data": "t.csv", "label": "y", "drop": ["y"]}, "a column has one role"),
        ({"negative": "normal"}, "has its label built in"),
        ({"test_data": "t.csv"}, "test_data belongs to a file of your own"),
        ({"data": "a.csv", "test_data": "t.csv", "test_fraction": 0.3}, "test_fraction has no effect beside test_data"),
        ({"data": "a.csv", "test_data": "t.csv", "split": "attack"}, "test_data is the test"),
        ({"split": "group", "embargo": 1.0}, "embargo belongs to split='time'"),
        ({"split": "time", "attack_test": ["Ping"]}, "attack_test belongs to split='attack'"),
    ],
)


@CONTRADICTIONS
def test_contradictions_are_errors_not_rewrites(values, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        TrainConfig.make(values)


@CONTRADICTIONS
def test_a_contradiction_belongs_to_its_groups_alone(values, message):
    """It is refused by the smallest configuration with the parameters that contradict each other, whatever else it lacks."""
    groups = [group for group in GROUPS if set(values) & set(group.model_fields)]
    least = type("Least", tuple(groups), {})
    with pytest.raises(ParameterError, match=re.escape(message)):
        least.make(values)


def test_a_column_may_be_named_by_a_number_and_one_value_is_a_list_of_one():
    assert TrainConfig.make({"data": "t.csv", "label": 34}).label == "34"
    assert TrainConfig.make({"data": "t.csv", "label": "34"}).hash() == TrainConfig.make({"data": "t.csv", "label": 34}).hash()
    assert TrainConfig.make({"split": "group", "group_by": [34, "b"]}).group_by == ("34", "b")
    for given, taken in (("?", ("?",)), (-1, (-1,)), (["?", -1], ("?", -1)), ([], ()), (float("inf"), ("inf",))):
        assert TrainConfig.make({"missing_values": given}).missing_values == taken
    with pytest.raises(ParameterError, match=r"A list is given as YAML: -y 'missing_values: \[\?\]'"):
        TrainConfig.make({"missing_values": "[?]"})
    with pytest.raises(ParameterError, match="Parameter label = True"):
        TrainConfig.make({"data": "t.csv", "label": True})


def test_the_groups_are_every_parameter_once():
    every = [name for group in GROUPS for name in group.model_fields]
    assert every == list(TrainConfig.model_fields) and len(set(every)) == len(every)
    assert set(DECIDES_TABLE) < set(DECIDES_ROWS) < set(DataConfig.model_fields)


def test_frozen_and_hashed_by_every_field():
    config = TrainConfig()
    with pytest.raises(Exception, match="frozen"):
        config.seed = 1
    assert (
        config.hash()
        == TrainConfig().hash()
        == TrainConfig.make(yaml.safe_load(json.dumps(config.model_dump(mode="json")))).hash()
    )
    assert len({TrainConfig.make(v).hash() for v in ({}, {"seed": 1}, {"lr": 0.01}, {"leaks": []}, {"wires": 4})}) == 5


def test_columns_are_named_by_numbers_and_one_name_is_a_list_of_one():
    """`-p label 34` and `-p drop ts` give a number and a text."""
    config = TrainConfig.make({"data": "t.csv", "label": 34, "drop": "ts", "time": 7, "identifiers": [1, "port"]})
    assert (config.label, config.drop, config.time, config.identifiers) == ("34", ("ts",), ("7",), ("1", "port"))
    for value in ("[a, b]", True, 1.5, [True]):
        with pytest.raises(ParameterError, match="Parameter drop"):
            TrainConfig.make({"data": "t.csv", "drop": value})
    with pytest.raises(ParameterError, match="Parameter group_by"):
        TrainConfig.make({"group_by": []})


def test_lists_from_yaml_become_tuples():
    config = TrainConfig.make({"leaks": ["drift"], "class_weights": [1, 2.5]})
    assert config.leaks == ("drift",) and config.class_weights == (1, 2.5)


def test_features_of_the_encoder():
    assert TrainConfig(wires=4).features == 4
    assert TrainConfig(wires=3, encoder="amplitude", engine="exact").features == 8


def test_nearest_says_nothing_false():
    assert nearest("sed", ["seed", "batch"]) == "Did you mean 'seed'? Valid: seed, batch."
    assert nearest("zzz", ["seed"]) == "Valid: seed."


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_parameter_sets_are_valid_deltas_with_a_header(path):
    text = path.read_text()
    values = yaml.safe_load(text)
    kind = AblationConfig if {"arms", "other_tables"} & set(values) else TrainConfig
    config = kind.make(values)
    assert text.startswith("# "), "say what it answers and what it costs"
    unchanged = [n for n, v in values.items() if n != "arms" and getattr(kind(), n) == getattr(config, n)]
    assert not unchanged, f"only deltas belong in a params file: {unchanged}"


@pytest.mark.parametrize(
    ("given", "idle", "effective"),
    [
        ({}, {"lr_mult_scaling", "balanced_pos_frac"}, {"leaks", "data_seed", "device", "angle_range", "lr_mult_readout"}),
        ({"data": "breast_cancer"}, {"leaks", "data_seed"}, {"device", "seed", "lr"}),
        ({"engine": "exact"}, {"device"}, {"leaks"}),
        ({"measurement": "mean_z"}, {"lr_mult_readout", "weight_decay_readout"}, {"lr_mult_alpha"}),
        ({"alpha_train": False}, {"lr_mult_alpha"}, {"lr_mult_readout"}),
        ({"balanced_batches": True}, set(), {"balanced_pos_frac", "prior_correction"}),
        ({"rescale": "none"}, {"angle_range"}, {"lr"}),
    ],
)
def test_a_parameter_is_idle_where_another_value_of_it_would_be_refused(given, idle, effective):
    config = TrainConfig(**given)
    found = {name for name in TrainConfig.model_fields if config.idle(name)}
    assert idle <= found and not effective & found and not {name for name in found if config.changed(name)}
    other = {"leaks": ("drift",), "data_seed": 9, "device": "lightning.kokkos", "angle_range": "pm_pi"}
    for name in idle:
        with pytest.raises(ParameterError):
            TrainConfig.make(given | {name: other.get(name, 0.25)})
