"""What a source is asked: tables, states, and one condition on each socket.

A condition is a tree of AllOf, AnyOf and Not over the tests below, which are those that a kernel
may be able to make itself. Trees are made with `all_of`, `any_of` and `negation`, which leave out
what does not matter, so that TRUE and FALSE stand alone or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from netinspect.model import STATES, Protocol, State, Table

Side = Literal["local", "remote"]
# Sockets of the others have no port that the record would tell.
WITH_PORTS: frozenset[Protocol] = frozenset({"tcp", "udp", "udplite"})
ALL_STATES = frozenset(STATES)
# What sockets of a protocol can be in.
TCP_STATES = ALL_STATES - {"UNCONN", "UNKNOWN"}
UNIX_STATES: frozenset[State] = frozenset({"ESTABLISHED", "LISTEN", "UNCONN"})
DATAGRAM_STATES: frozenset[State] = frozenset({"ESTABLISHED", "UNCONN"})


HIGHEST_PORT = 65_535


class PortRange(NamedTuple):
    """A test: the port of `side` lies between `low` and `high`, both included."""

    side: Side
    low: int
    high: int


class Network(NamedTuple):
    """A test: the address of `side` lies in a network (a host is a network of full length).

    `packed` is in network byte order, 4 bytes or 16. A 4-byte network also holds the v4-mapped
    IPv6 addresses of its members, as in the kernel's own test (net/ipv4/inet_diag.c).
    """

    side: Side
    packed: bytes
    prefix_length: int
    zone: str | None = None


class States(Struct, frozen=True):
    """A test: the socket is in one of these states."""

    states: frozenset[State]


class InTables(Struct, frozen=True):
    """A test: the socket is of one of these protocols and families."""

    tables: frozenset[Table]


class Device(Struct, frozen=True):
    """A test: the socket is bound to this device."""

    name: str
    index: int


class Mark(Struct, frozen=True):
    """A test: of the socket's mark (SO_MARK) the bits of `mask` are `value`."""

    value: int
    mask: int


class Cgroup(Struct, frozen=True):
    """A test: the socket was made in this cgroup, by its path in the cgroup2 file system."""

    path: str


class CgroupId(Struct, frozen=True):
    """The same test as the kernel makes it: by the number of the cgroup."""

    number: int


class Autobound(Struct, frozen=True):
    """A test: the kernel chose the local port."""


class AllOf(Struct, frozen=True):
    """All parts hold."""

    parts: tuple[Condition, ...]


class AnyOf(Struct, frozen=True):
    """At least one part holds."""

    parts: tuple[Condition, ...]


class Not(Struct, frozen=True):
    """The part does not hold."""

    part: Condition


# A leaf may be any value that can be hashed: the tests that only filters know are others.
Leaf: TypeAlias = PortRange | Network | Struct
Condition: TypeAlias = AllOf | AnyOf | Not | Leaf
Substitute = Callable[[Leaf, bool], Condition]

TRUE: Condition = AllOf(())
FALSE: Condition = AnyOf(())
# What the record does not tell: only a kernel that makes the test can.
UNTOLD = (Mark, Cgroup, CgroupId, Autobound)
# What sock_diag alone tells of the sockets that have it.
SOCK_DIAG_ONLY = (*UNTOLD, Device)


class Query(Struct, frozen=True, kw_only=True):
    """What a source is asked. It may answer with more than this; it never answers with less.

    What of the condition is only known to the kernel (UNTOLD) it has to keep to, or refuse.
    `is_extended` asks for what `--extended` shows as well. Without `needs_owners` nobody will look
    at the owners: a source that has to search for them need not. With `needs_holders` somebody
    looks at more than a process of each socket: all that hold it, their descriptors, the user.
    Without `needs_records` the sockets are only counted.
    """

    tables: tuple[Table, ...]
    states: frozenset[State] | None = None
    condition: Condition = TRUE
    is_extended: bool = False
    needs_owners: bool = True
    needs_holders: bool = True
    needs_records: bool = True


def all_of(parts: Iterable[Condition]) -> Condition:
    """The condition that all these hold."""
    flat = [p for part in parts for p in (part.parts if isinstance(part, AllOf) else (part,))]
    if FALSE in flat:
        return FALSE
    flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else AllOf(tuple(flat))


def any_of(parts: Iterable[Condition]) -> Condition:
    """The condition that at least one of these holds."""
    flat = [p for part in parts for p in (part.parts if isinstance(part, AnyOf) else (part,))]
    if TRUE in flat:
        return TRUE
    flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else AnyOf(tuple(flat))


def negation(condition: Condition) -> Condition:
    """The condition that this one does not hold."""
    if isinstance(condition, Not):
        return condition.part
    if condition in (TRUE, FALSE):
        return FALSE if condition == TRUE else TRUE
    return Not(condition)


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """The parts that must all hold."""
    return condition.parts if isinstance(condition, AllOf) else (condition,)


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Every test in it, from left to right."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        yield condition


def substitute(condition: Condition, put: Substitute, *, upper: bool = True) -> Condition:
    """The condition with `put(leaf, upper)` in the place of each leaf.

    `upper` turns at each Not: what is put for it may hold more often than the leaf where it is
    true, and less often where it is false; then the whole holds more often, never less.
    """
    if isinstance(condition, AllOf):
        return all_of(substitute(part, put, upper=upper) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any_of(substitute(part, put, upper=upper) for part in condition.parts)
    if isinstance(condition, Not):
        return negation(substitute(condition.part, put, upper=not upper))
    return put(condition, upper)


def negated_leaves(condition: Condition) -> frozenset[Leaf]:
    """The tests in it that stand under a Not, or an odd number of them."""
    found: set[Leaf] = set()

    def note(leaf: Leaf, upper: bool) -> Leaf:
        if not upper:
            found.add(leaf)
        return leaf

    substitute(condition, note)
    return frozenset(found)


def unknown(upper: bool) -> Condition:
    """What to put for a leaf that cannot be tested."""
    return TRUE if upper else FALSE


def known_to_sources(condition: Condition) -> Condition:
    """The condition, with what no source can test taken for met."""
    known = (PortRange, Network, States, InTables, *SOCK_DIAG_ONLY)
    return substitute(
        condition, lambda leaf, upper: leaf if isinstance(leaf, known) else unknown(upper)
    )


def at_tables(condition: Condition, tables: Iterable[Table]) -> Condition:
    """What is left of the condition for the sockets of these tables."""
    wanted = frozenset(tables)
    has_ports = any(table.protocol in WITH_PORTS for table in wanted)
    is_inet = any(table.family in ("ipv4", "ipv6") for table in wanted)

    def put(leaf: Leaf, _upper: bool) -> Condition:
        if isinstance(leaf, InTables):
            found = wanted & leaf.tables
            return InTables(found) if found and found != wanted else unknown(bool(found))
        if isinstance(leaf, PortRange):
            return leaf if has_ports else FALSE
        if isinstance(leaf, (Network, *SOCK_DIAG_ONLY)):
            return leaf if is_inet else FALSE
        return leaf

    return substitute(condition, put)


def possible_states(condition: Condition, *, upper: bool = True) -> frozenset[State]:
    """The states of which it may hold; with `upper` false those of which it always holds."""
    if isinstance(condition, AllOf):
        return ALL_STATES.intersection(*(possible_states(p, upper=upper) for p in condition.parts))
    if isinstance(condition, AnyOf):
        nothing: frozenset[State] = frozenset()
        return nothing.union(*(possible_states(p, upper=upper) for p in condition.parts))
    if isinstance(condition, Not):
        return ALL_STATES - possible_states(condition.part, upper=not upper)
    if isinstance(condition, States):
        return condition.states
    return ALL_STATES if upper else frozenset()


def states_of(protocol: Protocol) -> frozenset[State]:
    """The states that sockets of this protocol can be in."""
    return {"tcp": TCP_STATES, "unix": UNIX_STATES}.get(protocol, DATAGRAM_STATES)


def asked_states(
    states: frozenset[State] | None, condition: Condition, tables: Iterable[Table]
) -> frozenset[State]:
    """Those of the states (None: of all) in which sockets of these tables may meet the condition.

    For datagrams this keeps CLOSE out, which is no state of theirs, but to the kernel the same
    number as UNCONN: where a condition says "not UNCONN" the mask would let them all through.
    """
    named: frozenset[State] = frozenset({"UNKNOWN"})
    named = named.union(*(states_of(table.protocol) for table in tables))
    possible = named & possible_states(condition)
    return possible if states is None else possible & states


# In these the kernel may keep the address of a former peer; the record says that there is none.
PEERLESS: frozenset[State] = frozenset({"LISTEN", "CLOSE", "UNCONN", "BOUND"})
ANY_IPV6 = Network("local", bytes(16), 0)


class KernelTest(NamedTuple):
    """What a kernel is asked of some tables: the states, and a condition without States."""

    states: frozenset[State] | None
    condition: Condition


def kernel_test(query: Query, tables: Iterable[Table]) -> KernelTest:
    """The part of a query that a kernel can test itself, of these tables in one dump."""
    if query.condition == TRUE:
        return KernelTest(query.states, TRUE)
    tables = tuple(tables)
    condition = at_tables(query.condition, tables)
    states = asked_states(query.states, condition, tables)
    is_narrower = states < asked_states(None, TRUE, tables)
    return KernelTest(states if is_narrower else None, kernel_bound(condition, states, upper=True))


def decided_states(query: Query, tables: Iterable[Table]) -> frozenset[State]:
    """The states of which a kernel that is asked so brings just what meets the condition.

    Not those without a peer: what it takes for their peer is not what the record tells.
    """
    tables = tuple(tables)
    condition = at_tables(query.condition, tables)
    states = asked_states(query.states, condition, tables) - PEERLESS
    is_decided = kernel_test(query, tables).condition == kernel_bound(
        condition, states, upper=False
    )
    return states if is_decided else frozenset()


def kernel_bound(condition: Condition, states: frozenset[State], *, upper: bool) -> Condition:
    """What of the condition the kernel can tell of sockets in these states.

    With `upper` it holds wherever the condition does, without it nowhere else. Where both are the
    same, the kernel decides alone.
    """
    has_peerless = bool(states & PEERLESS)

    def put(leaf: Leaf, upper: bool) -> Condition:
        if isinstance(leaf, States):
            is_certain = states <= leaf.states or not states & leaf.states
            return unknown(bool(states & leaf.states) if is_certain else upper)
        if isinstance(leaf, InTables):  # of one protocol and family only, see `at_tables`
            is_ipv6 = any(table.family == "ipv6" for table in leaf.tables)
            return ANY_IPV6 if is_ipv6 else negation(ANY_IPV6)
        if isinstance(leaf, (PortRange, Network)):
            has_zone = isinstance(leaf, Network) and leaf.zone is not None
            is_vague = has_zone or (leaf.side == "remote" and has_peerless)
            return FALSE if is_vague and not upper else _without_zone(leaf)
        return leaf if isinstance(leaf, SOCK_DIAG_ONLY) else unknown(upper)

    return substitute(condition, put, upper=upper)


def _without_zone(leaf: PortRange | Network) -> PortRange | Network:
    return leaf._replace(zone=None) if isinstance(leaf, Network) else leaf
