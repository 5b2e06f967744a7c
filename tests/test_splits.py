"""The stratified random split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnb.config import TrainConfig
from qnb.data import Table
from qnb.splits import SPLITS, Split, check_split, random_split, split_table
from qnb.values import DataError


@settings(max_examples=50, deadline=None)
@given(st.integers(60, 400), st.floats(0.15, 0.85), st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 2**31))
def test_every_row_once_and_both_classes_in_proportion(rows, prior, val, test, seed):
    y = (np.arange(rows) < rows * prior).astype(np.int8)
    split = random_split(y, val, test, seed)
    assert np.array_equal(np.sort(np.concatenate(split)), np.arange(rows))
    assert len(split.val) == round(rows * val) and len(split.test) == round(rows * test)
    for side in split:
        assert abs(y[side].sum() - y.mean() * len(side)) <= 2


def test_seed_decides():
    y = np.tile([0, 1], 100)
    assert all(np.array_equal(a, b) for a, b in zip(random_split(y, 0.2, 0.2, 5), random_split(y, 0.2, 0.2, 5), strict=True))
    assert not np.array_equal(random_split(y, 0.2, 0.2, 5).test, random_split(y, 0.2, 0.2, 6).test)


def test_split_table_uses_the_configuration():
    y = np.tile([0, 1], 50).astype(np.int8)
    table = Table(pd.DataFrame({"a": y}), y, None, pd.DataFrame(index=range(100)), {})
    split = split_table(table, TrainConfig(val_fraction=0.1, test_fraction=0.3, split_seed=2))
    assert [len(side) for side in split] == [60, 10, 30]
    assert np.array_equal(split.test, random_split(y, 0.1, 0.3, 2).test)
    assert set(SPLITS) == {"random"}


@pytest.mark.parametrize("y", [[0, 0, 1, 1], [0] * 100 + [1] * 2, [1] * 50])
def test_too_few_rows(y):
    with pytest.raises(DataError, match=rf"{len(y)} rows .* cannot be split .* both classes on each side"):
        random_split(np.array(y), 0.2, 0.2, 0)


def test_a_side_without_a_class_is_named():
    with pytest.raises(DataError, match="The test side of the split has 2 rows and none of class 1"):
        check_split(Split(np.array([0, 5]), np.array([1, 6]), np.array([2, 3])), np.array([0, 0, 0, 0, 0, 1, 1]))


def test_a_rare_class_that_rounding_loses_is_refused():
    with pytest.raises(DataError, match="none of class 1"):
        random_split(np.array([0] * 997 + [1] * 3), 0.01, 0.01, 0)
