"""`netinspect summary`: how many sockets, by protocol and state?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of
from netinspect.cli.options import (
    check_words,
    complete_keywords,
    complete_words,
    end,
    explain_plan,
    filter_options,
    format_options,
    option,
    output_of,
    selection_of,
)
from netinspect.cli.output import terminal_width, write
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError

if TYPE_CHECKING:
    from netinspect.api import Listing
    from netinspect.filters.selection import Selection
    from netinspect.grouping.keys import Grouping

GROUPS = "Group options"
FORMATS = ("table", "json", "ndjson", "csv", "tsv")


def _key_words() -> tuple[str, ...]:
    from netinspect.grouping.keys import KEY_WORDS

    return KEY_WORDS


def _sort_words() -> tuple[str, ...]:
    from netinspect.grouping.keys import KEY_WORDS
    from netinspect.grouping.record import MEASURES

    return (*MEASURES, *KEY_WORDS)


@click.command("summary", cls=SectionCommand)
@filter_options
@option(
    GROUPS,
    "--by",
    multiple=True,
    metavar="KEYS",
    help="Count by these keys instead, joined by comma: process, pid, user, unit, container, "
    "cgroup, state, remote_address, local_port, ...",
    shell_complete=complete_words(_key_words),
)
@option(
    GROUPS,
    "--sort",
    multiple=True,
    metavar="KEY",
    help="Order by count, recv_q, send_q, waiting or one of the keys; -KEY for the largest first. "
    "Without: -count.",
    shell_complete=complete_words(_sort_words),
)
@option(
    GROUPS,
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N groups that are the largest in what --sort sums up, or in count.",
)
@format_options(FORMATS)
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """Count sockets by protocol and state, or by what --by names.

    TCP states that do not occur stand as 0. Owners are not read, unless an option needs them.

    \b
    Examples:
      netinspect summary
      netinspect summary --rport 443 --json
      netinspect summary 'dport = :443 and not dst 10.0.0.0/8'
      netinspect summary --by process,state --top 10
      netinspect summary -s time-wait --by remote_address,remote_port
      ssh mac netstat -anvl -p tcp | netinspect summary --from -
    """
    check_words(words)
    selection = selection_of(options, words)
    grouping = _grouping(options)
    output = output_of(options)
    if grouping:
        listing = _print_groups(selection, grouping, options, output)
    else:
        listing = _print_counts(selection, options, output)
    return end(listing, selection, options)


def _grouping(options: dict[str, Any]) -> Grouping | None:
    """What the group options ask for; None without --by."""
    if not options["by"]:
        for name in ("sort", "top"):
            if options[name]:
                raise UsageError(
                    f"--{name} is about groups: say by what, for instance --by process"
                )
        return None

    from netinspect.filters.words import split_words
    from netinspect.grouping.keys import parse_grouping

    return parse_grouping(
        split_words(options["by"]), sort=split_words(options["sort"]), top=options["top"]
    )


def _print_groups(
    selection: Selection, grouping: Grouping, options: dict[str, Any], output: str
) -> Listing:
    from netinspect.api import Listing, group
    from netinspect.render.groups import render_groups

    listing = Listing(
        selection,
        source=options["source"],
        captures=captures_of(options),
        with_owners=grouping.needs_owners,
        with_holders=grouping.needs_holders,
        with_direction=grouping.needs_direction,
        is_extended=grouping.needs_extended,
    )
    explain_plan(listing, is_wanted=options["explain_plan"])
    groups = group(listing, grouping)
    write(render_groups(groups, output, terminal_width=terminal_width()))
    return listing


def _print_counts(selection: Selection, options: dict[str, Any], output: str) -> Listing:
    from netinspect.api import Listing, summarize
    from netinspect.render.summary import render_summary

    listing = Listing(
        selection,
        source=options["source"],
        captures=captures_of(options),
        with_owners=False,
        is_counted=True,
    )
    explain_plan(listing, is_wanted=options["explain_plan"])
    write(render_summary(summarize(listing), output))
    return listing
