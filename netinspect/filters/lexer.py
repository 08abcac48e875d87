"""The words of an expression. They may touch: `sport=:22`, `(!dport>=1024)`."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from netinspect.errors import ExpressionError
from netinspect.filters.keywords import RESERVED

LONGEST = 1 << 16
# Beginning with blanks, one of: parentheses and operators; what may stand in a word, with quotes.
# In a word `!` is an operator only before `=`, so that globs may have it: unix:/run/[!a]*
BLANKS = re.compile(r"\s*")
SIGN = re.compile(r"[()]|&&?|\|\|?|==?|!=|<=?|>=?|!")
PIECE = re.compile(
    r"""(?P<bare>(?:[^\s()&|=<>!"']|!(?!=))+)|"(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
)


class Token(NamedTuple):
    """A word or a sign, without its quotes, and where it stands."""

    text: str
    start: int
    end: int
    is_quoted: bool = False

    @property
    def reserved(self) -> str | None:
        """The word in lower case when it means something by itself."""
        lower = self.text.lower()
        return lower if lower in RESERVED and not self.is_quoted else None


def tokenize(expression: str) -> list[Token]:
    """The tokens, without an end mark.

    :raises ExpressionError: a quote is not closed, what stands there is no character, or the
        expression is too long.
    """
    if len(expression) > LONGEST:
        raise ExpressionError(
            f"the expression has {len(expression)} characters, and may have {LONGEST}",
            f"{expression[:40]}...",
            0,
            1,
        )
    try:
        os.fsencode(expression)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which only Python can give us
        raise ExpressionError(
            "expected a character", expression, error.start, error.start + 1
        ) from None
    tokens = []
    place = _skip_blanks(expression, 0)
    while place < len(expression):
        sign = SIGN.match(expression, place)
        token = Token(sign[0], place, sign.end()) if sign else _word(expression, place)
        tokens.append(token)
        place = _skip_blanks(expression, token.end)
    return tokens


def _skip_blanks(expression: str, place: int) -> int:
    found = BLANKS.match(expression, place)
    return found.end() if found else place


def _word(expression: str, start: int) -> Token:
    """A word of pieces, each bare or in quotes: `unix:"/run/a b"`."""
    pieces, end, is_quoted = [], start, False
    while piece := PIECE.match(expression, end):
        pieces.append(piece[piece.lastgroup or 0])
        is_quoted = is_quoted or piece.lastgroup != "bare"
        end = piece.end()
    if end < len(expression) and expression[end] in "\"'":
        quote = expression[end]
        raise ExpressionError(f"this {quote} is not closed", expression, end, end + 1)
    return Token("".join(pieces), start, end, is_quoted)
