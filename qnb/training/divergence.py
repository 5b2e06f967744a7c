"""Divergence of a training that ran to its end: its objective is worse than that of a model that has learnt
nothing (every logit 0), or its parameters ran away.
"""

import numpy as np

from qnb.training.state import TrainingRun

FACTOR = 2  # times the objective's own value at l = 0, which no weights of the loss take it to
FAR = 1e6  # beyond it an angle in float32 is known to 0.06 rad only


def divergence(run: TrainingRun) -> str | None:
    """Why training diverged, in words; None if it did not.

    It did if the last epoch's train_loss exceeds FACTOR times the objective of all training rows at logit 0,
    or if a parameter exceeds FAR in magnitude. The reference is the objective's own value (focal, weighted),
    because a weighted objective may well exceed the entropy of the prior.

    Args:
        run: after at least one epoch.
    """
    _, y, w = run.batch(np.arange(len(run.prepared.y["train"])))
    at_zero = float(np.mean(w * np.asarray(run.objective.loss(np.zeros_like(y), y))))
    last = run.state.history[-1]["train_loss"]
    if last > FACTOR * at_zero:
        return (
            f"the objective ends at {last:.4g}, more than {FACTOR} times its value {at_zero:.4g} where every "
            f"logit is 0. Lower lr={run.config.lr:g}"
        )
    far = {name: float(np.abs(value).max(initial=0)) for name, value in run.state.params.items()}
    name = max(far, key=lambda group: far[group])
    if far[name] > FAR:
        return f"{name} ran away to {far[name]:.3g}. Lower lr={run.config.lr:g}"
    return None
