"""Whole processes, measured: from fork to the end, with what the kernel says they used."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from statistics import median
from typing import NamedTuple

LONGEST_S = 1200
PIPE_SIZE = 1 << 16
LINE_END = b"\n"
# Installed programs have their bytecode on disk, so ours may write it too, whatever the caller set.
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": ""}


class MeasureError(Exception):
    """A command did not do what it was measured for."""


class Run(NamedTuple):
    """One process, with those it started and waited for.

    `peak_mb` is the largest of them, and never less than what the benchmark itself takes: the
    kernel counts from the fork on.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    lines: int


class Pair(NamedTuple):
    """Two commands, one right after the other: whatever the machine is busy with, both bear it."""

    ours: Run
    theirs: Run

    @property
    def wall_ratio(self) -> float:
        """What part of their time we take."""
        return self.ours.wall_s / self.theirs.wall_s

    @property
    def cpu_ratio(self) -> float:
        """What part of their processor time we take."""
        return self.ours.cpu_s / self.theirs.cpu_s


def wall_ratio(pairs: Sequence[Pair]) -> float:
    """The median of the ratios, not the ratio of the medians."""
    return median(pair.wall_ratio for pair in pairs)


def cpu_ratio(pairs: Sequence[Pair]) -> float:
    """As `wall_ratio`, of the processor time."""
    return median(pair.cpu_ratio for pair in pairs)


def run_pair(ours: Sequence[str], theirs: Sequence[str]) -> Pair:
    """First ours, then theirs."""
    return Pair(run(ours), run(theirs))


def run(command: Sequence[str], longest_s: float = LONGEST_S) -> Run:
    """Run a command to its end; what it prints is read and thrown away.

    :raises MeasureError: it failed, or took longer than that.
    """
    errors = os.memfd_create("stderr")
    with closing(os.fdopen(errors, "rb")) as said:
        began = time.perf_counter()
        pid, output = _spawn(command, errors)
        watchdog = threading.Timer(longest_s, _kill, (pid,))
        watchdog.start()
        try:
            lines = _drain(output)
            _, status, usage = os.wait4(pid, 0)
        except BaseException:
            _kill(pid)
            os.waitpid(pid, 0)
            raise
        finally:
            watchdog.cancel()
        wall_s = time.perf_counter() - began
        if status:
            said.seek(0)
            raise MeasureError(_failure(command, status, said.read()))
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines)


def _spawn(command: Sequence[str], errors: int) -> tuple[int, int]:
    """The process, and the end of the pipe that it writes to."""
    output, writing = os.pipe()
    try:
        pid = os.posix_spawnp(
            command[0],
            tuple(command),
            ENVIRONMENT,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_DUP2, errors, 2),
            ],
        )
    except OSError as error:
        os.close(output)
        raise MeasureError(f"{command[0]}: {error.strerror}") from None
    finally:
        os.close(writing)
    return pid, output


def _drain(output: int) -> int:
    """Read to the end; how many lines that were."""
    buffer, lines = bytearray(PIPE_SIZE), 0
    with open(output, "rb", buffering=0) as pipe:
        while size := pipe.readinto(buffer):
            lines += buffer.count(LINE_END, 0, size)
    return lines


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _failure(command: Sequence[str], status: int, said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    code = os.waitstatus_to_exitcode(status)
    return f"{' '.join(command)} ended with {code}: {lines[-1] if lines else 'no message'}"
