"""Strict parameters: what a run is asked to do, checked before anything is computed.

A configuration is a frozen pydantic model. Its fields are exactly the names in the `parameters` cell of its notebook, with the
same defaults. A name that is not a field, a value of the wrong type, and a value that would have no effect are all errors: an
override is obeyed or refused, never dropped.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from qnb.errors import ParameterError, nearest, refuse_unknown

Leak = Literal["formatting", "identifiers", "sessions", "duplicates", "drift"]
LEAKS: tuple[Leak, ...] = get_args(Leak)
AnsatzName = Literal["strongly_entangling", "ring"]  # as in qnb.core.circuit.ANSATZE
MeasurementName = Literal["z0", "mean_z", "z_vec", "mean_z_readout"]  # as in qnb.core.circuit.MEASUREMENTS
READOUT_MEASUREMENTS = ("z_vec", "mean_z_readout")  # those with trainable parameters


Listed = Field(strict=False)  # YAML and papermill give lists where the field is a tuple


class StrictConfig(BaseModel):
    """Base of every notebook's parameters: frozen, no extra names, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def make(cls, values: dict[str, Any]) -> Self:
        """Build from a dict of values.

        Raises:
            ParameterError: one line per problem: the name, what was given, what was expected.
        """
        refuse_unknown(values, cls.model_fields, cls.__name__)
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParameterError("\n".join(_explain(cls, e) for e in error.errors())) from None

    def resolved(self, root: Path, given: Collection[str]) -> Self:
        """The configuration that counts, where this one names a run whose parameters it takes; this one otherwise.

        Args:
            root: the project.
            given: names that were set, whether or not to their defaults.

        Raises:
            QnbError: there is no such run, or something was given that contradicts it.
        """
        return self

    def hash(self) -> str:
        """The first 10 hex digits of the SHA-256 of the effective configuration as canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def _explain(cls: type[BaseModel], error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else None
    if name is None:  # raised by a validator of ours: the message is complete
        return str(error["ctx"]["error"]) if "error" in error.get("ctx", {}) else error["msg"]
    given = error["input"]
    text = f"Parameter {name} = {given!r}: {error['msg'][0].lower() + error['msg'][1:]}."
    if error["type"] == "literal_error":
        text += " " + nearest(given, _choices(cls.model_fields[name].annotation))
    field = cls.model_fields[name]
    return f"{text} Default: {field.get_default(call_default_factory=True)!r}."


def _choices(annotation: Any) -> list[str]:
    found: list[Any] = []
    for arg in get_args(annotation):
        found += _choices(arg) if get_args(arg) else [arg]
    return [c for c in found if isinstance(c, str)]


class TrainConfig(StrictConfig):
    """Everything that decides a training run. Units and legal values stand beside each field."""

    # data
    data: str = "bundled"  # "bundled" (synthetic capture), "breast_cancer", or the path of a CSV or Parquet file
    label: str | None = None  # label column of a table of your own
    positive: str | int | bool | None = None  # the label's value that counts as 1; None: the label is 0/1 already
    sample: Annotated[int, Field(ge=10)] | None = 20_000  # rows drawn, stratified by label; None: all
    data_seed: Annotated[int, Field(ge=0)] = 0  # generator of the bundled capture
    leaks: Annotated[tuple[Leak, ...], Listed] = LEAKS
    split: Literal["random", "group", "time", "attack"] = "random"
    # split="group": columns, "host pair" or "Attack_type"; None: the capture session, else the host pair
    group_by: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None
    embargo: Annotated[float, Field(ge=0)] = (
        0.0  # split="time": rows less than this many seconds before a later side are left out
    )
    attack_test: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None  # split="attack": types kept for the test
    split_seed: Annotated[int, Field(ge=0)] = 0
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    angle_range: Literal["pm_pi", "pm_pi_2", "0_pi"] = "0_pi"

    # circuit
    wires: Annotated[int, Field(ge=1, le=20)] = 8
    layers: Annotated[int, Field(ge=1, le=100)] = 3
    encoder: Literal["angle_y", "angle_xy", "amplitude"] = "angle_y"
    ansatz: AnsatzName = "strongly_entangling"
    measurement: MeasurementName = "mean_z_readout"
    reupload: bool = False
    hadamard: bool = False

    # engine
    engine: Literal["catalyst", "exact", "one_sample_demo"] = "catalyst"  # the last is wrong on purpose
    device: str = "lightning.qubit"
    gate: Literal["on", "off"] = "on"
    preflight_compile: bool = True

    # objective
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    alpha_mode: Literal["softplus", "direct"] = "softplus"
    alpha_train: bool = True
    class_weights: (
        Literal["balanced"] | Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Listed] | None
    ) = None
    balanced_batches: bool = False
    balanced_pos_frac: Annotated[float, Field(gt=0, lt=1)] = 0.5
    prior_correction: Literal["none", "importance"] = "none"

    # optimiser
    seed: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=1)] = 8
    batch: Annotated[int, Field(ge=1)] = 64
    fixed_num_batches: Annotated[int, Field(ge=1)] | None = None
    lr: Annotated[float, Field(gt=0)] = 0.05
    lr_schedule: Literal["constant", "cosine", "onecycle"] = "constant"
    lr_mult_weights: Annotated[float, Field(ge=0)] = 1.0
    lr_mult_readout: Annotated[float, Field(ge=0)] = 1.0
    lr_mult_alpha: Annotated[float, Field(ge=0)] = 1.0
    weight_decay_weights: Annotated[float, Field(ge=0)] = 0.0
    weight_decay_readout: Annotated[float, Field(ge=0)] = 0.0
    weight_decay_alpha: Annotated[float, Field(ge=0)] = 0.0

    # selection
    val_objective: Literal["auc", "sep", "val_loss", "bacc", "f1"] = "auc"
    eval_every_epochs: Annotated[int, Field(ge=1)] = 1
    early_stop_patience: Annotated[int, Field(ge=1)] | None = None
    min_pred_pos_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_pred_pos_rate: Annotated[float, Field(ge=0, le=1)] = 0.99
    abort_on_degen: bool = False

    BUILT_IN_TABLES: ClassVar[tuple[str, ...]] = ("bundled", "breast_cancer")

    @property
    def features(self) -> int:
        """Entries of x that the encoder takes: one per wire, or 2^wires for `amplitude`."""
        return 2**self.wires if self.encoder == "amplitude" else self.wires

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        def changed(name: str) -> bool:
            return bool(getattr(self, name) != type(self).model_fields[name].default)

        own_table = self.data not in self.BUILT_IN_TABLES
        rules = [
            (self.focal_gamma > 0 and self.balanced_batches,
             "focal_gamma > 0 with balanced_batches=True: both reweight the classes. Set focal_gamma=0 or balanced_batches=False."),
            (self.class_weights is not None and self.balanced_batches,
             "class_weights with balanced_batches=True: both reweight the classes. Use one, or prior_correction='importance'."),
            (changed("prior_correction") and not self.balanced_batches,
             "prior_correction='importance' corrects balanced batches: set balanced_batches=True, or leave it at 'none'."),
            (changed("balanced_pos_frac") and not self.balanced_batches,
             "balanced_pos_frac has no effect without balanced_batches=True: set that too, or leave balanced_pos_frac=0.5."),
            (self.hadamard and self.encoder != "angle_y",
             f"hadamard=True with encoder={self.encoder!r}: hadamard goes with encoder='angle_y' only "
             "(RX leaves |+> alone, so angle_xy would become angle_y; amplitude prepares the whole state)."),
            (self.encoder == "amplitude" and self.reupload,
             "encoder='amplitude' prepares the whole state and cannot be re-uploaded: set reupload=False."),
            (self.encoder == "amplitude" and changed("angle_range"),
             "angle_range has no effect with encoder='amplitude': leave it at its default."),
            (self.engine == "one_sample_demo" and self.gate == "on",
             "engine='one_sample_demo' has a wrong gradient on purpose: the gate would refuse it. Set gate='off' to show what it does."),
            (self.encoder == "amplitude" and self.engine != "exact",
             f"encoder='amplitude' cannot be trained by engine={self.engine!r}: the compiler has no gradient of state preparation. "
             "Use engine='exact', or encoder='angle_y'."),
            (changed("device") and self.engine != "catalyst",
             f"device={self.device!r} has no effect with engine={self.engine!r}, which simulates where JAX runs: leave it at its default."),
            (changed("lr_mult_readout") and self.measurement not in READOUT_MEASUREMENTS,
             f"lr_mult_readout has no effect: measurement={self.measurement!r} has no trainable readout; {READOUT_MEASUREMENTS} have."),
            (changed("weight_decay_readout") and self.measurement not in READOUT_MEASUREMENTS,
             f"weight_decay_readout has no effect: measurement={self.measurement!r} has no trainable readout; {READOUT_MEASUREMENTS} have."),
            ((changed("lr_mult_alpha") or changed("weight_decay_alpha")) and not self.alpha_train,
             "lr_mult_alpha and weight_decay_alpha have no effect with alpha_train=False: leave them at their defaults."),
            (changed("leaks") and self.data != "bundled",
             f"leaks belongs to data='bundled'; data={self.data!r} was given. Leave it at its default."),
            (changed("data_seed") and self.data != "bundled",
             f"data_seed belongs to data='bundled'; data={self.data!r} was given. Leave it at its default."),
            ((self.label is not None or self.positive is not None) and not own_table,
             f"label and positive belong to a table of your own; data={self.data!r} has its label built in. Leave them None."),
            (self.group_by is not None and self.split != "group",
             f"group_by belongs to split='group'; split={self.split!r} was given. Leave it None, or set split='group'."),
            (changed("embargo") and self.split != "time",
             f"embargo belongs to split='time'; split={self.split!r} was given. Leave it at 0, or set split='time'."),
            (self.attack_test is not None and self.split != "attack",
             f"attack_test belongs to split='attack'; split={self.split!r} was given. Leave it None, or set split='attack'."),
            (len(set(self.leaks)) < len(self.leaks), f"leaks names one thing twice: {self.leaks}."),
            (self.val_fraction + self.test_fraction >= 1,
             f"val_fraction + test_fraction = {self.val_fraction + self.test_fraction:g} leaves no rows to train on: keep it under 1."),
            (self.min_pred_pos_rate >= self.max_pred_pos_rate,
             f"min_pred_pos_rate={self.min_pred_pos_rate} must be below max_pred_pos_rate={self.max_pred_pos_rate}."),
            (self.balanced_batches and not 1 <= round(self.batch * self.balanced_pos_frac) <= self.batch - 1,
             f"balanced batches of {self.batch} rows with balanced_pos_frac={self.balanced_pos_frac} hold one class: enlarge batch."),
            (self.eval_every_epochs > self.epochs,
             f"eval_every_epochs={self.eval_every_epochs} is more than epochs={self.epochs}: only the last one would be evaluated."),
        ]  # fmt: skip
        for wrong, message in rules:
            if wrong:
                raise ValueError(message)
        return self
