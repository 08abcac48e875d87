"""Local ports that run out, for connect() or for bind(), and why many in use may be no danger."""

from __future__ import annotations

from collections.abc import Iterator

from netinspect.diagnose.destinations import can_be_reused
from netinspect.diagnose.finding import Finding
from netinspect.diagnose.time_wait import end_of
from netinspect.diagnose.time_wait_evidence import Evidence, name_of
from netinspect.diagnose.time_wait_record import Destination

# From so much of the ports of all destinations together bind() is worth a word.
SCARCE_FOR_BIND_PERCENT = 50


def full_destinations(evidence: Evidence) -> Iterator[Finding]:
    """Destinations of which the ports are, or soon will be, used up."""
    if evidence.settings.is_port_taken_everywhere:
        yield from _full_host(evidence)
        return
    for destination in evidence.picture.destinations:
        if destination.side == "client" and destination.severity in ("warning", "critical"):
            yield Finding(
                code="port_exhaustion",
                severity=destination.severity,
                title=f"Connections from {destination.local_address} to {name_of(destination)} "
                f"use {destination.used_percent:g} % of the local ports they can have",
                evidence=tuple(_fullness(destination)),
                confidence="high",
            )


def _fullness(destination: Destination) -> Iterator[str]:
    yield (
        f"{destination.used_ports} of at most {destination.capacity} ports: "
        f"{destination.time_wait} in TIME_WAIT, {destination.established} ESTABLISHED, "
        f"{destination.other} in other states"
    )
    if destination.reusable_ports:
        yield f"{destination.reusable_ports} of them are free again for connect()"
    left = destination.seconds_to_exhaustion
    if left == 0:
        yield "connect() fails now with EADDRNOTAVAIL"
    elif left is not None:
        yield (
            f"at {destination.created_per_second:g} a second the ports are used up in {left} s; "
            "then connect() fails with EADDRNOTAVAIL"
        )
    yield "from half of the ports on connect() has to search: it takes milliseconds"


def _full_host(evidence: Evidence) -> Iterator[Finding]:
    """Where a port in TIME_WAIT is taken for every destination there is one supply for all."""
    clients = [d for d in evidence.picture.destinations if d.side == "client"]
    worst = clients[0] if clients else None
    if worst is None or worst.severity not in ("warning", "critical"):
        return
    ports = evidence.picture.ports
    yield Finding(
        code="port_exhaustion",
        severity=worst.severity,
        title=f"{worst.used_percent:g} % of this host's local ports are in use, "
        "for all destinations together",
        evidence=(
            f"{ports.in_use} of at most {ports.capacity} ports",
            "on this system a port in TIME_WAIT is taken for every destination",
            f"{worst.time_wait} of them lead to {name_of(worst)} and are in TIME_WAIT",
            "when none is left, connect() fails with EADDRNOTAVAIL",
        ),
        confidence="high",
    )


def reuse(evidence: Evidence) -> Iterator[Finding]:
    """Say why many are no danger."""
    reused = [
        d
        for d in evidence.picture.destinations
        if d.side == "client"
        and d.severity == "ok"
        and d.capacity
        and 2 * (d.used_ports or 0) >= d.capacity
        and can_be_reused(end_of(d), evidence.settings)
    ]
    if not reused:
        return
    setting = evidence.settings.tcp_tw_reuse
    where = "on loopback addresses" if setting == 2 else "everywhere"
    yield Finding(
        code="time_wait_reused",
        severity="info",
        title="Many ports are in TIME_WAIT, but connect() takes them over: no danger",
        evidence=(
            f"tcp_tw_reuse is {setting}: {where} ports in TIME_WAIT are used again",
            "only of connections with timestamps, and not in the first second",
            *(
                f"{name_of(d)}: {d.reusable_ports} of {d.used_ports} ports are free again"
                for d in reused[:5]
            ),
        ),
        confidence="medium",
    )


def bind(evidence: Evidence) -> Iterator[Finding]:
    """Bind() to port 0 does not know yet where connect() will lead: it needs an unused port."""
    ports = evidence.picture.ports
    if evidence.settings.is_port_taken_everywhere or not ports.capacity:
        return
    if 100 * ports.in_use < SCARCE_FOR_BIND_PERCENT * ports.capacity:
        return
    yield Finding(
        code="bind_ports_scarce",
        severity="info",
        title="Programs that call bind() before connect() may find no port: EADDRINUSE",
        evidence=(
            f"{ports.in_use} of {ports.capacity} local ports are in use to some destination",
            "connect() alone uses them again for other destinations",
            "it fails with EADDRNOTAVAIL, and only for a destination that has used up all",
        ),
        confidence="low",
    )
