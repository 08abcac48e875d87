"""Command lines, cut down to what tells one process from another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

INTERPRETER_VERSION = re.compile(r"[0-9.]+\Z")
TITLE = re.compile(r"\s")


class Interpreter(NamedTuple):
    """How an interpreter is told what to run. Any other argument without a dash is a script."""

    telling: frozenset[str] = frozenset()  # options that say it, with the argument behind them
    inline: frozenset[str] = frozenset()  # options behind which code stands, that tells nothing
    with_value: frozenset[str] = frozenset()  # other options with an argument behind them


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# By program, without the version: python3.11 is python.
INTERPRETERS: dict[str, Interpreter] = {
    "python": Interpreter(_words("-m"), _words("-c"), _words("-W -X --check-hash-based-pycs")),
    "java": Interpreter(
        _words("-jar -m --module"),
        with_value=_words(
            "-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules "
            "--add-exports --add-opens --add-reads --patch-module --enable-native-access --source"
        ),
    ),
    "node": Interpreter(
        inline=_words("-e --eval -p --print -pe"),
        with_value=_words("-r --require --import --loader --experimental-loader -C --conditions"),
    ),
    "ruby": Interpreter(inline=_words("-e"), with_value=_words("-I -r -C -E -F")),
    "perl": Interpreter(inline=_words("-e -E"), with_value=_words("-I")),
    "php": Interpreter(_words("-S -f"), _words("-r"), _words("-c -d -t -z")),
    **dict.fromkeys(
        ("sh", "bash", "dash", "zsh", "ksh"),
        Interpreter(
            inline=_words("-c -lc -ic -ec -xc -euc -exc"),
            with_value=_words("-o +o -O +O --rcfile --init-file"),
        ),
    ),
}
for _alias, _name in (("pypy", "python"), ("nodejs", "node"), ("javaw", "java")):
    INTERPRETERS[_alias] = INTERPRETERS[_name]


@cache
def short_command(command_line: Sequence[str]) -> str:
    """The program and the argument that says what it does.

    >>> short_command(("/usr/bin/java", "-Xmx1g", "-cp", "/a:/b", "org.example.Main", "--verbose"))
    'java org.example.Main'
    >>> short_command(("/usr/bin/python3", "-u", "/srv/app/main.py", "--port", "80"))
    'python3 main.py'
    """
    program, *arguments = command_line
    if not arguments and TITLE.search(program):
        return program  # a title: nginx: worker process
    name = _basename(program)
    interpreter = INTERPRETERS.get(INTERPRETER_VERSION.sub("", name.removeprefix("-")))
    telling = _telling(arguments, interpreter) if interpreter else _subcommand(arguments)
    return " ".join((name, *telling))


def _telling(arguments: list[str], interpreter: Interpreter) -> list[str]:
    """The script, or the option that says what is run with its value."""
    rest = iter(arguments)
    for argument in rest:
        if argument in interpreter.inline:
            return [argument]
        if argument in interpreter.telling:
            return [argument, *map(_basename, [*rest][:1])]
        if argument in interpreter.with_value:
            next(rest, None)
        elif not argument.startswith(("-", "+")):
            return [_basename(argument)]
    return []


def _subcommand(arguments: list[str]) -> list[str]:
    """`kubectl port-forward`, `ssh host`: the first argument, when it is no option."""
    return arguments[:1] if arguments and not arguments[0].startswith("-") else []


def _basename(path: str) -> str:
    """The last part; all of what ends with a slash, or is none."""
    return path.rpartition("/")[2] or path
