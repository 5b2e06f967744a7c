"""Engine "catalyst": the circuit compiled by PennyLane Catalyst for Lightning, differentiated by the adjoint
method.

The programs are compiled and run in a child process (`qnb.core.child`). Everything that knows Catalyst is in
`qnb.core.catalyst`, which is imported there alone.
"""

from concurrent.futures import Future

import numpy as np
import pennylane as qml

from qnb.core.child import Remote
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, EngineError, check_batch, check_params
from qnb.core.memory import MEMORY_SHARE, available_memory
from qnb.core.objective import Objective
from qnb.errors import ParameterError, nearest

STATES = 4  # vectors of 2^n complex numbers: the state, and those of the adjoint method's backward pass
ROWS_PER_REQUEST = 4096  # of scores: the most that an interrupted call leaves the child to compute


class CatalystEngine:
    """See `qnb.core.engine.Engine`. float64; compiled programs are kept per kind and batch size.

    Args:
        device: name of an installed PennyLane device that Catalyst supports.

    Raises:
        ParameterError: no PennyLane device of that name is installed.
        EngineError: the state vectors do not fit in this machine's memory.
    """

    name = "catalyst"
    dtype = np.dtype(np.float64)

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str = DEFAULT_DEVICE):
        if device not in qml.plugin_devices:
            installed = sorted(n for n in qml.plugin_devices if n.startswith("lightning."))
            hint = nearest(device, installed)
            raise ParameterError(
                f"device = {device!r} is not installed (PennyLane knows none of that name). {hint}"
            )
        needed, free = STATES * 16 * 2.0 ** min(spec.wires, 1000), MEMORY_SHARE * available_memory()
        if needed > free:
            raise EngineError(
                f"engine='catalyst' needs {needed / 1e9:.3g} GB for the state vectors of {spec.wires} wires; "
                f"{free / 1e9:.1f} GB is what it may take of this machine. Use fewer wires."
            )
        self.spec, self.objective, self.device = spec, objective, device
        self.programs = Remote("qnb.core.catalyst:Programs", spec, objective, device)

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """Scores (B,) of rows X (B, features), in compiled chunks.

        Raises:
            ParameterError: X or the parameters are refused, see `qnb.core.engine.check_batch` and
                `check_params`.
            EngineError: the program cannot be compiled, or the child process ended.
        """
        (X,) = check_batch(self.spec, X)
        params = check_params(self.spec, params)
        starts = range(0, len(X), ROWS_PER_REQUEST)
        return np.concatenate(
            [self.programs.call("scores", params, X[k : k + ROWS_PER_REQUEST]) for k in starts]
        )

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """See `qnb.core.engine.Engine`.

        Raises:
            ParameterError: the batch or the parameters are refused, as in `scores`.
            EngineError: the encoder is `amplitude`, which Catalyst cannot differentiate; the program cannot
                be compiled; or the child process ended.
        """
        X, y, w = check_batch(self.spec, X, y, w)
        if self.spec.encoder == "amplitude":
            raise EngineError(
                "engine='catalyst' cannot train encoder='amplitude': the compiler has no gradient of state "
                "preparation. Its scores are available; to train, use encoder='angle_y' or 'angle_xy'."
            )
        loss, grads = self.programs.call("loss_and_grad", check_params(self.spec, params), X, y, w)
        return loss, grads

    def compile(self, batch: int) -> float:
        """See `qnb.core.engine.Engine`. Raises EngineError as `scores`."""
        return self.start_compiling(batch).result()

    def start_compiling(self, batch: int) -> "Future[float]":
        """As `compile`, in the child and without waiting: a future of the seconds."""
        return self.programs.submit("compile", batch)
