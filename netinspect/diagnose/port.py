"""Who has a port, and whether it can be had: the sockets on it, and what bind() says of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from netinspect.diagnose.bind import (
    ANY_IPV6,
    IN_USE,
    SOCKET_OPTIONS,
    BindAddress,
    Binder,
    BindOption,
    Outcome,
    conflicts,
    dual_stack_of,
    predict,
)
from netinspect.diagnose.port_advice import advice
from netinspect.diagnose.port_record import (
    Attempt,
    Cause,
    Holder,
    Neighbour,
    Place,
    PortAnswer,
    Role,
)
from netinspect.diagnose.port_words import Told, sentence
from netinspect.model import Connection, Note, Protocol
from netinspect.settings import Settings

Tried: TypeAlias = dict[tuple[BindAddress, BindOption], Outcome]

# What is named as the reason, of several: what has to be stopped before what goes by itself.
RANKS: dict[Role, int] = {
    "listener": 0,
    "bound": 1,
    "datagram": 1,
    "leftover": 2,
    "connection": 3,
    "client": 4,
    "accepted": 5,
    "request": 6,
}
CAUSES: dict[Role, Cause] = {
    "listener": "listener",
    "bound": "bound",
    "datagram": "datagram",
    "leftover": "leftover",
    "connection": "connection",
    "client": "client",
    "accepted": "listener",  # the listener met nobody, but what it accepted does
}
REFUSALS = frozenset({"EACCES", "EPERM"})


class Question(NamedTuple):
    """One port of one protocol, and where to bind it: `asked` must be free, `others` may be."""

    port: int
    protocol: Protocol
    service: str | None
    asked: tuple[BindAddress, ...]
    others: tuple[BindAddress, ...] = ()


def answer(
    question: Question,
    sockets: Sequence[Connection],
    binder: Binder,
    *,
    tried: Tried,
    neighbours: Iterable[Neighbour] = (),
) -> PortAnswer:
    """The answer to a question about a port.

    :param sockets: those with this local port, with owners and direction; extended, if it can be.
    :param tried: what bind() really said. What is not in there is predicted.
    """
    holders = _holders(question, sockets, binder)
    different = list({_obstacle(connection): connection for connection in sockets}.values())
    places = [
        _place(where, question, different, binder, tried)
        for where in (*question.asked, *question.others)
    ]
    asked = [place for place in places if place.asked]
    is_free = _all(place.plain.works for place in asked)
    cause = None if is_free else _cause(asked, holders)
    told = Told(question.port, question.protocol, cause, holders, places, binder)
    return PortAnswer(
        port=question.port,
        protocol=question.protocol,
        service=question.service,
        free=is_free,
        cause=cause,
        answer=sentence(told, is_free=is_free),
        advice=tuple(advice(told)),
        holders=holders,
        places=tuple(places),
        other_namespaces=tuple(neighbours),
    )


def differences(answers: Iterable[PortAnswer]) -> list[Note]:
    """Where bind() said something else than the sockets that there are: a note for each port."""
    notes = []
    for found in answers:
        if found.cause == "unseen":  # which says it already
            continue
        places = {
            place.address: None
            for place in found.places
            for attempt in (place.plain, place.reuse_address, place.reuse_port)
            if attempt.tried and attempt.predicted not in (None, attempt.works)
        }
        if places:
            message = (
                f"{found.protocol} port {found.port}: what bind() said of {', '.join(places)} does "
                "not follow from the sockets and addresses that were read; they may have changed "
                "in between, or something decides that is not shown there (a socket, a route, "
                "ip_nonlocal_bind)"
            )
            notes.append(Note("prediction_differs", len(places), message))
    return notes


def _all(outcomes: Iterable[bool | None]) -> bool | None:
    """Whether all are true; None when that depends on what is not told."""
    found = set(outcomes)
    if False in found:
        return False
    return None if None in found else True


def _any(outcomes: Iterable[bool | None]) -> bool | None:
    """Whether one is true; None when that depends on what is not told."""
    found = set(outcomes)
    if True in found:
        return True
    return None if None in found else False


def _place(
    where: BindAddress,
    question: Question,
    sockets: Sequence[Connection],
    binder: Binder,
    tried: Tried,
) -> Place:
    attempts: dict[BindOption, Attempt] = {}
    plain = tried.get((where, "plain"))
    is_known_free = plain is not None and plain.works
    for option in SOCKET_OPTIONS:
        predicted = predict(where, option, question.port, sockets, binder)
        found = tried.get((where, option))
        if found is None and is_known_free:
            # What nobody has is there for every option: that was not tried.
            attempts[option] = Attempt(True, None, tried=False, predicted=predicted.works)
        else:
            outcome = found or predicted
            if found is None and plain is not None and outcome.works:
                outcome = Outcome(works=None)  # somebody has it whom nobody has seen
            attempts[option] = Attempt(*outcome, tried=found is not None, predicted=predicted.works)
    return Place(
        address=where.address,
        dual_stack=where.dual_stack if where.address == ANY_IPV6 else None,
        asked=where in question.asked,
        **attempts,
    )


def _obstacle(connection: Connection) -> Hashable:
    """What of a socket matters to others that want its port: thousands are alike."""
    return (
        connection.state,
        connection.family,
        connection.local_address,
        connection.remote_address is None,
        connection.uid,
        dual_stack_of(connection),
    )


def _cause(asked: Iterable[Place], holders: Iterable[Holder]) -> Cause:
    """Why a plain bind() fails, or may fail, somewhere."""
    for holder in holders:
        if holder.in_the_way is not False:
            return CAUSES[holder.role]
    errors = {place.plain.error for place in asked}
    if errors & REFUSALS:
        return "permission"
    return "unseen" if IN_USE in errors else "address"


def _holders(
    question: Question, sockets: Iterable[Connection], binder: Binder
) -> tuple[Holder, ...]:
    """The sockets in groups of those that are alike, what is most in the way first."""
    groups: dict[Hashable, list[Connection]] = {}
    for connection in sockets:
        role = role_of(connection, binder.settings)
        groups.setdefault(_likeness(role, connection), []).append(connection)
    holders = [
        _holder(role_of(group[0], binder.settings), group, question.asked, binder)
        for group in groups.values()
    ]
    order = {True: 0, None: 1, False: 2}
    return tuple(sorted(holders, key=lambda h: (order[h.in_the_way], RANKS[h.role], -h.count)))


def role_of(connection: Connection, settings: Settings) -> Role:
    """What a socket has the port for.

    The kernel does not keep who began a connection. Where the listener has gone it is told by the
    ports: that of a client is one from which connect() chooses, that of a server is not.
    """
    if connection.protocol != "tcp":
        return "datagram"
    by_state: dict[str, Role] = {
        "LISTEN": "listener",
        "BOUND": "bound",
        "SYN_RECV": "request",
        "SYN_SENT": "client",
    }
    if connection.state in by_state:
        return by_state[connection.state]
    if connection.direction == "inbound":
        return "accepted"
    if settings.ephemeral_range is None:
        return "connection"
    low, high = settings.ephemeral_range
    is_chosen_here = low <= (connection.local_port or 0) <= high
    # Other systems choose up to 65535.
    is_chosen_there = (connection.remote_port or 0) >= low
    if is_chosen_here == is_chosen_there:
        return "connection"
    return "client" if is_chosen_here else "leftover"


def _likeness(role: Role, connection: Connection) -> Hashable:
    """What the sockets of a group have in common."""
    # One server has connections on many addresses, one client to many.
    place = None if role == "accepted" else connection.local_address
    return (
        role,
        connection.state,
        connection.family,
        place,
        connection.interface,
        connection.uid,
        connection.owner_status,
        tuple(owner.pid for owner in connection.owners),
        (connection.dual_stack, connection.cookie) if connection.state == "LISTEN" else None,
    )


def _holder(
    role: Role, group: list[Connection], asked: Iterable[BindAddress], binder: Binder
) -> Holder:
    first, is_one = group[0], len(group) == 1
    by_address = {connection.local_address: connection for connection in group}
    timers = [c.timer.expires_ms for c in group if c.timer and c.timer.kind == "time_wait"]
    return Holder(
        role=role,
        in_the_way=_any(
            conflicts(where, "plain", connection, binder)
            for where in asked
            for connection in by_address.values()
        ),
        count=len(group),
        protocol=first.protocol,
        family=first.family,
        state=first.state,
        local_address=first.local_address if len(by_address) == 1 else None,
        remote_address=first.remote_address if is_one else None,
        remote_port=first.remote_port if is_one else None,
        interface=first.interface,
        dual_stack=dual_stack_of(first),
        uid=first.uid,
        user=first.user,
        owners=first.owners,
        owner_status=first.owner_status,
        expires_ms=max(timers, default=None),
    )
