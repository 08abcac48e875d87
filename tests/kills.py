"""Ending `netinspect --json` at random moments, in every way that a terminal or a pipe does.

What may be left is a status that says what happened: no traceback, and no process.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.population import established, prepare_network
from tests.namespace import private_network

SEED = 20_240
SOCKETS = 6_000  # enough for the search for owners to be shared with a second process
PATIENCE_S = 30
PIPE_SIZE = 1 << 16
ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "netinspect", "--json")


class Ending(NamedTuple):
    """How one run was ended, and what came of it."""

    how: str
    when: float
    status: int
    said: str
    left: list[int]


class Whole(NamedTuple):
    """A run that nobody disturbs."""

    seconds: float
    size: int


def kill_at_random(count: int, seed: int = SEED) -> None:
    """End so many runs among some thousand sockets."""
    choice = random.Random(seed)  # noqa: S311 nothing secret
    with private_network(), heeding_interrupts():
        prepare_network()
        with established(SOCKETS):
            whole = _undisturbed()
            for number in range(count):
                ending = WAYS[number % len(WAYS)](choice.random(), whole)
                fault = complaint(ending)
                assert not fault, f"{fault}: seed {seed}, run {number}: {ending}"


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """A shell lets what it starts in the background ignore Ctrl-C, and that is inherited."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def complaint(ending: Ending) -> str:
    """What is wrong with an ending; nothing is a good sign."""
    if ending.left:
        return "processes are left"
    if ending.status not in STATUSES[ending.how]:
        return "not a status for this"
    if ending.said and not _is_pythons_own(ending):
        return "it says something"
    if ending.status == 1 and not ending.said:
        return "it failed without a word"
    return ""


def _is_pythons_own(ending: Ending) -> bool:
    """Ctrl-C while the interpreter starts: it says so before it has read a line of the program."""
    modules = ending.said.replace("netinspect/__init__.py", "").count("netinspect/")
    return "SIGINT" in ending.how and "KeyboardInterrupt" in ending.said and not modules


def _undisturbed() -> Whole:
    """The shortest of three: a run that was held up would let most others end by themselves."""
    return min(_whole_run() for _ in range(3))


def _whole_run() -> Whole:
    began = time.monotonic()
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, check=True)
    assert not done.stderr
    assert done.stdout.count(b'"ESTABLISHED"') == SOCKETS
    return Whole(time.monotonic() - began, len(done.stdout))


def _signalled(name: str, *, to_all: bool = False) -> Callable[[float, Whole], Ending]:
    """Send a signal to the process, or, as a terminal does, to all of its group."""
    number = signal.Signals[name]
    send = os.killpg if to_all else os.kill
    label = f"{name} to all" if to_all else name

    def end(when: float, whole: Whole) -> Ending:
        with tempfile.TemporaryFile() as errors, _start(errors, subprocess.DEVNULL) as process:
            time.sleep(when * whole.seconds)
            if process.poll() is None:
                send(process.pid, number)
            return _ending(label, when, process, errors)

    return end


def _pipe_closed(when: float, whole: Whole) -> Ending:
    """Read a part of the answer, and go."""
    part = int(when * (whole.size - 2 * PIPE_SIZE))
    with tempfile.TemporaryFile() as errors, _start(errors, subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.read(part)
        process.stdout.close()
        return _ending("pipe closed", when, process, errors)


def _start(errors: IO[bytes], output: int) -> subprocess.Popen[bytes]:
    """In a session of its own, by which what it leaves behind is found."""
    return subprocess.Popen(COMMAND, cwd=ROOT, stdout=output, stderr=errors, start_new_session=True)


def _ending(how: str, when: float, process: subprocess.Popen[bytes], errors: IO[bytes]) -> Ending:
    status = process.wait(PATIENCE_S)
    left = left_of(process.pid)
    errors.seek(0)
    said = errors.read().decode(errors="backslashreplace")
    return Ending(how, when, status, said, left)


def left_of(session: int) -> list[int]:
    """The processes of a session; a worker may take a moment to notice that nobody listens."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := _members(session)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _members(session: int) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [pid for pid in pids if _session_of(pid) == session]


def _session_of(pid: int) -> int:
    """0 for those that have ended, which may wait long for an init to notice."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, _, session = file.read().rpartition(b") ")[2].split()[:4]
    except OSError:
        return 0
    return 0 if state == b"Z" else int(session)


WAYS = (
    _signalled("SIGINT"),
    _pipe_closed,
    _signalled("SIGKILL"),
    _signalled("SIGINT", to_all=True),
    _signalled("SIGTERM"),
)
# 0: it was done before. Python ends with 1 when it is interrupted while it starts.
STATUSES = {
    "SIGINT": (130, -signal.SIGINT, 0, 1),
    "SIGINT to all": (130, -signal.SIGINT, 0, 1),
    "SIGKILL": (-signal.SIGKILL, 0),
    "SIGTERM": (-signal.SIGTERM, 0),
    "pipe closed": (141,),
}
