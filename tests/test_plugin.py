from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from netinspect.render.plugin import Measure, number_text, plugin_line

# As Nagios splits it: everything behind the first bar, words of 'label'=value;...
DATUM = re.compile(r"'((?:[^'=]|'')+)'=(-?[\d.]+)(%|s|B|c)?;([^;]*);([^;]*);0;([\d.]*)")


def test_a_line() -> None:
    measures = [Measure("count", 12000, "", "10000", "25000"), Measure("used", 61.257, "%", "50")]
    assert plugin_line("WARNING", "12000 sockets", [measures[0]]) == (
        "NETINSPECT WARNING: 12000 sockets | 'count'=12000;10000;25000;0;"
    )
    assert plugin_line("OK", "x", measures).endswith(" 'used'=61.26%;50;;0;")
    assert plugin_line("UNKNOWN", "no answer") == "NETINSPECT UNKNOWN: no answer"


def test_a_maximum() -> None:
    line = plugin_line("OK", "x", [Measure("used_ports", 3, maximum=28232)])
    assert line == "NETINSPECT OK: x | 'used_ports'=3;;;0;28232"


@given(st.text(max_size=3000))
def test_no_text_reaches_into_the_data(text: str) -> None:
    line = plugin_line("OK", text, [Measure("count", 7)])
    said, bar, data = line.partition("|")
    assert bar
    assert data == " 'count'=7;;;0;"
    assert "\n" not in line
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", said)
    assert len(line.encode()) < 4096


def test_numbers_have_no_exponent() -> None:
    assert [number_text(n) for n in (0, 3, 2.5, 1e15, 0.001)] == [
        "0",
        "3",
        "2.50",
        "1000000000000000",
        "0.00",
    ]


@given(st.floats(0, 1e12), st.sampled_from(["", "%", "s"]))
def test_data_can_be_read_back(value: float, unit: str) -> None:
    _, _, data = plugin_line("OK", "x", [Measure("a'b", value, unit, "~:5", "@1:2")]).partition("|")
    found = DATUM.fullmatch(data.strip())
    assert found
    assert abs(float(found[2]) - value) <= max(0.01, value * 1e-12)
    assert found.group(1, 3, 4, 5) == ("a''b", unit or None, "~:5", "@1:2")
