"""A line of text, and below it `~~~^` under the word where the fault is."""

from __future__ import annotations

from collections.abc import Iterable

from netinspect.render.escape import display_width, shorten

INDENT = "  "
NARROWEST = 20


def pointer(parts: Iterable[str], columns: int) -> tuple[str, str]:
    """Both lines; of a text that is wider than the columns, what is around the fault.

    :param parts: what stands before the fault, the fault, and what is behind it, escaped.
    """
    before, fault, behind = parts
    room = max(columns, NARROWEST) - len(INDENT)
    if display_width(before + fault + behind) > room:
        fault = _beginning(fault, room // 2)
        before = _beginning(before[::-1], (room - display_width(fault)) // 2)[::-1]
        behind = _beginning(behind, room - display_width(before + fault))
    under = "~" * (display_width(fault) - 1) + "^"
    return f"{INDENT}{before}{fault}{behind}", f"{INDENT}{' ' * display_width(before)}{under}"


def _beginning(text: str, width: int) -> str:
    """As much as fits. Cut roughly first: `shorten` takes away one character at a time."""
    return shorten(text[: 2 * width + 1], width)
