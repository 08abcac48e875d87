"""The program tells of a real process what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.program import run, run_on_terminal

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc"),
]

HOSTILE = b"\x1b[31m\n\xff"
# It waits, with a listener of which it tells the port.
LISTEN = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
input()
"""


@pytest.fixture(scope="module")
def child() -> Iterator[tuple[int, str]]:
    """The pid of a process and the port it listens on."""
    command: list[str | bytes] = [sys.executable, "-u", "-c", LISTEN, HOSTILE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        yield process.pid, process.stdout.readline().decode().strip()
        process.communicate(b"\n")


def test_the_command_in_a_column(child: tuple[int, str]) -> None:
    _, port = child
    columns = ("--columns", "command,unit,container")
    done = run("-l", "--lport", port, "-o", "ndjson", *columns)
    found = json.loads(done.out)
    assert list(found) == ["command", "unit", "container"]
    assert found["command"] == f"{os.path.basename(sys.executable)} -c"
    done = run("-l", "--lport", port, "--no-owners", "-o", "ndjson", *columns)
    assert json.loads(done.out) == dict.fromkeys(found)


def test_the_wide_table(child: tuple[int, str]) -> None:
    pid, port = child
    done = run_on_terminal("-o", "wide", "--color", "never", "--lport", port)
    header, row = done.out.splitlines()
    assert header.split()[-4:] == ["COMMAND", "UNIT", "CONTAINER", "OWNERS"]
    assert f"{os.path.basename(sys.executable)} -c  " in row
    assert f"(pid={pid},fd=" in row


def test_nobody_asked(child: tuple[int, str]) -> None:
    pid, port = child
    (connection,) = json.loads(run("--json", "--lport", port).out)["connections"]
    (owner,) = connection["owners"]
    assert list(owner) == ["pid", "process", "fd"]
    assert owner["pid"] == pid
