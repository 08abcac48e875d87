"""What sysctl prints: settings and counters of the kernel by their names.

net.inet.tcp.msl: 15000             macOS, FreeBSD
net.inet.ip.portrange.first = 49152 NetBSD, Linux
net.inet.tcp.keepidle=14400         OpenBSD
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netinspect.parse.captured import captured_name

# A name has at least one dot; a line without one continues the value before it (kern.version).
LINE = re.compile(r"([A-Za-z_][\w%-]*(?:\.[\w%/-]+)+)(?:: ?| ?= ?)(.*)", re.ASCII | re.DOTALL)
LONGEST_NUMBER = 20


class Settings(dict[str, str]):
    """Values by name. What the kernel does not have is absent, never 0."""

    def number(self, name: str) -> int | None:
        """A value as a number; None when it is absent or no number.

        >>> Settings({"net.inet.tcp.msl": "15000"}).number("net.inet.tcp.msl")
        15000
        """
        text = self.get(name, "")
        digits = text.removeprefix("-")
        is_number = digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST_NUMBER
        return int(text) if is_number else None


def read_settings(lines: Iterable[str]) -> Settings:
    """The settings of these lines; what comes before the first name is left out."""
    settings = Settings()
    name = None
    for line in lines:
        found = LINE.fullmatch(line)
        if found:
            name = found[1]
            settings[name] = captured_name(found[2])
        elif name is not None and line:
            settings[name] += f"\n{captured_name(line)}"
    return settings
