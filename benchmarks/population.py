"""Loopback TCP sockets by the hundred thousand, held while something is measured.

They are made in the network of the caller, which has to be its own (`__main__` sees to that).
A process may have no more than so many open files, so several processes hold them. Each of those
reads from a pipe whose other end only the benchmark has: when that ends, however it ends, they do.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple, NoReturn

SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

MOST_OPEN_FILES = 20_000
SPARE_FILES = 1_000  # what Python and the benchmark themselves have open, generously
FIRST_PORT = 8000  # of the listeners; clients have theirs from ip_local_port_range
QUIET_PORT = 7999  # a listener with a single connection
PATIENCE_S = 600
# Linux keeps TIME_WAIT for 60 s (TCP_TIMEWAIT_LEN, include/net/tcp.h). What is measured has to be
# over before the first of them go.
TIME_WAIT_S = 60
FEW_TIME_WAIT = 1_000  # that are in nobody's way
# Closing with this sends a reset, and leaves no TIME_WAIT to the next measurement.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class PopulationError(Exception):
    """The sockets could not be made."""


class Census(NamedTuple):
    """What the kernel says is there, without looking at the sockets one by one."""

    in_use: int
    time_wait: int


class Share(NamedTuple):
    """The connections of one process: `number` says to which address and port."""

    number: int
    connections: int
    has_many_peers: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Of its listener. Each has its own, so that there are ports enough for the clients."""
        return f"127.1.{self.number >> 8}.{self.number & 255}", FIRST_PORT + self.number

    def client_host(self, index: int) -> str:
        """The client's address: one for all, or another for each."""
        if not self.has_many_peers:
            return ""
        value = (127 << 24) + (1 << 23) + (self.number << 15) + index + 1
        return socket.inet_ntoa(struct.pack("!I", value))


def prepare_network() -> None:
    """Bring the loopback device up, and let TIME_WAIT be as many as are made."""
    with socket.socket() as control:
        # struct ifreq: name, flags, and the rest of a union
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
    for name, value in (("tcp_max_tw_buckets", 4_000_000), ("tcp_tw_reuse", 0)):
        with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as file:
            file.write(str(value))


def census() -> Census:
    """Read the TCP line of /proc/net/sockstat."""
    with open("/proc/self/net/sockstat", encoding="ascii") as file:
        words = next(line.split() for line in file if line.startswith("TCP:"))
    return Census(int(words[words.index("inuse") + 1]), int(words[words.index("tw") + 1]))


def connections_per_process() -> int:
    """Both ends of a connection are in one process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max((limit - SPARE_FILES) // 2, 1)


def shares(connections: int, *, first: int = 0, has_many_peers: bool = False) -> list[Share]:
    """Divide connections among processes, evenly."""
    most = connections_per_process()
    count = -(-connections // most)
    sizes = [connections // count + (i < connections % count) for i in range(count)]
    return [Share(first + i, size, has_many_peers) for i, size in enumerate(sizes)]


@contextmanager
def established(sockets: int, *, has_many_peers: bool = False) -> Iterator[None]:
    """Hold so many sockets, both ends of connections, besides the listeners."""
    with _processes() as start:
        pending = [
            start(partial(_hold, share))
            for share in shares(sockets // 2, has_many_peers=has_many_peers)
        ]
        _await_all(pending)
        yield


@contextmanager
def half_time_wait(sockets: int) -> Iterator[float]:
    """Hold half of them, leave the other half in TIME_WAIT; when the first of those were made."""
    with established(sockets // 2), time_wait(sockets - sockets // 2) as began:
        yield began


@contextmanager
def time_wait(sockets: int) -> Iterator[float]:
    """Leave so many in TIME_WAIT; when the first of them were made. First others have to go."""
    while census().time_wait > FEW_TIME_WAIT:
        time.sleep(0.5)
    with _processes() as start:
        began = time.monotonic()
        # more processes than processors would only be in each other's way
        for group in _groups(shares(sockets, first=1000), os.cpu_count() or 1):
            _await_all([start(partial(_abandon, share)) for share in group])
        yield began


def _groups(items: list[Share], size: int) -> Iterator[list[Share]]:
    for index in range(0, len(items), size):
        yield items[index : index + size]


Start = Callable[[Callable[[], None]], int]


@contextmanager
def _processes() -> Iterator[Start]:
    """A function that forks a process to do something and then wait for the end of all.

    It gives the descriptor that ends when the process has done it.
    """
    life_line, life = os.pipe()
    pids: list[int] = []
    opened = [life_line, life]

    def start(work: Callable[[], None]) -> int:
        done, doing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(life)
            _serve(work, doing, life_line)
        os.close(doing)
        pids.append(pid)
        opened.append(done)
        return done

    try:
        yield start
    finally:
        for descriptor in opened:
            os.close(descriptor)
        _end(pids)


def _serve(work: Callable[[], None], doing: int, life_line: int) -> NoReturn:
    """In the child: work, say so, wait until the benchmark closes its end."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which ends us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work()
        os.write(doing, b".")
        os.close(doing)
        os.read(life_line, 1)
    except OSError as error:
        os.write(2, f"benchmarks: a process that holds sockets failed: {error}\n".encode())
    finally:
        os._exit(0)


def _await_all(pending: list[int]) -> None:
    """Wait until each process has said that its work is done.

    :raises PopulationError: one of them ended without, or takes too long.
    """
    deadline = time.monotonic() + PATIENCE_S
    for descriptor in pending:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise PopulationError(f"the sockets were not there after {PATIENCE_S} s")
        if not os.read(descriptor, 1):
            raise PopulationError("a process could not make its sockets")


def _end(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)


def _hold(share: Share) -> None:
    """Make the connections of a share, and keep them until this process ends."""
    kept = []
    if share.number == 0:
        kept += [listener := _listen(("127.0.0.1", QUIET_PORT)), *_connect(listener, "")]
    kept.append(listener := _listen(share.address))
    for index in range(share.connections - (share.number == 0)):
        kept += _connect(listener, share.client_host(index))
    for sock in kept:
        sock.detach()  # open until the process ends, whatever Python collects


def _abandon(share: Share) -> None:
    """Make the connections of a share and close them, the client first: it goes to TIME_WAIT."""
    with _listen(share.address, resets=False) as listener:
        for _ in range(share.connections):
            client, server = _connect(listener, "", resets=False)
            client.close()
            server.close()


def _listen(address: tuple[str, int], *, resets: bool = True) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if resets:  # those it accepts inherit this
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    listener.bind(address)
    listener.listen()
    return listener


def _connect(
    listener: socket.socket, host: str, *, resets: bool = True
) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection: the client's, the server's."""
    client = socket.socket()
    if resets:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    if host:
        client.bind((host, 0))
    client.connect(listener.getsockname())
    return client, listener.accept()[0]
