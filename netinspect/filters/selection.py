"""All filter options as one question: a query for the source, and two tests of what it answers."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Collection, Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from netinspect.errors import UsageError
from netinspect.filters.ports import parse_ports
from netinspect.filters.words import (
    DEFAULT_PROTOCOLS,
    FAMILIES,
    parse_directions,
    parse_exposures,
    parse_states,
    parse_tables,
)
from netinspect.model import (
    LISTENING,
    Connection,
    Direction,
    Exposure,
    State,
    Table,
    decode_name,
)
from netinspect.query import (
    TRUE,
    Condition,
    Network,
    PortRange,
    Query,
    all_of,
    any_of,
    known_to_sources,
    leaves,
)

Test = Callable[[Connection], bool]

# As in ss: a datagram socket without a peer listens, a unix one does not.
DATAGRAM_LISTENERS = ("udp", "udplite", "raw", "icmp")
# Numbers of tcp_info that an expression can test
TCP_INFO_KEYS = ("rtt_ms", "retransmits_total")
LONGEST_PID = 10  # digits: it has 32 bits at most
LONGEST_NAME = 4096


class Selection(Struct, frozen=True, kw_only=True):
    """Which sockets are asked for. All conditions must hold; the values of one are alternatives."""

    tables: tuple[Table, ...]
    states: frozenset[State] | None = None
    listening: bool = False
    pids: frozenset[int] | None = None
    processes: tuple[re.Pattern[str], ...] | None = None
    users: frozenset[str] | None = None
    exposures: frozenset[Exposure] | None = None
    directions: frozenset[Direction] | None = None
    port_clauses: tuple[tuple[PortRange, ...], ...] = ()
    network_clauses: tuple[tuple[Network, ...], ...] = ()
    expression: Condition = TRUE
    text: str = ""  # of the expression

    def query(self) -> Query:
        """What to ask the source: it tests these itself as far as it can."""
        states = self.states
        if self.listening or self.exposures is not None:  # only listeners have one
            states = LISTENING if states is None else LISTENING & states
        return Query(
            tables=self.tables,
            states=states,
            condition=self._condition(),
            is_extended=any(
                getattr(leaf, "key", None) in TCP_INFO_KEYS for leaf in leaves(self.expression)
            ),
        )

    def _condition(self) -> Condition:
        clauses: tuple[tuple[Condition, ...], ...] = (*self.port_clauses, *self.network_clauses)
        condition = all_of(map(any_of, clauses)) if clauses else TRUE
        return all_of((condition, known_to_sources(self.expression)))

    def expanded(self) -> list[Selection]:
        """Selections that together are this one, each to be asked and tested by itself.

        There is one, unless what only the kernel can test stands beside what it cannot.

        :raises ExpressionError: it would take too many.
        """
        if self.expression == TRUE:
            return [self]
        from netinspect.filters.expansion import expand

        return [
            replace(self, tables=tables, expression=expression)
            for tables, expression in expand(
                self.tables, self.query().states, self.expression, self.text
            )
        ]

    @property
    def is_all_asked(self) -> bool:
        """Whether the query says all that there is to test but the owners."""
        others = (self.users, self.exposures, self.directions)
        is_told = known_to_sources(self.expression) == self.expression
        return is_told and all(other is None for other in others)

    @property
    def needs_direction(self) -> bool:
        """Whether a test needs the direction of a connection."""
        keys = (getattr(leaf, "key", None) for leaf in leaves(self.expression))
        return self.directions is not None or "direction" in keys

    @property
    def needs_user(self) -> bool:
        """Whether a test needs the user, which some systems tell with the owners only."""
        return self.users is not None or any(
            hasattr(leaf, "user") for leaf in leaves(self.expression)
        )

    def may_be_in_time_wait(self) -> bool:
        """Whether a socket in TIME_WAIT can be selected: on Linux it has no process and no user."""
        states, told = self.query().states, (self.pids, self.processes, self.users)
        is_left_out = states is not None and "TIME_WAIT" not in states
        if is_left_out or any(condition is not None for condition in told):
            return False
        if self.expression == TRUE:
            return True
        from netinspect.filters.expansion import may_hold_in_time_wait

        return may_hold_in_time_wait(self.expression)

    def socket_test(self) -> Test | None:
        """The test of what the socket itself tells; None when everything passes."""
        tests = [*self._state_tests(), *self._user_tests(), *self._place_tests()]
        if self.expression != TRUE:
            from netinspect.filters.expansion import socket_tests

            tests += socket_tests(self.expression)
        return _all_of(tests)

    def selects_process(self, pid: int, name: str | None) -> bool:
        """Whether --pid and --process let this one through; expressions are about sockets."""
        return (self.pids is None or pid in self.pids) and (
            self.processes is None or _is_named(name, self.processes)
        )

    def owner_test(self) -> Test | None:
        """The test of a socket that has its owners; None when everything passes."""
        pids, patterns = self.pids, self.processes
        tests: list[Test] = []
        if pids is not None:
            tests.append(lambda c: any(owner.pid in pids for owner in c.owners))
        if patterns is not None:
            tests.append(lambda c: any(_is_named(owner.process, patterns) for owner in c.owners))
        if self.expression != TRUE:
            from netinspect.filters.expansion import owner_tests

            tests += owner_tests(self.expression)
        return _all_of(tests)

    def _state_tests(self) -> Iterable[Test]:
        states = self.states
        if states is not None:
            yield lambda c: c.state in states
        if self.listening:
            yield _is_listening
        exposures, directions = self.exposures, self.directions
        if exposures is not None:
            yield lambda c: c.exposure in exposures
        if directions is not None:
            yield lambda c: c.direction in directions

    def _user_tests(self) -> Iterable[Test]:
        users = self.users
        if users is not None:
            yield lambda c: c.user in users or (c.uid is not None and str(c.uid) in users)

    def _place_tests(self) -> Iterable[Test]:
        for ports in self.port_clauses:
            yield _port_test(ports)
        for networks in self.network_clauses:
            yield _network_test(networks)


def select(  # noqa: PLR0913 one argument a filter option, as the command line has them
    *,
    protocols: Iterable[str] | None = None,
    families: Iterable[str] | None = None,
    states: Iterable[str] | None = None,
    listening: bool = False,
    pids: Iterable[int] | None = None,
    processes: Iterable[str] | None = None,
    users: Iterable[str] | None = None,
    exposures: Iterable[str] | None = None,
    directions: Iterable[str] | None = None,
    ports: Iterable[str] | None = None,
    local_ports: Iterable[str] | None = None,
    remote_ports: Iterable[str] | None = None,
    addresses: Iterable[str] | None = None,
    local_addresses: Iterable[str] | None = None,
    remote_addresses: Iterable[str] | None = None,
    expression: str | None = None,
    tables: tuple[Table, ...] | None = None,
) -> Selection:
    """The selection that these words describe; None leaves a condition out.

    :param tables: what to look at when no protocol is named, or all; None for TCP and UDP.
    :raises UsageError: a word is not what its option takes.
    """
    protocols = None if protocols is None else list(protocols)
    asked = _tables(protocols, families)
    if tables is not None and (protocols is None or "all" in map(str.casefold, protocols)):
        asked = _of(tables, families)
    tables, condition = asked, TRUE
    if expression is not None:
        from netinspect.filters.expansion import narrow
        from netinspect.filters.expression import parse_expression

        condition, named = parse_expression(expression)
        if protocols is None:
            wanted = FAMILIES if families is None else frozenset(families)
            tables += tuple(t for t in named if t not in tables and t.family in wanted)
        tables, condition = narrow(tables, condition)
    return Selection(
        tables=tables,
        states=None if states is None else parse_states(states),
        listening=listening,
        pids=None if pids is None else frozenset(pids),
        processes=None if processes is None else tuple(glob(word) for word in processes),
        users=None if users is None else frozenset(decode_name(os.fsencode(u)) for u in users),
        exposures=None if exposures is None else parse_exposures(exposures),
        directions=None if directions is None else parse_directions(directions),
        port_clauses=tuple(_port_clauses(ports, local_ports, remote_ports)),
        network_clauses=tuple(_network_clauses(addresses, local_addresses, remote_addresses)),
        expression=condition,
        text=expression or "",
    )


def _tables(protocols: Iterable[str] | None, families: Iterable[str] | None) -> tuple[Table, ...]:
    words = DEFAULT_PROTOCOLS if protocols is None else protocols
    return tuple(parse_tables(words, families))


def _of(tables: Iterable[Table], families: Iterable[str] | None) -> tuple[Table, ...]:
    wanted = None if families is None else frozenset(families)
    return tuple(table for table in tables if wanted is None or table.family in wanted)


def parse_pids(words: Iterable[str]) -> list[int]:
    """Process numbers.

    :raises UsageError: a word is no number.
    """
    return [_parse_pid(word) for word in words]


def _parse_pid(word: str) -> int:
    if word.isascii() and word.isdecimal() and len(word) <= LONGEST_PID:
        return int(word)
    raise UsageError(f"pid {word!r}: expected a process number such as 1234")


def _all_of(tests: Iterable[Test]) -> Test | None:
    tests = tuple(tests)
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda c: all(test(c) for test in tests)


def _is_listening(connection: Connection) -> bool:
    return connection.state == "LISTEN" or (
        connection.state == "UNCONN" and connection.protocol in DATAGRAM_LISTENERS
    )


def glob(word: str) -> re.Pattern[str]:
    """A pattern with `*`, `?` or `[` matches the whole name, any other word a part of it.

    :raises UsageError: it is longer than any name: a megabyte of it would take seconds.
    """
    if len(word) > LONGEST_NAME:
        raise UsageError(
            f"name {word[:40]!r}... is {len(word)} characters long: expected at most {LONGEST_NAME}"
        )
    name = decode_name(os.fsencode(word))
    pattern = name if any(sign in name for sign in "*?[") else f"*{name}*"
    return re.compile(fnmatch.translate(pattern))


def _is_named(process: str | None, patterns: Iterable[re.Pattern[str]]) -> bool:
    return process is not None and any(pattern.match(process) for pattern in patterns)


def _port_clauses(
    either: Iterable[str] | None, local: Iterable[str] | None, remote: Iterable[str] | None
) -> Iterable[tuple[PortRange, ...]]:
    if either is not None:
        ranges = parse_ports(either)
        yield tuple(PortRange(side, *r) for side in ("local", "remote") for r in ranges)
    if local is not None:
        yield tuple(PortRange("local", *r) for r in parse_ports(local))
    if remote is not None:
        yield tuple(PortRange("remote", *r) for r in parse_ports(remote))


def _network_clauses(
    either: Iterable[str] | None, local: Iterable[str] | None, remote: Iterable[str] | None
) -> Iterable[tuple[Network, ...]]:
    if either is not None:
        words = list(either)
        yield (*_networks(words, "local"), *_networks(words, "remote"))
    if local is not None:
        yield _networks(list(local), "local")
    if remote is not None:
        yield _networks(list(remote), "remote")


def _networks(words: Collection[str], side: Literal["local", "remote"]) -> tuple[Network, ...]:
    from netinspect.filters.addresses import device_of, parse_networks  # loads ipaddress: 5 ms

    networks = tuple(parse_networks(words, side))
    for word, network in zip(words, networks, strict=True):
        if device_of(network):
            raise UsageError(
                f"address {word!r}: only link-local addresses have a zone; for sockets that are "
                f"bound to a device ask for: dev {network.zone}"
            )
    return networks


def _port_test(ranges: tuple[PortRange, ...]) -> Test:
    local = [(r.low, r.high) for r in ranges if r.side == "local"]
    remote = [(r.low, r.high) for r in ranges if r.side == "remote"]
    return lambda c: _is_within(c.local_port, local) or _is_within(c.remote_port, remote)


def _is_within(port: int | None, ranges: Iterable[tuple[int, int]]) -> bool:
    return port is not None and any(low <= port <= high for low, high in ranges)


def _network_test(networks: tuple[Network, ...]) -> Test:
    from netinspect.filters.addresses import InNetwork

    local = InNetwork(n for n in networks if n.side == "local")
    remote = InNetwork(n for n in networks if n.side == "remote")
    return lambda c: local[c.local_address] or remote[c.remote_address]
