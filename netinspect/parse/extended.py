"""What --extended adds, from the attributes of sock_diag (linux/inet_diag.h, sock_diag.h)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress, repeat
from operator import not_
from struct import Struct, calcsize
from typing import Any, TypeVar

from msgspec.structs import replace

from netinspect.extended import Memory, Options, TcpInfo
from netinspect.model import Connection, decode_name
from netinspect.parse.inet_diag import MESSAGE
from netinspect.parse.netlink import ATTRIBUTE, Reply, aligned, decode_attributes, message_spans
from netinspect.parse.tcp_info import (
    BBR_CODES,
    CODES,
    DCTCP_CODES,
    FIRST_BIT,
    OLDEST,
    VEGAS_CODES,
    Column,
    algorithm_name,
    decode_bbr,
    decode_dctcp,
    decode_tcp_infos,
    decode_vegas,
)

INFO, VEGASINFO, CONG, TOS, TCLASS, SKMEMINFO, SHUTDOWN, DCTCPINFO = range(2, 10)
SKV6ONLY, MARK, BBRINFO, CLASS_ID, ULP_INFO, CGROUP_ID, SOCKOPT = 11, 15, 16, 17, 19, 21, 22
ULP_INFO_NAME = 1
RCV_SHUTDOWN, SEND_SHUTDOWN = 1, 2  # include/net/sock.h

# SK_MEMINFO, of which forward_allocated can be below 0. The last two are of Linux 3.7 and 4.7.
MEMORY_CODES = "IIIIiIIII"
OLDEST_MEMORY = 28
# struct inet_diag_sockopt: bits of two bytes; they tell nothing of SO_REUSEADDR and SO_REUSEPORT
#   52 00   is_icsk, mc_loop, mc_all
SOCKOPT_NAMES = (
    *("recverr", "is_icsk", "freebind", "hdrincl", "mc_loop", "transparent", "mc_all", "nodefrag"),
    *("bind_address_no_port", "recverr_rfc4884", "defer_connect"),
)
# Type codes of the attributes that are read, and how many bytes there have to be of them
LAYOUTS = {
    INFO: (CODES, OLDEST),
    SKMEMINFO: (MEMORY_CODES, OLDEST_MEMORY),
    VEGASINFO: (VEGAS_CODES, 16),
    DCTCPINFO: (DCTCP_CODES, 16),
    BBRINFO: (BBR_CODES, 20),
    **dict.fromkeys((TOS, TCLASS, SHUTDOWN, SKV6ONLY), ("B", 1)),
    **dict.fromkeys((MARK, CLASS_ID), ("I", 4)),
    CGROUP_ID: ("Q", 8),
    SOCKOPT: ("2s", 2),
}
AS_BYTES = (CONG, ULP_INFO)
OPTION_KINDS = (SHUTDOWN, TOS, TCLASS, SKV6ONLY, MARK, CLASS_ID, ULP_INFO, CGROUP_ID, SOCKOPT)
# Of the fixed part: interface and cookie
FIXED = ("interface", "cookie")
FIXED_CODES = "=56xIQ20x"
MOST_REMEMBERED = 4096
FIRST_BITS = [1 << n if FIRST_BIT == 1 else 0x80 >> n for n in range(8)]

T = TypeVar("T")
Extension = Sequence[Any]  # tcp_info, memory and options of one socket
NOTHING: Extension = (None, None, None)
# Columns: cookies, tcp_info, memory, options; None for ever where there is nothing of one
Decoded = tuple[
    tuple[int, ...],
    "Iterable[TcpInfo | None]",
    "Iterable[Memory | None]",
    "Iterable[Options | None]",
]
MakeOptions = Callable[[int, "dict[int, Any]"], Options]


class OptionsOf(dict[tuple[Any, ...], Options]):
    """The options by interface and the values of these attributes; most sockets are alike."""

    def __init__(self, kinds: Sequence[int], make: MakeOptions) -> None:
        self._kinds = kinds
        self._make = make

    def __missing__(self, values: tuple[Any, ...]) -> Options:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        interface, *found = values
        options = self[values] = self._make(interface, dict(zip(self._kinds, found, strict=True)))
        return options


class Shape:
    """Where the attributes of a message stand: in most messages of one length they stand alike.

    To compare all headers at once and to read all attributes at once takes a fifth of a walk.

    :raises ParseError: an attribute is longer than the message.
    """

    def __init__(self, data: bytes, start: int, end: int, make_options: MakeOptions) -> None:
        headers, unread = "=", MESSAGE.size
        self._header_bytes: list[tuple[int, int]] = []
        place = MESSAGE.size
        layout, unused = FIXED_CODES, 0
        count = len(FIXED)
        self._columns: dict[int, slice] = {}
        for kind, value in decode_attributes(data, start + MESSAGE.size, end):
            codes = readable_codes(kind, len(value))
            size = aligned(len(value))
            header = data[start + place : start + place + ATTRIBUTE.size]
            self._header_bytes += enumerate(header, place)
            place += ATTRIBUTE.size + size
            headers += f"{unread}xI"
            layout += f"{unused + 4}x{codes}"
            unread, unused = size, size - calcsize("=" + codes)
            if codes:
                first, count = count, count + (1 if codes.endswith("s") else len(codes))
                self._columns[kind] = slice(first, count)
        self._headers, self._layout = Struct(headers), Struct(layout)
        self._expected = self._headers.unpack_from(data, start)
        self._option_kinds = [kind for kind in OPTION_KINDS if kind in self._columns]
        self._options_of = OptionsOf(self._option_kinds, make_options)

    def fits_all(self, reply: Reply) -> bool:
        """Whether all messages are alike, of a reply where they are as long as this one's.

        A strided slice a byte of the headers, which takes a sixth of `fits`.
        """
        count = reply.end // reply.size
        return all(
            reply.data[place : reply.end : reply.size] == bytes((byte,)) * count
            for place, byte in self._header_bytes
        )

    def fits(self, data: bytes, starts: Iterable[int]) -> list[bool]:
        """Which of the messages, all as long as the one that this was made of, are alike."""
        headers = map(self._headers.unpack_from, repeat(data), starts)
        return list(map(self._expected.__eq__, headers))

    def decode(self, data: bytes, starts: Sequence[int]) -> Decoded:
        """What is told of messages that are alike."""
        rows = map(self._layout.unpack_from, repeat(data), starts)
        columns = list(zip(*rows, strict=True))
        interfaces, cookies = columns[: len(FIXED)]
        return (
            cookies,
            self._tcp_infos(columns),
            self._converted(columns, SKMEMINFO, lambda values: map(Memory, *values)),
            self._options(interfaces, columns),
        )

    def _converted(
        self,
        columns: Sequence[Column],
        kind: int,
        decode: Callable[[Sequence[Column]], Iterable[T]],
    ) -> Iterable[T | None]:
        """What one attribute tells; None for ever where there is none."""
        place = self._columns.get(kind)
        return repeat(None) if place is None else decode(columns[place])

    def _tcp_infos(self, columns: Sequence[Column]) -> Iterable[TcpInfo | None]:
        details = (
            self._converted(columns, CONG, lambda values: map(algorithm_name, *values)),
            self._converted(columns, VEGASINFO, decode_vegas),
            self._converted(columns, DCTCPINFO, decode_dctcp),
            self._converted(columns, BBRINFO, decode_bbr),
        )
        return self._converted(columns, INFO, lambda fields: decode_tcp_infos(fields, *details))

    def _options(self, interfaces: Column, columns: Sequence[Column]) -> Iterable[Options | None]:
        if not self._option_kinds:
            return repeat(None)
        values = [columns[self._columns[kind]][0] for kind in self._option_kinds]
        return map(self._options_of.__getitem__, zip(interfaces, *values, strict=True))


def readable_codes(kind: int, length: int) -> str:
    """What to unpack an attribute of this length with; nothing for one that tells us nothing.

    :returns: one character a value, or `5s`.
    """
    if kind in AS_BYTES:
        return f"{length}s"
    codes, least = LAYOUTS.get(kind, ("", 0))
    if length < least:
        return ""
    while calcsize("=" + codes) > length:
        codes = codes[:-1]
    return codes


class Extender:
    """Adds tcp_info, memory and options to the records of a dump.

    :param interfaces: name by number.
    :param cgroups: path by id; None for an id that has none.
    """

    def __init__(self, interfaces: Mapping[int, str], cgroups: Mapping[int, str | None]) -> None:
        # not a method: a cycle would stay, for __main__ has no garbage collection
        self._make_options: MakeOptions = partial(_make_options, interfaces, cgroups)
        self._shapes: dict[int, Shape] = {}  # the latest by length of the message

    def extend(self, reply: Reply, records: list[Connection]) -> list[Connection]:
        """The records of this reply, with the three keys.

        :raises ParseError: an attribute is longer than its message.
        """
        groups = list(self._decoded(reply))
        cookies = [record.cookie for record in records]
        if len(groups) == 1 and groups[0][0] == tuple(cookies):  # alike, new, and in this order
            extensions: Iterable[Extension] = zip(*groups[0][1:], strict=False)
        else:
            found = {
                cookie: told for group in groups for cookie, *told in zip(*group, strict=False)
            }
            found.pop(0, None)  # a cookie of 0 is none: it would be anybody's
            extensions = (found.get(cookie or 0, NOTHING) for cookie in cookies)
        return [
            replace(record, tcp_info=tcp_info, memory=memory, options=options)
            for record, (tcp_info, memory, options) in zip(records, extensions, strict=False)
        ]

    def _decoded(self, reply: Reply) -> Iterator[Decoded]:
        """What each group of messages that are alike tells."""
        for length, starts in _starts_by_length(reply).items():
            while starts:
                shape = self._shape(reply.data, starts, length)
                if reply.size and shape.fits_all(reply):
                    yield shape.decode(reply.data, starts)
                    return
                fits = shape.fits(reply.data, starts)
                yield shape.decode(reply.data, list(compress(starts, fits)))
                starts = list(compress(starts, map(not_, fits)))

    def _shape(self, data: bytes, starts: list[int], length: int) -> Shape:
        """One that at least the first of these messages has."""
        shape = self._shapes.get(length)
        if shape is None or not shape.fits(data, starts[:1])[0]:
            shape = Shape(data, starts[0], starts[0] + length, self._make_options)
            self._shapes[length] = shape
        return shape


def _make_options(
    interfaces: Mapping[int, str],
    cgroups: Mapping[int, str | None],
    interface: int,
    values: Mapping[int, Any],
) -> Options:
    device = interfaces[interface] if interface else None
    return decode_options(values, device, cgroups)


def _starts_by_length(reply: Reply) -> dict[int, list[int]]:
    """Where the messages of each length begin."""
    if reply.size >= MESSAGE.size:
        return {reply.size: list(range(0, reply.end, reply.size))}
    starts: dict[int, list[int]] = {}
    for start, end in message_spans(reply, MESSAGE.size, "inet_diag"):
        starts.setdefault(end - start, []).append(start)
    return starts


def decode_memory(value: bytes) -> Memory | None:
    """UNIX_DIAG_MEMINFO; None when it is shorter than any kernel's."""
    codes = readable_codes(SKMEMINFO, len(value))
    return Memory(*Struct("=" + codes).unpack_from(value)) if codes else None


def decode_options(
    values: Mapping[int, Any],
    interface: str | None,
    cgroups: Mapping[int, str | None],
) -> Options:
    """The options that these attributes tell, by number of INET_DIAG.

    :param interface: the device that the socket is bound to.
    """
    flags = _sockopt_flags(values[SOCKOPT]) if SOCKOPT in values else {}
    cgroup_id = values.get(CGROUP_ID)
    return Options(
        mark=values.get(MARK),
        tos=values.get(TOS),
        traffic_class=values.get(TCLASS),
        class_id=values.get(CLASS_ID),
        cgroup_id=cgroup_id,
        cgroup=cgroups[cgroup_id] if cgroup_id else None,
        bound_device=interface,
        v6only=values[SKV6ONLY] != 0 if SKV6ONLY in values else None,
        upper_layer=_upper_layer(values.get(ULP_INFO, b"")),
        **_shutdown_flags(values.get(SHUTDOWN)),
        **flags,
    )


def decode_unix_options(shutdown: bytes) -> Options:
    """The options of a unix socket: of those UNIX_DIAG_SHUTDOWN alone is told."""
    return Options(**_shutdown_flags(shutdown[0] if shutdown else None))


def _shutdown_flags(shutdown: int | None) -> dict[str, Any]:
    if shutdown is None:
        return {}
    return {
        "receive_shutdown": shutdown & RCV_SHUTDOWN != 0,
        "send_shutdown": shutdown & SEND_SHUTDOWN != 0,
    }


def _sockopt_flags(value: bytes) -> dict[str, Any]:
    """The bits of struct inet_diag_sockopt by name: as the machine counts, the first is lowest."""
    return {
        name: value[number // 8] & FIRST_BITS[number % 8] != 0
        for number, name in enumerate(SOCKOPT_NAMES)
    }


def _upper_layer(value: bytes) -> str | None:
    """INET_DIAG_ULP_INFO holds attributes itself, of which INET_ULP_INFO_NAME is one."""
    name = dict(decode_attributes(value, 0, len(value))).get(ULP_INFO_NAME)
    return decode_name(name.rstrip(b"\0")) if name else None
