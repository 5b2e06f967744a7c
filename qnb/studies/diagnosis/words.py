"""A diagnosis in words: its main sentence, remarks, tables, and the content of verdict.json and
metrics.json.
"""

import math
from typing import Any

import pandas as pd

from qnb.files import plain
from qnb.reporting.verdict import Verdict
from qnb.runs.flags import is_below_twin
from qnb.runs.folder import Run, params_yaml
from qnb.studies.diagnosis import data
from qnb.studies.diagnosis.components import (
    COMPONENTS,
    LAYERS,
    SHARE,
    SHARE_OF_MORE,
    STEPS,
    batches_of,
    reference_of,
)
from qnb.studies.diagnosis.search import Diagnosis, Finding
from qnb.training.baselines import NAMES

CORRECTED = "corrected.yaml"


def rule(seeds: int, min_effect: float) -> str:
    """The rule of a diagnosis, stated before any result."""
    more = f"{SHARE_OF_MORE:.0%} for more epochs, more layers, and pairs, which nearly always help a little"
    return (
        "Rule, fixed before any number. Gains are differences in validation AUC, paired by seed over "
        f"{seeds} seeds on the run's own rows. A component heals where Holm's interval over all components "
        "that were changed excludes 0, or an exact rank test puts the AUCs after the change above those "
        f"before, and the mean gain is at least {min_effect:g} and {SHARE:.0%} of what the AUC lacks to 1 "
        f"({more}). A component that the run's own history speaks against needs a fifth of "
        f"{min_effect:g}. It is cleared where the 90 % interval lies below that, and undecided otherwise. To "
        "blame is the component that heals most, then what heals more on top of it; more epochs and layers "
        "come last, for they make up for a fault without removing it. The test AUC decides nothing."
    )


def lead(diagnosis: Diagnosis) -> str:
    """The main sentence: what is to blame, what it costs, and what the other changes gain."""
    if not diagnosis.blamed:
        return f"Nothing to blame: {_others(diagnosis)}"
    text = "; then ".join(_blame(diagnosis, _finding(diagnosis, name)) for name in diagnosis.blamed)
    return f"{text[0].upper()}{text[1:]}; {_others(diagnosis)}"


def conclusion(diagnosis: Diagnosis, run: Run) -> list[str]:
    """The sentences for console and report; writes the corrected parameters, if any, into the run folder."""
    sentences = [lead(diagnosis), *remarks(diagnosis)]
    if diagnosis.corrected is not None:
        path = run.write_text(CORRECTED, params_yaml(plain(diagnosis.corrected)))
        sentences.append(f"Corrected parameters: qnb run train -f {path.relative_to(run.folder.parents[2])}")
    return sentences


def references() -> pd.DataFrame:
    """One row per component: the parameters of its reference."""
    varying = {
        "epochs": f"twice as many, and {STEPS} steps at least",
        "layers": f"{LAYERS}, or as many as there are",
    }
    rows = []
    for component in COMPONENTS.values():
        parts = [f"{name} {varying.get(name, repr(value))}" for name, value in component.reference.items()]
        text = (
            "; ".join(parts)
            or "a fresh split, a split by group or time, rows without near copies, columns alone"
        )
        rows.append({"component": component.name, "reference": text})
    return pd.DataFrame(rows)


def checks_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """One row per intervention on the data: intervention, against the data, evidence."""
    return pd.DataFrame(
        {"intervention": c.name, "against the data": "yes" if c.against else "no", "evidence": c.sentence}
        for c in diagnosis.checks
    )


def _finding(diagnosis: Diagnosis, name: str) -> Finding:
    return next(f for f in diagnosis.findings if f.component == name)


def _blame(diagnosis: Diagnosis, finding: Finding) -> str:
    words, gain = COMPONENTS[finding.component].words, finding.decisive
    if finding.component == "data":
        return f"{words}: {_last_sentence(diagnosis, finding)}"
    if gain is None:
        return f"{words}: {finding.why.rstrip('.')}"
    beside = (
        f" together with {_list([COMPONENTS[b].words for b in finding.beside])}" if finding.beside else ""
    )
    return f"{words}: {_change(diagnosis, finding.component)}{beside} restores {gain.mean:.2f} of AUC"


def _last_sentence(diagnosis: Diagnosis, finding: Finding) -> str:
    if diagnosis.reproduction.status == "data":
        return diagnosis.reproduction.sentences[-1].rstrip(".")
    return " ".join(c.sentence for c in diagnosis.checks if c.against).rstrip(".")


def _others(diagnosis: Diagnosis) -> str:
    gains = {
        f.component: f.gain.mean for f in diagnosis.findings if f.gain is not None and f.verdict != "blamed"
    }
    gains = {name: gain for name, gain in gains.items() if math.isfinite(gain)}
    else_ = " else" if diagnosis.blamed else ""
    if not gains:
        return f"everything{else_} is at its reference."
    most = max(gains, key=lambda name: gains[name])
    healing = [
        f for f in diagnosis.findings if f.verdict != "blamed" and f.gain and f.gain.decision == "heals"
    ]
    if healing:
        named = _list([COMPONENTS[f.component].words for f in healing])
        return f"{named} would heal as well, by up to {max(gains.values()):.2f}, but not on top of that."
    most_of_all = f"by more than {max(0.0, gains[most]):.3f}"
    if diagnosis.blamed:
        return f"nothing else raises it {most_of_all}."
    return f"no change raises the validation AUC {most_of_all}."


def _change(diagnosis: Diagnosis, name: str) -> str:
    """What the reference changes, as a gerund."""
    config = diagnosis.case.config
    if name == "gradient":
        return "training on the exact engine's gradient"
    changes = reference_of(config, name, batches_of(config, diagnosis.case.prepared))
    if not changes:
        return "spreading each feature's angles over 0 to pi"
    if len(changes) == 1:
        ((parameter, value),) = changes.items()
        before = getattr(config, parameter)
        if isinstance(value, int | float) and isinstance(before, int | float) and not isinstance(value, bool):
            verb = "raising" if value > before else "lowering"
            return f"{verb} {parameter} from {before:g} to {value:g}"
    return "changing " + ", ".join(f"{p} from {getattr(config, p)!r} to {v!r}" for p, v in changes.items())


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def remarks(diagnosis: Diagnosis) -> list[str]:
    """Sentences that go with the main one: whether the run was reproduced, whether it was still improving,
    and how it compares with classical models.
    """
    best, ceiling = diagnosis.ceiling
    reached = diagnosis.healed or diagnosis.as_it_is
    sentences = []
    if diagnosis.reproduction.status == "reproduced":
        sentences.append("The run comes out again: " + " ".join(diagnosis.reproduction.sentences[1:]))
    elif diagnosis.reproduction.status == "not recorded":
        sentences.append("The configuration has not run: there is nothing to reproduce.")
    if diagnosis.improving:
        sentences.append("It was still improving when it stopped.")
    elif diagnosis.improving is None:
        sentences.append("It has too few evaluations to tell whether it was still improving when it stopped.")
    name = NAMES.get(best, best)
    text = f"{name[0].upper()}{name[1:]} on the same features has test AUC {ceiling:.3f}, the circuit "
    as_is = f"{diagnosis.as_it_is.test.mean():.3f} as it is"
    text += f"{as_is} and {reached.test.mean():.3f} corrected." if diagnosis.blamed else f"{as_is}."
    sentences.append(text)
    if is_below_twin(diagnosis.case.metrics):
        sentences.append("It is below its classical twin, beyond the interval.")
    if (
        not diagnosis.blamed
        and diagnosis.reference.val.mean() - diagnosis.as_it_is.val.mean() < diagnosis.min_effect
    ):
        gap = ceiling - float(diagnosis.reference.test.mean())
        sentences.append(
            "With every reference it is no better: what it lacks to the best classical model is the circuit."
            if gap > diagnosis.min_effect
            else "With every reference it is no better, and no classical model is: the rest is noise."
        )
    return sentences


def table(diagnosis: Diagnosis) -> pd.DataFrame:
    """One row per component: verdict, parameters that its reference changes, gain with its interval, the
    gain that would matter, test AUC, evidence.
    """
    return pd.DataFrame([_row(diagnosis, f) for f in diagnosis.findings])


def _row(diagnosis: Diagnosis, finding: Finding) -> dict[str, Any]:
    config, gain = diagnosis.case.config, finding.decisive
    changes = reference_of(config, finding.component, batches_of(config, diagnosis.case.prepared))
    if finding.component == "gradient":
        changes = {}
    row = {
        "component": finding.component,
        "verdict": finding.verdict,
        "change": ", ".join(f"{p} {getattr(config, p)!r} → {v!r}" for p, v in changes.items()),
        "gain": "" if gain is None else f"{gain.mean:+.3f}",
        "95 % interval": "" if gain is None else f"{gain.interval[0]:+.3f} to {gain.interval[1]:+.3f}",
        "matters from": "" if gain is None else f"{gain.margin:.3f}",
    }
    trained = diagnosis.alone.get(finding.component)
    row["test AUC"] = "" if trained is None else f"{trained.test.mean():.3f}"
    return row | {"evidence": sentence(finding)}


def sentence(finding: Finding) -> str:
    """A finding in words."""
    gain = finding.decisive
    if gain is None or finding.why:
        return finding.why
    verb = {"heals": "restores", "cleared": "changes the AUC by", "undecided": "changes the AUC by"}[
        gain.decision
    ]
    beside = f" beside {', '.join(finding.beside)}" if finding.beside else ""
    low, high = gain.interval
    interval = f"({low:+.3f} to {high:+.3f})"
    return f"Its reference{beside} {verb} {gain.mean:+.3f} {interval}; {gain.margin:.3f} would matter."


def verdicts(diagnosis: Diagnosis) -> list[Verdict]:
    """The findings for verdict.json."""
    return [_verdict(diagnosis, f) for f in diagnosis.findings]


def _verdict(diagnosis: Diagnosis, finding: Finding) -> Verdict:
    gain, trained = finding.decisive, diagnosis.alone.get(finding.component)
    figures: dict[str, Any] = {
        "component": finding.component,
        "gain": None if gain is None else gain.mean,
        "interval": None if gain is None else list(gain.interval),
        "test_gain": None if gain is None else gain.test,
        "gains": None if gain is None else list(gain.values),
        "beside": list(finding.beside),
        "val_auc": diagnosis.as_it_is.val.mean(),
        "val_auc_changed": None if trained is None else trained.val.mean(),
        "test_auc": diagnosis.as_it_is.test.mean(),
        "test_auc_changed": None if trained is None else trained.test.mean(),
    }
    if finding.component == "data":
        figures |= {"checks": data.table_of(list(diagnosis.checks))} | _of_data(diagnosis)
    if finding.component == diagnosis.reproduction.status or finding.component == "gradient":
        figures |= {"reproduction": diagnosis.reproduction.figures}
    tolerance = {
        "gain at least": None if gain is None else gain.margin,
        "min_effect": diagnosis.min_effect,
        "share of what the AUC lacks": COMPONENTS[finding.component].share,
    }
    return Verdict(
        f"Is it the {finding.component}?", finding.verdict, plain(figures), tolerance, sentence(finding)
    )


def _of_data(diagnosis: Diagnosis) -> dict[str, Any]:
    """Gain and interval of the data's worst intervention, if one speaks against it."""
    against = [c for c in diagnosis.checks if c.against and math.isfinite(c.gain)]
    if not against:
        return {}
    worst = max(against, key=lambda c: abs(c.gain))
    return {"gain": worst.gain, "interval": list(worst.interval)}


def metrics(diagnosis: Diagnosis, conclusion: list[str]) -> dict[str, Any]:
    """The content of metrics.json."""
    best, ceiling = diagnosis.ceiling
    return {
        "blamed": list(diagnosis.blamed),
        "conclusion": conclusion,
        "reproduction": diagnosis.reproduction.status,
        "still_improving": diagnosis.improving,
        "as_it_is": _aucs(diagnosis.as_it_is),
        "reference": _aucs(diagnosis.reference),
        "corrected": None if diagnosis.healed is None else _aucs(diagnosis.healed),
        "ceiling": {"model": best, "test_auc": ceiling},
        "seeds": diagnosis.seeds,
    }


def _aucs(trained: Any) -> dict[str, float]:
    return {"val_auc": float(trained.val.mean()), "test_auc": float(trained.test.mean())}
