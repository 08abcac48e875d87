"""Whether a listener on `::` takes IPv4 as well: the attribute that comes unasked."""

from __future__ import annotations

from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from msgspec import UNSET, UnsetType

from netinspect.errors import ParseError
from netinspect.model import Connection, Protocol
from netinspect.parse.inet_diag import decode_records
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import decode_reply
from netinspect.parse.seen import Seen
from tests.kernel_messages import attribute, done, inet_payload, message

NAMES = Names({0: "root"}, {})
SKV6ONLY, SHUTDOWN = 11, 8
ESTABLISHED, CLOSE, LISTEN = 1, 7, 10
DUAL, V6ONLY = attribute(SKV6ONLY, b"\0"), attribute(SKV6ONLY, b"\1")


def records(*messages: bytes, protocol: Protocol = "tcp") -> list[Connection]:
    reply = decode_reply(b"".join(messages) + done())
    return decode_records(reply, protocol, NAMES, Seen())


def listener(attributes: bytes, **fields: Any) -> bytes:
    """A message of a socket that listens on all addresses."""
    known = {"family": AF_INET6, "state": LISTEN, "source": ("::", 80), "destination": ("::", 0)}
    return message(inet_payload(attributes, **{**known, **fields}))


@pytest.mark.parametrize(
    ("attributes", "dual_stack"),
    [
        pytest.param(DUAL, True, id="dual"),
        pytest.param(V6ONLY, False, id="only IPv6"),
        pytest.param(attribute(SHUTDOWN, b"\0") + DUAL, True, id="behind another"),
        pytest.param(b"", UNSET, id="not told"),
    ],
)
def test_listeners(attributes: bytes, dual_stack: bool | UnsetType) -> None:
    (record,) = records(listener(attributes))
    assert record.dual_stack is dual_stack
    (record,) = records(listener(attributes, state=CLOSE), protocol="udp")
    assert record.dual_stack is dual_stack
    assert record.exposure == "any"


def test_only_of_listeners_on_all_addresses() -> None:
    found = records(
        listener(DUAL, cookie=1),
        listener(DUAL, cookie=2, source=("::1", 80)),
        listener(b"", cookie=3, family=AF_INET, source=("0.0.0.0", 80), destination=("0.0.0.0", 0)),
        listener(V6ONLY, cookie=4, state=CLOSE),
        listener(DUAL, cookie=5, state=ESTABLISHED, destination=("2001:db8::1", 9)),
        listener(V6ONLY, cookie=6),
    )
    assert [record.dual_stack for record in found] == [True, UNSET, UNSET, UNSET, UNSET, False]


def test_raw_sockets_take_one_family_alone() -> None:
    (record,) = records(listener(DUAL, state=CLOSE), protocol="raw")
    assert (record.exposure, record.dual_stack) == ("any", UNSET)


def test_an_attribute_that_is_cut_off() -> None:
    lie = b"\x40\x00\x0b\x00"
    with pytest.raises(ParseError) as caught:
        records(listener(lie))
    assert str(caught.value) == "netlink attribute 11 at byte 88: it says 64 bytes, but 4 are left"
