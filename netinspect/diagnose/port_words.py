"""The answer about a port in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netinspect.diagnose.bind import ANY_IPV4, ANY_IPV6, IN_USE, Binder, BindOption
from netinspect.diagnose.port_record import Cause, Holder, Place, Role
from netinspect.model import Protocol

# No process has left a socket in one of these open: without one it waits to be accepted.
UNACCEPTED = frozenset({"ESTABLISHED", "CLOSE_WAIT", "SYN_RECV"})


class Told(NamedTuple):
    """All that is known of one port."""

    port: int
    protocol: Protocol
    cause: Cause | None
    holders: Sequence[Holder]
    places: Sequence[Place]
    binder: Binder

    @property
    def asked(self) -> list[Place]:
        """The addresses that must be free."""
        return [place for place in self.places if place.asked]

    def in_the_way(self, *roles: Role) -> list[Holder]:
        """The sockets with one of these roles that let a plain bind() fail, or may."""
        return [h for h in self.holders if h.role in roles and h.in_the_way is not False]

    def works_with(self, option: BindOption) -> bool | None:
        """Whether all addresses that were asked for can be had with an option."""
        found = {getattr(place, option).works for place in self.asked}
        return False if False in found else None if None in found else True

    def is_in_use_with(self, option: BindOption) -> bool:
        """Whether another socket is the reason that one of them cannot be had with an option."""
        return any(getattr(place, option).error == IN_USE for place in self.asked)


def sentence(told: Told, *, is_free: bool | None) -> str:
    """The answer in one line: who has the port, or that it is free."""
    where = _where(told.asked, is_free=is_free)
    name = f"{'' if told.protocol == 'tcp' else 'udp '}port {told.port}"
    if told.cause is None:
        is_tried = all(place.plain.tried for place in told.asked)
        everywhere = "" if where else " on all addresses"
        ground = f"bind() works{everywhere}" if is_tried else "nothing that can be seen has it"
        return f"{name} is free{where}: {ground}"
    verb = "may be taken" if is_free is None else "is taken"
    if told.cause == "permission":
        return f"{name} is not for {_binder_text(told.binder)}{where}: {_permission(told)}"
    if told.cause == "address":
        return f"{name} cannot be bound{where}: {_address_error(told)}"
    hint = "; with SO_REUSEADDR it is free" if told.works_with("reuse_address") else ""
    return f"{name} {verb}{where}: {_who(told)}{hint}"


def _where(asked: Sequence[Place], *, is_free: bool | None) -> str:
    """The addresses that the answer is about; nothing where all are meant."""
    if {ANY_IPV4, ANY_IPV6} <= {place.address for place in asked}:
        return ""
    meant = [place.address for place in asked if is_free or not place.plain.works]
    return f" on {', '.join(dict.fromkeys(meant))}"


def _binder_text(binder: Binder) -> str:
    return "you" if binder.uid is None else "root" if binder.uid == 0 else f"uid {binder.uid}"


def _permission(told: Told) -> str:
    start = told.binder.settings.unprivileged_port_start
    if start is not None and told.port < start:
        return f"ports below {start} take CAP_NET_BIND_SERVICE"
    return "a security module (SELinux, a BPF program) refuses it"


def _address_error(told: Told) -> str:
    errors = sorted({place.plain.error for place in told.asked if place.plain.error})
    meanings = {
        "EADDRNOTAVAIL": "that is no address of this machine",
        "ENODEV": "there is no such interface",
    }
    return ", ".join(meanings.get(error, f"bind() says {error}") for error in errors)


def _who(told: Told) -> str:
    """What the sockets that are in the way are."""
    if told.cause == "unseen":
        return "bind() says so, but no table that could be read shows a socket that has it"
    if told.cause == "leftover":
        return _leftovers(told.in_the_way("leftover"))
    first, *others = told.in_the_way(*ROLES[told.cause])
    others = [holder for holder in others if holder.role == first.role]
    more = f", and {_count(len(others), 'other')}" if others else ""
    return f"{VERBS[first.role](first, told.port)}{more}"


ROLES: dict[Cause | None, tuple[Role, ...]] = {
    "listener": ("listener", "accepted"),
    "bound": ("bound",),
    "datagram": ("datagram",),
    "client": ("client",),
    "connection": ("connection",),
}


def _listens(holder: Holder, port: int) -> str:
    return f"{owner_text(holder)} listens on {endpoint(holder, port)}"


def _is_bound(holder: Holder, port: int) -> str:
    return f"{owner_text(holder)} has bound {endpoint(holder, port)}, but does not listen"


def _receives(holder: Holder, port: int) -> str:
    peer = f", connected to {remote(holder)}" if holder.remote_address else ""
    return f"{owner_text(holder)} receives on {endpoint(holder, port)}{peer}"


def _is_client(holder: Holder, _port: int) -> str:
    peer = remote(holder) if holder.remote_address else f"{holder.count} other ends"
    if holder.state == "TIME_WAIT":
        return f"a connection to {peer} that is closed has it for {seconds(holder)} s more"
    return f"{owner_text(holder)} has it for a connection to {peer}"


def _has_connections(holder: Holder, port: int) -> str:
    wait = f" for {seconds(holder)} s more" if holder.expires_ms is not None else ""
    count = _count(holder.count, "connection")
    return f"{owner_text(holder)} has {count} on {endpoint(holder, port)} in {holder.state}{wait}"


VERBS: dict[Role, Callable[[Holder, int], str]] = {
    "listener": _listens,
    "bound": _is_bound,
    "datagram": _receives,
    "client": _is_client,
    "connection": _has_connections,
    "accepted": _has_connections,
}


def _leftovers(holders: Iterable[Holder]) -> str:
    """What a listener that has gone has left behind."""
    closed = [h for h in holders if h.state == "TIME_WAIT"]
    parts = [
        f"{_count(h.count, 'connection')} in {h.state}, held by {owner_text(h)}"
        for h in holders
        if h not in closed
    ]
    if closed:
        count = sum(h.count for h in closed)
        wait = max(map(seconds, closed))
        parts.append(f"{_count(count, 'connection')} in TIME_WAIT, for {wait} s more")
    return f"an earlier listener has left {' and '.join(parts)}"


def seconds(holder: Holder) -> int:
    """Until the last of them is gone; rounded up."""
    return -(-(holder.expires_ms or 0) // 1000)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def endpoint(holder: Holder, port: int) -> str:
    """`0.0.0.0:80`, `[::]:80 (also IPv4)`."""
    address = holder.local_address
    if address is None:
        return f"port {port}"
    device = f" on {holder.interface}" if holder.interface and "%" not in address else ""
    stacks = {True: " (also IPv4)", False: " (only IPv6)", None: ""}[holder.dual_stack]
    return f"{_bracketed(address)}:{port}{device}{stacks}"


def remote(holder: Holder) -> str:
    """The other end."""
    return f"{_bracketed(holder.remote_address or '*')}:{holder.remote_port}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def owner_text(holder: Holder) -> str:
    """`nginx (pid 12, user www-data)`, `nginx (pids 12, 13 and 2 more, user www-data)`."""
    user = holder.user if holder.user is not None else holder.uid
    facts = [] if user is None else [f"user {user}"]
    pids = list(dict.fromkeys(owner.pid for owner in holder.owners))
    if not pids:
        unknown = {
            "none": "no process yet" if holder.state in UNACCEPTED else "no process any more",
            "hidden": "a process that is hidden from you",
            "not_found": "no process that can be found",
        }.get(holder.owner_status, "a process that is not told")
        return f"{unknown} ({facts[0]})" if facts else unknown
    shown = ", ".join(map(str, pids[:3])) + (f" and {len(pids) - 3} more" if pids[3:] else "")
    facts.insert(0, f"pid{'s' if pids[1:] else ''} {shown}")
    return f"{holder.owners[0].process or 'a process'} ({', '.join(facts)})"
