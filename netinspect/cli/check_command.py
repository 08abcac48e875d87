"""`netinspect check`: one threshold, in the convention of the monitoring plugins."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of
from netinspect.cli.options import (
    WORD_OPTIONS,
    check_words,
    complete_keywords,
    complete_words,
    explain_plan,
    filter_options,
    option,
    selection_of,
)
from netinspect.cli.output import discard_output, write
from netinspect.cli.seconds import parse_seconds
from netinspect.cli.sections import SectionCommand
from netinspect.diagnose.threshold import Range, Status, judge, parse_range
from netinspect.errors import NetinspectError, UsageError
from netinspect.render.plugin import Measure, plugin_line

if TYPE_CHECKING:
    from netinspect.filters.selection import Selection
    from netinspect.monitor.metrics import Value

CHECK = "Check options"
METRICS = ("count", "port-percent", "rate", "queue")
SELECTING = frozenset((*WORD_OPTIONS, "pids", "listening", "ipv4", "ipv6"))
OF_TCP = ("port-percent", "rate")
DEFAULT_TIMEOUT = "10"
STATUSES = {"info": Status.OK, "warning": Status.WARNING, "critical": Status.CRITICAL}


def _key_words() -> tuple[str, ...]:
    from netinspect.grouping.keys import KEY_WORDS

    return KEY_WORDS


def _rule_words() -> tuple[str, ...]:
    from netinspect.diagnose.rules import RULES

    return tuple(RULES)


@click.command("check", cls=SectionCommand)
@option(CHECK, "-w", "--warn", "warning", metavar="RANGE", help="WARNING outside of this range.")
@option(CHECK, "-c", "--crit", "critical", metavar="RANGE", help="CRITICAL outside of this range.")
@option(
    CHECK,
    "--metric",
    type=click.Choice(METRICS),
    default="count",
    help="What is held against the ranges: how many sockets (the default); percent of the local "
    "ports to the worst destination; sockets a second into TIME_WAIT; bytes in the fullest queue, "
    "with -l connections that wait to be accepted.",
)
@option(
    CHECK,
    "--per",
    multiple=True,
    metavar="KEYS",
    help="Of the largest group by these keys: --per remote_address,remote_port. Keys as in "
    "summary --by.",
    shell_complete=complete_words(_key_words),
)
@option(
    CHECK,
    "-t",
    "--timeout",
    callback=parse_seconds,
    default=DEFAULT_TIMEOUT,
    metavar="SECONDS",
    help="UNKNOWN when it takes longer. Without: 10.",
)
@option(
    CHECK,
    "--finding",
    metavar="RULE",
    help="What a rule of diagnose says, in place of a value.",
    shell_complete=complete_words(_rule_words),
)
@option(
    CHECK,
    "--set",
    "settings",
    multiple=True,
    metavar="RULE.THRESHOLD=VALUE",
    help="Another threshold for --finding.",
)
@option(
    CHECK,
    "--sample",
    "sample_seconds",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Between the two looks of --finding. Without: 2.",
)
@filter_options
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """Hold one value of the sockets against thresholds, as a plugin of Nagios or Icinga.

    One line on stdout, with performance data. Status 0 is OK, 1 WARNING, 2 CRITICAL, and 3 UNKNOWN:
    whatever cannot be known, wrong usage and --help included.

    RANGE is that of the plugins: 10 alerts below 0 and above 10, 10: below 10, ~:10 above 10,
    10:20 outside, @10:20 inside.

    \b
    Examples:
      netinspect check -s time-wait --warn 10000 --crit 25000
      netinspect check -s time-wait --per remote -w 14000 -c 22000
      netinspect check -l --lport 443 --crit 1:           is anything listening?
      netinspect check -l --lport 8080 --metric queue -w 50 -c 100
      netinspect check --metric port-percent -w 50 -c 80
      netinspect check --process nginx -s close-wait -w 20
      netinspect check --finding accept_queue_overflow --lport 443
    """
    check_words(words)
    with deadline(options["timeout"]):
        if options["finding"] is not None:
            return _check_finding(words, options)
        if options["settings"] or options["sample_seconds"] is not None:
            raise UsageError("--set and --sample are for --finding")
        return _check_value(words, options)


def _check_value(words: tuple[str, ...], options: dict[str, Any]) -> int:
    warning, critical = _range(options, "warning"), _range(options, "critical")
    if warning is None and critical is None:
        raise UsageError("nothing to hold the value against: give --warn, --crit or both")
    value = _value(options, selection_of(options, words))
    status = Status.UNKNOWN
    if value.is_least:
        status = judge(value.number, warning, critical, is_least=bool(value.doubts))
    text = "; ".join((f"{value.text}{_of_which()}", *value.doubts))
    write([line_of(status, text, _measure(options, value, warning, critical))])
    return status


def _check_finding(words: tuple[str, ...], options: dict[str, Any]) -> int:
    """The worst that one rule of `diagnose` has found."""
    from netinspect.cli.diagnose_command import DEFAULT_SAMPLE_S, observation_of
    from netinspect.diagnose.diagnosis import apply
    from netinspect.diagnose.rule import find_rule, parse_settings
    from netinspect.diagnose.rules import RULES
    from netinspect.monitor.metrics import doubts, may_be_fewer

    for name in ("warning", "critical", "per"):
        if options[name]:
            raise UsageError("--finding has thresholds of its own: see --set")
    if options["states"] or options["listening"]:
        raise UsageError("--finding: a rule knows which states it looks at: leave them out")
    rule = find_rule(options["finding"], RULES)
    changed = parse_settings(options["settings"], {rule.code: rule})
    seconds = options["sample_seconds"] or DEFAULT_SAMPLE_S
    if seconds >= options["timeout"]:
        raise UsageError(f"--sample {seconds:g} takes all of --timeout {options['timeout']:g}")
    seen = observation_of(words, options, seconds, time.sleep)
    explain_plan(
        seen.listing,
        is_wanted=options["explain_plan"],
        owners_follow=seen.listing.captures is None,
    )
    outcome = apply([rule], seen.scene, changed)
    faults = [fault for _, fault in outcome.faults]
    status = STATUSES[faults[0].severity] if faults else Status.OK
    unknown = (*(entry.reason for entry in outcome.not_checked), *doubts(seen.listing))
    if unknown and (status is Status.OK or may_be_fewer(seen.listing)):
        write([line_of(Status.UNKNOWN, f"{'; '.join(unknown)}{_of_which()}")])
        return Status.UNKNOWN
    text = "; ".join((faults[0].title, *faults[0].evidence)) if faults else f"no {rule.code}"
    write([line_of(status, f"{text}{_of_which()}", Measure(rule.code, len(faults)))])
    return status


def _value(options: dict[str, Any], selection: Selection) -> Value:
    """What the metric says of these sockets.

    :raises UsageError: the options do not go together.
    """
    from netinspect.api import Listing
    from netinspect.filters.words import split_words
    from netinspect.grouping.keys import parse_grouping
    from netinspect.monitor import metrics

    if options["metric"] in OF_TCP:
        selection = _of_tcp(selection)
    per = split_words(options["per"])
    if per and options["metric"] != "count":
        raise UsageError(f"--per is for --metric count, not {options['metric']}")
    grouping = parse_grouping(per) if per else None
    listing = Listing(
        selection,
        source=options["source"],
        captures=captures_of(options),
        with_owners=grouping is not None and grouping.needs_owners,
        with_direction=grouping is not None and grouping.needs_direction,
        is_extended=grouping is not None and grouping.needs_extended,
    )
    untold = metrics.untold(listing, grouping.by if grouping else ())
    measure = {
        "count": metrics.count,
        "port-percent": metrics.fullest_destination,
        "rate": metrics.time_wait_rate,
        "queue": metrics.fullest_queue,
    }
    found = (
        metrics.largest_count(listing, grouping)
        if grouping
        else measure[options["metric"]](listing)
    )
    explain_plan(listing, is_wanted=options["explain_plan"])
    is_least = not metrics.may_be_fewer(listing, untold)
    return found._replace(doubts=(*untold, *found.doubts), is_least=is_least)


def _of_tcp(selection: Selection) -> Selection:
    from msgspec.structs import replace

    tables = tuple(table for table in selection.tables if table.protocol == "tcp")
    if not tables:
        raise UsageError("--metric port-percent and rate are about TCP: leave --proto out")
    return replace(selection, tables=tables)


def _range(options: dict[str, Any], name: str) -> Range | None:
    return None if options[name] is None else parse_range(options[name])


def _of_which() -> str:
    """The filters as they were given: ` (state time-wait, rport 443)`; empty without."""
    context = click.get_current_context()
    given = [
        _said(param, context.params[str(param.name)])
        for param in context.command.params
        if param.name in SELECTING and context.params[param.name]
    ]
    words = [" ".join(context.params["words"])] if context.params["words"] else []
    return f" ({', '.join(given + words)})" if given or words else ""


def _said(param: click.Parameter, value: Any) -> str:
    name = max(param.opts, key=len).lstrip("-")
    return name if value is True else f"{name} {','.join(value)}"


def _measure(
    options: dict[str, Any], value: Value, warning: Range | None, critical: Range | None
) -> Measure:
    return Measure(
        options["metric"].replace("-", "_"),
        value.number,
        unit="%" if options["metric"] == "port-percent" else "",
        warning=warning.text if warning else "",
        critical=critical.text if critical else "",
    )


def line_of(status: Status, text: str, *measures: Measure) -> bytes:
    """The line of a plugin."""
    return f"{plugin_line(status.name, text, measures)}\n".encode()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process as UNKNOWN when what is inside takes longer, whatever it waits for."""
    timer = threading.Timer(seconds, _give_up, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(seconds: float) -> None:
    os.write(1, line_of(Status.UNKNOWN, f"no answer after {seconds:g} s"))
    os._exit(Status.UNKNOWN)


def as_plugin(
    invoke: Callable[[], int], say: Callable[[Exception], str], *, is_answer: bool
) -> int:
    """Run the command; what keeps it from an answer is said on stdout, and is UNKNOWN.

    :param say: what to say of an error.
    :param is_answer: not where help was asked for: to a monitor that is none.
    """
    try:
        status = invoke()
    except (NetinspectError, click.ClickException, OSError) as error:
        text = say(error)
    except KeyboardInterrupt:
        text = "interrupted"
    else:
        return status if is_answer else Status.UNKNOWN
    try:
        write([line_of(Status.UNKNOWN, text)])
    except OSError:
        discard_output()
    return Status.UNKNOWN
