"""Sockets beside each other as programs print them, and what to type for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.filters.selection import Selection, select
from netinspect.render.dialects import DIALECTS
from netinspect.teach.compare import Printed, differing, parse_dialects, print_side
from netinspect.teach.compare_text import Text
from netinspect.teach.getopt import take_apart
from netinspect.teach.typed import (
    NO_EXPRESSION,
    NO_NETWORKS,
    NO_RANGES,
    NO_STATE,
    OUR_WORDS,
    OWNERS,
    UNKNOWN_KIND,
    typed,
)
from tests.program import run, run_on_terminal
from tests.records import ANY_CONNECTIONS, PLAIN, made
from tests.test_dialects import BOUND, DUAL, LISTENER, LONG, MAPPED, TIME_WAIT, UNIX_LISTENER

CAPTURE = str(Path(__file__).parent / "fixtures/freebsd/12-netstat-an.txt")


@pytest.mark.parametrize(
    ("selection", "commands"),
    [
        (
            select(states=["time-wait"]),
            [
                "netstat -tan | grep TIME_WAIT",
                "netstat -an -p tcp | grep TIME_WAIT",
                "ss -tan state time-wait",
                'netstat -an | findstr "TCP" | findstr "TIME_WAIT"',
            ],
        ),
        (
            select(listening=True, protocols=["tcp4"]),
            [
                "netstat -tln4",
                "netstat -an -p tcp -f inet | grep LISTEN",
                "ss -tln4",
                'netstat -an -p TCP | findstr "LISTENING"',
            ],
        ),
        (
            select(listening=True),
            [
                "netstat -tuln",
                "netstat -an | grep -E '^tcp|^udp' | grep -E 'LISTEN|^udp'",
                "ss -tuln",
                'netstat -an | findstr "LISTENING UDP"',
            ],
        ),
        (
            select(listening=True, protocols=["udp"]),
            ["netstat -uln", "netstat -an -p udp", "ss -uln", 'netstat -an | findstr "UDP"'],
        ),
        (
            select(),
            [
                "netstat -tuan",
                "netstat -an | grep -E '^tcp|^udp'",
                "ss -tuan",
                "netstat -an",
            ],
        ),
        (
            select(protocols=["tcp"], states=["fin-wait-1", "fin-wait-2"], ports=["443"]),
            [
                "netstat -tan | grep -E 'FIN_WAIT1|FIN_WAIT2' | grep ':443 '",
                "netstat -an -p tcp | grep -E 'FIN_WAIT_1|FIN_WAIT_2' | grep '[.]443 '",
                "ss -tan state fin-wait-1 state fin-wait-2 '(' sport = :443 or dport = :443 ')'",
                'netstat -an | findstr "TCP" | findstr "FIN_WAIT_1 FIN_WAIT_2" | findstr ":443"',
            ],
        ),
        (
            select(protocols=["tcp6"], remote_addresses=["::1"], local_ports=["8000-8100"]),
            [
                "netstat -tan6 | grep ::1",
                "netstat -an -p tcp -f inet6 | grep ::1",
                "ss -tan6 '(' sport '>=' :8000 and sport '<=' :8100 ')' dst '[::1]'",
                'netstat -an -p TCPv6 | findstr "::1"',
            ],
        ),
        (
            select(protocols=["unix"]),
            ["netstat -xan", "netstat -an -f unix", "ss -xan", "netstat -an"],
        ),
        (
            select(protocols=["unix"], states=["established"]),
            [
                "netstat -xan | grep CONNECTED",
                "netstat -an -f unix",
                "ss -xan state established",
                'netstat -an | findstr "ESTABLISHED"',
            ],
        ),
    ],
)
def test_what_to_type(selection: Selection, commands: list[str]) -> None:
    order = ("gnu", "bsd", "ss", "windows")
    assert [typed(name, selection).text for name in order] == commands


@pytest.mark.parametrize(
    ("selection", "words", "gnu", "ss"),
    [
        (select(local_ports=["1-9"]), "", (NO_RANGES,), ()),
        (select(addresses=["10.0.0.0/8"]), "", (NO_NETWORKS,), ()),
        (select(states=["unconn"]), "", (NO_STATE,), ()),
        (select(processes=["nginx"]), "", (OWNERS,), (OWNERS,)),
        (select(protocols=["icmp"]), "", (UNKNOWN_KIND,), (UNKNOWN_KIND,)),
        (select(protocols=["udplite"]), "", (), (UNKNOWN_KIND,)),
        (select(expression="dport = :443"), "dport = :443", (NO_EXPRESSION,), ()),
        (select(expression="pid = 1"), "pid = 1", (NO_EXPRESSION,), (OUR_WORDS,)),
    ],
)
def test_what_cannot_be_asked(
    selection: Selection, words: str, gnu: tuple[str, ...], ss: tuple[str, ...]
) -> None:
    assert typed("gnu", selection, words.split()).notes == gnu
    assert typed("ss", selection, words.split()).notes == ss


def test_an_expression_is_a_filter_of_ss() -> None:
    words = ["state", "time-wait", "dport", "=", ":443", "or", "dport", "=", ":80"]
    selection = select(protocols=["tcp"], expression=" ".join(words), local_ports=["9"])
    assert typed("ss", selection, words).text == (
        "ss -tan state time-wait '(' dport = :443 or dport = :80 ')' sport = :9"
    )


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "selection",
    [
        select(),
        select(protocols=["all"]),
        select(listening=True),
        select(protocols=["raw"]),
        select(protocols=["icmp"]),
        select(protocols=["udplite"]),
        select(states=["bound"]),
        select(states=["connected"], ports=["1-5", "9"], addresses=["10.0.0.0/8", "::1"]),
    ],
)
def test_what_to_type_is_accepted_there(name: str, selection: Selection) -> None:
    system = {"gnu": "linux", "bsd": "macos", "ss": "linux", "windows": "windows"}[name]
    assert take_apart(system, typed(name, selection).argv).error is None
    assert print_side(name, selection, (), [PLAIN, LISTENER], is_terminal=False).slots


def sides(*names: str, width: int | None = None) -> list[Printed]:
    """Of some sockets of which each is special in one of them."""
    sockets = [BOUND, PLAIN, DUAL, LONG, MAPPED, TIME_WAIT]
    return [
        print_side(name, select(protocols=["tcp"]), (), sockets, is_terminal=width is not None)
        for name in names
    ]


def test_one_side() -> None:
    side = sides("bsd")[0].side
    assert (side.dialect, side.title, side.command) == (
        "bsd",
        "macOS netstat",
        "netstat -an -p tcp",
    )
    assert [(flag.flag, flag.meaning) for flag in side.flags] == [
        ("-a", "Include TCP sockets in CLOSED/LISTEN"),
        ("-n", "Numeric addresses and ports"),
        ("-p tcp", "Restrict to a protocol"),
    ]
    assert side.notes == (
        "tcp46 takes IPv4 as well, tcp6 does not",
        "an IPv6 socket that speaks IPv4 is tcp4",
        "hosts are cut to 16 characters; -l shows them whole",
        "queues of listeners are always 0; netstat -Lan shows who waits",
    )
    assert side.hidden == 0
    assert len(side.output) == 8


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        (
            "gnu",
            (
                "tcp6 and ::: may take IPv4 as well: netstat does not tell",
                "tcp6 with IPv4 addresses: an IPv6 socket that speaks IPv4",
                "Recv-Q of a listener: who waits to be accepted; Send-Q is always 0",
                "1 of 6 sockets would not be shown there",
            ),
        ),
        (
            "ss",
            (
                "* takes IPv4 as well, [::] does not",
                "queues of a listener: who waits to be accepted, and how many may",
                "without -a or state, ss hides TIME-WAIT",
                "1 of 6 sockets would not be shown there",
            ),
        ),
        (
            "windows",
            (
                "with -o they are of process 0: nobody's",
                "1 of 6 sockets would not be shown there",
            ),
        ),
    ],
)
def test_notes(name: str, notes: tuple[str, ...]) -> None:
    assert sides(name)[0].side.notes == notes


def test_what_differs() -> None:
    assert differing(["tcp  0 a:1 LISTEN", None, "tcp4 0 a.1 LISTEN"]) == [
        [(0, 3), (7, 10)],
        [],
        [(0, 4), (7, 10)],
    ]
    assert differing([None, None]) == [[], []]


@given(st.lists(ANY_CONNECTIONS, max_size=4))
def test_every_line_of_the_output_is_in_a_slot(connections: list) -> None:  # type: ignore[type-arg]
    for name in DIALECTS:
        printed = print_side(name, select(protocols=["all"]), (), connections, is_terminal=True)
        assert len(printed.slots) == len(connections)
        rows = sum(slot.row is not None for slot in printed.slots)
        assert rows == len(connections) - printed.side.hidden


class TestText:
    def test_stacked_with_marks(self) -> None:
        sockets = [made(state="FIN_WAIT2")]
        both = [
            print_side(name, select(states=["fin-wait-2"]), (), sockets, is_terminal=False)
            for name in ("gnu", "bsd")
        ]
        assert list(Text(None, has_colour=False).lines(both)) == [
            "GNU/Linux netstat",
            "  $ netstat -tan | grep FIN_WAIT2",
            "  -t  Select TCP sockets (v4 and v6 unless -4/-6)",
            "  -a  All sockets, listening and connected",
            "  -n  Do not resolve hosts, ports or users",
            "",
            "Active Internet connections (servers and established)",
            "Proto Recv-Q Send-Q Local Address           Foreign Address         State      ",
            "tcp        0     12 10.0.0.1:44321          10.0.0.2:443            FIN_WAIT2  ",
            "^^^                 ^^^^^^^^^^^^^^          ^^^^^^^^^^^^            ^^^^^^^^^",
            "",
            "macOS netstat",
            "  $ netstat -an -p tcp | grep FIN_WAIT_2",
            "  -a      Include TCP sockets in CLOSED/LISTEN",
            "  -n      Numeric addresses and ports",
            "  -p tcp  Restrict to a protocol",
            "",
            "Active Internet connections (including servers)",
            "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    ",
            "tcp4       0     12  10.0.0.1.44321         10.0.0.2.443           FIN_WAIT_2 ",
            "^^^^                 ^^^^^^^^^^^^^^         ^^^^^^^^^^^^           ^^^^^^^^^^",
        ]

    def test_rows_stand_beside_each_other(self) -> None:
        lines = list(Text(200, has_colour=False).lines(sides("gnu", "bsd", width=200)))
        assert lines[0].split("   ")[0] == "GNU/Linux netstat"
        assert lines[0].endswith("macOS netstat")
        (hidden,) = [line for line in lines if "(not shown)" in line]
        assert re.fullmatch(r"\(not shown\) +tcp4 .* CLOSED", hidden)
        (ends,) = [line for line in lines if ":::80 " in line]
        assert re.fullmatch(r"tcp6 .* :::80 .* LISTEN +tcp46 .* \*\.80 .* LISTEN", ends)
        assert max(map(len, lines)) <= 200

    def test_the_narrower_terminal_stacks(self) -> None:
        for width, is_stacked in ((165, False), (120, True)):
            lines = list(Text(width, has_colour=False).lines(sides("gnu", "bsd", width=width)))
            assert ("macOS netstat" in lines) is is_stacked

    def test_in_colour_it_is_underlined(self) -> None:
        lines = list(Text(None, has_colour=True).lines(sides("gnu", "bsd")))
        (row,) = [line for line in lines if "*.80" in line]
        assert row.startswith("\x1b[1;4mtcp46\x1b[0m ")
        assert not [line for line in lines if "^" in line]

    def test_in_colour_columns_stay_where_they_are(self) -> None:
        plain = Text(200, has_colour=False).lines(sides("gnu", "ss", width=200))
        coloured = Text(200, has_colour=True).lines(sides("gnu", "ss", width=200))
        without_codes = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured]
        assert without_codes == [line for line in plain if not re.fullmatch(r"[ ^]*\^[ ^]*", line)]

    def test_headings_stand_above_what_is_not_shown(self) -> None:
        for sockets, above in (([BOUND, PLAIN], [2, 0]), ([BOUND, UNIX_LISTENER], [4, 0])):
            selection = select(protocols=["tcp", "unix"])
            printed = print_side("gnu", selection, (), sockets, is_terminal=False)
            assert [len(slot.above) for slot in printed.slots] == above


def test_dialects() -> None:
    assert parse_dialects([]) == ["gnu", "bsd"]
    assert parse_dialects(["ss", "gnu", "ss"]) == ["ss", "gnu"]
    with pytest.raises(UsageError) as caught:
        parse_dialects(["window"])
    assert str(caught.value) == "unknown dialect 'window'; did you mean windows?"


class TestProgram:
    def test_json(self) -> None:
        done = run("compare", "--from", CAPTURE, "--proto", "tcp", "--dialects", "bsd,ss", "--json")
        document = json.loads(done.out)
        jsonschema.Draft202012Validator(json.loads(run("schema", "compare").out)).validate(document)
        assert (document["total"], document["shown"]) == (4, 4)
        first, second = document["dialects"]
        assert first["command"] == "netstat -an -p tcp"
        assert first["output"][2:4] == [
            "tcp4       0      0  192.168.71.163.22      192.168.71.1.56321     ESTABLISHED",
            "tcp4       0      0  127.0.0.1.25           *.*                    LISTEN     ",
        ]
        assert second["command"] == "ss -tan"
        assert list(second) == [
            *("dialect", "title", "command", "flags", "notes", "output", "hidden", "sources"),
        ]

    def test_at_most_ten_for_people(self) -> None:
        done = run("compare", "--from", CAPTURE)
        assert done.err.splitlines()[0] == ("netinspect: 10 of 20 sockets; --limit 20 shows all")
        fewer = run("compare", "--from", CAPTURE, "--limit", "1", "--dialects", "gnu")
        assert len(fewer.out.splitlines()) < 20

    def test_on_a_terminal(self) -> None:
        wide = run_on_terminal("compare", "--from", CAPTURE, "--proto", "tcp", columns=200)
        assert "\x1b[1;4m" in wide.out
        assert "GNU/Linux netstat" in wide.out.splitlines()[0]
        assert "macOS netstat" in wide.out.splitlines()[0]
        plain = run_on_terminal(
            "compare", "--from", CAPTURE, "--proto", "tcp", "--color", "never", columns=80
        )
        assert "\x1b" not in plain.out
        assert "macOS netstat" in plain.out.splitlines()

    def test_an_unknown_dialect(self) -> None:
        done = run("compare", "--dialects", "gun")
        assert done == (2, "", "netinspect: unknown dialect 'gun'; did you mean gnu?\n")


def test_where_the_facts_are_from() -> None:
    done = run("compare", "--sources", "--proto", "tcp", "--limit", "0")
    assert "\nSources:\n" in done.out
    for source in ("ecki/net-tools@", "apple-oss-distributions/network_cmds@"):
        assert source in done.out
