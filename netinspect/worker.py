"""A forked process that works out one answer while this one does something else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import NoReturn

LENGTH = Struct("=Q")  # of the answer, which follows


def may_fork() -> bool:
    """Not on one processor, and not beside other threads: they may hold locks in the child."""
    return len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


class Worker:
    """Does a piece of work in a process of its own; to be used in a `with`.

    :param work: makes the answer. What it raises is told to nobody: there is no answer then.
    """

    def __init__(self, work: Callable[[], bytes]) -> None:
        self.pipe = self.pid = sending = -1
        try:
            self.pipe, sending = os.pipe()
            self.pid = os.fork()
        except OSError:  # no more descriptors, or processes: nobody will answer
            pass
        if self.pid == 0:
            os.close(self.pipe)
            _do(work, sending)
        _close(sending)

    def answer(self) -> bytes | None:
        """What it found, when it has ended; None when it could not send it whole."""
        if self.pid < 0:
            return None
        with open(self.pipe, "rb", closefd=False) as pipe:
            header = pipe.read(LENGTH.size)
            sent = pipe.read()
        return sent if header == LENGTH.pack(len(sent)) else None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self.pipe)
        if self.pid > 0:
            os.waitpid(self.pid, 0)


def _do(work: Callable[[], bytes], descriptor: int) -> NoReturn:
    """All that the forked process does. What was buffered before is its parent's to write."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        answer = work()
        with open(descriptor, "wb") as pipe, suppress(BrokenPipeError):  # nobody listens any more
            pipe.write(LENGTH.pack(len(answer)))
            pipe.write(answer)
    finally:
        os._exit(0)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
