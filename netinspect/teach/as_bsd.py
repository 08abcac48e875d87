"""What command lines of netstat of macOS 26, FreeBSD and OpenBSD ask for."""

from __future__ import annotations

from netinspect.errors import UsageError
from netinspect.filters.selection import select
from netinspect.model import Family
from netinspect.render.dialects.bsd import SYSTEMS, Bsd
from netinspect.teach.command_line import CommandLine
from netinspect.teach.impersonate import (
    COUNTERS,
    INTERFACES,
    MULTICAST,
    NOT_LOOKED_UP,
    REPEATED,
    ROUTES,
    Impersonation,
    Output,
    check_options,
    refuse_operands,
)

# The argument of -p, and what it selects
PROTOCOLS = {"tcp": ("tcp",), "udp": ("udp",), "ip": ("raw",), "icmp": ("raw", "icmp")}
VERSIONS = {"ip": "4", "icmp": "4", "ip6": "6", "icmp6": "6"}
FAMILIES: dict[str, Family] = {"inet": "ipv4", "inet6": "ipv6", "unix": "unix", "local": "unix"}
ACCEPTED = {
    "macos": ("-a", "-n", "-p", "-f", "-l", "-v", "-b", "-W", "-t", "-d", "-u"),
    "freebsd": ("-a", "-n", "-p", "-f", "-l", "-W", "-4", "-6", "-u"),
    "openbsd": ("-a", "-n", "-p", "-f", "-l", "-v", "-u"),
}
# What makes the columns wide
WIDE = {"macos": ("-l",), "freebsd": ("-l", "-W"), "openbsd": ("-v",)}
QUEUES = "netinspect -l shows who waits at each listener (RECV-Q) and how many may (SEND-Q)"
INSTEAD = {
    "-r": ROUTES,
    "-R": ROUTES,
    "-i": INTERFACES,
    "-I": INTERFACES,
    "-s": COUNTERS,
    "-g": MULTICAST,
    "-w": REPEATED,
    "-c": REPEATED,
    "-L": QUEUES,
    "-A": "addresses in the kernel are not told here",
    "-m": "memory of the kernel's network is not read; netinspect -e shows that of each socket",
}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As main() of netstat takes the flags together.

    :raises UsageError: a flag is not for sockets, or not offered here.
    """
    system = line.tool.system
    check_options(line, ACCEPTED[system], INSTEAD)
    refuse_operands(line)
    families = _families(line)
    protocols = _protocols(line, families)
    is_listening = system == "openbsd" and line.has("-l") and not line.has("-a")
    dialect = Bsd(
        output.names,
        SYSTEMS[system],
        has_all=line.has("-a") or is_listening,
        families=frozenset(families) or None,
        is_wide=line.has(*WIDE[system]),
        has_bytes=line.has("-b"),
        is_verbose=system == "macos" and line.has("-v"),
    )
    selection = select(protocols=protocols, listening=is_listening)
    return Impersonation(selection, dialect, () if line.has("-n") else (NOT_LOOKED_UP,))


def _families(line: CommandLine) -> list[Family]:
    """Those of -f, -4, -6 and -u; none is all."""
    words = [o.argument or "" for o in line.options if o.flag == "-f"][-1:]
    words += [word for flag, word in (("-4", "inet"), ("-6", "inet6")) if line.has(flag)]
    words += ["unix"] if line.has("-u") else []
    for word in words:
        if word not in FAMILIES:
            raise UsageError(f"netstat -f {word}: {_not_read(word)}")
    return [FAMILIES[word] for word in words]


def _protocols(line: CommandLine, families: list[Family]) -> list[str]:
    """The tables to read: what takes both IPv4 and IPv6 is asked for by either."""
    named = [o.argument or "" for o in line.options if o.flag == "-p"][-1:]
    for word in named:
        base = word.removesuffix("6") if word in VERSIONS else word
        if base not in PROTOCOLS:
            raise UsageError(f"netstat -p {word}: {_not_read(word)}")
        return [protocol + VERSIONS.get(word, "") for protocol in PROTOCOLS[base]]
    inet = ["tcp", "udp", "raw", "icmp"]
    if not families:
        return [*inet, "unix"]
    return (["unix"] if "unix" in families else []) + (inet if set(families) - {"unix"} else [])


def _not_read(word: str) -> str:
    return f"sockets of {word} are not read here"
