"""Was training still improving when it stopped? Judged by the validation AUC and by the training loss."""

from collections.abc import Sequence

import numpy as np

from qnb.training.metrics import Row

LAST = 3  # the last third of the evaluations is compared with what came before
RISE, SHARE = 0.005, 0.1  # in AUC, and of what it lacks to 1: a smaller rise is levelling off
FALL = 0.005  # of the loss: less is levelling off, too


def still_improving(history: Sequence[Row]) -> bool | None:
    """Whether the validation AUC was still rising when training ended.

    True if the best AUC of the last third of the evaluations exceeds the best before it by more than 0.005
    and by more than a tenth of that one's gap to 1. None with fewer than three evaluations.

    Args:
        history: rows as `qnb.training.loop.fit` writes them; those without a finite val_auc are skipped.
    """
    seen = [float(row["val_auc"]) for row in history if np.isfinite(row.get("val_auc", np.nan))]
    if len(seen) < LAST:
        return None
    last = len(seen) // LAST
    before = max(seen[:-last])
    return max(seen[-last:]) - before > max(RISE, SHARE * (1 - before))


def still_falling(history: Sequence[Row]) -> bool:
    """Whether the training loss was still falling when training ended.

    True if its mean over the last third of the epochs is below its mean over the third before by more than
    0.005 and by more than a tenth of the total fall since the first epoch. False below three epochs.

    Args:
        history: rows as `qnb.training.loop.fit` writes them.
    """
    losses = np.array([row["train_loss"] for row in history], dtype=float)
    third = len(losses) // LAST
    if third == 0:
        return False
    last = losses[-third:].mean()
    fall = losses[-2 * third : -third].mean() - last
    return bool(fall > max(FALL, SHARE * (losses[0] - last)))
