"""Benchmarks, one after the other: python -m benchmarks [NAME ...]; without a name all those of speed."""

import sys

from benchmarks import catalyst, compiling, data, exact, gate, surrogate

BENCHMARKS = {
    "data": data,
    "catalyst": catalyst,
    "exact": exact,
    "compiling": compiling,
    "surrogate": surrogate,
    "gate": gate,  # an hour, of correctness
}
SPEED = [name for name in BENCHMARKS if name != "gate"]

for name in sys.argv[1:] or SPEED:
    if name not in BENCHMARKS:
        sys.exit(f"No benchmark is called {name!r}. Valid: {', '.join(BENCHMARKS)}.")
    print(f"\n=== {BENCHMARKS[name].__doc__.splitlines()[0]}\n", flush=True)
    BENCHMARKS[name].main()
