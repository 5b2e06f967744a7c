"""An official test file: all of it is the test, once; everything else is fitted to the other file."""

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare, prepare_all
from qnb.data.table import load_table
from qnb.data.values import DataError
from qnb.training.train import train

SMALL = {"label": "class", "negative": "normal", "attack_type": "class", "wires": 2, "layers": 1, "batch": 16}


def rows(count, kinds, seed):
    """Rows of a table in which attacks of one kind lie apart from normal ones, and those of another do not."""
    rng = np.random.default_rng(seed)
    kind = np.array(kinds, dtype=object)[rng.integers(len(kinds), size=count)]
    middle = np.where(kind == "flood", 2.0, 0.0)
    frame = pd.DataFrame({"a": rng.normal(middle), "b": rng.normal(middle), "site": rng.integers(0, 9, count)})
    return frame.assign(proto=np.where(frame["a"] > 0, "tcp", "udp"), **{"class": kind})


@pytest.fixture
def files(tmp_path):
    rows(400, ("normal", "flood"), 0).to_csv(tmp_path / "train.csv", index=False)
    test = rows(150, ("normal", "flood", "worm"), 1)
    pd.concat([test, test[:10]]).to_csv(tmp_path / "test.csv", index=False)
    return {"data": str(tmp_path / "train.csv"), "test_data": str(tmp_path / "test.csv")} | SMALL


@pytest.mark.parametrize("split", [{}, {"split": "group", "group_by": ("site",)}, {"split": "time", "time": ("a",)}], ids=str)
def test_the_test_is_the_file_and_validation_comes_from_the_other(files, split):
    config = TrainConfig.make(files | split)
    table = load_table(config)
    prepared = prepare(config)
    assert table.official.tolist() == [False] * 400 + [True] * 160 and len(prepared.y["test"]) == 160
    assert len(prepared.y["train"]) + len(prepared.y["val"]) == 400 and 50 <= len(prepared.y["val"]) <= 110
    expected = pd.read_csv(config.test_data)
    assert prepared.y["test"].tolist() == (expected["class"] != "normal").astype(float).tolist()
    card = prepared.card
    assert card["test"]["rows_kept"] == 160 and card["test"]["unseen_types"] == {"worm": int((expected["class"] == "worm").sum())}
    assert card["sides"]["test"]["asked"] is None and card["rule"].startswith(f"the test is all of {config.test_data}")
    told, *_ = card["cautions"]
    assert "does not stand for the second" in told and "worm" in told


def test_everything_is_fitted_without_the_test_file(files, tmp_path):
    before = prepare(TrainConfig.make(files))
    other = pd.read_csv(files["test_data"]).assign(a=lambda frame: 50 - frame["a"])
    other.to_csv(tmp_path / "other.csv", index=False)
    after = prepare(TrainConfig.make(files | {"test_data": str(tmp_path / "other.csv")}))
    for name, values in before.feature_map.arrays().items():
        np.testing.assert_array_equal(values, after.feature_map.arrays()[name])
    np.testing.assert_array_equal(before.X["val"], after.X["val"])
    assert before.card["fingerprint"] != after.card["fingerprint"]  # of both files


def test_sample_draws_from_data_alone(files):
    card = prepare(TrainConfig.make(files | {"sample": 100})).card
    assert card["rows_kept"] == 100 and card["sides"]["test"]["rows"] == 160


def test_a_training_is_tested_on_it_and_says_how_it_does_on_unseen_types(files):
    result = train(TrainConfig.make(files | {"engine": "exact", "epochs": 2}), progress=False)
    metrics = result.metrics
    assert metrics["test_auc_unseen_types"] < metrics["test_auc"] - 0.05 < metrics["val_auc"]
    kind = pd.read_csv(files["test_data"])["class"].to_numpy()
    some = kind != "flood"
    order = result.logits["test"][some]
    positive = kind[some] == "worm"
    won = (order[positive][:, None] > order[~positive]).mean() + (order[positive][:, None] == order[~positive]).mean() / 2
    assert metrics["test_auc_unseen_types"] == pytest.approx(won, abs=1e-12)
    interval = metrics["test_auc_unseen_types_interval"]
    assert interval["low"] < won < interval["high"]


def test_two_configurations_share_what_they_share(files):
    one, two, three = prepare_all([TrainConfig.make(files | more) for more in ({}, {"seed": 1}, {"test_data": None})])
    assert one is two and three is not one and "test" not in three.card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="b").assign(bb=1.0), "lacks the column 'b' that data has"),
        (lambda frame: frame.assign(a="many"), "holds text, such as 'many'"),
        (lambda frame: frame.assign(proto=6), "'proto' holds nothing but numbers, text in data, such as '(tcp|udp)'"),
        (lambda frame: frame.drop(columns="class"), "has no label column 'class'"),
    ],
)
def test_a_file_that_is_no_test_of_this_table_is_refused(files, change, message):
    frame = change(pd.read_csv(files["test_data"]))
    frame.to_csv(files["test_data"], index=False)
    with pytest.raises(DataError, match=message):
        load_table(TrainConfig.make(files))


def test_groups_that_are_attack_types_are_no_split_beside_it(files):
    with pytest.raises(DataError, match="test_data is the test"):
        prepare(TrainConfig.make(files | {"split": "group", "group_by": ("class",)}))
