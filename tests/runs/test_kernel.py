"""`begin` in a live IPython: what it takes, what it refuses, how its run ends."""

import ast

import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell

from qnb.config import TrainConfig
from qnb.errors import ParameterError
from qnb.runs import folder, kernel, provenance
from qnb.runs.cells import assigned_names
from qnb.runs.folder import create
from qnb.runs.listing import find_run, list_runs
from qnb.runs.project import RunError, find_root
from qnb.stack import versions

DECLARED = "# Parameters of train.ipynb\nseed = 0\nepochs: int = 10"
BEGIN = "run = kernel.begin('train', config.TrainConfig)"


def statuses(root):
    return [e["status"] for e in list_runs(root)]


def test_begin_takes_the_variables_that_the_cells_declare(shell, root):
    shell(DECLARED)
    shell("# Parameters\nseed = 3\n")
    shell("figure = 7; epochs = 5")
    run = shell(BEGIN + "; run").result
    assert (run.config.seed, run.config.epochs) == (3, 5)
    assert run.folder.parent == root / "executed" / "train"


def test_begin_refuses_an_injected_name_before_it_makes_a_folder(shell, root, capsys):
    shell(DECLARED)
    shell("# Parameters\nsed = 3\n")
    result = shell(BEGIN)
    assert isinstance(result.error_in_exec, ParameterError)
    printed = capsys.readouterr().out.strip()
    assert printed == "ParameterError: Unknown parameter 'sed' for train.ipynb. Did you mean 'seed'? Valid: seed, epochs."
    assert statuses(root) == []


def test_begin_stores_the_configuration_that_counts_and_tells_what_was_given(shell, root):
    class Pointing(TrainConfig):
        def resolved(self, project, given):
            assert project == root and list(given) == ["seed"]
            return self.make(self.model_dump() | {"epochs": 3})

    for attached in (False, True):
        if attached:
            shell(f"kernel.attach({str(create(root, 'train', TrainConfig(epochs=3)).folder)!r})")
        InteractiveShell.instance().user_ns["Pointing"] = Pointing
        shell(DECLARED), shell("# Parameters\nseed = 0\n")
        run = shell("run = kernel.begin('train', Pointing); run").result
        stored = yaml.safe_load((run.folder / "params.yaml").read_text())
        assert (stored["epochs"], run.manifest["parameters"]["epochs"], run.manifest["hash"]) == (3, 3, run.config.hash())
        shell("run.finish({})")


def test_begin_judges_a_second_pass_by_its_own_cells(shell, root):
    for cell in (DECLARED, "# Parameters\nsed = 3\n", BEGIN, DECLARED, "# Parameters\nseed = 4\n", BEGIN):
        result = shell(cell)
    assert result.success
    assert [e["seed"] for e in list_runs(root)] == [4]


def test_a_parameter_has_a_value_before_the_kernel_only_where_one_expression_gives_it():
    cell = "a = b = 1\nc: int = 2\nd, e = 3, 4\na += 1\nfor f in (5, 6):\n    g = f\nprint(a)"
    found = {name: value and ast.literal_eval(value) for name, value in assigned_names(cell).items()}
    assert found == {"a": None, "b": 1, "c": 2, "d": None, "e": None, "f": None}


def test_begin_wants_the_parameters_cell_first(shell):
    assert "run the cell of train.ipynb that begins with '# Parameters of '" in str(shell(BEGIN).error_in_exec)


def test_a_cell_that_raises_fails_the_run_and_finishing_it_later_counts(shell, root):
    shell(DECLARED), shell(BEGIN), shell("1 / 0")
    assert list_runs(root)[0]["why"] == "error: ZeroDivisionError: division by zero"
    shell("run.finish({'test_auc': 0.5})")
    assert statuses(root) == ["done"]
    shell("1 / 0")
    assert statuses(root) == ["done"]


@pytest.mark.parametrize(
    ("cell", "status", "kind"),
    [
        ("raise KeyboardInterrupt", "interrupted", "interrupted"),
        ("raise MemoryError", "failed", "out_of_memory"),
        ("raise errors.QnbError('no label')", "failed", "error"),
        ("x = = 1", "failed", "error"),
    ],
)
def test_kinds_of_failure_in_a_live_kernel(shell, root, cell, status, kind):
    shell(DECLARED), shell(BEGIN), shell(cell)
    assert (statuses(root)[0], list_runs(root)[0]["failure"]["kind"]) == (status, kind)


def test_beginning_anew_leaves_the_unfinished_run_failed(shell, root):
    shell(DECLARED), shell(BEGIN), shell(DECLARED), shell(BEGIN), shell("run.finish({})")
    assert statuses(root) == ["failed", "done"]
    assert "begun anew" in list_runs(root)[0]["why"]


def test_an_attached_run_leaves_the_status_to_its_maker(shell, root):
    made = create(root, "train", TrainConfig(epochs=10))
    shell(f"kernel.attach({str(made.folder)!r}, '/elsewhere/old')"), shell(DECLARED)
    run = shell(BEGIN + "; run").result
    assert run.folder == made.folder and run.resume_from.name == "old"
    shell("run.note(gate='pass'); run.finish({'test_auc': 0.5})")
    entry = list_runs(root)[0]
    assert (entry["status"], entry["gate"], entry["seed"]) == ("running", "pass", 0)
    assert "begin() was called twice" in str(shell(BEGIN).error_in_exec)


def test_the_project_of_an_attached_run_is_the_one_that_counts(shell, root, tmp_path_factory, monkeypatch):
    made = create(root, "train", TrainConfig(epochs=10))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find_root() != root
    shell(f"kernel.attach({str(made.folder)!r})"), shell(DECLARED)
    assert shell(BEGIN + "; run").result.folder == made.folder
    assert find_root() == root  # for what the notebook looks up later, too
    assert find_run(find_root(), made.id)["run_id"] == made.id


def test_begin_outside_of_ipython_says_so():
    with pytest.raises(RunError, match="is for notebooks"):
        kernel.begin("train", TrainConfig)


def test_names_of_odd_parameters_cells():
    cell = "# Parameters of a.ipynb\na, b = 1, 2\nc: int = 3\nd = [x for x in ()]\nimport os"
    assert list(assigned_names(cell)) == ["a", "b", "c", "d"]
    with pytest.raises(RunError, match="not valid Python"):
        assigned_names("# Parameters of a.ipynb\nx = = 1")


# --- what was injected, what the variables hold, what trains


def test_an_injected_value_that_a_cell_below_undoes_stops_the_run(shell, root):
    shell(DECLARED), shell("# Parameters\nepochs = 2\n"), shell("epochs = 1")
    assert str(shell(BEGIN).error_in_exec).startswith("epochs = 2 was injected into train.ipynb, but its variable holds 1: ")
    assert list_runs(root) == []


@pytest.mark.parametrize("below", [DECLARED, "seed = 0  # a second parameters cell"])
def test_an_override_that_ran_before_the_parameters_stops_the_run(shell, root, below):
    """A tool dropped the cells' tags, so that papermill injects on top; or there are two parameters cells."""
    if below != DECLARED:
        shell(DECLARED)
    shell("# Parameters\nseed = 3\n"), shell(below)
    assert "seed = 3 was injected" in str(shell(BEGIN).error_in_exec)
    assert list_runs(root) == []


def test_an_override_of_another_type_is_another_value(shell):
    shell(DECLARED), shell("# Parameters\nseed = 1\n"), shell("seed = True")
    assert "seed = 1 was injected" in str(shell(BEGIN).error_in_exec)


def test_a_parameters_cell_run_again_by_hand_takes_the_place_of_what_was_injected(shell):
    shell(DECLARED), shell("# Parameters\nseed = 3\n"), shell(BEGIN)
    shell(DECLARED.replace("seed = 0", "seed = 5"))
    assert shell(BEGIN + "; run").result.config.seed == 5


USES = ["run", "config.epochs", "run.finish({})", "[run.config.epochs for _ in ()]", "def later():\n    return config"]


@pytest.mark.parametrize("uses", USES)
def test_an_edited_parameters_cell_without_begin_refuses_the_cells_that_use_the_run(shell, root, uses):
    shell(DECLARED), shell(BEGIN + "; config = run.config"), shell("before = 1"), shell(DECLARED.replace("10", "2"))
    assert shell("before + 1").success  # has nothing to do with the run
    error = shell(uses).error_before_exec
    assert "epochs is 2 in the kernel, but run" in str(error) and "began with epochs = 10" in str(error)
    assert statuses(root) == ["running"]  # the cell did not run, and failed nothing
    shell(DECLARED)  # put back
    assert shell(uses).success


def test_a_parameter_assigned_in_a_cell_that_trains_is_refused_before_it_trains(shell):
    shell(DECLARED), shell(BEGIN)
    assert "epochs is 5 in the kernel" in str(shell("epochs = 5\nprint(run.config)").error_before_exec)


@pytest.mark.parametrize(
    "shadow", ["for seed in (1, 2): pass", "seed, epochs = 5, 6", "seed = [s for s in (1, 2)]", "import os as seed"]
)
def test_a_variable_that_has_the_name_of_a_parameter_is_none(shell, shadow):
    shell(DECLARED), shell(BEGIN), shell(shadow)
    assert shell("run.config").success


def test_a_changed_value_runs_after_begin_is_run_again(shell, root):
    shell(DECLARED), shell(BEGIN), shell(DECLARED.replace("10", "2")), shell(BEGIN)
    assert shell("run.config.epochs").result == 2
    assert statuses(root) == ["failed", "running"]


def test_trained_on_in_the_same_kernel_it_is_running_again(shell, root):
    shell("import qnb.runs.listing as listing")
    shell(DECLARED), shell(BEGIN), shell("run; raise KeyboardInterrupt")
    assert statuses(root) == ["interrupted"]
    assert shell("run; [e['status'] for e in listing.list_runs(run.folder.parents[2])]").result == ["running"]
    assert statuses(root) == ["running"]
    shell("run.finish({'test_auc': 0.5})")
    assert statuses(root) == ["done"]


def test_a_look_at_something_else_leaves_an_interrupted_run_interrupted(shell, root):
    shell(DECLARED), shell(BEGIN), shell("raise KeyboardInterrupt"), shell("1 + 1")
    assert statuses(root) == ["interrupted"]


def test_a_run_of_other_parameters_takes_no_training(root):
    run = create(root, "train", TrainConfig(epochs=60))
    folder.require_own_folder(run.folder, TrainConfig(epochs=60))
    folder.require_own_folder(root, TrainConfig())  # not that of a run
    with pytest.raises(RunError, match="epochs = 2, but the run was made for epochs = 60"):
        folder.require_own_folder(run.folder, TrainConfig(epochs=2))


def test_metrics_of_a_training_before_do_not_finish_the_run_after(root):
    run = create(root, "train", TrainConfig())
    with pytest.raises(RunError, match=f"of another training: run {run.id} has no history.csv"):
        run.finish({"epochs_run": 8})


# --- under `qnb run`


def test_parameters_that_are_not_those_the_run_was_made_for_stop_it(shell, root):
    made = create(root, "train", TrainConfig(epochs=10, seed=3))
    shell(f"kernel.attach({str(made.folder)!r})"), shell(DECLARED)
    assert f"Not the parameters of run {made.id}: seed = 0, but the run was made for seed = 3" in str(shell(BEGIN).error_in_exec)


def test_a_kernel_with_the_code_of_another_place_is_refused(shell, root):
    made = create(root, "train", TrainConfig(epochs=10))
    error = str(shell(f"kernel.attach({str(made.folder)!r}, None, '/elsewhere/qnb')").error_in_exec)
    assert error.startswith("`qnb run` has qnb from /elsewhere/qnb, its kernel from ")


def test_the_manifest_names_the_stack_of_the_kernel_and_what_the_other_process_had(shell, root, capsys):
    made = create(root, "train", TrainConfig(epochs=10))
    made.note(versions=made.manifest["versions"] | {"optax": "0.2.7"}, git={"commit": "a" * 40, "dirty": False})
    shell(f"kernel.attach({str(made.folder)!r}, None, {str(provenance.package())!r})"), shell(DECLARED)
    capsys.readouterr()
    manifest = shell(BEGIN + "; run").result.manifest
    assert (manifest["versions"], manifest["git"]) == (versions(), provenance.git_state(root))
    assert manifest["launched_with"][1] == f"optax 0.2.7 there, {versions()['optax']} here"
    assert "commit aaaaaaaaaaaa there" in manifest["launched_with"][0]
    assert capsys.readouterr().err.count("not the stack that `qnb run` has: ") == 2


# --- without IPython's history


def test_without_history_the_variables_of_the_configuration_are_taken(shell_without_history, root):
    shell = shell_without_history
    shell("from qnb import config; from qnb.runs import kernel")
    shell("# Parameters of train.ipynb\n" + "\n".join(f"{name} = {value!r}" for name, value in TrainConfig(seed=4)))
    run = shell(BEGIN + "; run").result
    assert run.config == TrainConfig(seed=4)


def test_without_history_a_parameters_cell_that_was_not_run_is_missed_all_the_same(shell_without_history):
    shell = shell_without_history
    shell("from qnb import config; from qnb.runs import kernel"), shell("seed = 0")
    error = str(shell(BEGIN).error_in_exec)
    assert "No parameters cell was executed" in error and "names have no value" in error
