from __future__ import annotations

import ipaddress
import socket
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.filters.addresses import InNetwork, parse_address, parse_networks
from netinspect.query import Network


def network(word: str, side: Literal["local", "remote"] = "local") -> Network:
    (parsed,) = parse_networks([word], side)
    return parsed


def holds(word: str, address: str | None) -> bool:
    return InNetwork([network(word)])[address]


def not_an_address(word: str, hint: str = "") -> str:
    return (
        f"address {word!r}: expected an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 "
        f"or 2001:db8::/32{hint}"
    )


def hint4(found: str) -> str:
    return f"; a prefix length here is 0 to 32, found {found!r}"


def hint6(found: str) -> str:
    return f"; a prefix length here is 0 to 128, found {found!r}"


@pytest.mark.parametrize(
    ("word", "address", "prefix_length", "zone"),
    [
        ("10.0.0.1", "10.0.0.1", 32, None),
        ("10.0.0.0/8", "10.0.0.0", 8, None),
        ("10.1.2.3/8", "10.0.0.0", 8, None),
        ("0.0.0.0/0", "0.0.0.0", 0, None),
        ("10.0.0.0/255.0.0.0", "10.0.0.0", 8, None),
        ("::1", "::1", 128, None),
        ("[::1]", "::1", 128, None),
        ("[2001:db8::]/32", "2001:db8::", 32, None),
        (" ::1 ", "::1", 128, None),
        ("::/0", "::", 0, None),
        ("2001:DB8:0:0::/32", "2001:db8::", 32, None),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", 128, None),
        ("fe80::1%eth0", "fe80::1", 128, "eth0"),
        ("[fe80::1%eth0]", "fe80::1", 128, "eth0"),
        ("fe80::1%eth0/64", "fe80::", 64, "eth0"),
        ("fe80::1%", "fe80::1", 128, None),
    ],
)
def test_addresses_and_networks(
    word: str, address: str, prefix_length: int, zone: str | None
) -> None:
    packed = ipaddress.ip_address(address).packed
    assert network(word, "remote") == Network("remote", packed, prefix_length, zone)


def test_several_words_in_their_order() -> None:
    assert parse_networks(["::1", "10.0.0.1"], "local") == [
        Network("local", bytes(15) + b"\1", 128),
        Network("local", b"\x0a\0\0\1", 32),
    ]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("10.0.0.0/33", not_an_address("10.0.0.0/33", hint4("33"))),
        ("10.0.0.0/-1", not_an_address("10.0.0.0/-1", hint4("-1"))),
        ("10.0.0.0/", not_an_address("10.0.0.0/", hint4(""))),
        ("10.0.0.0/abc", not_an_address("10.0.0.0/abc", hint4("abc"))),
        ("10.0.0.0/8/8", not_an_address("10.0.0.0/8/8", hint4("8/8"))),
        ("10.0.0.0/\u0668", not_an_address("10.0.0.0/\u0668", hint4("\u0668"))),
        ("::1/129", not_an_address("::1/129", hint6("129"))),
        ("[::1]/129", not_an_address("[::1]/129", hint6("129"))),
        ("::1/64%eth0", not_an_address("::1/64%eth0", hint6("64%eth0"))),
        ("", not_an_address("")),
        ("/8", not_an_address("/8")),
        ("10", not_an_address("10")),
        ("10.0.0", not_an_address("10.0.0")),
        ("10.0.0.256", not_an_address("10.0.0.256")),
        ("10.0.0.01", not_an_address("10.0.0.01")),
        ("1\u0660.0.0.1", not_an_address("1\u0660.0.0.1")),
        ("localhost", not_an_address("localhost")),
        ("10.0.0.1:80", not_an_address("10.0.0.1:80")),
        ("[::1]:80", not_an_address("[::1]:80")),
        (":::1", not_an_address(":::1")),
        ("*", not_an_address("*")),
        ("0x7f000001", not_an_address("0x7f000001")),
        ("2130706433", not_an_address("2130706433")),
    ],
    ids=ascii,
)
def test_no_address(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_networks(["::1", word], "local")
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("word", "address", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.0/8", "127.255.0.1", True),
        ("127.0.0.0/8", "128.0.0.1", False),
        ("0.0.0.0/0", "8.8.8.8", True),
        ("0.0.0.0/0", "::1", False),
        ("0.0.0.0/0", "::ffff:8.8.8.8", True),
        ("::/0", "8.8.8.8", False),
        ("::/0", "::ffff:8.8.8.8", True),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "::ffff:128.0.0.1", False),
        ("127.0.0.0/8", "::127.0.0.1", False),
        ("::ffff:127.0.0.0/104", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("2001:db8::/33", "2001:db8:7fff::1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth1", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("fe80::%eth0/10", "fe80::2%eth0", True),
        ("fe80::/10", "fec0::1", False),
        ("10.0.0.0/8", None, False),
        ("0.0.0.0/0", "/run/10.0.0.1", False),
        ("0.0.0.0/0", "@", False),
        ("::/0", "", False),
    ],
)
def test_what_a_network_holds(word: str, address: str | None, expected: bool) -> None:
    assert holds(word, address) is expected


def test_one_of_several_networks_is_enough() -> None:
    both = InNetwork(parse_networks(["10.0.0.0/8", "::1"], "local"))
    assert both["10.1.1.1"]
    assert both["::1"]
    assert not both["11.0.0.1"]
    assert not InNetwork([])["10.0.0.1"]


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_it_is_as_ipaddress_has_it(one: Any, other: Any, length: int) -> None:
    length = min(length, one.max_prefixlen)
    expected = other.version == one.version and other in ipaddress.ip_network(
        (one.packed, length), strict=False
    )
    mapped = getattr(other, "ipv4_mapped", None)
    if one.version == 4 and mapped:
        expected = mapped in ipaddress.ip_network((one.packed, length), strict=False)
    assert holds(f"{one}/{length}", str(other)) == expected


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_an_ipv4_pattern_matches_v4_mapped_as_it_matches_ipv4(
    one: Any, other: Any, length: int
) -> None:
    mapped = socket.inet_ntop(socket.AF_INET6, bytes(10) + b"\xff\xff" + other.packed)
    assert holds(f"{one}/{length}", mapped) == holds(f"{one}/{length}", str(other))


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_an_error_of_ours(word: str) -> None:
    try:
        parsed = network(word)
    except UsageError:
        return
    assert len(parsed.packed) in (4, 16)
    assert 0 <= parsed.prefix_length <= 8 * len(parsed.packed)


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        (" [::1] ", "::1"),
        ("0:0::1", "::1"),
        ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_address(word: str, address: str) -> None:
    assert parse_address(word) == address


EXPECTED = "expected one IPv4 or IPv6 address, as 127.0.0.1 or ::1; names are not looked up"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("localhost", f"address 'localhost': {EXPECTED}"),
        ("10.0.0.0/8", f"address '10.0.0.0/8': {EXPECTED}"),
        ("", f"address '': {EXPECTED}"),
        ("fe80::1", "address 'fe80::1': expected its interface too, as fe80::1%eth0"),
    ],
)
def test_what_is_not_one_address(word: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(word)
    assert str(caught.value) == message
