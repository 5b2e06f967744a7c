"""Execute the notebook of a benchmark and ship it in executed/reference/, with the digest of its code.

python -m benchmarks.shipped statistics
python -m benchmarks.shipped silent_faults RESULTS.jsonl
"""

import argparse
import json
import sys
from pathlib import Path

import papermill

from qnb.files import atomic_write
from qnb.reports.code import code_cells, digest_of
from qnb.reports.publish import SHIPPED, stamped, text_of
from qnb.runs.provenance import code_state

ROOT = Path(__file__).parents[1]
SOURCES = {
    "statistics": ("statistics",),
    "silent_faults": ("silent_faults", "faulty_runs", "silent_faults_report"),
}


def digest(name: str, root: Path = ROOT) -> str:
    """Of the notebook's cells, the benchmark's files, and what they use of qnb."""
    folder = root / "benchmarks"
    files = [(folder / f"{file}.py").read_text("utf-8") for file in SOURCES[name]]
    return digest_of(name, [*code_cells(folder / f"{name}.ipynb"), *files], root)


def main(arguments: list[str] | None = None) -> None:
    """Execute, scrub, ship.

    Raises:
        papermill.PapermillExecutionError, ValueError: a cell failed, or the notebook is too large; nothing is shipped.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shipped", description=__doc__)
    parser.add_argument("name", choices=SOURCES)
    parser.add_argument(
        "results", nargs="?", metavar="RESULTS.jsonl", help="of silent_faults: what its runs left"
    )
    asked = parser.parse_args(arguments)
    if (asked.name == "silent_faults") != (asked.results is not None):
        parser.error("silent_faults takes the file of its runs, and no other benchmark does.")
    parameters = {"results": str(Path(asked.results).resolve())} if asked.results else {}
    stamp = {"code": digest(asked.name), "commit": str(code_state()["commit"])}
    notebook = str(ROOT / "benchmarks" / f"{asked.name}.ipynb")
    nb = papermill.execute_notebook(notebook, None, parameters, cwd=str(ROOT), kernel_name="python3")
    for cell in nb.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):  # a file's name, without its folder here
            cell.source = cell.source.replace(parameters["results"], Path(parameters["results"]).name)
    atomic_write(ROOT / SHIPPED / f"{asked.name}.ipynb", text_of(stamped(nb, stamp), asked.name))
    print(f"shipped: {SHIPPED / asked.name}.ipynb {json.dumps(stamp)}")


if __name__ == "__main__":
    sys.exit(main())
