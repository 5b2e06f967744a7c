"""What a report says of the code, the stack, the data and the parameters that its numbers rest on."""

import os
import re
from pathlib import Path

import nbformat
import pytest

from qnb.config import TrainConfig
from qnb.data.overlap import split_card
from qnb.data.splits import split_table
from qnb.data.table import load_table
from qnb.reporting import tables
from qnb.runs.folder import create
from qnb.stack import versions
from qnb.studies.ablation import AblationConfig

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
COMMIT = "0123456789abcdef"


def told(run):
    return dict(tables.provenance(run).data.itertuples(index=False))


def test_provenance_is_what_the_manifest_holds(tmp_path):
    run = create(tmp_path, "train", TrainConfig(seed=3, split_seed=4))
    run.note(data={"fingerprint": "f" * 64}, git={"commit": COMMIT, "dirty": True, "project": None})
    found = told(run)
    assert found["commit"] == "0123456789ab with changes" and found["data fingerprint"] == "f" * 16
    assert found["hash of the parameters"] == run.config.hash() and found["seeds"] == "data_seed 0, split_seed 4, seed 3"
    assert all(f"{name} {version}" in found["versions"] for name, version in versions().items())
    assert str(tmp_path) not in tables.provenance(run).to_html() and not re.search(
        rf"\b{os.uname().nodename}\b", tables.provenance(run).to_html()
    )


@pytest.mark.parametrize(
    ("git", "words"),
    [
        (None, "not under git"),
        ({"commit": COMMIT, "dirty": False}, "0123456789ab, without changes"),
        ({"commit": COMMIT, "dirty": None}, "0123456789ab, perhaps with changes"),
        ({"commit": None, "dirty": None, "why": "no commit yet"}, "unknown: no commit yet"),
        (
            {"commit": COMMIT, "dirty": False, "project": {"commit": "f" * 40, "dirty": True}},
            "0123456789ab, without changes; notebooks: ffffffffffff with changes",
        ),
    ],
)
def test_the_commit_says_whether_it_is_the_code_that_ran(tmp_path, git, words):
    run = create(tmp_path, "train", TrainConfig())
    run.note(git=git)
    assert told(run)["commit"] == words and told(run)["data fingerprint"] == "no table has a part in this run"


def test_every_distinct_table_of_an_ablation_is_told_and_the_seeds_of_a_model_under_test_are_its_own(tmp_path):
    run = create(tmp_path, "ablation", AblationConfig(seeds=3, resample="split"))
    run.note(data={"fingerprint": "a" * 64}, fingerprints=["a" * 64, "b" * 64, "a" * 64])
    assert told(run)["data fingerprints"] == f"{'a' * 16}, {'b' * 16}" and told(run)["seeds"].endswith("seeds 3")
    run.note(model_under_test={"seed": 7})
    assert "seed 7" in told(run)["seeds"].split(", ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_ends_in_its_provenance(path):
    last = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"][-1]
    assert last.source.splitlines()[-1] in {f"tables.provenance({name})" for name in ("run", "probe", "this_run")}


@pytest.mark.parametrize("split", ["random", "group", "time", "attack"])
def test_the_data_card_says_what_the_data_is_and_how_it_was_split(split):
    config = TrainConfig(sample=6000, split=split)
    table = load_table(config)
    card = split_card(table, split_table(table, config), config)
    shown = tables.data_card(table.card | card).to_html()
    assert card["rule"].split(" (")[0] in shown and "SYNTHETIC" in shown
    assert "test rows that also appear in train" in shown
