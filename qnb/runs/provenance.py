"""Which code and which stack this process computes with, as the process itself sees them.

git is asked about the checkout that qnb was imported from, without the GIT_* variables that a hook or a
shell may have set: they could point to another repository.
"""

import functools
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import qnb
from qnb.stack import versions

GIT_SECONDS = 60  # after which git (on a file system that hangs, say) is given up
State = dict[str, Any]  # what `git_state` returns


class GitError(Exception):
    """git cannot name the commit; the message says why, without a path of this machine."""


def package() -> Path:
    """The folder of the qnb package that this process has imported."""
    return Path(qnb.__file__).resolve().parent


def git_state(root: Path) -> State:
    """The code that this process has imported, and the notebooks of the project `root` if they belong to
    another checkout.

    Returns:
        commit: of the checkout that qnb was imported from, None if unknown; why: the reason then. dirty:
            whether qnb/, notebooks/ or pyproject.toml there differ from the commit, or have changed since
            this process first asked; None if unknown. changes: digest of the differences in qnb/ and
            pyproject.toml, None without any. project: None, or commit, dirty and why of `root`, where qnb
            was imported from elsewhere.
    """
    top = package().parent
    if Path(root).resolve() == top:
        return _since_import() | {"project": None}
    there = _state(Path(root), ("notebooks", "pyproject.toml"), "pyproject.toml")
    return _since_import() | {"project": {name: there[name] for name in ("commit", "dirty", "why")}}


def code_state() -> State:
    """As `git_state` when this process first asked, without `project`."""
    return _first() | {"project": None}


@functools.cache
def _first() -> State:
    return _now()


def _now() -> State:
    return _state(package().parent, ("qnb", "notebooks", "pyproject.toml"), "qnb/__init__.py")


def _since_import() -> State:
    first, now = _first(), _now()
    same = all(first[name] == now[name] for name in ("commit", "changes"))
    return first | {"dirty": now["dirty"] if same else True}


def _state(top: Path, paths: tuple[str, ...], tracked: str) -> State:
    """Commit and changes of `paths` in the checkout `top`, whose file `tracked` says that it is one."""
    unknown = {"commit": None, "dirty": None, "changes": None}
    try:
        if _git(top, "ls-files", "--", tracked) == "":
            return unknown | {"why": "not under git"}
        commit = _git(top, "rev-parse", "HEAD")
        status = _git(top, "status", "--porcelain", "--", *paths)
        code = [path for path in paths if path != "notebooks"]
        diff = _git(top, "status", "--porcelain", "--", *code) + _git(top, "diff", "HEAD", "--", *code)
    except GitError as error:
        return unknown | {"why": str(error)}
    digest = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None
    return {"commit": commit, "dirty": bool(status), "changes": digest, "why": None}


def _git(top: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
        "LC_ALL": "C"
    }
    command = ["git", "--no-optional-locks", "-C", str(top), *arguments]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            env=environment,
            timeout=GIT_SECONDS,
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {GIT_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise GitError(_refusal(error.stderr.strip())) from None
    return answer.stdout.strip()


def _refusal(said: str) -> str:
    """What git's own words mean."""
    if "not a git repository" in said:
        return "not under git"
    if "dubious ownership" in said or "unsafe repository" in said:
        return (
            "git does not trust a checkout that another user owns: git config --global --add safe.directory "
            "DIR"
        )
    if "unknown revision" in said or "ambiguous argument 'HEAD'" in said:
        return "no commit yet"
    return f"git refused: {said.splitlines()[0][:120]}" if said else "git refused without a word"


def commit_name(git: State | None) -> str | None:
    """The first twelve digits of the commit, and whether the code differed from it; None without one."""
    if not git or not git.get("commit"):
        return None
    return str(git["commit"])[:12] + (" with changes" if git.get("dirty") else "")


def made_by(root: Path | None = None) -> dict[str, Any]:
    """What made the numbers of this process, for manifests and checkpoints: `git` (`git_state` of the
    project `root`, if given, else `code_state`) and `versions`.
    """
    return {"git": code_state() if root is None else git_state(root), "versions": versions()}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences in code and stack between two results of `made_by` (or manifests), each in words as
    "... there, ... here"; [] without any.

    Code that neither side can name by a commit counts as equal.
    """
    there, here = (side.get("git") or {} for side in (before, now))
    phrases = []
    if any(there.get(name) != here.get(name) for name in ("commit", "changes")):
        phrases.append(f"commit {_code(there)} there, {_code(here)} here")
    theirs, ours = (git.get("project") or {} for git in (there, here))
    if theirs.get("commit") != ours.get("commit"):
        phrases.append(f"notebooks of {_code(theirs or there)} there, of {_code(ours or here)} here")
    old, new = (side.get("versions") or {} for side in (before, now))
    phrases += [
        f"{name} {old.get(name, 'none')} there, {new.get(name, 'none')} here"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    return phrases


def _code(git: State) -> str:
    name = commit_name(git)
    if name is None:
        return f"unknown ({git.get('why') or 'not under git'})"
    return name + (f" ({git['changes']})" if git.get("changes") else "")
