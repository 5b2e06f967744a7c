"""Missing values and types on the way into gradient boosting on columns as they are."""

import numpy as np
import pandas as pd

from qnb.leakage.study import LeakageConfig, read
from qnb.leakage.tabular import boost, matrix


def gapped(rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], rows // 2)
    frame = pd.DataFrame(rng.normal(y[:, None], 1.0, (rows, 2)), columns=["a", "b"]).astype(str)
    frame.loc[rng.random(rows) < 0.4, "b"] = "?"
    frame["method"] = ["0"] * (rows - 8) + ["GET", "POST"] * 4  # numbers alone in most samples
    return frame.assign(none="", proto=rng.choice(["tcp", "-"], rows), label=y), y


def test_a_column_without_any_value_is_left_out():
    frame, y = gapped()
    X = np.column_stack([frame["a"].astype(float), np.full(len(y), np.nan)])
    text = np.array([False, False])
    alone = boost(X[:, :1], y, X[:, :1], text[:1])
    assert np.array_equal(boost(X, y, X, text), alone)


def test_rows_as_written_have_the_types_and_gaps_of_the_table(tmp_path):
    frame, _ = gapped()
    frame.to_csv(tmp_path / "t.csv", index=False)
    for seed in range(4):
        config = LeakageConfig(
            data=str(tmp_path / "t.csv"), label="label", sample=60, split_seed=seed, missing="median", missing_values=("?", "-")
        )
        raw, table = read(config)
        X, text = matrix(raw.frame())
        assert list(raw.frame()) == list(table.frame) == ["a", "b", "method", "none", "proto"]
        assert text.tolist() == matrix(table.frame)[1].tolist() == [False, False, True, False, True]
        whole = read(config.model_copy(update={"sample": None}))
        gone = (frame == "?").to_numpy()[:, 1]
        assert np.array_equal(np.isnan(matrix(whole[0].frame())[0][:, 1]), gone)
        assert np.array_equal(np.isnan(matrix(whole[1].frame)[0][:, 1]), gone) and np.isfinite(X[:, [0, 2, 4]]).all()
