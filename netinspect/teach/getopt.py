"""A command line taken apart as the program that it is for would: which flag, with what argument.

Four manners: GNU getopt_long(3) puts operands last and takes unique beginnings of long options;
the getopt(3) of the BSDs and macOS stops at the first operand; lsof decides for each option whether
the next word belongs to it; Windows takes `-a` and `/a`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netinspect.errors import UsageError
from netinspect.teach.command_line import (
    CommandLine,
    Failure,
    Operand,
    Option,
    Part,
    Place,
    last_part,
)
from netinspect.teach.knowledge import SYSTEMS, Tool, ValueRule, find_tool


def take_apart(system: str, argv: Sequence[str]) -> CommandLine:
    """Take a command line apart as a system would.

    :param system: a key of `knowledge.SYSTEMS`, or the id of a tool.
    :param argv: the words, the name of the program first.
    :raises UsageError: this system has no such program.
    """
    tool = find_tool(system, argv[0]) if argv else None
    if tool is None:
        name = argv[0] if argv else ""
        raise UsageError(
            f"{SYSTEMS.get(system, system)} has no program {name!r} that is known here"
        )
    options: list[Option] = []
    operands: list[Operand] = []
    error: Failure | None = None
    for part in WALKS[tool.dialect](tool, argv):
        if isinstance(part, Operand):
            operands.append(part)
        elif isinstance(part, Failure):
            error = error or part
        else:
            options.append(part)
            error = error or _failure_of(tool, argv[0], part)
        # lsof reads everything before it complains
        if tool.dialect != "lsof" and (error or _has_ended(tool, options)):
            break
    if not _has_ended(tool, options):
        error = (
            error
            or _exclusion(tool, argv[0], options)
            or _need(tool, argv[0], options, operands)
            or _operand_failure(tool, options, operands)
        )
    return CommandLine(tool, tuple(argv), tuple(options), tuple(operands), error)


def _has_ended(tool: Tool, options: list[Option]) -> bool:
    """Whether an option prints something and ends the program."""
    return any(option.flag in tool.stops for option in options)


def parse_option_string(text: str) -> dict[str, bool]:
    """The letters of a getopt(3) string, and whether an argument follows each.

    >>> parse_option_string("ap:")
    {'a': False, 'p': True}
    """
    return {
        letter: text[index + 1 : index + 2] == ":"
        for index, letter in enumerate(text)
        if letter != ":"
    }


def _gnu(tool: Tool, argv: Sequence[str]) -> Iterator[Part]:
    """As getopt_long(3) of glibc: operands are collected, `--` ends the options."""
    operands: list[Operand] = []
    word = 1
    while word < len(argv):
        text = argv[word]
        if text == "--":
            operands += [Operand(argv[rest], rest) for rest in range(word + 1, len(argv))]
            break
        if text.startswith("--") and tool.long:
            part, taken = _long_option(tool, argv, word)
            yield part
            word += taken
        elif text.startswith("-") and text != "-":
            parts = list(_cluster(tool, argv, word))
            yield from parts
            word += 1 + _took_next(parts, word)
        else:
            operands.append(Operand(text, word))
            word += 1
    yield from operands


def _posix(tool: Tool, argv: Sequence[str]) -> Iterator[Part]:
    """As getopt(3) of the BSDs and macOS: the first operand ends the options."""
    word = 1
    while word < len(argv):
        text = argv[word]
        if tool.has_libxo and text.startswith("--libxo"):  # xo_parse_args(3) takes them out first
            option, taken = _libxo(argv, word)
            yield option
            word += taken
        elif text.startswith("-") and text not in ("-", "--"):
            parts = list(_cluster(tool, argv, word))
            yield from parts
            word += 1 + _took_next(parts, word)
        elif tool.chain == text:
            yield Operand(text, word)
            word += 1
        else:
            break
    start = word + 1 if argv[word : word + 1] == ["--"] else word
    yield from (Operand(argv[rest], rest) for rest in range(start, len(argv)))


def _libxo(argv: Sequence[str], word: int) -> tuple[Option, int]:
    """`--libxo json`, `--libxo=json` and `--libxo:J`."""
    text = argv[word]
    place = Place(word, 0, len("--libxo"))
    if text != "--libxo":
        value = text[len("--libxo") + 1 :]
        return Option("--libxo", value, place, Place(word, place.end + 1, len(text)), text), 1
    if word + 1 < len(argv):
        value = argv[word + 1]
        return Option("--libxo", value, place, Place(word + 1, 0, len(value)), text), 2
    return Option("--libxo", None, place, None, text), 1


def _took_next(parts: list[Part], word: int) -> bool:
    """Whether the last option of a cluster took the next word."""
    last = parts[-1] if parts else None
    return isinstance(last, Option) and (last.argument_place or last.place).word > word


def _cluster(tool: Tool, argv: Sequence[str], word: int) -> Iterator[Part]:
    """The flags of one word, as `-tulpn`; the argument of the last may be the next word."""
    takes = parse_option_string(tool.options)
    text = argv[word]
    for index in range(1, len(text)):
        letter, place = text[index], Place(word, index, index + 1)
        flag = f"-{letter}"
        if letter not in takes:
            yield Failure(_say(tool, tool.unknown, argv[0], letter), tool.bad_status, place)
        elif flag in tool.rejected:
            yield Failure(f"usage: {tool.program} ...", tool.bad_status, place)
        elif not takes[letter]:
            yield Option(flag, None, place, typed=flag)
        else:
            yield _with_argument(tool, argv, place)
            return


def _with_argument(tool: Tool, argv: Sequence[str], place: Place) -> Part:
    """The option at a place, and its argument: the rest of the word, or the next one."""
    text, flag = argv[place.word], f"-{argv[place.word][place.start]}"
    if place.end < len(text):
        return Option(flag, text[place.end :], place, Place(place.word, place.end, len(text)), flag)
    if place.word + 1 < len(argv):
        value = argv[place.word + 1]
        return Option(flag, value, place, Place(place.word + 1, 0, len(value)), flag)
    return Failure(_say(tool, tool.missing, argv[0], flag[1]), tool.bad_status, place)


def _long_option(tool: Tool, argv: Sequence[str], word: int) -> tuple[Part, int]:
    """`--name`, `--name=value` or a unique beginning of it; and how many words it took.

    Two names with the same letter are no ambiguity (glibc posix/getopt.c, process_long_option()).
    """
    text = argv[word]
    typed, equals, value = text[2:].partition("=")
    place = Place(word, 0, len(typed) + 2)
    found = _long_matches(tool, typed)
    name = _program(tool, argv[0])
    if not found:
        return Failure(f"{name}: unrecognized option '{text}'", tool.bad_status, place), 1
    if len(found) > 1:
        possible = " ".join(f"'--{match[0]}'" for match in found)
        message = f"{name}: option '{text}' is ambiguous; possibilities: {possible}"
        return Failure(message, tool.bad_status, place), 1
    ((long, takes, letter),) = found
    flag = f"-{letter}" if len(letter) == 1 else letter or f"--{long}"
    if equals and not takes:
        message = f"{name}: option '--{long}' doesn't allow an argument"
        return Failure(message, tool.bad_status, place), 1
    if equals:
        return Option(flag, value, place, Place(word, place.end + 1, len(text)), text), 1
    if not takes:
        return Option(flag, None, place, None, text), 1
    if word + 1 == len(argv):
        message = f"{name}: option '--{long}' requires an argument"
        return Failure(message, tool.bad_status, place), 1
    value = argv[word + 1]
    return Option(flag, value, place, Place(word + 1, 0, len(value)), text), 2


def _long_matches(tool: Tool, typed: str) -> list[tuple[str, int, str]]:
    """The long option of this name, or those that begin with it and differ from the first."""
    exact = [option for option in tool.long if option[0] == typed]
    if exact:
        return exact[:1]
    matches = [option for option in tool.long if option[0].startswith(typed)]
    return [option for i, option in enumerate(matches) if not i or option[1:] != matches[0][1:]]


def _windows(tool: Tool, argv: Sequence[str]) -> Iterator[Part]:
    """As netstat.exe: `-` or `/`, letters together or apart, -p and its protocol."""
    word = 1
    while word < len(argv):
        text = argv[word]
        if text[:1] not in ("-", "/") or len(text) == 1:
            yield Operand(text, word)
            word += 1
            continue
        parts = list(_cluster(tool, argv, word))
        for part in parts:
            is_help = isinstance(part, Option) and part.flag == "-?"
            yield part._replace(flag="/?") if isinstance(part, Option) and is_help else part
        word += 1 + _took_next(parts, word)


def _lsof(tool: Tool, argv: Sequence[str]) -> Iterator[Part]:
    from netinspect.teach.lsof_getopt import read_options

    return read_options(tool, parse_option_string(tool.options), argv)


WALKS = {"gnu": _gnu, "posix": _posix, "lsof": _lsof, "windows": _windows}


def _program(tool: Tool, typed: str) -> str:
    """The name that a message begins with: glibc repeats what was typed, others its last part."""
    return typed if tool.dialect == "gnu" else last_part(typed)


def _say(tool: Tool, message: str, typed: str, letter: str) -> str:
    return message.replace("{name}", _program(tool, typed)).replace("{letter}", letter)


def _failure_of(tool: Tool, typed: str, option: Option) -> Failure | None:
    """What the program says of an option's argument; None when it takes it."""
    if option.argument is None:
        return None
    rules = [rule for rule in tool.values if rule.flag == option.flag]
    # `+` of lsof is a `-` where nothing else is known of it
    for rule in rules or [rule for rule in tool.values if rule.flag == f"-{option.flag[1:]}"]:
        for piece in _pieces(rule, option.argument):
            if not re.fullmatch(rule.pattern, piece):
                return _refusal(tool, typed, rule, option, piece)
    if tool.dialect == "lsof" and option.flag == "-L":
        message = f"{_program(tool, typed)}: no number may follow -L"
        return Failure(message, tool.bad_status, option.argument_place)
    return None


def _pieces(rule: ValueRule, argument: str) -> Sequence[str]:
    if rule.each == "letter":
        return argument
    return argument.split(rule.each) if rule.each else [argument]


def _refusal(tool: Tool, typed: str, rule: ValueRule, option: Option, piece: str) -> Failure:
    message = (
        rule.message.replace("{name}", _program(tool, typed))
        .replace("{tail}", piece.rpartition(":")[2].lstrip("^"))
        .replace("{value}", piece)
    )
    place = option.argument_place
    return Failure(message, rule.status, place, rule.note, rule.continues)


def _exclusion(tool: Tool, typed: str, options: list[Option]) -> Failure | None:
    """What the program says of flags that exclude each other; None when all is well."""
    for rule in tool.conflicts:
        given = [
            option
            for option in options
            if option.flag in rule.flags and not (rule.without_argument and option.argument)
        ]
        if len(given if rule.counts else {option.flag for option in given}) > 1:
            message = rule.message.replace("{name}", _program(tool, typed))
            return Failure(message, rule.status, given[-1].place)
    return None


def _need(tool: Tool, typed: str, options: list[Option], operands: list[Operand]) -> Failure | None:
    """What the program says of a flag that stands alone and may not; None when all is well."""
    given = {option.flag for option in options}
    given |= {f"{option.flag}=" for option in options if option.argument is not None}
    for need in tool.needs:
        is_met = bool(given.intersection(need.one_of)) or (need.or_operands and bool(operands))
        if need.flag in given and not is_met:
            message = need.message.replace("{name}", _program(tool, typed))
            place = next(option.place for option in options if option.flag == need.flag)
            return Failure(message, need.status, place)
    return None


def _operand_failure(tool: Tool, options: list[Option], operands: list[Operand]) -> Failure | None:
    """Of operands: where none are taken, and of the filter of ss."""
    if tool.id == "linux_ss":
        from netinspect.teach.ss_operands import check

        return check(operands, options)
    if tool.operands_status is None or not operands:
        return None
    place = Place(operands[0].word, 0, len(operands[0].text))
    return Failure(f"usage: {tool.program} ...", tool.operands_status, place)
