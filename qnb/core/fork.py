"""Whether JAX can be used in this process: JAX's threads do not survive a fork, and a call that waits for
them hangs.

JAX is in use from a process's first array on; both sides of an earlier fork may use it.
"""

import os

from jax._src.xla_bridge import backends_are_initialized  # no public function tells it without starting them

_forked_after_use = False


def forked_after_use() -> bool:
    """Whether, since this file was imported, this process was forked from one that had used JAX."""
    return _forked_after_use


def _after_fork() -> None:
    global _forked_after_use
    _forked_after_use = _forked_after_use or backends_are_initialized()


os.register_at_fork(after_in_child=_after_fork)
