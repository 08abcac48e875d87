"""Questions in words."""

from __future__ import annotations

from collections.abc import Sequence

from netinspect.teach.knowledge import Tool, conflicts
from netinspect.teach.question import Question

SHOWS = {
    "files": "open files of every kind",
    "routing": "the routing table",
    "interfaces": "the interfaces and their counters",
    "statistics": "statistics of the protocols",
    "summary": "counts by protocol, and no sockets",
    "multicast": "memberships of multicast groups",
    "multicast_routing": "the routing tables of multicast",
    "mbufs": "the memory of the network code (mbufs)",
    "bpf": "the users of bpf(4)",
    "masquerading": "masqueraded connections",
    "nexthops": "next-hop objects of the routing table, and no sockets",
    "netisr": "statistics of netisr",
    "queues": "queues of the protocols",
    "pcb": "one protocol control block",
    "routing_domains": "the routing domains",
    "wireless": "statistics of a wireless interface",
    "port_counts": "processes by the number of their ports",
    "nfs": "files on NFS",
    "events": "sockets as they are destroyed",
    "help": "its help text, and no sockets",
    "version": "its version, and no sockets",
}
NAMES = {"unix": "unix-domain", "raw": "raw", "packet": "packet", "udplite": "UDP-Lite"}
# What a tool lists when no protocol is named
DEFAULT_PROTOCOLS = {
    "linux_netstat": "TCP, UDP, raw and unix-domain",
    "linux_ss": "all kinds of",
    "busybox_netstat": "TCP, UDP, raw and unix-domain",
    "macos_netstat": "TCP, UDP, raw, unix-domain and kernel",
    "freebsd_netstat": "TCP, UDP, raw and unix-domain",
    "openbsd_netstat": "TCP, UDP, raw and unix-domain",
    "netbsd_netstat": "TCP, UDP and unix-domain",
    "freebsd_sockstat": "TCP, UDP and unix-domain",
    "netbsd_sockstat": "TCP, UDP and unix-domain",
    "windows_netstat": "TCP (and with -a UDP)",
    "lsof": "TCP and UDP",
}
ASKS = {
    "numeric": "numeric",
    "resolve": "with host names",
    "process": "with their processes",
    "timers": "with timers",
    "extended": "with more columns",
    "memory": "with their memory",
    "tcp_internals": "with what TCP knows of the connection",
    "byte_counters": "with byte counts",
    "wide": "nothing cut",
    "no_header": "without headings",
    "json": "for programs",
    "terse": "only the PIDs",
    "selinux": "with SELinux contexts",
    "by_state": "with their states",
}
FILTERS = {
    "port": "with port {}",
    "address": "with address {}",
    "pid": "of process {}",
    "user": "of user {}",
    "command": "of the command {}",
    "netns": "of {}",
    "expression": "that match `{}`",
}


def join(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def describe(question: Question, tool: Tool | None = None, *, has_default: bool = True) -> str:
    """What is shown. With a tool, what it takes where the question leaves it open is said too.

    :param has_default: also the states, where the question names none.
    """
    if question.shows not in ("sockets", "files"):
        return _describe_other(question)
    text = _sockets(question, tool)
    if "listen_backlog" in question.asks:
        text = "the queues of listening sockets"
    if "kill_socket" in question.asks:
        text = f"CLOSES {text}"
    asks = [phrase for ask, phrase in ASKS.items() if ask in question.asks]
    if question.repeat is not None:
        asks.append(f"every {question.repeat or '15'} s")
    parts = [text, join(asks) if asks else ""]
    if has_default:
        parts.append(_default_states(question, tool))
    return "; ".join(part for part in parts if part)


def _describe_other(question: Question) -> str:
    text = SHOWS.get(question.shows, question.shows)
    protocols = join([_name(p) for p in question.protocols]) if question.protocols else ""
    if question.shows == "statistics" and protocols:
        text = f"statistics of {protocols}, and no sockets"
    if question.repeat:
        text += f", every {question.repeat} s"
    return text


def _name(protocol: str) -> str:
    return NAMES.get(protocol, protocol.upper())


def _sockets(question: Question, tool: Tool | None) -> str:
    """`TCP sockets that listen, with port 80`."""
    is_files = question.shows == "files"
    kind = SHOWS["files"] if is_files else f"{_protocols(question, tool)} sockets"
    limits = [f"over {family.replace('ipv', 'IPv')}" for family in question.families]
    if question.states and not is_files:
        limits.append(_states(question.states, tool))
    limits += [
        phrase.format(value)
        for key, phrase in FILTERS.items()
        if (value := getattr(question, key)) is not None
    ]
    return " ".join([kind, ", ".join(limits)]).strip()


def _protocols(question: Question, tool: Tool | None) -> str:
    if question.protocols:
        return join([_name(protocol) for protocol in question.protocols])
    if question.families:
        return "Internet"
    return DEFAULT_PROTOCOLS[tool.id] if tool else "all"


def _states(states: Sequence[str], tool: Tool | None) -> str:
    if "all" in states:
        # nobody holds a socket in TIME_WAIT
        return "that a process holds" if tool and tool.id == "lsof" else "in all states"
    words = ["that listen" if state == "listening" else f"in {state}" for state in states]
    return " or ".join(words)


def _default_states(question: Question, tool: Tool | None) -> str:
    """Which states a tool shows when the command does not say."""
    if question.states or question.shows != "sockets" or tool is None:
        return ""
    default = conflicts().behaviour.default_states.get(tool.id)
    return f"states, as no -a is given: {default}" if default else ""
