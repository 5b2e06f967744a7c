"""A trained model: everything needed to score raw rows again, in safe files (npz and JSON, never pickle)."""

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnb.circuit import CircuitSpec
from qnb.config import QnbError
from qnb.data import Table
from qnb.engine import make_engine
from qnb.features import FeatureMap
from qnb.files import atomic_write, plain
from qnb.objective import Objective
from qnb.stack import versions

FORMAT = 1
ARRAYS, META = "model.npz", "model.json"


class ModelError(QnbError):
    """A model file is missing, damaged, or not one of ours."""


@dataclass(frozen=True)
class Model:
    """A circuit with trained parameters, the transform before it and the threshold after it.

    Attributes:
        params: weights (layers, wires, 3), readout (r,), bias (), alpha () the raw one.
        threshold: decision threshold in logit space, chosen on validation rows.
        engine, device: what trained it, and scores with it.
        about: where it comes from: data source, label, whether the data is synthetic, hash of the configuration.
    """

    spec: CircuitSpec
    objective: Objective
    params: dict[str, np.ndarray]
    feature_map: FeatureMap
    threshold: float
    engine: str = "catalyst"
    device: str = "lightning.qubit"
    about: dict[str, Any] = field(default_factory=dict)

    def logits(self, table: Table | pd.DataFrame) -> np.ndarray:
        """l(x) for each raw row of the table it was trained on, (B,). Raises DataError when columns are missing or unusable."""
        X = self.feature_map.transform(table.frame if isinstance(table, Table) else table)
        return self.logits_of_features(X)

    def logits_of_features(self, X) -> np.ndarray:
        """l(x) for rows that are features already, X (B, features) -> (B,)."""
        scores = make_engine(self.engine, self.spec, self.objective, self.device).scores(self.params, X)
        return np.asarray(self.objective.logit(scores, self.params["bias"], self.params["alpha"]))

    def save(self, folder: str | Path) -> Path:
        """Write model.npz and model.json into a folder, which is made. Each file is whole or absent.

        Raises:
            ModelError: there is a model in that folder already.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / META).exists():
            raise ModelError(f"{folder} holds a model already; nothing is overwritten. Name another folder.")
        arrays = {f"params/{k}": v for k, v in self.params.items()}
        arrays |= {f"features/{k}": v for k, v in self.feature_map.arrays().items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        meta = {
            "format": FORMAT,
            "spec": asdict(self.spec),
            "objective": asdict(self.objective),
            "features": self.feature_map.meta(),
            "threshold": self.threshold,
            "engine": self.engine,
            "device": self.device,
            "about": self.about,
            "versions": versions(),
        }
        atomic_write(folder / ARRAYS, buffer.getvalue())
        atomic_write(folder / META, (json.dumps(plain(meta), indent=2, allow_nan=False) + "\n").encode())
        return folder


def load_model(folder: str | Path) -> Model:
    """The model saved in `folder`: a model folder, or a run folder with one in it.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    folder = Path(folder)
    if (folder / "model").is_dir():
        folder = folder / "model"
    meta, arrays = _read_meta(folder / META), _read_arrays(folder / ARRAYS)
    try:
        spec, objective = CircuitSpec(**meta["spec"]), Objective(**meta["objective"])
        feature_map = FeatureMap.from_parts(_under(arrays, "features/"), meta["features"])
        params = _under(arrays, "params/")
        model = Model(
            spec, objective, params, feature_map, float(meta["threshold"]), meta["engine"], meta["device"], meta["about"]
        )
    except (KeyError, TypeError, ValueError, QnbError) as error:
        raise ModelError(f"{folder / META} does not describe a model: {type(error).__name__}: {error}.") from error
    _check(model, folder)
    return model


def _read_meta(path: Path) -> dict:
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"No model in {path.parent}: {path.name} is missing. Give a run folder or its model/ folder.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}.") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise ModelError(f"{path} has model format {found!r}; this qnb reads format {FORMAT}.")
    return meta


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ModelError(f"No model in {path.parent}: {path.name} is missing.") from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, AttributeError) as error:  # pickles and damaged files
        raise ModelError(f"{path} cannot be read as plain arrays: {error}.") from error


def _under(arrays, prefix):
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _check(model: Model, folder: Path) -> None:
    for name, shape in model.spec.shapes.items():
        value = model.params.get(name)
        if value is None or value.shape != shape:
            found = "missing" if value is None else f"of shape {value.shape}"
            raise ModelError(f"{folder / ARRAYS}: {name} is {found}; {shape} was expected by {model.spec}.")
    for name, value in (model.params | model.feature_map.arrays()).items():
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise ModelError(f"{folder / ARRAYS}: {name} holds values that are not finite numbers.")
    columns = model.feature_map.rotation.shape[-1]
    if columns != model.spec.features:
        raise ModelError(f"{folder}: the features have {columns} components, the circuit takes {model.spec.features}.")
