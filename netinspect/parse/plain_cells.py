"""Cells of which nothing unusual is to be said: most there are.

Readers try a row with these first: each is converted once, with one look-up. What is not plain
raises KeyError, and takes the long way.
"""

from __future__ import annotations

from netinspect.model import Family
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.bsd_address import PORTS, TCP_STATES, Endpoints
from netinspect.parse.captured import captured_name

# The states of connections: the record tells their peer as it stands there.
CONNECTED = {word: state for word, state in TCP_STATES.items() if state not in ("CLOSE", "LISTEN")}
FAMILIES: dict[str, Family] = {"tcp4": "ipv4", "tcp": "ipv4", "tcp6": "ipv6", "tcp46": "ipv6"}


class PlainHosts(dict[str, str]):
    """Addresses by their text; none for wildcards, names and what may be cut."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def __missing__(self, text: str) -> str:
        endpoint = self._endpoints[f"{text}{self._endpoints.separator}1"]
        if endpoint.remark is not None or text == "*":
            raise KeyError(text)
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[text] = endpoint.address
        return endpoint.address


class PlainPorts(dict[str, int]):
    """Ports by their text; none for names, and for what is no port."""

    def __missing__(self, text: str) -> int:
        port = PORTS[text]
        if not port:
            raise KeyError(text)
        self[text] = port
        return port


class PlainNumbers(dict[str, int]):
    """Numbers of at most so many digits, by their text."""

    def __init__(self, digits: int) -> None:
        self._digits = digits

    def __missing__(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= self._digits):
            raise KeyError(text)
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        number = self[text] = int(text)
        return number


class PlainNames(dict[str, str]):
    """Names as the record has them, see `captured_name`."""

    def __missing__(self, text: str) -> str:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        name = self[text] = captured_name(text)
        return name


PLAIN_PORTS = PlainPorts()
