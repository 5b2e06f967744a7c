"""python -m qnb.reports [NAME ...]: run and publish the reports that are out of date, or those named."""

import argparse
import sys
from pathlib import Path

from qnb.errors import ParameterError, refuse_unknown
from qnb.reports import claims
from qnb.reports.code import digest
from qnb.reports.plan import REPORTS
from qnb.reports.publish import SHIPPED, publish, stamp_of
from qnb.runs import headless, job
from qnb.runs.project import find_root
from qnb.runs.provenance import code_state


def main(names: list[str] | None = None) -> int:
    """Run and publish the reports that are out of date, or those named, one after another.

    Returns:
        The exit code: 0; 1 where a report failed (the others are run all the same); 130 where one was
        interrupted. Reports published before stay published.

    Raises:
        ParameterError: there is no report of that name; or qnb/, notebooks/ or pyproject.toml differ from
            the commit, or there is none.
        RunError: there is no project here, or a report cannot be started.
    """
    parser = argparse.ArgumentParser(prog="python -m qnb.reports", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of reports, out of date or not")
    root, asked = find_root(), parser.parse_args(names).names
    refuse_unknown(asked, REPORTS, "the reference reports")
    todo = asked or [name for name in REPORTS if is_outdated(name, root)]
    commit = _committed() if todo else ""
    failed = []
    for k, name in enumerate(todo):
        print(f"{k + 1} of {len(todo)}: {name}", file=sys.stderr, flush=True)
        status = _run(name, root, commit)
        if status == "interrupted":
            return 130
        failed += [name] if status != "done" else []
    claims.write(root)
    print(f"{len(todo) - len(failed)} of {len(todo)} reports published in {SHIPPED}")
    print("".join(f"failed: {name}\n" for name in failed), end="")
    return 1 if failed else 0


def is_outdated(name: str, root: Path) -> bool:
    """Whether a report is missing, or was published with another digest than that of its current code."""
    return stamp_of(name, root).get("code") != digest(REPORTS[name], root)


def _committed() -> str:
    """The commit that this process computes with.

    Raises:
        ParameterError: qnb/, notebooks/ or pyproject.toml differ from it.
    """
    state = code_state()
    if state["commit"] is None or state["dirty"]:
        why = state["why"] or "qnb/, notebooks/ or pyproject.toml differ from the commit"
        raise ParameterError(f"A reference report names the commit that made it: {why}. Commit first.")
    return str(state["commit"])


def _run(name: str, root: Path, commit: str) -> str:
    """Run and publish a report; returns the status of its run."""
    report = REPORTS[name]
    code = digest(report, root)
    run = headless.execute(job.prepare(report.notebook, report.parameters(root), root))
    status = str(run.manifest["status"])
    if status == "done":
        publish(run.folder, name, root, {"code": code, "commit": commit, "run": run.id})
    else:
        print(f"{name}: {status}: {(run.manifest['failure'] or {}).get('message')}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
