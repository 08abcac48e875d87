from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.filters.ports import parse_ports


def has_service(name: str) -> bool:
    try:
        socket.getservbyname(name)
    except OSError:
        return False
    return True


def not_a_port(word: str) -> str:
    return (
        f"port {word!r}: expected a number from 0 to 65535, a range such as 8000-8100, "
        "or the name of a service"
    )


@given(st.integers(0, 65535))
def test_a_number(port: int) -> None:
    assert parse_ports([str(port)]) == [(port, port)]


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_a_range(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert parse_ports([f"{low}-{high}"]) == [(low, high)]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (" 80 ", (80, 80)),
        ("0080", (80, 80)),
        ("0" * 5000 + "80", (80, 80)),
        ("0", (0, 0)),
        ("0-65535", (0, 65535)),
        ("80-80", (80, 80)),
        (" 80 - 90 ", (80, 90)),
    ],
    ids=lambda value: value[-12:] if isinstance(value, str) else None,
)
def test_other_spellings(word: str, expected: tuple[int, int]) -> None:
    assert parse_ports([word]) == [expected]


@pytest.mark.skipif(not has_service("https"), reason="no /etc/services here")
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("https", (443, 443)),
        ("domain", (53, 53)),
        ("http-alt", (8080, 8080)),
        ("80-https", (80, 443)),
        (" https ", (443, 443)),
    ],
)
def test_services(word: str, expected: tuple[int, int]) -> None:
    assert parse_ports([word]) == [expected]


def test_several_words_in_their_order() -> None:
    assert parse_ports(["443", "1-2"]) == [(443, 443), (1, 2)]
    assert parse_ports([]) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("65536", "port '65536': expected 0 to 65535, found 65536"),
        ("80-65536", "port '80-65536': expected 0 to 65535, found 65536"),
        ("70000-80000", "port '70000-80000': expected 0 to 65535, found 70000"),
        ("9" * 5000, f"port '{'9' * 5000}': expected 0 to 65535, found {'9' * 5000}"),
        ("8100-8000", "port range '8100-8000' is reversed; did you mean 8000-8100?"),
        ("-5", not_a_port("-5")),
        ("+5", not_a_port("+5")),
        ("abc", not_a_port("abc")),
        ("", not_a_port("")),
        ("-", not_a_port("-")),
        ("80-", not_a_port("80-")),
        ("80--90", not_a_port("80--90")),
        ("80-90-100", not_a_port("80-90-100")),
        ("80-abc", not_a_port("80-abc")),
        ("abc-80", not_a_port("abc-80")),
        ("8 0", not_a_port("8 0")),
        ("0x50", not_a_port("0x50")),
        ("1e3", not_a_port("1e3")),
        ("1_000", not_a_port("1_000")),
        (":80", not_a_port(":80")),
        ("*", not_a_port("*")),
        ("\u0664\u0664\u0663", not_a_port("\u0664\u0664\u0663")),  # Arabic-Indic digits
        ("\u0664-\u0665", not_a_port("\u0664-\u0665")),
        ("\u00b2", not_a_port("\u00b2")),  # superscript two
        ("80\0", not_a_port("80\0")),
        ("http\0s", not_a_port("http\0s")),
        ("\udcff", not_a_port("\udcff")),  # a byte of the command line that is not UTF-8
    ],
    ids=lambda word: ascii(word[:20]),
)
def test_no_port(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ports(["80", word])
    assert str(caught.value) == expected


@given(st.text(max_size=12))
def test_any_text_is_a_port_or_an_error_of_ours(word: str) -> None:
    try:
        ((low, high),) = parse_ports([word])
    except UsageError:
        return
    assert 0 <= low <= high <= 65535
