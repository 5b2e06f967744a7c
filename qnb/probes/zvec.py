"""The gradient of `z_vec` with respect to its coefficients, d/dw_i <sum_j w_j Z_j> = <Z_i>, four ways."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pennylane as qml
from pydantic import Field

from qnb.config import MeasurementName, TrainConfig, training_of
from qnb.core.child import child
from qnb.core.circuit import CircuitSpec, Params
from qnb.core.engine import DEFAULT_DEVICE, Engine, score_gradient
from qnb.core.settings import own_settings
from qnb.errors import ParameterError
from qnb.probes.subject import SimulatedModelConfig
from qnb.reporting.verdict import Verdict, answer

DEAD = 1e-12  # a gradient below this is zero
AGREE = 1e-5  # of gradients that should be the same: float64, or float32 against itself
AGREE_FLOAT32 = 1e-3
STEP = 0.5  # of central differences; the score is linear in the coefficients, so no step is too long
WAYS = ("adjoint through coefficients", "central differences", "engine's rule", "default.qubit, JAX")


class ZvecConfig(SimulatedModelConfig):
    """zvec_gradient_identity.ipynb."""

    # what the probe is about, no parameter of it
    measurement: ClassVar[MeasurementName] = "z_vec"  # type: ignore[misc]
    rows: Annotated[int, Field(ge=1)] = 4
    """inputs at which the gradients are compared"""
    training_epochs: Annotated[int, Field(ge=2)] = 8
    """of the short training, 10 batches each"""
    quick: bool = True
    """False: ten times the inputs, five times the training"""

    def training(self) -> TrainConfig:
        epochs = self.training_epochs if self.quick else 5 * self.training_epochs
        return training_of(self, epochs=epochs, fixed_num_batches=10)


@dataclass(frozen=True)
class Identity:
    """The identity's two sides, measured at random parameters.

    Attributes:
        z: (B, n) the expectation values <Z_i>.
        ways: by name (WAYS), ds/dw (B, n).
        moved: (n,) the largest change of a score when w_i is changed by 0.1.
        tolerance: absolute, of ds/dw = <Z_i>; it follows the engine's precision.
    """

    z: np.ndarray
    ways: dict[str, np.ndarray]
    moved: np.ndarray
    tolerance: float


def random_point(spec: CircuitSpec, rng: np.random.Generator) -> Params:
    """Random parameters: weights uniform on [-pi, pi], readout from N(0, 1)."""
    weights = rng.uniform(-np.pi, np.pi, spec.shapes["weights"])
    return spec.init(0, "direct") | {"weights": weights, "readout": rng.normal(size=spec.readout_size)}


def measure(
    engine: Engine, X: np.ndarray, rng: np.random.Generator, device: str = DEFAULT_DEVICE
) -> Identity:
    """Both sides of the identity at rows X (B, features) and parameters drawn from `rng`.

    Args:
        engine: of `Objective(alpha_mode="direct")`.
        device: where Catalyst computes the gradient with respect to the coefficients.

    Raises:
        ParameterError: the circuit does not measure `z_vec`, or encodes amplitudes, which Catalyst cannot
            differentiate.
    """
    spec = engine.spec
    if spec.measurement != "z_vec" or spec.encoder == "amplitude":
        raise ParameterError(
            f"This probe is about z_vec under Catalyst, with an angle encoder; {spec} was given."
        )
    params = random_point(spec, rng)
    z, exact = by_default_qubit(spec, params, X)
    ways = dict(
        zip(
            WAYS,
            (
                by_coefficients(spec, params, X, device),
                by_differences(engine, params, X),
                by_engine(engine, params, X),
                exact,
            ),
            strict=True,
        )
    )
    return Identity(
        z, ways, sensitivity(engine, params, X), AGREE if engine.dtype == np.float64 else AGREE_FLOAT32
    )


def sensitivity(engine: Engine, params: Params, X: np.ndarray, change: float = 0.1) -> np.ndarray:
    """For each coefficient, the largest |change of s| over rows X when `change` is added to it: (n,)."""
    before = engine.scores(params, X)
    return np.array(
        [
            np.abs(engine.scores(_moved(params, i, change), X) - before).max()
            for i in range(len(params["readout"]))
        ]
    )


def by_coefficients(
    spec: CircuitSpec, params: Params, X: np.ndarray, device: str = "lightning.qubit"
) -> np.ndarray:
    """ds/dw, (B, n), at rows X by catalyst.grad; see `qnb.probes.compiled.coefficient_gradients`."""
    gradients: np.ndarray = child().call("qnb.probes.compiled:coefficient_gradients", spec, params, X, device)
    return gradients


def by_differences(engine: Engine, params: Params, X: np.ndarray) -> np.ndarray:
    """ds/dw, (B, n), at rows X (B, features) by central differences of the engine's scores."""
    pairs = [
        [engine.scores(_moved(params, i, h), X) for h in (STEP, -STEP)] for i in range(len(params["readout"]))
    ]
    return np.array([(ahead - behind) / (2 * STEP) for ahead, behind in pairs]).T


def by_engine(engine: Engine, params: Params, X: np.ndarray) -> np.ndarray:
    """ds/dw, (B, n), at rows X (B, features) as the engine uses it in training, row by row."""
    return np.array([score_gradient(engine, params, x)[1]["readout"] for x in X])


@own_settings()
def by_default_qubit(spec: CircuitSpec, params: Params, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """<Z_i> and ds/dw at rows X, each (B, n), on PennyLane's default.qubit, by JAX's backpropagation."""
    device = qml.device("default.qubit", wires=spec.wires)

    def expectations(x: jax.Array) -> list[Any]:
        spec.apply(params["weights"], None, x, params.get("scaling"))
        return [qml.expval(qml.PauliZ(i)) for i in range(spec.wires)]

    def score(w: jax.Array, x: jax.Array) -> Any:
        return spec.score(params["weights"], w, x, params.get("scaling"))

    of_z, of_score = (
        qml.QNode(body, device, interface="jax", diff_method="backprop") for body in (expectations, score)
    )
    rows, w = jnp.asarray(X), jnp.asarray(params["readout"])
    z = jax.vmap(lambda x: jnp.stack(of_z(x)))(rows)
    ds = jax.vmap(jax.grad(lambda w, x: jnp.real(of_score(w, x))), in_axes=(None, 0))(w, rows)
    return np.real(np.asarray(z)), np.asarray(ds)


def _moved(params: Params, i: int, by: float) -> Params:
    readout = params["readout"].copy()
    readout[i] += by
    return params | {"readout": readout}


def judge_claims(measured: Identity, history: pd.DataFrame) -> list[Verdict]:
    """Verdicts on three claims: the dead gradient, the identity, and a readout that cannot learn.

    Args:
        history: of a short training of `z_vec` by `qnb.training.loop.fit`; its grad_norm_readout and
            delta_readout are used.
    """
    return [judge_coefficients(measured), judge_identity(measured), judge_training(history)]


def judge_coefficients(measured: Identity) -> Verdict:
    """Is Catalyst's gradient through Hamiltonian coefficients zero although they move the score?"""
    gradient, largest = measured.ways[WAYS[0]], float(np.abs(measured.z).max())
    worst, size = float(np.abs(gradient - measured.z).max()), float(np.abs(gradient).max())
    used = bool((measured.moved > 100 * DEAD).all())
    figures = {
        "largest_gradient": size,
        "largest_z": largest,
        "smallest_move_of_s": float(measured.moved.min()),
        "worst_error": worst,
    }
    holds: bool | None = size <= DEAD
    if not (used and largest > DEAD):
        holds, text = None, "says nothing here: the coefficients do not move the score"
    elif holds:
        text = f"is zero (at most {size:.1g}) where <Z_i> reaches {largest:.2f}: dead, though w moves s"
    elif worst <= AGREE:
        text = f"is <Z_i> to {worst:.0e}: it is right on this stack"
    else:
        text = f"is neither zero nor <Z_i> but WRONG, by up to {worst:.2g}"
    return Verdict(
        "Under qjit, is the gradient through Hamiltonian coefficients zero?",
        answer(holds),
        figures,
        {"zero": DEAD, "agree": AGREE},
        f"Asked of Catalyst through the Hamiltonian's coefficients, ds/dw_i {text}.",
    )


def judge_identity(measured: Identity) -> Verdict:
    """Is ds/dw_i = <Z_i> for the three ways that training and checking use?"""
    errors = {name: float(np.abs(measured.ways[name] - measured.z).max()) for name in WAYS[1:]}
    holds = max(errors.values()) <= measured.tolerance and np.abs(measured.z).max() > 100 * measured.tolerance
    worst = max(errors, key=lambda name: errors[name])
    text = (
        "Central differences, the engine's rule and default.qubit all give ds/dw_i = <Z_i>, to "
        f"{errors[worst]:.0e} at worst."
        if holds
        else f"{worst} misses <Z_i> by up to {errors[worst]:.2g}: it is not the gradient."
    )
    return Verdict(
        "Is d/dw_i <sum_j w_j Z_j> = <Z_i>?",
        answer(bool(holds)),
        errors,
        measured.tolerance,
        text,
    )


def judge_training(history: pd.DataFrame) -> Verdict:
    """Is the readout of `z_vec` dead in training? No if its gradient is not zero and it keeps moving."""
    norms, delta = history["grad_norm_readout"].to_numpy(), history["delta_readout"].to_numpy()
    figures = {"grad_norm_readout": norms.tolist(), "delta_readout": delta.tolist()}
    alive = bool((norms > DEAD).all() and delta[0] > DEAD and delta[-1] > delta[0])
    text = (
        f"In {len(norms)} epochs the readout's gradient norm stays above {norms.min():.1e} and the readout "
        f"moves {delta[0]:.3f} after the first and {delta[-1]:.3f} after the last: the dead readout is "
        "revived."
        if alive
        else (
            f"The readout's gradient norm falls to {norms.min():.1e} and the readout has moved "
            f"{delta[-1]:.1e}: it is dead."
        )
    )
    return Verdict(
        "Is the readout of z_vec dead in training?",
        answer(not alive),
        figures,
        {"zero": DEAD},
        text,
    )
