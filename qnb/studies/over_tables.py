"""One ablation on several tables: a comparison on each, and one over all of them.

Over tables, each table counts once: its value is the mean difference over its seeds, and the interval is
Student's over tables (Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, Journal of
Machine Learning Research 7, 1-30: tables, not seeds, are the independent units of such a statement).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qnb.files import plain
from qnb.statistics.compare import Comparison, PairedDifference, compare
from qnb.studies.ablation import AblationConfig, Study, not_levelled, train_here

BASE = "as configured"  # the table of the ablation itself


@dataclass(frozen=True)
class OverTables:
    """The comparisons of one ablation.

    Attributes:
        studies: by table, the ablation's own (BASE) first.
        comparisons: by table.
        overall: over tables, with their number as `seeds`; None where there is only one table.
    """

    studies: dict[str, Study]
    comparisons: dict[str, Comparison]
    overall: Comparison | None

    @property
    def arms(self) -> list[str]:
        """Names of the arms, without the reference."""
        return list(self.comparisons[BASE].differences)

    def of(self, arm: str) -> dict[str, PairedDifference]:
        """By table, the arm's difference; the one over tables last, under "overall", if there is one."""
        differences = {table: c.differences[arm] for table, c in self.comparisons.items()}
        return differences | ({"overall": self.overall.differences[arm]} if self.overall else {})


def _quietly(config: AblationConfig) -> Study:
    return train_here(config, progress=False)


def on_tables(
    config: AblationConfig, base: Study, train: Callable[[AblationConfig], Study] = _quietly
) -> OverTables:
    """Repeat an ablation on each table that it names.

    Args:
        base: the ablation on its own table.
        train: configuration -> its study; by default `qnb.studies.ablation.train_here`.

    Raises:
        ParameterError, DataError, QnbError: as `train`.
    """
    studies = {BASE: base}
    for table in config.other_tables or ():
        print(f"training on {table}", flush=True)
        studies[table] = train(config.on(table))
    comparisons = {table: study.compare() for table, study in studies.items()}
    return OverTables(studies, comparisons, _overall(comparisons) if config.other_tables else None)


def _overall(comparisons: dict[str, Comparison]) -> Comparison:
    """Each arm's mean differences, one a table, against 0, which is the reference's."""
    first = comparisons[BASE]
    means = {
        arm: np.array([c.differences[arm].mean for c in comparisons.values()]) for arm in first.differences
    }
    values = {first.reference: np.zeros(len(comparisons))} | means
    return compare(values, first.reference, first.min_effect)


def results(found: OverTables) -> pd.DataFrame:
    """The rows of every study's results, with a column for the table in front."""
    parts = [study.results.assign(table=table) for table, study in found.studies.items()]
    rows = pd.concat(parts, ignore_index=True)
    return rows[["table", *rows.columns.drop("table")]]


def cell(difference: PairedDifference) -> str:
    """Mean difference, interval and decision, as text."""
    low, high = difference.stated
    return f"{difference.mean:+.4f} [{low:+.4f}, {high:+.4f}] {difference.decision}"


def table(found: OverTables) -> pd.DataFrame:
    """One row per table, with the one over tables last, and one column per arm."""
    columns = {arm: {name: cell(d) for name, d in found.of(arm).items()} for arm in found.arms}
    return pd.DataFrame(columns).rename_axis("table").reset_index()


def sentences(found: OverTables) -> list[str]:
    """For each arm a sentence on its difference over tables, and on where its sign changes; [] for one
    table.
    """
    return [_sentence(found, arm) for arm in found.arms] if found.overall else []


def _sentence(found: OverTables, arm: str) -> str:
    differences = found.of(arm)
    overall = differences.pop("overall")
    kinds = {kind: [t for t, d in differences.items() if d.decision == kind] for kind in ("better", "worse")}
    counts = {
        d.decision: sum(e.decision == d.decision for e in differences.values()) for d in differences.values()
    }
    tally = ", ".join(f"{kind} on {n}" for kind, n in counts.items())
    changes = (
        f" Its sign changes with the table: better on {', '.join(kinds['better'])}, worse on "
        f"{', '.join(kinds['worse'])}."
        if kinds["better"] and kinds["worse"]
        else ""
    )
    return f"Over {len(differences)} tables {arm} is {cell(overall)}: {tally}.{changes}"


def metrics(found: OverTables) -> dict[str, Any]:
    """The entries of metrics.json: each arm's difference by table and over tables; {} for one table."""
    if found.overall is None:
        return {}
    tables: dict[str, Any] = {}
    for arm in found.arms:
        for name, d in found.of(arm).items():
            low, high = d.stated
            tables.setdefault(name, {})[arm] = {
                "decision": d.decision,
                "difference": plain(d.mean),
                "low": plain(low),
                "high": plain(high),
                "n": d.n,
            }
    improving = {name: not_levelled(study) for name, study in found.studies.items()}
    return {
        "tables": tables,
        "over_tables": [
            *sentences(found),
            *(f"{name}: {notes[0]}" for name, notes in improving.items() if notes and name != BASE),
        ],
    }
