"""Parameters of own_circuit.ipynb: a circuit written in a cell, and the ablation that compares it."""

from typing import Annotated, Any

from pydantic import Field

from qnb.config import (
    Batch,
    Epochs,
    Layers,
    Rate,
    Sample,
    Seed,
    SoundEngineName,
    StrictConfig,
    TrainConfig,
    Wires,
)
from qnb.studies.ablation import AblationConfig

CONTROLS = ("strongly_entangling", "unentangled")  # arms beside the circuit of one's own


class OwnCircuitConfig(StrictConfig):
    """own_circuit.ipynb: trainings of a circuit of your own, small by default, so that they are quick."""

    sample: Sample = 2_000
    wires: Wires = 4
    layers: Layers = 2
    engine: SoundEngineName = "exact"
    seed: Seed = 0
    """the first of the ablation's"""
    seeds: Annotated[int, Field(ge=2, le=1000)] = 5
    """of the ablation, from seed on"""
    epochs: Epochs = 4
    batch: Batch = 64
    lr: Rate = 0.05

    def training(self, ansatz: Any) -> TrainConfig:
        """A training of this ansatz, without baselines.

        Raises:
            ParameterError: the ansatz cannot be used.
        """
        return TrainConfig.make(self._shared() | {"ansatz": ansatz, "baselines": ()})

    def ablation(self, ansatz: Any) -> AblationConfig:
        """The ansatz against CONTROLS: qnb's strongly entangling one, and one without entanglement.

        Raises:
            ParameterError: the ansatz cannot be used.
        """
        arms = {"mine": {"ansatz": ansatz}} | {name: {"ansatz": name} for name in CONTROLS}
        values = self._shared() | {"arms": arms, "reference": "mine", "seeds": self.seeds, "baselines": ()}
        return AblationConfig.make(values)

    def _shared(self) -> dict[str, Any]:
        return {name: value for name, value in self if name != "seeds"}
