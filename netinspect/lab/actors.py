"""The processes of an experiment: they end with the one that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

from netinspect.errors import SourceError

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # linux/prctl.h


class Actor:
    """A child process that plays one side of an experiment.

    :param name: what netinspect shows as its name, on Linux; at most 15 characters.
    :param seconds: after which it ends at the latest, whatever becomes of its parent.
    """

    def __init__(self, name: str, play: Callable[[], None], seconds: int) -> None:
        self.name = name
        parent = os.getpid()
        self.pid: int | None = os.fork()
        if not self.pid:
            _live(name, parent, play, seconds)

    def check(self) -> None:
        """Nothing, if it is still there.

        :raises SourceError: it has ended by itself.
        """
        if self.pid is None:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.pid = None
            code = os.waitstatus_to_exitcode(status)
            raise SourceError(f"{self.name}, a process of the experiment, ended with {code}")

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None


def _live(name: str, parent: int, play: Callable[[], None], seconds: int) -> None:
    """What the child does: play, and wait to be killed. It never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
        signal.alarm(seconds)
        if sys.platform == "linux":
            _die_with_parent(name)
        if os.getppid() == parent:  # it may have died before the kernel was told
            play()
            signal.pause()
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


def _die_with_parent(name: str) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NAME, name.encode())
