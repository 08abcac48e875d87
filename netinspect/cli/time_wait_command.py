"""`netinspect time-wait`: where does TIME_WAIT come from, and do the local ports suffice?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of, report
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import (
    OUTPUT,
    check_words,
    complete_keywords,
    complete_words,
    filter_options,
    format_options,
    option,
    output_of,
    selection_of,
)
from netinspect.cli.output import print_notes, terminal_width, write
from netinspect.cli.seconds import parse_seconds
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError

if TYPE_CHECKING:
    from netinspect.cli.time_wait_question import Wanted
    from netinspect.diagnose.time_wait_record import TimeWait
    from netinspect.filters.selection import Selection

QUESTION = "Question options"
FORMATS = ("table", "json", "ndjson", "csv", "tsv")
OF_OWNERS = {"pids": "--pid", "processes": "--process", "users": "--user"}


def _language_words() -> tuple[str, ...]:
    from netinspect.teach.advice import language_words

    return language_words()


@click.command("time-wait", cls=SectionCommand)
@option(
    QUESTION,
    "--sample",
    "sample_seconds",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Look twice, so long apart, with the kernel's counters: tells the causes apart.",
)
@option(
    QUESTION,
    "--watch",
    "watch_seconds",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Only count, again and again: a line each, such as TIME_WAIT 27.",
)
@option(
    QUESTION, "--count", type=click.IntRange(min=1), metavar="N", help="End --watch after N lines."
)
@option(
    QUESTION,
    "--advice",
    multiple=True,
    metavar="LANGUAGES",
    help="Show code for these: go, python, node, java, nginx, php, redis, all, none. Without: for "
    "those that the likely processes are written in.",
    shell_complete=complete_words(_language_words),
)
@option(
    QUESTION,
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most N destinations, the worst. Without: 10 in a table, all for programs.",
)
@filter_options
@format_options(FORMATS)
@option(OUTPUT, "--no-owners", is_flag=True, help="Do not look for likely processes.")
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """Where does TIME_WAIT come from, how near is each destination to running out of ports?

    The end that closes a connection first keeps it in TIME_WAIT for a while (60 s on Linux). On a
    client that takes a local port of those that lead to the same address and port: from half of
    them on connect() gets slow, and without any it fails with EADDRNOTAVAIL.

    \b
    Examples:
      netinspect time-wait
      netinspect time-wait --sample 5
      netinspect time-wait --raddr 10.0.0.5 --rport 443 --advice go,python
      netinspect time-wait --watch 1
      netinspect time-wait dport = :5432
      netinspect time-wait --json | jq '.destinations[].used_percent'
    """
    check_words(words)
    selection = _selection(selection_of(options, words), options)
    output = output_of(options)
    _check_options(options)
    if options["watch_seconds"] is not None:
        from netinspect.cli.time_wait_watch import watch

        return watch(
            selection,
            options["source"],
            options["watch_seconds"],
            options["count"],
            output,
            is_explained=options["explain_plan"],
        )

    from netinspect.cli.time_wait_question import ask
    from netinspect.render.time_wait import render_time_wait

    languages = _languages(options["advice"])
    wanted = _wanted(selection, options)
    document, others = _advise(ask(wanted), languages)
    top = options["top"] or (10 if output == "table" else None)
    write(
        render_time_wait(
            document,
            output,
            top=top,
            terminal_width=terminal_width(),
            languages=() if options["advice"] else others,
        )
    )
    if wanted.captures:
        return report(wanted.captures, document.notes, is_strict=options["strict"])
    print_notes(document.notes)
    return ExitStatus.DONE


def _languages(values: tuple[str, ...]) -> frozenset[str] | None:
    """What --advice asks for; None: nothing."""
    from netinspect.filters.words import split_words

    if not values:
        return None
    from netinspect.teach.advice import parse_languages

    return parse_languages(split_words(values))


def _advise(
    document: TimeWait, languages: frozenset[str] | None
) -> tuple[TimeWait, tuple[str, ...]]:
    """The document with what is to be done, and the languages for which there is more."""
    if not document.findings:
        return document, ()
    from netinspect.cli.time_wait_advice import advise, other_languages

    document = advise(document, languages)
    return document, other_languages(document)


def _selection(selection: Selection, options: dict[str, Any]) -> Selection:
    """Of TCP alone.

    :raises UsageError: it asks for what is never in TIME_WAIT.
    """
    from msgspec.structs import replace

    from netinspect.monitor.time_wait import leaves_out_time_wait
    from netinspect.sources.platforms import platform

    tables = tuple(table for table in selection.tables if table.protocol == "tcp")
    if not tables:
        raise UsageError("--proto: only TCP has TIME_WAIT; expected tcp, tcp4 or tcp6")
    selection = replace(selection, tables=tables)
    states = selection.query().states
    if states is not None and "TIME_WAIT" not in states:
        raise UsageError(
            "time-wait: the options leave out all sockets in TIME_WAIT; leave --state, --listening "
            "and --exposure out"
        )
    if options["captures"] or platform() != "linux":  # there it can be told who had the socket
        return selection
    if options["users"] or any(part.owner_test() for part in selection.expanded()):
        raise UsageError(
            "time-wait: a socket in TIME_WAIT belongs to no process and no user, so none can be "
            "selected by them; leave that out, and look at the likely processes"
        )
    if leaves_out_time_wait(selection):
        raise UsageError(
            "time-wait: the expression leaves out all sockets in TIME_WAIT, which have no other "
            "state, and neither user nor inode"
        )
    return selection


def _check_options(options: dict[str, Any]) -> None:
    """:raises UsageError: they do not go together."""
    has_watch = options["watch_seconds"] is not None
    if options["count"] and not has_watch:
        raise UsageError("--count is how many lines --watch prints: say --watch 1 too")
    for name in ("sample_seconds", "advice", "top"):
        if has_watch and options[name]:
            word = name.partition("_")[0]
            raise UsageError(f"--watch only counts: leave --{word} out")
    for name in ("watch", "sample"):
        if options["captures"] and options[f"{name}_seconds"] is not None:
            raise UsageError(
                f"--{name} looks again later, which a capture cannot: leave --from or --{name} out"
            )


def _wanted(selection: Selection, options: dict[str, Any]) -> Wanted:
    from netinspect.cli.time_wait_question import Wanted

    return Wanted(
        selection=selection,
        source=options["source"],
        captures=captures_of(options),
        has_owners=not options["no_owners"],
        sample_seconds=options["sample_seconds"],
        is_explained=options["explain_plan"],
    )
