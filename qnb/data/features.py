"""From table to angles: one transform, fitted on training rows alone, kept as plain arrays.

    raw columns -> numbers -> standardised -> PLS scores -> quantiles u in [0, 1] -> angles

Each of the two steps in the middle can be left out or replaced. `reduction="none"` takes the columns as they
are, one per feature. `rescale="minmax"` maps the smallest training value to u = 0 and the largest to u = 1;
`rescale="none"` passes the scores themselves to the circuit, which with `reduction="none"` are the columns,
in radians.

Text columns become numbers without looking at the label. Each category takes the middle of its interval in
the cumulative shares of the training rows, the commonest category first (Bross's ridit, Biometrics 14:18,
1958, with frequency as the order and names breaking ties):

    value(c) = sum of shares of commoner categories + share(c) / 2,   in (0, 1]

so that no two categories coincide. Categories that occur once in training, and any that occur for the first
time later, share the last place.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cross_decomposition import PLSRegression
from sklearn.preprocessing import QuantileTransformer
from threadpoolctl import threadpool_limits

from qnb.data.missing import Missing, fit_missing
from qnb.data.values import DataError, holds_numbers, is_numeric, parse_present, parse_values, to_numbers
from qnb.errors import nearest

# u in [0, 1] -> angle in radians; None leaves u as it is
ANGLE_RANGES: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    "pm_pi": lambda u: 2 * np.pi * (u - 0.5),
    "pm_pi_2": lambda u: np.pi * (u - 0.5),
    "0_pi": lambda u: np.pi * u,
    None: lambda u: u,
}
REDUCTIONS = ("pls", "none")
RESCALES = ("quantile", "minmax", "none")
QUANTILES = 1000
BLOCK = 8192  # rows
RARE, ABSENT = "\0rare", "\0absent"  # no cleaned text starts so: few rows, no value


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureMap:
    """A fitted transform of p columns into n components.

    Attributes:
        columns: the columns that the map uses, in the frame's order; each numeric or text. They and
            `missing.indicators` are the p inputs of the map.
        categories: for each text column among them, the number of each category.
        constant: columns of the training frame left out because they were constant there.
        mean, scale: of the training rows, float64 `(p,)`.
        rotation: standardised columns -> PLS scores, float64 `(p, n)`. Without reduction it is the identity,
            with mean 0 and scale 1.
        quantiles: of the training scores, float64 `(q, n)`, at the levels `levels` `(q,)`; only the smallest
            and the largest unless `rescale` is "quantile".
        angle_range: a key of `ANGLE_RANGES`.
        missing: treatment of missing values.
        reduction, rescale: one of REDUCTIONS and of RESCALES.
    """

    columns: list[str]
    categories: dict[str, dict[str, float]]
    constant: list[str]
    mean: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray
    quantiles: np.ndarray
    levels: np.ndarray
    angle_range: str | None
    missing: Missing = dataclasses.field(default_factory=Missing)
    reduction: str = "pls"
    rescale: str = "quantile"

    @property
    def needed(self) -> list[str]:
        """The columns that a table must have to be transformed."""
        return list(dict.fromkeys([*self.columns, *self.missing.indicators]))

    @property
    def inputs(self) -> list[str]:
        """Names of the p inputs: the columns, then for each indicator its column followed by `(missing)`."""
        return [*self.columns, *(f"{name} (missing)" for name in self.missing.indicators)]

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        y: np.ndarray,
        components: int,
        angle_range: str | None,
        missing: str = "refuse",
        missing_values: tuple[str | float, ...] = (),
        reduction: str = "pls",
        rescale: str = "quantile",
    ) -> "FeatureMap":
        """Fit on training rows.

        Args:
            frame: N training rows of a table, columns of numbers and columns of text (by their dtype, as
                `qnb.data.table.read_table` decides it).
            y: labels 0 or 1, shape `(N,)`; only the PLS step uses them.
            components: n, the number of angles (2^wires amplitudes for amplitude encoding).
            angle_range: a key of `ANGLE_RANGES`; None (amplitude encoding, or no rescaling) leaves u as it
                is.
            missing: treatment of missing values, see `qnb.data.missing`.
            missing_values: further values that count as missing.
            reduction: "pls", or "none": one column per component, constant ones too.
            rescale: "quantile", "minmax" or "none": the components are the angles, in radians.

        Raises:
            DataError: an unknown angle_range, reduction or rescale; missing values that are refused, or
                infinite values; no column that varies; one class only; more components than the columns
                carry, or, without reduction, another number than there are columns; text columns or an
                angle_range without rescaling.
        """
        known = {"angle_range": ANGLE_RANGES, "reduction": REDUCTIONS, "rescale": RESCALES}
        choices = {"angle_range": angle_range, "reduction": reduction, "rescale": rescale}
        for name, value in choices.items():
            if value not in known[name]:
                raise DataError(f"{name}={value!r} is unknown. {nearest(value, map(str, known[name]))}")
        texts = [c for c in frame.columns if not is_numeric(frame[c])]
        if rescale == "none":
            _refuse_as_radians(texts, angle_range)
        treatment = fit_missing(frame.drop(columns=texts), missing, missing_values)
        categories = {c: _categories(frame[c], treatment) for c in texts}
        x = _matrix(frame, list(frame.columns), categories, treatment)
        varies = np.array([column.max() > column.min() for column in x.T])
        if not varies.any():
            raise DataError(
                f"All {len(varies)} feature columns are constant in the {len(x)} training rows: nothing to "
                "learn from."
            )
        if len(np.unique(y)) < 2:
            raise DataError(f"The {len(x)} training rows are of one class only; two are needed.")
        if reduction == "none":
            varies[:] = True
        columns = [c for c, v in zip(frame.columns, varies, strict=False) if v]
        mask = varies[len(frame.columns) :]  # of the indicators
        treatment = treatment.keeping(
            columns, [c for c, v in zip(treatment.indicators, mask, strict=True) if v]
        )
        x = _keep(x, varies)
        if reduction == "none":
            _require_one_each([*columns, *treatment.indicators], components)
            mean, scale, rotation = np.zeros(components), np.ones(components), np.eye(components)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                mean, scale = (np.array([f(column) for column in x.T]) for f in (np.mean, np.std))
            _require_finite_spread([*columns, *treatment.indicators], x, scale)
            scale[scale == 0] = 1.0  # spread below rounding
            rotation = _pls_rotation(x, mean, scale, np.asarray(y, float), components)
        scores = _project(x, mean, scale, rotation)
        distribution = min(QUANTILES, len(x)) if rescale == "quantile" else 2
        quantile = QuantileTransformer(n_quantiles=distribution, subsample=None).fit(scores)
        return cls(
            columns=columns,
            categories={c: categories[c] for c in columns if c in categories},
            constant=[c for c, v in zip(frame.columns, varies, strict=False) if not v],
            mean=mean,
            scale=scale,
            rotation=rotation,
            quantiles=quantile.quantiles_,
            levels=quantile.references_,
            angle_range=angle_range,
            missing=treatment,
            reduction=reduction,
            rescale=rescale,
        )

    def scores(self, frame: pd.DataFrame) -> np.ndarray:
        """PLS scores of rows of the same columns, float64 `(M, n)`; without reduction the columns
        themselves.

        Raises as `transform` does.
        """
        x = _matrix(frame, self.columns, self.categories, self.missing)
        return _project(x, self.mean, self.scale, self.rotation)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Angles in radians (u in [0, 1], or scores, where `angle_range` is None), float64 `(M, n)`.

        Columns that are not in the map are ignored.

        Raises:
            DataError: the frame has no rows; a column is absent, holds missing values that are refused or
                infinite ones, or holds text where it held numbers in training.
        """
        scores = self.scores(frame)
        if self.rescale == "none":
            return scores
        u = np.column_stack(
            [_to_quantile(s, q, self.levels) for s, q in zip(scores.T, self.quantiles.T, strict=True)]
        )
        return ANGLE_RANGES[self.angle_range](u)

    def encoded_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value of each feature that `transform` gives for the training rows, `(n,)`
        each.
        """
        if self.rescale == "none":
            return self.quantiles[0], self.quantiles[-1]
        low, high = ANGLE_RANGES[self.angle_range](np.array([0.0, 1.0]))
        n = self.rotation.shape[1]
        return np.full(n, low), np.full(n, high)

    def explain(self) -> pd.DataFrame:
        """The change of each PLS score (column) for one standard deviation of each input (row); without
        reduction the identity, for one unit.
        """
        names = [f"component {i}" for i in range(self.rotation.shape[1])]
        return pd.DataFrame(self.rotation, index=pd.Index(self.inputs, name="column"), columns=names)

    def arrays(self) -> dict[str, np.ndarray]:
        """The float64 arrays of the map, for an npz file; `meta` holds the rest."""
        return {name: getattr(self, name) for name in ("mean", "scale", "rotation", "quantiles", "levels")}

    def meta(self) -> dict[str, Any]:
        """Everything but the arrays, JSON-serialisable; floats survive JSON exactly."""
        names = ("columns", "categories", "constant", "angle_range")
        entries = {"version": 1} | {name: getattr(self, name) for name in names}
        for name, usual in (("reduction", REDUCTIONS[0]), ("rescale", RESCALES[0])):
            if getattr(self, name) != usual:
                entries[name] = getattr(self, name)
        return entries if self.missing == Missing() else entries | {"missing": self.missing.meta()}

    @classmethod
    def from_parts(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> "FeatureMap":
        """The map with these `arrays` and `meta`, equal to the last bit.

        Raises:
            DataError: a part is missing or of another version.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        usual = {"reduction": REDUCTIONS[0], "rescale": RESCALES[0]}
        parts = usual | {name: arrays[name] for name in arrays} | dict(meta)
        parts["missing"] = Missing.from_meta(parts.get("missing"))
        absent = [name for name in names if name not in parts]
        if absent or parts.get("version") != 1:
            version = parts.get("version")
            raise DataError(
                f"These are not the parts of a feature map, version 1: version {version}, missing {absent}."
            )
        return cls(**{name: parts[name] for name in names})

    def of_rows(self, frame: pd.DataFrame) -> np.ndarray:
        """`transform` of raw rows whose columns must hold what they held in training.

        Raises:
            DataError: as `transform` and `refuse_changed`.
        """
        X = self.transform(frame)
        self.refuse_changed(
            name
            for name, known in self.categories.items()
            if holds_numbers(frame[name]) and not _are_truth_values(frame[name], known)
        )
        unknown = self.unknown(frame)
        self.refuse_spelling({name: texts for name, (rows, texts) in unknown.items() if rows.all()})
        return X

    def unknown(self, frame: pd.DataFrame) -> dict[str, tuple[np.ndarray, list[str]]]:
        """By text column, which rows hold no category of training, bool `(M,)`, and their distinct texts.

        A text that training had once is no category.
        """
        unknown = {}
        for name, known in self.categories.items():
            codes, keys = _texts(frame[name], self.missing)
            is_new = np.array([key not in known and key != ABSENT for key in keys] + [False])
            unknown[name] = is_new[codes], [keys[k] for k in np.flatnonzero(is_new)]
        return unknown

    def rare_share(self, name: str) -> float:
        """The share of the training rows whose text in this column was no category."""
        return 2 * (1 - self.categories[name][RARE])

    def refuse_spelling(self, unknown: Mapping[str, Iterable[str]]) -> None:
        """Raise DataError where texts differ from the categories of training in case or blanks alone.

        Args:
            unknown: the distinct texts of columns that hold no category of training at all.
        """
        for name, texts in unknown.items():
            known = {key.strip().casefold(): key for key in self.categories[name] if not key.startswith("\0")}
            for text in texts:
                if (key := known.get(text.strip().casefold())) is not None:
                    raise DataError(
                        f"Column {name!r} holds {text!r} where training had {key!r}, and no text that "
                        "training had: the same words in another spelling. Write them as in training."
                    )

    def refuse_changed(self, numeric: Iterable[str]) -> None:
        """Raise DataError where a text column without a number among its known categories holds nothing but
        numbers now.

        Args:
            numeric: columns that hold nothing but numbers in the table at hand.
        """
        for name in numeric:
            known = [key for key in self.categories.get(name, {}) if not key.startswith("\0")]
            if name in self.categories and not np.isfinite(parse_values([*known, None])[0]).any():
                raise DataError(
                    f"Column {name!r} held text in training{f', such as {known[0]!r},' if known else ''} and "
                    "holds nothing but numbers here: its type has changed. Give it as it was trained on."
                )


def _are_truth_values(values: pd.Series, known: Collection[str]) -> bool:
    """Whether a column of pandas' truth values holds categories that training had as text."""
    return pd.api.types.is_bool_dtype(values.dtype) and all(str(v) in known for v in values.dropna().unique())


def _key(text: str) -> str:
    """Long text (payloads, HTML) is kept as its digest."""
    return text if len(text) <= 64 else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _texts(values: pd.Series, missing: Missing) -> tuple[np.ndarray, list[str]]:
    """Codes and keys of the categories of a text column; a missing value has code -1 where it is refused."""
    codes, distinct = pd.factorize(values)
    texts = [*parse_present(list(distinct), missing.values)[1], None]  # code -1 takes the last
    places = np.array([-1 if text is None and missing.refused else i for i, text in enumerate(texts)])
    return places[codes], [ABSENT if text is None else _key(text) for text in texts]


def _categories(values: pd.Series, missing: Missing) -> dict[str, float]:
    """The number of each category of a text column; see the head of this file."""
    codes, keys = _texts(values, missing)
    counts: Counter[str] = Counter()
    for key, count in zip(keys, np.bincount(codes[codes >= 0], minlength=len(keys)).tolist(), strict=True):
        counts[key] += count  # "0" and "0.0" are one category
    common = sorted((-count, key) for key, count in counts.items() if count > 1)
    total, passed, numbers = sum(counts.values()), 0, {}
    for minus_count, key in common:
        numbers[key] = (passed - minus_count / 2) / total
        passed -= minus_count
    return numbers | {RARE: (passed + total) / (2 * total)}


def _column(
    frame: pd.DataFrame, name: str, categories: dict[str, float] | None, missing: Missing
) -> np.ndarray:
    """A column as numbers `(N,)`, NaN where missing (but for text, if that is no error)."""
    if categories is None:
        numbers = to_numbers(frame[name], missing.values)
        if numbers is None:
            distinct, texts, _ = parse_present(list(pd.unique(frame[name])), missing.values)
            text = next(t for n, t in zip(distinct, texts, strict=True) if np.isnan(n) and t is not None)
            raise DataError(
                f"Column {name!r} held only numbers in the training rows and holds text here, such as "
                f"{text[:40]!r}."
            )
        return numbers
    codes, keys = _texts(frame[name], missing)
    values: np.ndarray = np.array([categories.get(key, categories[RARE]) for key in keys] + [np.nan])[codes]
    return values


def _matrix(
    frame: pd.DataFrame, columns: list[str], categories: dict[str, dict[str, float]], missing: Missing
) -> np.ndarray:
    """The columns and the indicators as finite numbers, float64 `(N, p)`."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"Expected a pandas DataFrame with the columns {', '.join(columns[:5])}"
            f"{', ...' if len(columns) > 5 else ''}; got {type(frame).__name__}."
        )
    absent = [c for c in (*columns, *missing.indicators) if c not in frame.columns]
    if twice := [c for c in columns if list(frame.columns).count(c) > 1]:
        raise DataError(f"The table has the column {twice[0]!r} more than once: rename or remove one.")
    if absent:
        raise DataError(
            f"The table lacks {len(absent)} columns: {', '.join(absent[:10])}. "
            f"{nearest(absent[0], frame.columns)}"
        )
    if not len(frame):
        raise DataError("The table has no rows; at least one is needed.")
    x = np.empty((len(frame), len(columns) + len(missing.indicators)), order="F")  # then column by column
    for j, name in enumerate(columns):
        values = _column(frame, name, categories.get(name), missing)
        x[:, j] = values if name in categories else missing.fill(name, values)
        _refuse_wrong(name, x[:, j])
    for j, name in enumerate(missing.indicators, len(columns)):
        x[:, j] = np.isnan(_column(frame, name, None, missing))
    return x


def _require_finite_spread(inputs: list[str], x: np.ndarray, scale: np.ndarray) -> None:
    """Raise DataError where values are so large that the spread of their column is beyond float64."""
    beyond = [name for name, spread in zip(inputs, scale, strict=True) if not np.isfinite(spread)]
    if beyond:
        largest = np.abs(x[:, inputs.index(beyond[0])]).max()
        raise DataError(
            f"The spread of {', '.join(map(repr, beyond[:10]))} is beyond float64: {beyond[0]!r} holds "
            f"{largest:.3g}. Where it stands for no value, name it in missing_values; otherwise rescale or "
            "drop the column."
        )


def _refuse_wrong(name: str, values: np.ndarray) -> None:
    """Raise DataError where a value is missing or infinite."""
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        nan = int(np.isnan(values).sum())
        raise DataError(
            f"Feature column {name!r} has {wrong} of {len(values)} rows without a finite number ({nan} "
            f"missing or NaN, {wrong - nan} infinite). Fill or remove them; missing='median' or 'indicator' "
            "of the training fills in what is missing."
        )


def _refuse_as_radians(texts: list[str], angle_range: str | None) -> None:
    """Raise DataError for what cannot be an angle in radians as it is."""
    if texts:
        raise DataError(
            f"rescale='none' takes values as radians, and {len(texts)} columns hold text: "
            f"{', '.join(texts[:10])}. Drop them, or use rescale='quantile' or 'minmax'."
        )
    if angle_range is not None:
        raise DataError(
            f"angle_range={angle_range!r} has no effect with rescale='none', which takes values as radians."
        )


def _require_one_each(inputs: list[str], components: int) -> None:
    """Raise DataError where there is not one input per component."""
    if len(inputs) != components:
        names = ", ".join(inputs[:10]) + (", ..." if len(inputs) > 10 else "")
        raise DataError(
            f"reduction='none' takes one column per feature: there are {len(inputs)} columns ({names}) for "
            f"{components} features. Set wires={len(inputs)} (with encoder='amplitude' the columns must be "
            "2^wires), drop or add columns, or use reduction='pls'."
        )


def _keep(x: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The columns of x that are marked, moved to its front: the rows of a large table are not held twice."""
    for to, j in enumerate(np.flatnonzero(which)):
        x[:, to] = x[:, j]
    return x[:, : which.sum()]


def _pls_rotation(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, y: np.ndarray, components: int
) -> np.ndarray:
    """Rotation `(p, n)` of partial least squares regression of y on the standardised columns z of x (Wegelin
    2000, section 4.1).

    It depends on z'z and z'y alone, so it is fitted to the few rows of a triangle that has the same products;
    each row also with the other sign, which keeps their mean at zero.
    """
    rows, width = x.shape
    if components > width:
        raise DataError(
            f"{components} components were asked of {width} feature columns that vary. "
            f"Ask for {width} or fewer (one per wire; 2^wires with encoder='amplitude')."
        )
    z, target = _triangle(x, mean, scale, y - y.mean())
    delivered = int(np.linalg.matrix_rank(z, rtol=max(rows, width) * np.finfo(float).eps))
    if components <= delivered:
        folded = np.vstack([z, -z]) / np.sqrt(2), np.concatenate([target, -target]) / np.sqrt(2)
        pls = PLSRegression(n_components=components, scale=False).fit(*folded)
        rotation: np.ndarray = pls.x_rotations_
        spread = np.linalg.norm(z @ rotation, axis=0)
        delivered = int((spread > 1e-8 * spread.max()).sum())
        if delivered == components:  # where the label is used up, scikit-learn goes on with columns of zeros
            return rotation
    raise DataError(
        f"{components} components were asked of {rows} training rows whose {width} varying columns carry "
        f"fewer independent directions that bear on the label ({min(delivered, components - 1)} at most). "
        "Ask for fewer components, or give more rows or columns."
    )


def _triangle(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(r, t), of as many rows as there are columns and one, with r'r = z'z and r't = z'target: QR, a block of
    rows at a time.

    On one thread: on blocks this narrow, two spend five times as long waiting for each other.
    """
    stacked = np.empty((0, x.shape[1] + 1))
    with threadpool_limits(1, user_api="blas"):
        for rows in _blocks(len(x)):
            z = (x[rows] - mean) / scale
            taller = np.vstack([stacked, np.column_stack([z, target[rows]])])
            # numpy's types know no mode that returns r alone
            stacked = np.linalg.qr(taller, mode="r")  # type: ignore[assignment]
    return stacked[:, :-1], stacked[:, -1]


def _blocks(rows: int) -> list[slice]:
    """Slices of so many rows that one works in the processor's cache."""
    return [slice(start, start + BLOCK) for start in range(0, rows, BLOCK)]


def _project(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Standardised columns times the rotation, (N, n). Added column by column, because a matrix product
    rounds a row depending on the number of rows, and a score that ties with a quantile would then jump.
    """
    scores = np.empty((len(x), rotation.shape[1]))
    for rows in _blocks(len(x)):
        added = np.zeros(scores[rows].T.shape)
        for j, row in enumerate(rotation):
            added += row[:, None] * ((x[rows, j] - mean[j]) / scale[j])
        scores[rows] = added.T
    return scores


def _to_quantile(values: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Empirical distribution function, `(M,)` -> [0, 1].

    Ties take the middle of their levels, values out of range clip.
    """
    u: np.ndarray = 0.5 * (
        np.interp(values, quantiles, levels) - np.interp(-values, -quantiles[::-1], -levels[::-1])
    )
    u[values <= quantiles[0]] = 0.0
    u[values >= quantiles[-1]] = 1.0
    return u
