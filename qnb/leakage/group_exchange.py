"""The p of a leak test where rows come in groups: values are exchanged between whole groups.

Rows of one capture session have much in common, including the share of attacks. A host that is constant
within sessions then predicts the label of other rows of the same session, whatever hosts have to do with
attacks, and a p that takes rows as independent calls it a leak. Under the null that the column is
uninformative, the values of one group are as good as those of any other, so groups exchange theirs, and the
AUC is compared with those after the exchange.
"""

from collections.abc import Callable

import numpy as np

from qnb.leakage.raw import Raw

SESSION = "capture.session"
EXCEEDED = 20  # exchanges that reach the statistic, after which p is precise enough
ROWS = 20_000  # used at most


def groups_of(raw: Raw, group_by: tuple[str, ...] | None = None) -> np.ndarray | None:
    """The group of each row, int `(N,)`: by the columns of `group_by`, else by the capture session.

    None unless the rows hold all of these columns: then nothing is known of groups. The host pair is not
    used in their place, because it is made of the columns that are tested.
    """
    names = [name for name in group_by or (SESSION,) if name in raw.columns]
    if len(names) < len(group_by or (SESSION,)):
        return None
    codes = np.stack([raw.columns[name].categories() for name in names], axis=1)
    return np.unique(codes, axis=0, return_inverse=True)[1].ravel()


class Exchange:
    """Random exchanges of values between whole groups of N rows.

    Each group takes the rows of a group drawn without replacement, in their order and starting at a random
    one of them: a rotation, which keeps neighbours within a group together, but does not let a common order
    of all groups count as agreement. Where the sizes differ, rows are repeated or thinned out.

    Args:
        groups: `(N,)`; rows of one group in the order in which they were taken.
        within: `(N,)`, constant in each group: only groups that agree in it exchange; None: all do.
    """

    def __init__(self, groups: np.ndarray, within: np.ndarray | None = None):
        _, numbers, self.sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self.order = np.argsort(numbers, kind="stable")
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.of = numbers[self.order]
        first = self.order[self.starts]
        kind = np.zeros(len(first), int) if within is None else within[first]
        self.classes = [np.flatnonzero(kind == k) for k in np.unique(kind)]
        self.place = np.arange(len(numbers)) - self.starts[self.of]

    def rows(self, rng: np.random.Generator) -> np.ndarray:
        """For each row the number of the row whose value it takes, int `(N,)`."""
        drawn = np.arange(len(self.sizes))
        for groups in self.classes:
            drawn[groups] = rng.permutation(groups)
        other = drawn[self.of]
        turn = rng.integers(0, self.sizes.max(), len(self.sizes))[self.of]
        size = self.sizes[other]
        taken = self.starts[other] + (self.place * size // self.sizes[self.of] + turn) % size
        rows = np.empty(len(taken), int)
        rows[self.order] = self.order[taken]
        return rows


def p_of_exchanges(
    statistic: Callable[[np.ndarray], float],
    groups: np.ndarray,
    most: int,
    rng: np.random.Generator,
    within: np.ndarray | None = None,
) -> float:
    """The p of a statistic: the share of exchanges between groups that reach its value on the rows as they
    are.

    Drawing ends once EXCEEDED of them do, or after `most`: p = EXCEEDED / drawn, or (1 + reached) / (1 +
    most) (Besag and Clifford, Biometrika 78, 301, 1991).

    Args:
        statistic: of the numbers of the rows whose values each row takes, `(N,)`.
        groups, within: as in `Exchange`.
        most: exchanges to draw at most.
    """
    exchange, reached = Exchange(groups, within), 0
    observed = statistic(np.arange(len(groups)))
    for drawn in range(1, most + 1):
        reached += statistic(exchange.rows(rng)) >= observed - 1e-12
        if reached == EXCEEDED:
            return EXCEEDED / drawn
    return (1 + reached) / (1 + most)


def some_rows(count: int, rng: np.random.Generator) -> np.ndarray:
    """At most ROWS of `count` row numbers, ascending."""
    return np.arange(count) if count <= ROWS else np.sort(rng.choice(count, ROWS, replace=False))
