"""Where other readers of sockets rightly differ from sock_diag, and why.

A rule explains one kind of difference, and only it: what is not explained is a fault of ours, and
a rule that explains nothing any more is out of date. Both fail the live test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from netinspect.model import Connection
from tests.peers import Row

# Their value, and our socket: whether the reason explains that ours is another.
Explains = Callable[[Any, Connection], bool]
# The same for a row that only we have, or only they.
ROW, EXTRA_ROW = "(row)", "(extra row)"


class Rule(NamedTuple):
    """One exception: the keys in which they differ, and in which way."""

    reason: str
    keys: tuple[str, ...]
    explains: Explains
    is_everywhere: bool = True  # False: it takes a machine of a certain kind


def _is_unknown(theirs: Any, _: Connection) -> bool:
    return theirs is None


def _only(condition: Callable[[Connection], bool]) -> Explains:
    """Rows that they lack."""
    return lambda _, ours: condition(ours)


def _unix(explains: Explains) -> Explains:
    return lambda theirs, ours: ours.protocol == "unix" and explains(theirs, ours)


def _is_one_of_several(theirs: frozenset[Any], ours: Connection) -> bool:
    holders = [owner.pid for owner in ours.owners]
    pids = {holder[0] if isinstance(holder, tuple) else holder for holder in theirs}
    return len(holders) > 1 and len(pids) == 1 and pids < set(holders)


def _lacks_zone(theirs: str | None, ours: Connection) -> bool:
    return any(end == f"{theirs}%lo" for end in (ours.local_address, ours.remote_address))


def _lacks_mapping(theirs: str | None, ours: Connection) -> bool:
    return any(end == f"::ffff:{theirs}" for end in (ours.local_address, ours.remote_address))


def _forged(row: Row) -> bool:
    return (row["protocol"], row["local_address"]) == ("unix", "/forged")


def _waiting(row: Row) -> bool:
    return row["protocol"] == "unix" and bool(row["local_address"]) and not row.get("inode")


ADDRESSES = ("local_address", "remote_address")
NOT_BOUND = Rule(
    "a socket that is only bound is in no file of /proc/net, and ss does not ask for it",
    (ROW,),
    _only(lambda ours: ours.state == "BOUND"),
)
NO_ZONE = Rule("no zone", ADDRESSES, _lacks_zone)
NO_MAPPING = Rule("v4-mapped addresses are shown as IPv4", ADDRESSES, _lacks_mapping)
NO_BACKLOG = Rule(
    "the backlog limit of a listener is not in /proc/net",
    ("send_q",),
    lambda theirs, ours: ours.state == "LISTEN" and theirs in (None, 0),
)
NUL_AS_AT = Rule(
    "a NUL in an abstract name is printed as @",
    ("local_address",),
    _unix(lambda theirs, ours: theirs == (ours.local_address or "").replace("\\x00", "@")),
)
REAL_AT = Rule(
    "a path that begins with @ looks like an abstract name",
    ("local_address",),
    _unix(lambda theirs, ours: ours.local_address == f"./{theirs}"),
)
FIRST_WORD = Rule(
    "a path ends at its first blank",
    ("local_address",),
    _unix(lambda theirs, ours: (ours.local_address or "").startswith(f"{theirs} ")),
)
FIRST_LINE = Rule(
    "a name ends at a line break; in our reading of /proc only where it forges a row",
    ("local_address",),
    _unix(lambda theirs, ours: (ours.local_address or "").startswith(f"{theirs}\n")),
)
FORGED_ROW = Rule("the forged row", (EXTRA_ROW,), lambda row, _: _forged(row))
WAITING = Rule(
    "sock_diag does not show unix connections that wait to be accepted",
    (EXTRA_ROW,),
    lambda row, _: _waiting(row),
)
ONE_OWNER = Rule("only one owner is named", ("owners", "pids"), _is_one_of_several)


def _no(*protocols: str) -> Rule:
    reason = f"it shows no {', '.join(protocols)} sockets"
    return Rule(reason, (ROW,), _only(lambda ours: ours.protocol in protocols))


RULES: dict[str, tuple[Rule, ...]] = {
    "proc": (
        NOT_BOUND,
        NO_BACKLOG,
        NO_ZONE,
        NUL_AS_AT,
        REAL_AT,
        FIRST_LINE,
        FORGED_ROW,
        WAITING,
        Rule("no cookie", ("cookie",), _is_unknown),
        Rule("no device", ("interface",), _is_unknown),
        Rule(
            "of unix sockets no queues, users, drops or peers",
            ("recv_q", "send_q", "uid", "user", "drops", "peer_inode", "remote_address"),
            _unix(_is_unknown),
        ),
    ),
    "psutil": (
        NOT_BOUND,
        NO_ZONE,
        NUL_AS_AT,
        REAL_AT,
        FIRST_LINE,
        FORGED_ROW,
        WAITING,
        ONE_OWNER,
        _no("udplite", "raw", "icmp"),
        Rule(
            "no queues, users, inodes, cookies, timers, drops, devices or peers",
            (
                *("recv_q", "send_q", "uid", "user", "inode", "cookie", "timer", "drops"),
                *("interface", "peer_inode"),
            ),
            _is_unknown,
        ),
        Rule("no state of unix sockets", ("state",), _unix(lambda theirs, _: theirs == "UNKNOWN")),
        Rule("no peer of unix sockets", ("remote_address",), _unix(_is_unknown)),
        Rule(
            "a path with a blank is not shown",
            ("local_address",),
            _unix(lambda theirs, ours: theirs is None and " " in (ours.local_address or "")),
        ),
        Rule(
            "a socket without inode cannot be told from one that is held by nobody seen",
            ("owner_status",),
            lambda theirs, ours: theirs == "not_found" and ours.inode is None,
        ),
        Rule(
            "it does not say that there are processes which even root may not look into",
            ("owner_status",),
            lambda theirs, ours: theirs == "not_found" and ours.owner_status == "hidden",
            is_everywhere=False,
        ),
    ),
    "ss": (
        NOT_BOUND,
        _no("udplite", "icmp"),
        NUL_AS_AT,
        REAL_AT,
        Rule(
            "the device that a socket is bound to stands behind its address",
            ("local_address",),
            lambda theirs, ours: theirs == f"{ours.local_address}%{ours.interface}",
        ),
        Rule("no zone of the peer", ("remote_address",), _lacks_zone),
    ),
    "netstat": (
        NOT_BOUND,
        NO_BACKLOG,
        NO_ZONE,
        NO_MAPPING,
        NUL_AS_AT,
        REAL_AT,
        FIRST_WORD,
        FIRST_LINE,
        FORGED_ROW,
        WAITING,
        ONE_OWNER,
        _no("icmp"),
        Rule(
            "a handshake that is not finished has the user of its listener",
            ("uid",),
            lambda theirs, ours: ours.state == "SYN_RECV" and theirs == 65534,
        ),
    ),
    "lsof": (
        NOT_BOUND,
        NO_BACKLOG,
        NO_ZONE,
        NO_MAPPING,
        NUL_AS_AT,
        REAL_AT,
        FIRST_WORD,
        FIRST_LINE,
        _no("raw", "icmp"),
        Rule("it shows what processes hold", (ROW,), _only(lambda ours: not ours.owners)),
        Rule(
            "bytes that are not ASCII are escaped",
            ("local_address",),
            _unix(lambda theirs, ours: "\\xff" in (ours.local_address or "") and "\\xff" in theirs),
        ),
    ),
}


def explain(rules: Iterable[Rule], key: str, theirs: Any, ours: Any) -> Rule | None:
    """The rule by which this difference is right; None when it is not."""
    found = (rule for rule in rules if key in rule.keys and rule.explains(theirs, ours))
    return next(found, None)
