"""The command line of lsof: each option decides whether the next word belongs to it.

After src/main.c of lsof, where a mask of letters says which options may have a value, and the code
of each option hands back what it does not take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netinspect.teach.command_line import Failure, Operand, Option, Part, Place, last_part
from netinspect.teach.knowledge import Tool

# Of lsof's options with a value: those whose value may be missing, and those of which only digits
# are taken; the rest of the word is read as options again (lsof src/main.c, `GObk`).
LSOF_OPTIONAL = "ifFgKsTxzZ"
LSOF_DIGITS = "LoSr"


def read_options(tool: Tool, takes: dict[str, bool], argv: Sequence[str]) -> Iterator[Part]:
    """As GetOpt() of lsof: `+` is a second `-`, and what an option does not take is read again."""
    word, index, sign = 1, 0, "-"
    while True:
        if index == 0:
            if word >= len(argv) or argv[word][:1] not in ("-", "+") or len(argv[word]) == 1:
                break
            if argv[word] in ("--", "++"):
                word += 1
                break
            sign, index = argv[word][0], 1
        place = Place(word, index, index + 1)
        letter = argv[word][index]
        if letter not in takes:
            yield Failure(_unknown(tool, argv[0], letter), tool.bad_status, place)
        if takes.get(letter):
            option, (word, index) = _lsof_value(tool, argv, sign, place)
            yield option
        else:
            if letter in takes:
                yield Option(sign + letter, None, place, typed=sign + letter)
            word, index = _after(argv, word, index + 1)
    yield from (Operand(argv[rest], rest) for rest in range(word, len(argv)))


def _after(argv: Sequence[str], word: int, index: int) -> tuple[int, int]:
    """The place to read on: the next word, where this one is at its end."""
    return (word, index) if index < len(argv[word]) else (word + 1, 0)


def _lsof_value(
    tool: Tool, argv: Sequence[str], sign: str, place: Place
) -> tuple[Part, tuple[int, int]]:
    """An option of lsof that may take a value, and where to read on."""
    letter = argv[place.word][place.start]
    flag = sign + letter
    if place.end < len(argv[place.word]):
        word, start = place.word, place.end
    elif place.word + 1 < len(argv) and argv[place.word + 1] != "--":
        word, start = place.word + 1, 0
    else:
        return _lsof_without(tool, argv, flag, place), (place.word + 1, 0)
    value = argv[word][start:]
    taken = _lsof_taken(letter, value)
    if taken == 0:
        return _lsof_without(tool, argv, flag, place), (word, start)
    at = Place(word, start, start + taken)
    rest = start + _lsof_kept(letter, value, taken)
    following = (word + 1, 0) if rest >= len(argv[word]) else (word, rest)
    return Option(flag, value[:taken], place, at, flag), following


def _lsof_without(tool: Tool, argv: Sequence[str], flag: str, place: Place) -> Part:
    """An option whose value is not there: some need none."""
    if flag[1] in LSOF_OPTIONAL + LSOF_DIGITS:
        return Option(flag, None, place, typed=flag)
    message = tool.missing_of.get(flag) or tool.missing_of[f"-{flag[1]}"]
    return Failure(message.replace("{name}", last_part(argv[0])), tool.bad_status, place)


def _lsof_taken(letter: str, value: str) -> int:
    """How many characters of a possible value belong to the option."""
    if letter == "r" and value[:1] not in ("-", "+"):
        marked = re.match(r"[0-9]*(?: *c[0-9]*)?(m.*)?", value, re.DOTALL)
        return marked.end() if marked else 0
    if letter in LSOF_DIGITS:
        return len(value) - len(value.lstrip("0123456789"))
    if letter in LSOF_OPTIONAL and value[:1] in ("-", "+"):
        return 0
    return len(value)


def _lsof_kept(letter: str, value: str, taken: int) -> int:
    """How far to read on behind a value. `-r1c2` leaves `c2` to be read again, as `-c 2`."""
    digits = len(value) - len(value.lstrip("0123456789"))
    return digits if letter == "r" and "m" not in value[digits:taken] else taken


def _unknown(tool: Tool, typed: str, letter: str) -> str:
    return tool.unknown.replace("{name}", last_part(typed)).replace("{letter}", letter)
