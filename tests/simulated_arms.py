"""Arms of ten seeds with a given mean and standard deviation of their differences to the arm `base`."""

import numpy as np

NOISE = np.array([0.3, -1.1, 0.6, 1.4, -0.2, -0.9, 0.1, 1.0, -1.5, 0.37])
NOISE = (NOISE - NOISE.mean()) / NOISE.std(ddof=1)  # mean 0, sd 1
BASE = 0.9 + 0.01 * np.array([0.1, 1.2, -0.5, 0.4, -1.3, 0.8, 0.0, -0.7, 1.5, -0.2])


def arms(**means_and_sds):
    """`base`, and one arm per (mean, sd) of the differences."""
    return {"base": BASE} | {arm: BASE + mean + sd * NOISE for arm, (mean, sd) in means_and_sds.items()}
