from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.filters.selection import glob, parse_pids, select
from netinspect.model import STATES, Connection, Owner, State, Table, decode_name
from netinspect.query import TRUE, AllOf, AnyOf, Network, PortRange
from tests.records import made

BOTH_FAMILIES = [(p, f) for p in ("tcp", "udp") for f in ("ipv4", "ipv6")]


def passes(connection: Connection, **options: Any) -> bool:
    """Whether a socket that has its owners passes both tests."""
    selection = select(**options)
    tests = selection.socket_test(), selection.owner_test()
    return all(test is None or test(connection) for test in tests)


def asked_states(**options: Any) -> set[str]:
    states = select(**options).query().states
    assert states is not None
    return set(states)


def held_by(*names: str | None) -> Connection:
    owners = tuple(Owner(100 + i, name, 3) for i, name in enumerate(names))
    return made(owners=owners, pid=100, process=names[0])


def listener(**keys: Any) -> Connection:
    fields = {"state": "LISTEN", "remote_address": None, "remote_port": None, **keys}
    return made(**fields)


def test_without_options_everything_passes_untested() -> None:
    selection = select()
    assert (selection.socket_test(), selection.owner_test()) == (None, None)
    query = selection.query()
    assert (query.states, query.condition) == (None, TRUE)
    assert [tuple(table) for table in query.tables] == BOTH_FAMILIES


def test_tables() -> None:
    assert select(protocols=["tcp"], families=["ipv6"]).tables == (Table("tcp", "ipv6"),)
    assert select(families=["ipv4"]).tables == (Table("tcp", "ipv4"), Table("udp", "ipv4"))
    assert select(protocols=[]).tables == ()


def test_states() -> None:
    assert asked_states(states=["time-wait", "LISTEN"]) == {"TIME_WAIT", "LISTEN"}
    found = {state for state in STATES if passes(made(state=state), states=["time-wait", "LISTEN"])}
    assert found == {"TIME_WAIT", "LISTEN"}


@pytest.mark.parametrize(
    ("protocol", "state", "expected"),
    [
        ("tcp", "LISTEN", True),
        ("tcp", "BOUND", False),
        ("tcp", "CLOSE", False),
        ("tcp", "ESTABLISHED", False),
        ("udp", "UNCONN", True),
        ("udp", "ESTABLISHED", False),
        ("udplite", "UNCONN", True),
        ("raw", "UNCONN", True),
        ("icmp", "UNCONN", True),
        ("unix", "LISTEN", True),
        ("unix", "UNCONN", False),
    ],
)
def test_listening(protocol: str, state: State, expected: bool) -> None:
    assert passes(made(protocol=protocol, state=state), listening=True) is expected


def test_exposure() -> None:
    assert passes(listener(exposure="any"), exposures=["public", "any"])
    assert not passes(listener(exposure="loopback"), exposures=["public", "any"])
    assert not passes(made(), exposures=["public", "any"])


def test_only_listeners_have_an_exposure() -> None:
    assert asked_states(exposures=["any"]) == {"LISTEN", "UNCONN"}
    assert asked_states(exposures=["any"], states=["unconn", "established"]) == {"UNCONN"}


def test_direction() -> None:
    assert passes(made(direction="inbound"), directions=["inbound", "unknown"])
    assert not passes(made(direction="outbound"), directions=["inbound", "unknown"])
    assert select(directions=["inbound"]).query().states is None


def test_listening_is_asked_of_the_source() -> None:
    assert asked_states(listening=True) == {"LISTEN", "UNCONN"}
    assert asked_states(listening=True, states=["listen"]) == {"LISTEN"}
    assert asked_states(listening=True, states=["established"]) == set()
    assert not passes(listener(), listening=True, states=["established"])


@pytest.mark.parametrize(
    ("option", "words", "expected"),
    [
        ("ports", ["44321"], True),
        ("ports", ["443"], True),
        ("ports", ["80"], False),
        ("ports", ["80", "443"], True),
        ("ports", ["400-500"], True),
        ("local_ports", ["44321"], True),
        ("local_ports", ["443"], False),
        ("local_ports", ["0-65535"], True),
        ("remote_ports", ["443"], True),
        ("remote_ports", ["44321"], False),
        ("remote_ports", ["443-443"], True),
        ("remote_ports", ["444-65535", "0-442"], False),
        ("addresses", ["10.0.0.1"], True),
        ("addresses", ["10.0.0.2"], True),
        ("addresses", ["10.0.0.3"], False),
        ("addresses", ["::1", "10.0.0.0/8"], True),
        ("local_addresses", ["10.0.0.1"], True),
        ("local_addresses", ["10.0.0.2"], False),
        ("remote_addresses", ["10.0.0.2/31"], True),
        ("remote_addresses", ["10.0.0.1"], False),
    ],
)
def test_ports_and_addresses(option: str, words: list[str], expected: bool) -> None:
    """10.0.0.1:44321 is connected to 10.0.0.2:443."""
    assert passes(made(), **{option: words}) is expected


@pytest.mark.parametrize("option", ["remote_ports", "remote_addresses"])
def test_a_listener_has_no_other_end(option: str) -> None:
    everything = ["0-65535"] if option == "remote_ports" else ["0.0.0.0/0", "::/0"]
    assert not passes(listener(), **{option: everything})
    assert passes(listener(), ports=["44321"], addresses=["10.0.0.1"])


def test_a_unix_socket_has_no_address_of_that_kind() -> None:
    path = made(protocol="unix", family="unix", local_address="/run/10.0.0.1", local_port=None)
    assert not passes(path, local_addresses=["0.0.0.0/0", "::/0"])
    assert not passes(path, local_ports=["0-65535"])


def test_ipv4_patterns_hold_v4_mapped_addresses() -> None:
    mapped = made(family="ipv6", local_address="::ffff:10.0.0.1", remote_address="::ffff:10.0.0.2")
    assert passes(mapped, addresses=["10.0.0.0/24"])
    assert passes(mapped, local_addresses=["10.0.0.1"], remote_addresses=["10.0.0.2"])
    assert not passes(mapped, addresses=["192.168.0.0/16"])


def test_zones() -> None:
    local = made(family="ipv6", local_address="fe80::1%eth0", remote_address=None)
    assert passes(local, addresses=["fe80::1"])
    assert passes(local, addresses=["fe80::1%eth0"])
    assert not passes(local, addresses=["fe80::1%eth1"])


def test_what_the_source_is_asked_to_test() -> None:
    query = select(
        ports=["1", "2-3"],
        local_ports=["4"],
        remote_ports=["5"],
        addresses=["10.0.0.1"],
        local_addresses=["::1"],
        remote_addresses=["fe80::1%eth0"],
    ).query()
    v4, v6 = b"\x0a\0\0\1", bytes(15) + b"\1"
    link_local = b"\xfe\x80" + bytes(13) + b"\1"
    assert query.condition == AllOf(
        (
            AnyOf(
                (
                    PortRange("local", 1, 1),
                    PortRange("local", 2, 3),
                    PortRange("remote", 1, 1),
                    PortRange("remote", 2, 3),
                )
            ),
            PortRange("local", 4, 4),
            PortRange("remote", 5, 5),
            AnyOf((Network("local", v4, 32), Network("remote", v4, 32))),
            Network("local", v6, 128),
            Network("remote", link_local, 128, "eth0"),
        )
    )


def test_all_conditions_must_hold() -> None:
    options: dict[str, Any] = {
        "states": ["established"],
        "users": ["alice"],
        "ports": ["443"],
        "remote_addresses": ["10.0.0.2"],
        "pids": [321],
        "processes": ["nginx"],
    }
    assert passes(made(), **options)
    others = {
        "states": ["listen"],
        "users": ["bob"],
        "ports": ["80"],
        "remote_addresses": ["10.0.0.9"],
        "pids": [1],
        "processes": ["bash"],
    }
    for name, other in others.items():
        assert not passes(made(), **{**options, name: other}), name


@pytest.mark.parametrize(
    "option",
    [
        "states",
        "users",
        "ports",
        "local_ports",
        "remote_ports",
        "addresses",
        "local_addresses",
        "remote_addresses",
        "pids",
        "processes",
    ],
)
def test_a_condition_without_alternatives_holds_for_nothing(option: str) -> None:
    assert not passes(made(), **{option: []})
    assert passes(made(), **{option: None})


@pytest.mark.parametrize(
    ("word", "expected"),
    [("alice", True), ("1000", True), ("bob", False), ("0", False), ("ali", False), ("*", False)],
)
def test_users(word: str, expected: bool) -> None:
    assert passes(made(uid=1000, user="alice"), users=[word]) is expected


def test_a_user_without_a_name_has_a_number() -> None:
    assert passes(made(uid=4242, user=None), users=["4242"])
    assert not passes(made(uid=None, user=None), users=["0"])
    assert not passes(made(uid=None, user=None), users=["None"])


def test_the_name_of_a_user_may_have_odd_bytes() -> None:
    odd = b"caf\xe9\\"
    assert passes(made(user=decode_name(odd)), users=[os.fsdecode(odd)])


def test_pids() -> None:
    shared = held_by("one", "other")
    assert passes(shared, pids=[100])
    assert passes(shared, pids=[101])
    assert not passes(shared, pids=[102])
    assert not passes(made(owners=(), pid=None, process=None), pids=[100])


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("nginx", "nginx", True),
        ("nginx", "nginx: worker", True),
        ("ginx", "nginx", True),
        ("Nginx", "nginx", False),
        ("nginx*", "nginx: worker", True),
        ("*worker", "nginx: worker", True),
        ("nginx?", "nginx", False),
        ("ngin?", "nginx", True),
        ("gin*", "nginx", False),
        ("*", "", True),
        ("", "anything", True),
        ("[nm]ginx", "mginx", True),
        ("[!n]ginx", "nginx", False),
        ("ng[*]nx", "ng*nx", True),
        ("kworker/0:1", "kworker/0:1", True),
        (".", "nginx", False),
        ("a.b", "axb", False),
        ("(sd-pam)", "(sd-pam)", True),
        ("a+b", "a+b", True),
        ("^nginx$", "nginx", False),
        ("x\ny", "x\ny", True),
        ("x*y", "x\ny", True),
        ("a\\b", "a\\b", True),
        ("\\", "a\\b", True),
        ("\\\\", "a\\b", False),
        ("a\\b*", "a\\bc", True),
        ("?\\?", "a\\b", True),
        ("caf\udce9", "caf\udce9", True),
        ("caf\u00e9", "caf\u00e9", True),
    ],
    ids=ascii,
)
def test_processes(word: str, name: str, expected: bool) -> None:
    """`name` as the kernel has it, in the spelling of sys.argv."""
    recorded = decode_name(os.fsencode(name))
    assert passes(held_by(recorded), processes=[word]) is expected


def test_any_owner_will_do() -> None:
    shared = held_by("master", "worker", None)
    assert passes(shared, processes=["worker"])
    assert passes(shared, processes=["nobody", "master"])
    assert not passes(shared, processes=["other"])
    assert not passes(held_by(None), processes=["*"])
    assert not passes(made(owners=(), pid=None, process=None), processes=["*"])


NAMES = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)


@given(NAMES)
def test_every_name_can_be_asked_for_as_it_is_typed(name: bytes) -> None:
    typed = os.fsdecode(name)
    has_wildcards = any(sign in typed for sign in "*?[")
    assert passes(held_by(decode_name(name)), processes=[typed]) or has_wildcards


@pytest.mark.parametrize(
    ("word", "expected"), [("1", 1), ("0042", 42), ("4194304", 4194304), ("0", 0)]
)
def test_a_pid(word: str, expected: int) -> None:
    assert parse_pids([word]) == [expected]


@pytest.mark.parametrize(
    "word", ["", "abc", "-1", "+1", "1.5", "1 2", "0x10", "\u0661", "\u00b9", "9" * 11, "9" * 5000]
)
def test_no_pid(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_pids(["1", word])
    assert str(caught.value) == f"pid {word!r}: expected a process number such as 1234"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"states": ["listn"]}, "unknown state 'listn'; did you mean listen?"),
        ({"protocols": ["tpc"]}, "unknown protocol 'tpc'; did you mean tcp?"),
        ({"families": ["ipv44"]}, "unknown family 'ipv44'; did you mean ipv4?"),
        ({"ports": ["65536"]}, "port '65536': expected 0 to 65535, found 65536"),
        ({"local_ports": ["2-1"]}, "port range '2-1' is reversed; did you mean 1-2?"),
        ({"remote_ports": ["70000"]}, "port '70000': expected 0 to 65535, found 70000"),
        (
            {"addresses": ["10.0.0.0/33"]},
            (
                "address '10.0.0.0/33': expected an IPv4 or IPv6 address, or a network such as "
                "10.0.0.0/8 or 2001:db8::/32; a prefix length here is 0 to 32, found '33'"
            ),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_words(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(**options)
    assert str(caught.value) == expected


def test_a_name_has_an_end() -> None:
    assert glob("x" * 4096).match("x" * 4096)
    with pytest.raises(UsageError) as caught:
        glob("x" * 4097)
    assert str(caught.value) == (
        f"name {'x' * 40!r}... is 4097 characters long: expected at most 4096"
    )
