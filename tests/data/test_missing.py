"""Missing values: refused, or filled in by scikit-learn's imputers, fitted on training rows alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import MissingIndicator, SimpleImputer

from qnb.config import TrainConfig
from qnb.data.features import ABSENT, FeatureMap
from qnb.data.prepare import prepare
from qnb.data.splits import split_table
from qnb.data.table import load_table, read_table
from qnb.data.values import DataError
from qnb.reporting.tables import data_card

ROWS = 240


def gaps(rows: int = ROWS, share: float = 0.2, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers with gaps in two of four columns, where a gap says something of the label."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], rows // 2)
    frame = pd.DataFrame(rng.normal(y[:, None], 1.0, (rows, 4)), columns=list("abcd"))
    for name in "bd":
        frame.loc[rng.random(rows) < share * (1 + y) / 2, name] = np.nan
    return frame, y


def same(a: FeatureMap, b: FeatureMap) -> bool:
    return a.meta() == b.meta() and all(np.array_equal(v, b.arrays()[k]) for k, v in a.arrays().items())


def test_the_median_is_that_of_scikit_learn():
    frame, y = gaps()
    fitted = FeatureMap.fit(frame, y, 3, "0_pi", "median")
    imputer = SimpleImputer(strategy="median").fit(frame)
    whole = pd.DataFrame(imputer.transform(frame), columns=frame.columns)
    reference = FeatureMap.fit(whole, y, 3, "0_pi")
    assert fitted.missing.medians == dict(zip(frame.columns, imputer.statistics_, strict=True))
    assert all(np.array_equal(v, reference.arrays()[k]) for k, v in fitted.arrays().items())
    other = gaps(seed=1, share=0.6)[0]
    filled = pd.DataFrame(imputer.transform(other), columns=frame.columns)
    assert np.array_equal(fitted.transform(other), reference.transform(filled))


def test_the_indicator_is_that_of_scikit_learn():
    frame, y = gaps()
    fitted = FeatureMap.fit(frame, y, 4, "0_pi", "indicator")
    imputer, indicator = SimpleImputer(strategy="median").fit(frame), MissingIndicator(error_on_new=False).fit(frame)
    assert fitted.missing.indicators == tuple(frame.columns[indicator.features_]) == ("b", "d")

    def reference_rows(rows):
        told = [f"{frame.columns[k]} (missing)" for k in indicator.features_]
        parts = [imputer.transform(rows), indicator.transform(rows)]
        return pd.DataFrame(np.column_stack(parts).astype(float), columns=[*frame.columns, *told])

    reference = FeatureMap.fit(reference_rows(frame), y, 4, "0_pi")
    assert fitted.inputs == reference.columns == list(fitted.explain().index)
    assert all(np.array_equal(v, reference.arrays()[k]) for k, v in fitted.arrays().items())
    other = gaps(seed=1, share=0.6)[0]
    other.loc[3, "a"] = np.nan  # where training lacked none: the median, and nothing told
    assert np.array_equal(fitted.transform(other), reference.transform(reference_rows(other)))


@pytest.mark.parametrize("missing", ["median", "indicator"])
def test_a_fitted_map_survives_its_parts(missing):
    frame, y = gaps()
    fitted = FeatureMap.fit(frame.assign(word=np.where(y, "x", None)), y, 3, "0_pi", missing, ("?", -1))
    assert same(fitted, FeatureMap.from_parts(fitted.arrays(), fitted.meta()))


def test_a_column_that_is_constant_where_present_still_tells_where_it_is():
    frame, y = gaps()
    frame["k"] = np.where(y, np.nan, 5.0)
    fitted = FeatureMap.fit(frame, y, 2, None, "indicator")
    assert "k" not in fitted.columns and fitted.inputs[-1] == "k (missing)" and "k" in fitted.needed and "k" in fitted.constant
    with pytest.raises(DataError, match="lacks 1 columns: k"):
        fitted.transform(frame.drop(columns="k"))


def test_a_column_without_any_value_is_left_out():
    frame, y = gaps()
    for missing in ("median", "indicator"):
        fitted = FeatureMap.fit(frame.assign(none=np.nan), y, 2, None, missing)
        assert fitted.constant == ["none"] and np.isfinite(fitted.transform(frame)).all()


@pytest.mark.parametrize("missing", ["median", "indicator"])
def test_a_missing_text_is_a_category(missing):
    frame, y = gaps()
    frame["service"] = pd.Series(np.where(np.arange(ROWS) % 4 < 2, "http", None), dtype=object)
    fitted = FeatureMap.fit(frame, y, 2, None, missing)
    assert fitted.categories["service"][ABSENT] == 0.25  # the commonest by its name: half of the rows
    named = FeatureMap.fit(frame.fillna({"service": "A"}), y, 2, None, missing)
    assert np.array_equal(fitted.transform(frame), named.transform(frame.fillna({"service": "A"})))
    with pytest.raises(DataError, match=r"'b' has \d+ of 240 rows without a finite number"):
        FeatureMap.fit(frame, y, 2, None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["median", "indicator"]), st.sampled_from([np.nan, -1e6, 1e6, 0.0]))
def test_nothing_but_training_rows_is_fitted_on(tmp_path_factory, seed, missing, value):
    """Whatever stands in the rows of the other sides, present or missing, the map is the same to the last bit."""
    frame, y = gaps(seed=seed % 7)
    path = tmp_path_factory.mktemp("t") / "t.csv"
    config = TrainConfig(
        data=str(path), label="label", wires=3, batch=16, missing=missing, split_seed=seed, val_fraction=0.2, test_fraction=0.3
    )
    frame.assign(label=y).to_csv(path, index=False)
    first, split = prepare(config), split_table(load_table(config), config)
    others = np.concatenate([split.val, split.test])
    rng = np.random.default_rng(seed)
    rows = rng.choice(others, rng.integers(1, len(others)), replace=False)
    frame.loc[rows, list(rng.choice(list("abcd"), 2, replace=False))] = value
    frame.assign(label=y).to_csv(path, index=False)
    assert same(first.feature_map, prepare(config).feature_map)


VALUES = pytest.mark.parametrize(
    ("text", "given_as"),
    [("?", "?"), (" - ", "-"), ("0x1f", "0x1f"), ("-1", -1), ("-1.0", "-1"), ("Infinity", "inf"), ("-9e3", -9000)],
)


@VALUES
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_values_that_stand_for_none(tmp_path, text, given_as, suffix):
    frame, y = gaps(share=0)
    path, texts = str(tmp_path / f"t{suffix}"), frame.astype(str).assign(label=y)
    texts.loc[[2, 50], "a"] = text
    texts.to_csv(path, index=False) if suffix == ".csv" else texts.to_parquet(path)
    read = read_table(path, label="label", missing="median", missing_values=(given_as, "never"))
    expected = frame["a"].copy()
    expected[[2, 50]] = np.nan
    assert np.array_equal(read.frame["a"], expected, equal_nan=True)
    assert read.card["types"]["a"] == {"type": "number", "missing": 2} and read.card["types"]["b"] == {"type": "number"}
    assert any("'never' stands in no feature column" in note for note in read.card["notes"])
    with pytest.raises(DataError, match=r"column 'a': 2 rows missing.*missing='median' or 'indicator' fills in"):
        read_table(path, label="label", missing_values=(given_as,))


def test_numbers_that_stand_for_none_in_a_typed_column(tmp_path):
    frame, y = gaps(share=0)
    frame.loc[[2, 50], "a"] = -1
    frame.assign(label=y).to_parquet(tmp_path / "t.parquet")
    read = read_table(str(tmp_path / "t.parquet"), label="label", missing="median", missing_values=(-1,))
    assert np.isnan(read.frame["a"]).sum() == 2
    fitted = FeatureMap.fit(frame, y, 2, None, "median", (-1,))
    assert same(fitted, FeatureMap.fit(read.frame, y, 2, None, "median", (-1,)))
    assert np.array_equal(fitted.transform(frame), fitted.transform(read.frame))  # raw rows, as a saved model gets them


def test_a_label_is_never_missing_by_missing_values(tmp_path):
    pd.DataFrame({"a": [1, 5, 2, 7], "label": ["?", "x", "?", "x"]}).to_csv(tmp_path / "t.csv", index=False)
    read = read_table(str(tmp_path / "t.csv"), label="label", positive="?", missing_values=("?",))
    assert read.y.tolist() == [1, 0, 1, 0]


def test_infinite_values_are_not_missing_unless_said(tmp_path):
    frame, y = gaps(share=0)
    frame.loc[4, "c"] = np.inf
    frame.assign(label=y).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"column 'c': 1 rows infinite; the first on line 6.*missing_values=\['inf', '-inf'\]"):
        read_table(str(tmp_path / "t.csv"), label="label", missing="median")
    with pytest.raises(DataError, match="'c' has 1 infinite values, which are not missing"):
        FeatureMap.fit(frame, y, 2, None, "median")


def test_the_card_counts_by_column_and_side(tmp_path):
    frame, y = gaps()
    frame.assign(label=y).to_csv(tmp_path / "t.csv", index=False)
    config = TrainConfig(data=str(tmp_path / "t.csv"), label="label", wires=2, missing="indicator", missing_values=("?",))
    prepared, split = prepare(config), split_table(load_table(config), config)
    counts = prepared.card["missing_of_sides"]
    assert set(counts) == {"b", "d"}
    for name, sides in counts.items():
        assert sides == {side: int(frame[name].isna().to_numpy()[getattr(split, side)].sum()) for side in sides}
        assert sum(sides.values()) == prepared.card["types"][name]["missing"] == frame[name].isna().sum()
    shown = data_card(prepared.card).to_html()
    assert f"{counts['b']['train']:,}; val {counts['b']['val']:,}" in shown and "an input that says where" in shown
    assert ("4: a, b, c, d" in shown and "&#x27;?&#x27;" in shown) or "'?'" in shown


def test_an_unknown_treatment():
    with pytest.raises(DataError, match=r"missing='mean' is unknown\. .*median"):
        FeatureMap.fit(*gaps(), 2, None, "mean")
