"""Every experiment in a network of its own: what it makes, what it says, and that nothing stays."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from netinspect.lab.catalog import MODES
from netinspect.model import STATES
from netinspect.parse.proc_counters import parse_counters
from tests.kills import heeding_interrupts, left_of
from tests.namespace import why_not
from tests.program import PROGRAM, ROOT, environment

pytestmark = pytest.mark.live

REASON = why_not()
HELD = ("--hold", "300", "--json")
EXPERIMENTS = {
    **{f"time-wait {mode}": f"time-wait --mode {mode} --requests 50 --rate 25" for mode in MODES},
    "states": "states",
    "close-wait": "close-wait",
    "accept-queue": "accept-queue",
    "port-exhaustion": "port-exhaustion",
    "zero-window": "zero-window",
    "syn-flood": "syn-flood",
}
# One that is refused every namespace: it has no right over its network, and no uid to map.
WITHOUT_RIGHTS = """
import os, sys
from netinspect.lab.isolation import CLONE_NEWNET, CLONE_NEWUSER, raise_loopback, unshare
unshare(CLONE_NEWNET)
raise_loopback()
unshare(CLONE_NEWUSER)
os.execv(sys.executable, [sys.executable, "-m", "netinspect", "lab", *sys.argv[1:]])
"""


class Held(NamedTuple):
    """An experiment that has done its work and waits, and what it has said."""

    process: subprocess.Popen[bytes]
    events: list[dict[str, Any]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def counts(self) -> dict[str, int]:
        """The last reading."""
        counts: dict[str, int] = self.all("reading")[-1]["counts"]
        return counts

    def connections(self) -> list[dict[str, Any]]:
        """The last sockets that were shown."""
        connections: list[dict[str, Any]] = self.all("sockets")[-1]["connections"]
        return connections

    def counters(self) -> dict[str, int]:
        """The kernel's counters of its network."""
        counters: dict[str, int] = {}
        for name in ("snmp", "netstat"):
            with open(f"/proc/{self.process.pid}/net/{name}", encoding="ascii") as file:
                counters.update(parse_counters(file.read()))
        return counters

    def look(self, *args: str) -> list[dict[str, Any]]:
        """What netinspect shows to another terminal, by the command that was printed."""
        connections: list[dict[str, Any]] = answer(self.ask(*args))["connections"]
        return connections

    def ask(self, *args: str) -> subprocess.Popen[bytes]:
        """Netinspect in its network."""
        (command,) = self.all("command")
        words = shlex.split(command["command"])
        enter = words[: words.index("-n") + 1]
        return subprocess.Popen(
            [*enter, *PROGRAM, *args, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )


def answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert err == b""
    document: dict[str, Any] = json.loads(out)
    return document


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        start_new_session=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until_held(process: subprocess.Popen[bytes]) -> Held:
    assert process.stdout
    assert process.stderr
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["kind"] == "hold":
            return Held(process, events)
    raise AssertionError(process.stderr.read().decode())


@pytest.fixture(scope="module")
def held() -> Iterator[dict[str, Held]]:
    """All experiments at the same time: most of what they take is waiting."""
    if REASON:
        pytest.skip(REASON)
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(started(*PROGRAM, "lab", *args.split(), *HELD))
            for name, args in EXPERIMENTS.items()
        }
        yield {name: read_until_held(process) for name, process in processes.items()}


class Pattern(NamedTuple):
    """What a mode leads to. A share: of the connections that were opened."""

    opened_share: tuple[float, float]  # of the requests, from and to; of a pool in all
    client_waits: bool = False
    server_waits: bool = False
    is_reset: bool = False
    pooled: int = 0


PATTERNS = {
    "new": Pattern((1, 1.1), client_waits=True),
    "server-closes": Pattern((1, 1.1), server_waits=True),
    "undrained-small": Pattern((1, 1.1), client_waits=True),
    "undrained-large": Pattern((1, 1.1), is_reset=True),
    "drained": Pattern((0, 0), pooled=1),
    "small-pool": Pattern((0.5, 1), client_waits=True, pooled=2),
    "pool": Pattern((0, 0), pooled=16),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_of_http(held: dict[str, Held], mode: str) -> None:
    run, pattern = held[f"time-wait {mode}"], PATTERNS[mode]
    (port,) = {c["local_port"] for c in run.look("-l", "--proto", "tcp")}
    waiting = run.look("-s", "time-wait")
    servers = sum(c["local_port"] == port for c in waiting)
    clients = sum(c["remote_port"] == port for c in waiting)
    assert servers + clients == len(waiting)
    assert (clients > 20, servers > 20) == (pattern.client_waits, pattern.server_waits)
    assert (clients > 0, servers > 0) == (pattern.client_waits, pattern.server_waits)

    counts, counters = run.counts(), run.counters()
    least, most = pattern.opened_share
    at_most = most * counts["requests"] + max(1, pattern.pooled)
    assert least * counts["requests"] <= counts["connections"] <= at_most
    resets = counters["TcpExt.TCPAbortOnClose"]
    # one of them may be open this moment
    assert resets >= counters["Tcp.ActiveOpens"] - 1 if pattern.is_reset else resets == 0
    assert counters["TcpExt.TWRecycled"] == 0
    assert "failed" not in counts


CAUSES = {
    "new": ["connection_per_request"],
    "server-closes": ["server_closes_first"],
    "undrained-small": ["connection_per_request"],
    "undrained-large": ["connections_reset"],
    "drained": [],
    "small-pool": ["pool_too_small"],
    "pool": [],
}


def test_time_wait_names_the_cause_of_each_mode(held: dict[str, Held]) -> None:
    asked = {mode: held[f"time-wait {mode}"].ask("time-wait", "--sample", "1") for mode in MODES}
    answers = {mode: answer(process) for mode, process in asked.items()}
    found = {mode: [f["code"] for f in said["findings"]] for mode, said in answers.items()}
    assert found == CAUSES
    sides = {
        mode: [d["side"] for d in said["destinations"] if d["time_wait"]]
        for mode, said in answers.items()
    }
    for mode, pattern in PATTERNS.items():
        expected = ["client"] * pattern.client_waits + ["server"] * pattern.server_waits
        assert sides[mode] == expected, mode


@pytest.mark.parametrize(
    ("requests", "percent", "severity"), [(20, 31, "ok"), (40, 62, "warning"), (60, 93, "critical")]
)
def test_time_wait_names_the_destination_that_is_full(
    requests: int, percent: int, severity: str
) -> None:
    if REASON:
        pytest.skip(REASON)
    with started(*PROGRAM, "lab", "port-exhaustion", "--requests", str(requests), *HELD) as process:
        run = read_until_held(process)
        destinations = answer(run.ask("time-wait"))["destinations"]
    assert run.counts() == {
        "TIME_WAIT": requests,
        "ESTABLISHED": 0,
        "ports": requests,
        "percent": percent,
    }
    assert len(run.all("step")) == 2  # nothing failed
    assert {d["remote_port"]: d["severity"] for d in destinations} == {9000: severity, 9001: "ok"}


def test_the_pool_that_is_too_small_keeps_two(held: dict[str, Held]) -> None:
    for mode, pattern in PATTERNS.items():
        if pattern.pooled:
            assert held[f"time-wait {mode}"].counts()["ESTABLISHED"] >= pattern.pooled


def test_a_line_a_second(held: dict[str, Held]) -> None:
    run = held["time-wait new"]
    readings = run.all("reading")
    assert {event["text"][:9] for event in readings} == {"TIME_WAIT"}
    first, second, *_ = (event["counts"]["TIME_WAIT"] for event in readings)
    assert 0 < first < second


def test_the_requests_go_on_while_it_is_held(held: dict[str, Held]) -> None:
    run = held["time-wait new"]
    before = run.counters()["Tcp.ActiveOpens"]
    for _ in range(100):
        if run.counters()["Tcp.ActiveOpens"] > max(before, 60):
            return
        run.look("-s", "time-wait")
    raise AssertionError("no further requests")


def test_who_plays(held: dict[str, Held]) -> None:
    owned = held["time-wait pool"].look("-s", "established")
    assert {c["process"] for c in owned} == {"lab-client", "lab-server"}


def test_every_state(held: dict[str, Held]) -> None:
    (event,) = held["states"].all("sockets")
    shown = [c["state"] for c in event["connections"]]
    assert Counter(shown) == Counter(set(STATES) - {"CLOSE", "UNCONN", "UNKNOWN"})
    assert len(event["remarks"]) == len(shown)
    seen = {c["state"] for c in held["states"].look("--proto", "tcp")}
    assert set(shown) - seen <= {"SYN_RECV", "TIME_WAIT"}  # which end after a minute


def test_close_wait(held: dict[str, Held]) -> None:
    run = held["close-wait"]
    readings = [event["counts"]["CLOSE_WAIT"] for event in run.all("reading")]
    assert readings == sorted(readings)
    assert 3 <= readings[-1] <= 12
    assert [c["recv_q"] for c in run.connections()] == [0, 1, 19]
    leaked = run.look("-s", "close-wait")
    assert Counter(c["process"] for c in leaked) == {"lab-server": len(leaked)}
    assert len(leaked) >= readings[-1]


def test_accept_queue(held: dict[str, Held]) -> None:
    run = held["accept-queue"]
    counts = run.counts()
    assert counts.pop("ListenOverflows") >= 3
    assert counts == {"waiting": 5, "backlog": 4, "SYN_SENT": 3}
    listener, *clients = run.connections()
    assert (listener["state"], listener["recv_q"], listener["send_q"]) == ("LISTEN", 5, 4)
    assert listener["process"] == "lab-server"
    assert [(c["state"], c["process"]) for c in clients] == [("SYN_SENT", "lab-client")] * 3


def test_port_exhaustion(held: dict[str, Held]) -> None:
    run = held["port-exhaustion"]
    assert [event["counts"]["percent"] for event in run.all("reading")] == [25, 50, 75, 100]
    assert run.counts() == {"TIME_WAIT": 64, "ESTABLISHED": 0, "ports": 64, "percent": 100}
    assert [event["text"] for event in run.all("step")] == [
        "There are 64 local ports. Each connection to 127.0.0.1:9000 is closed at once.",
        "connect() to 127.0.0.1:9000: EADDRNOTAVAIL (Cannot assign requested address)",
        "connect() to 127.0.0.1:9001 works.",
    ]


def test_zero_window(held: dict[str, Held]) -> None:
    sender, receiver = sorted(held["zero-window"].connections(), key=lambda c: str(c["process"]))
    assert (sender["process"], receiver["process"]) == ("lab-client", "lab-server")
    assert sender["timer"]["kind"] == "zero_window"
    assert sender["send_q"] > 0
    assert receiver["recv_q"] > 0


def test_syn_flood(held: dict[str, Held]) -> None:
    run = held["syn-flood"]
    assert run.counts() == {"SYN_RECV": 129, "backlog": 128, "SyncookiesSent": 271}
    assert "got in, by a SYN cookie" in run.all("step")[-1]["text"]
    half_open = run.look("-s", "syn-recv")
    assert {c["remote_address"][:7] for c in half_open} == {"198.18."}
    assert {c["state"] for c in run.look("--proto", "tcp")} == {
        *("LISTEN", "SYN_RECV", "ESTABLISHED"),
    }


def test_each_run_has_a_network_of_its_own(held: dict[str, Held]) -> None:
    networks = {os.readlink(f"/proc/{run.process.pid}/ns/net") for run in held.values()}
    assert len(networks) == len(EXPERIMENTS)
    assert os.readlink("/proc/self/ns/net") not in networks


SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")


@pytest.fixture(scope="module")
def to_be_ended() -> Iterator[dict[str, list[Held]]]:
    """Two for each signal, with processes of their own, that run at the same time."""
    if REASON:
        pytest.skip(REASON)
    short = (*PROGRAM, "lab", "time-wait", "--requests", "50", "--rate", "1000", *HELD)
    with ExitStack() as stack, heeding_interrupts():
        processes = {
            name: [stack.enter_context(started(*short)) for _ in range(2)] for name in SIGNALS
        }
        yield {name: [*map(read_until_held, those)] for name, those in processes.items()}


@pytest.mark.parametrize("name", SIGNALS)
def test_nothing_stays(to_be_ended: dict[str, list[Held]], name: str) -> None:
    """Ctrl-C reaches all processes of a terminal, kill only one."""
    number = signal.Signals[name]
    for run, send in zip(to_be_ended[name], (os.kill, os.killpg), strict=True):
        process = run.process
        network = os.readlink(f"/proc/{process.pid}/ns/net")
        send(process.pid, number)
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == (130 if name == "SIGINT" else -number)
        assert left_of(process.pid) == []
        assert network not in set(networks_in_use())


def networks_in_use() -> Iterator[str]:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            yield os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            continue


def test_a_closed_pipe_ends_it() -> None:
    if REASON:
        pytest.skip(REASON)
    with started(*PROGRAM, "lab", "accept-queue", "--json") as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert left_of(process.pid) == []


def test_as_a_user_in_a_namespace_of_the_users_own() -> None:
    """Who may not make one is on the machine's loopback: see the next test."""
    if REASON:
        pytest.skip(REASON)
    nobody = {"user": 65534, "group": 65534, "extra_groups": ()}
    with started(*PROGRAM, "--version", **nobody) as process:
        if process.wait(60):
            pytest.skip("nobody cannot read this checkout")
    with started(*PROGRAM, "lab", "states", *HELD, **nobody) as process:
        run = read_until_held(process)
        assert "(and user namespace)" in run.all("place")[0]["text"]
        assert len(run.connections()) == 11
        assert "-U -n --preserve-credentials" in run.all("command")[0]["command"]
        assert {c["owner_status"] for c in run.look("-s", "listen")} == {"known"}


def test_on_loopback_where_no_namespace_is_permitted() -> None:
    if REASON:
        pytest.skip(REASON)
    alone = (sys.executable, "-c", WITHOUT_RIGHTS)
    with ExitStack() as stack:
        states, ports, flood, requests = (
            stack.enter_context(started(*alone, *args.split()))
            for args in (
                "states --hold 300 --json",
                "port-exhaustion --hold 300 --json",
                "syn-flood",
                "time-wait --requests 1001",
            )
        )
        place = (
            "On this machine's own loopback (a namespace was refused: Operation not permitted): "
            "smaller, no setting is changed, and what is left in TIME_WAIT goes away within a "
            "minute."
        )
        run = read_until_held(states)
        assert run.all("place")[0]["text"] == place
        assert {"BOUND", "LISTEN", "TIME_WAIT"} <= {c["state"] for c in run.connections()}
        (command,) = run.all("command")
        assert "nsenter" not in command["command"]
        assert "--port" in command["command"]
        assert read_until_held(ports).counts()["ESTABLISHED"] == 64
        assert said(flood) == (
            3,
            (
                "netinspect: syn-flood runs in a network namespace of its own only, because it "
                "needs packets with forged addresses; a namespace was refused: Operation not "
                "permitted: run it as root\n"
            ),
        )
        assert said(requests) == (
            2,
            (
                "netinspect: --requests 1001: at most 1000 on the machine's own loopback (a "
                "namespace was refused: Operation not permitted)\n"
            ),
        )


def said(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The status and the error."""
    out, err = process.communicate(timeout=60)
    assert out == b""
    return process.returncode, err.decode()
