"""A command line of another system as a question to this one: which sockets, in which format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from netinspect.errors import UsageError
from netinspect.filters.selection import Selection
from netinspect.render.dialects.dialect import Dialect, Names, names_for
from netinspect.teach.command_line import CommandLine, Failure
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import flags_of, system_of, tools

# The module that knows what the command lines of a tool ask for
MODULES = {
    "linux_netstat": "as_gnu",
    "linux_ss": "as_ss",
    "busybox_netstat": "as_busybox",
    "macos_netstat": "as_bsd",
    "freebsd_netstat": "as_bsd",
    "openbsd_netstat": "as_bsd",
    "freebsd_sockstat": "as_sockstat",
    "windows_netstat": "as_windows",
}
NOT_LOOKED_UP = "addresses and ports are shown as numbers, as with -n: no names are looked up"


class Impersonation(NamedTuple):
    """What a command line asks for.

    :param remarks: what is otherwise than there.
    :param sources: where it is from what the words mean there.
    """

    selection: Selection
    dialect: Dialect
    remarks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Output(NamedTuple):
    """What is printed to: how names of strangers are, and the columns of the terminal, if any."""

    names: Names
    width: int | None


Meaning = Callable[[CommandLine, Output], Impersonation]


def impersonate(
    system: str, argv: Sequence[str], *, is_terminal: bool = False, width: int | None = None
) -> Impersonation:
    """What a command line asks for on a system.

    :param system: `gnu`, `macos`, `freebsd` and so on, or `ss`.
    :param argv: the words, the name of the program first.
    :param is_terminal: names of strangers are escaped.
    :param width: columns to fill, as ss does on a terminal; None to take what is needed.
    :raises UsageError: it fails there as well, or cannot be done here.
    """
    line = take_apart("linux" if system.casefold() == "ss" else system_of(system), argv)
    if line.tool.id not in MODULES:
        offered = ", ".join(f"{tools()[name].title}" for name in MODULES)
        raise UsageError(f"the output of {line.tool.title} is not offered, only of: {offered}")
    remarks: tuple[str, ...] = ()
    if line.error:
        remarks = (_warning(line.error),)
        line = _before(line, line.error)
    module = import_module(f"netinspect.teach.{MODULES[line.tool.id]}")
    meaning: Meaning = module.meaning
    found = meaning(line, Output(names_for(is_terminal=is_terminal), width))
    return found._replace(remarks=(*remarks, *found.remarks), sources=sources_of(line))


def sources_of(line: CommandLine) -> tuple[str, ...]:
    """Where it is from what the flags of a command line mean, and how it is read."""
    known = flags_of(line.tool)
    found = (known[option.flag].source for option in line.options if option.flag in known)
    return tuple(dict.fromkeys((*found, line.tool.source)))


def _warning(error: Failure) -> str:
    """What it says there, if it goes on all the same.

    :raises UsageError: it ends.
    """
    if error.continues:
        return error.message
    status = "" if error.exit_status is None else f" (exit status {error.exit_status} there)"
    raise UsageError(f"it fails there as well: {error.message}{status}")


def _before(line: CommandLine, error: Failure) -> CommandLine:
    """The command line as far as the system has read it."""
    return line._replace(options=tuple(o for o in line.options if o.argument_place != error.place))


def check_options(line: CommandLine, accepted: Collection[str], instead: Mapping[str, str]) -> None:
    """Refuse what makes no sense here.

    :param accepted: the flags that are understood.
    :param instead: of others: why not, and where there is something like it.
    :raises UsageError: another flag was given.
    """
    for option in line.options:
        if option.flag not in accepted:
            raise UsageError(
                f"{line.tool.program} {option.flag}: {_reason(line, option.flag, instead)}"
            )


def _reason(line: CommandLine, flag: str, instead: Mapping[str, str]) -> str:
    if flag in instead:
        return instead[flag]
    known = flags_of(line.tool).get(flag)
    if known is None:
        return "this is not offered here"
    return f"not offered here; there it means: {known.meaning.rstrip('.')}"


def refuse_operands(line: CommandLine) -> None:
    """Refuse an interval, a file of a kernel and the like.

    :raises UsageError: there is an operand.
    """
    if line.operands:
        raise UsageError(f"{line.tool.program} {line.operands[0].text}: {REPEATED}")


REPEATED = "nothing is repeated here: watch -n 5 netinspect as ..."
ROUTES = "routes are no sockets: ip route"
INTERFACES = "interfaces are no sockets: ip -s link"
COUNTERS = "counters of the protocols are not read; netinspect summary counts the sockets"
MULTICAST = "multicast groups are no sockets: ip maddr"
