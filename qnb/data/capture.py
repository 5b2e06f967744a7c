"""The bundled capture: synthetic intrusion traffic in Edge-IIoTset's format, with known leaks.

Nothing here was measured. The column names and their order, the traffic types and their shares, and the way
values are written follow Edge-IIoTset (Ferrag et al., IEEE Access 10, 2022, doi
10.1109/ACCESS.2022.3165809); the statistics are invented, so that it is known which part of a score is
traffic and which part is a shortcut.

How a row is generated: its type is drawn, then a capture session, a time, a protocol, and five latent
quantities (size, position, state, phase, rate) from which the fields of that protocol follow. In the plane
of size and position normal traffic lies in the middle and the attack types on a ring around it; in addition,
all attacks are shifted a little in one direction. A linear model can use the shift, but not the ring.
Protocols are shared, so that none is an attack by itself.
"""

from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from qnb.config import LEAKS, TableConfig
from qnb.data.profiles import AUTHORS_DROP, EDGE_COLUMNS
from qnb.errors import ParameterError, nearest

TWO_ZEROS = ("dns.qry.name.len", "mqtt.conack.flags", "mqtt.msg", "mqtt.protoname", "mqtt.topic")
ATTACK_COUNTS = {  # rows of each type in ML-EdgeIIoT-dataset.csv
    "Normal": 24301, "DDoS_UDP": 14498, "DDoS_ICMP": 14090, "Ransomware": 10925, "DDoS_HTTP": 10561,
    "SQL_injection": 10311, "Uploading": 10269, "DDoS_TCP": 10247, "Backdoor": 10195,
    "Vulnerability_scanner": 10076, "Port_Scanning": 10071, "XSS": 10052, "Password": 9989, "MITM": 1214,
    "Fingerprinting": 1001,
}  # fmt: skip

PROTOCOLS = ("arp", "icmp", "udp", "tcp", "http", "mqtt", "modbus")
MIX = {  # shares of the protocols in each type, in percent
    "DDoS_UDP": (1, 3, 25, 33, 12, 16, 8), "DDoS_ICMP": (1, 22, 6, 32, 12, 16, 10),
    "DDoS_HTTP": (1, 2, 4, 26, 50, 10, 6), "SQL_injection": (1, 2, 4, 22, 52, 12, 6),
    "Uploading": (1, 2, 4, 28, 46, 12, 6), "XSS": (1, 2, 4, 24, 48, 14, 6),
    "Password": (1, 2, 4, 30, 40, 16, 6), "Vulnerability_scanner": (1, 4, 6, 40, 34, 8, 6),
}  # fmt: skip
OTHER_MIX = (1, 4, 7, 51, 10, 18, 8)
NORMAL_MIX = (1, 4, 8, 34, 27, 16, 7)

LATENTS = 5  # size, position, state, phase, rate
# Set so that the figures in `generate_capture`'s docstring come out; in standard deviations of normal
# traffic.
RING = 4.0  # distance of an attack type's centre from the middle, in the plane of the first two latents
PUSH = (2.0, 1.2, 1.2, 0.8, 0.8)  # common shift of all attacks
MIXED = 0.95  # correlation of acknowledgement with position, and of phase with size
NOISE = 0.25  # of a field around its latent
WITHIN = 0.25  # spread of the latents inside a session, where sessions leak; over all sessions it stays 1
SESSIONS_PER_TYPE, NORMAL_SESSIONS = 3, 14
SESSION_PURITY = 0.96  # share of a type's rows that lie in sessions of its own
DRIFT = (2.0, 0.0, 0.0, 0.0, 0.0)  # shift of the latents from the first to the last hour
DAY = (9 * 3600, 23.9 * 3600)  # seconds after midnight


class Difficulty(NamedTuple):
    """How far attacks lie from normal traffic, and how many rows they are.

    Attributes:
        attack_ring: radius of the ring of attack types, in standard deviations of normal traffic.
        attack_push: multiple of PUSH, the common shift of all attacks.
        attack_share: fraction of the rows that are attacks; None: that of ATTACK_COUNTS.
    """

    attack_ring: float = RING
    attack_push: float = 1.0  # times PUSH
    attack_share: float | None = None  # None: that of ATTACK_COUNTS

    @classmethod
    def of(cls, config: TableConfig) -> Self:
        """The difficulty that a configuration asks for."""
        return cls(*(getattr(config, name) for name in cls._fields))


STANDARD = Difficulty()


def generate_capture(
    rows: int = 100_000,
    seed: int = 0,
    leaks: tuple[str, ...] = LEAKS,
    difficulty: Difficulty = STANDARD,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a capture. All randomness comes from one generator.

    Test AUC of the standard pipeline (sample of 20,000, 8 features, random split; data seeds 0 to 4): with
    all leaks logistic regression 0.88 to 0.92, gradient boosting 0.963 to 0.975; with none 0.87 to 0.89 and
    0.947 to 0.954.

    Args:
        rows: N, at least 1000.
        seed: of the generator.
        leaks: shortcuts to plant, any of
            - `formatting`: in the five text fields of `TWO_ZEROS` a zero is written `0` in Normal rows and
              `0.0` in attack rows (without it, `0` everywhere);
            - `identifiers`: hosts, ports, `icmp.transmit_timestamp` and the sequence-like `tcp.ack_raw` and
              `mbtcp.trans_id` come from ranges that depend on the label (without it, from the same ranges);
            - `sessions`: a capture session holds almost only one type, and its rows share an offset of their
              traffic statistics, so that a random split is easier than one by session (without it, rows are
              assigned to sessions at random, with no offset);
            - `duplicates`: 3.5 % of the rows repeat another of their type, a seventh of those in every field,
              the rest in all but the 15 of `AUTHORS_DROP`, so that copies land on both sides of a random
              split (without it, no row is copied);
            - `drift`: sizes grow with the time of day in all types, so that a split by time is harder
              (without it, they do not).
        difficulty: of telling attacks from normal traffic.

    Returns:
        frame: N rows of `EDGE_COLUMNS`, in no particular order; fields that the real file stores as text are
            text.
        sessions: N rows: `capture.session` (int), `capture.start`, `capture.end` (seconds after midnight).

    Raises:
        ParameterError: an unknown leak, or too few rows.
    """
    for leak in leaks:
        if leak not in LEAKS:
            raise ParameterError(f"Unknown leak {leak!r}. {nearest(leak, LEAKS)}")
    if rows < 1000:
        raise ParameterError(
            f"A capture of {rows} rows is too small to hold its 15 traffic types; ask for 1000 or more."
        )
    rng = np.random.default_rng(seed)
    names = np.array(list(ATTACK_COUNTS), dtype=object)
    kind = rng.permutation(_exact_shares(rows, _counts(difficulty.attack_share)))  # 0 = Normal
    session, start, end = _sessions(rng, kind, pure="sessions" in leaks)
    time = start + (end - start) * rng.random(rows)
    z = _latents(rng, kind, session, time, leaks, difficulty)
    protocol = _protocols(rng, kind)
    fields: dict[str, np.ndarray] = {name: np.zeros(rows) for name in EDGE_COLUMNS}
    fields |= {"Attack_label": (kind > 0).astype(np.int64), "Attack_type": names[kind]}
    fields |= _traffic(rng, z, protocol) | _text(rng, z, protocol)
    fields |= _identifiers(rng, kind, protocol, time, leak="identifiers" in leaks)
    if "formatting" in leaks:
        for name in TWO_ZEROS:
            fields[name] = np.where((fields[name] == "0") & (kind > 0), "0.0", fields[name])
    origin, everything = _copies(
        rng, 0.035 if "duplicates" in leaks else 0.0, kind * len(PROTOCOLS) + protocol
    )
    for name, values in fields.items():
        at = everything if name in AUTHORS_DROP else origin
        fields[name] = values[at]
    sessions = pd.DataFrame({"capture.session": session, "capture.start": start, "capture.end": end})
    return pd.DataFrame(fields), sessions.iloc[everything].reset_index(drop=True)


def _counts(attack_share: float | None) -> np.ndarray:
    """Weight of each type: ATTACK_COUNTS, those of all attacks together `attack_share` of the whole."""
    counts = np.array(list(ATTACK_COUNTS.values()), dtype=float)
    if attack_share is None:
        return counts
    normal, attacks = counts[:1] / counts[0], counts[1:] / counts[1:].sum()
    return np.concatenate([(1 - attack_share) * normal, attack_share * attacks])


def _exact_shares(rows: int, counts: np.ndarray) -> np.ndarray:
    """`rows` integers, each as often as its share of `counts` says, up to rounding (largest remainder)."""
    share = rows * counts / counts.sum()
    repeats = np.floor(share).astype(int)
    repeats[np.argsort(repeats - share, kind="stable")[: rows - repeats.sum()]] += 1
    return np.repeat(np.arange(len(counts)), repeats)


def _sessions(
    rng: np.random.Generator, kind: np.ndarray, pure: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Session number, start and end (seconds after midnight) of each row."""
    per_type = np.array([NORMAL_SESSIONS] + [SESSIONS_PER_TYPE] * (len(ATTACK_COUNTS) - 1))
    total = per_type.sum()
    first = np.cumsum(per_type) - per_type
    anywhere = rng.integers(total, size=len(kind))
    own = first[kind] + (rng.random(len(kind)) * per_type[kind]).astype(int)
    session = np.where(pure & (rng.random(len(kind)) < SESSION_PURITY), own, anywhere)
    length = rng.uniform(1200, 5400, total)
    # starts in even steps, in random order, so that every part of the day has sessions of many types
    start = DAY[0] + (DAY[1] - DAY[0] - length) * (rng.permutation(total) + rng.random(total)) / total
    return session, start[session], (start + length)[session]


def _latents(
    rng: np.random.Generator,
    kind: np.ndarray,
    session: np.ndarray,
    time: np.ndarray,
    leaks: tuple[str, ...],
    difficulty: Difficulty,
) -> np.ndarray:
    """Latent quantities, float64 `(N, LATENTS)`: normal traffic in the middle, attack types on a ring around
    it.
    """
    angle = 2 * np.pi * np.arange(len(ATTACK_COUNTS)) * 5 / 14  # types of similar size are not neighbours
    centres = np.zeros((len(ATTACK_COUNTS), LATENTS))
    centres[1:, :2] = difficulty.attack_ring * np.column_stack([np.cos(angle), np.sin(angle)])[1:]
    centres[1:] += difficulty.attack_push * np.array(PUSH)
    own = rng.standard_normal((len(kind), LATENTS))
    if "sessions" in leaks:
        offset = rng.standard_normal((session.max() + 1, LATENTS))[session]
        own = WITHIN * own + np.sqrt(1 - WITHIN**2) * offset  # the same variance over all sessions
    z: np.ndarray = centres[kind] + own
    if "drift" in leaks:
        z += ((time - DAY[0]) / (DAY[1] - DAY[0]) - 0.5)[:, None] * DRIFT
    return z


def _protocols(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    shares = np.array([NORMAL_MIX if t == "Normal" else MIX.get(t, OTHER_MIX) for t in ATTACK_COUNTS], float)
    edges = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    protocol: np.ndarray = (rng.random(len(kind))[:, None] > edges[kind]).sum(axis=1)
    return protocol


def _copies(rng: np.random.Generator, share: float, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row to take features from, and row to take the authors' 15 fields from.

    Both are the row itself for most.

    A copy and its original have the same `key`, and no row is both.
    """
    rows = len(key)
    shuffled = rng.permutation(rows)
    pairs = shuffled[np.argsort(key[shuffled], kind="stable")][: rows // 2 * 2].reshape(-1, 2)
    pairs = rng.permutation(pairs[key[pairs[:, 0]] == key[pairs[:, 1]]])[: round(share * rows)]
    origin, everything = np.arange(rows), np.arange(rows)
    origin[pairs[:, 0]] = pairs[:, 1]
    full = pairs[: len(pairs) // 7]
    everything[full[:, 0]] = full[:, 1]
    return origin, everything


def _traffic(rng: np.random.Generator, z: np.ndarray, protocol: np.ndarray) -> dict[str, np.ndarray]:
    """Numeric fields that the latents drive; zero where the protocol does not have them."""
    on = {name: (protocol == i) for i, name in enumerate(PROTOCOLS)}
    tcp = on["tcp"] | on["http"] | on["mqtt"] | on["modbus"]
    size, position, state, phase, rate = (z + NOISE * rng.standard_normal(z.shape)).T
    ack = MIXED * position + np.sqrt(1 - MIXED**2) * state
    phase = MIXED * size + np.sqrt(1 - MIXED**2) * phase

    def level(where: np.ndarray, latent: np.ndarray, middle: float, spread: float, top: float) -> np.ndarray:
        """Whole numbers around `middle`, growing with the latent."""
        return np.where(where, np.clip(np.round(middle * np.exp(spread * latent)), 0, top), 0.0)

    def noise(where: np.ndarray, top: int) -> np.ndarray:
        return np.where(where, rng.integers(1, top, len(z)), 0).astype(float)

    step = np.digitize(phase, (-2.2, -1.4, -0.4, 0.7, 1.6, 2.3, 3))
    # SYN, SYN+ACK, ACK, PSH+ACK, FIN+ACK, FIN+PSH+ACK, RST, RST+ACK
    flags = np.array([2, 18, 16, 24, 17, 25, 4, 20])[step] * tcp
    dns = on["udp"] & (rate > -0.3)
    return {
        "arp.opcode": on["arp"] * np.where(size > 0, 2.0, 1.0),
        "arp.hw.size": on["arp"] * 6.0,
        "icmp.checksum": level(on["icmp"], size, 30000, 0.2, 65535),
        "icmp.seq_le": level(on["icmp"], position, 9000, 0.2, 65535),
        "icmp.unused": on["icmp"] * 0.0,
        "http.content_length": level(on["http"], size + rate, 280, 0.2, 90000),
        "http.response": on["http"] * (phase > 0.2).astype(float),
        "tcp.ack": level(tcp, ack, 6000, 0.2, 2**31),
        "tcp.checksum": noise(tcp, 65536),
        "tcp.connection.fin": np.isin(flags, (17, 25)).astype(float),
        "tcp.connection.rst": np.isin(flags, (4, 20)).astype(float),
        "tcp.connection.syn": (flags == 2).astype(float),
        "tcp.connection.synack": (flags == 18).astype(float),
        "tcp.flags": flags.astype(float),
        "tcp.flags.ack": (flags & 16 > 0).astype(float),
        "tcp.len": level(tcp, size, 180, 0.2, 65000),
        "tcp.seq": level(tcp, position, 9000, 0.2, 2**31),
        "udp.stream": level(on["udp"], position, 400000, 0.2, 2**31),
        "udp.time_delta": np.where(tcp, 0.0, np.exp(-4 + 0.2 * size)),
        "dns.qry.name": noise(dns, 4000),
        "dns.qry.qu": dns * (ack > 0).astype(float),
        "dns.qry.type": dns * np.where(size > 0.5, 28.0, 12.0),
        "dns.retransmission": dns * (phase > 1.2).astype(float),
        "dns.retransmit_request": dns * (phase > 1.6).astype(float),
        "dns.retransmit_request_in": dns * np.where(phase > 1.6, np.round(500 + 100 * ack), 0.0),
        "mqtt.conflag.cleansess": on["mqtt"] * (phase < -0.8).astype(float),
        "mqtt.conflags": on["mqtt"] * np.where(phase < -0.8, 2.0, 0.0),
        "mqtt.hdrflags": on["mqtt"] * np.array([16.0, 48.0, 192.0, 224.0])[np.digitize(rate, (-1, 0.5, 1.5))],
        "mqtt.len": level(on["mqtt"], size + rate, 40, 0.2, 2000),
        "mqtt.msgtype": on["mqtt"] * np.array([1.0, 3.0, 12.0, 14.0])[np.digitize(rate, (-1, 0.5, 1.5))],
        "mqtt.proto_len": on["mqtt"] * np.where(phase < -0.8, 4.0, 0.0),
        "mqtt.topic_len": level(on["mqtt"], ack, 24, 0.25, 200),
        "mqtt.ver": on["mqtt"] * np.where(phase < -0.8, 4.0, 0.0),
        "mbtcp.len": level(on["modbus"], rate, 12, 0.2, 260),
        "mbtcp.unit_id": level(on["modbus"], phase, 16, 0.2, 247),
    }


def _text(rng: np.random.Generator, z: np.ndarray, protocol: np.ndarray) -> dict[str, np.ndarray]:
    """Fields that are text in the real file, mostly zero."""
    http, mqtt, udp = (protocol == PROTOCOLS.index(name) for name in ("http", "mqtt", "udp"))
    phase, rate = z[:, 3] + NOISE * rng.standard_normal(len(z)), z[:, 4] + NOISE * rng.standard_normal(len(z))
    request = http & (phase <= 0.2)

    def words(
        where: np.ndarray, options: list[str], latent: np.ndarray, edges: tuple[float, ...], zero: str
    ) -> np.ndarray:
        return np.where(where, np.array(options, dtype=object)[np.digitize(latent, edges)], zero)

    page = '<html>\n<head><title>"404", Not Found</title></head>\n</html>'
    body = words(http & ~request, [page, "0.0", "user=admin,pass=1234"], rate, (-1, 1.5), "0.0")
    digits = rng.bytes(20 * len(z)).hex()
    payload = np.array([digits[40 * i : 40 * i + 40] for i in range(len(z))], dtype=object)
    tcp = protocol >= PROTOCOLS.index("tcp")
    return {
        "http.file_data": body,
        "http.request.method": words(
            request, ["PUT", "GET", "POST", "OPTIONS"], rate, (-1.5, 0.4, 2.0), "0.0"
        ),
        "http.request.version": words(request, ["HTTP/1.0", "HTTP/1.1"], phase, (-1.8,), "0.0"),
        "http.referer": words(
            request, ["0.0", "127.0.0.1", '() { _; } >_[$($())] { echo, "x"; }'], rate, (1.2, 2.5), "0.0"
        ),
        "http.request.uri.query": words(
            request, ["0.0", "id=1&Submit=Submit", "name=<script>alert(1)</script>"], rate, (0, 1.5), "0.0"
        ),
        "http.request.full_uri": words(
            request, ["http://192.168.0.128/", "http://192.168.0.128/dvwa/login.php"], rate, (0.3,), "0.0"
        ),
        "tcp.options": np.where(tcp & (phase > -1), payload, "0"),
        "tcp.payload": np.where(tcp & (z[:, 0] > 0.5), payload, "0"),
        "dns.qry.name.len": words(
            udp & (rate > 0.8), ["_googlecast._tcp.local", "raspberrypi.local"], rate, (1.8,), "0"
        ),
        "mqtt.conack.flags": words(mqtt & (phase > 1.5), ["0x00000000"], phase, (), "0"),
        "mqtt.msg": np.where(mqtt & (rate > 0.5), payload, "0"),
        "mqtt.protoname": words(mqtt & (phase < -0.8), ["MQTT"], phase, (), "0"),
        "mqtt.topic": words(
            mqtt & (rate < 0.5), ["Distance", "Temperature_and_Humidity"], rate, (-0.6,), "0"
        ),
    }


def _identifiers(
    rng: np.random.Generator, kind: np.ndarray, protocol: np.ndarray, time: np.ndarray, leak: bool
) -> dict[str, np.ndarray]:
    """Hosts, ports, time and counters.

    With `leak`, an attack's come from ranges of their own in most rows.
    """
    rows = len(kind)
    ip, tcp = protocol != PROTOCOLS.index("arp"), protocol >= PROTOCOLS.index("tcp")
    is_icmp, is_udp, is_modbus = (protocol == PROTOCOLS.index(name) for name in ("icmp", "udp", "modbus"))
    apart = leak & (kind > 0) & (rng.random(rows) < 0.9)
    # eight devices; the others are attackers where identifiers leak
    names = [f"192.168.0.{i}" for i in (101, 128, 152, 7, 20, 31, 44, 56)]
    names += [f"192.168.0.{i}" for i in (170, 171, 190, 201)] + [
        f"77.52.{180 + i}.{52 + i}" for i in range(4)
    ]
    hosts = np.array(names, dtype=object)
    near = rng.integers(8 if leak else 16, size=rows)
    source = hosts[np.where(apart, 8 + rng.integers(8, size=rows), near)]
    target = hosts[rng.integers(4, size=rows)]

    def counter(top: int) -> np.ndarray:
        low, usual = rng.beta(1.0, 1.5, rows), rng.beta(1.5, 1.0, rows) if leak else rng.random(rows)
        drawn: np.ndarray = np.floor(top * np.where(apart, low, usual))
        return drawn

    clock = [
        f" 2021 {m // 3600000000:02d}:{m // 60000000 % 60:02d}:{m // 1000000 % 60:02d}.{m % 1000000:06d}000 "
        for m in np.round(time * 1e6).astype(np.int64).tolist()
    ]
    service = np.array([1883.0, 80.0, 502.0, 5900.0])[rng.integers(4, size=rows)]
    return {
        "frame.time": np.array(clock, dtype=object),
        "ip.src_host": np.where(ip, source, "0"),
        "ip.dst_host": np.where(ip, target, "0"),
        "arp.src.proto_ipv4": np.where(ip, "0", source),
        "arp.dst.proto_ipv4": np.where(ip, "0", target),
        "icmp.transmit_timestamp": np.where(is_icmp, counter(86_400_000), 0.0),
        "tcp.srcport": np.where(tcp, 1024 + counter(64000), 0.0),
        "tcp.dstport": np.where(tcp, np.where(apart, 80.0, service), 0.0),
        "udp.port": np.where(is_udp, 1024 + counter(64000), 0.0),
        "tcp.ack_raw": np.where(tcp, counter(2**32), 0.0),
        "mbtcp.trans_id": np.where(is_modbus, 1 + counter(65000), 0.0),
    }
