"""Parametrized notebooks for training and diagnosing variational quantum classifiers on PennyLane Catalyst.

Public names are imported when they are first used, so that `qnb runs` does not wait for a compiler.
"""

import importlib
import sys
import types

_HOME = {
    "CircuitSpec": "circuit",
    "DataError": "values",
    "EngineError": "engine",
    "GateReport": "gate",
    "Model": "model",
    "ModelError": "model",
    "Objective": "objective",
    "ParameterError": "config",
    "QnbError": "config",
    "Table": "data",
    "TrainConfig": "config",
    "TrainResult": "train",
    "WrongGradientError": "gate",
    "check_gradient": "gate",
    "check_gradient_of": "gate",
    "load_model": "model",
    "load_table": "data",
    "make_engine": "engine",
    "prepare": "prepare",
    "read_table": "data",
    "versions": "stack",
}
__all__ = sorted([*_HOME, "train"])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"qnb.{_HOME[name]}"), name)
    raise AttributeError(f"module 'qnb' has no attribute {name!r}")


def __dir__():
    return __all__


class _Package(types.ModuleType):
    """`qnb.train` is the function, also after the module of that name has been imported."""

    @property
    def train(self):
        return importlib.import_module("qnb.train").train

    @train.setter
    def train(self, module):
        pass  # the import system binds the submodule here


sys.modules[__name__].__class__ = _Package
