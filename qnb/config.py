"""Strict parameters: the configuration of a run, checked before anything is computed.

A configuration is a frozen pydantic model. Its fields are exactly the names in the `parameters` cell of its
notebook, with the same defaults. A name that is not a field, a value of the wrong type, and a value that
would have no effect are all errors: an override is applied or refused, never dropped.

Parameters come in groups: table and split (together the data), circuit, engine, objective, optimiser,
selection, baselines. A notebook's configuration is made of the groups that it uses and of parameters of its
own; all names are flat. `TrainConfig` has every group. A contradiction is a function of the groups that it
concerns, and is an error wherever a configuration has all of them.
"""

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails

from qnb import own
from qnb.errors import ParameterError, nearest, refuse_unknown


def _own_or_named(given: Any, named: ValidatorFunctionWrapHandler) -> Any:
    return own.part(given) if own.is_part(given) else named(given)


OrOwn = WrapValidator(_own_or_named)  # beside names, parts of the user's own
AsText = PlainSerializer(str, return_type=str)

Leak = Literal["formatting", "identifiers", "sessions", "duplicates", "drift"]
LEAKS: tuple[Leak, ...] = get_args(Leak)
MissingName = Literal["refuse", "median", "indicator"]  # as in qnb.data.missing
SplitName = Literal["random", "group", "time", "attack"]  # as in qnb.data.splits.SPLITS
_ENGINES = Field(
    description='"catalyst" (compiled, adjoint gradients) or "exact" (the same model, simulated in batches)'
)
SoundEngineName = Annotated[Literal["catalyst", "exact"], _ENGINES]
EngineName = Annotated[
    Literal["catalyst", "exact", "one_sample_demo"], _ENGINES
]  # as in qnb.core.engine.ENGINES; the last: wrong
EncoderName = Literal["angle_y", "angle_xy", "amplitude"]  # as in qnb.core.circuit.ENCODERS
AnsatzName = Literal["strongly_entangling", "ring", "unentangled"]  # as in qnb.core.circuit.ANSATZE
# as in qnb.core.circuit.MEASUREMENTS
MeasurementName = Literal["z0", "mean_z", "z_vec", "mean_z_readout", "parity"]
READOUT_MEASUREMENTS = ("z_vec", "mean_z_readout")  # those with trainable parameters
BaselineName = Literal["logistic", "boosting", "twin", "svm"]  # as in qnb.training.baselines.NAMES
REAL_TABLES = (
    "breast_cancer",
    "digits_even",
    "digits_low",
    "diabetes",
    "wine",
)  # as in qnb.data.sources.REAL
# parameters that one rule alone has
OF_ONE_SPLIT = {"embargo": "time", "attack_test": "attack"}

Listed = Field(strict=False)  # YAML and papermill give lists where the field is a tuple

Seed = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


def _listed(given: Any) -> Any:
    """One value as a list of one, infinity by its name; text meant as a list is left to be refused."""
    meant = isinstance(given, str) and given.strip()[:1] in ("[", "(", "{")
    if meant or not isinstance(given, str | int | float | list | tuple):
        return given
    values = given if isinstance(given, list | tuple) else (given,)
    return tuple(str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in values)


ColumnName = Annotated[  # `-p label 34` gives a number, and names a column too
    str, BeforeValidator(lambda given: str(given) if type(given) in (int, float) else given)
]


def _as_names(value: Any) -> Any:
    """One name as a list of one; text that was meant to be a list is left to be refused."""
    if isinstance(value, str) and value.strip()[:1] not in ("[", "(", "{"):
        return (value,)
    return (value,) if isinstance(value, int) else value


AnyNames = Annotated[tuple[ColumnName, ...], BeforeValidator(_as_names), Listed]
Names = Annotated[AnyNames, Field(min_length=1)]
# parameters whose default differs between notebooks
Sample = Annotated[
    Annotated[int, Field(ge=10)] | None, Field(description="rows drawn, stratified by label; None: all")
]
Wires = Annotated[
    int, Field(ge=1, le=20, description='features after reduction: one per wire, 2^wires for "amplitude"')
]
Layers = Annotated[int, Field(ge=1, le=100, description="each turns every wire, then entangles them")]
Epochs = Annotated[int, Field(ge=1, description="passes over the training rows")]
Batch = Annotated[int, Field(ge=1, description="rows per step")]
Device = Annotated[str, Field(description="a Catalyst-capable PennyLane device")]
Rate = Annotated[float, Field(gt=0, description="learning rate; the peak of a schedule")]


class StrictConfig(BaseModel):
    """Base of every notebook's parameters: frozen, no extra names, no silent conversion of types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def make(cls, values: dict[str, Any]) -> Self:
        """A configuration with these values, the rest at their defaults.

        Raises:
            ParameterError: a name is unknown (with the nearest valid one), a value is not valid, or values
                contradict each other; one line per problem: the name, what was given, what was expected.
        """
        refuse_unknown(values, cls.model_fields, cls.__name__)
        try:
            return cls(**values)
        except ValidationError as error:
            lines = [_explain(cls, e) for e in error.errors()]
            raise ParameterError("\n".join([*lines, *_how_to_give(error.errors())])) from None

    def resolved(self, root: Path, given: Collection[str]) -> Self:
        """The effective configuration: this one, with the parameters of the run that it names, if any.

        Args:
            root: the project.
            given: names that were set, even if to their defaults.

        Raises:
            QnbError: there is no such run, or a parameter was given that contradicts it.
        """
        return self

    def changed(self, name: str) -> bool:
        """Whether the parameter `name` differs from its default.

        False where this configuration does not have it.
        """
        field = type(self).model_fields.get(name)
        return field is not None and bool(getattr(self, name) != field.get_default(call_default_factory=True))

    def idle(self, name: str) -> bool:
        """Whether `name` has no effect with the other parameters as they are, so that a change is refused."""
        changed: Any = _AsIfChanged(self, name)
        return not self.changed(name) and any(
            True
            for groups, check in _CONTRADICTIONS
            if all(isinstance(self, group) for group in groups)
            for _ in check(*[changed] * len(groups))
        )

    def taking(self, values: dict[str, Any], given: Collection[str], source: str) -> Self:
        """This configuration with its own values replaced by those of `values` that it has.

        Args:
            values: by name, as in a manifest.
            given: names that were set, even if to their defaults.
            source: the parameter that says where the values come from; it is kept.

        Raises:
            ParameterError: a value contradicts another, or one that was given differs from `source`'s.
        """
        brought = {
            name: value
            for name, value in values.items()
            if name in type(self).model_fields and name != source
        }
        # a part of the user's that is given beside `source` stands for the one of the same text there
        parts = {n: v for n, v in self if n in given and own.same(v, brought.get(n))}
        config = type(self).make(dict(self) | brought | parts)
        conflicts = [
            f"{name}={getattr(self, name)!r} (the {source} has {getattr(config, name)!r})"
            for name in brought
            if getattr(self, name) != getattr(config, name) and (name in given or self.changed(name))
        ]
        if conflicts:
            raise ParameterError(
                f"{source}={getattr(self, source)!r} brings its own parameters: leave {', '.join(conflicts)} "
                f"out, or {source}=None."
            )
        return config

    def hash(self) -> str:
        """The first 10 hex digits of the SHA-256 of the effective configuration as canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        for groups, check in _CONTRADICTIONS:
            if all(isinstance(self, group) for group in groups):
                for message in check(*[self] * len(groups)):
                    raise ValueError(message)
        return self


class _AsIfChanged:
    """A configuration that says of the parameter `name` that it differs from its default."""

    def __init__(self, config: StrictConfig, name: str):
        self._config, self._name = config, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._config)

    def changed(self, name: str) -> bool:
        return name == self._name or self._config.changed(name)


_CONTRADICTIONS: list[tuple[tuple[type[StrictConfig], ...], Callable[..., Iterator[str]]]] = []


def contradiction(check: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
    """Register `check` for every configuration that has the groups in the annotations of its arguments.

    Args:
        check: takes the configuration once for each of these groups, and yields a message for each
            contradiction.

    Returns:
        `check`, so that this is a decorator.
    """
    groups = tuple(parameter.annotation for parameter in inspect.signature(check).parameters.values())
    _CONTRADICTIONS.append((groups, check))
    return check


def _explain(cls: type[BaseModel], error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else None
    if name is None:  # raised by a validator of ours: the message is complete
        return str(error["ctx"]["error"]) if "error" in error.get("ctx", {}) else error["msg"]
    value = error["input"]
    text = f"Parameter {name} = {value!r}: {error['msg'][0].lower() + error['msg'][1:]}."
    if error["type"] == "literal_error":
        text += " " + nearest(value, _choices(cls.model_fields[name].annotation))
    field = cls.model_fields[name]
    return f"{text} Default: {field.get_default(call_default_factory=True)!r}."


def _how_to_give(errors: Collection[ErrorDetails]) -> Iterator[str]:
    """How what was read as another type is given so that it is of its own; each sentence once."""
    for error in errors:
        if error["type"] == "string_type" and isinstance(error["input"], int | float):
            yield f"-p reads it as a number: give text with -r {error['loc'][0]} {error['input']}."
    texts = {str(e["loc"][0]): e["input"] for e in errors if e["loc"] and isinstance(e["input"], str)}
    for name, text in texts.items():
        if text.strip()[:1] in ("[", "(", "{"):
            yield f"A list is given as YAML: -y '{name}: {text.strip()}'."
        elif number := re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", text):
            whole, rest, sign, exponent = number.groups()
            right = f"{whole}{rest or '.0'}e{sign or '+'}{exponent}"
            yield f"YAML reads {text} as text, for it wants a point and a sign: {right}."


def _choices(annotation: Any) -> list[str]:
    choices: list[Any] = []
    for arg in get_args(annotation):
        choices += _choices(arg) if get_args(arg) else [arg]
    return [c for c in choices if isinstance(c, str)]


class TableConfig(StrictConfig):
    """The table before it is split, the roles of its columns, and the meaning of its label."""

    data: str = "bundled"
    '"bundled" (a synthetic capture), a table of scikit-learn ("breast_cancer", ...), or the path of a file'
    label: ColumnName | None = None
    """label column; None: that of a known data set"""
    positive: str | int | bool | None = None
    """the label's value that counts as 1; None: the label is 0/1 already"""
    negative: str | int | bool | None = None
    """the label's value that counts as 0, all others being 1"""
    drop: AnyNames = ()
    """columns left out"""
    time: Names | None = None
    """column of the clock, or two, date and time of day"""
    identifiers: AnyNames = ()
    """columns that say who or which, never what: left out"""
    attack_type: ColumnName | None = None
    """column of the attack types"""
    missing: MissingName = "refuse"
    '"refuse", "median" (of training rows), "indicator" (that, and an input that says where one is missing)'
    missing_values: Annotated[tuple[str | int | float, ...], BeforeValidator(_listed), Listed] = ()
    """what stands for no value in a feature, besides empty, NA, NaN and null: "?", "-", "inf", -1"""
    sample: Sample = 20_000
    data_seed: Seed = 0
    """of the bundled capture's generator"""
    leaks: Annotated[tuple[Leak, ...], Listed] = LEAKS
    """shortcuts planted in the bundled capture"""
    attack_ring: NotNegative = 4.0
    """distance of the bundled capture's attacks from normal traffic, in its sd: what a line cannot use"""
    attack_push: NotNegative = 1.0
    """common shift of its attacks, times the default's: what a line can use"""
    attack_share: Fraction | None = None
    """of its rows; None: Edge-IIoTset's, 0.85"""

    BUILT_IN_TABLES: ClassVar[tuple[str, ...]] = ("bundled", *REAL_TABLES)


class RuleConfig(StrictConfig):
    """The rule of the split, or a file that is the test."""

    split: SplitName = "random"
    '"random", "group", "time", "attack": which rows may appear in both train and test'
    test_data: str | None = None
    """path of a file that is the test, its columns those of data; None: the test is split from data"""


class SidesConfig(StrictConfig):
    """Parameters of the splitting rules, and the sizes of the sides."""

    group_by: Names | None = None
    """columns whose rows belong together, "host pair" or "Attack_type"; None: session, else host pair"""
    embargo: Annotated[float, Field(ge=0)] = 0.0
    """of split "time": rows less than this many seconds before a later side are left out"""
    attack_test: Names | None = None
    """of split "attack": attack types kept for the test; None: drawn with split_seed"""
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # as scikit-learn takes it
    """of the sample and the split; apart from seed, so that seeds compare on the same rows"""
    val_fraction: Fraction = 0.2
    """of the rows, for validation"""
    test_fraction: Fraction = 0.2
    """of the rows, for the test"""


class SplitConfig(SidesConfig, RuleConfig):
    """Which rows train, validate and test."""


class DataConfig(SplitConfig, TableConfig):
    """A table, its split, and how its columns become features: reduction, rescaling, range of angles."""

    reduction: Literal["pls", "none"] = "pls"
    '"pls": partial least squares; "none": the columns as they are, one per feature'
    rescale: Literal["quantile", "minmax", "none"] = "quantile"
    '"quantile" or "minmax" to u in [0, 1]; "none": features are radians'
    angle_range: Literal["pm_pi", "pm_pi_2", "0_pi"] = "0_pi"
    '"0_pi": pi u; "pm_pi_2": pi (u - 1/2); "pm_pi": 2 pi (u - 1/2); u in [0, 1]'


class CircuitConfig(StrictConfig):
    """The circuit; `qnb.core.circuit.CircuitSpec` says what the names mean."""

    wires: Wires = 8
    layers: Layers = 3
    encoder: Annotated[EncoderName, OrOwn, AsText] = "angle_y"
    '"angle_y", "angle_xy", "amplitude", or FILE:NAME'
    ansatz: Annotated[AnsatzName, OrOwn, AsText] = "strongly_entangling"
    '"strongly_entangling", "ring", "unentangled", or FILE:NAME'
    measurement: Annotated[MeasurementName, OrOwn, AsText] = "mean_z_readout"
    '"z0", "mean_z", "z_vec", "mean_z_readout", "parity", or FILE:NAME'
    reupload: bool = False
    """encode before every layer"""
    hadamard: bool = False
    """H before the encoder ("angle_y" only)"""
    scaling: bool = False
    """angles times trained factors, one for each wire and, with reupload, layer"""

    @property
    def features(self) -> int:
        """Entries of x that the encoder takes: one per wire, or 2^wires for `amplitude`."""
        return 2**self.wires if self.encoder == "amplitude" else self.wires


class SimulationConfig(StrictConfig):
    """What computes scores and gradients."""

    engine: EngineName = "catalyst"
    device: Device = "lightning.qubit"


class EngineConfig(SimulationConfig):
    """The engine of a whole training, and whether its gradient is checked."""

    gate: Literal["on", "off"] = "on"
    '"off" trusts the gradient unchecked, and the manifest says so'
    preflight_compile: bool = True
    """compile before the first epoch, so that its time is training time"""


class ObjectiveConfig(StrictConfig):
    """The head, the loss, and the weight of each row in it."""

    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    """0: binary cross-entropy"""
    alpha_mode: Literal["softplus", "direct"] = "softplus"
    '"softplus": alpha > 0; "direct": alpha may change sign'
    alpha_train: bool = True
    """False: alpha stays 1"""
    class_weights: Literal["balanced"] | Annotated[tuple[Positive, Positive], Listed] | None = None
    """None, "balanced", or (w_neg, w_pos)"""
    balanced_batches: bool = False
    """draw both classes apart, in fixed shares"""
    balanced_pos_frac: Fraction = 0.5
    """share of positives in a balanced batch"""
    prior_correction: Literal["none", "importance"] = "none"
    '"importance": weigh balanced batches back to the true prior'


class OptimiserConfig(StrictConfig):
    """Adam: number of epochs, batches, learning rates and weight decays."""

    seed: Seed = 0
    """initial parameters and batches"""
    epochs: Epochs = 8
    batch: Batch = 64
    fixed_num_batches: Annotated[int, Field(ge=1)] | None = None
    """batches per epoch; None: as many full ones as the training rows give"""
    lr: Rate = 0.05
    lr_schedule: Literal["constant", "cosine", "onecycle"] = "constant"
    '"constant", "cosine", "onecycle"'
    lr_mult_weights: NotNegative = 1.0
    """times lr, of the circuit's angles"""
    lr_mult_readout: NotNegative = 1.0
    """times lr, of a trainable readout"""
    lr_mult_alpha: NotNegative = 1.0
    """times lr, of alpha"""
    lr_mult_scaling: NotNegative = 1.0
    """times lr, of a trained scaling"""
    weight_decay_weights: NotNegative = 0.0
    """decoupled, per unit of learning rate"""
    weight_decay_readout: NotNegative = 0.0
    """the same, of a trainable readout"""
    weight_decay_alpha: NotNegative = 0.0
    """the same, of alpha"""
    weight_decay_scaling: NotNegative = 0.0
    """the same, of a trained scaling"""


class SelectionConfig(StrictConfig):
    """Which epoch is selected, when to stop early, and which thresholds are degenerate."""

    val_objective: Literal["auc", "sep", "val_loss", "weighted_loss", "bacc", "f1"] = "auc"
    'which epoch is best: "auc", "sep", "val_loss", "weighted_loss", "bacc", "f1"'
    eval_every_epochs: Annotated[int, Field(ge=1)] = 1
    """epochs from one scoring of the validation rows to the next"""
    early_stop_patience: Annotated[int, Field(ge=1)] | None = None
    """evaluations without a new best one before stopping; None: never stop early"""
    min_pred_pos_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """a threshold that predicts fewer positives is degenerate"""
    max_pred_pos_rate: Annotated[float, Field(ge=0, le=1)] = 0.99
    """a threshold that predicts more positives is degenerate"""
    abort_on_degen: bool = False
    """a degenerate epoch ends the run with an error"""


class BaselinesConfig(StrictConfig):
    """The classical models that the circuit is compared with."""

    baselines: Annotated[tuple[BaselineName, ...], Listed] = ("logistic", "boosting", "twin", "svm")
    """classical models beside the circuit: "logistic", "boosting", "twin", "svm"; [] for none"""


class InputConfig(CircuitConfig, DataConfig):
    """Data, and the circuit that takes their rows. (pydantic lists the fields of the last base first.)"""

    @property
    def encoding(self) -> str | None:
        """`angle_range`; None for `amplitude` and with rescale="none", where it does not apply."""
        return None if self.encoder == "amplitude" or self.rescale == "none" else self.angle_range


class TrainConfig(
    BaselinesConfig, SelectionConfig, OptimiserConfig, ObjectiveConfig, EngineConfig, InputConfig
):
    """Everything that decides a training run."""


def training_of(config: StrictConfig, **fixed: Any) -> TrainConfig:
    """The training that a notebook's configuration describes: its values, overridden by `fixed`, and
    defaults for the rest.

    Raises:
        ParameterError: a value is not valid or contradicts another.
    """
    values = {name: getattr(config, name) for name in TrainConfig.model_fields if hasattr(config, name)}
    return TrainConfig.make(values | fixed)


@contradiction
def _of_table(c: TableConfig) -> Iterator[str]:
    for name in ("leaks", "data_seed", "attack_ring", "attack_push", "attack_share"):
        if c.changed(name) and c.data != "bundled":
            yield f"{name} belongs to data='bundled'; data={c.data!r} was given. Leave it at its default."
    if len(set(c.leaks)) < len(c.leaks):
        yield f"leaks names one thing twice: {c.leaks}."
    if c.data in c.BUILT_IN_TABLES and (c.label, c.positive, c.negative) != (None, None, None):
        yield (
            f"label, positive and negative belong to a table of your own; data={c.data!r} has its label "
            "built in. Leave them None."
        )
    if c.positive is not None and c.negative is not None:
        yield f"positive={c.positive!r} and negative={c.negative!r}: one of them says what the label means."
    if c.label is not None and c.label in (*c.drop, *(c.time or ()), *c.identifiers):
        yield f"label={c.label!r} is also named in drop, time or identifiers: a column has one role."


@contradiction
def _of_test_data(table: TableConfig, split: SplitConfig) -> Iterator[str]:
    if split.test_data is None:
        return
    if table.data in table.BUILT_IN_TABLES:
        yield f"test_data belongs to a file of your own; data={table.data!r} was given. Leave it None."
    for name in ("test_fraction", "attack_test"):
        if split.changed(name):
            yield f"{name} has no effect beside test_data, which is the test. Leave it at its default."
    if split.split == "attack":
        yield (
            "split='attack' keeps attack types for a test, and test_data is the test. "
            "Use another split, which then carves the validation rows from data."
        )


@contradiction
def _of_split(c: SplitConfig) -> Iterator[str]:
    for name, rule in OF_ONE_SPLIT.items():
        if c.changed(name) and c.split != rule:
            yield (
                f"{name} belongs to split={rule!r}; split={c.split!r} was given. Leave it at its default, or "
                f"set split={rule!r}."
            )
    if c.val_fraction + c.test_fraction >= 1:
        total = c.val_fraction + c.test_fraction
        yield f"val_fraction + test_fraction = {total:g} leaves no rows to train on: keep it under 1."


@contradiction
def _of_circuit(c: CircuitConfig) -> Iterator[str]:
    if c.hadamard and c.encoder != "angle_y":
        yield (
            f"hadamard=True with encoder={c.encoder!r}: hadamard goes with encoder='angle_y' only "
            "(RX leaves |+> alone, so angle_xy would become angle_y; amplitude prepares the whole state)."
        )
    if c.encoder == "amplitude" and c.reupload:
        yield "encoder='amplitude' prepares the whole state and cannot be re-uploaded: set reupload=False."
    if c.encoder == "amplitude" and c.scaling:
        yield "encoder='amplitude' normalises its vector and has no angles to scale: set scaling=False."


@contradiction
def _of_rescaling(c: DataConfig) -> Iterator[str]:
    if c.rescale == "none" and c.changed("angle_range"):
        yield (
            "angle_range has no effect with rescale='none', which takes features as radians: leave it at its "
            "default, or use rescale='quantile' or 'minmax'."
        )


@contradiction
def _of_encoding(data: DataConfig, circuit: CircuitConfig) -> Iterator[str]:
    if circuit.encoder == "amplitude" and data.changed("angle_range"):
        yield "angle_range has no effect with encoder='amplitude': leave it at its default."


@contradiction
def _of_engine(c: EngineConfig) -> Iterator[str]:
    if c.engine == "one_sample_demo" and c.gate == "on":
        yield (
            "engine='one_sample_demo' has a wrong gradient on purpose: the gate would refuse it. "
            "Set gate='off' to show what it does."
        )


@contradiction
def _of_device(c: SimulationConfig) -> Iterator[str]:
    if c.changed("device") and c.engine != "catalyst":
        yield (
            f"device={c.device!r} has no effect with engine={c.engine!r}, which simulates where JAX runs: "
            "leave it at its default."
        )


@contradiction
def _of_engine_and_circuit(engine: SimulationConfig, circuit: CircuitConfig) -> Iterator[str]:
    if circuit.encoder == "amplitude" and engine.engine != "exact":
        advice = "engine='exact', or " if "engine" in type(engine).model_fields else ""
        yield (
            f"encoder='amplitude' cannot be trained by engine={engine.engine!r}: the compiler has no "
            f"gradient of state preparation. Use {advice}encoder='angle_y'."
        )


@contradiction
def _of_objective(c: ObjectiveConfig) -> Iterator[str]:
    if c.focal_gamma > 0 and c.balanced_batches:
        yield (
            "focal_gamma > 0 with balanced_batches=True: both reweight the classes. Set focal_gamma=0 or "
            "balanced_batches=False."
        )
    if c.class_weights is not None and c.balanced_batches:
        yield (
            "class_weights with balanced_batches=True: both reweight the classes. Use one, or "
            "prior_correction='importance'."
        )
    if c.changed("prior_correction") and not c.balanced_batches:
        yield (
            "prior_correction='importance' corrects balanced batches: set balanced_batches=True, or leave it "
            "at 'none'."
        )
    if c.changed("balanced_pos_frac") and not c.balanced_batches:
        yield (
            "balanced_pos_frac has no effect without balanced_batches=True: set that too, or leave "
            "balanced_pos_frac=0.5."
        )


@contradiction
def _of_balanced_batches(objective: ObjectiveConfig, optimiser: OptimiserConfig) -> Iterator[str]:
    batch, share = optimiser.batch, objective.balanced_pos_frac
    if objective.balanced_batches and not 1 <= round(batch * share) <= batch - 1:
        yield (
            f"balanced batches of {batch} rows with balanced_pos_frac={share} hold one class: enlarge batch."
        )


@contradiction
def _of_alpha(objective: ObjectiveConfig, optimiser: OptimiserConfig) -> Iterator[str]:
    if not objective.alpha_train and (
        optimiser.changed("lr_mult_alpha") or optimiser.changed("weight_decay_alpha")
    ):
        yield (
            "lr_mult_alpha and weight_decay_alpha have no effect with alpha_train=False: leave them at their "
            "defaults."
        )


def _has_readout(measurement: str) -> bool:
    part = own.value_of(measurement)
    trained = getattr(part, "coefficients", ()) is None or getattr(part, "rotated", False)
    return measurement in READOUT_MEASUREMENTS or trained


@contradiction
def _of_readout(circuit: CircuitConfig, optimiser: OptimiserConfig) -> Iterator[str]:
    for name in ("lr_mult_readout", "weight_decay_readout"):
        if optimiser.changed(name) and not _has_readout(circuit.measurement):
            yield (
                f"{name} has no effect: measurement={circuit.measurement!r} has no trainable readout; "
                f"{READOUT_MEASUREMENTS} have."
            )


@contradiction
def _of_scaling(circuit: CircuitConfig, optimiser: OptimiserConfig) -> Iterator[str]:
    for name in ("lr_mult_scaling", "weight_decay_scaling"):
        if optimiser.changed(name) and not circuit.scaling:
            yield f"{name} has no effect with scaling=False: set scaling=True, or leave it at its default."


@contradiction
def _of_selection(c: SelectionConfig) -> Iterator[str]:
    if c.min_pred_pos_rate >= c.max_pred_pos_rate:
        yield (
            f"min_pred_pos_rate={c.min_pred_pos_rate} must be below max_pred_pos_rate={c.max_pred_pos_rate}."
        )


@contradiction
def _of_baselines(c: BaselinesConfig) -> Iterator[str]:
    if len(set(c.baselines)) < len(c.baselines):
        yield f"baselines names one model twice: {c.baselines}."


@contradiction
def _of_evaluations(selection: SelectionConfig, optimiser: OptimiserConfig) -> Iterator[str]:
    if selection.eval_every_epochs > optimiser.epochs:
        yield (
            f"eval_every_epochs={selection.eval_every_epochs} is more than epochs={optimiser.epochs}: "
            "only the last one would be evaluated."
        )
