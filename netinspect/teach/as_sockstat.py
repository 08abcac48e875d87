"""What command lines of sockstat of FreeBSD ask for."""

from __future__ import annotations

from collections.abc import Iterable

from netinspect.errors import UsageError
from netinspect.filters.selection import select
from netinspect.render.dialects.sockstat import Shown, Sockstat
from netinspect.teach.command_line import CommandLine
from netinspect.teach.impersonate import Impersonation, Output, check_options, refuse_operands

ACCEPTED = ("-4", "-6", "-c", "-l", "-n", "-P", "-p", "-q", "-u", "-w")
INSTEAD = {"-L": "netinspect --exposure link,private,public,any", "-s": "netinspect shows states"}


def meaning(line: CommandLine, output: Output) -> Impersonation:
    """As main() of sockstat takes the flags together.

    :raises UsageError: a flag is not offered here.
    """
    check_options(line, ACCEPTED, INSTEAD)
    refuse_operands(line)
    is_inet = line.has("-4", "-6", "-P")
    versions = "".join(flag[1] for flag in ("-4", "-6") if line.has(flag))
    inet = _protocols(line)
    has_unix = line.has("-u") or not is_inet
    protocols = [*(inet if is_inet or not line.has("-u") else []), *(["unix"] if has_unix else [])]
    ports = [o.argument or "" for o in line.options if o.flag == "-p"]
    shown: Shown = "all"
    if line.has("-l") != line.has("-c"):
        shown = "listening" if line.has("-l") else "connected"
    dialect = Sockstat(
        output.names,
        shown,
        is_numeric=line.has("-n"),
        has_header=not line.has("-q"),
        versions=versions or "46",
    )
    return Impersonation(select(protocols=protocols, ports=_words(ports) or None), dialect)


def _protocols(line: CommandLine) -> list[str]:
    named = _words(o.argument or "" for o in line.options if o.flag == "-P")
    for word in named:
        if word not in ("tcp", "udp"):
            raise UsageError(f"sockstat -P {word}: sockets of {word} are not read here")
    return named or ["tcp", "udp"]


def _words(arguments: Iterable[str]) -> list[str]:
    return [word for argument in arguments for word in argument.split(",")]
