"""The tables of docs/claims.md are those that the published reports give."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from qnb.reports import claims
from qnb.reports.plan import REPORTS

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_tables_of_the_published_reports():
    text = (ROOT / claims.PAGE).read_text("utf-8")
    assert claims.filled(text, ROOT) == text, "make reference writes them"


def test_the_readme_has_the_speed_up_of_the_report():
    (said,) = re.findall(r"a speed-up of (\d+)", (ROOT / "executed" / "reference" / "throughput.json").read_text("utf-8"))
    assert f"to {said} (4,096; [throughput]" in (ROOT / "README.md").read_text("utf-8")


def test_every_ablation_report_is_quoted_and_every_claim_its_reports():
    marked = {match[2] for match in claims.MARKED.finditer((ROOT / claims.PAGE).read_text("utf-8"))}
    assert {name for name, report in REPORTS.items() if report.notebook == "ablation"} <= marked
    assert marked <= {*REPORTS, claims.CLAIMS}
    for claim in claims.VERDICTS:
        for name in claim.reports:
            assert claim.arm in REPORTS[name].parameters(ROOT)["arms"], (claim.said, name)


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        (("worse",), "worse", "holds"),
        (("worse",), "equivalent", "not seen"),
        (("worse",), "better", "reversed"),
        (("worse",), "undecided", "open"),
        (("equivalent", "worse"), "equivalent", "holds"),
        (("equivalent", "worse"), "worse", "holds"),  # what does not improve may cost
        (("equivalent", "worse"), "better", "reversed"),
        (("equivalent", "worse"), "identical", "open"),
    ],
)
def test_a_verdict_follows_the_decision(expected, found, said):
    assert claims.verdict(expected, found) == said


def published(root, several):
    folder = root / "executed" / "reference"
    folder.mkdir(parents=True)
    d = {"decision": "worse", "mean": -0.02, "interval": [-0.03, -0.01], "nadeau_bengio": None, "n": 3}
    metrics = {
        "comparison": {"reference": "a", "seeds": 3, "differences": {"gamma_2": d}},
        "arms": {"a": {"still_improving": 0}, "gamma_2": {"still_improving": 2}},
    }
    if several:
        one = {"decision": "worse", "difference": -0.02, "low": -0.03, "high": -0.01, "n": 3}
        other = {"decision": "equivalent", "difference": 0.001, "low": -0.002, "high": 0.003, "n": 3}
        metrics["tables"] = {"as configured": {"gamma_2": one}, "wine": {"gamma_2": other}, "overall": {"gamma_2": other}}
    (folder / "ablation_focal.json").write_text(json.dumps(metrics))
    rows = [("x", arm, epoch) for arm, epoch in (("a", 5), ("a", 6), ("gamma_2", 1), ("gamma_2", 3))]
    frame = pd.DataFrame(rows + [("y", "a", 99)], columns=["table", "arm", "best_epoch"])
    (frame if several else frame[:4].drop(columns="table")).to_csv(folder / "ablation_focal.csv", index=False)


@pytest.mark.parametrize("several", [False, True])
def test_a_table_says_effect_interval_and_decision(tmp_path, several):
    published(tmp_path, several)
    text = claims.filled("before\n<!-- from ablation_focal -->\nold\n<!-- end -->\nafter", tmp_path)
    assert "old" not in text and text.startswith("before\n") and text.endswith("\nafter")
    assert "| as configured | -0.0200 [-0.0300, -0.0100] worse |" in text
    assert ("| overall | +0.0010 [-0.0020, +0.0030] equivalent |" in text) == several
    assert "Best epoch, median and range: `a` 6 (5 to 6); `gamma_2` 2 (1 to 3), 2 still improving." in text
    row = next(line for line in claims.claims_table(tmp_path).splitlines() if "`ablation_focal`" in line)
    assert row.endswith("| **not seen** (holds on 1, not seen on 1) |" if several else "| **holds** (holds on 1) |")


def cells(**bounds):
    return {table: {"arm": {"low": low, "high": high}} for table, (low, high) in bounds.items()}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (cells(a=(0.1, 0.2)), ""),
        (cells(a=(0.1, 0.2), b=(-0.1, 0.2)), "No arm's interval is above 0 on one table and below on another."),
        (cells(a=(0.1, 0.2), b=(-0.2, -0.1), c=(None, None)), "Signs change with the table: `arm` is above 0 on a, below on b."),
        (cells(a=(0.1, 0.2), overall=(-0.2, -0.1)), ""),
    ],
)
def test_what_changes_its_sign_with_the_table_is_said(found, said):
    assert claims._signs(found) == said


def test_of_any_other_report_the_conclusion_is_quoted(tmp_path):
    folder = tmp_path / "executed" / "reference"
    folder.mkdir(parents=True)
    (folder / "throughput.json").write_text(json.dumps({"conclusion": ["Is z_vec <Z_i>?: no. It is not.", "Two."]}))
    assert claims.quoted("throughput", tmp_path) == "- Is z\\_vec \\<Z\\_i>?: no. It is not.\n- Two.\n"


def test_a_report_that_is_not_there_is_said(tmp_path):
    assert claims.quoted("ablation_focal", tmp_path) == "(`ablation_focal` has not been run.)\n"
    assert claims.claims_table(tmp_path) == "(No report has been run.)\n"


def test_a_quotation_says_that_its_report_was_made_by_earlier_code(monkeypatch, tmp_path):
    (tmp_path / claims.SHIPPED).mkdir(parents=True)
    (tmp_path / claims.SHIPPED / "train.json").write_text('{"conclusion": "One."}')
    assert claims.quoted("train", tmp_path) == "- One.\n"
    monkeypatch.setattr(claims, "OLDER", ("train",))
    assert claims.quoted("train", tmp_path) == "(Made by earlier code, commit unknown; not run on this code.)\n\n- One.\n"
