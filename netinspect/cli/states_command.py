"""`netinspect states`: what does a TCP state mean?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import output_of
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

    from click.shell_completion import CompletionItem

    from netinspect.teach.states import OtherState, TcpState


def _complete_states(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from netinspect.filters.words import GROUPS, STATE_WORDS

    words = (*STATE_WORDS, *GROUPS)
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


@click.command("states", cls=SectionCommand)
@teaching_options
@click.argument("words", nargs=-1, metavar="[STATE...]", shell_complete=_complete_states)
def command(words: tuple[str, ...], **options: Any) -> int:
    """Say what TCP states mean: who waits for what, how long, and what many of them are a sign of.

    Takes every system's spelling (TIME_WAIT, time-wait, TimeWait, TMWAIT) and the groups of ss.
    One state is told in full, with its place in the state machine; several are a table.

    \b
    Examples:
      netinspect states
      netinspect states time-wait
      netinspect states FIN_WAIT_2 --sources
      netinspect states close-wait --json
    """
    from netinspect.filters.words import split_words
    from netinspect.teach.states import find_states

    states, others = find_states(split_words(words))
    if output_of(options) == "json":
        write_document(_document(states, others))
    else:
        write_lines(_text(states, others, with_sources=options["with_sources"]))
    return ExitStatus.DONE


def _document(states: Sequence[TcpState], others: Sequence[OtherState]) -> Any:
    from netinspect.teach.states import States, diagram

    sources = [source for s in states for source in (s.source, *(d.source for d in s.lasts))]
    return States(
        **envelope(sources),
        states=tuple(states),
        others=tuple(others),
        diagram=tuple(diagram(states)),
    )


def _text(
    states: Sequence[TcpState], others: Sequence[OtherState], *, with_sources: bool
) -> Iterator[str]:
    from netinspect.teach.states_text import other_lines, source_lines, state_lines, table_lines

    width = text_width()
    if len(states) == 1:
        yield from state_lines(states[0], width)
    elif states:
        yield from table_lines(states, width)
    if states and others:
        yield ""
    for other in others:
        yield from other_lines(other, width)
    if with_sources:
        yield ""
        yield from source_lines(states, width)
