"""The cache of cleaned tables: the same table as from the file, never an old one, never half of one."""

import shutil

import numpy as np
import pandas as pd
import pytest

from qnb.data import cleaning
from qnb.data.table import read_table
from qnb.data.values import DataError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("qnb.data.cache.cache_folder", lambda kind: tmp_path / "cache")
    monkeypatch.setattr("qnb.data.cache.WORTH", 0)
    monkeypatch.setattr("qnb.data.cache.ROWS", 40)  # several Parquet files
    monkeypatch.setattr("qnb.data.csv_file.CHUNK", 256)
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    text = np.array(["a", "b, c", "0.0"], dtype=object)[rng.integers(3, size=200)]
    text[:150] = "0"  # numbers first, text later: the parts differ in type
    frame = pd.DataFrame(
        {"x": rng.integers(0, 9, 200) / 7, "t": text, "site": rng.choice(["p", "q"], 200), "label": np.tile([0, 1], 100)}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    return str(tmp_path / "t.csv")


def same(a, b) -> bool:
    pd.testing.assert_frame_equal(a.frame, b.frame)
    pd.testing.assert_frame_equal(a.groups, b.groups)
    assert np.array_equal(a.y, b.y) and (a.attack is None) == (b.attack is None)
    return a.card | {"cache": None} == b.card | {"cache": None}


@pytest.mark.parametrize("sample", [None, 50])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_cached_table_is_the_table(cache, path, suffix, sample):
    if suffix == ".parquet":
        pd.read_csv(path, dtype={"t": str}).to_parquet(path.replace(".csv", suffix))
    path, arguments = path.replace(".csv", suffix), {"label": "label", "group_by": ("site",), "sample": sample}
    first, second = (read_table(path, **arguments) for _ in range(2))
    assert (first.card["cache"], second.card["cache"]) == ("written", "used") and same(first, second)
    assert len(list(cache.iterdir())) == 1 and list(second.groups.columns) == ["site"]
    shutil.copy(path, path.replace("t.", "u."))
    other = read_table(path.replace("t.", "u."), **arguments)  # found by what it holds, whatever its name
    assert other.card["cache"] == "used" and other.card["source"].endswith(f"u{suffix}")


def test_a_changed_file_is_never_served_from_the_cache(cache, path):
    import os

    first = read_table(path, label="label")
    stat = os.stat(path)
    with open(path, "r+b") as file:  # one digit of one label, deep in the file; same size, same date
        content = file.read()
        at = content.rindex(b",0\n")
        file.seek(at + 1)
        file.write(b"1")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = read_table(path, label="label")
    assert second.card["cache"] == "written" and second.y.sum() == first.y.sum() + 1


def test_what_decides_the_cleaning_decides_the_table(cache, path, monkeypatch):
    for arguments in (
        {},
        {"positive": 1},
        {"positive": 0},
        {"positive": True},
        {"group_by": ("site",)},
        {"keep_duplicates": True},
    ):
        known = "used" if arguments == {"keep_duplicates": True} else "written"  # a table of one's own keeps them anyway
        assert read_table(path, label="label", **arguments).card["cache"] == known, arguments
    monkeypatch.setattr("qnb.data.cache._code", lambda: "other code")
    assert read_table(path, label="label").card["cache"] == "written"


def test_a_table_that_cannot_be_read_is_not_cached(cache, path):
    with open(path, "a") as file:
        file.write("1,2,3\n")
    for _ in range(2):
        with pytest.raises(DataError, match="line 202: expected 4 columns, got 3"):
            read_table(path, label="label")
    assert not list(cache.iterdir())


def test_a_damaged_cache_is_an_error_that_says_what_to_do(cache, path):
    read_table(path, label="label")
    (folder,) = cache.iterdir()
    part = sorted(folder.glob("*.parquet"))[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 0xFF
    part.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged.*Delete that folder"):
        read_table(path, label="label")
    shutil.rmtree(folder)
    assert read_table(path, label="label").card["cache"] == "written"


def test_a_cache_that_cannot_be_written_is_said_and_does_no_harm(cache, path):
    cache.write_text("a file where the folder should be")
    table = read_table(path, label="label")
    assert table.card["cache"].startswith("not written: ") and len(table) == 200


def test_a_file_that_changes_while_it_is_read(cache, path, monkeypatch):
    def batches(source, tally):
        yield from cleaning.clean_parts(source, tally)
        with open(path, "a") as file:
            file.write("1,2,p,1\n")

    monkeypatch.setattr("qnb.data.table.clean_parts", batches)
    with pytest.raises(DataError, match="changed while it was read"):
        read_table(path, label="label")
    assert not list(cache.iterdir())


def test_small_files_are_not_cached(cache, path, monkeypatch):
    monkeypatch.setattr("qnb.data.cache.WORTH", 1 << 24)
    assert read_table(path, label="label").card["cache"] is None and not cache.exists()
