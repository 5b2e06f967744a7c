"""The quotations in docs/claims.md, written from the published reports between marks of the form

    <!-- from ablation_focal -->
    ...
    <!-- end -->

For an ablation that is a table, for any other report the sentences of its conclusion.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from qnb.files import atomic_write
from qnb.reports.plan import OLDER
from qnb.reports.publish import SHIPPED, stamp_of

PAGE = Path("docs") / "claims.md"
MARKED = re.compile(r"(<!-- from (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
CLAIMS = "claims"  # the mark of the table of verdicts


class Claim(NamedTuple):
    """A claim of the research note about an arm against the reference arm of its ablation.

    Attributes:
        said, figures: the claim in words, and the note's figures for it.
        expected: the decisions (of better, worse, equivalent) that would confirm it.
        arm: the arm's name.
        reports: the published ablations that test it.
    """

    said: str
    figures: str
    expected: tuple[str, ...]
    arm: str
    reports: tuple[str, ...]


BALANCED = "Balanced batches cost AUC", "−0.049 test AUC", ("worse",)
FOCAL = "Focal loss (gamma 2) costs AUC under the true prior", "−0.0194 test AUC", ("worse",)
ONECYCLE = "One-cycle is worse than a constant rate", "best epoch the first, 5 seeds of 5", ("worse",)
READOUT = (
    "A trainable readout does not improve AUC",
    "−0.0004 test AUC, one seed",
    ("equivalent", "worse"),
)
GRID = ("ablation_grid_epoch1_sample100k", "ablation_grid_epoch1_one_sample")
SEED5 = ("ablation_seed5_epoch5", "ablation_seed5_epoch5_one_sample")
READOUTS = tuple(f"ablation_mean_z_vs_readout{end}" for end in ("_note", "_one_sample", ""))
VERDICTS: tuple[Claim, ...] = (
    Claim(*BALANCED, "balanced_mean_z_softplus", GRID),
    Claim(*BALANCED, "balanced", ("ablation_prior_correction",)),
    Claim(*FOCAL, "true_prior_focal_2", GRID),
    Claim(*FOCAL, "gamma_2", ("ablation_focal",)),
    Claim(*ONECYCLE, "onecycle", SEED5),
    Claim(*ONECYCLE, "onecycle", ("ablation_schedules",)),
    Claim(*READOUT, "mean_z_readout", READOUTS),
)


def verdict(expected: tuple[str, ...], found: str) -> str:
    """What a decision means for a claim: "holds", "reversed", "not seen" or "open"."""
    if found in expected:
        return "holds"
    if found in ("undecided", "identical"):
        return "open"
    return "not seen" if found == "equivalent" else "reversed"


def write(root: Path) -> None:
    """Rewrite the quotations in docs/claims.md; a line says so where a report is missing."""
    path = root / PAGE
    atomic_write(path, filled(path.read_text("utf-8"), root).encode())


def filled(text: str, root: Path) -> str:
    """The text of the page, with the published reports' findings between its marks."""

    def between(match: re.Match[str]) -> str:
        name = match[2]
        quotation = claims_table(root) if name == CLAIMS else quoted(name, root)
        return f"{match[1]}{quotation}{match[3]}"

    return MARKED.sub(between, text)


def _metrics(name: str, root: Path) -> dict[str, Any] | None:
    path = root / SHIPPED / f"{name}.json"
    if not path.exists():
        return None
    metrics: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return metrics


def _differences(metrics: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """By table, then by arm: decision, difference, low, high, n; over all tables last, if there are more."""
    if "tables" in metrics:
        by_table: dict[str, dict[str, dict[str, Any]]] = metrics["tables"]
        return by_table
    by_arm = {}
    for arm, d in metrics["comparison"]["differences"].items():
        low, high = d["nadeau_bengio"] or d["interval"]
        by_arm[arm] = {
            "decision": d["decision"],
            "difference": d["mean"],
            "low": low,
            "high": high,
            "n": d["n"],
        }
    return {"as configured": by_arm}


def _cell(d: dict[str, Any]) -> str:
    if d["difference"] is None or d["low"] is None:
        return str(d["decision"])
    return f"{d['difference']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}] {d['decision']}"


def quoted(name: str, root: Path) -> str:
    """The finding of one published report, in Markdown, or a line that it has not been run."""
    metrics = _metrics(name, root)
    if metrics is None:
        return f"(`{name}` has not been run.)\n"
    if "comparison" in metrics:
        return _age(name, root) + _of_ablation(name, metrics, root)
    conclusion = metrics["conclusion"]
    text = "".join(
        f"- {sentence}\n" for sentence in ([conclusion] if isinstance(conclusion, str) else conclusion)
    )
    return _age(name, root) + re.sub(r"([_<])(?=\w)", r"\\\1", text)


def _age(name: str, root: Path) -> str:
    """A line on a report that was made by earlier code; empty for others."""
    commit = stamp_of(name, root).get("commit", "unknown")[:10]
    return f"(Made by earlier code, commit {commit}; not run on this code.)\n\n" if name in OLDER else ""


def _of_ablation(name: str, metrics: dict[str, Any], root: Path) -> str:
    """Tables by arms, then the epochs in which the arms were best."""
    differences = _differences(metrics)
    reference = metrics["comparison"]["reference"]
    arms = list(next(iter(differences.values())))
    rows = [[table, *(_cell(by_arm[arm]) for arm in arms)] for table, by_arm in differences.items()]
    seeds = metrics["comparison"]["seeds"]
    head = f"Test AUC minus that of `{reference}`, 95 % interval, decision; {seeds} seeds"
    remarks = " ".join(filter(None, [_signs(differences), _epochs(name, metrics, root)]))
    return f"{head}:\n\n{_markdown([('table', *arms), *rows])}\n{remarks}\n"


def _signs(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Which arms are above the reference on one table and below it on another, by their 95 % intervals.

    Empty where there is one table.
    """
    tables = [table for table in found if table != "overall"]
    if len(tables) < 2:
        return ""
    sentences = []
    for arm in found[tables[0]]:
        bounds = {table: (found[table][arm]["low"], found[table][arm]["high"]) for table in tables}
        known = {table: pair for table, pair in bounds.items() if None not in pair}
        above = [table for table, (low, _) in known.items() if low > 0]
        below = [table for table, (_, high) in known.items() if high < 0]
        if above and below:
            sentences.append(f"`{arm}` is above 0 on {', '.join(above)}, below on {', '.join(below)}")
    if not sentences:
        return "No arm's interval is above 0 on one table and below on another."
    return f"Signs change with the table: {'; '.join(sentences)}."


def _epochs(name: str, metrics: dict[str, Any], root: Path) -> str:
    """Best epoch of each arm, and how many runs were still improving, on the ablation's own table."""
    results = pd.read_csv(root / SHIPPED / f"{name}.csv")
    own = results[results["table"] == results["table"].iloc[0]] if "table" in results else results
    parts = []
    for arm, figures in metrics["arms"].items():
        best = own.loc[own["arm"] == arm, "best_epoch"].dropna().astype(int)
        rising = f", {figures['still_improving']} still improving" if figures.get("still_improving") else ""
        parts += [f"`{arm}` {best.median():.0f} ({best.min()} to {best.max()}){rising}"] if len(best) else []
    return f"Best epoch, median and range: {'; '.join(parts)}."


def claims_table(root: Path) -> str:
    """The claims in VERDICTS, each with what its published ablations found, as a Markdown table."""
    rows = []
    for claim in VERDICTS:
        for name in claim.reports:
            metrics = _metrics(name, root)
            if metrics is None:
                continue
            differences = {table: by_arm[claim.arm] for table, by_arm in _differences(metrics).items()}
            verdicts = {table: verdict(claim.expected, d["decision"]) for table, d in differences.items()}
            last = list(differences)[-1]
            kinds = [kind for table, kind in verdicts.items() if table != "overall"]
            counts = ", ".join(f"{kind} on {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
            cells = _cell(differences[last]), f"**{verdicts[last]}** ({counts})"
            rows.append([claim.said, claim.figures, f"`{name}`", *cells])
    if not rows:
        return "(No report has been run.)\n"
    return _markdown([("the note says", "with", "asked in", "found, over all its tables", "verdict"), *rows])


def _markdown(rows: list[Any]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]) + "\n"
