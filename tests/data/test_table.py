"""Reading, cleaning and sampling tables. The traps of Edge-IIoTset each have a test, on rows written here in its format."""

import csv
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnb.data.sampling
from qnb.config import LEAKS, REAL_TABLES, TrainConfig
from qnb.data import csv_file
from qnb.data.capture import AUTHORS_DROP, EDGE_COLUMNS, TWO_ZEROS
from qnb.data.csv_file import CsvFile
from qnb.data.profiles import EDGE_IIOT
from qnb.data.sources import REAL
from qnb.data.table import fingerprint, load_table, read_table
from qnb.data.values import DataError, clean_column, number_text, to_numbers

TEXT_FIELDS = {"ip.src_host", "ip.dst_host", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "mqtt.msg", *TWO_ZEROS}


def edge_row(label: int, kind: str, seed: int, **fields) -> list[str]:
    """One row as the published file writes it: a date-less time, text zeros by label, `0.0` in the rest."""
    row = dict.fromkeys(EDGE_COLUMNS, "0.0") | dict.fromkeys(TEXT_FIELDS, "0" if label == 0 else "0.0")
    row |= {"frame.time": f" 2021 13:05:{seed % 60:02d}.{seed:06d}000 ", "ip.src_host": "10.0.0.5", "ip.dst_host": "10.0.0.9"}
    row |= {"tcp.srcport": f"{40000 + seed}.0", "tcp.len": f"{seed}.0", "tcp.seq": f"{seed * 7 % 11}.0"}
    return list((row | {"Attack_label": str(label), "Attack_type": kind} | fields).values())


def edge_rows(count: int = 40) -> list[list[str]]:
    kinds = ["Normal", "XSS", "DDoS_TCP", "MITM"]
    return [edge_row(int(i % 4 > 0), kinds[i % 4], i) for i in range(count)]


def write_csv(path, rows, header=EDGE_COLUMNS):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def write_table(path, text: str):
    path.write_text(textwrap.dedent(text))
    return str(path)


# ------------------------------------------------------------------------------------------------------------ Edge-IIoTset


def test_edge_file_is_known_by_its_columns(tmp_path):
    table = read_table(write_csv(tmp_path / "ML.csv", edge_rows()))
    assert len(table) == 40 and table.y.dtype == np.int8 and table.y.sum() == 30
    assert not set(table.frame.columns) & {*AUTHORS_DROP, "Attack_label", "Attack_type"} and table.frame.shape == (40, 46)
    assert ((table.attack != "Normal") == table.y).all()
    assert table.card["attack_types"] == {"Normal": 10, "XSS": 10, "DDoS_TCP": 10, "MITM": 10}
    assert table.card["prior"] == 0.75 and table.card["synthetic"] is False
    assert {*AUTHORS_DROP, "Attack_type"} == set(table.card["columns_dropped"])
    json.dumps(table.card, allow_nan=False)


def test_the_two_zeros_say_nothing_after_cleaning(tmp_path):
    frame = read_table(write_csv(tmp_path / "a.csv", edge_rows())).frame
    for name in set(TWO_ZEROS) - set(AUTHORS_DROP):
        assert (frame[name] == 0).all()
    rows = [edge_row(1, "XSS", i, **{"mqtt.topic": "Temperature"} if i == 5 else {}) for i in range(20)]
    frame = read_table(write_csv(tmp_path / "b.csv", [*edge_rows(), *rows])).frame
    assert set(frame["mqtt.topic"]) == {"0", "Temperature"}  # text now, and still one zero


def test_duplicates_go_after_the_fields_are_dropped(tmp_path):
    rows = edge_rows(12)
    same_but_time = edge_row(1, "XSS", 1, **{"frame.time": " 2021 23:59:59.000000000 ", "tcp.srcport": "1.0"})
    other_zero = edge_row(1, "XSS", 1, **{"mqtt.topic": "0"})
    other_label = edge_row(0, "Normal", 1)
    table = read_table(write_csv(tmp_path / "a.csv", [*rows, rows[1], same_but_time, other_zero, other_label]))
    assert table.card["rows_read"] == 16 and table.card["rows_kept"] == 13
    assert table.card["dropped"] == {"exact duplicates": 3, "not sampled": 0} and table.card["duplicates"] == 3


def test_time_and_addresses_are_kept_for_splits_as_they_stand(tmp_path):
    rows = [*edge_rows(12), edge_row(0, "Normal", 99, **{"ip.src_host": "0", "ip.dst_host": "0", "arp.opcode": "2.0"})]
    groups = read_table(write_csv(tmp_path / "a.csv", rows)).groups
    assert list(groups.columns) == [*EDGE_IIOT.clocks[0], *(host for pair in EDGE_IIOT.hosts for host in pair)]
    assert groups["frame.time"].iloc[3] == "2021 13:05:03.000003000"
    assert groups["ip.src_host"].iloc[-1] == "0" and groups["ip.src_host"].iloc[0] == "10.0.0.5"


def test_quoted_commas_quotes_and_newlines(tmp_path):
    page = '<html>\n<p class="x">404, Not Found</p>\r\n</html>'
    shell = '() { _; } >_[$($())] { echo 93e4r0-CVE, "id"; }'
    rows = [*edge_rows(12), edge_row(1, "XSS", 77, **{"http.file_data": page, "http.referer": shell, "tcp.payload": "58" * 40})]
    table = read_table(write_csv(tmp_path / "a.csv", rows))
    assert len(table) == 13 and table.frame["http.referer"].iloc[-1] == shell and table.frame["tcp.len"].iloc[-1] == 77


def test_a_column_that_turns_to_text_in_a_later_batch(tmp_path, monkeypatch):
    rows = edge_rows(400)
    rows[390] = edge_row(1, "XSS", 390, **{"mqtt.topic": "Distance", "dns.qry.name.len": "17.0"})
    path = write_csv(tmp_path / "a.csv", rows)
    whole = read_table(path, sample=100)
    monkeypatch.setattr(csv_file, "CHUNK", 2048)
    assert len(list(CsvFile(Path(path)).batches(["tcp.len"]))) > 10
    parts = read_table(path, sample=100)
    assert parts.card == whole.card  # the fingerprint is in it
    pd.testing.assert_frame_equal(parts.frame, whole.frame)
    everything = read_table(path)
    assert set(everything.frame["mqtt.topic"]) == {"0", "Distance"} and everything.frame["dns.qry.name.len"].dtype == float


def test_another_label_of_an_edge_file_leaves_no_label_among_the_features(tmp_path):
    path = write_csv(tmp_path / "a.csv", edge_rows())
    table = read_table(path, label="Attack_type", positive="MITM")
    assert table.y.sum() == 10 and not {"Attack_label", "Attack_type"} & set(table.frame.columns)


def test_columns_that_edge_does_not_have_are_kept_apart(tmp_path):
    rows = [[*row, str(i)] for i, row in enumerate(edge_rows())]
    table = read_table(write_csv(tmp_path / "a.csv", rows, header=[*EDGE_COLUMNS, "Unnamed: 0"]))
    assert "Unnamed: 0" not in table.frame and "Unnamed: 0" in table.groups
    assert any("Unnamed: 0" in note for note in table.card["notes"])


# ---------------------------------------------------------------------------------------------------------- other sources


def test_bundled():
    table = load_table(TrainConfig(sample=3000))
    assert len(table) == 3000 and table.y.sum() == 2538  # 0.846, exactly
    card = table.card
    assert card["synthetic"] is True and "Synthetic" in card["notes"][0] and card["leaks"] == list(LEAKS)
    assert card["rows_read"] == 100_000 and card["dropped"]["exact duplicates"] == card["duplicates"] == 3500
    assert card["rows_read"] == card["rows_kept"] + sum(card["dropped"].values())
    assert "capture.session" in table.groups and not set(table.groups) & set(table.frame)
    taken = table.take(np.array([5, 2]))
    assert taken.attack.tolist() == table.attack[[5, 2]].tolist() and len(taken) == 2
    assert (taken.frame.iloc[0] == table.frame.iloc[5]).all() and (taken.groups.iloc[1] == table.groups.iloc[2]).all()


def test_breast_cancer_uses_all_rows_and_says_so():
    table = load_table(TrainConfig(data="breast_cancer"))
    assert len(table) == 569 and table.y.sum() == 212 and table.attack is None and table.groups.shape == (569, 0)
    assert table.card["sample"] == {"requested": 20_000, "used": 569} and table.card["leaks"] is None
    assert "malignant" in table.card["notes"][0]


@pytest.mark.parametrize(
    ("data", "rows", "positives", "columns"),
    [("digits_even", 1797, 891, 64), ("digits_low", 1797, 901, 64), ("diabetes", 442, 221, 10), ("wine", 178, 71, 13)],
)
def test_tables_of_scikit_learn(data, rows, positives, columns):
    table = load_table(TrainConfig(data=data))
    assert (len(table), table.y.sum(), table.frame.shape[1]) == (rows, positives, columns)
    assert "positive = " in table.card["notes"][0] and table.card["synthetic"] is False


def test_every_named_table_has_a_source():
    assert tuple(REAL) == REAL_TABLES


def test_a_capture_that_was_moved_says_so():
    card = load_table(TrainConfig(sample=1000, attack_share=0.5, attack_ring=2.0)).card
    assert card["notes"][1] == "Drawn with attack_ring=2, attack_share=0.5." and card["prior"] == pytest.approx(0.5, abs=0.02)


def small_frame(rows=60):
    rng = np.random.default_rng(0)
    words = np.array(["a", "b", "c"], dtype=object)[rng.integers(3, size=rows)]
    return pd.DataFrame(
        {"x": rng.standard_normal(rows), "word": words, "on": rng.random(rows) < 0.5, "label": np.tile([0, 1, 1], 20)}
    )


def test_csv_and_parquet_give_the_same_table(tmp_path):
    frame = small_frame()
    frame["on"] = frame["on"].astype(int)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    a, b = (read_table(str(tmp_path / name), label="label") for name in ("t.csv", "t.parquet"))
    assert a.card["fingerprint"] == b.card["fingerprint"] and a.frame["x"].equals(frame["x"])
    assert a.card["dropped"] == {"not sampled": 0}  # duplicates of a table of one's own are counted, not dropped


def test_parquet_types(tmp_path):
    frame = small_frame()
    frame["word"] = frame["word"].astype("category")
    frame["when"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(60), "s")
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(str(tmp_path / "t.parquet"), label="on")
    assert table.y.tolist() == frame["on"].astype(int).tolist()
    assert np.allclose(np.diff(table.frame["when"]) / np.diff(table.frame["when"])[0], 1)
    pa.parquet.write_table(pa.table({"x": [[1], [2]], "label": [0, 1]}), tmp_path / "list.parquet")
    with pytest.raises(DataError, match="Column 'x' holds list"):
        read_table(str(tmp_path / "list.parquet"), label="label")


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        (["yes", "no", "yes"], "yes", [1, 0, 1]),
        ([1, 2, 3], 2, [0, 1, 0]),
        (["1.0", "2", "1"], 1, [1, 0, 1]),
        (["True", "False", "true"], True, [1, 0, 1]),
        (["0", "0.0", "1"], None, [0, 0, 1]),
        (["0", "0.0", "1"], False, [1, 1, 0]),
    ],
)
def test_positive(tmp_path, values, positive, expected):
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": [1, 2, 3], "kind": values}).to_csv(path, index=False)
    assert read_table(str(path), label="kind", positive=positive).y.tolist() == expected


# --------------------------------------------------------------------------------------------------------------- sampling


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(4, 150), st.integers(0, 2**31))
def test_draw_is_stratified_seeded_and_blind_to_batches(sizes, size, seed):
    y = np.random.default_rng(1).random(sum(sizes)) < 0.7
    y[: min(2, len(y))] = [True, False][: len(y)]
    rows = np.arange(len(y))

    def drawn(cuts):
        draw, kept = qnb.data.sampling.Draw(size, seed), []
        for part in np.split(rows, cuts):
            kept.append(part[draw.add(y[part])])
        return np.concatenate(kept)[draw.chosen()]

    chosen = drawn(np.cumsum(sizes)[:-1])
    assert np.array_equal(chosen, drawn([]))
    assert len(chosen) == len(set(chosen)) == min(size, len(y)) and (np.diff(chosen) > 0).all()
    assert abs(y[chosen].sum() - len(chosen) * y.mean()) < 1.01


def test_every_row_is_as_likely():
    y = np.tile([0, 0, 0, 1], 10)
    hits = np.zeros(40)
    for seed in range(2000):
        draw = qnb.data.sampling.Draw(8, seed)
        held = draw.add(y)
        hits[held[draw.chosen()]] += 1
    assert hits.sum() == 16_000 and np.abs(hits - 400).max() < 5 * np.sqrt(400)


def test_sample_seed(tmp_path):
    path = write_csv(tmp_path / "a.csv", edge_rows(400))
    a, b, c = (read_table(path, sample=40, seed=seed) for seed in (1, 1, 2))
    assert a.card == b.card and a.card["fingerprint"] != c.card["fingerprint"]
    assert a.y.sum() == 30 and a.card["sample"] == {"requested": 40, "used": 40} and a.card["dropped"]["not sampled"] == 360


# ------------------------------------------------------------------------------------------------------------- fingerprint


def test_fingerprint_is_stable_between_processes_and_sees_every_change():
    frame, y = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), np.array([0, 1])
    code = (
        "import pandas; from qnb.data.table import fingerprint;"
        "print(fingerprint(pandas.DataFrame({'a': [1.0, 2.0], 'b': ['x', 'y']}), [0, 1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint(frame, y)
    others = [(frame, 1 - y), (frame[::-1], y), (frame.rename(columns={"a": "c"}), y), (frame.assign(b=["xy", ""]), y)]
    assert len({fingerprint(frame, y), *(fingerprint(*other) for other in others)}) == 5


# ------------------------------------------------------------------------------------------------------------------ values


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_one_way_and_read_back(value):
    assert float(number_text(value)) == value
    spellings = pa.array([repr(value), f" {value!r} ", number_text(value), "text"])
    values, hashes, *_ = clean_column(spellings)
    assert len(set(values[:3])) == 1 and len(set(hashes[:3])) == 1 and len(set(hashes)) == 2
    _, plain, *_ = clean_column(pa.array([value]))
    assert plain[0] == hashes[0]


def test_to_numbers():
    assert to_numbers(np.array(["0", "0.0", " 1e3 "], dtype=object)).tolist() == [0, 0, 1000]
    assert to_numbers(np.array(["0", "0x10"], dtype=object)) is None and to_numbers(np.array(["1_0"], dtype=object)) is None
    assert np.isnan(to_numbers(np.array(["", None, "NaN"], dtype=object))).all()


# --------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", {}, "is an empty file"),
        ("a,label\n", {"label": "label"}, "has a header and no rows"),
        ("a,lable\n1,0\n2,1\n", {"label": "label"}, r"no label column 'label'\. Did you mean 'lable'\? Valid: a, lable"),
        ("a,label\n1,0\n2,1\n", {}, r"must be named: label='\.\.\.'\. Did you mean 'label'\?"),
        ("a,label\n1,1\n2,1\n", {"label": "label"}, r"one class only.* Seen: '1' \(2 rows\)"),
        ("a,label\n1,yes\n2,no\n", {"label": "label"}, r"not 0 and 1, so positive=.* Seen: 'yes' \(1 rows\), 'no' \(1 rows\)"),
        ("a,label\n1,0\n2,2\n", {"label": "label"}, "not 0 and 1"),
        ("a,label\n1,yes\n2,no\n", {"label": "label", "positive": "yess"}, r"positive='yess'\. Did you mean 'yes'\?.*Seen"),
        ("a,label\n1,yes\n2,no\n", {"label": "label", "positive": "NA"}, r"positive='NA'\. Valid: yes, no\. Seen"),
        ("a,label\n1,yes\n2,yes\n", {"label": "label", "positive": "yes"}, "one class only"),
        ("a,label\n1,0\n2,\n", {"label": "label"}, "Label column 'label' has 1 rows without a value"),
        ("a,b,label\n1,2,0\n,3,1\nnan,4,1\n", {"label": "label"}, r"column 'a': 2 rows missing \(NaN or empty\)"),
        ("a,b,label\n1,x,0\n2,,1\n", {"label": "label"}, "column 'b': 1 rows missing"),
        ("a,b,label\n1,inf,0\n2,-inf,1\n", {"label": "label"}, "column 'b': 2 rows infinite"),
        ("a,b,label\n1,x,0\n1,x,1\n", {"label": "label"}, "all 2 feature columns are constant"),
        ("label\n0\n1\n", {"label": "label"}, "no feature columns"),
        ("a,a,label\n1,2,0\n", {"label": "label"}, "names a column twice: 'a'"),
        (
            "a,label\n1,0\n2,3,1\n",
            {"label": "label"},
            r"cannot be read to its end: line 3: expected 2 columns, got 3\..*last line",
        ),
    ],
)
def test_bad_tables(tmp_path, text, arguments, message):
    path = write_table(tmp_path / "t.csv", text)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path, **arguments)
    assert "t.csv" in str(caught.value) or "olumn" in str(caught.value)


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "edge.csv").write_text("a\n")
    with pytest.raises(DataError, match=r"egde\.csv' is neither .* Did you mean 'edge\.csv'\?"):
        read_table(str(tmp_path / "egde.csv"))
    with pytest.raises(DataError, match=r"'bundeld' is neither .* Did you mean 'bundled'\?"):
        read_table("bundeld")
    with pytest.raises(DataError, match="is a folder"):
        read_table(str(tmp_path))


def test_unknown_extension_and_a_lie_about_it(tmp_path):
    with pytest.raises(DataError, match=r"ends in '\.xlsx', which has no reader.* Valid: \.csv, .*\.parquet"):
        read_table(write_table(tmp_path / "t.xlsx", "a,b\n"))
    with pytest.raises(DataError, match=r"cannot be read as \.parquet"):
        read_table(write_table(tmp_path / "t.parquet", "a,b\n"), label="a")


def test_edge_file_without_its_label(tmp_path):
    header = ["Attack_lable" if c == "Attack_label" else c for c in EDGE_COLUMNS]
    with pytest.raises(DataError, match=r"no label column 'Attack_label'\. Did you mean 'Attack_lable'\?"):
        read_table(write_csv(tmp_path / "a.csv", edge_rows(), header))


def test_text_that_is_no_utf8(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,label\n\xff\xfe,0\nb,1\n")
    with pytest.raises(DataError, match=r"line 2: column 'a' is not in UTF-8"):
        read_table(str(tmp_path / "t.csv"), label="label")


# ------------------------------------------------------------------------------------------------------ all but one value


@pytest.mark.parametrize(
    ("values", "negative", "expected"),
    [
        (["normal", "neptune", "smurf"] * 4, "normal", [0, 1, 1] * 4),
        (["0", "1.0", "2"] * 4, 0, [0, 1, 1] * 4),
        (["True", "false", "1"] * 4, False, [1, 0, 1] * 4),
        ([" normal ", "land", "normal"] * 4, "normal", [0, 1, 0] * 4),
    ],
)
def test_negative_means_that_all_other_values_are_positive(tmp_path, values, negative, expected):
    frame = pd.DataFrame({"land": np.arange(12) * 7 % 5, "x": np.arange(12) * 5 % 7, "kind": values})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(str(tmp_path / "t.csv"), label="kind", negative=negative)
    assert table.y.tolist() == expected and table.card["negative"] == [negative] and table.card["positive"] is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["benign", "neptune"] * 6, r"do not contain negative='normal'\. .*Seen: 'benign' \(6 rows\)"),
        (["normal", "Normal", "neptune"] * 4, "differ from negative='normal' in upper and lower case alone"),
        (["normal", "nor\u200bmal", "neptune"] * 4, "differ from negative='normal' in characters that do not show"),
        (["normal"] * 12, "one class only"),
    ],
)
def test_a_negative_that_is_not_certain_is_refused(tmp_path, values, message):
    frame = pd.DataFrame({"x": np.arange(12) * 5 % 7, "kind": values})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_table(str(tmp_path / "t.csv"), label="kind", negative="normal")


def test_a_label_column_named_by_a_number(tmp_path):
    frame = pd.DataFrame({"0": np.arange(12) * 5 % 7, "34": [0, 1] * 6})
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = TrainConfig.make({"data": str(tmp_path / "t.csv"), "label": 34})
    assert load_table(config).y.tolist() == [0, 1] * 6


def test_a_file_of_empty_lines_has_no_header(tmp_path):
    (tmp_path / "t.csv").write_text("\n\n\n")
    with pytest.raises(DataError, match="has no header: all of its lines are empty"):
        read_table(str(tmp_path / "t.csv"), label="y")


def test_a_packed_file_is_to_be_unpacked(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"ends in '.gz', which has no reader.* Unpack it first"):
        read_table(str(tmp_path / "t.csv.gz"), label="y")
