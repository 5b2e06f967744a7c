"""The head and the loss: from a circuit's score to a logit, a loss and its derivative.

The conventions are the same in training, evaluation, checkpoints and figures: logit l = alpha (s + bias), p
= sigmoid(l). The bias is inside alpha. The methods of `Objective` are pure, and elementwise on numpy or JAX
arrays of any shape. They can be traced for JAX arrays; numpy's float64 stays float64 whatever JAX is set to.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import enable_x64
from scipy.special import expit

from qnb import own
from qnb.core.circuit import ALPHA_FLOOR, Array
from qnb.errors import ParameterError, nearest

Loss = Callable[[Any, Any], Any]  # (logit, y) -> per row, elementwise, of jax.numpy's functions


@dataclass(frozen=True)
class Objective:
    """Loss per row and its derivative in the logit.

    BCE with logits (gamma = 0): softplus(l) - y l. Focal (Lin et al., ICCV 2017, eq. 4): (1 - p_t)^gamma *
    BCE with p_t = sigmoid((2 y - 1) l). The loss of a batch is mean(w_i loss_i).

    Args:
        focal_gamma: gamma >= 0; 0 is plain BCE.
        alpha_mode: "softplus", alpha = softplus(alpha_raw) + 1e-3, or "direct", alpha = alpha_raw.
        loss: a loss of your own instead, loss(logit, y), elementwise, made of jax.numpy functions.
        slope: its derivative in the logit, likewise; None: JAX differentiates it. The gate checks either.

    Raises:
        ParameterError: an unknown mode, a negative focal_gamma, a slope without a loss, a loss or slope that
            is not elementwise or not finite, or a loss of your own together with focal_gamma.
    """

    focal_gamma: float = 0.0
    alpha_mode: str = "softplus"
    own_loss: Loss | None = None
    own_slope: Loss | None = None

    def __init__(
        self,
        focal_gamma: float = 0.0,
        alpha_mode: str = "softplus",
        loss: Loss | None = None,
        slope: Loss | None = None,
    ):
        fields = {"focal_gamma": focal_gamma, "alpha_mode": alpha_mode, "own_loss": loss, "own_slope": slope}
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if self.alpha_mode not in ("softplus", "direct"):
            raise ParameterError(
                f"alpha_mode = {self.alpha_mode!r} is not known. "
                f"{nearest(self.alpha_mode, ('softplus', 'direct'))}"
            )
        if not self.focal_gamma >= 0:
            raise ParameterError(f"focal_gamma = {self.focal_gamma!r}: a number from 0 up was expected.")
        if self.own_loss is None and self.own_slope is not None:
            raise ParameterError("slope is the derivative of a loss of your own: give loss too.")
        if self.own_loss is not None:
            if self.focal_gamma > 0:
                raise ParameterError("focal_gamma belongs to qnb's loss: leave it 0 beside one of your own.")
            _require_elementwise(self.loss, "loss")
            _require_elementwise(self.slope, "slope")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields that a configuration sets and a model file keeps."""
        return "focal_gamma", "alpha_mode"

    def fingerprint(self) -> tuple[float | str, ...]:
        """What the objective computes, whatever it is called: loss, slope, alpha and its slope, and logits
        at a few points of both classes; with the source text of functions of your own.
        """
        l, y = np.array([-1.3, -0.2, 0.4, 1.7, 0.9, -2.1]), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
        computed = (
            self.loss(l, y),
            self.slope(l, y),
            self.alpha(l),
            self.alpha_slope(l),
            self.logit(l, 0.3 * y, l),
        )
        texts = [str(own.part(f)) for f in (self.own_loss, self.own_slope) if f is not None]
        return *(float(value) for array in computed for value in np.asarray(array)), *texts

    def alpha(self, raw: Array) -> Array:
        """The logit scale: softplus(raw) + 1e-3 > 0, or raw itself for `direct`."""
        return _softplus(raw) + ALPHA_FLOOR if self.alpha_mode == "softplus" else raw

    def alpha_slope(self, raw: Array) -> Array:
        """d alpha / d raw."""
        return _sigmoid(raw) if self.alpha_mode == "softplus" else raw * 0 + 1.0

    def logit(self, score: Array, bias: Array, alpha_raw: Array) -> Array:
        """l = alpha (s + bias)."""
        return self.alpha(alpha_raw) * (score + bias)

    def loss(self, logit: Array | float, y: Array | float) -> Array:
        """Loss per row, in nats for BCE and focal loss; labels y are 0 or 1."""
        if self.own_loss is not None:
            return _as_given(logit, self.own_loss, logit, y)
        bce = _softplus(logit) - y * logit
        if self.focal_gamma == 0:
            return bce
        # 1 - p_t = sigmoid(-(2y-1) l)
        return _exp(-self.focal_gamma * _softplus((2 * y - 1) * logit)) * bce

    def slope(self, logit: Array | float, y: Array | float) -> Array:
        """d loss / d logit per row, in closed form for BCE and focal loss.

        With m = (2 y - 1) l, q = 1 - p_t = sigmoid(-m) and bce = softplus(-m): d/dm [q^gamma bce] = -q^gamma
        (gamma p_t bce + q).
        """
        if self.own_loss is not None:
            return _as_given(logit, self.own_slope or functools.partial(_derivative, self.own_loss), logit, y)
        if self.focal_gamma == 0:
            return _sigmoid(logit) - y
        sign = 2 * y - 1
        margin = sign * logit
        q_gamma = _exp(-self.focal_gamma * _softplus(margin))
        bce = _softplus(-margin)
        return -sign * q_gamma * (self.focal_gamma * _sigmoid(margin) * bce + _sigmoid(-margin))

    def batch_loss(self, params: Mapping[str, Array], scores: Array, y: Array, w: Array) -> Array:
        """mean(w_i loss_i), a scalar, for scores (B,), labels y (B,) in {0, 1} and weights w (B,).

        Args:
            params: holds `bias` () and the raw `alpha` ().
        """
        mean: Array = (w * self.loss(self.logit(scores, params["bias"], params["alpha"]), y)).mean()
        return mean


def _derivative(loss: Loss, logit: Any, y: Any) -> Any:
    """d loss / d logit, elementwise, by JAX."""
    logit = jnp.asarray(logit)
    return jax.jvp(lambda l: loss(l, y), (logit,), (jnp.ones_like(logit),))[1]


def _as_given(like: Array | float, function: Loss, *args: Any) -> Array:
    """What a function of the user's returns: of JAX's arrays traced, of others in numpy's float64."""
    if isinstance(like, jax.Array):
        values: Array = function(*args)
        return values
    with enable_x64():
        return np.asarray(function(*args), dtype=np.float64)


def _require_elementwise(function: Loss, name: str) -> None:
    """Raise ParameterError where a function of the user's is no function of each row by itself."""
    l, y = np.array([-1.3, 0.4, 2.0]), np.array([0.0, 1.0, 0.0])
    try:
        whole = np.asarray(function(l, y))
        jax.eval_shape(function, l, y)  # as it will be traced
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise ParameterError(
            f"{name}(logit, y) has to be made of jax.numpy's functions of two arrays; it raised "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if whole.shape != l.shape or not np.isfinite(whole).all():
        raise ParameterError(
            f"{name}(logit, y) of shapes (3,) gave {whole!r}: a finite number for each row was expected."
        )
    rows = [np.asarray(function(l[k : k + 1], y[k : k + 1]))[0] for k in range(3)]
    if not np.allclose(whole, rows, rtol=1e-6, atol=1e-9):
        raise ParameterError(f"{name}(logit, y) mixes rows up: it has to be elementwise.")


# JAX's functions for its arrays, traced or not; else numpy's, whose float64 no setting of JAX touches


def _softplus(x: Array | float) -> Array:
    return jnp.logaddexp(x, 0.0) if isinstance(x, jax.Array) else np.logaddexp(x, 0.0)


def _sigmoid(x: Array | float) -> Array:
    probability: Array = jax.nn.sigmoid(x) if isinstance(x, jax.Array) else expit(x)
    return probability


def _exp(x: Array) -> Array:
    return jnp.exp(x) if isinstance(x, jax.Array) else np.exp(x)


def class_weight_pair(class_weights: str | Sequence[float] | None, prior: float) -> tuple[float, float]:
    """(w_neg, w_pos) from None (1, 1), "balanced" (n / (2 n_class), as in scikit-learn) or an explicit pair.

    Args:
        prior: the fraction of positives.
    """
    if class_weights is None:
        return 1.0, 1.0
    if class_weights == "balanced":
        return 0.5 / (1 - prior), 0.5 / prior
    return float(class_weights[0]), float(class_weights[1])


def importance_weights(y: np.ndarray, prior: float) -> np.ndarray:
    """Weights (B,) that correct a batch drawn at another class ratio to the true prior; their mean is 1 by
    construction.

    w_pos = pi_t / pi_b, w_neg = (1 - pi_t) / (1 - pi_b), with pi_b = n_pos / B as realised in the batch.

    Args:
        y: (B,) labels in {0, 1}, both present.
        prior: pi_t, the fraction of positives among the training rows.

    Raises:
        ParameterError: the batch lacks a class.
    """
    y = np.asarray(y)
    realised = y.mean()
    if not 0 < realised < 1:
        raise ParameterError(
            f"Importance weights need both classes in the batch; it holds {int(y.sum())} positives of "
            f"{y.size}."
        )
    weights: np.ndarray = np.where(y == 1, prior / realised, (1 - prior) / (1 - realised))
    return weights
