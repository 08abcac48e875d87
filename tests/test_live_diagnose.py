"""Each fault made for real: its rule finds it, and no other rule does."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from netinspect.diagnose.rules import RULES
from netinspect.lab.endpoints import deafen
from tests.namespace import private_network, why_not
from tests.program import PROGRAM, run
from tests.test_live_lab import HELD, answer, read_until_held, started
from tests.zoo import Zoo, fill

pytestmark = pytest.mark.live

REASON = why_not()
LOOK = ("diagnose", "--json", "--sample", "0.4")
# What takes a minute for a user takes a moment here.
AT_ONCE = (
    *("--set", "close_wait_leak.age_seconds=0"),
    *("--set", "fin_wait2_leak.age_seconds=0"),
    *("--set", "never_accepted.age_seconds=0"),
    *("--set", "zero_window.age_seconds=0"),
    *("--set", "receive_queue_not_read.age_seconds=0"),
    *("--set", "syn_sent_pile.retransmits=1"),
)
# The experiments of lab, and what is found in each
FOUND_IN = {
    "accept-queue": {"accept_queue_overflow"},
    "close-wait": {"close_wait_leak"},
    "port-exhaustion": {"port_exhaustion"},
    "port-exhaustion --requests 40": {"port_exhaustion"},
    "zero-window": {"zero_window"},
    "syn-flood": {"syn_flood"},
    "time-wait --mode drained --requests 20": set(),
    "time-wait --mode new --requests 20": set(),
}


@pytest.fixture(autouse=True)
def _needs_a_network() -> None:
    if REASON:
        pytest.skip(REASON)


def codes(document: dict[str, Any]) -> set[str]:
    """Of what is worse than information."""
    return {f["code"] for f in document["findings"] if f["severity"] != "info"}


def reuse_ports(pid: int) -> None:
    """What the advice says, in the network of a process."""
    setting = "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"
    subprocess.run(["nsenter", "-t", str(pid), "-n", "sh", "-c", setting], check=True)


def test_each_experiment_is_found_by_its_rule_and_by_no_other() -> None:
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(started(*PROGRAM, "lab", *name.split(), *HELD))
            for name in FOUND_IN
        }
        held = {name: read_until_held(process) for name, process in processes.items()}
        asked = {name: one.ask("diagnose", "--sample", "1", *AT_ONCE) for name, one in held.items()}
        answers = {name: answer(one) for name, one in asked.items()}
        # not the other one: that takes every port again as soon as it can
        full = held["port-exhaustion --requests 40"]
        reuse_ports(full.process.pid)
        cured = answer(full.ask("diagnose", "--sample", "0.1"))
    assert {name: codes(document) for name, document in answers.items()} == FOUND_IN
    assert codes(cured) == set()
    (found,) = (f for f in answers["port-exhaustion"]["findings"] if f["severity"] != "info")
    assert {(c["remote_port"], c["state"]) for c in found["sockets"]} == {(9000, "TIME_WAIT")}


SO_DETACH_FILTER = 27  # asm-generic/socket.h

# What the advice says to do, to the sockets of a fault
Cure = Callable[[], object]
Fault = Callable[[Zoo], Cure]


def close_wait(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0))
    servers = []
    for _ in range(5):
        client, server = zoo.pair(listener)
        client.close()
        server.recv(1)
        servers.append(server)
    return lambda: close(servers)


def close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def fin_wait2(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0))
    clients = []
    for _ in range(10):
        client, _ = zoo.pair(listener)
        client.shutdown(socket.SHUT_WR)
        clients.append(client)
    return lambda: close(clients)


def hear(*socks: socket.socket) -> None:
    """Undo `deafen`."""
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def orphans(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0))
    servers = []
    for _ in range(10):
        client, server = zoo.pair(listener)
        deafen(server)
        client.send(b"left behind")
        client.close()
        servers.append(server)

    def mend_the_path() -> None:
        hear(*servers)
        for server in servers:
            while server.recv(100):
                pass
            server.close()

    return mend_the_path


def syn_sent(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0))
    deafen(listener)
    clients = []
    for _ in range(5):
        client = zoo.open(socket.AF_INET)
        client.setblocking(False)
        assert client.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        clients.append(client)
    time.sleep(1.1)  # the first SYN is sent again after a second

    def mend_the_path() -> None:
        hear(listener)
        for _ in clients:  # the next SYN comes 3 s after the first
            zoo.keep(listener.accept()[0])

    return mend_the_path


def accept_queue(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0), backlog=3)
    for _ in range(4):
        zoo.connect(listener)
    return lambda: [zoo.keep(listener.accept()[0]) for _ in range(4)]


def never_accepted(zoo: Zoo) -> Cure:
    listener = zoo.listen(("127.0.0.1", 0))
    zoo.connect(listener)
    return lambda: zoo.keep(listener.accept()[0])


def unix_backlog(zoo: Zoo) -> Cure:
    listener = zoo.open(socket.AF_UNIX)
    listener.bind("\0netinspect-backlog")
    listener.listen(3)
    while True:
        client = zoo.open(socket.AF_UNIX)
        client.setblocking(False)
        if client.connect_ex(listener.getsockname()) == errno.EAGAIN:
            return lambda: [zoo.keep(listener.accept()[0]) for _ in range(4)]


def unread(zoo: Zoo) -> Cure:
    client, server = zoo.pair(zoo.listen(("127.0.0.1", 0)))
    client.send(bytes(8192))
    return lambda: server.recv(8192)


def zero_window(zoo: Zoo) -> Cure:
    client, server = zoo.pair(zoo.listen(("127.0.0.1", 0)))
    fill(client)

    def read() -> None:
        client.close()
        while server.recv(1 << 20):
            pass

    return read


def retransmits(zoo: Zoo) -> Cure:
    client, server = zoo.pair(zoo.listen(("127.0.0.1", 0)))
    deafen(server)
    client.send(b"lost")
    time.sleep(0.9)  # sent again after 0.2 and 0.6 s

    def mend_the_path() -> None:
        hear(server)
        assert server.recv(4) == b"lost"

    return mend_the_path


def udp_drops(zoo: Zoo) -> Cure:
    reader = zoo.bind(("127.0.0.1", 0), socket.SOCK_DGRAM)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = zoo.open(socket.AF_INET, socket.SOCK_DGRAM)
    reader.setblocking(False)
    ended, is_read = threading.Event(), threading.Event()

    def send_and_read() -> None:
        while not ended.wait(0.02):
            with suppress(OSError):
                sender.sendto(bytes(1000), reader.getsockname())
                while is_read.is_set():
                    reader.recv(1000)

    thread = threading.Thread(target=send_and_read)
    zoo.stack.callback(thread.join)
    zoo.stack.callback(ended.set)
    thread.start()

    def read_faster() -> None:
        is_read.set()
        time.sleep(0.1)

    return read_faster


def file_descriptors(zoo: Zoo) -> Cure:
    script = (
        "import os, time; fds = [os.dup(0) for _ in range(50)]; print(flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (64, 128))
    zoo.stack.enter_context(process)
    zoo.stack.callback(process.kill)
    return lambda: resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (128, 128))


FAULTS: dict[str, Fault] = {
    "close_wait_leak": close_wait,
    "fin_wait2_leak": fin_wait2,
    "orphans": orphans,
    "syn_sent_pile": syn_sent,
    "accept_queue_overflow": accept_queue,
    "never_accepted": never_accepted,
    "unix_backlog": unix_backlog,
    "receive_queue_not_read": unread,
    "zero_window": zero_window,
    "retransmits": retransmits,
    "udp_drops": udp_drops,
    "file_descriptor_limit": file_descriptors,
}
# Made from records alone: they would take a firewall, or a limit of the whole machine.
NOT_MADE = {
    "conntrack_full",
    "time_wait_overflow",
    "exposed_listener",
    "listener_in_ephemeral_range",
}


@contextmanager
def zoo_with(fault: Callable[[Zoo], Cure | None]) -> Iterator[Cure | None]:
    with private_network(), ExitStack() as stack:
        yield fault(Zoo(stack))


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_is_found_by_its_rule_alone_and_cured_by_its_advice(code: str) -> None:
    with zoo_with(FAULTS[code]) as cure:
        done = run(*LOOK, *AT_ONCE)
        assert cure
        cure()
        cured = run(*LOOK, *AT_ONCE)
    document = json.loads(done.out)
    assert codes(document) == {code}
    assert done.status == 1
    (found, *_) = document["findings"]
    held = [c for c in found["sockets"] if c["owner_status"] == "known"]
    assert {c["pid"] for c in held} <= {os.getpid()}
    assert found["advice"]
    assert codes(json.loads(cured.out)) == set()
    assert cured.status == 0


def test_every_rule_is_made_for_real() -> None:
    made = {code for found in FOUND_IN.values() for code in found} | FAULTS.keys()
    assert made | NOT_MADE == RULES.keys()


def healthy(zoo: Zoo) -> None:
    """A little of everything that is a fault in masses."""
    listener = zoo.listen(("127.0.0.1", 0))
    for number in range(8):
        client, server = zoo.pair(listener)
        if number % 4 == 0:
            client.shutdown(socket.SHUT_WR)
        elif number % 4 == 1:
            client.send(b"a few bytes that nobody has read yet")
        elif number % 4 == 2:
            server.close()
        else:
            client.close()
    zoo.bind(("127.0.0.1", 0), socket.SOCK_DGRAM)
    full = zoo.listen(("127.0.0.1", 0), backlog=10)
    for _ in range(6):  # 60 %, and they came only now
        zoo.connect(full)


def test_a_healthy_network_is_silent() -> None:
    with zoo_with(healthy):
        done = run("diagnose", "--json", "--sample", "0.5")
    document = json.loads(done.out)
    assert codes(document) == set()
    assert done.status == 0
    assert {entry["code"] for entry in document["not_checked"]} <= {"conntrack_full"}


def test_an_empty_network_has_nothing_to_say() -> None:
    with private_network():
        done = run("diagnose", "--sample", "0.1")
    assert done.status == 0
    assert done.out.startswith("Nothing is wrong: ")


def test_descriptors_of_the_processes_that_are_asked_for() -> None:
    with zoo_with(file_descriptors):
        word = ("check", "--finding", "file_descriptor_limit", "--sample", "0.1")
        assert run(*word, "--process", "python*").status == 1
        assert run(*word, "--pid", str(os.getpid())).status == 0
        accept = run("check", "--finding", "never_accepted", "--sample", "0.1", "--process", "x")
    assert accept.status == 3


def test_check_a_finding() -> None:
    with zoo_with(unread):
        word = ("check", "--finding", "receive-queue-not-read", "--sample", "0.2")
        done = run(*word, "--set", "receive_queue_not_read.age_seconds=0")
        silent = run(*word, "--set", "receive_queue_not_read.bytes=9000")
    assert done.status == 1
    assert done.out.startswith("NETINSPECT WARNING: ")
    assert done.out.endswith(" | 'receive_queue_not_read'=1;;;0;\n")
    assert silent.status == 0
    assert (
        silent.out == "NETINSPECT OK: no receive_queue_not_read | 'receive_queue_not_read'=0;;;0;\n"
    )
