"""Faults caused for real: a death in the middle of a checkpoint, a disk that is full, a folder that cannot be written.

The other faults have their tests beside what they hit: kill -9 in the middle of an epoch (test_train_notebook), of a sweep and of a
worker (test_sweep), of a kernel, out of memory, Ctrl-C, two runs at once (test_headless), a clock that jumps and a folder half
deleted (test_runs).
"""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.training import checkpoint
from qnb.training.state import start

FIXTURES = Path(__file__).parents[1] / "fixtures"
BIN = Path(sys.executable).parent
CONFIG = TrainConfig(
    data="breast_cancer", engine="exact", wires=2, layers=1, batch=32, epochs=4, fixed_num_batches=3, gate="off", seed=5
)

# Trains in a process of its own. With an epoch named, the process dies (SIGKILL) while that epoch's checkpoint is written:
# halfway through its bytes, or with all of them flushed and the rename still to come.
TRAINS = """
import builtins, os, signal, sys, types
from pathlib import Path
import qnb.files
from qnb.config import TrainConfig
from qnb.training.train import train

folder, config, epoch, moment, resume = sys.argv[1:]
written = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Half:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        die()

def opened(path, *rest):
    global written
    file = builtins.open(path, *rest)
    if "checkpoint" in str(path):
        written += 1
        if written == int(epoch) and moment == "half written":
            return Half(file)
    return file

def replace(source, target):
    if written == int(epoch) and moment == "before the rename" and "checkpoint" in str(target):
        die()
    os.rename(source, target)

qnb.files.open, qnb.files.os = opened, types.SimpleNamespace(**vars(os) | {"replace": replace})
result = train(TrainConfig.model_validate_json(config), folder=Path(folder), resume_from=resume or None, progress=False)
result.save(Path(folder) / "model")
"""


def trained(folder, epoch=0, moment="", resume=""):
    """The exit code of a training in `folder`."""
    folder.mkdir()
    command = [sys.executable, "-c", TRAINS, folder, CONFIG.model_dump_json(), epoch, moment, resume]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True).returncode


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["half written", "before the rename"])
def test_killed_in_the_middle_of_a_checkpoint_the_one_before_is_whole_and_resumes_bit_for_bit(moment, tmp_path):
    assert trained(tmp_path / "cut", 3, moment) == -signal.SIGKILL
    (left,) = (tmp_path / "cut").glob(".checkpoint.npz.*.tmp")  # what it was writing; never taken for a checkpoint
    whole = left.stat().st_size
    state = checkpoint.load(tmp_path / "cut", start(CONFIG, prepare(CONFIG)).state, CONFIG.hash())
    assert state.epoch == 2 and len(state.history) == 2
    assert (whole < (tmp_path / "cut" / "checkpoint.npz").stat().st_size * 0.75) == (moment == "half written")
    assert trained(tmp_path / "again", resume=tmp_path / "cut") == 0 and trained(tmp_path / "straight") == 0
    again, straight = (dict(np.load(tmp_path / name / "model" / "model.npz")) for name in ("again", "straight"))
    assert again.keys() == straight.keys()
    for name in again:
        np.testing.assert_array_equal(again[name], straight[name])


# --- a disk of 1 MiB that fills up, in a mount namespace of its own

FULL = """
set -e
mount -t tmpfs -o size=1m tmpfs executed
run() { "$QNB" run "$@" --root . >> log 2>&1 && echo 0 >> codes || echo $? >> codes; }
run ok -p seed 1
cp -r executed/ok before
free=$(df --output=avail -k executed | tail -1)
for left in 0 12 24 48 96; do
  dd if=/dev/zero of=executed/filler bs=1k count=$((free - left)) 2> /dev/null
  run ok -p seed $((100 + left))
  rm executed/filler
  free=$(df --output=avail -k executed | tail -1)
done
run ok -p seed 2
cp -r executed after
"$QNB" runs --json --root . > runs.json
"""


def can_mount():
    """Whether this machine lets us mount a disk of our own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0


@pytest.fixture
def project(tmp_path):
    shutil.copytree(FIXTURES, tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    (tmp_path / "executed").mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs user namespaces that may mount a tmpfs (unshare -rm)")
def test_a_disk_that_fills_up_costs_the_run_that_filled_it_and_no_other(project):
    subprocess.run(
        ["unshare", "-rm", "sh", "-c", FULL], cwd=project, env={"QNB": str(BIN / "qnb"), "PATH": "/usr/bin:/bin"}, check=True
    )
    log, codes = (project / "log").read_text(), (project / "codes").read_text().split()
    assert codes[0] == codes[-1] == "0", log
    assert set(codes[1:-1]) <= {"1", "2"} and codes[1] == "2", codes  # the first had no room for a folder
    assert log.count("No space left on device") >= len(codes) - 2 and "Traceback" not in log, log
    entries = {e["seed"]: e for e in json.loads((project / "runs.json").read_text()) if e.get("seed") is not None}
    assert entries[1]["status"] == entries[2]["status"] == "done"
    assert {e["status"] for seed, e in entries.items() if seed > 2} <= {"failed", "killed", "broken"}
    for path in (project / "before").rglob("*"):  # the run that was there is as it was
        kept = project / "after" / "ok" / path.relative_to(project / "before")
        assert path.is_dir() or kept.read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs user namespaces that may mount a tmpfs (unshare -rm)")
def test_executed_that_is_read_only_is_refused_and_can_still_be_listed(project):
    script = 'run() { "$QNB" run ok --root . ; echo $?; }; run && mount --bind executed executed && mount -o remount,bind,ro executed && run && "$QNB" runs --root .'
    env = {"QNB": str(BIN / "qnb"), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=project, env=env, capture_output=True, text=True)
    assert "Read-only file system" in ended.stderr and "Traceback" not in ended.stderr, ended.stderr
    lines = ended.stdout.splitlines()
    assert "2" in lines and lines.index("0") < lines.index("2")
    assert "done" in ended.stdout.split("2\n", 1)[1]
