"""Wall times of calls: medians, and calls made in turn, so that a busy moment meets all of them."""

import time
from collections.abc import Callable, Mapping

import numpy as np


def median_seconds(call: Callable[[], object], seconds: float = 2.0, least: int = 3) -> float:
    """Median wall time of at least `least` calls within about `seconds`, after one to warm up."""
    call()
    times, started = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return float(np.median(times))


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds (rounds,) of each call; in every round each is made once."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(times) for name, times in seconds.items()}
