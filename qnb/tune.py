"""The search for the best model: trials on the exact engine, pruned, chosen on validation rows, confirmed where nothing was chosen.

The search (Optuna: Akiba et al., KDD 2019) never sees a test row of the table it searches on; the confirmation draws another split and,
for the bundled capture, another capture.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml
from tqdm import tqdm

from qnb.bootstrap import AUCDifference, seeds_and_rows_interval
from qnb.config import QnbError, TrainConfig
from qnb.fit import TrainingDiverged, fit
from qnb.metrics import Row
from qnb.prepare import Prepared, prepare_all
from qnb.study_config import TuneConfig
from qnb.train import TrainResult, train_all

SEARCHED = ("angle_range", "lr", "lr_schedule", "layers", "ansatz", "reupload", "measurement", "batch")
WARM_UP = 5  # trials, and epochs of a trial, before any is pruned


class SearchError(QnbError):
    """The search found nothing to confirm."""


@dataclass(frozen=True)
class Search:
    """What the trials found.

    Attributes:
        trials: one row per trial, in order: number, state (COMPLETE, PRUNED, FAIL), val_auc (the best epoch's), epochs, and SEARCHED.
        best: the configuration with the highest validation AUC.
    """

    trials: pd.DataFrame
    best: TrainConfig

    def overrides(self) -> dict[str, Any]:
        """What of the best configuration differs from the defaults of train.ipynb."""
        default = TrainConfig()
        return {name: value for name, value in self.best if value != getattr(default, name)}


def suggest(trial: optuna.Trial, rows: int) -> dict[str, Any]:
    """One point of the space that is searched; `rows` to train on bound the batch."""
    return {
        "angle_range": trial.suggest_categorical("angle_range", ["0_pi", "pm_pi_2", "pm_pi"]),
        "lr": trial.suggest_float("lr", 0.005, 0.3, log=True),
        "lr_schedule": trial.suggest_categorical("lr_schedule", ["constant", "cosine", "onecycle"]),
        "layers": trial.suggest_int("layers", 1, 6),
        "ansatz": trial.suggest_categorical("ansatz", ["strongly_entangling", "ring"]),
        "reupload": trial.suggest_categorical("reupload", [False, True]),
        "measurement": trial.suggest_categorical("measurement", ["mean_z", "z_vec", "mean_z_readout"]),
        "batch": trial.suggest_categorical("batch", [b for b in (32, 64, 128, 256) if b <= rows // 4]),
    }


def search(config: TuneConfig, progress: bool = True, on_trial: Callable[[pd.DataFrame], None] | None = None) -> Search:
    """Run `config.trials` trials, the defaults of train.ipynb first.

    A trial is stopped after an epoch in which its validation AUC is below the median of the earlier trials at that epoch.

    Args:
        on_trial: called with the trials so far after each.

    Raises:
        SearchError: no trial finished.
        DataError, WrongGradientError: as training does.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=WARM_UP)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed), pruner=pruner)
    base = config.training()
    by_range = dict(zip(RANGES, prepare_all([base.model_copy(update={"angle_range": r}) for r in RANGES]), strict=True))
    rows = len(by_range[base.angle_range].y["train"])
    study.enqueue_trial({name: getattr(base, name) for name in SEARCHED})
    with tqdm(total=config.trials, unit="trial", disable=not progress, file=sys.stdout, mininterval=1.0, ncols=100) as bar:
        for _ in range(config.trials):
            trial = study.ask()
            _run(study, trial, base, by_range, rows)
            bar.update()
            if any(t.state.name == "COMPLETE" for t in study.trials):
                bar.set_description(f"best val AUC {study.best_value:.4f}")
            if on_trial is not None:
                on_trial(_table(study))
    if not any(t.state.name == "COMPLETE" for t in study.trials):
        raise SearchError(f"None of {config.trials} trials finished. Train longer (epochs), or lower the rates searched.")
    return Search(_table(study), _config_of(base, study.best_params))


RANGES = ("0_pi", "pm_pi_2", "pm_pi")


def _config_of(base: TrainConfig, values: dict[str, Any]) -> TrainConfig:
    return TrainConfig.make(base.model_dump() | values)


def _run(study: optuna.Study, trial: optuna.Trial, base: TrainConfig, by_range: dict[str, Prepared], rows: int) -> None:
    config = _config_of(base, suggest(trial, rows))
    best = -np.inf

    def report(history: list[Row]) -> None:
        nonlocal best
        best = max(best, history[-1]["val_auc"])
        trial.report(best, history[-1]["epoch"])
        trial.set_user_attr("epochs", history[-1]["epoch"])
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        fit(config, by_range[config.angle_range], progress=False, on_epoch=report)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except TrainingDiverged:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, best)


def _table(study: optuna.Study) -> pd.DataFrame:
    rows = []
    for trial in study.trials:
        reached = max(trial.intermediate_values.values(), default=np.nan)
        row = {"number": trial.number, "state": trial.state.name, "val_auc": reached}
        rows.append(row | {"epochs": trial.user_attrs.get("epochs", 0)} | {name: trial.params.get(name) for name in SEARCHED})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Confirmation:
    """The chosen configuration on rows that no choice has seen.

    Attributes:
        results: one per seed, the first seed first.
        over: by baseline ("logistic", "boosting") the circuit's test AUC minus the baseline's: mean over seeds, and an interval that
            counts both seeds and rows.
    """

    results: list[TrainResult]
    over: dict[str, AUCDifference]

    @property
    def test_auc(self) -> np.ndarray:
        """Test AUC of each seed, (S,)."""
        return np.array([r.metrics["test_auc"] for r in self.results])


def confirm(config: TuneConfig, best: TrainConfig, progress: bool = True) -> Confirmation:
    """Train `best` from fresh seeds on a fresh split, and a fresh capture where the data is the bundled one.

    Raises:
        QnbError: a seed's training failed.
    """
    own = {"split_seed": config.confirm_seed} | ({"data_seed": config.confirm_seed} if best.data == "bundled" else {})
    seeds = range(config.confirm_seed, config.confirm_seed + config.confirm_runs)
    results = []
    for result in train_all([TrainConfig.make(best.model_dump() | own | {"seed": seed}) for seed in seeds], progress):
        if isinstance(result, QnbError):
            raise result
        results.append(result)
    y, circuit = results[0].prepared.y["test"], np.stack([r.logits["test"] for r in results])
    over = {
        name: seeds_and_rows_interval(y, circuit, [logits] * len(results), seed=config.confirm_seed)
        for name, logits in results[0].baseline_logits.items()
    }
    return Confirmation(results, over)


def parameters_file(found: Search, data: str, auc: float) -> str:
    """The winner as a file for `-f`, with a header that says where it comes from."""
    head = f"# The best of {len(found.trials)} trials on validation rows of {data}: validation AUC {auc:.4f}.\n"
    return head + "#   qnb run train -f params/best.yaml\n" + yaml.safe_dump(found.overrides(), sort_keys=False)


def sentence(found: Confirmation, note: str) -> str:
    """What the confirmation says, in words."""
    auc = found.test_auc
    text = f"Over {len(auc)} fresh seeds on rows that no choice has seen, test AUC {auc.mean():.4f} (sd {auc.std(ddof=1):.4f}). "
    names = {"logistic": "logistic regression", "boosting": "gradient boosting"}
    for key, difference in found.over.items():
        low, high = difference.low, difference.high
        verdict = "above" if low > 0 else "below" if high < 0 else "not shown to differ from"
        text += f"It is {verdict} {names[key]}: {difference.difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} over seeds and rows. "
    return text + f"{note}."


def metrics(found: Search, confirmed: Confirmation, conclusion: str) -> dict[str, Any]:
    """The content of metrics.json: the winner, its validation AUC, what the confirmation found, and that in words (`sentence`)."""
    finished = found.trials[found.trials["state"] == "COMPLETE"]
    return {
        "conclusion": conclusion,
        "best": found.overrides(),
        "val_auc": float(finished["val_auc"].max()),
        "trials": {state: int(count) for state, count in found.trials["state"].value_counts().items()},
        "test_auc": float(confirmed.test_auc.mean()),
        "test_auc_sd": float(confirmed.test_auc.std(ddof=1)),
        "over": {name: {"difference": d.difference, "low": d.low, "high": d.high} for name, d in confirmed.over.items()},
        "baselines": confirmed.results[0].metrics["baselines"],
        "synthetic": confirmed.results[0].prepared.card.get("synthetic"),
    }
