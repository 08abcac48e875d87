"""What command lines of netstat of Windows ask for."""

from __future__ import annotations

from netinspect.errors import UsageError
from netinspect.filters.selection import select
from netinspect.render.dialects.windows import Windows
from netinspect.teach.command_line import CommandLine
from netinspect.teach.impersonate import (
    COUNTERS,
    INTERFACES,
    NOT_LOOKED_UP,
    ROUTES,
    Impersonation,
    Output,
    check_options,
    refuse_operands,
)

# The argument of -p
PROTOCOLS = {"tcp": "tcp4", "udp": "udp4", "tcpv6": "tcp6", "udpv6": "udp6"}
ACCEPTED = ("-a", "-n", "-o", "-b", "-p", "-q")
INSTEAD = {"-r": ROUTES, "-s": COUNTERS, "-e": INTERFACES}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As its help text says.

    :raises UsageError: a flag is not for sockets, or not offered here.
    """
    check_options(line, ACCEPTED, INSTEAD)
    refuse_operands(line)
    named = [(o.argument or "").casefold() for o in line.options if o.flag == "-p"]
    for word in named:
        if word not in PROTOCOLS:
            raise UsageError(f"netstat -p {word}: sockets of {word} are not read here")
    protocols = [PROTOCOLS[word] for word in named] or ["tcp", "udp"]
    dialect = Windows(
        output.names,
        has_all=line.has("-a"),
        has_bound=line.has("-q"),
        has_pids=line.has("-o"),
        has_programs=line.has("-b"),
    )
    return Impersonation(
        select(protocols=protocols), dialect, () if line.has("-n") else (NOT_LOOKED_UP,)
    )
