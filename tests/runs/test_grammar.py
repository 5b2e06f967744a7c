"""qnb's own processes do not build the grammar that jsonschema would build at its import; a user's process keeps it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qnb.runs.grammar import GRAMMAR

ROOT = str(Path(__file__).parents[2])
ORDER = {"own": {}, "root": ROOT, "runs": [{"arm": "one", "hash": "", "parameters": {"nonsense": 1}}]}
PROCESSES = {
    "qnb run": ["-c", f"from qnb.cli import main; main(['run', 'train', '-p', 'nonsense', '1', '--root', {ROOT!r}])"],
    "a run of a sweep": ["-m", "qnb.studies.sweep.process", json.dumps(ORDER | {"resume": None})],
    "runs of a sweep that train together": ["-m", "qnb.studies.sweep.process", json.dumps(ORDER | {"together": True})],
}
VALID = "from nbformat import validate, v4; validate(v4.new_notebook(cells=[v4.new_code_cell('1')]))"


@pytest.mark.parametrize("arguments", PROCESSES.values(), ids=PROCESSES)
def test_it_is_not_built(arguments, tmp_path):
    here, there = os.pipe()  # an open stdin: that of a run is closed when its worker has ended
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], stdin=here, capture_output=True, text=True, cwd=tmp_path
    )
    os.close(here), os.close(there)
    assert "Unknown parameter 'nonsense'" in done.stderr and "Traceback" not in done.stderr
    assert " nbformat\n" in done.stderr and f" {GRAMMAR}.utils\n" not in done.stderr


def test_notebooks_are_validated_without_it():
    program = f"from qnb.runs import grammar; grammar.leave_out(); import qnb.runs.headless; {VALID}"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_users_process_keeps_it():
    subprocess.run([sys.executable, "-c", f"import qnb.runs.headless, {GRAMMAR}"], check=True)
