"""Whether JAX can be used here: its threads do not outlive a fork, and a call that waits for them hangs.

JAX is used in a process from its first array on; what forks before may use it on both sides.
"""

import os

from jax._src.xla_bridge import backends_are_initialized  # no public function tells it without starting them

_forked_after_use = False


def forked_after_use() -> bool:
    """Whether this process is a fork of one that had used JAX, since this file was imported."""
    return _forked_after_use


def _after_fork() -> None:
    global _forked_after_use
    _forked_after_use = _forked_after_use or backends_are_initialized()


os.register_at_fork(after_in_child=_after_fork)
