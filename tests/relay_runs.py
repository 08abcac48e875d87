"""Runs of the program that share even a short listing between two processes, and runs that do not.

`python -m tests.relay_runs` reads a JSON list of `[alone, width, args]` from stdin: how many turns
are read by one process (null: all), the columns of a terminal (null: a file), the arguments. It
writes a line of JSON a run. `python -m tests.relay_runs ARGS` is one such run, in this process.
"""

from __future__ import annotations

import base64
import fcntl
import json
import math
import os
import pty
import struct
import sys
import tempfile
import termios
import tty
from typing import Any, NoReturn

# What any of the runs needs, loaded once
import netinspect.cli.list_command
import netinspect.parse.extended
import netinspect.render.fact_lines
import netinspect.render.machine
import netinspect.sources.cgroups  # noqa: F401
from netinspect import relay
from netinspect.__main__ import main
from netinspect.sources import sock_diag

ALONE = 2


def become(alone: float | None, args: list[str], marks: int | None = None) -> NoReturn:
    """Be the program.

    :param marks: where to write that there are two.
    """
    relay.TURNS_ALONE = math.inf if alone is None else alone  # type: ignore[assignment]
    sock_diag.REPLIES_A_TURN = 1
    os.sched_getaffinity = lambda _pid: {0, 1}  # the tests may have one processor only
    fork = os.fork

    def marked_fork() -> int:
        if marks is not None:
            os.write(marks, b"forked")
        return fork()

    os.fork = marked_fork
    sys.argv = ["netinspect", *args]
    main()


def run(alone: float | None, width: int | None, args: list[str]) -> dict[str, Any]:
    """A run in a fork, to its end."""
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as marks:
        pid, out = pty.fork() if width else fork_to_pipe()
        if pid == 0:
            if width:
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
                tty.setraw(1)  # \n stays \n
            os.dup2(errors.fileno(), 2)
            become(alone, args, marks.fileno())
        written = read_all(out)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        errors.seek(0)
        return {
            "status": status,
            "out": base64.b64encode(written).decode(),
            "err": errors.read().decode(),
            "is_shared": marks.seek(0, os.SEEK_END) > 0,
        }


def fork_to_pipe() -> tuple[int, int]:
    """As pty.fork(), with a pipe for stdout."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        os.dup2(theirs, 1)
    os.close(theirs)
    return pid, ours


def read_all(out: int) -> bytes:
    """Till it is closed; a terminal says EIO then."""
    read = b""
    try:
        while piece := os.read(out, 1 << 16):
            read += piece
    except OSError:
        pass
    os.close(out)
    return read


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(ALONE, sys.argv[1:])
    for each in json.load(sys.stdin):
        sys.stdout.write(f"{json.dumps(run(*each))}\n")
        sys.stdout.flush()
