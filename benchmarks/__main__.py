"""Benchmarks, one after the other: python -m benchmarks [NAME ...]; without a name all those of speed."""

import argparse

from benchmarks import (
    accelerator,
    catalyst,
    compiling,
    data,
    exact,
    gate,
    gate_errors,
    peers,
    roofline,
    runs,
    single_rows,
    small_tables,
    statistics,
    steps,
    surrogate,
)
from qnb.errors import nearest

BENCHMARKS = {
    "data": data,
    "catalyst": catalyst,
    "exact": exact,
    "peers": peers,
    "roofline": roofline,
    "accelerator": accelerator,  # without one, 12 wires take minutes a line
    "steps": steps,
    "single_rows": single_rows,
    "compiling": compiling,
    "runs": runs,
    "surrogate": surrogate,
    "small_tables": small_tables,  # of accuracy, six minutes
    "gate": gate,  # an hour, of correctness
    "gate_errors": gate_errors,
    "statistics": statistics,  # of correctness too
}
SPEED = [name for name in BENCHMARKS if not name.startswith(("gate", "small", "statistics", "accelerator"))]

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
names = parser.parse_args().names
for name in names:
    if name not in BENCHMARKS:
        parser.error(f"no benchmark is called {name!r}. {nearest(name, BENCHMARKS)}")
for name in names or SPEED:
    print(f"\n=== {BENCHMARKS[name].__doc__.splitlines()[0]}\n", flush=True)
    BENCHMARKS[name].main()
