"""What TIME_WAIT tells: the arithmetic of ports, and the causes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netinspect.diagnose.destinations import EndTally, count_ports, level, tally_ends
from netinspect.diagnose.time_wait import Picture, created_since, difference, end_of, picture
from netinspect.diagnose.time_wait_causes import findings
from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.diagnose.time_wait_record import Destination, Sample
from netinspect.ends import End, Ends, Kind, LocalPorts
from netinspect.settings import Settings

# 100 ports, so that counts are percents
LINUX = Settings(
    ephemeral_range=(41000, 41099),
    reserved_ports=(),
    time_wait_seconds=60,
    tcp_max_tw_buckets=1000,
    tcp_tw_reuse=0,
    tcp_timestamps=1,
)
MACOS = Settings(
    ephemeral_range=(49152, 65535), time_wait_seconds=30, is_port_taken_everywhere=True
)
REMOTE = End("client", "10.0.0.1", None, "10.0.0.2", 443)
OTHER = REMOTE._replace(remote_address="10.0.0.3")
LOOPBACK = End("client", "127.0.0.1", None, "127.0.0.1", 443)
SERVER = End("server", "10.0.0.1", 8080, None, None)


def ends_of(
    *counts: tuple[End, str, int | None, int],
    settings: Settings = LINUX,
    ports: set[int] | None = None,
) -> Ends:
    """So many of an end, in a state, with seconds left; each has taken a port of the range."""
    ends = Ends(LocalPorts(settings))
    for end, state, left, count in counts:
        ends.counts[Kind(end, state, left, end.side == "client")] += count  # type: ignore[arg-type]
    ends.local_ports = ports or set()
    return ends


def tallies_of(*counts: tuple[End, str, int | None, int]) -> dict[End, EndTally]:
    return tally_ends(ends_of(*counts), LINUX)


def seen(
    *counts: tuple[End, str, int | None, int],
    settings: Settings = LINUX,
    ports: set[int] | None = None,
) -> Picture:
    ends = ends_of(*counts, settings=settings, ports=ports)
    return picture(tally_ends(ends, settings), count_ports(ends), settings)


def only(shown: Picture) -> Destination:
    (destination,) = shown.destinations
    return destination


def old(count: int, end: End = REMOTE) -> tuple[End, str, int, int]:
    """In TIME_WAIT for half a minute."""
    return (end, "TIME_WAIT", 30, count)


def test_nothing() -> None:
    shown = seen()
    assert shown == Picture((), 0, shown.ports, 0.0, (0,) * 60)
    assert shown.ports == (100, 0)
    assert findings(Evidence(shown, LINUX, {})) == ()


@pytest.mark.parametrize(
    ("percent", "word"),
    [
        (0, "ok"),
        (49.9, "ok"),
        (50, "warning"),
        (79.9, "warning"),
        (80, "critical"),
        (100, "critical"),
    ],
)
def test_levels(percent: float, word: str) -> None:
    assert level(percent) == word


def test_a_destination() -> None:
    shown = seen(
        (REMOTE, "TIME_WAIT", 59, 20),
        (REMOTE, "TIME_WAIT", 50, 10),
        (REMOTE, "TIME_WAIT", 49, 25),
        (REMOTE, "ESTABLISHED", None, 4),
        (REMOTE, "SYN_SENT", None, 1),
        (SERVER, "TIME_WAIT", 10, 7),
        (SERVER, "ESTABLISHED", None, 3),
        (OTHER, "ESTABLISHED", None, 9),
    )
    client, other, server = shown.destinations
    assert (other.time_wait, other.established, other.used_percent) == (0, 9, 9.0)
    assert client == Destination(
        side="client",
        local_address="10.0.0.1",
        local_port=None,
        remote_address="10.0.0.2",
        remote_port=443,
        time_wait=55,
        established=4,
        other=1,
        used_ports=60,
        reusable_ports=0,
        capacity=100,
        used_percent=60.0,
        created_per_second=3.0,
        seconds_to_exhaustion=14,
        severity="warning",
    )
    assert server == Destination(
        side="server",
        local_address="10.0.0.1",
        local_port=8080,
        remote_address=None,
        remote_port=None,
        time_wait=7,
        established=3,
        other=0,
        used_ports=None,
        reusable_ports=None,
        capacity=None,
        used_percent=None,
        created_per_second=0.0,
        seconds_to_exhaustion=None,
        severity="ok",
    )
    assert shown.time_wait == 62
    assert shown.created_per_second == 3.0


def test_a_destination_without_time_wait_takes_ports_too() -> None:
    assert only(seen((REMOTE, "ESTABLISHED", None, 50))).severity == "warning"
    assert only(seen((REMOTE, "ESTABLISHED", None, 49))).severity == "ok"
    assert seen((SERVER, "ESTABLISHED", None, 49)).destinations == ()


def test_the_worst_come_first() -> None:
    shown = seen(old(10, SERVER), old(20), old(55, OTHER), old(30, LOOPBACK))
    assert [d.time_wait for d in shown.destinations] == [55, 30, 20, 10]


def test_what_decides_which_is_worse() -> None:
    """How full it is, then the side, how many, and the rest for the same order each time."""
    full = REMOTE._replace(remote_port=9)
    alike = [REMOTE, REMOTE._replace(remote_port=444), REMOTE._replace(remote_address="10.0.0.20")]
    shown = seen(
        old(90, SERVER),
        (full, "ESTABLISHED", None, 80),
        old(1, full),
        old(7, OTHER),
        *(old(2, end) for end in reversed(alike)),
        old(2, LOOPBACK),
    )
    ordered = [full, OTHER, *alike, LOOPBACK, SERVER]
    assert [end_of(destination) for destination in shown.destinations] == ordered


def test_the_history_ends_with_the_last_second() -> None:
    shown = seen(
        (REMOTE, "TIME_WAIT", 59, 1),
        (SERVER, "TIME_WAIT", 59, 2),
        (REMOTE, "TIME_WAIT", 60, 4),  # not a millisecond old
        (REMOTE, "TIME_WAIT", 0, 8),
    )
    assert shown.history == (8, *[0] * 58, 7)


def test_a_shorter_time_wait_has_a_shorter_history() -> None:
    settings = replace(LINUX, time_wait_seconds=2)
    shown = seen((REMOTE, "TIME_WAIT", 1, 3), (REMOTE, "TIME_WAIT", 0, 5), settings=settings)
    assert shown.history == (*[None] * 58, 5, 3)


def test_without_timers_rates_are_not_known() -> None:
    shown = seen((REMOTE, "TIME_WAIT", None, 60))
    assert (shown.created_per_second, shown.history) == (None, None)
    assert only(shown).created_per_second is None
    assert only(shown).seconds_to_exhaustion is None
    assert only(shown).used_percent == 60


def test_without_a_range_it_is_not_known_how_full_it_is() -> None:
    settings = replace(LINUX, ephemeral_range=None)
    found = only(seen(old(60), settings=settings))
    assert (found.capacity, found.used_percent, found.severity) == (None, None, None)
    assert found.used_ports == 60


def test_no_port_at_all() -> None:
    settings = replace(LINUX, reserved_ports=((41000, 41099),))
    assert only(seen(old(1), settings=settings)).used_percent == 100.0


@pytest.mark.parametrize(
    ("end", "changes", "reusable"),
    [
        (REMOTE, {"tcp_tw_reuse": 0}, 0),
        (REMOTE, {"tcp_tw_reuse": 1}, 70),
        (REMOTE, {"tcp_tw_reuse": 2}, 0),
        (REMOTE, {"tcp_tw_reuse": None}, 0),
        (LOOPBACK, {"tcp_tw_reuse": 2}, 70),
        (LOOPBACK, {"tcp_tw_reuse": 0}, 0),
        (LOOPBACK._replace(local_address="::1", remote_address="::1"), {"tcp_tw_reuse": 2}, 70),
        (LOOPBACK._replace(local_address="10.9.9.1"), {"tcp_tw_reuse": 2}, 70),
        (LOOPBACK, {"tcp_tw_reuse": 2, "tcp_timestamps": 0}, 0),
        (LOOPBACK, {"tcp_tw_reuse": 1, "tcp_timestamps": None}, 0),
        (REMOTE, {"tcp_tw_reuse": 1, "tcp_tw_reuse_delay_ms": 31_000}, 0),
    ],
)
def test_what_tcp_tw_reuse_sets_free(end: End, changes: dict[str, Any], reusable: int) -> None:
    settings = replace(LINUX, **changes)
    shown = seen((end, "TIME_WAIT", 59, 10), (end, "TIME_WAIT", 30, 70), settings=settings)
    found = only(shown)
    assert (found.used_ports, found.reusable_ports) == (80, reusable)
    assert found.used_percent == 80 - reusable
    codes = {finding.code for finding in findings(Evidence(shown, settings, {}))}
    assert ("time_wait_reused" in codes, "port_exhaustion" in codes) == (
        bool(reusable),
        not reusable,
    )


def test_when_ports_run_out() -> None:
    # 30 are left; 5 come a second, and the 20 oldest go after 2 seconds
    shown = seen((REMOTE, "TIME_WAIT", 55, 50), (REMOTE, "TIME_WAIT", 1, 20))
    assert only(shown).seconds_to_exhaustion == 10
    assert only(seen((REMOTE, "TIME_WAIT", 55, 50))).seconds_to_exhaustion == 10
    assert only(seen((REMOTE, "TIME_WAIT", 30, 100))).seconds_to_exhaustion == 0


def test_what_settles_below_the_capacity_never_runs_out() -> None:
    assert only(seen((REMOTE, "TIME_WAIT", 55, 16))).seconds_to_exhaustion is None
    with_others = seen((REMOTE, "TIME_WAIT", 55, 16), (REMOTE, "ESTABLISHED", None, 4))
    assert only(with_others).seconds_to_exhaustion == 50
    # Those of before are more than the rate can keep up, but they have half a minute left.
    many = seen((REMOTE, "TIME_WAIT", 55, 10), (REMOTE, "TIME_WAIT", 30, 80))
    assert only(many).seconds_to_exhaustion == 10


@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 30)), max_size=8),
    st.integers(0, 120),
)
def test_it_runs_out_only_if_the_rate_does_not_settle(
    ages: list[tuple[int, int]], established: int
) -> None:
    counts = [(REMOTE, "TIME_WAIT", 59 - age, count) for age, count in ages]
    shown = seen(*counts, (REMOTE, "ESTABLISHED", None, established))
    total = established + sum(count for _, count in ages)
    rate = sum(count for age, count in ages if age < 10) / 10
    for found in shown.destinations:
        left = found.seconds_to_exhaustion
        assert (left == 0) == (total >= 100)
        if established + 60 * rate >= 100:
            assert left is not None
        if left is None:
            assert total < 100


def test_one_supply_of_ports_for_all_destinations() -> None:
    ports = set(range(49152, 49152 + 13108))  # 80 percent
    shown = seen(
        (REMOTE, "TIME_WAIT", None, 13000),
        (OTHER, "TIME_WAIT", None, 108),
        settings=MACOS,
        ports=ports,
    )
    assert [d.used_percent for d in shown.destinations] == [80.0, 80.0]
    assert [d.used_ports for d in shown.destinations] == [13000, 108]
    (found, *_) = findings(Evidence(shown, MACOS, {}))
    assert (found.code, found.severity) == ("port_exhaustion", "critical")
    assert found.title == (
        "80 % of this host's local ports are in use, for all destinations together"
    )
    assert found.evidence == (
        "13108 of at most 16384 ports",
        "on this system a port in TIME_WAIT is taken for every destination",
        "13000 of them lead to 10.0.0.2:443 and are in TIME_WAIT",
        "when none is left, connect() fails with EADDRNOTAVAIL",
    )


def test_a_clock_that_stands_still() -> None:
    shown = seen((REMOTE, "TIME_WAIT", None, 5), settings=MACOS)
    evidence = Evidence(shown, MACOS, {}, undying=5, uptime_seconds=84 * 86400.0)
    (found,) = [f for f in findings(evidence) if f.code == "tcp_clock_frozen"]
    assert found.severity == "critical"
    assert found.evidence == (
        "5 sockets are in TIME_WAIT for longer than it lasts",
        "the system runs for 84.0 days; the fault begins after 49.7",
    )
    for healthy in (evidence._replace(undying=0), evidence._replace(uptime_seconds=49 * 86400.0)):
        assert "tcp_clock_frozen" not in {f.code for f in findings(healthy)}


SAMPLE = Sample(
    seconds=2.0,
    opened=100,
    accepted=0,
    time_wait_entered=100,
    time_wait_reused=0,
    aborted_on_close=0,
    time_wait_overflowed=0,
)


def causes(
    shown: Picture,
    sample: Sample | None = None,
    created: Mapping[End, int] | None = None,
    lasting: Mapping[End, int] | None = None,
    counters: Mapping[str, int] | None = None,
) -> dict[str, tuple[str, str]]:
    """Severity and confidence by code."""
    evidence = Evidence(
        shown, LINUX, counters or {}, sample, lasting=lasting or {}, created=created or {}
    )
    return {f.code: (f.severity, f.confidence) for f in findings(evidence)}


def test_a_few_closings_have_no_cause_to_speak_of() -> None:
    assert causes(seen((REMOTE, "TIME_WAIT", 55, 4))) == {}
    assert causes(seen(old(40))) == {}
    assert causes(seen(old(40)), SAMPLE, {REMOTE: 2}) == {}


def test_connections_that_are_not_used_again() -> None:
    shown = seen((REMOTE, "TIME_WAIT", 55, 5))
    assert causes(shown) == {"connection_per_request": ("info", "medium")}
    assert causes(shown, SAMPLE, {REMOTE: 90}) == {"connection_per_request": ("info", "high")}
    assert causes(shown, SAMPLE, {REMOTE: 40}) == {"connection_per_request": ("info", "medium")}
    (found,) = findings(Evidence(shown, LINUX, {}, SAMPLE, created={REMOTE: 90}))
    assert found.evidence == (
        "90 came into TIME_WAIT in 2 s",
        "this host closes them first",
        "100 connections were opened in 2 s, to all destinations",
    )
    beside = seen((REMOTE, "TIME_WAIT", 55, 5), (REMOTE, "ESTABLISHED", None, 2))
    assert causes(beside) == {"connection_per_request": ("info", "low")}


def test_ports_that_are_short_for_another_reason() -> None:
    """Connections that stay open are no sign of a connection a request, nor of a small pool."""
    stay = (REMOTE, "ESTABLISHED", None, 70)
    assert causes(seen(stay)) == {"port_exhaustion": ("warning", "high")}
    full = {"port_exhaustion": ("critical", "high")}
    assert causes(seen(stay, old(20))) == full
    assert causes(seen(stay, old(20)), SAMPLE, {}, {REMOTE: 70}) == full
    shown = seen((REMOTE, "TIME_WAIT", None, 2), settings=MACOS, ports=set(range(49152, 65000)))
    codes = [found.code for found in findings(Evidence(shown, MACOS, {}))]
    assert codes == ["port_exhaustion"]


def test_ports_that_are_short_since_before() -> None:
    shown = seen(old(70), (REMOTE, "ESTABLISHED", None, 20))
    assert causes(shown)["connection_per_request"] == ("info", "low")
    found = findings(Evidence(shown, LINUX, {}))[1]
    assert found.evidence[0] == "70 in TIME_WAIT"
    later = Evidence(shown, LINUX, {}, replace(SAMPLE, opened=0), lasting={REMOTE: 20})
    cause = findings(later)[1]
    assert (cause.code, cause.confidence) == ("connection_per_request", "medium")
    assert cause.evidence[0] == "70 in TIME_WAIT, of which none came in 2 s"


def test_without_timers_it_is_the_number_that_counts() -> None:
    assert causes(seen((REMOTE, "TIME_WAIT", None, 29))) == {}
    assert causes(seen((REMOTE, "TIME_WAIT", None, 30))) == {
        "connection_per_request": ("info", "medium")
    }


def test_a_pool_that_is_too_small() -> None:
    shown = seen((REMOTE, "TIME_WAIT", 59, 9), (REMOTE, "ESTABLISHED", None, 2))
    found = {"pool_too_small": ("info", "medium")}  # for what stays may be another program's
    assert causes(shown, SAMPLE, {REMOTE: 9}, {REMOTE: 2}) == found


def test_connections_that_are_reset() -> None:
    shown = seen()
    reset = replace(SAMPLE, time_wait_entered=0, aborted_on_close=98)
    assert causes(shown, reset) == {"connections_reset": ("warning", "high")}
    assert causes(shown, replace(reset, aborted_on_close=49)) == {}
    assert causes(shown, replace(reset, opened=2, aborted_on_close=2)) == {}
    assert causes(shown, replace(reset, opened=None)) == {}


def test_a_server_that_closes_first() -> None:
    shown = seen((SERVER, "TIME_WAIT", 55, 50))
    assert causes(shown) == {"server_closes_first": ("info", "high")}
    (found,) = findings(Evidence(shown, LINUX, {}))
    assert found.title == ("The server on 10.0.0.1:8080 closes first: its TIME_WAIT takes no ports")
    assert found.evidence == ("10.0.0.1:8080: 5 a second come into TIME_WAIT",)


def test_more_than_the_kernel_keeps() -> None:
    overflow = {"TcpExt.TCPTimeWaitOverflow": 20}
    assert causes(seen(old(1000, SERVER)), counters=overflow)["time_wait_overflow"] == (
        "warning",
        "high",
    )
    assert "time_wait_overflow" not in causes(seen(old(999, SERVER)), counters=overflow)
    assert "time_wait_overflow" not in causes(seen(old(1000, SERVER)))
    grown = replace(SAMPLE, time_wait_overflowed=7)
    assert "time_wait_overflow" in causes(seen(), grown)


def test_ports_are_scarce_for_bind() -> None:
    few, many = set(range(41000, 41049)), set(range(41000, 41050))
    assert "bind_ports_scarce" not in causes(seen(old(1), ports=few))
    assert causes(seen(old(1), ports=many))["bind_ports_scarce"] == ("info", "low")


def test_the_words_of_a_full_destination() -> None:
    shown = seen((REMOTE, "TIME_WAIT", 59, 80), (REMOTE, "ESTABLISHED", None, 2))
    found = findings(Evidence(shown, LINUX, {}))[0]
    assert (found.code, found.severity, found.confidence) == ("port_exhaustion", "critical", "high")
    assert found.title == (
        "Connections from 10.0.0.1 to 10.0.0.2:443 use 82 % of the local ports they can have"
    )
    assert found.evidence == (
        "82 of at most 100 ports: 80 in TIME_WAIT, 2 ESTABLISHED, 0 in other states",
        "at 8 a second the ports are used up in 3 s; then connect() fails with EADDRNOTAVAIL",
        "from half of the ports on connect() has to search: it takes milliseconds",
    )


def test_the_difference_of_two_readings() -> None:
    before = {"Tcp.ActiveOpens": 5, "TcpExt.TW": 1, "Tcp.PassiveOpens": 3}
    after = {"Tcp.ActiveOpens": 9, "TcpExt.TW": 4, "TcpExt.TWRecycled": 1}
    assert difference(before, after, 2.5) == Sample(
        seconds=2.5,
        opened=4,
        accepted=None,
        time_wait_entered=3,
        time_wait_reused=None,
        aborted_on_close=None,
        time_wait_overflowed=None,
    )


def test_what_came_since() -> None:
    timed = tallies_of((REMOTE, "TIME_WAIT", 59, 3), (REMOTE, "TIME_WAIT", 57, 5))
    assert created_since({}, timed, 2) == {REMOTE: 3}
    before, after = (tallies_of((REMOTE, "TIME_WAIT", None, count)) for count in (3, 10))
    assert created_since(before, after, 2) == {REMOTE: 7}
    assert created_since(after, before, 2) == {REMOTE: 0}
