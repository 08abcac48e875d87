"""The tables of `netinspect/data/`, each read when it is first asked for.

A table is checked against its structs as it is read; a test reads them all. Every entry names its
source: a file of the tool's own source code, its manual, or "run live".
"""

# Without `from __future__ import annotations`: msgspec would compile each one, which takes 2 ms.
import os
from functools import cache
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from netinspect.errors import UsageError, unknown_word

T = TypeVar("T")
# os.path: pathlib takes 4 ms to load
DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")

Dialect = Literal["gnu", "posix", "lsof", "windows"]
Severity = Literal["danger", "trap", "mild", "none"]
Support = Literal["yes", "partial", "no"]

# The systems, in the order in which they are shown.
SYSTEMS = {
    "linux": "GNU/Linux",
    "busybox": "BusyBox",
    "macos": "macOS",
    "freebsd": "FreeBSD",
    "openbsd": "OpenBSD",
    "netbsd": "NetBSD",
    "windows": "Windows",
}
SYSTEM_ALIASES = {
    "gnu": "linux",
    "mac": "macos",
    "osx": "macos",
    "darwin": "macos",
    "win": "windows",
    "win32": "windows",
}


class ValueRule(Struct, frozen=True):
    """Which arguments a flag takes, and what is said of another.

    :param pattern: a regular expression for the whole argument, or for each piece of it.
    :param each: what separates the pieces: ",", or "letter" where every letter is one.
    :param status: the exit status; None where it is not known.
    :param continues: what was asked before is printed all the same.
    """

    flag: str
    pattern: str
    message: str
    status: int | None
    note: str | None = None
    each: str | None = None
    continues: bool = False


class Exclusion(Struct, frozen=True):
    """Flags of which only one may be given, and what is said of two.

    :param counts: the same flag twice is two.
    """

    flags: tuple[str, ...]
    message: str
    status: int
    without_argument: bool = False
    counts: bool = False


class Need(Struct, frozen=True):
    """A flag that is only taken together with another one, or with operands.

    :param one_of: flags; with `=` behind it a flag counts only where it has an argument.
    """

    flag: str
    one_of: tuple[str, ...]
    message: str
    status: int
    or_operands: bool


class Remark(Struct, frozen=True):
    """What is to be said of flags together.

    :param flags: all of these are given, and none of `without`.
    :param operands: only where there are operands (True), or where there are none (False).
    """

    flags: tuple[str, ...]
    text: str
    source: str
    without: tuple[str, ...] = ()
    operands: bool | None = None


class Tool(Struct, frozen=True):
    """A program on a system: how it reads its command line and what it says of a bad one.

    :param options: as getopt(3) takes it: a letter, and `:` behind it where an argument follows.
    :param long: name, whether an argument follows (0, 1), and the letter or flag that it is.
    :param stops: flags that print something and end the program at once.
    :param rejected: letters of the option string that are refused all the same.
    :param bad_status: the exit status after a bad option; None where it is not known.
    :param separator: what stands between address and port in what it prints.
    :param chain: an operand behind which another command line begins.
    """

    id: str
    program: str
    system: str
    title: str
    version: str
    platform: str
    dialect: Dialect
    options: str
    unknown: str
    missing: str
    bad_status: int | None
    separator: str
    source: str
    long: tuple[tuple[str, int, str], ...] = ()
    stops: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    values: tuple[ValueRule, ...] = ()
    conflicts: tuple[Exclusion, ...] = ()
    needs: tuple[Need, ...] = ()
    remarks: tuple[Remark, ...] = ()
    missing_of: dict[str, str] = field(default_factory=dict)
    status_note: str | None = None
    has_libxo: bool = False
    operands_status: int | None = None
    chain: str | None = None


class Flag(Struct, frozen=True):
    """What one flag of one tool means.

    :param effect: what it asks for, in the words of `question.py`; empty where that is nothing
        that another tool could be asked.
    """

    tool: str
    platform: str
    short: str | None
    long: str | None
    argument: str | None
    meaning: str
    category: str
    source: str
    notes: str | None = None
    status: str | None = None
    since: str | None = None
    effect: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The flag as it is typed: the short form where there is one."""
        return self.short or self.long or self.argument or ""


class Answer(Struct, frozen=True):
    """How a question is asked of a tool."""

    support: Support
    command: str | None
    note: str | None = None
    instead: str | None = None


class Intent(Struct, frozen=True):
    """One question, and how each tool is asked."""

    id: str
    title: str
    commands: dict[str, Answer]
    note: str | None = None


class Meaning(Struct, frozen=True):
    """What a letter means to one tool."""

    argument: str | None
    meaning: str


class Conflict(Struct, frozen=True):
    """One letter on all tools: who means what by it, and how dangerous the difference is."""

    flag: str
    conflicting: bool
    severity: Severity
    senses: dict[str, tuple[str, ...]] | None
    trap: str | None
    meanings: dict[str, Meaning]
    rejected_by: tuple[str, ...]


class Behaviour(Struct, frozen=True):
    """What tools do that no flag says."""

    default_states: dict[str, str]
    operands: dict[str, str]
    exit_status_bad_option: dict[str, int]
    exit_status_notes: dict[str, str]
    exit_status_verified_live: tuple[str, ...]


class WorkedExample(Struct, frozen=True):
    """One command line on every system."""

    command: str
    intent: str
    outcomes: dict[str, str]


class Conflicts(Struct, frozen=True):
    """The table of conflicts."""

    source: str
    tools: tuple[str, ...]
    behaviour: Behaviour
    flags: tuple[Conflict, ...]
    worked_examples: tuple[WorkedExample, ...]


class Prefix(Struct, frozen=True):
    """A word before a command, as sudo: `arguments` more words belong to it."""

    program: str
    arguments: int
    options_with_value: tuple[str, ...]
    meaning: str
    effect: str
    source: str


class Idiom(Struct, frozen=True):
    """What a command behind a pipe does: `program` and `pattern` are regular expressions."""

    program: str
    pattern: str
    meaning: str
    source: str


class Idioms(Struct, frozen=True):
    """What stands before and behind commands in a shell."""

    prefixes: tuple[Prefix, ...]
    stages: tuple[Idiom, ...]


class _Tools(Struct, frozen=True):
    tools: tuple[Tool, ...]


class _Flags(Struct, frozen=True):
    flags: tuple[Flag, ...]


class _Intents(Struct, frozen=True):
    source: str
    tools: dict[str, str]
    intents: tuple[Intent, ...]


def read_table(name: str, kind: type[T]) -> T:
    """One table.

    :raises OSError: it is not there: the installation is broken.
    """
    with open(os.path.join(DATA, f"{name}.json"), "rb") as file:
        return msgspec.json.decode(file.read(), type=kind)


@cache
def tools() -> dict[str, Tool]:
    """Every tool by its id, as `macos_netstat`, in the order in which they are shown."""
    return {tool.id: tool for tool in read_table("tools", _Tools).tools}


@cache
def flags() -> tuple[Flag, ...]:
    """Every flag of every tool."""
    return read_table("flags", _Flags).flags


def flags_of(tool: Tool) -> dict[str, Flag]:
    """The flags of a tool by their names, short and long."""
    return _flags_by_tool()[tool.platform, tool.program]


@cache
def _flags_by_tool() -> dict[tuple[str, str], dict[str, Flag]]:
    found: dict[tuple[str, str], dict[str, Flag]] = {}
    for flag in flags():
        mine = found.setdefault((flag.platform, flag.tool), {})
        mine.update((name, flag) for name in (flag.short, flag.long, flag.name) if name)
    return found


@cache
def _intents() -> _Intents:
    return read_table("intents", _Intents)


@cache
def intents() -> dict[str, Intent]:
    """Every question by its id."""
    return {intent.id: intent for intent in _intents().intents}


def intents_source() -> str:
    """Where the commands that ask the questions come from."""
    return _intents().source


@cache
def conflicts() -> Conflicts:
    """The letters that mean several things, what tools do by default, and worked examples."""
    return read_table("conflicts", Conflicts)


@cache
def idioms() -> Idioms:
    """What stands before and behind commands in a shell."""
    return read_table("idioms", Idioms)


@cache
def ss_filter() -> dict[str, Any]:
    """The filter language of ss: words, grammar and pitfalls."""
    return read_table("ss_filter", dict[str, Any])


def refuse_group(word: str) -> None:
    """Say which systems a word stands for that is not one of them.

    :raises UsageError: it is such a word.
    """
    if word == "bsd":
        raise UsageError("'bsd' is several systems: name macos, freebsd, openbsd or netbsd")


def system_of(word: str) -> str:
    """The system that a word names, in any case: `macOS`, `osx` and `darwin` are one.

    :raises UsageError: it names none; with the nearest that does.
    """
    folded = word.casefold()
    found = SYSTEM_ALIASES.get(folded, folded)
    refuse_group(folded)
    if found not in SYSTEMS:
        raise UsageError(unknown_word("system", word, SYSTEMS))
    return found


def find_tool(system: str, program: str) -> Tool | None:
    """The tool of this name on a system, or with this id; None where there is none."""
    if system in tools():
        return tools()[system]
    name = program.rpartition("/")[2].rpartition("\\")[2].removesuffix(".exe")
    if name == "lsof" and system not in ("windows", "busybox"):
        return tools()["lsof"]
    for tool in tools().values():
        if (tool.system, tool.program) == (system, name):
            return tool
    return None
