"""What command lines of netstat of Linux (net-tools) ask for."""

from __future__ import annotations

from netinspect.filters.selection import select
from netinspect.render.dialects.gnu import Gnu, Shown
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
)

PROTOCOLS = {"-t": "tcp", "-u": "udp", "-U": "udplite", "-w": "raw"}
FAMILIES = {
    "-4": "4",
    "--inet": "4",
    "--ip": "4",
    "-6": "6",
    "--inet6": "6",
    "-x": "unix",
    "--unix": "unix",
}
# The argument of -A
FAMILY_WORDS = {"inet": "4", "ip": "4", "inet6": "6", "ip6": "6", "unix": "unix"}
NUMERIC = ("-n", "--numeric-hosts", "--numeric-ports", "--numeric-users")
ACCEPTED = (*PROTOCOLS, *FAMILIES, *NUMERIC, "-A", "-a", "-l", "-p", "-e", "-o", "-W", "-v", "-N")
INSTEAD = {
    "-r": ROUTES,
    "-C": ROUTES,
    "-F": ROUTES,
    "-i": INTERFACES,
    "-s": COUNTERS,
    "-g": MULTICAST,
    "-M": "masqueraded connections are no sockets: conntrack -L",
    "-c": REPEATED,
    "-h": "netinspect explain says what each flag means",
}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As main() of netstat.c takes the flags together. Operands do nothing.

    :raises UsageError: a flag is not for sockets.
    """
    check_options(line, ACCEPTED, INSTEAD)
    families = _families(line)
    versions = families - {"unix"}
    inet = [p for flag, p in PROTOCOLS.items() if line.has(flag)]
    is_everything = not (inet or families)
    if versions or is_everything:
        inet = inet or list(PROTOCOLS.values())
    has_unix = "unix" in families or is_everything
    tables = [p + version for p in inet for version in sorted(versions or {"4", "6"})]
    shown: Shown = "servers" if line.has("-l") else "connections"
    dialect = Gnu(
        output.names,
        has_inet=bool(inet),
        has_unix=has_unix,
        shown="all" if line.has("-a") else shown,
        has_users=line.has("-e"),
        has_programs=line.has("-p"),
        has_timers=line.has("-o"),
        is_numeric=line.has("-n", "--numeric-users"),
        is_wide=line.has("-W"),
    )
    selection = select(protocols=[*tables, *(["unix"] if has_unix else [])])
    is_numeric = line.has("-n") or (line.has("--numeric-hosts") and line.has("--numeric-ports"))
    remarks = () if is_numeric or not inet else (NOT_LOOKED_UP,)
    return Impersonation(selection, dialect, remarks)


def _families(line: CommandLine) -> set[str]:
    words = [word for o in line.options if o.flag == "-A" for word in (o.argument or "").split(",")]
    named = {FAMILY_WORDS[word] for word in words if word in FAMILY_WORDS}
    return named | {family for flag, family in FAMILIES.items() if line.has(flag)}
