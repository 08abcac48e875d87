"""/proc/net/snmp, netstat and sockstat: what the kernel has counted.

Documentation/networking/snmp_counter.rst, and the functions that print the files
(net/ipv4/proc.c). A counter is named by the word at the beginning of its line and its own:
`Tcp.ActiveOpens` and `TcpExt.TW` since the start of the network namespace, and of what there is
now, from sockstat, `TCP.tw`.
"""

from __future__ import annotations

import re

from netinspect.errors import ParseError

NUMBER = r"-?\d{1,20}"


def parse_counters(text: str) -> dict[str, int]:
    """The counters of snmp or netstat, a line of names and one of values for each group:

        TcpExt: SyncookiesSent TW TWRecycled
        TcpExt: 0 5000 582

    :raises ParseError: the two lines do not belong together, or a value is no number.
    """
    lines = text.splitlines()
    if len(lines) % 2:
        raise ParseError(f"expected pairs of lines, found {len(lines)} lines")
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        counters.update(_parse_pair(names, values))
    return counters


def _parse_pair(names: str, values: str) -> dict[str, int]:
    group, _, words = names.partition(":")
    same, colon, numbers = values.partition(":")
    if not colon or same != group:
        raise ParseError(f"expected the values of {group!r}, found {values[:80]!r}")
    if len(words.split()) != len(numbers.split()):
        raise ParseError(
            f"{group}: expected {len(words.split())} values, found {len(numbers.split())}"
        )
    pairs = zip(words.split(), numbers.split(), strict=True)
    return {f"{group}.{word}": _parse_number(number, group) for word, number in pairs}


def parse_sockstat(text: str) -> dict[str, int]:
    """The counts of sockstat, each behind its name:

        TCP: inuse 4 orphan 0 tw 1 alloc 5 mem 1

    :raises ParseError: a line is not as this one.
    """
    counts: dict[str, int] = {}
    for line in text.splitlines():
        group, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or len(words) % 2:
            raise ParseError(f"expected names and numbers, found {line[:80]!r}")
        for name, number in zip(words[::2], words[1::2], strict=True):
            counts[f"{group}.{name}"] = _parse_number(number, group)
    return counts


def _parse_number(word: str, group: str) -> int:
    if re.fullmatch(NUMBER, word):
        return int(word)
    raise ParseError(f"{group}: expected a number, found {word[:80]!r}")
