"""Scoring a table with a trained model: `qnb score RUN TABLE -o scores.parquet`.

The table is read and cleaned batch by batch as in training, but no row is drawn, dropped or reordered: line k
of the output belongs to row k of the table. Only the labels and what is written are held for all rows.
"""

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from scipy.special import expit
from tqdm import tqdm

from qnb import own
from qnb.core.engine import WRONG_ON_PURPOSE
from qnb.data.features import FeatureMap
from qnb.data.labels import refuse_header_rows
from qnb.data.scorable import Scorable, Truth, check_columns, label_rule_of, open_table
from qnb.data.values import DataError, clean_column
from qnb.errors import QnbError
from qnb.files import plain
from qnb.runs.folder import MANIFEST
from qnb.runs.listing import find_run
from qnb.runs.project import given_root
from qnb.stack import versions
from qnb.statistics.auc import AUCInterval, auc_interval
from qnb.training.metrics import auc
from qnb.training.model import Model, load_model
from qnb.training.surrogate import Surrogate

BLOCK = 4096  # rows scored at a time
EXAMPLES = 20  # new texts of a block that are kept


class ScoringError(QnbError):
    """Scores cannot be computed, or cannot be written to the file given."""


@dataclass(frozen=True)
class Scores:
    """The outcome of scoring a table.

    Attributes:
        path: the file that was written: columns logit, probability and decision (0 or 1), one line per row of
            the table.
        rows, positive: number of rows scored, and of those whose logit reaches the threshold.
        threshold: the model's stored threshold, in logits.
        engine: what computed the scores; "surrogate" for the polynomial.
        auc, auc_interval: AUC and its interval over rows, where the table has the label, read as in
            training; otherwise None, and `without_auc` says why.
        auc_unseen, unseen: AUC of rows of attack types that training never saw against rows of class 0, and
            the number of the former; None and 0 where there are none.
        note: says so where the model or the table is synthetic.
        new_texts: sentences on columns of text of whose rows more than twice as large a share as in training
            hold no category of training.
    """

    path: Path
    rows: int
    positive: int
    threshold: float
    engine: str
    auc: float | None
    auc_interval: AUCInterval | None
    without_auc: str | None
    auc_unseen: float | None
    unseen: int
    note: str | None
    new_texts: tuple[str, ...] = ()


def score(
    run: str | Path,
    table: str,
    out: str | Path,
    *,
    root: str | Path | None = None,
    surrogate: bool = False,
    progress: bool = True,
    encoder: Any = None,
    ansatz: Any = None,
    measurement: Any = None,
) -> Scores:
    """Score every row of a table and write the scores.

    Args:
        run: a run folder, a model folder, or the id of a run (its beginning, `notebook/id`), see
            `qnb.runs.listing.find_run`.
        table: a CSV or Parquet file with the columns that the model takes (others are ignored); a table of
            scikit-learn, "breast_cancer" for example; or "bundled", the capture drawn again with the run's
            own parameters.
        out: a new file, .parquet or .csv.
        root: the project in which a run is looked up; None: that of the working directory.
        surrogate: score with `model.surrogate()` rather than with the engine that trained.
        progress: whether to show the progress bar.
        encoder, ansatz, measurement: parts of the circuit that are your own, see `qnb.load_model`.

    Raises:
        ModelError, RunError: there is no such model, or its files cannot be trusted.
        DataError: the table cannot be read, or lacks columns or values; the message names them.
        ScoringError: `out` exists or cannot be written, the manifest cannot be read, or the model was
            trained on a wrong gradient on purpose. Nothing was written.
        ParameterError, EngineError: with `surrogate`, as `qnb.training.model.Model.surrogate`.
    """
    out = _new_file(Path(out))
    parts = {"encoder": encoder, "ansatz": ansatz, "measurement": measurement}
    model, manifest = _find_model(run, root, parts)
    source = open_table(
        table, label_rule_of(model.about, _entry(manifest, "data")), _entry(manifest, "parameters")
    )
    check_columns(source, model.feature_map.needed)
    logits, truth, new, texts = _score_rows(
        model.surrogate() if surrogate else model, model, source, progress
    )
    decision = (logits >= model.threshold).astype(np.int8)
    frame = pd.DataFrame({"logit": logits, "probability": expit(logits), "decision": decision})
    engine = "surrogate" if surrogate else model.engine
    about = {
        "table": source.name,
        "engine": engine,
        "threshold": model.threshold,
        "qnb": versions()["qnb"],
        "model": model.about,
    }
    _publish(frame, out, about)
    area, interval, why = _ranking(logits, truth)
    unseen, of_unseen = _unseen(logits, truth, new)
    return Scores(
        path=out,
        rows=len(frame),
        positive=int(decision.sum()),
        threshold=model.threshold,
        engine=engine,
        auc=area,
        auc_interval=interval,
        without_auc=why,
        auc_unseen=of_unseen,
        unseen=unseen,
        note=_synthetic(model, source),
        new_texts=texts.sentences(len(frame)),
    )


def _ranking(
    logits: np.ndarray, truth: np.ndarray | str
) -> tuple[float | None, AUCInterval | None, str | None]:
    """The AUC and its interval over rows; or why there is none."""
    if isinstance(truth, str):
        return None, None, truth
    return auc(logits, truth), auc_interval(truth, logits), None


def _unseen(logits: np.ndarray, truth: np.ndarray | str, new: np.ndarray | None) -> tuple[int, float | None]:
    """Rows of class 1 that are `new`, and their AUC against rows of class 0; None where there are none."""
    if isinstance(truth, str) or new is None:
        return 0, None
    count = int((new & truth).sum())
    rows = new | ~truth
    return count, auc(logits[rows], truth[rows]) if count else None


def told(scores: Scores) -> str:
    """A summary of the scores, as lines for the terminal."""
    ranking = f"no AUC: {scores.without_auc}"
    if scores.auc_interval is not None:
        interval = scores.auc_interval
        few = f"; {interval.few}" if interval.few else ""
        ranking = (
            f"AUC {scores.auc:.4f} (95 % interval {interval.low:.4f} to {interval.high:.4f} over rows{few})"
        )
    lines = [
        f"scored  {scores.rows:,} rows with engine {scores.engine!r}",
        f"{scores.positive:,} positive ({scores.positive / scores.rows:.1%}) at the stored threshold "
        f"{scores.threshold:.4g}  {ranking}",
        *(
            [f"AUC {scores.auc_unseen:.4f} on {scores.unseen:,} rows of attack types that training never saw"]
            if scores.auc_unseen is not None
            else []
        ),
        *scores.new_texts,
        *([scores.note] if scores.note else []),
        f"scores  {scores.path}",
    ]
    return "\n".join(lines)


def _new_file(out: Path) -> Path:
    if out.suffix.lower() not in WRITERS:
        raise ScoringError(
            f"-o {out}: scores are written as {' or '.join(WRITERS)}; {out.suffix or 'no ending'!r} was "
            "given."
        )
    if os.path.lexists(out):
        raise ScoringError(f"-o {out}: exists already; nothing is overwritten. Name another file.")
    if not out.parent.is_dir():
        raise ScoringError(f"-o {out}: there is no folder {out.parent}.")
    return out


def _find_model(
    run: str | Path, root: str | Path | None, parts: dict[str, Any]
) -> tuple[Model, dict[str, Any]]:
    """The model, and the manifest of its run where its run folder is at hand."""
    folder = Path(run)
    if not folder.is_dir():
        project = given_root(root)
        folder = project / find_run(project, str(run))["folder"]
    with own.looked_for_in(Path(root)) if root is not None else contextlib.nullcontext():
        model = load_model(folder, **parts)
    if model.engine in WRONG_ON_PURPOSE:
        raise ScoringError(
            f"The model in {folder} was trained by {model.engine!r}, on a wrong gradient on purpose: nothing "
            "to score with."
        )
    return model, _manifest(folder / MANIFEST)


def _manifest(manifest: Path) -> dict[str, Any]:
    """What a run's manifest says; nothing where there is no manifest, as in a model folder."""
    if not manifest.exists():
        return {}
    try:
        content = json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ScoringError(
            f"{manifest} cannot be read: {error}. Give the run's model/ folder instead."
        ) from None
    return content if isinstance(content, dict) else {}


def _entry(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """What a manifest says under a name: `parameters`, or `data`, the data card.

    Nothing where it does not.
    """
    entry = manifest.get(name)
    return entry if isinstance(entry, dict) else {}


class _NewTexts:
    """How many rows hold no category of training, by column of text, and some of their texts."""

    def __init__(self, feature_map: FeatureMap):
        self.map = feature_map
        self.rows = dict.fromkeys(feature_map.categories, 0)
        self.examples: dict[str, dict[str, None]] = {name: {} for name in feature_map.categories}

    def add(self, frame: pd.DataFrame) -> None:
        for name, (rows, texts) in self.map.unknown(frame).items():
            self.rows[name] += int(rows.sum())
            self.examples[name] |= dict.fromkeys(texts[:EXAMPLES])

    def refuse_spelling(self, rows: int) -> None:
        """Raise DataError as `FeatureMap.refuse_spelling`, for columns without a single known text."""
        self.map.refuse_spelling({n: self.examples[n] for n, count in self.rows.items() if count == rows})

    def sentences(self, rows: int) -> tuple[str, ...]:
        """See `Scores.new_texts`."""
        return tuple(
            f"{name}: {count:,} of {rows:,} rows hold no text that training had more than once, such as "
            f"{next(iter(self.examples[name]))[:40]!r}"
            for name, count in self.rows.items()
            if count > 2 * self.map.rare_share(name) * rows
        )


def _score_rows(
    scorer: Model | Surrogate, model: Model, source: Scorable, progress: bool
) -> tuple[np.ndarray, np.ndarray | str, np.ndarray | None, _NewTexts]:
    """Logits of every row, (N,); the labels as 0 and 1, (N,), or why there are none; which rows are of an
    attack type that training never saw, (N,), None where the table has no types; and the new texts.
    """
    needed, absent = model.feature_map.needed, frozenset(model.feature_map.missing.values)
    labels = [name for name in (source.label, source.attack) if name is not None]
    wanted = list(dict.fromkeys([*needed, *labels]))
    logits, truth, new, done = [], Truth(source), list[np.ndarray](), 0
    texts = _NewTexts(model.feature_map)
    numeric, worded = set[str](), set[str]()  # columns of text in training with a number here, with text here
    with tqdm(
        total=source.rows, unit="row", unit_scale=True, desc="scoring", delay=2, disable=not progress
    ) as bar:
        for batch in source.batches(wanted):
            cells = {
                name: clean_column(column, name, absent if name in needed else frozenset())
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            columns = {name: cleaned.values for name, cleaned in cells.items()}
            refuse_header_rows(source, columns, done)
            for name in model.feature_map.categories:
                if cells[name].texts is not None:
                    worded.add(name)
                elif np.isfinite(columns[name]).any():
                    numeric.add(name)
            truth.add(None if source.label is None else columns[source.label])
            if source.attack is not None:
                new.append(~np.isin(columns[source.attack].astype(str), source.label_rule.trained))
            for start in range(0, batch.num_rows, BLOCK):
                frame = pd.DataFrame({name: columns[name][start : start + BLOCK] for name in needed})
                try:
                    X = model.feature_map.transform(frame)
                except DataError as error:
                    row, why = _first_wrong(model, frame, error)
                    raise DataError(f"{source.name}, {source.place(done + row)}: {why}") from None
                texts.add(frame)
                logits.append(scorer.logits_of_features(X))
                done += len(frame)
                bar.update(len(frame))
    if not done:
        raise DataError(f"{source.name} has a header and no rows.")
    model.feature_map.refuse_changed(sorted(numeric - worded))
    texts.refuse_spelling(done)
    return np.concatenate(logits), truth.result(), np.concatenate(new) if new else None, texts


def _first_wrong(model: Model, frame: pd.DataFrame, why: DataError) -> tuple[int, DataError]:
    """The first row that the feature map refuses, and what it says of the rows up to there."""
    good, bad = 0, len(frame)  # so many rows from the start pass, and so many do not
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            model.feature_map.transform(frame[:middle])
            good = middle
        except DataError as error:
            bad, why = middle, error
    return bad - 1, why


def _write_parquet(frame: pd.DataFrame, path: Path, about: dict[str, Any]) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pa.parquet.write_table(table.replace_schema_metadata({"qnb": json.dumps(plain(about))}), path)


def _write_csv(frame: pd.DataFrame, path: Path, about: dict[str, Any]) -> None:
    frame.to_csv(path, index=False)  # Python's shortest digits, which read back exactly


WRITERS = {".parquet": _write_parquet, ".csv": _write_csv}


def _publish(frame: pd.DataFrame, out: Path, about: dict[str, Any]) -> None:
    """Write under a temporary name, then give it its own by a hard link, which fails where a file has that
    name already.
    """
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        WRITERS[out.suffix.lower()](frame, temporary, about)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.link(temporary, out)
    except FileExistsError:
        raise ScoringError(
            f"-o {out}: was made by another process meanwhile; nothing is overwritten. Name another file."
        ) from None
    except OSError as error:
        raise ScoringError(f"-o {out}: cannot be written ({error.strerror or error}).") from None
    finally:
        with contextlib.suppress(OSError):  # a read-only file system, which the error is about
            temporary.unlink(missing_ok=True)


def _synthetic(model: Model, source: Scorable) -> str | None:
    if source.synthetic:
        return f"SYNTHETIC data: {source.name} capture"
    trained = model.about.get("synthetic")
    return f"The model was trained on SYNTHETIC data ({model.about.get('data')})" if trained else None
