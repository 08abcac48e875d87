"""`netinspect flags`: what does this letter mean, and to whom?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import complete_words, option, output_of
from netinspect.cli.sections import SectionCommand
from netinspect.cli.teaching import (
    envelope,
    teaching_options,
    text_width,
    write_document,
    write_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netinspect.teach.flags import FlagComparison
    from netinspect.teach.knowledge import Tool


def _tool_words() -> tuple[str, ...]:
    from netinspect.teach.knowledge import SYSTEMS, tools

    return (*tools(), "ss", "sockstat", "netstat", *SYSTEMS, "all")


# Unknown options are letters to be explained: `flags -p`.
@click.command("flags", cls=SectionCommand, context_settings={"ignore_unknown_options": True})
@option(
    "Options",
    "--tool",
    "tool_words",
    multiple=True,
    metavar="TOOL",
    help="netstat, ss, lsof, sockstat, a system (macos, freebsd, windows, ...), one of both "
    "(macos_netstat), or all; several by comma. Without: netstat of GNU/Linux, macOS and FreeBSD, "
    "ss and lsof.",
    shell_complete=complete_words(_tool_words),
)
@teaching_options
@click.argument("letters", nargs=-1, metavar="[LETTER...]", type=click.UNPROCESSED)
def command(letters: tuple[str, ...], tool_words: tuple[str, ...], **options: Any) -> int:
    """Say what flags of netstat, ss, lsof and sockstat mean, side by side.

    Letters that mean different things are marked, the dangerous ones first. One letter, or a long
    option, is told in full, on every tool. With one tool and no letter: all its flags.

    \b
    Examples:
      netinspect flags
      netinspect flags p
      netinspect flags -- -o
      netinspect flags --tool ss
      netinspect flags --tool openbsd,netbsd,windows
      netinspect flags t u l --tool all --json
    """
    from netinspect.filters.words import split_words
    from netinspect.teach.flags import all_flags, compare, find_tools

    words = split_words(tool_words) or (["all"] if letters else [])
    chosen = find_tools(words)
    is_manual = len(chosen) == 1 and not letters
    compared = all_flags(chosen[0]) if is_manual else compare(letters, chosen)
    if output_of(options) == "json":
        write_document(_document(compared))
    else:
        is_whole = not letters
        lines = _text(compared, chosen, is_whole=is_whole, with_sources=options["with_sources"])
        write_lines(lines)
    return ExitStatus.DONE


def _document(compared: Sequence[FlagComparison]) -> Any:
    from netinspect.teach.flags import Flags

    sources = [entry.source for flag in compared for entry in flag.entries]
    return Flags(**envelope(sources), flags=tuple(compared))


def _text(
    compared: Sequence[FlagComparison],
    chosen: Sequence[Tool],
    *,
    is_whole: bool,
    with_sources: bool,
) -> Iterator[str]:
    from netinspect.teach.flags_text import in_full, of_one_tool, side_by_side, source_lines

    width = text_width()
    if is_whole:
        is_manual = len(chosen) == 1
        yield from (
            of_one_tool(compared, width) if is_manual else side_by_side(compared, chosen, width)
        )
    for index, flag in enumerate(() if is_whole else compared):
        if index:
            yield ""
        yield from in_full(flag, width)
    if with_sources:
        yield ""
        yield from source_lines(compared, width)
