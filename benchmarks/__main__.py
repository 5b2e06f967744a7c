"""All benchmarks, one after the other: python -m benchmarks"""

from benchmarks import catalyst, compiling, data, exact, surrogate

for benchmark in (data, catalyst, exact, compiling, surrogate):
    print(f"\n=== {benchmark.__doc__.splitlines()[0]}\n", flush=True)
    benchmark.main()
