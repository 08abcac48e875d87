"""Words that findings share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from netinspect.model import Connection

# A finding shows so many of its sockets.
MOST_SHOWN = 10


def counted(things: Sequence[object], word: str) -> str:
    """`1 connection`, `12 connections`."""
    return f"1 {word}" if len(things) == 1 else f"{len(things)} {word}s"


def shown(sockets: Iterable[Connection]) -> tuple[Connection, ...]:
    """The first of them."""
    return tuple(islice(sockets, MOST_SHOWN))


def owner_text(connection: Connection) -> str:
    """`nginx (pid 7)`, or what is known in place of it."""
    if connection.pid is not None:
        return f"{connection.process or 'a process'} (pid {connection.pid})"
    return f"the owner of {end_text(connection)}"


def end_text(connection: Connection) -> str:
    """The local end: `127.0.0.1:80`, `[::1]:80`, `/run/socket`."""
    return _end(connection.local_address, connection.local_port)


def peer_text(connection: Connection) -> str:
    """The remote end."""
    return _end(connection.remote_address, connection.remote_port)


def _end(address: str | None, port: int | None) -> str:
    if port is None:
        return address or "a socket without a name"
    return f"[{address}]:{port}" if address and ":" in address else f"{address}:{port}"
