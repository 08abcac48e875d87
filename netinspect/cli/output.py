"""Writing: data to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from netinspect.render.escape import escape_cell

if TYPE_CHECKING:
    from netinspect.model import Note

PROGRAM = "netinspect"
WIDEST_ERROR = 200  # columns, where there is no terminal


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None when it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def error_columns() -> int:
    """How wide a line on stderr may be."""
    if sys.stderr is None or not sys.stderr.isatty():
        return WIDEST_ERROR
    columns = os.environ.get("COLUMNS", "")  # as in shutil, which asks stdout
    if columns.isdecimal():
        return int(columns)
    return os.get_terminal_size(sys.stderr.fileno()).columns


def has_colour(when: str, *, is_terminal: bool) -> bool:
    """Whether to colour, by `--color` (https://no-color.org: any value but the empty one is no)."""
    if when != "auto":
        return when == "always"
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(chunks: Iterable[bytes]) -> None:
    """Write to stdout, piece by piece.

    :raises OSError: stdout cannot be written; `BrokenPipeError` when its reader has gone.
    """
    if sys.stdout is None:  # Python's way to say that descriptor 1 was closed
        raise OSError(9, "stdout is closed")
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    flush_output()  # an error must show before anything is said of what was written


def flush_output() -> None:
    """Write what is still buffered: an error must show here, not when Python ends."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_output() -> None:
    """Let nothing that is still buffered fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def print_error(message: str) -> None:
    """One line on stderr; a stderr that cannot be written is no reason to fail."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{PROGRAM}: {escape_cell(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def print_lines(lines: Iterable[str]) -> None:
    """Lines on stderr that are escaped already."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def print_notes(notes: Iterable[Note]) -> None:
    """What makes the answer partial, a line each."""
    for note in notes:
        print_error(note.message)
