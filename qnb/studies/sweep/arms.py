"""Arms and seeds: the parameters of a sweep, and the trainings they define."""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from qnb import own
from qnb.config import BaselinesConfig, EngineName, SplitConfig, TableConfig, TrainConfig, training_of
from qnb.errors import ParameterError, nearest, refuse_unknown

TWO_MEASUREMENTS = {"mean_z": {"measurement": "mean_z"}, "mean_z_readout": {"measurement": "mean_z_readout"}}


def _with_own_parts(arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The arms, with circuit parts of the user's own in the place of their names: their hash has the text."""
    return {
        arm: {n: own.part(v) if n in own.PARTS and own.is_part(v) else v for n, v in overrides.items()}
        for arm, overrides in arms.items()
    }


Resample = Literal["none", "split", "capture"]
# by `resample`, the parameters that follow the seed
FOLLOWS: dict[Resample, tuple[str, ...]] = {
    "none": (),
    "split": ("split_seed",),
    "capture": ("data_seed", "split_seed"),
}


class Planned(NamedTuple):
    """One training of an ablation: its arm, its seed, and its configuration."""

    arm: str
    seed: int
    config: TrainConfig


class SweepConfig(TrainConfig):
    """Arms, each a set of overrides of one base configuration, times seeds.

    The base is given by the fields of TrainConfig; `seed` is the first seed. Within a seed all arms share
    rows and split, so an arm may not override what decides those (SHARED).
    """

    arms: Annotated[dict[str, dict[str, Any]], AfterValidator(_with_own_parts)] = TWO_MEASUREMENTS
    """by name, overrides of the base"""
    reference: str | None = None
    """the arm that the others are compared with; None: the first"""
    seeds: Annotated[int, Field(ge=2, le=1000)] = 10
    """how many, from seed on"""
    resample: Resample = "none"
    '"split": split_seed follows the seed; "capture": data_seed does too: each seed has rows of its own'
    min_effect: Annotated[float, Field(gt=0, lt=0.5)] = 0.005
    """difference in test AUC that would matter"""
    engine: EngineName = "exact"

    @property
    def resampled(self) -> bool:
        """Whether seeds draw splits of one table, so that their rows overlap and they are not independent."""
        return self.resample == "split"

    SHARED: ClassVar[frozenset[str]] = frozenset(
        {*TableConfig.model_fields, *SplitConfig.model_fields, *BaselinesConfig.model_fields, "seed"}
    )

    def plan(self) -> list[Planned]:
        """Every training, seed by seed.

        Raises:
            ValueError: the overrides of an arm are not valid or contradict the base; the message names it.
        """
        base = dict(training_of(self))
        trainings = []
        for seed in range(self.seed, self.seed + self.seeds):
            seeds = dict.fromkeys(("seed", *FOLLOWS[self.resample]), seed)
            trainings += [
                Planned(arm, seed, _config_of(arm, base | overrides | seeds))
                for arm, overrides in self.arms.items()
            ]
        return trainings

    def _check_overridden(self) -> None:
        overridden = [
            name for name in TrainConfig.model_fields if all(name in arm for arm in self.arms.values())
        ]
        lost = [name for name in overridden if self.changed(name)]
        if lost:
            raise ValueError(
                f"{', '.join(lost)} would have no effect: every arm ({', '.join(self.arms)}) overrides it. "
                "Leave it out, or give arms that do not."
            )

    def _check_reference(self) -> None:
        if self.reference is not None and self.reference not in self.arms:
            raise ValueError(f"reference={self.reference!r} is no arm. {nearest(self.reference, self.arms)}")

    def _check_resample(self) -> None:
        if self.resample == "capture" and self.data != "bundled":
            raise ValueError(
                f"resample='capture' draws a table anew for every seed, and only data='bundled' can be: "
                f"data={self.data!r} has the rows that it has. Use resample='split'."
            )
        for name in FOLLOWS[self.resample]:
            if self.changed(name):
                raise ValueError(
                    f"{name}={getattr(self, name)} has no effect with resample={self.resample!r}, where it "
                    "follows the seed: leave it at its default, and set seed, the first."
                )

    @model_validator(mode="after")
    def _arms_can_be_compared(self) -> Self:
        if len(self.arms) < 2:
            raise ValueError(f"arms holds {len(self.arms)}: an ablation compares two or more.")
        for arm, overrides in self.arms.items():
            _check_overrides(arm, overrides)
        self._check_overridden()
        self._check_reference()
        self._check_resample()
        by_hash: dict[str, str] = {}
        for planned in self.plan()[: len(self.arms)]:
            twin = by_hash.setdefault(planned.config.hash(), planned.arm)
            if twin != planned.arm:
                raise ValueError(
                    f"Arms {twin!r} and {planned.arm!r} are one configuration: they would be one result "
                    "twice."
                )
        return self


def _check_overrides(arm: str, overrides: dict[str, Any]) -> None:
    try:
        refuse_unknown(overrides, TrainConfig.model_fields, f"arm {arm!r}")
    except ParameterError as error:
        raise ValueError(str(error)) from None
    shared = sorted(SweepConfig.SHARED & set(overrides))
    if shared:
        raise ValueError(
            f"Arm {arm!r} overrides {', '.join(shared)}: arms are compared on the same rows and batches, so "
            "that belongs to the base."
        )


def _config_of(arm: str, values: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig.make(values)
    except ParameterError as error:
        raise ValueError(f"Arm {arm!r}: {error}") from None
