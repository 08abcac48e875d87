from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netinspect.errors import ParseError
from netinspect.model import decode_name
from netinspect.parse.proc_pid import (
    Stat,
    parse_boot_time,
    parse_command_line,
    parse_effective_capabilities,
    parse_effective_uid,
    parse_executable,
    parse_stat,
    start_time,
)

# Linux 6.18: an nginx that systemd started
STAT = (
    b"1234 (nginx) S 1 1234 1234 0 -1 4194560 512 0 3 0 4 2 0 0 20 0 1 0 86420 11337728 1024 "
    b"18446744073709551615 1 1 0 0 0 0 0 16781312 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
STATUS = b"Name:\tnginx\nUmask:\t0022\nPid:\t1234\nUid:\t1000\t33\t34\t35\nGid:\t1\t2\t3\t4\n"
BOOT = b"cpu  1 2 3\nintr 1 2 3\nctxt 99\nbtime 1767323045\nprocesses 5\n"


def test_a_stat() -> None:
    assert parse_stat(STAT) == Stat("nginx", 1, 86420)


@pytest.mark.parametrize(
    "name",
    [b"a b", b") (", b"x) S 77 (y", b") S 7 1 1 0 -1 (", b"\n", b"", b"((", b"))", b"\xff\\"],
    ids=repr,
)
def test_a_name_is_what_stands_between_the_outer_parentheses(name: bytes) -> None:
    assert parse_stat(STAT.replace(b"nginx", name)) == Stat(decode_name(name), 1, 86420)


def test_a_process_of_another_pid_namespace_has_parent_0() -> None:
    assert parse_stat(STAT.replace(b" S 1 ", b" S 0 ")).parent == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"1234",
        b"1234 (nginx",
        b"1234 (nginx) S",
        b"(nginx) S 1",
        STAT[: STAT.index(b" 86420")],
        STAT.replace(b"86420", b"x"),
        STAT.replace(b" S ", b" 5 "),
    ],
    ids=repr,
)
def test_what_is_no_stat(raw: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_stat(raw)
    expected = "/proc/<pid>/stat: expected 'PID (NAME) STATE PPID ...', found "
    assert str(caught.value) == expected + repr(raw)


@given(
    st.binary(max_size=15).filter(lambda name: b"\0" not in name),
    st.integers(0, 2**22),
    st.integers(0, 10**13 - 1),
)
def test_stats(name: bytes, parent: int, ticks: int) -> None:
    raw = STAT.replace(b"86420", b"%d" % ticks).replace(b" S 1 ", b" S %d " % parent)
    assert parse_stat(raw.replace(b"nginx", name)) == Stat(decode_name(name), parent, ticks)


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        (b"sleep\x0060\0", ("sleep", "60")),
        (b"sleep", ("sleep",)),
        (b"java\0\0-jar\0x.jar\0", ("java", "", "-jar", "x.jar")),
        (b"nginx: worker process\0\0\0\0", ("nginx: worker process",)),
        (b"\0-x\0", ("", "-x")),
        (b"caf\xc3\xa9\0\xff\0\\\n", ("café", "\\xff", "\\\\\n")),
        (b"", None),
        (b"\0\0", None),
    ],
    ids=repr,
)
def test_command_lines(raw: bytes, arguments: tuple[str, ...] | None) -> None:
    assert parse_command_line(raw) == arguments


@given(st.lists(st.binary().filter(lambda a: b"\0" not in a), min_size=1))
def test_any_arguments(arguments: list[bytes]) -> None:
    """All come back but for empty ones at the end, which a title would leave too."""
    found = parse_command_line(b"".join(a + b"\0" for a in arguments))
    while arguments and not arguments[-1]:
        arguments.pop()
    assert found == (tuple(map(decode_name, arguments)) or None)


@pytest.mark.parametrize(
    ("link", "found"),
    [
        (b"/usr/sbin/nginx", ("/usr/sbin/nginx", False)),
        (b"/usr/sbin/nginx (deleted)", ("/usr/sbin/nginx", True)),
        (b"/memfd:loader (deleted)", ("/memfd:loader", True)),
        (b"/srv/a (deleted) (deleted)", ("/srv/a (deleted)", True)),
        (b"/srv/\xff\\", ("/srv/\\xff\\\\", False)),
    ],
    ids=repr,
)
def test_executables(link: bytes, found: tuple[str, bool]) -> None:
    assert parse_executable(link) == found


def test_the_user_is_the_effective_one() -> None:
    assert parse_effective_uid(STATUS) == 33


def test_a_status_without_a_user() -> None:
    with pytest.raises(ParseError) as caught:
        parse_effective_uid(b"Name:\tnginx\n")
    expected = r"/proc/<pid>/status: expected a line 'Uid: ...', found b'Name:\tnginx\n'"
    assert str(caught.value) == expected


def test_the_start_of_the_system() -> None:
    assert parse_boot_time(BOOT) == 1767323045


def test_a_stat_of_the_system_without_its_start() -> None:
    with pytest.raises(ParseError) as caught:
        parse_boot_time(b"cpu  1 2 3\n")
    expected = r"/proc/stat: expected a line 'btime SECONDS', found b'cpu  1 2 3\n'"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "2026-01-02T03:04:05Z"),
        (99, "2026-01-02T03:04:05Z"),
        (100, "2026-01-02T03:04:06Z"),
        (8640000, "2026-01-03T03:04:05Z"),
    ],
)
def test_the_start_of_a_process(ticks: int, text: str) -> None:
    assert start_time(1767323045, ticks, 100) == text


@given(st.integers(0, 10**11 - 1), st.integers(0, 10**13 - 1))
@example(10**11 - 1, 10**13 - 1)
def test_every_start_that_is_read_can_be_told(boot_time: int, ticks: int) -> None:
    text = start_time(boot_time, ticks, 100)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)


@pytest.mark.parametrize("parse", [parse_stat, parse_effective_uid, parse_boot_time])
@given(st.binary())
@example(b"btime 99999999999999999999\n")
@example(b"Uid:\t1\t99999999999999999999\t1\t1\n")
@example(STAT.replace(b"86420", b"9" * 30))
def test_nothing_but_a_parse_error(parse: Callable[[bytes], Stat | int], raw: bytes) -> None:
    with suppress(ParseError):
        assert parse(raw) is not None


def test_capabilities() -> None:
    status = b"CapPrm:\t0000000000000000\nCapEff:\t0000000000000400\nCapBnd:\t000001ffffffffff\n"
    assert parse_effective_capabilities(status) == 1 << 10


def test_a_status_without_capabilities() -> None:
    with pytest.raises(ParseError) as caught:
        parse_effective_capabilities(STATUS)
    expected = "/proc/<pid>/status: expected a line 'CapEff: 000001ffffffffff'"
    assert str(caught.value) == expected
