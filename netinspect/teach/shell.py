"""A command as typed into a shell: what stands before it, and what its output goes through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from netinspect.errors import UsageError
from netinspect.teach.knowledge import Prefix, idioms

# What ends a command: what comes behind is another one, of which nothing is said.
ENDS = (";", "&&", "||", "&", ";;")
REDIRECTIONS = (">", ">>", "<", ">&", "<<", ">|", "&>")


class Before(NamedTuple):
    """Words before the command, as `sudo`, and what they do."""

    words: tuple[str, ...]
    prefix: Prefix


class Stage(NamedTuple):
    """A command behind a pipe, what it does, and what that asks of the rows."""

    words: tuple[str, ...]
    meaning: str | None
    source: str | None
    kept: dict[str, str]


class Typed(NamedTuple):
    """A command line taken out of what surrounds it."""

    before: tuple[Before, ...]
    argv: tuple[str, ...]
    stages: tuple[Stage, ...]


def read_command(words: Sequence[str]) -> Typed:
    """Take apart what was typed: words, or one word that holds them all.

    :raises UsageError: there is no command, or a quote is not closed.
    """
    readable = [_readable(word) for word in words]
    tokens = readable if len(words) > 1 else _tokens(readable[0] if words else "")
    tokens = _without_redirections(tokens[: _end(tokens)])
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token in ("|", "|&"):
            parts.append([])
        else:
            parts[-1].append(token)
    before, argv = _before(parts[0])
    if not argv:
        raise UsageError("there is no command to look at: netinspect explain -- netstat -tulpn")
    stages = tuple(_stage(part) for part in parts[1:] if part)
    if before and before[-1].prefix.program == "watch" and len(argv) == 1:  # by a shell, as ours
        inner = read_command(argv) if " " in argv[0] else Typed((), argv, ())
        return Typed((*before, *inner.before), inner.argv, (*inner.stages, *stages))
    return Typed(before, argv, stages)


def _readable(word: str) -> str:
    r"""A word of the command line, with `\xNN` for each byte that is not UTF-8.

    Backslashes are left as they are, as they belong to the patterns of grep.
    """
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _tokens(text: str) -> list[str]:
    import shlex

    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"{text!r}: {str(error).lower()}") from error


def _end(tokens: Sequence[str]) -> int:
    return next((i for i, token in enumerate(tokens) if token in ENDS), len(tokens))


def _without_redirections(tokens: Sequence[str]) -> list[str]:
    """`2> /dev/null` says nothing of what is asked."""
    kept: list[str] = []
    skipped = False
    for token in tokens:
        if skipped:
            skipped = False
        elif token in REDIRECTIONS:
            skipped = True
            if kept and kept[-1] in ("1", "2"):
                kept.pop()
        else:
            kept.append(token)
    return kept


def _before(words: Sequence[str]) -> tuple[tuple[Before, ...], tuple[str, ...]]:
    """What stands before a command, and the command."""
    found: list[Before] = []
    rest = list(words)
    prefixes = {prefix.program: prefix for prefix in idioms().prefixes}
    while rest and (prefix := prefixes.get(rest[0])):
        count = 1 + prefix.arguments
        while len(rest) > count and rest[count].startswith("-"):
            count += 2 if rest[count] in prefix.options_with_value else 1
        found.append(Before(tuple(rest[:count]), prefix))
        del rest[:count]
    return tuple(found), tuple(rest)


def _stage(words: Sequence[str]) -> Stage:
    arguments = " ".join(words[1:])
    for idiom in idioms().stages:
        if re.fullmatch(idiom.program, words[0]):
            match = re.fullmatch(idiom.pattern, arguments)
            if match:
                kept = {name: value for name, value in match.groupdict().items() if value}
                meaning = idiom.meaning.format(**kept)
                return Stage(tuple(words), meaning, idiom.source, kept)
    return Stage(tuple(words), None, None, {})
