"""Zeek's logs: fields by their own lines, the last three of a labelled log by blanks, comments at the end."""

import pytest

from qnb.data.table_files import open_file
from qnb.data.values import DataError
from qnb.data.zeek_file import ZeekFile

HEAD = "#separator \\x09\n#unset_field\t-\n#fields\tts\tproto\ttunnel_parents   label   detailed-label\n#types\ttime\tenum\tset\n"
ROWS = ["1.5\ttcp\t-   Benign   -", "2.5\tudp\t(empty)   Malicious   C&C", '3.5\t"\t-   Malicious   DDoS attack']


def write(folder, text, name="conn.log.labeled"):
    (folder / name).write_text(text)
    return str(folder / name)


def rows(path, columns=None):
    file = open_file(path)
    return [row for batch in file.batches(columns or file.columns) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", ["conn.log.labeled", "conn.log", "conn.csv", "conn.txt"])
def test_fields_are_those_of_the_log_whatever_the_name_of_the_file(tmp_path, name):
    path = write(tmp_path, HEAD + "\n".join([*ROWS, "#close\t2019-03-15-15-50-49"]) + "\n", name)
    file = open_file(path)
    assert isinstance(file, ZeekFile) and file.columns == ["ts", "proto", "tunnel_parents", "label", "detailed-label"]
    assert [tuple(row.values()) for row in rows(path)] == [
        ("1.5", "tcp", "-", "Benign", "-"),
        ("2.5", "udp", "(empty)", "Malicious", "C&C"),
        ("3.5", '"', "-", "Malicious", "DDoS attack"),
    ]
    assert rows(path, ["label"])[1] == {"label": "Malicious"}
    assert file.place(0) == "line 5" and file.place(2) == "line 7" and file.ends_whole


def test_another_separator(tmp_path):
    path = write(tmp_path, "#separator ,\n#fields,a,b\n1,2\n3,4", "conn.log")
    assert rows(path) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}] and not open_file(path).ends_whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#separator \\x09\n#path\tconn\n1\t2\n", "no line begins with #fields"),
        (HEAD + "1.5\ttcp\n", "cannot be read to its end"),
        (HEAD + "1.5\ttcp\t-   Benign\n", "should hold 3 values three blanks apart, and one holds '-   Benign'"),
    ],
)
def test_a_log_that_is_not_what_it_says_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        rows(write(tmp_path, text))
