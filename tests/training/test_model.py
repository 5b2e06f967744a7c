import io
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.data.splits import split_table
from qnb.data.table import load_table
from qnb.training.model import ModelError, load_model
from qnb.training.train import train

CONFIG = TrainConfig(data="breast_cancer", wires=2, layers=1, batch=32, epochs=1, sample=None)


@pytest.fixture(scope="module")
def trained():
    return train(CONFIG, progress=False)


@pytest.fixture
def saved(trained, tmp_path):
    return trained.save(tmp_path / "model")


def test_a_new_process_gives_the_same_logits_for_raw_rows(trained, saved, tmp_path):
    moved = saved.rename(tmp_path / "elsewhere")
    script = f"""
import numpy as np, qnb
model = qnb.load_model({str(moved)!r})
np.save({str(tmp_path / "logits.npy")!r}, model.logits(qnb.load_table(qnb.TrainConfig(data="breast_cancer", sample=None))))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    logits = np.load(tmp_path / "logits.npy")
    test = split_table(load_table(CONFIG), CONFIG).test
    np.testing.assert_array_equal(logits[test], trained.logits["test"])


def test_round_trip_is_exact(trained, saved):
    model = load_model(saved)
    assert model.spec == trained.model.spec and model.objective == trained.model.objective
    assert model.threshold == trained.metrics["threshold"]
    assert model.about["config_hash"] == CONFIG.hash() and model.about["synthetic"] is False
    for group, value in trained.params.items():
        np.testing.assert_array_equal(model.params[group], value)
    np.testing.assert_array_equal(model.logits_of_features(prepare(CONFIG).X["val"]), trained.logits["val"])
    np.testing.assert_array_equal(load_model(saved.parent).params["weights"], trained.params["weights"])  # a run folder


def test_nothing_is_overwritten(trained, saved):
    """Saving the same model again changes nothing, as a cell that is run twice does; another model is refused."""
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in saved.iterdir()}
    assert trained.model.save(saved) == saved
    with pytest.raises(ModelError, match="holds another model; nothing is overwritten"):
        replace(trained.model, threshold=trained.model.threshold + 1e-9).save(saved)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in saved.iterdir()} == before


def test_missing_and_damaged_files_are_named(saved, tmp_path):
    with pytest.raises(ModelError, match=r"model\.json is missing"):
        load_model(tmp_path / "nothing")
    good = (saved / "model.npz").read_bytes()
    (saved / "model.npz").write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelError, match=r"model.npz cannot be read"):
        load_model(saved)
    (saved / "model.npz").unlink()
    with pytest.raises(ModelError, match=r"model.npz is missing"):
        load_model(saved)
    (saved / "model.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        load_model(saved)


def test_hostile_files_are_refused(saved):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    arrays = dict(np.load(saved / "model.npz"))
    (saved / "model.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="cannot be read as plain arrays"):
        load_model(saved)
    for changes, message in (
        ({"params/weights": np.array([Bomb()], dtype=object)}, "pickled objects, which are never loaded"),
        ({"params/weights": np.zeros((9, 9, 3))}, r"weights is of shape \(9, 9, 3\)"),
        ({"params/readout": np.full(6, np.nan)}, "readout holds values that are not finite"),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays | changes)
        (saved / "model.npz").write_bytes(buffer.getvalue())
        with pytest.raises(ModelError, match=message):
            load_model(saved)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), 99, "model format 99; this qnb reads format 1"),
        (("spec", "ansatz"), "star", "Did you mean|is not known"),
        (("spec", "wires"), 3, "was expected"),
        (("objective",), {}, None),
        (("threshold",), "low", "does not describe a model"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, path, value, message):
    meta = json.loads((saved / "model.json").read_text())
    place = meta
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (saved / "model.json").write_text(json.dumps(meta))
    if message is None:
        assert load_model(saved).objective.focal_gamma == 0.0
        return
    with pytest.raises(ModelError, match=message):
        load_model(saved)
