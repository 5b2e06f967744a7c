"""The one-sample gradient, wrong on purpose: what Catalyst 0.13.0 to 0.14.1 returned for the gradient of a
batch.
"""

import numpy as np

from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, check_batch, make_engine, score_gradient
from qnb.core.objective import Objective


class OneSampleDemo:
    """An engine that is wrong on purpose: it returns the one-sample gradient.

    Catalyst 0.13.0 to 0.14.1 gave it for a loss over a loop: dL/dtheta = (sum_b dL/ds_b) * ds_k/dtheta with
    k the last row of the batch. Loss, bias and alpha gradients are right, so nothing looks broken. It is
    simulated on the exact engine in float64, for tests and demonstrations; training refuses it without
    gate="off".

    Raises:
        ParameterError, EngineError: as `qnb.core.exact.ExactEngine`.
    """

    name = "one_sample_demo"

    def __init__(self, spec: CircuitSpec, objective: Objective, device: str = DEFAULT_DEVICE):
        self.spec, self.objective = spec, objective
        self._engine = make_engine("exact", spec, objective, device, precision="float64")
        self._row = make_engine("exact", spec, Objective(alpha_mode="direct"), device, precision="float64")
        self.dtype = self._engine.dtype

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """See `qnb.core.exact.ExactEngine.scores`. These are right."""
        return self._engine.scores(params, X)

    def compile(self, batch: int) -> float:
        """See `qnb.core.engine.Engine`."""
        return self._engine.compile(batch) + self._row.compile(1)

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """The right loss, with the one-sample gradient in the groups of the circuit. Raises as `scores`."""
        X, y, w = check_batch(self.spec, X, y, w)
        loss, grads = self._engine.loss_and_grad(params, X, y, w)
        alpha = float(self.objective.alpha(params["alpha"]))
        logits = np.asarray(self.objective.logit(self.scores(params, X), params["bias"], params["alpha"]))
        d_scores = np.mean(w * np.asarray(self.objective.slope(logits, y))) * alpha  # sum_b dL/ds_b
        _, last = score_gradient(self._row, params, X[-1])
        return loss, grads | {name: d_scores * last[name] for name in last}
