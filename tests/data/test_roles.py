"""Roles of rows: each is read once for split, card and bootstrap, and says of a side what the side by itself would."""

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.data import roles as module
from qnb.data.grouping import ATTACK_TYPE, PAIR, SESSION, group_codes, stands_in
from qnb.data.prepare import prepare
from qnb.data.roles import Roles
from qnb.data.table import load_table

SMALL = {"sample": 1500, "wires": 2, "batch": 16}


@pytest.fixture(scope="module")
def table():
    return load_table(TrainConfig(**SMALL))


@pytest.mark.parametrize("columns", [(SESSION,), (PAIR,), (ATTACK_TYPE,), (ATTACK_TYPE, PAIR)])
def test_groups_of_a_side_are_those_that_the_side_alone_has(table, columns):
    groups = Roles(table, columns).groups
    for rows in (np.arange(0, 1500, 3), np.random.default_rng(1).permutation(1500)[:200]):
        side = table.take(rows)
        alone, _ = group_codes(side, columns)
        expected = np.where(side.y == 1, alone, -1) if stands_in(columns) else alone
        np.testing.assert_array_equal(groups.of(rows), expected)


@pytest.mark.parametrize("split", ["random", "group", "time", "attack"])
def test_each_role_is_read_once_a_preparation(table, split, monkeypatch):
    reads = []
    for name in ("group_codes", "read_clock"):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, f=original, n=name: reads.append(n) or f(*args))
    prepared = prepare(TrainConfig(**SMALL, split=split), table)
    assert sorted(reads) == ["group_codes", *(["read_clock"] if split == "time" else [])]
    assert len(prepared.test_groups) == len(prepared.y["test"])
    single = prepared.test_groups < 0
    assert (prepared.test_units[~single] == prepared.test_groups[~single]).all()
    assert len(np.unique(prepared.test_units)) == len(np.unique(prepared.test_groups[~single])) + single.sum()
