import shutil

import pytest
from dead_parameters import CIRCUITS, ROOT, labelled

from qnb.probes import throughput


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a small table, and with one that is long enough for the search."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    for name, rows in (("tiny", 300), ("long", 600)):
        frame = labelled(rows)
        frame.to_csv(folder / f"{name}.csv", index=False)
        frame.assign(a=frame["label"] + frame["a"] / 10).to_csv(folder / f"easy_{name}.csv", index=False)
    (folder / "circuits.py").write_text(CIRCUITS)
    return folder


@pytest.fixture
def small(monkeypatch):
    """Throughput at few sizes."""
    grid = throughput.Grid(batches=(4,), wires=(2,), layers=(), rows=4, thread_wires=(2,))
    monkeypatch.setattr(throughput, "QUICK", grid)
    monkeypatch.setattr(throughput, "FULL", throughput.Grid((4, 8), (2,), (), 4, (2,)))
