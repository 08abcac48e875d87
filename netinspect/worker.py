"""A forked process that works out one answer while this one does something else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import NoReturn

LENGTH = Struct("=Q")  # of the answer, which follows


def may_fork() -> bool:
    """Not on one processor, and not beside other threads: they may hold locks in the child."""
    return len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits till a process that is forked in here knows what to do then."""
    import signal  # most questions fork nothing

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_interrupt() -> None:
    """In a forked process: Ctrl-C ends it without a word, unless it is ignored by both."""
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def reap(pid: int) -> None:
    """Wait till a forked process has ended; where SIGCHLD is ignored the kernel reaps it itself."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


class Worker:
    """Does a piece of work in a process of its own; to be used in a `with`.

    :param work: makes the answer. What it raises is told to nobody: there is no answer then.
    """

    def __init__(self, work: Callable[[], bytes]) -> None:
        self.pipe = self.pid = sending = -1
        try:
            self.pipe, sending = os.pipe()
            with uninterrupted():
                self.pid = os.fork()
                if self.pid == 0:
                    end_at_interrupt()
        except OSError:  # no more descriptors, or processes: nobody will answer
            pass
        if self.pid == 0:
            _do(work, self.pipe, sending)
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
            reap(self.pid)


def _do(work: Callable[[], bytes], receiving: int, sending: int) -> NoReturn:
    """All that the forked process does. What was buffered before is its parent's to write."""
    try:
        os.close(receiving)  # so that it is noticed when nobody listens any more
        answer = work()
        with open(sending, "wb") as pipe:
            pipe.write(LENGTH.pack(len(answer)))
            pipe.write(answer)
    finally:
        os._exit(0)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
