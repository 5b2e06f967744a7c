"""Columns that look like a time, an identifier or an attack type: a table of made-up columns, and what each looks like."""

import numpy as np
import pandas as pd
import pytest

from qnb.data.cautions import cautions
from qnb.data.lookalikes import look_alikes, sentence
from qnb.data.table import read_table

N = 200
RNG = np.random.default_rng(0)
DAY = pd.Timestamp("2021-12-03 10:00:00")
SHUFFLED = RNG.permutation(N)
WORDS = np.array(["tcp", "udp", "icmp"], dtype=object)[RNG.integers(3, size=N)]
COLUMNS = {  # name, values -> the role that it looks like, None where it is a feature like any other
    "epoch floats": ("a", 1545404139.6 + 3.1 * SHUFFLED, "time"),
    "epoch milliseconds": ("a", 1545404139621.0 + SHUFFLED, "time"),
    "dates": ("a", [str(DAY + pd.Timedelta(seconds=int(s))) for s in SHUFFLED], "time"),
    "Wireshark's dates": ("a", [f"Dec  3, 2021 22:49:{s % 60:02d}.400794000 CET" for s in SHUFFLED], "time"),
    "times of day": ("when", [f"{s % 24:02d}:{s % 60:02d}:07" for s in SHUFFLED], "time"),
    "a date alone, by its name": ("date", np.where(SHUFFLED % 2, "25-Apr-19", "26-Apr-19"), "time"),
    "seconds that grow, by their name": ("Start Time", np.floor(np.arange(N) / 3), "time"),
    "numbers that grow with every row": ("x", np.cumsum(RNG.random(N) + 0.01), "time"),
    "a counter of rows": ("x", np.arange(5.0, N + 5), "drop"),
    "a duration": ("response_time", RNG.exponential(2.0, N), None),
    "a time delta": ("udp.time_delta", RNG.random(N), None),
    "addresses": ("a", [f"10.0.{s % 7}.{s % 11}" for s in SHUFFLED], "identifiers"),
    "addresses, zero where there is none": ("a", ["0" if s % 3 else f"10.0.0.{s}" for s in SHUFFLED], "identifiers"),
    "IPv6": ("a", [f"fe80::1c{s:x}" for s in SHUFFLED], "identifiers"),
    "MAC addresses": ("a", [f"00:1b:44:11:3a:{s:02x}" for s in SHUFFLED], "identifiers"),
    "ports, by their name": ("dst_port", RNG.integers(0, 65536, N).astype(float), "identifiers"),
    "Ports in camel case": ("srcPort", RNG.integers(0, 1024, N).astype(float), "identifiers"),
    "import, which is no port": ("import", RNG.integers(0, 1024, N).astype(float), None),
    "flow ids": ("a", [f"C{s:017d}" for s in SHUFFLED], "identifiers"),
    "ids that are numbers": ("Flow ID", SHUFFLED + 1000.0, "identifiers"),
    "a few units, called an id": ("unit_id", (SHUFFLED % 4).astype(float), None),
    "an id of text that repeats": ("session", np.array(["s1", "s2"], dtype=object)[SHUFFLED % 2], "identifiers"),
    "attack types": ("attack_cat", np.array(["Normal", "Fuzzers"], dtype=object)[SHUFFLED % 2], "attack_type"),
    "categories of something else": ("category", np.array(["a", "b"], dtype=object)[SHUFFLED % 2], None),
    "protocols": ("proto", WORDS, None),
    "measurements": ("temperature", RNG.normal(20, 5, N), None),
    "whole numbers, nearly all different": ("bytes", SHUFFLED * 17.0, None),
    "random 32 bits": ("ack_raw", RNG.integers(0, 2**32, N).astype(float), None),
    "a constant in the range of dates": ("x", np.full(N, 1.6e9), None),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_what_a_column_looks_like(case):
    name, values, role = COLUMNS[case]
    values = pd.Series(values)
    found = look_alikes(pd.DataFrame({name: values, "other": RNG.normal(size=N)}))
    assert {column: seen["role"] for column, seen in found.items()} == ({name: role} if role else {})
    assert bool(sentence(found)) == bool(role)


@pytest.fixture
def own(tmp_path):
    """A table of no known data set with a clock, an address and a counter of rows."""
    y = np.arange(N) % 3 == 0
    frame = pd.DataFrame({"n": range(N), "ts": 1.6e9 + np.arange(N) * 2.5, "src": [f"10.0.0.{i % 9}" for i in range(N)]})
    path = tmp_path / "own.csv"
    frame.assign(x=y + RNG.normal(size=N), y=y.astype(int)).to_csv(path, index=False)
    return str(path)


def test_they_are_named_until_they_have_a_role(own):
    card = read_table(own, label="y").card
    assert {c: seen["role"] for c, seen in card["look_alikes"].items()} == {"ts": "time", "src": "identifiers"}
    (told,) = card["cautions"]
    assert all(f"{name} (" in told for name in ("ts", "src")) and "seconds since 1970" in told
    assert "n" not in read_table(own, label="y").frame  # counts the rows throughout, so it has a role already
    table = read_table(own, label="y", drop=("n",), time=("ts",), identifiers=("src",))
    assert list(table.frame) == ["x"] and table.card["look_alikes"] == {} and table.card["cautions"] == []
    assert table.card["why_dropped"] == {"n": "drop", "ts": "time", "src": "identifier"}


def test_few_rows_of_a_class_are_said_of_each_side():
    sides = {"train": {"rows": 60, "prior": 0.5}, "val": {"rows": 100, "prior": 0.03}, "test": {"rows": 90, "prior": 0.95}}
    (few,) = cautions({"look_alikes": {}, "sides": sides})
    (rare,) = cautions({"look_alikes": {}, "sides": {"train": {"rows": 100, "prior": 0.95}}})
    assert few.startswith("The val side has 3 positives among 100 rows.") and "0.17" in few
    assert rare.startswith("The train side has 5 negatives among 100 rows.") and "0.13" in rare
    # against draws: AUCs of scores that know nothing, from the ranks of the three positives
    places = RNG.random((20_000, 100)).argsort(axis=1)[:, :3]
    assert abs(np.std((places.sum(axis=1) - 3) / (3 * 97)) - 0.17) < 0.005
