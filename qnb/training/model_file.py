"""Reading the two files of a model without trusting anything in them.

model.json is read first: strict JSON of bounded size, every value of its type and in the range that a
configuration allows. What it says of the circuit and the columns fixes the name and the shape of each array
in model.npz, and an array is read only after its header has been checked. Nothing is unpacked to disk,
nothing compressed is opened, no pickle is loaded.
"""

import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qnb import own
from qnb.config import MissingName, TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.engine import WRONG_ON_PURPOSE
from qnb.core.objective import Objective
from qnb.data.features import QUANTILES, RARE
from qnb.data.values import DataError
from qnb.errors import ParameterError, QnbError, refuse_unknown
from qnb.stack import versions

Shape = tuple[int | None, ...]  # None: any length from 1 to QUANTILES

FORMAT = 1
MOST_JSON = 1 << 28  # bytes of model.json
MOST_HEADER = 1000  # characters of an array's header; NumPy's own are under 120
LOCAL_DEVICES = "lightning."  # a file may not send rows to a device elsewhere


class ModelError(QnbError):
    """A model file is missing, damaged, of another version, or not written by qnb; or it would be
    overwritten.
    """


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Missing(_Strict):
    treatment: MissingName
    values: list[str]
    medians: dict[str, float]
    indicators: list[str]


class _Features(_Strict):
    version: Literal[1]
    columns: Annotated[list[str], Field(min_length=1)]
    categories: dict[str, dict[str, float]]
    constant: list[str]
    angle_range: Literal["pm_pi", "pm_pi_2", "0_pi"] | None
    missing: _Missing | None = None  # as in models of earlier versions: refused
    reduction: Literal["pls", "none"] = "pls"
    rescale: Literal["quantile", "minmax", "none"] = "quantile"


class _Description(_Strict):
    format: int
    spec: dict[str, Any]
    objective: dict[str, Any]
    features: _Features
    threshold: float
    engine: str
    device: str
    about: dict[str, Any]
    versions: dict[str, str]


def read_description(path: Path, parts: Mapping[str, Any]) -> tuple[CircuitSpec, Objective, dict[str, Any]]:
    """The circuit, the objective and the whole description in a model.json, checked.

    Args:
        parts: by name (encoder, ansatz, measurement), the user's own parts; None for a part of qnb's.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    meta = _read_json(path)
    _check_format(meta, path)
    try:
        described = _Description.model_validate(meta)
        refuse_unknown(described.spec, CircuitSpec.names(), "spec")
        refuse_unknown(described.objective, Objective.names(), "objective")
        described.spec |= _own_parts(described.spec, parts)
        spec, objective = CircuitSpec(**described.spec), Objective(**described.objective)
        settings = (
            described.spec | described.objective | {"engine": described.engine, "device": described.device}
        )
        # ranges and contradictions
        TrainConfig.make(settings | ({"gate": "off"} if described.engine in WRONG_ON_PURPOSE else {}))
        _check_description(described)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(key)[:40] for key in first["loc"])
        raise ModelError(f"{path} does not describe a model: {field}: {first['msg'].lower()}.") from None
    except (QnbError, TypeError) as error:
        raise ModelError(f"{path} does not describe a model: {error}") from error
    return spec, objective, described.model_dump()


def _own_parts(spec: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, own.Own]:
    """The parts that the user gives for those that the file names: a file's own words are never run.

    Raises:
        ParameterError: one is missing, not asked for, or of another text.
    """
    accepted = {}
    for name in own.PARTS:
        recorded, given = spec.get(name), parts.get(name)
        if not own.is_part(recorded):
            if given is not None:
                raise ParameterError(f"its {name} is {recorded!r}, qnb's own: leave {name} out.")
        elif given is None:
            raise ParameterError(
                f"its {name} is {recorded!r:.120}, which is not qnb's, and nothing that is loaded is run: "
                f"give it with {name}=, the function or FILE:NAME."
            )
        elif not own.same(part := own.part(given), recorded):
            raise ParameterError(
                f"its {name} is {recorded!r:.120}; {str(part)!r} was given: another text or name."
            )
        else:
            accepted[name] = part
    return accepted


def read_arrays(
    path: Path, spec: CircuitSpec, columns: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters and the arrays of the feature map from a model.npz, each by name.

    Args:
        columns: p, the number of inputs of the feature map.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    shapes: dict[str, Shape] = {f"params/{name}": shape for name, shape in spec.shapes.items()}
    p, n, q = columns, spec.features, None  # q: as many quantiles as the file has, the same in both arrays
    feature_shapes = {"mean": (p,), "scale": (p,), "rotation": (p, n), "quantiles": (q, n), "levels": (q,)}
    shapes |= {f"features/{name}": shape for name, shape in feature_shapes.items()}
    size = _regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, shapes, size, path)
            arrays = {
                name: _read_array(archive, members[name], shape, f"{path}: {name}")
                for name, shape in shapes.items()
            }
    except (ValueError, EOFError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read as plain arrays: {error}.") from error
    params, features = (
        {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        for prefix in ("params/", "features/")
    )
    _check_features(features, path)
    return params, features


def _regular_file(path: Path) -> int:
    """The size of a file that can be read to its end, in bytes."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ModelError(
            f"No model in {path.parent}: {path.name} is missing. Give a run folder or its model/ folder."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is not a regular file.")
    return status.st_size


def _read_json(path: Path) -> dict[str, Any]:
    if (size := _regular_file(path)) > MOST_JSON:
        raise ModelError(f"{path} has {size:,} bytes; no model of ours has more than {MOST_JSON:,}.")

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON's")

    try:
        meta = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:  # JSONDecodeError is a ValueError
        raise ModelError(f"{path} is not JSON: {error}.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    if not isinstance(meta, dict):
        raise ModelError(f"{path} holds a {type(meta).__name__}, not the description of a model.")
    return meta


def _check_format(meta: dict[str, Any], path: Path) -> None:
    version = meta.get("format")
    if version == FORMAT and not isinstance(version, bool):
        return
    wrote = meta.get("versions")
    wrote = wrote.get("qnb") if isinstance(wrote, dict) else None
    by = (
        f"It was written by qnb {wrote!s:.20}; this is qnb {versions()['qnb']}. " if wrote is not None else ""
    )
    raise ModelError(
        f"{path} has model format {version!r:.40}; this qnb reads format {FORMAT}. {by}"
        "Read it with that qnb, or train again."
    )


def _check_description(described: _Description) -> None:
    """What the types cannot say. Raises DataError."""
    features = described.features
    if len(set(features.columns)) < len(features.columns):
        raise DataError("features.columns names a column twice.")
    for name, numbers in features.categories.items():
        if name not in features.columns or RARE not in numbers:
            raise DataError(
                f"features.categories has an entry {name!r:.40} that belongs to no column, or without a last "
                "place."
            )
    if missing := features.missing:
        filled = [] if missing.treatment == "refuse" else features.columns
        needed = {name for name in filled if name not in features.categories}
        if needed - set(missing.medians) or len(set(missing.indicators)) < len(missing.indicators):
            raise DataError("features.missing lacks the median of a column, or names an indicator twice.")
    no_angles = described.spec.get("encoder") == "amplitude" or features.rescale == "none"
    if (features.angle_range is None) != no_angles:
        raise DataError(
            f"features.angle_range = {features.angle_range!r} does not go with that encoder and "
            f"rescale={features.rescale!r}."
        )
    if not described.device.startswith(LOCAL_DEVICES):
        raise DataError(
            f"device = {described.device!r:.60}: a model file may only name a simulator on this machine "
            f"({LOCAL_DEVICES}*)."
        )


def _members(
    archive: zipfile.ZipFile, shapes: dict[str, Shape], size: int, path: Path
) -> dict[str, zipfile.ZipInfo]:
    """The members of the archive by array name: exactly those expected, none of them compressed or longer
    than the file.
    """
    infos = archive.infolist()
    names, expected = [info.filename for info in infos], {f"{name}.npy": name for name in shapes}
    foreign = [name for name in names if name not in expected or names.count(name) > 1]
    missing = [name for name in expected if name not in names]
    if foreign or missing:
        shown = f"{foreign[0]!r:.60}, which is not one of a model's" if foreign else f"no {missing[0]}"
        raise ModelError(f"{path} holds {shown}. Expected, each once: {', '.join(expected)}.")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise ModelError(
                f"{path}: {info.filename} is compressed or longer than the file; a model's arrays are stored "
                "as they are."
            )
    return {expected[info.filename]: info for info in infos}


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: Shape, where: str) -> np.ndarray:
    """One array whose header says what is expected, None in `shape` standing for 1 to QUANTILES."""
    with archive.open(info) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ModelError(f"{where} is not in NumPy's array format 1.0.")
        stored, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=MOST_HEADER)
        if dtype not in (np.dtype("<f8"), np.dtype("<f4")):
            kind = "pickled objects, which are never loaded" if dtype.hasobject else str(dtype)[:40]
            raise ModelError(f"{where} holds {kind}; floating-point numbers were expected.")
        fits = len(stored) == len(shape) and all(
            1 <= have <= QUANTILES if want is None else have == want
            for have, want in zip(stored, shape, strict=True)
        )
        if not fits:
            expected = str(shape).replace("None", f"1 to {QUANTILES}")
            raise ModelError(f"{where} is of shape {stored!s:.60}; {expected} was expected.")
        count = int(np.prod(stored, dtype=np.int64)) * dtype.itemsize
        data = stream.read(count + 1)
    if len(data) != count:
        raise ModelError(f"{where} has {len(data)} bytes; its header says {count}.")
    array = np.frombuffer(data, dtype).reshape(stored, order="F" if fortran else "C").copy(order="K")
    if not np.isfinite(array).all():
        raise ModelError(f"{where} holds values that are not finite numbers.")
    return array


def _check_features(features: dict[str, np.ndarray], path: Path) -> None:
    quantiles, levels = features["quantiles"], features["levels"]
    if len(quantiles) != len(levels):
        raise ModelError(f"{path}: {len(quantiles)} quantiles were found for {len(levels)} levels.")
    if (features["scale"] <= 0).any():
        raise ModelError(f"{path}: features/scale holds a value that is not above zero.")
    if (
        (np.diff(quantiles, axis=0) < 0).any()
        or (np.diff(levels) <= 0).any()
        or levels[0] < 0
        or levels[-1] > 1
    ):
        raise ModelError(f"{path}: quantiles must not fall, and levels must rise from 0 to 1.")
