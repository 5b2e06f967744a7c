"""The components of a run and their references, in one table.

A component is a set of parameters. Its reference are the package's defaults, which learn on every table of
the benchmark (`benchmarks/silent_faults.py`). A component at its reference is cleared without training,
because changing it would give the same configuration.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qnb.config import TrainConfig
from qnb.core.engine import DEFAULT_DEVICE
from qnb.data.features import ANGLE_RANGES
from qnb.data.prepare import Prepared, prepare
from qnb.training.batches import batches_per_epoch

LAYERS = 3  # of the reference circuit, at least
STEPS = 300  # of the reference length, at least
TWICE = 2  # times the run's epochs is the reference length
SHARE, SHARE_OF_MORE = 0.15, 0.25  # of what the AUC lacks to 1 that a change must restore; see `decision`
SAME_ANGLE = 1e-6  # rad


@dataclass(frozen=True)
class Component:
    """Parameters that are changed together.

    Attributes:
        reference: by parameter, its value, or a function of the configuration and its batches per epoch.
        words: the component's name in a sentence.
        share: of the AUC's gap to 1, which its reference must restore to be blamed.
    """

    name: str
    reference: dict[str, Any]
    words: str
    share: float = SHARE


def _epochs(config: TrainConfig, batches: int) -> int:
    return max(TWICE * config.epochs, math.ceil(STEPS / batches))


def _layers(config: TrainConfig, batches: int) -> int:
    return max(config.layers, LAYERS)


COMPONENTS: dict[str, Component] = {
    c.name: c
    for c in (
        Component("gradient", {"engine": "exact", "device": DEFAULT_DEVICE, "gate": "on"}, "the gradient"),
        Component(
            "rate",
            {"lr": 0.05, "lr_schedule": "constant", "lr_mult_weights": 1.0, "weight_decay_weights": 0.0},
            "the learning rate",
        ),
        Component(
            "length",
            {"epochs": _epochs, "early_stop_patience": None},
            "the length of the training",
            SHARE_OF_MORE,
        ),
        Component(
            "objective",
            {
                "focal_gamma": 0.0,
                "alpha_mode": "softplus",
                "alpha_train": True,
                "class_weights": None,
                "balanced_batches": False,
                "balanced_pos_frac": 0.5,
                "prior_correction": "none",
                "lr_mult_alpha": 1.0,
                "weight_decay_alpha": 0.0,
                "val_objective": "auc",
            },
            "the objective",
        ),
        Component(
            "readout",
            {"measurement": "mean_z_readout", "lr_mult_readout": 1.0, "weight_decay_readout": 0.0},
            "the readout",
        ),
        Component(
            "encoding",
            {
                "encoder": "angle_y",
                "rescale": "quantile",
                "angle_range": "0_pi",
                "reupload": False,
                "hadamard": False,
                "scaling": False,
                "lr_mult_scaling": 1.0,
                "weight_decay_scaling": 0.0,
            },
            "the encoding",
        ),
        Component(
            "circuit", {"ansatz": "strongly_entangling", "layers": _layers}, "the circuit", SHARE_OF_MORE
        ),
        Component("data", {}, "the data"),  # has interventions of its own, see `qnb.studies.diagnosis.data`
    )
}
TRAINED = tuple(name for name in COMPONENTS if name not in ("gradient", "data"))  # by changing parameters


def reference_of(config: TrainConfig, name: str, batches: int) -> dict[str, Any]:
    """The parameters of a component that differ from its reference, with the reference's values.

    Args:
        batches: per epoch.
    """
    changes = {}
    for parameter, value in COMPONENTS[name].reference.items():
        wanted = value(config, batches) if callable(value) else value
        if getattr(config, parameter) != wanted:
            changes[parameter] = wanted
    return changes


def changed(config: TrainConfig, names: tuple[str, ...], batches: int) -> TrainConfig:
    """The configuration with these components at their reference.

    Args:
        batches: per epoch.

    Raises:
        ParameterError: a reference contradicts the rest of the configuration.
    """
    changes: dict[str, Any] = {}
    for name in names:
        changes |= reference_of(config, name, batches)
    return TrainConfig.make(dict(config) | changes)


def batches_of(config: TrainConfig, prepared: Prepared) -> int:
    """Number of batches per epoch."""
    return batches_per_epoch(len(prepared.y["train"]), config.batch, config.fixed_num_batches)


def with_reference_angles(prepared: Prepared, config: TrainConfig) -> Prepared:
    """The same rows with each feature's training range mapped to the angle range of `config`.

    For a feature mapped by quantiles that is its value with this range instead of its own. Amplitudes, and
    rows that were rescaled in another way, are prepared again.

    Raises:
        DataError: the table can no longer be read.
    """
    rescaled = prepared.asked.get("rescale", config.rescale) != config.rescale
    if rescaled or config.features != prepared.X["train"].shape[1]:
        return prepare(config)
    low, high = prepared.X["train"].min(axis=0), prepared.X["train"].max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    to_angle = ANGLE_RANGES[config.encoding]
    X = {side: to_angle(np.clip((rows - low) / width, 0, 1)) for side, rows in prepared.X.items()}
    asked = prepared.asked | ({"angle_range": config.encoding} if "angle_range" in prepared.asked else {})
    return replace(prepared, X=X, asked=asked)


def same_angles(a: Prepared, b: Prepared) -> bool:
    """Whether two preparations give the circuit the same angles, within SAME_ANGLE (rad)."""
    return all(
        a.X[side].shape == b.X[side].shape
        and float(np.abs(a.X[side] - b.X[side]).max(initial=0)) < SAME_ANGLE
        for side in a.X
    )
