"""The gradient gate: no gradient is trained on before it has been checked against finite differences of its
loss.

The comparison is made by `qnb.core.differences`; this file knows engines, and bounds the error of each of
their numbers. For scores of depth L (`CircuitSpec.depth`) with sum |c_i| = C, computed in precision eps, the
head in the precision eps_head of `Objective.batch_loss`, f(l) the loss of a row, and < > the weighted mean
over rows:

    noise of the loss    the head's, eps_head <|f| + |l f'|>; in bias and alpha that is all, because the
                         scores stay as they are. In weights and readout plus the scores', eps L/2 C alpha
                         <|f'|>. In a scaling w of x the scores' noise is larger by max |w| max(1, |x|) / pi
                         where this exceeds 1, because an angle w x is rounded in proportion to its size
    rounding             of a claimed derivative: eps <L C (|f'| + alpha C |f''|) + 1> times the largest
                         change of the logit: alpha; in a scaling alpha max(1, |x|); in alpha itself
                         alpha'(raw) max(1, |s + b|)
    first step           2 eps^(1/3), divided by 1 + alpha in bias and trained coefficients, and by
                         1 + alpha / 4 in angles and alpha; bias and alpha use eps_head. In a scaling it is
                         that of angles divided by max(1, |x|)

The factors of L are 1.3 times the largest errors that were seen in circuits of 1 to 20 layers.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from qnb.core.circuit import Params, of_circuit
from qnb.core.differences import RELATIVE_TOLERANCE, Errors, Gradient, GroupCheck, Loss, check_groups
from qnb.core.engine import Engine, EngineOfMany, check_batch, check_params
from qnb.core.leaves import Tree, coarser_precision, real
from qnb.errors import ParameterError, QnbError, nearest
from qnb.stack import describe_stack

__all__ = [
    "Batch",
    "GateReport",
    "GroupCheck",
    "WrongGradientError",
    "check_gradient",
    "check_gradient_of",
    "check_together",
    "wrong_gradient",
]

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # X (B, features), y (B,), w (B,)
SLOPE_STEP = 1e-3  # of the difference that gives f''


class WrongGradientError(QnbError):
    """A gradient disagrees with finite differences of its own loss.

    Attributes:
        group: the parameter group; or "loss" or "optimiser", where the loss or the optimiser's state is
            wrong.
        expected, found: the two numbers that disagree; None where they could not be compared.
    """

    def __init__(self, message: str, group: str, expected: float | None, found: float | None):
        super().__init__(message)
        self.group, self.expected, self.found = group, expected, found


@dataclass(frozen=True)
class GateReport:
    """The verdict on a gradient.

    Attributes:
        verdict: `pass` if every group passes, apart from groups on which the loss does not depend; else
            `untested`.
        groups: the `GroupCheck` of each group.
        rows: of the batch; None for a loss of your own.
        dtype: the precision of loss and gradient, whichever is coarser.
        relative_tolerance: how far off a gradient that passes can be, relative to the scale of
            `qnb.core.differences`.
        step: the largest step of the differences behind the verdict, along a unit direction; 0 without any.
        seconds: duration of the check.
    """

    verdict: str
    groups: dict[str, GroupCheck]
    rows: int | None
    dtype: str
    relative_tolerance: float
    step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, for the manifest."""
        return asdict(self)


def check_gradient(
    engine: Engine, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray, seed: int = 0
) -> GateReport:
    """Gate an engine on the very program that will train: same shapes, a real batch.

    Repeated rows are separated by a random shift (standard deviation 0.1), and every weight is multiplied by
    a random factor from 0.5 to 1.5, because with equal rows or equal weights a wrong gradient can pass. A
    group that cannot be measured is tried again at a random point; if nothing can be measured there either,
    it is reported as `untested`.

    Args:
        engine: see `qnb.core.engine.Engine`.
        params: weights, readout, bias, alpha (raw), scaling where trained: the start of the training.
        X, y, w: the first batch, as `loss_and_grad` takes it: (B, features), (B,), (B,).
        seed: of the random directions, shifts and factors.

    Raises:
        WrongGradientError: naming the group, the stack, the derivative expected and the one found.
        ParameterError: the engine refuses the batch or the parameters, its dtype has no tolerance, or the
            loss is not finite.
    """
    rng = np.random.default_rng(seed)
    params, loss = check_params(engine.spec, params), _BatchLoss(engine, *_telling(engine, (X, y, w), rng))
    subject = f"engine {engine.name!r} on {engine.spec}"

    def gradient(p: Params) -> Params:
        return loss.checked(engine.loss_and_grad(p, loss.X, loss.y, loss.w), p, subject)

    return _gate(loss, gradient, params, engine.dtype, subject, rng, loss.errors, len(loss.X))


def check_together(
    engine: EngineOfMany, params: Sequence[Params], batches: Sequence[Batch], seed: int = 0
) -> list[GateReport]:
    """Gate the program that trains several runs at once, each run against finite differences of its own
    loss.

    Args:
        engine: one with `loss_and_grad_many`.
        params: one dict per run, the start of its training.
        batches: (X, y, w) per run, its first batch; rows and weights are changed as in `check_gradient`.
        seed: of the random directions, shifts and factors.

    Returns:
        One report per run.

    Raises:
        WrongGradientError: naming the run and the group, also where the program mixes runs up.
        ParameterError: as `check_gradient`.
    """
    rng = np.random.default_rng(seed)
    losses = [_BatchLoss(engine, *_telling(engine, batch, rng)) for batch in batches]
    columns = [np.stack([getattr(loss, name) for loss in losses]) for name in ("X", "y", "w")]

    def joint(points: Sequence[Params]) -> list[tuple[float, Params]]:
        stacked = {k: np.stack([p[k] for p in points]) for k in points[0]}
        values, grads = engine.loss_and_grad_many(stacked, *columns)
        return [
            (float(v), {name: np.asarray(g[run]) for name, g in grads.items()})
            for run, v in enumerate(values)
        ]

    at_start = joint(params)

    def check(run: int, start: Params, loss: _BatchLoss) -> GateReport:
        subject = (
            f"run {run + 1} of {len(params)} that train together on engine {engine.name!r} on {engine.spec}"
        )

        def gradient(p: Params) -> Params:
            same = all(np.array_equal(p[k], start[k]) for k in start)
            claim = at_start[run] if same else joint([*params[:run], p, *params[run + 1 :]])[run]
            return loss.checked(claim, p, subject)

        return _gate(loss, gradient, start, engine.dtype, subject, rng, loss.errors, len(loss.X))

    return [check(run, start, loss) for run, (start, loss) in enumerate(zip(params, losses, strict=True))]


class _BatchLoss:
    """The loss of one batch as the gate differences it: scores by the engine, the head on the host.

    The last scores are kept: bias and alpha need no circuit, and there the loss is as precise as the head.
    """

    def __init__(self, engine: Engine, X: np.ndarray, y: np.ndarray, w: np.ndarray):
        self.engine, self.X, self.y, self.w = engine, X, y, w
        self._circuit: tuple[np.ndarray, ...] | None = None
        self._scores: np.ndarray = np.empty(0)

    def __call__(self, p: Params) -> float:
        return float(self.engine.objective.batch_loss(p, self.scores(p), self.y, self.w))

    def scores(self, p: Params) -> np.ndarray:
        circuit = tuple(of_circuit(p).values())
        if self._circuit is None or any(a is not b for a, b in zip(circuit, self._circuit, strict=True)):
            self._scores = np.asarray(self.engine.scores(p, self.X), dtype=np.float64)
            self._circuit = circuit
        return self._scores

    def errors(self, p: Params) -> dict[str, Errors]:
        """The error model at the top of this file."""
        objective, spec, scores = self.engine.objective, self.engine.spec, self.scores(p)
        eps, head_eps = (float(np.finfo(dtype).eps) for dtype in (self.engine.dtype, self._head_dtype(p)))
        logits, alpha, size = self._logits(p), self._alpha(p), self._size(p)
        slope, bend = self._slope(logits), self._bend(logits)
        of_score = eps * spec.depth / 2 * size * alpha * self._mean(slope)
        of_head = head_eps * self._mean(np.abs(objective.loss(logits, self.y)) + np.abs(logits) * slope)
        rounding = eps * self._mean(spec.depth * size * (slope + alpha * size * bend) + 1)
        per_raw = float(objective.alpha_slope(p["alpha"])) * max(1.0, float(np.abs(scores + p["bias"]).max()))
        step, fine = 2 * np.cbrt(eps), 2 * np.cbrt(head_eps)
        angles = Errors(of_score + of_head, alpha * rounding, step / (1 + alpha / 4))
        linear = Errors(of_score + of_head, alpha * rounding, step / (1 + alpha))
        groups = {
            "weights": angles,
            "readout": angles if spec.measured.rotated else linear,
            "bias": Errors(of_head, alpha * rounding, fine / (1 + alpha)),
            "alpha": Errors(of_head, per_raw * rounding, fine / (1 + alpha / 4)),
        }
        if "scaling" in p:
            far = max(1.0, float(np.abs(self.X).max()))
            turn = max(1.0, far * float(np.abs(p["scaling"]).max()) / math.pi)
            noise = of_score * turn + of_head
            groups["scaling"] = Errors(noise, far * alpha * rounding, angles.step / far)
        return groups

    def checked(self, claim: tuple[float, Params], p: Params, subject: str) -> Params:
        """The claimed gradient, if the loss that came with it is that of the scores."""
        claimed, grads = claim
        recomputed, dtype = self(p), np.dtype(self.engine.dtype)
        logits = self._logits(p)
        rows = self.engine.spec.depth * self._size(p) * self._alpha(p) * self._slope(logits) + np.abs(logits)
        allowed = RELATIVE_TOLERANCE[dtype.name] * abs(recomputed) + 4 * float(
            np.finfo(dtype).eps
        ) * self._mean(rows)
        if not abs(claimed - recomputed) <= allowed:
            problem = f"{recomputed:.9g} was expected from its scores, {claimed:.9g} was found"
            raise wrong_gradient(subject, "loss", problem, recomputed, claimed)
        return grads

    def _head_dtype(self, p: Params) -> DTypeLike:
        return np.asarray(self.engine.objective.batch_loss(p, self.scores(p), self.y, self.w)).dtype

    def _logits(self, p: Params) -> np.ndarray:
        return np.asarray(
            self.engine.objective.logit(self.scores(p), p["bias"], p["alpha"]), dtype=np.float64
        )

    def _alpha(self, p: Params) -> float:
        return abs(float(self.engine.objective.alpha(p["alpha"])))

    def _size(self, p: Params) -> float:
        """sum |c_i|: the largest score."""
        return float(np.abs(self.engine.spec.coefficients(p["readout"])).sum())

    def _slope(self, logits: np.ndarray) -> np.ndarray:
        return np.abs(np.asarray(self.engine.objective.slope(logits, self.y), dtype=np.float64))

    def _bend(self, logits: np.ndarray) -> np.ndarray:
        ahead, behind = (
            np.asarray(self.engine.objective.slope(logits + h, self.y)) for h in (SLOPE_STEP, -SLOPE_STEP)
        )
        return np.asarray(np.abs(ahead - behind) / (2 * SLOPE_STEP))

    def _mean(self, rows: np.ndarray) -> float:
        return float(np.mean(np.abs(self.w) * rows))


def check_gradient_of(
    loss: Callable[..., Any],
    grad: Callable[..., Any],
    params: Any,
    *args: Any,
    seed: int = 0,
    dtype: DTypeLike | None = None,
) -> GateReport:
    """Gate any gradient of your own: a Catalyst, JAX, PennyLane or numpy function.

    Args:
        loss: loss(params, *args) -> scalar.
        grad: grad(params, *args) -> the claimed gradient, the same pytree as params.
        params: an array or a pytree (dict, tuple, list) of real arrays; each leaf that is not empty is a
            group. Both functions get leaves of the type and dtype given; integers of Python and numpy become
            float64.
        *args: passed to both. Use three or more distinct rows with unequal weights: with fewer, a wrong
            gradient can pass.
        seed: of the random directions and the random point.
        dtype: the precision in which loss and gradient are computed. None: that of their results, whichever
            is coarser; give it where the results are stored more precisely than they are computed.

    Raises:
        WrongGradientError: naming the leaf, the stack, the derivative expected and the one found.
        ParameterError: parameters, a loss or a gradient that cannot be compared: complex or not numeric, of
            a precision below float32, of another structure, or a loss that is not finite.
    """
    tree = Tree(params)

    def value(groups: Params) -> float:
        return float(real(loss(tree.rebuilt(groups), *args), "The loss"))

    def gradient(groups: Params) -> Params:
        return tree.groups_of(grad(tree.rebuilt(groups), *args))

    precision = (
        coarser_precision(loss(params, *args), grad(params, *args)) if dtype is None else np.dtype(dtype).name
    )
    subject = getattr(grad, "__name__", type(grad).__name__)
    return _gate(value, gradient, tree.start, precision, subject, np.random.default_rng(seed), None, None)


def _gate(
    loss: Loss,
    gradient: Gradient,
    params: Params,
    dtype: DTypeLike,
    subject: str,
    rng: np.random.Generator,
    errors: Callable[[Params], Mapping[str, Errors]] | None,
    rows: int | None,
) -> GateReport:
    started = time.perf_counter()
    dtype = np.dtype(dtype).name
    if dtype not in RELATIVE_TOLERANCE:
        raise ParameterError(f"dtype = {dtype!r} is not known. {nearest(dtype, RELATIVE_TOLERANCE)}")
    if not math.isfinite(loss(params)):
        raise ParameterError(f"The loss of {subject} is {loss(params)} where its gradient was to be checked.")
    groups = check_groups(loss, gradient, params, dtype, errors, rng)
    for name, check in groups.items():
        if check.status == "wrong":
            raise _wrong_group(subject, name, check)
    measured = [c.status == "pass" for c in groups.values() if not (c.expected == c.found == 0)]
    verdict = "pass" if measured and all(measured) else "untested"
    step = max((c.step for c in groups.values() if c.step is not None), default=0.0)
    seconds = time.perf_counter() - started
    return GateReport(verdict, groups, rows, dtype, RELATIVE_TOLERANCE[dtype], step, seconds)


def _wrong_group(subject: str, name: str, check: GroupCheck) -> WrongGradientError:
    if check.problem:
        return wrong_gradient(subject, name, check.problem)
    slopes = (
        f"{check.expected:.6g} was expected from differences of its own loss, {check.found:.6g} was found"
    )
    return wrong_gradient(subject, name, f"a directional derivative of {slopes}", check.expected, check.found)


def wrong_gradient(
    subject: str, group: str, problem: str, expected: float | None = None, found: float | None = None
) -> WrongGradientError:
    """The WrongGradientError that names the group and the stack, and points to `gradient_audit`."""
    message = (
        f"The gradient of {subject} is wrong in group {group!r}: {problem}. Do not train on it. "
        f"Stack: {describe_stack()}. "
        "notebooks/gradient_audit.ipynb tells which formulations are right on this stack."
    )
    return WrongGradientError(message, group, expected, found)


def _telling(engine: Engine, batch: Batch, rng: np.random.Generator) -> Batch:
    """The batch with distinct rows and unequal weights."""
    X, y, w = check_batch(engine.spec, *batch)
    return _distinct_rows(X, rng), y, w * rng.uniform(0.5, 1.5, len(w))


def _distinct_rows(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, inverse, counts = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    repeated = counts[inverse.ravel()] > 1
    return X + np.where(repeated[:, None], rng.normal(scale=0.1, size=X.shape), 0.0)
