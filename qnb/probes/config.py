"""Parameters of the diagnostic notebooks: those of the model under test, and each probe's own."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from qnb.config import Listed, MeasurementName, TrainConfig


class ProbeConfig(TrainConfig):
    """The model under test as in train.ipynb, or that of a finished run, and how long the probe may take."""

    run: str | None = None  # id of a run of train.ipynb to work on; None: the parameters given here
    quick: bool = True  # False: the full grid, up to ten minutes

    UNUSED: ClassVar[frozenset[str]] = frozenset()  # parameters of the model that have no part in the probe

    def own_settings(self) -> dict[str, Any]:
        """Parameters of the model that the probe decides itself, whatever is given; `qnb.probes.subject` says so in the report."""
        return {}

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        fields = type(self).model_fields
        given = [name for name in TrainConfig.model_fields if getattr(self, name) != fields[name].default]
        if self.run is not None and given:
            raise ValueError(f"run={self.run!r} brings its own parameters: leave {', '.join(given)} out, or run=None.")
        return self


OF_EPOCHS = frozenset(  # what a short training, watched step by step, has no use for
    {"epochs", "fixed_num_batches", "eval_every_epochs", "early_stop_patience", "abort_on_degen", "val_objective"}
    | {"min_pred_pos_rate", "max_pred_pos_rate", "preflight_compile"}
    | {"class_weights", "balanced_batches", "balanced_pos_frac", "prior_correction"}
)


class SmallProbeConfig(ProbeConfig):
    """A probe that needs no large model to make its point: four wires, two layers, short batches."""

    sample: Annotated[int, Field(ge=10)] | None = 2_000
    wires: Annotated[int, Field(ge=1, le=20)] = 4
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    batch: Annotated[int, Field(ge=1)] = 64


class ZvecConfig(SmallProbeConfig):
    """zvec_gradient_identity.ipynb."""

    rows: Annotated[int, Field(ge=1)] = 4  # inputs at which the gradients are compared; ten times as many with quick=False
    training_epochs: Annotated[int, Field(ge=2)] = 8  # of 10 batches each; five times as many with quick=False
    measurement: MeasurementName = "z_vec"

    UNUSED = frozenset({"early_stop_patience"})

    def own_settings(self) -> dict[str, Any]:
        scale = 1 if self.quick else 5
        return {"measurement": "z_vec", "epochs": scale * self.training_epochs, "fixed_num_batches": 10,
                "eval_every_epochs": 1, "early_stop_patience": None}  # fmt: skip


class AlphaConfig(SmallProbeConfig):
    """alpha_sign_inversion.ipynb."""

    alpha_start: Annotated[float, Field(gt=0.001)] = 0.05  # where alpha starts, in both modes
    push: Annotated[float, Field(gt=0)] = 0.5  # |mean(s) + bias| at the start, on the side that pulls alpha down
    steps: Annotated[int, Field(ge=20)] = 120  # of each training

    UNUSED = OF_EPOCHS | {"focal_gamma"}

    def own_settings(self) -> dict[str, Any]:
        return {"alpha_mode": "direct", "alpha_train": True}


class FocalConfig(SmallProbeConfig):
    """focal_fixed_point.ipynb."""

    gamma: Annotated[float, Field(gt=0, le=10)] = 2.0  # trained beside gamma = 0
    alpha_start: Annotated[float, Field(gt=0.001)] = 0.05  # small, so that the logits start near zero
    rate_sgd: Annotated[float, Field(gt=0)] = 2.0  # learning rate of SGD; Adam's is lr
    steps: Annotated[int, Field(ge=20)] = 120  # of each training

    UNUSED = OF_EPOCHS | {
        "alpha_train", "lr_schedule", "lr_mult_weights", "lr_mult_readout", "lr_mult_alpha",
        "weight_decay_weights", "weight_decay_readout", "weight_decay_alpha",
    }  # fmt: skip

    def own_settings(self) -> dict[str, Any]:
        return {"focal_gamma": 0.0, "alpha_mode": "softplus"}


class AuditConfig(SmallProbeConfig):
    """gradient_audit.ipynb."""

    stacks: Annotated[tuple[Annotated[str, Field(pattern=r"^(current|\d+\.\d+\.\d+)$")], ...], Listed, Field(min_length=1)] = (
        "current",  # and versions of Catalyst, "0.14.0" say, each installed in an environment of its own
    )
    rows: Annotated[int, Field(ge=3, le=64)] = 5  # of the batch on which gradients are compared
    training_epochs: Annotated[int, Field(ge=3)] = 10  # of 20 batches, for the consequence; three times as many if not quick

    UNUSED = frozenset({"early_stop_patience"})

    def own_settings(self) -> dict[str, Any]:
        epochs = self.training_epochs if self.quick else 3 * self.training_epochs
        return {"engine": "catalyst", "gate": "on", "epochs": epochs, "fixed_num_batches": 20,
                "eval_every_epochs": 1, "early_stop_patience": None}  # fmt: skip


class ThroughputConfig(ProbeConfig):
    """throughput.ipynb."""

    repeats: Annotated[int, Field(ge=3)] = 5  # timings of which the median is taken; a slow call is repeated less
    seconds: Annotated[float, Field(gt=0)] = 0.4  # after which no timing is repeated; five times as long with quick=False

    UNUSED = frozenset(TrainConfig.model_fields) - {
        "wires", "layers", "encoder", "ansatz", "measurement", "reupload", "hadamard", "device", "seed", "run",
    }  # fmt: skip


class GeometryConfig(SmallProbeConfig):
    """readout_geometry.ipynb."""

    steps: Annotated[int, Field(ge=20)] = 80  # of the short training of each measurement
    rows: Annotated[int, Field(ge=2)] = 64  # inputs over which the Jacobian of the scores is taken
    initialisations: Annotated[int, Field(ge=10)] = 200  # random parameters for the variance of gradients

    UNUSED = OF_EPOCHS

    def own_settings(self) -> dict[str, Any]:
        return {}


class SuspectsConfig(ProbeConfig):
    """suspects.ipynb: `run` is required, the parameters of the model come from it."""

    UNUSED = frozenset({"quick"})
