"""Values of /proc/sys/net: numbers, and ranges of ports (ip-sysctl.rst)."""

from __future__ import annotations

import re

from netinspect.errors import ParseError
from netinspect.settings import PORTS

# tcp_tw_reuse says "2\n", ip_local_port_range "32768\t60999\n"
NUMBERS = re.compile(r"-?\d{1,20}(?:[ \t]+-?\d{1,20})*")
# ip_local_reserved_ports (proc_do_large_bitmap) says "8080,9000-9010\n", and "\n" for none
RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def parse_numbers(text: str, count: int) -> list[int]:
    """The `count` numbers of a value.

    :raises ParseError: they are not that many numbers.
    """
    if not NUMBERS.fullmatch(text.strip()) or len(text.split()) != count:
        numbers = "a number" if count == 1 else f"{count} numbers"
        raise ParseError(f"expected {numbers}, found {text.strip()!r}")
    return [int(number) for number in text.split()]


def parse_ports(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges of a list of ports, a single port as a range of one.

    :raises ParseError: it is no such list.
    """
    words = text.strip().split(",") if text.strip() else []
    return tuple(_parse_range(word) for word in words)


def _parse_range(word: str) -> tuple[int, int]:
    match = RANGE.fullmatch(word)
    if match:
        low, high = int(match[1]), int(match[2] or match[1])
        if low <= high < PORTS:
            return low, high
    raise ParseError(f"expected ports such as 8080 or 9000-9010, found {word!r}")
