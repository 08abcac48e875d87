"""What command lines of ss (iproute2 6.1) ask for."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from netinspect.errors import UsageError
from netinspect.filters.selection import Selection, select
from netinspect.filters.words import parse_states
from netinspect.model import STATES, SocketType, State
from netinspect.render.dialects.ss import Ss
from netinspect.render.dialects.ss_details import Details
from netinspect.teach.command_line import CommandLine, Option
from netinspect.teach.impersonate import (
    COUNTERS,
    NOT_LOOKED_UP,
    Impersonation,
    Output,
    check_options,
)

# To ss these two are one: TCP_CLOSE.
CLOSED: frozenset[State] = frozenset({"CLOSE", "UNCONN"})
ALL: frozenset[State] = frozenset(STATES) - {"BOUND", "UNKNOWN"}
LISTENING: frozenset[State] = CLOSED | {"LISTEN"}
CONNECTIONS = ALL - LISTENING - {"TIME_WAIT", "SYN_RECV"}
ESTABLISHED: frozenset[State] = frozenset({"ESTABLISHED"})

UNIX_KINDS = ("unix_stream", "unix_dgram", "unix_seqpacket")
# Kinds of sockets by flags and words, in the order in which ss prints them
UNIX_TYPES: dict[str, SocketType] = {
    "unix_stream": "stream",
    "unix_dgram": "dgram",
    "unix_seqpacket": "seqpacket",
}
INET_KINDS = ("raw", "udp", "tcp")
OTHER_INET = ("mptcp", "dccp", "sctp")
OTHERS = ("packet", "netlink", "vsock", "xdp")
KIND_WORDS: dict[str, Sequence[str]] = {
    "all": (*UNIX_KINDS, *INET_KINDS, *OTHER_INET, *OTHERS),
    "inet": (*INET_KINDS, *OTHER_INET),
    "tcp": ("tcp",),
    "udp": ("udp",),
    "raw": ("raw",),
    "unix": UNIX_KINDS,
    **{kind: (kind,) for kind in UNIX_KINDS},
    "u_str": ("unix_stream",),
    "u_dgr": ("unix_dgram",),
    "u_seq": ("unix_seqpacket",),
}
FAMILY_WORDS = {"inet": "4", "inet6": "6", "unix": "unix"}
FAMILY_FLAGS = {"-4": "4", "-6": "6", "-x": "unix"}
KIND_FLAGS = {"-t": "tcp", "-u": "udp", "-w": "raw"}
DEFAULT_STATES = {"-t": CONNECTIONS, "-u": ESTABLISHED, "-w": ESTABLISHED}
SHOWN = ("-n", "-r", "-o", "-e", "-m", "-p", "-i", "-H", "-O")
ACCEPTED = (*KIND_FLAGS, *FAMILY_FLAGS, *SHOWN, "-A", "-f", "-a", "-l")
NOT_READ = "sockets of this kind are not read here"
SELINUX = "labels of SELinux are not read here"
INSTEAD = {
    "-s": COUNTERS,
    "-K": "nothing is closed here",
    "-E": "events are not followed here",
    "-D": "nothing is dumped here: netinspect -o json",
    "-F": "write the filter behind the flags",
    "-N": "ip netns exec NAME netinspect as ss ss ...",
    "-T": "threads are not read here; -p shows the processes",
    "-Z": SELINUX,
    "-z": SELINUX,
    "--tos": "netinspect -e shows it",
    "--cgroup": "netinspect -e shows it, as ss -e does",
    "--inet-sockopt": "netinspect -e shows it",
    "-B": "this is the ss of iproute2 6.1, which has no -B: netinspect -s bound",
    "-Q": "this is the ss of iproute2 6.1, which has no -Q",
    "-h": "netinspect explain says what each flag means",
    **dict.fromkeys(("-d", "-S", "-M", "-0", "--vsock", "--tipc", "--xdp"), NOT_READ),
}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As main() of ss.c takes flags and filter together.

    :raises UsageError: a flag is not offered here, or the filter cannot be read.
    """
    check_options(line, ACCEPTED, INSTEAD)
    kinds, families, states = _asked(line)
    words = [operand.text for operand in line.operands]
    states, words = _states(line, states, words)
    dialect = Ss(
        output.names,
        has_netid=len(kinds) > 1,
        has_state=len(states) > 1 and states != CLOSED,
        has_header=not line.has("-H"),
        details=Details(
            processes=line.has("-p"),
            timers=line.has("-o"),
            details=line.has("-e"),
            memory=line.has("-m"),
            info=line.has("-i"),
            is_oneline=line.has("-O"),
        ),
        unix_types=frozenset(UNIX_TYPES[kind] for kind in kinds if kind in UNIX_TYPES),
        screen=output.width,
    )
    selection = replace(_selection(line, kinds, families, words), states=states)
    return Impersonation(selection, dialect, tuple(_remarks(line, kinds)))


def _asked(line: CommandLine) -> tuple[list[str], set[str], frozenset[State]]:
    """The kinds, families and states that the flags name, as filter_merge_defaults() has them."""
    kinds: list[str] = []
    families: set[str] = set()
    states: frozenset[State] = frozenset()
    for option in line.options:
        if option.flag in KIND_FLAGS:
            kinds.append(KIND_FLAGS[option.flag])
            states |= DEFAULT_STATES[option.flag]
        elif option.flag == "-A":
            kinds = _named_kinds(kinds, option.argument or "")
            states |= CONNECTIONS
        elif family := _family(option):
            families.add(family)
            states |= CONNECTIONS
    if not (kinds or families):
        return [*KIND_WORDS["all"]], {"4", "6", "unix"}, states or CONNECTIONS
    return *_merged(kinds, families), states


def _merged(kinds: list[str], families: set[str]) -> tuple[list[str], set[str]]:
    """A kind brings its families, and a family its kinds, where none is named."""
    if not families & {"4", "6"} and any(kind in KIND_WORDS["inet"] for kind in kinds):
        families = families | {"4", "6"}
    if any(kind in UNIX_KINDS for kind in kinds):
        families = families | {"unix"}
    if families & {"4", "6"} and not any(kind in KIND_WORDS["inet"] for kind in kinds):
        kinds = [*kinds, *KIND_WORDS["inet"]]
    if "unix" in families and not any(kind in UNIX_KINDS for kind in kinds):
        kinds = [*kinds, *UNIX_KINDS]
    return list(dict.fromkeys(kinds)), families


def _named_kinds(kinds: list[str], argument: str) -> list[str]:
    for word in argument.split(","):
        name = word.removeprefix("!")
        if name not in KIND_WORDS:
            raise UsageError(f"ss -A {word}: {NOT_READ}")
        named = KIND_WORDS[name]
        kept = [kind for kind in kinds if kind not in named]
        kinds = kept if word.startswith("!") else [*kept, *named]
    return kinds


def _family(option: Option) -> str | None:
    """The family that a flag names: `4`, `6` or `unix`; None for other flags."""
    if option.flag != "-f":
        return FAMILY_FLAGS.get(option.flag)
    if option.argument not in FAMILY_WORDS:
        raise UsageError(f"ss -f {option.argument}: {NOT_READ}")
    return FAMILY_WORDS[option.argument]


def _states(
    line: CommandLine, states: frozenset[State], words: list[str]
) -> tuple[frozenset[State], list[str]]:
    """The states, and what of the filter is left: of -a and -l the last one counts."""
    for option in line.options:
        if option.flag in ("-a", "-l"):
            states = ALL if option.flag == "-a" else LISTENING
    is_first = True
    while len(words) > 1 and words[0] in ("state", "exclude", "excl"):
        named = _state(words[1])
        if words[0] == "state":
            states = named if is_first else states | named
        else:
            states = (ALL if is_first else states) - named
        words, is_first = words[2:], False
    return states, words


def _state(word: str) -> frozenset[State]:
    named = parse_states([word])
    return (named | CLOSED if named & CLOSED else named) & ALL


def _selection(
    line: CommandLine, kinds: list[str], families: set[str], words: list[str]
) -> Selection:
    """The tables in the order of ss, and the condition."""
    protocols = ["unix"] if any(kind in UNIX_KINDS for kind in kinds) else []
    for kind in INET_KINDS:
        versions = families - {"unix"} if kind == "raw" else _dumped(line, families)
        protocols += [kind + version for version in sorted(versions) if kind in kinds]
    if not protocols:
        raise UsageError("ss: no socket tables to show with such filter")
    selection = select(protocols=protocols, expression=" ".join(words) or None)
    order = ("unix", "raw", "udp", "tcp")
    tables = sorted(selection.tables, key=lambda table: order.index(table.protocol))
    return replace(selection, tables=tuple(tables))


def _dumped(line: CommandLine, families: set[str]) -> set[str]:
    """The versions of IP that inet_show_netlink() asks for: of -4 and -6 the last one alone.

    Raw sockets ss reads from /proc, where both count.
    """
    named = [family for family in map(_family, line.options) if family]
    versions = families - {"unix"}
    return {named[-1]} if named and named[-1] in versions else versions


def _remarks(line: CommandLine, kinds: list[str]) -> list[str]:
    remarks = []
    if not line.has("-n") or line.has("-r"):
        remarks.append(NOT_LOOKED_UP)
    unread = [kind for kind in kinds if kind in (*OTHER_INET, *OTHERS)]
    if unread:
        remarks.append(f"ss would also show {', '.join(unread)}: they are not read here")
    return remarks
