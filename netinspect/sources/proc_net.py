"""/proc/net on Linux: what is left where netlink is refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import NamedTuple, TypeVar

from netinspect.errors import RefusedError, SourceError
from netinspect.model import Connection, Note, State, Table
from netinspect.parse import proc_net, proc_unix
from netinspect.parse.proc_net import INODE, InetRow
from netinspect.parse.proc_unix import UnixRow
from netinspect.query import Query
from netinspect.sources import UNDECIDED, tally_records
from netinspect.sources.names import UserNames

# The kernel gives 4 KiB a read; Python goes on reading until it has this much.
BLOCK_SIZE = 1 << 18
PAGE_SIZE = 1 << 12
# USER_HZ, the unit of the timers; Windows has no sysconf, and no /proc either
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

T = TypeVar("T")


class ProcNet:
    """The sockets of this process's network namespace, from the files below `root`/self/net.

    Always /proc/self/net: /proc/net is missing where /proc is mounted with subset=pid.
    """

    name = "proc"
    gives_owners = False
    gives_extended = False

    def __init__(self, root: str = "/proc", block_size: int = BLOCK_SIZE) -> None:
        self._folder = f"{root}/self/net"
        self._block_size = block_size
        self._users = UserNames()
        self._losses = Losses()

    @property
    def notes(self) -> list[Note]:
        """What was not shown of the batches decoded so far."""
        return self._losses.notes()

    def read(self, table: Table, query: Query) -> Iterator[InetBatch | UnixBatch]:  # noqa: ARG002
        """Batches of one table. See `Source.read`.

        :raises ParseError: the file does not begin with its header.
        """
        if table not in proc_net.FILES:
            raise RefusedError(f"/proc/net has no {table.protocol} sockets")
        if table.protocol == "unix":
            yield UnixBatch(b"".join(self._blocks(table)), table, self._losses)
            return
        yield from self._read_inet(table, self._strangers(table))

    def _read_inet(self, table: Table, strangers: set[bytes]) -> Iterator[InetBatch]:
        """The rows of a file, and after a long one those that a second look finds.

        The kernel prints a page at a time. In tcp it goes on in the hash chain where it was, in the
        others at the number of rows that it has printed: it misses one when one before it goes away
        (udp_get_idx, raw_get_idx, ping_get_idx). While 1,000 UDP sockets a second came and went, of
        those that stayed one look missed 1 in 1,000, two missed 1 in 100,000.
        """
        seen: set[Hashable] = set()
        size = 0
        for block in self._blocks(table):
            size += len(block)
            yield InetBatch(block, table, self._users, strangers, seen, self._losses)
        if table.protocol != "tcp" and size > PAGE_SIZE:
            told_already = Losses()
            for block in self._blocks(table):
                yield InetBatch(block, table, self._users, strangers, seen, told_already)

    def _strangers(self, table: Table) -> set[bytes]:
        """Inodes that the kernel may print in this file, but that belong to the other family's."""
        if table.protocol != "icmp":
            return set()
        other = Table("icmp", "ipv6" if table.family == "ipv4" else "ipv4")
        return proc_net.icmp_inodes(b"".join(self._blocks(other)))

    def _blocks(self, table: Table) -> Iterator[bytes]:
        """The rows of a file, cut at line ends."""
        path = f"{self._folder}/{proc_net.FILES[table]}"
        try:
            with open(path, "rb") as file:
                proc_net.check_header(file.readline(), table)
                rest = b""
                while block := file.read(self._block_size):
                    lines, line_end, rest = (rest + block).rpartition(b"\n")
                    yield lines + line_end
                if rest:
                    yield rest
        except FileNotFoundError:
            # Without this file, but with that of TCP, the kernel has no such protocol.
            anchor = f"{self._folder}/tcp"
            if path == anchor or not os.path.exists(anchor):
                raise RefusedError(f"{path}: no such file") from None
        except PermissionError:
            raise RefusedError(f"{path}: permission denied") from None
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from None


class Losses:
    """What is not shown, counted while batches are decoded."""

    def __init__(self) -> None:
        self.rows_skipped = 0
        self.duplicates_dropped = 0

    def notes(self) -> list[Note]:
        """A note for each kind that occurred."""
        skipped, dropped = self.rows_skipped, self.duplicates_dropped
        notes = []
        if skipped:
            rows = "row" if skipped == 1 else "rows"
            message = f"{skipped} {rows} of /proc/net could not be read"
            notes.append(Note("rows_skipped", skipped, message))
        if dropped:
            rows = "row" if dropped == 1 else "rows"
            message = f"{dropped} {rows} of /proc/net came twice while it changed, shown once"
            notes.append(Note("duplicates_dropped", dropped, message))
        return notes

    def unseen(self, rows: list[T], keys: list[Hashable], seen: set[Hashable]) -> list[T]:
        """The rows whose key is new or None.

        A table that changes while it is read shows a row twice when others are put before the
        place where reading goes on.
        """
        new = set(keys)
        if len(new) == len(rows) and seen.isdisjoint(new):
            seen |= new
            return rows
        unseen = []
        for row, key in zip(rows, keys, strict=True):
            if key is None or key not in seen:
                seen.add(key)
                unseen.append(row)
        self.duplicates_dropped += len(rows) - len(unseen)
        return unseen


class InetBatch(NamedTuple):
    """Whole lines of one file."""

    block: bytes
    table: Table
    users: UserNames
    strangers: set[bytes]
    seen: set[Hashable]
    losses: Losses
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """The sockets of these lines that no earlier ones had."""
        return proc_net.inet_records(self._rows(), self.table, self.users, TICKS_PER_SECOND)

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of the sockets of these lines that no earlier ones had."""
        states = proc_net.inet_states(self._rows(), self.table)
        return Counter((self.table, state) for state in states)

    def _rows(self) -> list[InetRow]:
        rows, skipped = proc_net.split_inet_rows(self.block, self.table)
        self.losses.rows_skipped += skipped
        if self.strangers:
            rows = [row for row in rows if row[INODE] not in self.strangers]
        keys: list[Hashable] = [proc_net.inet_key(row) for row in rows]
        return self.losses.unseen(rows, keys, self.seen)


class UnixBatch(NamedTuple):
    """A whole file: a path may have line breaks, so that rows cannot be told from one line."""

    data: bytes
    table: Table
    losses: Losses
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """All unix sockets."""
        return [proc_unix.record(row) for row in self._rows()]

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of all unix sockets."""
        return tally_records(self.records())

    def _rows(self) -> list[UnixRow]:
        rows, skipped = proc_unix.split_rows(self.data)
        self.losses.rows_skipped += skipped
        keys: list[Hashable] = [proc_unix.row_key(row) for row in rows]
        return self.losses.unseen(rows, keys, set())
