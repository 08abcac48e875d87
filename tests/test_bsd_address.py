from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import CellError
from netinspect.model import Family
from netinspect.parse.bsd_address import (
    Endpoint,
    Endpoints,
    endpoints_by_family,
    parse_port,
    without_brackets,
)

IPV4, IPV6 = Endpoints("ipv4"), Endpoints("ipv6")
WIDE = endpoints_by_family(is_wide=True)
COLON = endpoints_by_family(is_wide=True, separator=":")


@pytest.mark.parametrize(
    ("family", "text", "endpoint"),
    [
        ("ipv4", "127.0.0.1.25", Endpoint("127.0.0.1", 25)),
        ("ipv4", "*.22", Endpoint("0.0.0.0", 22)),
        ("ipv4", "*.*", Endpoint("0.0.0.0", 0)),
        ("ipv4", "10.0.0.1.*", Endpoint("10.0.0.1", 0)),
        ("ipv6", "*.22", Endpoint("::", 22)),
        ("ipv6", "::1.631", Endpoint("::1", 631)),
        ("ipv6", "FE80:0::1%lo0.8021", Endpoint("fe80::1%lo0", 8021)),
        ("ipv6", "::ffff:10.0.0.1.443", Endpoint("::ffff:10.0.0.1", 443)),
        ("ipv6", "10.0.0.1.443", Endpoint("::ffff:10.0.0.1", 443)),
        (
            "ipv6",
            "2603:6010:7c00:4.51910",
            Endpoint("2603:6010:7c00:4", 51910, "truncated_address"),
        ),
        ("ipv6", "fe80::aede:48ff:.1", Endpoint("fe80::aede:48ff:", 1, "truncated_address")),
        ("ipv6", "2001:db8::1:2:34.1", Endpoint("2001:db8::1:2:34", 1, "truncated_address")),
        ("ipv4", "localhost.ssh", Endpoint("localhost", None, "names_not_numeric")),
        ("ipv4", "web.example.org.443", Endpoint("web.example.org", 443, "names_not_numeric")),
        ("ipv6", "*.ssh", Endpoint("::", None, "names_not_numeric")),
    ],
)
def test_endpoints(family: Family, text: str, endpoint: Endpoint) -> None:
    assert {"ipv4": IPV4, "ipv6": IPV6}[family][text] == endpoint


def test_where_hosts_are_whole_sixteen_characters_are_an_address() -> None:
    assert WIDE["ipv6"]["2001:db8::1:2:34.1"] == Endpoint("2001:db8::1:2:34", 1)


@pytest.mark.parametrize(
    ("endpoints", "text", "found", "expected"),
    [
        (IPV4, "nothing", "nothing", "an address and a port such as 127.0.0.1.25"),
        (COLON["ipv4"], "1.2.3.4", "1.2.3.4", "an address and a port such as 127.0.0.1:25"),
        (IPV4, "(.25", "(", "an address such as 127.0.0.1 or ::1"),
        (IPV4, ".25", "", "an address such as 127.0.0.1 or ::1"),
        (IPV4, "*.", "", "a port such as 443"),
        (IPV4, "*.65536", "65536", "a port from 0 to 65535"),
        (IPV4, "*.-1", "-1", "a port such as 443"),
        (IPV4, "::1.25", "::1", "an address such as 127.0.0.1 or ::1"),
    ],
)
def test_what_is_none(endpoints: Endpoints, text: str, found: str, expected: str) -> None:
    with pytest.raises(CellError) as caught:
        endpoints[text]
    assert (caught.value.text, caught.value.expected) == (found, expected)


def test_only_what_has_neither_address_nor_port_is_unset() -> None:
    assert IPV4["*.*"].is_unset
    assert IPV6["*.*"].is_unset
    assert not IPV4["*.1"].is_unset
    assert not IPV4["10.0.0.1.*"].is_unset


def test_brackets() -> None:
    assert without_brackets("[::1]:22") == "::1:22"
    assert without_brackets("[fe80::1%e]]:22") == "fe80::1%e]:22"
    assert without_brackets("127.0.0.1:22") == "127.0.0.1:22"


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from([".", ":"]))
def test_what_is_printed_is_read_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, separator: str
) -> None:
    family: Family = "ipv4" if address.version == 4 else "ipv6"
    by_family = WIDE if separator == "." else COLON
    read = by_family[family][f"{address}{separator}{port}"]
    assert (ipaddress.ip_address(read.address), read.port, read.remark) == (address, port, None)


@given(st.text(max_size=30))
def test_anything_is_an_endpoint_or_an_error(text: str) -> None:
    for endpoints in (IPV4, IPV6, COLON["ipv6"]):
        try:
            endpoint = endpoints[text]
        except CellError:
            continue
        assert endpoint.port is None or 0 <= endpoint.port < 1 << 16


def test_what_is_remembered_is_bounded() -> None:
    endpoints = Endpoints("ipv4")
    for number in range(20_000):
        assert endpoints[f"10.0.{number >> 8}.{number & 255}.1"].port == 1
    assert len(endpoints) <= 8192


def test_ports() -> None:
    assert [parse_port(text) for text in ("*", "0", "22", "65535", "ssh")] == [
        0,
        0,
        22,
        65535,
        None,
    ]
