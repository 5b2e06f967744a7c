"""The code and the stack that computed: told by the process itself, whatever else git could be asked about."""

import os
import subprocess

import pytest

from qnb.runs import provenance
from qnb.runs.provenance import differences, git_state, made_by
from qnb.stack import versions


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).stdout.strip()


def checkout(folder, commit=True):
    """A checkout of its own, with the files that are looked for."""
    for name in ("qnb/__init__.py", "notebooks/train.ipynb", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    git(folder, "init", "-q")
    if commit:
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "one", "--allow-empty")
    return folder


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A function that makes the qnb of this process one that was imported from there, just now."""

    def from_there(folder):
        monkeypatch.setattr(provenance, "package", lambda: folder / "qnb")
        provenance._first.cache_clear()
        return folder

    yield from_there
    provenance._first.cache_clear()


def test_the_commit_is_that_of_the_code_which_was_imported(tmp_path, imported):
    here = imported(checkout(tmp_path / "here"))
    state = git_state(here)
    assert state == {"commit": git(here, "rev-parse", "HEAD"), "dirty": False, "changes": None, "why": None, "project": None}
    (here / "notebooks" / "new.ipynb").write_text("{}")
    assert git_state(here) | {"dirty": True} == git_state(here) and git_state(here)["changes"] is None  # not of the code
    (here / "README.md").write_text("no part of a run")
    assert git_state(here)["changes"] is None


def test_a_project_elsewhere_is_told_beside_the_code_and_not_in_its_place(tmp_path, imported):
    """--root of another checkout: the numbers are this one's."""
    here, there = imported(checkout(tmp_path / "here")), checkout(tmp_path / "there")
    git(there, "commit", "-qm", "two", "--allow-empty")
    (here / "qnb" / "__init__.py").write_text("changed = True")
    state = git_state(there)
    assert state["commit"] == git(here, "rev-parse", "HEAD") and state["dirty"] is True and state["changes"]
    assert state["project"] == {"commit": git(there, "rev-parse", "HEAD"), "dirty": False, "why": None}


def test_code_that_changed_since_it_was_imported_is_not_the_commit_there_is_now(tmp_path, imported):
    here = imported(checkout(tmp_path / "here"))
    before = git_state(here)
    (here / "qnb" / "__init__.py").write_text("changed = True")
    git(here, "commit", "-qam", "two")
    assert git_state(here) == before | {"dirty": True}


def test_variables_of_git_that_were_inherited_are_not_obeyed(tmp_path, imported, monkeypatch):
    here, other = imported(checkout(tmp_path / "here")), checkout(tmp_path / "other")
    git(other, "commit", "-qm", "two", "--allow-empty")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert git_state(here)["commit"] == git(here, "rev-parse", "HEAD") and git_state(here)["dirty"] is False


def test_no_repository_no_commit_no_git_and_a_foreign_owner_are_told_apart(tmp_path, imported, monkeypatch):
    (tmp_path / "plain" / "qnb").mkdir(parents=True)
    assert git_state(imported(tmp_path / "plain"))["why"] == "not under git"
    unborn = imported(checkout(tmp_path / "unborn", commit=False))
    git(unborn, "add", ".")
    assert git_state(unborn)["why"] == "no commit yet"
    outer = checkout(tmp_path / "outer")
    (outer / "env" / "qnb").mkdir(parents=True)  # installed into an environment that lies in somebody's repository
    assert git_state(imported(outer / "env")) == git_state(imported(outer / "env")) | {"commit": None, "why": "not under git"}
    monkeypatch.setenv("PATH", "")
    assert git_state(imported(outer))["why"] == "git is not installed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_clone_of_another_owner_is_not_one_that_is_not_under_git(tmp_path, imported, monkeypatch):
    here = imported(checkout(tmp_path / "here"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (here, here / ".git"):
        os.chown(path, 65534, 65534)
    assert "safe.directory" in git_state(here)["why"] and git_state(here)["commit"] is None


def test_a_git_that_does_not_answer_is_given_up(tmp_path, imported, monkeypatch):
    here = imported(checkout(tmp_path / "here"))
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    assert git_state(here)["why"] == "git did not answer within 0.2 s"


COMMIT = {"commit": "a" * 40, "dirty": False, "changes": None}


@pytest.mark.parametrize(
    ("there", "here", "found"),
    [
        ({"git": COMMIT}, {"git": COMMIT}, []),
        ({"git": COMMIT}, {"git": COMMIT | {"commit": "b" * 40}}, ["commit aaaaaaaaaaaa there, bbbbbbbbbbbb here"]),
        (
            {"git": COMMIT},
            {"git": COMMIT | {"dirty": True, "changes": "c" * 12}},
            ["commit aaaaaaaaaaaa there, aaaaaaaaaaaa with changes (cccccccccccc) here"],
        ),
        (
            {"git": COMMIT},
            {"git": {"commit": None, "why": "no commit yet"}},
            ["commit aaaaaaaaaaaa there, unknown (no commit yet) here"],
        ),
        ({"git": None}, {"git": {"commit": None, "why": "not under git"}}, []),
        ({"versions": {"optax": "0.2.7"}}, {"versions": {"optax": "0.2.8"}}, ["optax 0.2.7 there, 0.2.8 here"]),
        ({"versions": {}}, {"versions": {"optax": "0.2.8"}}, ["optax none there, 0.2.8 here"]),
    ],
)
def test_what_differs_is_named_on_both_sides(there, here, found):
    assert differences(there, here) == found


def test_two_processes_of_one_code_and_stack_do_not_differ(tmp_path):
    assert differences(made_by(tmp_path), made_by(tmp_path)) == [] and made_by()["versions"] == versions()
