"""Sweeps for real: schedulers, workers and kernels as processes; what is left when any of them ends, and that nothing is run twice."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import dask
import nbformat
import pandas as pd
import psutil
import pytest

from qnb import cli
from qnb.config import TrainConfig
from qnb.data.table import load_table
from qnb.runs.folder import create
from qnb.runs.listing import list_runs
from qnb.runs.project import RunError
from qnb.studies import ablation
from qnb.studies.sweep import cluster, dispatch, estimate, worker
from qnb.studies.sweep.arms import SweepConfig
from qnb.studies.sweep.folder import load_sweep, require_one_table, summary
from qnb.studies.sweep.plan import changes, plan_sweep
from qnb.training.train import train

distributed = pytest.importorskip("distributed", reason="sweeps need Dask (distributed)")
BIN = Path(sys.executable).parent

# A train notebook that takes a moment instead of training. z0 fails. The first seed of
# z_vec, and five layers, take ten minutes, a moment when they are resumed.
CELLS = (
    "# Parameters of train.ipynb\n"
    "seed = 0\nepochs = 8\nengine = 'catalyst'\nmeasurement = 'mean_z_readout'\nlayers = 3\n"
    "fixed_num_batches = None\nlr = 0.05\n",
    "from qnb import config\nfrom qnb.runs.kernel import begin\nrun = begin('train', config.TrainConfig)\nconfig = run.config",
    "import os, time\n"
    "if config.measurement == 'z0':\n    raise ValueError('z0 fails')\n"
    "run.note(pid=os.getpid(), threads=os.environ['NPROC'], data={'sides': {'train': {'rows': 1000}, 'val': {'rows': 200}}})\n"
    "run.write_text('checkpoint.npz', '')\n"
    "run.write_text('history.csv', 'epoch,seconds\\n1,0.5\\n')\n"
    "waits = config.layers == 5 or config.measurement == 'z_vec' and config.seed == 0\n"
    "time.sleep(600 if waits and run.resume_from is None else 0.1)",
    "run.finish({'test_auc': 0.5 + config.seed / 100, 'val_auc': 0.5, 'degen': 1, 'synthetic': True})",
)
GOOD = {"one": {"layers": 1}, "two": {"layers": 2}}
ONE_FAILS = {"good": {"layers": 1}, "bad": {"measurement": "z0"}}
BOTH_WAIT = {"slow": {"measurement": "z_vec"}, "slow_too": {"measurement": "z_vec", "layers": 2}}
SEEDS_WAIT = {"quick": {"layers": 1}, "slow": {"measurement": "z_vec", "layers": 5}}
ONE_WAITS = {"quick": {"layers": 1}, "slow": {"measurement": "z_vec"}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project {x}"))


@pytest.fixture
def root(tmp_path):
    return make_project(tmp_path)


def make_project(folder):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "qnb": {"config": "qnb.config:TrainConfig"},
    }
    (folder / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "notebooks" / "train.ipynb")
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    return folder


def asked(root, arms, name="arms.yaml", **values):
    (root / name).write_text(json.dumps({"arms": arms, "seeds": 2} | values))  # JSON is YAML
    return str(root / name)


def start(root, *arguments):
    command = [str(BIN / "qnb"), "sweep", *arguments, "--root", str(root)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, preexec_fn=hear_sigint, start_new_session=True, **pipes)


def hear_sigint():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when the tests are a shell's background job


def run(root, *arguments, code=0):
    process = start(root, *arguments)
    stdout, stderr = process.communicate(timeout=900)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    return stdout, stderr


def until(found, seconds=300):
    """The first true value of `found()`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def trains(root, **wanted):
    return [r for r in list_runs(root) if r["notebook"] == "train" and all(r.get(k) == v for k, v in wanted.items())]


def sweeps(root):
    return [r for r in list_runs(root) if r["notebook"] == "sweep"]


def sleeping(root, count=1):
    """The runs that are asleep in their notebook, once there are so many."""
    found = [r for r in trains(root, status="running") if r.get("pid") and r["parameters"]["measurement"] == "z_vec"]
    return found if len(found) == count else None


def gone(processes):
    alive = psutil.wait_procs(processes, timeout=15)[1]
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def family(pid, *kernels):
    return [*psutil.Process(pid).children(recursive=True), *(psutil.Process(k) for k in kernels)]


# --- refused before anything starts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.yaml"], "Cannot read the parameters file nope.yaml"),
        (["arms.yaml", "-p", "sed", "3"], "Unknown parameter 'sed' for SweepConfig. Did you mean 'seed'?"),
        (["arms.yaml", "-p", "lr", "-1"], "Parameter lr = -1"),
        (["arms.yaml", "-p", "angle_range", "pm_pi"], "Unknown parameter 'angle_range' for train.ipynb"),  # not in this notebook
        (["arms.yaml", "--workers", "0"], "--workers"),
        (["arms.yaml", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "give one of the two"),
        (["arms.yaml", "--scheduler", "tcp://127.0.0.1:1"], "No Dask scheduler with workers at tcp://127.0.0.1:1"),
        (["arms.yaml", "--scheduler", "nonsense"], "No Dask scheduler with workers at nonsense"),
        (["arms.yaml", "--resume"], "No sweep yet."),
        (["arms.yaml", "--resume", "2026"], "No sweep '2026'"),
        (["--resume", "arms.yaml"], "Missing argument 'FILE'"),
        (["arms.yaml", "--root", "/nowhere"], "expected a folder with notebooks/"),
    ],
)
def test_refused_before_the_start_with_one_message(root, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(cluster, "CONNECT", 1)
    monkeypatch.chdir(root)
    asked(root, GOOD)
    assert cli.main(["sweep", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err and out == ""
    assert not list_runs(root)


def test_a_sweep_is_resumed_as_it_was_planned(root):
    values = {"arms": GOOD, "seeds": 2}
    ended = create(root, "sweep", SweepConfig(**values))
    assert "still running" in refusal(root, values, ended.id)
    assert "still running" in refusal(root, values, "last")
    ended.close("failed")
    assert plan_sweep(values, root, "last").resumed == plan_sweep(values, root, ended.id[:8]).resumed == ended.id
    for path in (f"executed/sweep/{ended.id}", str(ended.folder / "manifest.json")):
        assert plan_sweep(values, root, path).resumed == ended.id
    assert "seeds (there 2, here 3)" in refusal(root, values | {"seeds": 3}, ended.id)
    assert "No sweep of this configuration" in refusal(root, values | {"seeds": 3}, "last")
    later = create(root, "sweep", SweepConfig(**values), resumed_from=ended.id)
    later.close("failed")
    assert f"--resume {later.id}" in refusal(root, values, ended.id)
    assert plan_sweep(values, root, "last").resumed == later.id


def refusal(root, values, resume):
    with pytest.raises(RunError) as error:
        plan_sweep(values, root, resume)
    return str(error.value)


def test_of_several_attempts_the_finished_one_counts(root):
    config = SweepConfig(arms=GOOD, seeds=2)
    first = create(root, "sweep", config)
    one = config.plan()[0].config

    def attempt(sweep, status, auc=None):
        made = create(root, "train", one, sweep=sweep.id, arm="one")
        if auc is not None:
            made.write_json("metrics.json", {"test_auc": auc})
        made.close(status)
        return made.id

    attempt(first, "failed")
    done = attempt(first, "done", 0.75)
    second = create(root, "sweep", config, resumed_from=first.id)
    attempt(second, "interrupted")
    attempt(create(root, "sweep", config), "done", 0.25)  # of a sweep that has nothing to do with these two
    row, *others = load_sweep(root, second.id).rows
    assert (row["arm"], row["seed"], row["run_id"], row["status"], row["test_auc"]) == ("one", 0, done, "done", 0.75)
    assert [r["status"] for r in others] == ["not run"] * 3 and others[0]["folder"] is None
    second.unlock()
    assert [p.arm for p in plan_sweep({"arms": GOOD, "seeds": 2}, root, second.id).todo] == ["two", "one", "two"]


def swept(root, runs, config=None, status="failed"):
    """A sweep whose first runs are done, with these entries in their manifests; its id."""
    config = config or SweepConfig(arms=GOOD, seeds=2)
    sweep = create(root, "sweep", config)
    for planned, entries in zip(config.plan(), runs, strict=False):
        one = create(root, "train", planned.config, sweep=sweep.id, arm=planned.arm)
        one.note(**entries)
        one.close("done")
    sweep.close(status)
    return sweep.id


def test_runs_of_other_code_are_told(root):
    commit = {"commit": "0" * 40, "dirty": False}
    sweep = swept(root, [{}, {"git": commit}, {"versions": {"optax": "0.2.7"}}])
    found = changes(plan_sweep({"arms": GOOD, "seeds": 2}, root, sweep))
    assert found[0].startswith("1 of the 3 runs that are done were made with other code: commit 000000000000 there, ")
    assert found[1].startswith("1 of the 3 runs that are done were made with other code: ") and "optax 0.2.7 there" in found[1]
    assert changes(plan_sweep({"arms": GOOD, "seeds": 2}, root)) == []
    told = summary(load_sweep(root, sweep))
    assert "1 of the 3 runs were made by other code than" in told and "000000000000 here" in told


def test_runs_on_different_tables_are_not_compared(root):
    first, second = ({"data": {"fingerprint": letter * 64}} for letter in "ab")
    sweep = swept(root, [first, second], status="done")
    message = "one, seed 0 .*: aaaaaaaaaaaaaaaa; two, seed 0 .*: bbbbbbbbbbbbbbbb"
    with pytest.raises(RunError, match=message):
        ablation.from_sweep(load_sweep(root, sweep).config, sweep, root)
    with pytest.raises(RunError, match=message):
        plan_sweep({"arms": GOOD, "seeds": 2}, root, sweep)


def test_each_split_seed_has_a_table_of_its_own(root):
    config = SweepConfig(arms=GOOD, seeds=2, resample="split")
    tables = [{"data": {"fingerprint": letter * 64}} for letter in "aabb"]
    require_one_table(load_sweep(root, swept(root, tables, config)))


def test_a_sweep_is_not_resumed_on_another_table(root):
    shutil.copy(Path(__file__).parents[2] / "notebooks" / "train.ipynb", root / "notebooks")
    csv_file = root / "table.csv"
    values = {"arms": GOOD, "seeds": 2, "data": str(csv_file), "label": "label", "batch": 8}
    rows = "".join(f"{i},{(i * i) % 7},{i % 2}\n" for i in range(200))
    csv_file.write_text("a,b,label\n" + rows)
    config = SweepConfig(**values)
    done = {"data": {"fingerprint": load_table(config).card["fingerprint"]}}
    sweep = swept(root, [done], config)
    assert plan_sweep(values, root, sweep).resumed == sweep
    csv_file.write_text("a,b,label\n" + rows + "1,2,1\n")
    assert f"{csv_file} has changed since sweep {sweep}" in refusal(root, values, sweep)


# --- what is waited for has an end


@pytest.fixture
def mute():
    """Address of a port that takes connections and says nothing, as that of a dashboard does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_that_is_no_scheduler_is_given_up(root, monkeypatch, capsys, mute):
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    assert cli.main(["sweep", asked(root, GOOD), "--scheduler", mute, "--root", str(root)]) == 2
    err = capsys.readouterr().err
    assert f"No Dask scheduler with workers at {mute}: waited 2.5 s for its handshake." in err and "dashboard" in err
    assert not list_runs(root)


def test_workers_that_cannot_be_started_are_one_message(root, capsys):
    (root / "in the way").write_text("")
    with dask.config.set(temporary_directory=str(root / "in the way" / "x")):
        assert cli.main(["sweep", asked(root, GOOD), "--root", str(root)]) == 2
    err = capsys.readouterr().err
    assert "Cannot start 2 workers on this machine" in err and "Not a directory" in err and "Traceback" not in err
    assert not list_runs(root)


def test_a_worker_that_does_not_answer_is_not_used(monkeypatch):
    class Stuck:
        def run(self, *_, **__):
            time.sleep(5)

    monkeypatch.setattr(cluster, "ANSWER", 0.1)
    (found,) = cluster.describe(Stuck(), ["tcp://w"], Path()).values()
    assert cluster.unfit(found, Path()) == "waited 0.1 s for an answer of 1 worker."


def test_a_sweep_without_workers_ends(root, monkeypatch):
    plan = plan_sweep({"arms": GOOD, "seeds": 2}, root)
    crew = dispatch._Crew(plan, create(root, "sweep", plan.config), None, io.StringIO())
    monkeypatch.setattr(dispatch, "addresses_of", lambda client: [])
    monkeypatch.setattr(dispatch, "NO_WORKER", 0)
    failure = crew.work(SimpleNamespace(armed=False))
    assert failure["message"] == "the Dask cluster was lost: waited 0 s for a worker"


def test_a_run_in_the_hands_of_another_worker_is_not_waited_for_without_end(root, monkeypatch):
    config = SweepConfig(arms=GOOD, seeds=2)
    one = config.plan()[0].config
    made = create(root, "train", one, sweep="s", arm="one")
    monkeypatch.setattr(worker, "IN_HAND", 0)
    (said,) = worker.run_one({"root": str(root), "sweep": "s", "sweeps": ["s"], "runs": [{"hash": one.hash()}]})
    assert (said["status"], said["why"]) == ("failed", f"waited 0 s for {made.id}, which is running elsewhere")


# --- a sweep from start to end


@pytest.fixture(scope="module")
def finished(project):
    stdout, stderr = run(project, asked(project, ONE_FAILS), "-p", "epochs", "5", "--workers", "2", code=1)
    return load_sweep(project, sweeps(project)[-1]["run_id"]), stdout, stderr


def test_a_failing_run_is_recorded_with_its_notebook_and_the_sweep_goes_on(finished, project):
    sweep, stdout, stderr = finished
    assert [(r["arm"], r["seed"], r["status"]) for r in sweep.rows] == [
        ("good", 0, "done"), ("bad", 0, "failed"), ("good", 1, "done"), ("bad", 1, "failed"),
    ]  # fmt: skip
    assert all((row["folder"] / "notebook.ipynb").exists() for row in sweep.rows)
    assert all("z0 fails" in row["why"] for row in sweep.rows if row["arm"] == "bad")
    assert sweep.status == "failed" and sweeps(project)[0]["why"] == "error: 2 of 4 runs are not done"
    assert "good  2 of 2  0.5050 ± 0.0071" in stdout and "SYNTHETIC" in stdout
    assert "4/4" in stderr and "2 failed" in stderr


def test_what_was_run_is_what_was_planned(finished, project):
    sweep, _, _ = finished
    planned = {p.config.hash(): p for p in sweep.config.plan()}
    assert len(trains(project, sweep=sweep.id)) == len(planned) == 4
    for run in trains(project, sweep=sweep.id):
        one = planned[run["hash"]]
        assert TrainConfig(**run["parameters"]) == one.config and one.config.epochs == 5
        assert (run["arm"], run["seed"]) == (one.arm, one.seed)


def test_the_table_of_runs_is_that_of_the_sweep(finished):
    sweep, _, _ = finished
    with open(sweep.folder / "runs.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["run_id"] for row in table] == [row["run_id"] for row in sweep.rows]
    assert [row["test_auc"] for row in table] == ["0.5", "", "0.51", ""]


def test_two_workers_share_the_cores(finished, project):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert {run["threads"] for run in trains(project) if "threads" in run} == {str(max(1, cores // 2))}


def test_a_dry_run_says_what_would_run_and_for_how_long_and_leaves_nothing(finished, project):
    before = len(list_runs(project))
    stdout, _ = run(project, asked(project, GOOD), "-p", "epochs", "5", "--dry-run", "--workers", "2")
    assert "4 runs: 2 arms x 2 seeds" in stdout and stdout.count("to do") == 4
    assert "one: " in stdout and "as the one run" not in stdout and "the median of 2 finished runs of that shape" in stdout
    assert "two: unknown, no run of that shape has finished" in stdout and "Estimate: unknown for 4 runs" in stdout
    assert len(list_runs(project)) == before


def test_a_dry_run_of_a_resumed_sweep_says_what_is_done(finished, project):
    sweep, _, _ = finished
    plan = plan_sweep(json.loads(Path(asked(project, ONE_FAILS)).read_text()) | {"epochs": 5}, project, sweep.id)
    known = {estimate.shape(p.config): [10.0] for p in plan.todo}
    text = estimate.describe(plan, 2, known)
    assert f"2 are done in sweep {sweep.id}" in text
    assert re.findall(r"^(good|bad) +(\d) +\w{10}  (done|to do)", text, re.M) == [
        ("good", "0", "done"), ("bad", "0", "to do"), ("good", "1", "done"), ("bad", "1", "to do"),
    ]  # fmt: skip
    assert "Estimate: 10 s for 2 runs on 2 workers." in text and "as the one run of that shape" in text


def test_runs_go_to_the_worker_that_is_first_free():
    assert estimate.makespan([3, 2, 2, 2], 2) == 5 and estimate.makespan([1.0], 4) == 1
    assert [estimate.duration(s) for s in (59.4, 200, 7500)] == ["59 s", "3 min 20 s", "2 h 5 min"]


def test_what_does_not_cost_time_is_not_part_of_the_shape():
    base = TrainConfig()
    assert estimate.shape(base) == estimate.shape(TrainConfig(seed=3, lr=0.1, lr_schedule="cosine", focal_gamma=2.0))
    for change in ({"layers": 2}, {"batch": 32}, {"engine": "exact"}, {"sample": 100}, {"reupload": True}):
        assert estimate.shape(base) != estimate.shape(TrainConfig(**change))


# --- stopped, killed, resumed


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_nothing_running_and_is_resumed_without_doing_anything_twice(root):
    file = asked(root, ONE_WAITS)
    process = start(root, file, "--workers", "2")
    (asleep,) = until(lambda: trains(root, status="done") and sleeping(root))
    everyone = family(process.pid, asleep["pid"])
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it as well
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert gone(everyone)
    assert sweeps(root)[0]["status"] == "interrupted"
    assert {r["status"] for r in trains(root)} == {"done", "interrupted"}
    done = {r["run_id"] for r in trains(root, status="done")}
    stdout, _ = run(root, file, "--workers", "2", "--resume")
    assert "report  qnb run ablation -p sweep" in stdout
    sweep = load_sweep(root, sweeps(root)[-1]["run_id"])
    assert sweep.status == "done" and not sweep.missing
    assert done <= {row["run_id"] for row in sweep.rows}
    assert len(trains(root, status="done")) == 4
    resumed = {r["resumed_from"] for r in trains(root, status="done")} - {None}
    assert asleep["run_id"] in resumed
    stdout, stderr = run(root, file, "--resume")  # there is nothing left
    assert "every run is done" in stderr and len(sweeps(root)) == 2


def worker_of(kernel):
    """The Dask worker above the process above the kernel."""
    return psutil.Process(kernel).parent().parent()


@pytest.mark.slow
def test_the_run_of_a_killed_worker_is_retried_from_its_checkpoint(root):
    process = start(root, asked(root, SEEDS_WAIT), "--workers", "1")
    (asleep,) = until(lambda: sleeping(root))
    worker_of(asleep["pid"]).kill()
    (again,) = until(lambda: trains(root, resumed_from=asleep["run_id"]))
    assert trains(root, run_id=asleep["run_id"])[0]["status"] == "killed"
    (other,) = until(lambda: [r for r in sleeping(root) or () if r["seed"] == 1])
    psutil.Process(other["pid"]).parent().kill()  # the process of the run, not the worker
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert "it is run again" in stderr and "was killed; it is run again" in stderr
    assert sorted(r["status"] for r in trains(root)) == ["done"] * 4 + ["killed"] * 2
    spans = sorted((r["started"], r["ended"]) for r in trains(root, status="done"))
    assert all(ended < started for (_, ended), (started, _) in pairwise(spans))  # one worker, one at a time
    assert again["run_id"] in {row["run_id"] for row in load_sweep(root, sweeps(root)[0]["run_id"]).rows}


@pytest.mark.slow
def test_a_sweep_killed_outright_is_listed_as_killed_leaves_nothing_running_and_is_resumed(root):
    file = asked(root, ONE_WAITS)
    process = start(root, file, "--workers", "2")
    asleep = until(lambda: trains(root, status="done") and sleeping(root))
    everyone = family(process.pid, asleep[0]["pid"])
    process.kill()
    process.communicate()
    assert gone(everyone)
    assert {r["status"] for r in trains(root)} == {"done", "killed"} and sweeps(root)[0]["status"] == "killed"
    run(root, file, "--workers", "2", "--resume", sweeps(root)[0]["run_id"])
    assert len(trains(root, status="done")) == 4 and not load_sweep(root, sweeps(root)[1]["run_id"]).missing


@pytest.mark.slow
def test_two_sweeps_at_once_do_not_disturb_each_other(root):
    processes = [start(root, asked(root, GOOD), "--workers", "2") for _ in range(2)]
    for process in processes:
        _, stderr = process.communicate(timeout=900)
        assert process.returncode == 0, stderr
    first, second = (load_sweep(root, s["run_id"]) for s in sweeps(root))
    assert not {r["run_id"] for r in first.rows} & {r["run_id"] for r in second.rows}
    assert len(trains(root, status="done")) == len(trains(root)) == 8


@pytest.mark.slow
def test_what_a_sweep_trains_is_what_training_trains(root):
    shutil.copy(Path(__file__).parents[2] / "notebooks" / "train.ipynb", root / "notebooks")
    arms = {"mean_z": {"measurement": "mean_z"}, "mean_z_readout": {"measurement": "mean_z_readout"}}
    file = asked(root, arms, sample=400, epochs=1, wires=3, layers=1)
    stdout, _ = run(root, file, "--dry-run")
    assert stdout.count("unknown, no run of that shape has finished") == 2
    run(root, file, "--workers", "2")
    sweep = load_sweep(root, sweeps(root)[0]["run_id"])
    for row, planned in zip(sweep.rows, sweep.config.plan(), strict=True):
        expected = train(planned.config, progress=False)
        found = pd.read_csv(row["folder"] / "history.csv")
        assert found["train_loss"].tolist() == pytest.approx(expected.history["train_loss"].tolist(), rel=1e-5)
        assert row["test_auc"] == pytest.approx(expected.metrics["test_auc"], abs=1e-3)
        assert row["synthetic"] is True and (row["arm"], row["seed"]) == (planned.arm, planned.seed)
    stdout, _ = run(root, file, "--dry-run")
    assert stdout.count("the median of 2 finished runs of that shape") == 2


# --- on a running cluster


@pytest.fixture
def running(tmp_path):
    """A scheduler and two workers as processes, started as their users start them."""
    started = []

    def dask(*arguments):
        with open(tmp_path / f"dask{len(started)}.log", "wb") as log:
            command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True))

    def address():
        text = (tmp_path / "dask0.log").read_text()
        return (found := re.search(r"Scheduler at:\s+(tcp://\S+)", text)) and found[1]

    dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    where = until(address)
    for _ in range(2):
        dask("worker", where, "--no-dashboard")  # with as many threads as there are cores
    with distributed.Client(where, timeout=60) as client:
        client.wait_for_workers(2, timeout=900)
    yield where, started
    everyone = [p for one in started for p in psutil.Process(one.pid).children(recursive=True)]
    for one in started:
        one.terminate()
    for one in started:
        one.wait()
    psutil.wait_procs(everyone, timeout=15)


@pytest.mark.slow
def test_the_same_command_runs_on_a_running_scheduler(root, running):
    where, _ = running
    processes = [start(root, asked(root, ONE_FAILS), "--scheduler", where) for _ in range(2)]
    for process in processes:
        _, stderr = process.communicate(timeout=900)
        assert process.returncode == 1, stderr
    assert sorted(r["status"] for r in trains(root)) == ["done"] * 4 + ["failed"] * 4
    spans = sorted((r["started"], r["ended"]) for r in trains(root))
    assert all(third[0] > min(first[1], second[1]) for first, second, third in zip(spans, spans[1:], spans[2:], strict=False))


@pytest.mark.slow
def test_on_a_running_scheduler_a_lost_worker_and_an_interruption_are_survived(root, running):
    where, _ = running
    file = asked(root, BOTH_WAIT)
    process = start(root, file, "--scheduler", where)
    asleep = until(lambda: sleeping(root, 2))
    worker_of(asleep[0]["pid"]).kill()
    until(lambda: trains(root, resumed_from=asleep[0]["run_id"]))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=900)
    assert process.returncode == 130
    assert not trains(root, status="running")
    run(root, file, "--scheduler", where, "--resume")
    assert len(trains(root, status="done")) == 4


def test_a_worker_that_cannot_do_it_is_refused(root):
    locked = create(root, "sweep", SweepConfig(arms=GOOD, seeds=2))
    seen = worker.describe(str(locked.folder), str(root))
    assert cluster.unfit(seen, root) is None
    locked.unlock()
    assert "does not see the file locks" in cluster.unfit(worker.describe(str(locked.folder), str(root)), root)
    assert "there is no /nowhere" in cluster.unfit(worker.describe(str(locked.folder), "/nowhere"), root)
    assert "it has numpy 1.0, here" in cluster.unfit(seen | {"versions": seen["versions"] | {"numpy": "1.0"}}, root)
    assert "its notebooks would run on /usr/bin/python3" in cluster.unfit(seen | {"kernel": "/usr/bin/python3"}, root)
    assert "No module named 'qnb'" in cluster.unfit(ModuleNotFoundError("No module named 'qnb'"), root)
