"""Training on the exact engine: epochs as one program against a loop of single steps, and several runs together.

    python -m benchmarks steps

Milliseconds a step of the default circuit, from row numbers to parameters: batches, gradient, optimiser, norms. The two take turns,
an epoch each; `apart` is the largest difference of a parameter after an epoch from the same start.
"""

import io

import numpy as np
from tqdm import tqdm

from benchmarks.timing import in_turn
from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.training.chunks import Chunks
from qnb.training.loop import _step_by_step
from qnb.training.state import start

BATCHES = (32, 64, 256, 1024)
STEPS, ROUNDS = 50, 7  # of an epoch; epochs
TOGETHER = 10


def bar() -> tqdm:
    """A progress bar that nobody sees."""
    return tqdm(file=io.StringIO(), mininterval=60)


def measure(batch: int) -> tuple[dict[str, float], float]:
    """Median milliseconds a step of each, `many` all together, and the largest difference of a parameter."""
    config = TrainConfig(engine="exact", batch=batch, fixed_num_batches=STEPS, gate="off")
    data = prepare(config)
    runs = [start(config.model_copy(update={"seed": seed}), data) for seed in range(TOGETHER)]
    drawn = [run.draw() for run in runs]
    one, many = Chunks(runs[:1], runs[0].engine), Chunks(runs, runs[0].engine)
    calls = {
        "loop": lambda: _step_by_step(runs[0], drawn[0], bar()),
        "one": lambda: one.train(drawn[:1], bar())[0],
        "many": lambda: many.train(drawn, bar()),
    }
    ends = calls["loop"]()[0], calls["one"]()[0]
    apart = max(float(np.abs(ends[0][group] - ends[1][group]).max()) for group in ends[0])
    in_turn(calls, 2)
    return {name: 1e3 * np.median(times) / STEPS for name, times in in_turn(calls, ROUNDS).items()}, apart


def by_runs(together: tuple[int, ...] = (1, 4, 16), batch: int = 64) -> None:
    """Print milliseconds a step and run against the number of runs in one program, and how many the engine takes."""
    print(f"\n{'wires':>6}{'engine takes':>14}" + "".join(f"{f'{runs} runs':>10}" for runs in together))
    for wires in (4, 5, 6, 7, 8):
        config = TrainConfig(engine="exact", wires=wires, batch=batch, fixed_num_batches=STEPS, gate="off")
        data = prepare(config)
        runs = [start(config.model_copy(update={"seed": seed}), data) for seed in range(max(together))]
        engine, drawn = runs[0].engine, [run.draw() for run in runs]
        programs = {count: Chunks(runs[:count], engine) for count in together}
        calls = {
            count: lambda program=program, drawn=drawn[:count]: program.train(drawn, bar())
            for count, program in programs.items()
        }
        in_turn(calls, 2)
        ms = [1e3 * np.median(times) / STEPS / count for count, times in in_turn(calls, ROUNDS).items()]
        print(
            f"{wires:6}{engine.runs_at_once(batch):14}" + "".join(f"{value:10.3f}" for value in ms),
            flush=True,
        )


def main() -> None:
    """Print a line per batch size, then one per number of wires."""
    many = f"{TOGETHER} together, ms a step and run"
    print(f"{'batch':>6}{'loop ms':>10}{'one program ms':>16}{'ratio':>8}{'apart':>10}{many:>36}")
    for batch in BATCHES:
        ms, apart = measure(batch)
        figures = f"{ms['loop']:10.2f}{ms['one']:16.2f}{ms['loop'] / ms['one']:8.2f}{apart:10.0e}"
        print(f"{batch:6}{figures}{ms['many'] / TOGETHER:36.2f}", flush=True)
    by_runs()


if __name__ == "__main__":
    main()
