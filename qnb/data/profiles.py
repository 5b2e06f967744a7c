"""Public data sets that are recognised by their columns: the meaning of the label, which columns say who,
when or which attack, what the authors recommend, and how missing values are written.

A profile is data. To add one, add an entry to `PROFILES` and rows of its format to the test. Column names
are compared by their letters and digits alone, in lower case: `ct_src_ ltm` and `Ct_src_ltm` are the same.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

IdentifierKind = Literal["host", "port", "counter", "flow"]
COUNTS_ROWS = "numbers the rows"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is known about a data set.

    Attributes:
        name: of the data set.
        columns: names of all its columns; in their order where it is published without a header.
        signatures: a table is of this data set if it has every column of one of these.
        fields: number of fields of a line in its files without a header, which are the first of `columns`; 0
            where there are no such files.
        first_line: of such a file, field number (from 0) -> the values that it may hold.
        label: names of the label's column, of which the first that is present is used.
        negative: the label's values that count as 0, all others being 1; empty where labels are 0 and 1.
        attack: column of the attack types.
        untyped: whether rows of class 0 have no attack type.
        clocks: columns of the time, in the order of preference; a pair is date and time of day.
        identifiers: columns that say who or which, never what, and their kind. They are left out.
        kept: those identifiers that the authors keep as features.
        hosts: pairs of sender and receiver; a later pair is used where the one before is 0.
        drop: columns left out, and why.
        doubled: columns that its files name twice.
        text: columns that are text even where most of their values are numbers: names and hexadecimal
            numbers among zeros.
        missing: how missing values are written, other than by an empty cell.
        drop_duplicates: whether exact duplicates of a row are left out.
        official_split: the authors' test set, in words.
        source, citation: address and publication.
        note: what a reader of a report must know.
    """

    name: str
    columns: tuple[str, ...]
    signatures: tuple[tuple[str, ...], ...]
    fields: int = 0
    first_line: dict[int, tuple[str, ...]] = field(default_factory=dict)
    label: tuple[str, ...]
    negative: tuple[str, ...] = ()
    attack: str | None = None
    untyped: bool = False
    clocks: tuple[tuple[str, ...], ...] = ()
    identifiers: dict[str, IdentifierKind] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    drop: dict[str, str] = field(default_factory=dict)
    doubled: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    drop_duplicates: bool = False
    official_split: str
    source: str
    citation: str
    note: str = ""


EDGE_COLUMNS = (  # the header of the published CSV files
    "frame.time", "ip.src_host", "ip.dst_host", "arp.dst.proto_ipv4", "arp.opcode", "arp.hw.size",
    "arp.src.proto_ipv4", "icmp.checksum", "icmp.seq_le", "icmp.transmit_timestamp", "icmp.unused",
    "http.file_data", "http.content_length", "http.request.uri.query", "http.request.method", "http.referer",
    "http.request.full_uri", "http.request.version", "http.response", "http.tls_port", "tcp.ack",
    "tcp.ack_raw", "tcp.checksum", "tcp.connection.fin", "tcp.connection.rst", "tcp.connection.syn",
    "tcp.connection.synack", "tcp.dstport", "tcp.flags", "tcp.flags.ack", "tcp.len", "tcp.options",
    "tcp.payload", "tcp.seq", "tcp.srcport", "udp.port", "udp.stream", "udp.time_delta", "dns.qry.name",
    "dns.qry.name.len", "dns.qry.qu", "dns.qry.type", "dns.retransmission", "dns.retransmit_request",
    "dns.retransmit_request_in", "mqtt.conack.flags", "mqtt.conflag.cleansess", "mqtt.conflags",
    "mqtt.hdrflags", "mqtt.len", "mqtt.msg_decoded_as", "mqtt.msg", "mqtt.msgtype", "mqtt.proto_len",
    "mqtt.protoname", "mqtt.topic", "mqtt.topic_len", "mqtt.ver", "mbtcp.len", "mbtcp.trans_id",
    "mbtcp.unit_id", "Attack_label", "Attack_type",
)  # fmt: skip
AUTHORS_DROP = (  # the fields that the data set's authors tell everyone to drop
    "frame.time", "ip.src_host", "ip.dst_host", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "http.file_data",
    "http.request.full_uri", "icmp.transmit_timestamp", "http.request.uri.query", "tcp.options",
    "tcp.payload", "tcp.srcport", "tcp.dstport", "udp.port", "mqtt.msg",
)  # fmt: skip

# fmt: off
EDGE_IIOT = Profile(
    name="Edge-IIoTset",
    columns=EDGE_COLUMNS,
    signatures=(
        ("arp.opcode", "icmp.checksum", "mqtt.conack.flags", "mbtcp.trans_id", "dns.retransmit_request_in"),
    ),
    label=("Attack_label",),
    attack="Attack_type",
    clocks=(("frame.time",),),
    identifiers={
        "ip.src_host": "host", "ip.dst_host": "host", "arp.src.proto_ipv4": "host",
        "arp.dst.proto_ipv4": "host", "tcp.srcport": "port", "tcp.dstport": "port", "udp.port": "port",
        "tcp.ack_raw": "counter", "mbtcp.trans_id": "counter", "icmp.transmit_timestamp": "counter",
    },
    kept=("tcp.ack_raw", "mbtcp.trans_id"),
    hosts=(("ip.src_host", "ip.dst_host"), ("arp.src.proto_ipv4", "arp.dst.proto_ipv4")),
    drop=dict.fromkeys(AUTHORS_DROP, "its authors tell everyone to drop it"),
    text=(
        "http.request.method", "http.request.version", "http.referer", "dns.qry.name.len",
        "mqtt.conack.flags", "mqtt.protoname", "mqtt.topic",
    ),
    drop_duplicates=True,
    official_split="none",
    source="https://www.kaggle.com/datasets/mohamedamineferrag/edgeiiotset-cyber-security-dataset-of-iot-iiot",
    citation="Ferrag et al., IEEE Access 10, 2022, doi 10.1109/ACCESS.2022.3165809",
    note="Attack_type stands in for a capture session.",
)

NSL_KDD = Profile(
    name="NSL-KDD",
    columns=(
        "duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land",
        "wrong_fragment", "urgent", "hot", "num_failed_logins", "logged_in", "num_compromised",
        "root_shell", "su_attempted", "num_root", "num_file_creations", "num_shells", "num_access_files",
        "num_outbound_cmds", "is_host_login", "is_guest_login", "count", "srv_count", "serror_rate",
        "srv_serror_rate", "rerror_rate", "srv_rerror_rate", "same_srv_rate", "diff_srv_rate",
        "srv_diff_host_rate", "dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate",
        "dst_host_diff_srv_rate", "dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate",
        "dst_host_serror_rate", "dst_host_srv_serror_rate", "dst_host_rerror_rate",
        "dst_host_srv_rerror_rate", "class", "difficulty",
    ),
    signatures=(("protocol_type", "wrong_fragment", "num_failed_logins", "dst_host_srv_rerror_rate"),),
    fields=43,
    first_line={
        1: ("tcp", "udp", "icmp"),
        3: ("SF", "S0", "REJ", "RSTR", "RSTO", "S1", "S2", "S3", "RSTOS0", "OTH", "SH"),
    },
    label=("class", "label", "labels", "attack"),
    negative=("normal",),
    attack="class",
    drop={"difficulty": "how many of 21 learners got the row right, which no traffic tells"},
    official_split="KDDTrain+.txt, and KDDTest+.txt for the test: test_data",
    source="https://www.unb.ca/cic/datasets/nsl.html",
    citation="Tavallaee et al., CISDA 2009, doi 10.1109/CISDA.2009.5356528",
    note="The official test file has attack types that the training file lacks.",
)

UNSW_NB15 = Profile(
    name="UNSW-NB15",
    columns=(
        # UNSW-NB15_1.csv to _4.csv, which have no header
        "srcip", "sport", "dstip", "dsport", "proto", "state", "dur", "sbytes", "dbytes", "sttl", "dttl",
        "sloss", "dloss", "service", "Sload", "Dload", "Spkts", "Dpkts", "swin", "dwin", "stcpb", "dtcpb",
        "smeansz", "dmeansz", "trans_depth", "res_bdy_len", "Sjit", "Djit", "Stime", "Ltime", "Sintpkt",
        "Dintpkt", "tcprtt", "synack", "ackdat", "is_sm_ips_ports", "ct_state_ttl", "ct_flw_http_mthd",
        "is_ftp_login", "ct_ftp_cmd", "ct_srv_src", "ct_srv_dst", "ct_dst_ltm", "ct_src_ltm",
        "ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_dst_src_ltm", "attack_cat", "Label",
        # only in UNSW_NB15_training-set.csv and _testing-set.csv
        "id", "rate", "sinpkt", "dinpkt", "smean", "dmean", "response_body_len",
    ),
    signatures=(("sttl", "dttl", "ct_state_ttl", "ct_srv_src", "tcprtt"),),
    fields=49,
    first_line={
        5: (
            "FIN", "CON", "INT", "REQ", "RST", "ECO", "CLO", "ACC", "PAR", "URN", "no", "TST", "TXD",
            "URH", "MAS", "ECR",
        ),
        48: ("0", "1"),
    },
    label=("Label",),
    negative=("0", "Benign"),
    attack="attack_cat",
    untyped=True,
    clocks=(("Stime",), ("Ltime",)),
    identifiers={
        "srcip": "host", "dstip": "host", "sport": "port", "dsport": "port", "stcpb": "counter",
        "dtcpb": "counter",
    },
    hosts=(("srcip", "dstip"),),
    drop={"id": COUNTS_ROWS},
    official_split="UNSW_NB15_training-set.csv, and UNSW_NB15_testing-set.csv for the test: test_data",
    source="https://research.unsw.edu.au/projects/unsw-nb15-dataset",
    citation="Moustafa and Slay, MilCIS 2015, doi 10.1109/MilCIS.2015.7348942",
)

CIC_IDS2017 = Profile(
    name="CIC-IDS2017",
    columns=(
        "Flow ID", "Source IP", "Source Port", "Destination IP", "Destination Port", "Protocol",
        "Timestamp", "Flow Duration", "Total Fwd Packets", "Total Backward Packets",
        "Total Length of Fwd Packets", "Total Length of Bwd Packets", "Fwd Packet Length Max",
        "Fwd Packet Length Min", "Fwd Packet Length Mean", "Fwd Packet Length Std",
        "Bwd Packet Length Max", "Bwd Packet Length Min", "Bwd Packet Length Mean",
        "Bwd Packet Length Std", "Flow Bytes/s", "Flow Packets/s", "Flow IAT Mean", "Flow IAT Std",
        "Flow IAT Max", "Flow IAT Min", "Fwd IAT Total", "Fwd IAT Mean", "Fwd IAT Std", "Fwd IAT Max",
        "Fwd IAT Min", "Bwd IAT Total", "Bwd IAT Mean", "Bwd IAT Std", "Bwd IAT Max", "Bwd IAT Min",
        "Fwd PSH Flags", "Bwd PSH Flags", "Fwd URG Flags", "Bwd URG Flags", "Fwd Header Length",
        "Bwd Header Length", "Fwd Packets/s", "Bwd Packets/s", "Min Packet Length", "Max Packet Length",
        "Packet Length Mean", "Packet Length Std", "Packet Length Variance", "FIN Flag Count",
        "SYN Flag Count", "RST Flag Count", "PSH Flag Count", "ACK Flag Count", "URG Flag Count",
        "CWE Flag Count", "ECE Flag Count", "Down/Up Ratio", "Average Packet Size",
        "Avg Fwd Segment Size", "Avg Bwd Segment Size", "Fwd Header Length.1", "Fwd Avg Bytes/Bulk",
        "Fwd Avg Packets/Bulk", "Fwd Avg Bulk Rate", "Bwd Avg Bytes/Bulk", "Bwd Avg Packets/Bulk",
        "Bwd Avg Bulk Rate", "Subflow Fwd Packets", "Subflow Fwd Bytes", "Subflow Bwd Packets",
        "Subflow Bwd Bytes", "Init_Win_bytes_forward", "Init_Win_bytes_backward", "act_data_pkt_fwd",
        "min_seg_size_forward", "Active Mean", "Active Std", "Active Max", "Active Min", "Idle Mean",
        "Idle Std", "Idle Max", "Idle Min", "Label",
    ),
    signatures=(("Flow Duration", "Total Fwd Packets", "Init_Win_bytes_forward", "min_seg_size_forward"),),
    label=("Label",),
    negative=("BENIGN",),
    attack="Label",
    clocks=(("Timestamp",),),
    identifiers={
        "Flow ID": "flow", "Source IP": "host", "Source Port": "port", "Destination IP": "host",
        "Destination Port": "port",
    },
    hosts=(("Source IP", "Destination IP"),),
    drop={"Fwd Header Length.1": "repeats Fwd Header Length"},
    doubled=("Fwd Header Length",),
    missing=("Infinity", "-Infinity", "NaN"),
    official_split="none; the files are days",
    source="https://www.unb.ca/cic/datasets/ids-2017.html",
    citation="Sharafaldin et al., ICISSP 2018, doi 10.5220/0006639801080116",
    note="Rates are Infinity or NaN where a flow has no duration.",
)

TON_IOT = Profile(
    name="TON_IoT telemetry",
    columns=(
        "ts", "date", "time", "fridge_temperature", "temp_condition", "door_state", "sphone_signal",
        "latitude", "longitude", "FC1_Read_Input_Register", "FC2_Read_Discrete_Value",
        "FC3_Read_Holding_Register", "FC4_Read_Coil", "motion_status", "light_status",
        "current_temperature", "thermostat_status", "temperature", "pressure", "humidity", "label",
        "type",
    ),
    signatures=tuple(
        ("date", "time", "label", "type", *own)
        for own in (
            ("fridge_temperature",),
            ("door_state", "sphone_signal"),
            ("latitude", "longitude"),
            ("FC1_Read_Input_Register",),
            ("motion_status", "light_status"),
            ("current_temperature", "thermostat_status"),
            ("temperature", "pressure", "humidity"),
        )
    ),
    label=("label",),
    attack="type",
    clocks=(("ts",), ("date", "time")),
    official_split="none; Train_Test_datasets is a sample of the processed files",
    source="https://research.unsw.edu.au/projects/toniot-datasets",
    citation="Alsaedi et al., IEEE Access 8, 2020, doi 10.1109/ACCESS.2020.3022862",
    note="Attacks were run in sessions of their own: the time alone tells most of them.",
)

IOT_23 = Profile(
    name="IoT-23 (Zeek's conn.log)",
    columns=(
        "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration",
        "orig_bytes", "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history",
        "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents", "label",
        "detailed-label",
    ),
    signatures=(("conn_state", "history", "orig_ip_bytes", "resp_ip_bytes", "label"),),
    label=("label",),
    negative=("Benign", "benign"),
    attack="detailed-label",
    untyped=True,
    clocks=(("ts",),),
    identifiers={
        "uid": "flow", "id.orig_h": "host", "id.orig_p": "port", "id.resp_h": "host", "id.resp_p": "port",
    },
    hosts=(("id.orig_h", "id.resp_h"),),
    drop=dict.fromkeys(("local_orig", "local_resp", "tunnel_parents"), "unset in the published captures"),
    missing=("-", "?", "(empty)"),
    official_split="none; the files are captures",
    source="https://www.stratosphereips.org/datasets-iot23",
    citation="Garcia et al., 2020, doi 10.5281/zenodo.4743746",
)
# fmt: on

PROFILES = (EDGE_IIOT, NSL_KDD, UNSW_NB15, CIC_IDS2017, TON_IOT, IOT_23)


def same(name: str) -> str:
    """A column's name reduced to what its spellings have in common: letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def profile_of(columns: Iterable[str]) -> Profile | None:
    """The data set that has these columns; None if it is not known."""
    names = set(map(same, columns))
    for profile in PROFILES:
        if any(names >= set(map(same, signature)) for signature in profile.signatures):
            return profile
    return None


def header_of(fields: Sequence[str]) -> tuple[str, ...] | None:
    """Column names of a file without a header, recognised by the fields of its first line; None if it is
    not.
    """
    for profile in PROFILES:
        if len(fields) == profile.fields and all(
            fields[k].strip() in values for k, values in profile.first_line.items()
        ):
            return profile.columns[: profile.fields]
    return None


def spelled(columns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The columns that `names` refer to, as spelled in `columns`, in the order of `names`."""
    spellings = {same(column): column for column in columns}
    return [spellings[same(name)] for name in names if same(name) in spellings]


def without_doubles(columns: Sequence[str]) -> list[str]:
    """The columns, with the second of two that a data set is known to name alike renamed `name.1`, as in
    pandas.
    """
    profile = profile_of(columns)
    doubled = set(map(same, profile.doubled)) if profile else set()
    named: list[str] = []
    for column in columns:
        again = same(column) in doubled and column in named
        named.append(f"{column}.1" if again else column)
    return named
