"""The gradient gate: no gradient is trusted until it has been held against differences of its own loss.

For each parameter group the directional derivative that the gradient claims, <g, d>, is compared with the central difference
(L(p + h d) - L(p - h d)) / 2h, along the claimed gradient itself and along random directions. Only forward passes are used to
judge, so nothing that is judged is trusted. h = eps^(1/3) balances truncation (h^2) against rounding (eps / h); see Press et
al., Numerical Recipes, section 5.7.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import DTypeLike

from qnb.core.circuit import Params
from qnb.core.engine import Engine, EngineOfMany
from qnb.errors import QnbError
from qnb.stack import describe_stack

RANDOM_DIRECTIONS = 3
RELATIVE_TOLERANCE = {"float64": 1e-4, "float32": 2e-2}
STEP = {"float64": 6e-6, "float32": 1e-2}
NOISE_FACTOR = 16  # rounding of a loss: this many eps, seen over batches of 1 to 4096

Loss = Callable[[Params], float]  # of a dict of groups, whatever their names
Gradient = Callable[[Params], Params]
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # X (B, features), y (B,), w (B,)


class WrongGradientError(QnbError):
    """A gradient disagrees with differences of its own loss. Carries `group`, `expected`, `found`."""

    def __init__(self, message: str, group: str, expected: float | None, found: float | None):
        super().__init__(message)
        self.group, self.expected, self.found = group, expected, found


@dataclass(frozen=True)
class GroupCheck:
    """One parameter group: `pass`, or `untested` where every derivative was under the noise of the differences."""

    status: str
    expected: float  # directional derivative by central differences, of the largest one compared
    found: float  # the same from the gradient
    relative_error: float | None  # worst |found - expected| over the directions compared, relative to the larger of the two
    where: str  # "start", or "random point" if nothing could be measured at the start


@dataclass(frozen=True)
class GateReport:
    """The verdict on a gradient: `pass` if no group missed and at least one was measured, else `untested`."""

    verdict: str
    groups: dict[str, GroupCheck]
    rows: int | None
    dtype: str
    relative_tolerance: float
    step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, for the manifest."""
        return asdict(self)


def check_gradient(engine: Engine, params: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray, seed: int = 0) -> GateReport:
    """Gate an engine on the very program that will train: same shapes, a real batch.

    Rows that repeat are told apart by a small shift and equal weights are made unequal, because with equal rows or equal weights
    a wrong gradient can pass. A group whose derivative is under the noise is tried again at a random point; if nothing can be
    measured there either, it is reported as `untested`.

    Args:
        engine: see `qnb.core.engine.Engine`.
        params: weights, readout, bias, alpha (raw), where the training starts.
        X, y, w: the first batch: (B, features), (B,), (B,).

    Raises:
        WrongGradientError: naming the group, the stack, the derivative expected and the one found.
    """
    rng = np.random.default_rng(seed)
    X, w = _distinct_rows(np.asarray(X, dtype=np.float64), rng), _unequal(w, rng)

    def loss(p: Params) -> float:
        scores = np.asarray(engine.scores(p, X), dtype=np.float64)
        return float(engine.objective.batch_loss(p, scores, y, w))

    def gradient(p: Params) -> Params:
        claimed, grads = engine.loss_and_grad(p, X, y, w)
        _check_loss(claimed, loss(p), engine)
        return grads

    return _gate(loss, gradient, params, engine.dtype, f"engine {engine.name!r} on {engine.spec}", rng, len(X))


def check_together(engine: EngineOfMany, params: Sequence[Params], batches: Sequence[Batch], seed: int = 0) -> list[GateReport]:
    """Gate the program that trains several runs at once, run by run, each against differences of its own loss.

    Args:
        engine: one with `loss_and_grad_many`.
        params: one dict per run, where its training starts.
        batches: (X, y, w) per run, its first batch, prepared as `check_gradient` does.

    Raises:
        WrongGradientError: naming the run and the group; also where the program mixes runs up.
    """
    rng = np.random.default_rng(seed)
    batches = [(_distinct_rows(np.asarray(X, dtype=np.float64), rng), y, _unequal(w, rng)) for X, y, w in batches]
    columns = [np.stack(column) for column in zip(*batches, strict=True)]

    def joint(points: Sequence[Params]) -> list[tuple[float, Params]]:
        losses, grads = engine.loss_and_grad_many({k: np.stack([p[k] for p in points]) for k in points[0]}, *columns)
        return [(float(loss), {name: np.asarray(g[run]) for name, g in grads.items()}) for run, loss in enumerate(losses)]

    at_start = joint(params)

    def check(run: int, start: Params, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> GateReport:
        def loss(p: Params) -> float:
            return float(engine.objective.batch_loss(p, np.asarray(engine.scores(p, X), dtype=np.float64), y, w))

        def gradient(p: Params) -> Params:
            same = all(np.array_equal(p[k], start[k]) for k in start)
            claimed, grads = at_start[run] if same else joint([*params[:run], p, *params[run + 1 :]])[run]
            _check_loss(claimed, loss(p), engine)
            return grads

        subject = f"run {run + 1} of {len(params)} that train together on engine {engine.name!r} on {engine.spec}"
        return _gate(loss, gradient, start, engine.dtype, subject, rng, len(X))

    return [check(run, start, *batch) for run, (start, batch) in enumerate(zip(params, batches, strict=True))]


def check_gradient_of(
    loss: Callable[..., Any], grad: Callable[..., Any], params: Any, *args: Any, seed: int = 0, dtype: DTypeLike = np.float64
) -> GateReport:
    """Gate any gradient of your own: a Catalyst, JAX or numpy function.

    Args:
        loss: loss(params, *args) -> scalar.
        grad: grad(params, *args) -> the claimed gradient, the same pytree as params.
        params: an array or a pytree (dict, tuple, list) of arrays; each leaf is a group.
        *args: passed to both. Use three or more distinct rows with unequal weights: with fewer, a wrong gradient can pass.
        dtype: the precision in which `loss` computes; the tolerance follows it.

    Raises:
        WrongGradientError: naming the leaf, the stack, the derivative expected and the one found.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path).strip("[]'") or "params" for path, _ in leaves]

    def rebuild(groups: Params) -> Any:
        return jax.tree_util.tree_unflatten(structure, [groups[n] for n in names])

    def gradient(groups: Params) -> Params:
        return dict(zip(names, jax.tree_util.tree_leaves(grad(rebuild(groups), *args)), strict=True))

    start = {n: np.asarray(leaf) for n, (_, leaf) in zip(names, leaves, strict=True)}
    subject = getattr(grad, "__name__", type(grad).__name__)
    rng = np.random.default_rng(seed)
    return _gate(lambda g: float(loss(rebuild(g), *args)), gradient, start, np.dtype(dtype), subject, rng, None)


def _gate(
    loss: Loss,
    gradient: Gradient,
    params: Params,
    dtype: DTypeLike,
    subject: str,
    rng: np.random.Generator,
    rows: int | None,
) -> GateReport:
    started = time.perf_counter()
    dtype = np.dtype(dtype).name
    params = {k: np.asarray(v, dtype=np.float64) for k, v in params.items()}
    groups = _check_point(loss, gradient, params, params, dtype, subject, "start", rng)
    unmeasured = [name for name, check in groups.items() if check.status == "untested"]
    if unmeasured:
        elsewhere = {k: v + rng.normal(size=v.shape) for k, v in params.items()}
        groups |= _check_point(loss, gradient, elsewhere, unmeasured, dtype, subject, "random point", rng)
    verdict = "pass" if any(c.status == "pass" for c in groups.values()) else "untested"
    seconds = time.perf_counter() - started
    return GateReport(verdict, groups, rows, dtype, RELATIVE_TOLERANCE[dtype], STEP[dtype], seconds)


def _check_point(
    loss: Loss,
    gradient: Gradient,
    params: Params,
    names: Iterable[str],
    dtype: str,
    subject: str,
    where: str,
    rng: np.random.Generator,
) -> dict[str, GroupCheck]:
    claimed = {k: np.asarray(v, dtype=np.float64) for k, v in gradient(params).items()}
    noise = NOISE_FACTOR * np.finfo(dtype).eps * abs(loss(params)) / STEP[dtype]
    checks = {}
    for name in names:
        if claimed[name].shape != params[name].shape or not np.isfinite(claimed[name]).all():
            raise _wrong(subject, name, f"a finite gradient of shape {params[name].shape}", f"{claimed[name]}")
        pairs = [
            (_difference(loss, params, name, d, STEP[dtype]), float(np.sum(claimed[name] * d)))
            for d in _directions(claimed[name], rng)
        ]
        checks[name] = _judge(pairs, noise, RELATIVE_TOLERANCE[dtype], subject, name, where)
    return checks


def _directions(claimed: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Unit directions: the claimed gradient's own (unless zero), then random ones. A scalar has just one."""
    if claimed.size == 1:
        return [np.ones(claimed.shape)]
    candidates = [claimed] + [rng.normal(size=claimed.shape) for _ in range(RANDOM_DIRECTIONS)]
    return [c / np.linalg.norm(c) for c in candidates if np.linalg.norm(c) > 0]


def _difference(loss: Loss, params: Params, name: str, direction: np.ndarray, step: float) -> float:
    ahead, behind = (loss(params | {name: params[name] + sign * step * direction}) for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def _judge(
    pairs: list[tuple[float, float]], noise: float | np.floating, tolerance: float, subject: str, name: str, where: str
) -> GroupCheck:
    compared = []
    for expected, found in pairs:
        scale = max(abs(expected), abs(found))
        if abs(found - expected) > tolerance * scale + noise:
            raise _wrong(subject, name, f"a directional derivative of {expected:.6g}", f"{found:.6g}", expected, found)
        if scale > 10 * noise:
            compared.append((scale, expected, found))
    if not compared:
        expected, found = max(pairs, key=lambda p: abs(p[0]))
        return GroupCheck("untested", expected, found, None, where)
    _, expected, found = max(compared)
    worst = max(abs(f - e) / s for s, e, f in compared)
    return GroupCheck("pass", expected, found, worst, where)


def _wrong(
    subject: str, group: str, expected_text: str, found_text: str, expected: float | None = None, found: float | None = None
) -> WrongGradientError:
    message = (
        f"The gradient of {subject} is wrong in group {group!r}: {expected_text} was expected from differences of its own loss, {found_text} was found. "
        f"Do not train on it. Stack: {describe_stack()}. "
        "notebooks/gradient_audit.ipynb tells which formulations are right on this stack."
    )
    return WrongGradientError(message, group, expected, found)


def _check_loss(claimed: float, recomputed: float, engine: Engine) -> None:
    allowed = RELATIVE_TOLERANCE[np.dtype(engine.dtype).name] * max(abs(recomputed), 1e-3)
    if not abs(claimed - recomputed) <= allowed:
        raise _wrong(
            f"engine {engine.name!r} on {engine.spec}", "loss", f"{recomputed:.9g}", f"{claimed:.9g}", recomputed, claimed
        )


def _unequal(w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(w, dtype=np.float64) * rng.uniform(0.5, 1.5, len(w))


def _distinct_rows(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, inverse, counts = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    repeated = counts[inverse.ravel()] > 1
    return X + np.where(repeated[:, None], rng.normal(scale=0.1, size=X.shape), 0.0)
