"""Was a training still improving when it stopped?"""

from collections.abc import Sequence

import numpy as np

from qnb.training.metrics import Row

LAST = 3  # the last third of the evaluations is compared with what came before
RISE, SHARE = 0.005, 0.1  # in AUC, and of what it lacks to 1: a smaller rise is levelling off


def still_improving(history: Sequence[Row]) -> bool | None:
    """Whether the validation AUC of a training was still rising when it ended.

    True where the best of the last third of its evaluations exceeds the best before by 0.005, and by a tenth
    of what was lacking to 1. None where there are fewer than three evaluations.

    Args:
        history: rows as `qnb.training.loop.fit` writes them.
    """
    seen = [float(row["val_auc"]) for row in history if np.isfinite(row.get("val_auc", np.nan))]
    if len(seen) < LAST:
        return None
    last = len(seen) // LAST
    before = max(seen[:-last])
    return max(seen[-last:]) - before > max(RISE, SHARE * (1 - before))
