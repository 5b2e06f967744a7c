"""The parameters of suspects.ipynb, and the run or the configuration that they describe."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from qnb.config import TrainConfig, training_of
from qnb.core.engine import Maker
from qnb.data.prepare import prepare
from qnb.probes.subject import ProbeConfig, Subject, finished_run
from qnb.reporting.tables import data_note
from qnb.studies.diagnosis.search import MIN_EFFECT, SEEDS
from qnb.training.loop import compile_ahead


class SuspectsConfig(ProbeConfig, TrainConfig):
    """suspects.ipynb: a finished or failed run of train.ipynb, or the parameters of one that never ran."""

    seeds: Annotated[int, Field(ge=2, le=100)] = SEEDS
    """trainings of each configuration, from seed on"""
    min_effect: Annotated[float, Field(gt=0, lt=0.5)] = MIN_EFFECT
    """gain in validation AUC that would matter"""

    # the diagnosis compares AUC over whole trainings, and has its own gate
    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = (
        "gate",
        "preflight_compile",
        "min_pred_pos_rate",
        "max_pred_pos_rate",
        "abort_on_degen",
    )

    @model_validator(mode="after")
    def _what_has_no_effect_is_not_set(self) -> Self:
        lost = [name for name in self.WITHOUT_EFFECT if self.run is None and self.changed(name)]
        if lost:
            raise ValueError(
                f"{', '.join(lost)} would have no effect: the diagnosis compares AUC over whole trainings, "
                "and checks every gradient by itself. Leave it out."
            )
        return self


def case_of(config: SuspectsConfig, root: Path | None = None, make: Maker | None = None) -> Subject:
    """The case to diagnose, with its data prepared anew.

    Args:
        root: the project; None: see `qnb.runs.project.find_root`.
        make: see `qnb.probes.subject.subject`.

    Raises:
        RunError: there is no such run of train.ipynb, its data has changed since, or its files were altered.
        ParameterError, DataError: the configuration, the table or the engine cannot be used.
    """
    training = training_of(config)
    if make is None:
        compile_ahead(training)  # in a process of its own, while the data is prepared
    if config.run is not None:
        return finished_run(config.run, root, make)
    prepared = prepare(training)
    origin = "The configuration is described by the parameters above; it has not run."
    return Subject(training, prepared, data_note(prepared.card), origin).with_engines(make)
