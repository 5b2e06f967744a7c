import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from qnb.statistics.compare import compare
from qnb.studies import ablation_figures

NOTE = "SYNTHETIC data: a test"
R = np.random.default_rng(0)
BASE = 0.9 + 0.01 * R.normal(size=10)
VALUES = {
    "base": BASE,
    "up": BASE + 0.02 + 0.005 * R.normal(size=10),
    "lost": np.where(np.arange(10) < 9, BASE + 1e-3 * R.normal(size=10), np.nan),
}
FOUND = compare(VALUES, "base", 0.005)


def curves(level):
    return pd.DataFrame({"epoch": [1, 2, 3], "val_auc": [level, np.nan, level + 0.1], "val_loss": [0.5, np.nan, 0.4]})


HISTORIES = {"base": [curves(0.6), curves(0.8)], "up": [curves(0.7), None], "lost": [None, None]}
FIGURES = {
    "forest": lambda: ablation_figures.forest(FOUND, NOTE),
    "slopes": lambda: ablation_figures.slopes(FOUND, NOTE),
    "learning_curves": lambda: ablation_figures.learning_curves(HISTORIES, NOTE),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_panel_is_labelled_and_says_what_the_data_is(name):
    figure = FIGURES[name]()
    assert NOTE in figure.get_supxlabel()
    for axes in figure.axes:
        assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel() and axes.get_legend()


def test_the_forest_shows_every_seed_interval_and_decision():
    (axes,) = FIGURES["forest"]().axes
    drawn = [line.get_xdata() for line in axes.lines]
    for d in FOUND.differences.values():
        for expected in (d.values, d.holm, d.interval_90):
            assert any(len(x) == len(expected) and np.array_equal(x, expected, equal_nan=True) for x in drawn)
    texts = [text.get_text() for text in axes.texts]
    assert texts == [f"{d.mean:+.4f}  {d.decision}" for d in FOUND.differences.values()]


def test_the_bars_of_the_forest_end_where_their_intervals_do():
    """Counted in pixels, since a line's caps may stand out beyond its data."""
    figure = FIGURES["forest"]()
    (axes,) = figure.axes
    bars = [line for line in axes.lines if line.get_linewidth() == 4.5]
    assert len(bars) == len(FOUND.differences)
    for child in axes.get_children():
        child.set_visible(child in bars)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    for bar in bars:
        (left, y), (right, _) = axes.transData.transform(bar.get_xydata())
        row = pixels[round(pixels.shape[0] - y)].astype(int)
        (drawn,) = np.nonzero(abs(row - 255 * np.array(to_rgb(bar.get_color()))).sum(axis=1) < 30)
        assert (drawn.min(), drawn.max() + 1) == pytest.approx((left, right), abs=1.5)


def test_the_forest_marks_arms_that_are_one_program():
    found = compare({"base": BASE, "twin": BASE}, "base", 0.005, histories={arm: [curves(0.6)] * 10 for arm in ("base", "twin")})
    (axes,) = ablation_figures.forest(found).axes
    assert "identical" in axes.texts[0].get_text()


def test_one_line_per_seed():
    (axes,) = FIGURES["slopes"]().axes
    for seed in range(10):
        expected = [VALUES[arm][seed] for arm in ("base", "up", "lost")]
        assert any(np.array_equal(line.get_ydata(), expected, equal_nan=True) for line in axes.lines)


def test_learning_curves_are_means_over_the_seeds_that_ended():
    auc, _ = FIGURES["learning_curves"]().axes
    lines = {line.get_label(): line for line in auc.lines}
    assert list(lines) == ["base (2 seeds)", "up (1 seeds)"]
    assert lines["base (2 seeds)"].get_ydata() == pytest.approx([0.7, 0.8]) and list(lines["base (2 seeds)"].get_xdata()) == [
        1,
        3,
    ]
    band = auc.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(0.8 + np.std([0.7, 0.9], ddof=1))
