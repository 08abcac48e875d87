"""What are this machine's sockets doing, whose are they, and is that a problem?

>>> import netinspect
>>> netinspect.snapshot(states=["TIME_WAIT"]).connections  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netinspect.api import group_by, snapshot
    from netinspect.errors import NetinspectError, ParseError, SourceError, UsageError
    from netinspect.model import Connection, Note, Owner, Snapshot, State, Timer

__version__ = "0.1.0"

__all__ = [
    "Connection",
    "NetinspectError",
    "Note",
    "Owner",
    "ParseError",
    "Snapshot",
    "SourceError",
    "State",
    "Timer",
    "UsageError",
    "__version__",
    "group_by",
    "snapshot",
]

_ROOM_OF = {
    **dict.fromkeys(("group_by", "snapshot"), "api"),
    **dict.fromkeys(("NetinspectError", "ParseError", "SourceError", "UsageError"), "errors"),
    **dict.fromkeys(("Connection", "Note", "Owner", "Snapshot", "State", "Timer"), "model"),
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    return value
