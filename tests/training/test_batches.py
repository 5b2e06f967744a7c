import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnb.errors import ParameterError
from qnb.training.batches import batches_per_epoch, epoch_batches


@given(st.integers(8, 60), st.integers(1, 8), st.integers(1, 12), st.integers(0, 99))
def test_a_row_comes_again_only_when_all_have_come(rows, batch, count, seed):
    drawn = np.concatenate(list(epoch_batches(np.zeros(rows), batch, count, np.random.default_rng(seed))))
    assert len(drawn) == batch * count
    uses = np.bincount(drawn, minlength=rows)
    assert uses.max() - uses.min() <= 1


@given(st.integers(2, 30), st.integers(2, 30), st.integers(4, 10), st.floats(0.3, 0.7))
def test_balanced_batches_hold_the_share_asked_for(positives, negatives, batch, share):
    y = np.r_[np.ones(positives), np.zeros(negatives)]
    for rows in epoch_batches(y, batch, 5, np.random.default_rng(0), share):
        assert len(rows) == batch and y[rows].sum() == round(batch * share)


@pytest.mark.parametrize("y", [np.zeros(9), np.ones(9)])
def test_balanced_batches_of_one_class_are_refused(y):
    with pytest.raises(ParameterError, match="all training rows are of one"):
        next(epoch_batches(y, 4, 5, np.random.default_rng(0), 0.5))


def test_seed_decides_and_generator_moves_on():
    y = np.zeros(20)
    first, again = (list(epoch_batches(y, 4, 5, np.random.default_rng(1))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    generator = np.random.default_rng(1)
    list(epoch_batches(y, 4, 5, generator))
    assert not np.array_equal(first, list(epoch_batches(y, 4, 5, generator)))


def test_batches_per_epoch():
    assert batches_per_epoch(1000, 256, None) == 3
    assert batches_per_epoch(1000, 256, 100) == 100
