"""The output of other programs, made of our records: netstat of several systems, and ss."""

from __future__ import annotations

# What `-o` takes; `choose` makes them.
DIALECTS = ("gnu", "bsd", "ss", "windows")
