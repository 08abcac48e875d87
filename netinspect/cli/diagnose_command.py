"""`netinspect diagnose`: what is wrong with the sockets of this machine?"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of, report
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import (
    check_words,
    complete_keywords,
    complete_words,
    explain_plan,
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
    from netinspect.diagnose.diagnosis import Diagnosis, Finding
    from netinspect.diagnose.rule import Fault, Rule
    from netinspect.monitor.observe import Observation

RULES = "Rule options"
FORMATS = ("table", "json", "ndjson", "csv", "tsv")
DEFAULT_SAMPLE_S = 2.0
PROTOCOLS = ("tcp", "udp", "unix")
TICK_S = 0.1


def _rule_words() -> tuple[str, ...]:
    from netinspect.diagnose.rules import RULES as ALL

    return tuple(ALL)


def _rule_option(name: str, help_text: str) -> Callable[[Any], Any]:
    return option(
        RULES,
        name,
        multiple=True,
        metavar="RULES",
        help=help_text,
        shell_complete=complete_words(_rule_words),
    )


@click.command("diagnose", cls=SectionCommand)
@option(
    RULES,
    "--sample",
    "sample_seconds",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Between the two looks that are compared. Without: 2.",
)
@option(RULES, "--once", is_flag=True, help="Look once: what needs two looks is not checked.")
@_rule_option("--only", "Only these rules, joined by comma.")
@_rule_option("--skip", "All but these.")
@option(
    RULES,
    "--set",
    "settings",
    multiple=True,
    metavar="RULE.THRESHOLD=VALUE",
    help="Another threshold: close_wait_leak.sockets=50.",
)
@option(RULES, "--list", "is_list", is_flag=True, help="Every rule with its thresholds.")
@option(
    RULES,
    "--explain",
    metavar="RULE",
    help="What a rule is about, what to do, what not.",
    shell_complete=complete_words(_rule_words),
)
@filter_options
@format_options(FORMATS)
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """What is wrong with the sockets of this machine, how that shows, and what to do?

    Looks twice, and at the kernel's counters. Status 1 when there is a warning or worse, else 0.
    What could not be checked is said, with the reason.

    \b
    Examples:
      netinspect diagnose
      netinspect diagnose --sample 10 --json
      netinspect diagnose --only accept_queue_overflow,syn_flood --lport 443
      netinspect diagnose --set close_wait_leak.sockets=50 --skip exposed_listener
      netinspect diagnose --explain close_wait_leak
      ss -tanpio | netinspect diagnose --from -
    """
    check_words(words)
    if options["is_list"]:
        return _list(options)
    if options["explain"] is not None:
        return _explain(options["explain"])
    return _diagnose(words, options)


def _list(options: dict[str, Any]) -> int:
    from netinspect.render.diagnosis import rule_lines
    from netinspect.render.wrapped import DEFAULT_WIDTH

    lines = rule_lines(_chosen(options), terminal_width() or DEFAULT_WIDTH)
    write(f"{line}\n".encode() for line in lines)
    return ExitStatus.DONE


def _explain(word: str) -> int:
    from netinspect.diagnose.rule import find_rule
    from netinspect.diagnose.rules import RULES as ALL
    from netinspect.render.diagnosis import LONGEST_TEXT, lesson_lines
    from netinspect.render.wrapped import DEFAULT_WIDTH
    from netinspect.teach.lessons import load_lessons

    rule = find_rule(word, ALL)
    lesson = load_lessons()[rule.code]
    thresholds = [f"{t.name} = {t.value:g} {t.meaning} ({t.source})" for t in rule.thresholds]
    parts = {
        "What to do": lesson.advice,
        "What not to do": lesson.avoid,
        "Thresholds (--set)": thresholds,
        "Read": lesson.references,
    }
    width = min(terminal_width() or DEFAULT_WIDTH, LONGEST_TEXT)
    write(f"{line}\n".encode() for line in lesson_lines(rule, lesson.meaning, parts, width))
    return ExitStatus.DONE


def _chosen(options: dict[str, Any]) -> list[Rule]:
    """The rules of --only without those of --skip.

    :raises UsageError: there is no such rule, or none is left.
    """
    from netinspect.diagnose.rule import find_rule
    from netinspect.diagnose.rules import RULES as ALL
    from netinspect.filters.words import split_words

    only, skipped = (
        [find_rule(word, ALL) for word in split_words(options[name])] for name in ("only", "skip")
    )
    chosen = [rule for rule in ALL.values() if (not only or rule in only) and rule not in skipped]
    if not chosen:
        raise UsageError("--only and --skip leave no rule")
    return chosen


def _diagnose(words: tuple[str, ...], options: dict[str, Any]) -> int:
    from netinspect.diagnose.rule import parse_settings
    from netinspect.diagnose.rules import RULES as ALL
    from netinspect.render.diagnosis import render_diagnosis

    rules, changed = _chosen(options), parse_settings(options["settings"], ALL)
    output = output_of(options)
    observation = _observe(words, options)
    listing = observation.listing
    explain_plan(listing, is_wanted=options["explain_plan"], owners_follow=listing.captures is None)
    document = _document(observation, rules, changed)
    write(render_diagnosis(document, output, terminal_width=terminal_width()))
    captures = observation.listing.captures
    if captures and (status := report(captures, document.notes, is_strict=options["strict"])):
        return status
    if not captures:
        print_notes(document.notes)
    is_bad = any(finding.severity != "info" for finding in document.findings)
    return ExitStatus.NO if is_bad else ExitStatus.DONE


def _observe(words: tuple[str, ...], options: dict[str, Any]) -> Observation:
    if options["captures"] and options["sample_seconds"] is not None:
        raise UsageError("--sample looks again later, which a capture cannot: leave it out")
    if options["once"] and options["sample_seconds"] is not None:
        raise UsageError("--once looks once, --sample twice: leave one of them out")
    seconds = None if options["once"] else options["sample_seconds"] or DEFAULT_SAMPLE_S
    return observation_of(words, options, seconds, _wait)


def observation_of(
    words: tuple[str, ...],
    options: dict[str, Any],
    seconds: float | None,
    wait: Callable[[float], None],
) -> Observation:
    """What the filter options select, looked at twice; a capture once.

    :param seconds: between the two; None: look once.
    """
    from netinspect.api import Listing
    from netinspect.monitor.observe import observe
    from netinspect.sources.platforms import platform

    captures = captures_of(options)
    if not options["protocols"] and not captures:
        options = {**options, "protocols": PROTOCOLS}
    selection = selection_of(options, words)
    # On Linux they are looked for once, when it is known of which sockets.
    with_owners = captures is not None or platform() != "linux"
    return observe(
        lambda: Listing(
            selection, source=options["source"], captures=captures, with_owners=with_owners
        ),
        seconds=seconds,
        wait=wait,
    )


def _wait(seconds: float) -> None:
    """Let time pass, with a bar on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        time.sleep(seconds)
        return
    end = time.monotonic() + seconds
    with click.progressbar(_ticks(end), length=round(seconds / TICK_S), file=sys.stderr) as bar:
        for _ in bar:
            pass


def _ticks(end: float) -> Iterator[None]:
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))
        yield


def _document(
    observation: Observation, rules: list[Rule], changed: dict[str, dict[str, float]]
) -> Diagnosis:
    from msgspec.structs import asdict

    from netinspect.diagnose.diagnosis import Diagnosis, apply

    outcome = apply(rules, observation.scene, changed)
    return Diagnosis(
        **asdict(observation.listing.envelope),
        sample_seconds=observation.scene.seconds,
        findings=tuple(_finding(rule, fault) for rule, fault in outcome.faults),
        checked=outcome.checked,
        not_checked=outcome.not_checked,
        notes=observation.notes,
    )


def _finding(rule: Rule, fault: Fault) -> Finding:
    from netinspect.diagnose.diagnosis import finding
    from netinspect.teach.lessons import load_lessons

    lesson = load_lessons()[rule.code]
    return finding(rule, fault, lesson.advice, lesson.avoid, lesson.references)
