"""What to do about a finding, with code: data/advice.json, read when it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache

import msgspec

from netinspect.errors import UsageError, unknown_word


class Language(msgspec.Struct, frozen=True):
    """A language or program that has code of its own, and how it is known.

    :param processes: beginnings of the names of its processes.
    :param ports: of the servers that it talks to.
    """

    name: str
    title: str
    processes: tuple[str, ...]
    ports: tuple[int, ...]


class LanguageExample(msgspec.Struct, frozen=True):
    """How to do it in one language."""

    language: str
    text: str
    code: str


class Lesson(msgspec.Struct, frozen=True):
    """What there is to know about one kind of finding."""

    advice: tuple[str, ...]
    avoid: tuple[str, ...]
    references: tuple[str, ...]
    examples: tuple[LanguageExample, ...] = ()


class Advice(msgspec.Struct, frozen=True):
    """All of it: lessons by the code of the finding."""

    languages: tuple[Language, ...]
    lessons: Mapping[str, Lesson]


ALL, NONE = "all", "none"
# Without pathlib, which takes 4 ms to load
FILE = os.path.join(os.path.dirname(__file__), os.pardir, "data", "advice.json")


@cache
def load_advice() -> Advice:
    """The file that is installed with the program."""
    with open(FILE, "rb") as file:
        return msgspec.json.decode(file.read(), type=Advice)


def language_words() -> tuple[str, ...]:
    """What may be asked for."""
    return (*(language.name for language in load_advice().languages), ALL, NONE)


def parse_languages(words: Iterable[str]) -> frozenset[str]:
    """The names of the languages that were asked for.

    :raises UsageError: a word is none.
    """
    names: set[str] = set()
    for word in words:
        if word not in language_words():
            raise UsageError(unknown_word("language", word, language_words()))
        if word == ALL:
            names.update(language.name for language in load_advice().languages)
        elif word != NONE:
            names.add(word)
    return frozenset(names)


def likely_languages(
    processes: Iterable[str | None], remote_ports: Iterable[int | None]
) -> frozenset[str]:
    """The languages that these processes are probably written in.

    A program in Go, C or Rust cannot be told by its name.
    """
    names, ports = [name for name in processes if name], set(remote_ports)
    return frozenset(
        language.name
        for language in load_advice().languages
        if not ports.isdisjoint(language.ports)
        or any(name.startswith(start) for name in names for start in language.processes)
    )
