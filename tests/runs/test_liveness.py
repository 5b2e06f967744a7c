"""Whether a run is alive, with file locks and on file systems that have none."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from qnb.config import TrainConfig
from qnb.runs import liveness
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.runs.liveness import is_live
from qnb.runs.project import RunError

ONE = {"status": "running", "why": None}


def only(root):
    (entry,) = list_runs(root)
    return {name: entry[name] for name in ("status", "why")}


def test_a_lock_is_seen_while_it_is_held_and_by_several_readers(root):
    run = create(root, "train", TrainConfig())
    assert is_live(run.folder) and only(root) == ONE
    run.unlock()
    with open(run.folder / ".lock", "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert not is_live(run.folder)


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    def refuses(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(liveness.fcntl, "flock", refuses)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_process_is_looked_for_and_that_is_said(root):
    run = create(root, "train", TrainConfig())
    found = only(root)
    assert found["status"] == "running" and f"judged by process {os.getpid()} on" in found["why"]
    run.close("done")
    assert only(root) == {"status": "done", "why": None}


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"start": 1.0}, "killed", "judged by process"),  # the number is that of a later process
        ({"pid": 2**22 + 1}, "killed", "judged by process"),
        ({"host": "elsewhere"}, "running", "cannot be seen from here"),
        (None, "killed", "names no process"),
    ],
)
def test_without_locks_a_run_whose_process_is_gone_is_killed(root, change, status, words):
    run = create(root, "train", TrainConfig())
    lock = run.folder / ".lock"
    lock.write_text("" if change is None else json.dumps(json.loads(lock.read_text()) | change))
    assert only(root)["status"] == status and words in only(root)["why"]


def test_a_process_that_was_killed_without_locks_is_not_running(root):
    """The whole of it, in a process of its own that is killed."""
    code = (
        "import errno, os, signal, sys\nfrom pathlib import Path\nfrom qnb.config import TrainConfig\nfrom qnb.runs import liveness\n"
        "from qnb.runs.folder import create\n"
        "def refuses(*_): raise OSError(errno.ENOSYS, 'no')\n"
        "liveness.fcntl.flock = refuses\ncreate(Path(sys.argv[1]), 'train', TrainConfig())\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liveness.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no")))
        assert only(root)["status"] == "killed"


def test_a_folder_whose_lock_cannot_be_taken_is_not_left_behind(root, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(liveness.fcntl, "flock", refuses)
    with pytest.raises(RunError, match="Input/output error"):
        create(root, "train", TrainConfig())
    assert list((root / "executed" / "train").iterdir()) == []
