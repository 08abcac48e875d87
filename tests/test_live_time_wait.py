"""`netinspect time-wait` on real connections, in a network with few ports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netinspect.render.schema import render_schema
from tests.namespace import private_network, why_not
from tests.program import PATIENCE_S, environment, run, run_on_terminal, started

pytestmark = pytest.mark.live

SETTINGS = Path("/proc/sys/net/ipv4")
FULL, HALF_FULL, QUIET, SERVER = 9000, 9001, 9002, 9003
CAPACITY = 60  # of 64 ports 3 are reserved, and a socket is bound to one
NOBODY = 65534


def close_first(
    stack: ExitStack, address: tuple[str, int], count: int, *, server_first: bool = False
) -> socket.socket:
    """Leave so many connections in TIME_WAIT; the listener stays."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = stack.enter_context(socket.create_server(address, family=family, backlog=128))
    for _ in range(count):
        with socket.create_connection(address) as client:
            server, _ = listener.accept()
            first, second = (server, client) if server_first else (client, server)
            first.close()
            assert second.recv(1) == b""
            second.close()
    return listener


@pytest.fixture(scope="module", autouse=True)
def _network() -> Iterator[None]:
    """One destination with 90 percent of its ports, one with 60, one with few; a server's."""
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), ExitStack() as stack:
        (SETTINGS / "tcp_tw_reuse").write_text("0")
        close_first(stack, ("127.0.0.2", SERVER), 20, server_first=True)
        (SETTINGS / "ip_local_port_range").write_text("41000 41063")
        (SETTINGS / "ip_local_reserved_ports").write_text("41000,41010-41011")
        bound = stack.enter_context(socket.socket())
        bound.bind(("127.0.0.3", 41020))
        full = close_first(stack, ("127.0.0.1", FULL), 52)
        for _ in range(2):
            client = stack.enter_context(socket.create_connection(full.getsockname()))
            stack.enter_context(full.accept()[0])
            client.send(b"x")
        close_first(stack, ("127.0.0.1", HALF_FULL), 36)
        close_first(stack, ("127.0.0.1", QUIET), 3)
        mapped = stack.enter_context(socket.socket(socket.AF_INET6))
        mapped.connect(("::ffff:127.0.0.1", QUIET))
        yield


def ask(*args: str) -> dict[str, Any]:
    done = run("time-wait", "--json", *args)
    assert (done.status, done.err) == (0, "")
    document: dict[str, Any] = json.loads(done.out)
    schema = json.loads(b"".join(render_schema("time-wait")))
    Draft202012Validator(schema).validate(document)
    return document


def by_port(document: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {d["remote_port"] or d["local_port"]: d for d in document["destinations"]}


def codes(document: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["code"], []).append(finding["severity"])
    return found


def test_each_destination_has_ports_of_its_own() -> None:
    document = ask()
    found = by_port(document)
    assert set(found) == {FULL, HALF_FULL, QUIET, SERVER}
    full = found[FULL]
    assert full == {
        "side": "client",
        "local_address": "127.0.0.1",
        "local_port": None,
        "remote_address": "127.0.0.1",
        "remote_port": FULL,
        "time_wait": 52,
        "established": 2,
        "other": 0,
        "used_ports": 54,
        "reusable_ports": 0,
        "capacity": CAPACITY,
        "used_percent": 90.0,
        "created_per_second": full["created_per_second"],
        "seconds_to_exhaustion": full["seconds_to_exhaustion"],
        "severity": "critical",
        "likely_owners": [{"pid": os.getpid(), "process": process_name()}],
    }
    half, quiet, server = found[HALF_FULL], found[QUIET], found[SERVER]
    assert (half["used_ports"], half["used_percent"], half["severity"]) == (36, 60.0, "warning")
    assert (quiet["time_wait"], quiet["established"], quiet["used_ports"]) == (3, 1, 4)
    assert quiet["severity"] == "ok"
    assert (server["side"], server["time_wait"], server["severity"]) == ("server", 20, "ok")
    assert server["local_address"] == "127.0.0.2"
    assert server["likely_owners"] == full["likely_owners"]
    assert codes(document)["port_exhaustion"] == ["critical", "warning"]
    assert "server_closes_first" in codes(document)


def process_name() -> str:
    return Path("/proc/self/comm").read_text().rstrip("\n")


def test_what_the_kernel_has_been_told() -> None:
    document = ask("--no-owners")
    assert document["count"] == 111
    assert document["limit"] == int((SETTINGS / "tcp_max_tw_buckets").read_text())
    assert document["duration_seconds"] == 60
    assert document["ephemeral_range"] == [41000, 41063]
    assert document["reserved_ports"] == [[41000, 41000], [41010, 41011]]
    assert document["tcp_tw_reuse"] == 0
    assert len(document["history"]) == 60
    assert sum(document["history"]) == 111
    assert all(destination["likely_owners"] == [] for destination in document["destinations"])


@pytest.mark.parametrize("reuse", ["1", "2"])
def test_ports_that_are_reused_are_no_danger(reuse: str) -> None:
    (SETTINGS / "tcp_tw_reuse").write_text(reuse)
    (SETTINGS / "tcp_tw_reuse_delay").write_text("1")
    try:
        document = ask()
    finally:
        (SETTINGS / "tcp_tw_reuse").write_text("0")
    found = by_port(document)[FULL]
    assert (found["used_ports"], found["reusable_ports"]) == (54, 52)
    assert (found["used_percent"], found["severity"]) == (3.3, "ok")
    assert "port_exhaustion" not in codes(document)
    assert codes(document)["time_wait_reused"] == ["info"]


@pytest.mark.parametrize(
    "question", ["time-wait", "diagnose --once", "check --finding port_exhaustion"]
)
def test_the_plan_says_that_owners_are_looked_for_later(question: str) -> None:
    done = run(*question.split(), "--explain-plan")
    assert "plan: owners are looked for of some of them\n" in done.err
    done = run("time-wait", "--no-owners", "--explain-plan")
    assert "plan: owners are not looked for\n" in done.err


def test_filters_choose_what_is_counted() -> None:
    assert set(by_port(ask("--rport", str(HALF_FULL)))) == {HALF_FULL}
    assert set(by_port(ask("dport", "=", f":{FULL}"))) == {FULL}
    assert set(by_port(ask("--direction", "inbound"))) == {SERVER}
    document = ask("--laddr", "127.0.0.2")
    assert (document["count"], set(by_port(document))) == (20, {SERVER})
    assert ask("-6")["count"] == 0


def test_without_sock_diag() -> None:
    done = run("time-wait", "--json", "--source", "proc")
    assert done.err == (
        "netinspect: proc: sockets that are bound and nothing more are not shown there, so there "
        "may be fewer ports than said\n"
    )
    found = by_port(json.loads(done.out))[FULL]
    assert (found["time_wait"], found["used_ports"], found["capacity"]) == (52, 54, CAPACITY + 1)


def test_without_timers() -> None:
    done = run("time-wait", "--json", "--source", "psutil", "--rport", str(FULL))
    assert (
        "netinspect: nothing tells how long TIME_WAIT still lasts, so it is not known how fast it "
        "comes; --sample 10 counts it\n"
    ) in done.err
    document = json.loads(done.out)
    assert (document["count"], document["created_per_second"], document["history"]) == (
        *(52, None),
        None,
    )
    assert by_port(document)[FULL]["severity"] == "critical"


# All modules are loaded before: nobody may not be able to read them.
AS_NOBODY = f"""
import os, sys
from netinspect.cli.app import run
run(["time-wait", "--watch", "0.1", "--count", "1"])
run(["time-wait", "--json"])
sys.stdout.flush()
os.truncate(1, 0)
os.lseek(1, 0, os.SEEK_SET)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
sys.exit(run(["time-wait", "--json"]))
"""


def test_as_nobody(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY],
            stdout=file,
            stderr=subprocess.PIPE,
            env=environment(),
            check=True,
            timeout=PATIENCE_S,
        )
    err = done.stderr.decode()
    assert re.fullmatch(r"netinspect: the owners of 4 sockets are hidden: .*\n", err)
    found = by_port(json.loads(printed.read_text()))[FULL]
    assert (found["used_percent"], found["likely_owners"]) == (90.0, [])


@pytest.mark.parametrize("words", ["", f"--rport {FULL}", f"dport = :{FULL}", "-s time-wait"])
def test_check_knows_what_is_bound_whatever_the_filter(words: str) -> None:
    done = run("check", "--metric", "port-percent", "-w", "50", *words.split())
    assert done.status == 1
    used = 52 if "-s" in words else 54
    assert f"({used} of {CAPACITY})" in done.out


def test_check_tells_what_can_be_used_again() -> None:
    (SETTINGS / "tcp_tw_reuse").write_text("1")
    (SETTINGS / "tcp_tw_reuse_delay").write_text("1")
    try:
        done = run("check", "--metric", "port-percent", "-w", "50", "--rport", str(FULL))
    finally:
        (SETTINGS / "tcp_tw_reuse").write_text("0")
    assert f"3.3 % of the local ports to 127.0.0.1 port {FULL} are in use" in done.out
    assert f"(2 of {CAPACITY}, and 52 that can be used again)" in done.out


@pytest.mark.parametrize("metric", ["rate", "port-percent"])
@pytest.mark.parametrize(
    "words",
    ["--process x", "--user root", "-s established", "-l", "user root", "not state time-wait"],
)
def test_check_needs_time_wait(metric: str, words: str) -> None:
    done = run("check", "--metric", metric, "-w", "50", *words.split())
    assert done.status == 3
    assert "the filters leave out TIME_WAIT, which has neither process nor user" in done.out


@pytest.mark.parametrize("words", ["-s bound", "state bound"])
def test_check_of_bound_sockets_needs_a_source_that_shows_them(words: str) -> None:
    assert run("check", "-c", "0", *words.split()).status == 2
    done = run("check", "-c", "0", "--source", "proc", *words.split())
    assert done.status == 3
    assert "proc shows no sockets that are bound and nothing more" in done.out


def test_a_queue_of_listeners_is_one_of_connections() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as client:
        datagrams.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", QUIET))
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"unread", datagrams.getsockname())
        assert "bytes wait to be read" in run("check", "-w", "9", "--metric", "queue").out
        done = run("check", "-l", "-w", "9", "--metric", "queue")
        assert done.status == 0
        assert f"2 connections wait to be accepted on 127.0.0.1:{QUIET}" in done.out


def test_the_table_fits_a_terminal() -> None:
    done = run_on_terminal("time-wait", "--advice", "all", columns=80)
    lines = done.out.splitlines()
    code_begins = next(i for i, line in enumerate(lines) if line.startswith("LEVEL"))
    assert max(map(len, lines[: code_begins + 8])) <= 80
    rows = [line.split() for line in lines[code_begins + 1 : code_begins + 5]]
    assert [row[:4] for row in rows] == [
        ["critical", "client", f"127.0.0.1:{FULL}", "52"],
        ["warning", "client", f"127.0.0.1:{HALF_FULL}", "36"],
        ["ok", "client", f"127.0.0.1:{QUIET}", "3"],
        ["ok", "server", f"127.0.0.2:{SERVER}", "20"],
    ]
    assert "MaxIdleConnsPerHost" not in done.out
    assert "io.Copy(io.Discard, resp.Body)" in done.out
    assert "tcp_tw_recycle: it broke clients behind NAT, and is gone since Linux" in done.out


def test_only_the_worst() -> None:
    done = run("time-wait", "--top", "1")
    assert f"127.0.0.1:{FULL}" in done.out
    assert "\nand 3 more (--top 4 shows them)\n" in done.out
    assert len(ask("--top", "2")["destinations"]) == 2


def test_csv() -> None:
    done = run("time-wait", "-o", "csv", "--rport", str(FULL), "--no-owners")
    head, row, *rest = done.out.split("\r\n")
    assert head.startswith("side,local_address,local_port,remote_address,remote_port,time_wait,")
    assert row.startswith(f"client,127.0.0.1,,127.0.0.1,{FULL},52,2,0,54,0,{CAPACITY},90.0,")
    assert row.endswith(",critical,[]")
    assert rest == [""]


def test_watch() -> None:
    done = run("time-wait", "--watch", "0.1", "--count", "2", "--rport", str(FULL))
    assert done == (0, "TIME_WAIT 52\nTIME_WAIT 52\n", "")
    done = run("time-wait", "--watch", "0.1", "--count", "1", "--json")
    assert json.loads(done.out)["count"] == 111
    done = run("time-wait", "--watch", "0.1", "--count", "1", "-o", "csv")
    assert re.fullmatch(r"taken_at,count\r\n\S+Z,111\r\n", done.out)


def test_watch_ends_with_ctrl_c() -> None:
    with started("time-wait", "--watch", "0.1") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"TIME_WAIT 111\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (130, b"")


def test_a_sample_measures_what_goes_on() -> None:
    """While nothing comes and goes, a sample finds no cause, but those that are full."""
    document = ask("--sample", "0.2", "--no-owners")
    assert document["sample"]["seconds"] >= 0.2
    assert document["sample"]["opened"] == 0
    assert document["created_per_second"] == 0
    assert codes(document)["port_exhaustion"] == ["critical", "warning"]


def test_an_idle_network_has_nothing() -> None:
    with private_network():
        document = ask()
        assert (document["count"], document["destinations"], document["findings"]) == (0, [], [])
        assert run("time-wait").out.endswith("No socket is in TIME_WAIT: no problem.\n")


def await_link_local(zone: int) -> None:
    """Until the address has been checked for duplicates another one is taken for connections."""
    deadline = time.monotonic() + PATIENCE_S
    source = ""
    while source != "fe80::1":
        assert time.monotonic() < deadline
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("fe80::1", SERVER, 0, zone))
            source = probe.getsockname()[0].partition("%")[0]


def test_both_families_and_zones() -> None:
    """One listener for all of them; v4-mapped clients share the ports of IPv4."""
    with private_network(), ExitStack() as stack:
        zone = socket.if_nametoindex("lo")
        listener = stack.enter_context(
            socket.create_server(("::", SERVER), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        await_link_local(zone)
        mapped = ("::ffff:127.0.0.1", SERVER, 0, 0)
        for address in [("fe80::1", SERVER, 0, zone)] * 3 + [mapped] * 2 + [("127.0.0.1", SERVER)]:
            family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
            client = stack.enter_context(socket.socket(family))
            client.connect(address)
            server = stack.enter_context(listener.accept()[0])
            client.close()
            assert server.recv(1) == b""
            server.close()
        found = {d["remote_address"]: d for d in ask("--no-owners")["destinations"]}
        assert {address: d["time_wait"] for address, d in found.items()} == {
            "fe80::1%lo": 3,
            "127.0.0.1": 3,
        }
        assert found["fe80::1%lo"]["local_address"] == "fe80::1%lo"
        assert ask("--raddr", "fe80::1%lo", "--no-owners")["count"] == 3
