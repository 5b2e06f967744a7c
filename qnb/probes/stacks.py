"""Other versions of the quantum stack, each in a virtual environment of its own outside the project."""

import fcntl
import json
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from qnb.config import QnbError

CURRENT = "current"
CACHE = Path.home() / ".cache" / "qnb" / "stacks"
READY = "qnb-stack.json"  # written into an environment when it is whole: the requirements that made it

_COMMON = ("numpy==2.4.6", "scipy==1.17.1", "autograd==1.9.1", "gast==0.7.0")
REQUIREMENTS = {  # by version of Catalyst; the combinations that were released together, and installed and imported here
    "0.13.0": ("pennylane==0.43.2", "pennylane-lightning==0.43.0", "jax==0.6.2", "jaxlib==0.6.2", "autoray==0.8.0", *_COMMON),
    "0.14.0": ("pennylane==0.44.0", "pennylane-lightning==0.44.0", "jax==0.7.1", "jaxlib==0.7.1", "autoray==0.8.2", *_COMMON),
    "0.14.1": ("pennylane==0.44.1", "pennylane-lightning==0.44.0", "jax==0.7.1", "jaxlib==0.7.1", "autoray==0.8.2", *_COMMON),
}
NAMES = ("pennylane", "pennylane-lightning", "pennylane-catalyst", "jax", "jaxlib", "numpy")
INSTALL_LIMIT = 900  # seconds


class StackError(QnbError):
    """A stack could not be installed; the message says why."""


def requirements(version: str) -> tuple[str, ...]:
    """What pip is asked for; for a version that is not in REQUIREMENTS, Catalyst and what it asks for itself."""
    return (f"pennylane-catalyst=={version}", *REQUIREMENTS.get(version, ("gast",)))


def python_of(stack: str, say: Callable[[str], None] = print, cache: Path = CACHE) -> Path:
    """The Python interpreter of a stack, its environment made first if there is none yet.

    Args:
        stack: "current", the one this runs on, or a version of Catalyst.
        say: told before anything is installed.

    Raises:
        StackError: no registry can be reached, the version does not exist, or its requirements cannot be met.
    """
    if stack == CURRENT:
        return Path(sys.executable)
    cache.mkdir(parents=True, exist_ok=True)
    folder, asked = cache / stack, list(requirements(stack))
    with open(cache / f"{stack}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two audits at once build it once
        marker, python = folder / READY, folder / "bin" / "python"
        if not (marker.exists() and json.loads(marker.read_text()) == asked):
            say(f"Installing Catalyst {stack} into an environment of its own, in the user's cache folder.")
            venv.create(folder, clear=True, with_pip=True)
            _install(python, asked, stack)
            marker.write_text(json.dumps(asked))
    return python


def _install(python: Path, asked: list[str], stack: str) -> None:
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise StackError(f"Catalyst {stack} could not be installed: pip took longer than {INSTALL_LIMIT} s.") from None
    if done.returncode:
        raise StackError(f"Catalyst {stack} could not be installed: {_reason(done.stderr)}")


def _reason(text: str) -> str:
    """pip's last error, without addresses and paths."""
    errors = [line for line in text.splitlines() if line.startswith("ERROR:")] or text.strip().splitlines()[-1:] or ["pip failed"]
    cleaned = re.sub(r"(?:\w+://\S+|(?:/[\w.+-]+){2,})", "…", errors[-1].removeprefix("ERROR:").strip())
    if re.search(r"No matching distribution|connection|resolve|Could not fetch|HTTPSConnectionPool", text, re.IGNORECASE):
        return f"no package registry that has it can be reached ({cleaned})"
    return cleaned


def versions_in(python: Path) -> dict[str, str]:
    """Versions of Python and of NAMES as that interpreter has them installed."""
    program = (
        "import json, platform; from importlib.metadata import version; "
        f"print(json.dumps({{'python': platform.python_version(), **{{n: version(n) for n in {NAMES!r}}}}}))"
    )
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def report_name(stack: str, versions: dict[str, str]) -> str:
    """What reports call a stack: its version of Catalyst, "(current)" behind the one this runs on."""
    return f"{versions['pennylane-catalyst']} (current)" if stack == CURRENT else stack
