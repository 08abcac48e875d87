"""The rules of bind(), without a kernel: what the live test beside this one cannot make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.diagnose.bind import (
    EVERYWHERE,
    SOCKET_OPTIONS,
    BindAddress,
    Binder,
    BindOption,
    Outcome,
    Reach,
    collides,
    conflicts,
    predict,
    reach,
    refusal,
)
from netinspect.extended import Options
from netinspect.model import Connection
from netinspect.settings import Settings
from tests.records import CONNECTIONS, WITHOUT_PEER, made

IN_USE = Outcome(works=False, error="EADDRINUSE")
WORKS, DEPENDS = Outcome(works=True), Outcome(works=None)
DUAL, ANY4, ANY6 = EVERYWHERE
LINUX = Settings(unprivileged_port_start=1024)


def listener(**keys: Any) -> Connection:
    known = {"state": "LISTEN", "remote_address": None, "remote_port": None, "local_port": 8080}
    return made(**{**known, "local_address": "0.0.0.0", **keys})


@pytest.mark.parametrize(
    ("family", "address", "dual_stack", "has_peer", "expected"),
    [
        ("ipv4", "10.0.0.1", None, False, Reach(ipv4="10.0.0.1")),
        ("ipv4", "0.0.0.0", None, False, Reach(ipv4="0.0.0.0")),
        ("ipv6", "::ffff:10.0.0.1", None, True, Reach(ipv4="10.0.0.1")),
        ("ipv6", "::1", None, False, Reach(ipv6="::1")),
        ("ipv6", "::1", None, True, Reach(ipv6="::1", perhaps_ipv4="127.0.0.6")),
        ("ipv6", "::", True, False, Reach(ipv6="::", ipv4="0.0.0.0")),
        ("ipv6", "::", False, False, Reach(ipv6="::")),
        ("ipv6", "::", None, False, Reach(ipv6="::", perhaps_ipv4="0.0.0.0")),
    ],
)
def test_reach(
    family: Any, address: str, dual_stack: bool | None, has_peer: bool, expected: Reach
) -> None:
    assert reach(family, address, dual_stack, has_peer=has_peer) == expected


REACHES = st.builds(
    Reach,
    st.sampled_from((None, "0.0.0.0", "10.0.0.1")),
    st.sampled_from((None, "::", "::1")),
    st.none(),
)


@given(REACHES, REACHES)
def test_two_sockets_are_in_each_others_way(ours: Reach, theirs: Reach) -> None:
    assert collides(ours, theirs) is collides(theirs, ours)


@pytest.mark.parametrize(
    ("option", "keys", "expected"),
    [
        ("plain", {}, IN_USE),
        ("plain", {"state": "TIME_WAIT"}, IN_USE),
        ("plain", {"state": "SYN_RECV"}, WORKS),
        ("plain", {"local_address": None}, WORKS),
        ("plain", {"local_address": "::", "family": "ipv6"}, DEPENDS),
        ("plain", {"local_address": "::", "family": "ipv6", "dual_stack": True}, IN_USE),
        ("plain", {"local_address": "::", "family": "ipv6", "dual_stack": False}, WORKS),
        ("plain", {"local_address": "::1", "family": "ipv6"}, WORKS),
        ("reuse_address", {}, IN_USE),
        ("reuse_address", {"state": "BOUND"}, DEPENDS),
        ("reuse_address", {"state": "TIME_WAIT", "uid": None}, DEPENDS),
        ("reuse_port", {}, DEPENDS),
        ("reuse_port", {"uid": 33}, IN_USE),
        ("reuse_port", {"uid": None, "state": "TIME_WAIT"}, DEPENDS),
    ],
)
def test_one_socket_on_the_port(
    option: BindOption, keys: dict[str, Any], expected: Outcome
) -> None:
    assert predict(ANY4, option, 8080, [listener(**keys)], Binder(uid=1000)) == expected


def test_what_extended_tells_of_sockets_that_do_not_listen() -> None:
    keys = {"state": "BOUND", "family": "ipv6", "local_address": "::"}
    for v6only, expected in ((True, False), (False, True), (None, None)):
        bound = listener(**keys, options=Options(v6only=v6only))
        assert conflicts(ANY4, "plain", bound, Binder()) is expected


def test_one_conflict_is_enough() -> None:
    sockets = [listener(state="BOUND"), listener()]
    assert predict(ANY4, "reuse_address", 8080, sockets, Binder()) == IN_USE
    assert predict(ANY4, "reuse_address", 8080, sockets[:1], Binder()) == DEPENDS
    assert predict(ANY4, "reuse_address", 8080, [], Binder()) == WORKS


def test_one_that_shares_a_port_is_enough_for_the_kernel() -> None:
    """Of sockets with SO_REUSEPORT it may look at one of our own alone."""
    ours, anothers = listener(uid=1000), listener(uid=33)
    binder = Binder(uid=1000)
    assert predict(ANY4, "reuse_port", 8080, [ours, anothers], binder) == DEPENDS
    assert predict(ANY4, "reuse_port", 8080, [anothers, anothers], binder) == IN_USE
    assert predict(ANY4, "plain", 8080, [ours, anothers], binder) == IN_USE


def test_nobody_knows_who_would_bind_a_captured_port() -> None:
    assert predict(ANY4, "reuse_port", 8080, [listener(uid=33)], Binder(uid=None)) == DEPENDS


@pytest.mark.parametrize("option", ["reuse_address", "reuse_port"])
def test_other_systems_have_other_rules(option: BindOption) -> None:
    other = Binder(uid=1000, has_linux_rules=False)
    assert predict(ANY4, option, 8080, [listener(uid=33)], other) == DEPENDS
    assert predict(ANY4, "plain", 8080, [listener(uid=33)], other) == IN_USE


@pytest.mark.parametrize(
    ("port", "may", "expected"),
    [(80, False, "EACCES"), (80, True, None), (80, None, None), (1024, False, None)],
)
def test_ports_that_need_a_privilege(port: int, may: bool | None, expected: str | None) -> None:
    binder = Binder(may_take_low_ports=may, settings=LINUX)
    assert refusal(ANY4, port, binder) == expected
    assert refusal(ANY4, port, binder._replace(settings=Settings())) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", None),
        ("::ffff:10.0.0.1", None),
        ("fe80::1%eth0", None),
        ("fe80::1%eth1", "EADDRNOTAVAIL"),
        ("10.0.0.2", "EADDRNOTAVAIL"),
        ("::ffff:10.0.0.2", "EADDRNOTAVAIL"),
        ("::1", "EADDRNOTAVAIL"),
        ("127.8.8.8", None),
        ("224.0.0.1", None),
        ("239.1.2.3", None),
        ("240.0.0.1", "EADDRNOTAVAIL"),
        ("255.255.255.255", None),
        ("ff02::1", None),
        ("0.0.0.0", None),
        ("::", None),
    ],
)
def test_addresses_of_this_machine(address: str, expected: str | None) -> None:
    binder = Binder(addresses=frozenset({"10.0.0.1", "fe80::1%eth0"}))
    assert refusal(BindAddress(address), 8080, binder) == expected
    assert refusal(BindAddress(address), 8080, Binder()) is None


@given(
    st.sampled_from((*EVERYWHERE, BindAddress("127.0.0.1"), BindAddress("::1"))),
    st.sampled_from(tuple(SOCKET_OPTIONS)),
    st.lists(CONNECTIONS | WITHOUT_PEER, max_size=4),
)
def test_an_option_never_makes_it_worse(
    where: BindAddress, option: BindOption, sockets: list[Connection]
) -> None:
    order = {False: 0, None: 1, True: 2}
    plain = predict(where, "plain", 8080, sockets, Binder(uid=0)).works
    assert order[predict(where, option, 8080, sockets, Binder(uid=0)).works] >= order[plain]
    if plain:  # so what works plain need not be tried with an option
        assert predict(where, option, 8080, sockets, Binder(uid=0)) == WORKS
