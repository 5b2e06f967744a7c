"""Which reports are shipped in executed/reference/, and with which parameters each is run.

They are trained without leaks, except `leakage_stress_test`, which shows what leaks do.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qnb.runs.parameter_files import read_parameters

CLEAN: dict[str, Any] = {"leaks": []}


@dataclass(frozen=True)
class Report:
    """One executed notebook.

    Attributes:
        notebook: its name in notebooks/.
        files: names of parameter files in params/; later ones override earlier ones.
        values: parameters that override those of the files.
    """

    notebook: str
    files: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    def parameters(self, root: Path) -> dict[str, Any]:
        """The parameters to inject.

        Args:
            root: the project.

        Raises:
            ParameterError: a file is missing or is not a YAML mapping of names to values.
        """
        parameters: dict[str, Any] = {}
        for name in self.files:
            parameters |= read_parameters(str(root / "params" / f"{name}.yaml"))
        return parameters | self.values


# published, and made by earlier code: docs/claims.md says so where it quotes one
OLDER = (
    "silent_faults",
    "ablation_readout_learning_rate",
    "ablation_schedules",
    "ablation_weight_decay",
    "ablation_encoder_scaling",
    "ablation_depth_topology",
)


def _ablation(*files: str, **values: Any) -> Report:
    return Report("ablation", files, values)


FEW: dict[str, Any] = {"baselines": ["logistic"]}  # a twin of 60,000 rows takes longer than the circuits
TABLES = "tables"  # the ablation is repeated on these
# on which a search finds what decides there
SEARCHED = {
    "ring_2": CLEAN | {"attack_ring": 2.0},
    **{name: {"data": name} for name in ("breast_cancer", "digits_even", "diabetes")},
}
STACKS = ("0.13.0", "0.14.0", "0.14.1", "current")
# by the name under which it is published
REPORTS: dict[str, Report] = {
    "train": Report("train", values=CLEAN),
    "gradient_audit": Report("gradient_audit", values=CLEAN | {"quick": False, "stacks": STACKS}),
    "zvec_gradient_identity": Report("zvec_gradient_identity", values=CLEAN),
    "focal_fixed_point": Report("focal_fixed_point", values=CLEAN),
    "alpha_sign_inversion": Report("alpha_sign_inversion", values=CLEAN),
    "readout_geometry": Report("readout_geometry", values=CLEAN),
    "throughput": Report("throughput", values={"quick": False}),
    "suspects": Report("suspects", values=CLEAN),
    "leakage_stress_test": Report("leakage_stress_test"),
    "explore": Report("explore", values=CLEAN),
    "own_circuit": Report("own_circuit"),
    "surrogate": Report("surrogate", values=CLEAN),
    "tune": Report("tune", values=CLEAN | {"other_tables": SEARCHED}),
    "tune_breast_cancer": Report("tune", values={"data": "breast_cancer", "sample": None, "epochs": 20}),
    "ablation_mean_z_vs_readout": _ablation("mean_z_vs_readout", TABLES),
    "ablation_mean_z_vs_readout_note": _ablation("mean_z_vs_readout", "note", **FEW),
    "ablation_mean_z_vs_readout_one_sample": _ablation("mean_z_vs_readout", "note", "one_sample", **FEW),
    "ablation_grid_epoch1_sample100k": _ablation("grid_epoch1_sample100k"),
    "ablation_grid_epoch1_one_sample": _ablation("grid_epoch1_sample100k", "one_sample"),
    "ablation_seed5_epoch5": _ablation("seed5_epoch5"),
    "ablation_seed5_epoch5_one_sample": _ablation("seed5_epoch5", "one_sample"),
    "ablation_focal": _ablation("focal", TABLES),
    "ablation_prior_correction": _ablation("prior_correction", TABLES),
    "ablation_schedules": _ablation("schedules", TABLES),
    "ablation_encoder_scaling": _ablation("encoder_scaling", TABLES),
    "ablation_preprocessing": _ablation("preprocessing"),
    "ablation_depth_topology": _ablation("depth_topology", TABLES),
    "ablation_entanglement": _ablation("entanglement", TABLES),
    "ablation_readout_learning_rate": _ablation("readout_learning_rate", TABLES),
    "ablation_weight_decay": _ablation("weight_decay", TABLES),
    "ablation_gradient": _ablation("gradient"),
    "ablation_engines": _ablation("engines"),
}
