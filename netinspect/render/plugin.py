"""The line of a monitoring plugin: status, text, and performance data behind a bar.

    NETINSPECT WARNING: 12000 sockets in TIME_WAIT | 'count'=12000;10000;25000;0;

Monitoring Plugins Development Guidelines, "Plugin Output" and "Performance data".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netinspect.render.escape import escape_cell

NAME = "NETINSPECT"
# Characters of text: with its data a line stays below the 4,096 bytes that Nagios reads.
LONGEST = 900


class Measure(NamedTuple):
    """A value with its thresholds, as they were given."""

    label: str
    value: float
    unit: str = ""
    warning: str = ""
    critical: str = ""
    maximum: float | None = None


def plugin_line(status: str, text: str, measures: Iterable[Measure] = ()) -> str:
    """The line, without its end; text of strangers cannot end it or reach into the data."""
    said = f"{NAME} {status}: {_safe(text)}"
    data = " ".join(map(_data, measures))
    return f"{said} | {data}" if data else said


def _safe(text: str) -> str:
    escaped = escape_cell(text).replace("|", "\\x7c")
    return escaped if len(escaped) <= LONGEST else f"{escaped[: LONGEST - 3]}..."


def _data(measure: Measure) -> str:
    label = measure.label.replace("'", "''")
    most = "" if measure.maximum is None else number_text(measure.maximum)
    value = number_text(measure.value) + measure.unit
    return f"'{label}'={value};{measure.warning};{measure.critical};0;{most}"


def number_text(value: float) -> str:
    """Without an exponent, which no plugin reader takes: `12.5`, `40000`."""
    return str(int(value)) if value == int(value) else f"{value:.2f}"
