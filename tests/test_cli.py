"""The program as its users meet it: options in; stdout, stderr and an exit status out."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from netinspect import __version__
from netinspect.cli.app import COMMANDS, program
from netinspect.cli.schema_command import COMMANDS_WITH_JSON, TAUGHT
from netinspect.filters.keywords import KEYWORDS
from netinspect.filters.words import GROUPS, PROTOCOL_WORDS, STATE_WORDS
from netinspect.grouping.keys import KEY_WORDS
from netinspect.render.columns import COLUMNS, KEYS
from netinspect.render.escape import UNSAFE_IN_CELL
from netinspect.render.named import OWN_FORMATS, named_formats
from tests.program import (
    Done,
    environment,
    run,
    run_command,
    run_in_shell,
    run_on_terminal,
    started,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc and /dev/full")
on_unix = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix: sh, pty and signals")

# Addresses that nothing else on the machine uses
HERE, THERE = "127.83.29.7", "127.83.29.8"


class Held(NamedTuple):
    """Sockets of this process: a connection from THERE to a listener on HERE, and two for UDP."""

    listener: int
    client: int
    udp: int
    udp6: int | None
    path: str

    @property
    def ports(self) -> str:
        """What `--port` takes to select them all."""
        return ",".join(str(port) for port in self[:4] if port is not None)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HERE, 0), backlog=9))
        client = stack.enter_context(
            socket.create_connection(listener.getsockname(), source_address=(THERE, 0))
        )
        stack.enter_context(listener.accept()[0])
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind((HERE, 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(path)
        yield Held(port_of(listener), port_of(client), port_of(udp), udp6_port(stack), path)


def udp6_port(stack: ExitStack) -> int | None:
    """The port of a UDP socket on ::1; None on a machine without IPv6."""
    try:
        udp6 = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        udp6.bind(("::1", 0))
    except OSError:
        return None
    return port_of(udp6)


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def listed(*args: str) -> list[dict[str, Any]]:
    """The records that the program prints as NDJSON. Owners of other sockets may be hidden."""
    done = run("-o", "ndjson", *args)
    assert done.status == 0
    return [json.loads(line) for line in done.out.splitlines()]


def names(held: Held, *args: str) -> set[str]:
    """Which of the held sockets these options select, by name."""
    known = {
        ("LISTEN", held.listener): "listener",
        ("ESTABLISHED", held.listener): "server",
        ("ESTABLISHED", held.client): "client",
        ("UNCONN", held.udp): "udp",
        ("UNCONN", held.udp6): "udp6",
    }
    found = ((c["state"], c["local_port"]) for c in listed(*args))
    return {known[socket] for socket in found if socket in known}


TCP = {"listener", "server", "client"}
OWN_PID = f"--pid={os.getpid()}"


def held_names(held: Held) -> set[str]:
    """All of them that TCP and UDP have."""
    return TCP | {"udp"} | ({"udp6"} if held.udp6 else set())


# The options


@on_linux
class TestFilterOptions:
    """Each on top of an option that selects the sockets of this process alone."""

    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            ("-s listen", {"listener"}),
            ("--state TIME_WAIT", set()),
            ("--state=estab,LISTENING", TCP),
            ("-s established -s listen", TCP),
            ("-sconnected", {"server", "client"}),
            ("--proto tcp", TCP),
            ("--proto tcp4", TCP),
            ("--proto tcp6", set()),
            ("--proto TCP,icmp", TCP),
            ("-4 --proto udp", {"udp"}),
            ("-6", {"udp6"}),
            ("-46 --proto udp", {"udp", "udp6"}),
            ("-l", {"listener", "udp", "udp6"}),
            ("--listening --proto tcp", {"listener"}),
            ("-l -s established", set()),
            ("--port {listener}", TCP),
            ("--port {client}", {"client", "server"}),
            ("--port {listener}-{listener},{udp}", {*TCP, "udp"}),
            ("--lport {listener}", {"listener", "server"}),
            ("--rport {listener}", {"client"}),
            ("--addr 127.83.29.8", {"client", "server"}),
            ("--addr 127.83.29.8/32,::1", {"client", "server", "udp6"}),
            ("--addr 127.83.0.0/16", {*TCP, "udp"}),
            ("--laddr 127.83.29.8", {"client"}),
            ("--raddr 127.83.29.8", {"server"}),
            ("--raddr 127.83.29.6/31 --rport {listener}", {"client"}),
            ("--user {uid}", {*TCP, "udp", "udp6"}),
            ("--process {process}", {*TCP, "udp", "udp6"}),
            ("--process {process_glob}", {*TCP, "udp", "udp6"}),
            ("--process no-such-name", set()),
            ("--exposure loopback", {"listener", "udp", "udp6"}),
            ("--exposure loopback,any --exposure public -l --proto tcp", {"listener"}),
            ("--exposure public", set()),
            ("--direction inbound", {"server"}),
            ("--direction outbound -s established", {"client"}),
            ("--direction unknown", {"listener", "udp", "udp6"}),
            ("--direction inbound,outbound --source proc", {"client", "server"}),
            ("--source proc --proto tcp", TCP),
            ("--source psutil --proto tcp", TCP),
            ("-a", {*TCP, "udp", "udp6"}),
            ("-n", {*TCP, "udp", "udp6"}),
            ("-an -4 -l", {"listener", "udp"}),
            ("sport = :{listener}", {"listener", "server"}),
            ("--explain-plan dport=:{listener}", {"client"}),
        ],
    )
    def test_list(self, held: Held, args: str, expected: set[str]) -> None:
        command_name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        words = args.format(
            listener=held.listener,
            client=held.client,
            udp=held.udp,
            uid=os.getuid(),
            process=command_name[:-1],
            process_glob=f"{command_name[0]}*",
        )
        assert names(held, OWN_PID, *words.split()) == expected & held_names(held)

    def test_pid(self, held: Held) -> None:
        assert names(held, OWN_PID) == held_names(held)
        assert listed("--pid", str(os.getppid()), "--port", held.ports) == []

    def test_user_by_name(self, held: Held) -> None:
        import pwd

        user = pwd.getpwuid(os.getuid()).pw_name
        assert names(held, "--user", user, "--port", held.ports) == held_names(held)
        assert listed("--user", str(os.getuid() + 1), "--port", held.ports) == []

    def test_unix(self, held: Held) -> None:
        addresses = [c["local_address"] for c in listed("--proto", "unix", OWN_PID)]
        assert held.path in addresses

    def test_source_says_where_the_rows_are_from(self, held: Held) -> None:
        for source in ("sock_diag", "proc", "psutil"):
            done = run("--source", source, "--json", "--lport", str(held.listener))
            assert json.loads(done.out)["sources"] == [source]

    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            (
                "--state all",
                {("tcp", "ESTABLISHED"): 2, ("tcp", "LISTEN"): 1, ("udp", "UNCONN"): 1},
            ),
            ("-s listen", {("tcp", "LISTEN"): 1}),
            ("--proto udp", {("udp", "UNCONN"): 1}),
            ("-l", {("tcp", "LISTEN"): 1, ("udp", "UNCONN"): 1}),
            ("--listening --proto tcp6", {}),
            ("-6 --proto tcp", {("tcp", "ESTABLISHED"): 2, ("tcp", "LISTEN"): 1}),
            ("--lport {listener}", {("tcp", "ESTABLISHED"): 1, ("tcp", "LISTEN"): 1}),
            ("--rport {listener}", {("tcp", "ESTABLISHED"): 1}),
            ("--port {udp}", {("udp", "UNCONN"): 1}),
            ("--addr 127.83.29.8", {("tcp", "ESTABLISHED"): 2}),
            ("--laddr 127.83.29.8", {("tcp", "ESTABLISHED"): 1}),
            ("--raddr 127.83.29.8", {("tcp", "ESTABLISHED"): 1}),
            ("--user {uid} --proto udp", {("udp", "UNCONN"): 1}),
            ("--process no-such-name", {}),
            ("--exposure loopback", {("tcp", "LISTEN"): 1, ("udp", "UNCONN"): 1}),
            ("--direction inbound", {("tcp", "ESTABLISHED"): 1}),
            ("--source proc -l --proto tcp", {("tcp", "LISTEN"): 1}),
            ("-an --proto udp", {("udp", "UNCONN"): 1}),
        ],
    )
    def test_summary(self, held: Held, args: str, expected: dict[tuple[str, str], int]) -> None:
        words = args.format(listener=held.listener, udp=held.udp, uid=os.getuid()).split()
        done = run("summary", "--json", "-4", OWN_PID, *words)
        assert done.status == 0
        counts = json.loads(done.out)["counts"]
        assert {(c["protocol"], c["state"]): c["count"] for c in counts if c["count"]} == expected

    def test_summary_of_a_process(self, held: Held) -> None:
        for pid, total in ((os.getpid(), 1), (os.getppid(), 0)):
            done = run("summary", "--json", f"--pid={pid}", "--port", str(held.udp))
            assert json.loads(done.out)["total"] == total


@on_linux
class TestOutputOptions:
    """On the listener and the two ends of the connection."""

    @pytest.fixture
    def tcp(self, held: Held) -> list[str]:
        return ["--proto", "tcp", "--port", str(held.listener)]

    def test_the_table_is_the_default(self, held: Held, tcp: list[str]) -> None:
        done = run(*tcp)
        assert done == run("list", *tcp) == run(*tcp, "-o", "table")
        titles = re.split(r" +", done.out.splitlines()[0])
        assert ",".join(titles) == "PROTO,STATE,LOCAL,REMOTE,PID,PROCESS,RECV-Q,SEND-Q"
        row = next(line for line in done.out.splitlines() if "LISTEN" in line)
        assert row.split()[:5] == [
            *("tcp", "LISTEN", f"{HERE}:{held.listener}", "*", str(os.getpid()))
        ]
        assert row.split()[-2:] == ["0", "9"]

    @pytest.mark.parametrize("output", [*OWN_FORMATS, *named_formats()])
    def test_every_format(self, tcp: list[str], output: str) -> None:
        done = run(*tcp, "-o", output)
        assert (done.status, done.err) == (0, "")
        assert done.out.count("LISTEN") == 1
        assert HERE in done.out
        assert done.out.endswith("\n")

    @pytest.mark.parametrize("args", ["--json", "-ojson", "-o json", "--output=json"])
    def test_json(self, tcp: list[str], args: str) -> None:
        document = json.loads(run(*tcp, *args.split()).out)
        assert document["sources"] == ["sock_diag"]
        assert document["notes"] == []
        states = sorted(c["state"] for c in document["connections"])
        assert states == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
        assert {c["pid"] for c in document["connections"]} == {os.getpid()}

    def test_csv(self, tcp: list[str]) -> None:
        header, *rows = csv.reader(io.StringIO(run(*tcp, "-o", "csv").out, newline=""))
        assert header == list(KEYS)
        assert len(rows) == 3

    @pytest.mark.parametrize(
        "args", ["--columns state,pid", "--columns state --columns PID", "--columns=State,Pid"]
    )
    def test_columns(self, tcp: list[str], args: str) -> None:
        out = run(*tcp, "-s", "listen", *args.split()).out
        assert out == f"STATE   {'PID':>{len(str(os.getpid()))}}\nLISTEN  {os.getpid()}\n"

    def test_sort_and_limit(self, held: Held, tcp: list[str]) -> None:
        columns = ["--no-header", "--columns", "local_port,state"]
        rows = {"listen": held.listener, "client": held.client}
        ascending = run(*tcp, *columns, "--sort", "local_port").out.split()[::2]
        assert ascending == sorted(ascending, key=int)
        assert set(ascending) == {str(port) for port in rows.values()}
        descending = run(*tcp, *columns, "--sort", "-local_port").out.split()[::2]
        assert descending == ascending[::-1]
        assert run(*tcp, *columns, "--sort", "-state", "--limit", "1").out.split()[1] == "LISTEN"
        assert run(*tcp, *columns, "--limit", "0").out == ""

    def test_no_header(self, tcp: list[str]) -> None:
        assert len(run(*tcp).out.splitlines()) == 4
        assert len(run(*tcp, "--no-header").out.splitlines()) == 3

    @pytest.mark.parametrize("option", ["-e", "--extended"])
    def test_extended(self, tcp: list[str], option: str) -> None:
        found = [json.loads(line) for line in run(*tcp, option, "-o", "ndjson").out.splitlines()]
        directions = {c["state"]: c["direction"] for c in found if c["state"] != "ESTABLISHED"}
        assert directions == {"LISTEN": "unknown"}
        assert sorted(c["direction"] for c in found) == ["inbound", "outbound", "unknown"]
        assert {owner["command_line"][0] for c in found for owner in c["owners"]} == {
            Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
        }

    def test_no_owners(self, tcp: list[str]) -> None:
        assert "PROCESS" not in run(*tcp, "--no-owners").out
        [connection] = listed(*tcp, "-s", "listen", "--no-owners")
        assert (connection["pid"], connection["owners"]) == (None, [])
        assert connection["owner_status"] == "not_requested"

    def test_an_owner_that_is_asked_for_is_looked_for_all_the_same(self, tcp: list[str]) -> None:
        assert len(listed(*tcp, "--no-owners", OWN_PID)) == 3

    @pytest.mark.parametrize("args", ["-q", "--quiet", "-q --json"])
    def test_quiet(self, tcp: list[str], args: str) -> None:
        assert run(*tcp, *args.split()) == Done(0, "", "")
        assert run(*tcp, "-s", "closing", *args.split()) == Done(1, "", "")
        assert run(*tcp, OWN_PID, *args.split()) == Done(0, "", "")

    def test_color(self, tcp: list[str]) -> None:
        assert "\x1b" not in run(*tcp).out
        assert "\x1b" not in run(*tcp, "--color", "never").out
        coloured = run(*tcp, "--color", "always").out
        assert "\x1b[32mLISTEN\x1b[0m" in coloured
        assert re.sub(r"\x1b\[\d*m", "", coloured) == run(*tcp).out

    def test_nothing_found_is_no_error(self) -> None:
        assert run("-s", "closing", "--raddr", THERE) == Done(
            0, "PROTO  STATE  LOCAL  REMOTE  PID  PROCESS  RECV-Q  SEND-Q\n", ""
        )

    @pytest.mark.parametrize("args", ["", "-o table"])
    def test_summary_is_a_table(self, held: Held, args: str) -> None:
        done = run("summary", "--proto", "tcp4", "--port", str(held.listener), *args.split())
        assert done.out.splitlines()[:2] == ["STATE        TCP  TOTAL", "ESTABLISHED    2      2"]
        assert done.out.splitlines()[-1] == "total          3      3"
        assert (done.status, done.err) == (0, "")

    @pytest.mark.parametrize("args", ["--json", "-o json"])
    def test_summary_as_json(self, held: Held, args: str) -> None:
        document = json.loads(run("summary", "--port", str(held.listener), *args.split()).out)
        assert document["total"] == 3

    @pytest.mark.parametrize("output", ["ndjson", "csv", "tsv"])
    def test_summary_in_lines(self, held: Held, output: str) -> None:
        done = run("summary", "--proto", "tcp4", "--port", str(held.listener), "-o", output)
        assert (done.status, done.err) == (0, "")
        line = {
            "ndjson": '{"protocol":"tcp","family":"ipv4","state":"LISTEN","count":1}',
            "csv": "tcp,ipv4,LISTEN,1",
            "tsv": "tcp\tipv4\tLISTEN\t1",
        }
        assert line[output] in done.out.splitlines()

    @pytest.mark.parametrize("args", ["--by local,state", "--by local --by STATE"])
    def test_summary_by_keys(self, held: Held, tcp: list[str], args: str) -> None:
        done = run("summary", *tcp, *args.split())
        assert (done.status, done.err) == (0, "")
        header, *rows = (line.split() for line in done.out.splitlines())
        assert header == [
            *("LOCAL_ADDRESS", "LOCAL_PORT", "STATE", "COUNT", "RECV-Q", "SEND-Q", "WAITING")
        ]
        assert rows == [
            [HERE, str(held.listener), "ESTABLISHED", "1", "0", "0", "-"],
            [HERE, str(held.listener), "LISTEN", "1", "-", "-", "0"],
            [THERE, str(held.client), "ESTABLISHED", "1", "0", "0", "-"],
            ["total", "3"],
        ]

    def test_the_largest_groups(self, tcp: list[str]) -> None:
        by = ["--by", "state,local_address"]
        done = run("summary", *tcp, *by, "--sort", "-state,-local_address", "--top", "2", "--json")
        document = json.loads(done.out)
        assert document["by"] == ["state", "local_address"]
        # all are of one size: the first of them
        groups = [(g["state"], g["local_address"]) for g in document["groups"]]
        assert groups == [("LISTEN", HERE), ("ESTABLISHED", THERE)]
        assert (document["left_out"], document["total"]) == ({"groups": 1, "count": 1}, 3)

    def test_summary_by_process(self, tcp: list[str]) -> None:
        done = run("summary", *tcp, OWN_PID, "--by", "pid,process", "-o", "csv")
        (group,) = csv.DictReader(io.StringIO(done.out, newline=""))
        assert (group["pid"], group["owner_status"]) == (str(os.getpid()), "known")
        assert (group["count"], group["listeners"], group["waiting"]) == ("3", "1", "0")
        assert json.loads(group["states"]) == {"ESTABLISHED": 2, "LISTEN": 1}
        assert group["backlog_limit"] == "9"

    def test_summary_by_unit(self, tcp: list[str]) -> None:
        """Whatever unit this process is in: the one that the file says."""
        from netinspect.processes import Processes

        details = Processes().details(os.getpid())
        done = run("summary", *tcp, OWN_PID, "--by", "unit,container,runtime", "-o", "ndjson")
        group = json.loads(done.out)
        found = (group["unit"], group["container"], group["runtime"])
        assert found == (details.unit, details.container, details.runtime)
        assert (group["owner_status"], group["count"]) == ("known", 3)

    def test_a_table_of_groups_fits_a_terminal(self, tcp: list[str]) -> None:
        args = ["summary", *tcp, "--by", "process,local"]
        done = run_on_terminal(*args, columns=60)
        assert max(map(len, done.out.splitlines())) <= 60
        assert "WAITING" not in done.out
        assert "WAITING" in run(*args).out


def own_options(name: str) -> set[str]:
    """Every spelling of every option of a command."""
    found = program.get_command(click.Context(program), name)
    assert found is not None
    return {word for p in found.params if isinstance(p, click.Option) for word in p.opts}


def test_the_options_tried_above_are_all_there_are() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {"--from", "--format", "--strict"}  # test_capture_cli.py
    for word in (own_options("list") | own_options("summary")) - elsewhere:
        assert re.search(rf'["\s]{word}["=\s,]|["\s]-[an46]*{word[1:]}\w*[" ]', source), word


# Wrong usage


def refusal(*args: str) -> str:
    """What the program says when it refuses: one line on stderr, nothing on stdout, status 2."""
    done = run(*args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("netinspect: ")
    assert done.err.endswith("\n")
    assert done.err.count("\n") == 1
    return done.err.removeprefix("netinspect: ").removesuffix("\n")


SHOWS_PROGRAM = "To GNU netstat and ss it shows the program, as netinspect always does: "
TO_TCP = "netinspect --proto tcp"
TO_SOCKSTAT = "To sockstat it takes a port: netinspect --port 1234"
TAKES_PROTOCOL = "To netstat of macOS, the BSDs and Windows it takes a protocol"


@pytest.mark.parametrize(
    ("args", "flag", "readings"),
    [
        ("-p", "-p", f"{SHOWS_PROGRAM}netinspect. {TAKES_PROTOCOL}: netinspect --proto tcp"),
        (
            "-ptcp",
            "-ptcp",
            f"{TAKES_PROTOCOL}: netinspect --proto tcp. {SHOWS_PROGRAM}netinspect",
        ),
        ("-p udp", "-p", f"{TAKES_PROTOCOL}: netinspect --proto udp. {SHOWS_PROGRAM}netinspect"),
        (
            "-tulpn",
            "-tulpn",
            f"{SHOWS_PROGRAM}netinspect -l. {TAKES_PROTOCOL} ('n' is none): netinspect --proto tcp",
        ),
        (
            "-tlnp",
            "-tlnp",
            f"{SHOWS_PROGRAM}netinspect -l --proto tcp. {TAKES_PROTOCOL}: netinspect --proto tcp",
        ),
        (
            "-lantp",
            "-lantp",
            f"{SHOWS_PROGRAM}netinspect --proto tcp. {TAKES_PROTOCOL}: {TO_TCP}",
        ),
        ("-anp", "-anp", f"{SHOWS_PROGRAM}netinspect. {TAKES_PROTOCOL}: netinspect --proto tcp"),
        (
            "-anp tcp",
            "-anp",
            f"{TAKES_PROTOCOL}: netinspect --proto tcp. {SHOWS_PROGRAM}netinspect",
        ),
        (
            "-p 1234",
            "-p",
            f"To lsof it takes a process: netinspect --pid 1234. {TO_SOCKSTAT}",
        ),
    ],
)
def test_both_readings_of_p(args: str, flag: str, readings: str) -> None:
    assert refusal(*args.split()) == f"{flag}: there is no -p here. {readings}"


@pytest.mark.parametrize(
    ("args", "flag"),
    [
        ("-an -p", "-p"),
        ("-l -n -p --json", "-p"),
        ("--json -p", "-p"),
        ("list -p", "-p"),
        ("summary -tp", "-tp"),
        ("--state listen -p", "-p"),
        ("-s listen -p", "-p"),
    ],
)
def test_there_is_no_p(args: str, flag: str) -> None:
    assert refusal(*args.split()).startswith(f"{flag}: there is no -p here. {SHOWS_PROGRAM}")


@pytest.mark.parametrize(
    ("args", "flag", "command"),
    [
        ("-i", "-i", "netinspect"),
        ("-i :80", "-i", "netinspect --port 80"),
        ("-iTCP", "-iTCP", "netinspect --proto tcp"),
        ("-nP -i 4UDP@[::1]:53 -a", "-i", "netinspect -4 --proto udp --addr ::1 --port 53"),
        ("-ni -l", "-ni", "netinspect"),
    ],
)
def test_the_readings_of_i(args: str, flag: str, command: str) -> None:
    if args.startswith("-nP"):
        args = args.removeprefix("-nP ")
    assert refusal(*args.split()) == (
        f"{flag}: there is no -i here. To lsof it selects Internet sockets: {command}. To ss it "
        "shows what TCP knows of a connection: netinspect -e. To netstat it shows interfaces, "
        "which netinspect does not: ip -s link"
    )


def test_the_readings_of_o() -> None:
    assert refusal("-ano") == (
        "-ano: -o takes a format here. To netstat of Windows it shows the process, as netinspect "
        "always does: netinspect. To GNU netstat and ss it shows timers: netinspect --columns "
        "proto,state,local,remote,timer"
    )


def test_the_name_of_another_program_first() -> None:
    assert refusal("ss", "-tan", "state", "time-wait") == (
        "ss is another program: netinspect translate -- ss -tan state time-wait says what to type "
        "here, netinspect explain -- ss -tan state time-wait what it means"
    )


@on_linux
@pytest.mark.parametrize(
    "args",
    [
        "--sort -pid",
        "--sort=-pid",
        "-o plain",
        "-oplain",
        "-o pipe",
        "-sunconn,estab",
        "-s syn-sent",
        "-lo plain",
        "-lssyn-recv,listen",
        "--columns process,pid",
        "--process -p",
        "--user -tulpn",
    ],
)
def test_a_value_is_no_flag(args: str) -> None:
    done = run(*args.split(), "--limit", "0")
    assert done.status == 0
    assert "there is no -" not in done.err


OF_U = "; to macOS and the BSDs -u is unix-domain sockets: netinspect --proto unix"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("-t", "-t: protocols have no letters here; try netinspect --proto tcp"),
        ("-tan", "-tan: protocols have no letters here; try netinspect --proto tcp"),
        ("-tuln", f"-tuln: protocols have no letters here; try netinspect -l{OF_U}"),
        ("-u", f"-u: protocols have no letters here; try netinspect --proto udp{OF_U}"),
        ("-4x", "-4x: protocols have no letters here; try netinspect -4 --proto unix"),
        ("-w", "-w: protocols have no letters here; try netinspect --proto raw"),
    ],
)
def test_letters_of_protocols(args: str, message: str) -> None:
    assert refusal(*args.split()) == message


FIRST_WORDS = ", ".join((*COMMANDS, *KEYWORDS))
SEE_LIST = "(see netinspect list --help)"
EXPECTED_PORT = (
    "expected a number from 0 to 65535, a range such as 8000-8100, or the name of a service"
)
EXPECTED_ADDRESS = (
    "expected an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 or 2001:db8::/32"
)

PREFIX = "; a prefix length here is 0 to"
SEE_SUMMARY = "(see netinspect summary --help)"
COLOURS = "'auto', 'always', 'never'"
FORMATS = "'table', 'json', 'ndjson', 'csv', 'tsv'"
SHELLS = "'bash', 'zsh', 'fish'"
SEE_COMPLETION = "(see netinspect completion --help)"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("sumary", "unknown command or condition 'sumary'; did you mean summary?"),
        ("lst -l", "unknown command or condition 'lst'; did you mean list?"),
        ("zzz", f"unknown command or condition 'zzz'; expected one of {FIRST_WORDS}"),
        ("-l list", "'list': a command comes before its options: netinspect list ..."),
        ("time-wait stat", "unknown condition 'stat'; did you mean state?"),
        ("list sumary", "unknown command or condition 'sumary'; did you mean summary?"),
        ("-s tmie-wait", "unknown state 'tmie-wait'; did you mean time-wait?"),
        ("-s listen,establshed", "unknown state 'establshed'; did you mean established?"),
        (
            "-s \x1b[2J",
            "unknown state '\\x1b[2J'; expected one of " + ", ".join((*STATE_WORDS, *GROUPS)),
        ),
        ("--proto tpc", "unknown protocol 'tpc'; did you mean tcp?"),
        ("--proto tcp,", "unknown protocol ''; expected one of " + ", ".join(PROTOCOL_WORDS)),
        ("--columns locl", "unknown column 'locl'; did you mean local?"),
        ("--sort prot", "unknown column 'prot'; did you mean proto?"),
        ("--sort -prcess", "unknown column 'prcess'; did you mean process?"),
        ("--columns zzz", "unknown column 'zzz'; expected one of " + ", ".join(COLUMNS)),
        ("-o jsn", "unknown format 'jsn'; did you mean json?"),
        ("-ogithb", "unknown format 'githb'; did you mean github?"),
        ("--source prc", "unknown source 'prc'; did you mean proc?"),
        (
            "-o unsafehtml",
            "format 'unsafehtml' does not escape what strangers choose; use html",
        ),
        ("--jsn", f"unknown option '--jsn'; did you mean --json? {SEE_LIST}"),
        ("-s est", "unknown state 'est'; did you mean established?"),
        ("-s syn", "unknown state 'syn'; did you mean syn-sent?"),
        ("-o csv --json", "-o csv and --json are two formats: leave one of them out"),
        ("-o table --json", "-o table and --json are two formats: leave one of them out"),
        ("summary -o csv --json", "-o csv and --json are two formats: leave one of them out"),
        ("help sumary", "unknown command or condition 'sumary'; did you mean summary?"),
        ("--zzzzzz", f"unknown option '--zzzzzz' {SEE_LIST}"),
        (
            "-Z",
            f"unknown option '-Z'; what others mean by it: netinspect flags Z {SEE_LIST}",
        ),
        ("summary --limit 3", f"unknown option '--limit' {SEE_SUMMARY}"),
        ("--limit", "option '--limit' requires an argument (see netinspect --help)"),
        ("--limit -1", f"invalid value for '--limit': -1 is not in the range x>=0 {SEE_LIST}"),
        ("--limit x", f"invalid value for '--limit': 'x' is not a valid integer range {SEE_LIST}"),
        (
            "--color pink",
            f"invalid value for '--color': 'pink' is not one of {COLOURS} {SEE_LIST}",
        ),
        ("--port 65536", "port '65536': expected 0 to 65535, found 65536"),
        ("--port 80,65536", "port '65536': expected 0 to 65535, found 65536"),
        ("--port -5", f"port '-5': {EXPECTED_PORT}"),
        ("--port=-5", f"port '-5': {EXPECTED_PORT}"),
        ("--lport abc", f"port 'abc': {EXPECTED_PORT}"),
        ("--rport 80-", f"port '80-': {EXPECTED_PORT}"),
        ("--port 1-65536", "port '1-65536': expected 0 to 65535, found 65536"),
        ("--port 90-80", "port range '90-80' is reversed; did you mean 80-90?"),
        ("--pid x", "pid 'x': expected a process number such as 1234"),
        ("--pid -1", "pid '-1': expected a process number such as 1234"),
        ("--pid 1.5", "pid '1.5': expected a process number such as 1234"),
        ("--addr foo", f"address 'foo': {EXPECTED_ADDRESS}"),
        ("--laddr 1.2.3", f"address '1.2.3': {EXPECTED_ADDRESS}"),
        (
            "--raddr 10.0.0.0/33",
            f"address '10.0.0.0/33': {EXPECTED_ADDRESS}{PREFIX} 32, found '33'",
        ),
        (
            "--addr ::/x",
            f"address '::/x': {EXPECTED_ADDRESS}{PREFIX} 128, found 'x'",
        ),
        (
            "schema lst",
            "unknown command with JSON output 'lst'; did you mean list?",
        ),
        (
            "schema xyzzy",
            "unknown command with JSON output 'xyzzy'; expected one of "
            + ", ".join((*COMMANDS_WITH_JSON, *TAUGHT)),
        ),
        (
            "completion csh",
            f"invalid value for '{{bash|zsh|fish}}': 'csh' is not one of {SHELLS} {SEE_COMPLETION}",
        ),
        (
            "completion bash zsh",
            f"got unexpected extra argument (zsh) {SEE_COMPLETION}",
        ),
        (
            "summary -o html",
            f"invalid value for '-o' / '--output': 'html' is not one of {FORMATS} {SEE_SUMMARY}",
        ),
        ("summary --by proces", "unknown key 'proces'; did you mean process?"),
        ("summary --by state,", f"unknown key ''; expected one of {', '.join(KEY_WORDS)}"),
        (
            "summary --by state --sort cuont",
            "unknown key of a group 'cuont'; did you mean count?",
        ),
        ("summary --top 3", "--top is about groups: say by what, for instance --by process"),
        ("summary --sort count", "--sort is about groups: say by what, for instance --by process"),
        (
            "summary --by state --top 0",
            f"invalid value for '--top': 0 is not in the range x>=1 {SEE_SUMMARY}",
        ),
        (
            "summary --by state --top -2",
            f"invalid value for '--top': -2 is not in the range x>=1 {SEE_SUMMARY}",
        ),
    ],
)
def test_wrong_usage(args: str, message: str) -> None:
    assert refusal(*args.split(" ")) == message


def test_completion_wants_a_shell() -> None:
    """On one line, although click lists them on three."""
    assert refusal("completion").startswith("missing argument '{bash|zsh|fish}'. Choose from: bash")


@on_linux
def test_a_process_that_does_not_exist_is_an_empty_answer(held: Held) -> None:
    done = run("--pid", "4194305", "--lport", str(held.udp), "--no-header")
    assert done == Done(0, "", "netinspect: there is no process 4194305\n")
    done = run("summary", "--pid", "4194305", "--proto", "udp4", "--lport", str(held.udp))
    assert (done.status, done.err) == (0, "netinspect: there is no process 4194305\n")
    assert done.out.splitlines()[-1] == "total          0      0"


@on_linux
@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("no-such-user", "there is no user 'no-such-user'"),
        ("4294967294", "no user has the uid 4294967294"),
        ("\x1b[2Jr\u202et", "there is no user '\\x1b[2Jr\\u202et'"),
    ],
)
def test_a_user_that_does_not_exist_is_an_empty_answer(held: Held, user: str, shown: str) -> None:
    done = run("--user", user, "--lport", str(held.udp), "--no-header")
    assert done == Done(0, "", f"netinspect: {shown}\n")


# Help


@pytest.mark.parametrize("name", [None, *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(name: str | None, flag: str) -> None:
    done = run(*([name] if name else []), flag)
    # to a monitor help is no answer
    assert (done.status, done.err) == (3 if name == "check" else 0, "")
    assert done.out.startswith(f"Usage: netinspect {name or '[COMMAND]'}")
    assert max(map(len, done.out.splitlines())) <= 80
    lines = [line.strip() for line in done.out.splitlines()]
    assert all(lines[i] or lines[i + 1] for i in range(len(lines) - 1)), "two empty lines"
    for word in [*own_options(name or "list"), "-h", "--help", *([] if name else ["--version"])]:
        assert re.search(rf"(?<![\w-]){word}(?![\w-])", done.out), word


@pytest.mark.parametrize("name", COMMANDS)
def test_help_as_a_command(name: str) -> None:
    assert run("help", name) == run(name, "--help")._replace(status=0)
    assert run("help") == run("--help")


def test_help_of_the_program_has_every_command() -> None:
    out = run("--help").out
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", out, re.MULTILINE)


def test_version() -> None:
    assert run("--version").out.strip() == f"netinspect, version {__version__}"


HEAVY = ("msgspec", "tabulate", "psutil", "ipaddress", "json", "netinspect.api", "netinspect.model")


@pytest.mark.parametrize("args", ["--help", "--version", "sumary", "-tulpn", "--jsn"])
def test_help_and_errors_load_nothing_but_click(args: str) -> None:
    code = (
        "import sys; from netinspect.cli.app import run; run(sys.argv[1:]);"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = run_command(sys.executable, "-c", code, args, env=environment())
    assert done.err.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["list", "summary"])
def test_schema(command: str) -> None:
    done = run("schema", command)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_schema_is_that_of_list_by_default() -> None:
    assert run("schema") == run("schema", "list")


# When writing fails


@on_linux
@pytest.mark.parametrize(
    "args",
    [
        "",
        "--json",
        "-o csv",
        "-o github",
        "summary",
        "summary --by state",
        "schema",
        "completion bash",
        "-h",
        "help summary",
        "--version",
    ],
)
@pytest.mark.parametrize(
    ("redirect", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "stdout is closed")],
    ids=["full", "closed"],
)
def test_stdout_that_cannot_be_written(args: str, redirect: str, reason: str) -> None:
    done = run_in_shell(f"$N {args} {redirect}")
    assert done == Done(3, "", f"netinspect: cannot write the answer: {reason}\n")


@on_linux
@pytest.mark.parametrize(
    ("args", "status"), [("-q", 0), ("-q -s closing --rport 1", 1), ("--bogus", 2)]
)
def test_a_closed_stdout_that_is_not_needed_is_no_trouble(args: str, status: int) -> None:
    assert run_in_shell(f"$N {args} >&-").status == status


@on_linux
@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_stderr_that_cannot_be_written_is_no_reason_to_fail(redirect: str) -> None:
    assert run_in_shell(f"$N --limit 0 --no-header --pid 4194305 {redirect}") == Done(0, "", "")
    assert run_in_shell(f"$N --bogus {redirect}") == Done(2, "", "")
    assert run_in_shell(f"$N >&- {redirect}") == Done(3, "", "")


@on_linux
def test_a_closed_stdin_is_no_trouble() -> None:
    assert run_in_shell("$N --limit 0 --no-header <&-") == Done(0, "", "")


@on_linux
@pytest.mark.parametrize(
    "args",
    ["", "--json", "-o csv", "-o html", "summary", "summary --by state", "schema", "--help"],
)
def test_a_reader_that_has_gone_ends_it_silently(args: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*args.split(), stdout=writing)
    os.close(writing)
    assert done == Done(141, "", "")


# One row is wider than a pipe holds: 64 KiB.
MUCH = ["--columns", ",".join(["local"] * 10_000)]


@on_linux
def test_head_ends_it_silently(held: Held) -> None:
    """The reader goes when it has read the first line of several."""
    args = f"--lport {held.listener} {' '.join(MUCH)}"
    done = run_in_shell(f"{{ $N {args}; echo $? >&2; }} | head -c 100000 | wc -c")
    assert (done.out.strip(), done.err) == ("100000", "141\n")


# Ctrl-C


@on_linux
def test_interrupted_while_the_reader_has_stopped(held: Held) -> None:
    with started("--lport", str(held.listener), *MUCH) as process:
        assert process.stdout
        assert process.stdout.read(5) == b"LOCAL"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr
        assert process.stderr.read() == b""


@on_unix
@pytest.mark.parametrize("module", ["click", "msgspec"])
def test_interrupted_while_it_starts(tmp_path: Path, module: str) -> None:
    """In the middle of an import, which a module of this name makes last."""
    slow = "import signal, sys\nprint('here', file=sys.stderr, flush=True)\nsignal.pause()\n"
    (tmp_path / f"{module}.py").write_text(slow, encoding="utf-8")
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"
    with started(env=env) as process:
        assert process.stderr
        assert process.stderr.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b""


# Terminals


@on_linux
class TestTerminal:
    def test_the_table_fits(self, held: Held) -> None:
        args = ("--port", str(held.listener), "--no-header")
        whole = run_on_terminal(*args, columns=200)
        assert re.sub(r"\x1b\[\d*m", "", whole.out) == run(*args).out
        narrow = run_on_terminal(*args, columns=70, env=environment(COLUMNS=None, NO_COLOR="1"))
        assert 0 < max(map(len, narrow.out.splitlines())) <= 70
        assert f"{HERE}:{held.listener}  {THERE}:{held.client}" in narrow.out

    def test_columns_in_the_environment_are_the_width(self, held: Held) -> None:
        args = ("--port", str(held.listener), "--color", "never")
        env = environment(COLUMNS="70")
        assert run_on_terminal(*args, columns=200, env=env) == run_on_terminal(*args, columns=70)

    def test_a_pipe_has_no_width(self, held: Held) -> None:
        args = ("--port", str(held.listener))
        assert run(*args, env=environment(COLUMNS="20")) == run(*args)

    @pytest.mark.parametrize(
        ("args", "changes", "has_colour"),
        [
            pytest.param([], {}, True, id="by itself"),
            pytest.param([], {"NO_COLOR": "1"}, False, id="NO_COLOR"),
            pytest.param([], {"NO_COLOR": ""}, True, id="NO_COLOR is empty"),
            pytest.param([], {"TERM": "dumb"}, False, id="TERM=dumb"),
            pytest.param(["--color", "never"], {}, False, id="never"),
            pytest.param(["--color", "always"], {"NO_COLOR": "1"}, True, id="always"),
        ],
    )
    def test_colour(
        self, held: Held, args: list[str], changes: dict[str, str], has_colour: bool
    ) -> None:
        env = environment(COLUMNS=None, **changes)
        out = run_on_terminal("--lport", str(held.listener), *args, env=env).out
        assert ("\x1b[32mLISTEN\x1b[0m" in out) == has_colour
        assert ("\x1b" in out) == has_colour

    @pytest.mark.parametrize("output", ["json", "ndjson", "csv", "tsv", "github", "plain"])
    def test_only_the_table_has_colour(self, held: Held, output: str) -> None:
        args = ("--lport", str(held.listener), "-o", output, "--color", "always")
        assert "\x1b" not in run_on_terminal(*args).out


NAME = b"\x1b[31m\n|\t,\xe2\x80\xae\xff"
NAME_IN_A_CELL = r"\x1b[31m\x0a|\x09,\u202e\xff"
NAMED = """\
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)  # PR_SET_NAME
with socket.create_server(("127.83.29.9", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def args() -> Iterator[list[str]]:
    """Options that select the one socket of a process that is called NAME."""
    command = [sys.executable, "-c", NAMED, NAME.hex()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield ["--lport", process.stdout.readline().strip()]


@on_linux
class TestHostileName:
    @pytest.mark.parametrize("output", ["table", "wide", "plain", "grid", "psql"])
    def test_tables(self, args: list[str], output: str) -> None:
        assert NAME_IN_A_CELL in run(*args, "-o", output).out
        shown = run_on_terminal(*args, "-o", output, "--columns", "process,state")
        assert NAME_IN_A_CELL in re.sub(r"\x1b\[\d*m", "", shown.out)

    def test_a_table_that_fits(self, args: list[str]) -> None:
        out = run_on_terminal(*args, "--color", "never").out
        assert re.search(rf"  {re.escape(NAME_IN_A_CELL[:19])}\S*…  ", out)
        assert max(map(len, out.splitlines())) <= 80

    @pytest.mark.parametrize("output", [*OWN_FORMATS, *named_formats()])
    def test_no_format_sends_it_to_a_terminal(self, args: list[str], output: str) -> None:
        out = run_on_terminal(*args, "-o", output, "--color", "never").out
        assert set(re.findall(UNSAFE_IN_CELL, out)) <= {"\n", "\r", "\t", " "}
        assert out.count("LISTEN") == 1

    def test_json(self, args: list[str]) -> None:
        [connection] = listed(*args)
        assert connection["process"] == "\x1b[31m\n|\t,\u202e\\xff"
        shown = json.loads(run_on_terminal(*args, "--json").out)
        assert shown["connections"] == [connection]

    def test_csv(self, args: list[str]) -> None:
        out = run(*args, "-o", "csv", "--columns", "process,state").out
        rows = list(csv.reader(io.StringIO(out, newline=""), strict=True))
        assert rows == [["process", "state"], ["\x1b[31m\n|\t,\u202e\\xff", "LISTEN"]]

    def test_it_can_be_selected(self, args: list[str]) -> None:
        assert len(listed(*args, "--process", "[31m\n|".replace("[", "[[]") + "*")) == 0
        assert len(listed(*args, "--process", "\x1b[[]31m*")) == 1
        done = run(*args, "-q", "--process", b"\xff")
        assert done == Done(0, "", "")


# Locales


@on_linux
@pytest.mark.parametrize("changes", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}])
def test_the_locale_changes_nothing(held: Held, changes: dict[str, str]) -> None:
    env = environment(**changes, PYTHONCOERCECLOCALE="0")
    args = ("--lport", str(held.listener))
    assert run(*args, env=env) == run(*args)
    assert run("--help", env=env) == run("--help")
    done = run("--user", "é", *args, "--no-header", env=env)
    assert (done.status, done.out) == (0, "")
    assert re.fullmatch(r"netinspect: there is no user '.+'\n", done.err)


@on_linux
def test_an_argument_that_is_no_text() -> None:
    done = run("-s", b"\xff\xfe")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("netinspect: unknown state '\\udcff\\udcfe'; expected one of est")
