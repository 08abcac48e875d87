"""What can be done about a port that cannot be had, the best first. Nothing here is done by us."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netinspect.diagnose.bind import ANY_IPV4, ANY_IPV6
from netinspect.diagnose.port_record import Cause, Holder
from netinspect.diagnose.port_words import Told, owner_text, seconds
from netinspect.model import Owner

SHORT_ID = 12  # digits of a container's id, as in `docker ps`
SETTERS = "Go, Node.js, Java, nginx and Python's socket.create_server() set it by themselves"


def advice(told: Told) -> Iterator[str]:
    """Each a sentence or two."""
    if told.cause is not None:
        yield from ADVICE[told.cause](told)
    is_refused = any(place.plain.error in ("EACCES", "EPERM") for place in told.asked)
    if is_refused and told.cause != "permission":
        yield from _permission(told)
    if told.cause in (None, "client", "connection"):
        yield from _reservation(told)


def _listener(told: Told) -> Iterator[str]:
    listeners = told.in_the_way("listener", "accepted")
    yield from _stops(told, listeners)
    yield from _elsewhere(told)
    if told.is_in_use_with("reuse_address"):
        yield "SO_REUSEADDR does not help: no two sockets listen on one address with it."
    if told.works_with("reuse_port"):
        yield (
            "SO_REUSEPORT works: the others have set it too. Then each of the listeners gets a "
            "part of the connections, which is meant for several processes of one service."
        )
        return
    users = {h.uid for h in listeners} - {told.binder.uid, None}
    if users and told.binder.uid is not None and len(listeners) > 1:
        names = ", ".join(sorted({str(h.user or h.uid) for h in listeners if h.uid in users}))
        yield (
            "SO_REUSEPORT does not help: the sockets that share a port must be one user's, and "
            f"these are of {names}."
        )


def _bound(told: Told) -> Iterator[str]:
    yield (
        "It holds the port without listening: it is about to listen, has forgotten to, or is a "
        "client that chose this port for itself."
    )
    yield from _stops(told, told.in_the_way("bound"))
    yield from _elsewhere(told)
    if told.works_with("reuse_address"):
        yield (
            "SO_REUSEADDR before bind() works, because the other socket has it too; of the two "
            "only one can listen."
        )


def _leftover(told: Told) -> Iterator[str]:
    holders = told.in_the_way("leftover")
    if told.works_with("reuse_address"):
        yield (
            "Set SO_REUSEADDR on the new listening socket, before bind(): the one before had it, "
            f"so it works now ({SETTERS})."
        )
        return
    yield from _waits(told, holders)
    if told.is_in_use_with("reuse_address"):
        yield (
            "SO_REUSEADDR does not help this time, because the listener before did not have it: "
            f"both need it. Set it from now on, before bind(), on every listener ({SETTERS})."
        )
    else:
        yield (
            "Set SO_REUSEADDR on the new listening socket, before bind(): it works at once if the "
            "one before had it too, which no table tells."
        )
    yield from _elsewhere(told)


def _waits(told: Told, holders: list[Holder]) -> Iterator[str]:
    """What has to be waited for, or ended."""
    closed = [holder for holder in holders if holder.state == "TIME_WAIT"]
    if closed:
        yield f"Wait {max(map(seconds, closed))} s: TIME_WAIT goes by itself."
    held = [holder for holder in holders if holder.owners]
    yield from _stops(told, held)
    if any(holder not in closed and not holder.owners for holder in holders):
        yield "Connections that no process holds end when the other end closes, or by a timeout."


def _client(told: Told) -> Iterator[str]:
    holders = told.in_the_way("client", "connection")
    if any(holder.owners for holder in holders):
        yield (
            "Wait until the connection is closed. If this end closes it first, TIME_WAIT keeps the "
            "port after that."
        )
    yield from _waits(told, holders)
    yield from _elsewhere(told)
    if told.works_with("reuse_address"):
        yield "SO_REUSEADDR before bind() works: the other socket has it as well."
    elif told.is_in_use_with("reuse_address"):
        yield "SO_REUSEADDR does not help: the other socket does not have it."


def _datagram(told: Told) -> Iterator[str]:
    yield from _stops(told, told.in_the_way("datagram"))
    yield from _elsewhere(told)
    yield (
        "SO_REUSEADDR or SO_REUSEPORT help if the other socket has the same one. That was not "
        "tried: a UDP socket takes the other's datagrams as soon as it is bound."
    )


def _permission(told: Told) -> Iterator[str]:
    start = told.binder.settings.unprivileged_port_start
    if start is None or told.port >= start:
        yield "Ask what forbids it: with SELinux `semanage port -l` lists which ports who may bind."
        return
    yield (
        f"Ports below {start} are for root and CAP_NET_BIND_SERVICE: in a systemd unit "
        "AmbientCapabilities=CAP_NET_BIND_SERVICE, or a .socket unit that opens the port; else "
        "`setcap cap_net_bind_service=+ep PROGRAM`."
    )
    yield (
        f"Or bind a port from {start} on, or let all users have it: "
        f"`sysctl net.ipv4.ip_unprivileged_port_start={told.port}`."
    )


def _address(told: Told) -> Iterator[str]:
    if any(place.plain.error == "EADDRNOTAVAIL" for place in told.asked):
        yield (
            "`ip address` shows the addresses of this machine; 0.0.0.0 and :: stand for all of "
            "them. For an address that comes later there is IP_FREEBIND, or `sysctl "
            "net.ipv4.ip_nonlocal_bind=1`."
        )


def _unseen(told: Told) -> Iterator[str]:
    yield (
        "It may be a socket that is bound and nothing more: only sock_diag tells of those, from "
        "Linux 6.8 on. It may have been opened only now: ask again. Or it is one that the kernel "
        "does not list."
    )
    yield from _elsewhere(told)


ADVICE: dict[Cause, Callable[[Told], Iterator[str]]] = {
    "listener": _listener,
    "bound": _bound,
    "datagram": _datagram,
    "leftover": _leftover,
    "client": _client,
    "connection": _client,
    "permission": _permission,
    "address": _address,
    "unseen": _unseen,
}


def _stops(told: Told, holders: list[Holder]) -> Iterator[str]:
    """How to end what holds the port, each owner once; TIME_WAIT has none."""
    yield from dict.fromkeys(
        _stop(holder) if holder.owners else _find(told, holder)
        for holder in holders
        if holder.owner_status != "none"
    )


def _find(told: Told, holder: Holder) -> str:
    """How to learn who an owner is that is not known."""
    if holder.owner_status == "not_found":
        return (
            "No process that can be seen has it: the kernel itself may (NFS, WireGuard), or a "
            "process of another PID namespace (container)."
        )
    if holder.owner_status == "hidden" and told.binder.uid == 0:
        return "Its process is hidden from root, too: to see it takes CAP_SYS_PTRACE."
    where = "on that machine " if told.binder.uid is None else ""
    return f"`sudo netinspect port {told.port}` {where}tells whose it is."


def _stop(holder: Holder) -> str:
    owner = holder.owners[0]
    if owner.pid == 1 and owner.process == "systemd":
        return (
            "systemd holds it for a .socket unit: `systemctl list-sockets` names it, `systemctl "
            "stop NAME.socket` gives the port back."
        )
    if owner.process == "docker-proxy":
        return "A container publishes it: `docker ps` names it, `docker stop` ends it."
    return f"Stop {owner_text(holder)}: {_way_to_stop(owner)}."


def _way_to_stop(owner: Owner) -> str:
    if owner.container and owner.runtime in ("docker", "podman"):
        return f"`{owner.runtime} stop {owner.container[:SHORT_ID]}`"
    unit = owner.unit or ""
    if unit.endswith(".service") and not unit.startswith("user@"):
        return f"`systemctl stop {unit}`"
    return f"`kill {owner.pid}`"


def _elsewhere(told: Told) -> Iterator[str]:
    """Addresses of this machine on which the port is free."""
    free = [
        place.address
        for place in told.places
        if place.plain.works and place.address not in (ANY_IPV4, ANY_IPV6)
    ]
    if free:
        more = f" and {len(free) - 3} more" if free[3:] else ""
        yield f"Or bind one address alone: {', '.join(free[:3])}{more} can be had."
    if any(h.role == "listener" for h in told.holders):
        yield "Or take another port."


def _reservation(told: Told) -> Iterator[str]:
    """A port that connect() may choose is lost to any client sooner or later."""
    settings = told.binder.settings
    if settings.ephemeral_range is None or settings.reserved_ports is None:
        return
    low, high = settings.ephemeral_range
    reserved = settings.reserved_ports
    if not low <= told.port <= high or any(a <= told.port <= b for a, b in reserved):
        return
    ports = ",".join(f"{a}-{b}" if a != b else str(a) for a, b in (*reserved, (told.port,) * 2))
    yield (
        f"connect() gives the ports {low} to {high} to clients, this one too. To keep it for a "
        f"server: `sysctl net.ipv4.ip_local_reserved_ports={ports}`."
    )
