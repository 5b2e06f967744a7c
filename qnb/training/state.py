"""A run of the training loop: its configuration, its state, its outcome; and how it starts.

All draws of a run come from one numpy Generator seeded by its `seed`: initial parameters from itself, batches
from its child, so that runs of one seed see the same batches whatever the shapes of their parameters.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import optax

from qnb.config import CircuitConfig, ObjectiveConfig, SimulationConfig, TrainConfig
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import WRONG_ON_PURPOSE, Engine, Maker, make_engine, require_model
from qnb.core.gate import Batch, GateReport
from qnb.core.objective import Objective, class_weight_pair, importance_weights
from qnb.data.prepare import Prepared, require_prepared_for
from qnb.errors import ParameterError, QnbError
from qnb.training.batches import batches_per_epoch, epoch_batches
from qnb.training.metrics import Row
from qnb.training.optimiser import OptimiserState, make_optimiser


@dataclass
class State:
    """Everything that training carries from one epoch to the next: the content of a checkpoint."""

    params: Params
    optimiser: OptimiserState
    rng: np.random.Generator
    epoch: int = 0
    best_params: Params | None = None
    best_epoch: int = 0
    best_value: float = -np.inf  # of val_objective, larger is better
    stale: int = 0  # evaluations since the best one
    history: list[Row] = field(default_factory=list)
    data: dict[str, str | None] = field(default_factory=dict)  # see `data_identity`
    elsewhere: list[str] = field(
        default_factory=list
    )  # what differs, where earlier epochs were made by other code or another stack


@dataclass
class TrainingRun:
    """A run of the training loop: its configuration, its state and, once it is over, its outcome."""

    config: TrainConfig
    prepared: Prepared
    engine: Engine
    batches: int  # per epoch
    optimiser: optax.GradientTransformation
    initial: Params
    state: State
    gate: GateReport | None = None
    gate_trained: GateReport | None = None  # gradient check at the trained parameters
    compile_seconds: float = 0.0
    failure: QnbError | None = None  # the error that ended it early
    by_hand: bool = False  # whether the engine was passed in, instead of made from the configuration
    kept: int | None = None  # the epoch of the last checkpoint; None: there is none

    @property
    def spec(self) -> CircuitSpec:
        """The circuit."""
        return self.engine.spec

    @property
    def objective(self) -> Objective:
        """The head and the loss."""
        return self.engine.objective

    @property
    def best(self) -> Params:
        """Parameters of the best epoch.

        Raises:
            QnbError: no epoch has been evaluated yet.
        """
        if self.state.best_params is None:
            raise QnbError("No epoch of this run has been evaluated yet: there is no best one.")
        return self.state.best_params

    @property
    def over(self) -> bool:
        """Whether it has finished its last epoch, stopped early, or failed."""
        patience = self.config.early_stop_patience
        stopped = self.failure is not None or (patience is not None and self.state.stale >= patience)
        return stopped or self.state.epoch >= self.config.epochs

    def draw(self) -> list[np.ndarray]:
        """Row indices of the batches of one epoch, each (batch,); advances the run's generator."""
        pos_frac = self.config.balanced_pos_frac if self.config.balanced_batches else None
        return list(
            epoch_batches(self.prepared.y["train"], self.config.batch, self.batches, self.state.rng, pos_frac)
        )

    def batch(self, rows: np.ndarray) -> Batch:
        """X (B, features), y (B,) and loss weights (B,) of the training rows with these indices (B,).

        Raises:
            ParameterError: with importance weights, the rows hold one class only.
        """
        return batch_of(self.config, self.prepared, rows)


def data_identity(prepared: Prepared) -> dict[str, str | None]:
    """What tells one run's data from another's.

    Returns:
        table: the fingerprint of the table's card, None for arrays; split: a digest of each side's labels in
        order (16 hex digits of a SHA-256).
    """
    labels = hashlib.sha256()
    for name, y in prepared.y.items():
        labels.update(f"{name} {len(y)}".encode() + np.asarray(y, np.int8).tobytes())
    return {"table": prepared.card.get("fingerprint"), "split": labels.hexdigest()[:16]}


def circuit_of(config: CircuitConfig) -> CircuitSpec:
    """The circuit that a configuration describes.

    Raises:
        ParameterError: see `qnb.core.circuit.CircuitSpec`.
    """
    return CircuitSpec(**{name: getattr(config, name) for name in CircuitSpec.names()})


def batch_of(config: ObjectiveConfig, prepared: Prepared, rows: np.ndarray) -> Batch:
    """X (B, features), y (B,) and loss weights (B,) of the training rows `rows` (B,).

    The weights are importance weights with prior_correction="importance", else class weights; either is
    multiplied by the rows' own, if there are any.

    Raises:
        ParameterError: with importance weights, the rows hold one class only.
    """
    X, y = prepared.X["train"][rows], prepared.y["train"][rows]
    if config.prior_correction == "importance":
        w = importance_weights(y, prepared.prior)
    else:
        w_neg, w_pos = class_weight_pair(config.class_weights, prepared.prior)
        w = np.where(y == 1, w_pos, w_neg)
    return X, y, w if prepared.weights is None else w * prepared.weights[rows]


def objective_of(config: ObjectiveConfig) -> Objective:
    """The head and the loss that a configuration describes."""
    return Objective(config.focal_gamma, config.alpha_mode)


def engine_of(
    config: SimulationConfig, spec: CircuitSpec, objective: Objective, make: Maker | None = None
) -> Engine:
    """The engine of a circuit and a head: the one that `make` returns for them, else the one `config` names.

    Raises:
        ParameterError: `make` returned an engine of another circuit or head, or `config` names an engine or
            a device that is not known.
    """
    if make is None:
        return make_engine(config.engine, spec, objective, config.device)
    engine = make(spec, objective)
    require_model(engine, spec, objective)
    return engine


def start(
    config: TrainConfig, prepared: Prepared, engine: Engine | None = None, initial: Params | None = None
) -> TrainingRun:
    """A run before its first epoch.

    Args:
        engine: the engine to train on; None: the one that `config` names.
        initial: parameters to start from; None: drawn with the seed.

    Raises:
        ParameterError: an engine that is wrong on purpose without gate="off", or data prepared for other
            parameters.
    """
    require_prepared_for(config, prepared)
    if config.engine in WRONG_ON_PURPOSE and config.gate != "off":
        raise ParameterError(
            f"engine={config.engine!r} has a wrong gradient on purpose: it needs gate='off'."
        )
    by_hand = engine is not None
    engine = engine or engine_of(config, circuit_of(config), objective_of(config))
    count = batches_per_epoch(len(prepared.y["train"]), config.batch, config.fixed_num_batches)
    optimiser = make_optimiser(config, config.epochs * count)
    rng = np.random.default_rng(config.seed)
    (of_batches,) = rng.spawn(1)
    initial = engine.spec.init(rng, config.alpha_mode) if initial is None else initial
    state = State(
        params=initial, optimiser=optimiser.init(initial), rng=of_batches, data=data_identity(prepared)
    )
    return TrainingRun(config, prepared, engine, count, optimiser, initial, state, by_hand=by_hand)
