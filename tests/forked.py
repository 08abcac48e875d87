"""Runs of the program without the start of an interpreter: forks of one that has the libraries.

Each run is a process of its own and loads all of netinspect; Python and the libraries, which take
most of the time of a run, are there already. It is run in the network of the caller.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
LIBRARIES = ("click.shell_completion", "msgspec.json", "psutil", "tabulate")
CLONE_NEWNET = 0x40000000  # linux/sched.h
NETWORK = "/proc/thread-self/ns/net"
LONGEST_REQUEST = 1 << 18
PATIENCE_S = 120
SERVE = "from tests.forked import serve; serve()"


def can_fork() -> bool:
    """Whether this works here: Linux, and the right to enter the network of a test."""
    return sys.platform == "linux" and os.geteuid() == 0 and os.path.exists(NETWORK)


def run_forked(args: tuple[str, ...], env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Status, stdout and stderr of `netinspect ARGS` in this network and directory."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with open(os.devnull, "rb") as nothing, open(NETWORK, "rb") as network:
            files = [nothing, out, err, network]
            request = json.dumps([args, env, os.getcwd()]).encode("ascii")
            server = _server(os.getpid())
            socket.send_fds(server, [request], [file.fileno() for file in files])
            status = int(server.recv(16))
        return status, _content(out), _content(err)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


@cache
def _server(_pid: int) -> socket.socket:
    """The way to the process that forks; each worker has its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdin=theirs.fileno(), cwd=ROOT)
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)  # before: then the other side ends
    ours.settimeout(PATIENCE_S)
    return ours


def serve() -> None:
    """Fork for each request from stdin, and answer with the exit status."""
    for library in LIBRARIES:
        __import__(library)
    requests = socket.socket(fileno=0)
    while True:
        request, fds, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            _become(fds, *json.loads(request))
        for fd in fds:
            os.close(fd)
        requests.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(fds: list[int], args: list[str], env: dict[str, str], folder: str) -> None:
    """Be the program: what `python -m netinspect` begins with."""
    from netinspect.lab.isolation import call_libc

    call_libc("setns", fds.pop(), CLONE_NEWNET)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = ["netinspect", *args]
    for name in [name for name in sys.modules if name.partition(".")[0] == "netinspect"]:
        del sys.modules[name]

    from netinspect.__main__ import main

    main()
