"""Files of /proc/net, captured: of TCP, UDP, UDPLITE, raw, ICMP and unix sockets, one or several.

The header says the family, and TCP or not; udp, udplite, raw and icmp have the same one. Addresses
are read as of a machine of this byte order, timers as of one with 100 ticks a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from netinspect.model import Connection, Family, OwnerStatus, Protocol, Table
from netinspect.parse import proc_net, proc_unix
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines

# The processes are not in these files, and this machine does not have them.
UNASKED: OwnerStatus = "unsupported"
UNIX = Table("unix", "unix")
FAMILIES: tuple[tuple[Family, str], ...] = (("ipv4", "rem"), ("ipv6", "remote"))
DATAGRAMS: tuple[Protocol, ...] = ("udp", "udplite", "raw", "icmp")
TABLES = {name: table for table, name in proc_net.FILES.items()}
# What head and tail put before each of several files: ==> /proc/net/raw6 <==
FILE_TITLE = re.compile(r"==> (?:.*/)?(\w+) <==")
UNIX_ROW_START = re.compile(proc_unix.ROW_START.decode())

Numbered = tuple[int, str]


class _NoNames(dict[int, "str | None"]):
    """The users of another machine."""

    def __missing__(self, uid: int) -> str | None:
        return None


USERS: Mapping[int, str | None] = _NoNames()


def _read(lines: Lines, faults: Faults, datagrams: Protocol) -> Iterator[list[Connection]]:
    """:param datagrams: what the files that all look alike are of, where no title says it."""
    table: Table | None = None
    rows: list[Numbered] = []
    for numbered in enumerate(lines, 1):
        line = numbered[1]
        if "local_address" in line or line.startswith(("Num ", "==> ")):
            yield _records(rows, table, faults)
            rows = []
            table, datagrams = _begin(line, table, datagrams)
        elif line or table == UNIX:  # of a path that has line ends one may be empty
            rows.append(numbered)
            if len(rows) >= BATCH_SIZE and table != UNIX:
                yield _records(rows, table, faults)
                rows = []
    yield _records(rows, table, faults)


def _begin(line: str, table: Table | None, datagrams: Protocol) -> tuple[Table | None, Protocol]:
    """The table of the rows that follow a header or title, and what datagrams are now."""
    title = FILE_TITLE.fullmatch(line)
    if title:
        named = TABLES.get(title[1])
        if named and named.protocol in DATAGRAMS:
            datagrams = named.protocol
        return None, datagrams
    return _table_of(line, datagrams) or table, datagrams


def _table_of(line: str, datagrams: Protocol = "udp") -> Table | None:
    """The table whose file begins with this line; None when none does."""
    header = " ".join(line.split())
    if header == proc_net.UNIX_HEADER:
        return UNIX
    for family, remote in FAMILIES:
        if header == proc_net.TCP_HEADER.format(remote):
            return Table("tcp", family)
        if header == proc_net.DATAGRAM_HEADER.format(remote):
            return Table(datagrams, family)
    return None


def _records(rows: Sequence[Numbered], table: Table | None, faults: Faults) -> list[Connection]:
    if table is None:
        for number, line in rows:
            if line:
                faults.add(number, line, 0, "the header of a file of /proc/net")
        return []
    block = "".join([f"{line}\n" for _, line in rows]).encode("utf-8", "surrogateescape")
    if table == UNIX:
        unix_rows, skipped = proc_unix.split_rows(block)
        records = [proc_unix.record(row, UNASKED) for row in unix_rows]
    else:
        inet_rows, skipped = proc_net.split_inet_rows(block, table)
        records = proc_net.inet_records(inet_rows, table, USERS, unasked=UNASKED)
    if skipped:
        for number, line in _unread(rows, table):
            faults.add(number, line, 0, f"a row of /proc/net/{proc_net.FILES[table]}")
    return records


def _unread(rows: Iterable[Numbered], table: Table) -> Iterator[Numbered]:
    """Those that are no rows; of unix what follows a row may be the rest of its path."""
    is_in_path = False
    for number, line in rows:
        raw = line.encode("utf-8", "surrogateescape")
        if table != UNIX:
            if not proc_net.INET_ROWS[table.family, table.protocol == "tcp"].fullmatch(raw):
                yield number, line
            continue
        begins = UNIX_ROW_START.match(line)
        row = proc_unix.ROW.fullmatch(raw)
        if (begins and not row) or not (begins or is_in_path or not line):
            yield number, line
        has_path = row is not None and row[row.re.groups] is not None
        is_in_path = has_path or (is_in_path and not begins)


def _recognises(lines: Sequence[str]) -> bool:
    first = next((line for line in lines if not FILE_TITLE.fullmatch(line)), "")
    return _table_of(first) is not None


def _never(_lines: Sequence[str]) -> bool:
    """These look like files of udp, and have to be named."""
    return False


FORMATS = (
    Format("proc", "/proc/net", _recognises, partial(_read, datagrams="udp")),
    *(
        Format(f"proc-{name}", f"/proc/net/{name}", _never, partial(_read, datagrams=name))
        for name in DATAGRAMS
        if name != "udp"
    ),
)
