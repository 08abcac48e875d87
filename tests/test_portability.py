"""Where netlink, pwd, fork and processor affinity do not exist, as on Windows and macOS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

# Takes away what these systems lack before anything of ours is loaded.
POORER_SYSTEM = """
import os, socket, sys
sys.modules["pwd"] = sys.modules["fcntl"] = None
for module, names in (
    (os, ("fork", "geteuid", "sched_getaffinity", "O_DIRECTORY")),
    (socket, ("AF_NETLINK", "if_indextoname")),
):
    for name in names:
        delattr(module, name)
from netinspect.__main__ import main
main()
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", POORER_SYSTEM, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_psutil_works_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        done = run("--source", "psutil", "--lport", str(port), "-4", "--proto", "tcp", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["sources"] == ["psutil"]
    (connection,) = document["connections"]
    assert connection["state"] == "LISTEN"
    assert connection["local_port"] == port
    (owner,) = connection["owners"]
    assert (owner["pid"], owner["fd"]) == (os.getpid(), fd)


def test_sock_diag_says_that_there_is_no_netlink() -> None:
    done = run("--source", "sock_diag")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == "netinspect: this system has no netlink sockets\n"


def test_a_user_cannot_be_checked_there_and_is_not_called_unknown() -> None:
    done = run("summary", "--source", "psutil", "--user", "nobody-of-this-name", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"] == 0
    assert "there is no user" not in done.stderr


def test_a_port_is_tried_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("port", str(port), "--source", "psutil", "--json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["ports"]
    assert (found["free"], found["cause"]) == (False, "listener")
    assert {place["plain"]["works"] for place in found["places"]} == {True, False}
    assert json.loads(done.stdout)["uid"] is None
