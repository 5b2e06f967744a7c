"""Whether a run is alive: its process holds a lock on `.lock` in the run folder.

The lock is flock's, which ends with the process however that ends. Some file systems have no locks (ENOSYS,
ENOLCK: NFS without a lock daemon, some cluster file systems). There `.lock` names host, process id and start
time of its holder, and on that host the process is looked up; from another host it is unknown.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

import psutil

LOCK = ".lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
SECONDS = 10  # to wait for readers, who hold a shared lock for an instant


class Liveness(NamedTuple):
    """`alive`: None if unknown; `how`: in words, how that was judged, if not by the lock."""

    alive: bool | None
    how: str | None = None


class Lock:
    """The lock of a run folder, held from construction until `release`.

    Raises:
        OSError: it cannot be taken within SECONDS, or its file cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / LOCK
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(self._file)
            os.truncate(self._file, 0)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(self._file)
                raise
            os.truncate(self._file, 0)
            os.pwrite(self._file, json.dumps(_me()).encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        os.truncate(self._file, 0)
        os.close(self._file)


def _take(file: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _me() -> dict[str, str | int | float]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": psutil.Process().create_time()}


def liveness(folder: Path) -> Liveness:
    """Whether a process holds the lock of this run folder; unknown if its lock cannot be examined."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return Liveness(False)
    except OSError as error:
        return Liveness(None, f"its lock cannot be examined ({error.strerror})")
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two lists at once do not see each other
    except BlockingIOError:
        return Liveness(True)
    except OSError as error:
        return (
            _by_process(os.pread(lock, 1000, 0))
            if error.errno in NO_LOCKS
            else Liveness(None, f"flock: {error.strerror}")
        )
    finally:
        os.close(lock)
    return Liveness(False)


def _by_process(text: bytes) -> Liveness:
    """Where the file system has no locks: is the process that `.lock` names there, and is it that one?"""
    try:
        owner = json.loads(text)
        host, pid, start = owner["host"], owner["pid"], owner["start"]
    except (ValueError, KeyError, TypeError):
        return Liveness(False, "the file system has no locks, and its .lock names no process")
    how = f"judged by process {pid} on {host}, as the file system has no locks"
    if host != socket.gethostname():
        return Liveness(None, f"{how}; it cannot be seen from here")
    with contextlib.suppress(psutil.NoSuchProcess):
        return Liveness(abs(psutil.Process(pid).create_time() - start) < 1, how)
    return Liveness(False, how)


def is_live(folder: Path) -> bool:
    """Whether this run is alive; if unknown, it counts as alive."""
    return liveness(folder).alive is not False
