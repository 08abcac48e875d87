"""The tests of an expression on a record: those that sources know, and those that only we make."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from netinspect.filters.selection import TCP_INFO_KEYS, Test
from netinspect.model import Connection, Family, Table
from netinspect.query import (
    AllOf,
    AnyOf,
    Condition,
    Device,
    InTables,
    Network,
    Not,
    PortRange,
    Side,
    States,
)

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Number(Struct, frozen=True):
    """A test: this number of the record compares so; what is not known never does."""

    key: str
    comparison: str
    value: float


class OneOf(Struct, frozen=True):
    """A test: this key of the record has one of these values."""

    key: str
    values: frozenset[str]


class UserIs(Struct, frozen=True):
    """A test: the socket is owned by this user, name or uid."""

    user: str


class InFamily(Struct, frozen=True):
    """A test: the socket is of this family."""

    family: Family


class PathMatches(Struct, frozen=True):
    """A test: the unix address of `side` matches, the whole of it."""

    side: Side
    pattern: re.Pattern[str]


class AutoboundPath(Struct, frozen=True):
    """A test: a unix socket has no name, or one that the kernel chose (unix_autobind)."""


class Pid(Struct, frozen=True):
    """A test: the pid of one of the owners compares so."""

    comparison: str
    value: float


class ProcessNamed(Struct, frozen=True):
    """A test: the name of one of the owners matches."""

    pattern: re.Pattern[str]


# What can only be tested when the owners are there
OWNER_TERMS = (Pid, ProcessNamed)
AUTOBOUND_PATH = r"@[0-9a-f]{5}\Z"


def predicate(condition: Condition) -> Test:
    """The function that tests a record."""
    if isinstance(condition, AllOf):
        every = [predicate(part) for part in condition.parts]
        return lambda c: all(test(c) for test in every)
    if isinstance(condition, AnyOf):
        some = [predicate(part) for part in condition.parts]
        return lambda c: any(test(c) for test in some)
    if isinstance(condition, Not):
        test = predicate(condition.part)
        return lambda c: not test(c)
    return TESTS[type(condition)](condition)


def _number(term: Number) -> Test:
    compare, value = COMPARE[term.comparison], term.value
    if term.key in TCP_INFO_KEYS:
        get = operator.attrgetter(term.key)

        def test(c: Connection) -> bool:
            found = get(c.tcp_info) if c.tcp_info else None
            return found is not None and compare(found, value)

        return test
    get = operator.attrgetter(term.key)
    return lambda c: (found := get(c)) is not None and compare(found, value)


def _one_of(term: OneOf) -> Test:
    get = operator.attrgetter(term.key)
    return lambda c: get(c) in term.values


def _port(term: PortRange) -> Test:
    low, high = term.low, term.high
    get = operator.attrgetter(f"{term.side}_port")
    return lambda c: (port := get(c)) is not None and low <= port <= high


def _network(term: Network) -> Test:
    from netinspect.filters.addresses import InNetwork

    holds = InNetwork([term])
    get = operator.attrgetter(f"{term.side}_address")
    return lambda c: holds[get(c)]


def _path(term: PathMatches) -> Test:
    get, match = operator.attrgetter(f"{term.side}_address"), term.pattern.match
    return lambda c: c.family == "unix" and (path := get(c)) is not None and bool(match(path))


def _autobound_path(_: AutoboundPath) -> Test:
    return lambda c: (
        c.family == "unix"
        and (c.local_address is None or bool(re.match(AUTOBOUND_PATH, c.local_address)))
    )


def _user(term: UserIs) -> Test:
    user = term.user
    return lambda c: c.user == user or (c.uid is not None and str(c.uid) == user)


def _pid(term: Pid) -> Test:
    compare, value = COMPARE[term.comparison], term.value
    return lambda c: any(compare(owner.pid, value) for owner in c.owners)


def _process(term: ProcessNamed) -> Test:
    match = term.pattern.match
    return lambda c: any(o.process is not None and bool(match(o.process)) for o in c.owners)


TESTS: dict[type, Callable[[Any], Test]] = {
    States: lambda term: lambda c: c.state in term.states,
    InTables: lambda term: lambda c: Table(c.protocol, c.family) in term.tables,
    InFamily: lambda term: lambda c: c.family == term.family,
    Device: lambda term: lambda c: c.interface == term.name,
    PortRange: _port,
    Network: _network,
    Number: _number,
    OneOf: _one_of,
    UserIs: _user,
    PathMatches: _path,
    AutoboundPath: _autobound_path,
    Pid: _pid,
    ProcessNamed: _process,
}
