"""Listeners that are well, and worth a look: from where they are reached, and on which port."""

from __future__ import annotations

from collections.abc import Iterator

from netinspect.diagnose.rule import Fault, Limits, Rule
from netinspect.diagnose.scene import Scene
from netinspect.diagnose.sentences import counted, shown
from netinspect.errors import NotCheckedError
from netinspect.model import Connection


def exposed(scene: Scene, _limits: Limits) -> Iterator[Fault]:
    """Reachable from other hosts, as far as addresses tell: a firewall may be in the way."""
    found = [
        c for c in scene.last.connections if c.state == "LISTEN" and c.exposure in ("any", "public")
    ]
    if found:
        ports = ", ".join(map(str, sorted({c.local_port for c in found if c.local_port})[:20]))
        yield Fault(
            "info",
            f"{counted(found, 'listener')} can be reached from other hosts",
            (f"TCP ports {ports}", *_dual_stack(found)),
            "high",
            shown(found),
        )


def _dual_stack(listeners: list[Connection]) -> Iterator[str]:
    count = sum(c.dual_stack is True for c in listeners)
    if count:
        yield f"{count} of them on :: and so for IPv4 as well"


def in_ephemeral_range(scene: Scene, _limits: Limits) -> Iterator[Fault]:
    """After a restart a client may have the port."""
    between = scene.settings.ephemeral_range
    if between is None:
        raise NotCheckedError("the range of local ports is not known")
    low, high = between
    reserved = scene.settings.reserved_ports or ()
    found = [
        c
        for c in scene.last.in_states("LISTEN")
        if c.local_port is not None
        and low <= c.local_port <= high
        and not any(first <= c.local_port <= last for first, last in reserved)
    ]
    if found:
        ports = ", ".join(map(str, sorted({c.local_port for c in found if c.local_port})[:20]))
        yield Fault(
            "info",
            f"{counted(found, 'listener')} on ports that connect() may take while nobody listens",
            (f"TCP ports {ports} of the range {low} to {high}",),
            "high",
            shown(found),
        )


RULES = (
    Rule("exposed_listener", "Listeners can be reached from other hosts", exposed),
    Rule(
        "listener_in_ephemeral_range",
        "A listener's port is one that clients are given",
        in_ephemeral_range,
    ),
)
