"""Columns that a Parquet file types: dates, times, durations and truth values are what the same CSV file gives."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from qnb import TrainConfig, load_model
from qnb.data.features import FeatureMap
from qnb.data.splits import split_table
from qnb.data.table import load_table
from qnb.data.values import DataError, as_numbers, as_read, clean_column
from qnb.leakage.single_columns import examine, judge_time
from qnb.leakage.study import LeakageConfig, read
from qnb.training.train import train

N = 400
STAMPS = pd.date_range("2024-01-01", periods=N, freq="10s")
DAY = 86_400


@pytest.mark.parametrize(
    ("column", "seconds"),
    [
        (pa.array([dt.date(1970, 1, 3), None], pa.date32()), 2 * DAY),
        (pa.array([dt.date(1970, 1, 3), None], pa.date64()), 2 * DAY),
        (pa.array([dt.time(1, 0, 2), None], pa.time32("s")), 3602),
        (pa.array([dt.time(1, 0, 2, 500_000), None], pa.time32("ms")), 3602.5),
        (pa.array([dt.time(1, 0, 2, 500_000), None], pa.time64("us")), 3602.5),
        (pa.array([3_602_500_000_000, None], pa.int64()).cast(pa.time64("ns")), 3602.5),
        *[(pa.array([dt.datetime(1970, 1, 2, 0, 0, 7), None], pa.timestamp(u)), DAY + 7) for u in ("s", "ms", "us", "ns")],
        (pa.array([dt.datetime(1970, 1, 2, 0, 0, 7), None], pa.timestamp("us", "UTC")), DAY + 7),
        *[(pa.array([dt.timedelta(seconds=-90), None], pa.duration(u)), -90) for u in ("s", "ms", "us", "ns")],
        (pa.array([True, None]), 1),
        (pa.array([1.5, None]), 1.5),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_typed_values_are_seconds_from_files_and_from_frames(column, seconds):
    expected = pytest.approx([seconds, np.nan], nan_ok=True)
    assert as_numbers(column).cast(pa.float64()).to_numpy(zero_copy_only=False).tolist() == expected
    assert clean_column(column)[0].tolist() == expected
    of_frame = column.cast(pa.timestamp("us", "UTC")) if str(column.type) == "timestamp[us, tz=UTC]" else column
    assert as_read(of_frame.to_pandas()).to_numpy(float).tolist() == expected
    assert as_read(pd.Series(of_frame.to_pylist(), dtype=object)).astype(float).tolist() == expected


def test_what_is_text_stays_so_and_intervals_are_refused():
    for values in (["2024-01-01", None], ["a", 1], [], ["1", "2"]):
        column = pd.Series(values, dtype=object)
        assert as_read(column) is column
    assert as_read(pd.Series([Decimal("1.5"), None])).tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    with pytest.raises(DataError, match="'span' holds month_day_nano_interval"):
        clean_column(pa.array([pa.MonthDayNano([1, 2, 3])]), "span")


def frame(**columns):
    rng = np.random.default_rng(0)
    return pd.DataFrame({**columns, "a": rng.normal(size=N), "b": rng.normal(size=N), "y": np.arange(N) % 2})


WRITTEN = {
    "csv": ({"when": STAMPS}, ["when"]),
    "csv, milliseconds": ({"when": STAMPS.astype("datetime64[ms]").astype(int)}, ["when"]),
    "csv, nanoseconds": ({"when": STAMPS.astype("datetime64[ns]").astype(int)}, ["when"]),
    "csv, two columns": ({"day": STAMPS.date, "at": STAMPS.time}, ["day", "at"]),
    **{f"parquet, {u}": ({"when": STAMPS.astype(f"datetime64[{u}]")}, ["when"]) for u in ("s", "ms", "us", "ns")},
    "parquet, with a zone": ({"when": STAMPS.tz_localize("UTC")}, ["when"]),
    "parquet, two columns": ({"day": STAMPS.date, "at": STAMPS.time}, ["day", "at"]),
    "parquet, duration": ({"when": STAMPS - STAMPS[0]}, ["when"]),
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_an_embargo_is_of_seconds_however_the_clock_is_written(tmp_path, written):
    columns, time = WRITTEN[written]
    path = tmp_path / f"table.{written.split(',')[0]}"
    table = frame(**columns)
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    config = TrainConfig(data=str(path), label="y", time=time, split="time", embargo=300.0, wires=2, batch=8)
    split = split_table(load_table(config), config)
    gap = STAMPS[min(split.val)] - STAMPS[max(split.train)]
    assert gap == pd.Timedelta(seconds=300) and N - sum(map(len, split)) == 58


def test_days_are_a_clock(tmp_path):
    path = tmp_path / "table.csv"
    frame(when=pd.date_range("2020-01-01", periods=N, freq="D").date).to_csv(path, index=False)
    config = TrainConfig(data=str(path), label="y", time=["when"], split="time", embargo=3.0 * DAY, wires=2, batch=8)
    split = split_table(load_table(config), config)
    assert min(split.val) - max(split.train) == 3


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["stamp", "duration", "date"])
def test_the_stress_test_sees_a_clock_that_gives_the_label_away_in_both_forms(tmp_path, form, kind):
    rows = 2000
    after = pd.to_timedelta(np.arange(rows) * (7.3 if kind != "date" else 40_000), unit="s")
    stamps = pd.Timestamp("2024-01-01") + after
    when = {"stamp": stamps, "duration": after, "date": stamps.date}[kind]
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"when": when, "a": rng.normal(size=rows), "y": (np.arange(rows) >= rows // 2).astype(int)})
    if kind == "duration" and form == "csv":
        table["when"] = after.total_seconds()
    table, path = table.sample(frac=1, random_state=0), tmp_path / f"table.{form}"
    table.to_csv(path, index=False) if form == "csv" else table.to_parquet(path, index=False)
    raw, _ = read(LeakageConfig(data=str(path), label="y", wires=2))
    single = next(one for one in examine(raw, 0) if one.column == "when")
    assert single.auc > 0.99
    raw, _ = read(LeakageConfig(data=str(path), label="y", wires=1, time=["when"]))
    assert judge_time(examine(raw, 0)).verdict == "yes"


SMALL = {"label": "y", "wires": 2, "layers": 1, "epochs": 1, "batch": 16, "engine": "exact", "baselines": []}


def test_a_model_takes_the_frame_that_pandas_reads_from_its_file(tmp_path):
    truth = np.arange(N) % 3 == 0
    table = frame(when=STAMPS, day=pd.date_range("2020-01-01", periods=N).date, span=STAMPS - STAMPS[0], truth=truth)
    table["gap"] = pd.Series([True, None, False, True] * (N // 4), dtype=object)
    table.to_parquet(tmp_path / "table.parquet")
    result = train(TrainConfig(**SMALL, data=str(tmp_path / "table.parquet"), missing="median"), progress=False)
    model = load_model(result.save(tmp_path / "model"))
    assert {"when", "day", "span", "truth", "gap"} <= set(model.feature_map.columns)
    logits = model.logits(pd.read_parquet(tmp_path / "table.parquet"))
    same = model.logits(load_table(result.config))
    assert logits.tolist() == pytest.approx(same.tolist(), abs=1e-6)


def test_truth_values_that_training_read_as_text_are_their_words(tmp_path):
    table = frame(truth=np.arange(N) % 3 == 0)
    table.to_csv(tmp_path / "table.csv", index=False)
    result = train(TrainConfig(**SMALL, data=str(tmp_path / "table.csv")), progress=False)
    read_back = pd.read_csv(tmp_path / "table.csv")
    assert read_back["truth"].dtype == bool
    expected = result.model.logits(pd.read_csv(tmp_path / "table.csv", dtype={"truth": str}))
    assert result.model.logits(read_back).tolist() == expected.tolist()
    with pytest.raises(DataError, match="'truth' held text in training"):
        result.model.logits(read_back.assign(truth=read_back["truth"].astype(float)))


def test_truth_values_are_no_other_words():
    words = pd.DataFrame({"c": ["yes", "no"] * 20, "a": np.arange(40.0) % 7})
    fitted = FeatureMap.fit(words, np.arange(40) % 2, 1, "0_pi")
    with pytest.raises(DataError, match="'c' held text in training, such as 'no'"):
        fitted.of_rows(words.assign(c=[True, False] * 20))


@pytest.mark.parametrize("value", [1e200, 1e308, 1.7e308])
def test_a_value_whose_spread_no_float_holds_is_refused_with_its_column(value):
    table = frame()
    table.loc[:9, "b"] = value
    with pytest.raises(DataError, match=r"The spread of 'b' is beyond float64: 'b' holds 1.*missing_values"):
        FeatureMap.fit(table[["a", "b"]], table["y"].to_numpy(), 2, "0_pi")
    FeatureMap.fit(table[["a", "b"]], table["y"].to_numpy(), 2, None, reduction="none", rescale="none")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 2)), "Expected a pandas DataFrame with the columns a, b; got ndarray"),
        ({"a": [1.0], "b": [2.0]}, "got dict"),
        (pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"]), "the column 'a' more than once"),
    ],
)
def test_rows_that_are_no_table_of_the_columns_are_refused(given, message):
    table = frame()
    fitted = FeatureMap.fit(table[["a", "b"]], table["y"].to_numpy(), 2, "0_pi")
    with pytest.raises(DataError, match=message):
        fitted.transform(given)
