"""`netinspect port`: who has this port, and can it be had?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of, report
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import complete_words, format_options, option, output_of, source_options
from netinspect.cli.output import print_notes, terminal_width, write
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError

if TYPE_CHECKING:
    from netinspect.cli.port_question import Wanted
    from netinspect.model import Table

QUESTION = "Question options"
FORMATS = ("table", "json", "ndjson")
# More is a scan, for which there is `netinspect --lport`.
MOST_PORTS = 1000


def _protocol_words() -> tuple[str, ...]:
    return ("tcp", "tcp4", "tcp6", "udp", "udp4", "udp6")


@click.command("port", cls=SectionCommand)
@option(
    QUESTION,
    "--addr",
    "addresses",
    multiple=True,
    metavar="ADDR",
    help="Bind to this address of the machine. Without: to all, of IPv4, of IPv6, and of both.",
)
@option(
    QUESTION,
    "--proto",
    "protocols",
    multiple=True,
    metavar="PROTO",
    help="tcp (the default), udp; tcp4, tcp6 and so on for one family.",
    shell_complete=complete_words(_protocol_words),
)
@option(
    QUESTION,
    "--no-probe",
    is_flag=True,
    help="Do not call bind(): predict from the sockets that are there.",
)
@source_options
@format_options(FORMATS)
@click.argument("words", nargs=-1, required=True, metavar="PORT...")
def command(words: tuple[str, ...], **options: Any) -> int:
    """Who has this port, would bind() and listen() work now, and if not, what to do?

    PORT is a number, a service or a range. bind() is really called, without an option, with
    SO_REUSEADDR and with SO_REUSEPORT, and the socket closed at once: it never listens, and never
    takes a connection or a datagram. Exits with 0 when a plain bind() and listen() would work, with
    1 when not.

    \b
    Examples:
      netinspect port 8080
      sudo netinspect port https
      netinspect port 5432 --addr 127.0.0.1
      netinspect port 53 --proto tcp,udp
      netinspect port 8000-8010
      netinspect port 8080 --json | jq -r '.ports[].holders[].owners[].pid'
    """
    wanted = _wanted(words, options)
    output = output_of(options)

    from netinspect.cli.port_question import ask
    from netinspect.render.port import render_ports

    document = ask(wanted)
    write(render_ports(document, output, terminal_width=terminal_width()))
    is_free = all(found.free for found in document.ports)
    status = ExitStatus.DONE if is_free else ExitStatus.NO
    if wanted.captures:
        return report(wanted.captures, document.notes, is_strict=options["strict"]) or status
    print_notes(document.notes)
    return status


def _wanted(words: tuple[str, ...], options: dict[str, Any]) -> Wanted:
    """The question.

    :raises UsageError: a word is not what it should be.
    """
    from netinspect.cli.port_question import Wanted
    from netinspect.filters.addresses import parse_address
    from netinspect.filters.words import split_words
    from netinspect.sources.platforms import is_elsewhere

    tables = _tables(split_words(options["protocols"]))
    addresses = tuple(map(parse_address, split_words(options["addresses"])))
    _check_families(tables, addresses)
    return Wanted(
        ranges=_ranges(split_words(words)),
        tables=tables,
        addresses=addresses,
        # bind() here tells nothing of another system
        is_probing=not options["no_probe"] and not is_elsewhere(),
        source=options["source"],
        captures=captures_of(options),
    )


def _ranges(words: list[str]) -> tuple[tuple[int, int], ...]:
    from netinspect.filters.ports import parse_ports

    ranges = parse_ports(words)
    for word, (low, _) in zip(words, ranges, strict=True):
        if low == 0:
            raise UsageError(
                f"port {word!r}: expected 1 to 65535; bind() takes 0 for any free port, so nobody "
                "has it"
            )
    count = sum(high - low + 1 for low, high in ranges)
    if count > MOST_PORTS:
        raise UsageError(
            f"{count} ports: expected at most {MOST_PORTS}; netinspect --lport {words[0]} lists "
            "the sockets of as many as there are"
        )
    return tuple(ranges)


def _check_families(tables: Iterable[Table], addresses: Iterable[str]) -> None:
    """:raises UsageError: an address is of a family that --proto leaves out."""
    families = {table.family for table in tables}
    for address in addresses:
        family = "ipv6" if ":" in address else "ipv4"
        if family not in families:
            found, asked = family[-1], next(iter(families))[-1]
            raise UsageError(
                f"--addr {address} is an IPv{found} address, and --proto asks for IPv{asked} alone"
            )


def _tables(words: list[str]) -> tuple[Table, ...]:
    from netinspect.filters.words import parse_tables

    tables = tuple(parse_tables(words or ["tcp"]))
    for table in tables:
        if table.protocol not in ("tcp", "udp"):
            raise UsageError(f"--proto {table.protocol}: expected tcp or udp, which have ports")
    return tables
