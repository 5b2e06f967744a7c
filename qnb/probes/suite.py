"""`qnb run probes`: all diagnostic notebooks one after another, and one table of their verdicts."""

import json
from pathlib import Path
from typing import Any, TextIO

from qnb.errors import ParameterError, refuse_unknown
from qnb.files import VERDICT
from qnb.runs import headless, job, source
from qnb.runs.folder import Run
from qnb.runs.listing import columns_of_text
from qnb.runs.project import given_root

NAME = "probes"
NOTEBOOKS = (
    "gradient_audit",
    "zvec_gradient_identity",
    "alpha_sign_inversion",
    "focal_fixed_point",
    "readout_geometry",
    "throughput",
)
SUSPECTS = "suspects"  # last, and only with a run


def prepare_probes(
    parameters: dict[str, Any], root: str | Path | None = None, resume: str | None = None
) -> list[job.Job]:
    """Check all probes before the first one starts. Each gets the parameters that its notebook declares.

    With the parameter `run`, the notebook of suspects is added at the end.

    Raises:
        ParameterError: `resume` is given, or no probe declares one of the parameters.
        RunError, ParameterError: as `qnb.runs.job.prepare`, for the first probe that is refused.
    """
    if resume is not None:
        raise ParameterError("--resume goes on with one notebook; probes are short: run them again.")
    names = [*NOTEBOOKS, *([SUSPECTS] if parameters.get("run") is not None else [])]
    folder = given_root(root)
    paths = {name: source.find_notebook(folder, name) for name in names}
    declared = {
        name: source.declared_parameters(source.read_notebook(path), path) for name, path in paths.items()
    }
    refuse_unknown(parameters, [name for names in declared.values() for name in names], "the probes")
    return [
        job.prepare(name, {n: v for n, v in parameters.items() if n in declared[name]}, folder)
        for name in names
    ]


def left_out(jobs: list[job.Job], parameters: dict[str, Any]) -> list[str]:
    """A line for each notebook that lacks some of the parameters, naming them."""
    missing = {one.path.name: [name for name in parameters if name not in one.parameters] for one in jobs}
    return [f"{notebook} has no parameter {', '.join(names)}" for notebook, names in missing.items() if names]


def execute(
    jobs: list[job.Job],
    timeout: int | None = None,
    log: TextIO | None = None,
    start_timeout: int = headless.START_SECONDS,
) -> list[Run]:
    """Run the jobs one after another; see `qnb.runs.headless.execute`.

    After a failure the rest still run; after an interrupt they do not.

    Returns:
        The runs that were started.
    """
    done = []
    for one in jobs:
        done.append(headless.execute(one, timeout, log, start_timeout))
        if done[-1].manifest["status"] == "interrupted":
            break
    return done


def verdicts_table(finished: list[Run]) -> str:
    """The verdicts as text, one line each with its reason, then, if a run was diagnosed, one per component.

    A probe that failed has a line with the reason.
    """
    lines, suspects = [], []
    for run in finished:
        name, path = run.folder.parent.name, run.folder / VERDICT
        if run.manifest["status"] != "done" or not path.exists():
            failure = run.manifest["failure"] or {"kind": "error", "message": f"it left no {VERDICT}"}
            lines.append(
                (name, run.manifest["status"], f"{failure['kind']}: {' '.join(failure['message'].split())}")
            )
            continue
        for verdict in json.loads(path.read_text("utf-8")):
            if name == SUSPECTS:
                suspects.append(
                    (
                        verdict["question"].removeprefix("Is it the ").rstrip("?"),
                        verdict["verdict"],
                        verdict["sentence"],
                    )
                )
            else:
                lines.append((name, verdict["verdict"], f"{verdict['question']} {verdict['sentence']}"))
    text = columns_of_text([("probe", "verdict", "question and reason"), *lines])
    return text + (
        "\n\n" + columns_of_text([("component", "verdict", "evidence"), *suspects]) if suspects else ""
    )
