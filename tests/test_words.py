from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.filters.words import (
    parse_directions,
    parse_exposures,
    parse_states,
    parse_tables,
    split_words,
)
from netinspect.model import STATES, State, Table

# As the programs of all systems print them, and as ss and people type them.
SPELLINGS: dict[State, str] = {
    "ESTABLISHED": "ESTABLISHED Established established ESTAB estab ESTABL",
    "SYN_SENT": "SYN_SENT SYN-SENT syn-sent SynSent synsent SYN_SEND SYNSEN",
    "SYN_RECV": "SYN_RECV SYN-RECV syn-rcv SYN_RCVD SYN_RECEIVED SynReceived SYSRCV NEW_SYN_RECV",
    "FIN_WAIT1": "FIN_WAIT1 FIN_WAIT_1 FIN-WAIT-1 fin-wait-1 FinWait1 FWAIT1",
    "FIN_WAIT2": "FIN_WAIT2 FIN_WAIT_2 FIN-WAIT-2 fin-wait-2 FinWait2 FWAIT2",
    "TIME_WAIT": "TIME_WAIT TIME-WAIT time-wait TimeWait timewait timeD_WAIT TMWAIT",
    "CLOSE": "CLOSE CLOSED Closed close closed DELETE_TCB IDLE",
    "CLOSE_WAIT": "CLOSE_WAIT CLOSE-WAIT CloseWait close-wait CLWAIT",
    "LAST_ACK": "LAST_ACK LAST-ACK LastAck last-ack LASTAK",
    "LISTEN": "LISTEN LISTENING Listen listen listening",
    "CLOSING": "CLOSING Closing closing CLOSNG",
    "UNCONN": "UNCONN unconn unconnected",
    "BOUND": "BOUND Bound bound bound-inactive BOUND_INACTIVE",
    "UNKNOWN": "UNKNOWN unknown",
}
ALL = frozenset(STATES)
CONNECTED = ALL - {"LISTEN", "CLOSE", "BOUND", "UNCONN"}
STATE_CHOICES = (
    "established, syn-sent, syn-recv, fin-wait1, fin-wait2, time-wait, close, close-wait, "
    "last-ack, listen, closing, unconn, bound, unknown, all, connected, synchronized, bucket, big"
)
PROTOCOL_CHOICES = (
    "tcp, tcp4, tcp6, udp, udp4, udp6, udplite, udplite4, udplite6, raw, raw4, raw6, icmp, icmp4, "
    "icmp6, unix, all"
)


def test_every_state_has_its_spellings() -> None:
    assert set(SPELLINGS) == ALL


@pytest.mark.parametrize(
    ("word", "state"),
    [(word, state) for state, words in SPELLINGS.items() for word in words.split()],
)
def test_every_spelling_of_every_state(word: str, state: State) -> None:
    assert parse_states([word]) == {state}


@given(st.sampled_from(STATES), st.randoms(use_true_random=False))
def test_case_and_separators_do_not_matter(state: State, random) -> None:  # type: ignore[no-untyped-def]
    word = "".join(
        random.choice((letter.lower(), letter.upper(), f"-{letter}", f"{letter}_"))
        for letter in state
    )
    assert parse_states([word]) == {state}


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("all", ALL),
        ("connected", CONNECTED),
        ("synchronized", CONNECTED - {"SYN_SENT"}),
        ("bucket", {"SYN_RECV", "TIME_WAIT"}),
        ("big", ALL - {"SYN_RECV", "TIME_WAIT"}),
        ("BIG", ALL - {"SYN_RECV", "TIME_WAIT"}),
    ],
)
def test_the_groups_of_ss(word: str, states: set[State]) -> None:
    assert parse_states([word]) == states


def test_several_words_are_alternatives() -> None:
    assert parse_states(["listen", "bucket"]) == {"LISTEN", "SYN_RECV", "TIME_WAIT"}
    assert parse_states([]) == frozenset()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("establised", "unknown state 'establised'; did you mean established?"),
        ("time-wiat", "unknown state 'time-wiat'; did you mean time-wait?"),
        ("TIMEWAI", "unknown state 'TIMEWAI'; did you mean time-wait?"),
        ("fin-wait", "unknown state 'fin-wait'; did you mean fin-wait2?"),
        ("listn", "unknown state 'listn'; did you mean listen?"),
        ("conected", "unknown state 'conected'; did you mean connected?"),
        ("xyzzy", f"unknown state 'xyzzy'; expected one of {STATE_CHOICES}"),
        ("", f"unknown state ''; expected one of {STATE_CHOICES}"),
        ("7", f"unknown state '7'; expected one of {STATE_CHOICES}"),
        ("\x1b[31m", f"unknown state '\\x1b[31m'; expected one of {STATE_CHOICES}"),
    ],
)
def test_no_state(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_states(["listen", word])
    assert str(caught.value) == expected


FOUR: tuple[str, ...] = ("udp", "udplite", "raw", "icmp")


def tables(*words: str) -> list[tuple[str, str]]:
    return [(table.protocol, table.family) for table in parse_tables(words)]


@pytest.mark.parametrize("protocol", ["tcp", "udp", "udplite", "raw", "icmp"])
def test_a_protocol_is_both_families_or_one(protocol: str) -> None:
    assert tables(protocol) == [(protocol, "ipv4"), (protocol, "ipv6")]
    assert tables(protocol.upper()) == tables(protocol)
    assert tables(f"{protocol}4") == [(protocol, "ipv4")]
    assert tables(f"{protocol}6") == [(protocol, "ipv6")]


def test_unix_has_one_table() -> None:
    assert tables("unix") == [("unix", "unix")]


def test_all_protocols() -> None:
    inet = [(p, f) for p in ("tcp", *FOUR) for f in ("ipv4", "ipv6")]
    assert tables("all") == [*inet, ("unix", "unix")]


def test_tables_come_in_the_order_of_the_words_and_once() -> None:
    assert tables("unix", "tcp6", "tcp") == [("unix", "unix"), ("tcp", "ipv6"), ("tcp", "ipv4")]
    assert tables() == []


def test_tables_of_some_families() -> None:
    assert parse_tables(["tcp", "unix"], ["ipv6"]) == [Table("tcp", "ipv6")]
    assert parse_tables(["all"], ["unix"]) == [Table("unix", "unix")]
    assert parse_tables(["tcp4"], ["ipv6"]) == []
    assert parse_tables(["tcp"], []) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("tpc", "unknown protocol 'tpc'; did you mean tcp?"),
        ("tcp5", "unknown protocol 'tcp5'; did you mean tcp?"),
        ("udp-lite4", "unknown protocol 'udp-lite4'; did you mean udplite4?"),
        ("icmpv6", "unknown protocol 'icmpv6'; did you mean icmp6?"),
        ("unix4", "unknown protocol 'unix4'; did you mean unix?"),
        ("xyzzy", f"unknown protocol 'xyzzy'; expected one of {PROTOCOL_CHOICES}"),
        ("4", f"unknown protocol '4'; expected one of {PROTOCOL_CHOICES}"),
        ("", f"unknown protocol ''; expected one of {PROTOCOL_CHOICES}"),
    ],
)
def test_no_protocol(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tables(["tcp", word])
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("IPv4", "unknown family 'IPv4'; did you mean ipv4?"),
        ("inet", "unknown family 'inet'; expected one of ipv4, ipv6, unix"),
    ],
)
def test_no_family(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tables(["tcp"], [word])
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a,b", "c"], ["a", "b", "c"]),
        ([" a , b "], ["a", "b"]),
        (["a,,b"], ["a", "", "b"]),
        (["a,"], ["a", ""]),
        ([""], [""]),
    ],
)
def test_values_are_split_at_commas(values: list[str], words: list[str]) -> None:
    assert split_words(values) == words


def test_exposures_and_directions() -> None:
    assert parse_exposures(["any", "Public"]) == {"any", "public"}
    assert parse_directions(["INBOUND"]) == {"inbound"}


@pytest.mark.parametrize(
    ("parse", "word", "message"),
    [
        (parse_exposures, "pubic", "unknown exposure 'pubic'; did you mean public?"),
        (
            parse_exposures,
            "x",
            "unknown exposure 'x'; expected one of loopback, link, private, public, any",
        ),
        (parse_directions, "inbond", "unknown direction 'inbond'; did you mean inbound?"),
        (
            parse_directions,
            "",
            "unknown direction ''; expected one of inbound, outbound, unknown",
        ),
    ],
)
def test_what_is_no_exposure_or_direction(
    parse: Callable[[list[str]], object], word: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse([word])
    assert str(caught.value) == message
