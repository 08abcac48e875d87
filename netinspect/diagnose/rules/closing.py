"""Connections that do not end: CLOSE_WAIT, FIN_WAIT2, orphans."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import UNSET

from netinspect.diagnose.finding import Severity
from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene, is_unheld, key_of
from netinspect.diagnose.sentences import counted, owner_text, shown
from netinspect.errors import NotCheckedError
from netinspect.model import Connection, State

# Netdata, health.d/tcp_orphans.conf
ORPHANS_WARNING, ORPHANS_CRITICAL = 25, 50


def close_wait(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """The peer has closed, the program here does not."""
    held = [c for c in scene.last.in_states("CLOSE_WAIT") if not is_unheld(c)]
    groups = _by_owner(held).values()
    faults = [fault for sockets in groups for fault in _unclosed(scene, sockets, limits)]
    if not faults:
        for idle, others in map(_parted, groups):
            _need_ages(idle, limits["idle_sockets"])
            _need_ages(others, limits["sockets"])
    yield from faults


def _unclosed(scene: Scene, sockets: list[Connection], limits: Limits) -> Iterator[Fault]:
    idle, others = _parted(sockets)
    old = _waiting(others, limits["sockets"], limits["age_seconds"]) or _waiting(
        idle, limits["idle_sockets"], limits["idle_age_seconds"]
    )
    found = (
        old
        or _growing(scene, others, limits["sockets"])
        or _lasting(scene, sockets, limits["many"])
    )
    if found:
        yield Fault(
            _leak_severity(scene, sockets),
            f"{owner_text(sockets[0])} does not close {counted(sockets, 'connection')} that "
            "the other side has ended",
            (found, *_unread(sockets), *_descriptors(scene, sockets)),
            "high" if old else "medium",
            shown(sockets),
        )


def _parted(sockets: list[Connection]) -> tuple[list[Connection], list[Connection]]:
    """An unread end alone is what a pool of idle connections looks like; and the others."""
    return [c for c in sockets if c.recv_q == 1], [c for c in sockets if c.recv_q != 1]


def fin_wait2(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Half closed by a program that keeps the descriptor: no timer ends that."""
    scene.need_told("timers", lambda c: c.timer)
    held = [c for c in scene.last.in_states("FIN_WAIT2") if not is_unheld(c) and c.timer is None]
    groups = _by_owner(held).values()
    faults = [fault for sockets in groups for fault in _half_closed(scene, sockets, limits)]
    if not faults:
        for sockets in groups:
            _need_ages(sockets, limits["sockets"])
    yield from faults


def _half_closed(scene: Scene, sockets: list[Connection], limits: Limits) -> Iterator[Fault]:
    old = _waiting(sockets, limits["sockets"], limits["age_seconds"])
    found = (
        old
        or _growing(scene, sockets, limits["sockets"])
        or _lasting(scene, sockets, limits["many"])
    )
    if found:
        yield Fault(
            "warning",
            f"{owner_text(sockets[0])} keeps {counted(sockets, 'connection')} half closed",
            (found, "the other side has not closed, and no timer runs while a program has it"),
            "high" if old else "medium",
            shown(sockets),
        )


def orphans(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Closed by their program with data that the peer does not take."""
    scene.need_unheld()
    scene.need_told("inodes", lambda c: c.inode)
    scene.need_told("timers", lambda c: c.timer)
    states: tuple[State, ...] = ("FIN_WAIT1", "CLOSING", "LAST_ACK")
    ended = [c for c in scene.last.in_states(*states) if is_unheld(c) and c.send_q]
    stuck = [c for c in ended if _is_stuck(scene, c)]
    if len(stuck) >= limits["sockets"]:
        queued = sum(c.send_q or 0 for c in stuck)
        yield Fault(
            "warning",
            f"{counted(stuck, 'connection')} that no process has any more cannot be ended",
            (f"{queued} bytes wait for peers that do not take them", *_worst_peer(stuck)),
            "high",
            shown(stuck),
        )
    yield from _too_many(scene, limits)


def _is_stuck(scene: Scene, orphan: Connection) -> bool:
    """Whether the peer takes nothing: one that reads an answer slowly takes some of it."""
    timer = orphan.timer
    if timer is None or not (timer.kind == "zero_window" or timer.retransmits):
        return False
    if scene.seconds is None:
        return True
    before = scene.first.by_key.get(key_of(orphan))
    return before is not None and before.send_q == orphan.send_q


def _too_many(scene: Scene, limits: Limits) -> Iterator[Fault]:
    total = scene.counters.get("TCP.orphan")
    most = scene.limits.max_orphans
    if total is None or not most:
        return
    percent = 100 * total / most
    if percent >= limits["percent"]:
        yield Fault(
            "critical" if percent >= ORPHANS_CRITICAL else "warning",
            f"{total} orphaned connections: {percent:.0f} % of what the kernel bears",
            (f"tcp_max_orphans is {most}; beyond it connections are reset",),
            "high",
        )


def _by_owner(sockets: Iterable[Connection]) -> dict[object, list[Connection]]:
    """By process; where it is not known by the local end or the remote one, which more share."""
    sockets = list(sockets)
    ends = Counter(end for c in sockets for end in _ends(c))
    groups: defaultdict[object, list[Connection]] = defaultdict(list)
    for c in sockets:
        groups[max(_ends(c), key=ends.__getitem__) if c.pid is None else c.pid].append(c)
    return groups


def _ends(c: Connection) -> tuple[tuple[object, ...], ...]:
    return ("local", c.local_address, c.local_port), ("remote", c.remote_address, c.remote_port)


def _waiting(sockets: list[Connection], most: float, seconds: float) -> str | None:
    """How many are old, where those are so many; their age is the surest sign."""
    old = sum((_age_s(c) or 0) >= seconds for c in sockets)
    return f"{old} of them for more than {seconds:g} s" if old and old >= most else None


def _need_ages(sockets: list[Connection], most: float) -> None:
    """:raises NotCheckedError: there are so many, and nothing tells how old they are."""
    if sockets and len(sockets) >= most and all(_age_s(c) is None for c in sockets):
        raise NotCheckedError(f"it is not told how long {counted(sockets, 'connection')} waited")


def _growing(scene: Scene, sockets: list[Connection], most: float) -> str | None:
    """How many came, where they become more and more."""
    if scene.seconds is None or not sockets:
        return None
    before, now = scene.first.by_key, scene.last.by_key
    came = sum(key_of(c) not in before for c in sockets)
    went = sum(key_of(c) not in now for c in scene.first.in_states(sockets[0].state))
    # what has only just come may be ended in a moment: a burst, requests that are worked on
    is_more = came - went >= most and len(sockets) - came >= most
    return f"{came} more in {scene.seconds:g} s, and {went} less" if is_more else None


def _lasting(scene: Scene, sockets: list[Connection], most: float) -> str | None:
    """So many are no coincidence, even where it cannot be told how old they are."""
    if scene.seconds is None:
        return f"there are {len(sockets)}" if len(sockets) >= most else None
    before = scene.first.by_key
    stayed = sum(key_of(c) in before for c in sockets)
    return f"{stayed} of them stayed for {scene.seconds:g} s" if stayed >= most else None


def _age_s(connection: Connection) -> float | None:
    """Since the last packet with an ACK came, which a FIN is as well."""
    info = connection.tcp_info
    if info is UNSET or info is None or info.last_ack_received_ms_ago is None:
        return None
    return info.last_ack_received_ms_ago / 1000


def _unread(sockets: list[Connection]) -> Iterator[str]:
    """What the receive queue says of the program; the end itself counts as one byte."""
    ends = sum(c.recv_q == 1 for c in sockets)
    data = sum((c.recv_q or 0) > 1 for c in sockets)
    read = sum(c.recv_q == 0 for c in sockets)
    if ends:
        yield f"{ends} with Recv-Q 1: the end was not read, as in a pool of idle connections"
    if data:
        yield f"{data} with data in Recv-Q that was not read either: the program does not look"
    if read:
        yield f"{read} with Recv-Q 0: the end was read, and close() was not called"


def _descriptors(scene: Scene, sockets: list[Connection]) -> Iterator[str]:
    for use in scene.limits.file_uses or ():
        if use.pid == sockets[0].pid:
            yield f"the process has {use.open} of at most {use.limit} descriptors open"


def _leak_severity(scene: Scene, sockets: list[Connection]) -> Severity:
    """Critical when they are half of what the process may have open."""
    for use in scene.limits.file_uses or ():
        if use.pid == sockets[0].pid and 2 * len(sockets) >= use.limit:
            return "critical"
    return "warning"


def _worst_peer(sockets: list[Connection]) -> Iterator[str]:
    counts: defaultdict[str | None, int] = defaultdict(int)
    for c in sockets:
        counts[c.remote_address] += 1
    for address, count in islice(sorted(counts.items(), key=lambda pair: -pair[1]), 1):
        yield f"{count} of them to {address}"


OURS = "ours"
MANY = Threshold("many", 100, "so many, however old", "common advice; no tool ships a number")
RULES = (
    Rule(
        "close_wait_leak",
        "A program does not close connections that their peers have ended",
        close_wait,
        (
            Threshold("sockets", 5, "of one process, the end read or data unread", OURS),
            Threshold("age_seconds", 10, "since the last packet of these", OURS),
            Threshold("idle_sockets", 20, "of one process with Recv-Q 1, as in a pool", OURS),
            Threshold("idle_age_seconds", 60, "since the last packet of these", OURS),
            MANY,
        ),
    ),
    Rule(
        "fin_wait2_leak",
        "A program keeps connections half closed",
        fin_wait2,
        (
            Threshold("sockets", 10, "of one process, without a timer", OURS),
            Threshold("age_seconds", 60, "since the last packet of these", OURS),
            MANY,
        ),
    ),
    Rule(
        "orphans",
        "Connections without a process cannot be ended",
        orphans,
        (
            Threshold("sockets", 10, "with data that is not acknowledged", OURS),
            Threshold(
                "percent", ORPHANS_WARNING, "of tcp_max_orphans", "Netdata, tcp_orphans.conf"
            ),
        ),
    ),
)
