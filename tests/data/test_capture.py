"""The bundled capture: format, shares, determinism, and each leak on and off."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from qnb.config import LEAKS
from qnb.data.capture import ATTACK_COUNTS, AUTHORS_DROP, EDGE_COLUMNS, TWO_ZEROS, Difficulty, generate_capture
from qnb.errors import ParameterError

ROWS = 20_000


@pytest.fixture(scope="module")
def leaky():
    return generate_capture(ROWS, seed=1)


@pytest.fixture(scope="module")
def clean():
    return generate_capture(ROWS, seed=1, leaks=())


def auc(labels, values) -> float:
    """Of one column by itself, whichever way it points."""
    area = roc_auc_score(labels, values)
    return max(area, 1 - area)


def test_columns_and_shares(leaky):
    frame, sessions = leaky
    assert tuple(frame.columns) == EDGE_COLUMNS and len(EDGE_COLUMNS) == 63 and len(set(EDGE_COLUMNS)) == 63
    assert len(AUTHORS_DROP) == 15 and set(AUTHORS_DROP) < set(EDGE_COLUMNS)
    assert len(frame) == len(sessions) == ROWS
    assert ((frame["Attack_type"] != "Normal") == frame["Attack_label"]).all()
    assert not frame.isna().any().any()


@pytest.mark.parametrize("leaks", [(), LEAKS])
def test_real_proportions(leaks):
    frame, _ = generate_capture(ROWS, leaks=leaks)
    counts = frame["Attack_type"].value_counts()
    total = sum(ATTACK_COUNTS.values())
    assert total == 157_800
    for name, count in ATTACK_COUNTS.items():
        assert abs(counts[name] - ROWS * count / total) < 1
    assert frame["Attack_label"].mean() == pytest.approx(0.846, abs=1e-4)


def test_same_seed_same_capture_other_seed_another(leaky):
    pd.testing.assert_frame_equal(generate_capture(ROWS, seed=1)[0], leaky[0])
    assert not generate_capture(ROWS, seed=2)[0]["tcp.len"].equals(leaky[0]["tcp.len"])


def test_values_are_written_as_in_the_real_file(leaky):
    frame, sessions = leaky
    assert frame["frame.time"].str.fullmatch(r" 2021 \d\d:[0-5]\d:[0-5]\d\.\d{9} ").all()
    arp = frame["arp.opcode"] > 0
    assert arp.any() and (frame.loc[arp, "ip.src_host"] == "0").all() and (frame.loc[~arp, "ip.src_host"] != "0").all()
    assert (frame.loc[arp, "arp.src.proto_ipv4"] != "0").all()
    body = frame["http.file_data"]
    assert body.str.contains("\n").any() and body.str.contains(",").any() and body.str.contains('"').any()
    assert ((frame["tcp.connection.syn"] == 1) == (frame["tcp.flags"] == 2)).all()
    clock = frame["frame.time"].str.extract(r"(\d\d):(\d\d):(\d\d\.\d+)").astype(float)
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
    assert (seconds >= sessions["capture.start"] - 1e-5).all() and (seconds <= sessions["capture.end"] + 1e-5).all()


def test_formatting_leak(leaky, clean):
    frame, _ = leaky
    for name in TWO_ZEROS:
        assert set(frame.loc[frame["Attack_label"] == 0, name]) & {"0", "0.0"} == {"0"}
        assert set(frame.loc[frame["Attack_label"] == 1, name]) & {"0", "0.0"} == {"0.0"}
        assert "0.0" not in set(clean[0][name])


def test_identifiers_leak(leaky, clean):
    for (frame, _), at_least, at_most in ((leaky, 0.65, 1), (clean, 0.5, 0.53)):
        tcp = frame[frame["tcp.srcport"] > 0]
        for name in ("tcp.ack_raw", "tcp.srcport"):
            assert at_least < auc(tcp["Attack_label"], tcp[name]) <= at_most, name
        ip = frame[frame["ip.src_host"] != "0"]
        share = ip.groupby("ip.src_host")["Attack_label"].transform("mean")
        assert at_least < auc(ip["Attack_label"], share) <= max(at_most, 0.55)


def test_sessions_leak(leaky, clean):
    def purity(frame, sessions):
        groups = frame["Attack_label"].groupby(sessions["capture.session"])
        return (groups.mean() - 0.5).abs().mul(2).mul(groups.size()).sum() / len(frame)

    assert purity(*leaky) > 0.9
    assert purity(*clean) == pytest.approx(2 * 0.846 - 1, abs=0.02)  # as pure as the whole
    between = []
    for frame, sessions in (generate_capture(ROWS, seed=3, leaks=("sessions",)), generate_capture(ROWS, seed=3, leaks=())):
        one = (frame["tcp.len"] > 0) & (frame["Attack_type"] == "Normal")
        by_session = frame["tcp.len"][one].groupby(sessions["capture.session"][one])
        between.append(by_session.mean()[by_session.size() > 30].std() / frame["tcp.len"][one].std())
    assert between[0] > 0.5 > 3 * between[1]


def test_duplicates_leak(leaky, clean):
    frame, _ = leaky
    assert frame.duplicated().sum() == 100  # a seventh of 3.5 %
    assert frame.drop(columns=list(AUTHORS_DROP)).duplicated().sum() == 700
    assert not clean[0].drop(columns=list(AUTHORS_DROP)).duplicated().any()


def test_drift_leak():
    slopes = []
    for leaks in (("drift",), ()):
        frame, sessions = generate_capture(ROWS, seed=0, leaks=leaks)
        tcp = frame["tcp.len"] > 0
        slopes.append(np.corrcoef(sessions["capture.start"][tcp], frame["tcp.len"][tcp])[0, 1])
    assert slopes[0] > 0.1 and abs(slopes[1]) < 0.03


def test_no_single_feature_separates(clean):
    frame, _ = clean
    numeric = frame.drop(columns=list(AUTHORS_DROP)).select_dtypes("number").drop(columns="Attack_label")
    assert max(auc(frame["Attack_label"], numeric[c]) for c in numeric) < 0.85


@pytest.mark.parametrize("leaks", [(leak,) for leak in LEAKS])
def test_each_leak_alone_runs(leaks):
    assert len(generate_capture(1000, leaks=leaks)[0]) == 1000


def test_the_difficulty_moves_what_it_says():
    def tcp_len(**difficulty):
        frame, _ = generate_capture(20_000, seed=1, leaks=(), difficulty=Difficulty(**difficulty))
        return frame.loc[frame["tcp.len"] > 0].groupby("Attack_label")["tcp.len"]

    logs = {name: tcp_len(**of).apply(lambda v: np.log(v).agg(["mean", "std"])) for name, of in {
        "standard": {}, "no push": {"attack_push": 0.0}, "no ring": {"attack_ring": 0.0},
    }.items()}  # fmt: skip
    shift = {name: of[1]["mean"] - of[0]["mean"] for name, of in logs.items()}
    # tcp.len grows by 0.2 a unit of size; the push moves size by 2, the ring spreads it and is centred on the whole
    assert shift["standard"] - shift["no push"] == pytest.approx(0.2 * 2.0, abs=0.02)
    assert logs["no ring"][1]["std"] == pytest.approx(logs["no ring"][0]["std"], rel=0.05)
    assert logs["standard"][1]["std"] > 2 * logs["standard"][0]["std"]


def test_the_share_of_attacks_is_exact_and_their_types_keep_their_own():
    frame, _ = generate_capture(10_000, seed=1, leaks=(), difficulty=Difficulty(attack_share=0.5))
    assert frame["Attack_label"].sum() == 5000
    counts = frame["Attack_type"].value_counts()
    assert counts["DDoS_UDP"] / 5000 == pytest.approx(14498 / 133499, abs=2e-4)


def test_bad_arguments():
    with pytest.raises(ParameterError, match=r"Unknown leak 'sesions'\. Did you mean 'sessions'\?"):
        generate_capture(leaks=("sesions",))
    with pytest.raises(ParameterError, match="999 rows is too small"):
        generate_capture(rows=999)
