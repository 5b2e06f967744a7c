"""Other versions of the quantum stack, each in its own virtual environment outside the project."""

import fcntl
import hashlib
import json
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

from qnb.errors import QnbError
from qnb.files import cache_folder

CURRENT = "current"
READY = "qnb-stack.json"  # written into an environment when it is whole: what it was made from

# VERSION.lock: names, versions and hashes of all that such an environment holds
LOCKS = Path(__file__).parent / "stack_locks"
NAMES = ("pennylane", "pennylane-lightning", "pennylane-catalyst", "jax", "jaxlib", "numpy")
INSTALL_LIMIT = 900  # seconds


class StackError(QnbError):
    """A stack cannot be installed; the message says why."""


def requirements(version: str) -> tuple[str, ...]:
    """pip's arguments for that version of Catalyst: its lock file, so that nothing is resolved.

    A version without a lock file (a future release, say) is resolved by pip when it is installed.
    """
    lock = LOCKS / f"{version}.lock"
    if lock.exists():
        return "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock)
    return f"pennylane-catalyst=={version}", "gast"


def _recipe(version: str) -> list[str]:
    """What an environment is made from, so that one made from something else is made anew."""
    lock = LOCKS / f"{version}.lock"
    return [hashlib.sha256(lock.read_bytes()).hexdigest()] if lock.exists() else list(requirements(version))


def python_of(stack: str, say: Callable[[str], None] = print, cache: Path | None = None) -> Path:
    """The Python interpreter of a stack; its environment is created if there is none yet.

    Args:
        stack: "current", the one this runs on, or a version of Catalyst.
        say: called with a message before anything is installed.
        cache: where environments are kept; None: the user's cache folder.

    Raises:
        StackError: there is no cache folder, no registry can be reached, the version does not exist, its
            requirements cannot be met, or pip takes longer than INSTALL_LIMIT.
    """
    if stack == CURRENT:
        return Path(sys.executable)
    cache = cache or cache_folder("stacks")
    if cache is None:
        raise StackError(f"Catalyst {stack} cannot be installed: there is no cache folder to keep it in.")
    cache.mkdir(parents=True, exist_ok=True)
    folder, recipe = cache / stack, _recipe(stack)
    with open(cache / f"{stack}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two audits at once build it once
        marker, python = folder / READY, folder / "bin" / "python"
        if not (marker.exists() and json.loads(marker.read_text()) == recipe):
            say(f"Installing Catalyst {stack} into an environment of its own, in the user's cache folder.")
            venv.create(folder, clear=True, with_pip=True)
            _install(python, requirements(stack), stack)
            marker.write_text(json.dumps(recipe))
    return python


def installed(stacks: Iterable[str]) -> tuple[dict[str, Path], dict[str, dict[str, str]]]:
    """Interpreters and versions, each by stack.

    A stack that cannot be installed has no interpreter, and the reason under "left out" among its versions.
    """
    pythons, versions = {}, {}
    for stack in stacks:
        try:
            pythons[stack] = python_of(stack)
        except StackError as error:
            versions[stack] = {"left out": str(error)}
        else:
            versions[stack] = versions_in(pythons[stack])
    return pythons, versions


def _install(python: Path, asked: tuple[str, ...], stack: str) -> None:
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *asked,
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_LIMIT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise StackError(
            f"Catalyst {stack} could not be installed: pip took longer than {INSTALL_LIMIT} s."
        ) from None
    if done.returncode:
        raise StackError(f"Catalyst {stack} could not be installed: {_reason(done.stderr)}")


def _reason(text: str) -> str:
    """pip's last error, without addresses and paths."""
    errors = (
        [line for line in text.splitlines() if line.startswith("ERROR:")]
        or text.strip().splitlines()[-1:]
        or ["pip failed"]
    )
    cleaned = re.sub(r"(?:\w+://\S+|(?:/[\w.+-]+){2,})", "…", errors[-1].removeprefix("ERROR:").strip())
    if re.search(
        r"No matching distribution|connection|resolve|Could not fetch|HTTPSConnectionPool",
        text,
        re.IGNORECASE,
    ):
        return f"no package registry that has it can be reached ({cleaned})"
    return cleaned


def versions_in(python: Path) -> dict[str, str]:
    """Versions of Python and of the packages NAMES that this interpreter has installed.

    Raises:
        subprocess.CalledProcessError: one of the packages is not installed.
    """
    program = (
        "import json, platform; from importlib.metadata import version; "
        f"print(json.dumps({{'python': platform.python_version(), **{{n: version(n) for n in {NAMES!r}}}}}))"
    )
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def report_name(stack: str, versions: dict[str, str]) -> str:
    """The name of a stack in reports: its version of Catalyst, with "(current)" for the one this runs on."""
    return f"{versions['pennylane-catalyst']} (current)" if stack == CURRENT else stack
