"""Splits at random, by group, by time and by attack type: what each promises, and what it says where it cannot."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnb.config import TrainConfig
from qnb.data.grouping import PAIR, assign_groups, group_codes
from qnb.data.overlap import split_card
from qnb.data.profiles import EDGE_IIOT
from qnb.data.splits import SPLITS, Split, check_split, random_split, split_table
from qnb.data.table import Table, load_table
from qnb.data.times import read_clock
from qnb.data.values import DataError


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
    assert set(SPLITS) == {"random", "group", "time", "attack"}


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


# ------------------------------------------------------------------------------------------------------------ all the rules


def make_table(y, attack=None, **groups):
    y = np.asarray(y, np.int8)
    frame = pd.DataFrame({"x": np.arange(len(y), dtype=float)})
    attack = None if attack is None else np.asarray(attack, dtype=object)
    time = tuple(c for c in EDGE_IIOT.clocks[0] if c in groups)
    hosts = tuple(pair for pair in EDGE_IIOT.hosts if pair[0] in groups)
    return Table(frame, y, attack, pd.DataFrame(groups, index=range(len(y))), {}, time, hosts)


def clock_text(seconds):
    return [f" 2021 {int(s) // 3600:02d}:{int(s) // 60 % 60:02d}:{s % 60:012.9f} " for s in seconds]


@pytest.fixture(scope="module")
def bundled():
    return load_table(TrainConfig(sample=6000))


RULES = [
    {"split": "random"},
    {"split": "group"},
    {"split": "group", "group_by": (PAIR,)},
    {"split": "group", "group_by": ("capture.session", "ip.src_host")},
    {"split": "group", "group_by": ("Attack_type",)},
    {"split": "time"},
    {"split": "time", "embargo": 300.0},
    {"split": "attack"},
    {"split": "attack", "attack_test": ("XSS", "MITM")},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_sides_are_disjoint_seeded_near_the_fractions_and_hold_both_classes(bundled, rule):
    split, again = (split_table(bundled, TrainConfig(sample=6000, split_seed=4, **rule)) for _ in range(2))
    everything = np.concatenate(split)
    assert len(set(everything)) == len(everything) and set(everything) <= set(range(6000))
    assert len(everything) == 6000 or rule["split"] == "time"
    assert all(np.array_equal(a, b) and (np.diff(a) > 0).all() for a, b in zip(split, again, strict=True))
    assert all(set(bundled.y[side]) == {0, 1} for side in split)
    if "attack_test" not in rule:
        assert np.allclose([len(side) / 6000 for side in split], [0.6, 0.2, 0.2], atol=0.05)
    if rule["split"] != "time":
        other = split_table(bundled, TrainConfig(sample=6000, split_seed=5, **rule))
        assert not np.array_equal(split.train, other.train)


# ----------------------------------------------------------------------------------------------------------------- by group

GROUPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=150)


@settings(max_examples=60, deadline=None)
@given(GROUPS, st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.integers(0, 9))
def test_groups_stay_whole_and_three_of_each_class_are_enough(rows, val, test, seed):
    group, y = np.array(rows).T
    table = make_table(y, site=group.astype(str))
    config = TrainConfig(split="group", group_by=("site",), val_fraction=val, test_fraction=test, split_seed=seed)
    enough = all(len(set(group[y == c])) >= 3 for c in (0, 1))
    if not enough:
        with pytest.raises(DataError, match=r"split='group' by site: class [01] occurs in [0-2] of \d+ groups.*three sides"):
            split_table(table, config)
        return
    split = split_table(table, config)
    assert sorted(np.concatenate(split)) == list(range(len(y)))
    held = [set(group[side]) for side in split]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    assert all(set(y[side]) == {0, 1} for side in split)


def test_groups_come_as_near_to_the_fractions_as_their_sizes_let_them():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 30, (300, 2))
    side = assign_groups(counts, np.array([0.7, 0.1, 0.2]), rng)
    shares = np.stack([counts[side == s].sum(axis=0) for s in range(3)]) / counts.sum(axis=0)
    assert np.abs(shares - np.array([[0.7], [0.1], [0.2]])).max() < 0.01
    giant = np.vstack([[[1000, 1000]], counts[:20]])
    assert assign_groups(giant, np.array([0.8, 0.1, 0.1]), rng)[0] == 0  # the one place where it does least harm


def test_host_pairs_go_both_ways_and_take_arp_addresses():
    table = make_table(
        [0, 1, 0, 1, 0],
        **{
            "ip.src_host": ["a", "b", "0", "0", "a"],
            "ip.dst_host": ["b", "a", "0", "0", "c"],
            "arp.src.proto_ipv4": ["0", "0", "b", "0", "0"],
            "arp.dst.proto_ipv4": ["0", "0", "a", "0", "0"],
        },
    )
    codes, names = group_codes(table, (PAIR,))
    assert codes.tolist() == [0, 0, 0, 1, 2] and names == ["a - b", "0 - 0", "a - c"]


def test_group_columns_are_found_or_named():
    y = np.tile([0, 1], 20)
    with pytest.raises(DataError, match="neither capture sessions nor hosts: name the columns"):
        split_table(make_table(y), TrainConfig(split="group"))
    with pytest.raises(DataError, match=r"names 'sites', which the table does not hold\. Did you mean 'site'\?"):
        split_table(make_table(y, site=np.arange(40) // 4), TrainConfig(split="group", group_by=("sites",)))
    split = split_table(make_table(y, site=[None, *(np.arange(39) // 4)]), TrainConfig(split="group", group_by=("site",)))
    assert sum(map(len, split)) == 40  # a row without a value is a group of its own


# ------------------------------------------------------------------------------------------------------------------ by time


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 2), st.booleans()), min_size=30, max_size=120),
    st.sampled_from([0.0, 1.0, 90.0]),
)
def test_time_order_holds_in_every_capture_and_the_embargo_parts_the_sides(rows, embargo):
    seconds, kind, read = (np.array(column) for column in zip(*rows, strict=True))
    text = np.where(read, clock_text(seconds), "192.168.0.128")
    table = make_table(kind > 0, np.array(["Normal", "XSS", "MITM"])[kind], **{"frame.time": text})
    try:
        split = split_table(table, TrainConfig(split="time", embargo=embargo))
    except DataError as error:
        assert "none of" in str(error) or 2 * (~read).sum() > len(read)
        return
    assert not set(np.concatenate(split)) & set(np.flatnonzero(~read))
    for k in set(kind):
        train, val, test = (seconds[side][kind[side] == k] for side in split)
        for early, late in ((train, val), (train, test), (val, test)):
            if len(early) and len(late):
                assert early.max() < late.min() and late.min() - early.max() >= embargo
    left = set(range(len(rows))) - set(np.concatenate(split)) - set(np.flatnonzero(~read))
    assert embargo or not left


def test_one_clock_where_capture_start_says_so(bundled):
    clock = read_clock(bundled)
    day = bundled.groups["capture.start"], bundled.groups["capture.end"]
    assert (day[0] - 1e-5 <= clock.seconds).all() and (clock.seconds <= day[1] + 1e-5).all() and not clock.capture.any()
    split = split_table(bundled, TrainConfig(sample=6000, split="time"))
    train, val, test = (clock.seconds[side] for side in split)
    assert train.max() < val.min() and val.max() < test.min()
    alone = Table(bundled.frame, bundled.y, bundled.attack, bundled.groups.drop(columns=["capture.start"]), {}, bundled.time)
    assert len(set(read_clock(alone).capture)) == 15 and "Attack_type stands in" in read_clock(alone).words


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["Dec  3, 2021 22:49:20.400794000 CET", "Dec 4, 2021 00:00:00.5", "0.0"], [0, 4240.0992, np.nan]),
        (["2021-12-03 22:49:20.4", "2021-12-04T00:00:00", "x"], [0, 4239.6, np.nan]),
        ([" 2021 22:49:20.400794000 ", "23:59:59", "2021 24:00:00"], [82160.4, 86399, np.nan]),
        ([10.0, 20.5, np.nan], [10, 20.5, np.nan]),
        (["1556245350", " 1556245410.5", "1556245351"], [0, 60.5, 1]),
        (["25-Apr-19 19:22:30", "26-Apr-19 00:00:00", "x"], [0, 16650, np.nan]),
    ],
)
def test_times_as_they_come(texts, seconds):
    found = read_clock(make_table([0, 1, 1], ["Normal", "XSS", "XSS"], **{"frame.time": texts})).seconds
    shift = found[0] - seconds[0]
    assert np.allclose(found - shift, seconds, atol=1e-3, equal_nan=True)


def test_date_and_time_of_two_columns_are_one_clock():
    days, times = ["25-Apr-19", "25-Apr-19", "26-Apr-19"], [" 19:22:30 ", "23:59:59", "00:00:01"]
    table = make_table([0, 1, 1], date=days, time_of_day=times)
    clock = read_clock(dataclasses.replace(table, time=("date", "time_of_day")))
    assert np.diff(clock.seconds).tolist() == [16649, 2] and clock.column == "date time_of_day" and "one clock" in clock.words


def test_rows_that_belong_together_are_counted_under_every_split():
    y = np.tile([0, 1], 30)
    table = make_table(y, site=np.arange(60) // 2)
    for split in ("random", "group"):
        config = TrainConfig(data="t.csv", split=split, group_by=("site",))
        card = split_card(table, split_table(table, config), config)
        assert card["groups"]["columns"] == ["site"] and card["groups"]["count"] == 30
        assert (card["groups"]["on_two_sides"] == 0) == (split == "group")


def test_times_that_say_nothing_are_refused():
    y = [0, 1, 1]
    with pytest.raises(DataError, match=r"needs the column of the clock.* name it, time='\.\.\.'"):
        read_clock(make_table(y))
    with pytest.raises(DataError, match=r"cannot be read as a time in 2 of 3 rows, such as '0\.0'"):
        read_clock(make_table(y, **{"frame.time": ["0.0", "6.0", "2021 10:00:00"]}))
    with pytest.raises(DataError, match=r"without a date.*no capture\.start and no attack types"):
        read_clock(make_table(y, **{"frame.time": clock_text([1, 2, 3])}))
    late = make_table(np.arange(50) >= 30, ["Normal"] * 30 + ["XSS"] * 20, **{"frame.time": np.arange(50.0)})
    with pytest.raises(DataError, match=r"none of class 1\. split='time' by frame\.time \(numbers"):
        split_table(late, TrainConfig(split="time"))


# ----------------------------------------------------------------------------------------------------------- by attack type


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=20, max_size=200), st.integers(0, 9), st.integers(0, 3))
def test_types_of_the_test_are_not_in_training(kind, seed, named):
    kind = np.array([*kind, 0, 0, 0, 0, 0])
    types = [f"t{k}" for k in sorted(set(kind) - {0})]
    table = make_table(kind > 0, [f"t{k}" if k else "Normal" for k in kind])
    config = TrainConfig(split="attack", split_seed=seed, attack_test=tuple(types[:named]) or None)
    try:
        split = split_table(table, config)
    except DataError as error:
        few = min(np.bincount(kind)[1:][np.bincount(kind)[1:] > 0], default=0) < 3
        assert len(types) < 2 or named >= len(types) or few, str(error)
        return
    assert sorted(np.concatenate(split)) == list(range(len(kind)))
    train, val, test = (set(table.attack[side]) - {"Normal"} for side in split)
    assert test and train and not train & test and not val & test
    assert test == set(types[:named]) or not named
    if len(types) - max(len(types[:named]), 1) >= 2:
        assert not train & val  # validation has types of its own where there are enough
    else:
        assert train == val


def test_attack_types_that_cannot_be_left_out():
    y = np.tile([0, 1, 1], 20)
    table = make_table(y, np.tile(["Normal", "XSS", "MITM"], 20))
    with pytest.raises(DataError, match=r"attack_test names 'XXS'.*Did you mean 'XSS'\?"):
        split_table(table, TrainConfig(split="attack", attack_test=("XXS",)))
    with pytest.raises(DataError, match="names all 2 types: none is left to train on"):
        split_table(table, TrainConfig(split="attack", attack_test=("XSS", "MITM")))
    with pytest.raises(DataError, match="there is XSS"):
        split_table(make_table(y, np.tile(["Normal", "XSS", "XSS"], 20)), TrainConfig(split="attack"))
    with pytest.raises(DataError, match="no column of attack types"):
        split_table(make_table(y), TrainConfig(split="attack"))
