"""Files that are not what they say: each gives the right table, or one error that names the line; never a silent wrong label."""

import csv
import gzip
import io
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnb.data import csv_file
from qnb.data.capture import EDGE_COLUMNS
from qnb.data.table import read_table
from qnb.data.values import DataError, clean_column, number_text, parse_values
from qnb.errors import QnbError

HEADER = b"a,b,label\n"
ROWS = b"".join(b"%d,x%d,%d\n" % (i, i % 3, i % 2) for i in range(8))
Y = [0, 1] * 4
TEN_MB = 10_000_000


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("t.csv", content)
    return buffer.getvalue()


def read(tmp_path, content: bytes, label="label", **arguments):
    (tmp_path / "t.csv").write_bytes(content)
    return read_table(str(tmp_path / "t.csv"), label=label, **arguments)


TRUE_TABLES = {
    "no end of the last line": (HEADER + ROWS + b"9,x,1", [*Y, 1]),
    "header line in the middle": (HEADER + ROWS + HEADER + ROWS, Y + Y),
    "header lines one after another, and last": (HEADER + HEADER + ROWS + HEADER + b"\n" + HEADER, Y),
    "header line with a byte order mark": (b"\xef\xbb\xbf" + HEADER + ROWS + b"\xef\xbb\xbf" + HEADER + ROWS, Y + Y),
    "header line in the middle, line ends of Windows": ((HEADER + ROWS + HEADER + ROWS).replace(b"\n", b"\r\n"), Y + Y),
    "line ends of old Macs": ((HEADER + ROWS).replace(b"\n", b"\r"), Y),
    "10 MB in one field": (HEADER + ROWS + b"9," + b"z" * TEN_MB + b",1\n" + ROWS, [*Y, 1, *Y]),
    "10 MB over many lines": (HEADER + ROWS + b'9,"' + b"z\n" * (TEN_MB // 2) + b'",1\n' + ROWS, [*Y, 1, *Y]),
    "labels in every form of 0 and 1": (b'a,label\n1,0\n2,"0"\n3,1\n4," 1 "\n5,0.0\n6,1e0\n7,-0\n', [0, 0, 1, 1, 0, 1, 0]),
    "quotation marks inside unquoted fields": (b'a,b,label\n1,5" disk,0\n2,6" disk,1\n3,7" d,0\n', [0, 1, 0]),
    "empty lines": (b"\n\na,b,label\n\n1,2,0\n\n3,4,1\n", [0, 1]),
}


@pytest.mark.parametrize("name", TRUE_TABLES)
def test_the_right_table(tmp_path, name):
    content, y = TRUE_TABLES[name]
    table = read(tmp_path, content)
    assert table.y.tolist() == y
    repeated = table.card["dropped"].get("repeated header lines", 0)
    assert repeated == (0 if "header" not in name else 3 if "another" in name else 1)
    assert table.card["rows_read"] == len(y) + repeated and "label" not in table.frame


NAMED = {
    "cut in the middle of a line": (HEADER + ROWS + b"9,x", {}, "line 10: expected 3 columns, got 2.*cut short"),
    "cut before the label": (HEADER + ROWS + b"9,x,", {}, "rows without a value, the first on line 10"),
    "cut in a quoted field": (HEADER + ROWS + b'9,"x', {}, "line 10: a quotation mark opens a field there and nothing closes it"),
    "cut in a label": (b"a,label\n1,Normal\n2,XSS\n3,Norm", {"positive": "Normal"}, "'Norm'.*start of 'Normal'.*cut short"),
    "cut in a label that stands once": (b"a,label\n1,Normal\n2,XSS\n3,DD", {"positive": "Normal"}, "'DD'.*no other row.*cut short"),
    "cut in a number": (b"a,label\n1,10\n2,1\n3,10\n4,1", {"positive": 10}, "'1'.*start of '10'"),
    "semicolons": ((HEADER + ROWS).replace(b",", b";"), {}, "line 1 looks separated by semicolons, not commas"),
    "semicolons and decimal commas": (b"a;b;label\n1,5;2;0\n2,5;3;1\n", {}, "line 1 looks separated by semicolons"),
    "tabs": ((HEADER + ROWS).replace(b",", b"\t"), {}, "line 1 looks separated by tabs"),
    "semicolons below the header": (HEADER + ROWS + ROWS.replace(b",", b";"), {}, "line 10: expected 3 columns, got 1"),
    "a field too many": (HEADER + ROWS + b"1,2,3,0\n" + ROWS, {}, "line 10: expected 3 columns, got 4"),
    "another header": (HEADER + ROWS + b"label,a,b\n1,2,x\n", {"positive": 1}, "line 10 holds names of columns, as a header does: 'label, a, b'"),
    "another header, words": (
        b"a,b,label\n1,2,no\n2,3,yes\nlabel,a,b\n1,2,x\n", {"positive": "yes"}, "line 4 holds names of columns"
    ),
    "a header with spaces": (HEADER + ROWS + b"a, b, label\n" + ROWS, {}, "line 10 holds names of columns"),
    "Latin-1 half-way": (HEADER + ROWS + "9,é,1\n".encode("latin1"), {}, "line 10: column 'b' is not in UTF-8"),
    "Latin-1 header": ("é,b,label\n1,2,1\n".encode("latin1"), {}, "line 1, the header, is not in UTF-8"),
    "UTF-16": ((HEADER + ROWS).decode().encode("utf-16"), {}, "is not in UTF-8"),
    "UTF-16 without a mark": ((HEADER + ROWS).decode().encode("utf-16-be"), {}, "is not in UTF-8"),
    "gzip": (gzip.compress(HEADER + ROWS), {}, r"is compressed \(gzip.*Unpack it"),
    "zip": (zipped(HEADER + ROWS), {}, r"is compressed \(zip.*Unpack it"),
    "an index of pandas": (pd.read_csv(io.BytesIO(HEADER + ROWS)).to_csv().encode(), {}, r"t.csv gives no name to column 1 of 4\. .*index=False"),
    "commas at the ends of lines": ((HEADER + ROWS).replace(b"\n", b",\n"), {}, r"no name to column 4 of 4\. Name it"),
    "two columns without a name": (b',a,"",label\n0,1,2,0\n1,2,3,1\n', {}, "no name to column 1 of 4, nor to 1 more"),
    "a label that changes type": (HEADER + ROWS + b"1,x,Normal\n", {}, "not 0 and 1.*'Normal' on line 10"),
    "a letter for a zero": (HEADER + ROWS + b"1,x,O\n", {}, "not 0 and 1.*'O' on line 10"),
    "labels in two cases": (b"a,label\n1,Normal\n2,normal \n3,XSS\n", {"positive": "Normal"}, "lower case alone.*'normal' on line 3"),
    "a label with a zero-width space": ("a,label\n1,Normal\n2,Nor\u200bmal\n3,XSS\n".encode(), {"positive": "Normal"}, r"do not show.*u200bmal.*on line 3"),
    "a label with a byte order mark": ("a,label\n1,XSS\n2,\ufeffnormal\n3,Normal\n".encode(), {"positive": "Normal"}, r"do not show.*ufeffnormal.*on line 3"),
    "a label with a no-break space": ("a,label\n1,no attack\n2,no\xa0attack\n3,XSS\n".encode(), {"positive": "no attack"}, r"do not show.*xa0attack.*on line 3"),
    "a label in two Unicode forms": ("a,label\n1,caf\xe9\n2,cafe\u0301\n3,bar\n".encode(), {"positive": "caf\xe9"}, r"Unicode form alone \('cafe.u0301'\).*on line 3"),
    "a truth value that does not show whole": ("a,label\n1,true\n2,TRUE\n3,true\u200b\n4,false\n".encode(), {"positive": True}, r"do not show.*on line 4"),
    "a number that does not show whole": ("a,label\n1,10\n2,1\u200b0\n3,2\n".encode(), {"positive": 10}, r"do not show.*on line 3"),
    "10 MB in a label": (HEADER + ROWS + b"9,1," + b"z" * TEN_MB + b"\n", {}, "on line 10"),
    "10 MB in a header": (b"z" * TEN_MB + b",label\n1,2\n", {}, "line 1 cannot be read"),
    "10 MB of digits": (HEADER + ROWS + b"9" * TEN_MB + b",1,1\n", {}, "infinite; the first on line 10"),
    "a stray mark that eats rows": (b'a,b,label\n1,"2,0\n3,4,1\n5,"6,0\n7,8,1\n', {}, "line 2: .* on line 4"),
    "a stray mark that eats the rest": (b'a,b,label\n1,2,0\n3,"4,1\n5,6,0\n', {}, "line 3: a quotation mark .* nothing closes it"),
    "a label over lines": (b'a,label\n1,no\n2,"no\n3,yes\n4,no"\n5,yes\n', {"positive": "yes"}, "several lines.* on line 3"),
    "a missing value": (HEADER + ROWS + b",x,1\n", {}, r"column 'a': 1 rows missing.*the first on line 10"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_one_error_that_names_the_line(tmp_path, name):
    content, arguments, message = NAMED[name]
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        read(tmp_path, content, **arguments)
    assert len(str(caught.value)) < 1000


def test_lines_are_counted_with_those_inside_fields_and_far_into_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "CHUNK", 64)  # many chunks and blocks
    rows = b'1,"two\nlines",0\n' * 50 + HEADER + ROWS * 20
    assert read(tmp_path, HEADER + rows).y.sum() == 80
    with pytest.raises(DataError, match=f"'x' on line {1 + 100 + 1 + 160 + 1}"):
        read(tmp_path, HEADER + rows + b"1,2,x\n" + ROWS)
    with pytest.raises(DataError, match=f"line {1 + 100 + 1 + 160 + 1}: expected 3 columns, got 2"):
        read(tmp_path, HEADER + rows + b"1,2\n" + ROWS)


def edge(rows):
    """Rows `(label, type)` as a file in Edge-IIoTset's format."""
    lines = [",".join(EDGE_COLUMNS)]
    lines += [",".join(["0.0"] * 30 + [f"{i}.0"] + ["0.0"] * 30 + [label, kind]) for i, (label, kind) in enumerate(rows)]
    return "\n".join(lines).encode()


def test_a_table_of_the_data_set_saved_with_its_index(tmp_path):
    frame = pd.read_csv(io.BytesIO(edge([("0", "Normal"), ("1", "XSS")] * 5)))
    with pytest.raises(DataError, match=rf"t\.csv gives no name to column 1 of {len(EDGE_COLUMNS) + 1}\. "):
        read(tmp_path, frame.to_csv().encode(), label=None)


def test_a_twin_of_normal_that_does_not_show(tmp_path):
    rows = [("0", "Normal"), ("1", "XSS")] * 5 + [("0", "Nor\u200bmal")]
    with pytest.raises(DataError, match=r"'Attack_type' differ from positive='Normal'.*do not show.*u200bmal.*on line 12"):
        read(tmp_path, edge(rows) + b"\n", label="Attack_type", positive="Normal")


def test_a_cut_attack_type_and_one_over_lines(tmp_path):
    rows = [("0", "Normal"), ("1", "XSS")] * 5
    assert read(tmp_path, edge(rows), label=None).y.sum() == 5
    with pytest.raises(DataError, match=r"'Norma'.*start of 'Normal'"):
        read(tmp_path, edge([*rows, ("0", "Norma")]), label=None)
    with pytest.raises(DataError, match=r"attack types has no value on line 12"):
        read(tmp_path, edge([*rows, ("0", "")]), label=None)
    with pytest.raises(DataError, match=r"attack type on line 12 goes over several lines"):
        read(tmp_path, edge([*rows, ("0", '"Nor\nmal"'), ("1", "XSS")]) + b"\n", label=None)


def test_labels_that_contradict_the_attack_type_are_said(tmp_path):
    table = read(tmp_path, edge([("0", "Normal"), ("1", "XSS")] * 5 + [("0", "XSS"), ("1", "normal ")]) + b"\n", label=None)
    assert any("In 2 rows Attack_label and Attack_type contradict" in note for note in table.card["notes"])
    assert table.y.sum() == 6


# --------------------------------------------------------------------------------------------------------------- properties

SPACES = st.sampled_from(["", " ", "  ", "\t"])
ZERO, ONE = (
    st.sampled_from(["0", "0.0", "-0", "0e5", "00", "+0", ".0"]),
    st.sampled_from(["1", "1.0", "1e0", "01", "+1", "10e-1"]),
)


def as_csv(rows) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_way_of_writing_a_label_means_the_same(tmp_path_factory, data):
    y = [0, 1, *data.draw(st.lists(st.integers(0, 1), max_size=20))]
    texts = [data.draw(SPACES) + data.draw(ONE if label else ZERO) + data.draw(SPACES) for label in y]
    table = read(tmp_path_factory.mktemp("t"), as_csv([["a", "label"], *([i, t] for i, t in enumerate(texts))]))
    assert table.y.tolist() == y


WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda t: t.strip() and parse_values([t])[1][0] == t.strip() and t.strip() not in ("a", "label")
)


def seen_as(text: str) -> str:
    shown = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", shown.casefold()).casefold().strip()


@settings(max_examples=60, deadline=None)
@given(st.lists(WORD, min_size=2, max_size=4, unique_by=seen_as), st.data())
def test_words_mean_what_positive_says_or_are_refused(tmp_path_factory, words, data):
    rows = [*words, *data.draw(st.lists(st.sampled_from(words), max_size=10))]
    twisted = [data.draw(SPACES) + data.draw(st.sampled_from([w, w, w, w.swapcase()])) + data.draw(SPACES) for w in rows]
    positive = words[0].strip()
    content = as_csv([["a", "label"], *([i, t] for i, t in enumerate(twisted))])
    try:
        table = read(tmp_path_factory.mktemp("t"), content, positive=positive)
    except QnbError as error:
        others = {t.strip() for t in twisted} - {positive}
        assert any(seen_as(t) == seen_as(positive) for t in others) or "class" in str(error) or "not contain" in str(error)
    else:
        assert table.y.tolist() == [int(t.strip() == positive) for t in twisted]
        assert not any(t.strip() != positive and seen_as(t) == seen_as(positive) for t in twisted)


@given(st.text(max_size=30))
def test_a_text_is_a_number_exactly_where_python_says_so(text):
    numbers, texts = parse_values([text])
    try:
        expected = float(text) if "_" not in text else None
    except ValueError:
        expected = None
    if expected is None or np.isnan(expected):
        assert np.isnan(numbers[0])
    else:
        assert numbers[0] == expected and texts[0] == number_text(expected)


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False), st.integers(-(2**60), 2**60), st.text("0123456789.eE+- x", max_size=6)), min_size=1
    )
)
def test_a_column_of_text_is_read_alike_in_one_batch_and_in_many(values):
    import pyarrow as pa

    texts = [str(v) for v in values]
    whole = clean_column(pa.array(texts))[1]
    single = [clean_column(pa.array([t]))[1][0] for t in texts]
    assert whole.tolist() == single


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=12), st.integers(0, 1)), min_size=2, max_size=30), st.integers(16, 200))
def test_any_text_in_a_field_leaves_labels_and_rows_as_they_are(tmp_path_factory, rows, chunk):
    rows = [*rows, ("x", 0), ("y", 1)]
    content = as_csv(
        [["i", "text", "label"], *((i, "t" + text.replace("\r", ""), label) for i, (text, label) in enumerate(rows))]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "CHUNK", chunk)
        table = read(tmp_path_factory.mktemp("t"), content)
    assert table.y.tolist() == [label for _, label in rows]
    expected = pd.read_csv(io.BytesIO(content), keep_default_na=False, dtype=str)["text"].str.strip()
    assert table.frame["text"].tolist() == expected.tolist()
