"""`qnb score`: the stored metrics come back exactly, row for row; what is missing is named; nothing is overwritten."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from qnb import cli, scoring
from qnb.config import TrainConfig
from qnb.data.capture import generate_capture
from qnb.data.prepare import prepare
from qnb.data.splits import split_table
from qnb.data.table import load_table
from qnb.data.values import DataError
from qnb.runs.folder import MANIFEST, create
from qnb.runs.project import RunError
from qnb.scoring import ScoringError, score, told
from qnb.training import metrics
from qnb.training.model import ModelError, load_model
from qnb.training.train import train

SMALL = {"sample": None, "wires": 2, "layers": 1, "epochs": 1, "fixed_num_batches": 8}
SIDES = ("auc", "sep", "loss", "bacc", "f1", "precision", "recall", "pred_pos_rate")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with a raw capture in Edge-IIoTset's format, exact duplicates in it, and the number of each row."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "qnb"\n')
    frame, _ = generate_capture(rows=2001, seed=1)
    frame.assign(row=np.arange(len(frame))).to_csv(folder / "edge.csv", index=False)
    return folder


def finished(root, **changes):
    """A run as train.ipynb leaves it."""
    config = TrainConfig(**SMALL | {"data": str(root / "edge.csv"), "engine": "exact"} | changes)
    run, prepared = create(root, "train", config), prepare(config)
    run.note(data=prepared.card)
    result = train(config, prepared, folder=run.folder, progress=False)
    result.save(run.path("model"))
    run.finish(result.metrics)
    return run


@pytest.fixture(scope="module")
def exact(root):
    return finished(root)


@pytest.fixture(scope="module")
def catalyst(root):
    return finished(root, engine="catalyst")


@pytest.mark.parametrize("engine", ["exact", "catalyst"])
def test_scoring_the_training_table_gives_the_stored_metrics_back(root, engine, request, tmp_path, monkeypatch):
    run = request.getfixturevalue(engine)
    monkeypatch.setattr(scoring, "BLOCK", 97)  # rows stand beside other rows than in training
    found = score(run.id, str(root / "edge.csv"), tmp_path / "scores.parquet", root=root, progress=False)
    assert found.rows == 2001 and found.engine == engine
    table = load_table(run.config)
    assert table.card["dropped"]["exact duplicates"] > 50  # left out of training, not of the scores
    rows = table.groups["row"].to_numpy().astype(int)
    scored, stored = pd.read_parquet(tmp_path / "scores.parquet"), json.loads((run.folder / "metrics.json").read_text())
    for side in ("val", "test"):
        at = getattr(split_table(table, run.config), side)
        logits = scored["logit"].to_numpy()[rows[at]]
        threshold = metrics.Threshold(stored["threshold"], stored["degen"], "")
        again = metrics.evaluate(logits, table.y[at], threshold)
        assert {key: again[key] for key in SIDES} == {key: stored[f"{side}_{key}"] for key in SIDES}
        np.testing.assert_array_equal(scored["decision"].to_numpy()[rows[at]], logits >= stored["threshold"])
    raw = pd.read_csv(root / "edge.csv", dtype=str, keep_default_na=False)
    assert found.auc == roc_auc_score(raw["Attack_label"].astype(int), scored["logit"])
    np.testing.assert_allclose(scored["probability"], 1 / (1 + np.exp(-scored["logit"])), rtol=1e-12)


def test_a_row_does_not_depend_on_the_rows_beside_it(root):
    """With 4 wires and 2 layers the exact engine has another path for a few rows than for many; they round differently."""
    model = load_model(finished(root, wires=4, layers=2).folder)
    X = np.random.default_rng(0).uniform(0, np.pi, (5000, 4))
    whole = model.logits_of_features(X)
    for rows in (slice(0, 1), slice(7, 14), slice(4090, 4100), slice(4999, 5000)):
        np.testing.assert_array_equal(model.logits_of_features(X[rows]), whole[rows])


def test_a_moved_model_scores_the_same_in_a_new_process(root, exact, tmp_path):
    here = score(exact.folder, str(root / "edge.csv"), tmp_path / "here.csv", progress=False)
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(exact.folder / "model"), str(moved)], check=True)
    command = [str(Path(sys.executable).parent / "qnb"), "score", str(moved), str(root / "edge.csv"), "-o", "there.parquet"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert (
        told.startswith("scored  2,001 rows with engine 'exact'\n")
        and f"AUC {here.auc:.4f} (95 % interval {here.auc_interval.low:.4f} to" in told
    )
    there = pd.read_parquet(tmp_path / "there.parquet")
    pd.testing.assert_frame_equal(pd.read_csv(here.path, dtype={"decision": "int8"}), there, check_exact=True)
    about = json.loads(pq.read_schema(tmp_path / "there.parquet").metadata[b"qnb"])
    assert about["engine"] == "exact" and about["threshold"] == here.threshold and about["model"]["label"] == "Attack_label"


def test_attack_types_that_training_never_saw_have_an_auc_of_their_own(root, tmp_path):
    run = finished(root, split="attack", attack_test=("XSS",))
    found = score(run.folder, str(root / "edge.csv"), tmp_path / "scores.parquet", progress=False)
    raw = pd.read_csv(root / "edge.csv", dtype=str, keep_default_na=False)
    logits = pd.read_parquet(tmp_path / "scores.parquet")["logit"].to_numpy()
    new, normal = (raw["Attack_type"] == "XSS").to_numpy(), (raw["Attack_label"] == "0").to_numpy()
    assert found.unseen == new.sum() > 20 and f"on {new.sum()} rows of attack types that training never saw" in told(found)
    assert found.auc_unseen == pytest.approx(roc_auc_score(new[new | normal], logits[new | normal]), abs=1e-12)
    every = score(finished(root).folder, str(root / "edge.csv"), tmp_path / "every.parquet", progress=False)
    assert every.unseen == 0 and every.auc_unseen is None and "never saw" not in told(every)


@pytest.fixture
def small(root, tmp_path):
    return pd.read_csv(root / "edge.csv", dtype=str, keep_default_na=False).head(60), tmp_path / "small.csv"


def test_columns_that_are_missing_are_named_with_the_nearest(exact, small):
    frame, path = small
    a, b = load_model(exact.folder).feature_map.columns[:2]
    frame.rename(columns={a: a.upper() + "x"}).drop(columns=b).to_csv(path, index=False)
    with pytest.raises(DataError, match=rf"lacks 2 of the \d+ columns that the model takes:\n  '{a}' .is it|\n  '{b}'"):
        score(exact.folder, str(path), path.with_name("o.csv"))
    frame.iloc[:, [*range(63), 5]].to_csv(path, index=False)
    if frame.columns[5] in load_model(exact.folder).feature_map.columns:
        with pytest.raises(DataError, match="names a column twice"):
            score(exact.folder, str(path), path.with_name("o.csv"))


def test_columns_that_the_model_does_not_take_may_be_absent_and_in_any_order(exact, small, tmp_path):
    frame, path = small
    frame.to_csv(path, index=False)
    whole = score(exact.folder, str(path), tmp_path / "whole.csv", progress=False)
    needed = load_model(exact.folder).feature_map.columns
    frame[needed[::-1]].to_parquet(tmp_path / "few.parquet")
    few = score(exact.folder, str(tmp_path / "few.parquet"), tmp_path / "few.csv", progress=False)
    assert few.path.read_text() == whole.path.read_text()
    assert few.auc is None and few.without_auc == "the table has no label column"


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "without a finite number"), ("inf", "without a finite number"), ("junk", "holds text here, such as 'junk'")],
)
def test_a_value_that_cannot_be_used_is_placed(exact, small, value, message):
    frame, path = small
    name = next(
        c for c in load_model(exact.folder).feature_map.columns if c not in load_model(exact.folder).feature_map.categories
    )
    frame.loc[41, name] = value
    frame.to_csv(path, index=False)
    line = frame.head(41).to_csv(index=False).count("\n") + 1  # payloads have line ends in them
    with pytest.raises(DataError, match=rf"small.csv, line {line}: .*{name}.*{message}"):
        score(exact.folder, str(path), path.with_name("o.csv"))
    assert [p.name for p in path.parent.iterdir()] == ["small.csv"]  # nothing was left behind


@pytest.fixture(scope="module")
def gapped(root):
    """A run on a table with gaps written `?` in column b, and a column of text; and the table."""
    rng = np.random.default_rng(5)
    y = np.tile([0, 1], 200)
    frame = pd.DataFrame(rng.normal(y[:, None], 1.0, (400, 3)), columns=list("abc")).astype(str)
    frame.loc[rng.random(400) < 0.3, "b"] = "?"
    frame = frame.assign(proto=np.where(rng.random(400) < 0.3 + 0.4 * y, "tcp", "udp"), label=y)
    frame.to_csv(root / "gaps.csv", index=False)
    changes = {"data": str(root / "gaps.csv"), "label": "label", "missing": "indicator", "missing_values": ("?",)}
    return finished(root, **changes), frame


def test_the_trained_treatment_of_missing_values_is_applied(gapped, root, tmp_path):
    run, frame = gapped
    found = score(run.folder, str(root / "gaps.csv"), tmp_path / "s.csv", progress=False)
    stored, model, table = run.metrics(), load_model(run.folder), load_table(run.config)
    logits = pd.read_csv(found.path)["logit"].to_numpy()
    test = split_table(table, run.config).test
    assert roc_auc_score(table.y[test], logits[test]) == stored["test_auc"]
    assert np.array_equal(logits, model.logits(table)) and np.array_equal(logits, model.logits(frame))  # raw rows too
    other = frame.assign(a=frame["a"].where(frame.index % 3 > 0, ""))  # missing in a column that lacked none
    other.to_csv(tmp_path / "o.csv", index=False)
    score(run.folder, str(tmp_path / "o.csv"), tmp_path / "o2.csv", progress=False)
    filled = other.assign(a=other["a"].replace("", repr(model.feature_map.missing.medians["a"])))
    assert np.array_equal(pd.read_csv(tmp_path / "o2.csv")["logit"], model.logits(filled))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("a", "abc", "line 2: Column 'a' held only numbers in the training rows and holds text here, such as 'abc'"),
        ("b", "-", "line 2: Column 'b' held only numbers in the training rows and holds text here, such as '-'"),
        ("proto", "6", "Column 'proto' held text in training, such as 't?[uc][dc]?p', and holds nothing but numbers here"),
    ],
)
def test_a_column_whose_type_has_changed_is_refused(gapped, tmp_path, column, values, message):
    run, frame = gapped
    frame = frame.assign(**{column: values})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=message):
        score(run.folder, str(tmp_path / "t.csv"), tmp_path / "s.csv", progress=False)
    assert not (tmp_path / "s.csv").exists()
    with pytest.raises(DataError, match=message.removeprefix("line 2: ")):
        load_model(run.folder).logits(frame)
    with pytest.raises(DataError, match=message.removeprefix("line 2: ")):
        load_model(run.folder).surrogate().logits(frame)


def test_one_stray_cell_is_refused_in_scoring_wherever_it_stands(gapped, tmp_path):
    run, frame = gapped
    for row in (0, 57, 399):
        frame.assign(a=frame["a"].where(frame.index != row, "0x1f")).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(DataError, match=f"line {row + 2}: Column 'a' held only numbers"):
            score(run.folder, str(tmp_path / "t.csv"), tmp_path / "s.csv", progress=False)


def test_labels_that_are_no_zeros_and_ones(tmp_path, root):
    """`positive` is the model's own; where the labels cannot be read the rows are scored all the same, and the reason is given."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    frame["kind"] = np.where(frame["a"] + rng.normal(size=400) > 0, "bad", "good")
    frame.to_csv(tmp_path / "own.csv", index=False)
    run = finished(root, data=str(tmp_path / "own.csv"), label="kind", positive="bad")
    with_run = score(run.folder, str(tmp_path / "own.csv"), tmp_path / "1.parquet", progress=False)
    logits = pd.read_parquet(with_run.path)["logit"]
    assert with_run.auc == roc_auc_score(frame["kind"] == "bad", logits)
    alone = score(run.folder / "model", str(tmp_path / "own.csv"), tmp_path / "2.parquet", progress=False)
    assert alone.auc == with_run.auc
    frame[frame["kind"] == "bad"].to_csv(tmp_path / "one.csv", index=False)
    one = score(run.folder, str(tmp_path / "one.csv"), tmp_path / "3.parquet", progress=False)
    assert "one class only" in one.without_auc
    frame.assign(kind=[None, *frame["kind"][1:]]).to_csv(tmp_path / "gap.csv", index=False)
    gap = score(run.folder, str(tmp_path / "gap.csv"), tmp_path / "4.parquet", progress=False)
    assert gap.rows == 400 and "1 rows without a value" in gap.without_auc


@pytest.fixture(scope="module")
def cancer(root):
    """A model of the built-in table, and scikit-learn's own frame of it, where the target 0 is malignant."""
    frame = load_breast_cancer(as_frame=True).frame
    frame.to_csv(root / "bc.csv", index=False)
    return finished(root, data="breast_cancer", fixed_num_batches=None, epochs=4), frame, root / "bc.csv"


@pytest.mark.parametrize("place", ["", "model"])
def test_the_label_of_a_file_is_read_as_that_of_the_built_in_table_was(cancer, tmp_path, place):
    run, frame, path = cancer
    found = score(run.folder / place, str(path), tmp_path / "o.csv", progress=False)
    assert found.auc == roc_auc_score(frame["target"] == 0, pd.read_csv(found.path)["logit"]) > 0.8
    built_in = score(run.folder / place, "breast_cancer", tmp_path / "built_in.csv", progress=False)
    assert built_in.auc == pytest.approx(found.auc, abs=1e-4)


def test_a_model_that_does_not_say_how_its_label_was_read(cancer, tmp_path):
    """As models were before they kept it: with its run the data card says it, alone no label is read, and that is told."""
    run, _, path = cancer
    model = load_model(run.folder)
    old = {name: value for name, value in model.about.items() if name != "positive"}
    replace(model, about=old).save(tmp_path / "run" / "model")
    alone = score(tmp_path / "run" / "model", str(path), tmp_path / "alone.csv", progress=False)
    assert alone.rows == 569 and alone.auc is None
    assert "no AUC: the model does not say which value of 'target' counted as 1" in scoring.told(alone)
    manifest = json.loads((run.folder / MANIFEST).read_text())
    del manifest["sha256"]  # nor did runs of that time keep it
    (tmp_path / "run" / MANIFEST).write_text(json.dumps(manifest))
    assert score(tmp_path / "run", str(path), tmp_path / "run.csv", progress=False).auc > 0.8
    replace(model, about={}).save(tmp_path / "bare")
    bare = score(tmp_path / "bare", str(path), tmp_path / "bare.csv", progress=False)
    assert bare.without_auc == "the model does not name the column of its labels"


def test_the_label_is_not_offered_as_the_near_name_of_a_missing_column(cancer, tmp_path):
    run, frame, _ = cancer
    frame.drop(columns="worst area").rename(columns={"mean area": "mean areas"}).to_csv(tmp_path / "bc.csv", index=False)
    with pytest.raises(DataError) as error:
        score(run.folder, str(tmp_path / "bc.csv"), tmp_path / "o.csv", progress=False)
    assert str(error.value).splitlines()[1:] == ["  'mean area' (is it 'mean areas'?)", "  'worst area' (is it 'mean areas'?)"]


def test_built_in_tables(root, exact, tmp_path):
    config = {"data": "breast_cancer", "fixed_num_batches": 2}
    run = finished(root, **config)
    found = score(run.folder, "breast_cancer", tmp_path / "bc.parquet", progress=False)
    assert found.rows == 569 and found.auc is not None and found.note is None
    with pytest.raises(DataError, match="drawn with the seed and the leaks of a run"):
        score(exact.folder, "bundled", tmp_path / "b.parquet")


@pytest.mark.slow
def test_the_bundled_capture_is_the_one_of_the_run(root, tmp_path):
    run = finished(root, data="bundled", data_seed=2, leaks=(), sample=2000)
    found = score(run.id, "bundled", tmp_path / "b.parquet", root=root, progress=False)
    assert found.rows == 100_000 and found.note == "SYNTHETIC data: bundled capture"
    frame, _ = generate_capture(seed=2, leaks=())
    frame.head(1000).to_csv(tmp_path / "head.csv", index=False)
    head = score(run.id, str(tmp_path / "head.csv"), tmp_path / "h.parquet", root=root, progress=False)
    assert head.note == "The model was trained on SYNTHETIC data (bundled)"
    pd.testing.assert_frame_equal(pd.read_parquet(head.path), pd.read_parquet(found.path).head(1000), check_exact=True)


def test_nothing_is_overwritten(root, exact, tmp_path, monkeypatch):
    out = tmp_path / "scores.parquet"
    out.write_text("precious")
    with pytest.raises(ScoringError, match="exists already; nothing is overwritten"):
        score(exact.folder, str(root / "edge.csv"), out)
    late, rows = tmp_path / "late.csv", scoring._score_rows

    def meanwhile(*args):
        late.write_text("precious")
        return rows(*args)

    monkeypatch.setattr(scoring, "_score_rows", meanwhile)
    with pytest.raises(ScoringError, match="made by another process meanwhile"):
        score(exact.folder, str(root / "edge.csv"), late, progress=False)
    assert out.read_text() == late.read_text() == "precious" and len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_is_full_leaves_nothing(tmp_path):
    frame, limits = pd.DataFrame({"logit": np.arange(1e4)}), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        for name in ("o.parquet", "o.csv"):
            with pytest.raises(ScoringError, match=rf"{name}: cannot be written"):
                scoring._publish(frame, tmp_path / name, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("run", "table", "out", "error", "message"),
    [
        ("{run}", "{root}/edge.csv", "scores.xlsx", ScoringError, "written as .parquet or .csv; '.xlsx' was given"),
        ("{run}", "{root}/edge.csv", "no/where.csv", ScoringError, "there is no folder"),
        ("{run}", "{root}/edg.csv", "o.csv", DataError, "no such file. Did you mean 'edge.csv'"),
        (
            "{run}",
            "{root}/pyproject.toml",
            "o.csv",
            DataError,
            "a file ending in .csv, .txt, .log, .labeled, .parquet, .pq was expected",
        ),
        ("{root}/notebooks", "{root}/edge.csv", "o.csv", ModelError, "model.json is missing"),
        ("2099", "{root}/edge.csv", "o.csv", RunError, "No run '2099'"),
    ],
)
def test_what_is_refused_is_said(root, exact, tmp_path, run, table, out, error, message):
    run, table = (text.format(run=exact.folder, root=root) for text in (run, table))
    with pytest.raises(error, match=message):
        score(run, table, tmp_path / out, root=root)


def test_a_model_of_the_wrong_gradient_is_not_scored_with(root, exact, tmp_path):
    replace(load_model(exact.folder), engine="one_sample_demo").save(tmp_path / "model")
    with pytest.raises(ScoringError, match="on a wrong gradient on purpose"):
        score(tmp_path / "model", str(root / "edge.csv"), tmp_path / "o.csv")


def test_the_surrogate_on_request(root, exact, tmp_path):
    table = str(root / "edge.csv")
    engine, surrogate = (
        score(exact.id, table, tmp_path / f"{s}.csv", root=root, surrogate=s, progress=False) for s in (False, True)
    )
    assert surrogate.engine == "surrogate"
    by_surrogate, by_engine = (pd.read_csv(scores.path)["logit"] for scores in (surrogate, engine))
    np.testing.assert_allclose(by_surrogate, by_engine, atol=1e-4)
    assert (by_surrogate != by_engine).any()  # float64 against float32: it was not the engine that scored


def test_the_command_line(root, exact, tmp_path, capsys):
    arguments = ["score", exact.id, str(root / "edge.csv"), "-o", str(tmp_path / "o.parquet"), "--root", str(root)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "scored  2,001 rows with engine 'exact'" and out[-1] == f"scores  {tmp_path / 'o.parquet'}"
    assert cli.main(arguments) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert cli.main(["score", exact.id, str(root / "edge.csv")]) == 2
    assert "-o" in capsys.readouterr().err


@pytest.fixture(scope="module")
def worded(root):
    """A run on a table with a column of words, and that table."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": rng.choice(["True", "False"], 400), "a": rng.normal(size=400)})
    table["y"] = ((table["kind"] == "True") ^ (table["a"] > 1)).astype(int)
    table.to_csv(root / "worded.csv", index=False)
    return finished(root, data=str(root / "worded.csv"), label="y"), table


@pytest.mark.parametrize("spell", [str.upper, str.lower, lambda text: f"{text[0].lower()}{text[1:]}"])
def test_words_that_only_their_spelling_tells_from_training_are_refused(root, worded, tmp_path, spell):
    run, table = worded
    other = table.assign(kind=table["kind"].map(spell))
    other.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DataError, match=r"'kind' holds '(true|false|TRUE|FALSE)' where training had '(True|False)'"):
        score(run.id, str(tmp_path / "other.csv"), tmp_path / "s.csv", root=root, progress=False)
    assert not (tmp_path / "s.csv").exists()
    with pytest.raises(DataError, match="the same words in another spelling"):
        load_model(run.folder).logits(other.astype({"kind": object}))
    mixed = pd.concat([other[:5], table])  # a few are told, for the rest is known
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    said = told(score(run.id, str(tmp_path / "mixed.csv"), tmp_path / "s.csv", root=root, progress=False))
    assert "kind: 5 of 405 rows hold no text that training had more than once, such as" in said


def test_new_words_are_scored_and_told(root, worded, tmp_path):
    run, table = worded
    table.assign(kind="perhaps").to_csv(tmp_path / "new.csv", index=False)
    scores = score(run.id, str(tmp_path / "new.csv"), tmp_path / "s.csv", root=root, progress=False)
    assert "kind: 400 of 400 rows hold no text that training had more than once, such as 'perhaps'" in told(scores)
    table.to_csv(tmp_path / "known.csv", index=False)
    assert score(run.id, str(tmp_path / "known.csv"), tmp_path / "k.csv", root=root, progress=False).new_texts == ()


def test_a_file_that_cannot_be_written_nor_removed_is_one_message(root, exact, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(scoring.os, "link", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ScoringError, match=r"cannot be written \(Read-only file system\)"):
        score(exact.id, str(root / "edge.csv"), tmp_path / "s.csv", root=root, progress=False)


def test_clocks_of_any_unit_score_the_same(root, tmp_path):
    rng, stamps = np.random.default_rng(0), pd.date_range("2024-01-01", periods=300, freq="7s")
    table = pd.DataFrame({"when": stamps, "a": rng.normal(size=300), "y": np.arange(300) >= 150}).astype({"y": int})
    for unit in ("s", "ms", "us", "ns"):
        table.astype({"when": f"datetime64[{unit}]"}).to_parquet(root / f"{unit}.parquet")
    run = finished(root, data=str(root / "us.parquet"), label="y")
    found = []
    for unit in ("s", "ms", "us", "ns"):
        out = tmp_path / f"{unit}.parquet"
        score(run.id, str(root / f"{unit}.parquet"), out, root=root, progress=False)
        found.append(pd.read_parquet(out)["logit"].tolist())
    assert all(logits == found[2] for logits in found) and len(set(found[0])) > 100
