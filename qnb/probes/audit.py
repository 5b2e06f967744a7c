"""Is a gradient that compiles the right gradient?

Every formulation in `formulations.py`, on every stack given, is compared with default.qubit.

With s_k the score of row k and L the loss of the batch, dL/dtheta = sum_k (dL/ds_k) ds_k/dtheta. A wrong
gradient is compared, for every row k, with the one-sample laws in LAWS, where one row's score or derivative
stands for all of them; with zero; and with the right gradient of the rows as read regardless of strides.

Only programs for Catalyst are audited, not engines made by hand: `qnb.check_gradient` checks those.
"""

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pennylane as qml
from pydantic import Field

from qnb import own
from qnb.config import Device, Listed, TrainConfig, training_of
from qnb.core.child import users_modules_by_value
from qnb.core.circuit import Array, CircuitSpec
from qnb.core.objective import Objective
from qnb.core.settings import own_settings
from qnb.probes import forks, formulations
from qnb.probes.subject import SmallModelConfig

Stack = Annotated[str, Field(pattern=r"^(current|\d+\.\d+\.\d+)$")]
FORMULATIONS = formulations.FORMULATIONS
TOLERANCE = 1e-6  # relative, of float64 gradients that are the same
LOOSE = 1e-3  # of finite differences, and of float32
LOOSE_KEYS = ("loss_scan_fd", "fortran_order", "strided_view", "engine_exact")
LIMIT = 90  # seconds for one formulation
NOTES = "loss_scan"  # how the note asked
FULL_MEASUREMENTS = ("mean_z", "mean_z_readout", "z_vec")
SUM, OWN, SAME, REPEATED, CHAIN, ZERO, STRIDES, NONE = (
    "sum",
    "own",
    "same",
    "repeated",
    "chain",
    "zero",
    "strides",
    "none",
)
LAWS = {
    SUM: "(Σ_b dL/ds_b) · ds_k/dθ",
    OWN: "(dL/ds_k) · ds_k/dθ",
    SAME: "(Σ_b dL/ds_b at s_b = s_k) · ds_k/dθ, as if every row had row k's x",
    REPEATED: "B · (dL/ds_k) · ds_k/dθ, as if the batch were row k, B times",
    CHAIN: "Σ_b (dL/ds_b at s_b = s_k) · ds_b/dθ",
    ZERO: "zero",
    STRIDES: "the right gradient of rows read in memory order",
    NONE: "none that is known",
}


class AuditConfig(SmallModelConfig):
    """gradient_audit.ipynb."""

    device: Device = "lightning.qubit"
    stacks: Annotated[tuple[Stack, ...], Listed, Field(min_length=1)] = ("current",)
    """and versions of Catalyst, "0.14.0" say, each in an environment of its own outside the project"""
    rows: Annotated[int, Field(ge=3, le=64)] = 5
    """of the batch on which gradients are compared, 3 or more"""
    training_epochs: Annotated[int, Field(ge=3)] = 10
    """of 20 batches each, for the consequence"""
    quick: bool = True
    """False: every formulation for mean_z, mean_z_readout and z_vec, and three times the training"""

    def training(self) -> TrainConfig:
        epochs = self.training_epochs if self.quick else 3 * self.training_epochs
        return training_of(self, engine="catalyst", epochs=epochs, fixed_num_batches=20)


@dataclass(frozen=True)
class Reference:
    """The batch and its gradient on default.qubit, with its factors.

    Attributes:
        spec: the circuit.
        arrays: weights (L, n, 3), readout (r,), bias (), alpha () raw, X (B, features), y (B,), w (B,).
        gradient: by group, of the loss of the batch.
        d_scores: dL/ds_k, (B,).
        d_same: dL/ds_b if every row had the score of row k, (B, B) by k and b.
        d_rows: by circuit group, ds_k/dgroup, (B, *shape of the group).
    """

    spec: CircuitSpec
    arrays: dict[str, np.ndarray]
    gradient: dict[str, np.ndarray]
    d_scores: np.ndarray
    d_same: np.ndarray
    d_rows: dict[str, np.ndarray]


def batch_of(spec: CircuitSpec, X: np.ndarray, y: np.ndarray, rows: int, seed: int) -> dict[str, np.ndarray]:
    """A batch that exposes a wrong gradient: distinct rows of both classes, unequal weights, parameters away
    from their initial values.

    Args:
        X, y: rows to choose from, (N, features) and (N,), both classes among them.
        rows: B, at least 3; fewer are returned where there are not enough distinct ones.

    Returns:
        See `Reference.arrays`.
    """
    rng = np.random.default_rng(seed)
    _, distinct = np.unique(X, axis=0, return_index=True)
    of_class = [rng.permutation(distinct[y[distinct] == label]) for label in (0, 1)]
    positives = min(len(of_class[1]), rows - rows // 2)
    chosen = rng.permutation(np.concatenate([of_class[1][:positives], of_class[0][: rows - positives]]))
    params = {name: value + 0.7 * rng.normal(size=value.shape) for name, value in spec.init(0).items()}
    return params | {"X": X[chosen], "y": y[chosen], "w": rng.uniform(0.5, 2, len(chosen))}


@own_settings()
def reference(spec: CircuitSpec, arrays: dict[str, np.ndarray]) -> Reference:
    """The reference gradient of BCE on alpha (s + bias), in float64: scores row by row on default.qubit,
    differentiated by backpropagation through JAX.

    Args:
        arrays: parameters and batch, see `Reference.arrays`.
    """
    node = qml.QNode(
        spec.score, qml.device("default.qubit", wires=spec.wires), diff_method="backprop", interface="jax"
    )
    objective, (X, y, w) = Objective(), (jnp.asarray(arrays[k]) for k in ("X", "y", "w"))
    circuit = ("weights", "readout") if spec.has_readout else ("weights",)

    def score(parts: dict[str, Array], x: jax.Array) -> jax.Array:
        readout = parts.get("readout", arrays["readout"])
        return jnp.real(node(parts["weights"], readout, x, arrays.get("scaling")))

    def loss(s: jax.Array, bias: jax.Array, raw: jax.Array) -> jax.Array:
        return jnp.mean(w * objective.loss(objective.logit(s, bias, raw), y))

    parts = {name: jnp.asarray(arrays[name]) for name in circuit}
    s, d_rows = jax.vmap(jax.value_and_grad(score), in_axes=(None, 0))(parts, X)
    head = tuple(jnp.asarray(arrays[k]) for k in ("bias", "alpha"))
    d_scores, d_bias, d_raw = jax.grad(loss, argnums=(0, 1, 2))(s, *head)
    d_same = jax.vmap(lambda s_k: jax.grad(loss)(jnp.full(s.shape, s_k), *head))(s)
    gradient = {name: jnp.tensordot(d_scores, d_rows[name], 1) for name in circuit} | {
        "bias": d_bias,
        "alpha": d_raw,
    }
    parts_of_gradient = jax.tree.map(np.asarray, (gradient, d_scores, d_same, d_rows))
    return Reference(spec, arrays, *parts_of_gradient)


def references(
    spec: CircuitSpec, pairs: Iterable[tuple[str, str]], X: np.ndarray, y: np.ndarray, rows: int, seed: int
) -> dict[str, Reference]:
    """By measurement in `pairs` (see `plan`), the reference of the circuit with that measurement.

    The other arguments are those of `batch_of`.
    """
    specs = {measurement: dataclasses.replace(spec, measurement=measurement) for _, measurement in pairs}
    return {name: reference(s, batch_of(s, X, y, rows, seed)) for name, s in specs.items()}


def in_memory_order(X: np.ndarray) -> np.ndarray:
    """X (B, features) as read without regard to its strides: consecutive numbers in memory, row by row."""
    strides = np.cumprod([X.itemsize, *X.shape[:0:-1]])[::-1]
    return np.lib.stride_tricks.as_strided(X, X.shape, strides, writeable=False).copy()


@dataclass(frozen=True)
class Law:
    """The law that a wrong gradient of one group follows.

    Attributes:
        name: a key of LAWS.
        k: the row, where the law has one.
        residual: |gradient - law| / |gradient|.
        coefficients: c in gradient = sum_k c_k ds_k/dgroup by least squares, (B,); dL/ds_k in the right one.
    """

    name: str
    residual: float
    coefficients: np.ndarray
    k: int | None = None

    def __str__(self) -> str:
        ends = {0: "first", len(self.coefficients) - 1: "last"}
        row = "" if self.k is None else f", k = {self.k} ({ends.get(self.k, 'neither end')})"
        return LAWS[self.name] + row


def fit_law(
    gradient: np.ndarray,
    d_scores: np.ndarray,
    d_same: np.ndarray,
    d_rows: np.ndarray,
    misread: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> Law:
    """The law that a group's gradient follows; NONE, with the residual of the nearest, if it follows none.

    Args:
        gradient: the gradient of one group.
        d_scores, d_same: see Reference.
        d_rows: ds_k/dgroup, (B, *shape of the group).
        misread: the right gradient of the rows in memory order, if they were given with other strides.
        tolerance: largest residual of a law, and relative size below which a gradient is zero.
    """
    count = len(d_scores)
    rows = np.reshape(d_rows, (count, -1))
    flat, size = np.ravel(gradient), np.linalg.norm(gradient)
    coefficients = np.linalg.lstsq(rows.T, flat, rcond=None)[0]
    if size <= tolerance * np.linalg.norm(rows.T @ d_scores):
        return Law(ZERO, 0.0, coefficients)
    candidates: list[tuple[str, int | None, np.ndarray]] = []
    if misread is not None:
        candidates.append((STRIDES, None, np.ravel(misread)))
    for b, row in enumerate(rows):
        candidates += [
            (SUM, b, d_scores.sum() * row),
            (OWN, b, d_scores[b] * row),
            (REPEATED, b, count * d_scores[b] * row),
        ]
        candidates += [(SAME, b, d_same[b].sum() * row), (CHAIN, b, d_same[b] @ rows)]
    residual, name, k = min(
        ((np.linalg.norm(flat - law) / size, name, k) for name, k, law in candidates), key=lambda fit: fit[0]
    )
    if residual > tolerance:
        return Law(NONE, float(residual), coefficients)
    return Law(name, float(residual), coefficients, k)


@dataclass(frozen=True)
class Outcome:
    """One formulation on one stack, for one measurement.

    Attributes:
        verdict: right | wrong | does not compile | crashed | timed out | not applicable.
        errors: by group, |found - right| relative to the larger of the group's norm and 1 % of the whole
            gradient's.
        laws: by wrong circuit group, the law that it follows instead.
        message: of the compiler, or how the process ended.
        seconds: of the job, without the import of the stack.
    """

    stack: str
    key: str
    measurement: str
    verdict: str
    message: str = ""
    errors: dict[str, float] = field(default_factory=dict)
    laws: dict[str, Law] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def title(self) -> str:
        """The formulation in words."""
        return FORMULATIONS[self.key].title

    @property
    def worst(self) -> float | None:
        """The largest relative error of a group."""
        return max(self.errors.values()) if self.errors else None

    @property
    def law(self) -> str:
        """The laws of the wrong groups in words; one if they are the same."""
        named = {group: str(law) for group, law in self.laws.items()}
        if len(set(named.values())) == 1:
            return next(iter(named.values()))
        return "; ".join(f"{g}: {law}" for g, law in named.items())


def compare_with_reference(
    gradient: Mapping[str, np.ndarray],
    right: Reference,
    tolerance: float = TOLERANCE,
    misread: dict[str, np.ndarray] | None = None,
) -> tuple[str, dict[str, float], dict[str, Law]]:
    """(verdict, errors, laws) of a gradient, as in `Outcome`.

    Args:
        gradient: by group; anything but finite numbers of the right shape is wrong.
        right: the reference.
        tolerance: largest relative error of a right gradient.
        misread: the gradient by group of the rows in memory order, see `fit_law`.
    """
    whole = np.sqrt(sum(np.sum(g**2) for g in right.gradient.values()))
    errors, laws = {}, {}
    for group, expected in right.gradient.items():
        value = np.asarray(gradient[group], dtype=np.float64)
        if value.shape != expected.shape or not np.isfinite(value).all():
            errors[group] = np.inf
            continue
        errors[group] = float(np.linalg.norm(value - expected) / max(np.linalg.norm(expected), 0.01 * whole))
        if errors[group] > tolerance and group in right.d_rows:
            read = None if misread is None else misread[group]
            laws[group] = fit_law(value, right.d_scores, right.d_same, right.d_rows[group], read, tolerance)
    return "right" if max(errors.values()) <= tolerance else "wrong", errors, laws


def plan(measurement: str, quick: bool) -> list[tuple[str, str]]:
    """(formulation, measurement) pairs of an audit.

    Quick: the shorter list for the model's measurement, and the essential ones for z_vec. Otherwise all
    formulations for the model's measurement and FULL_MEASUREMENTS.
    """
    if quick:
        pairs = [(key, measurement) for key, f in FORMULATIONS.items() if f.quick]
        return pairs + [
            (key, "z_vec") for key in (NOTES, "row_by_row", "engine_catalyst") if measurement != "z_vec"
        ]
    measurements = dict.fromkeys((measurement, *FULL_MEASUREMENTS))
    return [(key, m) for m in measurements for key in FORMULATIONS]


def audit(
    stack: str,
    python: Path,
    references: dict[str, Reference],
    pairs: Iterable[tuple[str, str]],
    device: str = "lightning.qubit",
    on_done: Callable[[], None] = lambda: None,
    file: str = formulations.__file__,
    workers: int | None = None,
    limit: float = LIMIT,
) -> list[Outcome]:
    """Run each formulation in its own process with that interpreter, and compare it with its reference.

    Args:
        stack: its name in the report.
        python: the stack's interpreter.
        references: by measurement.
        pairs: (formulation, measurement).
        device: PennyLane device of the QNodes.
        on_done: called after each.
        file: the Python file that holds the formulations and their `work(folder, job)`.
        workers: processes at once; None: one per core.
        limit: seconds for each.

    Returns:
        One outcome per pair, in order. A formulation that fails is an outcome, not an error.
    """
    pairs = list(pairs)
    with tempfile.TemporaryDirectory(prefix="qnb-audit-") as name:
        folder = Path(name)
        inputs = {measurement: f"{k}.npz" for k, measurement in enumerate(references)}
        for measurement, right in references.items():
            arrays: dict[str, Any] = right.arrays
            np.savez(folder / inputs[measurement], **arrays)
        jobs = [
            _job(f"{k}-{key}", key, inputs[measurement], references[measurement].spec, device)
            for k, (key, measurement) in enumerate(pairs)
        ]
        ended = run_jobs(python, file, folder, jobs, workers or len(os.sched_getaffinity(0)), limit, on_done)
        misread = {}
        outcomes = []
        for (key, measurement), job in zip(pairs, jobs, strict=True):
            right = references[measurement]
            if key in formulations.LAYOUTS and (key, measurement) not in misread:
                X = in_memory_order(formulations.LAYOUTS[key](right.arrays["X"]))
                misread[key, measurement] = reference(right.spec, right.arrays | {"X": X}).gradient
            outcomes.append(
                _outcome(
                    stack,
                    key,
                    right,
                    folder,
                    job["name"],
                    ended.get(job["name"]),
                    misread.get((key, measurement)),
                )
            )
        return outcomes


def _job(name: str, key: str, inputs: str, spec: CircuitSpec, device: str) -> dict[str, Any]:
    """What `formulations.work` takes; of parts of the user's own, themselves, by value."""
    parts = {part: value for part, value in spec.to_dict().items() if isinstance(value, own.Own)}
    fields = spec.to_dict() | {"has_readout": spec.has_readout, "device": device}
    if parts:
        with users_modules_by_value():
            fields["parts"] = cloudpickle.dumps(parts).hex()
    return {"name": name, "key": key, "inputs": inputs, "spec": fields}


def run_jobs(
    python: str | Path,
    file: str,
    folder: Path,
    jobs: list[dict[str, Any]],
    workers: int,
    limit: float,
    on_done: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Run the jobs through `forks.py`.

    Returns:
        By name, how the job ended (see `qnb.probes.forks.report`). A job without an entry was lost with the
        program itself.
    """
    command = [python, "-I", forks.__file__, str(file), str(folder), str(workers), str(limit)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "OMP_NUM_THREADS": "1"
    }
    ended = {}
    with (
        open(folder / "program.log", "w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as program,
    ):
        try:
            with contextlib.suppress(BrokenPipeError), program.stdin or io.StringIO() as jobs_of_program:
                jobs_of_program.write(json.dumps(jobs))
            for line in program.stdout or ():
                entry = json.loads(line)
                ended[entry["name"]] = entry
                on_done()
        finally:
            program.terminate()  # when interrupted; it takes its processes with it
    return ended


def _outcome(
    stack: str,
    key: str,
    right: Reference,
    folder: Path,
    name: str,
    ended: dict[str, Any] | None,
    misread: dict[str, np.ndarray] | None,
) -> Outcome:
    measurement = right.spec.measurement
    if ended is None:
        lines = (folder / "program.log").read_text().strip().splitlines()[-1:]
        return Outcome(
            stack,
            key,
            measurement,
            "crashed",
            f"The program that runs the formulations ended. {formulations.telling(''.join(lines))}",
        )
    seconds, path, raised = ended["seconds"], folder / f"{name}.npz", folder / f"{name}.json"
    if ended["limit"]:
        return Outcome(stack, key, measurement, "timed out", f"no answer in {seconds:.0f} s", seconds=seconds)
    if ended["exit"] != 0:
        ending = signal.Signals(-ended["exit"]).name if ended["exit"] < 0 else f"exit code {ended['exit']}"
        last = formulations.telling((folder / f"{name}.log").read_text(errors="replace"))
        return Outcome(stack, key, measurement, "crashed", f"{ending}. {last}".strip(), seconds=seconds)
    if raised.exists():
        failure = json.loads(raised.read_text())
        verdict = "not applicable" if failure["kind"] == "not applicable" else "does not compile"
        return Outcome(
            stack, key, measurement, verdict, f"{failure['kind']}: {failure['message']}", seconds=seconds
        )
    with np.load(path) as gradient:
        verdict, errors, laws = compare_with_reference(
            gradient, right, LOOSE if key in LOOSE_KEYS else TOLERANCE, misread
        )
    return Outcome(stack, key, measurement, verdict, "", errors, laws, seconds)


def outcomes_table(outcomes: list[Outcome]) -> pd.DataFrame:
    """One row per outcome, with its law or message."""
    rows = [
        {
            "stack": o.stack,
            "measurement": o.measurement,
            "formulation": o.title,
            "verdict": o.verdict,
            "relative error": o.worst,
            "law": o.law,
            "residual": max((law.residual for law in o.laws.values()), default=None),
            "message": o.message,
            "seconds": o.seconds,
        }
        for o in outcomes
    ]
    return pd.DataFrame(rows)


def wrong_by_law(outcomes: list[Outcome]) -> pd.DataFrame:
    """Wrong gradients, one row per formulation and law: where, the largest relative error, and the largest
    residual of the law.
    """
    wrong = outcomes_table([o for o in outcomes if o.verdict == "wrong"])
    if wrong.empty:
        return wrong
    wrong["where"] = wrong["stack"] + " " + wrong["measurement"]
    grouped = wrong.groupby(["formulation", "law"], sort=False)
    return grouped.agg({"where": ", ".join, "relative error": "max", "residual": "max"}).reset_index()


def refusals(outcomes: list[Outcome]) -> pd.DataFrame:
    """Outcomes without a gradient, one row per stack, verdict and message: stack, verdict, formulation (all
    of them), message.
    """
    refused = outcomes_table([o for o in outcomes if o.verdict not in ("right", "wrong", "not applicable")])
    if refused.empty:
        return refused
    named = refused.groupby(["stack", "verdict", "message"])["formulation"].agg(
        lambda names: "; ".join(dict.fromkeys(names))
    )
    return named.reset_index()[["stack", "verdict", "formulation", "message"]]


def not_audited(outcomes: list[Outcome]) -> list[str]:
    """Pairs that were not audited, one sentence per stack, measurement and reason."""
    of_reason: dict[str, list[str]] = {}
    for o in outcomes:
        if o.verdict == "not applicable":
            reason = o.message.removeprefix("not applicable: ")
            of_reason.setdefault(f"{o.stack}, {own.place(o.measurement)}: {reason}", []).append(o.title)
    return [f"{reason}: {'; '.join(titles)}." for reason, titles in of_reason.items()]


def counts(outcomes: list[Outcome]) -> pd.DataFrame:
    """Number of outcomes by stack (rows) and verdict (columns)."""
    frame = pd.DataFrame([{"stack": o.stack, "verdict": o.verdict} for o in outcomes])
    return pd.crosstab(frame["stack"], frame["verdict"]).reindex(list(dict.fromkeys(frame["stack"])))
