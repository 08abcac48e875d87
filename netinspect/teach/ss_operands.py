"""The operands of ss: clauses of states, then a filter expression.

ss [OPTIONS] { state STATE | exclude STATE } [ EXPRESSION ]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from netinspect.errors import UsageError
from netinspect.filters.keywords import COMPARISONS, LOGIC, SS_KEYWORDS
from netinspect.filters.words import GROUPS, parse_states
from netinspect.teach.command_line import Failure, Operand, Option, Place
from netinspect.teach.knowledge import ss_filter

CLAUSES = ("state", "exclude", "excl")
SYNTAX_ERROR = 'ss: bison bellows (while parsing filter): "syntax error!" Sorry.'
# `( sport = :22 or dport = :22 )`, and either of them alone. Compiled where an expression is
# given, which is seldom.
BOTH_PORTS = r"\(? ?sport (?:= )?:?(\S+) or dport (?:= )?:?\1 ?\)?"
ONE_PORT = r"(?:sport|dport) (?:(?:=|==|eq) )?:?(\S+)"
ONE_HOST = r"(?:src|dst) (?:= ?)?(\S+)"
BOTH_HOSTS = r"\( src (\S+) or dst \1 \)"


class SsFilter(NamedTuple):
    """What the operands ask for; `expression` is what none of the others says."""

    states: tuple[str, ...] = ()
    port: str | None = None
    address: str | None = None
    expression: str | None = None


def check(operands: Sequence[Operand], options: Sequence[Option] = ()) -> Failure | None:
    """What ss says of its operands, as far as their first words tell; None when they may pass."""
    rest = list(operands)
    while rest and rest[0].text in CLAUSES:
        if len(rest) == 1:
            message = 'Command line is not complete. Try option "help"'
            return Failure(message, 255, _place(rest[0]))
        if not _is_state(rest[1].text):
            message = f"ss: wrong state name: {rest[1].text}"
            return Failure(message, 255, _place(rest[1]))
        del rest[:2]
    if not rest:
        return None
    words = [word for operand in rest for word in operand.text.split()] or [""]
    said = _said_of(words, _family(options))
    if said is None:
        return None
    return Failure(said, 255 if said == SYNTAX_ERROR else 1, _place(rest[0]))


def _said_of(words: Sequence[str], family: str | None) -> str | None:
    """What ss says of an expression that begins with these words; None when it may pass."""
    word = words[0]
    if word in ("(", "!", "not", "autobound"):
        return None
    if word in SS_KEYWORDS and word not in CLAUSES:
        return None if len(words) > 1 else SYNTAX_ERROR
    if word in COMPARISONS or word in LOGIC or family == "unix":
        return SYNTAX_ERROR
    return _said_of_address(word, family)


def _said_of_address(word: str, family: str | None) -> str:
    """A word alone is read as an address of the last family that was named; then something lacks.

    `sport=:22` is one word to ss too.
    """
    if family in ("link", "vsock"):
        return SYNTAX_ERROR if word.isdigit() else "Cannot parse dst/src address."
    host = word.rpartition(":")[0] if ":" in word else word
    is_ipv4 = not re.search(r"[^0-9./]", host) and family != "inet6"
    if is_ipv4 or (host.startswith("[") and family != "inet"):
        return SYNTAX_ERROR
    return f'Error: an inet prefix is expected rather than "{host or word}".'


def _family(options: Sequence[Option]) -> str | None:
    named = {"-0": "link", "-x": "unix", "-4": "inet", "-6": "inet6", "--vsock": "vsock"}
    found = [o.argument if o.flag == "-f" else named.get(o.flag) for o in options]
    return next((family for family in reversed(found) if family), None)


def _place(operand: Operand) -> Place:
    return Place(operand.word, 0, len(operand.text))


def _is_state(word: str) -> bool:
    clause = ss_filter()["state_clause"]
    known = (*clause["states"], *clause["aliases"], *clause["groups"])
    return word.lower() in known


def read(operands: Sequence[Operand]) -> SsFilter:
    """What operands that ss takes ask for."""
    words = [word for operand in operands for word in operand.text.split()]
    states: list[str] = []
    is_exclusion = False
    while len(words) > 1 and words[0] in CLAUSES:
        is_exclusion = is_exclusion or words[0] != "state"
        states.append(words[1])
        del words[:2]
    clause = " ".join(f"exclude {state}" for state in states) if is_exclusion else ""
    text = " ".join(words)
    named = () if is_exclusion else _names(states)
    for pattern in (BOTH_PORTS, ONE_PORT):
        if (match := re.fullmatch(pattern, text)) and not clause:
            return SsFilter(named, port=match[1])
    for pattern in (BOTH_HOSTS, ONE_HOST):
        if (match := re.fullmatch(pattern, text)) and not clause:
            return SsFilter(named, address=match[1])
    return SsFilter(named, expression=" ".join(part for part in (clause, text) if part) or None)


def _names(states: Sequence[str]) -> tuple[str, ...]:
    """The states in our spelling; a group of ss stays what it is."""
    if "all" in states:
        return ("all",)
    found: list[str] = []
    for state in states:
        try:
            named = parse_states([state])
        except UsageError:
            continue
        found += [state] if state in GROUPS else sorted(named)
    listening = {"LISTEN": "listening"}
    names = [listening.get(name, name) for name in dict.fromkeys(found)]
    return tuple(names)
