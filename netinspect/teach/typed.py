"""The commands to type on other systems for what our filter options ask."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netinspect.filters.selection import Selection
from netinspect.model import Protocol, State
from netinspect.query import Network, PortRange, states_of
from netinspect.render.dialects.gnu import UNIX_STATES

GNU_LETTERS: dict[Protocol, str] = {"tcp": "t", "udp": "u", "udplite": "U", "raw": "w", "unix": "x"}
SS_LETTERS: dict[Protocol, str] = {"tcp": "t", "udp": "u", "raw": "w", "unix": "x"}
BSD_WORDS: dict[Protocol, str] = {"tcp": "tcp", "udp": "udp", "raw": "icmp", "icmp": "icmp"}
OWNERS = "by its owner no option selects: look for the process in the output"
NO_NETWORKS = "a network cannot be asked for, only a single address"
NO_RANGES = "a range of ports cannot be asked for, only a single port"
NO_EXPRESSION = "an expression cannot be asked for, only of ss"
OUR_WORDS = "some words of the expression are netinspect's own: ss does not know them"
# The rest of `filters.keywords` is of ss.
OUR_KEYWORDS = frozenset(
    (
        *("pid", "process", "user", "uid", "proto", "inode", "rtt", "retrans", "recv_q", "send_q"),
        *("exposure", "direction"),
    )
)
UNKNOWN_KIND = "it knows no sockets of this kind"
UDP_LISTENS = "UDP has no listening state: all its sockets are shown"
NO_STATE = "rows without a state cannot be told apart by it"


class Typed(NamedTuple):
    """A command as it is typed.

    :param argv: its first program and the options of that, as `impersonate` takes them.
    :param rest: what stands behind: a filter, a pipe.
    :param notes: what it cannot ask.
    """

    argv: tuple[str, ...]
    rest: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole line."""
        return f"{shlex.join(self.argv)}{self.rest}"


class Search(NamedTuple):
    """How a system looks for text in the lines of a command.

    :param either: looks for one of several; takes them with a `|` between.
    :param port: what stands before a port, and what behind.
    """

    one: str
    either: str
    port: tuple[str, str]


GREP = Search("grep {}", "grep -E {}", (":", " "))
BSD_GREP = GREP._replace(port=("[.]", " "))
START_OF_UDP = {BSD_GREP.one: "^udp", 'findstr "{}"': "UDP"}
FINDSTR = Search('findstr "{}"', 'findstr "{}"', (":", ""))


def gnu(selection: Selection) -> Typed:
    """For netstat of Linux."""
    protocols = _protocols(selection)
    is_server = _is_server(selection)
    letters = "".join(letter for p, letter in GNU_LETTERS.items() if p in protocols)
    families = _versions(selection)
    options = f"-{letters}{'l' if is_server else 'a'}n{families if len(families) == 1 else ''}"
    states = None if is_server else selection.states
    known = states - {"BOUND"} if states else states  # which /proc/net does not show
    spelling = UNIX_STATES if protocols == ["unix"] else {}
    found = _searched(("netstat", options), selection, known, spelling, GREP)
    return found if letters else _with_note(found, UNKNOWN_KIND)


def linux_ss(selection: Selection, words: Sequence[str]) -> Typed:
    """For ss, which can ask the most: its filter is our expression."""
    protocols, versions = _protocols(selection), _versions(selection)
    letters = "".join(letter for p, letter in SS_LETTERS.items() if p in protocols)
    is_server = _is_server(selection)
    options = f"-{letters}{'l' if is_server else 'a'}n{versions if len(versions) == 1 else ''}"
    states = [] if is_server else _ss_states(selection)
    asked = [word for state in states for word in ("state", state)]
    rest = list(words)
    while rest[:1] == ["state"]:
        asked, rest = [*asked, *rest[:2]], rest[2:]
    conditions = [c for condition in _ss_conditions(selection) for c in condition.split()]
    if rest and conditions:
        rest = ["(", *rest, ")"]
    notes = [*_owner_notes(selection), *([OUR_WORDS] if OUR_KEYWORDS & {*words} else [])]
    found = Typed(("ss", options, *asked, *rest, *conditions), "", tuple(notes))
    return found if letters else _with_note(found, UNKNOWN_KIND)


def macos(selection: Selection) -> Typed:
    """For netstat of macOS: a protocol at a time."""
    from netinspect.render.dialects.bsd import STATES

    protocols = _protocols(selection)
    argv: tuple[str, ...] = ("netstat", "-an")
    starts: list[str] = []
    if len(protocols) == 1 and protocols[0] in BSD_WORDS:
        argv = (*argv, "-p", BSD_WORDS[protocols[0]])
    elif protocols == ["unix"]:
        argv = (*argv, "-f", "unix")
    elif "unix" not in protocols:
        starts = [f"^{p}" for p in ("tcp", "udp") if p in protocols]
    versions = _versions(selection)
    if len(versions) == 1:
        argv = (*argv, "-f", {"4": "inet", "6": "inet6"}[versions])
    states = selection.states or (frozenset({"LISTEN"}) if _is_server(selection) else None)
    if states and protocols == ["unix"]:
        return _with_note(_searched(argv, selection, None, STATES, BSD_GREP), NO_STATE)
    return _searched(argv, selection, states, STATES, BSD_GREP, starts)


def windows_netstat(selection: Selection) -> Typed:
    """For netstat of Windows."""
    from netinspect.render.dialects.windows import STATES

    protocols = [p for p in _protocols(selection) if p in ("tcp", "udp")]
    versions = _versions(selection)
    argv: tuple[str, ...] = ("netstat", "-an")
    starts: list[str] = []
    if len(protocols) == 1 and len(versions) == 1:
        argv = (*argv, "-p", protocols[0].upper() + ("v6" if versions == "6" else ""))
    elif len(protocols) == 1:
        starts = [protocols[0].upper()]
    states = selection.states or (frozenset({"LISTEN"}) if _is_server(selection) else None)
    found = _searched(argv, selection, states, STATES, FINDSTR, starts)
    return found if protocols else _with_note(found, UNKNOWN_KIND)


def _with_note(command: Typed, note: str) -> Typed:
    return command._replace(notes=(*command.notes, note))


def _protocols(selection: Selection) -> list[Protocol]:
    """Those that have sockets in the states that are asked for: TIME_WAIT is only of TCP."""
    protocols = list(dict.fromkeys(table.protocol for table in selection.tables))
    states = selection.states
    return [p for p in protocols if states is None or states_of(p) & states] or protocols


def _versions(selection: Selection) -> str:
    """`4`, `6` or `46`."""
    families = {table.family for table in selection.tables}
    return "".join(v for v, f in (("4", "ipv4"), ("6", "ipv6")) if f in families)


def _is_server(selection: Selection) -> bool:
    return selection.listening or selection.states == frozenset({"LISTEN"})


def _searched(
    argv: tuple[str, ...],
    selection: Selection,
    states: frozenset[State] | None,
    spelling: dict[State, str],
    search: Search,
    starts: Iterable[str] = (),
) -> Typed:
    """The command with the searches behind it that do what no option does."""
    notes: list[str] = []
    found = [sorted(starts)] if starts else []
    if states:
        words = [spelling.get(s, s) for s in sorted(states) if s not in ("UNCONN", "UNKNOWN")]
        if selection.listening and "udp" in _protocols(selection):
            words = [*words, START_OF_UDP[search.one]] if "tcp" in _protocols(selection) else []
            notes.append(UDP_LISTENS)
        found += [list(dict.fromkeys(words))] if words else []
        notes += [NO_STATE] if "UNCONN" in states else []
    for clause in selection.port_clauses:
        ports = {r.low for r in clause if r.low == r.high}
        found += [[f"{search.port[0]}{port}{search.port[1]}" for port in sorted(ports)]]
        notes += [NO_RANGES] if any(r.low != r.high for r in clause) else []
    for networks in selection.network_clauses:
        hosts = dict.fromkeys(_network_text(n) for n in networks if _is_host(n))
        found += [list(hosts)] if hosts else []
        notes += [NO_NETWORKS] if not all(map(_is_host, networks)) else []
    pipes = "".join(f" | {_search(search, texts)}" for texts in found if texts)
    return Typed(argv, pipes, (*dict.fromkeys(notes), *_owner_notes(selection)))


def _search(search: Search, texts: list[str]) -> str:
    if search is FINDSTR:  # blanks are what `|` is to grep
        return search.one.format(" ".join(texts))
    command = search.one if len(texts) == 1 else search.either
    return command.format(shlex.quote("|".join(texts)))


def _owner_notes(selection: Selection) -> Iterable[str]:
    owners = (selection.pids, selection.processes, selection.users)
    if any(value is not None for value in owners):
        yield OWNERS
    if selection.exposures or selection.directions:
        yield "only netinspect knows exposure and direction"


def _ss_states(selection: Selection) -> list[str]:
    """In the words of its filter."""
    from netinspect.render.dialects.ss import STATES

    words: dict[State, str] = {"UNCONN": "closed", "CLOSE": "closed", "LISTEN": "listening"}
    known = (selection.states or frozenset()) - {"BOUND", "UNKNOWN"}
    spelt = (words.get(s) or STATES.get(s, s).lower().replace("_", "-") for s in known)
    return sorted({"established" if word == "estab" else word for word in spelt})


def _ss_conditions(selection: Selection) -> list[str]:
    clauses = [[_ss_port(r) for r in clause] for clause in selection.port_clauses]
    clauses += [[_ss_network(n) for n in clause] for clause in selection.network_clauses]
    return [c[0] if len(c) == 1 else f"( {' or '.join(c)} )" for c in clauses]


def _ss_port(r: PortRange) -> str:
    name = "sport" if r.side == "local" else "dport"
    if r.low == r.high:
        return f"{name} = :{r.low}"
    return f"( {name} >= :{r.low} and {name} <= :{r.high} )"


def _ss_network(n: Network) -> str:
    text = _network_text(n)
    host = f"[{text}]" if ":" in text else text  # or else a port would begin at its first colon
    return f"{'src' if n.side == 'local' else 'dst'} {host}"


def _is_host(n: Network) -> bool:
    return n.prefix_length == 8 * len(n.packed)


def _network_text(n: Network) -> str:
    from ipaddress import ip_address, ip_network  # most questions name no address

    if _is_host(n):
        return str(ip_address(n.packed))
    return str(ip_network((n.packed, n.prefix_length)))


NETSTATS: dict[str, Callable[[Selection], Typed]] = {
    "gnu": gnu,
    "bsd": macos,
    "windows": windows_netstat,
}


def typed(dialect: str, selection: Selection, words: Sequence[str] = ()) -> Typed:
    """The command of a dialect for what is selected.

    :param words: the words of the expression that is in the selection.
    """
    if dialect == "ss":
        return linux_ss(selection, words)
    command = NETSTATS[dialect](selection)
    return command._replace(notes=(*command.notes, NO_EXPRESSION)) if words else command
