"""A variational quantum classifier as scikit-learn knows classifiers.

`QuantumClassifier` trains as `qnb.training.train.train` does: the same transform of the columns into angles,
the same engines, the gradient gate, the same loop. It adds nothing but scikit-learn's conventions, and leaves
out the reading of tables and the classical baselines.
"""

import inspect
import numbers
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.impute import SimpleImputer
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from qnb.config import TrainConfig
from qnb.data.features import FeatureMap
from qnb.data.prepare import Prepared
from qnb.errors import QnbError, nearest
from qnb.training.loop import fit
from qnb.training.train import choose_model

MOST_WIRES = 8  # where wires=None
ENGINES = ("catalyst", "exact")


class EstimatorError(QnbError, ValueError):
    """A parameter of QuantumClassifier, or the data given to `fit`, cannot be used."""


@dataclass(kw_only=True, eq=False, repr=False)
class QuantumClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Binary variational quantum classifier (Schuld et al., PRA 101, 032308, 2020), trained and checked by
    qnb.

    The columns of X are standardised, reduced by partial least squares to one feature per wire and mapped by
    their quantiles to angles (see `qnb.data.features`); `fit` learns this from its training rows alone. With
    `reduction="none"` and `rescale="none"` the circuit takes X as it is, one column per wire, in radians. X
    holds numbers, with NaN where they are missing if `missing` says what becomes of them; text columns need
    an encoder before them in a Pipeline.

    `decision_function` is the logit l(x) = alpha (s(x) + bias), `predict_proba` its sigmoid, and `predict`
    calls `classes_[1]` where l(x) > 0, that is where its probability is over one half. The threshold of
    highest balanced accuracy on the validation rows is kept in `threshold_` and moves none of them: use
    `decision_function(X) >= threshold_`, or scikit-learn's TunedThresholdClassifierCV.

    `fit` takes no sample weights: the quantile map, the reduction and the choice of the best epoch have no
    weighted form here, and a weight that moved the loss alone would not mean what scikit-learn means by one.

    Parameters with TrainConfig's names (missing, layers, encoder, ansatz, measurement, reupload, hadamard,
    scaling, reduction, rescale, angle_range, engine, focal_gamma, alpha_mode, class_weights, epochs, batch,
    lr, lr_schedule, val_objective, early_stop_patience) have its meanings and defaults; `qnb.TrainConfig`
    describes them.
    `engine` is "catalyst" (compiled, adjoint gradients) or "exact" (the same model simulated in batches). The
    others, and what differs:

    Args:
        wires: qubits; None: 8, or fewer where the training rows have fewer independent columns to fill them;
            with reduction="none" as many as there are columns.
        batch: rows per step; where there are fewer training rows than that, all of them are one batch. An
            epoch is one pass, so a small table takes few steps: give it more epochs or a smaller batch.
        class_weights: None, "balanced" or the weights of `classes_`, a pair, in the training loss. Unlike
            scikit-learn's `class_weight` they do not bear on the choice of the best epoch.
        validation_fraction: share of the rows of each class, one at least, held out to choose the best epoch
            and `threshold_`.
        random_state: an integer seeds the held-out rows, the initial parameters and the batches; a
            RandomState, or None for numpy's, draws that integer.
        verbose: whether to show the progress bar.

    Attributes:
        classes_: the two labels, sorted; the second is the positive one.
        n_features_in_, feature_names_in_: scikit-learn's.
        model_: the `qnb.Model`; `model_.save(folder)` keeps it, `qnb score folder table.csv -o
            scores.parquet` uses it.
        threshold_: in logits, see above.
        history_: DataFrame, one row per epoch, see `qnb.training.train.fit`.
        gate_: the verdict on the gradient, a `qnb.GateReport`.
    """

    missing: str = "refuse"
    wires: int | None = None
    layers: int = 3
    encoder: str = "angle_y"
    ansatz: str = "strongly_entangling"
    measurement: str = "mean_z_readout"
    reupload: bool = False
    hadamard: bool = False
    scaling: bool = False
    reduction: str = "pls"
    rescale: str = "quantile"
    angle_range: str = "0_pi"
    engine: str = "catalyst"
    focal_gamma: float = 0.0
    alpha_mode: str = "softplus"
    class_weights: str | tuple[float, float] | None = None
    epochs: int = 8
    batch: int = 64
    lr: float = 0.05
    lr_schedule: str = "constant"
    val_objective: str = "auc"
    early_stop_patience: int | None = None
    validation_fraction: float = 0.2
    random_state: int | np.random.RandomState | None = 0
    verbose: bool = False

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on X (N, columns) and y (N,), labels of two classes with two rows or more in each.

        Raises:
            ValueError: (EstimatorError where the message is qnb's) a parameter or the data cannot be used.
            WrongGradientError, TrainingDiverged: see `qnb.training.train.train`.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=self._finite())
        self.classes_, codes = _two_classes(labels)
        seed = _seed(self.random_state)
        held = _held_out(codes, self.validation_fraction, seed)
        frame = self._frame(rows)
        try:
            config = self._config(frame[~held], seed)
            prepared = _prepared(frame, codes, held, config)
        except QnbError as error:
            raise EstimatorError(str(error)) from error
        fitted = fit(config, prepared, progress=bool(self.verbose))
        about = {
            "data": prepared.card["source"],
            "synthetic": None,
            "classes": [str(label) for label in self.classes_],
        }
        self.model_, _, threshold = choose_model(fitted, about)
        self.threshold_ = threshold.value
        self.history_, self.gate_ = pd.DataFrame(fitted.state.history), fitted.gate
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits l(x), (N,): positive where `classes_[1]` is the more probable."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite=self._finite())
        return self.model_.logits(self._frame(rows))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels, (N,): `classes_[1]` where the logit is over 0."""
        positive = self.decision_function(X) > 0
        labels: np.ndarray = self.classes_[positive.astype(int)]
        return labels

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of both classes in the order of `classes_`, (N, 2)."""
        logits = self.decision_function(X)
        return np.column_stack([expit(-logits), expit(logits)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = self.missing != "refuse"
        return tags

    def _finite(self) -> bool | str:
        """What `validate_data` lets pass."""
        return True if self.missing == "refuse" else "allow-nan"

    def _frame(self, X: np.ndarray) -> pd.DataFrame:
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(X.shape[1])])
        return pd.DataFrame(X, columns=list(names), copy=False)

    def _config(self, frame: pd.DataFrame, seed: int) -> TrainConfig:
        """The configuration that trains on these rows; ParameterError where the parameters are refused."""
        if self.engine not in ENGINES:
            raise EstimatorError(f"engine = {self.engine!r} is not known. {nearest(self.engine, ENGINES)}")
        values = {name: _plain(getattr(self, name)) for name in SHARED}
        values["wires"] = (
            _most_wires(frame, self.encoder, self.missing, self.reduction)
            if self.wires is None
            else _plain(self.wires)
        )
        values["batch"] = min(batch, len(frame)) if isinstance(batch := _plain(self.batch), int) else batch
        return TrainConfig.make(values | {"seed": seed})


SHARED = tuple(  # constructor parameters that are TrainConfig's, with its names and defaults
    name
    for name in inspect.signature(QuantumClassifier).parameters
    if name in TrainConfig.model_fields and name not in ("wires", "batch")
)


def _two_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two labels, and each row's as 0 or 1."""
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind != "binary":
        raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes)
    if len(classes) < 2:
        raise EstimatorError(f"y holds one class only, {classes.tolist()} in {len(y)} rows: two are needed.")
    if counts.min() < 2:
        raise EstimatorError(
            f"Class {classes.tolist()[counts.argmin()]!r} has one row of {len(y)}: two of each class are "
            "needed, one to train and one to validate."
        )
    return classes, codes


def _seed(random_state: object) -> int:
    if isinstance(random_state, numbers.Integral):
        seed = int(random_state)
        if seed < 0:
            raise EstimatorError(f"random_state = {random_state}: a whole number from 0 up was expected.")
        return seed
    return int(check_random_state(random_state).randint(2**31 - 1))


def _held_out(y: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which rows validate, bool (N,): of each class that share, rounded, but one at least and not all."""
    if not _is_share(fraction):
        raise EstimatorError(f"validation_fraction = {fraction!r}: a number between 0 and 1 was expected.")
    rng, held = np.random.default_rng(seed), np.zeros(len(y), bool)
    for code in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == code))
        held[rows[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    return held


def _is_share(value: object) -> bool:
    return isinstance(value, numbers.Real) and 0 < float(value) < 1


def _most_wires(frame: pd.DataFrame, encoder: str, missing: str, reduction: str) -> int:
    """As many wires as independent columns can fill, MOST_WIRES at most; without reduction one a column.

    `amplitude` takes 2^wires of them.
    """
    x = frame.to_numpy()
    if missing != "refuse":
        filled = SimpleImputer(strategy="median", add_indicator=missing == "indicator")
        x = filled.set_params(keep_empty_features=True).fit_transform(x)
    if reduction == "none":
        return x.shape[1].bit_length() - 1 if encoder == "amplitude" else x.shape[1]
    z = (x - x.mean(axis=0))[:, np.ptp(x, axis=0) > 0]
    independent = int(np.linalg.matrix_rank(z / z.std(axis=0))) if z.size else 0
    if encoder == "amplitude":
        independent = independent.bit_length() - 1
    return min(max(independent, 1), MOST_WIRES)


def _prepared(frame: pd.DataFrame, y: np.ndarray, held: np.ndarray, config: TrainConfig) -> Prepared:
    """Training and validation rows as angles; there is no test side, which is the user's own."""
    feature_map = FeatureMap.fit(
        frame[~held],
        y[~held],
        config.features,
        config.encoding,
        config.missing,
        reduction=config.reduction,
        rescale=config.rescale,
    )
    sides = {"train": ~held, "val": held}
    X = {name: feature_map.transform(frame[rows]) for name, rows in sides.items()}
    labels = {name: y[rows].astype(np.float64) for name, rows in sides.items()}
    return Prepared(
        X, labels, feature_map, {"source": "arrays given to QuantumClassifier.fit", "synthetic": None}
    )


def _plain(value: Any) -> Any:
    """numpy's scalars, which parameter grids are made of, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
