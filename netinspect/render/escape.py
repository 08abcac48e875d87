r"""Text that a stranger chose, made harmless.

The record's own text already doubles each backslash and has `\x80` to `\xff` for bytes that are not
UTF-8 (`model.decode_name`). An escape made here is never mistaken for one that was in the name.
"""

from __future__ import annotations

import re
import unicodedata

# All of the Unicode categories Cc, Cf, Cs, Zl and Zp (controls, C1, DEL, bidi, line ends), and of
# the property Default_Ignorable_Code_Point (zero-width characters, blank fillers, variation
# selectors). A test holds this against `unicodedata`.
UNSAFE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
ELLIPSIS = "…"
# Neither is compiled before it is needed: that takes 1 ms, and most names are harmless.
# A blank at the end of a cell is lost in the padding.
UNSAFE_IN_CELL = rf"[{UNSAFE}]| (?= *\Z)"
# The line ends between the objects of NDJSON stay; inside of JSON's strings there is none.
UNSAFE_IN_JSON = f"[{UNSAFE}]".replace("\x00-\x1f", "\x00-\x09\x0b-\x1f")


def escape_cell(text: str) -> str:
    r"""Every unsafe character as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.

    >>> escape_cell("a\x1b[2J\u202e")
    'a\\x1b[2J\\u202e'
    """
    if text.isascii() and text.isprintable() and not text.endswith(" "):
        return text
    return re.sub(UNSAFE_IN_CELL, _escape, text)


def escape_part(text: str) -> str:
    """The same of a part of a line, behind which more may stand: a blank at its end stays."""
    return escape_cell(f"{text}|")[:-1]


def escape_json(text: str) -> str:
    r"""Every unsafe character of a JSON text as `\uNNNN`: it stays the same JSON."""
    return re.sub(UNSAFE_IN_JSON, _escape_json, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def display_width(text: str) -> int:
    """Columns that a terminal takes for it: 2 for wide characters, 0 for combining ones."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    # the second range: vowels and finals of Hangul, which join the consonant before them
    if unicodedata.category(character) in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def shorten(text: str, width: int) -> str:
    """As much of the beginning as fits, with an ellipsis when that is not all."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) >= width:
        text = text[:-1]
    return text + ELLIPSIS
