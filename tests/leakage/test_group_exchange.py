"""Exchanges between whole groups: what they are, and that tests over them keep their level."""

import dataclasses
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from qnb.data.column_roles import Source
from qnb.leakage import formatting, group_exchange, single_columns
from qnb.leakage.group_exchange import Exchange, groups_of, p_of_exchanges
from qnb.leakage.raw import Raw, RawColumn
from qnb.leakage.statistics import folded_auc, folds, rate_auc


def column(texts) -> RawColumn:
    return RawColumn.of(pa.array([str(t) for t in texts], pa.string()))


def sessions(rng, count=20, rows=50):
    """Labels (N,) and sessions (N,): each session has its own share of attacks."""
    of = np.repeat(np.arange(count), rng.integers(rows // 2, rows * 3 // 2, count))
    return (rng.random(len(of)) < rng.random(count)[of]).astype(np.int8), of


def table(y, **columns) -> Raw:
    identifiers = {name: "host" for name in columns if name.startswith("host")}
    source = Source(
        "rows",
        [*columns, "label"],
        lambda names: iter(()),
        "label",
        groups=("capture.session",),
        dropped={name: "identifier" for name in columns},
        identifiers=identifiers,
    )
    return Raw({name: column(values) for name, values in columns.items()}, y, source)


def test_an_exchange_hands_each_group_the_rows_of_one_other_rotated(rng):
    of = rng.permutation(np.repeat(np.arange(6), 5))  # interleaved
    exchange = Exchange(of)
    for _ in range(20):
        rows = exchange.rows(rng)
        assert sorted(rows) == list(range(30))  # equal sizes: a permutation
        for group in range(6):
            taken = rows[of == group]
            (source,) = set(of[taken])
            own = np.flatnonzero(of == source)
            assert any((np.roll(own, k) == taken).all() for k in range(5))


def test_groups_of_unequal_size_repeat_or_thin_out_and_stay_within_their_class(rng):
    of, within = np.repeat([0, 1, 2, 3], [4, 8, 2, 6]), np.repeat([0, 0, 1, 1], [4, 8, 2, 6])
    exchange = Exchange(of, within)
    for _ in range(30):
        rows = exchange.rows(rng)
        assert (within[rows] == within).all()
        sources = [set(of[rows[of == group]]) for group in range(4)]
        assert all(len(s) == 1 for s in sources) and set.union(*sources) == {0, 1, 2, 3}
        if sources[1] == {0}:
            assert (np.bincount(rows[of == 1], minlength=4)[:4] == 2).all()


def test_p_of_exchanges_is_that_of_all_permutations_of_groups(rng):
    """Values constant in 5 groups of equal size: the p is the share of the 120 orders that reach what was seen."""
    weight, value = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 4.0, 2.0, 5.0, 3.0])
    exact = np.mean([np.dot(weight, value[list(order)]) >= weight @ value for order in permutations(range(5))])
    of = np.repeat(np.arange(5), 3)
    found = [p_of_exchanges(lambda rows: float(weight[of] @ value[of][rows]), of, 400, rng) for _ in range(60)]
    assert np.mean(found) == pytest.approx(exact, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "hosts"), [(12, 4), (20, 5), (60, 10)])
def test_the_p_over_groups_keeps_its_level(count, hosts):
    """A host constant within sessions and unrelated to the label: p <= 5 % in 5 % of 500 draws; over rows in most."""
    rng, found = np.random.default_rng(count), []
    for _ in range(500):
        y, of = sessions(rng, count)
        host = rng.integers(0, hosts, count)[of]
        fold = folds(y, rng)
        over_groups = p_of_exchanges(lambda rows, h=host, y=y, f=fold: folded_auc(h[rows], y, f), of, 400, rng)
        found.append((rate_auc(host, y, rng).p <= 0.05, over_groups <= 0.05))
    rows, groups = np.mean(found, axis=0)
    assert rows > 0.8 and groups <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_a_host_constant_within_sessions_is_no_leak_and_one_that_attacks_is(rng):
    calls = []
    for _ in range(40):
        y, of = sessions(rng)
        raw = table(y, **{"capture.session": of, "host.at": rng.integers(0, 5, 20)[of], "host.none": np.ones(len(y), int)})
        verdict = single_columns.judge_identifiers(single_columns.examine(raw))
        calls.append(verdict.verdict == "yes")
        if verdict.figures["tested over whole groups"]:
            assert "No more than their groups tell host.at" in verdict.sentence or calls[-1]
    assert sum(calls) <= stats.binom.isf(1e-3, 40, 0.01)
    y, of = sessions(rng)
    attacker = np.where(y == 1, rng.integers(6, 9, len(y)), rng.integers(1, 6, len(y)))
    verdict = single_columns.judge_identifiers(single_columns.examine(table(y, **{"capture.session": of, "host.at": attacker})))
    assert verdict.figures["columns"] == ["host.at"] and verdict.figures["tested over whole groups"] == ["host.at"]


def test_without_groups_the_verdict_says_that_rows_are_taken_as_independent(rng):
    y, of = sessions(rng)
    raw = table(y, **{"host.at": rng.integers(1, 6, 20)[of]})
    assert groups_of(raw) is None
    verdict = single_columns.judge_identifiers(single_columns.examine(raw))
    assert verdict.verdict == "yes" and "p of host.at takes rows as independent" in verdict.sentence


def test_a_spelling_of_whole_sessions_is_no_leak_and_one_of_attacks_is(rng):
    y, of = sessions(rng)
    by_session = np.where(rng.permutation(np.arange(20) < 10)[of], "0", "0.0")
    by_label = np.where(y == 1, "0.0", "0")
    columns = {"session": column(by_session), "label": column(by_label)}
    over_rows = {f.column: f for f in formatting.examine(columns, y)}
    forms = {f.column: f for f in formatting.examine(columns, y, groups=of)}
    assert forms["label"].leaks(2) and over_rows["label"].leaks(2)
    assert not forms["session"].leaks(2) and over_rows["session"].p <= forms["session"].p


@pytest.mark.slow
def test_spellings_of_sessions_are_called_leaks_no_more_often_than_stated():
    rng, found = np.random.default_rng(3), []
    for _ in range(100):
        y, of = sessions(rng, 14)
        columns = {"a": column(np.where((rng.random(14) < 0.5)[of], "0", "0.0"))}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(formatting, "PERMUTATIONS", 1000)
            found.append((formatting.examine(columns, y)[0].leaks(1), formatting.examine(columns, y, groups=of)[0].leaks(1)))
    rows, groups = np.sum(found, axis=0)
    assert rows > stats.binom.isf(1e-3, 100, 0.01) >= groups


def test_groups_are_those_named_else_the_session(rng):
    y, of = sessions(rng)
    raw = table(y, **{"capture.session": of, "a": of % 2, "b": of % 3})
    assert len(np.unique(groups_of(raw))) == 20
    assert len(np.unique(groups_of(raw, ("a", "b")))) == 6
    assert groups_of(raw, ("a", "host pair")) is None
    fewer = dataclasses.replace(raw, columns={"a": raw.columns["a"]})
    assert groups_of(fewer) is None and len(group_exchange.some_rows(30_000, rng)) == 20_000
