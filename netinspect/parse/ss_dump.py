"""What `ss -D FILE` writes: the answers of sock_diag on TCP, as the kernel gave them.

iproute2 writes each message of each dump (rtnl_dump_filter), one family after the other; of the
end of a dump nothing is written, or NLMSG_DONE. They are in the byte order of the machine, and an
interface is a number that only that machine has a name for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from netinspect.errors import ParseError
from netinspect.model import Connection, Note, OwnerStatus
from netinspect.parse.captured import BinaryFormat, Faults
from netinspect.parse.extended import Extender
from netinspect.parse.inet_diag import MESSAGE, decode_records
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import (
    HEADER,
    LENGTH_AND_TYPE,
    SOCKET_MESSAGES,
    aligned,
    decode_reply,
)
from netinspect.parse.seen import Seen

UNASKED: OwnerStatus = "unsupported"
LONGEST_MESSAGE = 1 << 16
SHOWN = 32  # bytes of a message that cannot be read
LOST = Note(
    "capture_torn",
    None,
    "of a message of the dump the length is wrong: what stands behind it is lost",
)


class _NoUsers(dict[int, "str | None"]):
    """The users of another machine."""

    def __missing__(self, uid: int) -> str | None:
        return None


class _Numbers(dict[int, str]):
    """Interfaces by their number."""

    def __missing__(self, index: int) -> str:
        return str(index)


class _NoCgroups(dict[int, "str | None"]):
    """The cgroups of another machine."""

    def __missing__(self, number: int) -> str | None:
        return None


def _recognises(head: bytes) -> bool:
    """Whether it begins with a message of sock_diag that is as long as it has to be."""
    if len(head) < HEADER.size:
        return False
    length, kind = LENGTH_AND_TYPE.unpack_from(head)
    return kind in SOCKET_MESSAGES and MESSAGE.size <= length < LONGEST_MESSAGE


class _Decoder:
    """Records of messages, a run of them at a time."""

    def __init__(self) -> None:
        self._names = Names(_NoUsers(), _Numbers())
        self._seen = Seen()
        self._extender = Extender(self._names.interface, _NoCgroups())

    def records(self, messages: bytes) -> list[Connection]:
        """:raises ParseError: one of them is not what its kind promises."""
        reply = decode_reply(messages)
        records = decode_records(reply, "tcp", self._names, self._seen)
        return [_told(r) for r in self._extender.extend(reply, records)]


def _told(record: Connection) -> Connection:
    return record if record.inode is None else replace(record, owner_status=UNASKED)


def _read(blocks: Iterable[bytes], faults: Faults) -> Iterator[list[Connection]]:
    decoder = _Decoder()
    number = 1  # of the first message of a run
    for run in _runs(blocks, faults):
        messages = b"".join(run)
        try:
            yield decoder.records(messages)
        except ParseError:
            yield list(_singly(run, number, decoder, faults))
        number += len(run)


def _singly(
    run: Iterable[bytes], number: int, decoder: _Decoder, faults: Faults
) -> Iterator[Connection]:
    """The records of a run in which one message is not as it should be."""
    for position, message in enumerate(run, number):
        try:
            yield from decoder.records(message)
        except ParseError:
            faults.add(position, message[:SHOWN].hex(), 0, "a message of sock_diag")


def _runs(blocks: Iterable[bytes], faults: Faults) -> Iterator[list[bytes]]:
    """The messages about sockets, some at a time; the others, of which most end a dump, are not."""
    data, count = b"", 0
    for block in blocks:
        data += block
        run: list[bytes] = []
        start = 0
        while len(data) - start >= HEADER.size:
            length, kind = LENGTH_AND_TYPE.unpack_from(data, start)
            if not HEADER.size <= length < LONGEST_MESSAGE:
                yield run
                faults.add(count + 1, data[start : start + SHOWN].hex(), 0, "a netlink message")
                faults.notes.append(LOST)
                return
            if start + length > len(data):
                break
            if kind in SOCKET_MESSAGES:
                run.append(data[start : start + aligned(length)])
                count += 1
            start += aligned(length)
        yield run
        data = data[start:]
    if data:
        faults.add(count + 1, data[:SHOWN].hex(), 0, "the rest of a netlink message")


FORMAT = BinaryFormat("ss-dump", "ss -D", _recognises, _read)
