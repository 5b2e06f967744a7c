"""The parameter files: each is what its notebook takes, and says what it answers and what it costs."""

import re
from pathlib import Path

import pytest

from qnb.config import TrainConfig
from qnb.runs.parameter_files import read_parameters
from qnb.studies.ablation import AblationConfig

FILES = sorted((Path(__file__).parents[1] / "params").glob("*.yaml"))
ABLATIONS = [path for path in FILES if "arms:" in path.read_text()]
RUNS_OF_THE_NOTE = 6


def header(path):
    return "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_says_how_it_is_run_and_holds_what_that_takes(path):
    command = rf"^#   qnb run (\w+) (?:-f params/focal.yaml )?-f params/{path.name}$"
    notebook = re.search(command, header(path), flags=re.M)[1]
    config = {"train": TrainConfig, "ablation": AblationConfig}[notebook].make(read_parameters(str(path)))
    assert (notebook == "ablation") == (path in ABLATIONS or path.stem == "tables")
    assert config != type(config)(), "it changes nothing"


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda p: p.stem)
def test_an_ablation_asks_a_question_states_its_cost_and_covers_twenty_captures_without_leaks(path):
    config = AblationConfig.make(read_parameters(str(path)))
    assert "?" in header(path).split("\n")[0] and "# Costs: " in header(path) and "{" not in header(path)
    assert f"# Costs: {len(config.plan())} runs of " in header(path)
    assert config.seeds >= (10 if path.stem == "engines" else 20) and config.resample == "capture" and not config.leaks
    assert path.stem in ("engines", "gradient") or {p.config.engine for p in config.plan()} == {"exact"}


def test_the_wrong_gradient_is_asked_for_by_name_and_only_where_it_is_the_question():
    for path in ABLATIONS:
        engines = {p.config.engine for p in AblationConfig.make(read_parameters(str(path))).plan()}
        assert ("one_sample_demo" in engines) == (path.stem == "gradient")


def test_the_grid_of_the_note_has_its_six_runs_and_its_seed_first():
    (path,) = [p for p in ABLATIONS if p.stem.startswith("grid")]
    config = AblationConfig.make(read_parameters(str(path)))
    assert (len(config.arms), config.seed, config.epochs, config.batch, config.sample) == (RUNS_OF_THE_NOTE, 42, 1, 256, 100_000)
