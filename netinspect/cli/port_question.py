"""What `netinspect port` asks: the sockets, the kernel's settings, and bind() itself."""

from __future__ import annotations

import os
import socket
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from netinspect.addresses import address_order
from netinspect.api import Listing
from netinspect.diagnose.bind import (
    ANY_IPV4,
    ANY_IPV6,
    EVERYWHERE,
    SOCKET_OPTIONS,
    BindAddress,
    Binder,
    Outcome,
)
from netinspect.diagnose.port import Question, Tried, answer, differences
from netinspect.diagnose.port_record import Neighbour, PortAnswer, Ports
from netinspect.errors import SourceError
from netinspect.filters.selection import select
from netinspect.model import Connection, Family, Note, Protocol, State, Table
from netinspect.owners import find_owners
from netinspect.query import PortRange, Query, any_of
from netinspect.sources.binding import (
    CAN_TRY,
    has_family,
    local_addresses,
    may_take_low_ports,
    try_bind,
)
from netinspect.sources.capture import Captures
from netinspect.sources.namespaces import Namespace, other_namespaces, sockets_inside
from netinspect.sources.settings import read_settings

MOST_NAMESPACES = 64  # each costs a thread and a dump of its listeners
LISTENERS: dict[Protocol, State] = {"tcp": "LISTEN", "udp": "UNCONN"}
# What is said of sources that are asked for what --extended shows
NO_MATTER = frozenset({"extended_unsupported"})


class Wanted(NamedTuple):
    """The question, as it was typed."""

    ranges: tuple[tuple[int, int], ...]
    tables: tuple[Table, ...]
    addresses: tuple[str, ...]
    is_probing: bool
    source: str
    captures: Captures | None

    @property
    def can_try(self) -> bool:
        """Whether bind() is asked."""
        return self.is_probing and CAN_TRY and self.captures is None

    @property
    def ports(self) -> list[int]:
        """Each once."""
        return list(dict.fromkeys(p for low, high in self.ranges for p in range(low, high + 1)))


def ask(wanted: Wanted) -> Ports:
    """The answers.

    :raises SourceError: the sockets cannot be read.
    """
    protocols = tuple(dict.fromkeys(table.protocol for table in wanted.tables))
    listing = _listing(wanted, protocols)
    sockets: dict[tuple[Protocol, int | None], list[Connection]] = defaultdict(list)
    for connections in map(listing.describe, listing):
        for connection in connections:
            sockets[connection.protocol, connection.local_port].append(connection)
    binder = _binder(listing)
    namespaces = _namespaces(wanted)
    neighbours = _neighbours(namespaces[:MOST_NAMESPACES], wanted, protocols)
    answers = tuple(
        _answer(question, sockets[protocol, port], binder, wanted, neighbours[protocol, port])
        for protocol in protocols
        for port in wanted.ports
        for question in [_question(port, protocol, wanted, binder)]
    )
    notes = (
        *_notes(listing, wanted, protocols),
        *differences(answers),
        *_unread(namespaces[MOST_NAMESPACES:]),
    )
    envelope = listing.envelope
    return Ports(
        host=envelope.host,
        platform=envelope.platform,
        sources=envelope.sources,
        taken_at=envelope.taken_at,
        uid=binder.uid,
        ports=answers,
        notes=notes,
    )


def _listing(wanted: Wanted, protocols: Iterable[Protocol]) -> Listing:
    """All sockets with these local ports, of both families: a port is not free in one alone."""
    selection = select(
        protocols=protocols, local_ports=[f"{low}-{high}" for low, high in wanted.ranges]
    )
    return Listing(
        selection,
        source=wanted.source,
        captures=wanted.captures,
        with_direction=True,
        is_extended=True,
    )


def _binder(listing: Listing) -> Binder:
    has_linux_rules = listing.envelope.platform == "linux"
    if listing.captures:
        return Binder(has_linux_rules=has_linux_rules)
    return Binder(
        uid=os.geteuid() if hasattr(os, "geteuid") else None,
        may_take_low_ports=may_take_low_ports(),
        addresses=local_addresses(),
        settings=read_settings(),
        has_linux_rules=has_linux_rules,
    )


def _question(port: int, protocol: Protocol, wanted: Wanted, binder: Binder) -> Question:
    families = {table.family for table in wanted.tables if table.protocol == protocol}
    if not wanted.captures:
        families = set(filter(has_family, families))
    return Question(
        port=port,
        protocol=protocol,
        service=_service(port, protocol),
        asked=tuple(_asked(wanted.addresses, families)),
        others=() if wanted.addresses else tuple(_others(families, binder)),
    )


def _asked(addresses: Iterable[str], families: set[Family]) -> Iterator[BindAddress]:
    """The addresses that were named, or all of these families."""
    named = set(addresses)
    for where in EVERYWHERE:
        is_named = where.address in named if named else where.family in families
        # Without IPv4 there is no dual stack to ask for.
        if is_named and (named or not where.dual_stack or "ipv4" in families):
            yield where
    yield from (BindAddress(a) for a in addresses if a not in (ANY_IPV4, ANY_IPV6))


def _others(families: set[Family], binder: Binder) -> Iterator[BindAddress]:
    """The addresses of this machine, one by one."""
    for address in sorted(binder.addresses or (), key=address_order):
        where = BindAddress(address)
        if where.family in families:
            yield where


def _service(port: int, protocol: Protocol) -> str | None:
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return None


def _answer(
    question: Question,
    sockets: list[Connection],
    binder: Binder,
    wanted: Wanted,
    neighbours: list[Neighbour],
) -> PortAnswer:
    tried = _try(question, question.asked) if wanted.can_try else {}
    if tried and all(tried[where, "plain"].works for where in question.asked):
        # Each address alone is free then.
        question = question._replace(others=())
    elif tried:
        tried |= _try(question, question.others)
    return answer(question, sockets, binder, tried=tried, neighbours=neighbours)


def _try(question: Question, places: Iterable[BindAddress]) -> Tried:
    """What bind() says of each address, without an option and with each where that may matter."""
    tried: Tried = {}
    for option, name in SOCKET_OPTIONS.items():
        for where in places:
            if name and (question.protocol == "udp" or tried[where, "plain"].works):
                continue
            error = try_bind(
                where.address, question.port, question.protocol, name, v6only=where.is_v6only
            )
            tried[where, option] = Outcome(works=error is None, error=error)
    return tried


def _notes(listing: Listing, wanted: Wanted, protocols: Iterable[Protocol]) -> Iterator[Note]:
    yield from (note for note in listing.notes if note.code not in NO_MATTER)
    sources = [name for name in listing.envelope.sources if name != "sock_diag"]
    if "tcp" in protocols and sources and not wanted.can_try:
        message = (
            f"{', '.join(sources)}: sockets that are bound and nothing more may not be shown "
            "there, so a port may be taken by one of those"
        )
        yield Note("bound_unseen", None, message)
    if "tcp" in protocols and wanted.captures and not _has_listener(wanted.captures):
        message = (
            "no TCP listener is in the capture, as where -a was left out: a port may be taken by "
            "one of those"
        )
        yield Note("listeners_unseen", None, message)


def _has_listener(captures: Captures) -> bool:
    return any(c.protocol == "tcp" and c.state == "LISTEN" for c in captures.listeners())


def _namespaces(wanted: Wanted) -> list[Namespace]:
    """The other network namespaces, where this can be asked."""
    is_here = sys.platform == "linux" and wanted.captures is None
    return other_namespaces() if is_here and wanted.source in ("auto", "sock_diag") else []


def _unread(namespaces: Sequence[Namespace]) -> Iterator[Note]:
    if namespaces:
        message = f"{len(namespaces)} more network namespaces were not looked into"
        yield Note("namespaces_skipped", len(namespaces), message)


def _neighbours(
    namespaces: Iterable[Namespace], wanted: Wanted, protocols: Iterable[Protocol]
) -> dict[tuple[Protocol, int | None], list[Neighbour]]:
    """Who listens on these ports in other network namespaces, as far as we may look there."""
    found: dict[tuple[Protocol, int | None], list[Neighbour]] = defaultdict(list)
    query = Query(
        tables=tuple(Table(p, f) for p in protocols for f in ("ipv4", "ipv6")),
        states=frozenset(LISTENERS[protocol] for protocol in protocols),
        condition=any_of(PortRange("local", low, high) for low, high in wanted.ranges),
    )
    for namespace in namespaces:
        for connection in _with_owners(_sockets_inside(namespace, query)):
            neighbour = Neighbour(namespace.inode, connection.local_address, connection.owners)
            found[connection.protocol, connection.local_port].append(neighbour)
    return found


def _sockets_inside(namespace: Namespace, query: Query) -> list[Connection]:
    try:
        return sockets_inside(namespace, query)
    except SourceError:  # it has gone, or is not for us to enter: this is for information only
        return []


def _with_owners(connections: list[Connection]) -> list[Connection]:
    inodes = {c.inode for c in connections if c.inode}
    return find_owners(inodes).attach(connections) if inodes else []
