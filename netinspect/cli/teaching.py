"""What the commands that teach share: the width, the envelope of their JSON, `--sources`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from netinspect.cli.options import OUTPUT, format_options, option
from netinspect.cli.output import terminal_width, write

if TYPE_CHECKING:
    import msgspec

Function = TypeVar("Function", bound=Callable[..., Any])

FORMATS = ("table", "json")


def teaching_options(command: Function) -> Function:
    """`--sources`, `-o` and `--json`."""
    add_sources = option(
        OUTPUT, "--sources", "with_sources", is_flag=True, help="Also say where each fact is from."
    )
    return add_sources(format_options(FORMATS)(command))


def system_words() -> tuple[str, ...]:
    """The systems that can be named."""
    from netinspect.teach.knowledge import SYSTEMS

    return (*SYSTEMS, "all")


def systems_of(words: Iterable[str]) -> list[str]:
    """The systems that the values of an option name, in any spelling.

    :raises UsageError: one names none.
    """
    from netinspect.filters.words import split_words
    from netinspect.teach.knowledge import system_of

    return [w.casefold() if w.casefold() == "all" else system_of(w) for w in split_words(words)]


def take_trailing(words: tuple[str, ...], name: str) -> tuple[tuple[str, ...], str | None]:
    """The words of a command without our option at their end, `--on macos`, and its value.

    It is ours only with a system or a tool behind it: `--on` is also how ss may be asked for
    `--oneline`.
    """
    from netinspect.errors import UsageError
    from netinspect.teach.flags import find_tools

    if len(words) < 3 or words[-2] != name:
        return words, None
    try:
        find_tools(words[-1].split(","))
    except UsageError:
        return words, None
    return words[:-2], words[-1]


def this_system() -> str:
    """The system that netinspect runs on, as the tables name it."""
    from netinspect.sources.platforms import platform
    from netinspect.teach.knowledge import SYSTEM_ALIASES, SYSTEMS

    name = platform().rstrip("0123456789.")
    return next((s for s in (SYSTEM_ALIASES.get(name, name),) if s in SYSTEMS), "linux")


def text_width() -> int:
    """The columns that a text may take: those of the terminal, 80 where there is none."""
    from netinspect.render.wrapped import DEFAULT_WIDTH

    return terminal_width() or DEFAULT_WIDTH


def envelope(sources: Iterable[str]) -> dict[str, Any]:
    """The fields that every document begins with. Its `sources` are those of the facts in it."""
    import os
    from datetime import datetime, timezone

    from netinspect.model import decode_name
    from netinspect.sources.platforms import platform

    return {
        "host": decode_name(os.fsencode(_host())),
        "platform": platform(),
        "sources": tuple(dict.fromkeys(sources)),
        "taken_at": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
    }


def _host() -> str:
    """The name of this machine; from uname(2) where there is one, as socket takes 3 ms to load."""
    import os

    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def write_lines(lines: Iterable[str]) -> None:
    """Text to stdout, a line at a time."""
    write(f"{line}\n".encode() for line in lines)


def write_document(document: msgspec.Struct) -> None:
    """One JSON object to stdout."""
    import msgspec

    from netinspect.render.escape import escape_json

    text = msgspec.json.encode(document).decode()
    write([f"{escape_json(text) if terminal_width() else text}\n".encode()])
