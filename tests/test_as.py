"""Command lines of other systems: which sockets they ask for, and which are refused with why."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from netinspect.errors import UsageError
from netinspect.model import State
from netinspect.render.dialects.bsd import SYSTEMS, Bsd
from netinspect.render.dialects.busybox import BusyBox
from netinspect.render.dialects.gnu import Gnu
from netinspect.render.dialects.sockstat import Sockstat
from netinspect.render.dialects.ss import Ss
from netinspect.render.dialects.ss_details import Details
from netinspect.render.dialects.windows import Windows
from netinspect.teach.impersonate import NOT_LOOKED_UP, Impersonation, impersonate
from tests.program import run

CLOSED = frozenset({"CLOSE", "UNCONN"})


FAILS = "it fails there as well: "


def asked(command: str) -> Impersonation:
    system, *argv = shlex.split(command)
    return impersonate(system, argv)


def tables(command: str) -> str:
    """`tcp4 tcp6 unix`, in the order in which they are read."""
    return " ".join(
        t.protocol + {"ipv4": "4", "ipv6": "6"}.get(t.family, "")
        for t in asked(command).selection.tables
    )


def refusal(command: str) -> str:
    with pytest.raises(UsageError) as caught:
        asked(command)
    return str(caught.value)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("gnu netstat -tan", "tcp4 tcp6"),
        ("linux netstat -tuln", "tcp4 tcp6 udp4 udp6"),
        ("gnu netstat -4 -an", "tcp4 udp4 udplite4 raw4"),
        ("gnu netstat -tan6", "tcp6"),
        ("gnu netstat -A inet,unix -an", "tcp4 udp4 udplite4 raw4 unix"),
        ("gnu netstat --inet6 --tcp", "tcp6"),
        ("gnu netstat -x", "unix"),
        ("gnu netstat --unix -w", "raw4 raw6 unix"),
        ("gnu netstat -an", "tcp4 tcp6 udp4 udp6 udplite4 udplite6 raw4 raw6 unix"),
        ("gnu netstat -p tcp", "tcp4 tcp6 udp4 udp6 udplite4 udplite6 raw4 raw6 unix"),
        ("busybox netstat -tan", "tcp4 tcp6"),
        ("busybox netstat -lx", "unix"),
        ("busybox netstat", "tcp4 tcp6 udp4 udp6 raw4 raw6 unix"),
        ("ss ss -tan", "tcp4 tcp6"),
        ("gnu ss -tu", "udp4 udp6 tcp4 tcp6"),
        ("ss ss -4", "raw4 udp4 tcp4"),
        ("ss ss -x4", "unix raw4 udp4 tcp4"),
        ("ss ss -tx", "unix tcp4 tcp6"),
        ("ss ss -t -6", "tcp6"),
        ("ss ss -46", "raw4 raw6 udp6 tcp6"),
        ("ss ss -6tu -f inet", "udp4 tcp4"),
        ("ss ss", "unix raw4 raw6 udp4 udp6 tcp4 tcp6"),
        ("ss ss -A inet,!tcp", "raw4 raw6 udp4 udp6"),
        ("ss ss -f inet6", "raw6 udp6 tcp6"),
        ("ss ss -A u_str", "unix"),
        ("macos netstat -an -p tcp", "tcp4 tcp6"),
        ("mac netstat -anp tcp", "tcp4 tcp6"),
        ("macos netstat -tulpn", "unix"),
        ("macos netstat -an -f unix", "unix"),
        ("macos netstat -an -f inet6", "tcp4 tcp6 udp4 udp6 raw4 raw6 icmp4 icmp6"),
        ("macos netstat -an", "tcp4 tcp6 udp4 udp6 raw4 raw6 icmp4 icmp6 unix"),
        ("macos netstat -an -p icmp6", "raw6 icmp6"),
        ("freebsd netstat -anW -p udp", "udp4 udp6"),
        ("openbsd netstat -ln -p tcp", "tcp4 tcp6"),
        ("freebsd sockstat", "tcp4 tcp6 udp4 udp6 unix"),
        ("freebsd sockstat -4l", "tcp4 tcp6 udp4 udp6"),
        ("freebsd sockstat -46 -P tcp", "tcp4 tcp6"),
        ("freebsd sockstat -u", "unix"),
        ("freebsd sockstat -4u", "tcp4 tcp6 udp4 udp6 unix"),
        ("windows netstat -ano", "tcp4 tcp6 udp4 udp6"),
        ("windows netstat -an -p TCPv6", "tcp6"),
        ("windows netstat.exe /a /n", "tcp4 tcp6 udp4 udp6"),
    ],
)
def test_which_sockets(command: str, names: str) -> None:
    assert tables(command) == names


ALL = frozenset(
    (
        *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"),
        *("CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "UNCONN"),
    )
)
CONNECTIONS = ALL - CLOSED - {"LISTEN", "TIME_WAIT", "SYN_RECV"}


@pytest.mark.parametrize(
    ("command", "states"),
    [
        ("ss -t", CONNECTIONS),
        ("ss -u", {"ESTABLISHED"}),
        ("ss -tu", CONNECTIONS),
        ("ss -ta", ALL),
        ("ss -tl", {"LISTEN"} | CLOSED),
        ("ss -tal", {"LISTEN"} | CLOSED),
        ("ss -tla", ALL),
        ("ss -ta state time-wait", {"TIME_WAIT"}),
        ("ss -t state time-wait state syn-sent", {"TIME_WAIT", "SYN_SENT"}),
        ("ss -t state closed", CLOSED),
        ("ss -t exclude listening", ALL - {"LISTEN"}),
        ("ss -t state all exclude listening", ALL - {"LISTEN"}),
        ("ss -t state bucket", {"SYN_RECV", "TIME_WAIT"}),
    ],
)
def test_states_of_ss(command: str, states: set[State]) -> None:
    assert asked(f"ss {command}").selection.states == frozenset(states)


def dialect(command: str) -> Any:
    """With one `names` for all, to compare."""
    found: Any = asked(command).dialect
    return found._replace(names=str)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gnu netstat -tan", Gnu(str)),
        ("gnu netstat -tun", Gnu(str, shown="connections")),
        ("gnu netstat -tln", Gnu(str, shown="servers")),
        ("gnu netstat -tlan", Gnu(str)),
        ("gnu netstat -xn", Gnu(str, has_inet=False, has_unix=True, shown="connections")),
        (
            "gnu netstat -tanepoW",
            Gnu(str, has_users=True, has_programs=True, has_timers=True, is_wide=True),
        ),
        ("gnu netstat -tae", Gnu(str, has_users=True, is_numeric=False)),
        ("busybox netstat -an", BusyBox(str, has_unix=True)),
        ("busybox netstat -lnx", BusyBox(str, has_inet=False, has_unix=True, shown="servers")),
        ("busybox netstat -aln -t", BusyBox(str)),
        ("macos netstat -an -p tcp", Bsd(str)),
        ("macos netstat -n -p tcp", Bsd(str, has_all=False)),
        ("macos netstat -anl -p tcp", Bsd(str, is_wide=True)),
        ("macos netstat -anvb -p tcp", Bsd(str, has_bytes=True, is_verbose=True)),
        ("macos netstat -an -f inet", Bsd(str, families=frozenset({"ipv4"}))),
        ("freebsd netstat -anW", Bsd(str, SYSTEMS["freebsd"], is_wide=True)),
        ("openbsd netstat -anv -p tcp", Bsd(str, SYSTEMS["openbsd"], is_wide=True)),
        ("freebsd sockstat -4lq", Sockstat(str, "listening", has_header=False, versions="4")),
        ("freebsd sockstat -lcn", Sockstat(str, is_numeric=True)),
        ("windows netstat -ano", Windows(str, has_pids=True)),
        ("windows netstat -bnq", Windows(str, has_all=False, has_bound=True, has_programs=True)),
    ],
)
def test_which_format(command: str, expected: object) -> None:
    assert dialect(command) == expected


@pytest.mark.parametrize(
    ("command", "has_netid", "has_state"),
    [
        ("-tan", False, True),
        ("-tuan", True, True),
        ("-xan", True, True),
        ("-un", False, False),
        ("-tan state time-wait", False, False),
        ("-tan state closed", False, False),
        ("-tln", False, True),
        ("-4tan", False, True),
    ],
)
def test_columns_of_ss(command: str, has_netid: bool, has_state: bool) -> None:
    found = dialect(f"ss ss {command}")
    assert isinstance(found, Ss)
    assert (found.has_netid, found.has_state) == (has_netid, has_state)


def test_details_of_ss() -> None:
    found = dialect("ss ss -tanHpoemiO")
    assert found.details == Details(True, True, True, True, True, True)
    assert not found.has_header


def test_filters_of_ss_are_expressions() -> None:
    with_filter = asked("ss ss -tan ( sport = :443 or dport = :443 ) and dst 10.0.0.0/8")
    assert with_filter.selection.expression != asked("ss ss -tan").selection.expression
    mixed = "ss ss -tan sport = :443 or dport = :443 and dst 10.0.0.0/8"
    assert refusal(mixed).startswith(
        "'and' and 'or' side by side: ss reads them from left to right"
    )


def test_ports_of_sockstat() -> None:
    ((first, *_),) = asked("freebsd sockstat -4 -p 22,80").selection.port_clauses
    assert (first.low, first.high) == (22, 22)


@pytest.mark.parametrize(
    ("command", "remarks"),
    [
        ("gnu netstat -tan", ()),
        ("gnu netstat -ta", (NOT_LOOKED_UP,)),
        ("gnu netstat -xa", ()),
        ("ss ss -ta", (NOT_LOOKED_UP,)),
        ("macos netstat -a -p tcp", (NOT_LOOKED_UP,)),
        ("windows netstat -a", (NOT_LOOKED_UP,)),
        ("macos netstat -anp n", ("netstat: n: unknown or uninstrumented protocol",)),
        (
            "ss ss -A inet -n",
            ("ss would also show mptcp, dccp, sctp: they are not read here",),
        ),
    ],
)
def test_remarks(command: str, remarks: tuple[str, ...]) -> None:
    assert asked(command).remarks == remarks


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("macos netstat -anp", f"{FAILS}netstat: option requires an argument -- p (exit status 64"),
        (
            "gnu netstat -tanq",
            f"{FAILS}netstat: invalid option -- 'q' (exit status 3 there)",
        ),
        (
            "freebsd netstat -tulpn",
            f"{FAILS}netstat: illegal option -- t (exit status 1 there)",
        ),
        (
            "busybox netstat -tlnp",
            "netstat -p: an option of the build, which Debian's BusyBox does not have",
        ),
        ("gnu netstat -r", "netstat -r: routes are no sockets: ip route"),
        ("macos netstat -i", "netstat -i: interfaces are no sockets: ip -s link"),
        (
            "gnu netstat -tanc",
            "netstat -c: nothing is repeated here: watch -n 5 netinspect as ...",
        ),
        (
            "macos netstat -an 5",
            "netstat 5: nothing is repeated here: watch -n 5 netinspect as ...",
        ),
        ("ss ss -K", "ss -K: nothing is closed here"),
        ("ss ss --vsock", "ss --vsock: sockets of this kind are not read here"),
        ("ss ss -A netlink,packet", "ss -A netlink: sockets of this kind are not read here"),
        ("ss ss -f link", "ss -f link: sockets of this kind are not read here"),
        (
            "ss ss -tan state waiting",
            f"{FAILS}ss: wrong state name: waiting (exit status 255 there)",
        ),
        ("macos netstat -p mptcp", "netstat -p mptcp: sockets of mptcp are not read here"),
        ("macos netstat -f vsock", "netstat -f vsock: sockets of vsock are not read here"),
        ("windows netstat -an -p ICMP", "netstat -p icmp: sockets of icmp are not read here"),
        ("freebsd sockstat -P sctp", "sockstat -P sctp: sockets of sctp are not read here"),
        (
            "openbsd netstat -d",
            "netstat -d: not offered here; there it means: ",
        ),
        ("netbsd netstat -an", "the output of NetBSD netstat is not offered, only of: "),
        ("gnu lsof -i", "the output of lsof is not offered, only of: "),
        ("windows ss", "Windows has no program 'ss' that is known here"),
        ("beos netstat", "unknown system 'beos'; "),
    ],
)
def test_refusals(command: str, message: str) -> None:
    assert refusal(command).startswith(message)


class TestProgram:
    def test_another_order_of_words(self) -> None:
        message = "'-tan': expected a command behind gnu, as in netinspect as gnu netstat -tan"
        assert run("as", "gnu", "-tan") == (2, "", f"netinspect: {message}\n")

    def test_nothing(self) -> None:
        for args, missing in ((("as",), "SYSTEM"), (("as", "gnu"), "COMMAND...")):
            done = run(*args)
            assert done == (
                2,
                "",
                f"netinspect: missing argument '{missing}' (see netinspect as --help)\n",
            )

    def test_flags_are_the_other_programs(self) -> None:
        """-h, -p and --help behind the system are no flags of ours."""
        done = run("as", "gnu", "netstat", "-h")
        assert done.err == "netinspect: netstat -h: netinspect explain says what each flag means\n"
        assert run("as", "ss", "ss", "-tHnp").status == 0
        assert run("as", "--help").status == 0

    def test_what_fails_there(self) -> None:
        done = run("as", "macos", "netstat", "-anp")
        assert (done.status, done.out) == (2, "")

    def test_a_warning_there_is_said(self) -> None:
        done = run("as", "macos", "netstat", "-f", "inet", "-p", "n")
        assert "netinspect: netstat: n: unknown or uninstrumented protocol\n" in done.err
        assert done.status == 0

    def test_columns_are_the_programs(self) -> None:
        done = run("-o", "gnu", "--columns", "pid")
        message = "netinspect: -o gnu has the columns of its program: leave --columns out\n"
        assert done == (2, "", message)

    @pytest.mark.parametrize("output", ["gnu", "bsd", "ss", "windows"])
    def test_quiet(self, output: str) -> None:
        assert run("-o", output, "-q", "--lport", "1", "--no-owners") == (1, "", "")

    def test_order_and_limit(self) -> None:
        path = "tests/fixtures/freebsd/12-netstat-an.txt"
        done = run("--from", path, "-o", "bsd", "--sort", "local_port", "--limit", "2")
        assert [line.split()[3] for line in done.out.splitlines()[2:]] == [
            "192.168.71.163.22",
            "*.22",
        ]
        bare = run("--from", path, "-o", "ss", "--no-header", "--proto", "udp", "--limit", "1")
        assert bare.out == "UNCONN 0      0      0.0.0.0:514 0.0.0.0:*\n"


def test_where_a_meaning_is_from_is_said_beside_the_rows() -> None:
    plain = run("as", "gnu", "netstat", "-tan")
    done = run("as", "--sources", "gnu", "netstat", "-tan")
    assert (done.status, done.out.splitlines()[0]) == (0, plain.out.splitlines()[0])
    sources = [line for line in done.err.splitlines() if line.startswith("netinspect: source: ")]
    assert len(sources) == 4  # of -t, -a and -n, and of how they are read
    assert "source: " not in plain.err
