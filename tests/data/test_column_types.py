"""Types are decided on the whole file: one stray cell anywhere is refused, said, or read as missing; never silent."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnb.data import csv_file
from qnb.data.column_types import PLACEHOLDERS, SPOILED, spoiled_as
from qnb.data.features import FeatureMap
from qnb.data.table import read_table
from qnb.data.values import DataError, parse_values

ROWS = 60
STRAY = st.one_of(
    st.sampled_from(["?", "-", "0x1f", "5%", "1,5", "12 ms", "none", "n/k", "1 000", "$5", "abc"]),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=6).filter(
        lambda text: np.isnan(parse_values([text])[0][0]) and parse_values([text])[1][0] is not None
    ),
)


def table(rows: int = ROWS) -> pd.DataFrame:
    """Numbers of each sort that a column may hold, as text, and a label."""
    rng = np.random.default_rng(3)
    columns = {"real": rng.standard_normal(rows), "count": rng.integers(0, 50, rows), "flag": rng.integers(0, 2, rows)}
    frame = pd.DataFrame(columns | {"zero": np.zeros(rows, int)}).astype(str)
    frame.loc[[0, 1, 2], "real"] = ["1e-05", "-2.5E+3", "12.5"]
    return frame.assign(proto=rng.choice(["tcp", "udp"], rows), label=np.tile(["0", "1"], rows // 2))


def write(frame: pd.DataFrame, folder, suffix: str) -> str:
    path = folder / f"t{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    return str(path)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["real", "count", "flag", "zero"]), st.integers(0, ROWS - 1), STRAY, st.integers(64, 5000),
    st.sampled_from([None, 12, 30]), st.integers(0, 1000), st.sampled_from([".csv", ".parquet"]),
)  # fmt: skip
def test_one_stray_cell_is_never_silent(tmp_path_factory, column, row, stray, chunk, sample, seed, suffix):
    frame, folder = table(), tmp_path_factory.mktemp("t")
    frame.loc[row, column] = stray
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "CHUNK", chunk)
        path = write(frame, folder, suffix)
        with pytest.raises(DataError) as caught:
            read_table(path, label="label", sample=sample, seed=seed)
        place = f"line {row + 2}" if suffix == ".csv" else f"row {row + 1}"
        assert f"column {column!r} holds numbers in {ROWS - 1} rows and text in 1" in str(caught.value)
        assert f"{stray!r} (1 row, on {place})" in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, ROWS - 1), st.sampled_from(["?", "-", "none"]), st.integers(0, 1000), st.integers(64, 5000))
def test_a_placeholder_is_refused_however_many_rows_hold_it(tmp_path_factory, many, text, seed, chunk):
    frame = table()
    frame.loc[np.random.default_rng(seed).choice(ROWS, many, replace=False), "real"] = text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "CHUNK", chunk)
        path = write(frame, tmp_path_factory.mktemp("t"), ".csv")
        message = f"column 'real' holds numbers in {ROWS - many} rows and text in {many}"
        with pytest.raises(DataError, match=message):
            read_table(path, label="label", sample=12, seed=seed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(10, ROWS))
def test_the_type_of_a_column_is_that_of_the_file_whatever_is_drawn(tmp_path_factory, seed, sample):
    frame = table()
    frame["method"] = ["0"] * (ROWS - 3) + ["GET", "POST", "GET"]
    drawn = read_table(write(frame, tmp_path_factory.mktemp("t"), ".csv"), label="label", sample=sample, seed=seed)
    assert drawn.card["types"]["method"] == {"type": "text", "values": "2", "numbers": ROWS - 3}
    assert not pd.api.types.is_numeric_dtype(drawn.frame["method"].dtype)
    assert set(drawn.frame["method"]) <= {"0", "GET", "POST"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2.5", "1e3", " 7 "], "number"),
        (["tcp", "udp", "tcp", "-"], "text"),
        (["0", "0.0", "GET", "GET"], "text"),
        (["0"] * 11 + ["GET"], "mixed"),
        (["a", "b", "c", "1"], "text"),
        (["a", "b", "1", "2"], "mixed"),
        (["unknown", "unknown", "unknown", "2"], "mixed"),
        (["other", "other", "other", "2"], "text"),
        (["other", "other", "3", "2"], "mixed"),
        (["0x10", "0x2f", "0x10", "0x1"], "text"),
        (["0", "0", "0x10", "0x2f"], "mixed"),
        (["5%", "6%", "7%", "8%"], "mixed"),
        (["10.0.0.5", "192.168.100.101", "0.0.0.0", "1.1.1.1"], "text"),
        (["4G", "5G", "3G", "4G"], "text"),
        (["12:30:05", "2021-03-04", "1st", "2nd"], "text"),
    ],
)
def test_what_a_column_is(tmp_path, values, expected):
    frame = pd.DataFrame({"x": (values * 3)[:12], "z": np.random.default_rng(0).random(12), "label": [0, 1] * 6})
    path = write(frame, tmp_path, ".csv")
    if expected == "mixed":
        with pytest.raises(DataError, match=r"column 'x' holds numbers in .* so it is neither"):
            read_table(path, label="label")
    else:
        assert read_table(path, label="label").card["types"]["x"]["type"] == expected


AS_TEXT = {  # how numbers are spoiled: a text of each, and what it means
    "hexadecimal numbers": [("0x1f", 31), ("0X0A", 10)],
    "numbers with thousands' separators": [("1,234", 1234), ("1'234'567", 1234567), ("12 345.5", 12345.5), ("1_000", 1000)],
    "numbers with a decimal comma": [("1,5", 1.5), ("-0,25", -0.25), ("1.234,5", 1234.5)],
    "per cents": [("5%", 5), ("12.5 %", 12.5)],
    "amounts of money": [("$5", 5), ("7.5 €", 7.5)],
    "numbers with a unit": [("12 ms", 12), ("3.5kB", 3.5), ("-4 dBm", -4)],
    "numbers with a typographic minus": [("−5", -5)],
    "numbers in quotation marks": [("'12'", 12)],
}  # fmt: skip


def test_each_way_of_spoiling_a_number_is_known():
    assert set(AS_TEXT) == set(SPOILED)
    for kind, examples in AS_TEXT.items():
        assert {spoiled_as(text) for text, _ in examples} == {kind}
    assert {spoiled_as(text) for text in ("", "tcp", "1a", "0x", "10.0.0.5", *PLACEHOLDERS)} == {None}


@pytest.mark.parametrize(("kind", "text", "number"), [(k, t, n) for k, pairs in AS_TEXT.items() for t, n in pairs])
def test_the_advice_given_works(tmp_path, kind, text, number):
    frame = table()
    frame.loc[7, "real"] = text
    path = write(frame, tmp_path, ".csv")
    with pytest.raises(DataError, match="column 'real' holds numbers") as caught:
        read_table(path, label="label")
    assert f"{text!r} is among {kind}" in str(caught.value)
    advice = str(caught.value).partition("write it anew with ")[2].partition(" = ")[2]
    frame = pd.read_csv(path, dtype=str)
    frame["real"] = eval(advice.partition(". ")[0].rstrip("."), {"frame": frame})
    mended = read_table(write(frame, tmp_path, ".csv"), label="label")
    expected = table()["real"].astype(float)
    expected[7] = number
    assert np.array_equal(mended.frame["real"], expected) and mended.card["types"]["real"] == {"type": "number"}


def test_a_comma_that_may_be_either_and_units_that_differ_are_said(tmp_path):
    frame = table()
    for texts, said, unsaid in (
        (["1,234", "5,678"], "If its comma is a decimal one, with .str.replace(',', '.') instead", "decimal comma:"),
        (["1,234", "5,6"], "'5,6' is among numbers with a decimal comma", "thousands"),
        (["12 ms", "3 s"], "'12 ms' is among numbers with a unit, of ms, s: write them in one", "extract"),
    ):
        frame.loc[[7, 8], "real"] = texts
        with pytest.raises(DataError) as caught:
            read_table(write(frame, tmp_path, ".csv"), label="label")
        assert said in str(caught.value) and unsaid not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, ROWS - 1), STRAY, st.sampled_from(["real", "count"]))
def test_one_stray_cell_of_a_data_frame_is_never_silent(row, stray, column):
    """A fitted transform takes data frames too, as a saved model does."""
    numbers = table()[["real", "count", "flag"]].astype(float)
    fitted = FeatureMap.fit(numbers, np.tile([0, 1], ROWS // 2), 2, "0_pi")
    frame = numbers.astype(object)
    assert np.array_equal(fitted.transform(frame), fitted.transform(numbers))
    frame.loc[row, column] = stray
    with pytest.raises(DataError, match=f"Column '{column}' held only numbers in the training rows and holds text here"):
        fitted.transform(frame)


def test_semicolons_and_decimal_commas_end_in_numbers(tmp_path):
    frame = pd.DataFrame({"a": np.linspace(0, 1, 40) ** 2, "b": np.arange(40) % 7, "label": [0, 1] * 20})
    path = tmp_path / "t.csv"
    frame.to_csv(path, sep=";", decimal=",", index=False)
    with pytest.raises(DataError, match="separated by semicolons") as caught:
        read_table(str(path), label="label")
    advice = str(caught.value).partition("with commas: ")[2].rstrip(".")
    eval(advice, {"pandas": pd, "path": path, "new": path})
    read = read_table(str(path), label="label")
    assert np.array_equal(read.frame["a"], frame["a"]) and read.card["types"]["a"] == {"type": "number"}


def test_a_refusal_names_columns_values_lines_and_counts(tmp_path):
    frame = table()
    frame.loc[[3, 9], "real"], frame.loc[20, "real"], frame.loc[5, "count"] = "?", "n/k", "?"
    with pytest.raises(DataError) as caught:
        read_table(write(frame, tmp_path, ".csv"), label="label")
    message = str(caught.value)
    assert "column 'real' holds numbers in 57 rows and text in 3" in message
    assert "'?' (2 rows, the first on line 5), 'n/k' (1 row, on line 22)" in message
    assert "missing_values=['?', 'n/k']" in message and message.endswith("Columns of the same kind: 'count'.")


def test_many_long_texts_in_many_columns_make_a_short_message(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{k}": [str(x) for x in rng.random(400)] for k in range(30)}).assign(label=[0, 1] * 200)
    frame.iloc[:150, :30] = [["stray" * 100 + str(k)] * 30 for k in range(150)]
    with pytest.raises(DataError, match="and 145 more") as caught:
        read_table(write(frame, tmp_path, ".csv"), label="label")
    assert len(str(caught.value)) < 1500


# ------------------------------------------------------------------------------------------------------- header and index


def csv(tmp_path, text: str) -> str:
    (tmp_path / "t.csv").write_text(text)
    return str(tmp_path / "t.csv")


def test_a_label_value_that_is_a_column_is_no_header(tmp_path):
    rows = "".join(f"{i * i % 7},{i % 3 / 2},{'land' if i % 3 else 'normal'}\n" for i in range(20))
    read = read_table(csv(tmp_path, "duration,land,kind\n" + rows), label="kind", positive="normal")
    assert len(read) == 20 and read.y.sum() == 7
    with pytest.raises(DataError, match="line 22 holds names of columns, as a header does: 'duration, land, kind'"):
        read_table(csv(tmp_path, "duration,land,kind\n" + rows + "duration, land, kind\n"), label="kind", positive="normal")


@pytest.mark.parametrize("names", [range(4), range(30, 34)])
def test_columns_that_are_numbers_hold_any_number(tmp_path, names):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 5, (80, 4)), columns=list(names))
    frame[names[-1]] = [0, 1] * 40
    frame.iloc[3, :3] = list(names)[:3]
    path = write(frame.rename(columns=str), tmp_path, ".csv")
    read = read_table(path, label=str(names[-1]))
    assert len(read) == 80 and read.y.tolist() == [0, 1] * 40 and read.card["dropped"] == {"not sampled": 0}


def test_two_columns_of_0_and_1_named_0_and_1(tmp_path):
    read = read_table(csv(tmp_path, "0,1\n0,1\n1,0\n0,1\n1,1\n"), label="1")
    assert read.frame["0"].tolist() == [0, 1, 0, 1] and read.y.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0,tcp,http,0,0.00,normal,21\n1,udp,dns,0,0.50,land,20\n", "0,tcp,http,0,0.00,normal,21"),
        ("5.1,3.5,1.4,setosa\n4.9,3.0,1.4,virginica\n", "5.1,3.5,1.4,setosa"),
        ("192.168.0.1,tcp,normal\n192.168.0.2,udp,normal\n", "192.168.0.1,tcp,normal"),
    ],
)
def test_a_file_without_a_header_is_told_as_such(tmp_path, text, shown):
    with pytest.raises(DataError, match=f"has no header: its first line holds data.*'{shown}'.*names="):
        read_table(csv(tmp_path, text), label="label")


@pytest.mark.parametrize("names", ["0,1,2,3", "350.5,351.0,351.5,label", "3,1,2,label", "a,b,c,label", "1,2,3,4"])
def test_numbers_may_be_names_of_columns(tmp_path, names):
    rows = "".join(f"{i * 5 % 7},{i * 3 % 5},{i * i % 6},{i % 2}\n" for i in range(40))
    assert len(read_table(csv(tmp_path, f"{names}\n{rows}"), label=names.split(",")[3])) == 40


def test_a_missing_label_column_shows_the_first_line(tmp_path):
    with pytest.raises(DataError, match=r"no label column 'kind'.*Its first line: 'tcp,http,normal'"):
        read_table(csv(tmp_path, "tcp,http,normal\nudp,dns,attack\n"), label="kind")


def indexed(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.standard_normal(rows), "k": rng.integers(0, 9, rows), "label": [0, 1] * (rows // 2)})
    return frame


def test_an_index_is_no_feature(tmp_path):
    frame = indexed()
    text = frame.to_csv().replace(",x,", "Unnamed: 0,x,", 1)
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "unnamed.parquet")
    shuffled.rename_axis("packet").to_parquet(tmp_path / "named.parquet")
    for path, name in (
        (csv(tmp_path, text), "Unnamed: 0"),
        (str(tmp_path / "unnamed.parquet"), "__index_level_0__"),
        (str(tmp_path / "named.parquet"), "packet"),
    ):
        read = read_table(path, label="label")
        assert list(read.frame) == ["x", "k"] and list(read.groups) == [name]
        assert any(f"not as features (pandas' index): {name}." in note for note in read.card["notes"])


@pytest.mark.parametrize("start", [0, 1, 1000])
@pytest.mark.parametrize("chunk", [100, 1 << 22])
def test_a_column_that_counts_the_rows_is_no_feature(tmp_path, start, chunk, monkeypatch):
    monkeypatch.setattr(csv_file, "CHUNK", chunk)
    frame = indexed().assign(number=np.arange(start, start + 60))
    read = read_table(write(frame, tmp_path, ".csv"), label="label", sample=20)
    assert list(read.frame) == ["x", "k"] and list(read.groups) == ["number"] and read.card["columns_dropped"] == ["number"]
    assert any("(counts the rows): number." in note for note in read.card["notes"])
    frame.loc[59, "number"] += 1  # counts no longer
    assert "number" in read_table(write(frame, tmp_path, ".csv"), label="label").frame


def test_copies_are_counted_without_the_number_of_the_row(tmp_path):
    frame = pd.concat([indexed()] * 2, ignore_index=True).assign(number=range(120))
    assert read_table(write(frame, tmp_path, ".csv"), label="label").card["duplicates"] == 60
