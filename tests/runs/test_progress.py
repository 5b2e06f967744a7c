"""Progress bars in a log file: a state every ten seconds and the last, nothing else lost."""

import io
import os
from pathlib import Path

import pytest

from qnb.runs import progress
from qnb.runs.progress import shown_on


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(monkeypatch, pieces, seconds_between):
    clock = iter(range(0, 10**9, seconds_between))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    file = io.StringIO()
    with shown_on(file) as log:
        for piece in pieces:
            assert log.write(piece) == len(piece)
    assert not file.closed
    return file.getvalue()


BAR = [f"\repoch {k}" for k in range(1, 41)]


def test_a_log_file_has_a_state_every_ten_seconds_and_the_last(monkeypatch):
    lines = written(monkeypatch, [*BAR, "\n"], 1).splitlines()
    assert lines[-1] == "epoch 40" and 4 <= len(lines) <= 6
    assert all(line in {piece.strip() for piece in BAR} for line in lines)


def test_a_bar_that_nobody_ended_leaves_its_last_state(monkeypatch):
    assert written(monkeypatch, BAR, 1).endswith("epoch 40\n")


@pytest.mark.parametrize("pieces", [["a\nb\n"], ["a", "\n", "b\n"], ["a\nb"]])
def test_lines_are_kept_whole_however_they_come(monkeypatch, pieces):
    assert written(monkeypatch, pieces, 1) == "a\nb\n"


def test_empty_lines_are_kept(monkeypatch):
    assert written(monkeypatch, ["a\n\nb\n"], 1) == "a\n\nb\n"


def test_a_terminal_shows_everything_as_it_comes():
    with shown_on(Terminal()) as log:
        log.write("\repoch 1\repoch 2")
    assert log.getvalue() == "\repoch 1\repoch 2"


def test_a_run_goes_on_when_nobody_reads_its_progress(tmp_path):
    reading, writing = os.pipe()
    with open(writing, "w") as stream, shown_on(stream) as shown:
        print("epoch 1", file=shown, flush=True)
        os.close(reading)
        for epoch in range(2, 5):
            print(f"epoch {epoch}", file=shown, flush=True)
    full = Path("/dev/full")
    if full.exists():
        with open(full, "w") as stream, shown_on(stream) as shown:
            print("no room", file=shown, flush=True)
