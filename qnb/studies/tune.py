"""The search for the best model: trials on the exact engine, with pruning; the best on validation rows is
confirmed on rows that the search never saw.

The search (Optuna: Akiba et al., KDD 2019) is given training and validation rows only. The test rows, set
aside by the split before it, are used by the confirmation. The bundled capture can be generated again: there
every seed of the confirmation trains and tests on a fresh one.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
import optuna
import pandas as pd
import yaml
from pydantic import Field, model_validator
from tqdm import tqdm

from qnb.config import BaselinesConfig, Seed, SplitConfig, TableConfig, TrainConfig, training_of
from qnb.data.grouping import stands_in
from qnb.data.prepare import Prepared, prepare_all
from qnb.errors import QnbError
from qnb.reporting.tables import twin_sentence
from qnb.statistics import paired
from qnb.statistics.auc import MIN_EFFECT, against
from qnb.statistics.bootstrap import AUCDifference, seeds_and_rows_interval
from qnb.studies.sweep.arms import FOLLOWS
from qnb.studies.tables import TablesConfig
from qnb.training.baselines import NAMES
from qnb.training.loop import TrainingDiverged, fit
from qnb.training.metrics import Row
from qnb.training.train import TrainResult, train_all

SEARCHED = ("angle_range", "lr", "lr_schedule", "layers", "ansatz", "reupload", "measurement", "batch")
WARM_UP = 5  # trials, and epochs of a trial, before any is pruned


class SearchError(QnbError):
    """The search found nothing to confirm."""


class TuneConfig(TablesConfig, BaselinesConfig, SplitConfig, TableConfig):
    """tune.ipynb: the table, the budget of the search, and the seeds of the confirmation.

    On other tables it only searches, to find which parameters decide there; the winner is not theirs.
    """

    sample: Annotated[
        Annotated[int, Field(ge=100)] | None, Field(description="rows drawn, stratified by label; None: all")
    ] = 20_000
    wires: Annotated[int, Field(ge=1, le=12, description="features after reduction, one per wire")] = 8
    epochs: Annotated[int, Field(ge=2)] = 12
    """of a trial that is not stopped early, and of the confirmation"""
    trials: Annotated[int, Field(ge=2)] = 40
    """of the search"""
    seed: Seed = 0
    """of the search, and of every trial's training"""
    confirm_seed: Annotated[int, Field(ge=1)] = 1000
    """first seed of the confirmation; the bundled capture's data_seed and split_seed follow it"""
    confirm_runs: Annotated[int, Field(ge=2)] = 10
    """of the confirmation, one a seed"""

    def training(self) -> TrainConfig:
        """The configuration that trials vary: the defaults of train.ipynb on the exact engine.

        Raises:
            ParameterError: a value contradicts another.
        """
        return training_of(self, engine="exact")

    @model_validator(mode="after")
    def _fresh(self) -> Self:
        self.training()
        last = self.confirm_seed + self.confirm_runs - 1
        if any(self.confirm_seed <= used <= last for used in (self.seed, self.data_seed)):
            raise ValueError(
                f"confirm_seed={self.confirm_seed} begins the seeds {self.confirm_seed} to {last}, and the "
                f"search uses one of them already (seed={self.seed}, data_seed={self.data_seed}): take one "
                "that is fresh."
            )
        if self.data == "bundled" and self.split == "attack" and self.attack_test is None:
            raise ValueError(
                "split='attack' draws the types of the test anew in the confirmation's capture, so that the "
                "search would have seen some: name them in attack_test."
            )
        return self


@dataclass(frozen=True)
class Search:
    """The outcome of a search.

    Attributes:
        trials: one row per trial, in order: number, state (COMPLETE, PRUNED, or FAIL if it diverged),
            val_auc (of its best epoch), epochs, and SEARCHED.
        best: the configuration with the highest validation AUC.
        space: by name, the distribution of each searched parameter.
    """

    trials: pd.DataFrame
    best: TrainConfig
    space: dict[str, optuna.distributions.BaseDistribution]

    def overrides(self) -> dict[str, Any]:
        """The parameters of the best configuration that differ from the defaults of train.ipynb."""
        default = TrainConfig()
        return {name: value for name, value in self.best if value != getattr(default, name)}


def batches(rows: int) -> list[int]:
    """The batch sizes to search: those of 32 to 256 that are at most a quarter of the training `rows`."""
    return [b for b in (32, 64, 128, 256) if b <= rows // 4] or [rows // 4]


def suggest(trial: optuna.Trial, rows: int) -> dict[str, Any]:
    """One point of the search space; the number of training `rows` bounds the batch size."""
    return {
        "angle_range": trial.suggest_categorical("angle_range", ["0_pi", "pm_pi_2", "pm_pi"]),
        "lr": trial.suggest_float("lr", 0.005, 0.3, log=True),
        "lr_schedule": trial.suggest_categorical("lr_schedule", ["constant", "cosine", "onecycle"]),
        "layers": trial.suggest_int("layers", 1, 6),
        "ansatz": trial.suggest_categorical("ansatz", ["strongly_entangling", "ring", "unentangled"]),
        "reupload": trial.suggest_categorical("reupload", [False, True]),
        "measurement": trial.suggest_categorical("measurement", ["mean_z", "z_vec", "mean_z_readout"]),
        "batch": trial.suggest_categorical("batch", batches(rows)),
    }


def search(
    config: TuneConfig, progress: bool = True, on_trial: Callable[[pd.DataFrame], None] | None = None
) -> Search:
    """Run `config.trials` trials, the defaults of train.ipynb first.

    A trial is stopped after an epoch if its best validation AUC so far is below the median of the earlier
    trials at that epoch; not within the first WARM_UP trials and epochs (Optuna's MedianPruner).

    Args:
        progress: whether to show the progress bar.
        on_trial: called after each trial with the table of the trials so far.

    Raises:
        SearchError: no trial finished.
        ParameterError, DataError, WrongGradientError: as training.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=WARM_UP)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed), pruner=pruner
    )
    base = config.training()
    prepared = prepare_all([base.model_copy(update={"angle_range": r}) for r in RANGES])
    by_range = {r: _without_test(p) for r, p in zip(RANGES, prepared, strict=True)}
    defaults = {name: getattr(base, name) for name in SEARCHED}
    fits = max(batches(len(by_range[base.angle_range].y["train"])))
    study.enqueue_trial(defaults | {"batch": min(base.batch, fits)})
    with tqdm(
        total=config.trials, unit="trial", disable=not progress, file=sys.stdout, mininterval=1.0, ncols=100
    ) as bar:

        def on_end(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            bar.update()
            if on_trial is not None:
                on_trial(_table(study))

        study.optimize(
            _objective(base, by_range), config.trials, catch=(TrainingDiverged,), callbacks=[on_end]
        )
    trials = _table(study)
    if not (trials["state"] == "COMPLETE").any():
        raise SearchError(
            f"None of {config.trials} trials finished. Train longer (epochs), or lower the rates searched."
        )
    return Search(trials, _config_of(base, study.best_params), study.best_trial.distributions)


def importances(result: Search, seed: int) -> pd.Series:
    """Importance of each searched parameter for the validation AUC, by name.

    It is the variance of the parameter's main effect in a functional ANOVA of a random forest over the
    trials (Hutter, Hoos and Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter
    Importance, ICML, 754-762; applied to quantum neural networks by Moussa, van Rijn, Baeck and Dunjko 2023,
    Hyperparameter importance and optimization of quantum neural networks across small datasets, Machine
    Learning 113, 1941-1966), as a share of the variance of the forest's AUC; what is missing to 1 belongs to
    interactions. Trials that were stopped early count with the AUC that they had. All are
    0 if every trial has the same AUC.

    Args:
        seed: of the forest.
    """
    trials = result.trials[result.trials["state"].isin(["COMPLETE", "PRUNED"])].dropna(subset=["val_auc"])
    if trials["val_auc"].nunique() < 2:
        return pd.Series(0.0, index=list(SEARCHED))
    study = optuna.create_study(direction="maximize")
    for row in trials.to_dict("records"):
        params = {name: row[name] for name in SEARCHED}
        trial = optuna.trial.create_trial(params=params, distributions=result.space, value=row["val_auc"])
        study.add_trial(trial)
    shares = optuna.importance.FanovaImportanceEvaluator(seed=seed).evaluate(study)
    return pd.Series(shares).reindex(SEARCHED, fill_value=0.0)


def decides(config: TuneConfig, own: Search) -> pd.DataFrame:
    """`importances` on the table of the search and on each other table, on which its own search is run.

    Returns:
        One row per parameter, the most important on average first; one column per table.

    Raises:
        SearchError, ParameterError, DataError, WrongGradientError: as `search`.
    """
    by_table = {"as configured": importances(own, config.seed)}
    for table in config.other_tables or ():
        print(f"searching on {table}", flush=True)
        by_table[table] = importances(search(config.on(table), progress=False), config.seed)
    shares = pd.DataFrame(by_table)
    return shares.loc[shares.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def what_decides(shares: pd.DataFrame) -> str:
    """The order of the parameters in words, and the answers to two questions of Moussa et al. (2023).

    Args:
        shares: from `decides`.
    """
    mean = shares.mean(axis=1)
    order = ", ".join(f"{name} {mean[name]:.2f}" for name in shares.index)
    text = f"Share of the variance of validation AUC, mean over {shares.shape[1]} table(s): {order}."
    if {"angle_range", "lr", "ansatz"} <= set(shares.index):
        above = np.count_nonzero(shares.loc["angle_range"].to_numpy() > shares.loc["lr"].to_numpy())
        last = np.count_nonzero((shares.loc["ansatz"] == shares.min()).to_numpy())
        text += (
            f" The encoding's range is above the rate on {above} of {shares.shape[1]}; how wires are "
            f"entangled (ansatz, none included) comes last on {last}."
        )
    return text


RANGES = ("0_pi", "pm_pi_2", "pm_pi")


def _without_test(prepared: Prepared) -> Prepared:
    """Training and validation rows alone: what is not there cannot be chosen by."""
    sides = ("train", "val")
    X, y = ({side: arrays[side] for side in sides} for arrays in (prepared.X, prepared.y))
    return replace(prepared, X=X, y=y, test_groups=None)


def _config_of(base: TrainConfig, values: dict[str, Any]) -> TrainConfig:
    return TrainConfig.make(base.model_dump() | values)


def _objective(base: TrainConfig, by_range: dict[str, Prepared]) -> Callable[[optuna.Trial], float]:
    """The best validation AUC over the epochs of a trial's training."""
    rows = len(by_range[base.angle_range].y["train"])

    def objective(trial: optuna.Trial) -> float:
        config, aucs = _config_of(base, suggest(trial, rows)), [-np.inf]

        def report(history: list[Row]) -> None:
            aucs.append(history[-1]["val_auc"])
            trial.report(max(aucs), history[-1]["epoch"])
            trial.set_user_attr("epochs", history[-1]["epoch"])
            trial.set_user_attr("val_auc", max(aucs))
            if trial.should_prune():
                raise optuna.TrialPruned

        fit(config, by_range[config.angle_range], progress=False, on_epoch=report)
        return max(aucs)

    return objective


def _table(study: optuna.Study) -> pd.DataFrame:
    columns = ["number", "state", "val_auc", "epochs", *SEARCHED]
    table = study.trials_dataframe(attrs=("number", "state", "user_attrs", "params"))
    table = table.rename(columns=lambda name: name.removeprefix("user_attrs_").removeprefix("params_"))
    return table.reindex(columns=columns).fillna({"epochs": 0})


@dataclass(frozen=True)
class Confirmation:
    """The chosen configuration on rows that the search was not given.

    Attributes:
        results: one per seed, in order; all on the same rows, or each on its own capture.
        over: by baseline, the circuit's test AUC minus the baseline's: mean over seeds, and an interval over
            `drawn`.
    """

    results: list[TrainResult]
    over: dict[str, AUCDifference]

    @property
    def test_auc(self) -> np.ndarray:
        """Test AUC of each seed, (S,)."""
        return np.array([r.metrics["test_auc"] for r in self.results])

    def test_auc_of(self, baseline: str) -> np.ndarray:
        """Test AUC of a classical baseline on the same rows, for each seed, (S,)."""
        return np.array([r.metrics["baselines"][baseline]["test_auc"] for r in self.results])

    @property
    def against_twin(self) -> dict[str, Any] | None:
        """The circuit against its twin, see `qnb.statistics.auc.against`; None where there is no twin."""
        return against(self.over["twin"], MIN_EFFECT) if "twin" in self.over else None

    @property
    def test_auc_interval(self) -> tuple[float, float]:
        """95 % interval of the mean test AUC over `drawn`, within [0, 1].

        On common rows it is computed as that of the difference from a constant score, whose AUC is 1/2.
        """
        if self.captures:
            interval = _over_captures(self.test_auc)
            return max(interval.low, 0.0), min(interval.high, 1.0)
        prepared = self.results[0].prepared
        y, circuit = prepared.y["test"], [r.logits["test"] for r in self.results]
        constant = [np.zeros(len(y))] * len(circuit)
        seed = self.results[0].config.seed
        interval = seeds_and_rows_interval(y, circuit, constant, prepared.test_units, seed=seed)
        return max(0.5 + interval.low, 0.0), min(0.5 + interval.high, 1.0)

    @property
    def captures(self) -> bool:
        """Whether every seed has its own capture."""
        return _on_captures(self.results)

    @property
    def drawn(self) -> str:
        """What the intervals are taken over, in words."""
        return f"{len(self.results)} captures, one a seed" if self.captures else f"seeds and {self.units}"

    @property
    def units(self) -> str:
        """What the intervals resample besides seeds, in words."""
        groups = self.results[0].prepared.card["groups"]
        if groups is None:
            return "rows"
        single = "; rows of class 0 one by one" if stands_in(tuple(groups["columns"])) else ""
        return f"groups of rows ({', '.join(groups['columns'])}{single})"

    @property
    def rows(self) -> str:
        """The origin of the test rows, in words."""
        config, prepared = self.results[0].config, self.results[0].prepared
        count = f"{len(prepared.y['test']):,}"
        if self.captures:
            return (
                f"some {count} rows of each of {len(self.results)} captures that the generator drew anew, "
                f"for training too (data_seed from {config.data_seed})"
            )
        origin = (
            f"{count} rows that split='{config.split}' set aside before the search; training and validation "
            "rows are the search's"
        )
        copies = prepared.card["duplicates_across"]["exact"]
        if not copies["train-test"] + copies["val-test"]:
            return origin
        return (
            f"{origin} ({copies['train-test']} of the {count} have the features of a training row, "
            f"{copies['val-test']} of a validation row)"
        )


def confirm(config: TuneConfig, best: TrainConfig, progress: bool = True) -> Confirmation:
    """Train `best` from fresh seeds and test it: each on a fresh capture if the data is the bundled one,
    else on the rows set aside.

    Raises:
        QnbError: the training of a seed failed, or there are too few groups of one class for an interval.
    """
    following = ("seed", *(FOLLOWS["capture"] if best.data == "bundled" else ()))
    seeds = range(config.confirm_seed, config.confirm_seed + config.confirm_runs)
    results = []
    for result in train_all(
        [TrainConfig.make(best.model_dump() | dict.fromkeys(following, seed)) for seed in seeds], progress
    ):
        if isinstance(result, QnbError):
            raise result
        results.append(result)
    return Confirmation(results, differences(results, config.confirm_seed))


def differences(results: list[TrainResult], seed: int) -> dict[str, AUCDifference]:
    """By baseline, the test AUC of the circuits minus the baseline's, with an interval.

    The interval is Student's over captures if every seed has its own, otherwise a bootstrap over seeds and
    groups of rows, or rows if there are no groups.

    Args:
        results: of one configuration with several seeds, on the same rows or each on its own capture.
        seed: of the resampling.
    """
    if _on_captures(results):
        return {
            name: _over_captures(
                np.array([r.metrics["test_auc"] - r.metrics["baselines"][name]["test_auc"] for r in results])
            )
            for name in results[0].baseline_logits
        }
    prepared, circuit = results[0].prepared, [r.logits["test"] for r in results]
    groups = prepared.test_units
    return {
        name: seeds_and_rows_interval(prepared.y["test"], circuit, [logits] * len(results), groups, seed=seed)
        for name, logits in results[0].baseline_logits.items()
    }


def _on_captures(results: list[TrainResult]) -> bool:
    return results[0].config.data == "bundled"


def _over_captures(values: np.ndarray) -> AUCDifference:
    """Mean and Student's intervals of one value a capture: captures are independent."""
    n, mean = len(values), float(values.mean())
    se = paired.standard_error(float(values.std(ddof=1)), n)
    low, high = paired.t_interval(mean, se, n, 0.95)
    return AUCDifference(
        difference=mean,
        low=low,
        high=high,
        level=0.95,
        interval_90=paired.t_interval(mean, se, n, 0.9),
        seeds=n,
        units=n,
        resamples=0,
        undefined=0,
    )


def parameters_file(result: Search, data: str, auc: float, path: str) -> str:
    """The winner as YAML for `-f`, with a header that says where it comes from.

    Args:
        data: the table's name.
        auc: its validation AUC.
        path: of the file itself, from the project's root.
    """
    head = (
        f"# The best of {len(result.trials)} trials on validation rows of {data}: validation AUC {auc:.4f}.\n"
    )
    return head + f"#   qnb run train -f {path}\n" + yaml.safe_dump(result.overrides(), sort_keys=False)


def sentence(confirmed: Confirmation, note: str) -> str:
    """The outcome of the confirmation in words, ending with `note`."""
    auc, (low, high) = confirmed.test_auc, confirmed.test_auc_interval
    text = (
        f"Test AUC {auc.mean():.4f} (95 % interval {low:.4f} to {high:.4f} over "
        f"{confirmed.drawn}; sd {auc.std(ddof=1):.4f} over seeds) over {len(auc)} fresh seeds on "
        f"{confirmed.rows}. "
    )
    for key, difference in confirmed.over.items():
        if key == "twin":
            continue
        low, high = difference.low, difference.high
        verdict = "above" if low > 0 else "below" if high < 0 else "not shown to differ from"
        text += (
            f"It is {verdict} {NAMES[key]}: {difference.difference:+.4f}, 95 % interval {_end(low)} to "
            f"{_end(high)} over {_counted(confirmed, difference)}. "
        )
    if confirmed.against_twin is not None:
        twin = confirmed.results[0].metrics["baselines"]["twin"]
        text += f"{twin_sentence(confirmed.against_twin, twin, confirmed.drawn)} "
    rising = sum(bool(r.metrics["still_improving"]) for r in confirmed.results)
    if rising:
        text += f"Still improving when the training ended: {rising} of {len(auc)} runs. "
    return text + f"{note}."


def _counted(confirmed: Confirmation, difference: AUCDifference) -> str:
    return confirmed.drawn if confirmed.captures else f"seeds and {difference.units} {confirmed.units}"


def _end(value: float) -> str:
    """An end of an interval to four decimals, or to two digits where those would make it 0."""
    return f"{value:+.4f}" if abs(value) >= 0.00005 or value == 0 else f"{value:+.1e}"


def metrics(result: Search, confirmed: Confirmation, conclusion: str) -> dict[str, Any]:
    """The content of metrics.json: the winner, its validation AUC, the confirmation, and the conclusion."""
    finished = result.trials[result.trials["state"] == "COMPLETE"]
    return {
        "conclusion": conclusion,
        "best": result.overrides(),
        "val_auc": float(finished["val_auc"].max()),
        "trials": {state: int(count) for state, count in result.trials["state"].value_counts().items()},
        "test_auc": float(confirmed.test_auc.mean()),
        "test_auc_interval": dict(zip(("low", "high"), confirmed.test_auc_interval, strict=True)),
        "few_rows": confirmed.results[0].metrics["few_rows"],
        "against_twin": confirmed.against_twin,
        "test_auc_sd": float(confirmed.test_auc.std(ddof=1)),
        "test_rows": confirmed.rows,
        "over": {
            name: {"difference": d.difference, "low": d.low, "high": d.high, "units": d.units}
            for name, d in confirmed.over.items()
        },
        "resampled": confirmed.drawn,
        "still_improving": sum(bool(r.metrics["still_improving"]) for r in confirmed.results),
        "baselines": {
            name: first | {"test_auc": float(confirmed.test_auc_of(name).mean())}
            for name, first in confirmed.results[0].metrics["baselines"].items()
        },
        "synthetic": confirmed.results[0].prepared.card.get("synthetic"),
    }
