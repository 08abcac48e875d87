"""`netinspect translate`: what do I type there for what I type here?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import complete_words, option, output_of
from netinspect.cli.sections import SectionCommand
from netinspect.cli.teaching import (
    envelope,
    system_words,
    systems_of,
    take_trailing,
    teaching_options,
    text_width,
    this_system,
    write_document,
    write_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netinspect.teach.translate import Translations


def _target_words() -> tuple[str, ...]:
    from netinspect.teach.knowledge import tools

    programs = dict.fromkeys(tool.program for tool in tools().values())
    return (*(word for word in system_words() if word != "all"), *programs)


# What comes behind the first word belongs to the command that is translated.
@click.command(
    "translate",
    cls=SectionCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] [--]",
)
@option(
    "Options",
    "--to",
    "target",
    metavar="SYSTEM|TOOL",
    help="For this system (linux, busybox, macos, freebsd, openbsd, netbsd, windows) or tool (ss, "
    "lsof, sockstat, macos_netstat, ...). Without: for this one.",
    shell_complete=complete_words(_target_words),
)
@option(
    "Options",
    "--from",
    "origin",
    metavar="SYSTEM",
    help="As typed on this system. Without: every system's reading that makes a difference.",
    shell_complete=complete_words(system_words),
)
@teaching_options
@click.argument("words", nargs=-1, metavar="COMMAND...", type=click.UNPROCESSED)
def command(words: tuple[str, ...], target: str | None, origin: str | None, **options: Any) -> int:
    """Say what to type elsewhere for a netstat, ss, lsof or sockstat command. Nothing is run.

    First what the command asks, then the commands that ask it there, with what is lost and what
    has to be added, and the netinspect command for it.

    \b
    Examples:
      netinspect translate --to macos -- netstat -tlnp
      netinspect translate --to linux -- netstat -anp tcp
      netinspect translate --to ss --from freebsd -- netstat -Lan
      netinspect translate --to windows 'ss -tan | grep TIME-WAIT'
    """
    words, trailing = take_trailing(words, "--to")
    document = _document(words, trailing or target, origin)
    if output_of(options) == "json":
        write_document(document)
    else:
        write_lines(_text(document, with_sources=options["with_sources"]))
    return ExitStatus.DONE


def _document(words: tuple[str, ...], target: str | None, origin: str | None) -> Translations:
    from netinspect.teach.shell import read_command
    from netinspect.teach.translate import (
        Translations,
        find_sources,
        find_targets,
        readings,
        refusals,
        same_name,
        sources_of,
        target_reading,
    )

    typed = read_command(words)
    name, targets = find_targets(target or this_system(), this_system())
    named = [name for name in systems_of([origin] if origin else []) if name != "all"]
    sources = find_sources(typed, named, targets)
    found = tuple(readings(typed, sources, targets))
    own = None if named else target_reading(typed, targets)
    is_foreign = all(tool.system not in {t.system for t in targets} for tool in sources)
    return Translations(
        **envelope(sources_of(typed, sources, targets)),
        command=typed.argv,
        to=name,
        readings=found,
        refused_by=() if named else tuple(refusals(typed, same_name(typed.argv[0]))),
        target_reading=own if is_foreign else None,
    )


def _text(document: Translations, *, with_sources: bool) -> Iterator[str]:
    from netinspect.teach.translate_text import source_lines, translation_lines

    width = text_width()
    yield from translation_lines(document, width)
    if with_sources:
        yield ""
        yield from source_lines(document.sources, width)
