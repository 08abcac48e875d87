"""Every error that netinspect raises on purpose, in one hierarchy.

A message says where, what was expected, what was found and, when there is one, the way out.
"""

from __future__ import annotations

from collections.abc import Iterable


class NetinspectError(Exception):
    """The root: catch it to catch everything that netinspect raises on purpose."""


class UsageError(NetinspectError, ValueError):
    """The question cannot be asked: a port of 65536, a state that does not exist."""


class ExpressionError(UsageError):
    """A filter expression that cannot be read, and where in it the fault is.

    :param start: index of the first character of the fault.
    :param end: index behind its last; the same as `start` where something is missing.
    """

    def __init__(self, problem: str, expression: str, start: int, end: int) -> None:
        self.problem = problem
        self.expression = expression
        self.start = start
        self.end = end
        under = "~" * (end - start - 1) + "^"
        super().__init__(f"{problem}\n  {expression}\n  {' ' * start}{under}")

    @property
    def parts(self) -> tuple[str, str, str]:
        """What stands before the fault, the fault, and what is behind it."""
        text = self.expression
        return text[: self.start], text[self.start : self.end], text[self.end :]


class NotThereError(UsageError):
    """A word of an expression names what this system does not have.

    :param word: as it was read, without quotes.
    """

    def __init__(self, problem: str, word: str) -> None:
        self.word = word
        super().__init__(problem)


class ParseError(NetinspectError):
    """Bytes or text from outside are not what their format promises."""


class CellError(ParseError):
    """One part of a row in a capture is not what stands at this place.

    :param text: the part.
    :param expected: what should be there, as "a port from 0 to 65535".
    """

    def __init__(self, text: str, expected: str) -> None:
        self.text = text
        self.expected = expected
        super().__init__(f"expected {expected}, found {text!r}")


class SourceError(NetinspectError):
    """The system's sockets could not be read."""


class RefusedError(SourceError):
    """This source is not offered here (by permission or by the kernel); another one may be."""


class UntestedError(RefusedError):
    """This source cannot test a condition that nobody else can test for it."""


class NotCheckedError(NetinspectError):
    """A rule lacks what it needs to tell whether something is wrong."""


def unknown_word(what: str, word: str, choices: Iterable[str]) -> str:
    """The message for a word that is none of the choices, with the nearest one.

    Nearest is what begins with the word, as `established` with `est`, otherwise what looks like it.
    """
    from difflib import get_close_matches  # only an error needs it

    nearest = {fold(choice): choice for choice in choices}
    longer = [choice for choice in nearest if word and choice.startswith(fold(word))]
    match = get_close_matches(fold(word), longer or nearest, n=1, cutoff=0 if longer else 0.55)
    if match:
        return f"unknown {what} {word!r}; did you mean {nearest[match[0]]}?"
    return f"unknown {what} {word!r}; expected one of {', '.join(nearest.values())}"


def fold(word: str) -> str:
    """Without case and separators: `TIME_WAIT`, `time-wait` and `TimeWait` are one word."""
    return word.casefold().replace("-", "").replace("_", "")
