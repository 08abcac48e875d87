"""The options that commands share, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.output import print_error, print_notes
from netinspect.cli.sections import SectionOption
from netinspect.errors import UsageError, unknown_word

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from netinspect.api import Listing
    from netinspect.filters.selection import Selection
    from netinspect.model import Family, Table

Function = TypeVar("Function", bound=Callable[..., Any])
Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

FILTERS = "Filter options (all must hold; several values of one are alternatives)"
OUTPUT = "Output options"


def complete_words(words: Callable[[], tuple[str, ...]]) -> Completion:
    """Complete the last of several words with a comma between them."""

    def complete(
        _context: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + w) for w in words() if w.startswith(last)]

    return complete


def complete_keywords(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the words with which the parts of an expression begin."""
    from click.shell_completion import CompletionItem

    from netinspect.filters.keywords import KEYWORDS

    words = (*KEYWORDS, "and", "or", "not")
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _state_words() -> tuple[str, ...]:
    from netinspect.filters.words import GROUPS, STATE_WORDS

    return (*STATE_WORDS, *GROUPS)


def _protocol_words() -> tuple[str, ...]:
    from netinspect.filters.words import PROTOCOL_WORDS

    return PROTOCOL_WORDS


def _exposure_words() -> tuple[str, ...]:
    from netinspect.filters.words import EXPOSURES

    return EXPOSURES


def _direction_words() -> tuple[str, ...]:
    from netinspect.filters.words import DIRECTIONS

    return DIRECTIONS


def _source_words() -> tuple[str, ...]:
    from netinspect.sources import SOURCE_NAMES

    return SOURCE_NAMES


def _capture_words() -> tuple[str, ...]:
    from netinspect.sources.capture import format_names

    return format_names()


def _complete_files(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell complete the names of files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def column_words() -> tuple[str, ...]:
    """The names of all columns."""
    from netinspect.render.columns import COLUMNS, part_names

    return (*COLUMNS, *part_names())


def _format_words() -> tuple[str, ...]:
    from netinspect.render.dialects import DIALECTS
    from netinspect.render.named import OWN_FORMATS, named_formats

    return (*OWN_FORMATS, *DIALECTS, *named_formats())


def option(section: str, *names: str, **attributes: Any) -> Callable[[Function], Function]:
    """An option under a heading."""
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def _words(
    name: str, *names: str, metavar: str, help_text: str, **attributes: Any
) -> Callable[[Function], Function]:
    """A filter option with several values, by comma or repetition."""
    return option(
        FILTERS, name, *names, multiple=True, metavar=metavar, help=help_text, **attributes
    )


def _source_options(section: str) -> tuple[Callable[[Function], Function], ...]:
    """What says where sockets are read."""
    return (
        option(
            section,
            "--source",
            default="auto",
            metavar="SOURCE",
            help="Read the sockets from here and nowhere else: sock_diag, proc, macos, freebsd, "
            "openbsd, netbsd, psutil.",
            shell_complete=complete_words(_source_words),
        ),
        option(
            section,
            "--from",
            "captures",
            multiple=True,
            metavar="FILE",
            help="Read the captured output of netstat, ss, lsof and others, - for stdin; several "
            "are joined. A listing shows all their protocols, unless --proto names some.",
            shell_complete=_complete_files,
        ),
        option(
            section,
            "--format",
            "format",
            multiple=True,
            metavar="NAME",
            help="What --from reads, where it is not recognised: gnu-netstat, ss, lsof, ...",
            shell_complete=complete_words(_capture_words),
        ),
        option(
            section,
            "--strict",
            is_flag=True,
            help="Show the rows of --from that cannot be read, and exit with 3.",
        ),
    )


FILTER_OPTIONS = (
    _words(
        "-s",
        "--state",
        "states",
        metavar="STATE",
        help_text="In any spelling: time-wait, TIME_WAIT, TimeWait; or a group of ss: connected, "
        "synchronized, bucket, big, all.",
        shell_complete=complete_words(_state_words),
    ),
    _words(
        "--proto",
        "protocols",
        metavar="PROTO",
        help_text="tcp, udp (the default: both), udplite, raw, icmp, unix, all; tcp4, tcp6 and so "
        "on for one family.",
        shell_complete=complete_words(_protocol_words),
    ),
    option(FILTERS, "-4", "ipv4", is_flag=True, help="Only IPv4."),
    option(FILTERS, "-6", "ipv6", is_flag=True, help="Only IPv6."),
    option(
        FILTERS,
        "-l",
        "--listening",
        is_flag=True,
        help="Only listeners: LISTEN, and UNCONN for UDP and raw.",
    ),
    _words("--pid", "pids", metavar="PID", help_text="Held by this process."),
    _words(
        "--process",
        "processes",
        metavar="NAME",
        help_text="Held by a process with this in its name; with *, ? or [ the whole name.",
    ),
    _words("--user", "users", metavar="USER", help_text="Owned by this user, name or uid."),
    _words("--port", "ports", metavar="PORT", help_text="Either port: 443, 8000-8100, https."),
    _words("--lport", "local_ports", metavar="PORT", help_text="The local port."),
    _words("--rport", "remote_ports", metavar="PORT", help_text="The remote port."),
    _words(
        "--addr",
        "addresses",
        metavar="ADDR",
        help_text="Either address: 10.0.0.1, 10.0.0.0/8, ::1. IPv4 matches v4-mapped IPv6 too.",
    ),
    _words("--laddr", "local_addresses", metavar="ADDR", help_text="The local address."),
    _words("--raddr", "remote_addresses", metavar="ADDR", help_text="The remote address."),
    _words(
        "--exposure",
        "exposures",
        metavar="PLACE",
        help_text="Listeners that can be reached from here: loopback, link, private, public, any.",
        shell_complete=complete_words(_exposure_words),
    ),
    _words(
        "--direction",
        "directions",
        metavar="WAY",
        help_text="inbound: the local port is a listener's; outbound; unknown: no peer.",
        shell_complete=complete_words(_direction_words),
    ),
    *_source_options(FILTERS),
    option(
        FILTERS,
        "--explain-plan",
        is_flag=True,
        help="Say on stderr what the kernel was asked, and what is tested here.",
    ),
    option(
        FILTERS, "-a", "ignored_all", is_flag=True, help="Accepted, does nothing: all is shown."
    ),
    option(
        FILTERS,
        "-n",
        "ignored_numeric",
        is_flag=True,
        help="Accepted, does nothing: numbers are shown.",
    ),
)


def source_options(command: Function) -> Function:
    """The options that say where sockets are read. Give what they bring to `captures_of`."""
    for add in reversed(_source_options("Source options")):
        command = add(command)
    return command


def filter_options(command: Function) -> Function:
    """The options that select sockets. Give what they bring to `selection_of`."""
    for add in reversed(FILTER_OPTIONS):
        command = add(command)
    return command


def format_options(formats: tuple[str, ...] | None = None) -> Callable[[Function], Function]:
    """`-o` and `--json`; all formats that a listing has, or these. Read them with `output_of`."""
    kind = click.Choice(formats) if formats else None
    add_output = option(
        OUTPUT,
        "-o",
        "--output",
        "output",
        type=kind,
        metavar=None if formats else "FORMAT",
        help="The format."
        if formats
        else "table, wide, json, ndjson, csv, tsv; as another program prints it: gnu (netstat of "
        "Linux), bsd (of macOS), ss, windows; or a format of tabulate: github, html, ...",
        shell_complete=None if formats else complete_words(_format_words),
    )
    add_json = option(OUTPUT, "--json", "is_json", is_flag=True, help="The same as -o json.")
    return lambda command: add_output(add_json(command))


def output_of(options: dict[str, Any]) -> str:
    """The format that the format options ask for.

    :raises UsageError: they ask for two.
    """
    # Two options with one destination work in some versions of click only.
    output = options["output"]
    if not options["is_json"]:
        return output or "table"
    if output not in (None, "json"):
        raise UsageError(f"-o {output} and --json are two formats: leave one of them out")
    return "json"


def selection_of(options: dict[str, Any], words: tuple[str, ...] = ()) -> Selection:
    """The selection that the filter options and the words of an expression describe.

    :raises UsageError: a value is not what its option takes.
    """
    from netinspect.filters.selection import parse_pids, select
    from netinspect.filters.words import split_words

    values: dict[str, Any] = {n: split_words(options[n]) or None for n in WORD_OPTIONS}
    pids = split_words(options["pids"])
    families: list[Family] = []
    if options["ipv4"]:
        families.append("ipv4")
    if options["ipv6"]:
        families.append("ipv6")
    return select(
        **values,
        families=families or None,
        listening=options["listening"],
        pids=parse_pids(pids) if pids else None,
        expression=" ".join(words) if words else None,
        tables=_every_table() if options["captures"] else None,
    )


def _every_table() -> tuple[Table, ...]:
    from netinspect.model import EVERY_TABLE

    return EVERY_TABLE


WORD_OPTIONS = (
    "states",
    "protocols",
    "processes",
    "users",
    "exposures",
    "directions",
    "ports",
    "local_ports",
    "remote_ports",
    "addresses",
    "local_addresses",
    "remote_addresses",
)


def check_words(words: tuple[str, ...]) -> None:
    """The words must begin an expression; a command may be in the wrong place.

    :raises UsageError: they do not.
    """
    from netinspect.cli.app import COMMANDS, DEFAULT_COMMAND, unknown_first_word
    from netinspect.filters.keywords import KEYWORDS, begins_expression

    if not words or begins_expression(words[0]):
        return
    word = words[0]
    if word in COMMANDS:
        raise UsageError(f"{word!r}: a command comes before its options: netinspect {word} ...")
    if click.get_current_context().info_name == DEFAULT_COMMAND:  # which need not be named
        raise unknown_first_word(word)
    raise UsageError(unknown_word("condition", word, KEYWORDS))


def explain_plan(listing: Listing, *, is_wanted: bool, owners_follow: bool = False) -> None:
    """Say on stderr what was asked of whom, when that is wanted.

    :param owners_follow: the owners of some of the sockets are looked for after the listing.
    """
    if is_wanted:
        from netinspect.cli.plan import plan_lines

        for line in plan_lines(listing, owners_follow=owners_follow):
            print_error(line)


def end(listing: Listing, selection: Selection, options: dict[str, Any]) -> ExitStatus:
    """Say what makes the answer partial, and why it may be empty; the exit status."""
    if listing.captures:
        from netinspect.cli.captures import report

        return report(listing.captures, listing.notes, is_strict=options["strict"])
    print_notes(listing.notes)
    say_what_does_not_exist(selection)
    return ExitStatus.DONE


def say_what_does_not_exist(selection: Selection) -> None:
    """An empty answer has a reason: no such process, no such user."""
    from netinspect.owners import process_exists
    from netinspect.sources.names import user_exists
    from netinspect.sources.platforms import is_elsewhere

    if is_elsewhere():  # others have these numbers and names here
        return
    for pid in sorted(selection.pids or ()):
        if not process_exists(pid):
            print_error(f"there is no process {pid}")
    for user in sorted(selection.users or ()):
        if not user_exists(user):  # sockets there may be: a uid needs no name
            is_uid = user.isdecimal()
            print_error(f"no user has the uid {user}" if is_uid else f"there is no user {user!r}")
