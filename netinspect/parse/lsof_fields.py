r"""What lsof prints with -F: fields of a letter and a value, one a line, or with a NUL behind each.

    p340\0cComet Helper\0u501\0Lanna\0
    f8\0tIPv4\0PTCP\0n127.0.0.1:631->127.0.0.1:50000\0TST=ESTABLISHED\0TQR=0\0TQS=0\0

`p` begins a process and `f` a file of it; old captures that did not ask for `f` have it at the next
letter that the file has already. Sources: proc.c and print.c of lsof.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from netinspect.errors import CellError
from netinspect.model import Connection
from netinspect.parse.captured import Faults, Format, Lines
from netinspect.parse.captured_socket import Queues
from netinspect.parse.lsof import STATE_AT_END
from netinspect.parse.lsof_files import (
    INET_TYPES,
    File,
    Told,
    collect,
    is_socket_name,
    unescape,
)

FIRST = re.compile(r"p\d{1,10}(\0|$)")
OF_PROCESS = frozenset("pgRcuLKM")
LETTERS = frozenset("acCdDfFgGiklLmMnNopPrRsStTuzZKxX")  # of fields, in any lsof
SECOND = re.compile(r"[a-zA-Z]")


class Fields:
    """The files of a capture, put together from their fields."""

    def __init__(self) -> None:
        self._process: dict[str, str] = {}
        self._file: dict[str, str] = {}
        self._line, self._text = 0, ""

    def files(self, lines: Lines) -> Iterator[Told]:
        """Each with the number and the text of the line that has its name, or its last field."""
        for number, line in enumerate(lines, 1):
            for field in line.split("\0"):
                if field and field[0] not in LETTERS:
                    yield Told(number, line, partial(_no_field, field))
                elif field:
                    yield from self._take(field[0], field[1:])
                    if field[0] == "n" or "n" not in self._file:
                        self._line, self._text = number, line
        yield from self._finished()

    def _take(self, letter: str, value: str) -> Iterator[Told]:
        """One field; the file that it ends."""
        if letter in OF_PROCESS:
            yield from self._finished()
            if letter == "p":
                self._process = {}
            self._process[letter] = value
            return
        key = letter + value[:2] if letter == "T" else letter
        if letter == "f" or key in self._file:
            yield from self._finished()
        self._file[key] = value

    def _finished(self) -> Iterator[Told]:
        file, self._file = self._file, {}
        if file:
            yield Told(self._line, self._text, partial(_file, self._process, file))


def _no_field(text: str) -> File:
    raise CellError(text, "a field of lsof -F such as p340 or tIPv4")


def _file(process: dict[str, str], fields: dict[str, str]) -> File | None:
    """The file; None for one of no process that is no socket either.

    :raises CellError: it is a socket, and nothing tells of which process.
    """
    pid = _number(process.get("p"))
    if pid is None:
        if "P" in fields or is_socket_name(fields.get("n")):
            raise CellError("", "the process of this socket before it, such as p340")
        return None
    login = process.get("L")
    name, state = fields.get("n"), fields.get("TST")
    if fields.get("t") not in INET_TYPES and name and (found := STATE_AT_END.fullmatch(name)):
        name = found["name"]
    return File(
        command=process.get("c"),
        pid=pid,
        uid=_number(process.get("u")),
        user=None if login is None else unescape(login),
        fd=_number(fields.get("f")),
        type=fields.get("t"),
        device=fields.get("d"),
        inode=_number(fields.get("i")),
        protocol=fields.get("P"),
        name=name,
        state=None if state is None else state.removeprefix("ST="),
        queues=Queues(_queue(fields, "QR"), _queue(fields, "QS")),
    )


def _queue(fields: dict[str, str], name: str) -> int | None:
    """The bytes of `QR=0` or `QS=0`."""
    return _number(fields.get(f"T{name}", "").removeprefix(f"{name}="))


def _number(text: str | None) -> int | None:
    if text and text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    return None


def read(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """See `captured.Reader`."""
    return collect(Fields().files(lines), faults)


def recognises(lines: Sequence[str]) -> bool:
    """Whether this begins with a process, and fields follow."""
    return bool(lines) and bool(FIRST.match(lines[0])) and all(map(SECOND.match, lines))


FORMAT = Format("lsof-fields", "lsof -F", recognises, read)
