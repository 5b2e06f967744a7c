"""A comparison in words: the rule before the numbers, the warnings, one paragraph per arm, the table."""

import math
from typing import Any

import pandas as pd

from qnb.statistics.compare import ArmSummary, Comparison, PairedDifference
from qnb.statistics.paired import smallest_p
from qnb.statistics.power import CONFIDENCE, MOST_SEEDS, POWER

ALPHA = "5 %"
FEWEST = 6  # seeds under which an exact test over signs cannot reach 5 %

BETWEEN = (
    " There were as many here: the true difference may lie between the two, where no number of this order "
    "decides it surely."
)


def rule(min_effect: float, seeds: int, arms: int, resampled: bool, metric: str = "test AUC") -> str:
    """The decision rule of `qnb.statistics.compare.compare`, to be shown before any number.

    Args:
        min_effect: the smallest difference that would matter, in units of the metric.
        seeds, arms: their numbers; the reference is one of the arms.
        resampled: whether every seed draws its own split.
        metric: its name.
    """
    comparisons = arms - 1
    family = (
        f"Holm's interval, at a family error of {ALPHA} over {comparisons} comparisons,"
        if comparisons > 1
        else "the 95 % interval"
    )
    variance = f", with the Nadeau-Bengio variance (1/{seeds} + n_test/n_train) s²" if resampled else ""
    return (
        f"Rule, fixed before any number. Differences in {metric}, arm minus reference, paired by seed over "
        f"{seeds} seeds; intervals are Student's t{variance}. Equivalent: the 90 % interval lies inside "
        f"±{min_effect:g} (two one-sided tests at {ALPHA}{_for_each(comparisons)}). This is asked first, so "
        f"that a difference too small to matter is not a win. Better or worse: otherwise, {family} excludes "
        f"0; by more than {min_effect:g} where all of that interval lies beyond it. All errors are those of "
        "this report alone. Undecided: otherwise; seeds are not added after looking. Where all seeds give "
        "one and the same difference there is no spread to test against: equivalent if it is inside "
        f"±{min_effect:g}, else undecided. Identical, which is no decision: an arm with the reference's own "
        "history to the last "
        "bit in every seed. Beside the rule stands an exact Wilcoxon test (not adjusted over arms), whose "
        f"least possible p over {seeds} seeds is {smallest_p(seeds):.3g}."
    )


def _for_each(comparisons: int) -> str:
    """The family-wise error of tests at 5 % for each arm on its own, in words; empty for one comparison."""
    if comparisons == 1:
        return ""
    family_error = 1 - 0.95**comparisons
    return f" for each arm on its own: up to {100 * family_error:.0f} % that one of {comparisons} errs"


def warnings(comparison: Comparison) -> list[str]:
    """Messages that a reader needs before the result."""
    differences, reference, seeds = comparison.differences.values(), comparison.reference, comparison.seeds
    messages = [
        f"IDENTICAL ARMS: {a!r} and {b!r} have the same history to the last bit in every seed. They are one "
        "program, so an override had no effect; nothing about it can be concluded."
        for a, b in comparison.identical
    ]
    messages += _few(min(d.n for d in differences), len(differences))
    short = {d.arm: seeds - d.n for d in differences if d.n < seeds}
    if short:
        listed = ", ".join(f"{arm}: {count} of {seeds}" for arm, count in short.items())
        messages.append(
            f"Failed runs: seeds in which the arm or {reference} failed are left out ({listed}). If a run "
            "fails because of its arm, what is left flatters that arm."
        )
    messages += [
        _constant(d, reference) for d in differences if d.n > 1 and d.sd == 0 and d.decision != "identical"
    ]
    unpaired = {d.arm: d.correlation for d in differences if d.correlation <= 0}
    if unpaired:
        listed = ", ".join(f"{arm} {r:+.2f}" for arm, r in unpaired.items())
        messages.append(
            f"Pairing by seed gained nothing: over seeds the arm and {reference} do not rise and fall "
            f"together (correlation {listed}). The intervals hold as they are."
        )
    if comparison.resampled:
        messages.append(
            "The Wilcoxon and sign tests and the plain t interval take seeds as independent; splits of one "
            "table share rows, so these claim too much here. The Nadeau-Bengio interval decides; its 5 % is "
            "near, not exact."
        )
    return messages


def _few(n: int, comparisons: int) -> list[str]:
    least, level = smallest_p(n), 0.05 / comparisons
    if n == 0:
        return [
            "For one arm or more no seed has a finished run of both that arm and the reference: there is no "
            "result."
        ]
    if n < FEWEST:
        return [
            f"{n} seeds: an exact Wilcoxon or sign test over {n} cannot give a two-sided p under "
            f"{least:.4g}, whatever the differences, so it cannot reach 5 %. Take {FEWEST} seeds at the "
            "least, ten or more to estimate a spread."
        ]
    if least > level:
        return [
            f"{n} seeds: the least p of an exact Wilcoxon test is {least:.4g}, above the {level:.4g} that "
            f"the first of Holm's {comparisons} steps asks for. The rule rests on the t interval."
        ]
    return []


def _constant(d: PairedDifference, reference: str) -> str:
    return (
        f"{d.arm} − {reference} is {d.mean:+.3g} in every one of {d.n} seeds: no spread, so no test. Either "
        "the metric is at its bound, or the seeds vary nothing, or the two are one program."
    )


def sentences(comparison: Comparison) -> list[str]:
    """For each arm other than the reference its decision, and what that is based on."""
    return [_sentence(comparison, d) for d in comparison.differences.values()]


def _interval(pair: tuple[float, float]) -> str:
    return f"{pair[0]:+.3g} to {pair[1]:+.3g}"


def _sentence(comparison: Comparison, d: PairedDifference) -> str:
    if d.decision == "identical":
        return (
            f"{d.arm} against {comparison.reference}: identical, the same history to the last bit in every "
            "seed. The two are one program; nothing can be concluded about what the arm overrides."
        )
    if d.n < 2:
        return (
            f"{d.arm} against {comparison.reference}: undecided, {d.n} of {comparison.seeds} seeds have a "
            "finished run of both."
        )
    opening = (
        f"{d.arm} against {comparison.reference}: {d.decision}. Mean difference in {comparison.metric} "
        f"{d.mean:+.3g} over {d.n} seeds"
    )
    if d.sd == 0:
        return f"{opening}, the same in each."
    kind = "Nadeau-Bengio" if comparison.resampled else "t"
    zeros = f", {d.zeros} equal and left out" if d.zeros else ""
    ties = ", over tied ranks" if d.tied else ""
    return (
        f"{opening} (sd {d.sd:.3g}), 95 % {kind} interval {_interval(d.stated)}. "
        f"{_reason(comparison, d)} {d.up} seeds above, {d.down} below{zeros} (sign test p = {d.p_sign:.3g}); "
        f"exact Wilcoxon p = {d.p_wilcoxon:.3g}{ties}; d_z = {d.d_z:.2f}. {_detectable(d)}"
    )


def _detectable(d: PairedDifference) -> str:
    return (
        f"The rule finds a true difference of {d.detectable:.3g} with a power of {100 * POWER:.0f} %, "
        f"if {d.sd:.3g} is the true sd; as that is an estimate from these {d.n} seeds, with about "
        f"{100 * d.power_estimated:.0f} %."
    )


def _reason(comparison: Comparison, d: PairedDifference) -> str:
    inner, margin = f"90 % interval {_interval(d.interval_90)}", f"±{comparison.min_effect:g}"
    single = len(comparison.differences) == 1
    outer = (
        f"{'95 %' if single else f'Holm ({100 * d.holm_confidence:.4g} %)'} "
        f"interval{'' if single else ' ' + _interval(d.holm)}"
    )
    if d.decision == "equivalent":
        return f"The {inner} lies inside {margin}."
    if d.decision != "undecided":
        beyond = "lies beyond" if d.beyond_margin else "does not lie beyond"
        more = "" if d.beyond_margin else f": whether the difference is more than {margin[1:]} is open"
        return f"The {outer} excludes 0, and {beyond} {margin}{more}."
    if d.seeds_needed is None and comparison.resampled:
        need = (
            "No number of splits of this table would decide it: they share too many rows. It takes more rows."
        )
    elif d.seeds_needed is None:
        need = f"A fresh ablation would need more than {MOST_SEEDS:,} seeds."
    else:
        need = (
            f"A fresh ablation, on seeds not used here, would need {d.seeds_needed:,} seeds to find a true "
            f"difference of {margin}, and to call none equivalent, each with a power of {100 * POWER:.0f} % "
            f"(with a confidence of {100 * CONFIDENCE:.0f} %, as the sd is an estimate)."
            f"{BETWEEN if d.seeds_needed <= d.n else ''}"
        )
    return f"The {inner} does not lie inside {margin}, and the {outer} holds 0. {need}"


def table(comparison: Comparison) -> pd.DataFrame:
    """One row per arm other than the reference: numbers, and intervals as text."""
    rows = [_row(comparison, d) for d in comparison.differences.values()]
    return pd.DataFrame(rows).set_index("arm")


def _row(comparison: Comparison, d: PairedDifference) -> dict[str, Any]:
    arm, reference = comparison.arms[d.arm], comparison.arms[comparison.reference]
    row: dict[str, Any] = {
        "arm": d.arm,
        "decision": d.decision,
        "beyond the margin": "" if d.beyond_margin is None else "yes" if d.beyond_margin else "open",
        "mean ± sd": _spread(arm),
        f"{comparison.reference} mean ± sd": _spread(reference),
    }
    row |= {"seeds": d.n, "difference": d.mean, "sd of differences": d.sd, "95 % t": _interval(d.interval)}
    row |= {"95 % Nadeau-Bengio": _interval(d.nadeau_bengio)} if d.nadeau_bengio else {}
    row |= {
        "90 %": _interval(d.interval_90),
        "Holm": f"{_interval(d.holm)} ({100 * d.holm_confidence:.4g} %)",
    }
    row |= {"p": d.p, "p (Holm)": d.p_holm, "p (equivalence)": d.p_equivalent, "p (Wilcoxon)": d.p_wilcoxon}
    row |= {
        "above, below, equal": f"{d.up}, {d.down}, {d.zeros}",
        "p (sign)": d.p_sign,
        "d_z": d.d_z,
        "g_z": d.g_z,
        "correlation over seeds": d.correlation,
    }
    fresh = (
        ""
        if d.decision != "undecided" or d.n < 2 or math.isnan(d.detectable)
        else d.seeds_needed or f"over {MOST_SEEDS:,}"
    )
    return row | {"detectable": d.detectable, "fresh seeds": fresh}


def _spread(arm: ArmSummary) -> str:
    return f"{arm.mean:.4f} ± {arm.sd:.4f}"
