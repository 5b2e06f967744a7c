"""Sampling rows from a stream, and finding exact duplicates in one."""

import numpy as np


class Draw:
    """A stratified random sample of exactly `size` rows without replacement from a stream; None keeps all
    rows.

    Every row gets a uniform random priority; per class the rows of lowest priority are kept (as many as
    could be needed), and the shares of the classes are settled at the end. One number is drawn per row, in
    row order, so that the sample does not depend on the batches.
    """

    def __init__(self, size: int | None, seed: int):
        self.size, self.rng, self.counts = size, np.random.default_rng(seed), np.zeros(2, int)
        self.lowest = [np.empty(0), np.empty(0)]
        self.y: list[np.ndarray] = []
        self.priority: list[np.ndarray] = []

    def add(self, y: np.ndarray) -> np.ndarray:
        """Take the labels of the next batch, `(n,)`; returns the positions in it of the rows to hold on
        to.
        """
        priority = self.rng.random(len(y))
        keep = np.ones(len(y), bool)
        for c in (0, 1):
            self.counts[c] += (y == c).sum()
            if self.size is not None:
                self.lowest[c] = np.sort(np.concatenate([self.lowest[c], priority[y == c]]))[: self.size]
                keep[(y == c) & (priority > self.lowest[c].max(initial=0))] = False
        self.y.append(y[keep])
        self.priority.append(priority[keep])
        return np.flatnonzero(keep)

    def chosen(self) -> np.ndarray:
        """Positions of the sample among all rows held on to, ascending."""
        y, priority = np.concatenate(self.y), np.concatenate(self.priority)
        total = int(self.counts.sum())
        if self.size is None or self.size >= total:
            return np.arange(len(y))
        ones = round(self.size * self.counts[1] / total)
        ones = min(max(ones, 1), self.size - 1)  # both classes, however rare one is
        take = [
            np.flatnonzero(y == c)[np.argsort(priority[y == c])[:n]]
            for c, n in ((0, self.size - ones), (1, ones))
        ]
        return np.sort(np.concatenate(take))


class FirstSeen:
    """Finds the rows whose hash occurs for the first time in a stream."""

    def __init__(self) -> None:
        self.seen = np.empty(0, np.uint64)  # sorted

    def __call__(self, hashes: np.ndarray) -> np.ndarray:
        """Positions, in this batch, of the rows whose hash comes for the first time."""
        distinct, first = np.unique(hashes, return_index=True)
        at = np.searchsorted(self.seen, distinct)
        known = np.zeros(len(distinct), bool)
        inside = at < len(self.seen)
        known[inside] = self.seen[at[inside]] == distinct[inside]
        self.seen = np.insert(self.seen, at[~known], distinct[~known])
        return np.sort(first[~known])
