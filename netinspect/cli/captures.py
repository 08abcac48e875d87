"""`--from`: captured output in place of this machine's sockets, and what of it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.output import error_columns, print_error, print_lines, print_notes
from netinspect.errors import UsageError
from netinspect.render.escape import escape_part
from netinspect.render.pointer import pointer

if TYPE_CHECKING:
    from netinspect.model import Note
    from netinspect.parse.captured import Fault
    from netinspect.sources.capture import Captures

WORD_END = r"\s|$"
BAD_BYTE = "[\udc80-\udcff]"  # by surrogateescape


def captures_of(options: dict[str, Any]) -> Captures | None:
    """What the options name; None for this machine.

    :raises UsageError: it cannot be read, or the options do not go together.
    """
    paths = options["captures"]
    if not paths:
        for name in ("format", "strict"):
            if options[name]:
                raise UsageError(f"--{name} is about captured output: name it with --from FILE")
        return None
    if options["source"] != "auto":
        raise UsageError(
            "--from reads captured output, --source this machine's sockets: leave one of them out"
        )

    from netinspect.filters.words import split_words
    from netinspect.sources.capture import Captures

    return Captures(paths, split_words(options["format"]))


def report(captures: Captures, notes: Iterable[Note], *, is_strict: bool) -> ExitStatus:
    """Say what makes the answer partial; with `is_strict` each row, which is an error then."""
    print_notes(note for note in notes if not (is_strict and note.code == "rows_skipped"))
    faulty = [capture for capture in captures.used if capture.faults.count] if is_strict else []
    for capture in faulty:
        for fault in capture.faults.kept:
            print_error(f"{capture.label}:{fault.line}: expected {fault.expected}")
            print_lines(_pointer(fault))
        more = capture.faults.count - len(capture.faults.kept)
        if more:
            print_error(f"{capture.label}: {more} more rows could not be read")
    return ExitStatus.UNREADABLE if faulty else ExitStatus.DONE


def _pointer(fault: Fault) -> tuple[str, str]:
    """The row, and below it what points at the word where the fault is."""
    rest = fault.text[fault.column :]
    match = re.search(WORD_END, rest)
    end = fault.column + (match.start() if match else len(rest))
    parts = (fault.text[: fault.column], fault.text[fault.column : end], fault.text[end:])
    return pointer(map(_shown, parts), error_columns())


def _shown(text: str) -> str:
    """A part of a row as it can be printed; a byte that is not UTF-8 is `\\xff`."""
    return escape_part(re.sub(BAD_BYTE, lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text))
