"""Listeners whose queue is full, or that do not accept."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene, is_unheld, key_of
from netinspect.diagnose.sentences import counted, end_text, owner_text, shown
from netinspect.errors import NotCheckedError
from netinspect.model import Connection

OVERFLOWS = "TcpExt.ListenOverflows"


def accept_queue(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """A queue takes one more than the backlog: full is Recv-Q above Send-Q, not equal to it."""
    listeners = [c for c in scene.last.connections if c.protocol == "tcp" and c.state == "LISTEN"]
    yield from _full_queues(scene, listeners, limits, tuple(_refused(scene)))


def unix_backlog(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Where it is full connect() waits, or fails with EAGAIN."""
    scene.need_told("unix queues", lambda c: c.protocol == "unix" and c.recv_q is not None)
    listeners = [c for c in scene.last.connections if c.protocol == "unix" and c.state == "LISTEN"]
    yield from _full_queues(scene, listeners, limits, ())


def _full_queues(
    scene: Scene, listeners: list[Connection], limits: Limits, refused: tuple[str, ...]
) -> Iterator[Fault]:
    if listeners and all(c.send_q is None for c in listeners):
        raise NotCheckedError("the source does not tell the backlog of listeners")
    for c in listeners:
        if c.send_q is None or c.recv_q is None:
            continue
        was_full = _was_full(scene, c, limits)
        if c.recv_q > c.send_q and (was_full or refused):
            yield Fault(
                "critical",
                f"the accept queue of {end_text(c)} is full: {owner_text(c)} does not accept",
                (_waiting(c), *refused),
                "high",
                (c,),
            )
        elif was_full and _percent(c) >= limits["percent"]:
            yield Fault(
                "warning",
                f"the accept queue of {end_text(c)} is {_percent(c):.0f} % full",
                (_waiting(c), *refused),
                "high",
                (c,),
            )


def _percent(listener: Connection) -> float:
    return 100 * (listener.recv_q or 0) / ((listener.send_q or 0) + 1)


def _waiting(listener: Connection) -> str:
    verb = "connection waits" if listener.recv_q == 1 else "connections wait"
    return f"{listener.recv_q} {verb}, the backlog is {listener.send_q}"


def _refused(scene: Scene) -> Iterator[str]:
    grown = (scene.grown or {}).get(OVERFLOWS)
    if grown:
        yield f"{grown} handshakes were dropped in {scene.seconds:g} s (ListenOverflows)"


def _was_full(scene: Scene, listener: Connection, limits: Limits) -> bool:
    """Sustained: a burst is no fault."""
    if scene.seconds is None:
        return True
    earlier = scene.first.by_key.get(key_of(listener))
    return earlier is not None and _percent(earlier) >= limits["percent"]


def never_accepted(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Without an inode: it has no file, because accept() was not called for it."""
    scene.need_sample()
    scene.need_unheld()
    scene.need_told("inodes", lambda c: c.inode)
    ports = scene.last.listened_ports
    waiting = [later for _, later in scene.stayed(lambda c: _is_waiting(c, ports))]
    if waiting and not any(c.tcp_info for c in waiting):
        raise NotCheckedError("it is not known how long they wait")
    for listener in scene.last.in_states("LISTEN"):
        if listener.send_q is not None and (listener.recv_q or 0) > listener.send_q:
            continue  # accept_queue_overflow says it
        if listener.recv_q == 0:
            continue  # they wait for another one on this port
        stuck = [c for c in waiting if _is_for(listener, c) and _age_s(c) >= limits["age_seconds"]]
        if len(stuck) >= limits["sockets"]:
            yield Fault(
                "warning",
                f"{owner_text(listener)} does not accept {counted(stuck, 'connection')} "
                f"on {end_text(listener)}",
                (f"they wait for {limits['age_seconds']:g} s and more",),
                "high",
                (listener, *shown(stuck)),
            )


def _is_waiting(c: Connection, listened: frozenset[int]) -> bool:
    return (
        c.protocol == "tcp"
        and c.state in ("ESTABLISHED", "CLOSE_WAIT")
        and is_unheld(c)
        and c.local_port in listened
    )


def _is_for(listener: Connection, c: Connection) -> bool:
    addresses = ("0.0.0.0", "::", c.local_address)
    return c.local_port == listener.local_port and listener.local_address in addresses


def _age_s(c: Connection) -> float:
    info = c.tcp_info
    if info is UNSET or info is None or info.last_ack_received_ms_ago is None:
        return 0
    return info.last_ack_received_ms_ago / 1000


PERCENT = Threshold("percent", 70, "of the backlog and one, at both moments", "ours")
RULES = (
    Rule("accept_queue_overflow", "An accept queue is full", accept_queue, (PERCENT,)),
    Rule(
        "never_accepted",
        "A program does not accept connections",
        never_accepted,
        (
            Threshold("sockets", 1, "connections that wait", "ours"),
            Threshold("age_seconds", 5, "since they came", "ours"),
        ),
    ),
    Rule("unix_backlog", "The queue of a unix socket is full", unix_backlog, (PERCENT,), "unix"),
)
