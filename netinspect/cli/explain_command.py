"""`netinspect explain`: what does this command line do, here and elsewhere?"""

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

    from netinspect.teach.explain import Explanations


# What comes behind the first word belongs to the command that is explained.
@click.command(
    "explain",
    cls=SectionCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] [--]",
)
@option(
    "Options",
    "--on",
    "systems",
    multiple=True,
    metavar="SYSTEM",
    help="As this system would: linux, busybox, macos, freebsd, openbsd, netbsd, windows; several "
    "by comma, or all. Without: as this one.",
    shell_complete=complete_words(system_words),
)
@teaching_options
@click.argument("words", nargs=-1, metavar="COMMAND...", type=click.UNPROCESSED)
def command(words: tuple[str, ...], systems: tuple[str, ...], **options: Any) -> int:
    """Take a netstat, ss, lsof or sockstat command apart, flag by flag. Nothing is run.

    As that system's own option parser would: what each flag means there and where it stands, what
    is shown or how it fails, and what the same letters mean elsewhere.

    \b
    Examples:
      netinspect explain -- netstat -tulpn
      netinspect explain --on macos -- netstat -tulpn
      netinspect explain --on all -- netstat -anp tcp
      netinspect explain 'sudo ss -tan | grep TIME-WAIT | wc -l'
    """
    words, trailing = take_trailing(words, "--on")
    document = _document(words, systems_of([trailing] if trailing else systems))
    if output_of(options) == "json":
        write_document(document)
    else:
        write_lines(_text(document, with_sources=options["with_sources"]))
    return ExitStatus.DONE


def _document(words: tuple[str, ...], systems: list[str]) -> Explanations:
    from netinspect.teach.explain import (
        Explanations,
        explain,
        explained_stages,
        instead_of,
        tools_on,
        worked_example,
    )
    from netinspect.teach.shell import read_command
    from netinspect.teach.translate import elsewhere

    typed = read_command(words)
    chosen = tools_on(systems, typed.argv[0], this_system())
    explanations = tuple(explain(tool, typed.argv) for tool in chosen)
    example = worked_example(typed.argv)
    is_table = "all" in systems
    before, stages = explained_stages(typed)
    return Explanations(
        **envelope(source for e in explanations for source in e.sources),
        command=typed.argv,
        intent=example.intent if example else None,
        before=before,
        explanations=explanations,
        instead={**elsewhere(typed, chosen), **instead_of(typed.argv)} if is_table else {},
        stages=stages,
    )


def _text(document: Explanations, *, with_sources: bool) -> Iterator[str]:
    from netinspect.teach.explain_text import (
        explanation_lines,
        heading_lines,
        source_lines,
        stage_lines,
        table_lines,
    )

    width = text_width()
    yield from stage_lines(document.before, "", width)
    if len(document.explanations) == 1 and not document.instead:
        yield from explanation_lines(document.explanations[0], width)
    else:
        yield from heading_lines(document.command, document.intent, width)
        yield from table_lines(document, width)
    yield from stage_lines(document.stages, "| ", width)
    if with_sources:
        yield ""
        yield from source_lines(document.explanations, width)
