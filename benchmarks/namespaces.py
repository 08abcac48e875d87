"""Network, process and mount namespaces of one's own: nothing else is in them.

When the process that asked for them ends, however it ends, the kernel ends all that is inside.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

# sched.h, sys/prctl.h, sys/mount.h; os.unshare() is there from Python 3.12 on
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000


def run_inside(work: Callable[[], int]) -> int:
    """Do the work in new namespaces, as their first process; its exit status.

    :raises PermissionError: this takes CAP_SYS_ADMIN.
    """
    _call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
    pid = os.fork()  # unshare() makes a PID namespace for children only
    if pid == 0:
        _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        _call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
        sys.exit(work())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child too, which reports
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _call(name: str, *arguments: int | bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # int would do for all of these but the flags of mount(), which are unsigned long
    if getattr(libc, name)(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
