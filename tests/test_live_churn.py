"""Sockets that stay, in a table that changes all the time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from netinspect.api import snapshot
from netinspect.model import Connection
from tests.namespace import private_network, why_not
from tests.zoo import Made, Zoo

pytestmark = pytest.mark.live

PAIRS = 250  # of TCP and of UDP: 1,000 sockets, and a listener
CHANGES_A_SECOND = 2000
CHANGES = 4000
SNAPSHOTS = 100
# Between two reads the kernel counts how far it is in a hash slot of UDP: where a socket before
# that place is closed, it leaves one out (udp_dump(), net/ipv4/udp_diag.c): in one run of thirty.
MOST_MISSED = 2


@contextmanager
def churn() -> Iterator[subprocess.Popen[bytes]]:
    """While sockets open and close in another process."""
    command = [sys.executable, "-m", "tests.churn", str(CHANGES_A_SECOND)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.communicate()


def open_stable(zoo: Zoo) -> None:
    listener = zoo.listen(("127.0.0.1", 0))
    zoo.add("listener", listener, "LISTEN")
    for number in range(PAIRS):
        client, server = zoo.pair(listener)
        zoo.add(f"client {number}", client, "ESTABLISHED")
        zoo.add(f"server {number}", server, "ESTABLISHED")
        bound = zoo.bind(("127.0.0.1", 0), socket.SOCK_DGRAM)
        zoo.add(f"bound {number}", bound, "UNCONN")
        zoo.add(f"connected {number}", zoo.connect(bound), "ESTABLISHED")


def as_made(connection: Connection) -> Made:
    c = connection
    ends = (c.local_address, c.local_port, c.remote_address, c.remote_port)
    return Made(c.protocol, c.family, c.state, *ends, c.inode, c.uid, (os.getpid(),))


def test_none_is_missing_doubled_or_wrong() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), ExitStack() as stack:
        zoo = Zoo(stack)
        open_stable(zoo)
        stable = Counter(zoo.made.values())
        inodes = {made.inode for made in zoo.made.values()}
        with churn() as process:
            cookies: set[int | None] = set()
            missed: Counter[Made] = Counter()
            snapshots = 0
            while snapshots < SNAPSHOTS or len(cookies) < CHANGES:
                assert process.poll() is None
                connections = snapshot(owners=False, source="sock_diag").connections
                snapshots += 1
                found = Counter(as_made(c) for c in connections if c.inode in inodes)
                assert found - stable == Counter()
                missed.update(stable - found)
                one = {c.cookie for c in connections}
                assert len(one) == len(connections)
                cookies |= one
            assert {made.protocol for made in missed} <= {"udp"}
            assert missed.total() <= MOST_MISSED
