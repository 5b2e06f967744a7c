"""A variational quantum classifier with scikit-learn's interface.

`QuantumClassifier` trains as `qnb.training.train.train` does: the same transform of the columns into angles,
the same engines, the gradient gate, the same loop. It adds scikit-learn's conventions and nothing else, and
leaves out the reading of tables and the classical baselines.
"""

import contextlib
import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qnb.config import TrainConfig
from qnb.core.objective import class_weight_pair
from qnb.data.features import FeatureMap
from qnb.data.prepare import Prepared
from qnb.data.values import DataError
from qnb.errors import ParameterError, QnbError, nearest
from qnb.training.loop import fit
from qnb.training.metrics import Row
from qnb.training.model import Model
from qnb.training.progress import still_falling
from qnb.training.train import choose_model

MOST_WIRES = 8  # where wires=None
MIN_STEPS, LEAST_EPOCHS = 1000, 8  # where epochs=None
FEW_ROWS = 1000  # where rescale=None: fewer training rows are rescaled by their range, more by quantiles
POSSIBLE_WIRES = 20  # as in qnb.config.Wires
LIGHTEST, HEAVIEST = 1e-18, 1e18  # of rows' weights: the exact engine's float32 holds their squares
ENGINES = ("catalyst", "exact")


class EstimatorError(QnbError, ValueError):
    """A parameter of QuantumClassifier, or the data given to `fit`, cannot be used."""


@dataclass(kw_only=True, eq=False, repr=False)
class QuantumClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Binary variational quantum classifier (Schuld et al., PRA 101, 032308, 2020), trained and checked by
    qnb.

    The columns of X are standardised, reduced by partial least squares to one feature per wire and rescaled
    to angles, by their range or by their quantiles (see `qnb.data.features`); `fit` learns this from its
    training rows alone. With `reduction="none"` and `rescale="none"` the circuit takes X as it is, one
    column per wire, in radians. X holds numbers; NaN stands for a missing value and is refused unless
    `missing` says how to treat it. Text columns need an encoder before this estimator in a Pipeline. It is
    no transformer, so there is no `set_output`.

    `decision_function` is the logit l(x) = alpha (s(x) + bias), `predict_proba` its sigmoid, and `predict`
    returns `classes_[1]` where l(x) > 0, that is, where its probability exceeds one half. The threshold of
    highest balanced accuracy on the validation rows is kept in `threshold_` and affects none of these: use
    `decision_function(X) >= threshold_`, or scikit-learn's TunedThresholdClassifierCV.

    `fit` takes no sample weights: the quantile map, the reduction and the choice of the best epoch have no
    weighted form here, and a weight in the loss alone would not be what scikit-learn means by one (a row of
    weight 2 would not be equivalent to that row twice).

    Parameters with TrainConfig's names (missing, layers, encoder, ansatz, measurement, reupload, hadamard,
    scaling, reduction, angle_range, engine, focal_gamma, alpha_mode, batch, lr, lr_schedule,
    early_stop_patience) have its meanings and defaults; `qnb.TrainConfig` describes them.
    `engine` is "catalyst" (compiled, adjoint gradients) or "exact" (the same model simulated in batches). The
    other parameters, and what differs:

    Args:
        wires: qubits; None: 8, or fewer where the training rows have fewer linearly independent columns;
            with reduction="none", as many as there are columns (encoder="amplitude": their log2).
        batch: rows per step; with fewer training rows than that, all of them form one batch.
        class_weight: as in scikit-learn: None, "balanced", or a dict from label to weight, in the training
            loss, all above 0: training does not take weight 0. The quantile map, the reduction and
            `threshold_` are not weighted.
        rescale: how features become u in [0, 1], "quantile" or "minmax", or "none": they are radians. None:
            "minmax" with fewer than 1,000 training rows, which would make a ragged quantile map, else
            "quantile".
        epochs: passes over the training rows; None: enough for 1,000 steps, and at least 8.
        val_objective: the criterion of the best epoch on the held-out rows, a name of TrainConfig's. The
            default, the training loss, discriminates where few held-out rows make epochs tie in AUC, and
            fits what `predict` returns.
        validation_fraction: share of the rows of each class, at least one row, held out to choose the best
            epoch and `threshold_`.
        warm_start: whether `fit` continues from the parameters and the column transform of an earlier `fit`
            (the optimiser starts afresh). Then, and in `partial_fit`, columns, classes, the circuit,
            `alpha_mode` and the transform's parameters have to be those of the earlier fit, and wires=None
            and rescale=None stand for what it had.
        callback: called after every epoch with its row of `history_`, a dict; what it raises ends the
            training. An estimator with a lambda cannot be pickled.
        random_state: an integer seeds the held-out rows, the initial parameters and the batches; a
            RandomState, or None for numpy's global one, draws that integer.
        verbose: whether to show the progress bar.

    Attributes:
        classes_: the two labels, sorted; the second is the positive one.
        n_features_in_, feature_names_in_: scikit-learn's.
        model_: the `qnb.Model`; `model_.save(folder)` keeps it, and `qnb score folder table.csv -o
            scores.parquet` scores with it.
        threshold_: decision threshold in logits, see above.
        history_: DataFrame, one row per epoch, see `qnb.training.loop.fit`.
        gate_: the gradient check, a `qnb.GateReport`.
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
    rescale: str | None = None
    angle_range: str = "0_pi"
    engine: str = "catalyst"
    focal_gamma: float = 0.0
    alpha_mode: str = "softplus"
    class_weight: str | dict[Any, float] | None = None
    epochs: int | None = None
    batch: int = 64
    lr: float = 0.05
    lr_schedule: str = "constant"
    val_objective: str = "weighted_loss"
    early_stop_patience: int | None = None
    validation_fraction: float = 0.2
    warm_start: bool = False
    callback: Callable[[Row], None] | None = None
    random_state: int | np.random.RandomState | None = 0
    verbose: bool = False

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on X (N, columns) and y (N,), labels of two classes with at least two rows each.

        Issues scikit-learn's ConvergenceWarning if the loss was still falling at the end.

        Raises:
            ValueError: a parameter or the data cannot be used (EstimatorError where the message is qnb's).
            EngineError, WrongGradientError, TrainingDiverged, TrainingInterrupted: see
                `qnb.training.train.train`.
        """
        earlier: Model | None = getattr(self, "model_", None) if self.warm_start else None
        rows, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite=self._finite(), reset=earlier is None
        )
        distinct, codes = _two_classes(labels)
        self.classes_: np.ndarray = _require_classes(distinct, distinct if earlier is None else self.classes_)
        history = self._train(rows, codes, self.epochs, earlier)
        if still_falling(history):
            warnings.warn(
                f"The loss was still falling after {len(history)} epochs: give it more epochs than "
                f"that, or a higher rate than lr={self.lr}.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one pass over X (N, columns) and y (N,), from the current parameters if there are any.

        The first call also learns the column transform; later calls keep it. Each call holds out some of its
        own rows for `threshold_`, and needs at least two rows of each class. The optimiser starts afresh
        with every call, so calls of only a few steps learn slowly: pass chunks of several batches.

        Args:
            classes: both labels, the same in every call; None: those of the first call's y.
            sample_weight: (N,) weights of the rows in the training loss only: not in the column transform,
                the held-out loss or `threshold_`. None negative, and times `class_weight` none above 1e18.

        Raises:
            ValueError: as `fit`, and where the labels in y are not the two classes.
            EngineError, WrongGradientError, TrainingDiverged, TrainingInterrupted: as `fit`.
        """
        earlier: Model | None = getattr(self, "model_", None)
        rows, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite=self._finite(), reset=earlier is None
        )
        distinct, codes = _two_classes(labels)
        known = distinct if classes is None else np.unique(classes)
        if earlier is not None:
            known = _require_classes(known, self.classes_, "y" if classes is None else "classes")
        self.classes_ = _require_classes(distinct, known)
        weights: np.ndarray | None = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, rows, ensure_non_negative=True)
        self._train(rows, codes, 1, earlier, weights)
        return self

    def _train(
        self,
        rows: np.ndarray,
        codes: np.ndarray,
        epochs: int | None,
        earlier: Model | None,
        weights: np.ndarray | None = None,
    ) -> list[Row]:
        """Train on rows (N, columns) and codes (N,), 0 or 1, from an earlier model's parameters or anew.

        Returns the history.
        """
        seed = _seed(self.random_state)
        held = _held_out(codes, self.validation_fraction, seed)
        frame = self._frame(rows)
        with _as_value_errors():
            config = self._config(frame[~held], seed, epochs, earlier)
            if earlier is not None:
                _require_unchanged(config, earlier)
            prepared = _prepared(frame, codes, held, config, None if earlier is None else earlier.feature_map)
        if weights is not None:
            prepared = replace(prepared, weights=weights[~held])
        _require_weights(weights, codes, held, config)
        callback = self.callback
        with _as_value_errors():
            fitted = fit(
                config,
                prepared,
                progress=bool(self.verbose),
                on_epoch=None if callback is None else lambda history: callback(history[-1]),
                initial=None if earlier is None else earlier.params,
            )
        about = {
            "data": prepared.card["source"],
            "synthetic": None,
            "classes": [str(label) for label in self.classes_],
        }
        self.model_: Model
        self.model_, _, threshold = choose_model(fitted, about)
        self.threshold_ = threshold.value
        self.history_, self.gate_ = pd.DataFrame(fitted.state.history), fitted.gate
        return fitted.state.history

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits l(x) of X (N, columns), (N,): positive where `classes_[1]` is more probable.

        Raises:
            NotFittedError: `fit` has not been called (scikit-learn's).
            ValueError: X is not numeric, has other columns than in `fit`, or holds a row that the circuit
                cannot take (zeros alone, with encoder="amplitude").
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite=self._finite())
        with _as_value_errors():
            return self.model_.logits(self._frame(rows))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels of X (N, columns), (N,): `classes_[1]` where the logit is above 0. Raises as
        `decision_function`.
        """
        positive = self.decision_function(X) > 0
        labels: np.ndarray = self.classes_[positive.astype(int)]
        return labels

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of both classes in the order of `classes_`, (N, 2). Raises as `decision_function`."""
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

    def _config(
        self, frame: pd.DataFrame, seed: int, epochs: int | None, earlier: Model | None
    ) -> TrainConfig:
        """The configuration that trains on these rows; ParameterError where the parameters are refused.

        What follows the rows by default follows those of the earlier fit, if there is one.
        """
        if self.engine not in ENGINES:
            raise EstimatorError(f"engine = {self.engine!r} is not known. {nearest(self.engine, ENGINES)}")
        values = {name: _plain(getattr(self, name)) for name in SHARED}
        if self.wires is not None:
            values["wires"] = _plain(self.wires)
        elif earlier is not None:
            values["wires"] = earlier.spec.wires
        else:
            values["wires"] = _most_wires(frame, self.encoder, self.missing, self.reduction)
        values["batch"] = min(batch, len(frame)) if isinstance(batch := _plain(self.batch), int) else batch
        values["epochs"] = _epochs(len(frame), values["batch"]) if epochs is None else _plain(epochs)
        by_rows = "minmax" if len(frame) < FEW_ROWS else "quantile"
        by_default = by_rows if earlier is None else earlier.feature_map.rescale
        values["rescale"] = by_default if self.rescale is None else self.rescale
        values["class_weights"] = _class_weights(self.class_weight, self.classes_)
        return TrainConfig.make(values | {"seed": seed})


FOLLOWING = ("wires", "batch", "epochs", "rescale")  # those that follow the rows by default
SHARED = tuple(  # constructor parameters that are TrainConfig's, with its names and defaults
    name
    for name in inspect.signature(QuantumClassifier).parameters
    if name in TrainConfig.model_fields and name not in FOLLOWING
)


def _decided_by(model: Model) -> dict[str, Any]:
    """By parameter, what a fit decided and a continued one cannot change."""
    features = model.feature_map
    names = "reduction", "rescale", "angle_range"
    transform = {"missing": features.missing.treatment} | {name: getattr(features, name) for name in names}
    return model.spec.to_dict() | {"alpha_mode": model.objective.alpha_mode} | transform


def _require_unchanged(config: TrainConfig, earlier: Model) -> None:
    """Raise EstimatorError, naming both values, where a parameter is not what the earlier fit decided."""
    had = _decided_by(earlier)
    if None in (had["angle_range"], config.encoding):  # it does not apply: encoder or rescale says why
        del had["angle_range"]
    changed = [name for name in had if getattr(config, name) != had[name]]
    if changed:
        before = ", ".join(f"{name}={had[name]!r}" for name in changed)
        now = ", ".join(f"{name}={getattr(config, name)!r}" for name in changed)
        raise EstimatorError(
            f"The earlier fit had {before}, and the parameters ask for {now}, which a fit that continues it "
            "cannot change: set them back, or set warm_start=False and fit anew."
        )


def _require_classes(found: np.ndarray, known: np.ndarray, where: str = "y") -> np.ndarray:
    """The known classes, if they are those that were found; else EstimatorError."""
    if not np.array_equal(found, known):
        raise EstimatorError(
            f"{where} holds the labels {found.tolist()}, and the classes are {known.tolist()}: give these, "
            "or fit a new estimator."
        )
    return known


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Turn what qnb says of parameters and data into the ValueError that scikit-learn's users expect."""
    try:
        yield
    except (ParameterError, DataError) as error:
        raise EstimatorError(str(error)) from error


def _epochs(rows: int, batch: object) -> int:
    """Passes that take MIN_STEPS steps of so many training rows, LEAST_EPOCHS at least."""
    steps = max(rows // batch, 1) if isinstance(batch, int) and batch > 0 else 1
    return max(LEAST_EPOCHS, math.ceil(MIN_STEPS / steps))


def _class_weights(given: Any, classes: np.ndarray) -> Any:
    """scikit-learn's `class_weight` as TrainConfig's `class_weights`: a dict by label as the pair of them."""
    if given is None or (isinstance(given, str) and given == "balanced"):
        return given
    if not isinstance(given, dict):
        raise EstimatorError(
            f"class_weight = {given!r}: None, 'balanced' or a dict from label to weight was expected."
        )
    unknown = [label for label in given if label not in classes.tolist()]
    if unknown:
        raise EstimatorError(f"class_weight names {unknown}, and the classes are {classes.tolist()}.")
    if not all(isinstance(w, numbers.Real) and 0 < float(w) < math.inf for w in given.values()):
        raise EstimatorError(
            f"class_weight = {given!r}: finite weights above 0 were expected. To leave a class out of the "
            "loss is not possible; give it a small weight."
        )
    return tuple(float(given.get(label, 1.0)) for label in classes.tolist())


def _require_weights(
    weights: np.ndarray | None, codes: np.ndarray, held: np.ndarray, config: TrainConfig
) -> None:
    """Raise EstimatorError where a row (N,) weighs more than the engines compute with, or none that trains
    weighs enough.
    """
    by_row = np.array(class_weight_pair(config.class_weights, float(codes[~held].mean())))[codes]
    if weights is not None:
        with np.errstate(over="ignore"):
            by_row = by_row * weights
    heaviest, heaviest_trained = float(by_row.max()), float(by_row[~held].max())
    if heaviest > HEAVIEST or heaviest_trained < LIGHTEST:
        wrong = heaviest if heaviest > HEAVIEST else heaviest_trained
        raise EstimatorError(
            f"The heaviest training row, by sample_weight times class_weight, weighs {wrong:g}: a weight "
            f"from {LIGHTEST:g} to {HEAVIEST:g} was expected. Multiply the weights by one number for all."
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
        return _one_each(x.shape[1], encoder)
    z = (x - x.mean(axis=0))[:, np.ptp(x, axis=0) > 0]
    independent = int(np.linalg.matrix_rank(z / z.std(axis=0))) if z.size else 0
    if encoder == "amplitude":
        if independent == 1:
            raise EstimatorError(
                "wires=None with encoder='amplitude' takes log2 of the number of linearly independent "
                "columns, at least 2; there is 1. Give more columns, or set encoder='angle_y'."
            )
        independent = independent.bit_length() - 1
    return min(max(independent, 1), MOST_WIRES)


def _one_each(columns: int, encoder: str) -> int:
    """The wires that so many columns fill as they are; EstimatorError where no number of wires does."""
    if encoder == "amplitude":
        wires = columns.bit_length() - 1
        possible = 1 <= wires <= POSSIBLE_WIRES and columns == 2**wires
        rule, expected = "2^wires columns", f"2, 4, 8 and so on up to 2^{POSSIBLE_WIRES}"
    else:
        wires, possible = columns, columns <= POSSIBLE_WIRES
        rule, expected = "one wire per column", f"{POSSIBLE_WIRES} or fewer"
    if not possible:
        raise EstimatorError(
            f"wires=None with reduction='none' and encoder={encoder!r} takes {rule}: {columns} columns were "
            f"given (with those that say where a value is missing), {expected} are possible. Give as many, "
            "or set reduction='pls'."
        )
    return wires


def _prepared(
    frame: pd.DataFrame, y: np.ndarray, held: np.ndarray, config: TrainConfig, earlier: FeatureMap | None
) -> Prepared:
    """Training and validation rows as angles, by the map of an earlier fit or one learnt from the training
    rows; there is no test side, which is the user's own.
    """
    feature_map = earlier or FeatureMap.fit(
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
