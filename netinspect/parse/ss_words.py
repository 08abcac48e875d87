"""What ss prints behind the addresses: processes, timer, details, memory and TCP internals.

misc/ss.c of iproute2. What is 0 or off it does not print, so that what is missing is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from netinspect.errors import CellError
from netinspect.extended import Bbr, Dctcp, Memory, Options, TcpInfo
from netinspect.model import Owner, State, Timer, TimerKind
from netinspect.parse.captured import captured_name

# users:(("nginx",pid=812,fd=6),("nginx",pid=811,fd=6)); with -Z contexts between, before 3.13
# ("nginx",812,6). A name has 15 bytes at the most, and may hold quotes and parentheses: taken as
# long as it can be, it cannot end before it does, because `",pid=1,fd=2),("` would take 16.
USERS = "users:("
OWNER = re.compile(r'\("(.{0,15})",pid=(\d{1,10})(?:,proc_ctx=[^,]*)?,fd=(\d{1,10})[^()]*\)')
OLD_OWNER = re.compile(r'\("(.{0,15}?)",(\d{1,10}),(\d{1,10})\)')
# timer:(keepalive,119min,0); 1.2 s are 1.200ms, and above 9 s only whole seconds are printed.
TIMER = re.compile(r" timer:\((\w{0,20}),([^,)]{0,20}),(\d{1,10})\)")
TIME = re.compile(r"(?:(\d{1,9})min)?(?:(\d{1,9})(?:sec|\.(?=\d)))?(?:(\d{1,9})ms)?")
TIMERS: dict[str, TimerKind] = {
    "on": "retransmit",
    "keepalive": "keepalive",
    "timewait": "time_wait",
    "persist": "zero_window",
}
# cgroup:/a b <-> is the only word that may have blanks.
CGROUP = re.compile(r" cgroup:(/.*?|unreachable:\S+)(?= v6only:| [<-]-[->]| skmem:|$)")
_N = r"(\d{1,19})"
MEMORY = re.compile(
    rf" skmem:\(r{_N},rb{_N},t{_N},tb{_N},f(-?\d{{1,19}}),w{_N},o{_N}(?:,bl{_N})?(?:,d{_N})?\)"
)
SOCKOPT = re.compile(r" inet-sockopt: ?\(([^)]{0,300})\)")
# bbr:(bw:1bps,mrtt:0.02), pacing_rate 1bps/2bps, rtt:0.02/0.01, wscale:10,10, ts
WORD = re.compile(r"([\w-]+):\(([^)]{0,300})\)|(\w+_rate|send) (\S+)|([\w-]+):(\S+)|(\S+)")
ULP = "tcp-ulp-"  # tcp-ulp-tls, tcp-ulp-mptcp
SHUTDOWN = re.compile(r"[<-]-[->]")
LONGEST = 24  # of a number
LISTENER_WORDS = frozenset(("cwnd", "reordering"))

NUMBERS = {
    "backoff": "backoff",
    "mss": "snd_mss_bytes",
    "pmtu": "pmtu_bytes",
    "rcvmss": "rcv_mss_bytes",
    "advmss": "advmss_bytes",
    "cwnd": "cwnd_segments",
    "ssthresh": "ssthresh_segments",
    "bytes_sent": "bytes_sent",
    "bytes_retrans": "bytes_retransmitted",
    "bytes_acked": "bytes_acked",
    "bytes_received": "bytes_received",
    "segs_out": "segments_sent",
    "segs_in": "segments_received",
    "data_segs_out": "data_segments_sent",
    "data_segs_in": "data_segments_received",
    "delivered": "segments_delivered",
    "delivered_ce": "segments_delivered_ce",
    "unacked": "unacked_segments",
    "lost": "lost_segments",
    "sacked": "sacked_segments",
    "dsack_dups": "dsack_duplicates",
    "reordering": "reordering_segments",
    "reord_seen": "reordering_events",
    "rcv_space": "rcv_space_bytes",
    "rcv_ssthresh": "rcv_ssthresh_bytes",
    "notsent": "not_sent_bytes",
    "rcv_ooopack": "segments_out_of_order",
    "snd_wnd": "snd_wnd_bytes",
    "rcv_wnd": "rcv_wnd_bytes",
    "rehash": "rehashes",
    "lastsnd": "last_data_sent_ms_ago",
    "lastrcv": "last_data_received_ms_ago",
    "lastack": "last_ack_received_ms_ago",
}
TIMES = {
    "rto": "rto_ms",
    "ato": "ato_ms",
    "rcv_rtt": "rcv_rtt_ms",
    "minrtt": "min_rtt_ms",
    "busy": "busy_ms",
    "rwnd_limited": "rwnd_limited_ms",
    "sndbuf_limited": "sndbuf_limited_ms",
}
# How long ago it was that nothing was sent: ss counts from when the connection or machine began.
MEANINGLESS_WITHOUT = {
    "data_segs_out": "last_data_sent_ms_ago",
    "data_segs_in": "last_data_received_ms_ago",
    "segs_in": "last_ack_received_ms_ago",
}
SWITCHES = {
    "ts": "timestamps",
    "sack": "sack",
    "ecn": "ecn",
    "ecnseen": "ecn_seen",
    "fastopen": "fastopen",
    "app_limited": "app_limited",
}
# Of the connection, but of no key of the record
PASSED_OVER = frozenset(("qack", "bidir", "deferred", "---"))
SOCKOPT_NAMES = {"bind_addr_no_port": "bind_address_no_port"}
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,9})?(?:e[+-]\d\d)?(?=$|ms)")
RATE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)bps")

Words = dict[str, str]


class Extra(Struct, frozen=True, gc=False):
    """What stands behind the addresses. `words` are those that none of the others are made of."""

    owners: tuple[Owner, ...] = ()
    timer: Timer | None = None
    inode: int | None = None
    uid: int | None = None
    cookie: int | None = None
    memory: Memory | None = None
    options: Options | None = None
    tcp_info: TcpInfo | None = None
    v6only: bool | None = None


def parse_extra(text: str, state: State, *, is_tcp: bool) -> Extra:
    """All that it tells.

    :param text: what stands behind the address of the peer, also on the next line.
    :raises CellError: a part of it is not as ss prints it.
    """
    owners, text = _owners(f" {text}")
    found = TIMER.search(text)
    timer = _timer(found) if found else None
    text, cgroup = _cut(TIMER.sub("", text, count=1), CGROUP)
    memory = MEMORY.search(text)
    text, sockopt = _cut(text, SOCKOPT)
    words = _words(text.partition(" peers:")[0])
    inode = _number(words, "ino") if is_tcp or "sk" in words else None
    uid = _number(words, "uid")
    return Extra(
        owners,
        timer,
        inode,
        (uid or 0) if inode else None,
        int(words["sk"], 16) if re.fullmatch("[0-9a-f]{1,16}", words.get("sk", "")) else None,
        Memory(*(None if n is None else int(n) for n in memory.groups())) if memory else None,  # type: ignore[arg-type]
        _options(words, cgroup, sockopt),
        _tcp_info(words, state) if is_tcp else None,
        words["v6only"] == "1" if "v6only" in words else None,
    )


def _cut(text: str, pattern: re.Pattern[str]) -> tuple[str, str | None]:
    """The text without the first match, and what its group holds."""
    match = pattern.search(text)
    if not match:
        return text, None
    return text[: match.start()] + text[match.end() :], match[1]


def _owners(text: str) -> tuple[tuple[Owner, ...], str]:
    """The processes by pid and descriptor, and the text without them."""
    before, found, inside = text.partition(f" {USERS}")
    if not found:
        return (), text
    pattern = OWNER if ",pid=" in inside else OLD_OWNER
    owners = []
    position = 0
    while match := pattern.match(inside, position):
        owners.append(Owner(int(match[2]), captured_name(match[1]), int(match[3])))
        position = match.end() + 1  # a comma, or the end
    if not owners:
        raise CellError(USERS + inside, 'processes such as users:(("nginx",pid=812,fd=6))')
    owners.sort(key=lambda owner: (owner.pid, owner.fd))
    return tuple(owners), before + inside[position:]


def _timer(match: re.Match[str]) -> Timer | None:
    kind, time, count = match.groups()
    if kind not in TIMERS:
        return None
    parts = TIME.fullmatch(time)
    if not parts:
        raise CellError(time, "a time such as 1min59sec or 200ms")
    minutes, seconds, milliseconds = (int(part or 0) for part in parts.groups())
    return Timer(TIMERS[kind], (minutes * 60 + seconds) * 1000 + milliseconds, int(count))


def _words(text: str) -> Words:
    """`{"rtt": "0.006/0.003", "ts": "", "bbr": "bw:1bps,mrtt:0.02"}`."""
    words: Words = {}
    for group, members, rate, bps, name, value, bare in WORD.findall(text):
        if not bare:
            words[group or rate or name] = members or bps or value
        elif SHUTDOWN.fullmatch(bare):
            words["shutdown"] = bare
        elif bare in SWITCHES:
            words[bare] = ""
        elif bare.startswith(ULP):
            words["upper_layer"] = bare.removeprefix(ULP)
        elif bare not in PASSED_OVER:
            words.setdefault("algorithm", bare)
    return words


def _number(words: Mapping[str, str], word: str, base: int = 10) -> int | None:
    text = words.get(word)
    if text is None:
        return None
    try:
        return int(text if len(text) <= LONGEST else "", base)
    except ValueError:
        raise CellError(f"{word}:{text}", f"a number after {word}:") from None


def _options(words: Words, cgroup: str | None, sockopt: str | None) -> Options | None:
    """None where ss was not asked for any."""
    shutdown = words.get("shutdown")
    is_reachable = cgroup is not None and cgroup.startswith("/")
    found: dict[str, Any] = {
        "mark": _number(words, "fwmark", 0),
        "tos": _number(words, "tos", 0),
        "traffic_class": _number(words, "tclass", 0),
        "class_id": _number(words, "class_id", 0),
        "cgroup": captured_name(cgroup) if cgroup and is_reachable else None,
        "v6only": words["v6only"] == "1" if "v6only" in words else None,
        "upper_layer": words.get("upper_layer"),
    }
    if shutdown:
        found["receive_shutdown"] = shutdown[0] == "-"
        found["send_shutdown"] = shutdown[2] == "-"
    if sockopt is not None:
        names = [SOCKOPT_NAMES.get(name, name) for name in sockopt.split()]
        found |= {name: True for name in names if name in Options.__struct_fields__}
    return Options(**found) if any(value is not None for value in found.values()) else None


def _tcp_info(words: Words, state: State) -> TcpInfo | None:
    """None where ss was not asked for it, or has none."""
    if state == "LISTEN":  # the accept queue stands in some of them
        words = {w: v for w, v in words.items() if w in LISTENER_WORDS or w == "algorithm"}
    found: dict[str, Any] = {
        key: _converted(word, words[word], convert)
        for names, convert in _CONVERSIONS
        for word, key in names.items()
        if word in words
    }
    for word, key in MEANINGLESS_WITHOUT.items():
        if word not in words:
            found.pop(key, None)
    found |= _pairs(words) | _rates(words)
    if "bbr" in words:
        found["bbr"] = _bbr(words["bbr"])
    if words.get("dctcp"):
        found["dctcp"] = _dctcp(words["dctcp"])
    return TcpInfo(words.get("algorithm"), **found) if found else None


def _pairs(words: Words) -> dict[str, Any]:
    return {
        key: _converted(word, part, convert)
        for word, (separator, convert, *keys) in PAIRS.items()
        if word in words
        for key, part in zip(keys, f"{words[word]}{separator}0".split(separator), strict=False)
    }


def _rates(words: Words) -> dict[str, int]:
    """`pacing_rate 1bps/2bps`: the second is the limit."""
    return {
        f"{prefix}{word}_bps": _bps(word, part)
        for word in ("pacing_rate", "delivery_rate")
        if word in words
        for prefix, part in zip(("", "max_"), words[word].split("/"), strict=False)
    }


def _converted(word: str, value: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(value if len(value) <= LONGEST else "")
    except ValueError:
        raise CellError(f"{word}:{value}", f"a number after {word}:") from None


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)


def _decimal(text: str) -> float:
    """`0.026`, `1.5e+06`; `12ms(3.4%)`."""
    match = DECIMAL.match(text)
    if not match:
        raise ValueError(text)
    return float(match[0])


_CONVERSIONS: tuple[tuple[dict[str, str], Callable[[str], Any]], ...] = (
    (NUMBERS, _integer),
    (TIMES, _decimal),
    (SWITCHES, lambda _: True),
)
PAIRS: dict[str, tuple[Any, ...]] = {
    "wscale": (",", _integer, "snd_wscale", "rcv_wscale"),
    "rtt": ("/", _decimal, "rtt_ms", "rttvar_ms"),
    "retrans": ("/", _integer, "retransmits", "retransmits_total"),
}


def _bps(word: str, text: str) -> int:
    """Bits a second; without -n large ones are rounded, `1.5Gbps`."""
    match = RATE.fullmatch(text)
    if not match:
        raise CellError(text, f"bits a second after {word}")
    return round(float(match[1]) * UNITS[match[2]]) if match[2] else int(float(match[1]))


def _parts(text: str) -> Words:
    """`{"bw": "1bps", "mrtt": "0.02"}`."""
    return dict(part.partition(":")[::2] for part in text.split(","))


def _bbr(text: str) -> Bbr:
    parts = _parts(text)
    gains = [
        _converted("bbr", parts.get(f"{name}_gain", "0"), _decimal) for name in ("pacing", "cwnd")
    ]
    rtt = _converted("bbr", parts.get("mrtt", "0"), _decimal)
    return Bbr(_bps("bw", parts.get("bw", "0bps")), rtt or None, *gains)


def _dctcp(text: str) -> Dctcp:
    """`(ce_state:0,alpha:12,ab_ecn:0,ab_tot:9)`, or `fallback_mode` where the peer has no ECN."""
    parts = _parts(text)
    names = ("ce_state", "alpha", "ab_ecn", "ab_tot")
    return Dctcp(
        "alpha" in parts, *(_converted("dctcp", parts.get(name, "0"), _integer) for name in names)
    )
