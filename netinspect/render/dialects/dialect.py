"""What the output of every program has in common: blocks of rows below their headings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from netinspect.model import Connection
from netinspect.render.escape import escape_cell

Names = Callable[[str], str]
NOT_TOLD = "-"
# What `model.decode_name` makes of a byte that is no UTF-8, and of a backslash
ESCAPED = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")


class Block(NamedTuple):
    """Some rows, and the lines above them: none where the block goes on.

    Each row is of the connection at its place; it may have several lines.
    """

    heading: tuple[str, ...]
    connections: list[Connection]
    rows: list[str]


class Dialect(Protocol):
    """The output of one program with certain options."""

    @property
    def needs_owners(self) -> bool:
        """Whether it shows who holds a socket."""

    @property
    def needs_command_lines(self) -> bool:
        """Whether it shows how the owners were started, as --extended has it."""

    @property
    def needs_extended(self) -> bool:
        """Whether it shows what --extended adds to a socket."""

    def shows(self, connection: Connection) -> bool:
        """Whether the program knows of sockets like this, and was not told to hide them."""

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """The output. The order of the sockets stays as it is within a block."""


def render_dialect(
    dialect: Dialect, batches: Iterable[list[Connection]], *, has_header: bool = True
) -> Iterator[bytes]:
    """The output as bytes, piece by piece."""
    for block in dialect.blocks(batches):
        lines = [*block.heading, *block.rows] if has_header else block.rows
        if lines:
            yield "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def families_apart(batches: Iterable[list[Connection]]) -> Iterator[list[Connection]]:
    """Of each protocol IPv4 before IPv6, as every program prints them.

    A source may bring both together, but one protocol after the other. IPv6 is held meanwhile.
    """
    held: list[Connection] = []
    for connections in batches:
        if held and connections and connections[0].protocol != held[0].protocol:
            yield held
            held = []
        held += [c for c in connections if c.family == "ipv6"]
        yield [c for c in connections if c.family != "ipv6"]
    yield held


def original_name(name: str) -> str:
    r"""What a name of the record was before `model.decode_name`, as surrogateescape has it.

    >>> original_name("a\\\\b \\xff")
    'a\\b \udcff'
    """
    if "\\" not in name:
        return name
    return ESCAPED.sub(_byte, name.encode()).decode("utf-8", "surrogateescape")


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else b"\\"


def names_for(*, is_terminal: bool) -> Names:
    """How to print names that strangers chose: harmless on a terminal, in a pipe as they are."""
    return escape_cell if is_terminal else original_name


def unix_name(address: str) -> str:
    r"""The name of a unix socket as Linux tools have it: `@` for each NUL of an abstract one.

    To be given to a `Names` afterwards.

    >>> unix_name("@a\\x00b"), unix_name("./@real")
    ('@a@b', '@real')
    """
    if address.startswith("@"):
        return re.sub(r"\\(\\|x00)", lambda found: "@" if found[1] == "x00" else found[0], address)
    return address.removeprefix("./") if address.startswith("./@") else address


def without_zone(address: str) -> str:
    """The address alone, without `%eth0`."""
    return address.partition("%")[0]


def number_text(number: int | None) -> str:
    """A number, or `-` where it is not known."""
    return NOT_TOLD if number is None else str(number)
