"""Parameters of the notebooks that set trainings beside each other, or look into what a training found."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from qnb.config import LEAKS, Leak, Listed, SplitConfig, StrictConfig, TableConfig, TrainConfig
from qnb.errors import ParameterError, nearest, refuse_unknown
from qnb.probes.config import ProbeConfig

TWO_MEASUREMENTS = {"mean_z": {"measurement": "mean_z"}, "mean_z_readout": {"measurement": "mean_z_readout"}}


class Planned(NamedTuple):
    """One training of an ablation."""

    arm: str
    seed: int
    config: TrainConfig


class AblationConfig(TrainConfig):
    """ablation.ipynb and `qnb sweep`: arms, each a set of overrides of one base configuration, times seeds.

    The base is every field of TrainConfig; `seed` is the first seed. In one seed all arms share rows, split and batches, so an arm
    may not override what decides those. With `sweep`, all else is the sweep's own, see `resolved`.
    """

    arms: dict[str, dict[str, Any]] = TWO_MEASUREMENTS
    reference: str | None = None  # the arm that the others are held against; None: the first
    seeds: Annotated[int, Field(ge=2, le=1000)] = 10  # seed, seed + 1, ...
    resample: Literal["none", "split"] = "none"  # "split": split_seed follows the seed, so that seeds cover the data too
    min_effect: Annotated[float, Field(gt=0, lt=0.5)] = 0.005  # difference in test AUC that would matter
    sweep: str | None = None  # id of a finished sweep: its runs are compared, by its own parameters and margin
    engine: Literal["catalyst", "exact", "one_sample_demo"] = "exact"

    SHARED: ClassVar[frozenset[str]] = frozenset({*TableConfig.model_fields, *SplitConfig.model_fields, "seed"})

    def plan(self) -> list[Planned]:
        """Every training, seed by seed.

        Raises:
            ParameterError: an arm's overrides make no configuration; the message names the arm.
        """
        base = {name: getattr(self, name) for name in TrainConfig.model_fields}
        found = []
        for seed in range(self.seed, self.seed + self.seeds):
            seeds = {"seed": seed} | ({"split_seed": seed} if self.resample == "split" else {})
            found += [Planned(arm, seed, _config_of(arm, base | overrides | seeds)) for arm, overrides in self.arms.items()]
        return found

    def resolved(self, root: Path, given: Collection[str]) -> Self:
        """The configuration of the sweep that this one names, margin and reference included, for they were stated before its runs.

        Raises:
            RunError: there is no such sweep.
            ParameterError: something else than the sweep has was given beside it.
        """
        if self.sweep is None:
            return self
        from qnb.studies.sweep.folder import load_sweep  # it imports this module

        swept = load_sweep(root, self.sweep)
        fields = type(self).model_fields
        other = [
            f"{name}={value!r} (the sweep has {getattr(swept.config, name)!r})"
            for name, value in self
            if name != "sweep" and value != getattr(swept.config, name) and (name in given or value != fields[name].default)
        ]
        if other:
            raise ParameterError(
                f"sweep={self.sweep!r} brings its own arms, margin and parameters, stated before its runs: leave {', '.join(other)} out, "
                "or sweep=None."
            )
        return type(self).make({name: getattr(swept.config, name) for name in fields} | {"sweep": swept.id})

    @model_validator(mode="after")
    def _arms_can_be_compared(self) -> Self:
        if len(self.arms) < 2:
            raise ValueError(f"arms holds {len(self.arms)}: an ablation compares two or more.")
        for arm, overrides in self.arms.items():
            _check_overrides(arm, overrides)
        if self.sweep is None and self.reference is not None and self.reference not in self.arms:
            raise ValueError(f"reference={self.reference!r} is no arm. {nearest(self.reference, self.arms)}")
        seen: dict[str, str] = {}
        for planned in self.plan()[: len(self.arms)]:
            twin = seen.setdefault(planned.config.hash(), planned.arm)
            if twin != planned.arm:
                raise ValueError(f"Arms {twin!r} and {planned.arm!r} are one configuration: they would be one result twice.")
        return self


def _check_overrides(arm: str, overrides: dict[str, Any]) -> None:
    try:
        refuse_unknown(overrides, TrainConfig.model_fields, f"arm {arm!r}")
    except ParameterError as error:
        raise ValueError(str(error)) from None
    shared = sorted(AblationConfig.SHARED & set(overrides))
    if shared:
        raise ValueError(
            f"Arm {arm!r} overrides {', '.join(shared)}: arms are compared on the same rows and batches, so that belongs to the base."
        )


def _config_of(arm: str, values: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig.make(values)
    except ParameterError as error:
        raise ValueError(f"Arm {arm!r}: {error}") from None


class SurrogateConfig(ProbeConfig):
    """surrogate.ipynb: the model under test is that of `run`, or is trained by the parameters of train.ipynb."""

    terms: Annotated[int, Field(ge=1, le=200)] = 12  # rows of the table of the formula's largest terms
    min_effect: Annotated[float, Field(gt=0, lt=0.5)] = 0.005  # difference in test AUC that would matter
    engine: Literal["catalyst", "exact", "one_sample_demo"] = "exact"

    @model_validator(mode="after")
    def _has_a_surrogate(self) -> Self:
        if self.encoder == "amplitude" or self.reupload:
            raise ValueError(
                "surrogate.ipynb takes a model apart that is a polynomial in sines and cosines of angles: use encoder='angle_y' or "
                f"'angle_xy' with reupload=False (given: encoder={self.encoder!r}, reupload={self.reupload})."
            )
        return self


class LeakageConfig(StrictConfig):
    """leakage_stress_test.ipynb. The defaults take all 100,000 rows of the bundled capture."""

    # data
    data: str = "bundled"
    label: str | None = None
    positive: str | int | bool | None = None
    sample: Annotated[int, Field(ge=10)] | None = 100_000
    data_seed: Annotated[int, Field(ge=0)] = 0
    leaks: Annotated[tuple[Leak, ...], Listed] = LEAKS
    columns: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None  # to look at and to train on; None: all
    identifiers: Annotated[tuple[str, ...], Listed] = ()  # further columns that the model must not use

    # splits
    group_by: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None  # None: the source's own
    embargo: Annotated[float, Field(ge=0)] = 0.0  # seconds left out before each later side of the split by time
    attack_test: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None  # None: as split="attack" chooses
    split_seed: Annotated[int, Field(ge=0)] = 0
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2

    # the circuit and its short training: epochs * fixed_num_batches steps of `batch` rows
    wires: Annotated[int, Field(ge=1, le=20)] = 8
    layers: Annotated[int, Field(ge=1, le=100)] = 3
    batch: Annotated[int, Field(ge=1)] = 256
    epochs: Annotated[int, Field(ge=1)] = 6
    fixed_num_batches: Annotated[int, Field(ge=1)] = 50
    lr: Annotated[float, Field(gt=0)] = 0.05
    seed: Annotated[int, Field(ge=0)] = 0  # of the circuit, of bootstraps and permutations

    def training(self, rule: Literal["random", "group", "time", "attack"] = "random") -> TrainConfig:
        """The configuration of a training on this table under one rule for splitting; the engine is the exact one.

        Raises:
            ParameterError: a value contradicts another.
        """
        own = {"group_by": "group", "embargo": "time", "attack_test": "attack"}  # parameters that belong to one rule
        names = [n for n in type(self).model_fields if n in TrainConfig.model_fields and own.get(n, rule) == rule]
        return TrainConfig.make({n: getattr(self, n) for n in names} | {"split": rule, "engine": "exact"})

    @model_validator(mode="after")
    def _can_train(self) -> Self:
        for rule in ("random", "group", "time", "attack"):
            try:
                self.training(rule)
            except ParameterError as error:
                raise ValueError(str(error)) from None
        return self


class ExploreConfig(TrainConfig):
    """explore.ipynb: one input under the hand, then a training to watch. The model is small, so that it follows the hand."""

    row: Annotated[int, Field(ge=0)] = 0  # of the validation rows: the input shown first
    resume: str | None = None  # id of a run of explore.ipynb that was stopped, whose training goes on
    sample: Annotated[int, Field(ge=10)] | None = 2_000
    wires: Annotated[int, Field(ge=1, le=20)] = 4
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    engine: Literal["catalyst", "exact", "one_sample_demo"] = "exact"


class TuneConfig(StrictConfig):
    """tune.ipynb: the table, the budget of the search, and the seeds of the confirmation."""

    data: str = "bundled"
    label: str | None = None
    positive: str | int | bool | None = None
    sample: Annotated[int, Field(ge=100)] | None = 20_000
    data_seed: Annotated[int, Field(ge=0)] = 0
    leaks: Annotated[tuple[Leak, ...], Listed] = LEAKS
    split: Literal["random", "group", "time", "attack"] = "random"
    group_by: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None  # as in TrainConfig, like the next two
    embargo: Annotated[float, Field(ge=0)] = 0.0
    attack_test: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None
    wires: Annotated[int, Field(ge=1, le=12)] = 8
    epochs: Annotated[int, Field(ge=2)] = 12  # of a trial that is not pruned, and of the confirmation
    trials: Annotated[int, Field(ge=2)] = 40
    seed: Annotated[int, Field(ge=0)] = 0  # of the search, and of every trial's training
    confirm_seed: Annotated[int, Field(ge=1)] = 1000  # first seed of the confirmation; seed of its fresh capture
    confirm_runs: Annotated[int, Field(ge=2)] = 10

    def training(self) -> TrainConfig:
        """What every trial starts from: the defaults of train.ipynb on the exact engine.

        Raises:
            ParameterError: a value contradicts another.
        """
        names = [name for name in type(self).model_fields if name in TrainConfig.model_fields]
        return TrainConfig.make({name: getattr(self, name) for name in names} | {"engine": "exact"})

    @model_validator(mode="after")
    def _fresh(self) -> Self:
        self.training()
        last = self.confirm_seed + self.confirm_runs - 1
        if self.confirm_seed <= self.seed <= last or self.confirm_seed == self.data_seed:
            raise ValueError(
                f"confirm_seed={self.confirm_seed} begins the seeds {self.confirm_seed} to {last}, and the search uses one of them "
                f"already (seed={self.seed}, data_seed={self.data_seed}): take one that is fresh."
            )
        if self.data == "bundled" and self.split == "attack" and self.attack_test is None:
            raise ValueError(
                "split='attack' draws the types of the test anew in the confirmation's capture, so that the search would have seen "
                "some: name them in attack_test."
            )
        return self
