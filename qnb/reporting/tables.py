"""The tables and sentences of a report: configuration, data, gradient check, result and baselines."""

from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from qnb.config import StrictConfig
from qnb.core.gate import GateReport
from qnb.files import CHECKPOINT, HISTORIES, HISTORY, RESULTS
from qnb.runs.folder import MANIFEST, METRICS, PARAMS, Run
from qnb.runs.provenance import commit_name
from qnb.runs.summary import interval_of
from qnb.training.baselines import NAMES
from qnb.training.metrics import Row
from qnb.training.train import TrainResult


def asked(config: StrictConfig, blocks: int = 3) -> Styler:
    """All parameters with their values, in `blocks` columns of pairs.

    A value that differs from its default is followed by it; a parameter without effect is marked as such.
    """
    rows = [(name, _value(config, name)) for name, _ in config]
    height = -(-len(rows) // blocks)
    rows += [("", "")] * (height * blocks - len(rows))
    columns: dict[str, tuple[str, ...]] = {}
    for k in range(blocks):
        names, values = zip(*rows[k * height : (k + 1) * height], strict=True)
        columns |= {("parameter" + " " * k): names, ("value" + " " * k): values}
    return _left(pd.DataFrame(columns)).hide(axis="index")


def _value(config: StrictConfig, name: str) -> str:
    value = getattr(config, name)
    if config.changed(name):
        return f"{value}   (default: {_default(config, name)})"
    return "no effect here" if config.idle(name) else str(value)


def changed(config: StrictConfig) -> dict[str, Any]:
    """The parameters that differ from their defaults."""
    return {name: value for name, value in config if config.changed(name)}


def _default(config: StrictConfig, name: str) -> Any:
    return type(config).model_fields[name].get_default(call_default_factory=True)


def _left(table: pd.DataFrame) -> Styler:
    """The table as pandas' Styler, text to the left."""
    return Styler(table, cell_ids=False).set_table_styles(
        [{"selector": "th, td", "props": [("text-align", "left")]}]
    )


def plain_table(frame: pd.DataFrame) -> Styler:
    """A table without its index, left-aligned."""
    return _left(frame).hide(axis="index")


MISSING = {  # in words
    "refuse": "refused",
    "median": "the median of the training rows; in text a category",
    "indicator": "the median of the training rows, and an input that says where; in text a category",
}


def data_card(card: dict[str, Any]) -> Styler:
    """The data card as a table: source, rows kept and dropped with the reasons, prior, attack types,
    duplicates, the split and what appears on more than one of its sides.
    """
    return _left(pd.DataFrame(card_rows(card).items(), columns=["data", "value"])).hide(axis="index")


def card_rows(card: dict[str, Any]) -> dict[str, str]:
    """The data card in words: by title, the value."""
    kind = (
        "SYNTHETIC (drawn by a generator, not measured on any network)" if card["synthetic"] else "measured"
    )
    rows = {
        "source": f"{card['source']} — {kind}",
        **{f"caution {k}": text for k, text in enumerate(card.get("cautions", []), 1)},
        **_data_set_rows(card),
        "rows read": f"{card['rows_read']:,}",
        "rows kept": f"{card['rows_kept']:,}",
    }
    if card.get("cache"):
        rows["cleaned table in the cache"] = card["cache"]
    rows |= {f"rows left out: {reason}": f"{count:,}" for reason, count in card["dropped"].items()}
    if "exact duplicates" not in card["dropped"]:
        rows["exact duplicates, kept"] = f"{card['duplicates']:,}"
    rows |= {"feature columns": str(card["columns"])} | _columns_left_out(card)
    rows |= {
        **_types(card["types"]),
        **_missing(card),
        "label": f"{card['label']}{_label_means(card)}",
        "prior (share of positives)": f"{card['prior']:.4f}",
    }
    if card["attack_types"]:
        rows["attack types"] = _counted(card["attack_types"])
    rows |= _test_file_rows(card) | (_split_rows(card) if "rule" in card else {})
    rows |= {f"note {k}": note for k, note in enumerate(card["notes"], 1)} | {
        "fingerprint": card["fingerprint"][:16]
    }
    return rows


def _data_set_rows(card: dict[str, Any]) -> dict[str, str]:
    """Which known data set it is; nothing for another table."""
    data_set = card.get("data_set")
    if not data_set:
        return {}
    return {
        "recognised as": f"{data_set['name']}: {data_set['citation']}",
        "to be had from": data_set["source"],
        "official split": data_set["official_split"],
    }


def _columns_left_out(card: dict[str, Any]) -> dict[str, str]:
    """The columns that are no features, by the reason."""
    reasons: dict[str, list[str]] = {}
    for column, why in card["why_dropped"].items():
        reasons.setdefault(why, []).append(column)
    listed = {f"columns left out: {why}": ", ".join(columns) for why, columns in reasons.items()}
    return listed or {"columns left out": "none"}


def _label_means(card: dict[str, Any]) -> str:
    """Which of its values count as 1, where it is not 0 and 1 already."""
    if card["negative"]:
        return f" (positive: all but {' or '.join(map(repr, card['negative']))})"
    return "" if card["positive"] is None else f" (positive: {card['positive']!r})"


def _test_file_rows(card: dict[str, Any]) -> dict[str, str]:
    """What stands in the official test file."""
    test = card.get("test")
    if not test:
        return {}
    rows = {"test file": f"{test['source']}: {test['rows_kept']:,} rows, prior {test['prior']:.4f}"}
    if test["attack_types"]:
        rows["attack types of the test file"] = _counted(test["attack_types"])
        rows["of these, not in the other file"] = _counted(test["unseen_types"]) or "none"
    return rows


def _types(types: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Every feature column under its type."""
    listed: dict[str, list[str]] = {}
    for name, column in types.items():
        words = ""
        if column["type"] == "text":
            numbers = f", {column['numbers']:,} rows are numbers" if column["numbers"] else ""
            words = f" ({column['values']} distinct texts{numbers})"
        listed.setdefault(column["type"], []).append(name + words)
    kinds = {"number": "numbers", "text": "text (categories)", "empty": "without any value"}
    return {
        f"columns: {words}": f"{len(listed[kind])}: {', '.join(listed[kind])}"
        for kind, words in kinds.items()
        if kind in listed
    }


def _missing(card: dict[str, Any]) -> dict[str, str]:
    """What becomes of missing values, and how many there are in each column: in the file, then on the sides
    of the split.
    """
    absent = {name: column["missing"] for name, column in card["types"].items() if "missing" in column}
    rows = {"missing values": MISSING[card["missing"]]} if absent or card["missing"] != "refuse" else {}
    if card["missing_values"]:
        rows["values that stand for none"] = ", ".join(map(repr, card["missing_values"]))
    for name, count in absent.items():
        sides = card.get("missing_of_sides", {}).get(name, {})
        drawn = "".join(f"; {side} {missing:,}" for side, missing in sides.items())
        rows[f"missing in {name}"] = f"{count:,} rows of the file{drawn}"
    return rows


def _split_rows(card: dict[str, Any]) -> dict[str, str]:
    """The rows of the data card that `qnb.data.overlap.split_card` speaks of."""
    rows = {f"split: {card['split']}": card["rule"]}
    for name, side in card["sides"].items():
        share = side["rows"] / card["rows_kept"]
        asked = "the test file" if side["asked"] is None else f"{share:.1%}, target {side['asked']:.1%}"
        rows[f"{name} rows"] = f"{side['rows']:,} ({asked}), prior {side['prior']:.4f}"
    rows |= {f"rows on no side: {reason}": f"{count:,}" for reason, count in card["left_out"].items()}
    if card["split"] == "attack":
        rows |= {f"attack types, {name}": _counted(types) for name, types in card["types_of_sides"].items()}
    groups = card["groups"]
    if groups:
        sides = ", ".join(f"{groups[name]} in {name}" for name in card["sides"])
        rows["groups on two sides or more"] = (
            f"{groups['on_two_sides']} of {groups['count']} ({', '.join(groups['columns'])}; {sides})"
        )
    across = card["duplicates_across"]
    for pair, exact in across["exact"].items():
        early, late = pair.split("-")
        other = across["other_label"][pair]
        rows[f"{late} rows that also appear in {early}"] = (
            f"{exact:,} exact ({other:,} with the other label), {across['near'][pair]:,} near"
        )
    return rows | {"near means": across["near_rule"]}


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def gate_verdict(report: GateReport | None) -> Styler:
    """The gradient check, one row per parameter group: status, directional derivative expected (finite
    differences) and found (gradient), relative error; "NOT CHECKED" for None.
    """
    if report is None:
        return _left(pd.DataFrame({"status": ["NOT CHECKED"]}, index=["every group"]))
    table = pd.DataFrame([{"group": name} | vars(check) for name, check in report.groups.items()])
    columns = {
        "expected": "expected (differences)",
        "found": "found (gradient)",
        "relative_error": "relative error",
    }
    table = table.rename(columns=columns | {"where": "measured at"})
    return (
        _left(table)
        .hide(axis="index")
        .format(
            {"expected (differences)": "{:.6g}", "found (gradient)": "{:.6g}", "relative error": "{:.1e}"},
            na_rep="",
        )
    )


RESULT = {  # titles of the table of results, and their figures
    "val AUC": "val_auc",
    "test AUC": "test_auc",
    "test loss (nats)": "test_loss",
    "Brier score": "test_brier",
    "ECE": "test_ece",
    "balanced accuracy": "test_bacc",
    "F1": "test_f1",
    "precision": "test_precision",
    "recall": "test_recall",
}


def results(metrics: Row) -> Styler:
    """Results of the circuit and of the baselines on the same features: AUC with its interval, loss,
    calibration, and thresholded metrics at each model's own threshold.

    The last row is the trivial model, which predicts every row positive with the prior as its probability.

    Args:
        metrics: the content of metrics.json.
    """
    models = {"circuit": metrics} | {NAMES[name]: b for name, b in metrics["baselines"].items()}
    if "trivial" in metrics:
        models["trivial: all positive"] = metrics["trivial"]
    rows = {
        name: {title: model.get(key, np.nan) for title, key in RESULT.items()}
        for name, model in models.items()
    }
    table = pd.DataFrame(rows).T
    table.insert(2, "95 % interval", [interval_of(model) for model in models.values()])
    return _left(table).format("{:.4f}", subset=[c for c in table if c != "95 % interval"], na_rep="")


def twin_sentence(against: Row, twin: Row, over: str) -> str:
    """The circuit against its dequantised twin, in one sentence.

    Args:
        against: as `qnb.statistics.auc.against` returns it.
        twin: the baseline's entry in metrics.json: order, features, C and, if there is one, limited.
        over: what the interval is taken over, in words.
    """
    difference, low, high = (f"{against[name]:+.4f}" for name in ("difference", "low", "high"))
    return (
        f"**{DECISIONS[against['decision']]} its dequantised twin**, a logistic regression on "
        f"{described(twin)}: {difference} in test AUC, 95 % interval {low} to {high} over {over}; a "
        f"difference inside ±{against['min_effect']:g} would not matter."
    )


def described(twin: Row) -> str:
    """The twin's features, in words."""
    wires = "single wires" if twin["order"] == 1 else f"up to {twin['order']} wires"
    limited = f"; {twin['limited']}" if twin.get("limited") else ""
    return (
        f"the encoder's sines and cosines of {wires} ({twin['features']:,} features, C = {twin['C']:g}"
        f"{limited})"
    )


DECISIONS = {
    "above": "The circuit is above",
    "below": "The circuit is below",
    "equivalent": "The circuit is equivalent to",
    "undecided": "The circuit is not shown to differ from",
}


def interval_note(metrics: Row) -> str:
    """What the intervals of a result cover, in a sentence; "" without intervals."""
    interval = metrics.get("test_auc_interval")
    if not interval:
        return ""
    counts = (
        f"{interval['units_of_class_1']:,} with positives and {interval['units_of_class_0']:,} with negatives"
    )
    method = {"exact": " (exact, as the scores separate the classes)"}.get(interval["method"], "")
    return (
        f"Intervals are over {resampled(metrics)}{method}, {counts}: what other test rows could give, not "
        "another training."
    )


def resampled(metrics: Row) -> str:
    """What the intervals of a run are taken over, in words."""
    return METHODS.get(metrics["test_auc_interval"]["method"], "test rows")


METHODS = {"DeLong": "test rows", "DeLong over groups": "whole groups of test rows"}


def data_note(card: dict[str, Any]) -> str:
    """The data in one line, for the foot of every figure."""
    rows = f"{card['rows_kept']:,} rows, {card['prior']:.1%} positive"
    return (
        f"SYNTHETIC data: {card['source']} capture, {rows}"
        if card["synthetic"]
        else f"Data: {card['source']}, {rows}"
    )


def training_sentence(result: TrainResult) -> str:
    """How the training went, in words."""
    m = result.metrics
    early = ", stopped early" if m["stopped_early"] else ""
    elsewhere = "".join(f" **Resumed: {sentence}.**" for sentence in m.get("elsewhere", ()))
    diverged = f" **Diverged: {m['diverged']}.**" if m.get("diverged") else ""
    return (
        f"{m['epochs_run']} epochs{early}; best validation {result.config.val_objective} at epoch "
        f"{m['best_epoch']}. {m['median_samples_per_s']:,.0f} samples/s (median over epochs), compiled in "
        f"{m['compile_seconds']:.1f} s.{diverged}{elsewhere}"
    )


def verdict_sentence(metrics: Row) -> str:
    """The result in a few sentences: test AUC with its interval, the baselines, and the twin."""
    interval = f" (95 % interval {interval_of(metrics)})" if interval_of(metrics) else ""
    others = [f"{b['test_auc']:.4f} for {NAMES[name]}" for name, b in metrics["baselines"].items()]
    beside = f", against {', '.join(others)}" if others else ""
    twin = metrics["baselines"].get("twin")
    parts = [
        f"**Test AUC {metrics['test_auc']:.4f}**{interval}{beside}.",
        twin_sentence(metrics["against_twin"], twin, resampled(metrics)) if twin else "",
        interval_note(metrics),
    ]
    text = " ".join(part for part in parts if part)
    return text + _of_test_file(metrics)


def _of_test_file(metrics: Row) -> str:
    """How the test file compares with validation rows, and what unseen attack types scored; empty without
    both.
    """
    text = ""
    if metrics.get("test_file"):
        gap = metrics["test_auc"] - metrics["val_auc"]
        text = (
            f" **The test is a file of its own, {metrics['test_file']}: its AUC differs by {gap:+.4f} from "
            f"the {metrics['val_auc']:.4f} of the validation rows**, which come from the file that trained."
        )
    unseen = metrics.get("test_auc_unseen_types")
    if unseen is not None:
        interval = interval_of(metrics, "test_auc_unseen_types")
        within = f" (95 % interval {interval})" if interval else ""
        text += f" On attack types that training never saw the test AUC is {unseen:.4f}{within}."
    return text


def provenance(run: Run) -> Styler:
    """What the numbers of a run are based on, from its manifest: code, stack, data, parameters, seeds.

    The data are those whose fingerprints the manifest lists as `fingerprints`, otherwise those of its data
    card.
    """
    manifest = run.manifest
    data = manifest.get("fingerprints") or ([manifest["data"]["fingerprint"]] if manifest["data"] else [])
    data = list(dict.fromkeys(fingerprint[:16] for fingerprint in data)) or [
        "no table has a part in this run"
    ]
    seeds = manifest["parameters"] | manifest.get("model_under_test", {})
    rows = {
        "commit": _code(manifest["git"]),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
        f"data fingerprint{'s' if len(data) > 1 else ''}": ", ".join(data),
        "hash of the parameters": manifest["hash"],
        "seeds": ", ".join(
            f"{name} {value}" for name, value in seeds.items() if name.endswith(("seed", "seeds"))
        ),
    }
    if manifest.get("launched_with"):
        rows["`qnb run` itself had"] = "; ".join(manifest["launched_with"])
    return _left(pd.DataFrame(rows.items(), columns=["made with", "value"])).hide(axis="index")


def _code(git: dict[str, Any] | None) -> str:
    """The commit that ran, whether the code differs from it, and the notebooks' if of another checkout."""
    if git is None:
        return "not under git"
    changes = {True: "", False: ", without changes", None: ", perhaps with changes"}[git["dirty"]]
    name = commit_name(git)
    text = f"{name}{changes}" if name else f"unknown: {git.get('why') or 'not under git'}"
    project = git.get("project")
    return text if project is None else f"{text}; notebooks: {_code(project)}"


def written(run: Run) -> str:
    """The files in the run folder, as a Markdown list."""
    names = {
        PARAMS: "the effective parameters, for `-f`",
        METRICS: "the figures above",
        HISTORY: "one row per epoch",
        RESULTS: "one row per arm and seed",
        HISTORIES: "one row per arm, seed and epoch",
        "model/": "the trained model, for `qnb.load_model`",
        MANIFEST: "parameters, data, stack, gate verdict, status",
        CHECKPOINT: "the state after the last epoch",
    }
    lines = [
        f"- `{name}`: {description}" for name, description in names.items() if (run.folder / name).exists()
    ]
    return "\n".join([f"Run `{run.id}`, in `executed/{run.folder.parent.name}/{run.id}/`:", "", *lines])
