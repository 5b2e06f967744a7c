"""Speed of the data path: the bundled capture, a file in Edge-IIoTset's format, the feature transform.

python -m benchmarks.data [rows of the file, 200000 by default]

With 2200000 rows, the size of the whole data set, writing the file takes longer than all the rest.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import median_seconds
from qnb.config import TrainConfig
from qnb.data import cache as table_cache
from qnb.data.capture import generate_capture
from qnb.data.features import FeatureMap
from qnb.data.overlap import split_card
from qnb.data.splits import split_table
from qnb.data.table import Table, read_table


def write_file(path: Path, rows: int) -> None:
    """A file of `rows` rows in Edge-IIoTset's format, captures of 100,000 one after another."""
    for seed in range(-(-rows // 100_000)):
        frame, _ = generate_capture(min(100_000, rows - seed * 100_000), seed=seed)
        frame.to_csv(path, mode="a", header=seed == 0, index=False)


def fit_features(table: Table) -> FeatureMap:
    """Eight features of a table's rows."""
    return FeatureMap.fit(table.frame, table.y, 8, "0_pi")


def whole_file(path: Path, folder: Path, name: str) -> list[tuple[str, int, float]]:
    """Once each: read, clean and cache the file, split by host pair, transform all rows."""
    steps, rows = [], 0

    def timed(what: str, function: Callable[[], object]):
        start = time.perf_counter()
        result = function()
        steps.append((f"{name}: {what}", rows, time.perf_counter() - start))
        return result

    table_cache.cache_folder = lambda kind: folder / "cache"
    table = timed("read all rows", lambda: read_table(str(path)))
    rows = table.card["rows_read"]
    steps[0] = (steps[0][0], rows, steps[0][2])
    rows = len(table)
    config = TrainConfig(data=str(path), sample=None, split="group")
    split = timed("split by group", lambda: split_table(table, config))
    features = timed("fit the transform", lambda: fit_features(table.take(split.train)))
    timed("transform it", lambda: [features.transform(table.take(side).frame) for side in split])
    timed("the split's card", lambda: split_card(table, split, config))
    return steps


def main(file_rows: int = 200_000) -> None:
    """Print one line per step: rows, median seconds, rows per second; then the peak memory of the process."""
    steps: list[tuple[str, int, float]] = [
        ("generate the bundled capture", 100_000, median_seconds(generate_capture))
    ]
    steps.append(
        ("load it: sample of 20,000", 100_000, median_seconds(lambda: read_table("bundled", sample=20_000)))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edge.csv"
        write_file(path, file_rows)
        size = path.stat().st_size / 1e6
        steps += whole_file(path, Path(folder), name := f"{size:.0f} MB CSV")
        start = time.perf_counter()
        rows = len(read_table(str(path)))
        steps.append((f"{name}: read it from the cache", rows, time.perf_counter() - start))
    table = read_table("bundled", sample=20_000)
    features = fit_features(table)
    fit = median_seconds(lambda: fit_features(table))
    steps.append(("fit the feature transform", len(table), fit))
    steps.append(("apply it", len(table), median_seconds(lambda: features.transform(table.frame))))
    print(
        f"| {'step':42} | {'rows':>9} | {'median s':>8} | {'rows/s':>10} |\n|{'-' * 44}|{'-' * 11}|{'-' * 10}|{'-' * 12}|"
    )
    for name, rows, seconds in steps:
        print(f"| {name:42} | {rows:9,} | {seconds:8.3f} | {rows / seconds:10,.0f} |")
    print(f"Peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB.")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
