"""The card of a split: sides, groups, types and rows that stand on two sides, against counts made by hand and by brute force."""

import json

import numpy as np
import pandas as pd
import pytest

from qnb.config import TrainConfig
from qnb.data.overlap import _rounded, across_sides, row_hashes, split_card
from qnb.data.splits import Split, split_table
from qnb.data.table import Table, load_table


def table_of(frame, y, groups=None, attack=None, time=()):
    groups = pd.DataFrame(groups or {}, index=range(len(y)))
    return Table(pd.DataFrame(frame), np.asarray(y, np.int8), attack, groups, {}, time)


def test_exact_and_near_copies_are_counted_by_pair_of_sides():
    a = [1.0, 100.0, 5.0, 1.0, 100.2, 5.0, 1.0, -0.0, 0.0]
    text = ["x", "x", "x", "x", "x", "y", "x", "z", "z"]
    table = table_of({"a": a, "t": text}, [0, 1, 1, 0, 1, 1, 1, 0, 0])
    split = Split(np.array([0, 1, 2]), np.array([3, 4, 5, 7]), np.array([6, 8]))
    found = across_sides(table, split)
    assert found["exact"] == {"train-val": 1, "train-test": 1, "val-test": 2}
    assert found["other_label"] == {"train-val": 0, "train-test": 1, "val-test": 1}
    assert found["near"] == {"train-val": 2, "train-test": 1, "val-test": 2}  # 100.2 is near 100


def test_rounding_keeps_eight_bits():
    numbers = np.array([0.0, 1.0, 1.0039, 1.004, -3.14159, 2.0**-30, 1e300, 255.5])
    expected = [0.0, 1.0, 1.0, 1.0078125, -3.140625, 2.0**-30, _by_hand(1e300), 256.0]
    assert _rounded(numbers, 8).tolist() == expected
    values = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.random.default_rng(1).integers(-5, 9, 1000)
    assert np.abs(_rounded(values, 8) / values - 1).max() <= 2**-8


def _by_hand(value):
    mantissa, exponent = np.frexp(value)
    return float(np.ldexp(np.floor(mantissa * 256 + 0.5) / 256, exponent))


def test_hashes_are_equal_where_rows_are():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 4, 500) * 1.0, "b": rng.integers(0, 4, 500) / 3, "t": rng.choice(["x", "y"], 500)})
    hashes, reference = row_hashes(frame), pd.factorize(frame.apply(tuple, axis=1))[0]
    assert len(set(zip(hashes.tolist(), reference.tolist(), strict=True))) == len(set(hashes)) == len(set(reference))
    assert not np.array_equal(row_hashes(frame[["a", "b"]]), row_hashes(frame[["b", "a"]]))


@pytest.fixture(scope="module")
def bundled():
    return load_table(TrainConfig(sample=6000))


@pytest.mark.parametrize(
    ("rule", "words", "on_two_sides"),
    [
        ({"split": "random"}, "in the proportions", 56),
        ({"split": "group"}, "by capture.session", 0),
        ({"split": "group", "group_by": ("Attack_type",)}, "Attack_type stands in for the capture session", 0),
        ({"split": "time", "embargo": 300.0}, r"frame.time .*one clock\), 300 s left out", None),
        ({"split": "attack", "attack_test": ("XSS",)}, r"\(XSS\); validation has types of its own", None),
    ],
)
def test_card_of_the_bundled_capture(bundled, rule, words, on_two_sides):
    table, config = bundled, TrainConfig(sample=6000, **rule)
    split = split_table(table, config)
    card = split_card(table, split, config)
    json.dumps(card, allow_nan=False)
    assert card["split"] == rule["split"] and pd.Series([card["rule"]]).str.contains(words).all()
    assert [side["rows"] for side in card["sides"].values()] == [len(side) for side in split]
    assert card["sides"]["test"]["prior"] == table.y[split.test].mean()
    assert sum(card["left_out"].values()) == 6000 - sum(map(len, split)) and (len(card["left_out"]) == 2) == (
        rule["split"] == "time"
    )
    assert on_two_sides is None or card["groups"]["on_two_sides"] == on_two_sides
    assert card["types_of_sides"]["test"].get("XSS", 0) == (table.attack[split.test] == "XSS").sum()


def test_unread_times_are_reported_and_a_table_without_groups_has_none():
    times = ["2021 10:00:00", "0.0"] * 5 + [f"2021 11:{m:02d}:00" for m in range(50)]
    attack = np.array((["Normal", "XSS"] * 30), dtype=object)
    table = table_of({"a": np.arange(60.0)}, [0, 1] * 30, {"frame.time": times}, attack, ("frame.time",))
    config = TrainConfig(split="time")
    card = split_card(table, split_table(table, config), config)
    assert card["left_out"] == {"time cannot be read": 5, "embargo": 0} and card["groups"] is None
    assert "Attack_type stands in for the capture" in card["rule"]


def test_two_types_share_the_one_that_trains_and_the_card_says_so():
    table = table_of({"a": np.arange(60.0)}, [0, 1, 1] * 20, attack=np.array(["Normal", "XSS", "MITM"] * 20, dtype=object))
    config = TrainConfig(split="attack")
    assert "validation shares the one type that trains" in split_card(table, split_table(table, config), config)["rule"]
