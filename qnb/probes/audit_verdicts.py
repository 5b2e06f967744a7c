"""Verdicts of an audit: on the research note's formulation, the package's own, memory layout, training, and
the gate.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from qnb.config import TrainConfig
from qnb.core.gate import WrongGradientError, check_gradient_of
from qnb.data.prepare import Prepared
from qnb.probes.audit import NOTES, STRIDES, SUM, TOLERANCE, Outcome
from qnb.probes.formulations import LAYOUTS
from qnb.reporting.verdict import INCONCLUSIVE, NO, YES, Verdict, answer, unanimous
from qnb.training.loop import fit
from qnb.training.metrics import Row

ENGINES = ("engine_catalyst", "engine_exact")
SIMULATED = "one-sample (simulated)"
RIGHT = "right"
MARGIN = 0.05  # of AUC between two trainings that differ
LAST = 3  # epochs over which the end of a training is averaged


def judge_audit(outcomes: list[Outcome]) -> list[Verdict]:
    """One verdict on the package's engines; then, for each stack, one on the note's formulation, one on
    silent errors and one on memory layout.
    """
    stacks = dict.fromkeys(o.stack for o in outcomes)
    per_stack = [[o for o in outcomes if o.stack == stack] for stack in stacks]
    verdicts = [judge_engines(outcomes)]
    for subset in per_stack:
        verdicts += [judge_note(subset), judge_silence(subset), judge_layout(subset)]
    return verdicts


def judge_engines(outcomes: list[Outcome]) -> Verdict:
    """Are the package's own gradients right? No if one is wrong anywhere; inconclusive if an engine was
    never measured, or failed somewhere; else yes.
    """
    ran = {
        f"{o.key} · {o.measurement}": o
        for o in outcomes
        if o.key in ENGINES and o.verdict != "not applicable"
    }
    missing = [
        key
        for key in ENGINES
        if not any(o.key == key and o.verdict in ("right", "wrong") for o in ran.values())
    ]
    wrong = [name for name, o in ran.items() if o.verdict != "right"]
    failed = any(o.verdict == "wrong" for o in ran.values())
    verdict = NO if failed else INCONCLUSIVE if missing or wrong else YES
    figures = {name: {"verdict": o.verdict, "relative_error": o.worst} for name, o in ran.items()}
    text = {
        YES: f"Both engines of the package agree with default.qubit in all {len(ran)} cases.",
        NO: f"An engine of the package is WRONG: {', '.join(wrong)}. Do not train on this stack.",
        INCONCLUSIVE: f"The package's engines were not all measured: {', '.join(missing + wrong)}.",
    }
    return Verdict("Are the package's own gradients right?", verdict, figures, TOLERANCE, text[verdict])


def judge_note(outcomes: list[Outcome]) -> Verdict:
    """Is the note's formulation silently wrong by the one-sample law on this stack? Yes if so wherever it
    gives a gradient, no if nowhere.
    """
    cases = [o for o in outcomes if o.key == NOTES]
    measured = [o for o in cases if o.verdict in ("right", "wrong")]
    verdict = unanimous(any(law.name == SUM for law in o.laws.values()) for o in measured)
    figures = {o.measurement: _facts(o) for o in cases}
    findings = "; ".join(f"{o.measurement}: {_in_words(o)}" for o in cases) or "not measured"
    return Verdict(
        f"On {_where(outcomes)}, is the note's batch gradient silently that of one row?",
        verdict,
        figures,
        TOLERANCE,
        f"On {_where(outcomes)} a loss over lax.scan gives: {findings}.",
    )


def judge_silence(outcomes: list[Outcome]) -> Verdict:
    """Did a formulation compile on this stack and give a wrong gradient? Memory layouts are left out."""
    ran = [o for o in outcomes if o.key not in LAYOUTS and o.verdict in ("right", "wrong")]
    wrong = [o for o in ran if o.verdict == "wrong"]
    figures = {"compiled": len(ran), "wrong": {f"{o.title} · {o.measurement}": o.law for o in wrong}}
    return Verdict(
        f"On {_where(outcomes)}, can a gradient compile, look sound and be wrong?",
        answer(bool(wrong) if ran else None),
        figures,
        TOLERANCE,
        f"On {_where(outcomes)} {len(wrong)} of the {len(ran)} gradients that came back are wrong, without a "
        "word of warning.",
    )


def judge_layout(outcomes: list[Outcome]) -> Verdict:
    """Are strides ignored on this stack? Yes if every such gradient is that of the rows in memory order, no
    if every one is right.
    """
    ran = [o for o in outcomes if o.key in LAYOUTS and o.verdict in ("right", "wrong")]
    misread = [o for o in ran if o.laws and all(law.name == STRIDES for law in o.laws.values())]
    right = all(o.verdict == "right" for o in ran)
    if not ran:
        verdict, reason = INCONCLUSIVE, "No formulation with such an array gave a gradient."
    elif right:
        verdict, reason = NO, "Strides are respected."
    elif len(misread) == len(ran):
        verdict, reason = (
            YES,
            "An array that is not C-contiguous is silently read in the wrong order; the package makes every "
            "argument contiguous.",
        )
    else:
        verdict, reason = (
            INCONCLUSIVE,
            "Arrays that are not C-contiguous give wrong gradients, not all of them by memory order.",
        )
    figures = {f"{o.title} · {o.measurement}": _facts(o) for o in ran}
    return Verdict(
        f"On {_where(outcomes)}, does a compiled function ignore strides?",
        verdict,
        figures,
        TOLERANCE,
        f"On {_where(outcomes)}: {reason}",
    )


def _where(outcomes: list[Outcome]) -> str:
    return f"Catalyst {outcomes[0].stack}" if outcomes else "no stack"


def _facts(o: Outcome) -> dict[str, Any]:
    laws = {group: {"law": law.name, "k": law.k, "residual": law.residual} for group, law in o.laws.items()}
    return {"verdict": o.verdict, "relative_errors": o.errors, "laws": laws, "message": o.message}


def _in_words(o: Outcome) -> str:
    return f"wrong by {o.worst:.2g} of its norm, {o.law}" if o.verdict == "wrong" else o.verdict


def consequence(config: TrainConfig, prepared: Prepared) -> dict[str, list[Row]]:
    """The same training with the right and with the one-sample gradient, from one seed: by name, the history
    of `qnb.training.loop.fit`.
    """
    simulated = config.model_copy(update={"engine": "one_sample_demo", "gate": "off"})
    return {
        name: fit(c, prepared, progress=False).state.history
        for name, c in ((RIGHT, config), (SIMULATED, simulated))
    }


def judge_consequence(histories: dict[str, list[Row]]) -> Verdict:
    """Does the one-sample gradient keep a model from learning? By validation AUC, mean over the last LAST
    epochs: yes if it loses more than MARGIN, no if less than a fifth of that.

    Args:
        histories: from `consequence`.
    """
    ends = {
        name: float(np.mean([row["val_auc"] for row in rows[-LAST:]])) for name, rows in histories.items()
    }
    lost = ends[RIGHT] - ends[SIMULATED]
    holds = None if MARGIN / 5 <= lost <= MARGIN else lost > MARGIN
    first = {name: rows[0]["val_auc"] for name, rows in histories.items()}
    return Verdict(
        "Does training on the one-sample gradient keep a model from learning?",
        answer(holds),
        {"val_auc_at_the_end": ends, "val_auc_after_one_epoch": first, "lost": lost},
        MARGIN,
        f"From one seed and the same batches, validation AUC ends at {ends[RIGHT]:.3f} with the right "
        f"gradient and at {ends[SIMULATED]:.3f} with the one-sample gradient (simulated).",
    )


# two gradients of `qnb.probes.outside`
BY_CATALYST, BY_JAX = "catalyst.grad of the loss", "jax.grad around it"


def gate(
    functions: dict[str, Callable[..., Any]], loss: Callable[..., Any], params: Any, *args: Any
) -> dict[str, dict[str, Any]]:
    """`qnb.check_gradient_of` on gradients from outside this package.

    Args:
        functions: by name, gradient functions; these and the rest as for `qnb.check_gradient_of`.

    Returns:
        By name: gate ("caught", or the verdict of the report) and said, its message.
    """
    reports: dict[str, dict[str, Any]] = {}
    for name, gradient in functions.items():
        try:
            report = check_gradient_of(loss, gradient, params, *args)
        except WrongGradientError as error:
            reports[name] = {
                "gate": "caught",
                "group": error.group,
                "expected": error.expected,
                "found": error.found,
                "said": str(error),
            }
        else:
            reports[name] = {
                "gate": report.verdict,
                "said": f"groups: {', '.join(f'{g} {c.status}' for g, c in report.groups.items())}",
            }
    return reports


def judge_gate(reports: dict[str, dict[str, Any]], wrong: str, right: str) -> Verdict:
    """Does the gate tell a wrong gradient from a right one? Yes if it caught `wrong` and passed `right`.

    Args:
        reports: from `gate`.
        wrong, right: names in it.
    """
    holds = reports[wrong]["gate"] == "caught" and reports[right]["gate"] == "pass"
    return Verdict(
        "Does the gate tell a wrong gradient of a function from outside the package from a right one?",
        answer(holds),
        reports,
        "1e-4 relative, float64",
        f"The gate's word on the wrong gradient: {reports[wrong]['gate']}; on the right one: "
        f"{reports[right]['gate']}.",
    )
