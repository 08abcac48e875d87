from __future__ import annotations

import pytest

from netinspect.errors import UsageError
from netinspect.teach.command_line import CommandLine, Failure, Place
from netinspect.teach.getopt import parse_option_string, take_apart
from netinspect.teach.knowledge import find_tool, tools


def apart(system: str, command: str) -> CommandLine:
    return take_apart(system, command.split())


def flags(system: str, command: str) -> list[str | tuple[str, str]]:
    line = apart(system, command)
    return [(o.flag, o.argument) if o.argument is not None else o.flag for o in line.options]


def message(system: str, command: str) -> tuple[str, int | None]:
    error = apart(system, command).error
    assert error is not None
    return error.message, error.exit_status


def test_a_cluster() -> None:
    line = apart("linux", "netstat -tulpn")
    assert [(o.flag, o.place) for o in line.options] == [
        ("-t", Place(1, 1, 2)),
        ("-u", Place(1, 2, 3)),
        ("-l", Place(1, 3, 4)),
        ("-p", Place(1, 4, 5)),
        ("-n", Place(1, 5, 6)),
    ]
    assert (line.operands, line.error) == ((), None)


def test_the_same_cluster_on_a_mac() -> None:
    line = apart("macos", "netstat -tulpn")
    assert flags("macos", "netstat -tulpn") == ["-t", "-u", "-l", ("-p", "n")]
    assert line.options[-1].argument_place == Place(1, 5, 6)
    assert line.error == Failure(
        "netstat: n: unknown or uninstrumented protocol",
        0,
        Place(1, 5, 6),
        "a warning since network_cmds-730 (about macOS 26.3): parsing stops, and what was asked "
        "before it is printed, exit 0; before, the same message and exit 1",
        continues=True,
    )


@pytest.mark.parametrize(
    ("system", "command", "expected"),
    [
        ("linux", "netstat -tan 5", ["-t", "-a", "-n"]),
        ("linux", "netstat 5 -tan", ["-t", "-a", "-n"]),
        ("linux", "netstat -- -tan", []),
        ("linux", "netstat --numeric --prog", ["-n", "-p"]),
        ("linux", "netstat --protocol=inet", [("-A", "inet")]),
        ("linux", "netstat --protocol inet", [("-A", "inet")]),
        ("linux", "netstat -Ainet", [("-A", "inet")]),
        ("linux", "netstat --tcp", ["-t"]),  # an exact name is not ambiguous: --tcpip
        ("linux", "netstat --inet6", ["--inet6"]),
        ("linux", "ss -tn sport = :22", ["-t", "-n"]),
        ("linux", "ss --tos --no-h", ["--tos", "-H"]),
        ("macos", "netstat -an -p tcp", ["-a", "-n", ("-p", "tcp")]),
        ("macos", "netstat -anptcp", ["-a", "-n", ("-p", "tcp")]),
        ("macos", "netstat 5 -an", []),
        ("macos", "netstat -an , -rn", ["-a", "-n", "-r", "-n"]),
        ("freebsd", "netstat --libxo json -an", [("--libxo", "json"), "-a", "-n"]),
        ("freebsd", "netstat --libxo=json,pretty -an", [("--libxo", "json,pretty"), "-a", "-n"]),
        ("freebsd", "netstat --libxo:J -an", [("--libxo", "J"), "-a", "-n"]),
        ("windows", "netstat /ano -p TCP 5", ["-a", "-n", "-o", ("-p", "TCP")]),
        ("windows", "netstat /?", ["/?"]),
        ("linux", "lsof -nP -iTCP -sTCP:LISTEN", ["-n", "-P", ("-i", "TCP"), ("-s", "TCP:LISTEN")]),
        ("linux", "lsof -i -nP", ["-i", "-n", "-P"]),
        ("linux", "lsof -i :22", [("-i", ":22")]),
        ("linux", "lsof +c 0 +n", [("+c", "0"), "+n"]),
        ("linux", "lsof -r1c2", [("-r", "1c2"), ("-c", "2")]),
        ("linux", "lsof -r1m%T", [("-r", "1m%T")]),
        ("linux", "lsof -r 5 -n", [("-r", "5"), "-n"]),
        ("linux", "lsof -o3n", [("-o", "3"), "-n"]),
        ("linux", "lsof -on", ["-o", "-n"]),
        ("linux", "lsof -p 1 -- -n", [("-p", "1")]),
    ],
)
def test_flags_and_arguments(
    system: str, command: str, expected: list[str | tuple[str, str]]
) -> None:
    assert flags(system, command) == expected
    assert apart(system, command).error is None


@pytest.mark.parametrize(
    ("system", "command", "operands"),
    [
        ("linux", "netstat 5 -tan x", ["5", "x"]),
        ("linux", "netstat -t -- -a", ["-a"]),
        ("macos", "netstat -a 5 -n", ["5", "-n"]),
        ("macos", "netstat -a -- -n", ["-n"]),
        ("windows", "netstat -ano 5", ["5"]),
        ("linux", "lsof -n x -P", ["x", "-P"]),
        ("linux", "lsof -o x", ["x"]),
    ],
)
def test_operands(system: str, command: str, operands: list[str]) -> None:
    assert [o.text for o in apart(system, command).operands] == operands


@pytest.mark.parametrize(
    ("system", "command", "expected"),
    [
        ("linux", "netstat -L", ("netstat: invalid option -- 'L'", 3)),
        ("linux", "/bin/netstat -L", ("/bin/netstat: invalid option -- 'L'", 3)),
        ("linux", "netstat -A", ("netstat: option requires an argument -- 'A'", 3)),
        ("linux", "netstat --foo", ("netstat: unrecognized option '--foo'", 3)),
        (
            "linux",
            "netstat --numeric-",
            (
                (
                    "netstat: option '--numeric-' is ambiguous; possibilities: '--numeric-hosts' "
                    "'--numeric-ports' '--numeric-users'"
                ),
                3,
            ),
        ),
        (
            "linux",
            "netstat --u",
            (
                (
                    "netstat: option '--u' is ambiguous; possibilities: '--unix' '--udp' "
                    "'--udplite' '--unix'"
                ),
                3,
            ),
        ),
        ("linux", "netstat --tc=3", ("netstat: option '--tc=3' is ambiguous; possibilities: ", 3)),
        ("linux", "netstat --tcp=3", ("netstat: option '--tcp' doesn't allow an argument", 3)),
        ("linux", "netstat --protocol", ("netstat: option '--protocol' requires an argument", 3)),
        ("linux", "netstat -A foo", ("Unknown address family `foo'.", 1)),
        ("linux", "netstat -ri", ("usage: only one of -i, -r, -M and -s", 3)),
        ("linux", "ss -c", ("ss: invalid option -- 'c'", 255)),
        ("linux", "ss -f foo", ('ss: "foo" is invalid family', 255)),
        ("linux", "ss -A foo", ('ss: "foo" is illegal socket table id', 255)),
        ("busybox", "netstat -o", ("netstat: invalid option -- 'o'", 1)),
        ("macos", "netstat -anp", ("netstat: option requires an argument -- p", 64)),
        ("macos", "netstat -o", ("netstat: illegal option -- o", 64)),
        ("macos", "netstat -k", ("usage: netstat ...", 64)),
        ("freebsd", "netstat -tulpn", ("netstat: illegal option -- t", 1)),
        ("freebsd", "/usr/bin/netstat -t", ("netstat: illegal option -- t", 1)),
        ("freebsd", "netstat -p foo", ("netstat: foo: unknown or uninstrumented protocol", 1)),
        ("freebsd", "netstat -xT", ("-x and -T are incompatible, pick one.", 1)),
        ("freebsd", "sockstat -4 foo", ("usage: sockstat ...", 1)),
        ("openbsd", "netstat -t", ("netstat: unknown option -- t", 1)),
        ("openbsd", "netstat -L", ("usage: netstat ...", 1)),
        ("openbsd", "netstat -p foo", ("netstat: foo: unknown protocol", 1)),
        ("netbsd", "netstat -tulpn", ("netstat: n: unknown or uninstrumented protocol", 1)),
        ("windows", "netstat -tulpn", ("(prints its help text)", None)),
        ("linux", "lsof -iP", ("lsof: unknown protocol name (P) in: -i P", 1)),
        ("linux", "lsof -G", ("lsof: illegal option character: G", 1)),
        ("linux", "lsof -p", ("lsof: no process ID specified", 1)),
        ("linux", "lsof -p 1,foo", ("lsof: illegal process ID: foo", 1)),
        ("linux", "lsof -sTCP:FOO", ("lsof: unknown TCP state name: FOO", 1)),
        ("linux", "lsof -L 2", ("lsof: no number may follow -L", 1)),
        ("linux", "lsof -T qz", ("lsof: unsupported TCP/TPI info selection: z", 1)),
        ("linux", "lsof -os", ("lsof: -o and -s are mutually exclusive", 1)),
        ("linux", "lsof -tF", ("lsof: -F and -t are mutually exclusive", 1)),
    ],
)
def test_what_a_tool_says_of_a_mistake(
    system: str, command: str, expected: tuple[str, int | None]
) -> None:
    text, status = message(system, command)
    if expected[0].endswith(": "):  # the rest is another test's
        text = text[: len(expected[0])]
    assert (text, status) == expected


def test_the_first_error_ends_the_reading() -> None:
    line = apart("linux", "netstat -tLx")
    assert [o.flag for o in line.options] == ["-t"]
    assert line.error is not None
    assert line.error.place == Place(1, 2, 3)


def test_what_stops_at_once_hides_later_errors() -> None:
    line = apart("linux", "netstat -hL")
    assert ([o.flag for o in line.options], line.error) == (["-h"], None)


def test_lsof_reads_on_behind_an_error() -> None:
    line = apart("linux", "lsof -nGP")
    assert [o.flag for o in line.options] == ["-n", "-P"]
    assert line.error is not None


def test_a_program_that_the_system_does_not_have() -> None:
    with pytest.raises(UsageError) as caught:
        apart("macos", "ss -tan")
    assert str(caught.value) == "macOS has no program 'ss' that is known here"


def test_a_tool_by_its_id_and_by_its_path() -> None:
    assert find_tool("linux_ss", "anything") is tools()["linux_ss"]
    assert find_tool("linux", "/usr/bin/ss") is tools()["linux_ss"]
    assert find_tool("windows", "C:\\Windows\\System32\\netstat.exe") is tools()["windows_netstat"]
    assert find_tool("openbsd", "sockstat") is None
    assert find_tool("netbsd", "lsof") is tools()["lsof"]


def test_option_strings() -> None:
    assert parse_option_string("aF:p:") == {"a": False, "F": True, "p": True}
