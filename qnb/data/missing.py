"""Values that are missing: refused, or filled in by what training rows say.

`median`: a number takes the median of the training rows of its column. `indicator`: it does, and each column
that lacks values in the training rows has an input of its own besides, 1 where the value is missing (both
scikit-learn's SimpleImputer). In a column of text a missing value is a category like any other.
"""

import dataclasses
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer

from qnb.config import MissingName
from qnb.data.values import DataError, missing_texts, without
from qnb.errors import nearest

TREATMENTS: tuple[str, ...] = get_args(MissingName)


@dataclasses.dataclass(frozen=True)
class Missing:
    """What becomes of missing values.

    Attributes:
        treatment: one of TREATMENTS.
        values: what stands for no value besides what always does, as `qnb.data.values.missing_texts` writes
            it.
        medians: of the training rows, for each column of numbers; empty where missing values are refused.
        indicators: columns with an input that says where they are missing.
    """

    treatment: str = "refuse"
    values: tuple[str, ...] = ()
    medians: dict[str, float] = dataclasses.field(default_factory=dict)
    indicators: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether a missing value is an error."""
        return self.treatment == "refuse"

    def fill(self, name: str, numbers: np.ndarray) -> np.ndarray:
        """Numbers `(N,)` of a column with those that are NaN filled in; as they are where refused."""
        return numbers if self.refused else np.where(np.isnan(numbers), self.medians[name], numbers)

    def keeping(self, names: list[str], indicators: list[str]) -> "Missing":
        """The same for these columns alone."""
        medians = {name: self.medians[name] for name in names if name in self.medians}
        return dataclasses.replace(self, medians=medians, indicators=tuple(indicators))

    def meta(self) -> dict[str, Any]:
        """All of it, JSON-serialisable; floats survive JSON exactly."""
        found = dataclasses.asdict(self)
        return found | {name: list(found[name]) for name in ("values", "indicators")}

    @classmethod
    def from_meta(cls, meta: dict[str, Any] | None) -> "Missing":
        """Whose `meta` this is; None, as models of earlier versions have it: missing values are refused."""
        if meta is None:
            return cls()
        return cls(**meta | {name: tuple(meta[name]) for name in ("values", "indicators")})


def fit_missing(frame: pd.DataFrame, treatment: str, values: tuple[str | float, ...]) -> Missing:
    """Fit on training rows.

    Args:
        frame: their columns of numbers.
        treatment: one of TREATMENTS.
        values: what stands for no value besides what always does.

    Raises:
        DataError: there is no such treatment, or a value is infinite.
    """
    if treatment not in TREATMENTS:
        raise DataError(f"missing={treatment!r} is unknown. {nearest(treatment, TREATMENTS)}")
    kept = Missing(treatment, tuple(sorted(missing_texts(values))))
    if kept.refused:
        return kept
    medians, indicators = {}, []
    for name in frame.columns:
        numbers = without(frame[name].to_numpy(np.float64, na_value=np.nan), kept.values)[0]
        if np.isinf(numbers).any():
            raise DataError(
                f"Feature column {name!r} has {int(np.isinf(numbers).sum())} infinite values, which are not "
                "missing. Mend them, or say missing_values=['inf', '-inf']."
            )
        imputer = SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=True)
        imputer.fit(numbers[:, None])
        medians[name] = float(imputer.statistics_[0])
        if treatment == "indicator" and len(imputer.indicator_.features_):
            indicators.append(name)
    return dataclasses.replace(kept, medians=medians, indicators=tuple(indicators))


def count_missing(frame: pd.DataFrame, sides: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Missing values of each column on each side, of columns that have any."""
    absent = {name: frame[name].isna().to_numpy() for name in frame.columns}
    return {
        name: {side: int(which[rows].sum()) for side, rows in sides.items()}
        for name, which in absent.items()
        if which.any()
    }
