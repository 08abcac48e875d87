"""`netinspect as`: a command line of another system, on this machine's sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import option, source_options
from netinspect.cli.output import print_error, terminal_width
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# What may be typed for SYSTEM, and its programs
PROGRAMS = {
    "gnu": ("netstat", "ss"),
    "linux": ("netstat", "ss"),
    "busybox": ("netstat",),
    "macos": ("netstat",),
    "freebsd": ("netstat", "sockstat"),
    "openbsd": ("netstat",),
    "windows": ("netstat",),
    "ss": ("ss",),
}


def _complete_systems(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in PROGRAMS if word.startswith(incomplete)]


def _complete_programs(
    context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The first word of the command; its flags are another program's."""
    from click.shell_completion import CompletionItem

    if context.params.get("words"):
        return []
    programs = PROGRAMS.get(context.params.get("system") or "", ())
    return [CompletionItem(word) for word in programs if word.startswith(incomplete)]


@click.command(
    "as",
    cls=SectionCommand,
    options_metavar="[OPTIONS]",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@source_options
@option(
    "Options",
    "--sources",
    "with_sources",
    is_flag=True,
    help="Also say on stderr where it is from what the words mean there.",
)
@click.argument("system", metavar="SYSTEM", shell_complete=_complete_systems)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="COMMAND...",
    shell_complete=_complete_programs,
)
def command(system: str, words: tuple[str, ...], **options: Any) -> int:
    """Do here what a command line of another system does there, in its format.

    SYSTEM is gnu (or linux), busybox, macos, freebsd, openbsd, windows, or ss; COMMAND its netstat,
    ss or sockstat with flags. They mean what they mean there, and what fails there fails here. Only
    sockets are shown: no routes, no interfaces, nothing repeated. Names are not looked up.

    \b
    Examples:
      netinspect as gnu netstat -tulpn
      netinspect as macos netstat -an -p tcp
      netinspect as ss ss -tan state time-wait
      netinspect as freebsd sockstat -4l
      netinspect as windows netstat -ano
      netinspect as --from mac.txt gnu netstat -tan
    """
    if words[0].startswith("-"):
        program = PROGRAMS.get(system, ("netstat",))[0]
        raise UsageError(
            f"{words[0]!r}: expected a command behind {system}, as in "
            f"netinspect as {system} {program} {' '.join(words)}"
        )

    from netinspect.cli.dialects import print_in_dialect
    from netinspect.teach.impersonate import impersonate

    width = terminal_width()
    found = impersonate(system, words, is_terminal=width is not None, width=width)
    status = print_in_dialect(found.selection, found.dialect, options)
    for remark in found.remarks:
        print_error(remark)
    if options["with_sources"]:
        for source in found.sources:
            print_error(f"source: {source}")
    return status or ExitStatus.DONE
