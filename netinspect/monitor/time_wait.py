"""What there is to know before TIME_WAIT is counted: whether it can be, and whose ports count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netinspect.api import Listing
from netinspect.filters.selection import Selection, select
from netinspect.query import TRUE
from netinspect.sources.platforms import platform

if TYPE_CHECKING:
    from netinspect.sources.capture import Captures

TCP_TABLES = 2


def leaves_out_time_wait(selection: Selection) -> bool:
    """Whether no socket in TIME_WAIT can be selected; other systems tell who had one."""
    return platform() == "linux" and not selection.may_be_in_time_wait()


def is_all(listing: Listing) -> bool:
    """Whether every TCP socket is counted."""
    selection = listing.selection
    is_whole = len(selection.tables) == TCP_TABLES and selection.query().condition == TRUE
    return is_whole and not listing.has_test


def listened_ports(source: str, captures: Captures | None) -> set[int]:
    """The ports of all TCP listeners, whatever a selection leaves out."""
    if captures is None:
        return ports_in("listen", source)
    return {
        c.local_port
        for c in captures.listeners()
        if c.state == "LISTEN" and c.local_port is not None
    }


def ports_in(state: str, source: str) -> set[int]:
    """The local ports of all TCP sockets in this state."""
    everything = select(protocols=["tcp"], states=[state])
    listing = Listing(everything, source=source, with_owners=False)
    return {c.local_port for sockets in listing for c in sockets if c.local_port is not None}
