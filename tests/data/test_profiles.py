"""Known data sets: generated rows in the format of each are recognised, and read as its profile says."""

import csv
import io

import numpy as np
import pytest

from qnb.config import TrainConfig
from qnb.data.prepare import prepare
from qnb.data.profiles import PROFILES, header_of, profile_of, same
from qnb.data.table import read_table
from qnb.data.values import DataError

ROWS = 60
ATTACK = np.arange(ROWS) % 3 > 0  # rows of class 1, in every format below
ZEEK = [
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes",
    "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes",
    "resp_pkts", "resp_ip_bytes", "tunnel_parents", "label", "detailed-label",
]  # fmt: skip


def profile(name):
    (one,) = [p for p in PROFILES if p.name.startswith(name)]
    return one


def as_csv(header, rows, end="\n"):
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows([*([header] if header else []), *rows])
    return out.getvalue()


def nsl_kdd():
    rows = []
    for i, attack in enumerate(ATTACK):
        row = dict.fromkeys(profile("NSL-KDD").columns, "0.00")
        row |= {"protocol_type": ("tcp", "udp")[i % 2], "service": "http", "flag": ("SF", "REJ")[i % 4 == 0]}
        row |= {"src_bytes": str(17 * i % 29), "count": str(i % 7), "difficulty": str(i % 22)}
        rows.append(list((row | {"class": ("neptune", "smurf")[i % 2] if attack else "normal"}).values()))
    return "KDDTrain+.txt", as_csv(None, rows)


def unsw_raw():
    names = profile("UNSW").columns[:49]
    rows = []
    for i, attack in enumerate(ATTACK):
        row = dict.fromkeys(names, str(i * 31 % 17)) | {"proto": "tcp", "state": ("FIN", "CON")[i % 2], "service": "-"}
        row |= {"srcip": f"59.166.0.{i % 9}", "dstip": "149.171.126.3", "sport": "0x000b" if i == 3 else str(1000 + i)}
        row |= {"Stime": str(1421927414 + i), "Ltime": str(1421927415 + i), "attack_cat": " Fuzzers " if attack else ""}
        rows.append(list((row | {"Label": str(int(attack))}).values()))
    return "UNSW-NB15_1.csv", as_csv(None, rows)


def unsw_training_set():
    names = [
        "id", "dur", "proto", "service", "state", "spkts", "sbytes", "rate", "sttl", "dttl", "sload", "stcpb", "tcprtt",
        "smean", "ct_srv_src", "ct_state_ttl", "ct_src_ltm", "is_sm_ips_ports", "attack_cat", "label",
    ]  # fmt: skip
    rows = []
    for i, attack in enumerate(ATTACK):
        row = dict.fromkeys(names, str(i * 31 % 17)) | {"id": str(i + 1), "proto": "tcp", "service": "-", "state": "FIN"}
        rows.append(list((row | {"attack_cat": "Exploits" if attack else "Normal", "label": str(int(attack))}).values()))
    return "UNSW_NB15_training-set.csv", "\ufeff" + as_csv(names, rows)


def cic_ids2017():
    names = [c for c in profile("CIC").columns if c != "Fwd Header Length.1"]
    names.insert(names.index("Fwd Avg Bytes/Bulk"), "Fwd Header Length")
    rows = []
    for i, attack in enumerate(ATTACK):
        row = [str(i * k % 23) for k in range(len(names))]
        row[names.index("Fwd Header Length")] = row[names.index("Fwd Avg Bytes/Bulk") - 1] = str(i)
        rows.append([*row[:-1], "DDoS" if attack else "BENIGN"])
    return "Friday.pcap_ISCX.csv", as_csv([f" {name}" for name in names], rows)


def ton_iot():
    rows = [
        (str(1556245350 + 90 * i), "25-Apr-19", f" 19:{i:02d}:30 ", f"{i * 7 % 13}.5 ", ("high", " low")[i % 2], int(a),
         "ddos" if a else "normal")
        for i, a in enumerate(ATTACK)
    ]  # fmt: skip
    names = ["ts", "date", "time", "fridge_temperature", "temp_condition", "label", "type"]
    return "Train_Test_IoT_Fridge.csv", "\ufeff" + as_csv(names, rows, "\r\n")


def zeek_rows():
    for i, attack in enumerate(ATTACK):
        row = dict.fromkeys(ZEEK, str(i * 11 % 19)) | {"proto": "tcp", "service": "http", "conn_state": ("S0", "SF")[i % 2]}
        row |= {
            "ts": f"{1545404139 + i}.62",
            "uid": f"C{i:017d}",
            "id.orig_h": f"192.168.1.{i % 5}",
            "id.resp_h": "185.244.25.235",
        }
        row |= {"history": "S", "local_orig": "-", "local_resp": "-", "tunnel_parents": "(empty)"}
        yield row | {"label": "Malicious" if attack else "Benign", "detailed-label": ("C&C", "DDoS")[i % 2] if attack else "-"}


def iot23_csv():
    return "iot23.csv", as_csv(ZEEK, [list(row.values()) for row in zeek_rows()])


def zeek_log():
    head = ["#separator \\x09", "#set_separator\t,", "#unset_field\t-", "#path\tconn"]
    head += [
        "#fields\t" + "\t".join(ZEEK[:20]) + "\ttunnel_parents   label   detailed-label",
        "#types\t" + "\t".join(["string"] * 21),
    ]
    body = ["\t".join(list(row.values())[:20]) + "\t" + "   ".join(list(row.values())[20:]) for row in zeek_rows()]
    return "conn.log.labeled", "\n".join([*head, *body, "#close\t2019-03-15-15-50-49"]) + "\n"


FORMATS = {  # of each: rows, the data set, its roles, a feature, the columns left out that are no roles
    "NSL-KDD": (nsl_kdd, "NSL-KDD", (), "class", 41, "src_bytes", {"difficulty"}),
    "UNSW-NB15 raw": (unsw_raw, "UNSW-NB15", ("Stime",), "attack_cat", 39, "dur", set()),
    "UNSW-NB15 partition": (unsw_training_set, "UNSW-NB15", (), "attack_cat", 16, "dur", {"id"}),
    "CIC-IDS2017": (cic_ids2017, "CIC-IDS2017", ("Timestamp",), "Label", 77, "Flow Bytes/s", {"Fwd Header Length.1"}),
    "TON_IoT": (ton_iot, "TON_IoT telemetry", ("ts",), "type", 2, "fridge_temperature", {"date", "time"}),
    "IoT-23": (iot23_csv, "IoT-23 (Zeek's conn.log)", ("ts",), "detailed-label", 12, "duration", {"local_orig", "local_resp"}),
    "Zeek": (zeek_log, "IoT-23 (Zeek's conn.log)", ("ts",), "detailed-label", 12, "duration", {"local_orig", "tunnel_parents"}),
}


def write(folder, made):
    name, text = made()
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_a_format_are_recognised_and_read_as_its_profile_says(tmp_path, name):
    made, data_set, time, attack, features, feature, dropped = FORMATS[name]
    table = read_table(write(tmp_path, made))
    card = table.card
    assert card["data_set"]["name"] == data_set and "doi" in card["data_set"]["citation"]
    assert table.y.tolist() == ATTACK.astype(int).tolist()
    assert card["roles"]["time"] == list(time) == list(table.time) and card["roles"]["attack_type"] == attack == table.attack_name
    assert feature in table.frame and table.frame.shape[1] == features
    assert dropped <= set(card["why_dropped"]) and not set(card["why_dropped"]) & set(table.frame)
    assert len(set(table.attack[table.y == 0])) == 1 and not set(table.attack[table.y == 0]) & set(table.attack[table.y == 1])
    assert card["look_alikes"] == {} and card["cautions"] == []


@pytest.mark.parametrize("name", ["UNSW-NB15 raw", "IoT-23", "TON_IoT", "Zeek"])
@pytest.mark.parametrize("split", ["time", "group"])
def test_roles_of_a_profile_serve_the_splits(tmp_path, name, split):
    path = write(tmp_path, FORMATS[name][0])
    config = {"data": path, "split": split, "wires": 1, "batch": 8}
    if split == "group" and name == "TON_IoT":
        with pytest.raises(DataError, match="neither capture sessions nor hosts"):
            prepare(TrainConfig(**config))
        return
    card = prepare(TrainConfig(**config)).card
    assert card["groups"] is None or card["groups"]["columns"] == ["host pair"]
    assert split == "group" or "on one clock" in card["rule"]


def test_what_a_user_names_comes_on_top_of_the_profile(tmp_path):
    path = write(tmp_path, ton_iot)
    table = read_table(path, time=("date", "time"), drop=("temp_condition",), label="type", positive="ddos")
    assert list(table.frame) == ["fridge_temperature"] and table.time == ("date", "time") and table.y.sum() == ATTACK.sum()
    with pytest.raises(DataError, match=r"drop names 'temp_conditon', which is no column of .*Did you mean 'temp_condition'"):
        read_table(path, drop=("temp_conditon",))
    with pytest.raises(DataError, match=r"identifiers names 'label', the label of"):
        read_table(path, identifiers=("label",))


def test_a_table_of_no_known_data_set_needs_its_label(tmp_path):
    (tmp_path / "own.csv").write_text("a,land,class\n" + "1,2,0\n2,3,1\n" * 20)
    with pytest.raises(DataError, match="is of no known data set, so its label column must be named"):
        read_table(str(tmp_path / "own.csv"))
    assert read_table(str(tmp_path / "own.csv"), label="class").card["data_set"] is None


@pytest.mark.parametrize("one", PROFILES, ids=lambda one: one.name)
def test_a_profile_names_columns_that_it_has(one):
    have = set(map(same, one.columns))
    roles = [*one.kept, *(c for clock in one.clocks for c in clock), *(h for pair in one.hosts for h in pair), *one.drop]
    assert {same(c) for c in [*roles, *one.identifiers, *one.doubled, *([one.attack] if one.attack else [])]} <= have
    assert all(set(map(same, signature)) <= have for signature in one.signatures)
    assert set(one.kept) <= set(one.identifiers) and same(one.label[0]) in have and len(have) == len(one.columns)


def test_profiles_do_not_claim_each_other_nor_a_foreign_line():
    for one in PROFILES:
        assert profile_of(one.columns) is one
        if one.fields:
            line = ["0"] * one.fields
            for k, values in one.first_line.items():
                line[k] = values[0]
            assert header_of(line) == one.columns[: one.fields]
            assert header_of([*line, "0"]) is None and header_of(["0"] * one.fields) is None
    assert profile_of(["date", "time", "temperature", "label", "type"]) is None
