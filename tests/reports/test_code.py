"""What makes a report out of date, and what does not; and that no published report is."""

import shutil
from pathlib import Path

import pytest

from benchmarks import shipped
from qnb.reports import code
from qnb.reports.__main__ import is_outdated
from qnb.reports.plan import OLDER, REPORTS, Report
from qnb.reports.publish import SHIPPED, stamp_of
from qnb.runs import job

ROOT = Path(__file__).parents[2]
SHIPPED_NOTEBOOKS = sorted((ROOT / SHIPPED).glob("*.ipynb"))


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED_NOTEBOOKS if path.stem in REPORTS])
def test_a_published_report_was_made_by_this_code(name):
    """But for those that say that they were not; one of them that has been made anew is no longer said to be older."""
    assert is_outdated(name, ROOT) == (name in OLDER), (
        f"{name} was made by other code (commit {stamp_of(name, ROOT).get('commit', 'unknown')[:10]}): make reference"
    )


@pytest.mark.parametrize("name", shipped.SOURCES)
def test_a_shipped_benchmark_was_made_by_this_code(name):
    """But for those that say that they were not."""
    assert (stamp_of(name, ROOT).get("code") != shipped.digest(name)) == (name in OLDER), (
        f"{name} was made by other code: python -m benchmarks.shipped {name}"
    )


def test_every_notebook_has_a_report_and_every_published_one_is_planned():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {report.notebook for report in REPORTS.values()}
    assert {path.stem for path in SHIPPED_NOTEBOOKS} <= {*REPORTS, *shipped.SOURCES}


def test_every_ablation_of_params_has_a_report():
    shipped = {path.stem for path in (ROOT / "params").glob("*.yaml") if "arms:" in path.read_text("utf-8")}
    assert shipped == {report.files[0] for report in REPORTS.values() if report.files}


def test_the_reports_are_trained_without_leaks_but_for_the_one_that_shows_them():
    for name, report in REPORTS.items():
        given = report.parameters(ROOT)
        synthetic = given.get("data", "bundled") == "bundled" and report.notebook not in ("throughput", "own_circuit")
        assert not synthetic or (given.get("leaks") == []) == (name != "leakage_stress_test"), name


@pytest.fixture
def copy(tmp_path):
    """The sources, to be changed."""
    for name in ("qnb", "notebooks", "params"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def changed(folder, name, old, new):
    path = folder / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


TRAIN = REPORTS["train"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("qnb/training/progress.py", "LAST = 3", "LAST = 4"),
        ("qnb/core/catalyst.py", "\nimport ", "\nX = 1\nimport "),  # imported by its name alone
        ("notebooks/train.ipynb", "lr = 0.05  # learning rate", "lr = 0.06  # learning rate"),
    ],
)
def test_code_and_parameters_count(copy, name, old, new):
    before = code.digest(TRAIN, copy)
    changed(copy, name, old, new)
    assert code.digest(TRAIN, copy) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("qnb/training/progress.py", "LAST = 3  # the last third", "LAST = 3  # a third"),
        ("qnb/training/progress.py", '"""Was training still', '"""Is training still'),
        ("qnb/training/progress.py", "third = len", "# a third\n    third = len"),
        ("qnb/studies/tune.py", "WARM_UP = 5", "WARM_UP = 6"),  # which train.ipynb does not use
        ("qnb/runs/progress.py", "\nimport", "\nX = 1\nimport"),  # which decides no number
    ],
)
def test_comments_docstrings_layout_and_what_is_not_used_do_not(copy, name, old, new):
    before = code.digest(TRAIN, copy)
    changed(copy, name, old, new)
    assert code.digest(TRAIN, copy) == before


def test_parameters_of_files_count_later_ones_over_earlier():
    assert Report("ablation", ("mean_z_vs_readout", "note")).parameters(ROOT)["epochs"] == 5
    assert code.digest(Report("train", values={"seed": 1}), ROOT) != code.digest(Report("train"), ROOT)


@pytest.mark.parametrize("name", REPORTS)
def test_a_notebook_takes_the_parameters_of_its_reports(name):
    report = REPORTS[name]
    prepared = job.prepare(report.notebook, report.parameters(ROOT), ROOT)
    assert prepared.config is not None and set(prepared.parameters) == set(report.parameters(ROOT))
