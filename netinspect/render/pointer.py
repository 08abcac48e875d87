"""A line of text, and below it `~~~^` under the word where the fault is."""

from __future__ import annotations

from collections.abc import Iterable

from netinspect.render.escape import display_width, shorten

INDENT = "  "
NARROWEST = 20
LONGEST = 1000  # characters, more than any terminal has columns


def pointer(parts: Iterable[str], columns: int) -> tuple[str, str]:
    """Both lines; of a text that is wider than the columns, what is around the fault.

    :param parts: what stands before the fault, the fault, and what is behind it, escaped.
    """
    before, fault, behind = parts
    room = max(columns, NARROWEST) - len(INDENT) - (not fault)  # what is missing has a caret too
    if display_width(before + fault + behind) > room:
        fault = _beginning(fault, room // 2)
        room -= display_width(fault)
        before = _beginning(before[::-1], room - display_width(_beginning(behind, room // 2)))[::-1]
        behind = _beginning(behind, room - display_width(before))
    under = "~" * (display_width(fault) - 1) + "^"
    return f"{INDENT}{before}{fault}{behind}", f"{INDENT}{' ' * display_width(before)}{under}"


def _beginning(text: str, width: int) -> str:
    """As much as fits. Cut roughly first: `shorten` takes away one character at a time."""
    return shorten(text[:LONGEST], width)
