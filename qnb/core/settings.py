"""The settings under which the package's own JAX programs are traced and run, whatever the process is set
to.

JAX's settings belong to the process: a notebook may have disabled jit, or made dtype promotion an error, for
its own code. Here they are set for one thread and the length of a call, so that results do not depend on the
user's settings, and these are left alone. The child process for compiled programs is started without them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental import enable_x64

from qnb.core.engine import EngineError
from qnb.core.fork import forked_after_use

# by JAX's name, whose upper case is the environment variable: the context manager of JAX, and its value
SETTINGS: dict[str, tuple[Callable[[Any], contextlib.AbstractContextManager[Any]], Any]] = {
    "jax_enable_x64": (enable_x64, True),  # the default would read float64 as float32
    "jax_disable_jit": (jax.disable_jit, False),
    "jax_no_tracing": (jax.no_tracing, False),
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "standard"),
    "jax_numpy_rank_promotion": (jax.numpy_rank_promotion, "allow"),
    "jax_default_matmul_precision": (jax.default_matmul_precision, "highest"),  # accelerators: else TF32
    "jax_debug_nans": (jax.debug_nans, False),  # the training finds what is not finite, and says where
    "jax_debug_infs": (jax.debug_infs, False),
    "jax_transfer_guard": (jax.transfer_guard, "allow"),
    "jax_enable_checks": (
        jax.enable_checks,
        False,
    ),  # of JAX's own bookkeeping, which Catalyst's does not pass
    "jax_check_tracer_leaks": (jax.check_tracer_leaks, False),
}
FORKED = (
    "This process was forked from one that had used JAX, whose threads do not outlive a fork: JAX would hang "
    "here for ever. Start it by multiprocessing.get_context('spawn') or 'forkserver' (joblib: "
    "backend='loky'), or fork before JAX is first used."
)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """A context manager or decorator within which SETTINGS hold in this thread.

    Raises:
        EngineError: JAX cannot be used, because the process is a fork of one that had used it.
    """
    if forked_after_use():
        raise EngineError(FORKED)
    with contextlib.ExitStack() as stack:
        for scope, value in SETTINGS.values():
            stack.enter_context(scope(value))
        yield
