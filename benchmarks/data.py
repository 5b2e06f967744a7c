"""Speed of the data path: the bundled capture, a file in Edge-IIoTset's format, the feature transform.

python -m benchmarks.data [rows of the file, 200000 by default]
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qnb.capture import generate_capture
from qnb.data import read_table
from qnb.features import FeatureMap

REPEATS = 3


def median_seconds(function: Callable[[], object]) -> float:
    """Median wall time of `REPEATS` calls, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write_file(path: Path, rows: int) -> None:
    """A file of `rows` rows in Edge-IIoTset's format, captures of 100,000 one after another."""
    for seed in range(-(-rows // 100_000)):
        frame, _ = generate_capture(min(100_000, rows - seed * 100_000), seed=seed)
        frame.to_csv(path, mode="a", header=seed == 0, index=False)


def main(file_rows: int = 200_000) -> None:
    """Print one line per step: rows, median seconds, rows per second; then the peak memory of the process."""
    steps: list[tuple[str, int, float]] = [("generate the bundled capture", 100_000, median_seconds(generate_capture))]
    steps.append(("load it: sample of 20,000", 100_000, median_seconds(lambda: read_table("bundled", sample=20_000))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.csv"
        write_file(path, file_rows)
        size = path.stat().st_size / 1e6
        seconds = median_seconds(lambda: read_table(str(path), sample=20_000))
        steps.append((f"read a {size:.0f} MB CSV: sample of 20,000", file_rows, seconds))
    table = read_table("bundled", sample=20_000)
    features = FeatureMap.fit(table.frame, table.y, 8, "0_pi")
    fit = median_seconds(lambda: FeatureMap.fit(table.frame, table.y, 8, "0_pi"))
    steps.append(("fit the feature transform", len(table), fit))
    steps.append(("apply it", len(table), median_seconds(lambda: features.transform(table.frame))))
    print(f"| {'step':42} | {'rows':>9} | {'median s':>8} | {'rows/s':>10} |\n|{'-' * 44}|{'-' * 11}|{'-' * 10}|{'-' * 12}|")
    for name, rows, seconds in steps:
        print(f"| {name:42} | {rows:9,} | {seconds:8.3f} | {rows / seconds:10,.0f} |")
    print(f"Peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB.")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
