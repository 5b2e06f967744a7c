"""Parametrized notebooks for training and diagnosing variational quantum classifiers on PennyLane Catalyst.

Public names are imported when they are first used, so that `qnb runs` does not wait for a compiler.
"""

import importlib
import sys
import types
from typing import Any

_HOME = {
    "CircuitSpec": "circuit",
    "DataError": "values",
    "EngineError": "engine",
    "GateReport": "gate",
    "Model": "model",
    "ModelError": "model_file",
    "Objective": "objective",
    "ParameterError": "config",
    "QnbError": "config",
    "QuantumClassifier": "estimator",
    "Surrogate": "surrogate",
    "Table": "data",
    "TrainConfig": "config",
    "TrainResult": "train",
    "WrongGradientError": "gate",
    "check_gradient": "gate",
    "check_gradient_of": "gate",
    "load_model": "model",
    "load_surrogate": "surrogate",
    "load_table": "data",
    "make_engine": "engine",
    "read_table": "data",
    "train_all": "train",
    "versions": "stack",
}
__all__ = sorted([*_HOME, "prepare", "train"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"qnb.{_HOME[name]}"), name)
    raise AttributeError(f"module 'qnb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _function(name: str) -> property:
    """The function of that name, also after the module of the same name has been imported: the import system binds it here."""
    return property(lambda package: getattr(importlib.import_module(f"qnb.{name}"), name), lambda package, module: None)


class _Package(types.ModuleType):
    """`qnb.train` and `qnb.prepare` are the functions."""

    prepare = _function("prepare")
    train = _function("train")


sys.modules[__name__].__class__ = _Package
