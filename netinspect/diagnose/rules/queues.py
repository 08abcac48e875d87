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
    listeners = [c for c in scene.last.connections if c.protocol == "unix" and c.state == "LISTEN"]
    yield from _full_queues(scene, listeners, limits, ())


def _full_queues(
    scene: Scene, listeners: list[Connection], limits: Limits, refused: tuple[str, ...]
) -> Iterator[Fault]:
    if listeners and all(c.send_q is None for c in listeners):
        raise NotCheckedError("the source does not tell the backlog of listeners")
    for c in listeners:
        if not c.send_q or c.recv_q is None:
            continue
        percent = 100 * c.recv_q / c.send_q
        if c.recv_q > c.send_q:
            yield Fault(
                "critical",
                f"the accept queue of {end_text(c)} is full: {owner_text(c)} does not accept",
                (f"{c.recv_q} connections wait, the backlog is {c.send_q}", *refused),
                "high",
                (c,),
            )
        elif percent >= limits["percent"] and _was_full(scene, c, limits):
            yield Fault(
                "warning",
                f"the accept queue of {end_text(c)} is {percent:.0f} % full",
                (f"{c.recv_q} connections wait, the backlog is {c.send_q}", *refused),
                "high",
                (c,),
            )


def _refused(scene: Scene) -> Iterator[str]:
    grown = (scene.grown or {}).get(OVERFLOWS)
    if grown:
        yield f"{grown} handshakes were dropped in {scene.seconds:g} s (ListenOverflows)"


def _was_full(scene: Scene, listener: Connection, limits: Limits) -> bool:
    """Sustained: a burst is no fault."""
    if scene.seconds is None:
        return True
    earlier = scene.first.by_key.get(key_of(listener))
    return bool(
        earlier
        and earlier.send_q
        and 100 * (earlier.recv_q or 0) / earlier.send_q >= limits["percent"]
    )


def never_accepted(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Without an inode: it has no file, because accept() was not called for it."""
    scene.need_sample()
    scene.need_told("inodes", lambda c: c.inode)
    ports = scene.last.listened_ports
    waiting = [later for _, later in scene.stayed(lambda c: _is_waiting(c, ports))]
    for listener in scene.last.in_states("LISTEN"):
        if listener.send_q and (listener.recv_q or 0) > listener.send_q:
            continue  # accept_queue_overflow says it
        stuck = [
            c
            for c in waiting
            if c.local_port == listener.local_port and _age_s(c) >= limits["age_seconds"]
        ]
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


def _age_s(c: Connection) -> float:
    info = c.tcp_info
    if info is UNSET or info is None or info.last_ack_received_ms_ago is None:
        return 0
    return info.last_ack_received_ms_ago / 1000


PERCENT = Threshold("percent", 70, "of the backlog, at both moments", "ours")
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
    Rule("unix_backlog", "The queue of a unix socket is full", unix_backlog, (PERCENT,)),
)
