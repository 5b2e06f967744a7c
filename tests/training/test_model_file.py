"""Model files that are hostile, damaged or of another version: each is refused with a reason, and nothing is run, unpacked or filled in."""

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnb.core.circuit import CircuitSpec
from qnb.core.objective import Objective
from qnb.data.features import FeatureMap
from qnb.stack import versions
from qnb.training.model import Model, ModelError, load_model


def made(missing="refuse", reduction="pls", rescale="quantile", **circuit):
    """A model with a text column, as training would leave it; with gaps in a column where they are not refused."""
    rng = np.random.default_rng(0)
    spec = CircuitSpec(**{"wires": 2, "layers": 1} | circuit)
    frame = pd.DataFrame(rng.normal(size=(50, 4)), columns=list("abcd")).assign(e=rng.choice(["x", "y", "z"], 50))
    if missing != "refuse":
        frame.loc[::4, "d"] = np.nan
    if rescale == "none":
        frame = frame.drop(columns="e")
    angle_range = None if rescale == "none" or spec.encoder == "amplitude" else "0_pi"
    y = (frame["a"] + rng.normal(size=50) > 0).to_numpy(int)
    feature_map = FeatureMap.fit(frame, y, spec.features, angle_range, missing, ("?", -1), reduction, rescale)
    return Model(spec, Objective(), spec.init(0), feature_map, 0.25, engine="exact", about={"label": "y"})


@pytest.fixture
def saved(tmp_path):
    return made().save(tmp_path / "model")


def rewrite(folder, changes):
    """Set values of model.json at paths of keys."""
    path = folder / "model.json"
    meta = json.loads(path.read_text())
    for keys, value in changes.items():
        place = meta
        for key in keys[:-1]:
            place = place[key]
        if value is KeyError:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
    path.write_text(json.dumps(meta))


def npy(shape, dtype="<f8", data=b"", fortran=False):
    """An .npy file whose header says what it likes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": fortran, "shape": shape})
    return buffer.getvalue() + data


def rezip(folder, changes=(), compression=zipfile.ZIP_STORED, extra=()):
    """Write model.npz anew with some members changed (None: left out) and others added."""
    path = folder / "model.npz"
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()} | dict(changes)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in [*members.items(), *extra]:
            if data is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize(
    "circuit",
    [
        {},
        {"encoder": "amplitude"},
        {"measurement": "z0"},
        {"measurement": "z_vec", "wires": 4},
        {"missing": "median"},
        {"missing": "indicator"},
        {"scaling": True, "reupload": True, "layers": 2},
        {"rescale": "minmax"},
        {"rescale": "none"},
        {"reduction": "none", "wires": 5},
        {"reduction": "none", "rescale": "none", "wires": 2, "encoder": "amplitude"},
    ],
)
def test_what_is_saved_comes_back_to_the_last_bit(tmp_path, circuit):
    model = made(**circuit)
    loaded = load_model(model.save(tmp_path / "model"))
    assert (loaded.spec, loaded.objective, loaded.about) == (model.spec, model.objective, model.about)
    assert (loaded.threshold, loaded.engine, loaded.device) == (0.25, "exact", "lightning.qubit")
    for name, value in (model.params | model.feature_map.arrays()).items():
        found = (loaded.params | loaded.feature_map.arrays())[name]
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype and found.flags.f_contiguous == np.asarray(value).flags.f_contiguous
    assert loaded.feature_map.meta() == model.feature_map.meta()


@pytest.mark.parametrize(("version", "wrote"), [(2, "9.9.0"), (0, "0.0.1"), (True, "0.1.0"), ("1", "0.1.0"), (None, "0.1.0")])
def test_another_format_says_what_wrote_it(saved, version, wrote):
    rewrite(saved, {("format",): version, ("versions", "qnb"): wrote})
    here = versions()["qnb"]
    with pytest.raises(
        ModelError, match=rf"format {version!r}; this qnb reads format 1. It was written by qnb {wrote}; this is qnb {here}"
    ):
        load_model(saved)
    rewrite(saved, {("versions",): []})
    with pytest.raises(ModelError, match=r"reads format 1\. Read it with that qnb, or train again"):
        load_model(saved)


def test_another_version_of_qnb_with_the_same_format_is_read(saved):
    rewrite(saved, {("versions", "qnb"): "9.9.0", ("versions", "something"): "1"})
    assert load_model(saved).threshold == 0.25


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("spec", "wires"), 10**9, "less than or equal to 20"),
        (("spec", "wires"), 2.0, "whole number"),
        (("spec", "layers"), True, "whole number"),
        (("spec", "hadamard"), "no", "hadamard"),
        (("spec", "ansatz"), ["ring"], "which is not qnb.s, and nothing that is loaded is run"),
        (("spec", "shots"), 1, "Unknown parameter 'shots' for spec"),
        (("spec",), [], "spec: input should be a valid dictionary"),
        (("objective", "focal_gamma"), "0", "focal_gamma|not supported"),
        (("objective", "focal_gamma"), -1, "from 0 up"),
        (("threshold",), True, "threshold"),
        (("threshold",), None, "threshold"),
        (("threshold",), 1e999, "not JSON|Infinity"),
        (("engine",), "quantum", "engine"),
        (("engine",), ["exact"], "engine"),
        (("device",), "braket.local.qubit", "no effect|may only name a simulator"),
        (("about",), "home", "about"),
        (("versions",), KeyError, "versions"),
        (("extra",), 1, "extra"),
        (("features", "version"), 2, "features.version"),
        (("features", "columns"), [], "features.columns"),
        (("features", "columns"), ["a", "a", "b", "c", "e"], "twice"),
        (("features", "columns"), ["a", 1, "b", "c", "e"], "features.columns.1"),
        (("features", "columns"), ["a", "b", "c", "e"], "was expected"),
        (("features", "categories", "e", "x"), "0.5", "features.categories"),
        (("features", "categories", "f"), {}, "belongs to no column"),
        (("features", "categories", "e"), {"x": 0.5}, "last place"),
        (("features", "angle_range"), "wide", "features.angle_range"),
        (("features", "angle_range"), None, "does not go with that encoder"),
    ],
)
def test_a_description_that_is_wrong_is_refused(saved, keys, value, message):
    rewrite(saved, {keys: value})
    with pytest.raises(ModelError, match=message):
        load_model(saved)


def test_a_model_from_before_missing_values_refuses_them(saved):
    rewrite(saved, {("features", "missing"): KeyError})
    loaded = load_model(saved).feature_map
    assert loaded.missing.refused and loaded.missing.values == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("treatment", "mean"),
        ("medians", {"a": 0.0}),
        ("medians", {"a": "0"}),
        ("indicators", ["d", "d"]),
        ("indicators", 3),
        ("more", 1),
    ],
)
def test_missing_values_that_do_not_fit_the_columns_are_refused(tmp_path, key, value):
    folder = made(missing="indicator").save(tmp_path / "model")
    rewrite(folder, {("features", "missing", key): value})
    with pytest.raises(ModelError, match=r"features\.missing|treatment"):
        load_model(folder)


@pytest.mark.parametrize("device", ["default.qubit", "braket.aws.qubit", "../../x", "oqc.cloud", ""])
def test_a_device_elsewhere_is_refused(tmp_path, device):
    folder = replace(made(), engine="catalyst", device=device).save(tmp_path / "model")
    with pytest.raises(ModelError, match="may only name a simulator on this machine"):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds a list"),
        ("[" * 100_000, "not JSON"),
        ('{"format": NaN}', "NaN is no number"),
        ("9" * 5000, "not JSON"),
        ("\ud800", "not JSON"),
    ],
)
def test_text_that_is_no_description_is_refused(saved, text, message):
    (saved / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params/weights.npy": npy((10**12,), data=b"\0" * 8)}, r"of shape \(1000000000000,\)"),
        ({"params/weights.npy": npy((1, 2, 3), data=b"\0" * 8)}, "has 8 bytes; its header says 48"),
        ({"params/weights.npy": npy((1, 2, 3), data=b"\0" * 56)}, "has 49 bytes; its header says 48"),
        ({"params/weights.npy": npy((1, 3, 2), data=b"\0" * 48)}, r"\(1, 2, 3\) was expected"),
        ({"params/weights.npy": npy((1, 2, 3), "|O", pickle.dumps([1]))}, "pickled objects, which are never loaded"),
        ({"params/weights.npy": npy((1, 2, 3), "<i8", b"\0" * 48)}, "int64; floating-point"),
        ({"params/weights.npy": npy((1, 2, 3), "<c16", b"\0" * 96)}, "complex128; floating-point"),
        ({"params/weights.npy": npy((-1, 2, 3))}, "of shape"),
        ({"params/weights.npy": b"\x93NUMPY\x03\0" + npy((1, 2, 3))[8:]}, "not in NumPy's array format 1.0"),
        ({"params/weights.npy": pickle.dumps([1])}, "cannot be read as plain arrays"),
        ({"params/weights.npy": b""}, "cannot be read as plain arrays"),
        ({"params/weights.npy": npy((1, 2, 3), data=np.full(6, np.inf).tobytes())}, "not finite"),
        ({"params/bias.npy": npy((), data=np.float64("nan").tobytes())}, "not finite"),
        ({"features/scale.npy": npy((5,), data=np.zeros(5).tobytes())}, "not above zero"),
        ({"features/levels.npy": npy((50,), data=np.zeros(50).tobytes())}, "levels must rise"),
        ({"features/levels.npy": npy((49,), data=np.linspace(0, 1, 49).tobytes())}, "50 quantiles were found for 49 levels"),
        ({"features/levels.npy": npy((2000,), data=np.linspace(0, 1, 2000).tobytes())}, "1 to 1000"),
        ({"features/quantiles.npy": npy((50, 2), data=np.arange(100.0)[::-1].tobytes())}, "must not fall"),
        ({"params/alpha.npy": None}, "holds no params/alpha.npy"),
        ({"../../evil.npy": npy((1,), data=b"\0" * 8)}, "'../../evil.npy', which is not one of a model's"),
        ({"/tmp/evil.npy": npy((1,), data=b"\0" * 8)}, "'/tmp/evil.npy', which is not one"),
        ({"params/../params/bias.npy": npy((), data=b"\0" * 8)}, "which is not one"),
        ({"run.py": b"raise SystemExit"}, "'run.py', which is not one"),
    ],
)
def test_arrays_that_are_not_what_they_should_be_are_refused(saved, changes, message):
    before = sorted(saved.parent.rglob("*"))
    rezip(saved, changes)
    with pytest.raises(ModelError, match=message):
        load_model(saved)
    assert sorted(saved.parent.rglob("*")) == before


def test_a_pickle_is_never_run(saved):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    for data in (npy((1,), "|O", pickle.dumps(Bomb())), pickle.dumps(Bomb())):
        rezip(saved, {"params/weights.npy": data})
        with pytest.raises(ModelError):
            load_model(saved)
    (saved / "model.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="cannot be read as plain arrays"):
        load_model(saved)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_tricks_are_refused(saved):
    good = (saved / "model.npz").read_bytes()
    rezip(saved, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed or longer than the file"):
        load_model(saved)
    (saved / "model.npz").write_bytes(good)
    rezip(saved, extra=[("params/bias.npy", npy((), data=b"\0" * 8))])
    with pytest.raises(ModelError, match=r"'params/bias.npy', which is not"):
        load_model(saved)
    size = (len(good) + 1).to_bytes(4, "little")  # the central directory claims a member longer than the file
    at = good.index(b"PK\x01\x02")
    (saved / "model.npz").write_bytes(good[: at + 20] + size * 2 + good[at + 28 :])
    with pytest.raises(ModelError, match="compressed or longer than the file"):
        load_model(saved)
    flagged = bytearray(good)  # encrypted
    flagged[at + 8] |= 1
    (saved / "model.npz").write_bytes(flagged)
    with pytest.raises(ModelError, match="cannot be read as plain arrays"):
        load_model(saved)
    for position in range(0, len(good), 97):  # one byte changed anywhere: read or refused, no other error
        (saved / "model.npz").write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            load_model(saved)
        except ModelError:
            continue


def test_only_regular_files_are_opened(saved, tmp_path):
    linked = tmp_path / "link"
    linked.symlink_to(saved)
    assert load_model(linked).threshold == 0.25  # the user's own link
    text = (saved / "model.json").read_text()
    (saved / "model.json").unlink()
    os.mkfifo(saved / "model.json")  # reading it would wait for ever
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(saved)
    (saved / "model.json").unlink()
    (saved / "model.json").write_text(text)
    (saved / "model.npz").unlink()
    (saved / "model.npz").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(saved)
    (saved / "model.npz").unlink()
    (saved / "model.npz").mkdir()
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(saved)
