"""Coercion, PLS, quantile map and angle range, each against an independent reference."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.cross_decomposition import PLSRegression
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from qnb.data.features import RARE, FeatureMap
from qnb.data.values import DataError


def numbers(rows=300, width=6, seed=0):
    """Correlated numeric columns and a label that depends on them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, width)) @ rng.standard_normal((width, width))
    y = (x[:, 0] + x[:, 1] ** 2 / 3 + rng.standard_normal(rows) > 0.5).astype(np.int8)
    return pd.DataFrame(x, columns=[f"c{i}" for i in range(width)]), y


def mixed(rows=300, seed=0):
    frame, y = numbers(rows, seed=seed)
    rng = np.random.default_rng(seed)
    frame["text"] = np.array(["0", "0.0", "GET", "POST", "1e1", "10"], dtype=object)[rng.integers(6, size=rows)]
    frame["digits"] = pd.Series(rng.integers(3, size=rows)).map({0: "0", 1: "0.0", 2: "7"})
    frame["same"] = 4.0
    return frame, y


def test_scores_are_those_of_scikit_learn():
    frame, y = numbers()
    fitted = FeatureMap.fit(frame, y, 4, None)
    scaler = StandardScaler().fit(frame)
    pls = PLSRegression(4, scale=False).fit(scaler.transform(frame), y)
    new, _ = numbers(seed=9)
    np.testing.assert_allclose(fitted.scores(new), pls.transform(scaler.transform(new)), rtol=0, atol=1e-9)


def test_quantiles_are_those_of_scikit_learn():
    frame, y = numbers(rows=1500)
    fitted = FeatureMap.fit(frame, y, 3, None)
    reference = QuantileTransformer(n_quantiles=1000, subsample=None).fit(fitted.scores(frame))
    new = pd.concat([frame, 3 * numbers(seed=4)[0]], ignore_index=True)
    np.testing.assert_allclose(fitted.transform(new), reference.transform(fitted.scores(new)), atol=1e-12)


def test_quantiles_are_ranks_where_every_row_is_one():
    frame, y = numbers(rows=200)
    fitted = FeatureMap.fit(frame, y, 2, None)
    expected = (np.apply_along_axis(rankdata, 0, fitted.scores(frame)) - 1) / 199
    np.testing.assert_allclose(fitted.transform(frame), expected, atol=1e-9)


def test_values_beyond_training_clip():
    frame, y = numbers()
    fitted = FeatureMap.fit(frame, y, 3, None)
    far = fitted.scores(frame * 1e6)
    u = fitted.transform(frame * 1e6)
    assert (u[far > fitted.quantiles[-1]] == 1).all() and (u[far < fitted.quantiles[0]] == 0).all()
    assert ((u == 0) | (u == 1)).mean() > 0.9


@pytest.mark.parametrize(
    ("name", "low", "high"), [("pm_pi", -np.pi, np.pi), ("pm_pi_2", -np.pi / 2, np.pi / 2), ("0_pi", 0, np.pi), (None, 0, 1)]
)
def test_angle_ranges(name, low, high):
    frame, y = numbers()
    angles = FeatureMap.fit(frame, y, 3, name).transform(frame)
    u = FeatureMap.fit(frame, y, 3, None).transform(frame)
    np.testing.assert_allclose(angles, low + (high - low) * u, atol=1e-14)
    assert angles.min() == pytest.approx(low) and angles.max() == pytest.approx(high)


def test_fitted_on_training_rows_alone():
    frame, y = mixed()
    train = frame.iloc[:200]
    first = FeatureMap.fit(train, y[:200], 4, "0_pi")
    changed = frame.copy()
    changed.loc[200:, "c0"] *= 100
    changed.loc[200:, "text"] = "never seen"
    second = FeatureMap.fit(changed.iloc[:200], y[:200], 4, "0_pi")
    for name, array in first.arrays().items():
        assert np.array_equal(array, second.arrays()[name])
    # transforming other rows along with a row does not change what the row becomes
    np.testing.assert_allclose(first.transform(frame)[:200], first.transform(train), atol=1e-13)
    assert np.isfinite(first.transform(changed)).all()


@pytest.mark.parametrize("angle_range", ["0_pi", None])
def test_round_trip_to_the_last_bit(tmp_path, angle_range):
    frame, y = mixed()
    fitted = FeatureMap.fit(frame, y, 5, angle_range)
    np.savez(tmp_path / "map.npz", **fitted.arrays())
    meta = json.loads(json.dumps(fitted.meta(), allow_nan=False))
    with np.load(tmp_path / "map.npz", allow_pickle=False) as arrays:
        again = FeatureMap.from_parts(dict(arrays), meta)
    assert np.array_equal(fitted.transform(frame), again.transform(frame))
    assert all(array.dtype == np.float64 for array in again.arrays().values())
    with pytest.raises(DataError, match=r"missing \['levels'\]"):
        FeatureMap.from_parts({k: v for k, v in fitted.arrays().items() if k != "levels"}, meta)


def test_the_two_zeros_are_one_before_any_encoding():
    frame, y = mixed()
    fitted = FeatureMap.fit(frame, y, 4, "0_pi")
    other = frame.assign(
        text=frame["text"].replace({"0": "0.0", "10": "1e1"}), digits=frame["digits"].replace({"0.0": "0", "7": "7.00"})
    )
    assert np.array_equal(fitted.transform(frame), fitted.transform(other))
    assert np.array_equal(fitted.rotation, FeatureMap.fit(other, y, 4, "0_pi").rotation)
    assert set(fitted.categories["digits"]) == {"0", "7", RARE}  # text by its dtype, which reading decides
    assert set(fitted.categories["text"]) >= {"0", "10", "GET", "POST"}
    assert "0.0" not in fitted.categories["text"]


def test_text_becomes_its_place_in_the_cumulative_shares():
    frame, y = numbers(rows=10, width=2)
    frame["text"] = ["a"] * 5 + ["b"] * 3 + ["c", "d"]
    value = FeatureMap.fit(frame, y, 1, None).categories["text"]
    assert value["a"] == 0.25 and value["b"] == pytest.approx(0.65) and len(value) == 3
    assert [v for k, v in value.items() if k not in "ab"] == [0.9]  # c and d, once each, and all unseen


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=5), min_size=20, max_size=20), st.permutations(range(20)))
def test_text_encoding_is_bounded_and_blind_to_row_order(words, order):
    words = ["x" + word.replace("\0", "") for word in words]
    frame, y = numbers(rows=20, width=3)
    frame["text"] = words
    y[:2] = 0, 1
    fitted = FeatureMap.fit(frame, y, 1, None)
    shuffled = FeatureMap.fit(frame.iloc[order], y[list(order)], 1, None)
    assert fitted.categories == shuffled.categories
    assert all(0 < v <= 1 for v in fitted.categories.get("text", {}).values())


def test_encoding_does_not_see_the_label():
    frame, y = mixed()
    assert FeatureMap.fit(frame, y, 2, None).categories == FeatureMap.fit(frame, 1 - y, 2, None).categories


def test_constant_columns_are_left_out_and_named():
    frame, y = mixed()
    fitted = FeatureMap.fit(frame, y, 2, None)
    assert fitted.constant == ["same"] and "same" not in fitted.columns
    assert np.array_equal(fitted.transform(frame), fitted.transform(frame.drop(columns="same")))
    assert list(fitted.explain().index) == fitted.columns and fitted.explain().shape == (8, 2)


def bad_value(value, column="c2"):
    frame, y = numbers()
    frame.loc[[3, 8], column] = value
    return frame, y


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_finite_number(value):
    frame, y = bad_value(value)
    with pytest.raises(DataError, match=r"'c2' has 2 of 300 rows without a finite number"):
        FeatureMap.fit(frame, y, 2, None)
    fitted = FeatureMap.fit(numbers()[0], y, 2, None)
    with pytest.raises(DataError, match="'c2' has 2 of 300 rows"):
        fitted.transform(frame)


def test_columns_missing_at_transform():
    frame, y = numbers()
    with pytest.raises(DataError, match="lacks 1 columns: c3"):
        FeatureMap.fit(frame, y, 2, None).transform(frame.drop(columns="c3"))


def test_text_where_training_had_numbers():
    frame, y = numbers()
    other = frame.astype({"c1": object})
    other.loc[4, "c1"] = "0xff"
    with pytest.raises(DataError, match=r"'c1' held only numbers in the training rows and holds text here, such as '0xff'"):
        FeatureMap.fit(frame, y, 2, None).transform(other)


def low_rank():
    frame, y = numbers(width=3)
    return frame.assign(d=frame["c0"] + frame["c1"], e=2 * frame["c2"]), y


@pytest.mark.parametrize(
    ("table", "components", "message"),
    [
        (numbers(width=3), 4, "4 components were asked of 3 feature columns that vary. Ask for 3 or fewer"),
        (low_rank(), 4, r"fewer independent directions that bear on the label \(3 at most\)"),
        (numbers(rows=4, width=6), 5, "fewer independent directions"),
        ((numbers()[0] * 0, numbers()[1]), 1, "All 6 feature columns are constant in the 300 training rows"),
        ((numbers()[0], numbers()[1] * 0), 1, "one class only"),
    ],
)
def test_what_cannot_be_fitted(table, components, message):
    frame, y = table
    if len(y) == 4:
        y = np.array([0, 1, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=message):
            FeatureMap.fit(frame, y, components, None)


def test_unknown_angle_range():
    with pytest.raises(DataError, match=r"angle_range='pm_p' is unknown\. Did you mean 'pm_pi'\?"):
        FeatureMap.fit(*numbers(), 2, "pm_p")


def test_columns_as_they_are():
    frame, y = numbers(width=3)
    fitted = FeatureMap.fit(frame, y, 3, None, reduction="none", rescale="none")
    new = numbers(seed=4, width=3)[0] * 100
    assert np.array_equal(fitted.transform(new), new.to_numpy())
    low, high = fitted.encoded_range()
    assert np.array_equal(low, frame.min()) and np.array_equal(high, frame.max())


@pytest.mark.parametrize("rows", [300, 1500])
def test_columns_are_rescaled_as_scikit_learn_does(rows):
    frame, y = numbers(rows, width=3)
    new = pd.concat([frame, 3 * numbers(seed=4, width=3)[0]], ignore_index=True)
    quantile = QuantileTransformer(n_quantiles=min(1000, rows), subsample=None).fit(frame)
    for rescale, reference in (("quantile", quantile), ("minmax", MinMaxScaler(clip=True).fit(frame))):
        found = FeatureMap.fit(frame, y, 3, "pm_pi_2", reduction="none", rescale=rescale)
        np.testing.assert_allclose(found.transform(new), np.pi * (reference.transform(new) - 0.5), rtol=0, atol=1e-12)
        assert [side.tolist() for side in found.encoded_range()] == [[-np.pi / 2] * 3, [np.pi / 2] * 3]


@pytest.mark.parametrize("rescale", ["minmax", "none"])
def test_scores_are_rescaled_as_scikit_learn_does(rescale):
    frame, y = numbers()
    scores = FeatureMap.fit(frame, y, 3, None).scores(frame)
    expected = scores if rescale == "none" else MinMaxScaler().fit_transform(scores)
    found = FeatureMap.fit(frame, y, 3, None, rescale=rescale).transform(frame)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_without_reduction_constant_columns_and_indicators_are_features():
    frame, y = numbers(rows=60, width=2)
    frame = frame.assign(same=4.0).mask(np.arange(60)[:, None] * np.array([0, 1, 0]) == 7)
    fitted = FeatureMap.fit(frame, y, 4, None, "indicator", reduction="none", rescale="none")
    assert fitted.inputs == ["c0", "c1", "same", "c1 (missing)"] and fitted.constant == []
    assert fitted.transform(frame)[[6, 7], 2:].tolist() == [[4.0, 0.0], [4.0, 1.0]]


@pytest.mark.parametrize(("reduction", "rescale"), [(a, b) for a in ("pls", "none") for b in ("quantile", "minmax", "none")])
def test_every_preprocessing_survives_its_file(reduction, rescale):
    frame, y = numbers(width=3)
    fitted = FeatureMap.fit(frame, y, 3, None, reduction=reduction, rescale=rescale)
    again = FeatureMap.from_parts(fitted.arrays(), json.loads(json.dumps(fitted.meta())))
    new = numbers(seed=4, width=3)[0]
    assert np.array_equal(fitted.transform(new), again.transform(new))
    assert (again.reduction, again.rescale) == (reduction, rescale)
    assert ("reduction" in fitted.meta()) == (reduction != "pls")  # the file of a default one stays what it was


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reduction": "none"}, r"there are 9 columns \(c0, .*\) for 4 features. Set wires=9"),
        ({"rescale": "none"}, "takes values as radians, and 2 columns hold text: text, digits. Drop them"),
        ({"reduction": "pca"}, "reduction='pca' is unknown. Valid: pls, none"),
        ({"rescale": "minmx"}, "Did you mean 'minmax'?"),
    ],
)
def test_preprocessing_that_cannot_be(how, message):
    frame, y = mixed()
    with pytest.raises(DataError, match=message):
        FeatureMap.fit(frame, y, 4, None, **how)


def test_a_range_of_angles_without_rescaling_is_refused():
    frame, y = numbers()
    with pytest.raises(DataError, match="angle_range='0_pi' has no effect with rescale='none'"):
        FeatureMap.fit(frame, y, 4, "0_pi", rescale="none")
