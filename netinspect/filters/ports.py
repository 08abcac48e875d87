"""Ports: numbers, ranges and service names."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from netinspect.errors import UsageError
from netinspect.query import HIGHEST_PORT


def parse_ports(words: Iterable[str]) -> list[tuple[int, int]]:
    """Lowest and highest port of each word: `443`, `8000-8100`, `https`.

    :raises UsageError: a word is no port, a range is reversed, a service is unknown.
    """
    return [_parse_range(word) for word in words]


def _parse_range(word: str) -> tuple[int, int]:
    low, dash, high = word.partition("-")
    # service names have dashes too: http-alt
    if not dash or not low.strip().isdecimal():
        port = _parse_port(word, word)
        return port, port
    ports = _parse_port(low, word), _parse_port(high, word)
    if ports[0] > ports[1]:
        raise UsageError(f"port range {word!r} is reversed; did you mean {ports[1]}-{ports[0]}?")
    return ports


def _parse_port(text: str, word: str) -> int:
    text = text.strip()
    if text.isascii() and text.isdecimal():
        digits = text.lstrip("0") or "0"
        if len(digits) <= len(str(HIGHEST_PORT)) and int(digits) <= HIGHEST_PORT:
            return int(digits)
        raise UsageError(f"port {word!r}: expected 0 to {HIGHEST_PORT}, found {text}")
    try:
        return socket.getservbyname(text)
    except (OSError, UnicodeError, ValueError):
        raise UsageError(
            f"port {word!r}: expected a number from 0 to {HIGHEST_PORT}, a range such as "
            f"8000-8100, or the name of a service"
        ) from None
