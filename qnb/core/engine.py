"""The interface of an engine, and `make_engine`.

An engine computes the same model in its own way: the scores of a batch, and the loss of a batch with its
gradient. Everything that knows a compiler or a simulator stays in the engine's own file, which is imported
only when that engine is made.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from qnb.core import fork  # noqa: F401  # forks are detected from here on
from qnb.core.circuit import CircuitSpec, Params, of_circuit
from qnb.core.objective import Objective
from qnb.errors import ParameterError, QnbError, nearest, refuse_unknown

if TYPE_CHECKING:
    from qnb.core.steps import Steps

ENGINES = {
    "catalyst": "qnb.core.compiled:CatalystEngine",
    "exact": "qnb.core.exact:ExactEngine",
    "one_sample_demo": "qnb.core.one_sample:OneSampleDemo",  # wrong on purpose: refused without gate="off"
}
WRONG_ON_PURPOSE = frozenset({"one_sample_demo"})
DEFAULT_DEVICE = "lightning.qubit"


# (circuit, head and loss) -> their engine: of another precision, of a loss of your own, of your own class
Maker = Callable[[CircuitSpec, Objective], "Engine"]


class EngineError(QnbError):
    """An engine cannot do what was asked: there is no such gradient, a program does not compile, or memory
    does not suffice.
    """


class Engine(Protocol):
    """The interface that training, evaluation, the gate and the probes rely on.

    Attributes:
        name: a key of ENGINES, or a name of your own.
        spec, objective: the circuit, and its head and loss.
        dtype: of the arithmetic; the gate's tolerance follows it.
    """

    name: str
    spec: CircuitSpec
    objective: Objective
    dtype: np.dtype  # of the arithmetic; the gate's tolerance follows it

    def scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """s(x) for each row: params as `CircuitSpec.shapes`, X (B, features) -> (B,)."""

    def loss_and_grad(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[float, Params]:
        """mean(w_i loss_i) in nats and its gradient, with the keys and shapes of params.

        Args:
            X: (B, features), angles in radians, or amplitudes.
            y, w: labels 0 or 1, and weights, (B,) each.
        """

    def compile(self, batch: int) -> float:
        """Compile what a run with this batch size needs. Returns the seconds that it took."""


class EngineOfMany(Engine, Protocol):
    """An engine that computes the gradients of several runs as one program."""

    def loss_and_grad_many(
        self, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray
    ) -> tuple[np.ndarray, Params]:
        """`loss_and_grad` of S runs.

        Args:
            params: as `CircuitSpec.shapes`, with an axis of runs in front: (S, ...).
            X: (S, B, features); y and w: (S, B).

        Returns:
            Losses (S,), and gradients (S, ...) with the keys of params.
        """


class TakesSteps(Engine, Protocol):
    """An engine that takes many optimiser steps, of one run or several, as one program."""

    def steps_at_once(self, batch: int, runs: int | None = None) -> int:
        """The largest number of steps that one call of `take_steps` accepts."""

    def runs_at_once(self, batch: int) -> int:
        """The largest number of runs of this batch size that are worth training as one program."""

    def take_steps(
        self,
        update: Callable[..., Any],
        params: Params,
        optimiser: Any,
        X: np.ndarray,
        y: np.ndarray,
        w: np.ndarray,
    ) -> "Steps":
        """Take T steps of an optimiser.

        Args:
            update: optax's (gradients, state, parameters) -> (updates, state), traced.
            params, optimiser: parameters and optimiser state; of S runs with an axis of runs in front, (S,
                ...).
            X: (T, B, features); y and w: (T, B). Of S runs (T, S, B, features) and (T, S, B).
        """


def takes_steps(engine: Engine) -> TypeGuard[TakesSteps]:
    """Whether the engine has `take_steps`."""
    return hasattr(engine, "take_steps")


class ChoosesItsPath(Engine, Protocol):
    """An engine whose arithmetic depends on the number of rows in a call."""

    def steady_scores(self, params: Params, X: np.ndarray) -> np.ndarray:
        """As `scores`, by the same arithmetic whatever the number of rows."""


def steady_scores(engine: Engine, params: Params, X: np.ndarray) -> np.ndarray:
    """s(x) for rows X (B, features) -> (B,). The score of a row does not depend on the other rows."""
    return engine.steady_scores(params, X) if _chooses_its_path(engine) else engine.scores(params, X)


def _chooses_its_path(engine: Engine) -> TypeGuard[ChoosesItsPath]:
    return hasattr(engine, "steady_scores")


class CompilesAhead(Engine, Protocol):
    """An engine that compiles in another process."""

    def start_compiling(self, batch: int) -> "Future[float]":
        """As `compile`, without waiting: a future of the seconds."""


def compiles_ahead(engine: Engine) -> TypeGuard[CompilesAhead]:
    """Whether the engine has `start_compiling`."""
    return hasattr(engine, "start_compiling")


def make_engine(
    name: str, spec: CircuitSpec, objective: Objective, device: str = DEFAULT_DEVICE, **options: Any
) -> Engine:
    """The engine of that name.

    The last 64 engines are cached. The key includes fingerprints of what circuit and objective compute, so a
    function that has changed gives a new engine.

    Args:
        name: a key of ENGINES.
        device: a PennyLane device that Catalyst supports, for the engines that run on one.
        **options: further options of that engine, such as precision="float64" for "exact".

    Raises:
        ParameterError: the engine, the device or an option is not known.
        EngineError: this machine's memory cannot hold the circuit.
    """
    if name not in ENGINES:
        raise ParameterError(f"engine = {name!r} is not known. {nearest(name, ENGINES)}")
    computes = spec.fingerprint(), type(objective), objective.fingerprint()
    return _make_engine(ENGINES[name], name, spec, objective, computes, device, **options)


@functools.lru_cache(maxsize=64)
def _make_engine(
    path: str,
    name: str,
    spec: CircuitSpec,
    objective: Objective,
    computes: tuple[Any, ...],
    device: str,
    **options: Any,
) -> Engine:
    """`path` and `computes` only extend the key: a changed engine, circuit or objective gives another
    entry.
    """
    module, cls = path.split(":")
    build: Callable[..., Engine] = getattr(importlib.import_module(module), cls)
    refuse_unknown(options, list(inspect.signature(build).parameters)[2:], f"engine={name!r}")
    return build(spec, objective, device=device, **options)


def require_model(engine: Engine, spec: CircuitSpec, objective: Objective) -> None:
    """Raise ParameterError where an engine made by hand has another circuit or head than `spec` and
    `objective`: the parameters in a report must be those of what ran.
    """
    pairs = [(n, getattr(spec, n), getattr(engine.spec, n)) for n in CircuitSpec.names()]
    pairs += [(n, getattr(objective, n), getattr(engine.objective, n)) for n in Objective.names()]
    differences = [
        f"{name} is {there!r} in the engine, {here!r} here" for name, here, there in pairs if here != there
    ]
    if differences:
        raise ParameterError(
            f"The engine is of another model than the configuration: {'; '.join(differences)}."
        )


def by_hand(engine: Engine) -> str:
    """How a report describes an engine that no configuration names."""
    return f"{engine.name}, {engine.dtype}, made by hand"


def score_gradient(engine: Engine, params: Params, x: np.ndarray) -> tuple[float, Params]:
    """(s, ds/dp for the groups of the circuit) of one row x (features,), from an engine that returns loss
    gradients.

    With alpha = 1, bias = 0 and label 0 the loss is softplus(s); its slope sigmoid(s) is divided out.

    Args:
        engine: an engine of `Objective(alpha_mode="direct")`.
        params: as `CircuitSpec.shapes`; bias and alpha are ignored.
    """
    plain = params | {"bias": np.zeros(()), "alpha": np.ones(())}
    score = float(engine.scores(plain, x[None])[0])
    _, grads = engine.loss_and_grad(plain, x[None], np.zeros(1), np.ones(1))
    circuit = of_circuit(grads)
    return score, {name: np.asarray(slope) * (1 + np.exp(-score)) for name, slope in circuit.items()}


def check_batch(spec: CircuitSpec, X: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """X as a contiguous float64 array (B, features); labels y and weights w, where given, as float64 (B,).

    Raises:
        ParameterError: wrong shapes, no rows, values that are not real numbers, NaN or inf in X or w, a
            negative weight, a label other than 0 and 1, or a row of zeros for the encoder `amplitude`.
    """
    X = np.ascontiguousarray(_numbers("X", X))
    if X.ndim != 2 or X.shape[1] != spec.features or len(X) == 0:
        raise ParameterError(f"X has shape {X.shape}; (rows, {spec.features}) was expected by {spec}.")
    if not np.isfinite(X).all():
        raise ParameterError(f"X holds NaN or inf in {int((~np.isfinite(X)).any(1).sum())} of {len(X)} rows.")
    if spec.encoder == "amplitude" and not X.any(axis=1).all():
        raise ParameterError(
            "A row of X is all zeros: it has no direction, so encoder='amplitude' cannot prepare it."
        )
    columns = tuple(_numbers(name, column) for name, column in zip(("y", "w"), columns, strict=False))
    for c in columns:
        if c.shape != (len(X),):
            raise ParameterError(
                f"Labels and weights need shape ({len(X)},) like X's rows; {c.shape} was given."
            )
    _check_values(*columns)
    return X, *columns


def _check_values(y: np.ndarray | None = None, w: np.ndarray | None = None) -> None:
    """Refuse labels and weights for which the loss is not a likelihood: with labels other than 0 and 1, or
    with negative weights, it has no lower bound, which the gradient check cannot notice.
    """
    if y is not None and not (labels := np.isin(y, (0, 1))).all():
        others = ", ".join(f"{v:g}" for v in np.unique(y[~labels])[:3])
        raise ParameterError(
            f"Labels y need to be 0 or 1; {int((~labels).sum())} of {len(y)} are not ({others}). For -1 and "
            "1, pass (y + 1) / 2."
        )
    if w is not None and not (usable := np.isfinite(w) & (w >= 0)).all():
        others = ", ".join(f"{v:g}" for v in np.unique(w[~usable])[:3])
        raise ParameterError(
            f"Weights w need to be finite and not negative; {int((~usable).sum())} of {len(w)} are not "
            f"({others})."
        )


def check_params(spec: CircuitSpec, params: Params, runs: int | None = None) -> Params:
    """The parameters as C-contiguous float64 arrays with the shapes of the spec; (runs, ...) for several
    runs.

    Raises:
        ParameterError: a group is missing, has another shape, or does not hold real numbers.
    """
    lead, checked = () if runs is None else (runs,), {}
    for name, shape in spec.shapes.items():
        if name not in params:
            raise ParameterError(
                f"The parameters lack {name!r}; {', '.join(spec.shapes)} were expected by {spec}."
            )
        array = _numbers(name, params[name])
        if array.shape != lead + shape:
            raise ParameterError(f"{name} has shape {array.shape}; {lead + shape} was expected by {spec}.")
        # ascontiguousarray makes a vector of a scalar
        checked[name] = np.ascontiguousarray(array).reshape(array.shape)
    return checked


def _numbers(name: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} needs to be an array of real numbers ({error}).") from None
