"""The words for states and protocols, in the spelling of every platform."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, get_args

from netinspect.errors import UsageError, fold, unknown_word
from netinspect.model import STATES, Direction, Exposure, Family, Protocol, State, Table

T = TypeVar("T", bound=str)

ALL_STATES = frozenset(STATES)
DISCONNECTED: frozenset[State] = frozenset({"LISTEN", "CLOSE", "BOUND", "UNCONN"})
CONNECTED = ALL_STATES - DISCONNECTED
BUCKET: frozenset[State] = frozenset({"SYN_RECV", "TIME_WAIT"})

# The groups of ss(8)
GROUPS: dict[str, frozenset[State]] = {
    "all": ALL_STATES,
    "connected": CONNECTED,
    "synchronized": CONNECTED - {"SYN_SENT"},
    "bucket": BUCKET,
    "big": ALL_STATES - BUCKET,
}
# Spellings of ss, BSD, macOS, Windows, PowerShell, Solaris, lsof and psutil that differ from the
# kernel's by more than case and separators.
SPELLINGS: dict[str, State] = {
    "estab": "ESTABLISHED",
    "synrcvd": "SYN_RECV",
    "synrcv": "SYN_RECV",
    "synreceived": "SYN_RECV",
    "timedwait": "TIME_WAIT",
    "closed": "CLOSE",
    "listening": "LISTEN",
    "unconnected": "UNCONN",
    "boundinactive": "BOUND",
    "newsynrecv": "SYN_RECV",
    "synsend": "SYN_SENT",  # so in Microsoft's manual
    "deletetcb": "CLOSE",
    "idle": "CLOSE",
    # netstat -A of NetBSD
    "synsen": "SYN_SENT",
    "sysrcv": "SYN_RECV",
    "establ": "ESTABLISHED",
    "fwait1": "FIN_WAIT1",
    "fwait2": "FIN_WAIT2",
    "clwait": "CLOSE_WAIT",
    "lastak": "LAST_ACK",
    "closng": "CLOSING",
    "tmwait": "TIME_WAIT",
}
# Shown as they should be typed
STATE_WORDS = tuple(state.lower().replace("_", "-") for state in STATES)

PROTOCOLS: dict[str, tuple[Protocol, ...]] = {
    "tcp": ("tcp",),
    "udp": ("udp",),
    "udplite": ("udplite",),
    "raw": ("raw",),
    "icmp": ("icmp",),
    "unix": ("unix",),
    "all": ("tcp", "udp", "udplite", "raw", "icmp", "unix"),
}
INET_FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
FAMILIES = (*INET_FAMILIES, "unix")
PROTOCOL_WORDS = (
    "tcp",
    "tcp4",
    "tcp6",
    "udp",
    "udp4",
    "udp6",
    "udplite",
    "udplite4",
    "udplite6",
    "raw",
    "raw4",
    "raw6",
    "icmp",
    "icmp4",
    "icmp6",
    "unix",
    "all",
)
DEFAULT_PROTOCOLS = ("tcp", "udp")


EXPOSURES: tuple[Exposure, ...] = get_args(Exposure)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def split_words(values: Iterable[str]) -> list[str]:
    """The values of an option that may be repeated and may hold several, separated by commas."""
    return [word.strip() for value in values for word in value.split(",")]


_STATE_OF: dict[str, frozenset[State]] = {
    **{fold(state): frozenset({state}) for state in STATES},
    **{word: frozenset({state}) for word, state in SPELLINGS.items()},
    **GROUPS,
}


def parse_states(words: Iterable[str]) -> frozenset[State]:
    """The states that these words name.

    :raises UsageError: a word names none; with the nearest that does.
    """
    states: frozenset[State] = frozenset()
    for word in words:
        found = _STATE_OF.get(fold(word))
        if found is None:
            raise UsageError(unknown_word("state", word, (*STATE_WORDS, *GROUPS)))
        states |= found
    return states


def parse_exposures(words: Iterable[str]) -> frozenset[Exposure]:
    """From where listeners can be reached.

    :raises UsageError: a word is none of EXPOSURES; with the nearest that is.
    """
    return frozenset(_one_of(EXPOSURES, word, "exposure") for word in words)


def parse_directions(words: Iterable[str]) -> frozenset[Direction]:
    """Who began the connections.

    :raises UsageError: a word is none of DIRECTIONS; with the nearest that is.
    """
    return frozenset(_one_of(DIRECTIONS, word, "direction") for word in words)


def _one_of(choices: tuple[T, ...], word: str, what: str) -> T:
    for choice in choices:
        if choice == word.casefold():
            return choice
    raise UsageError(unknown_word(what, word, choices))


def parse_tables(words: Iterable[str], families: Iterable[str] | None = None) -> list[Table]:
    """The tables of these protocols, of these families if given, in the order of the words.

    :raises UsageError: a word is no protocol, or a family none; with the nearest that is.
    """
    tables = [table for word in words for table in _tables_of(word)]
    wanted = None if families is None else frozenset(families)
    for family in wanted or ():
        if family not in FAMILIES:
            raise UsageError(unknown_word("family", family, FAMILIES))
    return list(dict.fromkeys(t for t in tables if wanted is None or t.family in wanted))


def _tables_of(word: str) -> list[Table]:
    folded = word.casefold()
    if folded not in PROTOCOL_WORDS:
        raise UsageError(unknown_word("protocol", word, PROTOCOL_WORDS))
    families = INET_FAMILIES
    if folded[-1] in "46":
        families = ("ipv4",) if folded[-1] == "4" else ("ipv6",)
    return [
        Table(protocol, family)
        for protocol in PROTOCOLS[folded.rstrip("46")]
        for family in (("unix",) if protocol == "unix" else families)
    ]
