"""Parametrized notebooks for training and diagnosing variational quantum classifiers on PennyLane Catalyst.

The public names are listed in `__init__.pyi`. Each is imported on first use, so that `qnb runs` does not
wait for a compiler.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
