from __future__ import annotations

from typing import Any

import pytest

from netinspect.filters.direction import LISTENERS, Directions
from netinspect.model import Connection
from tests.records import made

PROTOCOLS = frozenset(LISTENERS)


def listener(address: str, port: int | None = 80, **keys: Any) -> Connection:
    return made(
        **{
            "family": "ipv6" if ":" in address else "ipv4",
            "state": "LISTEN",
            "local_address": address,
            "local_port": port,
            "remote_address": None,
            "remote_port": None,
            **keys,
        }
    )


def connection(address: str, port: int | None = 80, **keys: Any) -> Connection:
    return made(
        **{
            "family": "ipv6" if ":" in address else "ipv4",
            "local_address": address,
            "local_port": port,
            "remote_address": "2001:db8::9" if ":" in address else "192.0.2.9",
            "remote_port": 5555,
            **keys,
        }
    )


def direction(of: Connection, *listeners: Connection) -> str:
    return Directions(listeners, PROTOCOLS).of(of)


V4, V6, MAPPED = "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"
ANY4, ANY6 = "0.0.0.0", "::"


@pytest.mark.parametrize(
    ("listening", "local", "expected"),
    [
        (V4, V4, "inbound"),
        (ANY4, V4, "inbound"),
        ("127.0.0.1", V4, "outbound"),
        ("192.0.2.2", V4, "outbound"),
        (V6, V6, "inbound"),
        (ANY6, V6, "inbound"),
        ("::1", V6, "outbound"),
        (ANY6, V4, "inbound"),
        (ANY6, MAPPED, "inbound"),
        (MAPPED, MAPPED, "inbound"),
        ("::ffff:0.0.0.0", MAPPED, "inbound"),
        ("::ffff:0.0.0.0", V6, "outbound"),
        (ANY4, MAPPED, "outbound"),
        (ANY4, V6, "outbound"),
        (V4, MAPPED, "outbound"),
        ("fe80::1%eth0", "fe80::1%eth0", "inbound"),
        ("fe80::1%eth0", "fe80::1%eth1", "outbound"),
    ],
)
def test_addresses(listening: str, local: str, expected: str) -> None:
    assert direction(connection(local), listener(listening)) == expected
    assert direction(connection(local, 81), listener(listening)) == "outbound"
    assert direction(connection(local, protocol="udp"), listener(listening)) == "outbound"


@pytest.mark.parametrize(
    ("dual_stack", "of_ipv4"), [(True, "inbound"), (False, "outbound")], ids=str
)
def test_a_listener_that_says_whether_it_takes_ipv4(dual_stack: bool, of_ipv4: str) -> None:
    of_all = listener(ANY6, dual_stack=dual_stack)
    assert direction(connection(V4), of_all) == of_ipv4
    assert direction(connection(MAPPED), of_all) == of_ipv4
    assert direction(connection(V6), of_all) == "inbound"


def test_what_has_no_peer() -> None:
    assert direction(listener(V4), listener(V4)) == "unknown"
    bound = connection(V4, state="BOUND", remote_address=None, remote_port=None)
    assert direction(bound, listener(V4)) == "unknown"


def test_a_handshake_tells_by_itself() -> None:
    assert direction(connection(V4, state="SYN_SENT"), listener(V4)) == "outbound"
    assert direction(connection(V4, state="SYN_RECV")) == "inbound"


def test_what_is_left_after_the_listener_has_gone() -> None:
    assert direction(connection(V4, state="TIME_WAIT"), listener(V4)) == "inbound"
    assert direction(connection(V4, state="TIME_WAIT")) == "outbound"


def test_of_udp_a_socket_without_a_peer_listens() -> None:
    server = listener(ANY4, protocol="udp", state="UNCONN")
    assert direction(connection(V4, protocol="udp"), server) == "inbound"
    assert direction(connection(V4, 5000, protocol="udp"), server) == "outbound"
    assert direction(server, server) == "unknown"
    another = listener(ANY4, state="UNCONN")
    assert direction(connection(V4), another) == "outbound"


@pytest.mark.parametrize("protocol", ["raw", "icmp"])
def test_without_ports_nothing_is_known(protocol: str) -> None:
    connected = connection(V4, None, protocol=protocol)
    assert direction(connected, listener(V4, None, protocol=protocol)) == "unknown"


def test_without_the_listeners_nothing_is_known() -> None:
    assert Directions([], {"udp"}).of(connection(V4, protocol="udp")) == "outbound"
    assert Directions([], {"udp"}).of(connection(V4)) == "unknown"
    assert Directions([], {"udp"}).of(connection(V4, state="SYN_SENT")) == "unknown"


UNIX = {"protocol": "unix", "family": "unix", "local_port": None, "remote_port": None}


def unix(local: str | None, remote: str | None = None, **keys: Any) -> Connection:
    return made(**{**UNIX, "local_address": local, "remote_address": remote, **keys})


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (unix("/run/a"), "inbound"),
        (unix("/run/a", "@client"), "inbound"),
        (unix(None, "/run/a"), "outbound"),
        (unix("@client", "/run/a"), "outbound"),
        (unix(None), "unknown"),
        (unix("/run/b"), "unknown"),
        (unix("/run/a", type="dgram"), "unknown"),
        (unix("/run/a", state="LISTEN"), "unknown"),
    ],
)
def test_unix_sockets(of: Connection, expected: str) -> None:
    assert direction(of, unix("/run/a", state="LISTEN"), unix(None, state="LISTEN")) == expected


def test_all_get_one() -> None:
    directions = Directions([listener(V4)], PROTOCOLS)
    attached = directions.attach([connection(V4), listener(V4)])
    assert [c.direction for c in attached] == ["inbound", "unknown"]
    assert attached[0] == connection(V4, direction="inbound")
