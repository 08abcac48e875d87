"""Connections counted by where they lead: from records, and from messages of sock_diag alike."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.ends import (
    FREE_TO_CONNECT,
    LISTENED,
    OTHER,
    End,
    Ends,
    Kind,
    LocalPorts,
    is_server,
    plain,
)
from netinspect.model import Timer
from netinspect.parse import inet_ends
from netinspect.parse.inet_diag import decode_records
from netinspect.parse.inet_ends import RawEnds
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import decode_reply
from netinspect.parse.seen import Seen
from netinspect.settings import Settings
from tests.kernel_messages import done, inet_payload, message
from tests.records import made

RANGE = Settings(ephemeral_range=(41000, 41063))
LISTENED_PORT = 8080


def ports_of(settings: Settings = RANGE) -> LocalPorts:
    return LocalPorts(settings, [LISTENED_PORT])


def waiting(seconds: int, **keys: Any) -> Any:
    timer = Timer("time_wait", seconds * 1000 + 7, 0)
    return made(state="TIME_WAIT", local_port=41000, timer=timer, **keys)


def counted(*connections: Any, settings: Settings = RANGE) -> Ends:
    ends = Ends(ports_of(settings))
    ends.add(connections)
    return ends


CLIENT = End("client", "10.0.0.1", None, "10.0.0.2", 443)


def test_what_a_local_port_is() -> None:
    settings = Settings(ephemeral_range=(10, 20), reserved_ports=((12, 13), (18, 30)))
    kinds = LocalPorts(settings, [15, 5]).kinds
    assert [port for port in range(40) if kinds[port] == FREE_TO_CONNECT] == [10, 11, 14, 16, 17]
    assert [port for port in range(40) if kinds[port] == LISTENED] == [5, 15]


@pytest.mark.parametrize(
    ("settings", "held", "capacity"),
    [
        (Settings(), (), None),
        (RANGE, (), 64),
        (RANGE, (41000, 41000, 41001, 50000, LISTENED_PORT), 62),
        (Settings(ephemeral_range=(8000, 8100), reserved_ports=((8000, 8009),)), (), 90),
    ],
)
def test_capacity(settings: Settings, held: tuple[int, ...], capacity: int | None) -> None:
    assert ports_of(settings).capacity(held) == capacity


@pytest.mark.parametrize(
    ("kind", "local_port", "remote_port", "is_one"),
    [
        (LISTENED, 8080, 41000, True),
        (FREE_TO_CONNECT, 41000, 50000, False),
        (OTHER, 8081, 41000, True),  # its listener has gone
        (OTHER, 700, 2049, True),
        (OTHER, 50000, 443, False),  # bound, then connected
        (OTHER, 8081, None, False),
    ],
)
def test_is_server(kind: int, local_port: int, remote_port: int | None, is_one: bool) -> None:
    assert is_server(kind, local_port, remote_port) is is_one


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:0:1", "::ffff:0:1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_mapped_addresses_are_ipv4(address: str, text: str) -> None:
    assert plain(address) == text


def test_clients_are_counted_by_destination() -> None:
    ends = counted(
        made(local_port=41001),
        made(local_port=41002, family="ipv6", local_address="::ffff:10.0.0.1"),
        waiting(59),
        made(local_port=41004, remote_port=80),
        made(local_port=50000),
    )
    assert ends.counts == {
        Kind(CLIENT, "ESTABLISHED", None, takes_port=True): 2,
        Kind(CLIENT, "TIME_WAIT", 59, takes_port=True): 1,
        Kind(CLIENT._replace(remote_port=80), "ESTABLISHED", None, takes_port=True): 1,
        Kind(CLIENT, "ESTABLISHED", None, takes_port=False): 1,
    }
    assert ends.local_ports == {41000, 41001, 41002, 41004, 50000}


def test_servers_are_counted_by_their_own_end() -> None:
    ends = counted(
        made(local_port=LISTENED_PORT, remote_port=41000),
        made(local_port=LISTENED_PORT, remote_port=41001, remote_address="10.0.0.3"),
    )
    end = End("server", "10.0.0.1", LISTENED_PORT, None, None)
    assert ends.counts == {Kind(end, "ESTABLISHED", None, takes_port=False): 2}


def test_a_socket_without_peer_holds_its_port() -> None:
    nobody: dict[str, Any] = {"remote_address": None, "remote_port": None}
    ends = counted(made(state="BOUND", local_port=41005, **nobody), made(local_port=None))
    assert (ends.held_ports, ends.counts) == ({41005}, Counter())


def test_a_timer_of_another_state_says_nothing() -> None:
    timer = Timer("time_wait", 30_000, 0)
    ends = counted(made(state="FIN_WAIT2", local_port=41000, timer=timer))
    assert list(ends.counts) == [Kind(CLIENT, "FIN_WAIT2", None, takes_port=True)]


def test_owners_that_come_with_the_records_are_kept() -> None:
    assert [o.process for o in counted(made(local_port=41000)).owners[CLIENT].values()] == ["nginx"]


PORTS = st.sampled_from([41000, 41001, 41063, 41064, LISTENED_PORT, 443, 0])
ADDRESSES = {
    int(socket.AF_INET): st.sampled_from(["127.0.0.1", "10.0.0.1", "10.0.0.2"]),
    int(socket.AF_INET6): st.sampled_from(["::1", "fe80::1", "::ffff:10.0.0.1", "2001:db8::7"]),
}
INTERFACES = {3: "eth0"}
# Number of the state, kind of the timer
STATES = st.sampled_from([(1, 0), (1, 2), (2, 1), (5, 3), (6, 3), (6, 3), (7, 0), (10, 0)])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    family = draw(st.sampled_from(sorted(ADDRESSES)))
    state, timer = draw(STATES)
    payload = inet_payload(
        family=family,
        state=state,
        timer=timer,
        source=(draw(ADDRESSES[family]), draw(PORTS)),
        destination=(draw(ADDRESSES[family]), draw(PORTS)),
        interface=draw(st.sampled_from([0, 3])),
        cookie=draw(st.integers(1, 20)),
        expires=draw(st.sampled_from([0, 999, 1000, 59_999, 60_000, 255_999, 300_000])),
    )
    return message(payload)


@pytest.mark.parametrize(("most_remembered", "is_shared"), [(1, False), (100, False), (100, True)])
@given(dump=st.lists(st.lists(messages(), max_size=20), max_size=3))
def test_messages_are_counted_as_their_records_are(
    dump: list[list[bytes]], most_remembered: int, is_shared: bool
) -> None:
    replies = [decode_reply(b"".join([*found, done()])) for found in dump]
    by_record, by_message = Ends(ports_of()), Ends(ports_of())
    names, seen = Names(defaultdict(lambda: None), INTERFACES), Seen()
    for reply in replies:
        by_record.add(decode_records(reply, "tcp", names, seen))
    raw, seen = RawEnds(by_message, INTERFACES), Seen()
    for reply in replies[:1]:
        raw.add(reply, seen)
    helper = deepcopy(raw) if is_shared else raw  # as if it were forked here
    if is_shared:
        helper.clear()
    for reply in replies[1:2]:
        helper.add(reply, seen)
    for reply in replies[2:]:
        raw.add(reply, seen)
    if is_shared:
        raw.merge(helper.to_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inet_ends, "MOST_REMEMBERED", most_remembered)
        raw.decode()
    assert by_message.counts == by_record.counts
    assert by_message.held_ports == by_record.held_ports
    assert by_message.local_ports == by_record.local_ports
