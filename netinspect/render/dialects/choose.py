"""The dialects of `-o`: the output of each program with the options that show as much."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from netinspect.model import Protocol
from netinspect.render.dialects.dialect import Dialect, names_for

if TYPE_CHECKING:
    from netinspect.render.dialects.gnu import Gnu
    from netinspect.render.dialects.ss import Ss


class Wanted(NamedTuple):
    """What to show.

    :param protocols: that were asked for.
    :param is_one_state: whether only sockets of one state were.
    :param width: columns of the terminal; None where there is none.
    """

    protocols: Collection[Protocol]
    is_one_state: bool = False
    has_owners: bool = True
    is_extended: bool = False
    has_header: bool = True
    width: int | None = None


def choose(name: str, wanted: Wanted) -> Dialect:
    """The dialect of this name, one of DIALECTS: numeric, and with all sockets that it knows.

    gnu is `netstat -anpW`, and -e and -o with `is_extended`; bsd `netstat -an` of macOS, and -lv;
    ss `ss -anp`, and -eimo; windows `netstat -anoq`.
    """
    names = names_for(is_terminal=wanted.width is not None)
    if name == "bsd":
        from netinspect.render.dialects.bsd import Bsd

        is_wide = wanted.is_extended
        return Bsd(names, is_wide=is_wide, is_verbose=is_wide and wanted.has_owners)
    if name == "windows":
        from netinspect.render.dialects.windows import Windows

        return Windows(names, has_bound=True, has_pids=wanted.has_owners)
    return _ss(wanted) if name == "ss" else _gnu(wanted)


def _gnu(wanted: Wanted) -> Gnu:
    from netinspect.render.dialects.gnu import Gnu

    return Gnu(
        names_for(is_terminal=wanted.width is not None),
        has_inet=any(protocol != "unix" for protocol in wanted.protocols),
        has_unix="unix" in wanted.protocols,
        has_users=wanted.is_extended,
        has_programs=wanted.has_owners,
        has_timers=wanted.is_extended,
        is_wide=True,
    )


def _ss(wanted: Wanted) -> Ss:
    from netinspect.render.dialects.ss import Ss
    from netinspect.render.dialects.ss_details import Details

    more = wanted.is_extended
    return Ss(
        names_for(is_terminal=wanted.width is not None),
        has_netid=len(wanted.protocols) > 1 or "unix" in wanted.protocols,
        has_state=not wanted.is_one_state,
        has_header=wanted.has_header,
        details=Details(wanted.has_owners, timers=more, details=more, memory=more, info=more),
        screen=wanted.width,
    )
