"""The versions of everything that a number in a report depends on."""

import platform
from importlib import metadata

STACK = ("pennylane", "pennylane-lightning", "pennylane-catalyst", "jax", "jaxlib")
PACKAGES = ("qnb", *STACK, "optax", "numpy", "scipy", "pandas", "scikit-learn", "papermill")


def versions() -> dict[str, str]:
    """Versions of Python, qnb and the packages that decide a run's numbers, and the platform, by name."""
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        **packages,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def describe_stack() -> str:
    """The quantum stack in one line, for messages: 'pennylane 0.45.1, ...'."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in STACK)
