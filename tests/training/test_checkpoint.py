"""A training that is resumed goes on with the same data, says what else is not the same, and ends complete."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.errors import ParameterError
from qnb.training import checkpoint
from qnb.training import train as train_module
from qnb.training.checkpoint import CheckpointError, OtherCodeWarning
from qnb.training.train import train

SMALL = {
    "engine": "exact",
    "wires": 2,
    "layers": 1,
    "batch": 32,
    "fixed_num_batches": 2,
    "sample": None,
    "gate": "off",
    "epochs": 3,
    "baselines": (),  # their thread enters warnings.catch_warnings, and warnings are asked for here
}


def table(path, rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(host=rng.integers(0, 20, rows), label=(x[:, 0] > 0).astype(int))
    frame.to_csv(path, index=False)
    return frame


@pytest.fixture
def config(tmp_path):
    table(tmp_path / "table.csv", 200)
    return TrainConfig(**SMALL, data=str(tmp_path / "table.csv"), label="label", split="group", group_by=("host",))


def stopped(config, folder):
    """Trained for two of its epochs, and stopped."""
    folder.mkdir()

    def stop(rows):
        if len(rows) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, folder=folder, progress=False, on_epoch=stop)
    return folder


def test_a_table_replaced_in_between_is_refused_by_both_fingerprints(config, tmp_path):
    cut, before = stopped(config, tmp_path / "cut"), prepare(config).card["fingerprint"]
    table(tmp_path / "table.csv", 260)
    after = prepare(config).card["fingerprint"]
    with pytest.raises(CheckpointError, match=f"its fingerprint was {before[:16]}, it is {after[:16]} now"):
        train(config, resume_from=cut, progress=False)
    table(tmp_path / "table.csv", 200)  # brought back
    assert train(config, resume_from=cut, progress=False).metrics["epochs_run"] == 3


def test_a_split_that_changed_under_the_same_features_is_refused(config, tmp_path):
    cut, before = stopped(config, tmp_path / "cut"), prepare(config).card["fingerprint"]
    frame = pd.read_csv(tmp_path / "table.csv")
    frame.assign(host=frame["host"].to_numpy()[::-1]).to_csv(tmp_path / "table.csv", index=False)
    assert prepare(config).card["fingerprint"] == before  # of the features alone
    with pytest.raises(CheckpointError, match="The split has changed"):
        train(config, resume_from=cut, progress=False)


def test_a_checkpoint_that_does_not_say_its_data_is_refused(config, tmp_path):
    cut = stopped(config, tmp_path / "cut")
    with np.load(cut / "checkpoint.npz") as file:
        arrays = dict(file)
    meta = json.loads(arrays["meta"].tobytes())
    meta.pop("data")
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(cut / "checkpoint.npz", **arrays)
    with pytest.raises(CheckpointError, match="does not say which data"):
        train(config, resume_from=cut, progress=False)


@pytest.mark.parametrize("lost", ["optimiser/0", "params/weights"])
def test_a_checkpoint_of_another_structure_is_refused(config, tmp_path, lost):
    cut = stopped(config, tmp_path / "cut")
    with np.load(cut / "checkpoint.npz") as file:
        arrays = {name: file[name] for name in file.files if name != lost}
    np.savez(cut / "checkpoint.npz", **arrays)
    with pytest.raises(CheckpointError, match=f"lacks {lost}: another version of qnb wrote it"):
        train(config, resume_from=cut, progress=False)


OTHER = {"git": {"commit": "a" * 40, "dirty": False}, "versions": {"optax": "0.2.7"}}


def test_other_code_and_another_stack_are_told_and_stay_told(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_this_process", lambda: OTHER)
        cut = stopped(config, tmp_path / "cut")
    with pytest.warns(
        OtherCodeWarning, match=r"cut: epochs up to 2 were made by other code: commit aaaaaaaaaaaa there, .*optax 0\.2\.7 there"
    ):
        first = train(config, folder=tmp_path / "cut", resume_from=cut, progress=False)
    assert first.metrics["elsewhere"][0].startswith("epochs up to 2 were made by other code")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = train(config, resume_from=cut, progress=False)  # its last epoch is this process's
    assert again.metrics["elsewhere"] == first.metrics["elsewhere"]


def test_what_a_checkpoint_tells_is_told_before_the_baselines_begin(config, tmp_path, monkeypatch):
    """Their thread enters warnings.catch_warnings, which is the process's: a warning beside it can be lost."""
    cut, began = stopped(config, tmp_path / "cut"), []
    load, beside = checkpoint.load, train_module._beside
    monkeypatch.setattr(checkpoint, "load", lambda *args: began.append("checkpoint") or load(*args))
    monkeypatch.setattr(train_module, "_beside", lambda: began.append("baselines") or beside())
    train(config, resume_from=cut, progress=False)
    assert began == ["checkpoint", "baselines"]


def test_the_same_code_has_nothing_to_tell(config, tmp_path):
    cut = stopped(config, tmp_path / "cut")
    with warnings.catch_warnings():
        warnings.simplefilter("error", OtherCodeWarning)
        assert "elsewhere" not in train(config, resume_from=cut, progress=False).metrics


def test_resumed_with_nothing_left_to_do_it_has_every_file(config, tmp_path):
    (tmp_path / "whole").mkdir(), (tmp_path / "again").mkdir()
    first = train(config, folder=tmp_path / "whole", progress=False)
    again = train(config, folder=tmp_path / "again", resume_from=tmp_path / "whole", progress=False)
    assert (tmp_path / "again" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    assert (tmp_path / "again" / "checkpoint.npz").exists()
    assert again.metrics["test_auc"] == first.metrics["test_auc"] and again.metrics["epochs_run"] == 3
    model = first.save(tmp_path / "model")
    with np.load(model / "model.npz") as kept:
        arrays = dict(kept)
    np.savez(model / "model.npz", **dict(sorted(arrays.items())))  # at another time, in another order
    again.save(tmp_path / "model")  # it is the same model


def test_data_prepared_for_other_parameters_are_refused(config):
    prepared = prepare(config)
    with pytest.raises(ParameterError, match="prepared with split_seed = 0, and the training asks for split_seed = 1"):
        train(config.model_copy(update={"split_seed": 1}), prepared, progress=False)
    with pytest.raises(ParameterError, match="prepared with features = 2, and the training asks for features = 1"):
        train(config.model_copy(update={"wires": 1}), prepared, progress=False)
    assert train(config.model_copy(update={"lr": 0.01}), prepared, progress=False)
    assert train(config.model_copy(update={"split_seed": 1}), replace(prepared, asked={}), progress=False)  # arrays of one's own
