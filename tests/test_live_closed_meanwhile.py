"""Sockets that are closed between their reading and the look for their owners are not hidden."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.namespace import private_network, why_not
from tests.program import PATIENCE_S, environment

pytestmark = pytest.mark.live

# Some connections go when the processes are looked for, of which none can be seen. One moves on to
# another state.
SCRIPT = """
import socket, sys
from netinspect import owners
from netinspect.cli.app import run

listener = socket.create_server(("127.0.0.1", 9000))

def connect(*, is_half_closed=False):
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    if is_half_closed:
        client.close()
        server.recv(1)
    return client, server

def close(*socks):
    for sock in socks:
        sock.close()

def look_too_late(root):
    close(*goes, *goes_half_closed)
    moves[0].shutdown(socket.SHUT_WR)
    moves[1].recv(1)
    return []

close(*connect(is_half_closed=True))  # for TIME_WAIT
stays, stays_half_closed = connect(), connect(is_half_closed=True)
goes, goes_half_closed, moves = connect(), connect(is_half_closed=True), connect()
owners._pids = look_too_late
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("question", "hidden"),
    [
        ("list", 6),  # the listener, both ends of two connections, and one in CLOSE_WAIT
        ("list --proto all --source proc", 6),
        ("list -s established", 4),
        ("check -w 9 --process nginx", 6),
        ("time-wait", 2),  # what leads to the same end
        ("diagnose", 2),  # the listener, and what is in CLOSE_WAIT
    ],
)
def test_only_those_that_are_still_there_are_hidden(question: str, hidden: int) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with private_network():
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *question.split()],
            capture_output=True,
            env=environment(),
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    told = re.findall(r"owners? of (\d+) sockets? (?:is|are) hidden", done.stdout + done.stderr)
    assert told == [str(hidden)], done
