"""The dequantised twin of a circuit: logistic regression on the encoder's own trigonometric functions.

A circuit's score is a polynomial in sines and cosines of its angles, whose frequencies the encoder fixes
(Schuld, Sweke and Meyer, Phys. Rev. A 103, 032430, 2021). A linear model over the same functions can express
what the circuit can, as far as products over a few wires reach, and its loss is convex. Only against this
model does it show what the circuit adds to its encoding (Schreiber, Eisert and Meyer, PRL 131, 100803, 2023;
Sweke et al., arXiv:2309.11647, 2023).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import expit

from qnb.core.circuit import CircuitSpec
from qnb.training.metrics import auc
from qnb.training.surrogate import BASES, basis

MOST_FEATURES = 1000
ORDERS = (1, 2, 3)  # wires in a product
PENALTIES = (0.01, 0.3, 10.0, 300.0)  # C of scikit-learn: the loss is C sum_i loss_i + |w|^2 / 2
MOST_ROWS = 50_000  # that are fitted: 400 MB at 1,000 features, twice that while they are made
CHUNK = 8192  # rows whose logits are taken at once
FTOL = 1e-6  # relative change of the loss at which a fit ends
STEPS = 100
FLAT = 1e-6  # least curvature of a row's loss in the preconditioner
CONSTANT = 1e-9  # standard deviation under which a function is constant on the training rows


@dataclass(frozen=True)
class Functions:
    """The functions of one angle that an encoder spans, and over how many wires they are multiplied.

    Attributes:
        encoder: a key of `qnb.training.surrogate.BASES`.
        highest: highest frequency of a re-uploading circuit: the functions are sin jx and cos jx for
            j = 1 ... highest. 0: the encoder's own functions, BASES.
        wires: n.
        order: the largest number of wires in a product (of ORDERS) with at most MOST_FEATURES features.
        limited: what was left out of the circuit's functions, in words; None: nothing.
    """

    encoder: str
    highest: int
    wires: int
    order: int
    limited: str | None

    @property
    def per_wire(self) -> int:
        """Number of functions of one angle, without the constant."""
        return 2 * self.highest if self.highest else len(BASES[self.encoder]) - 1

    def count(self, order: int) -> int:
        """Number of features: products over 1 to `order` wires."""
        return count_features(self.per_wire, self.wires, order)

    def columns(self, X: np.ndarray, order: int) -> np.ndarray:
        """All products over 1 to `order` wires, (features, B), at angles X (B, n) in radians."""
        x = np.asarray(X, dtype=np.float64).T
        if not self.highest:
            return products(basis(self.encoder, x)[1:].swapaxes(0, 1), order)
        multiples = np.arange(1, self.highest + 1)[:, None] * x[:, None]  # (n, highest, B)
        return products(np.concatenate([np.sin(multiples), np.cos(multiples)], axis=1), order)


def count_features(per_wire: int, wires: int, order: int) -> int:
    """Number of products over 1 to `order` wires: sum over j of (wires choose j) per_wire^j."""
    return sum(math.comb(wires, j) * per_wire**j for j in range(1, order + 1))


def products(functions: np.ndarray, order: int) -> np.ndarray:
    """Products of one function per wire over 1 to `order` different wires: (n, d, B) -> (features, B)."""
    blocks = []
    for k in range(1, order + 1):
        for wires in itertools.combinations(functions, k):
            product = wires[0]
            for factor in wires[1:]:
                product = (product[:, None] * factor).reshape(-1, product.shape[-1])
            blocks.append(product)
    return np.concatenate(blocks)


def functions_of(spec: CircuitSpec) -> Functions | None:
    """The functions that the circuit's encoder spans; None for `amplitude` and encoders of your own.

    `hadamard` only exchanges sine and cosine. With L encodings, a re-uploading circuit reaches frequency L
    (`angle_y`) or 2 L (`angle_xy`, which rotates by the angle twice). A trained scaling starts at these
    frequencies; the twin keeps them when training moves it.
    """
    if spec.encoder not in BASES:
        return None
    highest = spec.layers * (2 if spec.encoder == "angle_xy" else 1) if spec.reupload else 0
    fitting = min(highest, MOST_FEATURES // (2 * spec.wires))
    limited = [f"frequencies above {fitting} of {highest} are left out"] if fitting < highest else []
    limited += ["a trained scaling's other frequencies are left out"] * spec.scaling
    per_wire = 2 * fitting if fitting else len(BASES[spec.encoder]) - 1
    orders = [k for k in ORDERS if k <= spec.wires]
    order = max(k for k in orders if count_features(per_wire, spec.wires, k) <= MOST_FEATURES)
    if order < orders[-1]:
        limited.append(
            f"products of {order + 1} wires would make {count_features(per_wire, spec.wires, order + 1):,} "
            f"features, more than {MOST_FEATURES:,}"
        )
    return Functions(spec.encoder, fitting, spec.wires, order, "; ".join(limited) or None)


@dataclass(frozen=True, eq=False)
class Twin:
    """A fitted twin.

    Attributes:
        functions: the functions of its angles.
        order: largest number of wires in a product, chosen on the validation rows.
        penalty: C, chosen on the validation rows; a larger C means a weaker penalty.
        rows: number of training rows in the fit.
        weights: (features,), coefficients of the functions as they are (not standardised).
        intercept: of the logit.
    """

    functions: Functions
    order: int
    penalty: float
    rows: int
    weights: np.ndarray
    intercept: float

    def logits(self, X: np.ndarray) -> np.ndarray:
        """l(x) for rows of angles in radians, X (B, n) -> (B,)."""
        chunks = [X[start : start + CHUNK] for start in range(0, len(X), CHUNK)]
        return np.concatenate(
            [self.weights @ self.functions.columns(c, self.order) + self.intercept for c in chunks]
        )


def fit_twin(
    functions: Functions,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    orders: tuple[int, ...] = ORDERS,
    penalties: tuple[float, ...] = PENALTIES,
) -> Twin:
    """The twin of highest validation AUC over orders and penalties; ties go to the one tried first.

    Args:
        train, val: pairs (X (B, n) angles in radians, y (B,)).
        rows: positions of the training rows to fit.
        orders, penalties: to choose from, simplest first; orders above the functions' own are left out.

    Raises:
        ValueError: no order is within that of the functions.
    """
    X, y = train[0][rows], train[1][rows]
    best, highest = None, -math.inf
    for order in (k for k in orders if k <= functions.order):
        columns = functions.columns(X, order)
        for penalty, weights, intercept in _path(columns, y, penalties):
            twin = Twin(functions, order, penalty, len(rows), weights, intercept)
            if (val_auc := auc(twin.logits(val[0]), val[1])) > highest:
                best, highest = twin, val_auc
    if best is None:
        raise ValueError(f"orders={orders} holds none up to {functions.order}.")
    return best


def _path(
    columns: np.ndarray, y: np.ndarray, penalties: tuple[float, ...]
) -> list[tuple[float, np.ndarray, float]]:
    """For each C the weights (p,) and intercept that minimise C sum_i loss_i + |w|^2 / 2 over standardised
    columns (p, B), each started from the one before.

    Products of sines and cosines are nearly collinear: the eigenvalues of their covariance span seven orders
    of magnitude, and L-BFGS alone takes hundreds of steps. Here it works in coordinates in which the Hessian
    at the start, F diag(q (1 - q)) F^T + 1 / C, is the identity, and takes some forty.
    """
    mean, scale = columns.mean(axis=1), columns.std(axis=1)
    scale = np.where(scale > CONSTANT, scale, np.inf)  # a constant column takes no part
    F = columns  # in place: they can be large
    F -= mean[:, None]
    F /= scale[:, None]
    prior = float(y.mean())
    w = np.zeros(len(F) + 1)
    w[-1] = math.log(prior / (1 - prior))  # the intercept, which is not penalised
    fits = []
    for C in penalties:
        penalty = np.r_[np.full(len(F), 1 / C), 0.0]
        w = _minimise(F, y, penalty, np.linalg.cholesky(_hessian(F, penalty, w)), w)
        weights = w[:-1] / scale
        fits.append((C, weights, float(w[-1] - weights @ mean)))
    return fits


def _hessian(F: np.ndarray, penalty: np.ndarray, w: np.ndarray) -> np.ndarray:
    """F diag(q (1 - q)) F^T + diag(penalty) at w, the intercept's row of ones added to F (p, B)."""
    hessian = np.diag(penalty)
    for start in range(0, F.shape[1], CHUNK):
        chunk = np.vstack([F[:, start : start + CHUNK], np.ones(F[:, start : start + CHUNK].shape[1])])
        q = expit(w @ chunk)
        hessian += (chunk * np.maximum(q * (1 - q), FLAT)) @ chunk.T
    return hessian


def _minimise(
    F: np.ndarray, y: np.ndarray, penalty: np.ndarray, lower: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """The w (p + 1,) of least sum_i loss_i + penalty @ w^2 / 2, the intercept last, for rows F (p, B): by
    L-BFGS on v = lower^T w.
    """

    def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
        w = solve_triangular(lower, v, trans="T", lower=True)
        l = w[:-1] @ F + w[-1]
        residual = expit(l) - y
        loss = float((np.logaddexp(0, l) - y * l).sum() + penalty @ w**2 / 2)
        gradient = np.r_[F @ residual, residual.sum()] + penalty * w
        return loss, solve_triangular(lower, gradient, lower=True)

    options = {"maxiter": STEPS, "ftol": FTOL}
    solved = minimize(objective, lower.T @ start, jac=True, method="L-BFGS-B", options=options)
    w: np.ndarray = solve_triangular(lower, solved.x, trans="T", lower=True)
    return w
