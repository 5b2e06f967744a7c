"""Missing values: refused, or imputed from the training rows.

With `median` a number is replaced by the median of its column over the training rows. With `indicator` as
well, and each column with missing values in the training rows gets one more input, 1 where the value is
missing (both as in scikit-learn's SimpleImputer). In a text column a missing value is a category like any
other.
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
    """The fitted treatment of missing values.

    Attributes:
        treatment: one of TREATMENTS.
        values: further values that count as missing, as written by `qnb.data.values.missing_texts`.
        medians: of the training rows, for each numeric column; empty where missing values are refused.
        indicators: columns with an additional input that marks where they are missing.
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
        """The numbers `(N,)` of a column with NaN replaced by its median; unchanged where missing values are
        refused.
        """
        return numbers if self.refused else np.where(np.isnan(numbers), self.medians[name], numbers)

    def keeping(self, names: list[str], indicators: list[str]) -> "Missing":
        """The same treatment for these columns and indicators alone."""
        medians = {name: self.medians[name] for name in names if name in self.medians}
        return dataclasses.replace(self, medians=medians, indicators=tuple(indicators))

    def meta(self) -> dict[str, Any]:
        """The treatment, JSON-serialisable; floats survive JSON exactly."""
        fields = dataclasses.asdict(self)
        return fields | {name: list(fields[name]) for name in ("values", "indicators")}

    @classmethod
    def from_meta(cls, meta: dict[str, Any] | None) -> "Missing":
        """The treatment with this `meta`. None, as in models of earlier versions, means that missing values
        are refused.
        """
        if meta is None:
            return cls()
        return cls(**meta | {name: tuple(meta[name]) for name in ("values", "indicators")})


def fit_missing(frame: pd.DataFrame, treatment: str, values: tuple[str | float, ...]) -> Missing:
    """Fit on training rows.

    Args:
        frame: their numeric columns.
        treatment: one of TREATMENTS.
        values: further values that count as missing.

    Raises:
        DataError: an unknown treatment, or, unless missing values are refused, an infinite value.
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
    """Number of missing values per column and side, for columns that have any.

    Args:
        sides: row numbers of each side.
    """
    absent = {name: frame[name].isna().to_numpy() for name in frame.columns}
    return {
        name: {side: int(mask[rows].sum()) for side, rows in sides.items()}
        for name, mask in absent.items()
        if mask.any()
    }
