"""Sockets of other network namespaces: containers have ports of their own.

A thread enters the namespace (setns(2) is for the thread alone), asks, and ends.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from netinspect.errors import RefusedError
from netinspect.model import Connection
from netinspect.query import Query
from netinspect.sources.sock_diag import SockDiag

CLONE_NEWNET = 0x40000000  # linux/sched.h


class Namespace(NamedTuple):
    """A network namespace, by its inode, and a process that is in it."""

    inode: int
    pid: int


def other_namespaces(root: str = "/proc") -> list[Namespace]:
    """Those that processes are in which we may look into, without our own; each once."""
    found: dict[int, int] = {}
    for pid, inode in _namespaces(root):
        found.setdefault(inode, pid)
    own = _inode(f"{root}/self/ns/net")
    return [Namespace(inode, pid) for inode, pid in found.items() if inode != own]


def _namespaces(root: str) -> Iterator[tuple[int, int]]:
    """The namespace of each process."""
    try:
        pids = sorted(int(name) for name in os.listdir(root) if name.isdecimal())
    except OSError:
        return
    for pid in pids:
        inode = _inode(f"{root}/{pid}/ns/net")
        if inode is not None:
            yield pid, inode


def _inode(path: str) -> int | None:
    """None when the process has ended, or may not be looked into."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def sockets_inside(namespace: Namespace, query: Query, root: str = "/proc") -> list[Connection]:
    """The sockets of another network namespace, and perhaps more than the query describes.

    :raises RefusedError: it has gone, or this takes CAP_SYS_ADMIN in both namespaces.
    :raises SourceError: the system failed.
    """
    with ThreadPoolExecutor(max_workers=1) as visitor:
        return visitor.submit(_enter_and_read, namespace, query, root).result()


def _enter_and_read(namespace: Namespace, query: Query, root: str) -> list[Connection]:
    try:
        descriptor = os.open(f"{root}/{namespace.pid}/ns/net", os.O_RDONLY)
    except OSError as error:
        raise RefusedError(f"network namespace {namespace.inode}: {error.strerror}") from None
    try:
        if os.fstat(descriptor).st_ino != namespace.inode:
            raise RefusedError(f"network namespace {namespace.inode}: its process has ended")
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)
    source = SockDiag()
    return [
        connection
        for table in query.tables
        for batch in source.read(table, query)
        for connection in batch.records()
    ]


def _set_namespace(descriptor: int) -> None:
    """os.setns() is there from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise RefusedError(f"setns: {os.strerror(ctypes.get_errno())}")
