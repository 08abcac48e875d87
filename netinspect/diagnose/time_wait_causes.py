"""Why there is TIME_WAIT: from the numbers to findings.

What a destination shows, and what is the likeliest cause:

- the client's ports in TIME_WAIT, and nothing that stays: a connection for each request, or
  answers that are not read to their end. From outside these two are the same.
- the client's ports in TIME_WAIT beside connections that stay: a pool that is too small.
- no TIME_WAIT, but connections that are opened and aborted: large answers that are not read.
- a server's port: the server closes first, which takes no ports.
"""

from __future__ import annotations

from collections.abc import Iterator

from netinspect.diagnose.finding import Confidence, Finding
from netinspect.diagnose.port_exhaustion import bind, full_destinations, reuse
from netinspect.diagnose.time_wait import end_of
from netinspect.diagnose.time_wait_evidence import Evidence, name_of
from netinspect.diagnose.time_wait_record import Destination

# Below it nothing is said of a cause: a few connections end on every healthy machine.
LEAST_PER_SECOND = 0.5
LEAST_IN_SAMPLE = 3
USUAL_SECONDS = 60  # that TIME_WAIT lasts, where it is not told
# Of the connections that were opened so many were aborted, or went into TIME_WAIT.
MOST_OF = 0.5
FROZEN_AFTER_SECONDS = 2**32 / 1000


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """All that there is to say, the worst first."""
    found = [
        *full_destinations(evidence),
        *full_table(evidence),
        *_frozen_clock(evidence),
        *_causes(evidence),
        *_aborts(evidence),
        *reuse(evidence),
        *bind(evidence),
    ]
    rank = {"critical": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: rank[finding.severity]))


def full_table(evidence: Evidence) -> Iterator[Finding]:
    """What goes beyond tcp_max_tw_buckets is closed without TIME_WAIT, and nothing is logged."""
    limit = evidence.settings.tcp_max_tw_buckets
    sample = evidence.sample
    grown = sample.time_wait_overflowed if sample else None
    total = evidence.counters.get("TcpExt.TCPTimeWaitOverflow", 0)
    count = evidence.picture.time_wait
    is_full = limit is not None and count >= limit
    if not grown and not (is_full and total):
        return
    since = f"{grown} in {sample.seconds:g} s" if grown and sample else f"{total} since the start"
    yield Finding(
        code="time_wait_overflow",
        severity="warning",
        title="There are more sockets in TIME_WAIT than the kernel keeps",
        evidence=(
            f"{count} in TIME_WAIT, tcp_max_tw_buckets is {limit}",
            f"closed without TIME_WAIT: {since}",
        ),
        confidence="high",
    )


def _frozen_clock(evidence: Evidence) -> Iterator[Finding]:
    """macOS: its clock for TCP stops after 2^32 ms, and TIME_WAIT never ends."""
    uptime = evidence.uptime_seconds
    if not evidence.undying or uptime is None or uptime < FROZEN_AFTER_SECONDS:
        return
    yield Finding(
        code="tcp_clock_frozen",
        severity="critical",
        title="TIME_WAIT does not end: the kernel's clock for TCP seems to stand still",
        evidence=(
            f"{evidence.undying} sockets are in TIME_WAIT for longer than it lasts",
            f"the system runs for {uptime / 86400:.1f} days; the fault begins after 49.7",
        ),
        confidence="medium",
    )


def _causes(evidence: Evidence) -> Iterator[Finding]:
    servers = []
    for destination in evidence.picture.destinations:
        if not _is_busy(destination, evidence):
            continue
        if destination.side == "server":
            servers.append(destination)
        else:
            yield _cause_of_client(destination, evidence)
    if servers:
        yield _server_closes(servers, evidence)


def _is_busy(destination: Destination, evidence: Evidence) -> bool:
    """Whether enough comes into TIME_WAIT to speak of it."""
    if _fills_ports(destination, evidence):
        return True
    if evidence.sample:
        created = evidence.created.get(end_of(destination), 0)
        return created >= max(LEAST_IN_SAMPLE, LEAST_PER_SECOND * evidence.sample.seconds)
    rate = destination.created_per_second
    if rate is None:  # then what is there now has come in as long as it lasts, at the most
        rate = destination.time_wait / (evidence.settings.time_wait_seconds or USUAL_SECONDS)
    return rate >= LEAST_PER_SECOND


def _fills_ports(destination: Destination, evidence: Evidence) -> bool:
    """Whether it is TIME_WAIT by which ports are short, though none may come any more."""
    if destination.side != "client" or evidence.settings.is_port_taken_everywhere:
        return False  # where there is one supply, its level is that of all destinations together
    is_short = destination.severity in ("warning", "critical")
    return is_short and 2 * destination.time_wait > (destination.used_ports or 0)


def _rate(destination: Destination, evidence: Evidence) -> str:
    if evidence.sample:
        created = evidence.created.get(end_of(destination), 0)
        seconds = f"{evidence.sample.seconds:g} s"
        if not created:
            return f"{destination.time_wait} in TIME_WAIT, of which none came in {seconds}"
        return f"{created} came into TIME_WAIT in {seconds}"
    if not destination.created_per_second:
        return f"{destination.time_wait} in TIME_WAIT"
    return f"{destination.created_per_second:g} a second come into TIME_WAIT"


def _cause_of_client(destination: Destination, evidence: Evidence) -> Finding:
    lasting = evidence.lasting.get(end_of(destination), 0)
    created = evidence.created.get(end_of(destination), 0)
    rate, name = _rate(destination, evidence), name_of(destination)
    if lasting and created:
        stay = "1 connection stays" if lasting == 1 else f"{lasting} connections stay"
        return Finding(
            code="pool_too_small",
            severity="info",
            title=f"The pool of connections to {name} is too small: "
            "what does not fit is closed, and opened again",
            evidence=(
                rate,
                f"{stay} open beside them",
                "unless what stays is another program's: then each request opens one",
            ),
            confidence="medium",
        )
    shown = [rate, "this host closes them first"]
    if evidence.sample and evidence.sample.opened is not None:
        shown.append(
            f"{evidence.sample.opened} connections were opened in {evidence.sample.seconds:g} s, "
            "to all destinations"
        )
    elif destination.established:
        shown.append(
            f"{destination.established} ESTABLISHED beside them: if these stay, the pool is too "
            "small (--sample 5 tells)"
        )
    return Finding(
        code="connection_per_request",
        severity="info",
        title=f"Connections to {name} are not used again: each request opens one, "
        "or answers are not read to their end",
        evidence=tuple(shown),
        confidence=_confidence_of_new(destination, evidence),
    )


def _confidence_of_new(destination: Destination, evidence: Evidence) -> Confidence:
    if evidence.sample is None:
        return "low" if destination.established else "medium"
    opened = evidence.sample.opened
    created = evidence.created.get(end_of(destination), 0)
    return "high" if opened and created >= MOST_OF * opened else "medium"


def _server_closes(servers: list[Destination], evidence: Evidence) -> Finding:
    names = ", ".join(map(name_of, servers[:5]))
    return Finding(
        code="server_closes_first",
        severity="info",
        title=f"The server on {names} closes first: its TIME_WAIT takes no ports",
        evidence=tuple(f"{name_of(d)}: {_rate(d, evidence)}" for d in servers[:5]),
        confidence="high",
    )


def _aborts(evidence: Evidence) -> Iterator[Finding]:
    """Close with data unread sends a reset (RFC 2525, 2.17) and leaves no TIME_WAIT."""
    sample = evidence.sample
    if sample is None or not sample.aborted_on_close or sample.opened is None:
        return
    least = max(LEAST_IN_SAMPLE, LEAST_PER_SECOND * sample.seconds, MOST_OF * sample.opened)
    if sample.aborted_on_close < least:
        return
    yield Finding(
        code="connections_reset",
        severity="warning",
        title="Connections are reset, because programs close them with data unread: "
        "large answers are not read to their end",
        evidence=(
            f"{sample.opened} connections were opened in {sample.seconds:g} s",
            f"{sample.aborted_on_close} of them were aborted on close",
            "TIME_WAIT does not show it: a reset leaves none",
        ),
        confidence="high",
    )
