"""Fuzz targets: valid messages, rows and words, damaged at random, for every parser.

What a parser may do with them is answer, or raise its own error: no other exception, no endless
loop, no growing memory. Each input follows from a seed alone and is printed when it fails.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from socket import AF_INET6
from typing import Any, NamedTuple

import msgspec

from netinspect.errors import NetinspectError, ParseError, UsageError
from netinspect.filters.selection import parse_pids, select
from netinspect.filters.words import parse_states, parse_tables, split_words
from netinspect.model import Connection, Protocol, Table
from netinspect.parse import cgroup, inet_diag, proc_net, proc_pid, unix_diag
from netinspect.parse.bytecode import encode_condition
from netinspect.parse.extended import Extender
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import decode_reply
from netinspect.parse.seen import Seen
from netinspect.query import Cgroup, kernel_test, leaves
from netinspect.render.columns import COLUMNS, WIDE_COLUMNS
from netinspect.render.fact_lines import fact_lines
from netinspect.render.table import Layout, render_table
from tests import kernel_messages as kernel
from tests.capture_seeds import capture_seeds, parse_capture

SEED = 20_240
LONGEST_INPUT = 4096
BLOCK = 500
LONGEST_BLOCK_S = 60  # a hang, not a measurement: a block takes a tenth of a second
# The parsers remember addresses (32,768 of each kind), and Python what it has freed.
MOST_GROWTH = 64 << 20

ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(Connection)


class Target(NamedTuple):
    """A parser, valid inputs for it, and the errors that it may raise."""

    name: str
    seeds: tuple[bytes, ...]
    parse: Callable[[bytes], None]
    errors: type[Exception]


class Unnamed(dict[int, Any]):
    """A user database, or interfaces, without any: what is asked for is not remembered."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    def __missing__(self, number: int) -> str | None:
        return self.answer


NAMES = Names(Unnamed(None), Unnamed("eth0"))
CGROUPS: Mapping[int, str | None] = Unnamed("/a\x1b.slice")
USERS: Mapping[int, str | None] = Unnamed("nobody")
INET_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "raw", "udplite")
SMALLEST_ROW = 40  # of /proc/net
WIDE = Layout([COLUMNS[name] for name in WIDE_COLUMNS], terminal_width=80)


class HangError(Exception):
    """A parser does not come back."""


def fuzz(target: Target, count: int, seed: int = SEED) -> None:
    """Give the target so many damaged inputs."""
    before = resident_bytes()
    damage = Damage(target.seeds, seed)
    with watched() as progress:
        for number in range(count):
            if number % BLOCK == 0:
                progress()
            data = damage.next()
            try:
                target.parse(data)
            except target.errors:
                continue
            except BaseException as error:
                where = f"{target.name}, seed {seed}, input {number}"
                raise AssertionError(f"{where}: {data!r}: {error!r}") from error
    grown = resident_bytes() - before
    assert grown < MOST_GROWTH, f"{target.name}: {grown >> 20} MiB more after {count} inputs"


@contextmanager
def watched() -> Iterator[Callable[[], None]]:
    """A function to call from time to time: when it is not, `HangError` is raised."""

    def stop(*_: object) -> None:
        raise HangError(f"no progress for {LONGEST_BLOCK_S} s")

    def progress() -> None:
        signal.setitimer(signal.ITIMER_REAL, LONGEST_BLOCK_S)

    earlier = signal.signal(signal.SIGALRM, stop)
    try:
        progress()
        yield progress
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def resident_bytes() -> int:
    """The memory of this process now; 0 where that is not told."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


class Damage:
    """Inputs made of the seeds: bits flipped, numbers replaced, pieces cut, moved, repeated."""

    INTERESTING_BYTES = b"\x00\x01\x04\x10\x14\x7f\x80\xff\n\r\t :-/%*,.[]@0Aaz"
    INTERESTING_NUMBERS = (
        *(0, 1, 2, 3, 4, 15, 16, 17, 20, 71, 72, 88),
        *(0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF),
    )

    def __init__(self, seeds: tuple[bytes, ...], seed: int) -> None:
        self.seeds = seeds
        self.bits = random.Random(seed).getrandbits  # noqa: S311 it only has to be cheap
        self.ways = (
            *(self._flip_bit, self._flip_bit, self._set_byte, self._set_byte, self._set_number),
            *(
                self._set_number,
                self._truncate,
                self._cut,
                self._splice,
                self._repeat,
                self._insert,
            ),
        )

    def next(self) -> bytes:
        """One to four damages to one seed."""
        data = bytearray(self._pick(self.seeds))
        for _ in range(1 + self.bits(2)):
            self._pick(self.ways)(data)
        return bytes(data[:LONGEST_INPUT])

    def _pick(self, items: Any) -> Any:
        return items[self.bits(16) % len(items)]

    def _place(self, data: bytearray) -> int:
        return self.bits(16) % (len(data) + 1)

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self.bits(16) % len(data)] ^= 1 << self.bits(3)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self.bits(16) % len(data)] = self._pick(self.INTERESTING_BYTES)

    def _set_number(self, data: bytearray) -> None:
        """Where a length or a count may stand: aligned, two or four bytes."""
        size = 4 if self.bits(1) else 2
        place = self._place(data) & ~1
        value: int = self._pick(self.INTERESTING_NUMBERS) & ((1 << 8 * size) - 1)
        data[place : place + size] = value.to_bytes(size, "little")

    def _truncate(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _cut(self, data: bytearray) -> None:
        place = self._place(data)
        del data[place : place + 1 + self.bits(5)]

    def _splice(self, data: bytearray) -> None:
        """Go on as another seed does."""
        other = self._pick(self.seeds)
        data[self._place(data) :] = other[self.bits(16) % (len(other) + 1) :]

    def _repeat(self, data: bytearray) -> None:
        start = self._place(data)
        piece = data[start : start + 1 + self.bits(6)]
        data[start:start] = piece * (1 << self.bits(3))

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self.bits(32).to_bytes(4, "little")


def check_records(records: list[Connection]) -> None:
    """Each is one line of JSON that fits the schema, and a table can show it."""
    lines = ENCODER.encode_lines(records)
    assert lines.count(b"\n") == len(records)
    for line in lines.splitlines():
        DECODER.decode(line)
    if len(records) == 1 and len(lines) % 16 == 0:  # a table takes longer than all the rest
        table = b"".join(render_table([records], WIDE))
        assert table.count(b"\n") == 2
        assert table.decode().replace("\n", "").isprintable()


def parse_inet_diag(data: bytes) -> None:
    """Counting and decoding find the same sockets, and no more than there is room for."""
    protocol = INET_PROTOCOLS[len(data) % len(INET_PROTOCOLS)]
    reply = decode_reply(data)
    records = inet_diag.decode_records(reply, protocol, NAMES, Seen())
    assert len(records) <= len(data) // inet_diag.MESSAGE.size
    counts = inet_diag.tally(reply, protocol, Seen())
    assert sum(counts.values()) == len(records)
    for record in records:
        assert counts[Table(record.protocol, record.family), record.state] > 0
    check_records(records)


def parse_extended(data: bytes) -> None:
    """Each record gets what is its own, also the second time, and a table can tell it."""
    reply = decode_reply(data)
    records = inet_diag.decode_records(reply, "tcp", NAMES, Seen())
    extender = Extender(NAMES.interface, CGROUPS)
    found = extender.extend(reply, records)
    assert extender.extend(reply, records) == found
    assert len(found) == len(records)
    check_records(found)
    for width in (None, 20):
        for text in fact_lines(found, width):
            assert text.replace("\n", "").isprintable()


def parse_unix_diag(data: bytes) -> None:
    """As a dump of one reply, and as one of two."""
    reply = decode_reply(data)
    records = unix_diag.decode_records([reply], USERS, is_extended=True)
    assert len(records) <= len(data) // unix_diag.MESSAGE.size
    unix_diag.decode_records([reply, reply], USERS)
    check_records(records)


PROC_TABLES = tuple(proc_net.FILES)


def parse_proc_net(data: bytes) -> None:
    """The first byte says which file. Every line is a row, or counted, or part of a path."""
    table = PROC_TABLES[data[0] % len(PROC_TABLES)] if data else PROC_TABLES[0]
    records, skipped = proc_net.parse(data[1:], table, USERS)
    lines = data.split(b"\n")[1:]
    assert len(records) <= len(data) // SMALLEST_ROW
    assert len(records) + skipped <= len(lines)
    if table.protocol != "unix":
        assert len(records) + skipped >= sum(map(bool, lines))
    check_records(records)


def parse_process(data: bytes) -> None:
    """The first byte says which file of a process."""
    if data:
        PROCESS_PARSERS[data[0] % len(PROCESS_PARSERS)](data[1:])


def parse_words(data: bytes) -> None:
    """An argument as Python gives it to a program; the first byte says of which option."""
    kind, text = (data[:1] or b"\0")[0] % 7, os.fsdecode(data[1:].replace(b"\0", b""))
    words = split_words([text])
    if kind == 0:
        assert parse_states(words)
    elif kind == 1:
        parse_tables(words)
    elif kind == 2:
        parse_pids(words)
    elif kind == 3:
        check_names(words)
    else:
        check_places(kind, words)


def read_expression(data: bytes) -> None:
    """What is accepted can be asked of the kernel, and of a record."""
    text = os.fsdecode(data.replace(b"\0", b""))
    for part in select(expression=text).expanded():
        query = part.query()
        for table in query.tables:
            condition = kernel_test(query, (table,)).condition
            if all(not isinstance(leaf, Cgroup) for leaf in leaves(condition)):
                encode_condition(condition)
        for test in (part.socket_test(), part.owner_test()):
            if test:
                test(RECORD)


def check_names(words: list[str]) -> None:
    """Whatever a pattern is made of, it can be tried."""
    selection = select(processes=words, users=words)
    for pattern in selection.processes or ():
        pattern.match("a" * 16)


def check_places(kind: int, words: list[str]) -> None:
    """What is accepted can be asked of the kernel, and of a record."""
    if kind == 4:
        selection = select(ports=words)
        for clause in selection.port_clauses:
            assert all(0 <= r.low <= r.high <= 65535 for r in clause)
    else:
        selection = select(addresses=words)
    encode_condition(selection.query().condition)
    test = selection.socket_test()
    assert test
    test(RECORD)


def inet_seeds() -> tuple[bytes, ...]:
    """Replies of one kind of message, of several, with and without their end, and errors."""
    extras = kernel.attribute(7, kernel.memory(3)) + kernel.attribute(10, b"\x01")
    v6 = kernel.inet_payload(
        kernel.attribute(8, b"\0") + kernel.attribute(11, b"\1"),
        family=int(AF_INET6),
        source=("fe80::1", 443),
        destination=("2001:db8::2", 40000),
        interface=2,
        cookie=77,
    )
    messages = [
        kernel.message(kernel.inet_payload(extras, cookie=n, state=s, timer=n % 6, expires=n * 100))
        for n, s in enumerate((1, 1, 6, 7, 10, 12), start=1)
    ]
    same = b"".join(messages[:2]) * 2
    mixed = messages[2] + kernel.message(v6) + messages[4]
    plain = b"".join(kernel.message(kernel.inet_payload(cookie=n)) for n in range(4))
    ends = (kernel.done(), kernel.done(2), kernel.error(), kernel.error(0))
    return (same, same + ends[0], mixed, mixed + ends[0], plain, *messages, *ends)


def extended_seeds() -> tuple[bytes, ...]:
    """Replies with what --extended asks for, of one shape and of several."""
    info = struct.pack("=8B24I4Q6I4Q2I2Q6I2HI", *range(1, 60)) + bytes(32)
    attributes = (
        *((8, b"\1"), (5, b"\x10"), (6, b"\x20"), (11, b"\1"), (15, b"mark"), (17, b"clid")),
        *((21, b"cgroupid"), (22, b"\xff\x07"), (7, kernel.memory(9)), (2, info)),
        *((4, b"cubic\0"), (3, bytes(16)), (9, b"\1" * 16), (16, b"\2" * 20)),
        (19, kernel.attribute(1, b"tls\0") + kernel.attribute(2, b"")),
    )
    encoded = [kernel.attribute(kind, value) for kind, value in attributes]
    messages = [
        kernel.message(kernel.inet_payload(b"".join(some), cookie=number, interface=number % 3))
        for number, some in enumerate((encoded, encoded, encoded[::-1], encoded[5:], []), start=1)
    ]
    same = kernel.inet_payload(encoded[1] + encoded[9])
    return (*messages, b"".join(messages) + kernel.done(), kernel.message(same) * 3)


def unix_seeds() -> tuple[bytes, ...]:
    """Unix sockets with every attribute that is read."""
    names = (b"/run/x\0", b"\0abstract\0name", b"@path\0", b"\xff\n\x1b[2J")
    messages = [
        kernel.message(
            kernel.unix_payload(
                kernel.attribute(0, name)
                + kernel.attribute(2, (12345 + n).to_bytes(4, "little"))
                + kernel.attribute(4, bytes(8))
                + kernel.attribute(5, kernel.memory(1))
                + kernel.attribute(6, b"\1")
                + kernel.attribute(7, bytes(4)),
                kind=kind,
                state=state,
                inode=12345 + n,
            )
        )
        for n, (name, kind, state) in enumerate(
            zip(names, (1, 2, 5, 3), (1, 7, 10, 2), strict=True)
        )
    ]
    plain = kernel.message(kernel.unix_payload())
    return (*messages, b"".join(messages), plain * 3 + kernel.done(), kernel.error())


PROC_HEADER = b"  sl  local_address %b_address   st tx_queue rx_queue tr tm->when"
PROC_HEADER += b" retrnsmt   uid  timeout inode"
PROC_ROWS = {
    "ipv4": b"   0: 0100007F:1F90 0200007F:9C40 %b 00000000:00000001 02:000003E8 00000000  1000"
    b"        0 75705 ",
    "ipv6": b"   1: 000080FE000000000000000001000000:01BB B80D0120000000000000000002000000:9C40 %b"
    b" 00000000:00000000 00:00000000 00000000     0        0 75706 ",
}
PROC_ENDS = {
    True: (b"1 0000000000000000 20 4 30 10 -1\n", b"3 00000000ae4c4e79\n"),
    False: (b"2 00000000522a2a4f 0\n", b"2 00000000522a2a4f -7  \n"),
}
UNIX_LINES = (
    b"00000000d541d5a6: 00000002 00000000 00010000 0001 01 75714 /run/a b\n"
    b"00000000d541d5a7: 00000003 00000000 00000000 0002 03 75715 @x\ny\n"
    b"00000000d541d5a8: 00000003 00000000 00000000 0001 02     0\n"
)


def proc_file(table: Table) -> bytes:
    """A small file: its header and two rows, of unix three."""
    if table.protocol == "unix":
        return b"Num       RefCount Protocol Flags    Type St Inode Path\n" + UNIX_LINES
    is_tcp = table.protocol == "tcp"
    header = PROC_HEADER % (b"rem" if table.family == "ipv4" else b"remote")
    header += b"\n" if is_tcp else b" ref pointer drops\n"
    states = (b"01", b"0A") if is_tcp else (b"07", b"01")
    row, ends = PROC_ROWS[table.family], PROC_ENDS[is_tcp]
    return header + b"".join(row % state + end for state, end in zip(states, ends, strict=True))


def proc_seeds() -> tuple[bytes, ...]:
    """A file of every table, behind the byte that says which."""
    return tuple(bytes([n]) + proc_file(table) for n, table in enumerate(PROC_TABLES))


# Of those that take long, patterns most of all, there are few.
WORDS = {
    0: ("time-wait,established,ESTAB", "connected"),
    1: ("tcp,udp6,unix", "all"),
    2: ("1,4194304", "0"),
    3: ("py[0-9]?n*,root",),
    4: ("443,8000-8100", "https", "0-65535", "22,80", "1-2"),
    5: ("10.0.0.0/8,::1", "fe80::1%eth0", "[2001:db8::]/32", "::ffff:1.2.3.4", "1.2.3.4/33"),
    6: ("127.0.0.1/255.0.0.0", "0.0.0.0/0", "::/0"),
}


def word_seeds() -> tuple[bytes, ...]:
    """Arguments behind the byte that says of which option."""
    return tuple(bytes([kind]) + word.encode() for kind, words in WORDS.items() for word in words)


PROCESS_PARSERS: tuple[Callable[[bytes], object], ...] = (
    proc_pid.parse_stat,
    proc_pid.parse_command_line,
    proc_pid.parse_executable,
    proc_pid.parse_effective_uid,
    proc_pid.parse_boot_time,
    cgroup.parse_cgroup,
)
CONTAINER_ID = b"3f9c0a7d" * 8
PROCESS_FILES = (
    b"12 (a) (b) S 1 12 12 0 -1 4194560 512 0 3 0 4 2 0 0 20 0 1 0 86420 11337728 1024\n",
    b"/usr/bin/java\0-jar\0x.jar\0",
    b"/usr/bin/java (deleted)",
    b"Name:\tjava\nUid:\t1000\t1000\t1000\t1000\n",
    b"cpu 1 2\nbtime 1767323045\n",
    b"4:cpu,cpuacct:/docker/%b\n1:name=systemd:/machine.slice/machine-a\\x2db.scope/payload\n"
    b"0::/user.slice/user@1000.service/kubepods/libpod-%b.scope\n" % (CONTAINER_ID, CONTAINER_ID),
)


def process_seeds() -> tuple[bytes, ...]:
    """A file of each kind, behind the byte that says which."""
    return tuple(bytes([kind]) + content for kind, content in enumerate(PROCESS_FILES))


# Any record will do.
RECORD = inet_diag.decode_records(
    decode_reply(kernel.message(kernel.inet_payload())), "tcp", NAMES, Seen()
)[0]

EXPRESSION_SEEDS = (
    b"state established and not ( dport = :443 or dst 10.0.0.0/8 )",
    b"src [::1]:80 | dst unix:'/run/a b*' || !sport>=1024",
    b"fwmark 0x1/0xff or autobound or pid != 5 or process = n*x",
    b"rtt > 1.5s and retrans >= 2 and recv_q < 64k and proto = tcp6",
    b"user root uid 0 inode 5 exposure any direction inbound dev lo",
)

TARGETS = (
    Target("inet_diag", inet_seeds(), parse_inet_diag, NetinspectError),
    Target("extended", extended_seeds(), parse_extended, NetinspectError),
    Target("unix_diag", unix_seeds(), parse_unix_diag, NetinspectError),
    Target("proc_net", proc_seeds(), parse_proc_net, ParseError),
    Target("proc_pid", process_seeds(), parse_process, ParseError),
    Target("words", word_seeds(), parse_words, UsageError),
    Target("expression", EXPRESSION_SEEDS, read_expression, UsageError),
    Target("capture", capture_seeds(), parse_capture, ParseError),
)
TARGET_NAMES = [target.name for target in TARGETS]
