"""What a probe examines of a run is what the run wrote."""

import pytest

from qnb.config import TrainConfig
from qnb.probes.subject import finished_run
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError
from qnb.training.train import train

SMALL = {"data": "breast_cancer", "engine": "exact", "wires": 2, "layers": 1, "batch": 32, "epochs": 2, "fixed_num_batches": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir(), (root / "pyproject.toml").write_text("")
    run = create(root, "train", config := TrainConfig(**SMALL))
    result = train(config, folder=run.folder, progress=False)
    result.save(run.folder / "model")
    run.finish(result.metrics)
    return root, run


@pytest.mark.parametrize("name", ["model/model.npz", "model/model.json", "history.csv", "metrics.json"])
def test_a_file_that_the_run_did_not_write_is_refused_by_name(trained, name):
    root, run = trained
    path = run.folder / name
    assert finished_run(run.id, root).metrics["test_auc"] == run.metrics()["test_auc"]
    kept = path.read_bytes()
    path.write_bytes(kept + (b"\0" if name.endswith("npz") else b"\n"))
    try:
        with pytest.raises(RunError, match=f"{name.rpartition('/')[2]} is not the file that "):
            finished_run(run.id, root)
    finally:
        path.write_bytes(kept)


def test_metrics_that_the_run_did_not_write_are_not_listed_as_its_own(trained):
    root, run = trained
    assert [entry["status"] for entry in list_runs(root)] == ["done"]
    path = run.folder / "metrics.json"
    kept = path.read_bytes()
    path.write_bytes(kept + b"\n")
    (entry,) = list_runs(root)
    path.write_bytes(kept)
    assert (entry["status"], entry["why"]) == ("broken", "metrics.json is not the file that the run wrote")
