"""A trained model: everything needed to score raw rows, in safe files (npz and JSON, never pickle)."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import make_engine, steady_scores
from qnb.core.objective import Objective
from qnb.data.features import FeatureMap
from qnb.data.table import Table
from qnb.files import atomic_write, plain
from qnb.runs.folder import require_as_written
from qnb.stack import versions
from qnb.training.model_file import FORMAT, ModelError, read_arrays, read_description
from qnb.training.surrogate import Surrogate, surrogate_of

ARRAYS, META = "model.npz", "model.json"


@dataclass(frozen=True)
class Model:
    """A circuit with trained parameters, the transform before it and the threshold after it.

    Attributes:
        spec: the circuit.
        objective: the head and the loss. With a custom loss only the head is saved: scoring needs no more.
        params: weights (layers, *shape of a layer), readout (r,), bias (), alpha () the raw one, and scaling
            (encodings, wires) where it is trained.
        feature_map: from raw rows to features.
        threshold: decision threshold in logit space, chosen on validation rows.
        engine, device: what trained it, and what it scores with.
        about: where it comes from: data source, label, whether the data is synthetic, hash of the
            configuration.
    """

    spec: CircuitSpec
    objective: Objective
    params: Params
    feature_map: FeatureMap
    threshold: float
    engine: str = "catalyst"
    device: str = "lightning.qubit"
    about: dict[str, Any] = field(default_factory=dict)

    def logits(self, table: Table | pd.DataFrame) -> np.ndarray:
        """l(x), (B,), for each raw row of a table with the columns it was trained on.

        Raises:
            DataError: columns are missing or unusable, or hold another type than in training.
        """
        frame = table.frame if isinstance(table, Table) else table
        return self.logits_of_features(self.feature_map.of_rows(frame))

    def logits_of_features(self, X: np.ndarray) -> np.ndarray:
        """l(x) for rows that are features already, X (B, features) -> (B,).

        A row's logit does not depend on the other rows of X.

        Raises:
            ParameterError: X has another shape, no rows, or values that are not finite.
        """
        engine = make_engine(self.engine, self.spec, self.objective, self.device)
        scores = steady_scores(engine, self.params, X)
        return np.asarray(self.objective.logit(scores, self.params["bias"], self.params["alpha"]))

    def surrogate(self) -> Surrogate:
        """The same model as a trigonometric polynomial of its angles, a `qnb.training.surrogate.Surrogate`:
        same logits without a circuit.

        Raises:
            ParameterError: the circuit re-uploads, its encoder is `amplitude`, it measures other words than
                single Z (`parity`, say), or it has gates of your own; see
                `qnb.core.circuit.CircuitSpec.fast`.
            EngineError: the coefficients do not fit into memory.
        """
        return surrogate_of(
            self.spec, self.objective, self.params, self.feature_map, self.threshold, self.about
        )

    def save(self, folder: str | Path) -> Path:
        """Write model.npz and model.json into `folder`, which is created if needed, and return its path.

        Each file is written atomically. If the same model is there already, nothing is written.

        Raises:
            ModelError: there is another model in that folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"params/{k}": v for k, v in self.params.items()}
        arrays |= {f"features/{k}": v for k, v in self.feature_map.arrays().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        meta = {
            "format": FORMAT,
            "spec": self.spec.to_dict(),
            "objective": {name: getattr(self.objective, name) for name in Objective.names()},
            "features": self.feature_map.meta(),
            "threshold": self.threshold,
            "engine": self.engine,
            "device": self.device,
            "about": self.about,
            "versions": versions(),
        }
        text = (json.dumps(plain(meta), indent=2, allow_nan=False) + "\n").encode()
        files = {ARRAYS: buffer.getvalue(), META: text}  # META last: a folder that has it has both
        if not (folder / META).exists():
            for name, data in files.items():
                atomic_write(folder / name, data)
        elif (folder / META).read_bytes() != text or not _same_arrays(folder / ARRAYS, arrays):
            raise ModelError(f"{folder} holds another model; nothing is overwritten. Name another folder.")
        return folder


def _same_arrays(path: Path, arrays: dict[str, np.ndarray]) -> bool:
    """Whether a file holds these arrays and no other; its bytes hold their order and the time too."""
    with np.load(path, allow_pickle=False) as kept:
        return set(kept.files) == set(arrays) and all(
            np.array_equal(kept[name], arrays[name]) for name in arrays
        )


def load_model(
    folder: str | Path, *, encoder: Any = None, ansatz: Any = None, measurement: Any = None
) -> Model:
    """The model saved in `folder`: a model folder, or a run folder with one in it.

    Args:
        encoder, ansatz, measurement: a part of your own that the model was trained with, unchanged since:
            the function, or FILE:NAME of a file of yours. It has to be given, because no code is loaded from
            model files.

    Raises:
        ModelError: naming the file and what is wrong with it (`qnb.training.model_file` says what is
            refused); or a part of your own is missing, or its text is not that of the training.
        RunError: the files are not those that the run wrote.
    """
    folder = Path(folder)
    if (folder / "model").is_dir():
        require_as_written(folder, [f"model/{META}", f"model/{ARRAYS}"])
        folder = folder / "model"
    spec, objective, meta = read_description(
        folder / META, {"encoder": encoder, "ansatz": ansatz, "measurement": measurement}
    )
    missing = meta["features"]["missing"] or {"indicators": []}
    inputs = len(meta["features"]["columns"]) + len(missing["indicators"])
    params, arrays = read_arrays(folder / ARRAYS, spec, inputs)
    feature_map = FeatureMap.from_parts(arrays, meta["features"])
    return Model(
        spec=spec,
        objective=objective,
        params=params,
        feature_map=feature_map,
        threshold=meta["threshold"],
        engine=meta["engine"],
        device=meta["device"],
        about=meta["about"],
    )
