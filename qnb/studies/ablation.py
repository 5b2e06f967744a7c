"""An ablation: every arm trained from every seed, here or by a sweep, and collected for comparison."""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from qnb.config import TrainConfig
from qnb.core.engine import WRONG_ON_PURPOSE
from qnb.data.grouping import PAIR, SESSION
from qnb.errors import ParameterError, QnbError
from qnb.files import HISTORIES, HISTORY, RESULTS, atomic_write, plain
from qnb.reporting.tables import data_note
from qnb.runs.folder import MANIFEST, METRICS, require_as_written
from qnb.runs.project import find_root
from qnb.statistics import words
from qnb.statistics.compare import Comparison, compare
from qnb.studies.sweep.arms import Planned, SweepConfig
from qnb.studies.sweep.folder import load_sweep, other_code, require_one_table
from qnb.studies.tables import TablesConfig
from qnb.training.baselines import NAMES
from qnb.training.train import train_all

FIGURES = (
    "val_auc",
    "test_auc",
    "test_sep",
    "val_sep",
    "val_loss",
    "best_epoch",
    "epochs_run",
    "degen",
    "diverged",
    "still_improving",
    "threshold",
    "gate",
)
NORMS = ("grad_norm_", "param_norm_", "delta_")  # of a history, by group of parameters
# one and several, by the column that makes them
GROUPS = {SESSION: ("session", "sessions"), PAIR: ("host pair", "host pairs")}


class AblationConfig(TablesConfig, SweepConfig):
    """ablation.ipynb: arms and seeds to train here, or a finished sweep."""

    sweep: str | None = None
    """id of a finished `qnb sweep`: its runs are compared, by its own parameters and margin"""

    THE_SAME: ClassVar[frozenset[str]] = frozenset(
        {"arms", "reference", "min_effect", "sweep", "other_tables"}
    )

    @model_validator(mode="after")
    def _a_sweep_is_of_one_table(self) -> Self:
        if self.other_tables and self.sweep is not None:
            raise ValueError(f"sweep={self.sweep!r} is of one table: leave other_tables out.")
        return self

    def _check_reference(self) -> None:
        if self.sweep is None:  # else the arms are the sweep's
            super()._check_reference()

    def resolved(self, root: Path, given: Collection[str]) -> Self:
        """The configuration of the sweep that this one names, if any: all of it, margin and reference too,
        was stated before its runs.

        Raises:
            RunError: there is no such sweep.
            ParameterError: a parameter was given that differs from the sweep's.
        """
        if self.sweep is None:
            return self
        swept = load_sweep(root, self.sweep)
        return self.taking(dict(swept.config), given, "sweep").model_copy(update={"sweep": swept.id})


@dataclass(frozen=True)
class Study:
    """The results that an ablation is decided on.

    Attributes:
        config: arms, seeds, base and margin.
        results: one row per arm and seed: arm, seed, hash, status, why, the FIGURES, the NORMS of the best
            epoch, and the baselines' test AUC.
        histories: by arm, one history per seed, see `qnb.training.loop.fit`; None where the run failed.
        cards: by seed, the data card of a run that finished, see `qnb.data.table` and
            `qnb.data.overlap.split_card`; all arms have the same one.
        other_code: sentences on runs of a sweep that were made by different code or stacks.
    """

    config: AblationConfig
    results: pd.DataFrame
    histories: dict[str, list[pd.DataFrame | None]]
    cards: dict[int, dict[str, Any]]
    other_code: tuple[str, ...] = ()

    @property
    def card(self) -> dict[str, Any]:
        """The data card of the first seed with a run that finished."""
        return next(iter(self.cards.values()))

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of the distinct tables, in order of seeds."""
        return list(dict.fromkeys(card["fingerprint"] for card in self.cards.values()))

    def size(self, side: str) -> float:
        """Size of a side ("train", "val", "test"), mean over seeds: in groups if the split keeps groups
        together, else in rows.
        """
        grouped = self.config.split == "group"
        return float(
            np.mean(
                [
                    card["groups"][side] if grouped else card["sides"][side]["rows"]
                    for card in self.cards.values()
                ]
            )
        )

    def compare(self) -> Comparison:
        """Every arm against the reference on test AUC, paired by seed; see `qnb.statistics.compare.compare`.

        Raises:
            CompareError: as that function.
        """
        config = self.config
        return compare(
            self.values(),
            config.reference or next(iter(config.arms)),
            config.min_effect,
            n_train=self.size("train"),
            n_test=self.size("test"),
            resampled=config.resampled,
            histories=self.histories,
        )

    def values(self, figure: str = "test_auc") -> dict[str, np.ndarray]:
        """By arm, a column of `results` over seeds, (seeds,); NaN where a run failed."""
        return {
            arm: self.results.loc[self.results["arm"] == arm, figure].to_numpy(float)
            for arm in self.config.arms
        }

    def save(self, folder: Path) -> None:
        """Write results.csv and histories.csv into an existing folder."""
        atomic_write(folder / RESULTS, self.results.to_csv(index=False).encode())
        parts = [
            history.assign(arm=arm, seed=self.config.seed + k)
            for arm, histories in self.histories.items()
            for k, history in enumerate(histories)
            if history is not None
        ]
        atomic_write(folder / HISTORIES, pd.concat(parts).to_csv(index=False).encode())


def train_here(config: AblationConfig, progress: bool = True) -> Study:
    """Train every arm from every seed in this process, those of one shape together where the engine can.

    Raises:
        ParameterError, DataError, EngineError, WrongGradientError: as `qnb.training.train.train_all`.
        QnbError: every run failed; it is the error of the first one.
    """
    plan = config.plan()
    outcomes = train_all([planned.config for planned in plan], progress)
    rows, histories = [], _no_histories()
    cards: dict[int, dict[str, Any]] = {}
    for planned, result in zip(plan, outcomes, strict=True):
        if isinstance(result, QnbError):
            rows.append(_row(planned, {}, None, "failed", str(result)))
            histories[planned.arm].append(None)
        else:
            rows.append(_row(planned, result.metrics, result.history, "done", None))
            histories[planned.arm].append(result.history)
            cards.setdefault(planned.seed, result.prepared.card)
    if not cards:
        raise next(result for result in outcomes if isinstance(result, QnbError))
    return Study(config, pd.DataFrame(rows), dict(histories), cards)


def from_sweep(config: AblationConfig, sweep_id: str, root: Path | None = None) -> Study:
    """The study of the arms and seeds of `config` from the runs of a sweep.

    Args:
        root: the project; None: see `qnb.runs.project.find_root`.

    Raises:
        RunError: there is no such sweep, its runs had different tables, or a file is not what its run wrote.
        ParameterError: no run of it finished.
    """
    sweep = load_sweep(root or find_root(), sweep_id)
    require_one_table(sweep)
    rows, histories = [], _no_histories()
    cards: dict[int, dict[str, Any]] = {}
    by_place = {(row["arm"], row["seed"]): row for row in sweep.rows}
    for planned in config.plan():
        row = by_place.get((planned.arm, planned.seed), {"status": "not run"})
        metrics, history = {}, None
        if row["status"] == "done":
            folder = Path(row["folder"])
            require_as_written(folder, [METRICS, HISTORY])
            metrics, history = (
                json.loads((folder / METRICS).read_text("utf-8")),
                pd.read_csv(folder / HISTORY),
            )
            cards.setdefault(planned.seed, json.loads((folder / MANIFEST).read_text("utf-8"))["data"])
        rows.append(_row(planned, metrics, history, row["status"], row.get("why")))
        histories[planned.arm].append(history)
    if not cards:
        raise ParameterError(f"sweep={sweep_id!r} has no run that finished: there is nothing to compare.")
    return Study(config, pd.DataFrame(rows), dict(histories), cards, tuple(other_code(sweep)))


def _no_histories() -> defaultdict[str, list[pd.DataFrame | None]]:
    return defaultdict(list)


def _row(
    planned: Planned, metrics: dict[str, Any], history: pd.DataFrame | None, status: str, why: str | None
) -> dict[str, Any]:
    row = {
        "arm": planned.arm,
        "seed": planned.seed,
        "hash": planned.config.hash(),
        "status": status,
        "why": why,
    }
    row |= {name: metrics.get(name, np.nan) for name in FIGURES}
    baselines = metrics.get("baselines", {})
    if history is not None and (best := history[history["epoch"] == metrics.get("best_epoch")]).size:
        row |= {name: best[name].iloc[0] for name in history.columns if name.startswith(NORMS)}
    return row | {f"{name}_test_auc": baselines.get(name, {}).get("test_auc", np.nan) for name in NAMES}


def arms_table(config: AblationConfig) -> pd.DataFrame:
    """One row per arm: the values of all parameters that some arm overrides."""
    rows = []
    for arm, overrides in config.arms.items():
        rows.append(
            {"arm": arm} | {name: overrides.get(name, getattr(config, name)) for name in _overridden(config)}
        )
    return pd.DataFrame(rows)


def _overridden(config: AblationConfig) -> list[str]:
    return [
        name
        for name in TrainConfig.model_fields
        if any(name in overrides for overrides in config.arms.values())
    ]


def rule(config: AblationConfig) -> str:
    """The decision rule for these arms and seeds, before any result; see `qnb.statistics.words.rule`."""
    return words.rule(config.min_effect, config.seeds, len(config.arms), config.resampled)


def what_seeds_cover(study: Study) -> str:
    """What varies between seeds, and so what a conclusion covers, in words."""
    config = study.config
    count = f"{config.seeds} seeds ({config.seed} to {config.seed + config.seeds - 1})"
    if config.resample == "none":
        text = (
            f"{count} cover initial parameters and the order of batches, on one split "
            f"(split_seed={config.split_seed}): what follows is about training on these rows, and no "
            "interval covers other rows. Set resample='split' to cover the choice of rows too, or, of the "
            "bundled capture, resample='capture' to draw it anew for every seed."
        )
    elif config.resample == "capture":
        text = (
            f"{count} cover initial parameters, the order of batches, and the table: every seed has a "
            "capture of its own, which the generator drew anew (data_seed and split_seed follow the seed). "
            "Rows of different seeds are independent, so Student's t holds. What follows is about captures "
            "of this generator."
        )
    else:
        kept = f" No group stands on two sides (split={config.split!r})." if config.split == "group" else ""
        text = (
            f"{count} cover initial parameters, the order of batches, and which rows are drawn for training, "
            f"validation and test (split_seed follows the seed).{kept} The sides of different seeds overlap, "
            "so the interval is Nadeau and Bengio's."
        )
    return " ".join(
        [text, *filter(None, [_shared_groups(study)]), *(f"**{sentence}**" for sentence in study.other_code)]
    )


def _shared_groups(study: Study) -> str:
    """That rows of one group stand on two sides of the first seed's split, in words.

    Empty where they do not, and where every seed has groups of its own.
    """
    groups = study.card["groups"]
    if study.config.resample == "capture" or not (groups and groups["on_two_sides"]):
        return ""
    singular, plural = GROUPS.get(groups["columns"][0], ("group", "groups"))
    return (
        f"With split={study.config.split!r} rows of one {singular} appear in both train and test: "
        f"{groups['on_two_sides']} of {groups['count']} {plural} (by {', '.join(groups['columns'])}) do. "
        f"So the interval does not cover other {plural}; split='group' keeps each on one side."
    )


def note(study: Study) -> str:
    """The data, and the arms with a wrong gradient on purpose, for the foot of every figure."""
    wrong = [
        p.arm for p in study.config.plan()[: len(study.config.arms)] if p.config.engine in WRONG_ON_PURPOSE
    ]
    warning = f" · {', '.join(wrong)}: WRONG GRADIENT ON PURPOSE (one sample's, simulated)" if wrong else ""
    return data_note(study.card) + warning


def summary(study: Study) -> pd.DataFrame:
    """One row per arm: mean and standard deviation over seeds of the key figures, median and range of the
    best epoch, and how many runs finished, were degenerate, diverged or were still improving.
    """
    rows = []
    for arm in study.config.arms:
        runs = study.results[study.results["arm"] == arm]
        row: dict[str, Any] = {"arm": arm, "runs": int((runs["status"] == "done").sum())}
        for name in ("val_auc", "test_auc", "test_sep", "val_loss"):
            mean, sd = runs[name].mean(), runs[name].std(ddof=1)
            row[f"{name} mean"], row[f"{name} sd"] = mean, sd
        best = runs["best_epoch"].dropna().astype(int)
        row["best epoch (range)"] = f"{best.median():.0f} ({best.min()}-{best.max()})" if len(best) else ""
        row["degenerate"] = int(runs["degen"].fillna(0).sum())
        row["diverged"] = int(runs["diverged"].notna().sum())
        row["still improving"] = _improving(runs)
        rows.append(row)
    return pd.DataFrame(rows)


def _improving(runs: pd.DataFrame) -> int:
    """How many runs were still improving, see `qnb.training.progress.still_improving`."""
    return int((runs["still_improving"] == True).sum())  # noqa: E712  (None and NaN are neither)


def not_levelled(study: Study) -> list[str]:
    """A list with one sentence on the arms that were still improving when training ended; [] without any."""
    results = study.results
    counts = {arm: _improving(results[results["arm"] == arm]) for arm in study.config.arms}
    rising = [f"{arm} in {count} of {study.config.seeds} runs" for arm, count in counts.items() if count]
    return (
        [
            f"Still improving when the training ended: {', '.join(rising)}. Longer training may change the "
            "differences; the decisions stand for this many epochs."
        ]
        if rising
        else []
    )


def baselines_sentence(study: Study) -> str:
    """Test AUC of the classical baselines on the same rows and features, in words."""
    parts = []
    for name, model in NAMES.items():
        aucs = study.results[f"{name}_test_auc"].dropna()
        spread = f" (sd {aucs.std(ddof=1):.4f} over splits and arms)" if aucs.nunique() > 1 else ""
        parts += [f"{model} has test AUC {aucs.mean():.4f}{spread}"] if len(aucs) else []
    return ", ".join(parts) + "." if parts else "none was asked for (baselines=[])."


def against_twin(study: Study) -> Comparison | None:
    """Every arm against its own dequantised twin on test AUC, paired by seed; None where no arm has one.

    What is compared are the differences, so the reference "twin" is 0 in every seed. If all seeds have the
    same split, a twin's AUC is one number, and the interval is over the circuit's seeds only.
    """
    twins = study.values("twin_test_auc")
    differences = {arm: values - twins[arm] for arm, values in study.values().items()}
    compared = {arm: d for arm, d in differences.items() if not np.isnan(d).all()}
    if not compared:
        return None
    config = study.config
    return compare(
        {"twin": np.zeros(config.seeds)} | compared,
        "twin",
        config.min_effect,
        n_train=study.size("train"),
        n_test=study.size("test"),
        resampled=config.resampled,
        metric="test AUC above the twin",
    )


# a decision of `qnb.statistics.compare` as that of a circuit against its twin
TWIN = {"better": "above", "worse": "below"}


def twin_decisions(comparison: Comparison | None) -> dict[str, dict[str, Any]]:
    """By arm, for metrics.json: decision (above, equivalent, below or undecided), difference, low, high."""
    decisions = {}
    for arm, d in comparison.differences.items() if comparison else ():
        low, high = d.stated
        decisions[arm] = {
            "decision": TWIN.get(d.decision, d.decision),
            "difference": plain(d.mean),
            "low": plain(low),
            "high": plain(high),
        }
    return decisions


def twin_sentence(comparison: Comparison | None) -> str:
    """Every arm against its twin, in one sentence."""
    if comparison is None:
        return "No arm has a dequantised twin to stand against."
    parts = []
    for arm, outcome in twin_decisions(comparison).items():
        difference, low, high = (_signed(outcome[name]) for name in ("difference", "low", "high"))
        parts.append(f"{arm} {outcome['decision']} ({difference}, 95 % interval {low} to {high})")
    return (
        "Against the dequantised twin, a logistic regression on the encoder's own sines and cosines, by the "
        f"same rule, over {comparison.seeds} seeds: {'; '.join(parts)}."
    )


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4f}"


def metrics(study: Study, comparison: Comparison) -> dict[str, Any]:
    """The content of metrics.json: decisions and conclusion, mean and sd of each arm's figures, the
    comparison, and the arms against their twins.
    """
    arms = {}
    for arm in study.config.arms:
        runs = study.results[study.results["arm"] == arm]
        arms[arm] = {
            "done": int((runs["status"] == "done").sum()),
            "failed": int((runs["status"] != "done").sum()),
        }
        arms[arm]["still_improving"] = _improving(runs)
        for name in FIGURES[:5]:
            arms[arm] |= {
                f"{name}_mean": plain(runs[name].mean()),
                f"{name}_sd": plain(runs[name].std(ddof=1)),
            }
    warnings, twins = words.warnings(comparison), against_twin(study)
    return {
        "decisions": {arm: difference.decision for arm, difference in comparison.differences.items()},
        "conclusion": [
            *warnings,
            *words.sentences(comparison),
            twin_sentence(twins),
            *not_levelled(study),
        ],
        "arms": arms,
        "comparison": comparison.to_dict() | {"rule": rule(study.config), "warnings": warnings},
        "against_twin": twin_decisions(twins),
        "synthetic": study.card.get("synthetic"),
        **({"other_code": list(study.other_code)} if study.other_code else {}),
    }
