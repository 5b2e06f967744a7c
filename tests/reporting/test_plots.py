import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.gate import GateReport, GroupCheck
from qnb.reporting import plots, tables
from qnb.runs.flags import flags
from qnb.training import metrics

NOTE = "SYNTHETIC data: a test"
GROUPS = ("weights", "readout", "alpha", "bias")


def history():
    rows = {
        "epoch": [1, 2, 3],
        "train_loss": [0.7, 0.6, 0.5],
        "train_loss_std": [0.1] * 3,
        "alpha": [1, 2, 3],
        "bias": [0, 0.1, 0.2],
    }
    rows |= {"val_auc": [0.6, np.nan, 0.8], "val_loss": [0.69, np.nan, 0.5], "val_sep": [0.1, np.nan, 0.9]}
    rows |= {f"{what}_{g}": [0.1, 0.2, 0.3] for what in ("grad_norm", "delta") for g in GROUPS}
    return pd.DataFrame(rows)


def figures():
    rng = np.random.default_rng(0)
    y, logits = rng.integers(0, 2, 100), rng.normal(size=100)
    return {
        "learning_curves": plots.learning_curves(history(), 3, {"logistic": 0.7}, NOTE),
        "learning_signal": plots.learning_signal(history(), NOTE),
        "roc": plots.roc(y, {"circuit": logits}, NOTE),
        "score_histogram": plots.score_histogram(y, logits, 0.2, NOTE),
    }


@pytest.mark.parametrize("name", list(figures()))
def test_every_panel_is_labelled_and_says_what_the_data_is(name):
    figure = figures()[name]
    assert NOTE in figure.get_supxlabel()
    for axes in figure.axes:
        assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel() and axes.get_legend()


def test_a_trained_scaling_has_a_line_of_its_own():
    with_it = history().assign(**{f"{what}_scaling": [0.1, 0.2, 0.3] for what in ("grad_norm", "delta")})
    for frame, lines in ((history(), 4), (with_it, 5)):
        gradient, distance, _ = plots.learning_signal(frame, NOTE).axes
        assert len(gradient.lines) == len(distance.lines) == lines


def test_roc_legend_holds_the_auc():
    rng = np.random.default_rng(1)
    y, logits = rng.integers(0, 2, 200), rng.normal(size=200)
    (text,) = plots.roc(y, {"circuit": logits}).axes[0].get_legend().get_texts()
    assert text.get_text() == f"circuit, AUC {roc_auc_score(y, logits):.3f}"


@pytest.mark.parametrize(
    ("spec", "data", "gates"),
    [
        (CircuitSpec(3, 2), 3, 3 + 18 + 6 + 9),
        (CircuitSpec(3, 2, reupload=True, hadamard=True, measurement="mean_z"), 6, 6 + 6 + 18 + 6),
        (CircuitSpec(2, 1, encoder="amplitude", measurement="z0"), 1, 1 + 6 + 2),
    ],
)
def test_the_drawing_is_of_the_operations(spec, data, gates):
    operations = spec.operations()
    assert len(operations) == gates
    assert sum(any(np.isnan(p).any() for p in op.parameters) for op in operations) == data
    axes = plots.circuit(spec).axes[0]
    boxes = [p for p in axes.patches if p.get_width() < 1]
    assert len(boxes) == gates - sum(op.name == "CNOT" for op in operations)
    assert sum(t.get_text() == "⟨Z⟩" for t in axes.texts) == (1 if spec.measurement == "z0" else spec.wires)


def test_asked_lists_every_parameter_and_marks_the_changed():
    page = tables.asked(TrainConfig(seed=3)).to_html()
    assert all(name in page for name in TrainConfig.model_fields) and "3   (default: 0)" in page
    assert tables.changed(TrainConfig(seed=3, lr=0.1)) == {"seed": 3, "lr": 0.1}


def test_gate_table_never_hides_what_was_not_checked():
    check = GroupCheck("untested", 0.0, 0.0, None, "random point")
    report = GateReport("untested", {"readout": check}, 64, "float64", 1e-4, 6e-6, 0.1)
    assert "untested" in tables.gate_verdict(report).to_html() and "NOT CHECKED" in tables.gate_verdict(None).to_html()


def test_synthetic_data_is_said_in_words_and_degenerate_runs_too():
    card = {"source": "bundled", "synthetic": True, "rows_kept": 10, "prior": 0.5}
    assert tables.data_note(card).startswith("SYNTHETIC data: bundled")
    assert "SYNTHETIC" not in tables.data_note(card | {"synthetic": False, "source": "breast_cancer"})
    metrics = {"test_auc": 0.5, "degen": 1, "degen_reason": "the logits are constant", "against_twin": None}
    metrics |= {"baselines": {"logistic": {"test_auc": 0.9}, "boosting": {"test_auc": 0.95}}}
    ((name, reason),) = flags(metrics)
    said = f"**{name}**: {reason}."
    assert said.startswith("**Degenerate**: the logits are constant") and "not the thresholded metrics" in said


def test_a_result_has_its_interval_and_leads_with_few_rows():
    interval = {"low": 0.71234, "high": 0.95, "method": "DeLong", "units_of_class_0": 1200, "units_of_class_1": 12}
    row = {"val_auc": 0.9, "test_auc": 0.85, "test_loss": 0.3, "test_auc_interval": interval}
    metrics = row | {
        "test_bacc": 0.8,
        "test_f1": 0.7,
        "test_precision": 0.6,
        "degen": 0,
        "baselines": {"logistic": row, "boosting": row},
    }
    said = tables.verdict_sentence(metrics)
    assert said.startswith("**Test AUC 0.8500** (95 % interval 0.7123 to 0.9500), against 0.8500 for logistic regression")
    assert "Intervals are over test rows, 12 with positives and 1,200 with negatives" in said
    grouped = {"test_auc_interval": interval | {"method": "DeLong over groups"}}
    assert "over whole groups of test rows, 12 with" in tables.interval_note(metrics | grouped)
    few = metrics | {"few_rows": "12 rows hold class 1: under 30, so that the interval is approximate"}
    assert flags(few)[0][0] == "Few test rows" and flags(few)[0][1].startswith("12 rows hold class 1")
    assert list(tables.results(metrics).data["95 % interval"]) == ["0.7123 to 0.9500"] * 3
    trivial = {"test_auc": 0.5, "test_f1": 0.917, "test_precision": 0.846, "test_recall": 1.0}
    table = tables.results(metrics | {"trivial": trivial}).data
    assert table.loc["trivial: all positive", "F1"] == 0.917 and np.isnan(table.loc["trivial: all positive", "val AUC"])
    assert tables.results(metrics).to_html().count("0.7123 to 0.9500") == 3
    old = {name: value for name, value in metrics.items() if name != "test_auc_interval"} | {"baselines": {}}
    assert tables.interval_note(old) == "" and list(tables.results(old).data["95 % interval"]) == [""]


TWIN = {"order": 2, "features": 128, "C": 10.0, "limited": None, "test_auc": 0.9}


@pytest.mark.parametrize(
    ("decision", "begins"),
    [
        ("above", "is above"),
        ("below", "is below"),
        ("equivalent", "is equivalent to"),
        ("undecided", "is not shown to differ from"),
    ],
)
def test_the_circuit_against_its_twin_is_one_sentence(decision, begins):
    against = {"decision": decision, "difference": -0.021, "low": -0.03, "high": -0.012, "min_effect": 0.005}
    said = tables.twin_sentence(against, TWIN, "test rows")
    assert said.startswith(
        f"**The circuit {begins} its dequantised twin**, a logistic regression on the encoder's sines and cosines of up to 2 wires"
    )
    assert "-0.0210 in test AUC, 95 % interval -0.0300 to -0.0120 over test rows" in said and said.count(".**") == 0
    limited = TWIN | {"order": 1, "limited": "products of 2 wires would make 1,056 features, more than 1,000"}
    assert "of single wires (128 features, C = 10; products of 2 wires would" in tables.twin_sentence(against, limited, "rows")


def test_reliability_is_drawn_for_each_model_beside_the_diagonal(rng):
    y = (rng.random(500) < 0.4).astype(int)
    logits = {"circuit": rng.normal(size=500), "twin": rng.normal(size=500)}
    axes = plots.reliability(y, logits, "note").axes[0]
    diagonal, circuit, twin = axes.lines
    table = metrics.reliability(logits["circuit"], y)
    np.testing.assert_allclose(circuit.get_xydata(), table[["predicted", "observed"]])
    assert circuit.get_color() != twin.get_color() and "ECE" in twin.get_label() and list(diagonal.get_xdata()) == [0, 1]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("names", [["one"], ["one", "two"], [f"a name that takes its room {k}" for k in range(7)]])
def test_a_legend_stands_between_title_and_data(columns, names):
    @plots.styled
    def draw():
        figure, panels = plots.new_figure(columns)
        for axes in panels:
            for name in names:
                axes.plot([0, 1], [0, 1], label=name)
            axes.set(title="Title", xlabel="x", ylabel="y")
            plots.legend(axes)
        return figure

    figure = draw()
    figure.draw_without_rendering()
    for axes in figure.axes:
        box, panel, title = (a.get_window_extent() for a in (axes.get_legend(), axes.patch, axes.title))
        assert panel.y1 <= box.y0 + 2 and box.y1 <= title.y0 + 1
        assert box.x1 <= panel.x1 + 0.1 * panel.width
        assert axes.title.get_fontweight() == "bold" and not axes.get_legend().get_frame_on()


def test_no_figure_puts_its_legend_over_data():
    """Every other legend is placed outside of the panels by its own arguments."""
    for path in (Path(plots.__file__).parents[1]).rglob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        for call in calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "legend":
                given = {k.arg: ast.unparse(k.value) for k in call.keywords}
                assert "bbox_to_anchor" in given or "outside" in given.get("loc", ""), f"{path}:{call.lineno}"
