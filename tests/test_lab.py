from __future__ import annotations

import json
import os
import socket
import struct
import threading
from socket import IPPROTO_TCP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from netinspect.errors import SourceError, UsageError
from netinspect.lab.actors import Actor
from netinspect.lab.catalog import EXPERIMENTS, MODES, Setup
from netinspect.lab.event import Event, Kind
from netinspect.lab.forged import checksum, forged_syns
from netinspect.lab.http import Client, Manners, send_requests
from netinspect.lab.isolation import Place
from netinspect.lab.report import render_event
from netinspect.lab.run import check_place, check_system, sized
from netinspect.lab.time_wait import LESSONS
from tests.program import run, run_on_terminal
from tests.records import made

PRIVATE = Place("namespace")
SHARED = Place("loopback", "a namespace was refused: Operation not permitted")


def event(kind: Kind, text: str, **more: Any) -> Event:
    return Event(experiment="states", kind=kind, elapsed_seconds=2.0, text=text, **more)


def shown(said: Event, width: int | None = None) -> str:
    return render_event(said, is_json=False, terminal_width=width).decode()


def test_the_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


@given(st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_what_has_its_checksum_in_it_sums_up_to_zero(data: bytes) -> None:
    assert checksum(data + struct.pack("!H", checksum(data))) == 0


def test_a_forged_syn() -> None:
    syn = next(forged_syns(("127.0.0.1", 8080)))
    assert syn[:20] == bytes.fromhex("4500000000000000400600 00c6120001 7f000001".replace(" ", ""))
    ports, numbers = struct.unpack("!HH", syn[20:24]), struct.unpack("!II", syn[24:32])
    assert (ports, numbers) == ((1025, 8080), (1, 0))
    assert syn[32:36] == bytes.fromhex("5002faf0")  # 20 bytes of header, SYN, the window
    assert checksum(syn[12:20] + struct.pack("!HH", IPPROTO_TCP, 20) + syn[20:]) == 0
    assert len(syn) == 40


def test_no_two_forged_syns_are_alike() -> None:
    syns = forged_syns(("127.0.0.1", 8080))
    assert len({next(syns)[12:22] for _ in range(2000)}) == 2000


def test_each_mode_has_its_lesson() -> None:
    assert list(LESSONS) == list(MODES)


@pytest.mark.parametrize(
    ("place", "requests", "expected"),
    [(PRIVATE, None, 500), (SHARED, None, 200), (PRIVATE, 20_000, 20_000), (SHARED, 1_000, 1_000)],
)
def test_the_size_of_an_experiment(place: Place, requests: int | None, expected: int) -> None:
    assert sized("time-wait", Setup(requests=requests), place).requests == expected


def test_no_size_is_made_up_for_the_others() -> None:
    assert sized("port-exhaustion", Setup(), PRIVATE).requests is None


@pytest.mark.parametrize(
    ("setup", "place", "message"),
    [
        (
            Setup(requests=1_001),
            SHARED,
            (
                "--requests 1001: at most 1000 on the machine's own loopback (a namespace was "
                "refused: Operation not permitted)"
            ),
        ),
        (
            Setup(requests=601, rate=1),
            PRIVATE,
            (
                "601 requests at 1 a second take longer than 600 seconds: fewer --requests, or a "
                "higher --rate"
            ),
        ),
    ],
)
def test_too_large(setup: Setup, place: Place, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        sized("time-wait", setup, place)
    assert str(caught.value) == message


def test_what_would_be_felt_outside_is_refused() -> None:
    check_place("syn-flood", EXPERIMENTS["syn-flood"], PRIVATE)
    check_place("states", EXPERIMENTS["states"], SHARED)
    with pytest.raises(SourceError) as caught:
        check_place("syn-flood", EXPERIMENTS["syn-flood"], SHARED)
    assert str(caught.value) == (
        "syn-flood runs in a network namespace of its own only, because it needs packets with "
        "forged addresses; a namespace was refused: Operation not permitted: run it as root"
    )


@pytest.mark.parametrize(
    ("name", "platform", "message"),
    [
        (
            "states",
            "darwin",
            (
                "states runs on Linux only: it needs a socket filter that drops what arrives "
                "(SO_ATTACH_FILTER)"
            ),
        ),
        (
            "time-wait",
            "win32",
            "time-wait cannot run on Windows: its processes are made by fork()",
        ),
    ],
)
def test_a_system_without_the_means(name: str, platform: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        check_system(name, EXPERIMENTS[name], platform)
    assert str(caught.value) == message


def test_what_runs_on_a_mac() -> None:
    for name in ("time-wait", "close-wait", "accept-queue", "zero-window"):
        check_system(name, EXPERIMENTS[name], "darwin")


def test_no_setting_of_the_machine_is_written() -> None:
    assert not SHARED.configure("ipv4/tcp_tw_reuse", "9")


def test_a_reading_fits_the_terminal() -> None:
    said = event("reading", "TIME_WAIT 51     ESTABLISHED 0      resets 51")
    wide = "   2 s  TIME_WAIT 51     ESTABLISHED 0      resets 51\n"
    assert {shown(said, width=width) for width in (None, len(wide) - 1, 80)} == {wide}
    assert shown(said, width=len(wide) - 2) == "   2 s  TIME_WAIT 51  ESTABLISHED 0  resets 51\n"


def test_a_reading_as_text_and_as_json() -> None:
    said = event("reading", "TIME_WAIT 27", counts={"TIME_WAIT": 27})
    assert shown(said) == "   2 s  TIME_WAIT 27\n"
    assert render_event(said, is_json=True, terminal_width=None) == (
        b'{"experiment":"states","kind":"reading","elapsed_seconds":2.0,"text":"TIME_WAIT 27",'
        b'"counts":{"TIME_WAIT":27},"connections":null,"remarks":null,"command":null}\n'
    )


def test_an_explanation_fits_the_terminal() -> None:
    assert shown(event("explanation", "one two three"), 8) == "\none two\nthree\n"
    assert shown(event("step", "word " * 20), 200).split("\n")[0] == "word " * 15 + "word"


def test_a_command_is_never_wrapped() -> None:
    said = event("command", "In another terminal:  nsenter -t 1 -n netinspect", command="nsenter")
    assert shown(said, 20) == "\nIn another terminal:  nsenter -t 1 -n netinspect\n"


def test_sockets_with_remarks() -> None:
    connection = made(local_port=80, remote_port=5000)
    said = event("sockets", "One:", connections=(connection,), remarks=("it is there",))
    first, title, row, remark, end = shown(said).split("\n")
    assert (first, title.split()[:3], remark, end) == (
        "One:",
        ["STATE", "LOCAL", "REMOTE"],
        "    it is there",
        "",
    )
    assert row.split()[0] == connection.state


def test_the_list_of_experiments_fits_a_terminal() -> None:
    done = run_on_terminal("lab")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [*EXPERIMENTS, *MODES]


def test_the_list_of_experiments_as_json() -> None:
    done = run("lab", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["experiment"] for row in rows] == list(EXPERIMENTS)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("time-wiat", "unknown experiment 'time-wiat'; did you mean time-wait?"),
        ("states --mode new", "--mode is for time-wait only, not for states"),
        (
            "close-wait --requests 5",
            "--requests is for time-wait and port-exhaustion only, not for close-wait",
        ),
        ("--hold 5", "--hold is for an experiment: say which one (see netinspect lab)"),
        (
            "time-wait --requests 20001",
            (
                "invalid value for '--requests': 20001 is not in the range 1<=x<=20000 "
                "(see netinspect lab --help)"
            ),
        ),
        (
            "time-wait --hold 3601",
            (
                "invalid value for '--hold': 3601 is not in the range 0<=x<=3600 "
                "(see netinspect lab --help)"
            ),
        ),
        (
            "time-wait --rate 0",
            (
                "invalid value for '--rate': 0 is not in the range 1<=x<=1000 "
                "(see netinspect lab --help)"
            ),
        ),
    ],
)
def test_wrong_usage(args: str, message: str) -> None:
    done = run("lab", *args.split())
    assert (done.status, done.out, done.err) == (2, "", f"netinspect: {message}\n")


def test_what_is_said_is_as_its_schema_has_it() -> None:
    schema = json.loads(run("schema", "lab").out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    connections = (made(),)
    for said in (
        event("sockets", "One:", connections=connections, remarks=("it is there",)),
        event("reading", "TIME_WAIT 27", counts={"TIME_WAIT": 27}),
        event("command", "netinspect", command="netinspect"),
    ):
        line = json.loads(render_event(said, is_json=True, terminal_width=None))
        validator.validate(line)
        assert list(line) == list(schema["$defs"]["Event"]["properties"])
        assert schema["$defs"]["Event"]["required"] == list(line)


def test_a_process_that_fails_is_missed(capfd: pytest.CaptureFixture[str]) -> None:
    def play() -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    actor = Actor("lab-client", play, 60)
    assert actor.pid
    os.waitid(os.P_PID, actor.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(SourceError) as caught:
        actor.check()
    assert str(caught.value) == "lab-client, a process of the experiment, ended with 1"
    assert "ConnectionRefusedError: [Errno 111] Connection refused" in capfd.readouterr().err
    actor.end()  # nothing is left to end


def meter() -> memoryview:
    return memoryview(bytearray(3 * 8)).cast("Q")


def test_a_server_that_is_not_there_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    counted = meter()
    send_requests(Client(address, Manners(), counted), 3, rate=1000, at_once=1)
    assert counted.tolist() == [0, 0, 3]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nhalf"])
def test_a_server_that_closes_within_an_answer_is_counted(answer: bytes) -> None:
    def close_early(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    counted = meter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=close_early, args=(listener,))
        thread.start()
        Client(listener.getsockname(), Manners(), counted).request()
        thread.join()
    assert counted.tolist() == [0, 1, 1]
