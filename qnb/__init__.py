"""Parametrized notebooks for training and diagnosing variational quantum classifiers on PennyLane Catalyst.

Public names are imported when they are first used, so that `qnb runs` does not wait for a compiler.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names, for those who read types instead of running
    from qnb.circuit import CircuitSpec as CircuitSpec
    from qnb.config import ParameterError as ParameterError
    from qnb.config import QnbError as QnbError
    from qnb.config import TrainConfig as TrainConfig
    from qnb.data import Table as Table
    from qnb.data import load_table as load_table
    from qnb.data import read_table as read_table
    from qnb.engine import EngineError as EngineError
    from qnb.engine import make_engine as make_engine
    from qnb.estimator import QuantumClassifier as QuantumClassifier
    from qnb.gate import GateReport as GateReport
    from qnb.gate import WrongGradientError as WrongGradientError
    from qnb.gate import check_gradient as check_gradient
    from qnb.gate import check_gradient_of as check_gradient_of
    from qnb.model import Model as Model
    from qnb.model import load_model as load_model
    from qnb.model_file import ModelError as ModelError
    from qnb.objective import Objective as Objective
    from qnb.prepare import prepare as prepare
    from qnb.stack import versions as versions
    from qnb.surrogate import Surrogate as Surrogate
    from qnb.surrogate import load_surrogate as load_surrogate
    from qnb.train import TrainResult as TrainResult
    from qnb.train import train as train
    from qnb.train import train_all as train_all
    from qnb.values import DataError as DataError

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


if not TYPE_CHECKING:  # or a misspelt name would pass a type checker

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
