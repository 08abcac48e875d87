"""Data that does not get through: closed windows, unread queues, retransmits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from msgspec import UNSET

from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene, is_unheld, key_of
from netinspect.diagnose.sentences import counted, owner_text, peer_text, shown
from netinspect.extended import TcpInfo
from netinspect.model import Connection


def zero_window(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """The peer's buffer is full: its program does not read."""
    scene.need_told("timers", lambda c: c.timer)
    for before, sender in scene.stayed(_has_zero_window):
        info = _info(sender)
        waited = info.last_data_sent_ms_ago if info else None
        is_moving = (sender.send_q or 0) < (before.send_q or 0)
        if is_moving if waited is None else waited < 1000 * limits["age_seconds"]:
            continue
        reader = scene.last.other_end(sender)
        where = owner_text(reader) if reader else peer_text(sender)
        yield Fault(
            "warning",
            f"{owner_text(sender)} cannot send to {peer_text(sender)}: {where} does not read",
            tuple(_window_evidence(sender, info, reader)),
            "high",
            (sender, reader) if reader else (sender,),
        )


def _has_zero_window(c: Connection) -> bool:
    is_probing = c.timer is not None and c.timer.kind == "zero_window"
    # an orphan is told by its own rule
    return c.protocol == "tcp" and is_probing and bool(c.send_q) and not is_unheld(c)


def _window_evidence(
    sender: Connection, info: TcpInfo | None, reader: Connection | None
) -> Iterator[str]:
    yield f"{sender.send_q} bytes wait in Send-Q, and the window is closed (persist timer)"
    if info and info.rwnd_limited_ms:
        yield f"held up by the window for {info.rwnd_limited_ms / 1000:.1f} s so far"
    if reader:
        yield f"the other end is on this host: {reader.recv_q} bytes are unread in its Recv-Q"


def unread(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """A receive queue that stands still."""
    scene.need_told("queues", lambda c: c.recv_q is not None)
    stalled = (sender for _, sender in scene.stayed(_has_zero_window))
    readers = filter(None, map(scene.last.other_end, stalled))
    told = set(map(key_of, readers))  # by zero_window
    for before, now in scene.stayed(lambda c: c.state == "ESTABLISHED" and not is_unheld(c)):
        if key_of(now) in told:
            continue
        info = _info(now)
        age = info.last_data_received_ms_ago if info else None
        if (
            (now.recv_q or 0) < limits["bytes"]
            or now.recv_q != before.recv_q
            or (age is not None and age < 1000 * limits["age_seconds"])
        ):
            continue
        yield Fault(
            "warning",
            f"{owner_text(now)} does not read what comes from {peer_text(now)}",
            (
                f"{now.recv_q} bytes in Recv-Q, the same as {scene.seconds:g} s ago",
                *(() if age is None else (f"the last came {age / 1000:.1f} s ago",)),
            ),
            "medium" if age is None else "high",
            (now,),
        )


def retransmits(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """What is sent is not acknowledged: the path loses it."""
    scene.need_told("timers", lambda c: c.timer)
    lossy: defaultdict[str | None, list[Connection]] = defaultdict(list)

    def is_lossy(c: Connection) -> bool:
        timer = c.timer
        return (
            c.protocol == "tcp"
            and c.state not in ("SYN_SENT", "SYN_RECV")
            and timer is not None
            and timer.kind == "retransmit"
            and timer.retransmits >= limits["retransmits"]
        )

    for _, now in scene.stayed(is_lossy):
        if not is_unheld(now):  # an orphan is told by its own rule
            lossy[now.remote_address].append(now)
    for address, sockets in lossy.items():
        tries = max(c.timer.retransmits for c in sockets if c.timer)
        lost = sum(info.lost_segments or 0 for info in map(_info, sockets) if info)
        yield Fault(
            "warning",
            f"{address} does not acknowledge what {counted(sockets, 'connection')} sent",
            (
                f"sent again up to {tries} times in a row",
                *((f"{lost} segments are taken for lost",) if lost else ()),
            ),
            "medium",
            shown(sockets),
        )


def _info(c: Connection) -> TcpInfo | None:
    return None if c.tcp_info is UNSET else c.tcp_info


RULES = (
    Rule(
        "zero_window",
        "A receiver does not read, and its sender waits",
        zero_window,
        (Threshold("age_seconds", 5, "since anything was sent", "ours"),),
    ),
    Rule(
        "receive_queue_not_read",
        "A program does not read what it receives",
        unread,
        (
            Threshold("bytes", 4096, "unread, the same at both moments", "ours"),
            Threshold("age_seconds", 5, "since the last of them came", "ours"),
        ),
    ),
    Rule(
        "retransmits",
        "A path loses what is sent",
        retransmits,
        (Threshold("retransmits", 2, "in a row, at both moments", "ours"),),
    ),
)
