"""Runs of the program without the start of an interpreter: forks of one that has loaded it all.

Each run is a process of its own, in the network of the caller. What is loaded when is for the tests
of whole processes (`run_process` of program.py).
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
LIBRARIES = ("click.shell_completion", "msgspec.json", "psutil", "tabulate")
PROGRAM = "netinspect.__main__"
CLONE_NEWNET = 0x40000000  # linux/sched.h
NETWORK = "/proc/thread-self/ns/net"
LONGEST_REQUEST = 1 << 18
PATIENCE_S = 120
SERVE = "from tests.forked import serve; serve()"


# What Python itself asks for when it starts; a fork has asked already.
OF_PYTHON = ("LC_", "LANG", "PYTHON")


def can_fork(env: Mapping[str, str], usual: Mapping[str, str]) -> bool:
    """Whether this works here: Linux, the right to enter the network of a test, an environment that
    is to Python as the usual one."""
    return (
        sys.platform == "linux"
        and os.geteuid() == 0
        and os.path.exists(NETWORK)
        and _of_python(env) == _of_python(usual)
    )


def _of_python(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(OF_PYTHON)}


def run_forked(args: Sequence[str], env: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Status, stdout and stderr of `netinspect ARGS` in this network and directory."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with open(os.devnull, "rb") as nothing:
            begin(args, env, (nothing.fileno(), out.fileno(), err.fileno()))
        return await_status(), _content(out), _content(err)


def begin(args: Sequence[str], env: Mapping[str, str], fds: Sequence[int]) -> None:
    """Start a run with these for stdin, stdout and stderr; one at a time."""
    request = json.dumps([args, dict(env), os.getcwd()]).encode("ascii")
    with open(NETWORK, "rb") as network:
        socket.send_fds(_server(os.getpid()), [request], [*fds, network.fileno()])


def await_status() -> int:
    """The exit status of what was begun."""
    return int(_server(os.getpid()).recv(16))


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
    for module in (*LIBRARIES, *_rooms()):
        importlib.import_module(module)
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


def _rooms() -> Iterator[str]:
    """All modules of netinspect, but for the one that begins to run it."""
    modules = pkgutil.walk_packages([str(ROOT / "netinspect")], "netinspect.")
    return (module.name for module in modules if module.name != PROGRAM)


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
    importlib.import_module(PROGRAM).main()
