"""What command lines of netstat of BusyBox ask for."""

from __future__ import annotations

from netinspect.filters.selection import select
from netinspect.render.dialects.busybox import BusyBox
from netinspect.render.dialects.gnu import Shown
from netinspect.teach.command_line import CommandLine
from netinspect.teach.impersonate import (
    NOT_LOOKED_UP,
    ROUTES,
    Impersonation,
    Output,
    check_options,
)

PROTOCOLS = {"-t": "tcp", "-u": "udp", "-w": "raw", "-x": "unix"}
ACCEPTED = (*PROTOCOLS, "-a", "-l", "-e", "-n")
BUILD_OPTION = "an option of the build, which Debian's BusyBox does not have"
INSTEAD = {"-r": ROUTES, "-p": BUILD_OPTION, "-W": BUILD_OPTION}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As netstat_main() of networking/netstat.c takes the flags together. Operands do nothing.

    :raises UsageError: a flag is not for sockets, or not built in.
    """
    check_options(line, ACCEPTED, INSTEAD)
    named = [p for flag, p in PROTOCOLS.items() if line.has(flag)] or list(PROTOCOLS.values())
    has_inet = named != ["unix"]
    shown: Shown = "servers" if line.has("-l") else "connections"
    dialect = BusyBox(
        output.names,
        has_inet=has_inet,
        has_unix="unix" in named,
        shown="all" if line.has("-a") else shown,
    )
    remarks = (NOT_LOOKED_UP,) if has_inet and not line.has("-n") else ()
    return Impersonation(select(protocols=named), dialect, remarks)
