"""Labels of either polarity: what the classes are called, and that swapping them says the same of the same rows."""

import numpy as np
import pandas as pd
import pytest

from qnb.data.column_roles import Reading
from qnb.data.table import read_table
from qnb.leakage import adversarial, formatting, splitting
from qnb.leakage.classes import classes_of
from qnb.leakage.raw import read_raw
from qnb.leakage.study import LeakageConfig

CARDS = {  # label values, positive, negative, a known data set -> names of the classes, which is normal
    "0 and 1 of a known data set": (["0", "1"], None, [], True, ("normal rows", "attacks"), 0),
    "0 and 1 of another table": (["0", "1"], None, [], False, ("rows labelled '0'", "rows labelled '1'"), None),
    "attacks are positive": (["normal", "neptune"], "neptune", [], False, ("normal rows", "attacks"), 0),
    "all but normal": (["normal", "neptune", "smurf"], None, ["normal"], False, ("normal rows", "attacks"), 0),
    "normal is positive": (["Normal", "XSS", "MITM"], "Normal", [], True, ("attacks", "normal rows"), 1),
    "all but an attack": (["BENIGN", "DDoS"], None, ["DDoS"], True, ("attacks", "normal rows"), 1),
    "one attack of several": (["Normal", "XSS", "MITM"], "MITM", [], True, ("rows labelled 'Normal' or 'XSS'", "rows labelled 'MITM'"), None),
    "a number": (["3", "4"], 3, [], False, ("rows labelled '4'", "rows labelled '3'"), None),
    "true": (["true", "0"], True, [], False, None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CARDS)
def test_what_the_classes_are_called(case):
    values, positive, negative, known, names, normal = CARDS[case]
    card = {"label_values": dict.fromkeys(values, 9), "positive": positive, "negative": negative}
    found = classes_of(card | {"data_set": {"name": "one"} if known else None, "synthetic": False})
    assert found.normal == normal and (names is None or found.names == names)


@pytest.fixture
def path(tmp_path):
    """A table in which zeros are written `0` in normal rows and `0.0` in attacks."""
    rng, attack = np.random.default_rng(0), np.arange(800) % 4 == 0
    frame = pd.DataFrame({"a": rng.normal(attack), "zero": np.where(attack, "0.0", "0")})
    frame.loc[::7, "zero"] = "5"
    frame.assign(label=np.where(attack, "attack", "normal")).to_csv(tmp_path / "t.csv", index=False)
    return str(tmp_path / "t.csv")


def test_swapping_the_classes_says_the_same_of_the_same_rows(path):
    said, compared = [], []
    for positive in ("attack", "normal"):
        raw, table = (read(path, positive) for read in (raw_of, table_of))
        classes = classes_of(table.card)
        said.append(formatting.judge_forms(formatting.examine(raw.columns, raw.y, raw.source.features), classes).sentence)
        rules = splitting.plan(table, {"random": LeakageConfig(data=path, label="label", positive=positive).training()})
        (one,) = adversarial.examine(table, rules, classes=classes)
        compared.append(one.rows)
        assert one.of == "normal traffic"
    for sentence in said:
        assert (
            "in 0% of normal rows, 100% of attacks" in sentence
            or "in 100% of attacks, 0% of normal rows" in sentence
            or "in 100% of normal rows, 0% of attacks" in sentence
            or "in 0% of attacks, 100% of normal rows" in sentence
        )
        assert ("'0.0' in 0% of attacks" not in sentence) and ("'0' in 0% of normal rows" not in sentence)
    assert min(compared) > 400 and abs(compared[0] - compared[1]) < 10  # normal rows, three in four, both times


def raw_of(path, positive):
    return read_raw(path, Reading(label="label", positive=positive))


def table_of(path, positive):
    return read_table(path, label="label", positive=positive)
