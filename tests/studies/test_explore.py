"""explore.ipynb: the reading under the hand is the circuit's, the controls follow, and a training that is stopped loses no epoch."""

import io
import re
import time
from dataclasses import replace
from pathlib import Path

import jupyter_client
import nbformat
import numpy as np
import pandas as pd
import pytest
from reference import dense_score, loss_and_grad, random_params

from qnb.config import TrainConfig
from qnb.core.circuit import CircuitSpec
from qnb.core.objective import Objective
from qnb.data.prepare import prepare
from qnb.errors import ParameterError
from qnb.runs import headless
from qnb.runs.alt_text import describe
from qnb.runs.folder import create
from qnb.runs.job import prepare as prepare_job
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError
from qnb.studies import explore_controls, explore_figures
from qnb.studies.explore import Bench, ExploreConfig, going_on_from
from qnb.training.state import circuit_of
from qnb.training.train import train

ROOT = Path(__file__).parents[2]
SMALL = {"data": "breast_cancer", "sample": None, "wires": 2, "layers": 1, "batch": 32, "epochs": 4, "fixed_num_batches": 3}
CONFIG = ExploreConfig(**SMALL).training()


@pytest.fixture(scope="module")
def prepared():
    return prepare(CONFIG)


@pytest.mark.parametrize("measurement", ["z0", "mean_z", "z_vec", "mean_z_readout"])
@pytest.mark.parametrize(("gamma", "alpha", "row"), [(0.0, 1.0, 0), (2.0, 3.5, 5), (0.7, -2.0, 9)])
def test_a_reading_is_the_loss_and_gradient_of_the_circuit(prepared, measurement, gamma, alpha, row):
    bench = Bench(CONFIG, prepared)
    hand = replace(bench.start(row), measurement=measurement, gamma=gamma, alpha=alpha, feature=1.1)
    hand = replace(hand, readout=None if bench.readout_at_rest(measurement) is None else 0.4)
    found = bench.read(hand)
    spec = CircuitSpec(2, 1, measurement=measurement)
    params = spec.init(CONFIG.seed, "direct") | {"alpha": np.asarray(alpha)}
    if hand.readout is not None:
        params["readout"][0 if measurement == "z_vec" else 1] = 0.4
    x, y = prepared.X["val"][row].copy(), prepared.y["val"][row]
    x[0] = 1.1
    loss, gradient = loss_and_grad(spec, Objective(gamma, "direct"), params, x[None], np.array([y]), np.ones(1))
    assert found.y == y and found.loss == pytest.approx(loss, rel=1e-5)
    assert found.score == pytest.approx(dense_score(spec, params, x), abs=2e-6)
    assert found.logit == pytest.approx(alpha * found.score) and found.probability == pytest.approx(
        1 / (1 + np.exp(-found.logit))
    )
    for group, value in gradient.items():
        np.testing.assert_allclose(found.gradient[group], value, atol=2e-6, rtol=1e-4, err_msg=group)


def test_a_trained_scaling_has_a_gradient_too(prepared):
    config = CONFIG.model_copy(update={"scaling": True})
    found, spec = Bench(config, prepared).read(Bench(config, prepared).start(3)), CircuitSpec(2, 1, scaling=True)
    params, x, y = spec.init(CONFIG.seed, "direct"), prepared.X["val"][3], prepared.y["val"][3]
    _, gradient = loss_and_grad(spec, Objective(0.0, "direct"), params, x[None], np.array([y]), np.ones(1))
    np.testing.assert_allclose(found.gradient["scaling"], gradient["scaling"], atol=2e-6, rtol=1e-4)


def test_trained_parameters_bring_their_bias_alpha_and_measurement(prepared, rng):
    spec = circuit_of(CONFIG)
    params = random_params(spec, rng)
    bench = Bench(CONFIG, prepared, params)
    hand = bench.start(3)
    found = bench.read(hand)
    assert bench.measurements == ("mean_z_readout",) and hand.readout == params["readout"][1]
    y = prepared.y["val"][3:4]
    loss, gradient = loss_and_grad(spec, Objective(), params, prepared.X["val"][3:4], y, np.ones(1))
    assert found.loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(found.gradient["weights"], gradient["weights"], atol=2e-6, rtol=1e-4)
    by_raw = found.gradient["alpha"] * Objective().alpha_slope(params["alpha"])
    np.testing.assert_allclose(by_raw, gradient["alpha"], atol=2e-6, rtol=1e-4)
    values, scores, logits = bench.scan(hand)
    at = int(np.argmin(abs(values - hand.feature)))
    assert bench.read(replace(hand, feature=values[at])).score == pytest.approx(scores[at], abs=2e-6)
    np.testing.assert_allclose(logits, hand.alpha * (scores + params["bias"]), rtol=1e-6)


def test_a_row_that_is_not_there_is_refused(prepared):
    with pytest.raises(ParameterError, match=r"row=10000: the validation side has \d+ rows"):
        Bench(CONFIG, prepared).start(10_000)


def test_controls_move_the_reading(prepared):
    bench = Bench(CONFIG, prepared)
    box = explore_controls.controls(bench, 0, "breast_cancer")
    measurement, row, feature, readout, gamma, alpha, line, picture = box.children
    hand = bench.start(0)

    def agrees(**moved):
        nonlocal hand
        hand = replace(hand, **moved)
        assert explore_controls.words(bench.read(hand)) in line.value.replace("&gt;", ">")

    agrees()
    gamma.value = 2.0
    agrees(gamma=2.0)
    alpha.value = 5.0
    agrees(alpha=5.0)
    feature.value = 0.5
    agrees(feature=0.5)
    readout.value = -1.0
    agrees(readout=-1.0)
    row.value = 4
    agrees(row=4, feature=float(prepared.X["val"][4, 0]))
    measurement.value = "z0"
    assert readout.disabled
    agrees(measurement="z0", readout=None)
    measurement.value = "z_vec"
    assert not readout.disabled and readout.value == 0.5
    agrees(measurement="z_vec", readout=0.5)
    assert re.search(r'alt="Score s: [^"]*breast_cancer\."', picture.value)


@pytest.mark.parametrize(("mode", "raw"), [("direct", -37.0), ("direct", 0.0), ("softplus", -6.9), ("softplus", 900.0)])
def test_controls_hold_what_was_trained_however_far(prepared, mode, raw):
    config = CONFIG.model_copy(update={"alpha_mode": mode})
    params = circuit_of(config).init(0, mode) | {"alpha": np.asarray(raw)}
    params["readout"][1] = -12.0
    _, _, _, readout, _, alpha, line, _ = explore_controls.controls(Bench(config, prepared, params), 0).children
    assert readout.value == -12.0 and alpha.value == pytest.approx(float(Objective(0.0, mode).alpha(raw)))
    assert explore_controls.words(Bench(config, prepared, params).read(Bench(config, prepared, params).start(0))) in line.value


def test_the_live_curve_has_room_for_what_is_to_come():
    rows = [{"epoch": 1, "train_loss": 0.7}, {"epoch": 2, "train_loss": 0.5, "val_auc": 0.8, "val_loss": 0.6}]
    for k in (0, 1, 2):
        figure = explore_figures.live(rows[:k], 5, "SYNTHETIC data")
        loss, auc = figure.axes
        assert loss.get_xlim() == (0.5, 5.5) and f"{k} of 5 epochs" in describe(figure)
        assert [len(line.get_xdata()) for line in loss.lines + auc.lines] == [[0], [1], [2, 1, 1]][k]


# ---- a training that is stopped


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "notebooks" / "explore.ipynb").write_text((ROOT / "notebooks" / "explore.ipynb").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(history, other):
    times = ["seconds", "samples_per_s"]
    pd.testing.assert_frame_equal(history.drop(columns=times), other.drop(columns=times), check_exact=True)


def test_a_cell_that_was_stopped_goes_on_after_its_last_epoch(project, prepared):
    run = create(project, "explore", ExploreConfig(**SMALL))
    assert going_on_from(run) is None

    def stop(rows):
        if len(rows) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, prepared, folder=run.folder, progress=False, on_epoch=stop)
    assert len(pd.read_csv(run.folder / "history.csv")) == 2
    seen = []
    ended = train(CONFIG, prepared, run.folder, going_on_from(run), progress=False, on_epoch=lambda rows: seen.append(len(rows)))
    assert seen == [3, 4]
    whole = train(CONFIG, prepared, progress=False)
    same(ended.history, whole.history)
    assert all((ended.params[group] == whole.params[group]).all() for group in whole.params)


def test_resume_names_a_run_of_this_notebook_and_this_training(project, prepared):
    stopped = create(project, "explore", ExploreConfig(**SMALL))
    named = ExploreConfig(**SMALL, resume=stopped.id, row=3)
    with pytest.raises(RunError, match="has no checkpoint: no epoch of it was finished"):
        going_on_from(create(project, "explore", named))

    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, prepared, folder=stopped.folder, progress=False, on_epoch=stop)
    assert going_on_from(create(project, "explore", named)) == stopped.folder
    with pytest.raises(RunError, match=r"was asked otherwise: lr\. Its training goes on with its own parameters only"):
        going_on_from(create(project, "explore", named.model_copy(update={"lr": 0.2})))
    other = create(project, "train", CONFIG)
    with pytest.raises(RunError, match=r"is a run of train; one of explore was expected"):
        going_on_from(create(project, "explore", named.model_copy(update={"resume": other.id})))


@pytest.mark.slow
def test_a_kernel_that_is_killed_loses_no_finished_epoch(project):
    nb = nbformat.read("notebooks/explore.ipynb", as_version=4)
    asked = SMALL | {"epochs": 12}
    kernel = jupyter_client.KernelManager()
    kernel.start_kernel(cwd=str(project / "notebooks"))
    client = kernel.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    for cell in nb.cells:
        if cell.cell_type == "code":
            client.execute(cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            client.execute("# Parameters\n" + "\n".join(f"{k} = {v!r}" for k, v in asked.items()))
    deadline = time.monotonic() + 300
    while not (found := list(project.glob("executed/explore/*/history.csv"))) or len(pd.read_csv(found[0])) < 2:
        assert time.monotonic() < deadline and kernel.is_alive()
        time.sleep(0.05)
    kernel.shutdown_kernel(now=True)
    client.stop_channels()
    (entry,) = list_runs(project)
    history = pd.read_csv(found[0])
    assert entry["status"] == "killed" and list(history["epoch"]) == list(range(1, len(history) + 1))
    assert 2 <= len(history) < 12
    resumed = headless.execute(prepare_job("explore", asked | {"resume": entry["run_id"]}, project))
    assert resumed.manifest["status"] == "done", resumed.manifest["failure"]
    whole = pd.read_csv(resumed.folder / "history.csv")
    assert (
        len(whole) == 12 and (whole.iloc[: len(history)]["seconds"] == history["seconds"]).all()
    )  # those epochs were not run again
    alone = train(TrainConfig(**CONFIG.model_dump() | {"epochs": 12}), progress=False).history
    same(whole, pd.read_csv(io.StringIO(alone.to_csv(index=False))))


@pytest.mark.slow
def test_the_notebook_runs_headlessly(project):
    run = headless.execute(prepare_job("explore", SMALL | {"row": 2}, project))
    assert run.manifest["status"] == "done", run.manifest["failure"]
    nb = nbformat.read(run.folder / "notebook.ipynb", as_version=4)
    shown = [o for c in nb.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    words = [o.metadata["image/png"]["alt"] for o in shown]
    assert len(words) == 3 and "4 of 4 epochs" in words[1]
    page = (run.folder / "report.html").read_text()
    assert page.count("Live controls stand here") == 2 and "<script" not in page
