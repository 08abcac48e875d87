"""`netinspect time-wait --watch`: the count, again and again."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from itertools import count as count_up

from msgspec import json
from msgspec.structs import replace

from netinspect.api import Listing
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import explain_plan
from netinspect.cli.output import print_notes, write
from netinspect.diagnose.time_wait import hidden
from netinspect.diagnose.time_wait_record import TimeWaitCount
from netinspect.filters.selection import Selection


def watch(
    selection: Selection,
    source: str,
    seconds: float,
    lines: int | None,
    output: str,
    *,
    is_explained: bool = False,
) -> ExitStatus:
    """A line every so many seconds, until Ctrl-C or for so many lines.

    :raises SourceError: the sockets cannot be read.
    """
    only = replace(selection, states=frozenset({"TIME_WAIT"}))
    begun = time.monotonic()
    if output in ("csv", "tsv"):
        write([_line(TimeWaitCount.__struct_fields__, output)])
    for number in count_up(1):
        listing = Listing(only, source=source, with_owners=False)
        explain_plan(listing, is_wanted=is_explained and number == 1)
        taken_at = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        count = listing.count().total() + hidden(listing.notes)
        write([_render(TimeWaitCount(taken_at, count), output)])
        if number == 1:
            print_notes(listing.notes)
        if number == lines:
            return ExitStatus.DONE
        # by the clock of the first line, so that they do not drift
        time.sleep(max(0.0, begun + number * seconds - time.monotonic()))
    return ExitStatus.DONE


def _render(counted: TimeWaitCount, output: str) -> bytes:
    if output == "table":
        return f"TIME_WAIT {counted.count}\n".encode()
    if output in ("json", "ndjson"):
        return json.encode(counted) + b"\n"
    return _line((counted.taken_at, str(counted.count)), output)


def _line(cells: tuple[str, ...], output: str) -> bytes:
    """RFC 4180 for CSV; neither cell needs quotes."""
    return ("\t" if output == "tsv" else ",").join(cells).encode() + b"\r\n"
