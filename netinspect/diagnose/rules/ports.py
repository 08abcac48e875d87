"""Local ports and TIME_WAIT. `netinspect time-wait` tells all about them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from netinspect.diagnose.destinations import CRITICAL_PERCENT, WARNING_PERCENT
from netinspect.diagnose.finding import Finding
from netinspect.diagnose.port_exhaustion import full_destinations
from netinspect.diagnose.rule import Fault, Limits, Rule, Threshold
from netinspect.diagnose.scene import Scene
from netinspect.diagnose.sentences import shown
from netinspect.diagnose.time_wait_causes import full_table
from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.diagnose.time_wait_record import Destination, Level
from netinspect.ends import plain
from netinspect.errors import NotCheckedError
from netinspect.model import Connection


def exhaustion(scene: Scene, limits: Limits) -> Iterator[Fault]:
    """Most of the ports that connect() could take for a destination are in use."""
    evidence = _evidence(scene)
    seen = evidence.picture
    judged = [replace(d, severity=_level(d, limits)) for d in seen.destinations]
    # one supply of ports for all destinations is one fault
    is_one = scene.settings.is_port_taken_everywhere
    for some in [judged] if is_one else [[destination] for destination in judged]:
        picture = seen._replace(destinations=tuple(some))
        for found in full_destinations(evidence._replace(picture=picture)):
            yield _fault(found)._replace(sockets=shown(_to(scene, some[0])))


def _to(scene: Scene, destination: Destination) -> Iterator[Connection]:
    """Connections that lead there, as far as some were kept."""
    for c in scene.crowd:
        is_there = (plain(c.remote_address or ""), c.remote_port) == (
            destination.remote_address,
            destination.remote_port,
        )
        if is_there and plain(c.local_address or "") == destination.local_address:
            yield c


def _level(destination: Destination, limits: Limits) -> Level:
    percent = destination.used_percent or 0
    if percent >= limits["critical_percent"]:
        return "critical"
    return "warning" if percent >= limits["percent"] else "ok"


def overflow(scene: Scene, _limits: Limits) -> Iterator[Fault]:
    """More TIME_WAIT than the kernel keeps."""
    yield from map(_fault, full_table(_evidence(scene)))


def _evidence(scene: Scene) -> Evidence:
    if scene.ports is None:
        raise NotCheckedError("a capture does not tell the settings of its kernel")
    if scene.settings.ephemeral_range is None:
        raise NotCheckedError("the range of local ports is not known")
    return scene.ports


def _fault(found: Finding) -> Fault:
    return Fault(found.severity, found.title, found.evidence, found.confidence)


RULES = (
    Rule(
        "port_exhaustion",
        "A destination has used up most of its local ports",
        exhaustion,
        (
            Threshold(
                "percent",
                WARNING_PERCENT,
                "of the ports",
                "measured: from half on connect() takes 60 times as long",
            ),
            Threshold(
                "critical_percent", CRITICAL_PERCENT, "of the ports", "as others alarm: ALM-12052"
            ),
        ),
    ),
    Rule("time_wait_overflow", "There are more TIME_WAIT sockets than the kernel keeps", overflow),
)
