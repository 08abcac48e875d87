"""What runs out besides ports: connection tracking, socket buffers, descriptors."""

from __future__ import annotations

from collections.abc import Iterator

from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene, key_of
from netinspect.diagnose.sentences import end_text, owner_text
from netinspect.errors import NotCheckedError

CRITICAL_PERCENT = 95


def conntrack(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """When the table is full, new connections are dropped without a word to either side."""
    count, most = scene.limits.conntrack_count, scene.limits.conntrack_max
    if count is None or not most:
        raise NotCheckedError("no connection tracking here, or it may not be read")
    percent = 100 * count / most
    if percent >= limits["percent"]:
        yield Fault(
            "critical" if percent >= CRITICAL_PERCENT else "warning",
            f"the table of tracked connections is {percent:.0f} % full",
            (f"nf_conntrack_count is {count}, nf_conntrack_max {most}",),
        )


def udp_drops(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Datagrams that came, and for which the socket's buffer had no room."""
    scene.need_sample()
    scene.need_told("drops", lambda c: c.drops is not None)
    for now in scene.last.connections:
        before = scene.first.by_key.get(key_of(now))
        lost = (now.drops or 0) - (before.drops or 0 if before else 0)
        if now.protocol in ("udp", "udplite") and lost >= limits["datagrams"]:
            yield Fault(
                "warning",
                f"{owner_text(now)} reads too slowly: datagrams for {end_text(now)} are dropped",
                (
                    f"{lost} in {scene.seconds:g} s, {now.drops} since the socket was opened",
                    f"{now.recv_q} bytes wait in its Recv-Q",
                ),
                "high",
                (now,),
            )


def file_descriptors(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """At the limit accept() and socket() fail with EMFILE."""
    if scene.limits.file_uses is None:
        raise NotCheckedError("this system does not tell how many descriptors a process has open")
    for use in scene.limits.file_uses:
        percent = 100 * use.open / use.limit
        if percent >= limits["percent"]:
            yield Fault(
                "critical" if percent >= CRITICAL_PERCENT else "warning",
                f"{use.process or 'a process'} (pid {use.pid}) has {percent:.0f} % of the "
                "descriptors open that it may have",
                (f"{use.open} of at most {use.limit} (RLIMIT_NOFILE)",),
            )
    if scene.limits.has_hidden_files:
        raise NotCheckedError("not all processes may be looked into: run as root")


RULES = (
    Rule(
        "conntrack_full",
        "The table of tracked connections fills up",
        conntrack,
        (Threshold("percent", 75, "of nf_conntrack_max", "node_exporter's node-mixin"),),
        None,
    ),
    Rule(
        "udp_drops",
        "A program loses datagrams",
        udp_drops,
        (Threshold("datagrams", 1, "between two moments", "any growth is loss"),),
        "udp",
    ),
    Rule(
        "file_descriptor_limit",
        "A process has nearly all descriptors open that it may have",
        file_descriptors,
        (Threshold("percent", 80, "of RLIMIT_NOFILE", "ours"),),
        None,
    ),
)
