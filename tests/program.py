"""The real program as a process of its own: in a pipe, on a terminal, interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.forked import await_status, begin, can_fork, run_forked

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-m", "netinspect")
PATIENCE_S = 120


class Done(NamedTuple):
    """What became of a run."""

    status: int
    out: str
    err: str


def environment(**changes: str | None) -> dict[str, str]:
    """Only what is needed, so that nothing of the tester's own shows; None takes something out."""
    needed = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "TEMP")
    values = {name: os.environ[name] for name in needed if name in os.environ}
    values.update(PYTHONPATH=str(ROOT), LC_ALL="C.UTF-8", TERM="xterm-256color", COLUMNS="80")
    for name, value in changes.items():
        values.pop(name, None)
        if value is not None:
            values[name] = value
    return values


def run(*args: str | bytes, env: dict[str, str] | None = None, **options: Any) -> Done:
    """Run to the end; stdout and stderr are no terminals.

    What needs nothing of its own is a fork of a process that has loaded all: a run takes a fifth of
    the time.
    """
    env = env or environment()
    if not options and can_fork(env, environment()) and all(isinstance(a, str) for a in args):
        status, out, err = run_forked([str(arg) for arg in args], env)
        return Done(status, out.decode(), err.decode())
    return run_process(*args, env=env, **options)


def run_process(*args: str | bytes, env: dict[str, str] | None = None, **options: Any) -> Done:
    """The same, and always as a whole process of its own, with stdout and stderr in pipes."""
    done = subprocess.run(
        [*PROGRAM, *args],
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env=env or environment(),
        timeout=PATIENCE_S,
        check=False,
        **options,
    )
    out = done.stdout.decode() if done.stdout is not None else ""
    return Done(done.returncode, out, done.stderr.decode().replace(os.linesep, "\n"))


def run_in_shell(command: str) -> Done:
    """Run a line of sh in which `$N` is the program."""
    return run_command("sh", "-c", command, env=environment(N=" ".join(PROGRAM)))


def run_command(*command: str, env: dict[str, str]) -> Done:
    """Run another program."""
    done = subprocess.run(
        command, capture_output=True, env=env, timeout=PATIENCE_S, check=False, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*args: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The program while it runs, with pipes that nobody reads yet."""
    with subprocess.Popen(
        [*PROGRAM, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env or environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_on_terminal(*args: str, columns: int = 80, env: dict[str, str] | None = None) -> Done:
    """Run to the end, with stdout on a terminal of this width and stderr in a pipe."""
    import fcntl
    import pty
    import struct
    import termios
    import tty

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    tty.setraw(theirs)  # \n stays \n
    env = env or environment(COLUMNS=None)
    with tempfile.TemporaryFile() as errors:
        if can_fork(env, environment()):
            begin(args, env, (theirs, theirs, errors.fileno()))
            os.close(theirs)
            out = _read_until_hung_up(ours)
            status = await_status()
        else:
            with subprocess.Popen(
                [*PROGRAM, *args], stdin=theirs, stdout=theirs, stderr=errors, env=env
            ) as process:
                os.close(theirs)
                out = _read_until_hung_up(ours)
            status = process.returncode
        errors.seek(0)
        err = errors.read()
    os.close(ours)
    return Done(status, out.decode(), err.decode())


def _read_until_hung_up(terminal: int) -> bytes:
    read = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # EIO: the other side is closed
            return read
        if not piece:
            return read
        read += piece
