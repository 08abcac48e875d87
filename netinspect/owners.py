"""Who holds a socket: one pass over /proc/<pid>/fd, inode to processes.

A descriptor of a socket is a link to `socket:[inode]` (proc_pid_fd(5)). Looking at the descriptors
of another user's process takes the right to ptrace it.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from msgspec.structs import replace

from netinspect.model import Connection, Note, Owner, decode_name
from netinspect.worker import Worker, may_fork

# A descriptor costs about 5 microseconds, a fork 2 milliseconds.
FORK_FROM_DESCRIPTORS = 4000
FD_BITS = 32
FD_MASK = (1 << FD_BITS) - 1
PROC_PID_INIT_INO = 0xEFFFFFFC  # the first PID namespace, linux/proc_ns.h
# Reads the sockets again, for the inodes of those that are there now.
Reread = Callable[[], Container[int | None]]


class Scan(NamedTuple):
    """What a pass over some processes found.

    `holdings` is flat, for it goes through a pipe: inode, pid and descriptor of one descriptor
    after the other. `denied` counts the processes that could not be looked into.
    """

    holdings: array[int]
    denied: int

    def to_bytes(self) -> bytes:
        """How many processes were denied, and the holdings."""
        return array("Q", (self.denied,)).tobytes() + self.holdings.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Scan:
        """What `to_bytes` made."""
        holdings = array("Q", data)
        return cls(holdings, denied=holdings.pop(0))


class Owners:
    """The processes of each socket, and why there may be more of them than are known.

    One holding is kept as one number, pid and descriptor: 200,000 records would take 25 MB more.
    """

    def __init__(self, root: str, unseen: str | None, reread: Reread | None = None) -> None:
        self.root = root
        self.unseen = unseen  # what cannot be looked into, in words; None: nothing
        self._reread = reread
        self.hidden_sockets = 0
        self._first: dict[int, int] = {}
        self._others: dict[int, list[int]] = {}
        self._names: dict[int, str | None] = {}

    def add(self, scan: Scan) -> None:
        """Take over what a pass found."""
        self._names.update((pid, _command_name(pid, self.root)) for pid in set(scan.holdings[1::3]))
        first = self._first
        numbers = iter(scan.holdings)
        for inode, pid, fd in zip(numbers, numbers, numbers, strict=True):
            holding = pid << FD_BITS | fd
            if first.setdefault(inode, holding) != holding:
                self._others.setdefault(inode, []).append(holding)

    def attach(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, with their owners."""
        attached = []
        for connection in connections:
            inode = connection.inode
            if not inode:
                attached.append(connection)
                continue
            owners = self._of(inode)
            if not owners:
                attached.append(self._unowned(connection))
                continue
            first = owners[0]
            attached.append(
                replace(
                    connection,
                    pid=first.pid,
                    process=first.process,
                    owners=owners,
                    owner_status="known",
                )
            )
        return attached

    def _unowned(self, connection: Connection) -> Connection:
        is_hidden = self.unseen is not None and self._is_still_there(connection)
        self.hidden_sockets += is_hidden
        return replace(connection, owner_status="hidden" if is_hidden else "not_found")

    def _is_still_there(self, connection: Connection) -> bool:
        """Nobody holds what was closed since it was read, whoever cannot be looked into."""
        return self._there_now is None or connection.inode in self._there_now

    @cached_property
    def _there_now(self) -> Container[int | None] | None:
        return self._reread() if self._reread else None

    def _of(self, inode: int) -> tuple[Owner, ...]:
        """The owners of a socket, in the order of pid and descriptor."""
        holding = self._first.get(inode)
        if holding is None:
            return ()
        if inode not in self._others:
            return (self._owner(holding),)
        return tuple(map(self._owner, sorted((holding, *self._others[inode]))))

    def _owner(self, holding: int) -> Owner:
        pid = holding >> FD_BITS
        return Owner(pid, self._names[pid], holding & FD_MASK)

    def note(self) -> Note | None:
        """What to say of the sockets attached so far whose owners are hidden."""
        count = self.hidden_sockets
        if not count:
            return None
        sockets = "the owner of 1 socket is" if count == 1 else f"the owners of {count} sockets are"
        return Note("owners_hidden", count, f"{sockets} hidden: {self.unseen}")


def find_owners(
    wanted: Collection[int] | None = None,
    root: str = "/proc",
    fork_from: int = FORK_FROM_DESCRIPTORS,
    reread: Reread | None = None,
) -> Owners:
    """Look at every descriptor of every process for sockets; for those with these inodes, if given.

    A process that ends meanwhile is passed over.

    :param fork_from: with how many descriptors in all the work is shared with a second process.
    :param reread: asked, at most once, where a socket has no owner and some process could not be
        looked into: a busy server closes sockets between their reading and this.
    """
    pids = _pids(root)
    scans = _scan_all(pids, wanted, root, fork_from)
    owners = Owners(root, _unseen(sum(scan.denied for scan in scans), pids, root), reread)
    while scans:  # each is given up as soon as it is taken over: it may be large
        owners.add(scans.pop(0))
    return owners


def _pids(root: str) -> list[int]:
    """All processes that /proc lists; none in a chroot without it."""
    try:
        return sorted(int(name) for name in os.listdir(root) if name.isdecimal())
    except OSError:
        return []


def _unseen(denied: int, pids: list[int], root: str) -> str | None:
    """The processes that may hold sockets and were not looked into; None when there are none."""
    if not pids:
        return f"no processes can be seen in {root}; mount it to see them"
    if denied:
        processes = "1 process" if denied == 1 else f"{denied} processes"
        return f"{processes} may not be looked into; {_way_out()}"
    if 1 not in pids:  # with hidepid=2 it is not even listed
        return f"/proc shows only one's own processes (hidepid); {_way_out()}"
    if not _is_first_pid_namespace(root):
        return "processes outside of this PID namespace (container) cannot be seen from within"
    return None


def _way_out() -> str:
    if os.geteuid() != 0:
        return "run as root to see all"
    return "root needs CAP_SYS_PTRACE and no security module in the way to see all"


def process_exists(pid: int) -> bool:
    """Whether there is a process with this number, ours to look at or not."""
    if sys.platform == "win32":  # where os.kill() would end it
        import psutil

        return psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def _scan_all(
    pids: list[int], wanted: Collection[int] | None, root: str, fork_from: int
) -> list[Scan]:
    """One pass over all processes, shared with a forked worker when that is worth its cost."""
    sizes = {pid: _descriptor_count(pid, root) for pid in pids}
    if sum(sizes.values()) < fork_from or not may_fork():
        return [_scan(pids, wanted, root)]
    ours, theirs = _halves(sizes)
    with Worker(lambda: _scan(theirs, wanted, root).to_bytes()) as worker:
        scan, answer = _scan(ours, wanted, root), worker.answer()
    return [scan, _scan(theirs, wanted, root) if answer is None else Scan.from_bytes(answer)]


def _descriptor_count(pid: int, root: str) -> int:
    """How many descriptors a process has open; 0 before Linux 6.2, which does not tell."""
    try:
        return os.stat(f"{root}/{pid}/fd").st_size
    except OSError:
        return 0


def _halves(sizes: dict[int, int]) -> tuple[list[int], list[int]]:
    """Two shares of about the same size: the largest first, each to the smaller share.

    This process itself is always in the first, which it scans itself: after setuid() not even a
    child of it may look at its descriptors (PR_SET_DUMPABLE, prctl(2)).
    """
    shares: tuple[list[int], list[int]] = ([], [])
    totals = [0, 0]
    itself = os.getpid()
    for pid in sorted(sizes, key=lambda pid: (pid != itself, -sizes[pid])):
        smaller = totals[1] < totals[0]
        shares[smaller].append(pid)
        totals[smaller] += sizes[pid]
    return shares


def _is_first_pid_namespace(root: str) -> bool:
    """Whether /proc lists all processes there are: one in another PID namespace may hold ours."""
    try:
        return os.stat(f"{root}/self/ns/pid").st_ino == PROC_PID_INIT_INO
    except OSError:
        return True


def _command_name(pid: int, root: str) -> str | None:
    try:
        with open(f"{root}/{pid}/comm", "rb") as file:
            return decode_name(file.read().removesuffix(b"\n"))
    except OSError:
        return None


def _scan(pids: Iterable[int], wanted: Collection[int] | None, root: str) -> Scan:
    holdings, denied = array("Q"), 0
    for pid in pids:
        try:
            holdings.extend(_sockets_of(pid, wanted, root))
        except PermissionError:
            denied += 1
        except OSError:  # it has ended: ENOENT from open(), ESRCH from reading
            continue
    return Scan(holdings, denied)


def _sockets_of(pid: int, wanted: Collection[int] | None, root: str) -> Iterator[int]:
    """inode, pid, descriptor of each socket, one after the other."""
    folder = os.open(f"{root}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        readlink = os.readlink
        for fd in os.listdir(folder):
            try:
                link = readlink(fd, dir_fd=folder)
            except FileNotFoundError:
                continue
            if link.startswith("socket:["):
                inode = int(link[8:-1])
                if wanted is None or inode in wanted:
                    yield inode
                    yield pid
                    yield int(fd)
    finally:
        os.close(folder)
