"""sysctl: settings by name, and what is not there is absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.parse.sysctl import Settings, read_settings

CAPTURE = Path(__file__).parent / "fixtures/macos/sysctl-10.14.6.out"


@pytest.mark.parametrize(
    "line",
    [
        "net.inet.tcp.msl: 15000",
        "net.inet.tcp.msl = 15000",
        "net.inet.tcp.msl=15000",
        "net.inet.tcp.msl:15000",
    ],
)
def test_the_spellings(line: str) -> None:
    assert read_settings([line]) == {"net.inet.tcp.msl": "15000"}
    assert read_settings([line]).number("net.inet.tcp.msl") == 15000


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0),
        ("-1", -1),
        ("", None),
        ("18.7.0", None),
        ("1 2", None),
        ("\u0661", None),
        ("9" * 21, None),
    ],
)
def test_numbers(value: str, number: int | None) -> None:
    settings = read_settings([f"a.b: {value}"])
    assert (settings["a.b"], settings.number("a.b")) == (value, number)


def test_a_name_that_is_not_there_is_absent() -> None:
    settings = read_settings(["sysctl: unknown oid 'net.inet.tcp.tw_pcbcount'", "a.b: 1"])
    assert settings == {"a.b": "1"}
    assert settings.number("net.inet.tcp.tw_pcbcount") is None
    assert isinstance(settings, Settings)


def test_a_value_of_several_lines() -> None:
    lines = ["kern.version: FreeBSD 12.1", "    root@host:/usr", "", "kern.x: a: b = c"]
    settings = read_settings(lines)
    assert settings == {"kern.version": "FreeBSD 12.1\n    root@host:/usr", "kern.x": "a: b = c"}


def test_bytes_that_are_no_text() -> None:
    assert read_settings(["kern.hostname: caf\udcc3\\"]) == {"kern.hostname": "caf\\xc3\\\\"}


def test_a_capture_of_a_mac() -> None:
    lines = CAPTURE.read_text().split("\n")
    settings = read_settings(lines)
    assert len(settings) == len([line for line in lines if line]) == 464
    names = ("net.inet.tcp.msl", "net.inet.ip.portrange.first", "net.inet.ip.portrange.last")
    assert [settings.number(name) for name in names] == [15000, 49152, 65535]
    assert settings.number("net.inet.tcp.tw_pcbcount") == 0
    assert settings["kern.osrelease"] == "18.7.0"
    assert settings.number("net.inet.tcp.fin_timeout") is None


@given(st.lists(st.text()))
def test_any_lines(lines: list[str]) -> None:
    settings = read_settings(lines)
    assert all("." in name for name in settings)
