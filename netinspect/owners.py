"""Who holds a socket: one pass over /proc/<pid>/fd, inode to processes.

A descriptor of a socket is a link to `socket:[inode]` (proc_pid_fd(5)). Looking at the descriptors
of another user's process takes the right to ptrace it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from netinspect.errors import SourceError
from netinspect.model import Connection, Note, Owner, OwnerStatus, decode_name

# A descriptor costs about 5 microseconds, a fork 2 milliseconds.
FORK_FROM_DESCRIPTORS = 4000
PROC_PID_INIT_INO = 0xEFFFFFFC  # the first PID namespace, linux/proc_ns.h


class Holding(NamedTuple):
    """One descriptor of a socket."""

    inode: int
    pid: int
    fd: int


class Scan(NamedTuple):
    """What one pass found. `holdings` is flat, three numbers a descriptor as in `Holding`."""

    holdings: array[int]
    denied: int


class Owners:
    """The processes of each socket, and whether there may be more of them.

    `denied` counts the processes that could not be looked into; `are_all_visible` is False when
    there may be processes that /proc does not even list.
    """

    def __init__(
        self, by_inode: dict[int, tuple[Owner, ...]], denied: int, *, are_all_visible: bool
    ) -> None:
        self.by_inode = by_inode
        self.denied = denied
        self.hidden_sockets = 0
        self._absent: OwnerStatus = "hidden" if denied or not are_all_visible else "not_found"

    def attach(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, with their owners."""
        return [self._attached(c) if c.inode else c for c in connections]

    def _attached(self, connection: Connection) -> Connection:
        owners = self.by_inode.get(connection.inode or 0)
        if owners:
            first = owners[0]
            return replace(
                connection,
                pid=first.pid,
                process=first.process,
                owners=owners,
                owner_status="known",
            )
        self.hidden_sockets += self._absent == "hidden"
        return replace(connection, owner_status=self._absent)

    def note(self) -> Note | None:
        """What to say of the sockets attached so far whose owners are hidden."""
        if not self.hidden_sockets:
            return None
        sockets = "socket has an owner" if self.hidden_sockets == 1 else "sockets have owners"
        return Note(
            "owners_hidden",
            self.hidden_sockets,
            f"{self.hidden_sockets} {sockets} that may not be looked at from here; "
            f"to see all owners run as root, outside of any container",
        )


def find_owners(wanted: Collection[int] | None = None, root: str = "/proc") -> Owners:
    """Look at every descriptor of every process for sockets; for those with these inodes, if given.

    A process that ends meanwhile is passed over.

    :raises SourceError: there is no /proc to look at.
    """
    try:
        pids = sorted(int(name) for name in os.listdir(root) if name.isdecimal())
    except OSError as error:
        raise SourceError(f"{root}: no processes to read: {error.strerror}") from None
    scans = _scan_all(pids, wanted, root)
    by_inode = _group(scans, root)
    # Without the right to see others, hidepid=2 shows only one's own processes: pid 1 is missing.
    are_all_visible = 1 in pids and _is_first_pid_namespace(root)
    return Owners(by_inode, sum(scan.denied for scan in scans), are_all_visible=are_all_visible)


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


def _scan_all(pids: list[int], wanted: Collection[int] | None, root: str) -> list[Scan]:
    """One pass over all processes, shared with a forked worker when that is worth its cost."""
    sizes = {pid: _descriptor_count(pid, root) for pid in pids}
    if sum(sizes.values()) < FORK_FROM_DESCRIPTORS or not _may_fork():
        return [_scan(pids, wanted, root)]
    ours, theirs = _halves(sizes)
    with _Worker(theirs, wanted, root) as worker:
        return [_scan(ours, wanted, root), worker.result()]


def _descriptor_count(pid: int, root: str) -> int:
    """How many descriptors a process has open; 0 before Linux 6.2, which does not tell."""
    try:
        return os.stat(f"{root}/{pid}/fd").st_size
    except OSError:
        return 0


def _may_fork() -> bool:
    """Not on one processor, and not beside other threads: they may hold locks in the child."""
    return len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


def _halves(sizes: dict[int, int]) -> tuple[list[int], list[int]]:
    """Two shares of about the same size: the largest first, each to the smaller share."""
    shares: tuple[list[int], list[int]] = ([], [])
    totals = [0, 0]
    for pid in sorted(sizes, key=sizes.__getitem__, reverse=True):
        smaller = totals[1] < totals[0]
        shares[smaller].append(pid)
        totals[smaller] += sizes[pid]
    return shares


class _Worker:
    """A forked process that scans a share and sends what it found through a pipe."""

    def __init__(self, pids: list[int], wanted: Collection[int] | None, root: str) -> None:
        self.share = (pids, wanted, root)
        self.pipe, sending = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.close(self.pipe)
            try:
                _send(_scan(*self.share), sending)
            finally:
                os._exit(0)
        os.close(sending)

    def result(self) -> Scan:
        """What it found; found again here when it could not send it whole."""
        with open(self.pipe, "rb", closefd=False) as pipe:
            sent = pipe.read()
        numbers = array("Q", sent[: len(sent) // 8 * 8])
        # the first number is how many follow
        if not numbers or len(numbers) != numbers[0] + 2:
            return _scan(*self.share)
        return Scan(numbers[2:], denied=numbers[1])

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.pipe)
        os.waitpid(self.pid, 0)


def _send(scan: Scan, descriptor: int) -> None:
    """Write: how many holdings numbers follow, how many processes were denied, the numbers."""
    with open(descriptor, "wb") as pipe:
        pipe.write(array("Q", (len(scan.holdings), scan.denied)).tobytes())
        pipe.write(scan.holdings.tobytes())


def _is_first_pid_namespace(root: str) -> bool:
    """Whether /proc lists all processes there are: one in another PID namespace may hold ours."""
    try:
        return os.stat(f"{root}/self/ns/pid").st_ino == PROC_PID_INIT_INO
    except OSError:
        return True


def _group(scans: Iterable[Scan], root: str) -> dict[int, tuple[Owner, ...]]:
    """Owners by inode, in the order of pid and descriptor."""
    names: dict[int, str | None] = {}
    by_inode: dict[int, tuple[Owner, ...]] = {}
    for inode, pid, fd in _holdings(scans):
        if pid not in names:
            names[pid] = _command_name(pid, root)
        owner = Owner(pid, names[pid], fd)
        earlier = by_inode.get(inode)
        by_inode[inode] = (
            tuple(sorted((*earlier, owner), key=lambda o: (o.pid, o.fd or 0)))
            if earlier
            else (owner,)
        )
    return by_inode


def _holdings(scans: Iterable[Scan]) -> Iterator[Holding]:
    for scan in scans:
        numbers = iter(scan.holdings)
        yield from map(Holding._make, zip(numbers, numbers, numbers, strict=True))


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
