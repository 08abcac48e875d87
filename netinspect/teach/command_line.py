"""A command line as a tool reads it: flags with their arguments, operands, and what goes wrong."""

from __future__ import annotations

from typing import NamedTuple

from netinspect.teach.knowledge import Tool


class Place(NamedTuple):
    """Where in the command something stands: characters `start` to `end` of word `word`."""

    word: int
    start: int
    end: int


class Option(NamedTuple):
    """A flag as the tables name it, `-p`, `--tos`, `+c`, `/?`, and its argument if it took one.

    `typed` is what the user wrote for it: `--prog` for `-p`.
    """

    flag: str
    argument: str | None
    place: Place
    argument_place: Place | None = None
    typed: str = ""


class Operand(NamedTuple):
    """A word that is no option, and its place."""

    text: str
    word: int


class Failure(NamedTuple):
    """What the program says of a command line, and the exit status; None: not known.

    With `continues` it is a warning: what was asked before is done all the same. `place` is where
    the fault stands.
    """

    message: str
    exit_status: int | None
    place: Place | None = None
    note: str | None = None
    continues: bool = False


class CommandLine(NamedTuple):
    """A command line as a tool reads it, up to its first error."""

    tool: Tool
    argv: tuple[str, ...]
    options: tuple[Option, ...]
    operands: tuple[Operand, ...]
    error: Failure | None

    def has(self, *names: str) -> bool:
        """Whether one of these flags was given."""
        return any(option.flag in names for option in self.options)


Part = Option | Operand | Failure


def last_part(path: str) -> str:
    """The name of the program in a path: what getprogname(3) and lsof print."""
    return path.rpartition("/")[2]
