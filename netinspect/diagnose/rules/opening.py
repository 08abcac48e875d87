"""Handshakes that do not end: ours in SYN_SENT, others' in SYN_RECV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene
from netinspect.diagnose.sentences import counted, end_text, peer_text, shown
from netinspect.model import Connection


def syn_sent(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Nobody answers: a firewall, no route back, or an accept queue that is full there."""
    scene.need_told("timers", lambda c: c.timer)
    waiting: defaultdict[str, list[Connection]] = defaultdict(list)
    for c in scene.last.in_states("SYN_SENT"):
        if c.timer and c.timer.retransmits >= limits["retransmits"]:
            waiting[peer_text(c)].append(c)
    for peer, sockets in waiting.items():
        if len(sockets) >= limits["sockets"]:
            tries = max(c.timer.retransmits for c in sockets if c.timer)
            yield Fault(
                "warning",
                f"{peer} does not answer {counted(sockets, 'connection')} that this host opens",
                (f"their SYN was sent again up to {tries} times",),
                "medium",
                shown(sockets),
            )


def syn_flood(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """More handshakes than listeners have room for, or cookies in place of them."""
    scene.need_unheld()
    cookies = _cookies(scene)
    half_open: defaultdict[int | None, list[Connection]] = defaultdict(list)
    for c in scene.last.in_states("SYN_RECV"):
        half_open[c.local_port].append(c)
    for port, sockets in half_open.items():
        backlog = _backlog(scene, port)
        is_many = len(sockets) >= (backlog or limits["sockets"])
        if len(sockets) < limits["sockets"] or not (is_many or cookies):
            continue
        yield Fault(
            "warning",
            f"{len(sockets)} handshakes with {end_text(sockets[0])} were begun and not ended",
            tuple(_flood_evidence(scene, sockets, backlog, cookies)),
            "high" if cookies else "medium",
            shown(sockets),
        )


def _cookies(scene: Scene) -> int:
    if scene.seconds is None:
        return 0
    return sum(
        (scene.grown or {}).get(name, 0)
        for name in ("TcpExt.SyncookiesSent", "TcpExt.TCPReqQFullDrop")
    )


def _backlog(scene: Scene, port: int | None) -> int | None:
    limits = [c.send_q for c in scene.last.in_states("LISTEN") if c.local_port == port]
    return max((limit for limit in limits if limit), default=None)


def _flood_evidence(
    scene: Scene, sockets: list[Connection], backlog: int | None, cookies: int
) -> Iterator[str]:
    if backlog:
        yield f"the listener has room for {backlog} of them"
    if cookies:
        yield f"{cookies} more were answered with a cookie or dropped in {scene.seconds:g} s"
    peers = len({c.remote_address for c in sockets})
    yield f"they say to come from {peers} address{'es' if peers > 1 else ''}"


RULES = (
    Rule(
        "syn_sent_pile",
        "A remote host does not answer",
        syn_sent,
        (
            Threshold("sockets", 5, "connections to one end", "ours"),
            Threshold("retransmits", 2, "SYN sent again: 3 s old", "RFC 6298 5.5: 1 s, doubled"),
        ),
    ),
    Rule(
        "syn_flood",
        "Handshakes are begun and not ended",
        syn_flood,
        (
            Threshold(
                "sockets", 64, "half open at one port", "ours: half of the usual backlog of 128"
            ),
        ),
    ),
)
