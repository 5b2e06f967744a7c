"""From a configuration to data ready for a circuit: read, split, transform.

Everything is fitted on the training rows alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qnb.config import InputConfig, SplitConfig, TableConfig, TrainConfig
from qnb.data.cautions import cautions
from qnb.data.features import FeatureMap
from qnb.data.overlap import split_card
from qnb.data.roles import Roles
from qnb.data.splits import SIDES, Split, split_table
from qnb.data.table import Table, load_table
from qnb.data.values import DataError
from qnb.errors import ParameterError

# of the split: which columns are kept, and the draw
DECIDES_TABLE = (*TableConfig.model_fields, "group_by", "split_seed", "test_data")
DECIDES_ROWS = (*TableConfig.model_fields, *SplitConfig.model_fields)


@dataclass(frozen=True)
class Prepared:
    """Data ready for a circuit.

    Attributes:
        X, y: per side ("train", "val", "test") the features (B, features) as `FeatureMap.transform` gives
            them (angles in radians; u in [0, 1] for amplitude encoding), and the labels (B,).
        feature_map: the transform, fitted on training rows.
        card: the data card, with that of the split.
        test_groups: the group of each test row by the columns that the card names, int64 (B,), -1 where a
            row belongs to none; None where the table has no groups.
        test_unseen: test rows of class 0, or of attack types that neither training nor validation has, bool
            (B,); None without such types.
        asked: the parameters that decided rows and features, by name; empty if the data came from no
            configuration.
        weights: of the training rows in the loss, (B,); None: equal weights.
    """

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    feature_map: FeatureMap
    card: dict[str, Any]
    test_groups: np.ndarray | None = None
    test_unseen: np.ndarray | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    weights: np.ndarray | None = None

    @property
    def prior(self) -> float:
        """Fraction of positives among the training rows."""
        return float(self.y["train"].mean())

    @property
    def test_units(self) -> np.ndarray | None:
        """The resampling unit of each test row, (B,): its group, or a unit of its own where it belongs to
        none; None where rows are independent.
        """
        groups = self.test_groups
        return None if groups is None else np.where(groups < 0, -1 - np.arange(len(groups)), groups)

    def side(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """X (B, features) and y (B,) of "train", "val" or "test"."""
        return self.X[name], self.y[name]


def prepare(config: TrainConfig, table: Table | None = None) -> Prepared:
    """Read, split and transform; everything is fitted on the training rows alone.

    Args:
        table: read already; None: the table of `config`.

    Raises:
        DataError: the table cannot be read, split or transformed as asked, or has fewer training rows than
            one batch.
    """
    table = load_table(config) if table is None else table
    roles = Roles(table, config.group_by)
    split = split_table(table, config, roles)
    _refuse_small(config, len(split.train), len(table))
    training = table.take(split.train)
    feature_map = fit_features(training, config)
    del training  # a large table's sides are held one at a time
    X, y = {}, {}
    for name, rows in zip(SIDES, split, strict=True):
        side = table.take(rows)
        X[name], y[name] = feature_map.transform(side.frame), side.y.astype(np.float64)
    groups = roles.known_groups
    card = table.card | split_card(table, split, config, roles)
    return Prepared(
        X=X,
        y=y,
        feature_map=feature_map,
        card=card | {"cautions": cautions(card)},
        test_groups=None if groups is None else groups.of(split.test),
        test_unseen=_unseen(table, split),
        asked=_deciding(config),
    )


def fit_features(training: Table, config: InputConfig) -> FeatureMap:
    """`FeatureMap.fit` on training rows, with the treatment of missing values that their table's card
    records. Raises as it does.
    """
    missing, values = training.card.get("missing", "refuse"), tuple(training.card.get("missing_values", ()))
    return FeatureMap.fit(
        training.frame,
        training.y,
        config.features,
        config.encoding,
        missing,
        values,
        config.reduction,
        config.rescale,
    )


def _unseen(table: Table, split: Split) -> np.ndarray | None:
    """See `Prepared`."""
    if table.attack is None:
        return None
    seen = np.concatenate([split.train, split.val])
    known = set(table.attack[seen[table.y[seen] == 1]])
    test, y = table.attack[split.test], table.y[split.test]
    new = np.array([kind not in known for kind in test], bool) & (y == 1)
    return new | (y == 0) if new.any() else None


def prepare_all(configs: Sequence[TrainConfig]) -> list[Prepared]:
    """`prepare` for each configuration, in order.

    What two of them share (a table, or everything) is computed once and is one object.

    Raises:
        DataError: as `prepare`.
    """
    tables: dict[tuple[Any, ...], Table] = {}
    done: dict[tuple[Any, ...], Prepared] = {}
    prepared = []
    for config in configs:
        key = tuple(_deciding(config).values())
        if key not in done:
            of_table = _values(config, DECIDES_TABLE)
            if of_table not in tables:
                tables = {of_table: load_table(config)}  # one at a time: a table can be large
            done[key] = prepare(config, tables[of_table])
        _refuse_small(config, len(done[key].y["train"]), done[key].card["rows_kept"])
        prepared.append(done[key])
    return prepared


def _deciding(config: InputConfig) -> dict[str, Any]:
    """The parameters, and the number of features, that decide what `prepare` returns."""
    encoding = {} if config.encoding is None else {"angle_range": config.encoding}
    names = (*DECIDES_ROWS, "features", "reduction", "rescale")
    return {name: getattr(config, name) for name in names} | encoding


def require_prepared_for(config: InputConfig, prepared: Prepared) -> None:
    """Raise ParameterError, naming both values, where the data were prepared for other parameters."""
    for name, value in prepared.asked.items():
        if getattr(config, name) != value:
            raise ParameterError(
                f"The data were prepared with {name} = {value!r}, and the training asks for "
                f"{name} = {getattr(config, name)!r}: call prepare(config) again."
            )


def _refuse_small(config: TrainConfig, training: int, rows: int) -> None:
    """Raise DataError where not one batch can be drawn from the training rows."""
    if training < config.batch:
        raise DataError(
            f"batch={config.batch} rows, but only {training} of the table's {rows} rows are for training. "
            "Use a smaller batch or more rows (sample=None takes all)."
        )


def _values(config: InputConfig, names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(getattr(config, name) for name in names)
